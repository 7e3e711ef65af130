"""Run the stages: one in this process, or a chain of them, each in a process of its own."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from emovid_dataset.store import write_file
from tools.mini_wan.training import training_device_name
from tools.reproduce.data import data
from tools.reproduce.generating import ablation, controls, generate_i2v, generate_t2v, generate_t2v_mood
from tools.reproduce.judging import judge
from tools.reproduce.pages import pages
from tools.reproduce.plan import STAGES, chain, digest, inputs_of, is_done
from tools.reproduce.round_trip import round_trip
from tools.reproduce.run import Run
from tools.reproduce.table import table
from tools.reproduce.training import (
    base_i2v,
    base_t2v,
    lora_i2v,
    lora_t2v,
    lora_t2v_mood,
    vae,
    vae_checkpoints,
)

ROOT = Path(__file__).resolve().parents[2]

WORK: dict[str, Callable[[Run], list[Path]]] = {
    "data": data,
    "vae": vae,
    "round-trip": round_trip,
    "base-t2v": base_t2v,
    "base-i2v": base_i2v,
    "lora-t2v": lora_t2v,
    "lora-t2v-mood": lora_t2v_mood,
    "lora-i2v": lora_i2v,
    "generate-t2v": generate_t2v,
    "generate-t2v-mood": generate_t2v_mood,
    "generate-i2v": generate_i2v,
    "controls": controls,
    "ablation": ablation,
    "judge": judge,
    "table": table,
    "pages": pages,
}
"""The function of each stage; it returns the paths that it wrote."""


def run_stage(run: Run, name: str) -> None:
    """Do one stage in this process and write its record."""
    inputs = inputs_of(run, name)
    begun = run.out / "stages" / f"{name}.begun"
    if not begun.exists() or begun.read_text() != inputs:
        # What a run with other inputs left behind would be taken for this one's.
        for left in _intermediate(run, name):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        (run.out / "stages" / f"{name}.spent").unlink(missing_ok=True)
        write_file(begun, inputs.encode())
    torch.set_num_threads(run.settings.threads)
    started = time.monotonic()
    spent_before = run.out / "stages" / f"{name}.spent"
    spent = float(spent_before.read_text()) if spent_before.exists() else 0.0
    try:
        outputs = WORK[name](run)
    finally:
        # A stage that resumes has also taken the time before it was cut off.
        spent += time.monotonic() - started
        write_file(spent_before, str(spent).encode())
    spent_before.unlink()
    record = {
        "inputs": inputs,
        "output": digest(outputs),
        "seed": run.settings.seed,
        "seconds": round(spent, 1),
        "device": training_device_name(),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    write_file(
        run.out / "stages" / f"{name}.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()
    )


def _intermediate(run: Run, name: str) -> list[Path]:
    kind, _, task = name.partition("-")
    return {
        "vae": vae_checkpoints(run),
        "base": [run.out / "checkpoints" / f"{name}.pt", run.latents(first_only=task == "i2v")],
        "lora": [run.out / "lora" / task],
        "generate": [run.videos(task)],
        "ablation": [run.videos("ablation")],
        "controls": [run.videos("control")],
        "round": [run.videos("real"), run.videos("train")],
        "judge": [run.out / "judged"],
        "pages": [run.out / "report"],
    }.get(kind, [])


def reproduce(run: Run, name: str, *, tiny: bool, jobs: int = 1) -> None:
    """Run a stage and whatever it needs that is not done yet, each in a process of its own.

    Args:
        run: its settings and folder.
        name: of the stage, or "all".
        tiny: whether the settings are those of `TINY`.
        jobs: at most this many stages at a time; one waits for all that it needs.

    Raises:
        RuntimeError: a stage failed; the message names its log. Those that were running are awaited.
    """
    waiting = chain(name)
    running: dict[Future[int], str] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for stage in [] if failed else list(waiting):
                if len(running) >= jobs or {*waiting, *running.values()} & set(STAGES[stage].needs):
                    continue
                waiting.remove(stage)
                if is_done(run, stage):
                    print(f"{stage}: done before", flush=True)
                    continue
                print(f"{stage}: running, see {_log_of(run, stage)}", flush=True)
                running[pool.submit(_run_apart, run, stage, tiny)] = stage
            if failed and not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                stage = running.pop(future)
                if code := future.result():
                    failed.append(f"stage {stage} failed with code {code}; {_log_of(run, stage)} says why")
    if failed:
        raise RuntimeError("; ".join(failed))


def _log_of(run: Run, stage: str) -> Path:
    return run.out / "logs" / f"{stage}.log"


def _run_apart(run: Run, stage: str, tiny: bool) -> int:
    """Run a stage in a process of its own; its exit code."""
    options = ["--out", str(run.out), "--inside", *["--tiny"] * tiny]
    command = [sys.executable, "-m", "tools.reproduce", stage, *options]
    started = time.monotonic()
    with _log(_log_of(run, stage)) as file:
        code = subprocess.call(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    if not code:
        print(f"{stage}: done in {time.monotonic() - started:.0f} s", flush=True)
    return code


@contextmanager
def _log(path: Path) -> Iterator[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file
