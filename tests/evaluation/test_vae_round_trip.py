"""The VAE's round trip, measured anew on other real clips: the file's figures are of this kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.read.loading import select
from emovid_models import evaluation
from emovid_models.evaluation import Judge


def test_round_trip(tool: Any, mini_build: Path, judge: Judge) -> None:
    from diffusers import AutoencoderKLWan

    work = tool("vae_round_trip")
    vae = AutoencoderKLWan.from_pretrained(work.SHIPPED / "wan-t2v", subfolder="vae").eval()
    found = work.measure(str(mini_build), vae, judge)
    clips = select(mini_build, split="test", content_type="sticker").clips
    assert found["before"]["n"] == found["after"]["n"] == len(clips)
    assert found["before"]["unscored"] == found["after"]["unscored"] == 0
    kept = json.loads(work.OUT.read_text())
    assert found.keys() == kept.keys()
    # Other clips than the file's, of the same kind.
    assert found["frame_psnr_db"] == pytest.approx(kept["frame_psnr_db"], abs=3)


def test_figures_of_the_file_follow_from_its_counts(tool: Any) -> None:
    kept = json.loads(tool("vae_round_trip").OUT.read_text())
    for kind in ("before", "after"):
        assert kept[kind] == evaluation.to_record(evaluation.score_confusion(kept[kind]["confusion"]))
