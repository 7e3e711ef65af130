"""`emovid evaluate` of videos in a bucket, into a bucket: as in a folder, and nothing is left here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from buckets import copied, s3, s3_server
from PIL import Image
from typer.testing import CliRunner

from emovid_dataset.cli import program
from emovid_dataset.engine import Serial
from emovid_dataset.store import Store
from emovid_models import evaluation
from emovid_models.evaluation import INTENDED_NAME
from emovid_models.evaluation.benchmark import PROMPTS_NAME
from emovid_models.evaluation.measuring import Measurable, Networks, measure_videos
from emovid_models.evaluation.prompts import read_prompts
from emovid_models.records import EVALUATION

__all__ = ["s3", "s3_server"]


@pytest.fixture
def few(videos: Path) -> Path:
    """Three of the videos and their table."""
    rows = evaluation.read_intended(videos / INTENDED_NAME)[:3]
    shutil.rmtree(videos / "judged", ignore_errors=True)
    for path in videos.glob("*.mp4"):
        if path.name not in {row.file for row in rows}:
            path.unlink()
    evaluation.write_intended(videos / INTENDED_NAME, rows)
    return videos


def emovid(*arguments: object) -> Any:
    found = CliRunner().invoke(program(), ["evaluate", *map(str, arguments), "--device", "cpu", "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_videos_in_a_bucket_are_judged_as_in_a_folder(
    few: Path, s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = copied(Store.at(few), s3, "videos")
    here = emovid("--videos", few, "--against", few, "--out", tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    out = Store.at(s3.url("out"))
    found = emovid("--videos", there.root, "--against", there.root, "--out", out.root)
    assert found["out"] == out.url(EVALUATION)
    assert {**found, "out": ""} == {**here, "out": ""}
    written = json.loads(out.read(EVALUATION))
    local = json.loads((tmp_path / "out" / EVALUATION).read_bytes())
    assert {**written, "judgements": 0} == {**local, "judgements": 0}
    names = {name: len(judged["videos"]) for name, judged in written["judgements"].items()}
    assert names == {"base": 3, "videos": 3}
    again = emovid("--videos", there.root, "--intended", there.url(INTENDED_NAME), "--out", out.root)
    judged = json.loads(out.read(EVALUATION))["judgements"]["videos"]
    assert judged["reused"] == 3 and again["figures"]["videos"] == here["figures"]["videos"]
    assert emovid("--videos", there.root)["out"] == there.url(f"judged/{EVALUATION}")
    assert list(empty.iterdir()) == []


def test_first_frames_and_what_was_measured_lie_in_a_bucket(few: Path, tmp_path: Path) -> None:
    bucket = Store.at("memory://measured/here")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    bucket.put("red.png", tmp_path / "red.png")
    names = [path.name for path in sorted(few.glob("*.mp4"))]
    found, reused = zip(
        *(
            measure_videos(
                [Measurable(name, "1", Path(few, name).read_bytes, "a text", first) for name in names],
                Networks(),
                out,
                engine=Serial(),
            )
            for out, first in (
                (tmp_path / "out", str(tmp_path / "red.png")),
                (bucket.url("out"), bucket.url("red.png")),
                (bucket.url("out"), bucket.url("red.png")),
            )
        ),
        strict=True,
    )
    assert found[0] == found[1] == found[2] and reused == (0, 0, 3)
    assert len(list(bucket.list("out"))) == 3


def test_prompts_in_a_bucket_name_images_beside_them(tmp_path: Path) -> None:
    bucket = Store.at("memory://prompts/here")
    row = {
        "id": "a",
        "emotion": "awe",
        "content_type": "movie",
        "prompt": "a hill",
        "image": "pictures/a.png",
    }
    bucket.put(PROMPTS_NAME, json.dumps(row).encode())
    with pytest.raises(ValueError, match=r"memory://prompts/here/prompts.jsonl, line 1: image .* does not"):
        read_prompts(bucket.url(PROMPTS_NAME))
    bucket.put("pictures/a.png", b"")
    assert [prompt.image for prompt in read_prompts(bucket.url(PROMPTS_NAME))] == [
        bucket.url("pictures/a.png")
    ]
    with pytest.raises(FileNotFoundError, match=r"^memory://prompts/here/none.jsonl is not a file$"):
        read_prompts(bucket.url("none.jsonl"))
