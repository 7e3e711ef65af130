"""The examples of docs/streaming.md: those for one process here, those for several on two."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from recipe_process import pixels_of
from uneven_build import COUNTS, write_uneven_build

from emovid_dataset import stream

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs" / "streaming.md").read_text(encoding="utf-8")
CLIPS = sum(COUNTS)
SHARE = (CLIPS + 1) // 2

TRAINER_AS_IT_IS = """
from transformers import Trainer, TrainingArguments, default_data_collator

arguments = TrainingArguments(
    "out", max_steps=6, per_device_train_batch_size=4, report_to="none", save_strategy="no"
)
Trainer(Classifier(), arguments, data_collator=default_data_collator, train_dataset=data).train()
"""


def example(marker: str) -> str:
    """The one example in which a text stands."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", DOCUMENT, re.S) if marker in code)
    return str(found)


@pytest.mark.parametrize(
    "marker", ["for batch in DataLoader(data, batch_size=4, num_workers=2)", "collate_fn=collate"]
)
def test_an_example_for_one_process(
    mini_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    (tmp_path / "EmoVid").symlink_to(mini_build)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example("for batch in DataLoader(data, batch_size=4, num_workers=2)").partition("data =")[0], names)
    exec(example(marker), names)
    batch = names["batch"]
    if "waveform" in batch:
        assert batch["waveform"].shape == (4, 1, 16000) and batch["waveform"].any()
        assert set(batch["waveform_samples"].tolist()) <= {0, 16000}
        assert batch["video"].shape == (4, 8, 3, 112, 112)
    else:
        assert batch["video"].shape == (4, 16, 3, 224, 224)


def test_the_example_of_going_on(uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EmoVid").symlink_to(uneven)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example("class Classifier"), names)
    first, second = (batch["id"] for batch in islice(names["DataLoader"](names["data"], 4, num_workers=2), 2))
    exec(example("StatefulDataLoader"), names)
    assert names["batch"]["id"] == second != first


@pytest.fixture(scope="module")
def uneven(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_uneven_build(mini_build, tmp_path_factory.mktemp("uneven"))


@pytest.fixture(scope="module")
def found(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """For every recipe what each of two processes saw; None for what it did not come to."""
    for package in ("accelerate", "transformers", "lightning"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("recipes")
    prepared = example('select("EmoVid"')
    recipes = [
        ("DistributedDataParallel", example("DistributedDataParallel(")),
        ("accelerate", example("send_to_device(")),
        ("prepared", prepared),
        ("prepared, with workers", prepared.replace("batch_size=4", "batch_size=4, num_workers=1")),
        ("prepared, not dispatched", example("dispatch_batches=False")),
        ("Trainer", example("class ClipTrainer")),
        ("Trainer as it is", TRAINER_AS_IT_IS),
        ("Lightning", example("import lightning")),
    ]
    (out / "recipes.json").write_text(json.dumps([example("class Classifier"), *recipes]))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(HERE / "recipe_process.py"), str(out / "recipes.json"), str(uneven), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(2)]
    return {name: [rank[name] for rank in ranks] for name, _ in recipes}


@pytest.fixture(scope="module")
def pixels(uneven: Path) -> set[str]:
    data = stream(uneven, "sticker", split="train", frames=4, size=64, to="float")
    held = {pixels_of(item["video"]) for item in data}
    assert len(held) == CLIPS, "clips cannot be told apart"
    return held


@pytest.mark.parametrize("recipe", ["DistributedDataParallel", "accelerate", "Trainer", "Lightning"])
def test_each_rank_has_half_of_the_clips_and_other_ones_in_the_next_epoch(
    found: dict[str, Any], pixels: set[str], recipe: str
) -> None:
    seen = [rank["seen"] for rank in found[recipe]]
    assert [len(clips) for clips in seen] == [2 * SHARE] * 2
    epochs = [[clips[:SHARE] for clips in seen], [clips[SHARE:] for clips in seen]]
    for first, second in epochs:
        assert {*first} | {*second} == pixels
        assert Counter([*first, *second]).most_common(2)[1][1] == 1, "one clip alone comes again"
    assert epochs[0][0] != epochs[1][0] and {*epochs[0][0]} != {*epochs[1][0]}


@pytest.mark.parametrize("recipe", ["prepared", "prepared, with workers", "prepared, not dispatched"])
def test_a_prepared_loader_gives_every_clip(uneven: Path, found: dict[str, Any], recipe: str) -> None:
    expected = {item["id"] for item in stream(uneven, "sticker", split="train", frames=1, size=8)}
    ids = [rank["ids"] for rank in found[recipe]]
    assert {*ids[0], *ids[1]} == expected
    assert abs(len(ids[0]) - len(ids[1])) <= 4 and max(Counter([*ids[0], *ids[1]]).values()) <= 2
    said = [len(rank["said"]) for rank in found[recipe]]
    assert said == ([0, 0] if "not" in recipe else [1, 1])


def test_the_trainer_as_it_is_sees_every_clip(found: dict[str, Any], pixels: set[str]) -> None:
    seen = [rank["seen"] for rank in found["Trainer as it is"]]
    assert {*seen[0], *seen[1]} == pixels and len(seen[0]) == len(seen[1]) <= SHARE + 3
