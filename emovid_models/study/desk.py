"""`Desk`: where raters are received: consent, their sessions, and the code at the end."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from pathlib import Path

from emovid_models.study.plan import StudyPlan
from emovid_models.study.register import Register
from emovid_models.study.session import RaterSession
from emovid_models.study.visitors import Visitor
from emovid_models.study.votes import VoteFile

_MOST_OPEN = 400
"""Files of votes that are open at once; who comes back later has the file opened again."""
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of codes: none is taken for another when somebody types it."""


class Desk:
    """Receives raters; safe to be called from several threads.

    Args:
        study: its folder.
        plan: of the study.
        register: of its raters.
        secret: that codes follow from.
        code: the same for everybody, as Prolific has it; None gives each rater one of their own.
    """

    def __init__(
        self, study: Path, plan: StudyPlan, register: Register, secret: bytes, code: str | None
    ) -> None:
        self._study, self._plan, self._register = study, plan, register
        self._secret, self._code = secret, code
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, RaterSession] = OrderedDict()

    def session_of(self, visitor: Visitor) -> RaterSession | None:
        """A rater's session; None before the visitor has consented."""
        rater = self._register.rater_of(visitor)
        return None if rater is None else self._session(rater)

    def admit(self, visitor: Visitor, language: str, consent: str) -> RaterSession:
        """Write that a visitor consented, and begin.

        Raises:
            OSError: it cannot be written.
        """
        return self._session(self._register.begin(visitor, language, consent))

    def code_of(self, visitor: Visitor) -> str:
        """The code that a rater gets whose answers are all on the disk.

        Raises:
            ValueError: some are not.
        """
        rater, session = self._register.rater_of(visitor), self.session_of(visitor)
        if rater is None or session is None or session.next_open() is not None:
            raise ValueError("not everything is answered")
        return self._register.finish(rater, self._code or self._own_code(rater))

    def _own_code(self, rater: str) -> str:
        digest = hmac.new(self._secret, f"code {rater}".encode(), hashlib.sha256).digest()
        return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:8])

    def _session(self, rater: str) -> RaterSession:
        with self._lock:
            held = self._sessions.get(rater)
            if held is None:
                held = RaterSession(self._plan, VoteFile(self._study, rater), int(rater[1:]) - 1)
                self._sessions[rater] = held
                if len(self._sessions) > _MOST_OPEN:
                    _, oldest = self._sessions.popitem(last=False)
                    oldest.close()
            self._sessions.move_to_end(rater)
            return held

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()
