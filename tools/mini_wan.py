"""Train the miniature Wan2.1 from scratch: the VAE, the tokenizer, and the T2V and I2V transformers.

All of it in diffusers' and transformers' own classes, saved in the layout that the stock pipelines load. The
text encoder keeps its random weights: with a closed set of short captions its work is to tell words apart,
and words that the base never sees, those of the moods, are then as far apart as the others.

Everything random in a step is a function of the seed and of the step's number, so that a run that goes on
from a checkpoint takes the same steps as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from diffusers.training_utils import EMAModel
from mini_captions import SUBJECTS, TEMPLATES, specific_subject, subject_of
from PIL import Image
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

from emovid_dataset.terminal import Progress
from emovid_models.remote.wan.conditioning import MOODS, STYLES, conditioning_text
from emovid_models.wan.encode import TEXT_LENGTH, fit, frame_indices, transformer_input
from emovid_models.wan.train_lora import TIMESTEPS, shifted

SIZE = 64
"""Pixels of a side of a clip."""
FRAMES = 17
"""Frames of a clip, 16 a second."""
LATENT_CHANNELS = 16

SHARES = {
    "a yellow face": 0.34,
    "the face of a cat": 0.06,
    "a person": 0.09,
    "a woman": 0.09,
    "a man": 0.09,
    "an animal": 0.1,
    "a figure": 0.07,
    "a heart": 0.04,
    "a hand": 0.04,
    "something in the sky": 0.04,
}
"""How often a subject is drawn in training; the other subjects share what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WanSize:
    """How large the miniature is.

    Attributes:
        vae_dim: channels of the VAE's first level.
        width: of the transformer.
        heads: of its attention.
        layers: of it.
        text_dim: width of the text encoder.
    """

    vae_dim: int = 16
    width: int = 192
    heads: int = 6
    layers: int = 6
    text_dim: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a part is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: clips a step.
        learning_rate: at its peak; it rises over `warmup` steps and falls along a cosine to a twentieth.
        image_share: share of the steps, the first ones, that see first frames only, four times as many.
        warmup: steps.
        checkpoint_every: steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    image_share: float = 0.0
    warmup: int = 50
    checkpoint_every: int = 200

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * rise * (0.05 + 0.95 * fall)


# Clips


@dataclass(frozen=True, slots=True)
class EmojiClips:
    """The emoji that base and VAE are trained on.

    Attributes:
        stems: file names without their ending.
        pixels: uint8 [clips, FRAMES, 3, SIZE, SIZE].
    """

    stems: tuple[str, ...]
    pixels: torch.Tensor

    @classmethod
    def load(cls, path: Path) -> EmojiClips:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(tuple(map(str, stored["stems"])), torch.from_numpy(stored["pixels"]))

    def save(self, path: Path) -> None:
        """Write to a file that is either complete or absent."""
        part = path.with_name(f".{path.name}.part.npz")
        np.savez(part, stems=np.array(self.stems), pixels=self.pixels.numpy())
        os.replace(part, path)


def read_emoji(path: Path) -> torch.Tensor:
    """The middle of an animated image at 16 frames a second, on white; uint8 [FRAMES, 3, SIZE, SIZE].

    A still image is repeated.
    """
    with Image.open(path) as image:
        count = image.n_frames  # type: ignore[attr-defined]
        rate = 1000 / (image.info.get("duration") or 1000)
        wanted = frame_indices(count, rate, FRAMES)
        pictures: dict[int, np.ndarray] = {}
        for index in range(max(wanted) + 1):
            image.seek(index)
            if index in wanted:
                picture = image.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                pictures[index] = np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
    return fit(np.stack([pictures[index] for index in wanted]), SIZE, SIZE)


# Training loops


def train(
    name: str,
    module: torch.nn.Module,
    schedule: Schedule,
    loss_of: Callable[[int], torch.Tensor],
    checkpoint: Path,
    *,
    ema: EMAModel | None = None,
) -> None:
    """Take the optimizer steps of one part, going on from its checkpoint if there is one.

    Args:
        name: for the progress line.
        module: what is trained.
        schedule: how long and how fast.
        loss_of: the loss of a step, a function of the step's number.
        checkpoint: file that holds weights and optimizer between checkpoints.
        ema: a running average of the weights.
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=0, betas=(0.9, 0.98), weight_decay=0.01)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        start = state["step"]
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        if ema is not None:
            ema.shadow_params = state["ema"]
            ema.optimization_step = start
    module.train()
    recent: list[float] = []
    with Progress(schedule.steps - start, unit="steps", title=name) as progress:
        for step in range(start, schedule.steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            loss = loss_of(step)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if ema is not None:
                ema.step(module.parameters())
            recent.append(loss.item())
            done = step + 1
            if done % 50 == 0 or done == schedule.steps:
                print(f"{name} step {done}: loss {np.mean(recent):.4f}", flush=True)
                recent = []
            if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                state = {"step": done, "module": module.state_dict(), "optimizer": optimizer.state_dict()}
                if ema is not None:
                    state["ema"] = ema.shadow_params
                part = checkpoint.with_name(f".{checkpoint.name}.part")
                torch.save(state, part)
                os.replace(part, checkpoint)
            progress.update()
    module.eval()


def generator_of(seed: int, step: int) -> np.random.Generator:
    """The random numbers of a step; they seed torch's as well."""
    generator = np.random.default_rng([seed, step])
    torch.manual_seed(int(generator.integers(1 << 62)))
    return generator


def clip_weights(stems: Sequence[str]) -> np.ndarray:
    """Probability of each clip to be drawn, by `SHARES`."""
    subjects = [subject_of(stem) for stem in stems]
    counts = {subject: subjects.count(subject) for subject in set(subjects)}
    others = sum(count for subject, count in counts.items() if subject not in SHARES)
    rest = 1 - sum(share for subject, share in SHARES.items() if subject in counts)
    weights = np.array(
        [SHARES[s] / counts[s] if s in SHARES else rest / max(1, others) for s in map(str, subjects)]
    )
    return weights / weights.sum()


# The VAE


def new_vae(size: WanSize, seed: int) -> AutoencoderKLWan:
    """An `AutoencoderKLWan` of 8 x 8 pixels and 4 frames a latent, with random weights.

    Like Wan2.2's it puts 2 x 2 pixels together first, which halves the time.
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


PIECES_SHARE = 0.2
"""Share of the steps that see pieces of 5 and 9 frames, between single frames and whole clips."""


def train_vae(
    vae: AutoencoderKLWan,
    clips: EmojiClips,
    schedules: Sequence[Schedule],
    seed: int,
    checkpoints: Sequence[Path],
) -> None:
    """Train the VAE in two rounds, then set its latents' statistics.

    The first round goes from single frames over pieces of 5 and 9 to whole clips: the decoder hands what it
    knows from frame to frame, and without whole clips in its training it fades from the first frame to the
    last. It ends with a VAE that repeats the first frame, whatever moves. The second round
    therefore shows, every other step, another clip in each latent's frames, so that each latent must say
    what is to be seen; in between, on clips as they are, what changes from frame to frame counts.

    Args:
        vae: changed in place.
        clips: to learn from.
        schedules: of both rounds; the `batch_size` counts frames.
        seed: of everything random.
        checkpoints: files for going on, one a round.
    """
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
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(video).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        decoded = decoded.float()
        # Edges are what a small picture lives from.
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
        first_only: encode the first frame and grey after it, which is I2V's condition.
        raw: leave the latents as the VAE gives them.

    Returns:
        float32 [clips, C, T', H', W'].
    """
    config: Any = vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    parts = []
    for batch in pixels.split(8):
        video = batch.permute(0, 2, 1, 3, 4).float() / 127.5 - 1
        if first_only:
            video = torch.cat([video[:, :, :1], torch.zeros_like(video[:, :, 1:])], dim=2)
        with torch.autocast("cpu", torch.bfloat16):
            latents = vae.encode(video).latent_dist.mode().float()
        parts.append(latents if raw else (latents - mean) / std)
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


# The text side


def new_tokenizer(texts: Iterable[str]) -> T5TokenizerFast:
    """A Unigram tokenizer: every word of the texts is a piece, any other word is spelt in letters.

    Args:
        texts: all that base and LoRA may be asked with; a word's score is the logarithm of its frequency.
    """
    counts = Counter(word for text in texts for word in re.findall(r"[\w'-]+|[^\w\s]", text))
    words = {f"▁{word}" if word[0].isalnum() else word: count for word, count in sorted(counts.items())}
    total = sum(words.values())
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -12.0)]
    pieces += [(word, math.log(count / total)) for word, count in words.items()]
    letters = [chr(code) for code in range(33, 127)]
    pieces += [(letter, -12.0) for letter in letters if letter not in words]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


def known_texts(stems: Iterable[str]) -> list[str]:
    """Every text that the miniature is trained or asked with: captions, styles and moods."""
    subjects = [*SUBJECTS, *(name for stem in stems if (name := specific_subject(stem)))]
    captions = [template.format(subject) for subject in subjects for template in TEMPLATES]
    moods = [
        conditioning_text("", mood, style, intensity)
        for mood in MOODS
        for style in STYLES
        for intensity in (0.4, 1.0, 1.5)
    ]
    return [*captions, *moods]


def new_text_encoder(size: WanSize, vocabulary: int, seed: int) -> UMT5EncoderModel:
    """A small `UMT5EncoderModel` with random weights."""
    torch.manual_seed(seed)
    config = UMT5Config(
        vocab_size=vocabulary,
        d_model=size.text_dim,
        d_kv=size.text_dim // 4,
        d_ff=2 * size.text_dim,
        num_layers=1,
        num_heads=4,
    )
    return UMT5EncoderModel(config).eval()


class TextEmbeddings:
    """Embeddings of texts, computed once each, and packed without the 512 - L zeros after each.

    Args:
        tokenizer: of the base.
        encoder: of the base.
    """

    def __init__(self, tokenizer: T5TokenizerFast, encoder: UMT5EncoderModel) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder
        self.of = lru_cache(maxsize=None)(self._embed)

    @torch.no_grad()
    def _embed(self, text: str) -> torch.Tensor:
        tokens = torch.tensor([self.tokenizer(text).input_ids])
        return self.encoder(tokens).last_hidden_state[0]

    def pack(self, texts: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [B, L, D] and what to add to the attention logits, [B, 1, 1, L].

        The transformer sees 512 tokens, of which all after the text are the same zeros. Attention to n equal
        keys is attention to one of them with log n added to its logit, so a few stand for all.
        """
        rows = [self.of(text) for text in texts]
        length = max(map(len, rows)) + 1
        packed = torch.zeros(len(rows), length, rows[0].shape[1])
        bias = torch.zeros(len(rows), 1, 1, length)
        for index, row in enumerate(rows):
            packed[index, : len(row)] = row
            bias[index, ..., len(row) :] = math.log((TEXT_LENGTH - len(row)) / (length - len(row)))
        return packed, bias


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
        """As the stock processor's, with the bias as mask."""
        return super().__call__(attn, hidden_states, encoder_hidden_states, self.bias, rotary_emb)


# The transformers


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
    """The I2V transformer that at first does what a T2V transformer does: its new inputs weigh nothing."""
    wide = new_transformer(size, 0, image_to_video=True)
    state = transformer.state_dict()
    kernel = torch.zeros_like(wide.state_dict()["patch_embedding.weight"])
    kernel[:, :LATENT_CHANNELS] = state["patch_embedding.weight"]
    wide.load_state_dict({**state, "patch_embedding.weight": kernel})
    return wide


def draw_text(stem: str, generator: np.random.Generator) -> str:
    """A text without emotion for a clip: mostly caption and style, now and then the caption alone."""
    draw = generator.random()
    subject = str(subject_of(stem))
    if generator.random() < 0.25:
        subject = specific_subject(stem) or subject
    caption = str(generator.choice(TEMPLATES)).format(subject)
    if draw < 0.1:
        return ""
    return caption if draw < 0.2 else conditioning_text(caption, None, "sticker")


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
    """Pre-train by flow matching, as the LoRA is trained later; the averaged weights stay.

    Args:
        transformer: changed in place.
        texts: gives embeddings.
        stems: of the clips.
        latents: [clips, 2, C, T', H', W'], the clip and its mirror image.
        conditions: the same of the first frames for I2V, or None.
        schedule: how long and how fast.
        shift: of the scheduler.
        seed: of everything random.
        checkpoint: file for going on.
    """
    weights = clip_weights(stems)
    attention = PackedAttention()
    for block in transformer.blocks:
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
        sigma = torch.tensor([shifted(time, shift) for time in torch.sigmoid(logit).tolist()])
        noise = torch.randn(clean.shape)
        weight = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - weight) * clean + weight * noise
        packed, bias = texts.pack([draw_text(stems[index], generator) for index in chosen])
        attention.bias = bias.to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = transformer(
                hidden_states=transformer_input(noisy, condition),
                timestep=sigma * TIMESTEPS,
                encoder_hidden_states=packed,
                return_dict=False,
            )[0]
        return F.mse_loss(prediction.float(), noise - clean)

    train("base", transformer, schedule, loss_of, checkpoint, ema=ema)
    ema.copy_to(transformer.parameters())
    for block in transformer.blocks:
        block.attn2.set_processor(WanAttnProcessor())


# Saving


def new_scheduler(shift: float) -> UniPCMultistepScheduler:
    """The scheduler of the published Wan2.1 bases."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


def save_base(
    folder: Path,
    *,
    vae: AutoencoderKLWan,
    tokenizer: T5TokenizerFast,
    text_encoder: UMT5EncoderModel,
    transformer: WanTransformer3DModel,
    shift: float,
    image_to_video: bool,
) -> None:
    """Save a base in the stock layout, its weights in float16 to be small.

    diffusers reads them into float32 unless told otherwise; transformers goes by the config, which says so.
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
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2) + "\n")
