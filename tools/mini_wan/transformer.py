"""The transformers: pre-training by flow matching on packed texts, for T2V and then for I2V."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttnProcessor, WanTransformer3DModel
from diffusers.training_utils import EMAModel

from emovid_models.wan.encode import transformer_input
from emovid_models.wan.noise_levels import TIMESTEPS, shifted
from tools.mini_wan.base import LATENT_CHANNELS, WanSize
from tools.mini_wan.clips import clip_weights
from tools.mini_wan.text import TextEmbeddings, draw_text
from tools.mini_wan.training import (
    Schedule,
    generator_of,
    half_precision,
    move,
    train,
    training_device,
    training_dtype,
)


class PackedAttention(WanAttnProcessor):
    """Cross-attention to packed texts; `bias` is set before each forward."""

    bias: torch.Tensor | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """As in the stock processor, with the bias as the mask."""
        return super().__call__(attn, hidden_states, encoder_hidden_states, self.bias, rotary_emb)


def new_transformer(size: WanSize, seed: int, *, image_to_video: bool = False) -> WanTransformer3DModel:
    """A small `WanTransformer3DModel`, without CLIP for I2V."""
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        num_attention_heads=size.heads,
        attention_head_dim=size.width // size.heads,
        in_channels=2 * LATENT_CHANNELS + 4 if image_to_video else LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=size.text_dim,
        freq_dim=64,
        ffn_dim=4 * size.width,
        num_layers=size.layers,
        rope_max_seq_len=32,
        image_dim=None,
    )


def widen_for_images(transformer: WanTransformer3DModel, size: WanSize) -> WanTransformer3DModel:
    """The I2V transformer that starts as the T2V transformer: its new inputs have zero weight."""
    wide = new_transformer(size, 0, image_to_video=True)
    state = transformer.state_dict()
    kernel = torch.zeros_like(wide.state_dict()["patch_embedding.weight"])
    kernel[:, :LATENT_CHANNELS] = state["patch_embedding.weight"]
    wide.load_state_dict({**state, "patch_embedding.weight": kernel})
    return wide


def train_transformer(
    transformer: WanTransformer3DModel,
    texts: TextEmbeddings,
    stems: Sequence[str],
    latents: torch.Tensor,
    conditions: torch.Tensor | None,
    schedule: Schedule,
    shift: float,
    seed: int,
    checkpoint: Path,
) -> None:
    """Pre-train by flow matching, as the LoRA is trained later; keep the averaged weights.

    Args:
        transformer: changed in place.
        texts: the embeddings of the base's texts.
        stems: of the clips.
        latents: [clips, 2, C, T', H', W'], the clip and its mirror image.
        conditions: the same for the first frames, for I2V; else None.
        schedule: how long and how fast.
        shift: of the scheduler.
        seed: of everything random.
        checkpoint: file to resume from.
    """
    weights = clip_weights(stems)
    device = training_device()
    move(transformer, device)
    attention = PackedAttention()
    blocks: Any = transformer.blocks
    for block in blocks:
        block.attn2.set_processor(attention)
    ema = EMAModel(transformer.parameters(), decay=0.997, use_ema_warmup=True, power=0.75)

    def loss_of(step: int) -> torch.Tensor:
        generator = generator_of(seed, step)
        image = step < schedule.steps * schedule.image_share
        count = schedule.batch_size * (4 if image else 1)
        chosen = generator.choice(len(stems), count, p=weights)
        mirrored = generator.integers(2, size=count)
        clean = latents[chosen, mirrored]
        condition = None if conditions is None else conditions[chosen, mirrored]
        if image:
            clean = clean[:, :, :1]
            condition = None if condition is None else condition[:, :, :1]
        # Evenly spread over the batch, which steadies the loss.
        logit = torch.special.ndtri((torch.arange(count) + torch.rand(count)) / count).clamp(-5, 5)
        sigma = torch.tensor([shifted(time, shift) for time in torch.sigmoid(logit).tolist()]).to(device)
        noise = torch.randn(clean.shape).to(device)  # the same numbers on every device
        clean = clean.to(device)
        condition = None if condition is None else condition.to(device)
        weight = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - weight) * clean + weight * noise
        packed, bias = texts.pack([draw_text(stems[index], generator) for index in chosen])
        attention.bias = bias.to(device, training_dtype())
        with half_precision():
            prediction = transformer(
                hidden_states=transformer_input(noisy, condition),
                timestep=sigma * TIMESTEPS,
                encoder_hidden_states=packed.to(device),
                return_dict=False,
            )[0]
        return F.mse_loss(prediction.float(), noise - clean)

    train("base", transformer, schedule, loss_of, checkpoint, ema=ema)
    ema.copy_to(transformer.parameters())
    transformer.cpu()
    for block in blocks:
        block.attn2.set_processor(WanAttnProcessor())
