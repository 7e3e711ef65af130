"""Wan2.1 at tiny size: the true classes with random weights, saved like the published bases."""

from __future__ import annotations

import string

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanTransformer3DModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from emovid_models.remote.wan.conditioning import MOODS, STYLES, WORDINGS, conditioning_text

Z_DIM = 4
CAPTION = "a cat on a roof"


def tiny_vae(**changes: object) -> AutoencoderKLWan:
    torch.manual_seed(1)
    config = {
        "base_dim": 4,
        "z_dim": Z_DIM,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.1, -0.2, 0.3, -0.4],
        "latents_std": [1.5, 0.5, 2.0, 1.0],
    }
    return AutoencoderKLWan(**{**config, **changes}).eval()


def tiny_transformer(**changes: object) -> WanTransformer3DModel:
    torch.manual_seed(2)
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": Z_DIM,
        "out_channels": Z_DIM,
        "text_dim": 16,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "rope_max_seq_len": 32,
    }
    return WanTransformer3DModel(**{**config, **changes}).eval()


def tiny_text_encoder() -> UMT5EncoderModel:
    torch.manual_seed(3)
    config = UMT5Config(vocab_size=256, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return UMT5EncoderModel(config).eval()


def tiny_tokenizer() -> T5TokenizerFast:
    """Every word of the conditioning texts is a token, every other word is spelt in letters."""
    texts = [
        conditioning_text(CAPTION, emotion, style, wording=wording)
        for wording in WORDINGS
        for emotion in MOODS
        for style in STYLES
    ]
    words = sorted({word for text in texts for word in text.split()})
    letters = sorted({"▁", *string.printable.strip()})
    pieces = [(piece, -1.0) for piece in ("<pad>", "</s>", "<unk>", *(f"▁{word}" for word in words))]
    return T5TokenizerFast(vocab=[*pieces, *((letter, -9.0) for letter in letters)], extra_ids=0)


def tiny_clip() -> CLIPVisionModel:
    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return CLIPVisionModel(config).eval()


def t2v_components() -> dict[str, object]:
    return {
        "tokenizer": tiny_tokenizer(),
        "text_encoder": tiny_text_encoder(),
        "vae": tiny_vae(),
        "transformer": tiny_transformer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }


def a14b_components() -> dict[str, object]:
    """As Wan2.2 T2V-A14B: one transformer for much noise, one for little."""
    second = tiny_transformer()
    torch.manual_seed(6)
    for parameter in second.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return {**t2v_components(), "transformer_2": second, "boundary_ratio": 0.875}


def ti2v_components() -> dict[str, object]:
    """As Wan2.2 TI2V-5B: a VAE that shrinks by 16, a time for each token, text or an image first."""
    vae = tiny_vae(
        base_dim=4,
        decoder_base_dim=4,
        dim_mult=[1, 1, 1, 1],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    )
    return {**t2v_components(), "vae": vae, "expand_timesteps": True}


def i2v_components() -> dict[str, object]:
    return {
        **t2v_components(),
        "transformer": tiny_transformer(in_channels=2 * Z_DIM + 4, image_dim=8, added_kv_proj_dim=24),
        "image_encoder": tiny_clip(),
        "image_processor": CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
    }
