"""An executor that shares the parts out over a Ray cluster.

Each worker is an actor (`ray_host.py`) on one CPU and, for a stage with a model, a GPU or a fraction of one.
The driver holds one part per worker. Actors come and go with their nodes: a part is given only to one that is
up, and a part whose actor is lost goes to another. Within `with engine:` actors wait for the next stage.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import emovid_dataset
from emovid_dataset.engine.base import Executor, Failure, FailureKind, OnDone, P, S, Stage, one_line
from emovid_dataset.engine.ledger import Ledger
from emovid_dataset.engine.policy import Attempt, broken_error
from emovid_dataset.engine.ray_host import Call, CallResult, HostFacts, RayHost
from emovid_dataset.engine.ray_place import Host, RayPlace, end_hosts
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.engine.worker import Broken
from emovid_dataset.engine.worker_process import task_of

if TYPE_CHECKING:
    from emovid_dataset.store import Store

INSTALL = "pip install 'emovid[ray]'"
_LOOK = 1.0  # seconds between looks at a cluster that says nothing
_PATIENCE = 30.0  # seconds without a worker after which the user is told
_KNOCK = 5.0  # seconds that an address has to answer
_CLOSING = 60.0  # seconds that a worker has for closing what it set up
_DYING = 10.0  # seconds that killed actors have
_STARTS = 8  # actors in a row that are lost before they are up
_OBJECTS = 128 << 20  # bytes of the object store of a Ray of our own, which holds little but the stage


class Ray(Executor):
    """Does the parts on the nodes of a Ray cluster; the loss of a worker or a node costs nothing but time.

    The workers end with the stage; within `with engine:` they wait for the next stage, which spares starting
    and importing again. What they print goes to Ray's logs on their nodes. Every node needs this package in
    the same version and the same credentials in its environment, and must reach the store; a folder will do
    only if all nodes share it.

    Args:
        workers: number of actors; those that the cluster has no room for wait. None is one per CPU of the
            cluster; for a stage on a GPU one per GPU, or a single one where there is none.
        address: of the cluster: ``host:port``, or ``auto`` for the one that runs on this machine; None is the
            one that $RAY_ADDRESS names, or else a Ray of its own on this machine.

    Raises:
        ValueError: `workers` is out of range, or Ray is not installed.
        OSError: nothing answers at `address`.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; it must be at least 1")
        self.workers = workers
        self.address = address or os.environ.get("RAY_ADDRESS") or None
        check_ray(self.address)
        self._waiting: list[Host] = []

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        end_hosts(waiting)

    def run(self, stage: Stage[P, S], store: Store, *, on_done: OnDone) -> None:
        ray = _connected(self.address)
        schedule = Schedule(stage, store, on_done)
        waiting, self._waiting = self._waiting, []
        crew = _Crew(ray, stage, store, self.workers, waiting)
        try:
            with _one_line_errors(ray), crew.marked():
                while crew.hand_out(schedule):
                    crew.gather(schedule)
                crew.close()
            idle = crew.take_hosts()
            if self._entered:
                self._waiting = idle
            else:
                end_hosts(idle)
        finally:
            schedule.close()
            crew.kill()


def room_for(
    stage: Stage[Any, Any], workers: int | None, resources: Mapping[str, float]
) -> tuple[int, float]:
    """How many workers a stage gets on a cluster, and how many GPUs each.

    Args:
        stage: what they do.
        workers: that were asked for.
        resources: of the cluster: how many of "CPU", "GPU".

    Returns:
        Workers, and GPUs per worker: 1, a fraction of one that fits a whole number of times, or 0.
    """
    if not stage.resources.gpu:
        return workers or max(1, int(resources.get("CPU", 1))), 0
    gpus = int(resources.get("GPU", 0))
    count = workers or gpus or 1
    return count, 1 / math.ceil(count / gpus) if gpus else 0


def check_ray(address: str | None) -> None:
    """Refuse what `Ray` could not use, before anything is started.

    Raises:
        ValueError: Ray is not installed, or the address is none.
        OSError: nothing answers there.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the engine ray needs Ray, which is not installed: {INSTALL}") from error
    if address in (None, "auto", "local"):
        return
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"the Ray address is {address!r}; it must be host:port or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except OSError as error:
        raise OSError(f"no Ray cluster answers at {address}: {error.strerror or error}") from error


def _connected(address: str | None) -> Any:
    """Ray, connected to a cluster; a connection that there is already is used."""
    import ray

    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {}
    if address in (None, "local"):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray gives its workers the lowest share of a busy machine; processes of our own have a usual one
        os.environ.setdefault("RAY_worker_niceness", "0")
        options = {"object_store_memory": _OBJECTS, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except (Exception, SystemExit) as error:
        where = f"the Ray cluster at {address}" if options == {} else "a Ray of its own"
        raise OSError(f"cannot use {where}: {one_line(str(error))}") from error
    return ray


@contextmanager
def _one_line_errors(ray: Any) -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        reason = one_line(str(error))
        raise OSError(f"the Ray cluster fails: {reason}; run the same command again") from error


class _Crew:
    """The actors of one run, with what each is on.

    Args:
        ray: connected.
        stage: what they do.
        store: where its outputs and its ledger are.
        workers: that were asked for.
        waiting: actors of an earlier stage; what this one has no use for is ended.
    """

    def __init__(
        self,
        ray: Any,
        stage: Stage[Any, Any],
        store: Store,
        workers: int | None,
        waiting: Sequence[Host] = (),
    ) -> None:
        self._ray, self._stage, self._store = ray, stage, store
        self._ledger = Ledger(store, stage.ledger)
        self._has_own_ledgers = stage.leaves_only_records and store.folder is not None
        self._mark = f"{stage.ledger}/{secrets.token_hex(8)}.seen"
        count, share = room_for(stage, workers, ray.cluster_resources())
        actor = ray.remote(RayHost).options(num_cpus=1, num_gpus=share, scheduling_strategy="SPREAD")
        pickled = ray.put(pickle.dumps(stage))
        seen = None if self._has_own_ledgers else store
        usable = [host for host in waiting if host.share == share][:count]
        end_hosts([host for host in waiting if host not in usable])
        self._places = [
            RayPlace(
                lambda: Host(actor.remote(), share),
                (n, pickled, seen, stage.ledger, stage.resources.timeout, self._mark),
                usable[n] if n < len(usable) else None,
            )
            for n in range(count)
        ]
        self._waiting: deque[Attempt] = deque()
        self._lost_starts = 0
        self._alone_since = time.monotonic()

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Leave a mark in the store, by which an actor knows that it sees the same one."""
        if self._has_own_ledgers:
            yield
            return
        self._store.put(self._mark, b"")
        try:
            yield
        finally:
            self._store.delete(self._mark)

    def hand_out(self, schedule: Schedule) -> bool:
        """Give actors what there is to do; whether anything is to be waited for."""
        busy = sum(place.attempt is not None for place in self._places)
        while busy + len(self._waiting) < len(self._places):
            attempt = schedule.take(busy + len(self._waiting))
            if attempt is None:
                break
            if attempt.alone:
                self.close()
                end_hosts(self.take_hosts())  # idle workers hold memory too
            self._waiting.append(attempt)
        for place in self._places:
            if self._waiting and place.is_idle:
                self._give(place, self._waiting.popleft())
        starting = sum(place.is_starting for place in self._places)
        startable = [place for place in self._places if place.can_start]
        for place in startable[: max(0, len(self._waiting) - starting)]:
            place.start()
        return bool(self._waiting) or any(place.attempt is not None for place in self._places)

    def gather(self, schedule: Schedule) -> None:
        """Wait until an actor is up or has done its part, and record that."""
        places = {place.pending: place for place in self._places if place.pending is not None}
        ready, _ = self._ray.wait(list(places), num_returns=1, timeout=_LOOK)
        for reference in ready:
            place = places[reference]
            if place.attempt is None:
                self._welcome(place)
            else:
                self._settle(place, schedule)
        self._tell_of_waiting()

    def close(self) -> None:
        """Let idle actors close what they set up."""
        closing = [(place, place.close()) for place in self._places if place.is_idle]
        for place, reference in closing:
            try:
                broken = self._ray.get(reference, timeout=_CLOSING)
            except self._ray.exceptions.RayError:  # lost while idle: all its parts are done
                place.kill()
                continue
            if isinstance(broken, Broken):
                raise broken_error(self._stage.name, broken.failure)

    def take_hosts(self) -> list[Host]:
        """The actors that have nothing to do, which are this crew's no longer."""
        for place in self._places:
            if place.is_starting:
                place.kill()
        return [host for place in self._places if (host := place.give_up_host()) is not None]

    def kill(self) -> None:
        """End all actors, whatever they are on."""
        busy = [place.pending for place in self._places if place.attempt is not None]
        for place in self._places:
            place.kill()
        if busy:
            with suppress(Exception):
                self._ray.wait(busy, num_returns=len(busy), timeout=_DYING)

    def _give(self, place: RayPlace, attempt: Attempt) -> None:
        key = attempt.part.key
        entry = self._ledger.entry(key) if self._has_own_ledgers and attempt.written else None
        place.give(attempt, Call(key, task_of(attempt), entry))

    def _welcome(self, place: RayPlace) -> None:
        """Take an actor that has started among those that work."""
        found = self._result(place)
        if isinstance(found, HostFacts):
            self._check(found)
            place.pending, place.is_up = None, True
            self._lost_starts = 0
            return
        if isinstance(found, Broken):
            raise broken_error(self._stage.name, found.failure)
        place.kill()
        self._lost_starts += 1
        if self._lost_starts > _STARTS + len(self._places):
            raise OSError(f"{self._stage.name}: no worker starts on the Ray cluster: {found.reason}")

    def _settle(self, place: RayPlace, schedule: Schedule) -> None:
        attempt, found = place.attempt, self._result(place)
        assert attempt is not None
        place.attempt = place.pending = None
        if isinstance(found, CallResult):
            if found.entry is not None:
                self._ledger.enter(attempt.part.key, found.entry)
            schedule.settle(attempt, found.result)
            return
        if isinstance(found, Failure):
            place.kill()
        schedule.settle(attempt, found)

    def _result(self, place: RayPlace) -> Any:
        """What an actor answered, or the failure that stands for the actor."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(place.pending)
        except errors.RayTaskError as error:  # raised by the actor's own code
            cause = error.cause if isinstance(error.cause, Exception) else error
            return Broken(Failure.of(cause))
        except errors.OutOfMemoryError as error:
            reason = "Ray killed its worker, for the node was out of memory"
            return Failure(FailureKind.OUT_OF_MEMORY, reason, type(error).__name__)
        except (errors.RayActorError, errors.ObjectLostError, errors.NodeDiedError) as error:
            reason = one_line(str(error).strip().rpartition("\n")[2])
            if getattr(error, "actor_init_failed", False):
                return Broken(Failure(FailureKind.RAISED, reason, type(error).__name__))
            return Failure(FailureKind.LOST, reason, type(error).__name__)

    def _check(self, facts: HostFacts) -> None:
        if facts.version != emovid_dataset.__version__:
            raise ValueError(
                f"a node of the Ray cluster has emovid {facts.version} and this machine "
                f"{emovid_dataset.__version__}; install the same one everywhere"
            )
        if not facts.sees_store:
            raise ValueError(
                f"a node of the Ray cluster does not see {self._store.name}; choose a place that all nodes "
                "see, such as s3://bucket/folder"
            )

    def _tell_of_waiting(self) -> None:
        """Say once per patience that no actor is up."""
        now = time.monotonic()
        if not self._waiting or any(place.is_up for place in self._places):
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE:
            self._alone_since = now
            cpus = self._ray.cluster_resources().get("CPU", 0)
            print(
                f"{self._stage.name}: waiting for a free CPU of the Ray cluster, which has {cpus:g}",
                file=sys.stderr,
                flush=True,
            )
