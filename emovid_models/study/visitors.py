"""Who may open the page of a study: invited people by their own links, anybody by an open one.

A visitor is known by a signed cookie alone until the visitor consents: nothing is kept of who only looked.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emovid_dataset.web.invitations import Invitations

PROLIFIC = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
"""The parameters that Prolific puts into an address."""
OPEN = ".open"
"""Stands for everybody in the list of addresses; no invited rater can have this name."""

_PROLIFIC_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECONDS = 60 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the page.

    Attributes:
        name: of an invited rater, "" of others.
        prolific: the three ids, empty for those who do not come from Prolific.
        nonce: tells apart others who came by the open link.
    """

    name: str = ""
    prolific: tuple[str, ...] = ()
    nonce: str = ""

    @property
    def key(self) -> str:
        """The same for the same person: a session of its own at Prolific does not make another one."""
        if self.prolific:
            return f"prolific {self.prolific[0]} {self.prolific[1]}"
        return f"name {self.name}" if self.name else f"visitor {self.nonce}"

    def to_text(self) -> str:
        """As a cookie holds it."""
        body = json.dumps([self.name, list(self.prolific), self.nonce], allow_nan=False)
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Visitor:
        """What `to_text` wrote; only texts whose signature was checked are read."""
        name, prolific, nonce = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return cls(name, tuple(prolific), nonce)


class StudyInvitations(Invitations):
    """Tokens and cookies of a study's raters; people are texts as `Visitor.to_text` gives them.

    Args:
        secret: as for `Invitations`.
        names: of invited raters.
        is_open: whether anybody may come by the open link.
    """

    def __init__(self, secret: bytes, names: Sequence[str], *, is_open: bool) -> None:
        super().__init__(secret, [*names, *([OPEN] if is_open else [])])

    def person_entering(self, token: str, fields: Mapping[str, Sequence[str]], cookie: str) -> str | None:
        """Who comes with a token; whoever comes back by the open link is the same as before."""
        invited = self.person_of_token(token)
        if invited is None:
            return None
        if invited != OPEN:
            return Visitor(name=invited).to_text()
        ids = [fields.get(name, [""])[0] for name in PROLIFIC]
        if all(_PROLIFIC_ID.fullmatch(text) for text in ids):
            return Visitor(prolific=tuple(ids)).to_text()
        held = self.person_of_cookie(cookie)
        if held is not None and Visitor.from_text(held).nonce:
            return held
        return Visitor(nonce=secrets.token_hex(16)).to_text()

    def _cookie_value(self, person: str) -> str:
        """The visitor and a signature; it outlasts the browser, which phones end as they like."""
        return f"{person}.{self._derived('visitor', person)}"

    def cookie_for(self, person: str, *, secure: bool) -> str:
        """As for `Invitations`, for 60 days."""
        return f"{super().cookie_for(person, secure=secure)}; Max-Age={_SECONDS}"

    def _person_of_value(self, value: str) -> str | None:
        person, _, signature = value.partition(".")
        if not hmac.compare_digest(self._derived("visitor", person).encode(), signature.encode()):
            return None
        visitor = Visitor.from_text(person)
        # an invitation that is withdrawn, or an open link that is closed, ends its cookies
        return person if (visitor.name or OPEN) in self.people else None
