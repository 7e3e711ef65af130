"""Stickers of any character: one picture, one animation per emotion, transparent where the picture is."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emovid_dataset.engine import Executor, Ledger, executor
from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion
from emovid_dataset.store import Store
from emovid_models.remote.sticker.animation import contact_sheet, encode_gif, encode_webp, on_white
from emovid_models.remote.sticker.choices import FORMATS, PROMPT, TOLERANCE
from emovid_models.remote.sticker.cutout import cut_out
from emovid_models.remote.sticker.picture import PreparedPicture, frame_shape, prepare, read_picture
from emovid_models.remote.wan.inputs import check_frames, check_size
from emovid_models.wan.frames import encode_video, frames_by_default
from emovid_models.wan.generate import GenerateStage, Order, check_orders, generate
from emovid_models.wan.loading import PipelineSource, read_index
from emovid_models.wan.loras import WeightedLora

MINI = "mini"
"""Names the miniature base that ships."""

SHEET = "contact_sheet.png"
"""Name of the contact sheet."""

RECORD = "stickers.json"
"""Name of the file that says what each sticker was made from."""

_FRAME = ".first_frame.png"


@dataclass(frozen=True, slots=True)
class Sticker:
    """An animation of the picture.

    Attributes:
        path: of the file.
        emotion: one of the eight.
        intensity: 0 for the base model, 1 as trained.
        seed: of the noise.
        opaque: share of its pixels that are not transparent, 0..1, mean over the frames; 1 for an MP4.
        made: whether it was made now; one of the same picture, model and options is left alone.
    """

    path: Path
    emotion: str
    intensity: float
    seed: int
    opaque: float
    made: bool


@dataclass(frozen=True, slots=True)
class StickerSet:
    """What `make_stickers` made.

    Attributes:
        stickers: in the order of the emotions that were asked for.
        sheet: a PNG that shows some frames of each on a checkerboard.
        background: the colour that the model saw behind the character as ``"#rrggbb"``, or ``"kept"``.
    """

    stickers: tuple[Sticker, ...]
    sheet: Path
    background: str

    def failures(self) -> list[str]:
        """One line for every sticker whose background could not be removed, or that has nothing else."""
        if self.background == "kept":
            return []
        found = []
        for sticker in self.stickers:
            if not sticker.opaque:
                found.append(f"{sticker.path} is wholly transparent: lower the tolerance")
            elif sticker.opaque == 1 and sticker.path.suffix != ".mp4":
                found.append(f"{sticker.path} still has its whole background: raise the tolerance")
        return found


@dataclass(frozen=True, slots=True)
class StickerEncoder:
    """Makes a sticker's file of generated frames, in whatever process generated them.

    Attributes:
        picture: what the model was given.
        format: one of `FORMATS`.
        tolerance: by how much a channel may differ from the background's colour, 0..255.
    """

    picture: PreparedPicture
    format: str
    tolerance: int

    def __call__(self, frames: np.ndarray, fps: int) -> bytes:
        """Cut out the character and encode.

        Args:
            frames: float [T, H, W, 3] in 0..1.
            fps: frames per second.
        """
        pixels = (np.asarray(frames).clip(0, 1) * 255).round().astype(np.uint8)
        cut = cut_out(pixels, self.picture, tolerance=self.tolerance)
        if self.format == "gif":
            return encode_gif(cut, fps)
        return encode_webp(cut, fps) if self.format == "webp" else encode_video(on_white(cut), fps)

    def identity(self) -> str:
        """Changes with everything that a file depends on beside the generated frames."""
        picture = self.picture
        about = repr((picture.colour, picture.removes, self.format, self.tolerance)).encode()
        return hashlib.sha256(about + picture.alpha.tobytes()).hexdigest()[:16]


def make_stickers(
    picture: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    emotions: Sequence[str] = EMOTIONS,
    prompt: str = PROMPT,
    intensity: float = 1.0,
    seed: int = 0,
    format: str = "webp",
    background: str = "auto",
    tolerance: int = TOLERANCE,
    model: str = MINI,
    lora: str | Sequence[WeightedLora] | None = None,
    emotion_lora: str | None = None,
    wording: str | None = None,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    emotion_guidance: float | None = None,
    negative: str | None = None,
    offload: bool = False,
    workers: int = 1,
    engine: Executor | None = None,
    progress: bool = False,
) -> StickerSet:
    """Make an animated sticker of a picture for each of some emotions, with an image-to-video model.

    Args:
        picture: any file that Pillow reads; of an animation its first frame. It is padded to the shape of the
            video, never stretched or cropped.
        out: folder of the stickers, ``awe.webp`` and so on, of a contact sheet and of `RECORD`, by which a
            later call knows what each was made from. What is there and was made from the same is left alone.
        emotions: which of the eight.
        prompt: what the picture shows.
        intensity: 0 for the base model, 1 as trained, more is more.
        seed: of the noise, the same for all.
        format: one of `FORMATS`.
        background: "auto", "keep" or "remove", see `prepare` in `emovid_models.remote.sticker.picture`.
        tolerance: 0..255, by how much a channel may differ from the background's colour.
        model: an image-to-video base, a folder or a Hub repo in the layout of diffusers; "mini" is the
            miniature that ships, with its LoRA.
        lora: a LoRA by its file, folder or Hub repo; several with their weights; or None.
        emotion_lora: of several, the source of the LoRA that the intensity moves; None for the one that was
            trained here.
        wording: "paper" or "mood", how the prompt names the emotion; None for that of the LoRA.
        size: height and width in pixels, multiples of 16; by default as many as 832x480 in the shape of the
            picture, 64x64 for the miniature.
        frames: 4k+1, 16 per second; 81 by default, 17 for the miniature; of Wan2.2 TI2V 24 per second, and
            121.
        steps: of denoising; 50 by default, 8 for the miniature.
        guidance: by the prompt; 5 by default, 3 for the miniature.
        emotion_guidance: by the emotion; as `guidance` by default, 6 for the miniature.
        negative: what must not be seen.
        offload: on CUDA, keep in GPU memory only the part that runs.
        workers: processes, each with the model.
        engine: who generates, in the place of `workers`.
        progress: show progress on stderr.

    Returns:
        The stickers and their contact sheet.

    Raises:
        ValueError: the picture or an argument does not work; one line, before a model is loaded.
        OSError, StageError: the model cannot be loaded, or a sticker cannot be made or written.
    """
    engine = engine or executor(None, workers)
    names = list(dict.fromkeys(EMOTIONS[parse_emotion(name)] for name in emotions))
    if not names:
        raise ValueError(f"no emotion is named; allowed: {', '.join(EMOTIONS)}")
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; allowed: {', '.join(FORMATS)}")
    mini = model == MINI
    prepared = prepare_sticker(picture, size=size, mini=mini, background=background, tolerance=tolerance)
    height, width = prepared.alpha.shape
    check_frames(frames := frames or (17 if mini else frames_by_default(read_index(model))))
    folder = Path(out)
    frame = folder.absolute() / _FRAME
    orders = [
        Order(
            prompt=prompt,
            emotion=name,
            intensity=intensity,
            content_type="sticker",
            image=str(frame),
            seed=seed,
            out=f"{name}.{format}",
        )
        for name in names
    ]
    if mini:
        from emovid_models import MINI_LORA_I2V, MINI_WAN_I2V

        model, lora = str(MINI_WAN_I2V), lora or str(MINI_LORA_I2V)
    source = PipelineSource(
        model,
        image_to_video=True,
        lora=lora,
        emotion_lora=emotion_lora,
        offload=offload,
        show_loading=progress,
        show_steps=len(orders) == 1 and progress and engine.is_this_process,
        threads=engine.threads,
    )
    options: dict[str, Any] = {
        "height": height,
        "width": width,
        "num_frames": frames,
        "num_inference_steps": steps or (8 if mini else 50),
        "guidance_scale": guidance if guidance is not None else (3.0 if mini else 5.0),
        "negative_prompt": negative,
        "emotion_guidance_scale": 6.0 if mini and emotion_guidance is None else emotion_guidance,
        "wording": wording,
        "emotion_adapter": source.emotion_adapter,
    }
    encoder = StickerEncoder(prepared, format, tolerance)
    version = f"{source.version()}+{encoder.identity()}"
    store = Store.at(folder)
    store.put(_FRAME, _png(prepared.frame))
    try:
        check_orders(orders, height, width)
        stage = GenerateStage(source, version, tuple(orders), options)
        keys = {order.out: stage.key(order) for order in orders}
        record = _read_record(folder)
        wanted = [
            order
            for order in orders
            if record.get(order.out, {}).get("key") != keys[order.out] or not store.exists(order.out)
        ]
        _forget(store, record.keys() - {order.out for order in wanted}, record, set(keys.values()))
        made = generate(
            source,
            wanted,
            store,
            model=version,
            engine=engine,
            overwrite=True,
            progress=progress,
            encode=encoder,
            **options,
        )
    finally:
        (folder / _FRAME).unlink(missing_ok=True)
    fresh = {order.out: _described(order, Path(picture).name, keys[order.out]) for order in orders}
    _write_record(store, record | fresh)
    shown = {order.out: read_animation(folder / order.out) for order in orders}
    store.put(SHEET, contact_sheet({Path(name).stem: images for name, images in shown.items()}))
    stickers = tuple(
        Sticker(
            folder / order.out,
            name,
            intensity,
            seed,
            float(np.mean([image[..., 3] > 0 for image in shown[order.out]])),
            order.out in made,
        )
        for name, order in zip(names, orders, strict=True)
    )
    return StickerSet(stickers, folder / SHEET, prepared.background)


def prepare_sticker(
    picture: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    mini: bool = False,
    background: str = "auto",
    tolerance: int = TOLERANCE,
) -> PreparedPicture:
    """What the model is given for a picture; imports no model.

    Args:
        picture: any file that Pillow reads.
        size: height and width in pixels; None for the default, see `make_stickers`.
        mini: whether it is for the miniature.
        background: see `make_stickers`.
        tolerance: see `make_stickers`.

    Raises:
        ValueError: the picture or an argument does not work; one line.
    """
    image = read_picture(Path(picture))
    height, width = size or ((64, 64) if mini else frame_shape(image))
    check_size(height, width)
    if not 0 <= tolerance <= 255:
        raise ValueError(f"tolerance is {tolerance}; it must be 0..255")
    return prepare(image, height, width, background=background, tolerance=tolerance)


def read_animation(path: Path) -> list[np.ndarray]:
    """Read a sticker's frames back.

    Args:
        path: of a WebP, a GIF or an MP4.

    Returns:
        uint8 [H, W, 4] each.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if path.suffix == ".mp4":
        from emovid_dataset.media.frames import decode

        return [np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]) for frame in decode(path)]
    frames = []
    with Image.open(path) as file:
        for index in range(getattr(file, "n_frames", 1)):
            file.seek(index)
            frames.append(np.asarray(file.convert("RGBA")))
    return frames


def _described(order: Order, picture: str, key: str) -> dict[str, Any]:
    about = {name: value for name, value in asdict(order).items() if name not in ("image", "out")}
    return {**about, "picture": picture, "key": key}


def _read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """What a former call says of the stickers that are there; {} if it says nothing that can be read."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: entry
        for name, entry in found.items()
        if isinstance(entry, dict) and (folder / Path(name).name).is_file()
    }


def _forget(store: Store, kept: Set[str], record: dict[str, dict[str, Any]], keys: Set[str]) -> None:
    """Forget what an interrupted call has recorded of files that are made otherwise now."""
    if len(kept) < len(record):
        _write_record(store, {name: record[name] for name in record if name in kept})
    ledger = Ledger(store, GenerateStage.ledger)
    for key in ledger.entries().done - keys:
        ledger.remove(key)


def _write_record(store: Store, record: dict[str, dict[str, Any]]) -> None:
    store.put(RECORD, json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
