"""A proxy before an S3 server that breaks requests in turn, as real networks and servers do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "stored, not answered", "cut off", "slow")


class FaultyServer:
    """Forwards everything to `server`, and breaks one request of every `every`, a fault after the other.

    A fault waits for a request that it can happen to: only a PUT can be stored and not answered, only a GET
    can be cut off.

    Attributes:
        address: of the proxy.
        happened: how often each fault has.
    """

    def __init__(self, server: str, every: int, faults: Sequence[str] = FAULTS) -> None:
        self.server = urlsplit(server).netloc
        self.every = every
        self.happened: Counter[str] = Counter()
        self._faults = cycle(faults)
        self._next, self._since, self._lock = next(self._faults), 0, threading.Lock()
        handler = type("Bound", (_Handler,), {"proxy": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def fault_for(self, method: str) -> str:
        """What happens to the next request; "" is nothing."""
        with self._lock:
            self._since += 1
            wanted = {"stored, not answered": "PUT", "cut off": "GET"}.get(self._next, method)
            if self._since < self.every or method != wanted:
                return ""
            fault, self._next, self._since = self._next, next(self._faults), 0
            self.happened[fault] += 1
            return fault

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def faulty(server: str, every: int, faults: Sequence[str] = FAULTS) -> Iterator[FaultyServer]:
    """A `FaultyServer` for the length of a block."""
    proxy = FaultyServer(server, every, faults)
    try:
        yield proxy
    finally:
        proxy.stop()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self._body()
        fault = self.proxy.fault_for(self.command)
        if fault in ("500", "503"):
            self._refuse(int(fault))
            return
        if fault == "reset":
            self._reset()
            return
        upstream = http.client.HTTPConnection(self.proxy.server, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            upstream.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        if fault == "stored, not answered":
            self._reset()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP and not (name.lower() == "content-length" and self.command != "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut off" and len(data) > 1:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self._reset()
        elif fault == "slow":
            for start in range(0, len(data), max(1, -(-len(data) // 5))):
                self.wfile.write(data[start : start + max(1, -(-len(data) // 5))])
                self.wfile.flush()
                threading.Event().wait(0.02)
        else:
            self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer

    def _body(self) -> bytes:
        if "100-continue" in self.headers.get("Expect", "").lower():
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _refuse(self, status: int) -> None:
        code = {500: "InternalError", 503: "SlowDown"}[status]
        text = f"<Error><Code>{code}</Code><Message>Please try again.</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


_HOP = ("connection", "transfer-encoding", "host", "expect", "server", "date")
