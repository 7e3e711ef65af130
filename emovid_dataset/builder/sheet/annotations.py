"""Read the file that `emovid annotate` writes as a label sheet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from emovid_dataset.builder.sheet.table import Row, is_empty
from emovid_dataset.builder.sheet.words import EmotionWords
from emovid_dataset.schema.no_emotion import ABSTAINED
from emovid_dataset.schema.taxonomy import Taxonomy

KEY = "key"
"""The column of the path; that of a segment has its times behind it, see `segment_key`."""

_OWN = ("version", "error")
_NORMS = ("valence", "arousal")
"""Follow from the probabilities."""


_STRETCH = re.compile(r"#t=[^#]*\Z")


def segment_key(path: str, start: float | str, end: float | str) -> str:
    """What names a segment of a film in an annotator's file: its path and, as in a media fragment, its times.

    >>> segment_key("film.mp4", 75.0, 78.25)
    'film.mp4#t=75,78.25'
    """
    return f"{path}#t={_short(start)},{_short(end)}"


def _short(time: float | str) -> str:
    return str(time).strip().removesuffix(".0")


def are_annotations(headers: Sequence[str], taxonomy: Taxonomy) -> bool:
    """Whether a sheet's columns are those of an annotator's file: one for each emotion's probability too."""
    return {*_OWN, "emotion", *taxonomy.names} <= set(headers)


def refuse_other_emotions(where: str, headers: Sequence[str], taxonomy: Taxonomy) -> None:
    """Refuse the file of an annotator that tells other emotions apart.

    Args:
        where: names the sheet in messages.
        headers: of its columns.
        taxonomy: whose emotions the sheet may name.

    Raises:
        ValueError: it is such a file.
    """
    if {KEY, "emotion", ABSTAINED, *_OWN} <= set(headers) and not are_annotations(headers, taxonomy):
        missing = [name for name in taxonomy.names if name not in headers]
        raise ValueError(
            f"{where} was written by an annotator of other emotions, which does not know "
            f"{', '.join(missing)}; --taxonomy FILE names those that it knows"
        )


def as_sheet(headers: Sequence[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    """The columns of such a file as those of a label sheet."""
    kept = [header for header in headers if header not in (*_OWN, ABSTAINED, *_NORMS, *taxonomy.names)]
    return (*kept, *(name for name in ("emotion_scores", "emotion_source") if name not in kept))


def as_row(row: Row, words: EmotionWords) -> Row:
    """A row of such a file as that of a label sheet.

    An emotion that is not the likeliest one was put there by a person, and so was "no specific emotion" where
    the annotator did not abstain.

    Raises:
        ValueError: the annotator failed at this video.
    """
    taxonomy = words.labels.taxonomy
    dropped = {*_OWN, ABSTAINED, *_NORMS, *taxonomy.names}
    cells = {header: cell for header, cell in row.cells.items() if header not in dropped}
    if isinstance(key := cells.get(KEY), str) and not is_empty(cells.get("start")):
        cells[KEY] = _STRETCH.sub("", key)
    if is_empty(cells.get("emotion")) and not is_empty(row.cells.get("error")):
        raise ValueError(f"the annotator failed: {row.cells['error']}")
    scores: Any = [row.cells.get(name) for name in taxonomy.names]
    if not any(is_empty(score) for score in scores):
        cells.setdefault("emotion_scores", scores)
        if is_empty(cells.get("emotion_source")):
            label = None if is_empty(cells.get("emotion")) else words.read(cells["emotion"])
            if label is None:
                is_own = str(row.cells.get(ABSTAINED)).lower() == "true"
            else:
                is_own = float(scores[label]) == max(map(float, scores))
            cells["emotion_source"] = "model" if is_own else "human"
    return Row(row.number, cells, row.beyond)
