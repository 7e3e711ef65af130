"""The generator: Wan2.1 with an emotion, from text, or from text and a first frame."""

from __future__ import annotations

import logging
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from settings import GeneratorSettings, Settings, shown_name

FPS = 16
"""Frames per second of Wan2.1."""

_MOST_WEIGHTS_ON_CPU = 200_000_000

log = logging.getLogger(__name__)


class Unsuited(ValueError):
    """What is wanted cannot be had here; says why in one line for visitors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A video that somebody wants.

    Attributes:
        prompt: what it shows.
        emotion: one of the eight names, or None.
        intensity: 0 for the base model, 1 as trained, more is more.
        content_type: "cartoon", "movie", "sticker", or None.
        image: path of the first frame, or None.
        steps: denoising steps.
        seed: of the noise.
    """

    prompt: str
    emotion: str | None
    intensity: float
    content_type: str | None
    image: str | None
    steps: int
    seed: int


class Generator:
    """Both pipelines; the one that was used last stays loaded.

    Args:
        settings: the page's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._task = ""
        self._pipe: Any = None

    def has(self, task: str) -> bool:
        """Whether a base is named for "t2v" or "i2v"."""
        return bool(self._source(task).base)

    def load(self, task: str) -> Any:
        """Load the pipeline of a task, unless it is there.

        Args:
            task: "t2v" or "i2v".

        Raises:
            Unsuited: no base is named, or it needs a GPU and there is none.
            OSError: it cannot be loaded; the reason is in the server's log, since it may name paths.
        """
        with self._lock:
            return self._loaded(task)

    def generate(self, wish: Wish, on_step: Callable[[int, int], None]) -> bytes:
        """Make a video.

        Args:
            wish: what it shall be.
            on_step: called with the number of steps done and the number of all.

        Returns:
            The bytes of an MP4.

        Raises:
            ValueError: something in the wish does not work; one line.
            OSError: the model cannot be loaded.
            MemoryError: memory ran out; one line.
        """
        height, width = self._settings.height, self._settings.width
        if not wish.prompt.strip():
            raise ValueError("The prompt is empty: say what the video shows.")
        image = None if wish.image is None else read_image(Path(wish.image), height, width)
        pictures = self.pictures(wish, image, (height, width), on_step)
        with tempfile.TemporaryDirectory(prefix="emovid-") as folder:
            path = Path(folder, "video.mp4")
            write_video(path, pictures)
            return path.read_bytes()

    def pictures(
        self, wish: Wish, image: Any, size: tuple[int, int], on_step: Callable[[int, int], None]
    ) -> Any:
        """The frames of a video.

        Args:
            wish: what it shall be; the path of its first frame is not looked at.
            image: the first frame, a PIL image of that size, or None.
            size: height and width in pixels.
            on_step: called with the number of steps done and the number of all.

        Returns:
            Float array [T, H, W, 3] in 0..1.

        Raises:
            ValueError: something in the wish does not work; one line.
            OSError: the model cannot be loaded.
            MemoryError: memory ran out; one line.
        """
        import torch

        if not wish.prompt.strip():
            raise ValueError("The prompt is empty: say what the video shows.")
        task = "t2v" if image is None else "i2v"
        (height, width), frames = size, self._settings.frames
        options: dict[str, Any] = {} if image is None else {"image": image}
        with self._lock:
            pipe = self._loaded(task)
            # Of several emotions' LoRAs the intensity moves the first.
            own = list(getattr(pipe, "emotion_adapters", ()))
            if len(own) > 1:
                options["emotion_adapter"] = own[0]
            on_step(0, wish.steps)

            def stepped(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                on_step(step + 1, wish.steps)
                return tensors

            try:
                return pipe(
                    prompt=wish.prompt,
                    emotion=wish.emotion,
                    intensity=wish.intensity,
                    content_type=wish.content_type,
                    height=height,
                    width=width,
                    num_frames=frames,
                    num_inference_steps=wish.steps,
                    guidance_scale=self._settings.guidance,
                    emotion_guidance_scale=self._settings.emotion_guidance,
                    generator=torch.Generator().manual_seed(wish.seed),
                    callback_on_step_end=stepped,
                    **options,
                ).frames[0]
            except torch.OutOfMemoryError as error:
                raise MemoryError(f"Memory ran out at {width}x{height} and {frames} frames.") from error

    def _source(self, task: str) -> GeneratorSettings:
        return self._settings.t2v if task == "t2v" else self._settings.i2v

    def _loaded(self, task: str) -> Any:
        source = self._source(task)
        if not source.base:
            what = "from text" if task == "t2v" else "from a first frame"
            raise Unsuited(f"No model that makes videos {what} is set up here.")
        if self._task != task:
            self._task, self._pipe = "", None
            try:
                self._pipe = _load(source)
            except Unsuited:
                raise
            except Exception as error:
                log.exception("the generator %s cannot be loaded", source)
                name = shown_name(source.base)
                raise OSError(f"The generator {name} cannot be loaded; try again later.") from error
            self._task = task
        return self._pipe


def _load(source: GeneratorSettings) -> Any:
    import diffusers
    import torch
    from diffusers import AutoencoderKLWan, DiffusionPipeline, WanTransformer3DModel
    from packaging.version import Version

    cuda = torch.cuda.is_available()
    if not cuda:
        config = WanTransformer3DModel.load_config(source.base, subfolder="transformer")
        with torch.device("meta"):
            outline: Any = WanTransformer3DModel.from_config(config)
        weights = sum(parameter.numel() for parameter in outline.parameters())
        if weights > _MOST_WEIGHTS_ON_CPU:
            raise Unsuited(
                f"{shown_name(source.base)} has {weights / 1e9:.1f} billion weights and needs a GPU; "
                "this machine has none."
            )
    # diffusers 0.40 renamed the argument.
    kind = "dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype"
    # The VAE shows banding in bfloat16.
    vae = AutoencoderKLWan.from_pretrained(
        source.base, subfolder="vae", use_safetensors=True, **{kind: torch.float32}
    )
    pipe = DiffusionPipeline.from_pretrained(
        source.base,
        custom_pipeline=source.code,
        trust_remote_code=True,
        vae=vae,
        use_safetensors=True,
        **{kind: torch.bfloat16 if cuda else torch.float32},
    )
    names = [f"lora_{place}" for place in range(len(source.loras))]
    for name, lora in zip(names, source.loras, strict=True):
        pipe.load_lora_weights(lora.source, adapter_name=name)
    if names:
        pipe.set_adapters(names, [lora.weight for lora in source.loras])
    pipe.set_progress_bar_config(disable=True)
    if cuda:
        pipe.enable_model_cpu_offload()
    return pipe


def read_image(path: Path, height: int, width: int) -> Any:
    """Read a first frame and cut it to the video's shape, the middle of it.

    Args:
        path: of any format that Pillow reads; transparent parts become white.
        height: pixels.
        width: pixels.

    Returns:
        A PIL image, RGB, of that size.

    Raises:
        ValueError: it is no image, or has too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # Pillow only warns of an image that would fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image = ImageOps.exif_transpose(file).convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError("The first frame is no image that can be read.") from error
    white = Image.new("RGBA", image.size, "white")
    return ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (width, height))


def write_video(path: Path, pictures: Any) -> None:
    """Write an MP4 that every browser plays (H.264, yuv420p, faststart); the same pictures, the same bytes.

    Args:
        path: the file.
        pictures: float array [T, H, W, 3] in 0..1, both sides even.
    """
    import av
    import numpy as np

    pixels = (np.asarray(pictures).clip(0, 1) * 255).round().astype(np.uint8)
    # The number of threads changes the bytes, and so does AVX-512 now and then on some processors.
    options = {"crf": "16", "threads": "1", "x264-params": "asm=avx2"}
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(FPS), options=options)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in pixels:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
