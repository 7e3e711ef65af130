"""A folder behind a web server that takes byte ranges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves a folder with single byte ranges, as web servers do, and keeps what it sent."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data, status = path.read_bytes(), 200
        wanted = self.headers.get("Range")
        if wanted and self.server.ranges:  # type: ignore[attr-defined]
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            whole = len(data)
            data, status = data[int(first) : int(last) + 1 if last else None], 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(data) - 1}/{whole}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if path.suffix == ".tar" and self.server.broken and not wanted:  # type: ignore[attr-defined]
            data = data[: len(data) // 2]
            self.close_connection = True
        # Before the last byte: with that the client may be done, and ask what was sent.
        self.server.sent.append((self.path, wanted, len(data)))  # type: ignore[attr-defined]
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[Any]:
    """Serve a folder; the server has its `url`, what it `sent`, and can be without `ranges` or `broken`."""
    httpd: Any = ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(folder)))
    httpd.sent, httpd.ranges, httpd.broken = [], True, False
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield httpd
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
