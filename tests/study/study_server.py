"""Studies to serve, the server in a process of its own that can be killed, and raters without a browser."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from video_files import numbered_frames, write_video

from emovid_dataset.web.serve import ServeSettings, listening
from emovid_models.evaluation.intended import Intended, write_intended
from emovid_models.study.plan import read_plan
from emovid_models.study.serving import Admission, serve_study
from emovid_models.study.wording import read_wordings

SYSTEMS = ("plain-base", "lora-seven")
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG: a test that fails leaves no server
EMOTIONS = ("awe", "fear", "sadness", "anger")


def make_results(folder: Path, scenes: int = 4, size: tuple[int, int] = (64, 48)) -> list[str]:
    """A folder of videos per system, each of one second."""
    made = []
    for system in SYSTEMS:
        out = folder / system
        out.mkdir(parents=True)
        names = [f"{system}-{scene}.mp4" for scene in range(scenes)]
        write_video(out / names[0], numbered_frames(12, *size), rate=12)
        for name in names[1:]:
            shutil.copy(out / names[0], out / name)
        write_intended(
            out / "intended.csv",
            [Intended(name, EMOTIONS[row % 4], f"prompt {row}", row) for row, name in enumerate(names)],
        )
        made.append(str(out))
    return made


class StudyServer:
    """A study that is served by a child of this process until it is killed.

    Args:
        study: its folder.
        admission: who may come.
        port: 0 takes a free one.
    """

    def __init__(self, study: Path, admission: Admission, port: int = 0) -> None:
        plan = read_plan(study)
        wordings = read_wordings(study, plan.questions, [scene.emotion for scene in plan.scenes])
        reading, writing = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            settings = ServeSettings(port=port)
            try:
                if sys.platform == "linux":
                    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
                os.close(reading)
                with listening(settings) as listener, os.fdopen(writing, "w") as told:

                    def tell(addresses: dict[str, str], _: object) -> None:
                        print(json.dumps(addresses, allow_nan=False), file=told, flush=True)

                    serve_study(study, plan, wordings, admission, settings, listener, tell=tell)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as told:
            self.addresses: dict[str, str] = json.loads(told.readline())
        found = urlsplit(next(iter(self.addresses.values()))).port
        assert found is not None
        self.port = found

    def kill(self) -> None:
        """Kill it as the machine would."""
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            self.process = 0

    def is_reachable(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class StudyClient:
    """A rater without a browser, with one connection that is kept.

    Args:
        address: that the rater opens.
        cookie: of a browser that was there before.
    """

    def __init__(self, address: str, cookie: str | None = None) -> None:
        found = urlsplit(address)
        self.host, self.cookie = found.netloc, cookie
        self._link = http.client.HTTPConnection(self.host, timeout=60)
        status, headers, body = self.ask("GET", f"/?{found.query}")
        assert status == 200, body
        self.set_cookie = headers["set-cookie"]
        self.cookie = self.set_cookie.partition(";")[0]

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, raw; a header that is None is left out."""
        link = self._link
        link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        own: dict[str, str | None] = {"Host": self.host, "Cookie": self.cookie}
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

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A request of the page's own."""
        sent = None if body is None else json.dumps(body, allow_nan=False).encode()
        status, _, reply = self.ask(method, path, sent)
        found = json.loads(reply)
        assert status == 200, (status, found)
        return dict(found)

    def consent(self, language: str = "en") -> dict[str, Any]:
        return self.json("POST", "/api/consent", {"language": language})

    def vote(self, state: dict[str, Any], choice: int | None, **other: Any) -> dict[str, Any]:
        """Answer the question of a state, and return the next one's."""
        given = {"number": state["number"], "choice": choice, "ms": 7, "version": state["version"]}
        return self.json("POST", "/api/vote", given | other)


def vote_through(
    client: StudyClient, state: dict[str, Any], choices: Sequence[int] = (0, 1)
) -> dict[str, Any]:
    """Answer everything, checks as they say; returns what the page then shows."""
    while state["number"] is not None:
        choice = choices[state["number"] % len(choices)] if state["expected"] is None else state["expected"]
        state = client.vote(state, choice)
    return state


def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
