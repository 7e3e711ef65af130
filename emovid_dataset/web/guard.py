"""`Guard`: lets only invited people's own pages through to an application, and bounds what they send.

A page on this machine is within reach of every web page that its user has open, also on loopback: another
site may send requests to it, or point a name of its own at 127.0.0.1 and then read the replies (DNS
rebinding). So each request passes, in this order::

    Host      a name of this server, or an address: no foreign name reaches it
    Origin    this server's own, where a browser sends one; Sec-Fetch-Site says "same-origin"
    person    the token in the address, once, which becomes a cookie; then the cookie
    body      at most so many bytes, within so many seconds
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from emovid_dataset.web.invitations import Invitations

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 64 * 1024
"""Of a request's body."""
MOST_SECONDS = 30.0
"""Until a request's body is there."""

TOKEN = "token"
"""The parameter of an address that holds a person's token."""

_MOST_FIELDS = 8
"""Parameters of an address that brings a token."""

_ENTERED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>EmoVid</title>'
    '<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Go on</a></p></html>'
)
"""Drops the token from the address. It is no redirect: to a browser one that began at another site, such as
a mail, is still that site's, and a strict cookie would not be sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is.

    Attributes:
        names: under which it may be asked for, without the port.
        port: it listens at.
        takes_addresses: whether any IP address may stand for it: one that listens on all of them.
        secure: whether it speaks TLS.
    """

    names: frozenset[str]
    port: int
    takes_addresses: bool = False
    secure: bool = False

    def is_host(self, header: str) -> bool:
        """Whether a Host header names this server.

        >>> here = Place(frozenset({"127.0.0.1", "localhost"}), 8000)
        >>> here.is_host("localhost:8000"), here.is_host("localhost"), here.is_host("evil.example:8000")
        (True, False, False)
        """
        name, separator, port = header.rpartition(":")
        if not separator or "]" in port:
            name, port = header, "443" if self.secure else "80"
        if not (port.isascii() and port.isdigit() and int(port) == self.port):
            return False
        name = name.lower()
        return name in self.names or (self.takes_addresses and _is_address(name))

    def is_origin(self, header: str, host: str) -> bool:
        """Whether an Origin header is that of the page at a host that is this server's."""
        return header == f"{'https' if self.secure else 'http'}://{host}"


def _is_address(name: str) -> bool:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return (found.version == 6) == (bare != name)


class Refused(Exception):
    """A request that does not get through."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Guard:
    """An ASGI application around another one, which finds the person in ``scope["state"]["person"]`` and the
    nonce of its scripts and styles in ``scope["state"]["nonce"]``.

    Args:
        application: what is guarded.
        place: where the server is.
        invitations: whose tokens and cookies are taken.
        most_bytes: of a request's body.
    """

    def __init__(
        self,
        application: Application,
        place: Place,
        invitations: Invitations,
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._application, self._place, self._invitations = application, place, invitations
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over WebSockets
            await send({"type": "websocket.close", "code": 1008})
            return
        nonce = secrets.token_urlsafe(18)
        headers = _Headers(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _secured(message.get("headers", ()), nonce)}
            await send(message)

        try:
            self._check_origin(scope, headers)
            if (person := self._entering(scope, headers)) is not None:
                await self._let_in(person, send_with_headers)
                return
            person = self._invitations.person_of_cookie(headers.one("cookie"))
            if person is None:
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "this page needs the address that its program printed, with its token",
                )
            body = await self._body(headers, receive)
        except Refused as refusal:
            await _reply(send_with_headers, refusal.status, "text/plain", f"{refusal.reason}\n")
            return
        scope.setdefault("state", {}).update(person=person, nonce=nonce)
        await self._application(scope, _replayed(body, receive), send_with_headers)

    def _check_origin(self, scope: Scope, headers: _Headers) -> None:
        host = headers.one("host")
        if not self._place.is_host(host):
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server goes by another name")
        origin, site = headers.one("origin"), headers.one("sec-fetch-site")
        if origin and not self._place.is_origin(origin, host):
            raise Refused(HTTPStatus.FORBIDDEN, "the request comes from a page of another site")
        reads = scope["method"] in ("GET", "HEAD")
        is_visit = reads and headers.one("sec-fetch-mode") == "navigate"
        if site not in ("", "same-origin", "none") and not is_visit:
            raise Refused(HTTPStatus.FORBIDDEN, "the request comes from a page of another site")
        if not reads and not origin and site != "same-origin":
            raise Refused(HTTPStatus.FORBIDDEN, "the request does not say which page it comes from")

    def _entering(self, scope: Scope, headers: _Headers) -> str | None:
        """Who brings a token; None if nobody does."""
        if TOKEN.encode() not in scope["query_string"] or scope["method"] != "GET" or scope["path"] != "/":
            return None
        try:
            fields = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=_MOST_FIELDS)
        except ValueError:  # UnicodeDecodeError is one, too
            fields = {}
        given = fields.get(TOKEN, [])
        person = None
        if len(given) == 1:
            person = self._invitations.person_entering(given[0], fields, headers.one("cookie"))
        if given and person is None:
            raise Refused(HTTPStatus.FORBIDDEN, "the token in the address is not one of this server's")
        return person

    async def _let_in(self, person: str, send: Send) -> None:
        cookie = self._invitations.cookie_for(person, secure=self._place.secure)
        await _reply(send, HTTPStatus.OK, "text/html", _ENTERED, ((b"set-cookie", cookie.encode()),))

    async def _body(self, headers: _Headers, receive: Receive) -> bytes:
        length = headers.one("content-length")
        if length and not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.BAD_REQUEST, "the length of the request is not a number")
        too_long = Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {self._most_bytes} bytes"
        )
        if length and int(length) > self._most_bytes:
            raise too_long
        held = bytearray()
        try:
            async with _limit(MOST_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(HTTPStatus.BAD_REQUEST, "the request broke off")
                    held += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(held) > self._most_bytes:
                        raise too_long
        except asyncio.TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive") from None
        return bytes(held)


class _Headers:
    """A request's headers; one that must not come twice, comes twice in an attack only."""

    def __init__(self, scope: Scope) -> None:
        self._all: list[tuple[bytes, bytes]] = list(scope["headers"])

    def one(self, name: str) -> str:
        """The value of a header, empty where it is missing."""
        found = [value for key, value in self._all if key.lower() == name.encode()]
        if len(found) > 1 and name != "cookie":
            raise Refused(HTTPStatus.BAD_REQUEST, f"the request has several headers {name}")
        return b"; ".join(found).decode("latin-1")


def _secured(headers: Iterable[tuple[bytes, bytes]], nonce: str) -> list[tuple[bytes, bytes]]:
    """A reply's headers, and those that tell the browser what the page may do: next to nothing."""
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    own = {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
        "cache-control": "no-store",
    }
    given = {name.lower() for name, _ in headers}
    added = [(name.encode(), value.encode()) for name, value in own.items() if name.encode() not in given]
    return [*headers, *added]


async def _reply(
    send: Send, status: HTTPStatus, kind: str, text: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    body = text.encode()
    fields = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    if status >= 400:
        fields.append((b"connection", b"close"))  # the rest of a long body is not waited for
    await send({"type": "http.response.start", "status": int(status), "headers": fields})
    await send({"type": "http.response.body", "body": body})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the application the body that was read, then what the client does."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


class _limit:
    """`asyncio.timeout`, which Python 3.10 lacks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None

        def end() -> None:
            self._over = True
            task.cancel()

        self._handle = asyncio.get_running_loop().call_later(self._seconds, end)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._handle.cancel()
        if self._over and kind is asyncio.CancelledError:
            raise asyncio.TimeoutError
