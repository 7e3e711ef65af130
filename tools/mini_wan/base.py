"""The base as a whole: how large it is, and how it is saved in the stock layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from transformers import T5Tokenizer, UMT5EncoderModel

LATENT_CHANNELS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WanSize:
    """How large the miniature is.

    Attributes:
        vae_dim: channels of the VAE's first level.
        width: of the transformer.
        heads: of its attention.
        layers: of the transformer.
        text_dim: width of the text encoder.
    """

    vae_dim: int = 16
    width: int = 192
    heads: int = 6
    layers: int = 6
    text_dim: int = 128


def new_scheduler(shift: float) -> UniPCMultistepScheduler:
    """The scheduler of the published Wan2.1 bases."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


def save_base(
    folder: Path,
    *,
    vae: AutoencoderKLWan,
    tokenizer: T5Tokenizer,
    text_encoder: UMT5EncoderModel,
    transformer: WanTransformer3DModel,
    shift: float,
    image_to_video: bool,
) -> None:
    """Save a base in the stock layout, with weights in float16 to keep it small.

    diffusers reads them into float32 unless told otherwise; transformers follows the config, which says the
    same.
    """
    parts: dict[str, Any] = {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder.half(),
        "vae": vae.half(),
        "transformer": transformer.half(),
        "scheduler": new_scheduler(shift),
    }
    if image_to_video:
        pipeline: Any = WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None)
    else:
        pipeline = WanPipeline(**parts)
    pipeline.save_pretrained(folder)
    config = folder / "text_encoder" / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2, allow_nan=False) + "\n"
    )
