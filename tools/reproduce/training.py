"""The training stages: VAE, bases and LoRAs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from transformers import T5Tokenizer, UMT5EncoderModel

from emovid_dataset.read.select import select
from emovid_dataset.store import write_file
from emovid_models.remote.wan.lora import WEIGHT_NAME
from emovid_models.wan.recipes import settings_for
from emovid_models.wan.train_lora import train_lora
from tools.mini_annotator.sheets import labelled_emoji
from tools.mini_wan.base import save_base
from tools.mini_wan.captions import subject_of
from tools.mini_wan.clips import FRAMES, SHARES, SIZE, EmojiClips
from tools.mini_wan.text import (
    OTHER_WORDING,
    WORDING,
    TextEmbeddings,
    known_texts,
    new_text_encoder,
    new_tokenizer,
)
from tools.mini_wan.training import half_precision
from tools.mini_wan.transformer import new_transformer, train_transformer, widen_for_images
from tools.mini_wan.vae import encode_clips, new_vae, reconstruction_psnr, train_vae
from tools.reproduce.data import held_out_pixels
from tools.reproduce.run import Run


def vae_checkpoints(run: Run) -> list[Path]:
    return [run.out / "checkpoints" / name for name in ("vae.pt", "vae-cuts.pt")]


def vae(run: Run) -> list[Path]:
    """Train the VAE."""
    clips = EmojiClips.load(run.clips)
    model = new_vae(run.settings.size, run.settings.seed)
    checkpoints = vae_checkpoints(run)
    schedules = (run.settings.vae, run.settings.vae_cuts)
    train_vae(model, clips, schedules, run.settings.seed, checkpoints)
    model.half().save_pretrained(run.model("vae"))
    model = AutoencoderKLWan.from_pretrained(run.model("vae"))
    held = np.stack([held_out_pixels(item.video, item.clip.fps) for item in select(run.build, split="test")])
    psnr = reconstruction_psnr(model, torch.from_numpy(held))
    print(f"PSNR on {len(held)} held-out stickers: {psnr:.2f} dB")
    write_file(
        run.out / "vae.json", json.dumps({"held_out_psnr_db": round(psnr, 2)}, allow_nan=False).encode()
    )
    return [run.model("vae")]


def base_t2v(run: Run) -> list[Path]:
    """Pre-train the T2V base, on texts without emotion."""
    return _train_base(run, "t2v")


def base_i2v(run: Run) -> list[Path]:
    """Pre-train the I2V base, starting from the T2V base's weights."""
    return _train_base(run, "i2v")


def prompted_clips(run: Run, clips: EmojiClips) -> EmojiClips:
    """The clips that a base is worth training on: subjects that prompts ask for, and labelled stickers."""
    labelled = {Path(emoji.asset).stem for emoji in labelled_emoji()}
    rows = [index for index, stem in enumerate(clips.stems) if subject_of(stem) in SHARES or stem in labelled]
    return EmojiClips(tuple(clips.stems[index] for index in rows), clips.pixels[rows])


def encoded_clips(run: Run, *, first_only: bool = False) -> tuple[tuple[str, ...], torch.Tensor]:
    """The clips that a base is trained on, or their first frames, as latents: encoded once and kept.

    Returns:
        Their stems, and [clips, 2, C, T', H', W'], each with its mirror image.
    """
    kept = run.latents(first_only=first_only)
    if not kept.exists():
        clips = prompted_clips(run, EmojiClips.load(run.clips))
        vae = AutoencoderKLWan.from_pretrained(run.model("vae"))
        both = torch.stack([clips.pixels, clips.pixels.flip(-1)], dim=1).flatten(0, 1)
        encoded = encode_clips(vae, both, first_only=first_only).unflatten(0, (-1, 2))
        part = kept.with_name(f".{kept.name}.part.npz")
        np.savez(part, stems=np.array(clips.stems), latents=encoded.half().numpy())
        os.replace(part, kept)
    with np.load(kept) as stored:
        return tuple(map(str, stored["stems"])), torch.from_numpy(stored["latents"]).float()


def _train_base(run: Run, task: str) -> list[Path]:
    settings = run.settings
    stems, latents = encoded_clips(run)
    conditions = encoded_clips(run, first_only=True)[1] if task == "i2v" else None
    if task == "t2v":
        tokenizer = new_tokenizer(known_texts(stems))
        encoder = new_text_encoder(settings.size, len(tokenizer), settings.seed)
        transformer = new_transformer(settings.size, settings.seed)
    else:
        base = run.model("wan-t2v")
        tokenizer = T5Tokenizer.from_pretrained(base, subfolder="tokenizer")
        encoder = UMT5EncoderModel.from_pretrained(base, subfolder="text_encoder")
        transformer = widen_for_images(
            WanTransformer3DModel.from_pretrained(base, subfolder="transformer"), settings.size
        )
    train_transformer(
        transformer,
        TextEmbeddings(tokenizer, encoder),
        stems,
        latents,
        conditions,
        settings.t2v if task == "t2v" else settings.i2v,
        settings.flow_shift,
        settings.seed,
        run.out / "checkpoints" / f"base-{task}.pt",
    )
    folder = run.model(f"wan-{task}")
    shutil.rmtree(folder, ignore_errors=True)
    save_base(
        folder,
        vae=AutoencoderKLWan.from_pretrained(run.model("vae")),
        tokenizer=tokenizer,
        text_encoder=encoder,
        transformer=transformer,
        shift=settings.flow_shift,
        image_to_video=task == "i2v",
    )
    return [folder]


def lora_t2v(run: Run) -> list[Path]:
    """Train the emotion LoRA for T2V."""
    return _train_lora(run, "t2v")


def lora_t2v_mood(run: Run) -> list[Path]:
    """Train another for T2V that differs in nothing but its wording."""
    return _train_lora(run, "t2v", OTHER_WORDING)


def lora_i2v(run: Run) -> list[Path]:
    """Train the emotion LoRA for I2V."""
    return _train_lora(run, "i2v")


def _train_lora(run: Run, task: str, wording: str = WORDING) -> list[Path]:
    """The paper's recipe, but for what its size of model and data asks for, or guidance by the emotion."""
    name = task if wording == WORDING else f"{task}-{wording}"
    work = run.out / "lora" / name
    settings = settings_for(
        "paper",
        task=task,
        data=str(run.build),
        base=str(run.model(f"wan-{task}")),
        out=str(work),
        content_type="sticker",
        wording=wording,
        steps=run.settings.t2v_lora_steps if task == "t2v" else run.settings.lora_steps,
        batch_size=run.settings.lora_batch,
        learning_rate=run.settings.lora_rate,
        rank=run.settings.lora_rank,
        alpha=run.settings.lora_rank,
        shift=None,
        framing="buckets",
        height=SIZE,
        width=SIZE,
        max_frames=FRAMES,
        max_grad_norm=1.0,
        checkpointing=False,
        emotion_dropout=run.settings.emotion_dropout,
        caption_dropout=run.settings.t2v_caption_dropout if task == "t2v" else 0.05,
        text_dropout=0.1,
        checkpoint_every=100,
        seed=run.settings.seed,
    )
    # Without the cache, which would keep the adapter's first weights in bfloat16 for the whole training.
    with half_precision(cache_enabled=False):
        path = train_lora(settings)
    folder = run.model(f"lora-{name}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / WEIGHT_NAME)
    return [folder]
