"""How near a step came to decoding alone: measured within its cost, and only where it can be known."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from video_files import sticker, write_sheet

from emovid_dataset import Processes, Serial, build, read_manifest
from emovid_dataset.check import check_build
from emovid_dataset.engine import usable_cores
from emovid_dataset.media.source import Reader
from emovid_dataset.report import decoding_limit as module
from emovid_dataset.report.decoding_limit import DecodingLimit, decoding_limit, workers_of
from emovid_dataset.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of four stickers in two shards."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "sticker").mkdir()
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:4]):
        shutil.copy(path, raw / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": "awe", "split": ["train", "test"][index % 2]})
    out = raw.parent / "limit"
    # of a build that takes a moment nobody can tell
    report = build(raw, write_sheet(raw, rows), out, engine="serial")
    assert report.limit is None or report.limit.step == "prepare"
    return out


def test_the_ratio_is_what_decoding_takes_by_what_the_step_took(folder: Path) -> None:
    store, manifest = Store.at(folder), read_manifest(folder)
    clips = list(module._drawn(store, manifest))
    assert len(clips) == 4
    begun = time.process_time()
    for clip in clips:
        with Reader(clip, quick=True) as reader:
            for _ in reader.frames(range(reader.info.num_frames)):
                pass
    alone = time.process_time() - begun
    # so much time that all four clips are decoded within a hundredth of it
    seconds = 1000.0
    found = decoding_limit("verify", store, manifest, Serial(), seconds=seconds)
    assert found is not None
    tar = sum(shard.size for shard in manifest.shards) / sum(map(len, clips))
    assert found.ratio * seconds == pytest.approx(alone * tar, rel=20)  # another moment of a busy machine
    assert found.ratio * seconds >= 0.5 * alone
    half = decoding_limit("verify", store, manifest, Serial(), seconds=seconds, share=1e-3)
    assert half is not None and half.ratio < found.ratio / 20
    told = "decoding the clips alone would take 92% of the time of 'prepare'"
    assert str(DecodingLimit("prepare", 0.9249)) == told
    over = "decoding the clips alone would take as long as 'verify'"  # another moment of a busy machine
    assert str(DecodingLimit("verify", 1.83)) == over


def test_no_more_is_decoded_than_a_hundredth_pays_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, manifest = Store.at(folder), read_manifest(folder)
    budgets: list[float] = []

    def decoded(clip: bytes, budget: float) -> tuple[float, float]:
        budgets.append(budget)
        return len(clip) / 2, budget if len(budgets) > 1 else 0.03

    monkeypatch.setattr(module, "_decoded", decoded)
    found = decoding_limit("prepare", store, manifest, Serial(), seconds=10.0)
    assert budgets == [pytest.approx(0.1), pytest.approx(0.07)]
    assert found is not None
    first, second = list(module._drawn(store, manifest))[:2]
    whole = sum(shard.size for shard in manifest.shards)
    assert found.ratio == pytest.approx(0.1 / ((len(first) + len(second)) / 2) * whole / 10.0)


def test_nothing_is_said_where_it_cannot_be_known(folder: Path) -> None:
    store, manifest = Store.at(folder), read_manifest(folder)
    assert decoding_limit("prepare", store, manifest, Serial(), seconds=1.0) is None  # too short
    assert check_build(folder, engine="serial").limit is None  # nothing was decoded
    assert workers_of(Processes(64)) == usable_cores() and workers_of(Serial()) == 1
