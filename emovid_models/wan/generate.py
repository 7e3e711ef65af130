"""From a prompt with an emotion to an MP4: load a pipeline, run it over prompts, write the videos."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

FPS = 16
"""Frames per second of a generated video, as Wan2.1 was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One video to generate.

    Attributes:
        prompt: what it shows.
        emotion: a name, or a blend such as ``{"awe": 0.7, "fear": 0.3}``, or None.
        intensity: 0 for the base model, 1 as trained.
        content_type: "cartoon", "movie", "sticker" or None.
        image: path of the first image, for I2V.
        seed: of the noise.
        out: the MP4 to write.
    """

    prompt: str
    emotion: str | dict[str, float] | None = None
    intensity: float = 1.0
    content_type: str | None = None
    image: str | None = None
    seed: int = 0
    out: str


def read_prompts(path: Path, folder: Path) -> list[Prompt]:
    """Read a JSON file of prompts.

    Args:
        path: a list of objects with ``prompt`` and any other field of `Prompt`. Images stand beside the file.
        folder: where the videos go; ``out`` is a name in it, by default ``0000-awe.mp4`` and so on.

    Raises:
        ValueError: the file is no such list, an object has an unknown or wrong field, or two have one `out`.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path} is not a list of objects such as [{{"prompt": "a cat", "emotion": "awe"}}]')
    known = set(Prompt.__dataclass_fields__)
    prompts: list[Prompt] = []
    for index, row in enumerate(rows):
        unknown = sorted(row.keys() - known)
        if unknown or not isinstance(row.get("prompt"), str):
            what = f"unknown fields {unknown}" if unknown else "no prompt"
            raise ValueError(
                f"{path}, entry {index}: {what}; allowed: {', '.join(Prompt.__dataclass_fields__)}"
            )
        emotion = row.get("emotion")
        mood = "-".join(emotion) if isinstance(emotion, dict) else emotion or "plain"
        out = str(row.get("out", f"{index:04d}-{mood}.mp4"))
        if Path(out).name != out or not out.endswith(".mp4"):
            raise ValueError(f"{path}, entry {index}: out {out!r} is not the name of an .mp4 file")
        image = row.get("image")
        image = str(path.parent / image) if image is not None else None
        prompts.append(Prompt(**{**row, "image": image, "out": str(folder / out)}))
    names = [prompt.out for prompt in prompts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} names {Path(twice).name} twice")
    return prompts


def load_pipeline(
    model: str | Path,
    *,
    image_to_video: bool,
    lora: str | Path | None = None,
    revision: str | None = None,
    offload: bool = False,
) -> Any:
    """Load one of our pipelines on CUDA in bfloat16, or on the CPU in float32.

    Args:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a file, a folder or a Hub repo of a LoRA, or None.
        revision: of the base's Hub repo.
        offload: on CUDA, keep in GPU memory only the part that runs.

    Returns:
        `EmoVidWanPipeline` or `EmoVidWanImageToVideoPipeline`.

    Raises:
        ValueError: the LoRA does not fit the base.
    """
    import torch
    from diffusers import AutoencoderKLWan

    from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline
    from emovid_models.wan.encode import dtype_option

    kind = EmoVidWanImageToVideoPipeline if image_to_video else EmoVidWanPipeline
    cuda = torch.cuda.is_available()
    # The VAE shows banding in bfloat16.
    vae = AutoencoderKLWan.from_pretrained(
        model, subfolder="vae", revision=revision, use_safetensors=True, **dtype_option(torch.float32)
    )
    pipe: Any = kind.from_pretrained(
        model,
        vae=vae,
        revision=revision,
        use_safetensors=True,
        **dtype_option(torch.bfloat16 if cuda else torch.float32),
    )
    is_i2v = pipe.transformer.config.in_channels > pipe.transformer.config.out_channels
    if is_i2v != image_to_video:
        need = "an image-to-video model: give --image" if is_i2v else "a text-to-video model: give no --image"
        raise ValueError(f"model {model} is {need}")
    if lora is not None:
        pipe.load_lora_weights(str(lora))
    if cuda and offload:
        pipe.enable_model_cpu_offload()
    elif cuda:
        pipe.to("cuda")
    return pipe


def generate(
    pipe: Any, prompts: list[Prompt], *, overwrite: bool = False, **options: Any
) -> Iterator[tuple[Prompt, bool]]:
    """Generate the videos that are not there yet.

    Args:
        pipe: from `load_pipeline`.
        prompts: what to generate.
        overwrite: replace a video that is there; it stays until the new one is complete.
        **options: arguments of every call, such as `height` or `num_frames`.

    Yields:
        Each prompt, when its video is there, and whether it was made now.

    Raises:
        ValueError: a prompt, an image or an option that does not work.
    """
    import torch

    for prompt in prompts:
        if Path(prompt.out).exists() and not overwrite:
            yield prompt, False
            continue
        call = dict(options)
        if prompt.image is not None:
            call["image"] = read_image(Path(prompt.image), options["height"], options["width"])
        frames = pipe(
            prompt=prompt.prompt,
            emotion=prompt.emotion,
            intensity=prompt.intensity,
            content_type=prompt.content_type,
            generator=torch.Generator().manual_seed(prompt.seed),
            **call,
        ).frames[0]
        write_video(Path(prompt.out), frames)
        yield prompt, True


def read_image(path: Path, height: int, width: int) -> Any:
    """Read an image and cut it to a video's shape, the middle of it.

    Args:
        path: of any format that Pillow reads; transparent parts become white.
        height: pixels.
        width: pixels.

    Returns:
        A PIL image, RGB, of that size.

    Raises:
        ValueError: it is no image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except UnidentifiedImageError as error:
        raise ValueError(f"image {path} is no image that Pillow reads") from error
    white = Image.new("RGBA", image.size, "white")
    return ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (width, height))


def write_video(path: Path, frames: np.ndarray, fps: int = FPS) -> None:
    """Write an MP4 (H.264, yuv420p, faststart), the same bytes for the same frames; complete or absent.

    Args:
        path: the file.
        frames: float [T, H, W, 3] in 0..1, both sides even.
        fps: frames per second.
    """
    import av

    from emovid_dataset.media.encode import X264_SAME_BYTES

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")
    pixels = (np.asarray(frames).clip(0, 1) * 255).round().astype(np.uint8)
    try:
        with av.open(str(part), "w", options={"movflags": "+faststart"}) as file:
            stream = file.add_stream("libx264", rate=Fraction(fps), options={"crf": "16", **X264_SAME_BYTES})
            stream.height, stream.width = pixels.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for picture in pixels:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
