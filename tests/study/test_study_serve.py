"""What the server of a study does for raters: consent first, every vote once, a code at the very end."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study_server import SYSTEMS, StudyClient, StudyServer, vote_through

from emovid_models.study.register import erase_rater, open_register
from emovid_models.study.serving import Admission
from emovid_models.study.votes import failed_checks, read_votes

KILLS = int(os.environ.get("EMOVID_STUDY_KILLS", "3"))
"""So often the server is killed while raters vote; `benchmarks/study.py --kills` does it 50 times."""
IDS = {"PROLIFIC_PID": "5f00aa11", "STUDY_ID": "64bb22", "SESSION_ID": "66cc33"}
LINK = "".join(f"&{name}={value}" for name, value in IDS.items())


@pytest.fixture
def server(study: Path) -> Iterator[StudyServer]:
    server = StudyServer(study, Admission(names=["anna"], is_open=True, code="C1ODE", prolific=True))
    yield server
    server.kill()


def open_link(server: StudyServer, more: str = "") -> str:
    return server.addresses[".open"].partition("&")[0] + more


def test_from_consent_to_the_code(server: StudyServer, study: Path) -> None:
    assert server.addresses[".open"].endswith("&SESSION_ID={{%SESSION_ID%}}")
    client = StudyClient(open_link(server, LINK))
    assert "HttpOnly; SameSite=Strict" in client.set_cookie
    status, headers, page = client.ask("GET", "/", accept_language="de")
    assert (
        status == 200
        and b'<html lang="de">' in page
        and "default-src 'none'" in headers["content-security-policy"]
    )
    assert client.json("GET", "/api/now") == {"consented": False}
    # nothing is written and nothing shown before consent
    assert not (study / "votes").exists() and (study / "private" / "raters.jsonl").read_bytes() == b""
    video = next((study / "videos").iterdir()).stem
    assert client.ask("GET", f"/media/{video}")[0] == 403
    assert client.ask("POST", "/api/vote", posted({"number": 0, "version": 1}))[0] == 403
    state = client.consent()
    assert (state["kind"], state["question"], state["number"], state["total"]) == (
        "practice",
        "emotion",
        0,
        7,
    )
    assert client.consent() == state, "consenting twice is once"
    sent = json.dumps(state, allow_nan=False) + page.decode()
    assert not any(word in sent for word in (*SYSTEMS, "prompt ")), "nothing says what made a video"
    status, headers, data = client.ask("GET", state["media"][0], range="bytes=0-7")
    assert status == 206 and headers["content-type"] == "video/mp4" and data[4:8] == b"ftyp"
    for path in ("/media/../study.json", "/media/%2e%2e%2fstudy.json", "/media/v99999", "/study.json"):
        assert client.ask("GET", path)[0] == 404
    following = client.vote(state, 1)
    (vote,) = read_votes(study)
    assert (vote.question, vote.chosen, vote.kind) == ("emotion", vote.shown[1], "practice")
    assert following["number"] == 1 and client.vote(state, 1) == following, "sent again, it is the same"
    status, _, reply = client.ask("POST", "/api/vote", posted(state, choice=0))
    assert status == 409 and "the next is 2" in json.loads(reply)["error"]
    back = client.json("GET", "/api/question/0")
    assert back["choice"] == 1 and back["version"] == 2
    client.vote(back, 0)
    # another browser with the same Prolific id goes on; without it, it is somebody else
    again = StudyClient(open_link(server, LINK.replace("66cc33", "77dd44")))
    state = again.json("GET", "/api/now")
    assert state["number"] == 1
    assert StudyClient(open_link(server)).json("GET", "/api/now") == {"consented": False}
    assert "code" not in state
    done = vote_through(again, state)
    assert done["code"] == "C1ODE" and done["return"].endswith("complete?cc=C1ODE")
    votes = read_votes(study)
    assert len(votes) == 7 and {vote.rater for vote in votes} == {"r0001"}
    assert failed_checks(votes) == {"r0001": 0}
    # who it is stands in the private file alone
    private = study / "private" / "raters.jsonl"
    events = [json.loads(line) for line in private.read_text().splitlines()]
    assert [event["event"] for event in events] == ["began", "finished"]
    assert {name: events[0][name] for name in IDS} == IDS and events[0]["language"] == "en"
    assert private.stat().st_mode & 0o777 == 0o600 and private.parent.stat().st_mode & 0o777 == 0o700
    others = [path for path in study.rglob("*") if path.is_file() and path != private]
    assert not any(IDS["PROLIFIC_PID"].encode() in path.read_bytes() for path in others)


def posted(state: dict[str, Any], **other: Any) -> bytes:
    given = {"number": state["number"], "choice": 0, "ms": 5, "version": state["version"]}
    return json.dumps(given | other, allow_nan=False).encode()


def test_raters_come_and_go_apart_from_each_other_and_are_erased(server: StudyServer, study: Path) -> None:
    anna = StudyClient(server.addresses["anna"])
    vote_through(anna, anna.consent("de"))
    visitor = StudyClient(open_link(server))
    state = visitor.consent()
    cookie = visitor.set_cookie.partition(";")[0]
    assert StudyClient(open_link(server), cookie).json("GET", "/api/now") == state
    for given, status in (
        ({"choice": 2}, 409),
        ({"choice": -1}, 400),
        ({"choice": "0"}, 400),
        ({"number": 1}, 404),
        ({"more": 1}, 400),
        ({"ms": -5}, 400),
        ({"version": 2}, 409),
    ):
        assert visitor.ask("POST", "/api/vote", posted(state, **given))[0] == status, given
    for headers, status in (
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": None}, 403),
        ({"Cookie": None}, 403),
        ({"Cookie": cookie[:-1] + ("0" if cookie[-1] != "0" else "1")}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content_Length": "70000"}, 413),
    ):
        attacker = StudyClient(open_link(server))
        attacker.cookie = cookie
        assert attacker.ask("POST", "/api/vote", posted(state), **headers)[0] == status, headers
    assert [vote.rater for vote in read_votes(study)] == ["r0001"] * 7
    visitor.vote(state, 0)
    with pytest.raises(BlockingIOError), open_register(study):
        pass
    server.kill()
    with open_register(study) as register:
        assert register.raters == ["r0001", "r0002"] and register.finished == ["r0001"]
        with pytest.raises(ValueError, match="RATER bob is not one of"):
            register.erase("bob")
    assert erase_rater(study, "anna") == "r0001"
    assert [vote.rater for vote in read_votes(study)] == ["r0002"]
    assert "anna" not in (study / "private" / "raters.jsonl").read_text()
    with open_register(study) as register:
        assert register.raters == ["r0001", "r0002"], "an erased rater's number is not given again"
        assert (study / "private" / "raters.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_killed_loses_no_vote_and_has_none_twice(study: Path) -> None:
    draw = random.Random(5)
    admission = Admission(is_open=True)
    given: dict[tuple[str, int], int] = {}
    pid, port, kills = 0, 0, 0
    state: dict[str, Any] | None = None
    while kills < KILLS:
        server = StudyServer(study, admission, port)
        port, timer = server.port, threading.Timer(draw.uniform(0.0, 0.05), server.kill)
        before = draw.randrange(6)  # so many votes; then the moment lies about the writing of one
        try:
            while True:
                who = LINK.replace("5f00aa11", f"rater{pid}")
                client = StudyClient(open_link(server, who))
                state = client.consent() if state is None else state
                while state["number"] is not None:
                    choice = given.setdefault((f"rater{pid}", state["number"]), draw.randrange(2))
                    before -= 1
                    if before < 0 and timer.ident is None:
                        timer.start()
                    state = client.vote(state, choice)  # sent again if the server was killed meanwhile
                pid, state = pid + 1, None
        except (OSError, http.client.HTTPException):
            timer.join()
            kills += 1
    server = StudyServer(study, admission, port)
    if state is not None and (f"rater{pid}", state["number"]) in given:
        client = StudyClient(open_link(server, LINK.replace("5f00aa11", f"rater{pid}")))
        client.vote(state, given[f"rater{pid}", state["number"]])
    server.kill()
    private = (study / "private" / "raters.jsonl").read_text().splitlines()
    began = [json.loads(line) for line in private if '"began"' in line]
    names = {event["rater"]: event["PROLIFIC_PID"] for event in began}
    assert len(names) == len(began) == len(set(names.values()))
    votes = read_votes(study)
    lines = sum(len(path.read_text().splitlines()) for path in (study / "votes").iterdir())
    assert len(votes) == lines == len(given) > 0 and all(vote.version == 1 for vote in votes)
    asked: dict[str, list[int]] = {}
    for vote in votes:  # in the order of the way
        assert vote.chosen is not None
        asked.setdefault(names[vote.rater], []).append(vote.shown.index(vote.chosen))
    for name, choices in asked.items():
        assert choices == [given[name, number] for number in range(len(choices))]
