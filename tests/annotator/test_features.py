"""Features made along with annotations: what they are, resumed without loss, of the right bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from test_annotate import Counting, Interrupted
from typer.testing import CliRunner

from emovid_dataset import cli
from emovid_dataset.engine import Processes
from emovid_dataset.read.features import SETTINGS, read_features
from emovid_models.annotator import annotate as work
from emovid_models.annotator.annotations import read_annotations
from emovid_models.annotator.items import find_items
from emovid_models.remote.annotator.reading import read_frames


@pytest.fixture
def folder(tmp_path: Path, stickers: list[Path]) -> Path:
    """Four videos and a damaged one."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for index, path in enumerate(stickers[:4]):
        shutil.copyfile(path, raw / f"{index}.mp4")
    (raw / "bad.mp4").write_bytes(b"no video")
    return raw


def run(folder: Path, annotator: Any, out: Path, features: Path | None, **options: Any) -> Any:
    settings: dict[str, Any] = {"identity": "m@1", "batch_size": 1, "features": features} | options
    return work.annotate(find_items(folder), annotator, out, **settings)


def test_a_vector_is_the_mean_of_what_the_projector_gives(
    annotator: Any, folder: Path, tmp_path: Path
) -> None:
    run(folder, annotator, tmp_path / "a.parquet", tmp_path / "f.parquet", batch_size=3)
    found = read_features(tmp_path / "f.parquet")
    assert sorted(found.ids) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]  # nothing stands for the damaged one
    assert (found.model, found.vectors.dtype, found.vectors.shape) == ("m@1", np.float32, (4, 32))
    assert "mean over frames and tokens of the projector's output" in found.what
    processor, model = annotator.processor, annotator.model
    for name, vector in zip(found.ids, found.vectors, strict=True):
        frames = read_frames(folder / name, lambda count: processor.sample_indices(count, 4))
        pixels = processor.preprocess_frames(frames, do_sample_frames=False)
        with torch.inference_mode():
            wanted = model.get_video_features(pixels).mean((0, 1)).numpy()
        assert vector == pytest.approx(wanted, abs=1e-5)
    distances = np.linalg.norm(found.vectors[:, None] - found.vectors[None], axis=-1)
    assert (distances + np.eye(4) > 1e-3).all()
    run(folder, annotator, tmp_path / "b.parquet", None, batch_size=3)
    assert read_annotations(tmp_path / "a.parquet") == read_annotations(tmp_path / "b.parquet")


def test_an_interrupted_run_goes_on_and_gives_the_same_features(
    annotator: Any, folder: Path, tmp_path: Path
) -> None:
    run(folder, annotator, tmp_path / "a.parquet", tmp_path / "f.parquet")
    with pytest.raises(Interrupted):
        run(folder, Counting(annotator, stop=3), tmp_path / "b.parquet", tmp_path / "g.parquet")
    assert not (tmp_path / "g.parquet").exists()
    again = Counting(annotator)
    run(folder, again, tmp_path / "b.parquet", tmp_path / "g.parquet")
    assert again.seen == 2
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "g.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_only_what_a_file_lacks_is_looked_at_again(annotator: Any, folder: Path, tmp_path: Path) -> None:
    out, features = tmp_path / "a.parquet", tmp_path / "f.parquet"
    run(folder, annotator, out, None)
    later = Counting(annotator)
    run(folder, later, out, features)  # the annotations are there, the features are not
    assert later.seen == 5
    both = Counting(annotator)
    run(folder, both, out, features)
    assert both.seen == 1  # what failed is tried again
    before = read_features(features)
    shutil.copyfile(folder / "3.mp4", folder / "0.mp4")  # other bytes
    (folder / "1.mp4").unlink()
    changed = Counting(annotator)
    run(folder, changed, out, features)
    after = read_features(features)
    assert changed.seen == 2 and sorted(after.ids) == sorted(before.ids)  # of a video that is gone it is kept
    vectors = dict(zip(after.ids, after.vectors, strict=True))
    assert np.array_equal(vectors["0.mp4"], vectors["3.mp4"])
    assert np.array_equal(vectors["1.mp4"], dict(zip(before.ids, before.vectors, strict=True))["1.mp4"])


def test_features_of_another_model_are_not_mixed(annotator: Any, folder: Path, tmp_path: Path) -> None:
    features = tmp_path / "f.parquet"
    run(folder, annotator, tmp_path / "a.parquet", features)
    before = features.read_bytes()
    with pytest.raises(ValueError, match=r"f.parquet holds features with .*m@1.*choose another --features"):
        run(folder, annotator, tmp_path / "b.parquet", features, identity="m@2")
    with pytest.raises(ValueError, match=r"a.parquet is not a file of video features"):
        run(folder, annotator, tmp_path / "c.parquet", tmp_path / "a.parquet")
    assert features.read_bytes() == before
    found = json.loads(pyarrow.parquet.read_schema(features).metadata[SETTINGS])
    assert found["model"] == "m@1" and found["num_frames"] is None


def test_two_runs_do_not_write_one_file_of_features(annotator: Any, folder: Path, tmp_path: Path) -> None:
    features = tmp_path / "f.parquet"

    class Beside(Counting):
        """Starts a second run, with another --out, while the first one is at work."""

        def __call__(self, videos: Any, **options: Any) -> Any:
            for result in super().__call__(videos, **options):
                with pytest.raises(ValueError, match=r"f.parquet is being written by another process"):
                    run(folder, annotator, tmp_path / "b.parquet", features)
                yield result

    run(folder, Beside(annotator), tmp_path / "a.parquet", features)
    assert len(read_features(features).ids) == 4


def test_workers_make_the_same_features(annotator: Any, repo: Path, folder: Path, tmp_path: Path) -> None:
    run(folder, annotator, tmp_path / "a.parquet", tmp_path / "f.parquet", batch_size=2)
    loaded = work.LoadedByName(str(repo), "cpu")
    run(folder, loaded, tmp_path / "b.parquet", tmp_path / "g.parquet", batch_size=2, engine=Processes(2))
    one, two = read_features(tmp_path / "f.parquet"), read_features(tmp_path / "g.parquet")
    assert one.ids == two.ids and np.allclose(one.vectors, two.vectors, atol=1e-5)


def test_command(repo: Path, folder: Path, tmp_path: Path) -> None:
    out, features = tmp_path / "a.parquet", tmp_path / "f.parquet"
    command = ["annotate", str(folder), "--model", str(repo), "--out", str(out), "--allow-rejected", "--json"]
    result = CliRunner().invoke(cli.program(), [*command, "--features", str(features), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.strip().splitlines()[-1])["features"] == str(features)
    assert len(read_features(features).ids) == 4
