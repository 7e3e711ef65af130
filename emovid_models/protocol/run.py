"""Run the protocol as far as it goes: until people must be asked, or to its report."""

from __future__ import annotations

from typing import Any

from emovid_models.protocol.auditing import audit, audit_json
from emovid_models.protocol.drawing import draw
from emovid_models.protocol.rating import agree
from emovid_models.protocol.record import STEPS, ProtocolRecord
from emovid_models.protocol.reporting import report
from emovid_models.protocol.training import label_rest, train


def run_step(
    record: ProtocolRecord, step: str, *, partial: bool = False, progress: bool = False
) -> dict[str, Any]:
    """Do one step, whether it was done before or not.

    Args:
        record: of the run.
        step: one of `STEPS`.
        partial: take the answers that there are, even if some are missing.
        progress: show progress on stderr.

    Returns:
        What it found, as JSON values.

    Raises:
        NotAnsweredError: people must be asked first.
        ValueError: a step before it is not done, or it cannot be done.
        OSError: a file cannot be read or written.
    """
    if step == "draw":
        return draw(record, progress=progress)
    if step == "agree":
        return agree(record, partial=partial)
    if step == "train":
        return train(record, progress=progress)
    if step == "annotate":
        return label_rest(record, progress=progress)
    if step == "audit":
        return audit_json(audit(record, partial=partial))
    return report(record)


def run_protocol(record: ProtocolRecord, *, partial: bool = False, progress: bool = False) -> dict[str, Any]:
    """Do the steps that are not done, in order.

    Args:
        record: of the run.
        partial: take the answers that there are, even if some are missing.
        progress: show progress on stderr.

    Returns:
        What every step found, by its name.

    Raises:
        NotAnsweredError: people must be asked first; what is done stays done.
        ValueError, OSError: as `run_step`.
    """
    for step in STEPS:
        if step not in record.steps:
            run_step(record, step, partial=partial, progress=progress)
    return dict(record.steps)
