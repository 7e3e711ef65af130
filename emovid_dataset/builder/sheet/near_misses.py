"""Columns and cells of a label sheet that are taken as they stand, and may have been meant otherwise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from emovid_dataset.builder.sheet.rows import Label, printable

_LIKE = {
    "start": "start_time start_sec start_seconds start_s start_ms starttime time_start t_start begin "
    "begin_time onset from",
    "end": "end_time end_sec end_seconds end_s end_ms endtime time_end t_end stop stop_time offset finish to",
    "split": "set subset partition fold splits data_split dataset_split",
    "rater": "rater_id annotator annotator_id worker worker_id labeler labeller coder user user_id "
    "participant participant_id",
    "content_type": "type kind category domain genre",
    "caption": "captions description text title",
    "license": "licence rights",
    "group": "groups group_id film_id series",
    "votes": "vote vote_counts",
    "emotion_scores": "scores probabilities probs",
}
"""By meaning, the headers that people give such a column, and that have no meaning here."""

_NOTHING = ("na", "n/a", "#n/a", "nan", "none", "null", "nil")
"""What programs write into a cell that holds nothing, and what may be a text as well."""

_TEXTS = ("caption", "group", "license", "source", "rater")


def near_columns(where: str, others: Sequence[str], meanings: Collection[str]) -> Iterator[str]:
    """Say which columns without a meaning look as if they had one that no other column has.

    Args:
        where: names the sheet in messages.
        others: headers without a meaning, which a person did not ask to keep.
        meanings: that the sheet has columns of.

    >>> list(near_columns("labels.csv", ["Start (s)", "film"], ["path", "emotion"]))
    ["labels.csv: column 'Start (s)' is only kept in extra; --column start='Start (s)' makes it the start"]
    """
    for header in others:
        plain = re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")
        for meaning, names in _LIKE.items():
            if plain in names.split() and meaning not in meanings:
                said = printable(header)
                word = said if re.fullmatch(r"[\w.-]+", said) else repr(said)
                yield (
                    f"{where}: column {said!r} is only kept in extra; "
                    f"--column {meaning}={word} makes it the {meaning}"
                )


class NothingWords:
    """Counts the texts that may stand for an empty cell."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str, str]] = Counter()

    def look(self, label: Label) -> None:
        """Look at the texts of a row."""
        for name in _TEXTS:
            text = getattr(label, name)
            if text is not None and text.lower() in _NOTHING:
                self._found[name, text] += 1

    def remarks(self, where: str) -> Iterator[str]:
        """Say which texts were taken as they are.

        Args:
            where: names the sheet.
        """
        for (name, text), count in self._found.items():
            cells = "1 cell holds" if count == 1 else f"{count} cells hold"
            yield (
                f"{where}: as {name} {cells} {text!r}, which was taken as a text; "
                "leave empty what is not known"
            )
