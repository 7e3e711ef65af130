"""A real Ray cluster of two one-core nodes beside the head, as fixtures; whoever imports them has them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from emovid_dataset.engine import Failure, FailureKind, OnDone, Stage
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.store import Store

ray = pytest.importorskip("ray")

TESTS = Path(__file__).parent
PATIENCE = 120
"""Seconds in which a cluster does a stage of 16 squares, or is one that does not work on this machine."""


class TwoNodes:
    """A cluster; what a test took from it is there again for the next one."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        small = {"object_store_memory": 100 << 20, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        self._nodes: list[Any] = []
        self._small = small
        self.address = str(self._cluster.address)

    def fill(self) -> None:
        """Two nodes, whatever has been lost."""
        while len(self._nodes) < 2:
            self._nodes.append(self._cluster.add_node(num_cpus=1, wait=False, **self._small))
        self._cluster.wait_for_nodes()

    def lose_a_node(self) -> None:
        """End one at once, as when its power fails."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def refuses(self, folder: Path) -> str | None:
        """Why the cluster does no work, if it does not: a machine's network may let it start and no more."""
        command = [sys.executable, str(TESTS / "engine" / "run_squares.py"), str(folder / "store")]
        try:
            done = subprocess.run(
                [*command, str(folder), "2", "{}", self.address],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return f"nothing is done within {PATIENCE} seconds"
        return None if done.returncode == 0 else done.stderr[-500:]

    def stop(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_worker_niceness", "0")  # else a busy machine starves them
        environment.setenv("RAY_local_fs_capacity_threshold", "1")  # a full disk is other tests' business
        environment.setenv(
            "PYTHONPATH", os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "engine")))
        )  # for squares.py and this file
        cluster = TwoNodes()
        try:
            cluster.fill()
            if (why := cluster.refuses(tmp_path_factory.mktemp("squares"))) is not None:
                pytest.skip(f"Ray starts and does no work on this machine: {why}")
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def cluster(two_nodes: TwoNodes) -> TwoNodes:
    two_nodes.fill()
    return two_nodes


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the parts whose worker was lost."""
    lost: list[str] = []
    settle = Schedule.settle

    def watching(self: Schedule, attempt: Any, result: Any) -> None:
        if isinstance(result, Failure) and result.kind is FailureKind.LOST:
            lost.append(attempt.part.key)
        settle(self, attempt, result)

    monkeypatch.setattr(Schedule, "settle", watching)
    return lost


class LosingANode:
    """An engine that loses a node of each stage of some names, when both nodes are at work on parts."""

    def __new__(cls, cluster: TwoNodes, *names: str) -> Any:
        from emovid_dataset.engine import ray as engine

        left = set(names)

        class LosingCrew(engine._Crew):
            def gather(self, schedule: Schedule) -> None:
                busy = sum(place.attempt is not None for place in self._places)
                if self._stage.name in left and busy == 2:
                    left.remove(self._stage.name)
                    cluster.lose_a_node()
                super().gather(schedule)

        class Losing(engine.Ray):
            def run(self, stage: Stage[Any, Any], store: Store, *, on_done: OnDone) -> None:
                with patch.object(engine, "_Crew", LosingCrew):
                    super().run(stage, store, on_done=on_done)

        return Losing(2, cluster.address)
