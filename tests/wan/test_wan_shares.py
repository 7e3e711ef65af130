"""Processes of one run that share the filling of the cache wait for each other however long it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from emovid_dataset.store import Store
from emovid_models.remote.wan.lora import WEIGHT_NAME
from emovid_models.wan.recipes import settings_for
from emovid_models.wan.shares import Shares

LIMIT = 15
"""Seconds after which a collective of the processes below gives up."""

RUN = f"""
import json, os, sys, time
from datetime import timedelta
from pathlib import Path
import torch.distributed
from emovid_models.wan.encode import Encoders
from emovid_dataset.engine import Processes
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.train_lora import train_lora

torch.distributed.init_process_group("gloo", timeout=timedelta(seconds={LIMIT}))
values, barrier = json.loads(sys.argv[1]), Path(sys.argv[2])
encode = Encoders.encode_video

def held_up(self, pixels):
    if os.environ["RANK"] == "0":
        end = time.monotonic() + 300
        while not barrier.exists() and time.monotonic() < end:
            time.sleep(0.05)
    return encode(self, pixels)

Encoders.encode_video = held_up
settings = LoraSettings(**{{**values, "validation_prompts": ()}})
try:
    train_lora(settings, engine=Processes(2))
except ValueError as error:
    assert str(error) == (
        "the run's 2 processes fill the cache; leave --workers and --engine out under accelerate launch"
    )
else:
    sys.exit("workers of workers were not refused")
train_lora(settings)
"""


def until(true: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert running.poll() is None, running.communicate()[1][-2000:]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_process_waits_for_one_that_encodes_for_longer_than_a_collective_may_take(
    mini_build: Path, t2v_base: Path, tmp_path: Path
) -> None:
    settings = settings_for(
        "light",
        task="t2v",
        data=str(mini_build),
        base=str(t2v_base),
        out=str(tmp_path / "out"),
        content_type="movie",
        width=64,
        height=32,
        max_frames=9,
        rank=4,
        steps=1,
        optimizer="adamw",
    )
    script = tmp_path / "run.py"
    script.write_text(RUN)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    running = subprocess.Popen(
        [*launch, str(script), json.dumps(asdict(settings)), str(tmp_path / "go")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        # The second process has encoded its clip and waits for the first one.
        until(lambda: len(list((tmp_path / "out").rglob("clips/*.safetensors"))) == 1, running)
        time.sleep(LIMIT + 3)
        (tmp_path / "go").touch()
        _, errors = running.communicate(timeout=120)
        assert running.returncode == 0, errors[-2000:]
    finally:
        running.kill()
    assert (tmp_path / "out" / WEIGHT_NAME).is_file()
    assert not list((tmp_path / "out" / "cache" / "shares").iterdir()), "no notes are left"


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_a_process_that_fails_ends_the_wait_of_the_others(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(seconds: float) -> None:
        pytest.fail("it waits though both have ended")

    monkeypatch.setattr(time, "sleep", waits)
    first, second = (Shares(Store.at(tmp_path), "run", rank, 2) for rank in range(2))
    with first.working():
        pass
    with pytest.raises(type(error)), second.working():
        raise error
    with pytest.raises(OSError, match=f"process 1 could not fill its share: {type(error).__name__}: {error}"):
        first.wait()


def test_a_cache_that_is_not_shared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emovid_models.wan.shares._VISIBLE", 0.0)
    with pytest.raises(ValueError, match="is not shared: process 1 does not see what process 0 wrote"):
        Shares(Store.at(tmp_path), "run", 1, 2).look_for_start()
    Store.at(tmp_path).put("shares/run/started", b"")
    Shares(Store.at(tmp_path), "run", 1, 2).look_for_start()
