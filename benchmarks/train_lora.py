"""What the latent cache and the batched emotion guidance save, side by side on one machine.

    python -m benchmarks.train_lora [--data DIR] [--steps 4]

Wan's true classes with random weights at a size that a CPU can hold, on the embedded miniature clips or on
any build. The training loop is `emovid train lora` with and without `--no-cache`, each in a process of its
own, so that peak memory is that process's. The first step is left out. Guidance is timed per denoising step,
all kinds in turn. The clock is the CPU time of one thread, which on an idle machine is the time that passes
and on a busy one still is; medians are taken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from emovid_dataset.terminal import print_table

MINI = Path(__file__).parents[1] / "emovid_dataset" / "mini"


def make_base(folder: Path) -> None:
    """Save a text-to-video base: the true VAE's and text encoder's depth, all widths divided by about 8."""
    import torch
    from diffusers import (
        AutoencoderKLWan,
        FlowMatchEulerDiscreteScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:-"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    WanPipeline(
        tokenizer=T5TokenizerFast(vocab=[*special, *letters], extra_ids=0),
        text_encoder=UMT5EncoderModel(
            UMT5Config(vocab_size=64, d_model=512, d_kv=64, d_ff=1280, num_layers=24, num_heads=8)
        ),
        vae=AutoencoderKLWan(base_dim=12),
        transformer=WanTransformer3DModel(
            num_attention_heads=3, attention_head_dim=64, text_dim=512, ffn_dim=1120, num_layers=30
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder)


def train(settings: Any, results: Any) -> None:
    """Train in this process; report the seconds of the steps after the first, and peak memory in bytes."""
    import torch

    torch.set_num_threads(1)
    from emovid_models.wan.checkpoints import StepLog
    from emovid_models.wan.train_lora import train_lora

    stamps: list[float] = []
    write = StepLog.write

    def stamp(log: StepLog, **values: float) -> None:
        stamps.append(time.process_time())
        write(log, **values)

    StepLog.write = stamp  # type: ignore[method-assign]
    train_lora(settings)
    seconds = [after - before for before, after in pairwise(stamps)]
    results.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def in_own_process(settings: Any) -> tuple[list[float], int]:
    """Run `train` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=train, args=(settings, results))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise OSError(f"training ended with exit code {process.exitcode}")
    seconds, peak = results.get()
    return seconds, peak


def compare_caches(base: Path, data: Path, folder: Path, steps: int) -> None:
    """Print steps per second and peak memory, with the caches and without."""
    from emovid_models.wan.recipes import settings_for

    settings = settings_for(
        "light",
        task="t2v",
        data=str(data),
        base=str(base),
        out=str(folder / "fill"),
        content_type="movie",
        cache=str(folder / "cache"),
        width=96,
        height=64,
        max_frames=9,
        steps=1,
        checkpoint_every=1000,
        optimizer="adamw",
    )
    in_own_process(settings)
    rows = []
    for name, use in (("with caches", True), ("without", False)):
        out = str(folder / name.replace(" ", "-"))
        run = replace(settings, out=out, use_cache=use, steps=steps + 1)
        seconds, peak = in_own_process(run)
        rows.append((name, statistics.median(seconds), peak))
    (_, fast, small), (_, slow, large) = rows
    table = [(name, round(1 / seconds, 2), round(peak / 2**20)) for name, seconds, peak in rows]
    table.append(("ratio", round(slow / fast, 2), round(large / small, 2)))
    title = f"LoRA training, median of {steps} steps, one thread"
    print_table(title, ("", "steps/s", "peak memory, MiB"), table)


def compare_guidance(base: Path, rounds: int = 3) -> None:
    """Print the time of a denoising step, with emotion guidance and with plain guidance."""
    import torch

    from emovid_models.wan import EmoVidWanPipeline

    torch.set_num_threads(1)
    pipe = EmoVidWanPipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)

    def seconds_per_step(**options: Any) -> list[float]:
        stamps: list[float] = []

        def stamp(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            stamps.append(time.process_time())
            return tensors

        pipe(
            prompt="a cat on a roof",
            height=96,
            width=128,
            num_frames=17,
            num_inference_steps=4,
            guidance_scale=5.0,
            output_type="latent",
            callback_on_step_end=stamp,
            generator=torch.Generator().manual_seed(0),
            **options,
        )
        return [after - before for before, after in pairwise(stamps)]

    kinds: dict[str, dict[str, Any]] = {
        "plain guidance (2 forwards)": {},
        "emotion guidance, intensity 1 (batch of 2)": {"emotion": "awe"},
        "emotion guidance, intensity 1.5 (batch of 3)": {"emotion": "awe", "intensity": 1.5},
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, options in kinds.items():
            times[name] += seconds_per_step(**options)
    medians = {name: statistics.median(values) for name, values in times.items()}
    plain = next(iter(medians.values()))
    rows = [(name, round(value, 3), round(value / plain, 2)) for name, value in medians.items()]
    print_table(f"Denoising, median of {rounds * 3} steps", ("", "s/step", "ratio to plain"), rows)


def main() -> None:
    """Make the base, and the data if none is given, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a build with movie clips; the miniature if not given")
    parser.add_argument("--steps", type=int, default=4, help="steps that are timed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = arguments.data
        if data is None:
            from emovid_dataset.builder.build import build

            data = folder / "mini"
            build(MINI, MINI / "labels.csv", data)
        make_base(folder / "base")
        compare_caches(folder / "base", data, folder, arguments.steps)
        compare_guidance(folder / "base")


if __name__ == "__main__":
    main()
