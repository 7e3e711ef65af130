"""The paper's protocol on what ships: the miniature's benchmark, its bases and LoRAs, its annotator.

::

    MINI=emovid_dataset/mini
    emovid build $MINI --labels $MINI/labels.csv --benchmark-ids $MINI/benchmark.txt --out BUILD
    python -m tools.reproduce.paper_protocol BUILD

The models ship as they are; nothing is trained. The clips are few, half of them are of a content type that no
model has seen, and the networks behind CLIP score and FVD are not here, so that what comes out shows that the
code runs, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from emovid_dataset.store import write_file
from emovid_models.records import EVALUATION
from tools.mini_wan.clips import FRAMES, SIZE
from tools.reproduce.run import SHIPPED, Settings

OUT = SHIPPED / "paper_protocol.json"
TASKS = ("t2v", "i2v")
KEPT = ("protocol", "judge", "miniature", "measures", "real", "comparison", "comparison_2cls", "failed")
"""What the page needs of an evaluation's record."""


def run_protocol(data: Path, task: str, out: Path, *options: str) -> dict[str, Any]:
    """`emovid evaluate --protocol paper` with the models that ship.

    Args:
        data: a build with a benchmark.
        task: "t2v" or "i2v".
        out: folder of what is generated and judged.
        *options: more of the command's options.

    Returns:
        What is kept of its record, and the settings of the videos.
    """
    settings = Settings()
    base, lora = SHIPPED / f"wan-{task}", SHIPPED / f"lora-{task}"
    command = f"""evaluate --protocol paper --task {task} --size {SIZE}x{SIZE} --frames {FRAMES}
        --steps {settings.denoising} --guidance {settings.guidance}
        --emotion-guidance {settings.emotion_guidance} --seed {settings.seed}""".split()
    paths = ["--data", str(data), "--base", str(base), "--lora", str(lora), "--out", str(out)]
    subprocess.run([sys.executable, "-m", "emovid_models.cli", *command, *paths, *options], check=True)
    record = json.loads((out / EVALUATION).read_text(encoding="utf-8"))
    kept = {name: record[name] for name in KEPT}
    kept["protocol"] = {**kept["protocol"], "data": "emovid_dataset/mini"}
    return {**kept, "settings": record["generated"]["settings"]}


def main(
    data: Path = typer.Argument(help="A build of the miniature with its benchmark."),
    out: Path = typer.Option(OUT, help="JSON file to write."),
    work: Path | None = typer.Option(None, help="Folder of the videos; by default a temporary one."),
) -> None:
    """Run both tasks, and write the JSON file that the page reads."""
    with tempfile.TemporaryDirectory() as name:
        folder = work or Path(name)
        found = {task: run_protocol(data, task, folder / task) for task in TASKS}
    write_file(out, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    print(out)


if __name__ == "__main__":
    typer.run(main)
