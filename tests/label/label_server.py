"""The program `emovid label` in processes of its own, which are killed and started again.

One process imports it and forks a child per server, so that a start takes a tenth of a second.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

_FORKING = """
import json, os, signal, sys
from emovid_dataset.cli import main
import emovid_dataset.label.serving, emovid_dataset.cli.label, uvicorn

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(order["folder"])
        sys.argv = ["emovid", "label", *order["arguments"], "--json"]
        code = 2
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
"""


class LabelProgram:
    """What forks the servers; all of them end with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._running: list[LabelServer] = []

    def start(self, folder: Path, *arguments: str) -> LabelServer:
        """Start a server in a folder and wait until it listens."""
        assert self._process.stdin is not None and self._process.stdout is not None
        out, err = folder / "out.txt", folder / "err.txt"
        out.unlink(missing_ok=True)
        order = {"folder": str(folder), "arguments": arguments, "out": str(out), "err": str(err)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        server = LabelServer(int(self._process.stdout.readline()), out, err)
        self._running.append(server)
        for _ in range(1200):
            text = out.read_text(encoding="utf-8") if out.exists() else ""
            if text.endswith("\n"):
                server.told = json.loads(text.splitlines()[0])
                return server
            assert server.runs, err.read_text(encoding="utf-8")
            time.sleep(0.05)
        raise AssertionError(err.read_text(encoding="utf-8"))

    def close(self) -> None:
        """End all servers."""
        for server in self._running:
            server.kill()
        self._process.kill()
        self._process.communicate()


@dataclass
class LabelServer:
    """A running server."""

    process: int
    out: Path
    err: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        return True

    def address(self, rater: str) -> str:
        return str(self.told["pages"][rater])

    @property
    def port(self) -> int:
        found = urlsplit(next(iter(self.told["pages"].values()))).port
        assert found is not None
        return found

    def end(self, with_signal: int = signal.SIGINT) -> list[dict[str, Any]]:
        """End it as Ctrl-C does, and return what it printed at the end."""
        os.kill(self.process, with_signal)
        self._wait()
        return list(json.loads(self.out.read_text(encoding="utf-8").splitlines()[1]))

    def kill(self) -> None:
        """Kill it as the machine would."""
        try:
            os.kill(self.process, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._wait()

    def _wait(self) -> None:
        for _ in range(400):
            if not self.runs:
                return
            time.sleep(0.02)
        raise AssertionError("the server does not end")


class LabelClient:
    """A rater without a browser."""

    def __init__(self, server: LabelServer, rater: str) -> None:
        self._address, self._rater = urlsplit(server.address(rater)), quote(rater)
        status, headers, _ = self.ask("GET", f"/?{self._address.query}")
        assert status == 200
        self.set_cookie = headers["set-cookie"]
        self.cookie = self.set_cookie.partition(";")[0]

    @property
    def host(self) -> str:
        return self._address.netloc

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, raw; a header that is None is left out."""
        link = http.client.HTTPConnection(self.host, timeout=30)
        try:
            link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            own = {"Host": self.host, "Cookie": getattr(self, "cookie", None), "X-Rater": self._rater}
            if body is not None:
                own |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
                own["Content-Length"] = str(len(body))
            for name, value in (own | {key.replace("_", "-"): item for key, item in headers.items()}).items():
                if value is not None:
                    link.putheader(name, value)
            link.endheaders(body)
            reply = link.getresponse()
            held = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, held, reply.read()
        finally:
            link.close()

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A request of the page's own."""
        sent = None if body is None else json.dumps(body).encode()
        status, _, reply = self.ask(method, path, sent)
        found = json.loads(reply)
        assert status == 200, (status, found)
        return dict(found)

    def answer(self, state: dict[str, Any], emotion: str, **other: Any) -> dict[str, Any]:
        """Answer the question of a state, and return the next one's."""
        given = {"place": state["place"], "version": state["version"], "emotion": emotion, "ms": 5, **other}
        return self.json("POST", "/api/answer", given)
