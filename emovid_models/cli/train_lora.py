"""The command `emovid train lora`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emovid_dataset.cli.sizes import parse_frame_size

if TYPE_CHECKING:
    from emovid_models.wan.encode import BaseOutline
    from emovid_models.wan.encode_stage import FilledCache
    from emovid_models.wan.plan import CachePlan


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: the group ``train``, which gets ``lora``.
    """
    app.command("lora")(lora)


def lora(
    task: str = typer.Option(..., help="t2v or i2v."),
    data: str = typer.Option(..., help="A build: its folder or a Hub repo."),
    base: str = typer.Option(..., help="Base: a folder or a Hub repo in the layout of diffusers."),
    out: Path = typer.Option(..., help="Output folder."),
    base_revision: str = typer.Option(None, help="Revision of the base's Hub repo."),
    split: str = typer.Option("train", help="Split of the data."),
    content_type: str = typer.Option(None, help="Only cartoon, movie or sticker."),
    cache: str = typer.Option(
        None, help="Where encoded clips are kept: a folder, or a bucket's URL; OUT/cache if not given."
    ),
    no_cache: bool = typer.Option(False, help="Encode every clip again at every step."),
    workers: int = typer.Option(
        1, help="Processes that encode, each on a GPU if there is one; under accelerate launch its own do."
    ),
    steps: int = typer.Option(2000, help="Optimizer steps."),
    batch_size: int = typer.Option(1, help="Clips per batch."),
    accumulation: int = typer.Option(1, help="Batches per step, on each process."),
    learning_rate: float = typer.Option(1e-4, help="Of AdamW."),
    warmup: int = typer.Option(50, help="Steps in which the learning rate rises."),
    rank: int = typer.Option(32, help="Rank of the LoRA."),
    alpha: float = typer.Option(None, help="Alpha of the LoRA; the rank if not given."),
    size: str = typer.Option("832x480", help="Main frame size, WIDTHxHEIGHT, multiples of 16."),
    max_frames: int = typer.Option(81, help="Longest bucket, 4k+1."),
    min_frames: int = typer.Option(
        1, help="Drop clips that are shorter at 16 frames per second; 1 drops none."
    ),
    emotion_dropout: float = typer.Option(0.1, help="Share of samples that keep only the caption."),
    caption_dropout: float = typer.Option(0.1, help="Share of samples that keep only the emotion."),
    text_dropout: float = typer.Option(0.1, help="Share of samples without text."),
    checkpointing: bool = typer.Option(True, help="Compute blocks again in the backward pass: less memory."),
    optimizer: str = typer.Option("auto", help="adamw, adamw8bit or auto."),
    checkpoint_every: int = typer.Option(250, help="Steps between checkpoints."),
    validate_every: int = typer.Option(0, help="Steps between validation videos; 0 makes none."),
    validation_prompt: list[str] = typer.Option([], help="What a validation video shows; may be repeated."),
    validation_steps: int = typer.Option(30, help="Denoising steps of a validation video."),
    export: str = typer.Option(None, help="comfyui: also write the LoRA under ComfyUI's names."),
    seed: int = typer.Option(0, help="Of everything random."),
    plan: bool = typer.Option(False, help="Print the plan and stop."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train an emotion LoRA for Wan2.1.

    Prints the plan, encodes the clips into the cache, trains, and writes
    OUT/pytorch_lora_weights.safetensors. The same command goes on after an interruption.

    Example: emovid train lora --task t2v --data DIR --base Wan-AI/Wan2.1-T2V-1.3B-Diffusers --out lora
    On several GPUs: accelerate launch --num_processes 4 -m emovid_models.cli train lora ...
    """
    from emovid_dataset.cli.errors import need
    from emovid_dataset.terminal import print_table

    need("models", "diffusers", "transformers", "peft", "accelerate", "ftfy")
    import torch

    from emovid_dataset.read.select import select
    from emovid_models.wan.encode import BaseOutline
    from emovid_models.wan.lora_settings import LoraSettings
    from emovid_models.wan.train_lora import plan_training, train_lora

    if export not in (None, "comfyui"):
        raise ValueError(f"--export {export!r} is unknown; allowed: comfyui")
    height, width = parse_frame_size(size)
    settings = LoraSettings(
        task=task,
        data=data,
        base=base,
        out=str(out),
        base_revision=base_revision,
        split=split,
        content_type=content_type,
        cache=cache,
        use_cache=not no_cache,
        steps=steps,
        batch_size=batch_size,
        accumulation=accumulation,
        learning_rate=learning_rate,
        warmup=warmup,
        rank=rank,
        alpha=rank if alpha is None else alpha,
        height=height,
        width=width,
        max_frames=max_frames,
        min_frames=min_frames,
        emotion_dropout=emotion_dropout,
        caption_dropout=caption_dropout,
        text_dropout=text_dropout,
        checkpointing=checkpointing,
        optimizer=optimizer,
        checkpoint_every=checkpoint_every,
        validate_every=validate_every,
        validation_prompts=tuple(validation_prompt),
        validation_steps=validation_steps,
        comfyui=export == "comfyui",
        seed=seed,
    )
    show_plan = partial(print_plan, rank=rank, batch_size=batch_size, checkpointing=checkpointing)
    try:
        if plan:
            outline = BaseOutline.read(base, task, base_revision)
            selection = select(data, split=split, content_type=content_type)
            show_plan(plan_training(settings, outline, selection), outline)
            return
        # The plan belongs to the reader; with --json stdout is for the machine.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            path = train_lora(
                settings,
                workers=workers,
                progress=not as_json,
                on_plan=show_plan,
                on_cache=print_filled,
            )
    except torch.OutOfMemoryError as error:
        raise OSError(str(error)) from error
    result = {"lora": str(path), "steps": steps, "bytes": path.stat().st_size}
    if as_json:
        print(json.dumps(result))
    else:
        print_table("LoRA", tuple(result), [tuple(result.values())])


def print_plan(
    plan: CachePlan, base: BaseOutline, *, rank: int, batch_size: int, checkpointing: bool
) -> None:
    """Print where the clips go and what that costs.

    Args:
        plan: the clips.
        base: the model.
        rank: of the LoRA.
        batch_size: clips per batch.
        checkpointing: as for `estimate_memory`.
    """
    from emovid_dataset.terminal import print_table
    from emovid_models.wan.plan import estimate_disk, estimate_memory

    rows: list[tuple[object, ...]] = []
    for bucket, count in plan.buckets().items():
        memory = estimate_memory(base, bucket, rank=rank, batch_size=batch_size, checkpointing=checkpointing)
        shape = "x".join(map(str, base.latent_shape(bucket)))
        size = f"{bucket.width}x{bucket.height}"
        rows.append((bucket.frames, size, count, shape, round(memory / 2**30, 1)))
    print_table("Buckets", ("frames", "size", "clips", "latents", "GPU memory, about GiB"), rows)
    print(
        f"{len(plan.clips)} clips, {len(plan.dropped)} dropped as too short, {plan.enlarged} enlarged; "
        f"the cache takes about {estimate_disk(plan, base) / 2**20:.1f} MiB"
    )


def print_filled(filled: FilledCache) -> None:
    """Print what became of the cache."""
    if not filled.encoded and not filled.repaired:
        print(f"cache {filled.place}: complete, the encoders are not needed")
        return
    repaired = f", {filled.repaired} damaged ones encoded again" if filled.repaired else ""
    print(f"cache {filled.place}: {filled.encoded} clips encoded, {filled.reused} reused{repaired}")
