"""`Invitations`: who may open a page, by a token in an address and then by a cookie.

Both follow from one secret, so that a server that is started again with it knows its people. A cookie is not
the token: what stands in a browser's history does not open a page that was opened, and the other way round.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

_BYTES = 32


class Invitations:
    """Tokens and cookies of some people.

    Args:
        secret: 32 random bytes, such as `held_secret` gives.
        people: their names, each once.

    >>> invitations = Invitations(bytes(32), ["anna", "ben"])
    >>> invitations.person_of_token(invitations.token_for("ben")), invitations.person_of_token("x")
    ('ben', None)
    """

    def __init__(self, secret: bytes, people: Sequence[str]) -> None:
        self._secret, self._people = secret, tuple(people)
        # a browser sends cookies to every port of a host: two servers must not take each other's
        self._cookie = f"emovid_{hashlib.sha256(secret).hexdigest()[:12]}"

    @property
    def people(self) -> tuple[str, ...]:
        """Their names."""
        return self._people

    def token_for(self, person: str) -> str:
        """What stands in a person's address."""
        return self._derived("token", person)

    def person_of_token(self, token: str) -> str | None:
        """Whose token it is; None if it is nobody's."""
        return self._found(token, self.token_for)

    def person_entering(self, token: str, fields: Mapping[str, Sequence[str]], cookie: str) -> str | None:
        """Who comes with a token; None if it is nobody's.

        Args:
            token: as the address has it.
            fields: all parameters of the address by name, this one among them.
            cookie: the Cookie header.
        """
        return self.person_of_token(token)

    def cookie_for(self, person: str, *, secure: bool) -> str:
        """The value of a Set-Cookie header; the cookie lasts as long as the browser is open.

        Args:
            person: one of the people.
            secure: whether it is sent over TLS only.
        """
        kept = f"{self._cookie}={self._cookie_value(person)}; Path=/; HttpOnly; SameSite=Strict"
        return kept + ("; Secure" if secure else "")

    def person_of_cookie(self, header: str) -> str | None:
        """Whose cookie a Cookie header holds; None if it holds nobody's."""
        try:
            held = SimpleCookie(header).get(self._cookie)
        except CookieError:
            return None
        if held is None:
            return None
        return self._person_of_value(held.value)

    def _cookie_value(self, person: str) -> str:
        return self._derived("cookie", person)

    def _person_of_value(self, value: str) -> str | None:
        return self._found(value, self._cookie_value)

    def _derived(self, what: str, person: str) -> str:
        return hmac.new(self._secret, f"{what}\0{person}".encode(), hashlib.sha256).hexdigest()

    def _found(self, given: str, of: Callable[[str], str]) -> str | None:
        # all are compared, so that the time says nothing about whose it nearly was
        matches = [name for name in self._people if hmac.compare_digest(of(name).encode(), given.encode())]
        return matches[0] if matches else None


def held_secret(purpose: str) -> bytes:
    """A secret that the same user gets again for the same purpose; a new one where nothing can be kept.

    It is in the user's cache, readable to that user alone, and in no folder that is passed on.

    Args:
        purpose: such as the absolute path of a folder of answers.
    """
    place = (
        _cache() / "emovid" / "web" / hashlib.sha256(purpose.encode("utf-8", "surrogateescape")).hexdigest()
    )
    fresh = secrets.token_bytes(_BYTES)
    with suppress(OSError, RuntimeError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(fresh)
        held = place.read_bytes()
        if len(held) == _BYTES and place.stat().st_mode & 0o077 == 0:
            return held
    return fresh


def _cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"
