"""The driver's side of one actor of `Ray`: a place that it fills, and what it is on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emovid_dataset.engine.policy import Attempt
    from emovid_dataset.engine.ray_host import Call

_LEAVING = 10.0  # seconds that idle actors have for ending by themselves


@dataclass(frozen=True, slots=True)
class Host:
    """An actor.

    Attributes:
        actor: its handle.
        share: of a GPU, that it holds.
    """

    actor: Any
    share: float

    def kill(self) -> None:
        """End it, whatever it is on."""
        import ray

        with suppress(Exception):  # the cluster itself may be gone
            ray.kill(self.actor)


def end_hosts(idle: Sequence[Host]) -> None:
    """End actors whose stage is closed."""
    if not idle:
        return
    import ray

    with suppress(Exception):  # whatever is lost has ended too
        leaving = [host.actor.leave.remote() for host in idle]
        ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVING)
    for host in idle:
        host.kill()


class RayPlace:
    """A place for one actor; another one takes the place of one that was lost.

    Args:
        create: makes an actor.
        job: arguments of `RayHost.begin`.
        host: an actor that is there already.

    Attributes:
        host: the actor, None where there is none.
        is_up: whether it has taken up the stage.
        attempt: what it is on.
        pending: what is awaited of it: that it is up, or the answer to its attempt.
    """

    def __init__(self, create: Callable[[], Host], job: tuple[Any, ...], host: Host | None) -> None:
        self._create, self._job = create, job
        self.host = host
        self.is_up = False
        self.attempt: Attempt | None = None
        self.pending: Any = None

    @property
    def can_start(self) -> bool:
        """Whether `start` may be called."""
        return not self.is_up and self.pending is None

    @property
    def is_idle(self) -> bool:
        """Whether there is an actor that is up and has nothing to do."""
        return self.is_up and self.pending is None

    @property
    def is_starting(self) -> bool:
        """Whether there is an actor that is not up yet."""
        return not self.is_up and self.pending is not None

    def start(self) -> None:
        """Ask an actor, a new one if need be, to take up the stage."""
        self.host = self.host or self._create()
        self.pending = self.host.actor.begin.remote(*self._job)

    def give(self, attempt: Attempt, call: Call) -> None:
        """Start an attempt."""
        assert self.host is not None
        self.attempt = attempt
        self.pending = self.host.actor.perform.remote(call)

    def close(self) -> Any:
        """Let the actor, which is idle, close what it set up; the answer is awaited elsewhere."""
        assert self.host is not None
        return self.host.actor.close.remote()

    def give_up_host(self) -> Host | None:
        """The actor, if it has nothing to do; its place is empty then."""
        if self.host is None or self.pending is not None:
            return None
        host, self.host, self.is_up = self.host, None, False
        return host

    def kill(self) -> None:
        """End the actor, if there is one."""
        if self.host is not None:
            host, self.host, self.pending, self.attempt = self.host, None, None, None
            self.is_up = False
            host.kill()
