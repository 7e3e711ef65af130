"""The server: it finds the route of each request and lets those fail that shall."""

from __future__ import annotations

import hmac
import json
import re
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_server.faults import Fault
from hub_server.store import KINDS, Account, Commit, HubError, Repo

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        method: as HEAD.
        path: as asked for, with its query.
        byte_range: the Range header.
        status: of the answer.
        length: bytes of the answer's body, 0 for HEAD.
    """

    method: str
    path: str
    byte_range: str | None
    status: int
    length: int


class HubServer:
    """The server, running as long as the `with` block.

    Attributes:
        repos: by kind and id.
        accounts: by token; without one a token may read public repos.
        faults: requests that are to fail; the first one that matches does.
        exchanges: all answered requests so far; a client sees an answer after it is noted here.
        storage: folder of the uploaded files.
        part_size: larger LFS files come in parts of so many bytes.
        lock: held by whoever changes a repo.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.accounts: dict[str, Account] = {}
        self.faults: list[Fault] = []
        self.exchanges: list[Exchange] = []
        self.part_size = 64 << 20
        self.lock = threading.RLock()
        self._folder = tempfile.TemporaryDirectory(prefix="hub_server")
        self.storage = Path(self._folder.name)
        handler = type("Handler", (HubHandler,), {"hub": self})
        self._http = _QuietServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """What clients take as ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def publish(self, kind: str, repo_id: str, folder: Path, **access: Any) -> Repo:
        """Show a folder as a repo; again, as its next commit.

        Args:
            kind: one of `KINDS`.
            repo_id: ``owner/name``.
            folder: must not change while it is served.
            access: `private`, `gated` and `readers` of a new `Repo`.

        Raises:
            ValueError: an unknown kind, or an id without an owner.
        """
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
            raise ValueError(f"repo_id is {repo_id!r}; it must be owner/name")
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id, **access))
        repo.add(Commit.of_folder(folder))
        return repo

    def signature(self, path: str) -> str:
        """What an upload address carries in place of a token."""
        return hmac.new(str(self.storage).encode(), path.encode(), "sha256").hexdigest()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away, be it by a fault or because they have read enough."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Dropped(ConnectionError):
    """The connection was dropped on demand."""


class HubHandler(BaseHTTPRequestHandler):
    """One connection of a client."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    server_version = "hub_server (tests and local demos only)"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Find the route of the request and answer."""
        from hub_server import purging, reading, writing

        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        with self.hub.lock:
            self.fault = next(
                (fault for fault in self.hub.faults if fault.takes(self.command, url.path)), Fault()
            )
        self._body = self._incoming()
        try:
            if self.fault.status is not None:
                headers = {"X-Error-Message": self.fault.error, **self.fault.headers}
                self.read_body()
                if self.fault.strike:
                    self.fault.strike()
                self.send_json({"error": self.fault.error}, headers, HTTPStatus(self.fault.status))
                return
            if self.fault.strike and self.fault.only_strikes:
                self.fault.strike()
            try:
                for methods, pattern, answer in (*reading.ROUTES, *writing.ROUTES, *purging.ROUTES):
                    found = pattern.fullmatch(url.path)
                    if found and self.command in methods:
                        groups = {name: unquote(text or "") for name, text in found.groupdict().items()}
                        answer(self, **groups)
                        break
                else:
                    message = "Sorry, we can't find the page you are looking for."
                    raise HubError(HTTPStatus.NOT_FOUND, "", message)
            except HubError as error:
                self._refuse(error)
            # What is left must be read: the next request comes over the same connection.
            self.read_body()
            if self.fault.unanswered:
                self._drop()
        except _Dropped:
            self.close_connection = True

    def _refuse(self, error: HubError) -> None:
        headers = {"X-Error-Message": str(error)}
        if error.code:
            headers["X-Error-Code"] = error.code
        if error.commit:
            headers["X-Repo-Commit"] = error.commit
        self.send_json({"error": str(error)}, headers, error.status)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `HubServer.exchanges` is the log."""

    # the request

    def read_blocks(self) -> Iterator[bytes]:
        """The body, or what is left of it, block by block."""
        return self._body

    def read_body(self) -> bytes:
        """The body, or what is left of it."""
        return b"".join(self._body)

    def read_json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        try:
            value = json.loads(self.read_body())
        except ValueError as error:
            raise HubError(HTTPStatus.BAD_REQUEST, "", f"Invalid JSON: {error}") from error
        if not isinstance(value, dict):
            raise HubError(HTTPStatus.BAD_REQUEST, "", "Invalid JSON: not an object")
        return value

    def _incoming(self) -> Iterator[bytes]:
        limit, count = self.fault.reset_request_after, 0
        for block in self._wire():
            count += len(block)
            if limit is not None and count >= limit:
                self._drop()
            yield block
        if self.fault.reset_request_after is not None:
            self._drop()

    def _wire(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self._exactly(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            block = self._exactly(min(_BLOCK, left))
            left -= len(block)
            yield block

    def _exactly(self, size: int) -> bytes:
        block = self.rfile.read(size)
        if len(block) != size:
            raise _Dropped("the client went away")
        return block

    def token(self) -> str | None:
        """The bearer token of the request."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme == "Bearer" and token else None

    def account(self) -> Account | None:
        """Whom the token belongs to."""
        return self.hub.accounts.get(self.token() or "")

    def may_read(self, repo: Repo) -> bool:
        """Whether the token opens a private or gated repo."""
        account = self.account()
        return self.token() in repo.readers or (account is not None and account.owns(repo.id))

    def repo(self, kind: str, repo_id: str) -> Repo:
        """The repo, if the token may know of it."""
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and not self.may_read(repo)):
            # The Hub answers alike for both, so that private names do not leak.
            if self.token() is None:
                raise HubError(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Invalid username or password.")
            raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        return repo

    def commit(self, repo: Repo, revision: str) -> Commit:
        """The commit that a revision means."""
        commit = repo.commit(revision)
        if commit is None:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    # the answer

    def send_json(
        self, value: Any, headers: Mapping[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        """Answer with JSON."""
        data = json.dumps(value).encode()
        self.send_head(status, len(data), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.send_block(data)

    def send_head(self, status: HTTPStatus, length: int, headers: Mapping[str, str]) -> None:
        """Note the exchange and send everything before the body."""
        self.read_body()
        if self.fault.unanswered:
            return
        sent = 0 if self.command == "HEAD" else length
        self.hub.exchanges.append(
            Exchange(self.command, self.path, self.headers.get("Range"), status.value, sent)
        )
        self._left = self.fault.reset_answer_after
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_block(self, block: bytes) -> None:
        """Send a block of the answer's body."""
        if self.fault.unanswered:
            return
        if self.fault.seconds_a_block:
            time.sleep(self.fault.seconds_a_block)
        if self._left is not None and len(block) >= self._left:
            self.wfile.write(block[: self._left])
            self._drop()
        if self._left is not None:
            self._left -= len(block)
        self.wfile.write(block)

    def _drop(self) -> None:
        """Reset the connection, as a router or a crash does."""
        if self.fault.strike:
            self.fault.strike()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        raise _Dropped
