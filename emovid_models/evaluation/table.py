"""From figures to the rows of a table and to JSON, beside what the paper reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from emovid_dataset.schema.emotions import MIKELS
from emovid_models.evaluation.judge import Judged
from emovid_models.evaluation.statistics import Comparison, Figures, Share, ValenceComparison

TABLE_COLUMNS = ("", "n", "EA-8cls", "95 % interval", "EA-2cls", "95 % interval")
"""Headings of `table_row`, for Mikels' eight."""


def table_columns(figures: Figures) -> tuple[str, ...]:
    """Headings of `table_row` for the emotions of these figures."""
    return tuple(figures.ea_name if name == "EA-8cls" else name for name in TABLE_COLUMNS)


def table_row(name: str, figures: Figures) -> list[object]:
    """A row of the table, in percent.

    Args:
        name: of the model.
        figures: of its videos.
    """

    def cells(share: Share | None) -> tuple[str, str | None]:
        if share is None:
            return "not defined: the taxonomy has no valence", None
        return f"{share.value:.2%}", f"{share.low:.2%} to {share.high:.2%}"

    return [name, figures.n, *cells(figures.ea_8cls), *cells(figures.ea_2cls)]


def paper_row(task: str) -> list[object]:
    """The paper's row for a task, marked as the paper's: another model, other data, another judge.

    Args:
        task: "t2v" or "i2v".
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    return [f"the paper's, {task.upper()}", None, f"{ea_8cls.PUBLISHED_EA_8CLS[task]:.2%}", None, None, None]


def paper_record() -> dict[str, Any]:
    """What the paper reports, to stand beside measured values: its own model, data and judge."""
    from emovid_models.metrics.ea_8cls import ea_8cls

    published = {task: {"ea_8cls": value} for task, value in ea_8cls.PUBLISHED_EA_8CLS.items()}
    return {**published, "source": ea_8cls.PUBLISHED_SOURCE}


def to_record(result: Figures | Comparison | ValenceComparison | Judged) -> dict[str, Any]:
    """A result as plain JSON values, the numbers unrounded; of N emotions "ea_8cls" is called "ea_Ncls"."""
    record: dict[str, Any] = json.loads(json.dumps(asdict(result), allow_nan=False))
    return _named(record)


def _named(record: dict[str, Any]) -> dict[str, Any]:
    named = {}
    for key, value in record.items():
        if key == "ea_8cls":
            key = f"ea_{len(record['confusion'])}cls"
        elif key == "taxonomy" and value == json.loads(json.dumps(asdict(MIKELS), allow_nan=False)):
            continue
        named[key] = _named(value) if isinstance(value, dict) else value
    return named
