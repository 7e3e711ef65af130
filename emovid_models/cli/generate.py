"""The command `emovid generate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    existing_file,
    new_place,
    one_of,
    parsed_by,
)
from emovid_dataset.cli.errors import need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.schema.clip import CONTENT_TYPES
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
    Guidance2,
    Intensity,
    Loras,
    NoiseSeed,
    Offload,
    Steps,
    Wording,
    Workers,
)
from emovid_models.remote.wan.over_time import EmotionOverTime, frame_rate_of, read_emotion


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``generate``.
    """
    app.command("generate")(generate)


def parse_emotion_option(text: str | None) -> str | dict[str, float] | dict[float, str] | None:
    """Read ``awe``, or a blend such as ``awe=0.7,fear=0.3``, or emotions over time as ``sadness@0s,awe@3s``.

    >>> parse_emotion_option("awe=0.7,fear=0.3"), parse_emotion_option("sadness@0s, awe@3s")
    ({'awe': 0.7, 'fear': 0.3}, {0.0: 'sadness', 3.0: 'awe'})
    """
    if text is not None and "@" in text:
        return _parse_over_time(text)
    if text is None or "=" not in text:
        return text
    blend = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        try:
            blend[name.strip()] = float(weight)
        except ValueError:
            raise ValueError(f"emotion {text!r} is not of the form awe=0.7,fear=0.3") from None
    return blend


def _parse_over_time(text: str) -> dict[float, str]:
    found: dict[float, str] = {}
    for part in text.split(","):
        name, _, time = part.strip().partition("@")
        try:
            start = float(time.removesuffix("s"))
        except ValueError:
            raise ValueError(f"emotion {text!r} is not of the form sadness@0s,awe@3s") from None
        if start in found:
            raise ValueError(f"emotion {text!r} names the time {start:g} s twice")
        found[start] = name.strip()
    return found


def emotion_in_words(emotion: str | Mapping[Any, Any] | None) -> str:
    """An emotion, or a blend with the share of each, or emotions over time with the start of each.

    >>> emotion_in_words({"awe": 7, "fear": 3}), emotion_in_words("awe"), emotion_in_words(None)
    ('70 % awe, 30 % fear', 'awe', '')
    >>> emotion_in_words({3: "awe", 0: "fear"})
    'fear from 0 s, awe from 3 s'
    """
    if not isinstance(emotion, Mapping):
        return emotion or ""
    weights = read_emotion(emotion)
    if isinstance(weights, EmotionOverTime):
        parts = zip(weights.starts, weights.emotions, strict=True)
        return ", ".join(f"{' and '.join(blend)} from {start:g} s" for start, blend in parts)
    assert weights is not None
    return ", ".join(f"{100 * weight:.0f} % {name}" for name, weight in weights.items())


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the video shows; or give --prompts.")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Many prompts: JSON Lines or a JSON list of objects with prompt, and perhaps emotion, "
            "intensity, content_type, image, seed, id, out.",
            callback=existing_file,
        ),
    ] = None,
    emotion: Annotated[
        str | None,
        typer.Option(
            help="One of the eight emotions, or a blend: awe=0.7,fear=0.3; or emotions over time, each from "
            "its second on: sadness@0s,awe@3s.",
            callback=parsed_by(lambda text: read_emotion(parse_emotion_option(text) or "")),
        ),
    ] = None,
    intensity: Intensity = 1.0,
    content_type: Annotated[
        str | None,
        typer.Option(help="cartoon, movie or sticker; mini: sticker.", callback=one_of(CONTENT_TYPES)),
    ] = None,
    wording: Wording = None,
    image: Annotated[
        Path | None, typer.Option(help="First image, for an image-to-video model.", callback=existing_file)
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Base: a folder or a Hub repo in the layout of diffusers; mini is the one that ships.",
            callback=base_source,
        ),
    ] = MINI,
    lora: Loras = None,
    emotion_lora: EmotionLora = None,
    out: Annotated[Path, typer.Option(help="The MP4; with --prompts a folder.")] = Path("emovid.mp4"),
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT, multiples of 16; 832x480 if not given, mini: 64x64.", callback=frame_size
        ),
    ] = None,
    frames: Frames = None,
    steps: Steps = None,
    guidance: Guidance = None,
    guidance_2: Guidance2 = None,
    emotion_guidance: EmotionGuidance = None,
    negative: Annotated[str | None, typer.Option(help="What the video must not show.")] = None,
    seed: NoiseSeed = 0,
    offload: Offload = False,
    workers: Workers = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Generate videos with an emotion.

    Example: emovid generate "a cat on a roof" --emotion awe --model Wan-AI/Wan2.1-T2V-1.3B-Diffusers
    --lora emovid/wan2.1-t2v-1.3b-lora --out cat.mp4

    Without --model a miniature that ships with the package makes 64x64 stickers of faces, people and animals:
    emovid generate "a yellow face" --emotion sadness

    With --prompts, videos that are there already are left alone, so that the same command goes on after an
    interruption.
    """
    from emovid_dataset.store import Store
    from emovid_dataset.terminal import print_table
    from emovid_models import MINI_LORA_I2V, MINI_LORA_T2V, MINI_WAN_I2V, MINI_WAN_T2V
    from emovid_models.wan.frames import frames_by_default
    from emovid_models.wan.generate import Order, check_orders, check_times, read_orders
    from emovid_models.wan.generate import generate as generate_videos
    from emovid_models.wan.loading import PipelineSource, read_index

    if (prompt is None) == (prompts is None):
        raise ValueError("give either a prompt or --prompts FILE")
    mini = model == MINI
    if prompts is not None:
        for name, given in (("emotion", emotion), ("content-type", content_type), ("image", image)):
            if given is not None:
                raise ValueError(f"--{name} {given} is for a single prompt; {prompts} gives each its own")
        orders, folder = read_orders(prompts), out
    else:
        if out.suffix != ".mp4":
            raise ValueError(f"--out {str(out)!r} does not end in .mp4")
        folder = out.parent
        orders = [
            Order(
                prompt=prompt or "",
                emotion=parse_emotion_option(emotion),
                intensity=intensity,
                content_type=content_type or ("sticker" if mini else None),
                image=str(image) if image is not None else None,
                seed=seed,
                out=out.name,
            )
        ]
    if (problem := new_place(folder)) is not None:
        raise ValueError(f"--out{problem}")
    height, width = parse_frame_size(size or ("64x64" if mini else "832x480"))
    check_orders(orders, height, width)
    i2v = orders[0].image is not None
    if mini:
        model = str(MINI_WAN_I2V if i2v else MINI_WAN_T2V)
        lora = lora or [str(MINI_LORA_I2V if i2v else MINI_LORA_T2V)]
    loras = parse_loras(lora, emotion_lora)
    runner = chosen_executor(engine, workers, ray_address)

    def check_by(index: Mapping[str, Any]) -> int:
        """What only the base's model_index.json can tell; returns the number of frames."""
        check_second_guidance(guidance_2, index, model)
        count = frames or (17 if mini else frames_by_default(index))
        check_times(orders, count, frame_rate_of(index))
        return count

    if (described := Path(model, "model_index.json")).is_file():  # what is wrong shows before all is loaded
        check_by(json.loads(described.read_text(encoding="utf-8")))
    need("models", "diffusers", "transformers", "peft", "ftfy")

    num_frames = check_by(read_index(model))
    pipeline = PipelineSource(
        model,
        image_to_video=i2v,
        lora=loras,
        emotion_lora=emotion_lora,
        offload=offload,
        show_loading=not as_json,
        show_steps=len(orders) == 1 and not as_json and runner.is_this_process,
        threads=runner.threads,
    )
    second: dict[str, Any] = {} if guidance_2 is None else {"guidance_scale_2": guidance_2}
    made = generate_videos(
        pipeline,
        orders,
        Store.at(folder),
        model=pipeline.version(),
        engine=runner,
        overwrite=prompts is None,
        progress=not as_json,
        height=height,
        width=width,
        num_frames=num_frames,
        num_inference_steps=steps or (8 if mini else 50),
        guidance_scale=guidance if guidance is not None else (3.0 if mini else 5.0),
        negative_prompt=negative,
        emotion_guidance_scale=6.0 if mini and emotion_guidance is None else emotion_guidance,
        wording=wording,
        emotion_adapter=pipeline.emotion_adapter,
        **second,
    )
    rows = [
        (
            str(folder / order.out),
            order.emotion,
            order.intensity,
            "made" if order.out in made else "was there",
        )
        for order in orders
    ]
    if as_json:
        keys = ("out", "emotion", "intensity", "state")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], allow_nan=False))
    else:
        told = [(out, emotion_in_words(emotion), *rest) for out, emotion, *rest in rows]
        print_table("Videos", ("file", "emotion", "intensity", ""), told)


def check_second_guidance(guidance_2: float | None, index: Mapping[str, Any], model: str) -> None:
    """Refuse --guidance-2 for a base with one transformer, by its model_index.json."""
    from emovid_models.wan.noise_levels import boundary_of

    if guidance_2 is not None and boundary_of(index) is None:
        raise ValueError(
            f"--guidance-2 {guidance_2} is for a base with two transformers, and {model} has one"
        )
