"""From videos to measures: the stage that applies the paper's measures to one video per part.

The ledger stays where it is: its file of a video is what was measured on it, and the same video with the same
text and the same networks is never measured again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emovid_dataset.engine import (
    Executor,
    Failure,
    FailureKind,
    Part,
    Record,
    Resources,
    Serial,
    Stage,
    records,
    run_stage,
)
from emovid_dataset.engine.base import one_line
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import Reader, VideoError
from emovid_dataset.store import Store, read_file, store_of
from emovid_models.evaluation.frame_scores import FrameScores, frame_scores, rgb_frames
from emovid_models.evaluation.measures.clip_score import clip_score
from emovid_models.evaluation.measures.first_frame import first_frame_consistency
from emovid_models.evaluation.measures.flicker import temporal_flicker
from emovid_models.wan.frames import read_image

if TYPE_CHECKING:
    from emovid_models.evaluation.measures.clip_model import ClipModel
    from emovid_models.evaluation.measures.videomae_model import VideoMaeModel

DEFINITIONS = "1"
"""Changes whenever a measure gives another value for the same video."""


@dataclass(frozen=True, slots=True)
class Measurable:
    """A video that is to be measured.

    Attributes:
        file: its name in the table.
        version: changes when the video changes.
        open: returns a path or bytes; it can be pickled.
        text: what it is compared with by the CLIP score.
        first: path or URL of the given first frame; None for text to video.
    """

    file: str
    version: str
    open: Callable[[], str | bytes]
    text: str
    first: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on a video; None for what was not.

    Attributes:
        file: of the `Measurable`.
        frames: number of its frames; 0 where it could not be read.
        flicker: `temporal_flicker`; None also for a single frame.
        clip_score: `clip_score`.
        tokens: CLIP's tokens of the whole text.
        truncated: whether these are more than CLIP reads.
        first_frame: `first_frame_consistency`.
        feature: VideoMAE's feature.
        from_frames: scores that need nothing but the frames; None where they were not asked for.
        error: why the video could not be read, in one line.
    """

    file: str
    frames: int = 0
    flicker: float | None = None
    clip_score: float | None = None
    tokens: int | None = None
    truncated: bool | None = None
    first_frame: float | None = None
    feature: tuple[float, ...] | None = None
    from_frames: FrameScores | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks that features come from; every worker loads them for itself.

    Attributes:
        clip: a folder or a Hub repo; None leaves CLIP score and first-frame consistency out.
        videomae: the same, for FVD.
        device: as torch names it; None for cuda if there is one.
    """

    clip: str | None = None
    videomae: str | None = None
    device: str | None = None

    def identities(self) -> dict[str, str | None]:
        """Names them by what they hold, see `network_identity`."""
        from emovid_models.evaluation.measures.network import network_identity

        return {
            name: None if model is None else network_identity(model)
            for name, model in (("clip", self.clip), ("videomae", self.videomae))
        }

    def load(self, worker: int = 0) -> tuple[ClipModel | None, VideoMaeModel | None]:
        """Load those that are named.

        Raises:
            OSError: one cannot be loaded.
        """
        from emovid_models.evaluation.measures.clip_model import ClipModel
        from emovid_models.evaluation.measures.network import pick_device
        from emovid_models.evaluation.measures.videomae_model import VideoMaeModel

        return (
            None if self.clip is None else ClipModel(self.clip, pick_device(self.device, worker)),
            None if self.videomae is None else VideoMaeModel(self.videomae, pick_device(self.device, worker)),
        )


@dataclass(frozen=True, slots=True)
class MeasurePart(Part):
    """The part of one video."""

    video: Measurable


@dataclass(frozen=True, slots=True)
class MeasureStage(Stage[MeasurePart, "tuple[ClipModel | None, VideoMaeModel | None]"]):
    """Measures videos; its records are the fields of `Measured`.

    Attributes:
        videos: what is measured.
        networks: where features come from.
        identities: of the networks.
        ledger: folder of the ledger files.
        with_frames: whether the scores from the frames alone are measured too.
    """

    videos: tuple[Measurable, ...]
    networks: Networks
    identities: tuple[str | None, ...]
    ledger: str
    with_frames: bool = False

    name = "Measuring"
    unit = "videos"
    resources = Resources(gpu=True)

    def parts(self, store: Store) -> Iterator[MeasurePart]:
        for video in self.videos:
            first = None if video.first is None else _digest(video.first)
            of: list[object] = [DEFINITIONS, video.file, video.version, video.text, first, *self.identities]
            of += ["from frames", _can_see_motion()] if self.with_frames else []
            yield MeasurePart(
                hashlib.sha256(json.dumps(of, allow_nan=False).encode()).hexdigest()[:32], 1, 0.0, video
            )

    def setup(self, worker: int) -> tuple[ClipModel | None, VideoMaeModel | None]:
        return self.networks.load(worker)

    def run(
        self, state: tuple[ClipModel | None, VideoMaeModel | None], part: MeasurePart, store: Store
    ) -> Iterator[Record]:
        video = part.video
        try:
            found = measure(video, *state, with_frames=self.with_frames)
        except VideoError as error:
            found = Measured(video.file, error=one_line(str(error)))
        yield asdict(found)

    def refuse(self, part: MeasurePart, failure: Failure) -> list[Record] | None:
        """A video that crashes the decoder has an error; what a network raises stops the run."""
        if failure.kind is not FailureKind.CRASHED:
            return None
        return [asdict(Measured(part.video.file, error="makes the decoder crash"))]

    def is_whole(self, part: MeasurePart, records: Iterable[Record], store: Store) -> bool:
        """Videos that failed are tried again."""
        return all(record["error"] is None for record in records)


def measure(
    video: Measurable,
    clip: ClipModel | None,
    videomae: VideoMaeModel | None,
    *,
    with_frames: bool = False,
) -> Measured:
    """Apply the measures to one video.

    Args:
        video: read once for each measure, so that no more than a few frames are held.
        clip: None leaves its measures out.
        videomae: None leaves the feature out.
        with_frames: measure also what needs nothing but the frames.

    Raises:
        VideoError: it cannot be decoded.
        OSError: it or its first frame cannot be read.
    """
    source = video.open()
    with Reader(source, quick=True) as reader:
        count = reader.info.num_frames
    found = Measured(video.file, count)
    if with_frames:
        scores = frame_scores(source)
        found = replace(found, flicker=scores.flicker, from_frames=scores)
    elif count > 1:
        found = replace(found, flicker=temporal_flicker(rgb_frames(source)))
    if clip is not None:
        features = clip.frames(rgb_frames(source))
        text = clip.text(video.text)
        found = replace(
            found,
            clip_score=clip_score(features, text.feature),
            tokens=text.tokens,
            truncated=text.is_truncated,
        )
        if video.first is not None:
            height, width = next(iter(rgb_frames(source))).shape[:2]
            given = np.asarray(read_image(video.first, height, width))
            found = replace(found, first_frame=first_frame_consistency(features, clip.frames([given])[0]))
    if videomae is not None:
        frames = decode(source, frames=videomae.num_frames, size=videomae.size)
        found = replace(found, feature=tuple(map(float, videomae.video(frames))))
    return found


def measure_videos(
    videos: Sequence[Measurable],
    networks: Networks,
    out: str | os.PathLike[str],
    *,
    with_frames: bool = False,
    engine: Executor | None = None,
    progress: bool = False,
) -> tuple[list[Measured], int]:
    """Measure videos; what an earlier run has measured is not measured again.

    Args:
        videos: each file once.
        networks: where features come from.
        out: path or URL of the folder of the results, a file per video.
        with_frames: measure also what needs nothing but the frames.
        engine: who measures, by default this process.
        progress: show progress on stderr.

    Returns:
        What was measured, in order, and how many were there from an earlier run.

    Raises:
        OSError: a network cannot be loaded, or the folder cannot be written.
    """
    store, ledger = store_of(out)
    identities = tuple(networks.identities().values())
    stage = MeasureStage(tuple(videos), networks, identities, ledger, with_frames)
    counts = run_stage(stage, store, executor=engine or Serial(), progress=progress, total=len(videos))
    found = [_measured(row) for row in records(stage, store)]
    return found, counts.reused


def _measured(row: Record) -> Measured:
    feature, scores = row["feature"], row.get("from_frames")
    if scores is not None:
        reasons = tuple((name, reason) for name, reason in scores["not_computed"])
        scores = FrameScores(**{**scores, "not_computed": reasons})
    return Measured(**{**row, "feature": None if feature is None else tuple(feature), "from_frames": scores})


def _can_see_motion() -> bool:
    """Whether OpenCV is installed: once it is, what lacked it is measured."""
    return importlib.util.find_spec("cv2") is not None


def _digest(place: str) -> str:
    return hashlib.sha256(read_file(place)).hexdigest()
