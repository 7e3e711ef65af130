"""A real Ray cluster of two one-core nodes beside the head: same results, and nodes that are lost."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from gates import Gate
from ray_cluster import PATIENCE, LosingANode, TwoNodes, cluster, losses, two_nodes
from squares import Batch, Noted, Squares, batch

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.engine import (
    Done,
    Failure,
    Outcome,
    Processes,
    Resources,
    Serial,
    StageError,
    executor,
    records,
)
from emovid_dataset.report.stats import measure
from emovid_dataset.store import Store

__all__ = ["cluster", "losses", "two_nodes"]

pytestmark = pytest.mark.timeout(PATIENCE)

HERE = Path(__file__).parent
MINI = HERE.parents[1] / "emovid_dataset" / "mini"


def files(store: Store) -> dict[str, bytes]:
    return {name: store.read(name) for name in store.list()}


def noted(log: Path, kind: str) -> list[list[str]]:
    lines = (log / "log.txt").read_text().splitlines() if (log / "log.txt").exists() else []
    return [line.split()[1:] for line in lines if line.startswith(f"{kind} ")]


def test_failures_are_treated_as_by_processes(cluster: TwoNodes, tmp_path: Path) -> None:
    told: dict[str, dict[str, tuple[Outcome, Failure | None]]] = {}
    stores: dict[str, Store] = {}
    engines = {"processes": Processes(2), "ray": executor("ray", 2, cluster.address)}
    for name, engine in engines.items():
        (tmp_path / name).mkdir()
        store, outcomes = Store.at(tmp_path / name / "store"), {}
        stage = Squares(tmp_path / name, does={3: "kill_once", 5: "segfault", 14: "raise_value_error"})

        def note(done: Done, outcomes: dict[str, tuple[Outcome, Failure | None]] = outcomes) -> None:
            assert done.part.key not in outcomes
            outcomes[done.part.key] = (done.outcome, done.failure)

        engine.run(stage, store, on_done=note)
        stores[name], told[name] = store, outcomes
    assert told["ray"] == told["processes"]
    assert {key for key, (what, _) in told["ray"].items() if what is Outcome.REFUSED} == {"5-5", "14-14"}
    assert files(stores["ray"]) == files(stores["processes"])


def test_who_is_starved_twice_stops_the_run(cluster: TwoNodes, store: Store, log: Path) -> None:
    with pytest.raises(StageError, match=r"^square: part 0-0: the worker process died of SIGKILL twice, "):
        executor("ray", 1, cluster.address).run(
            Squares(log, count=1, does={0: "kill"}), store, on_done=lambda done: None
        )
    assert list(store.list()) == []


def test_a_part_is_done_though_its_node_is_lost(
    cluster: TwoNodes, store: Store, log: Path, losses: list[str]
) -> None:
    here, go = Gate(log / "here"), Gate(log / "go")
    stage = Squares(log, count=6, size=1, does={0: "knock_and_wait", 1: "knock_and_wait"})

    def lose() -> None:
        here.wait(2)  # a part on each node
        family = [psutil.Process(int(pid)) for _, pid in noted(log, "setup")]
        cluster.lose_a_node()
        while all(map(psutil.Process.is_running, family)):
            time.sleep(0.05)
        go.open(2)

    told: list[Done] = []
    loser = threading.Thread(target=lose)
    loser.start()
    executor("ray", 2, cluster.address).run(stage, store, on_done=told.append)
    loser.join()
    assert losses in (["0-0"], ["1-1"])
    assert sorted((done.part.key, done.outcome) for done in told) == [
        (f"{n}-{n}", Outcome.DONE) for n in range(6)
    ]
    runs = [key for (key,) in noted(log, "run")]
    assert sorted(runs) == sorted([*(f"{n}-{n}" for n in range(6)), *losses])
    assert list(records(stage, store)) == [{"number": n, "square": n**2} for n in range(6)]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips, one of which cannot be read, with their sheet and a build by this process."""
    folder = tmp_path_factory.mktemp("twenty")
    with (MINI / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("sticker/")][:20]
    for row in rows:
        (folder / "clips" / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MINI / row["path"], folder / "clips" / row["path"])
    (folder / "clips" / rows[7]["path"]).write_bytes(b"not a video")
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    build(folder / "clips", folder / "labels.csv", folder / "local", engine="serial", shard_size=1 << 18)
    return folder


@pytest.mark.parametrize("loses", [(), ("prepare",)], ids=["as usual", "a node is lost"])
def test_a_build_is_the_same_to_the_byte(
    cluster: TwoNodes, twenty: Path, tmp_path: Path, losses: list[str], loses: tuple[str, ...]
) -> None:
    engine = LosingANode(cluster, *loses)
    report = build(
        twenty / "clips", twenty / "labels.csv", tmp_path / "out", engine=engine, shard_size=1 << 18
    )
    assert len(report.rejections) == 1
    wanted, found = files(Store.at(twenty / "local")), files(Store.at(tmp_path / "out"))
    assert found == wanted and sum(name.endswith(".tar") for name in found) > 2
    assert bool(losses) == bool(loses)


def test_what_leaves_only_records_needs_no_shared_store(
    cluster: TwoNodes, store: Store, log: Path, losses: list[str]
) -> None:
    stage = Noted(log, size=1, does={5: "raise_value_error"})
    Serial().run(Noted(log, count=8, size=1, does={5: "raise_value_error"}), store, on_done=lambda done: None)
    (log / "log.txt").unlink()
    LosingANode(cluster, stage.name).run(stage, store, on_done=lambda done: None)
    assert len(losses) == 1
    assert store.root not in {root for (root,) in noted(log, "store")}
    # what is there already is looked through by the workers, and what failed is done again
    assert sorted({key for (key,) in noted(log, "run")}) == sorted(f"{n}-{n}" for n in (5, *range(8, 16)))
    assert [record["number"] for record in records(stage, store)] == list(range(16))


def test_annotations_are_the_same_though_a_node_is_lost(
    cluster: TwoNodes, twenty: Path, tmp_path: Path, losses: list[str]
) -> None:
    pytest.importorskip("transformers")
    from emovid_models import MINI_ANNOTATOR
    from emovid_models.annotator.annotate import LoadedByName, annotate
    from emovid_models.annotator.items import find_items

    items = find_items(str(twenty / "local"))[:6]
    found = []
    for name, engine in (("here", Serial()), ("there", LosingANode(cluster, "Annotating"))):
        out = tmp_path / name / "found.parquet"
        model = LoadedByName(str(MINI_ANNOTATOR), "cpu")
        report = annotate(items, model, out, identity="mini", batch_size=1, num_frames=2, engine=engine)
        found.append(list(report.annotations))
    assert len(losses) == 1
    assert [replace(one, scores=None) for one in found[1]] == [replace(one, scores=None) for one in found[0]]
    for one, other in zip(*found, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5) and one.error is None


def test_a_build_is_checked_and_measured(cluster: TwoNodes, twenty: Path, tmp_path: Path) -> None:
    engine = executor("ray", 2, cluster.address)
    assert verify(twenty / "local", engine=engine) == []
    assert measure(twenty / "local", engine=engine) == measure(twenty / "local")
    shutil.copytree(twenty / "local", tmp_path / "build")
    shard = next((tmp_path / "build" / "data").rglob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    found = verify(tmp_path / "build", engine=engine)
    assert found and found == verify(tmp_path / "build", engine="serial")


def test_a_store_that_a_node_does_not_see_is_refused(cluster: TwoNodes, log: Path) -> None:
    store = Store.at("memory://only-of-this-process/build")
    with pytest.raises(
        ValueError, match=r"^a node of the Ray cluster does not see memory://only-of-this-process"
    ):
        executor("ray", 1, cluster.address).run(Squares(log), store, on_done=lambda done: None)
    assert noted(log, "run") == [] and list(store.list()) == []


def test_a_setup_that_fails_stops_the_run(cluster: TwoNodes, store: Store, log: Path) -> None:
    with pytest.raises(StageError, match=r"^square: ModuleNotFoundError: No module named 'frobnicate'$"):
        executor("ray", 1, cluster.address).run(
            Squares(log, at_setup="miss_a_package"), store, on_done=lambda done: None
        )
    assert list(store.list()) == []


def test_workers_wait_for_the_next_stage(cluster: TwoNodes, store: Store, log: Path) -> None:
    """And end with the block; one that is lost meanwhile costs nothing."""
    import ray

    stages = [replace(Squares(log, size=1), count=count) for count in (4, 8, 12)]
    with executor("ray", 2, cluster.address) as engine:
        engine.run(stages[0], store, on_done=lambda done: None)
        first = {pid for _, pid in noted(log, "setup")}
        assert {pid for _, pid in noted(log, "close")} == first
        before = len(noted(log, "setup"))
        engine.run(stages[1], store, on_done=lambda done: None)
        assert first & {pid for _, pid in noted(log, "setup")[before:]}
        ray.kill(engine._waiting[0].actor)
        engine.run(stages[2], store, on_done=lambda done: None)
    family = [psutil.Process(int(pid)) for _, pid in noted(log, "setup") if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert [record["number"] for record in records(stages[2], store)] == list(range(12))


drawn = 0


@dataclass(frozen=True)
class Endless(Squares):
    def parts(self, store: Store) -> Iterator[Batch]:
        global drawn
        for number in itertools.count():
            drawn += 1
            yield batch([number])


class Enough(Exception):
    pass


def test_the_driver_draws_no_more_parts_than_it_has_workers(
    cluster: TwoNodes, store: Store, log: Path
) -> None:
    """Five workers on two cores: three wait for room, and nothing waits for them."""
    done = 0

    def stop_at_ten(_: Done) -> None:
        nonlocal done
        done += 1
        assert drawn <= done + 5
        if done == 10:
            raise Enough

    with pytest.raises(Enough):
        executor("ray", 5, cluster.address).run(Endless(log), store, on_done=stop_at_ten)
    assert len(noted(log, "setup")) <= 2


def test_ctrl_c_leaves_no_worker_and_what_is_done(cluster: TwoNodes, store: Store, log: Path) -> None:
    here = Gate(log / "here")
    fields = {"size": 1, "does": {4: "knock_and_hang", 5: "knock_and_hang"}}
    command = [sys.executable, str(HERE / "run_squares.py"), store.root, str(log), "2", json.dumps(fields)]
    with subprocess.Popen(
        [*command, cluster.address], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        here.wait(2)
        family = [psutil.Process(int(pid)) for _, pid in noted(log, "setup")]
        assert len(family) == 2
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert sorted(store.list()) == sorted(
        [*(f"ledger/square/{n}-{n}.jsonl" for n in range(4)), *(f"squares/{n}" for n in range(4))]
    )
    executor("serial").run(Squares(log, size=1), store, on_done=lambda done: None)
    assert [record["number"] for record in records(Squares(log, size=1), store)] == list(range(16))


# what needs no cluster


def test_an_address_that_nothing_answers_is_refused_at_once(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(OSError, match=rf"^no Ray cluster answers at 127.0.0.1:{port}: Connection refused$"):
        executor("ray", 1, f"127.0.0.1:{port}")
    for wrong in ("nowhere", "host:", ":6379", "host:0x1", "host:70000", "a/b:6379"):
        with pytest.raises(ValueError, match=f"^the Ray address is '{wrong}'; it must be host:port or auto$"):
            executor("ray", 1, wrong)
    with pytest.raises(ValueError, match=r"^workers is 0; it must be at least 1$"):
        executor("ray", 0)
    with pytest.raises(
        ValueError, match=r"^the Ray address auto is for the engine ray, and the engine is serial$"
    ):
        executor("serial", 1, "auto")


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'emovid\[ray\]'$"):
        executor("ray", 1)


@pytest.mark.parametrize(
    ("workers", "gpus", "share"),
    [(1, 0, 0), (4, 0, 0), (None, 2, 1), (2, 2, 1), (3, 2, 0.5), (4, 2, 0.5), (8, 2, 0.25)],
)
def test_workers_share_the_gpus_there_are(
    workers: int | None, gpus: int, share: float, store: Store, log: Path
) -> None:
    from emovid_dataset.engine.ray import room_for

    class OnGpu(Squares):
        resources = Resources(gpu=True)  # type: ignore[assignment]

    cluster = {"CPU": 16.0, **({"GPU": float(gpus)} if gpus else {})}
    assert room_for(OnGpu(log), workers, cluster) == (workers or gpus, share)
    assert room_for(Squares(log), workers, cluster) == (workers or 16, 0)
