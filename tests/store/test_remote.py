"""Reading over http as it really is, and from threads and forked processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from emovid_dataset import _retry
from emovid_dataset.store import Store

FILES = {
    "/x/plain": b"0123456789",
    "/x/é [1]#%20?.mp4": b"odd",
    "/x/empty": b"",
    "/x/long": bytes(range(256)) * 20_000,
}


class Handler(BaseHTTPRequestHandler):
    """Serves `FILES`; a name tells what goes wrong."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = unquote(self.path)
        if path.endswith("/busy"):
            self.send_error(503)
            return
        if path.endswith("/torn"):
            self.send_response(200)
            self.send_header("Content-Length", "5000000")
            self.end_headers()
            self.wfile.write(bytes(1_000_000))
            self.close_connection = True
            return
        wide = path.endswith("/all")  # takes no range requests
        data = FILES.get("/x/plain" if wide else path)
        if data is None:
            self.send_error(404)
            return
        given = None if wide else self.headers.get("Range")
        size, code = len(data), 200
        if given:
            start, end = given.removeprefix("bytes=").split("-")
            data, code = data[int(start) : int(end) + 1], 206
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{size}"')
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def http() -> Iterator[Store]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Store.find(f"http://127.0.0.1:{server.server_port}/x/")
    server.shutdown()
    server.server_close()


def test_files_over_http(http: Store) -> None:
    for path, content in FILES.items():
        name = path.removeprefix("/x/")
        assert http.read(name) == content and http.exists(name), name
        assert http.size(name) == len(content) and str(len(content)) in http.version(name)
        with http.open(name) as file, http.local(name) as copy:
            assert file.read() == content == copy.read_bytes()
    assert http.range("long", 1000, 5_000_000) == FILES["/x/long"][1000:5_000_000]
    assert not http.exists("none")
    with pytest.raises(FileNotFoundError, match="/x/none does not exist"):
        http.size("none")


def test_a_server_without_ranges(http: Store) -> None:
    with pytest.raises(
        OSError, match=r"10 bytes came instead of 3; .* or its server takes no range requests"
    ):
        http.range("all", 2, 5)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_retry, "FIRST_WAIT", 0.0)


@pytest.mark.usefixtures("no_waits")
def test_out_of_reach_is_not_absent(http: Store) -> None:
    for ask in (http.exists, http.size, http.version, http.read):
        with pytest.raises(OSError, match="/x/busy cannot be read: ") as caught:
            ask("busy")
        assert not isinstance(caught.value, FileNotFoundError) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_waits")
def test_a_file_that_breaks_off_is_an_error_of_one_line(http: Store) -> None:
    with pytest.raises(OSError, match="/x/torn cannot be read: ") as caught, http.open("torn") as file:
        while file.read(100_000):
            pass
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="/x/torn cannot be read: "):
        http.read("torn")
    with pytest.raises(OSError, match="/x/torn cannot be read: "), http.local("torn"):
        pass


@pytest.mark.parametrize("kind", ["disk", "s3", "http"])
def test_threads_and_forked_processes(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    names = ["plain", "long"] * 8
    if kind != "http":
        for name in ("plain", "long"):
            store.put(name, FILES[f"/x/{name}"])
    wanted = [FILES[f"/x/{name}"] for name in names]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, names)) == wanted
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            code = 1
            try:
                with ThreadPoolExecutor(2) as pool:
                    code = int(list(pool.map(store.read, names)) != wanted)
            finally:
                os._exit(code)
        children.append(child)
    assert list(map(store.read, names)) == wanted
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_a_long_file_of_a_bucket_is_read_in_blocks(s3: Store) -> None:
    content = os.urandom(20 << 20)
    s3.put("long", content)
    with s3.open("long") as file:
        assert b"".join(iter(lambda: file.read(3_000_000), b"")) == content


def test_another_writer_is_seen_at_once(s3: Store) -> None:
    """No listing is remembered: what a second client writes and deletes shows."""
    import boto3

    bucket, _, folder = s3.root.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    assert list(s3.list()) == [] and not s3.exists("a/x")
    client.put_object(Bucket=bucket, Key=f"{folder}/a/x", Body=b"one")
    assert list(s3.list()) == ["a/x"] and s3.exists("a/x") and s3.size("a/x") == 3
    client.put_object(Bucket=bucket, Key=f"{folder}/a/x", Body=b"two2")
    assert s3.size("a/x") == 4
    client.put_object(Bucket=bucket, Key=f"{folder}/b//x", Body=b"no name of ours")
    client.put_object(Bucket=bucket, Key=f"{folder}/c/", Body=b"")
    assert list(s3.list()) == ["a/x"]
    client.delete_object(Bucket=bucket, Key=f"{folder}/a/x")
    assert list(s3.list()) == [] and not s3.exists("a/x")
