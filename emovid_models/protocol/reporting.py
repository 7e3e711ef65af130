"""The report of a run: one page with what each step found."""

from __future__ import annotations

import os
from typing import Any

from emovid_dataset.report.colours import palette
from emovid_dataset.report.formats import page_environment
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import write_file
from emovid_models.protocol.drawing import read_clip_sheet
from emovid_models.protocol.record import LABELS, REPORT, STEPS, ProtocolRecord


def report(record: ProtocolRecord) -> dict[str, Any]:
    """Write the report of what is done so far.

    Args:
        record: of the run.

    Returns:
        The file, and which steps it covers.

    Raises:
        ValueError: not even the draw is done.
    """
    record.need("draw")
    out = record.path(REPORT)
    page = render_report(record).encode("utf-8", "replace")
    write_file(out, page)
    found = {"page": REPORT, "covers": [step for step in STEPS[:-1] if step in record.steps]}
    record.finish("report", found)
    return found


def render_report(record: ProtocolRecord) -> str:
    """The page's HTML; it allows no script and loads nothing.

    Args:
        record: of the run.
    """
    environment = page_environment("emovid_models.protocol", "emovid_dataset.report")
    counts: dict[str, dict[str, int]] = {}
    if "annotate" in record.steps:
        for row in read_clip_sheet(record.path(LABELS)).values():
            kinds = counts.setdefault(row["emotion"], {"human": 0, "model": 0})
            kinds[row["emotion_source"]] += 1
    return environment.get_template("protocol.html.j2").render(
        settings=record.settings,
        sheet=os.path.basename(record.settings.sheet),
        steps=record.steps,
        counts=dict(sorted(counts.items())),
        palette=palette(EMOTIONS),
        scopes=(),
    )
