"""The stage that generates: the same videos whoever makes them, and nothing lost by Ctrl-C or a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gated_source import FOLDER, GatedSource
from gates import Gate
from typer.testing import CliRunner

from emovid_dataset.cli import program
from emovid_dataset.engine import Processes, Serial
from emovid_dataset.store import Store
from emovid_models.annotator.items import find_items
from emovid_models.wan.generate import GenerateStage, Order, generate
from emovid_models.wan.loading import PipelineSource

SMALL: dict[str, Any] = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 1}


def orders(count: int) -> list[Order]:
    return [Order(prompt=f"cat {seed}", emotion="awe", seed=seed, out=f"{seed}.mp4") for seed in range(count)]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that lies in a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def source(t2v_base: Path) -> PipelineSource:
    return PipelineSource(str(t2v_base), image_to_video=False)


@pytest.fixture
def gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "gates"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    return folder


@pytest.fixture
def gated(t2v_base: Path, gates: Path) -> GatedSource:
    return GatedSource(str(t2v_base), image_to_video=False)


def test_workers_make_the_same_bytes_and_leave_only_videos(source: PipelineSource, tmp_path: Path) -> None:
    asked = orders(3)
    names = {order.out for order in asked}
    for folder, engine in (("serial", Serial()), ("processes", Processes(2))):
        store = Store.at(tmp_path / folder)
        made = generate(source, asked, store, model="m", engine=engine, **SMALL)
        assert made == names
        assert contents(tmp_path / folder).keys() == names
    assert contents(tmp_path / "serial") == contents(tmp_path / "processes")
    loaded: Any = source.load()
    generate(loaded, asked, Store.at(tmp_path / "loaded"), model="m", **SMALL)
    assert contents(tmp_path / "loaded") == contents(tmp_path / "serial")
    with pytest.raises(ValueError, match="a loaded pipeline works in this process only"):
        generate(loaded, asked, Store.at(tmp_path / "more"), model="m", engine=Processes(2), **SMALL)


def test_nothing_is_loaded_for_videos_that_are_there(source: PipelineSource, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    generate(source, orders(1), store, model="m", **SMALL)
    before = (tmp_path / "0.mp4").stat()
    nowhere = PipelineSource(str(tmp_path / "nowhere"), image_to_video=False)
    assert generate(nowhere, orders(1), store, model="m", **SMALL) == frozenset()
    assert (tmp_path / "0.mp4").stat() == before
    with pytest.raises(OSError, match="nowhere"):
        generate(nowhere, orders(2), store, model="m", **SMALL)
    assert contents(tmp_path).keys() == {"0.mp4"}


def test_a_worker_that_is_killed_costs_its_video_only_a_second_try(
    gated: GatedSource, tmp_path: Path
) -> None:
    (Path(gated.folder) / "at-1").write_text("kill")
    out = tmp_path / "out"
    made = generate(gated, orders(3), Store.at(out), model="m", engine=Processes(1), **SMALL)
    assert made == contents(out).keys() == {"0.mp4", "1.mp4", "2.mp4"}
    log = (Path(gated.folder) / "log").read_text().split("\n")[:-1]
    assert sorted(line.split()[1] for line in log) == ["at-0", "at-1", "at-1", "at-2"]
    first, second = (line.split()[0] for line in log if line.endswith("at-1"))
    assert first != second, "no worker was killed"


def test_videos_are_replaced_only_when_asked_and_no_video_is_replaced_twice(
    gated: GatedSource, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    store = Store.at(out)
    for order in orders(3):
        store.put(order.out, b"old")
    assert generate(gated, orders(3), store, model="m", **SMALL) == frozenset()
    (Path(gated.folder) / "at-1").write_text("wait")
    stage = GenerateStage(gated, "m", tuple(orders(3)), SMALL, overwrite=True)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Serial().run(stage, store, on_done=stop)
    assert (out / "1.mp4").read_bytes() == b"old" != (out / "0.mp4").read_bytes()
    (Path(gated.folder) / "at-1").unlink()
    made = generate(gated, orders(3), store, model="m", overwrite=True, **SMALL)
    assert made == {"1.mp4", "2.mp4"}, "the first was replaced before the interruption"
    assert contents(out).keys() == {"0.mp4", "1.mp4", "2.mp4"} and b"old" not in contents(out).values()
    assert generate(gated, orders(3), store, model="m", overwrite=True, **SMALL) == made | {"0.mp4"}


def test_another_model_setting_or_image_is_another_part(source: PipelineSource, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"one")
    order = Order(prompt="a", image=str(tmp_path / "image.png"), out="a.mp4")
    stage = GenerateStage(source, "m", (order,), SMALL)
    keys = {
        stage.key(order),
        stage.key(Order(prompt="b", image=order.image, out="a.mp4")),
        stage.key(Order(prompt="a", image=order.image, seed=1, out="a.mp4")),
        GenerateStage(source, "other", (order,), SMALL).key(order),
        GenerateStage(source, "m", (order,), {**SMALL, "height": 64}).key(order),
    }
    (tmp_path / "image.png").write_bytes(b"two")
    keys.add(stage.key(order))
    assert len(keys) == 6


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGKILL, 1)])
def test_the_same_command_goes_on_after_ctrl_c_and_after_a_kill(
    t2v_base: Path, gates: Path, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    here, go = Gate(gates / "here"), Gate(gates / "go")
    rows = [{"prompt": f"cat {seed}", "seed": seed, "out": f"{seed}.mp4"} for seed in range(3)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    command = ["generate", "--json", "--prompts", str(tmp_path / "prompts.jsonl"), "--out", str(out)]
    command += ["--model", str(t2v_base), "--size", "48x32", "--frames", "5", "--steps", "1"]
    whole = [f"{seed}.mp4" for seed in range(3 - workers)]
    for seed in range(3 - workers, 3):
        (gates / f"at-{seed}").write_text("wait")
    with subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("gated_source.py")),
            *command,
            "--workers",
            str(workers),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        here.wait(workers)
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        _, error = process.communicate(timeout=600)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert error.endswith("emovid: interrupted; run the same command again to go on\n")
        assert "Traceback" not in error and "leaked" not in error
    left = contents(out)
    assert sorted(name for name in left if name.endswith(".mp4")) == whole
    assert {name.partition("/")[0] for name in left} == {*whole, ".generate"}
    assert [item.key for item in find_items(out)] == whole
    del go

    before = {name: (out / name).stat().st_mtime_ns for name in whole}
    again = CliRunner().invoke(program(), command)
    assert again.exit_code == 0, again.output
    states = [(Path(row["out"]).name, row["state"]) for row in json.loads(again.stdout)]
    assert states == [
        (name, "was there" if name in whole else "made") for name in ("0.mp4", "1.mp4", "2.mp4")
    ]
    assert {name: (out / name).stat().st_mtime_ns for name in whole} == before
    assert contents(out).keys() == {"0.mp4", "1.mp4", "2.mp4"}
