"""The VAE: its training in two rounds, its latents, and how well clips come through it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from tools.mini_wan.base import LATENT_CHANNELS, WanSize
from tools.mini_wan.clips import FRAMES, EmojiClips, clip_weights
from tools.mini_wan.training import Schedule, generator_of, half_precision, move, train, training_device

PIECES_SHARE = 0.2
"""Share of the steps that see pieces of 5 and 9 frames, between single frames and whole clips."""


def new_vae(size: WanSize, seed: int) -> AutoencoderKLWan:
    """An `AutoencoderKLWan` of 8 x 8 pixels and 4 frames per latent, with random weights.

    Like Wan2.2's, it first merges 2 x 2 pixels, which halves the time.
    """
    torch.manual_seed(seed)
    return AutoencoderKLWan(
        base_dim=size.vae_dim,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
    )


def train_vae(
    vae: AutoencoderKLWan,
    clips: EmojiClips,
    schedules: Sequence[Schedule],
    seed: int,
    checkpoints: Sequence[Path],
) -> None:
    """Train the VAE in two rounds, then set its latents' statistics.

    The first round goes from single frames through pieces of 5 and 9 frames to whole clips: the decoder
    passes what it knows from frame to frame, and unless it is trained on whole clips, it fades from the first
    frame to the last. It ends with a VAE that repeats the first frame, whatever moves. Every other step of
    the second round therefore shows a different clip in each latent's frames, so that each latent must say
    what is to be seen; the steps in between see clips as they are, and weigh what changes between frames.

    Args:
        vae: changed in place.
        clips: to learn from.
        schedules: of both rounds; the `batch_size` counts frames.
        seed: of everything random.
        checkpoints: files to resume from, one per round.
    """
    device = training_device()
    move(vae, device)
    moving = np.array([len(torch.unique(clip[:, :, ::8, ::8], dim=0)) > 1 for clip in clips.pixels])
    weights = clip_weights(clips.stems)
    moving_weights = weights * moving / (weights * moving).sum() if moving.any() else weights

    def draw(schedule: Schedule, step: int, generator: np.random.Generator) -> torch.Tensor:
        done = step / schedule.steps - schedule.image_share
        frames = 1 if done < 0 else (5, 9)[step % 2] if done < PIECES_SHARE else FRAMES
        count = max(1, schedule.batch_size // frames)
        chosen = generator.choice(len(clips.stems), count, p=weights if frames == 1 else moving_weights)
        starts = generator.integers(FRAMES - frames + 1, size=count)
        return torch.stack([clips.pixels[i, s : s + frames] for i, s in zip(chosen, starts, strict=True)])

    def draw_cuts(schedule: Schedule, generator: np.random.Generator) -> torch.Tensor:
        count = max(1, schedule.batch_size // FRAMES)
        chosen = generator.choice(len(clips.stems), (count, 1 + (FRAMES - 1) // 4), p=weights)
        pieces = [slice(0, 1), *(slice(start, start + 4) for start in range(1, FRAMES, 4))]
        return torch.stack(
            [
                torch.cat([clips.pixels[i, piece] for i, piece in zip(row, pieces, strict=True)])
                for row in chosen
            ]
        )

    def loss_of(schedule: Schedule, cuts: bool, step: int) -> torch.Tensor:
        generator = generator_of(seed, step)
        cut = cuts and step % 2 == 0
        video = draw_cuts(schedule, generator) if cut else draw(schedule, step, generator)
        video = video.permute(0, 2, 1, 3, 4).float() / 127.5 - 1
        if generator.random() < 0.5:
            video = video.flip(-1)
        video = video.to(device)
        with half_precision():
            posterior = vae.encode(video).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        decoded = decoded.float()
        # A small picture lives by its edges.
        edges = sum(F.l1_loss(decoded.diff(dim=axis), video.diff(dim=axis)) for axis in (-1, -2))
        kl = 0.5 * (posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float())
        loss = F.l1_loss(decoded, video) + 0.5 * edges + 2e-4 * kl.mean()
        if cuts and not cut:
            loss = loss + 2 * F.l1_loss(decoded.diff(dim=2), video.diff(dim=2))
        return loss

    for name, schedule, cuts, checkpoint in zip(
        ("vae", "vae with cuts"), schedules, (False, True), checkpoints, strict=True
    ):
        train(name, vae, schedule, partial(loss_of, schedule, cuts), checkpoint)
    vae.cpu()
    latents = encode_clips(vae, clips.pixels[:: max(1, len(clips.stems) // 200)], raw=True)
    mean, std = latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())


@torch.no_grad()
def encode_clips(
    vae: AutoencoderKLWan, pixels: torch.Tensor, *, first_only: bool = False, raw: bool = False
) -> torch.Tensor:
    """Latents of clips, as the pipelines normalize them.

    Args:
        vae: the encoder.
        pixels: uint8 [clips, T, 3, H, W].
        first_only: encode the first frame followed by grey, which is I2V's condition.
        raw: leave the latents as the VAE returns them.

    Returns:
        float32 [clips, C, T', H', W'].
    """
    config: Any = vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    device = training_device()
    move(vae, device)
    parts = []
    for batch in pixels.split(8):
        video = batch.permute(0, 2, 1, 3, 4).float() / 127.5 - 1
        if first_only:
            video = torch.cat([video[:, :, :1], torch.zeros_like(video[:, :, 1:])], dim=2)
        with half_precision():
            latents = vae.encode(video.to(device)).latent_dist.mode().float().cpu()
        parts.append(latents if raw else (latents - mean) / std)
    vae.cpu()
    return torch.cat(parts)


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKLWan, pixels: torch.Tensor) -> float:
    """Mean PSNR in dB of clips [clips, T, 3, H, W] that went through the VAE."""
    values = []
    for clip in pixels:
        video = clip.permute(1, 0, 2, 3)[None].float() / 127.5 - 1
        decoded = vae.decode(vae.encode(video).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * math.log10(F.mse_loss(decoded, video).item() / 4 + 1e-12))
    return float(np.mean(values))
