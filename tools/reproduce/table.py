"""The last stage: the result file, and the table of base against LoRA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emovid_dataset.store import write_file
from emovid_dataset.terminal import print_table
from emovid_models import evaluation
from emovid_models.records import REPRODUCTION
from tools.mini_wan.clips import FRAMES, SIZE
from tools.reproduce.plan import chain, read_records
from tools.reproduce.run import Run

TABLE_COLUMNS = ("task", "model", "videos", "EA-8cls", "95 % interval", "EA-2cls", "McNemar p", "2nd judge")


def table(run: Run) -> list[Path]:
    """Assemble the results: `reproduction.json`, and the table on the terminal."""
    judged = json.loads((run.out / "judged.json").read_text())
    records = read_records(run)
    settings = run.settings
    result = {
        "t2v": judged["t2v"],
        "i2v": judged["i2v"],
        "judge": judged["judge"],
        "second_judge": judged["second_judge"],
        "ablation": judged["ablation"],
        "paper": evaluation.paper_record(),
        "stages": {
            name: {key: records[name][key] for key in ("seed", "seconds", "peak_mb")}
            for name in chain("table")
            if "seconds" in records.get(name, {})
        },
        "settings": {
            "size": f"{SIZE}x{SIZE}",
            "num_frames": FRAMES,
            "steps": settings.denoising,
            "guidance_scale": settings.guidance,
            "emotion_guidance_scale": settings.emotion_guidance,
            "prompts": settings.t2v_prompts,
        },
    }
    path = run.out / REPRODUCTION
    write_file(path, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    write_file(run.out / "table.json", json.dumps(table_rows(result), allow_nan=False).encode())
    print_table("EA-8cls and EA-2cls", TABLE_COLUMNS, table_rows(result))
    return [run.out / "table.json"]


def table_rows(result: dict[str, Any]) -> list[list[object]]:
    """The table of base against LoRA, from `reproduction.json`."""
    rows: list[list[object]] = []
    for task in ("t2v", "i2v"):
        for name in ("base", "lora"):
            figures = result[task][name]
            ea, second = figures["ea_8cls"], result[task]["second_judge"][name]["ea_8cls"]
            rows.append(
                [
                    task,
                    name,
                    figures["n"],
                    round(ea["value"], 4),
                    f"{ea['low']:.4f}-{ea['high']:.4f}",
                    round(figures["ea_2cls"]["value"], 4),
                    f"{result[task]['mcnemar_p']:.2g}" if name == "lora" else None,
                    round(second["value"], 4),
                ]
            )
        control, second = (judge["control"]["base"] for judge in (result[task], result[task]["second_judge"]))
        rows.append(
            [
                task,
                "base, not told",
                control["n"],
                round(control["ea_8cls"]["value"], 4),
                f"{control['ea_8cls']['low']:.4f}-{control['ea_8cls']['high']:.4f}",
                round(control["ea_2cls"]["value"], 4),
                f"{result[task]['control']['mcnemar_p']:.2g}",
                round(second["ea_8cls"]["value"], 4),
            ]
        )
    return rows
