"""Serve a user study to many raters at once, and kill its server while they vote.

    python benchmarks/study.py                       # 30 raters, 50 kills; writes benchmarks/study.json
    python benchmarks/study.py --raters 5 --kills 2 --record /tmp/study.json

Raters vote over connections of their own, each as soon as the reply to the last vote is there plus a pause of
up to `--pause` seconds, which is far less than anybody takes to watch two videos; every rater also loads the
videos. The answer to a vote comes when the vote is on the disk. Then servers are killed with SIGKILL at drawn
moments while a rater votes without a pause; every vote that was sent must be there, once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "study")]

from study_server import StudyClient, StudyServer, make_results  # noqa: E402

from emovid_models.study.build import StudySettings, build_study  # noqa: E402
from emovid_models.study.serving import Admission  # noqa: E402
from emovid_models.study.votes import read_votes  # noqa: E402

RECORD = ROOT / "benchmarks" / "study.json"
MOST_MS = 200.0
"""At the 95th percentile, from the vote to the answer."""


def crowd(study: Path, raters: int, pause: float) -> dict[str, Any]:
    """Let raters vote at once, from consent to the code.

    Args:
        study: its folder.
        raters: how many.
        pause: seconds that a rater takes between two votes, at most.
    """
    server = StudyServer(study, Admission(names=[f"rater {index}" for index in range(raters)]))
    times: list[list[float]] = [[] for _ in range(raters)]
    codes: list[str] = []

    def take_part(index: int) -> None:
        draw = random.Random(index)
        client = StudyClient(server.addresses[f"rater {index}"])
        state = client.consent()
        while state["number"] is not None:
            for media in state["media"]:
                assert client.ask("GET", media)[0] == 200
            time.sleep(draw.uniform(0, pause))
            choice = state["expected"] if state["expected"] is not None else draw.randrange(2)
            begun = time.perf_counter()
            state = client.vote(state, choice)
            times[index].append(1000 * (time.perf_counter() - begun))
        codes.append(state["code"])

    threads = [threading.Thread(target=take_part, args=(index,)) for index in range(raters)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    server.kill()
    every = np.concatenate([np.array(one) for one in times])
    votes = read_votes(study)
    return {
        "raters": raters,
        "finished": len(codes),
        "votes": len(every),
        "votes_on_disk": len(votes),
        "seconds": round(seconds, 1),
        "pause_s": pause,
        "ms_median": round(float(np.median(every)), 1),
        "ms_p95": round(float(np.quantile(every, 0.95)), 1),
        "ms_most": round(float(every.max()), 1),
    }


def killed(study: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill the server so often while raters vote one after the other, and count their votes."""
    draw = random.Random(seed)
    sent: dict[tuple[str, int], int] = {}
    state: dict[str, Any] | None = None
    name, port, done = 0, 0, 0
    names = [f"rater {index}" for index in range(1000)]
    while done < kills:
        server = StudyServer(study, Admission(names=names), port)
        port, timer = server.port, threading.Timer(draw.uniform(0.0, 0.05), server.kill)
        before = draw.randrange(12)  # so many votes; then the moment lies about the writing of one
        try:
            while True:
                client = StudyClient(server.addresses[names[name]])
                state = client.consent() if state is None else state
                while state["number"] is not None:
                    choice = sent.setdefault((names[name], state["number"]), draw.randrange(2))
                    before -= 1
                    if before < 0 and timer.ident is None:
                        timer.start()
                    state = client.vote(state, choice)
                name, state = name + 1, None
        except (OSError, http.client.HTTPException):
            timer.join()
            done += 1
    server = StudyServer(study, Admission(names=names), port)
    if state is not None and (names[name], state["number"]) in sent:
        StudyClient(server.addresses[names[name]]).vote(state, sent[names[name], state["number"]])
    server.kill()
    began = (json.loads(line) for line in (study / "private" / "raters.jsonl").read_text().splitlines())
    keys = {
        event["rater"]: event["key"].removeprefix("name ") for event in began if event["event"] == "began"
    }
    found: dict[str, list[int]] = {}
    for vote in read_votes(study):
        assert vote.chosen is not None
        found.setdefault(keys[vote.rater], []).append(vote.shown.index(vote.chosen))
    lines = sum(len(path.read_bytes().splitlines()) for path in (study / "votes").iterdir())
    lost = sum(
        found.get(name, [])[number : number + 1] != [choice] for (name, number), choice in sent.items()
    )
    return {
        "kills": kills,
        "seed": seed,
        "sent": len(sent),
        "lost": lost,
        "twice": lines - sum(map(len, found.values())),
    }


def main() -> None:
    """Serve, kill and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--raters", type=int, default=30)
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="emovid-study-") as text:
        folder = Path(text)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        results = make_results(folder / "results", scenes=12, size=(256, 144))
        build_study(results, folder / "crowd", StudySettings(per_rater=10))
        build_study(results, folder / "killed", StudySettings(per_rater=10))
        body = {
            "machine": {
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "load_before": round(load, 1),
                "file_system": _file_system(folder),
            },
            "crowd": crowd(folder / "crowd", given.raters, given.pause),
            "killed": killed(folder / "killed", given.kills, given.seed),
        }
    given.record.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(body, allow_nan=False))
    crowded, kills = body["crowd"], body["killed"]
    whole = crowded["votes"] == crowded["votes_on_disk"] and crowded["finished"] == given.raters
    raise SystemExit(not (whole and crowded["ms_p95"] < MOST_MS and not kills["lost"] and not kills["twice"]))


def _file_system(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
