"""Reading over http from a server that breaks off, is busy, resets, or answers other than it was asked."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from emovid_dataset import _retry
from emovid_dataset.store import Store

DATA = random.Random(0).randbytes(3_000_000)


@dataclass(frozen=True)
class Fault:
    """What happens to one GET; without any it is answered as it should be.

    Attributes:
        after: the connection ends after so many bytes of the body.
        reset: it is reset instead of closed.
        status: answer with this status and no body.
        headers: beside the usual ones, or instead of them.
        ranges: whether the range that is asked for is obeyed.
        data: what the file holds now.
    """

    after: int | None = None
    reset: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    data: bytes = DATA


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range"))
        fault = self.server.faults.pop(0) if self.server.faults else self.server.always
        if fault.status:
            self.send_response(fault.status)
            self.send_headers({"Content-Length": "0", **fault.headers})
            return
        data, status, headers = fault.data, 200, {"ETag": '"1"'}
        wanted = self.headers.get("Range")
        if wanted and fault.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
            data, status = data[int(first) : end], 206
        self.send_response(status)
        self.send_headers({"Content-Length": str(len(data)), **headers, **fault.headers})
        self.wfile.write(data if fault.after is None else data[: fault.after])
        if fault.after is not None:
            self.close_connection = True
            if fault.reset:
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def send_headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Strikes with `faults`, one a request, and then with `always`; keeps the ranges that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Fault] = []
        self.always = Fault()
        self.asked: list[str | None] = []

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def store(server: Server) -> Store:
    return Store(f"http://127.0.0.1:{server.server_port}/x")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which are not waited."""
    waited: list[float] = []
    monkeypatch.setattr(_retry.time, "sleep", waited.append)
    return waited


def opened(store: Store) -> bytes:
    with store.open("shard.tar") as file:
        return file.read()


def copied(store: Store) -> bytes:
    with store.local("shard.tar") as path:
        return path.read_bytes()


WAYS: dict[str, Callable[[Store], bytes]] = {
    "open": opened,
    "local": copied,
    "read": lambda store: store.read("shard.tar"),
    "range": lambda store: store.range("shard.tar", 0, len(DATA)),
}
BUSY = Fault(status=503)
PASSING = {
    "busy": [BUSY],
    "busy five times": [BUSY] * 5,
    "too many requests": [Fault(status=429)],
    "breaks off before the body": [Fault(after=0)],
    "breaks off": [Fault(after=1_000_001)],
    "reset": [Fault(after=700_000, reset=True)],
    "breaks off, is busy, breaks off": [Fault(after=1_500_000), BUSY, Fault(after=10), BUSY],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_what_passes_costs_nothing(server: Server, store: Store, way: str, faults: list[Fault]) -> None:
    server.faults = list(faults)
    assert WAYS[way](store) == DATA
    assert len(server.asked) == len(faults) + 1


def test_it_goes_on_from_where_it_broke_off(server: Server, store: Store) -> None:
    server.faults = [Fault(after=1_000_001), BUSY, Fault(after=1_000_000)]
    assert opened(store) == DATA
    first, second, third, fourth = server.asked
    assert first is None and second == third
    places = [int(wanted[6:-1]) for wanted in (second, fourth) if wanted]
    # aiohttp may lose what it has buffered, no more.
    assert 500_000 < places[0] <= 1_000_001 < places[1] <= places[0] + 1_000_000


def test_a_server_without_ranges_is_read_from_its_start(server: Server, store: Store) -> None:
    server.faults = [Fault(after=1_000_001), Fault(ranges=False)]
    assert opened(store) == DATA


def test_much_that_was_read_is_no_failure(server: Server, store: Store) -> None:
    server.faults = [Fault(after=1 << 18)] * 10
    with pytest.raises(OSError, match="6 times in a row, at byte"):
        opened(store)
    assert len(server.asked) == 6
    server.asked.clear()
    data = DATA * 4
    server.faults = [Fault(after=3 << 19, data=data)] * 7
    server.always = Fault(data=data)
    assert opened(store) == data and len(server.asked) == 8


@pytest.mark.parametrize("way", WAYS)
def test_it_is_given_up_after_six_tries(server: Server, store: Store, way: str, waits: list[float]) -> None:
    server.always = BUSY
    with pytest.raises(OSError, match=r"/x/shard\.tar cannot be read: its server answers 503") as caught:
        WAYS[way](store)
    assert type(caught.value) is not FileNotFoundError and "\n" not in str(caught.value)
    assert len(server.asked) == 6
    assert [round(wait / due) for wait, due in zip(waits, (0.5, 1, 2, 4, 8), strict=True)] == [1] * 5


def test_what_breaks_off_again_and_again_names_the_byte(server: Server, store: Store) -> None:
    server.faults = [Fault(after=1_000_001)]
    server.always = Fault(after=0)
    message = (
        r"/x/shard\.tar cannot be read: the connection broke off \(6 times in a row, at byte ([\d,]+)\)$"
    )
    with pytest.raises(OSError, match=message) as caught:
        opened(store)
    found = re.search(message, str(caught.value))
    assert found and 500_000 < int(found[1].replace(",", "")) <= 1_000_001
    assert len(server.asked) == 6 and str(caught.value).count("cannot be read") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 416])
def test_what_does_not_pass_is_an_error_at_once(server: Server, store: Store, status: int) -> None:
    server.always = Fault(status=status)
    with pytest.raises(OSError, match=f"cannot be read: its server answers {status}"):
        opened(store)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_absent_is_not_asked_for_again(server: Server, store: Store, status: int) -> None:
    server.always = Fault(status=status)
    assert not store.exists("shard.tar")
    assert set(server.asked) == {None} and len(server.asked) <= 2


class TestRetryAfter:
    def test_seconds_are_waited(self, server: Server, store: Store, waits: list[float]) -> None:
        server.faults = [Fault(status=503, headers={"Retry-After": "7"}), BUSY]
        assert opened(store) == DATA
        assert waits[0] == 7 and 0.8 <= waits[1] <= 1.2

    def test_a_date_is_waited_for(self, server: Server, store: Store, waits: list[float]) -> None:
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=20), usegmt=True)
        server.faults = [Fault(after=10), Fault(status=429, headers={"Retry-After": date})]
        assert opened(store) == DATA
        assert 15 < waits[1] <= 20

    @pytest.mark.parametrize("value", ["soon", "", "-3"])
    def test_nonsense_is_no_wait(self, server: Server, store: Store, waits: list[float], value: str) -> None:
        server.faults = [Fault(status=503, headers={"Retry-After": value})]
        assert opened(store) == DATA
        assert 0 <= waits[0] < 1

    def test_a_long_one_is_an_error_at_once(self, server: Server, store: Store, waits: list[float]) -> None:
        server.always = Fault(status=503, headers={"Retry-After": "3600"})
        with pytest.raises(OSError, match="cannot be read: its server answers 503"):
            opened(store)
        server.faults = [Fault(after=100)]
        with pytest.raises(OSError, match=r"its server answers 503 .* and asks to wait 3600 s"):
            opened(store)
        assert len(server.asked) == 3 and len(waits) == 1


CHANGED = {
    "another tag": Fault(headers={"ETag": '"2"'}),
    "another length": Fault(data=DATA[:-1]),
    "another length and no ranges": Fault(data=DATA[:-1], ranges=False),
    "another range": Fault(headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}),
}


@pytest.mark.parametrize("fault", CHANGED.values(), ids=CHANGED)
def test_a_file_that_changed_is_not_put_together(server: Server, store: Store, fault: Fault) -> None:
    server.faults = [Fault(after=1_000_001), fault]
    with pytest.raises(OSError, match=r"/x/shard\.tar cannot be read: (it changed|its server sent)"):
        opened(store)
    assert len(server.asked) == 2


def test_a_server_that_is_gone_is_one_line(waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = Store(f"http://127.0.0.1:{free.getsockname()[1]}/x")
    # A build's first files are read whole: a wrong address is told at once.
    with pytest.raises(OSError, match=r"/x/manifest\.json cannot be read: "):
        store.read("manifest.json")
    assert not waits
    with pytest.raises(OSError, match=r"/x/shard\.tar cannot be read: ") as caught:
        opened(store)
    assert len(waits) == 5 and "\n" not in str(caught.value)


def test_an_error_of_another_file_system_is_one_line(memory: Store) -> None:
    with pytest.raises(FileNotFoundError, match=r"shard\.tar does not exist"), memory.open("shard.tar"):
        pass
