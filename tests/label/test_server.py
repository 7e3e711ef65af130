"""What the page's server does with requests that are its page's own, and with those that are not."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_server import LabelClient, LabelProgram, LabelServer

from emovid_dataset.label.answers import Answer, AnswerFile, read_answers, read_lines

KILLS = int(os.environ.get("EMOVID_LABEL_KILLS", "2"))
"""So often the server is killed while it is answered."""

ODD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server(
    label_program: LabelProgram, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelServer]:
    folder = tmp_path_factory.mktemp("server")
    raters = [word for name in ("anna", "ben", ODD) for word in ("--rater", name)]
    own = ["--content-type", "sticker", "--out", "answers", "--repeats", "0.5"]
    server = label_program.start(folder, str(clips / "sheet.csv"), *raters, *own)
    yield server
    server.kill()


def test_an_answer_is_on_the_disk_when_the_next_question_comes(server: LabelServer) -> None:
    anna = LabelClient(server, "anna")
    state = anna.json("GET", "/api/now")
    assert (state["place"], state["answered"], state["total"], state["answer"]) == (0, 0, 18, None)
    file = server.out.parent / "answers" / "anna.jsonl"
    following = anna.answer(state, "awe", second="fear", intensity=0.25)
    (line,) = read_lines(file)
    assert (line.emotion, line.second, line.intensity, line.ms, line.version) == ("awe", "fear", 0.25, 5, 1)
    assert state["media"] == f"/media/{line.id}" and following["place"] == 1 and following["answered"] == 1
    assert anna.answer(state, "awe", second="fear", intensity=0.25) == following  # sent again
    assert len(read_lines(file)) == 1
    status, _, body = anna.ask("POST", "/api/answer", json.dumps({**state, "emotion": "fear"}).encode())
    assert status == 400 and json.loads(body) == {"error": "the request is not one of this page's"}
    status, _, body = anna.ask("POST", "/api/answer", posted(state, emotion="fear"))
    assert status == 409 and "the next is 2" in json.loads(body)["error"]
    shown = anna.json("GET", "/api/question/0")
    assert shown["answer"] == {"emotion": "awe", "second": "fear", "intensity": 0.25}
    anna.answer(shown, "fear")
    undone = anna.json("POST", "/api/undo", {"place": 0, "version": 3})
    assert undone["place"] == 0 and undone["answer"] is None and undone["answered"] == 0
    assert undone["version"] == 4 and undone["undo"] is None
    assert [one.emotion for one in read_lines(file)] == ["awe", "fear", None]
    # another rater sees nothing of it
    ben = LabelClient(server, "ben")
    state = ben.json("GET", "/api/now")
    assert (state["answered"], state["answer"], state["undo"]) == (0, None, None)
    every = [ben.json("GET", f"/api/question/{place}") for place in range(state["total"])]
    assert all(one["answer"] is None and one["version"] == 1 for one in every)
    media = [one["media"] for one in every]
    assert len(set(media)) == 12 and max(map(media.count, media)) == 2


def posted(state: dict[str, Any], **other: Any) -> bytes:
    given = {"place": state["place"], "version": state["version"], "emotion": "awe", "ms": 5}
    return json.dumps({**given, **other}).encode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"emotion": "joy"}, 409),
        ({"emotion": "all"}, 409),
        ({"emotion": None}, 400),
        ({"emotion": "none", "second": "awe"}, 409),
        ({"second": "awe"}, 409),
        ({"intensity": 1.5}, 400),
        ({"intensity": "0.5"}, 400),
        ({"ms": -1}, 400),
        ({"place": 18}, 404),
        ({"place": -1}, 400),
        ({"version": 7}, 409),
        ({"rater": "ben"}, 400),
        ({"id": "../x"}, 400),
    ],
)
def test_what_is_no_answer_is_written_nowhere(
    server: LabelServer, given: dict[str, Any], status: int
) -> None:
    ben = LabelClient(server, "ben")
    reply, headers, body = ben.ask("POST", "/api/answer", posted(ben.json("GET", "/api/now"), **given))
    assert reply == status and headers["content-type"] == "application/json" and json.loads(body)["error"]
    assert read_lines(server.out.parent / "answers" / "ben.jsonl") == []


def test_clips_are_reached_by_their_id_and_in_ranges(server: LabelServer, clips: Path) -> None:
    anna = LabelClient(server, "anna")
    media = anna.json("GET", "/api/now")["media"]
    status, headers, whole = anna.ask("GET", media)
    assert status == 200 and headers["content-type"] == "video/mp4" and headers["accept-ranges"] == "bytes"
    assert whole in [path.read_bytes() for path in clips.glob("*.mp4")]
    status, headers, part = anna.ask("GET", media, Range="bytes=100-199")
    assert status == 206 and part == whole[100:200]
    assert headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert anna.ask("GET", media, Range=f"bytes={len(whole)}-")[0] == 416
    name = clips.name
    paths = (
        "sticker-0000000000000000",
        "..%2f..%2fetc%2fpasswd",
        "../../etc/passwd",
        f"..%2f{name}%2fsheet.csv",
    )
    for path in (*paths, "sheet.csv", "%00", str(clips / "sheet.csv"), ""):
        assert anna.ask("GET", f"/media/{path}")[0] == 404, path
    for path in ("/docs", "/openapi.json", "/answers/anna.jsonl", "/static/label.js", "/api/question/18"):
        assert anna.ask("GET", path)[0] == 404, path


def test_strangers_get_nothing(server: LabelServer) -> None:
    anna = LabelClient(server, "anna")
    media, state = anna.json("GET", "/api/now")["media"], posted(anna.json("GET", "/api/now"))
    for path in ("/", "/api/now", "/api/question/0", media, "/favicon.ico"):
        assert anna.ask("GET", path, Cookie=None)[0] == 403
        assert anna.ask("GET", path, Host=f"evil.example:{server.port}")[0] == 421
        assert anna.ask("GET", path, Origin="http://evil.example")[0] == 403
    assert (
        anna.ask("GET", "/api/now", X_Rater="ben")[0] == anna.ask("GET", "/api/now", X_Rater=None)[0] == 403
    )
    for origin in (None, "null", "http://evil.example", f"http://localhost:{server.port}"):
        assert anna.ask("POST", "/api/answer", state, Origin=origin)[0] == 403
    assert anna.ask("POST", "/api/answer", b"x" * 70_000)[0] == 413
    assert anna.json("GET", "/api/now")["answered"] == 0


def test_the_page_escapes_what_it_is_given_and_allows_its_own_script_alone(server: LabelServer) -> None:
    odd = LabelClient(server, ODD)
    _, headers, body = odd.ask("GET", "/")
    page = body.decode()
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    nonce = headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
    assert page.count(f'nonce="{nonce}"') == page.count("<script") + page.count("<style") == 3
    for word in (" style=", " onclick=", " onload=", "http://", "https://", "//cdn", "@import", "url("):
        assert word not in page, word
    assert "server" not in headers and headers["cache-control"] == "no-store"


def test_one_server_writes_a_raters_file(
    server: LabelServer, label_program: LabelProgram, clips: Path
) -> None:
    arguments = [str(clips / "sheet.csv"), "--rater", "anna", "--content-type", "sticker", "--out"]
    folder = server.out.parent / "second"
    folder.mkdir()
    with pytest.raises(AssertionError, match="another process appends to it"):
        label_program.start(folder, *arguments, str(server.out.parent / "answers"))


def test_the_end_says_what_was_answered(label_program: LabelProgram, clips: Path, tmp_path: Path) -> None:
    arguments = [str(clips / "sheet.csv"), "--rater", "anna", "--content-type", "sticker", "--limit", "2"]
    server = label_program.start(tmp_path, *arguments)
    client = LabelClient(server, "anna")
    state = client.json("GET", "/api/now")
    while state["place"] is not None:
        state = client.answer(state, "awe")
    assert state["answered"] == state["total"] == 2
    (told,) = server.end()
    assert (told["rater"], told["questions"], told["answered"], told["milliseconds"]) == ("anna", 2, 2, 5)
    assert [one.emotion for one in read_answers(tmp_path / "answers")] == ["awe", "awe"]
    assert server.err.read_text() == ""


def test_off_loopback_it_warns_and_takes_foreign_names_no_more(
    label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    arguments = [str(clips / "sheet.csv"), "--rater", "anna", "--content-type", "sticker"]
    server = label_program.start(tmp_path, *arguments, "--host", "0.0.0.0", "--host-name", "127.0.0.1")
    client = LabelClient(server, "anna")
    assert client.ask("GET", "/")[0] == 200
    assert client.ask("GET", "/", Host=f"evil.example:{server.port}")[0] == 421
    assert "--host 0.0.0.0 is within reach of others, and without --tls-cert" in server.err.read_text()
    server.kill()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_with_a_certificate_it_speaks_tls_and_its_cookie_too(
    label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    pair = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *pair]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    arguments = [str(clips / "sheet.csv"), "--rater", "anna", "--content-type", "sticker"]
    tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--host", "localhost"]
    server = label_program.start(tmp_path, *arguments, *tls)
    address = server.address("anna")
    assert address.startswith(f"https://localhost:{server.port}/?token=")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    trusted.check_hostname = False
    with urllib.request.urlopen(address, context=trusted) as reply:
        assert reply.status == 200
        assert reply.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
    with pytest.raises((OSError, http.client.HTTPException)):
        urllib.request.urlopen(address.replace("https", "http"))
    server.kill()


def killed_while_answering(folder: Path, draw: random.Random) -> tuple[int, int]:
    """Append answers in a child process, kill it, and compare what it had confirmed with the file."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with AnswerFile(folder, "anna") as file:
            first = len(file.lines)
            for number in range(first, first + 10_000):
                at = "2025-03-01T10:00:00+00:00"
                file.append(Answer(rater="anna", id=f"movie-{number}", emotion="awe", ms=number, at=at))
                os.write(writing, number.to_bytes(4, "little"))
        os._exit(0)
    os.close(writing)
    wanted = draw.randrange(1, 6)
    confirmed: list[int] = []
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while len(confirmed) < wanted and (word := pipe.read(4)):
            confirmed.append(int.from_bytes(word, "little"))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while word := pipe.read(4):
            confirmed.append(int.from_bytes(word, "little"))
    return confirmed[0], confirmed[-1]


def test_fifty_kills_lose_no_answer_and_write_none_twice(tmp_path: Path) -> None:
    draw, last = random.Random(7), -1
    for _ in range(50):
        first, confirmed = killed_while_answering(tmp_path, draw)
        assert first in (last + 1, last + 2)  # one may be on the disk that nobody was told of
        last = confirmed
    numbers = [int(one.id.partition("-")[2]) for one in read_lines(tmp_path / "anna.jsonl")]
    assert numbers == list(range(len(numbers))) and len(numbers) in (last + 1, last + 2)


def test_a_server_that_is_killed_at_any_moment_loses_no_answer_and_writes_none_twice(
    label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    draw = random.Random(11)
    folder = clips / f"many-{tmp_path.name}.csv"
    sheet = [
        f"{path.name},{start / 100},{start / 100 + 0.1}"
        for path in sorted(clips.glob("1f*.mp4"))
        for start in range(200)
    ]
    folder.write_text("path,start,end\n" + "\n".join(sheet) + "\n", encoding="utf-8")
    arguments = [str(folder), "--rater", "anna", "--content-type", "sticker", "--out", "answers"]
    given: dict[tuple[str, int], str] = {}
    port = "0"
    pending: dict[str, Any] | None = None
    for _ in range(KILLS):
        server = label_program.start(tmp_path, *arguments, "--port", port)
        client = LabelClient(server, "anna")
        timer = threading.Timer(draw.uniform(0.01, 0.25), server.kill)
        timer.start()
        try:
            if pending is None:
                pending = client.json("GET", "/api/now")
            while True:
                place, version = pending["place"], pending["version"]
                emotion = given.setdefault((pending["media"], place), draw.choice(("awe", "fear", "none")))
                assert version == 1
                pending = client.answer(pending, emotion)  # sent again if the server was killed meanwhile
        except (OSError, http.client.HTTPException):
            timer.join()
            port = str(server.port)
    server = label_program.start(tmp_path, *arguments, "--port", port)
    client = LabelClient(server, "anna")
    if pending is not None and (pending["media"], pending["place"]) in given:
        client.answer(pending, given[pending["media"], pending["place"]])
    server.kill()
    lines = read_lines(tmp_path / "answers" / "anna.jsonl")
    assert {(f"/media/{one.id}", one.version) for one in lines if not one.repeat} <= {
        (media, 1) for media, _ in given
    }
    assert len(lines) == len(given) == len({one.question for one in lines})
    asked = {media: emotion for (media, _), emotion in given.items()}
    assert all(asked[f"/media/{one.id}"] == one.emotion for one in lines if not one.repeat)
