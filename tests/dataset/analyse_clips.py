"""Tables of clips made up for the tests of the analyses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.schema.emotions import EMOTIONS, VALENCES


def clip_table(
    labels: Sequence[int],
    *,
    types: Sequence[int] | None = None,
    content_types: tuple[str, ...] = ("movie",),
    brightness: Sequence[float] | None = None,
    colorfulness: Sequence[float] | None = None,
    hue: Sequence[float] | None = None,
    captions: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    starts: Sequence[float] | None = None,
    ends: Sequence[float] | None = None,
    has_audio: Sequence[bool] | None = None,
) -> ClipTable:
    """A table with these columns; every clip is a group of its own unless told otherwise."""
    n = len(labels)
    nothing = [np.nan] * n
    given = {"brightness": brightness, "colorfulness": colorfulness, "hue": hue}
    return ClipTable(
        name="made",
        emotions=EMOTIONS,
        valences=(0, 0, 0, 0, 1, 1, 1, 1),
        valence_names=VALENCES,
        content_types=content_types,
        ids=tuple(f"movie-{index:016x}" for index in range(n)),
        types=np.array([0] * n if types is None else types, np.int64),
        labels=np.array(labels, np.int64),
        attributes={
            name: np.array(nothing if some is None else some, np.float64) for name, some in given.items()
        },
        format=2,
        has_audio=np.array([False] * n if has_audio is None else has_audio, bool),
        captions=tuple([""] * n if captions is None else captions),
        sources=np.array(range(n) if sources is None else sources, np.int64),
        groups=np.array(range(n) if groups is None else groups, np.int64),
        starts=np.array(nothing if starts is None else starts, np.float64),
        ends=np.array(nothing if ends is None else ends, np.float64),
        hashes=tuple(f"{index:064x}" for index in range(n)),
    )
