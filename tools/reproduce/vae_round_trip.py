"""How much of an emotion the miniature's VAE lets through: real stickers, encoded, decoded and judged.

::

    python -m tools.reproduce.vae_round_trip out/reproduce/EmoVid

No generator is involved. What the judge no longer sees after the round trip, it cannot see in any video of a
generator that decodes with this VAE.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import typer
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from emovid_dataset.read.select import select
from emovid_dataset.store import write_file
from emovid_models import evaluation
from emovid_models.wan.frames import write_video
from tools.reproduce.data import held_out_pixels
from tools.reproduce.run import SHIPPED

OUT = SHIPPED / "vae_round_trip.json"


@torch.inference_mode()
def measure(build: str, vae: AutoencoderKLWan, judge: evaluation.Judge) -> dict[str, Any]:
    """Judge the stickers of the test split as they are and after the round trip.

    Args:
        build: its folder.
        vae: the miniature's.
        judge: who judges both.

    Returns:
        The judge's identity, its figures before and after, and the mean PSNR of each frame in dB.
    """
    rows, psnr = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for item in select(build, split="test", content_type="sticker"):
            pixels = torch.from_numpy(held_out_pixels(item.video, item.clip.fps))  # [T, 3, H, W], bytes
            video = pixels.permute(1, 0, 2, 3)[None].float() / 127.5 - 1
            decoded = vae.decode(vae.encode(video).latent_dist.mode()).sample.clamp(-1, 1)
            error = (video - decoded).square().mean((0, 1, 3, 4)) / 4  # on a scale of 0..1
            psnr.append(-10 * error.log10())
            for kind, frames in (("before", video), ("after", decoded)):
                path = folder / kind / f"{item.clip.id}.mp4"
                write_video(path, ((frames[0] + 1) / 2).permute(1, 2, 3, 0).numpy())
            rows.append(evaluation.Intended(f"{item.clip.id}.mp4", item.clip.emotion))
        figures = {}
        for kind in ("before", "after"):
            table = folder / kind / evaluation.INTENDED_NAME
            evaluation.write_intended(table, rows)
            figures[kind] = evaluation.to_record(
                evaluation.score(evaluation.judge_videos(folder / kind, table, judge))
            )
    return {
        "judge": judge.identity,
        "frame_psnr_db": [round(value, 1) for value in torch.stack(psnr).mean(0).tolist()],
        **figures,
    }


def main(
    build: str = typer.Argument(help="The build of the reproduction."),
    out: Path = typer.Option(OUT, help="JSON file to write."),
) -> None:
    """Measure, and write the JSON file that the page reads."""
    vae = AutoencoderKLWan.from_pretrained(SHIPPED / "wan-t2v", subfolder="vae", use_safetensors=True).eval()
    found = measure(build, vae, evaluation.load_judge())
    write_file(out, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    print(f"{out}: {found['before']['ea_8cls']['value']:.3f} -> {found['after']['ea_8cls']['value']:.3f}")


if __name__ == "__main__":
    typer.run(main)
