"""Serve a guarded application: the socket, TLS, the addresses that people open, and the end by Ctrl-C."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from emovid_dataset.web.guard import TOKEN, Application, Guard, Place
from emovid_dataset.web.invitations import Invitations

_LOOPBACK_NAMES = ("127.0.0.1", "[::1]", "localhost")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_GRACE = 2
"""Seconds that a video on its way to a browser has when the server ends."""


def parse_name(text: str) -> str:
    """Check the name of a machine, as it stands in an address.

    Raises:
        ValueError: it is not one.

    >>> parse_name("rating.example.org")
    'rating.example.org'
    """
    if not _NAME.fullmatch(text):
        raise ValueError(f"name {text!r} is not the name of a machine, such as rating.example.org")
    return text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where and how a page is served.

    Attributes:
        host: address to listen at; by default only this machine reaches it.
        port: to listen at; 0 takes a free one.
        certificate: PEM file of the TLS certificate, with `key`; None speaks plain HTTP.
        key: PEM file of its private key.
        names: further names of this machine by which browsers ask for the page.
        most_connections: at once; a browser opens up to six.

    Raises:
        ValueError: only one of certificate and key is given.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    most_connections: int = 200

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key come together: --tls-cert and --tls-key")

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.certificate is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        found = _address(self.host)
        return self.host == "localhost" if found is None else found.is_loopback


@contextmanager
def listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """A socket that is bound but serves nobody yet, so that what is wrong shows before anything is begun.

    Raises:
        OSError: nothing can listen there.
        ValueError: the certificate and its key cannot be used.
    """
    if settings.certificate is not None:
        _check_certificate(settings)
    with closing(_bound(settings)) as listener:
        yield listener


def serve(
    application: Application,
    invitations: Invitations,
    settings: ServeSettings,
    listener: socket.socket,
    *,
    tell: Callable[[dict[str, str]], None],
) -> None:
    """Serve until Ctrl-C, or until the process is told to end.

    Args:
        application: ASGI; it is guarded here.
        invitations: the people who are let in.
        settings: where and how.
        listener: as `listening` gives it.
        tell: gets each person's address once the server listens.
    """
    import uvicorn

    port = listener.getsockname()[1]
    config = uvicorn.Config(
        Guard(application, _place(settings, port), invitations),
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=settings.most_connections,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    listener.listen(128)  # whoever comes before the server runs waits
    tell({person: address(settings, port, invitations.token_for(person)) for person in invitations.people})
    uvicorn.Server(config).run(sockets=[listener])


def address(settings: ServeSettings, port: int, token: str) -> str:
    """The address that a person opens."""
    scheme = "https" if settings.is_secure else "http"
    return f"{scheme}://{_shown_host(settings)}:{port}/?{TOKEN}={quote(token)}"


def _shown_host(settings: ServeSettings) -> str:
    if settings.names:
        return settings.names[0]
    found = _address(settings.host)
    if found is not None and found.is_unspecified:
        return socket.gethostname()
    return f"[{settings.host}]" if found is not None and found.version == 6 else settings.host


def _place(settings: ServeSettings, port: int) -> Place:
    found = _address(settings.host)
    everywhere = found is not None and found.is_unspecified
    own = f"[{settings.host}]" if found is not None and found.version == 6 else settings.host
    names = {own, *settings.names}
    if settings.is_loopback or everywhere:
        names.update(_LOOPBACK_NAMES)
    if not settings.is_loopback:
        names.add(socket.gethostname())
    # a foreign name may be pointed at this machine, but nobody else's page is at an address of it
    return Place(frozenset(name.lower() for name in names), port, everywhere, settings.is_secure)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bound(settings: ServeSettings) -> socket.socket:
    where = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(
            f"--host {settings.host} is not an address of this machine: {error.strerror}"
        ) from error
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen at {where}: {error.strerror}") from error
    return listener


def _check_certificate(settings: ServeSettings) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(str(settings.certificate), str(settings.key), password=_no_password)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--tls-cert {settings.certificate} and --tls-key {settings.key} cannot be used: {error}"
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")
