"""The miniature models that ship in the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image
from typer.testing import CliRunner

from emovid_dataset.cli import program
from emovid_dataset.media.source import probe
from emovid_models import MINI_LORA_I2V, MINI_LORA_T2V, MINI_WAN_I2V, MINI_WAN_T2V
from emovid_models.remote.wan.lora import read_facts
from emovid_models.wan.loading import load_pipeline
from tools.reproduce.run import MODELS, SHIPPED
from tools.reproduce.ship import model_card

FOLDERS = (MINI_WAN_T2V, MINI_WAN_I2V, MINI_LORA_T2V, MINI_LORA_I2V)
SIZE = {"height": 64, "width": 64, "num_frames": 17, "num_inference_steps": 2, "output_type": "np"}


def test_stock_pipelines_load_bases_and_loras() -> None:
    t2v = WanPipeline.from_pretrained(MINI_WAN_T2V)
    t2v.load_lora_weights(MINI_LORA_T2V)
    video = t2v("a yellow face", generator=torch.Generator().manual_seed(0), **SIZE).frames[0]
    assert video.shape == (17, 64, 64, 3) and np.isfinite(video).all() and video.std() > 0.01

    i2v = WanImageToVideoPipeline.from_pretrained(MINI_WAN_I2V)
    i2v.load_lora_weights(MINI_LORA_I2V)
    image = Image.new("RGB", (64, 64), "white")
    video = i2v(image, "a yellow face", generator=torch.Generator().manual_seed(0), **SIZE).frames[0]
    assert video.shape == (17, 64, 64, 3) and np.isfinite(video).all()
    assert i2v.image_encoder is None and i2v.transformer.config.image_dim is None
    for part in (t2v.transformer, t2v.vae, t2v.text_encoder, i2v.transformer, i2v.vae, i2v.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}


def test_at_intensity_0_the_lora_is_the_base_to_the_bit() -> None:
    pipe = load_pipeline(MINI_WAN_T2V, image_to_video=False)

    def video(intensity: float) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        call = {"emotion": "fear", "intensity": intensity, "content_type": "sticker", "wording": "mood"}
        return np.asarray(pipe("a yellow face", generator=generator, **call, **SIZE).frames[0])

    base = video(0)
    pipe.load_lora_weights(MINI_LORA_T2V)
    assert np.array_equal(video(0), base)
    assert not np.array_equal(video(1), base)


def test_they_are_small_and_say_where_they_come_from() -> None:
    files = [path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30_000_000
    for folder in FOLDERS:
        assert "Microsoft" in (folder / "README.md").read_text()
        card = json.loads((folder / "training.json").read_text())
        assert {"data", "vae", "base-t2v"} <= card["stages"].keys()
    for lora, task in ((MINI_LORA_T2V, "t2v"), (MINI_LORA_I2V, "i2v")):
        facts = read_facts(lora / "pytorch_lora_weights.safetensors")
        assert facts is not None and facts.task == task and facts.base == f"emovid/mini-wan-{task}"


def test_their_cards_are_those_that_the_tool_writes() -> None:
    for name in MODELS:
        seed = json.loads((SHIPPED / name / "training.json").read_text())["settings"]["seed"]
        assert (SHIPPED / name / "README.md").read_text() == model_card(name, seed)


def test_nothing_names_a_folder_of_the_machine_that_trained_them() -> None:
    for folder in FOLDERS:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert b"name_or_path" not in path.read_bytes()
            assert not re.search(rb'": *\\?"/', path.read_bytes()), path


def test_the_command_line_generates_with_them_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["generate", "a yellow face", "--emotion", "sadness", "--steps", "2"]
    done = CliRunner().invoke(program(), command, catch_exceptions=False)
    assert done.exit_code == 0
    info = probe(tmp_path / "emovid.mp4")
    assert (info.width, info.height, info.num_frames) == (64, 64, 17)
    told = CliRunner().invoke(program(), [*command, "--content-type", "sticker", "--out", "told.mp4"])
    assert told.exit_code == 0
    assert (tmp_path / "told.mp4").read_bytes() == (tmp_path / "emovid.mp4").read_bytes(), (
        "they know stickers"
    )
    # The paper's sentence has no words for a content type; this project's own wording has.
    videos = []
    for content_type in ("sticker", "movie"):
        out = f"{content_type}.mp4"
        told = CliRunner().invoke(
            program(), [*command, "--wording", "mood", "--content-type", content_type, "--out", out]
        )
        assert told.exit_code == 0
        videos.append((tmp_path / out).read_bytes())
    assert videos[0] != videos[1]
