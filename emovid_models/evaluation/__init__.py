"""The protocol of EA-8cls: prompts -> videos -> annotator -> table.

Every prompt names a scene and, apart from it, the emotion that its video is to show. A generator makes the
videos, an annotator says what each one shows, and the share of agreement is EA-8cls::

    judge = load_judge("emovid/annotator")
    base = judge_videos("out/base", "out/base/intended.csv", judge)
    lora = judge_videos("out/lora", "out/lora/intended.csv", judge)
    compare(base, lora).mcnemar_p

The videos may come from anywhere: what was asked for stands in a table beside them (`read_intended`). A video
that cannot be judged counts as wrong and is never dropped. The maths is the metric's
(`emovid_models.metrics.ea_8cls`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emovid_models.evaluation.intended import (  # noqa: F401
        INTENDED_COLUMNS,
        INTENDED_NAME,
        Intended,
        read_intended,
        write_intended,
    )
    from emovid_models.evaluation.judge import (  # noqa: F401
        Judge,
        Judged,
        Judgement,
        judge_clips,
        judge_videos,
        load_judge,
    )
    from emovid_models.evaluation.prompts import (  # noqa: F401
        PROMPTS,
        Prompt,
        load_prompts,
        read_prompts,
        take_per_emotion,
    )
    from emovid_models.evaluation.statistics import (  # noqa: F401
        Comparison,
        Figures,
        Share,
        ValenceComparison,
        compare,
        compare_valence,
        score,
        score_confusion,
    )
    from emovid_models.evaluation.table import (  # noqa: F401
        TABLE_COLUMNS,
        paper_record,
        paper_row,
        table_columns,
        table_row,
        to_record,
    )
    from emovid_models.evaluation.videos import (  # noqa: F401
        GENERATION_NAME,
        generate_videos,
        plan_orders,
    )

_MODULES = {
    "intended": ("INTENDED_COLUMNS", "INTENDED_NAME", "Intended", "read_intended", "write_intended"),
    "judge": ("Judge", "Judged", "Judgement", "judge_clips", "judge_videos", "load_judge"),
    "prompts": ("PROMPTS", "Prompt", "load_prompts", "read_prompts", "take_per_emotion"),
    "statistics": (
        "Comparison",
        "Figures",
        "Share",
        "ValenceComparison",
        "compare",
        "compare_valence",
        "score",
        "score_confusion",
    ),
    "table": ("TABLE_COLUMNS", "paper_record", "paper_row", "table_columns", "table_row", "to_record"),
    "videos": ("GENERATION_NAME", "generate_videos", "plan_orders"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    # Imported when first asked for: what reads a table needs no annotator.
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
