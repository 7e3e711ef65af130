"""The VAE's round trip, measured anew on other real clips: the file's figures are of this kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emovid_dataset.read.select import select
from emovid_models import evaluation
from emovid_models.evaluation import Judge
from tools.reproduce.run import SHIPPED
from tools.reproduce.vae_round_trip import OUT, measure


def test_round_trip(mini_build: Path, judge: Judge) -> None:
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(SHIPPED / "wan-t2v", subfolder="vae").eval()
    found = measure(str(mini_build), vae, judge)
    clips = select(mini_build, split="test", content_type="sticker").clips
    assert found["before"]["n"] == found["after"]["n"] == len(clips)
    assert found["before"]["unscored"] == found["after"]["unscored"] == 0
    kept = json.loads(OUT.read_text())
    assert found.keys() == kept.keys()
    # Other clips than the file's, of the same kind.
    assert found["frame_psnr_db"] == pytest.approx(kept["frame_psnr_db"], abs=3)


def test_figures_of_the_file_follow_from_its_counts() -> None:
    kept = json.loads(OUT.read_text())
    for kind in ("before", "after"):
        assert kept[kind] == evaluation.to_record(evaluation.score_confusion(kept[kind]["confusion"]))
