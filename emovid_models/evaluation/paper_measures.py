"""Prompt match and FVD of the systems of a result, by the measures of the paper's protocol.

Prompt match is the protocol's CLIP score of a video and its scene, without the emotion; FVD is the distance
to the result's real clips. Where one is not computed, the reason stands in its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from emovid_dataset.engine import Executor
from emovid_dataset.store import joined, read_file
from emovid_models.evaluation.measuring import Measurable, Measured, Networks, measure_videos
from emovid_models.evaluation.protocol import paper_figures
from emovid_models.evaluation.result import Result, Video
from emovid_models.evaluation.statistics import score
from emovid_models.evaluation.system_scores import bounds_of
from emovid_models.evaluation.value import Value

PROMPT_MATCH = "prompt_match"
FVD = "fvd"


def add_paper_measures(
    result: Result,
    out: str | os.PathLike[str],
    *,
    networks: Networks,
    real: Mapping[str, Callable[[], str | bytes]] | None = None,
    engine: Executor | None = None,
    progress: bool = False,
) -> Result:
    """Measure every system; what an earlier run has measured is not measured again.

    Args:
        result: that was read or written, so that its videos can be found.
        out: path or URL of the folder of what was measured.
        networks: the CLIP and the VideoMAE; without one its measure has a reason.
        real: by id what opens each real clip.
        engine: who measures, by default this process.
        progress: show progress on stderr.

    Returns:
        The result with `System.measures` "prompt_match" (-1..1, higher is better) and "fvd" (from 0, lower is
        better).

    Raises:
        OSError: a network cannot be loaded, or the folder cannot be written.
    """
    clips = [video for video in result.real if real is not None and video.file in real]

    def measured(name: str, videos: Sequence[Video], needed: Networks) -> list[Measured]:
        rows = [
            Measurable(video.request, video.sha256 or "", _opener(result, video, real), video.prompt)
            for video in videos
            if video.error is None
        ]
        found, _ = measure_videos(rows, needed, joined(out, name), engine=engine, progress=progress)
        return found

    wanted = networks.clip is not None or networks.videomae is not None
    reference: list[Measured] = []
    if networks.videomae is not None and clips:
        reference = measured("real", clips, Networks(None, networks.videomae, networks.device))
    systems = []
    for system in result.systems:
        videos = result.of(system.name)
        found = measured(system.name, videos, networks) if wanted else []
        figures = paper_figures(
            found,
            score(result.judged(system.name, result.judges[0].identity)),
            task="t2v",
            networks=networks,
            reference=reference,
        )
        match, distance = figures.clip_score, figures.fvd
        if networks.clip is not None and not all(video.prompt for video in videos):
            match = Value(None, reason="the prompts are not known")
        if match.value is not None:
            scenes = {video.request: video.scene for video in videos}
            scored = [(one.clip_score, scenes[one.file]) for one in found if one.clip_score is not None]
            bounds = bounds_of([value for value, _ in scored], [scene for _, scene in scored])
            match = replace(match, details={**match.details, **bounds})
        if networks.videomae is not None and not clips:
            distance = Value(None, reason="the result has no real clips")
        systems.append(replace(system, measures={**system.measures, PROMPT_MATCH: match, FVD: distance}))
    return replace(result, systems=tuple(systems))


def _opener(
    result: Result, video: Video, real: Mapping[str, Callable[[], str | bytes]] | None
) -> Callable[[], str | bytes]:
    if video.place:
        return partial(read_file, result.locate(video.place))
    assert real is not None
    return real[video.file]
