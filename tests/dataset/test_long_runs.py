"""A short run of each benchmark that takes long: one kill, one epoch, and what they would not let pass."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from benchmarks.kills import Failed, Inputs, Worlds, difference, measure, subjects
from benchmarks.soak import small_build, soak


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by Linux's own means")
def test_an_epoch_has_every_clip_once(tmp_path: Path) -> None:
    record = soak(small_build(tmp_path, 12), 0.0, size=32)
    assert (record["epochs"], record["wrong"], record["files_more"]) == (1, 0, 0)
    assert record["clips"] >= 8 and record["samples"][0]["mb"] > 10


def test_a_build_that_was_killed_is_the_same_afterwards(tmp_path: Path) -> None:
    class Hub:
        url, repos = "http://127.0.0.1:9", {}  # nobody asks it

    (tmp_path / "input").mkdir()
    inputs = Inputs(tmp_path / "input", 4)
    build = next(subject for subject in subjects(inputs) if subject.name == "build")
    (run,) = measure(build, "disk", 1, Worlds(tmp_path, inputs, Hub()), random.Random(4))
    assert run["same"] and run["difference"] == 0.0


def test_what_is_not_the_same_is_told() -> None:
    import numpy as np
    from safetensors.numpy import save

    one, other = (save({"a": np.array([1.0, value])}) for value in (2.0, 2.5))
    assert difference({"x.safetensors": one}, {"x.safetensors": other}) == 0.5
    assert difference({"x.safetensors": one}, {"x.safetensors": one}) == 0.0
    with pytest.raises(Failed, match="alone has it"):
        difference({"x": b""}, {"x": b"", "y": b""})
    with pytest.raises(Failed, match="bytes differ"):
        difference({"x.tar": b"1"}, {"x.tar": b"2"})
