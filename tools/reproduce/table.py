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
from tools.mini_wan.text import WORDING
from tools.reproduce.judges import TITLES
from tools.reproduce.plan import chain, read_records
from tools.reproduce.run import Run

TABLE_COLUMNS = (
    *("task", "model", "videos", "EA-8cls", "95 % interval", "EA-2cls", "McNemar p"),
    *("2nd judge", "3rd judge"),
)


def table(run: Run) -> list[Path]:
    """Assemble the results: `reproduction.json`, and the table on the terminal."""
    judged = json.loads((run.out / "judged.json").read_text())
    records = read_records(run)
    settings = run.settings
    result = {
        "t2v": judged["t2v"],
        "i2v": judged["i2v"],
        **{key: judged[key] for key in TITLES},
        "wordings": judged["wordings"],
        "ablation": judged["ablation"],
        "vae": json.loads((run.out / "round_trip.json").read_text()),
        "paper": evaluation.paper_record(),
        "stages": {
            name: {key: records[name][key] for key in ("seed", "seconds", "device", "peak_mb")}
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
            "wording": WORDING,
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
        found = result[task]
        judges = [found, *(found[key] for key in TITLES if key in found)]
        for name, comparisons, model in (
            ("base", judges, "base"),
            ("lora", judges, "lora"),
            ("base, not told", [judge["control"] for judge in judges], "base"),
        ):
            figures = comparisons[0][model]
            ea = figures["ea_8cls"]
            rows.append(
                [
                    task,
                    name,
                    figures["n"],
                    round(ea["value"], 4),
                    f"{ea['low']:.4f}-{ea['high']:.4f}",
                    round(figures["ea_2cls"]["value"], 4),
                    None if name == "base" else f"{comparisons[0]['mcnemar_p']:.2g}",
                    *(round(judge[model]["ea_8cls"]["value"], 4) for judge in comparisons[1:]),
                ]
            )
    return rows
