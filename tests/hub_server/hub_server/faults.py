"""What goes wrong on demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Fault:
    """Requests that are to fail, and how; set what shall happen to them.

    ::

        hub.faults.append(Fault("PUT", "/lfs/", status=503, headers={"Retry-After": "0"}, times=2))
        hub.faults.append(Fault("POST", "/commit/", unanswered=True))

    Attributes:
        method: regular expression for the whole method.
        path: regular expression that is searched for in the path.
        skip: so many matching requests go well first.
        times: so many fail then; None for all.
        status: answer with this status and do nothing else.
        headers: of that answer.
        error: its message.
        reset_request_after: drop the connection when so many bytes of the request's body have come; what was
            asked for is not done.
        reset_answer_after: drop the connection after so many bytes of the answer's body.
        unanswered: do what was asked for, then drop the connection without an answer.
        seconds_a_block: wait before every block of the answer's body.
        strike: called when the fault strikes, before a connection is dropped; alone, before the request is
            answered as usual.
    """

    method: str = ".*"
    path: str = ""
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "on demand"
    reset_request_after: int | None = None
    reset_answer_after: int | None = None
    unanswered: bool = False
    seconds_a_block: float = 0.0
    strike: Callable[[], None] | None = None

    @property
    def only_strikes(self) -> bool:
        """Whether the request itself goes well."""
        return (
            self.status is None
            and self.reset_request_after is None
            and self.reset_answer_after is None
            and not self.unanswered
        )

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is to fail; counts it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True
