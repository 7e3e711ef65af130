"""What the VAE alone does to real stickers: encoded, decoded, and written beside themselves.

No generator is involved. What a judge no longer sees after the round trip, it cannot see in any video of a
generator that decodes with this VAE; so every judge is measured on real stickers after it, and the judges
that are trained here learn from such stickers too.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from emovid_dataset.builder.build import build
from emovid_dataset.read.select import SelectedClip, select
from emovid_dataset.store import write_file
from emovid_models import evaluation
from emovid_models.wan.frames import write_video
from tools.reproduce.data import held_out_pixels
from tools.reproduce.run import Run

HELD_OUT = ("validation", "test", "benchmark")
"""Splits that no judge, base or LoRA has learnt from."""
TABLE = "labels.csv"
_COLUMNS = ("path", "emotion", "content_type", "group", "caption")


def round_trip(run: Run) -> list[Path]:
    """Send all labelled stickers through the VAE; build those held out, and say what the VAE costs in dB."""
    vae = AutoencoderKLWan.from_pretrained(run.model("vae"), use_safetensors=True).eval()
    psnr = []
    held = [item for split in HELD_OUT for item in select(run.build, split=split, content_type="sticker")]
    rows = []
    for item in held:
        before, after, decibels = through_vae(vae, item)
        psnr.append(decibels)
        for kind, frames in (("as-they-are", before), ("after-vae", after)):
            write_video(run.videos(f"real/{kind}") / f"{item.clip.id}.mp4", frames)
        rows.append(evaluation.Intended(f"{item.clip.id}.mp4", item.clip.emotion))
    for kind in ("as-they-are", "after-vae"):
        evaluation.write_intended(run.videos(f"real/{kind}") / evaluation.INTENDED_NAME, rows)
    _write_table(run.videos("real/after-vae"), held)
    build(
        run.videos("real/after-vae"),
        run.videos("real/after-vae") / TABLE,
        run.real,
        ratios=(0, 0, 1),
        overwrite=True,
    )
    train = list(select(run.build, split="train", content_type="sticker"))
    for item in train:
        write_video(run.videos("train") / f"{item.clip.id}.mp4", through_vae(vae, item)[1])
    _write_table(run.videos("train"), train)
    record = {"frame_psnr_db": [round(value, 1) for value in np.mean(psnr, axis=0).tolist()]}
    write_file(run.out / "round_trip.json", json.dumps(record, allow_nan=False).encode())
    return [run.videos("real"), run.videos("train"), run.out / "round_trip.json"]


@torch.inference_mode()
def through_vae(vae: AutoencoderKLWan, item: SelectedClip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clip before and after the VAE.

    Args:
        vae: the miniature's.
        item: of a build.

    Returns:
        Both as float32 [T, H, W, 3], 0..1, and the PSNR of each frame in dB, [T].
    """
    pixels = torch.from_numpy(held_out_pixels(item.video, item.clip.fps))  # [T, 3, H, W], bytes
    video = pixels.permute(1, 0, 2, 3)[None].float() / 127.5 - 1
    decoded = vae.decode(vae.encode(video).latent_dist.mode()).sample.clamp(-1, 1)
    error = (video - decoded).square().mean((0, 1, 3, 4)) / 4  # on a scale of 0..1
    before, after = (((frames[0] + 1) / 2).permute(1, 2, 3, 0).numpy() for frames in (video, decoded))
    return before, after, (-10 * error.log10()).numpy()


def read_table(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder's `TABLE`: path, emotion, group."""
    with (folder / TABLE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_table(folder: Path, items: list[SelectedClip]) -> None:
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for item in items:
            clip = item.clip
            writer.writerow((f"{clip.id}.mp4", clip.emotion, "sticker", clip.group, clip.caption))
