"""The command `emovid train lora`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    check_by,
    chosen_executor,
    new_folder,
    number,
    one_of,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.schema.benchmark import refuse_training_on
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_models.cli.arguments import (
    base_folder,
    base_source,
    build_source,
    check_build,
    frame_count,
    frame_size,
    training_seed,
)
from emovid_models.remote.wan.conditioning import WORDINGS
from emovid_models.remote.wan.modules import TARGETS
from emovid_models.wan.lora_settings import FRAMINGS, OPTIMIZERS, TASKS, TRANSFORMERS, LoraSettings
from emovid_models.wan.recipes import PAPER, RECIPES, differences, settings_for

if TYPE_CHECKING:
    from emovid_models.wan.encode import BaseOutline
    from emovid_models.wan.encode_stage import FilledCache
    from emovid_models.wan.plan import CachePlan


def parse_max_per_type(text: str) -> dict[str, int]:
    """Read ``cartoon=2727,movie=8000``.

    >>> parse_max_per_type("cartoon=2727,movie=8000"), parse_max_per_type("")
    ({'cartoon': 2727, 'movie': 8000}, {})
    """
    most: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, count = (piece.strip() for piece in part.partition("="))
        if name not in CONTENT_TYPES:
            raise ValueError(f"content type {name!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}")
        if not count.isascii() or not count.isdigit() or int(count) < 1 or name in most:
            raise ValueError(
                f"{part.strip()!r} is not of the form {name}=COUNT, once, with a count from 1 up"
            )
        most[name] = int(count)
    return most


def _training_split(value: str) -> str | None:
    try:
        refuse_training_on(value)
    except ValueError as error:
        return f": {error}"
    if value not in SPLITS:
        return f" is {value!r}; allowed: {', '.join(SPLITS)}"
    return None


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: the group ``train``, which gets ``lora``.
    """
    app.command("lora")(lora)


def lora(
    task: Annotated[str, typer.Option(help="t2v or i2v.", callback=one_of(TASKS))],
    data: Annotated[str, typer.Option(help="A build: its folder, URL or Hub repo.", callback=build_source)],
    base: Annotated[
        str,
        typer.Option(
            help="Base: a folder or a Hub repo in the layout of diffusers, or mini, the one that ships.",
            callback=base_source,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output folder.", callback=new_folder)],
    recipe: Annotated[
        str,
        typer.Option(
            help="What holds where no option is given: paper, as EmoVid was fine-tuned; or light.",
            callback=one_of(tuple(RECIPES)),
        ),
    ] = PAPER,
    wording: Annotated[
        str | None,
        typer.Option(
            help="How the text names the emotion: paper, or mood, with words for moods and styles.",
            callback=one_of(WORDINGS),
        ),
    ] = None,
    modules: Annotated[
        str | None,
        typer.Option(
            help="attention-ffn: q, k, v, o, ffn.0, ffn.2; attention: q, k, v, o, and k, v of image tokens.",
            callback=one_of(tuple(TARGETS)),
        ),
    ] = None,
    transformer: Annotated[
        str | None,
        typer.Option(
            help="Of a base with two, as Wan2.2 A14B: high, low (for much or little noise) or both, "
            "which is what holds if not given.",
            callback=one_of(TRANSFORMERS),
        ),
    ] = None,
    base_revision: Annotated[str | None, typer.Option(help="Revision of the base's Hub repo.")] = None,
    split: Annotated[
        str, typer.Option(help="Split of the data.", callback=check_by(_training_split))
    ] = "train",
    content_type: Annotated[
        str | None, typer.Option(help="Only cartoon, movie or sticker.", callback=one_of(CONTENT_TYPES))
    ] = None,
    max_per_type: Annotated[
        str | None,
        typer.Option(
            help="At most so many clips of a type, evenly over the emotions: cartoon=2727,movie=8000. "
            'Types that are not named keep all of theirs; "" names none.',
            callback=parsed_by(parse_max_per_type),
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Where encoded clips are kept: a folder, or a bucket's URL; OUT/cache if not given.",
            callback=new_folder,
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option(help="Encode every clip again at every step.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that encode, each on a GPU if there is one; by default this one, under "
            "accelerate launch its own.",
            callback=whole(1),
        ),
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    epochs: Annotated[
        int | None, typer.Option(help="How often each clip is seen.", callback=whole(1))
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps, in the place of epochs.", callback=whole(1))
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Clips per batch.", callback=whole(1))] = None,
    accumulation: Annotated[
        int | None, typer.Option(help="Batches per step, on each process.", callback=whole(1))
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of AdamW.", callback=number(0, open_end=True))
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Steps with a smaller learning rate.", callback=whole(0))
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the LoRA.", callback=whole(1))] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Alpha of the LoRA; the rank if not given.", callback=number(0, open_end=True)),
    ] = None,
    framing: Annotated[
        str | None,
        typer.Option(
            help="prefix: the first frames in one size; buckets: the middle at 16 per second, in several.",
            callback=one_of(FRAMINGS),
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Frame size, WIDTHxHEIGHT, multiples of 16.", callback=frame_size),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Most frames of a clip, 4k+1.", callback=frame_count)
    ] = None,
    min_frames: Annotated[
        int | None,
        typer.Option(
            help="Drop clips that are shorter, in buckets at 16 frames per second; 1 drops none.",
            callback=whole(1),
        ),
    ] = None,
    emotion_dropout: Annotated[
        float | None, typer.Option(help="Share of samples that keep only the caption.", callback=number(0))
    ] = None,
    caption_dropout: Annotated[
        float | None, typer.Option(help="Share of samples that keep only the emotion.", callback=number(0))
    ] = None,
    text_dropout: Annotated[
        float | None, typer.Option(help="Share of samples without text.", callback=number(0))
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--checkpointing/--no-checkpointing",
            help="Compute blocks again in the backward pass: less memory.",
        ),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adamw, adamw8bit or auto.", callback=one_of(OPTIMIZERS))
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints.", callback=whole(1))
    ] = 250,
    validate_every: Annotated[
        int, typer.Option(help="Steps between validation videos; 0 makes none.", callback=whole(0))
    ] = 0,
    validation_prompt: Annotated[
        list[str] | None, typer.Option(help="What a validation video shows; may be repeated.")
    ] = None,
    validation_steps: Annotated[
        int, typer.Option(help="Denoising steps of a validation video.", callback=whole(1))
    ] = 30,
    export: Annotated[
        str | None,
        typer.Option(
            help="comfyui: also write the LoRA under ComfyUI's names.", callback=one_of(("comfyui",))
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", callback=training_seed)] = 0,
    plan: Annotated[bool, typer.Option(help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an emotion LoRA for Wan2.1 or Wan2.2.

    Without other options it is trained as EmoVid's paper says. Prints the plan, encodes the clips into the
    cache, trains, and writes OUT/pytorch_lora_weights.safetensors. The same command goes on after an
    interruption.

    Example: emovid train lora --task t2v --data DIR --base Wan-AI/Wan2.1-T2V-1.3B-Diffusers --out lora
    On several GPUs: accelerate launch --num_processes 4 -m emovid_models.cli train lora ...
    """
    from emovid_dataset.terminal import print_table

    height, width = (None, None) if size is None else parse_frame_size(size)
    values = {
        "wording": wording,
        "modules": modules,
        "max_per_type": None if max_per_type is None else parse_max_per_type(max_per_type),
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "accumulation": accumulation,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "rank": rank,
        "alpha": alpha,
        "framing": framing,
        "height": height,
        "width": width,
        "max_frames": max_frames,
        "min_frames": min_frames,
        "emotion_dropout": emotion_dropout,
        "caption_dropout": caption_dropout,
        "text_dropout": text_dropout,
        "checkpointing": checkpointing,
        "optimizer": optimizer,
    }
    base = base_folder(base, image_to_video=task == "i2v")
    settings = settings_for(
        recipe,
        task=task,
        data=data,
        base=base,
        out=str(out),
        transformer=transformer,
        base_revision=base_revision,
        split=split,
        content_type=content_type,
        cache=cache,
        use_cache=not no_cache,
        checkpoint_every=checkpoint_every,
        validate_every=validate_every,
        validation_prompts=tuple(validation_prompt or ()),
        validation_steps=validation_steps,
        comfyui=export == "comfyui",
        seed=seed,
        **{name: value for name, value in values.items() if value is not None},
    )
    runner = chosen_executor(engine, workers, ray_address)
    check_build("--data", data, (split,), content_type)
    need("models", "diffusers", "transformers", "peft", "accelerate", "ftfy")
    import torch

    from emovid_dataset.read.select import select
    from emovid_models.remote.wan.lora import read_facts
    from emovid_models.wan.encode import BaseOutline
    from emovid_models.wan.train_lora import plan_training, train_lora
    from emovid_models.wan.two_transformers import SECOND_NAMES, runs_of

    show_plan = partial(print_plan, settings=settings)
    try:
        if plan:
            outline = BaseOutline.read(base, task, base_revision)
            runs_of(settings, outline)
            selection = select(data, split=split, content_type=content_type)
            show_plan(plan_training(settings, outline, selection), outline)
            return
        # The plan belongs to the reader; with --json stdout is for the machine.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            path = train_lora(
                settings,
                engine=runner,
                progress=not as_json,
                on_plan=show_plan,
                on_cache=print_filled,
            )
    except torch.OutOfMemoryError as error:
        raise OSError(str(error)) from error
    facts = read_facts(path)
    assert facts is not None
    result = {"lora": str(path), "steps": facts.steps, "bytes": path.stat().st_size}
    if facts.transformer:
        result["transformer"] = facts.transformer
    second = path.with_name(SECOND_NAMES[path.name])
    if facts.transformer == "high" and transformer != "high":
        result |= {"transformer": "both", "second": str(second)}
    if as_json:
        print(json.dumps(result, allow_nan=False))
    else:
        print_table("LoRA", tuple(result), [tuple(result.values())])


def print_plan(plan: CachePlan, base: BaseOutline, *, settings: LoraSettings) -> None:
    """Print by which recipe a LoRA is trained, where the clips go and what that costs.

    Args:
        plan: the clips.
        base: the model.
        settings: of the training.
    """
    from emovid_dataset.terminal import print_table
    from emovid_models.wan.batches import Batches, steps_of
    from emovid_models.wan.plan import estimate_disk, estimate_memory

    rows: list[tuple[object, ...]] = []
    for bucket, count in plan.buckets().items():
        memory = estimate_memory(
            base,
            bucket,
            modules=settings.modules,
            rank=settings.rank,
            batch_size=settings.batch_size,
            checkpointing=settings.checkpointing,
        )
        shape = "x".join(map(str, base.latent_shape(bucket)))
        size = f"{bucket.width}x{bucket.height}"
        rows.append((bucket.frames, size, count, shape, round(memory / 2**30, 1)))
    print_table("Buckets", ("frames", "size", "clips", "latents", "GPU memory, about GiB"), rows)
    changed = ", ".join(
        f"no {name}" if value is None else f"{name} {value}" for name, value in differences(settings).items()
    )
    steps = steps_of(settings, Batches(plan, settings.batch_size, settings.seed).batches_per_epoch)
    each = ""
    if base.boundary is not None:
        both = settings.transformer in (None, "both")
        each = (
            " for each of two transformers" if both else f" for the {settings.transformer}-noise transformer"
        )
    print(
        f"recipe {settings.recipe}{f', but {changed}' if changed else ''}; {steps} steps{each} on one device"
    )
    more = f", {plan.left_out} left out for balance" if plan.left_out else ""
    print(
        f"{len(plan.clips)} clips, {len(plan.dropped)} dropped as too short{more}, {plan.enlarged} enlarged"
        f"{f', {plan.shortened} captions cut to fit the text encoder' if plan.shortened else ''}; "
        f"the cache takes about {estimate_disk(plan, base) / 2**20:.1f} MiB"
    )


def print_filled(filled: FilledCache) -> None:
    """Print what became of the cache."""
    if not filled.encoded and not filled.repaired:
        print(f"cache {filled.place}: complete, the encoders are not needed")
        return
    repaired = f", {filled.repaired} damaged ones encoded again" if filled.repaired else ""
    print(f"cache {filled.place}: {filled.encoded} clips encoded, {filled.reused} reused{repaired}")
