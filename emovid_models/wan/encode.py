"""From a clip to what the transformer is trained on: latents, text embeddings, and I2V's first image.

The encoders are those of the stock pipelines and are called through them, so that training sees exactly
what generation feeds to the transformer. Cached and uncached training both come here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from huggingface_hub import snapshot_download
from packaging import version
from PIL import Image
from transformers import AutoTokenizer, CLIPVisionConfig

from emovid_models.records import hub_commit
from emovid_models.remote.wan.conditioning import DEFAULT_WORDING, conditioning_text, fit_caption
from emovid_models.remote.wan.inputs import check_vae
from emovid_models.wan.noise_levels import boundary_of

TEXT_LENGTH = 512
"""Tokens of text that the transformer sees; the I2V transformer finds its image tokens by this number."""

FPS = 16.0
"""Frames per second that Wan2.1 was trained at."""

STORED = torch.bfloat16
"""The type of encoded clips and texts, in the cache and without it."""

_ENDS = 1 << 16

Variant = str
"""Which parts of the text are kept: one of `VARIANTS`."""

VARIANTS: tuple[Variant, ...] = ("whole", "no emotion", "no caption", "empty")
"""All; the caption alone, for guidance by the emotion; the emotion alone; nothing, for guidance at all."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A shape that clips are cut to, so that a batch is one tensor.

    Attributes:
        frames: 4k+1.
        height: pixels, a multiple of 16.
        width: pixels, a multiple of 16.
    """

    frames: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}"


def dtype_option(dtype: torch.dtype) -> dict[str, Any]:
    """The keyword by which `from_pretrained` of this diffusers takes a type."""
    new = version.parse(diffusers.__version__) >= version.parse("0.40")
    return {"dtype" if new else "torch_dtype": dtype}


def text_variants(
    caption: str, emotion: str, content_type: str, wording: str = DEFAULT_WORDING
) -> dict[Variant, str]:
    """The four texts that a clip is trained with.

    Args:
        caption: may be empty.
        emotion: one of the eight emotions.
        content_type: "cartoon", "movie" or "sticker".
        wording: of `conditioning_text`.

    Returns:
        A text for each of `VARIANTS`.

    >>> text_variants("A cat.", "awe", "movie")["no caption"]
    'The video is in the "awe" emotion.'
    >>> text_variants("A cat.", "awe", "movie", "mood")["no emotion"]
    'A cat. A live-action movie scene.'
    """
    return {
        "whole": conditioning_text(caption, emotion, content_type, wording=wording),
        "no emotion": conditioning_text(caption, None, content_type, wording=wording),
        "no caption": conditioning_text("", emotion, content_type, wording=wording),
        "empty": "",
    }


def first_indices(num_frames: int, wanted: int) -> list[int]:
    """Choose the first frames of a clip, at its own rate.

    Args:
        num_frames: frames of the clip.
        wanted: frames of the bucket.

    Returns:
        `wanted` indices that never fall; the last frame is repeated where the clip is shorter.
    """
    return [min(num_frames - 1, index) for index in range(wanted)]


def frame_indices(num_frames: int, fps: float, wanted: int) -> list[int]:
    """Choose the frames of a bucket from a clip: the middle of the clip, at `FPS`.

    Args:
        num_frames: frames of the clip.
        fps: frames per second of the clip.
        wanted: frames of the bucket.

    Returns:
        `wanted` indices that never fall; a slower clip's frames are repeated, as a player shows them.

    >>> frame_indices(10, 8.0, 9)
    [3, 3, 4, 4, 5, 5, 6, 6, 7]
    """
    start = max(0.0, (num_frames / fps - wanted / FPS) / 2)
    # The middle of each tick, so that rounding never falls on the border between two frames.
    return [min(num_frames - 1, int((start + (k + 0.5) / FPS) * fps)) for k in range(wanted)]


def fit(frames: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize frames to cover a size, and crop what is left over on both sides.

    Args:
        frames: uint8 [T, H, W, 3].
        height: pixels wanted.
        width: pixels wanted.

    Returns:
        uint8 [T, 3, height, width].
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    rows, columns = pixels.shape[-2:]
    scale = max(height / rows, width / columns)
    size = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    if size != (rows, columns):
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels[:, :, top : top + height, left : left + width].contiguous()


@dataclass(frozen=True, slots=True)
class BaseOutline:
    """A base without its weights: what a plan needs to know, read before gigabytes are loaded.

    Attributes:
        name: folder or Hub repo.
        revision: of the Hub repo, or None.
        task: "t2v" or "i2v".
        vae: an `AutoencoderKLWan` on the meta device.
        transformer: a `WanTransformer3DModel` on the meta device.
        tokenizer: of the text encoder.
        image_tokens: image tokens that the transformer sees; 0 without an image encoder.
        shift: of the scheduler.
        boundary: noise level, 0..1, from which on the first of two transformers works; None for a base with
            one.
        expand_timesteps: whether each token has a time of its own, so that the base also makes videos of a
            first image, whose tokens have no noise: Wan2.2 TI2V.
    """

    name: str
    revision: str | None
    task: str
    vae: Any
    transformer: Any
    tokenizer: Any
    image_tokens: int
    shift: float
    boundary: float | None = None
    expand_timesteps: bool = False

    @classmethod
    def read(cls, name: str | Path, task: str, revision: str | None = None) -> BaseOutline:
        """Read a base's configs.

        Args:
            name: a folder or a Hub repo in the layout of diffusers.
            task: "t2v" or "i2v".
            revision: of the Hub repo.

        Raises:
            ValueError: it is a base for the other task, or its VAE's scale factors contradict its layers.
            OSError: it is not there.
        """
        where: dict[str, Any] = {"revision": revision}
        with torch.device("meta"):
            vae = AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(name, subfolder="vae", **where))
            transformer = WanTransformer3DModel.from_config(
                WanTransformer3DModel.load_config(name, subfolder="transformer", **where)
            )
        check_vae(vae.config)
        index = WanPipeline.load_config(name, **where)
        expand = bool(index.get("expand_timesteps"))
        found = "i2v" if transformer.config.in_channels > transformer.config.out_channels else "t2v"
        if found != task and not expand:
            raise ValueError(f"base {name} is made for task {found}, not {task}")
        image_tokens = 0
        if transformer.config.image_dim is not None:
            vision: Any = CLIPVisionConfig.from_pretrained(name, subfolder="image_encoder", **where)
            image_tokens = (vision.image_size // vision.patch_size) ** 2 + 1
        scheduler = FlowMatchEulerDiscreteScheduler.load_config(name, subfolder="scheduler", **where)
        return cls(
            str(name),
            revision,
            task,
            vae,
            transformer,
            AutoTokenizer.from_pretrained(name, subfolder="tokenizer", **where),
            image_tokens,
            # UniPC and Euler call it by different names.
            float(scheduler.get("flow_shift") or scheduler.get("shift") or 1.0),
            boundary_of(index),
            expand,
        )

    @property
    def multiple(self) -> int:
        """What both sides of a frame must be multiples of."""
        patch: int = max(self.transformer.config.patch_size[1:])
        return max(16, self.vae.config.scale_factor_spatial * patch)

    def fitted(self, caption: str, texts_of: Callable[[str], Iterable[str]]) -> str:
        """Shorten a caption until the texts made of it fit into the text encoder, see `fit_caption`."""

        def tokens_of(text: str) -> int:
            # No tokenizer makes more tokens than bytes, but for the one that ends a text.
            if len(text.encode()) < TEXT_LENGTH:
                return 0
            return len(self.tokenizer(prompt_clean(text), verbose=False).input_ids)

        return fit_caption(caption, texts_of, tokens_of, TEXT_LENGTH)

    def latent_shape(self, bucket: Bucket) -> tuple[int, int, int, int]:
        """Shape [C, T', H', W'] of a bucket's latents."""
        spatial = self.vae.config.scale_factor_spatial
        frames = (bucket.frames - 1) // self.vae.config.scale_factor_temporal + 1
        return self.vae.config.z_dim, frames, bucket.height // spatial, bucket.width // spatial

    def identity(self) -> str:
        """Names the base by its content: a Hub repo's commit, or 16 hex digits that change with the files.

        Raises:
            OSError: it is not there, or the commit is not known.
        """
        if not Path(self.name).is_dir():
            return hub_commit(self.name, self.revision, file="model_index.json")
        second = ["transformer_2"] if self.boundary is not None else []
        return self._digest([*self._encoders, "transformer", *second, "scheduler"])

    @property
    def first_frame_stays(self) -> bool:
        """Whether a first image takes the place of the first latent frame, and not channels of its own."""
        return self.expand_timesteps and self.task == "i2v"

    def fingerprint(self) -> str:
        """16 hex digits that change with the task or with the files of the encoders."""
        return self._digest(self._encoders)

    @property
    def _encoders(self) -> list[str]:
        return ["vae", "text_encoder", "tokenizer", *(["image_encoder"] if self.image_tokens else [])]

    def _digest(self, parts: Sequence[str]) -> str:
        """Of every file only the size and the ends are read.

        That is enough to tell two models apart, and quick for the 11 GB of the text encoder.
        """
        folder = Path(self.name)
        if not folder.is_dir():
            patterns = [f"{part}/*" for part in parts]
            folder = Path(snapshot_download(self.name, revision=self.revision, allow_patterns=patterns))
        digest = hashlib.sha256(f"{self.task} {STORED}".encode())
        for path in sorted(path for part in parts for path in (folder / part).iterdir() if path.is_file()):
            size = path.stat().st_size
            with path.open("rb") as file:
                digest.update(f"{path.parent.name}/{path.name} {size}".encode() + file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read())
        return digest.hexdigest()[:16]


class Encoders:
    """The base's VAE and text encoder, and its image encoder for I2V.

    Args:
        pipeline: a stock pipeline without transformer.
        outline: of the base.
    """

    def __init__(self, pipeline: Any, outline: BaseOutline) -> None:
        self.pipeline, self.outline = pipeline, outline
        self.device = next(pipeline.vae.parameters()).device

    @classmethod
    def load(cls, outline: BaseOutline, device: torch.device | str = "cpu") -> Encoders:
        """Load the encoders of a base.

        Args:
            outline: of the base.
            device: where they run; the text encoder is in bfloat16 on CUDA, the VAE always in float32.
        """
        kind: Any = WanImageToVideoPipeline if outline.task == "i2v" else WanPipeline
        dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        options = {"revision": outline.revision, "use_safetensors": True}
        vae = AutoencoderKLWan.from_pretrained(
            outline.name, subfolder="vae", **dtype_option(torch.float32), **options
        )
        pipeline = kind.from_pretrained(
            outline.name, vae=vae, transformer=None, transformer_2=None, **dtype_option(dtype), **options
        )
        for part in ("vae", "text_encoder", "image_encoder"):
            module = getattr(pipeline, part, None)
            if module is not None:
                module.requires_grad_(False).eval().to(device)
        return cls(pipeline, outline)

    @torch.no_grad()
    def encode_text(self, text: str) -> torch.Tensor:
        """Encode a text.

        Returns:
            bfloat16 [L, D], only the L tokens that the text has; the transformer gets zeros after them.
        """
        pipe = self.pipeline
        embeds, _ = pipe.encode_prompt(text, None, False, max_sequence_length=TEXT_LENGTH, device=self.device)
        filled = embeds[0].abs().amax(dim=1).nonzero()
        length = int(filled[-1]) + 1 if len(filled) else 0
        return embeds[0, :length].to(STORED).cpu()

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode a clip.

        Args:
            pixels: uint8 [T, 3, H, W].

        Returns:
            bfloat16 tensors: `latents` [C, T', H', W'], normalized; for I2V also `condition`
            [C, T', H', W'] of the first frame, where that takes the place of a latent frame [C, 1, H', W'],
            and `image` [N, D] where there is an image encoder.
        """
        pipe = self.pipeline
        video = (pixels.to(self.device).float() / 127.5 - 1).permute(1, 0, 2, 3)[None]
        config = pipe.vae.config
        mean = torch.tensor(config.latents_mean, device=self.device).view(1, -1, 1, 1, 1)
        std = torch.tensor(config.latents_std, device=self.device).view(1, -1, 1, 1, 1)
        latents = (pipe.vae.encode(video.to(pipe.vae.dtype)).latent_dist.mode().float() - mean) / std
        encoded = {"latents": latents[0]}
        if self.outline.task == "i2v":
            # A base whose first frame stays gives its mask as a third.
            _, condition, *_ = pipe.prepare_latents(
                video[:, :, 0],
                batch_size=1,
                num_channels_latents=config.z_dim,
                height=pixels.shape[2],
                width=pixels.shape[3],
                num_frames=pixels.shape[0],
                dtype=torch.float32,
                device=self.device,
                latents=latents,
            )
            # Its first channels are the mask of the first frame, the same for every clip.
            encoded["condition"] = condition[0, -config.z_dim :]
            if self.outline.image_tokens:
                image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
                encoded["image"] = pipe.encode_image(image, self.device)[0]
        return {name: tensor.to(STORED).cpu() for name, tensor in encoded.items()}


def transformer_input(
    noisy: torch.Tensor, condition: torch.Tensor | None, temporal_factor: int = 4
) -> torch.Tensor:
    """Put I2V's mask and condition beside the noisy latents, as the stock pipeline does.

    Args:
        noisy: [B, C, T', H', W'].
        condition: [B, C, T', H', W'] of the first frame, or None for T2V.
        temporal_factor: channels of the mask, 1 on the first latent frame and 0 elsewhere.

    Returns:
        [B, C, T', H', W'] for T2V, [B, 2 * C + temporal_factor, T', H', W'] for I2V.
    """
    if condition is None:
        return noisy
    batch, _, frames, height, width = noisy.shape
    mask = noisy.new_zeros(batch, temporal_factor, frames, height, width)
    mask[:, :, 0] = 1
    return torch.cat([noisy, mask, condition.to(noisy.dtype)], dim=1)
