"""What the paper reports for its benchmark: its Table 3, as data. Nothing is computed from it.

The values are the paper's own models, at full size, judged by its own annotator, whose weights are not
public. They may stand beside a table of the same task, marked as the paper's, and nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Task = Literal["t2v", "i2v"]

SOURCE = "Qiu, Wang, Chen, He, Wang: EmoVid, AAAI 2026, Table 3"
"""Where the values stand."""

N = 240
"""Videos behind every row: three content types, eight emotions, ten clips each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """A row of the table, as it is printed.

    Attributes:
        task: "t2v" or "i2v".
        model: the paper's name of it.
        fine_tuned: True after fine-tuning on EmoVid; False for the same model before; None for others.
        fvd: lower is better.
        clip: CLIP score, higher is better; for T2V only.
        sd: SD score, higher is better; for I2V only.
        flicker: temporal flicker, lower is better.
        ea_2cls: percent.
        ea_8cls: percent.
    """

    task: Task
    model: str
    fine_tuned: bool | None = None
    fvd: float
    clip: float | None = None
    sd: float | None = None
    flicker: float
    ea_2cls: float
    ea_8cls: float


def _t2v(
    model: str,
    fvd: float,
    clip: float,
    flicker: float,
    ea_2cls: float,
    ea_8cls: float,
    fine_tuned: bool | None = None,
) -> PublishedRow:
    return PublishedRow(
        task="t2v",
        model=model,
        fine_tuned=fine_tuned,
        fvd=fvd,
        clip=clip,
        flicker=flicker,
        ea_2cls=ea_2cls,
        ea_8cls=ea_8cls,
    )


def _i2v(
    model: str,
    fvd: float,
    sd: float,
    flicker: float,
    ea_2cls: float,
    ea_8cls: float,
    fine_tuned: bool | None = None,
) -> PublishedRow:
    return PublishedRow(
        task="i2v",
        model=model,
        fine_tuned=fine_tuned,
        fvd=fvd,
        sd=sd,
        flicker=flicker,
        ea_2cls=ea_2cls,
        ea_8cls=ea_8cls,
    )


TABLE_3: tuple[PublishedRow, ...] = (
    _t2v("VideoCrafter-V2", 610.1, 0.3012, 0.0184, 80.42, 42.50),
    _t2v("HunyuanVideo", 552.6, 0.2776, 0.0116, 76.87, 40.41),
    _t2v("CogVideoX-5B", 584.0, 0.3013, 0.0213, 82.91, 44.58),
    _t2v("Wan2.1-T2V-14B", 594.3, 0.2982, 0.0091, 84.17, 44.16, fine_tuned=False),
    _t2v("Wan2.1-T2V-14B", 573.7, 0.3021, 0.0143, 88.33, 48.33, fine_tuned=True),
    _i2v("DynamiCrafter512", 512.3, 0.7288, 0.0280, 90.41, 71.25),
    _i2v("HunyuanVideo-I2V", 544.6, 0.7244, 0.0233, 89.17, 70.00),
    _i2v("CogVideoX-I2V", 528.4, 0.7214, 0.0331, 90.83, 70.83),
    _i2v("Wan2.1-I2V-480P", 517.9, 0.7146, 0.0325, 91.25, 71.30, fine_tuned=False),
    _i2v("Wan2.1-I2V-480P", 517.8, 0.7193, 0.0324, 94.58, 76.25, fine_tuned=True),
)
"""The whole table, in the paper's order."""

CAUTIONS: dict[Task, tuple[str, ...]] = {
    "t2v": (
        f"With {N} videos the 95 % interval (Wilson) of EA-8cls is 38.0 to 50.5 for Wan2.1 before fine-"
        "tuning and 42.1 to 54.6 after it: they overlap, and the paper gives no paired test.",
        f"76.87 (EA-2cls of HunyuanVideo) is not a multiple of 1/{N}.",
    ),
    "i2v": (
        f"With {N} videos the 95 % interval (Wilson) of EA-8cls is 65.2 to 76.6 for Wan2.1 before fine-"
        "tuning and 70.5 to 81.2 after it: they overlap, and the paper gives no paired test.",
        f"71.30 (EA-8cls of Wan2.1 before fine-tuning) is not a multiple of 1/{N}.",
        "For Wan2.1 after fine-tuning the paper's text says 92.08 and 72.92 where its table says 94.58 and "
        "76.25.",
    ),
}
"""What to know before the table is read, per task."""


def published_rows(task: Task) -> tuple[PublishedRow, ...]:
    """The rows of a task.

    >>> [row.ea_8cls for row in published_rows("t2v") if row.fine_tuned is not None]
    [44.16, 48.33]
    """
    return tuple(row for row in TABLE_3 if row.task == task)


def published_record(task: Task) -> dict[str, Any]:
    """The rows of a task as JSON values, with their source and what to know before they are read."""
    return {
        "source": SOURCE,
        "n": N,
        "judge": "the paper's own annotator, other weights than any judge here",
        "rows": [asdict(row) for row in published_rows(task)],
        "cautions": list(CAUTIONS[task]),
    }
