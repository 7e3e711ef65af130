"""Write what raters' votes came to as a label sheet, which `emovid build` takes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from emovid_dataset.agree.rating import PLACE
from emovid_dataset.agree.rating_table import RatingTable
from emovid_dataset.agree.verdicts import Verdict
from emovid_dataset.label.answers import NONE
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.store import write_file

ENDINGS = (".csv", ".jsonl")
"""Endings of the names of sheets that can be written."""

_OWN = ("emotion", "emotion_source", "emotion_scores", "raters", "votes", "agreement", "rated_by", "look")
_FIRST = ("id", "path", "start", "end")


def label_rows(
    table: RatingTable,
    settled: Iterable[Verdict],
    places: Mapping[str, Mapping[str, Any]],
    *,
    source: str = "human",
) -> list[dict[str, Any]]:
    """Rows of a label sheet, one for each clip, with the columns that `emovid build` knows.

    Args:
        table: the ratings.
        settled: the clips to write, each of the table.
        places: by id what is known of where clips come from; it goes before what the answers say.
        source: who the raters are, "human" or "model".
    """
    number = {name: place for place, name in enumerate(table.clips)}
    rows = []
    for one in settled:
        known = {**table.places.get(one.id, {}), **places.get(one.id, {})}
        said = table.codes[number[one.id]]
        people = [name for name, code in zip(table.raters, said, strict=True) if code >= 0]
        named = {**known, "emotion": NO_EMOTION if one.emotion == NONE else one.emotion}
        rows.append(
            {
                "id": one.id,
                **{name: value for name, value in named.items() if name not in _OWN or name == "emotion"},
                "emotion_source": source,
                "emotion_scores": None if one.scores is None or one.emotion == NONE else list(one.scores),
                "raters": one.raters or None,
                "votes": list(one.votes) if one.raters else None,
                "agreement": one.agreement,
                "rated_by": people or None,
                "look": "; ".join(one.reasons) or None,
            }
        )
    return rows


def write_sheet(out: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as a sheet, whole or not at all.

    Args:
        out: path or URL of the sheet; it ends in `.csv`, or in `.jsonl` for JSON Lines.
        rows: of `label_rows`; a list becomes JSON in a cell, None an empty cell.

    Raises:
        ValueError: the ending is another one.
        OSError: it cannot be written.
    """
    check_ending(out)
    given = list(rows)
    names = list(dict.fromkeys(name for row in given for name in row))
    order = [*_FIRST, *(name for name in PLACE if name in names and name not in _FIRST)]
    columns = [name for name in order if name in names or name in _FIRST]
    columns += [name for name in _OWN if name in names or not given]
    columns += [name for name in names if name not in columns]
    if os.fspath(out).lower().endswith(".jsonl"):
        lines = [
            json.dumps({name: row.get(name) for name in columns}, ensure_ascii=False, allow_nan=False)
            for row in given
        ]
        write_file(out, "".join(f"{line}\n" for line in lines).encode())
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in given)
    write_file(out, text.getvalue().encode())


def check_ending(out: str | os.PathLike[str]) -> None:
    """Check that a sheet of this name can be written.

    Raises:
        ValueError: its ending is another one.
    """
    if not os.fspath(out).lower().endswith(ENDINGS):
        raise ValueError(f"{os.fspath(out)} must end in {' or '.join(ENDINGS)}")


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "" if value is None else value
