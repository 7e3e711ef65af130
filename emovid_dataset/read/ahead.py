"""`read_ahead`: what comes from a slow store is read while something else is done with what came before."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

READ_AHEAD = 64 << 20
"""Bytes of clips that each reader of a remote store holds ahead of what it decodes."""


def read_ahead(items: Iterator[T], size: Callable[[T], int], limit: int) -> Generator[T, None, None]:
    """Iterate in a thread of its own, ahead of whoever takes the items.

    Args:
        items: to be iterated; what it raises is raised in its turn.
        size: bytes of an item.
        limit: bytes that are held at most; an item that is larger is held alone.

    Yields:
        The items, in their order.
    """
    held = _Held[T](limit)

    def fill() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not held.put(item, size(item)):
                    break
        except BaseException as raised:
            error = raised
        finally:
            if isinstance(items, Generator):
                items.close()  # here: a generator that is being iterated cannot be closed from elsewhere
            held.end(error)

    # Nobody waits for its end: it may be in the middle of a request that a dead network never answers.
    threading.Thread(target=fill, name="emovid-read-ahead", daemon=True).start()
    try:
        while (found := held.take()) is not None:
            yield found[0]
    finally:
        held.leave()


class _Held(Generic[T]):
    """Items between the one who makes them and the one who takes them.

    Args:
        limit: bytes that are held at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._total = limit, 0
        self._items: deque[tuple[T, int]] = deque()
        self._state = threading.Condition()
        self._is_over = self._is_left = False
        self._error: BaseException | None = None

    def put(self, item: T, cost: int) -> bool:
        """Add an item once there is room; False if nobody wants it any more."""
        with self._state:
            while self._items and self._total + cost > self._limit and not self._is_left:
                self._state.wait()
            if not self._is_left:
                self._items.append((item, cost))
                self._total += cost
                self._state.notify_all()
            return not self._is_left

    def end(self, error: BaseException | None) -> None:
        """No more items come."""
        with self._state:
            self._is_over, self._error = True, error
            self._state.notify_all()

    def take(self) -> tuple[T, int] | None:
        """The next item with its bytes; None behind the last one, or what was raised there."""
        with self._state:
            while not self._items and not self._is_over:
                self._state.wait()
            if not self._items:
                if self._error is not None:
                    raise self._error
                return None
            item, cost = self._items.popleft()
            self._total -= cost
            self._state.notify_all()
            return item, cost

    def leave(self) -> None:
        """Nobody takes items any more."""
        with self._state:
            self._is_left = True
            self._items.clear()
            self._state.notify_all()
