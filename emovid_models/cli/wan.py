"""The commands `emovid generate` and `emovid train lora`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import typer


def register(app: typer.Typer, train_app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: gets ``generate``.
        train_app: gets ``lora``.
    """
    app.command("generate")(generate)
    train_app.command("lora")(lora)


def parse_emotion_option(text: str | None) -> str | dict[str, float] | None:
    """Read ``awe``, or a blend such as ``awe=0.7,fear=0.3``.

    >>> parse_emotion_option("awe=0.7,fear=0.3")
    {'awe': 0.7, 'fear': 0.3}
    """
    if text is None or "=" not in text:
        return text
    blend = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        try:
            blend[name.strip()] = float(weight)
        except ValueError:
            raise ValueError(f"--emotion {text!r} is not of the form awe=0.7,fear=0.3") from None
    return blend


def parse_size(text: str) -> tuple[int, int]:
    """Read ``832x480``, width first.

    Returns:
        Height and width.

    >>> parse_size("832x480")
    (480, 832)
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size {text!r} is not of the form WIDTHxHEIGHT, such as 832x480")
    return int(height), int(width)


def generate(
    prompt: str = typer.Argument(None, help="What the video shows; or give --prompts."),
    prompts: Path = typer.Option(None, help='JSON list of {"prompt", "emotion", "intensity", "image", ...}.'),
    emotion: str = typer.Option(None, help="One of the eight emotions, or a blend: awe=0.7,fear=0.3."),
    intensity: float = typer.Option(1.0, help="0 is the base model, 1 as trained, more is more."),
    content_type: str = typer.Option(None, help="cartoon, movie or sticker; mini: sticker."),
    image: Path = typer.Option(None, help="First image, for an image-to-video model."),
    model: str = typer.Option(
        "mini", help="Base: a folder or a Hub repo in the layout of diffusers; mini is the one that ships."
    ),
    lora: str = typer.Option(None, help="LoRA: a file, a folder or a Hub repo; for mini the one that ships."),
    out: Path = typer.Option(Path("emovid.mp4"), help="The MP4; with --prompts a folder."),
    size: str = typer.Option(None, help="WIDTHxHEIGHT, multiples of 16; 832x480 if not given, mini: 64x64."),
    frames: int = typer.Option(None, help="Frames, 4k+1; 16 a second; 81 if not given, mini: 17."),
    steps: int = typer.Option(None, help="Denoising steps; 50 if not given, mini: 8."),
    guidance: float = typer.Option(None, help="Guidance by the prompt; 5 if not given, mini: 3."),
    emotion_guidance: float = typer.Option(
        None, help="Guidance by the emotion; as --guidance if not given, mini: 6."
    ),
    negative: str = typer.Option(None, help="What the video shall not show."),
    seed: int = typer.Option(0, help="Seed of the noise."),
    offload: bool = typer.Option(False, help="Keep in GPU memory only the part that runs."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Generate videos with an emotion.

    Example: emovid generate "a cat on a roof" --emotion awe --model Wan-AI/Wan2.1-T2V-1.3B-Diffusers
    --lora emovid/wan2.1-t2v-1.3b-lora --out cat.mp4

    Without --model a miniature that ships with the package makes 64x64 stickers of faces, people and animals:
    emovid generate "a yellow face" --emotion sadness

    With --prompts, videos that are there already are left alone, so that the same command goes on after an
    interruption.
    """
    from emovid_dataset.terminal import Progress, print_table
    from emovid_models import MINI_LORA_I2V, MINI_LORA_T2V, MINI_WAN_I2V, MINI_WAN_T2V
    from emovid_models.cli.main import need
    from emovid_models.remote.wan.conditioning import conditioning_text, emotion_weights
    from emovid_models.remote.wan.inputs import check_frames, check_prompt, check_size

    need("models", "diffusers", "transformers", "peft", "ftfy")
    import torch

    from emovid_models.wan.generate import Prompt, load_pipeline, read_prompts
    from emovid_models.wan.generate import generate as generate_videos

    if (prompt is None) == (prompts is None):
        raise ValueError("give either a prompt or --prompts FILE")
    if prompts is not None:
        wanted = read_prompts(prompts, out)
    else:
        if out.suffix != ".mp4":
            raise ValueError(f"--out {str(out)!r} does not end in .mp4")
        wanted = [
            Prompt(
                prompt=prompt,
                emotion=parse_emotion_option(emotion),
                intensity=intensity,
                content_type=content_type or ("sticker" if model == "mini" else None),
                image=str(image) if image is not None else None,
                seed=seed,
                out=str(out),
            )
        ]
    mini = model == "mini"
    if mini:
        i2v = wanted[0].image is not None
        model = str(MINI_WAN_I2V if i2v else MINI_WAN_T2V)
        lora = lora or str(MINI_LORA_I2V if i2v else MINI_LORA_T2V)
    # Everything that can be refused is refused before gigabytes are loaded.
    height, width = parse_size(size or ("64x64" if mini else "832x480"))
    frames = frames or (17 if mini else 81)
    check_size(height, width)
    check_frames(frames)
    for item in wanted:
        check_prompt(item.prompt)
        for name in emotion_weights(item.emotion) if item.emotion is not None else {}:
            conditioning_text(item.prompt, name, item.content_type, item.intensity)
        if (item.image is None) != (wanted[0].image is None):
            raise ValueError(f"{prompts}: either all entries have an image or none has")
        if item.image is not None and not Path(item.image).is_file():
            raise ValueError(f"image {item.image} is not there")

    pipe = load_pipeline(model, image_to_video=wanted[0].image is not None, lora=lora, offload=offload)
    options: dict[str, Any] = {
        "height": height,
        "width": width,
        "num_frames": frames,
        "num_inference_steps": steps or (8 if mini else 50),
        "guidance_scale": guidance if guidance is not None else (3.0 if mini else 5.0),
        "negative_prompt": negative,
        "emotion_guidance_scale": 6.0 if mini and emotion_guidance is None else emotion_guidance,
    }
    rows = []
    with Progress(len(wanted), unit="videos", title="generating", enabled=not as_json) as progress:
        if len(wanted) > 1 or as_json:
            pipe.set_progress_bar_config(disable=True)
        try:
            for item, new in generate_videos(pipe, wanted, overwrite=prompts is None, **options):
                rows.append((item.out, str(item.emotion), item.intensity, "made" if new else "was there"))
                progress.update()
        except torch.OutOfMemoryError as error:
            raise OSError(str(error)) from error
    if as_json:
        keys = ("out", "emotion", "intensity", "state")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    else:
        print_table("Videos", ("file", "emotion", "intensity", ""), rows)


def lora(
    task: str = typer.Option(..., help="t2v or i2v."),
    data: str = typer.Option(..., help="A build: its folder or a Hub repo."),
    base: str = typer.Option(..., help="Base: a folder or a Hub repo in the layout of diffusers."),
    out: Path = typer.Option(..., help="Output folder."),
    base_revision: str = typer.Option(None, help="Revision of the base's Hub repo."),
    split: str = typer.Option("train", help="Split of the data."),
    content_type: str = typer.Option(None, help="Only cartoon, movie or sticker."),
    cache: Path = typer.Option(None, help="Folder of the encoded clips; OUT/cache if not given."),
    no_cache: bool = typer.Option(False, help="Encode every clip again at every step."),
    steps: int = typer.Option(2000, help="Optimizer steps."),
    batch_size: int = typer.Option(1, help="Clips a batch."),
    accumulation: int = typer.Option(1, help="Batches a step, on each process."),
    learning_rate: float = typer.Option(1e-4, help="Of AdamW."),
    warmup: int = typer.Option(50, help="Steps in which the learning rate rises."),
    rank: int = typer.Option(32, help="Rank of the LoRA."),
    alpha: float = typer.Option(None, help="Alpha of the LoRA; the rank if not given."),
    size: str = typer.Option("832x480", help="Main frame size, WIDTHxHEIGHT, multiples of 16."),
    max_frames: int = typer.Option(81, help="Longest bucket, 4k+1."),
    min_frames: int = typer.Option(
        1, help="Drop clips that are shorter at 16 frames a second; 1 drops none."
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
    from emovid_dataset.terminal import print_table
    from emovid_models.cli.main import need

    need("models", "diffusers", "transformers", "peft", "accelerate", "ftfy")
    import torch

    from emovid_dataset.read.loading import select
    from emovid_models.wan.encode import BaseOutline
    from emovid_models.wan.train_lora import LoraSettings, plan_training, train_lora

    if export not in (None, "comfyui"):
        raise ValueError(f"--export {export!r} is unknown; allowed: comfyui")
    height, width = parse_size(size)
    settings = LoraSettings(
        task=task,
        data=data,
        base=base,
        out=str(out),
        base_revision=base_revision,
        split=split,
        content_type=content_type,
        cache=str(cache) if cache is not None else None,
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
    try:
        if plan:
            base_outline = BaseOutline.read(base, task, base_revision)
            plan_training(settings, base_outline, select(data, split=split, content_type=content_type))
            return
        # The plan belongs to the reader; with --json stdout is for the machine.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            path = train_lora(settings)
    except torch.OutOfMemoryError as error:
        raise OSError(str(error)) from error
    result = {"lora": str(path), "steps": steps, "bytes": path.stat().st_size}
    if as_json:
        print(json.dumps(result))
    else:
        print_table("LoRA", tuple(result), [tuple(result.values())])
