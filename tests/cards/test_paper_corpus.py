"""The paper's corpus: its card is gated, nothing of it is pushed openly, relabelling keeps its terms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from video_files import MINI, folder_bytes, write_sheet

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_models.annotator.annotations import Annotation
from emovid_models.annotator.relabel import relabel_build
from emovid_models.publish.repos import RESTRICTION, assemble


def made(folder: Path, **options: Any) -> Path:
    """Six stickers: two of awe and two of fear that three people agree on, one of awe, one of none."""
    rows = []
    for index, path in enumerate(sorted((MINI / "sticker").glob("*.mp4"))[:6]):
        emotion = ["awe", "awe", "fear", "fear", "awe", "no specific emotion"][index]
        votes = {} if index == 5 else {emotion: 3 - (index == 4)}
        row = {"path": f"sticker/{path.name}", "emotion": emotion, "raters": 3, "votes": json.dumps(votes)}
        rows.append({**row, "group": "a" if index in (0, 4) else path.name})
    folder.mkdir()
    sheet = write_sheet(folder, rows)
    build(MINI, sheet, folder / "out", engine="serial", ratios=(1, 0, 0), **options)
    return folder / "out"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = made(tmp_path_factory.mktemp("first") / "a")
    (listed,) = (clip.id for clip in select(first).clips if clip.group == "a" and clip.agreement == 1)
    folder = tmp_path_factory.mktemp("corpus") / "a"
    return made(folder, benchmark_ids=[listed], keep_none=True, corpus="emovid")


def head(out: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1]))


def test_its_card_is_gated_and_says_who_may_use_it(corpus: Path, tmp_path: Path) -> None:
    card = (corpus / "README.md").read_text(encoding="utf-8")
    assert "non-commercial research by academic institutions only. Redistribution is\nprohibited" in card
    assert head(corpus)["license_name"] == "academic-non-commercial"
    assert "may not be redistributed" in head(corpus)["extra_gated_prompt"]
    assert head(corpus)["extra_gated_fields"]["I will not redistribute the clips"] == "checkbox"
    assert read_manifest(corpus).corpus == "emovid"
    other = made(tmp_path / "a")
    plain = (other / "README.md").read_text(encoding="utf-8").lower()
    for word in ("academic", "non-commercial", "redistribut", "## access"):
        assert word not in plain
    assert read_manifest(other).corpus is None and head(other)["license_name"] == "per-clip"


def test_the_card_names_benchmark_and_clips_without_an_emotion_outside_its_configs(corpus: Path) -> None:
    card = (corpus / "README.md").read_text(encoding="utf-8")
    assert "| sticker | awe | 1 | 1 |  |" in card and "Its clips are those of a list." in card
    assert "1 other clip of their groups is in no split" in card
    assert "### No specific emotion" in card
    files = [entry["path"] for config in head(corpus)["configs"] for entry in config["data_files"]]
    assert any("benchmark-*.tar" in str(path) for path in files)
    assert all(str(path).startswith("data/") for path in files)


def test_a_repo_takes_the_clips_without_an_emotion_along(corpus: Path) -> None:
    tree = assemble("dataset", corpus, repo_id="me/clips")
    assert {"none/sticker/none-00000.tar", "none/sticker/none.parquet"} <= set(tree.files)
    assert tree.restricted == RESTRICTION


@pytest.mark.parametrize("options", [[], ["--gated", "auto"], ["--dry-run"]])
def test_it_is_pushed_only_privately_or_behind_a_manual_gate(corpus: Path, options: list[str]) -> None:
    command = ["push", "dataset", str(corpus), "--repo-id", "me/clips"]
    refused = CliRunner().invoke(program(), [*command, *options])
    assert isinstance(refused.exception, ValueError)
    assert str(refused.exception) == f"{RESTRICTION}; push it with --private or --gated manual"
    for allowed in (["--private"], ["--gated", "manual"]):
        done = CliRunner().invoke(program(), [*command, *allowed, "--dry-run", "--json"])
        assert done.exit_code == 0, done.output


def test_a_relabelled_build_keeps_benchmark_lists_and_terms(corpus: Path, tmp_path: Path) -> None:
    scores = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    answers = [Annotation(clip.id, "", "disgust", scores, None, None) for clip in select(corpus).clips]
    relabel_build(corpus, answers, tmp_path / "new")
    assert verify(tmp_path / "new", engine="serial") == []
    assert {clip.emotion for clip in select(tmp_path / "new", split="train").clips} == {"disgust"}
    (kept,) = select(tmp_path / "new", split="benchmark").clips
    assert (kept.emotion, kept.emotion_source, kept.agreement) == ("awe", "human", 1.0)
    old, new = folder_bytes(corpus), folder_bytes(tmp_path / "new")
    same = [name for name in old if name.startswith("none") or name == "left_out.jsonl"]
    assert len(same) == 4 and all(new[name] == old[name] for name in same)
    assert read_manifest(tmp_path / "new").corpus == "emovid"
