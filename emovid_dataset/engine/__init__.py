"""The one way in which a long job shares out its work and goes on after an interruption.

A job is a `Stage`; an `Executor` does its parts; `run_stage` runs it and shows how far it is; `records` reads
what it learnt. Executors differ only in who does a part: `Serial` in this process, `Processes` in others, and
`Ray` on the nodes of a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emovid_dataset.engine.base import (
    Done,
    Executor,
    Failure,
    FailureKind,
    OnDone,
    Outcome,
    P,
    Part,
    Record,
    Resources,
    S,
    Stage,
    StageError,
)
from emovid_dataset.engine.ledger import Ledger, records
from emovid_dataset.engine.processes import Processes, usable_cores
from emovid_dataset.engine.serial import Serial

if TYPE_CHECKING:
    from emovid_dataset.store import Store

__all__ = [
    "ENGINES",
    "Done",
    "Executor",
    "Failure",
    "FailureKind",
    "Ledger",
    "OnDone",
    "Outcome",
    "Part",
    "Processes",
    "Record",
    "Resources",
    "RowCounts",
    "Serial",
    "Stage",
    "StageError",
    "executor",
    "records",
    "run_stage",
    "usable_cores",
]

ENGINES = ("processes", "serial", "ray")
"""The names that `executor` knows."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of a stage that was run.

    Attributes:
        done: by this run, refused ones among them.
        reused: of parts that an earlier run had done.
    """

    done: int
    reused: int


def executor(
    engine: str | None = "processes", workers: int | None = None, ray_address: str | None = None
) -> Executor:
    """The executor of a name.

    Args:
        engine: one of `ENGINES`; None is "serial" for one worker and else "processes".
        workers: processes, or actors on a Ray cluster, at least 1; None leaves the number to the engine.
            "serial" has none, whatever is asked for.
        ray_address: of the Ray cluster, see `emovid_dataset.engine.ray.Ray`; for "ray" only.

    Raises:
        ValueError: there is no such engine, it lacks its package, or another argument is out of range.
        OSError: nothing answers at `ray_address`.
    """
    if engine is None:
        engine = "serial" if workers == 1 else "processes"
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    if engine == "ray":
        # only here: importing Ray takes a second
        from emovid_dataset.engine.ray import Ray

        return Ray(workers, ray_address)
    if ray_address is not None:
        raise ValueError(f"the Ray address {ray_address} is for the engine ray, and the engine is {engine}")
    return Serial() if engine == "serial" else Processes(workers)


def run_stage(
    stage: Stage[P, S], store: Store, *, executor: Executor, progress: bool, total: int | None = None
) -> RowCounts:
    """Do all parts of a stage that are not done yet, and show how far it is.

    Args:
        stage: what to do.
        store: where its outputs and its ledger are.
        executor: who does it.
        progress: show progress on stderr.
        total: rows expected, None when unknown.

    Raises:
        StageError, OSError, ValueError: as `Executor.run`.
    """
    # only here: a worker process imports this package and draws no bars
    from emovid_dataset.terminal import Progress

    rows = {outcome: 0 for outcome in Outcome}
    with Progress(total, unit=stage.unit, title=stage.name, enabled=progress) as bar:

        def count(done: Done) -> None:
            rows[done.outcome] += done.part.rows
            bar.update(done.part.rows, 0 if done.outcome is Outcome.REUSED else round(done.part.cost))

        executor.run(stage, store, on_done=count)
    return RowCounts(rows[Outcome.DONE] + rows[Outcome.REFUSED], rows[Outcome.REUSED])
