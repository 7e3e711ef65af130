"""The comparison with other libraries: the same frames everywhere, and a page that follows its record."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from benchmarks.peer_ways import FRAMES, WAYS, indices
from benchmarks.peers import PACKAGES
from benchmarks.peers_page import render_page, wins
from benchmarks.slow_bucket import BUCKET, slow_bucket
from emovid_dataset.media.frames import uniform_indices


def test_every_library_has_an_environment_and_chooses_the_same_frames() -> None:
    assert set(WAYS) == set(PACKAGES)
    for count in (1, 7, 16, 100):
        assert indices(count) == uniform_indices(count, FRAMES)


def test_where_another_one_wins_is_said() -> None:
    ours = {"name": "emovid", "error": "", "disk": {"clips_per_second": 10.0, "bytes": 0, "peak_mb": 100}}
    other = {"name": "x", "error": "", "disk": {"clips_per_second": 12.5, "bytes": 0, "peak_mb": 100}}
    failed = {"name": "y", "error": "does not install", "versions": {}}
    found = wins([ours, other, failed])
    assert found == ["x from the disk loads 1.25 x as many clips per second"]
    other["disk"] = {"clips_per_second": 8.0, "bytes": 0, "peak_mb": 50}
    assert wins([ours, other]) == ["x from the disk takes 0.50 of the memory"]


def test_the_bucket_is_slow_and_counts(tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"0123456789")
    with slow_bucket() as bucket:
        bucket.put(tmp_path, "some")
        with pytest.MonkeyPatch.context() as environment:
            for name, value in bucket.environment().items():
                environment.setenv(name, value)
            client = boto3.client("s3")
            sent = bucket.sent
            bucket.delay(0.2)
            begun = time.monotonic()
            found = client.get_object(Bucket=BUCKET, Key="some/a/x", Range="bytes=2-4")["Body"].read()
            assert time.monotonic() - begun >= 0.2
        assert found == b"234" and bucket.sent - sent == 3
        with urlopen(f"{bucket.address}/{BUCKET}/some/a/x") as answer:  # unsigned, as curl asks
            assert answer.read() == b"0123456789"


def test_the_page_tells_what_was_and_was_not_measured() -> None:
    loaded = {"ratio": 2.5, "ratios": [2.0, 3.0], "cpu_ms": 31.0, "first_seconds": 0.25, "peak_mb": 1200}
    ours = {
        "name": "emovid",
        "error": "",
        "versions": {},
        "stored": 110,
        "disk": {**loaded, "clips_per_second": 20.0, "bytes": 0, "exact": True},
        "bucket": {"error": "it broke"},
        "pick_disk": {"open_seconds": 0.5, "clip_ms": 40.0, "bytes": 0, "distinct": True},
        "resume": {"error": "", "twice": 1, "missing": 2},
    }
    other = {"name": "y", "error": "does not install", "versions": {"decord": "0.6.0"}}
    body = {"machine": "2 cores", "clips": 9, "clip_bytes": 100, "delay_ms": 30, "peers": [ours, other]}
    page = render_page(body)
    assert "| emovid | 2.50 x | 2.00 to 3.00 | 31 | 0.25 | 1.10 | 1,200 | yes |" in page
    assert "| emovid | fails: it broke |" in page
    assert "| emovid | 0.50 | 40 | none |" in page
    assert "| emovid | no: 1 clips twice, 2 missing |" in page
    assert "- y: does not install" in page and "Nowhere in this record." in page and "decord 0.6.0" in page
