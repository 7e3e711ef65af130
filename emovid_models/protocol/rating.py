"""What people said of the clips that were drawn: whether it is complete, and what enough of them agree on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emovid_dataset.agree.agreement_json import agreement_json
from emovid_dataset.agree.measure import measure_raters
from emovid_dataset.agree.page import write_agreement_page
from emovid_dataset.agree.rating import Rating
from emovid_dataset.agree.sheet import label_rows, write_sheet
from emovid_dataset.agree.sources import read_ratings
from emovid_dataset.agree.verdicts import is_emotion
from emovid_dataset.store import write_file
from emovid_models.protocol.drawing import read_clip_sheet
from emovid_models.protocol.record import AGREED, AGREEMENT, ANSWERS, DISAGREED, DRAWN, ProtocolRecord


class NotAnsweredError(ValueError):
    """People have not yet rated what they are to rate; the message says what is missing and how to go on."""


def agree(record: ProtocolRecord, *, partial: bool = False) -> dict[str, Any]:
    """Keep the clips of the draw on which enough people agree, as a label sheet.

    Args:
        record: of the run.
        partial: take the answers that there are, even if some are missing.

    Returns:
        How many clips were rated and kept, and the coefficients of agreement.

    Raises:
        NotAnsweredError: answers are missing.
        ValueError: an answer cannot be read, the draw is not done, or no clip is kept.
    """
    record.need("draw")
    drawn = read_clip_sheet(record.path(DRAWN))
    ratings = complete(record, record.path(DRAWN), record.path(ANSWERS), drawn, partial=partial)
    found = measure_raters(ratings, least=record.settings.least, seed=record.settings.seed)
    kept = [one for one in found.verdicts if one.emotion is not None]
    if not any(map(is_emotion, kept)):
        raise ValueError(f"on none of {len(found.verdicts)} clips do {record.settings.least} raters agree")
    write_sheet(record.path(AGREED), label_rows(found.table, kept, drawn))
    left = [one for one in found.verdicts if one.emotion is None]
    write_sheet(record.path(DISAGREED), label_rows(found.table, left, drawn))
    body = agreement_json(found)
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    write_file(record.path(AGREEMENT), text.encode())
    write_agreement_page(found, record.path("agreement.html"))
    outcome = {
        "rated": len(found.verdicts),
        "kept": len(kept),
        "with_emotion": sum(map(is_emotion, kept)),
        "raters": list(found.table.raters),
        **{name: body[name] for name in ("krippendorff_alpha", "fleiss_kappa", "mean_cohen_kappa")},
    }
    record.finish("agree", outcome)
    return outcome


def complete(
    record: ProtocolRecord,
    sheet: Path,
    answers: Path,
    clips: Mapping[str, Any],
    *,
    partial: bool = False,
) -> list[Rating]:
    """What people said of some clips, if enough of them rated each.

    Args:
        record: of the run.
        sheet: of the clips.
        answers: folder of their answers.
        clips: by id.
        partial: take what is there.

    Raises:
        NotAnsweredError: answers are missing.
    """
    try:
        ratings = [one for one in read_ratings([answers]) if one.id in clips]
    except FileNotFoundError:
        ratings = []
    first = {(one.rater, one.id) for one in ratings if not one.repeat}
    rated = Counter(clip for _, clip in first)
    missing = sum(max(0, record.settings.raters - rated[clip]) for clip in clips)
    if not ratings or (missing and not partial):
        per_rater = Counter(rater for rater, _ in first)
        raise NotAnsweredError(_ask(record, sheet, answers, len(clips), missing, per_rater))
    return ratings


def _ask(
    record: ProtocolRecord, sheet: Path, answers: Path, clips: int, missing: int, rated: Mapping[str, int]
) -> str:
    have = ", ".join(f"{name} {count} of {clips}" for name, count in sorted(rated.items()))
    names: Sequence[str] = sorted(rated)[: record.settings.raters]
    others = [f"rater{place}" for place in range(len(names) + 1, record.settings.raters + 1)]
    raters = " ".join(f"--rater {name!r}" if " " in name else f"--rater {name}" for name in (*names, *others))
    return (
        f"{missing} ratings are missing ({have or 'none yet'}; {record.settings.raters} for each of {clips} "
        f"clips); ask for them: emovid label {sheet} --raw {record.settings.raw} {raters} --order random "
        f"--out {answers}"
    )
