"""The command `emovid sticker`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    existing_file,
    new_folder,
    one_of,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import FOUND_WRONG, need, print_error
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.cli.arguments import (
    MINI,
    base_source,
    frame_size,
    parse_loras,
)
from emovid_models.cli.options import (
    EmotionGuidance,
    EmotionLora,
    Frames,
    Guidance,
    Intensity,
    Loras,
    NoiseSeed,
    Offload,
    Steps,
    Wording,
    Workers,
)
from emovid_models.remote.sticker.choices import BACKGROUNDS, FORMATS, PROMPT, TOLERANCE
from emovid_models.remote.wan.inputs import check_prompt


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``sticker``.
    """
    app.command("sticker", epilog="Example: emovid sticker cat.png --emotion all --out stickers/")(sticker)


def parse_emotions(text: str) -> tuple[str, ...]:
    """Read ``awe``, ``awe,fear`` or ``all``.

    >>> parse_emotions("fear, awe")
    ('fear', 'awe')
    """
    names = [name.strip().lower() for name in text.split(",")]
    if "all" in names:
        return EMOTIONS
    for name in names:
        if name not in EMOTIONS:
            raise ValueError(f"emotion {name!r} is unknown; allowed: all, {', '.join(EMOTIONS)}")
    return tuple(names)


def sticker(
    picture: Annotated[
        Path,
        typer.Argument(
            help="The character: PNG, WebP, JPEG, GIF or whatever Pillow reads.", callback=existing_file
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the stickers and their contact sheet.", callback=new_folder)
    ],
    emotion: Annotated[
        list[str] | None,
        typer.Option(
            help="One of the eight emotions, several with commas or by repeating, or all.",
            callback=parsed_by(parse_emotions),
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(help="webp, gif (one transparent colour) or mp4 (on white).", callback=one_of(FORMATS)),
    ] = "webp",
    background: Annotated[
        str,
        typer.Option(
            help="keep, remove, or auto: remove it where the picture is transparent or its border is plain.",
            callback=one_of(BACKGROUNDS),
        ),
    ] = "auto",
    tolerance: Annotated[
        int,
        typer.Option(
            help="By how much a pixel may differ from the background's colour, of 255.",
            callback=whole(0, 255),
        ),
    ] = TOLERANCE,
    prompt: Annotated[
        str, typer.Option(help="What the picture shows.", callback=parsed_by(check_prompt))
    ] = PROMPT,
    intensity: Intensity = 1.0,
    model: Annotated[
        str,
        typer.Option(
            help="Image-to-video base, a folder or Hub repo in the layout of diffusers; mini is the one that "
            "ships.",
            callback=base_source,
        ),
    ] = MINI,
    lora: Loras = None,
    emotion_lora: EmotionLora = None,
    wording: Wording = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT, multiples of 16; as many pixels as 832x480 in the picture's shape if not "
            "given, mini: 64x64.",
            callback=frame_size,
        ),
    ] = None,
    frames: Frames = None,
    steps: Steps = None,
    guidance: Guidance = None,
    emotion_guidance: EmotionGuidance = None,
    negative: Annotated[str | None, typer.Option(help="What the sticker must not show.")] = None,
    seed: NoiseSeed = 0,
    offload: Offload = False,
    workers: Workers = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make animated stickers of a picture, one per emotion, transparent where the picture is.

    A sticker that is there already and was made from the same picture, model and options is left alone, so
    that the same command goes on after an interruption.
    """
    from emovid_dataset.terminal import print_table
    from emovid_models.wan.sticker import make_stickers, prepare_sticker

    names = tuple(name for text in emotion or ["all"] for name in parse_emotions(text))
    shape = parse_frame_size(size) if size is not None else None
    loras = parse_loras(lora, emotion_lora)
    # What is wrong with the picture is said before anything heavy is imported.
    prepare_sticker(picture, size=shape, mini=model == MINI, background=background, tolerance=tolerance)
    runner = chosen_executor(engine, workers, ray_address)
    need("models", "diffusers", "transformers", "peft", "ftfy")
    result = make_stickers(
        picture,
        out,
        emotions=names,
        prompt=prompt,
        intensity=intensity,
        seed=seed,
        format=format,
        background=background,
        tolerance=tolerance,
        model=model,
        lora=loras or None,
        emotion_lora=emotion_lora,
        wording=wording,
        size=shape,
        frames=frames,
        steps=steps,
        guidance=guidance,
        emotion_guidance=emotion_guidance,
        negative=negative,
        offload=offload,
        engine=runner,
        progress=not as_json,
    )
    rows: list[tuple[object, ...]] = [
        (str(one.path), one.emotion, one.intensity, round(one.opaque, 4), "made" if one.made else "was there")
        for one in result.stickers
    ]
    if as_json:
        keys = ("out", "emotion", "intensity", "opaque", "state")
        found = [dict(zip(keys, row, strict=True)) for row in rows]
        about = {"background": result.background, "contact_sheet": str(result.sheet)}
        print(json.dumps({"stickers": found, **about}, allow_nan=False))
    else:
        rows.append((str(result.sheet), "all of them", "", "", ""))
        print_table(
            f"Stickers (background {result.background})", ("file", "emotion", "intensity", "opaque", ""), rows
        )
    failures = result.failures()
    for line in failures:
        print_error(line)
    if failures:
        raise typer.Exit(FOUND_WRONG)
