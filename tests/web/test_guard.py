"""Who gets through to a page that is served, and what every reply says to the browser."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.web import guard
from emovid_dataset.web.guard import Guard, Place
from emovid_dataset.web.invitations import Invitations, held_secret
from emovid_dataset.web.serve import ServeSettings, address

PEOPLE = Invitations(bytes(range(32)), ["anna", "ben"])
HOST = "127.0.0.1:8000"
HERE = Place(frozenset({"127.0.0.1", "localhost", "[::1]"}), 8000)
COOKIE = PEOPLE.cookie_for("anna", secure=False).partition(";")[0]


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks, and sends the body back."""
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope['state']['person']}:".encode() + body})


def ask(
    headers: dict[str, str | list[str]],
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    body: Iterable[bytes] = (b"",),
    place: Place = HERE,
    kind: str = "http",
) -> tuple[int, dict[str, str], bytes]:
    """One request to a guarded application."""
    sent: list[Any] = []
    pieces = list(body)

    async def receive() -> Any:
        if not pieces:
            await asyncio.sleep(60)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces) or piece == b"..."}

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(n, one) for n, v in headers.items() for one in ([v] if isinstance(v, str) else v)]
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
    }
    asyncio.run(Guard(inner, place, PEOPLE)(scope, receive, send))
    if kind != "http":
        return sent[0]["code"], {}, b""
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


OWN = {"host": HOST, "cookie": COOKIE}
POST: dict[str, Any] = {"method": "POST", "path": "/api/answer"}


@pytest.mark.parametrize(
    ("headers", "how", "status"),
    [
        (OWN, {}, 200),
        ({**OWN, "host": "localhost:8000"}, {}, 200),
        ({**OWN, "host": "LOCALHOST:8000"}, {}, 200),
        ({**OWN, "host": "[::1]:8000"}, {}, 200),
        # another name, which somebody points at this machine
        ({**OWN, "host": "evil.example:8000"}, {}, 421),
        ({**OWN, "host": "127.0.0.1.evil.example:8000"}, {}, 421),
        ({**OWN, "host": "127.0.0.1:8001"}, {}, 421),
        ({**OWN, "host": "127.0.0.1"}, {}, 421),
        ({**OWN, "host": ""}, {}, 421),
        ({"cookie": COOKIE}, {}, 421),
        ({**OWN, "host": [HOST, "evil.example"]}, {}, 400),
        # a page of another site
        ({**OWN, "origin": "http://127.0.0.1:8000"}, POST, 200),
        ({**OWN, "origin": "http://localhost:8000"}, POST, 403),
        ({**OWN, "origin": "https://127.0.0.1:8000"}, POST, 403),
        ({**OWN, "origin": "http://evil.example"}, POST, 403),
        ({**OWN, "origin": "http://evil.example"}, {}, 403),
        ({**OWN, "origin": "null"}, POST, 403),
        ({**OWN, "origin": ["http://127.0.0.1:8000", "null"]}, POST, 400),
        (OWN, POST, 403),
        ({**OWN, "sec-fetch-site": "same-origin"}, POST, 200),
        ({**OWN, "sec-fetch-site": "same-site"}, POST, 403),
        ({**OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, POST, 403),
        ({**OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, {}, 200),
        ({**OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, {"path": "/media/x"}, 403),
        # nobody who was invited
        ({"host": HOST}, {}, 403),
        ({"host": HOST, "cookie": COOKIE[:-1]}, {}, 403),
        ({"host": HOST, "cookie": "x; y=1; ="}, {}, 403),
        ({"host": HOST, "cookie": f"other=1; {COOKIE}"}, {}, 200),
        ({"host": HOST, "cookie": COOKIE.partition("=")[0] + "=" + PEOPLE.token_for("anna")}, {}, 403),
        ({"host": HOST}, {"query": "token=" + COOKIE.partition("=")[2]}, 403),
        ({"host": HOST}, {"query": "token=wrong"}, 403),
        ({"host": HOST}, {"query": "token="}, 403),
        ({"host": HOST}, {"query": "token=\u00e9"}, 403),
        ({"host": HOST}, {"query": f"token={PEOPLE.token_for('ben')}", "path": "/api/now"}, 403),
        ({"host": "evil.example:8000"}, {"query": f"token={PEOPLE.token_for('ben')}"}, 421),
    ],
)
def test_who_gets_through(headers: dict[str, str | list[str]], how: dict[str, Any], status: int) -> None:
    assert ask(headers, **how)[0] == status


def test_a_token_becomes_a_cookie_once() -> None:
    status, headers, body = ask({"host": HOST}, query=f"token={PEOPLE.token_for('ben')}")
    assert status == 200 and b'content="0;url=/"' in body and PEOPLE.token_for("ben").encode() not in body
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert ask({"host": HOST, "cookie": cookie})[2] == b"ben:"
    assert PEOPLE.cookie_for("ben", secure=True).endswith("; Secure")
    others = Invitations(bytes(32), ["ben"])
    assert others.person_of_token(PEOPLE.token_for("ben")) is None
    assert others.person_of_cookie(cookie) is None


@pytest.mark.parametrize("headers", [OWN, {"host": HOST}, {"host": "evil.example"}])
def test_every_reply_tells_the_browser_what_the_page_may_do(headers: dict[str, str | list[str]]) -> None:
    _, found, _ = ask(headers)
    policy = dict(part.split(" ", 1) for part in found["content-security-policy"].split("; "))
    script = policy.pop("script-src")
    assert script.startswith("'nonce-") and policy.pop("style-src") == script
    own = dict.fromkeys(("img-src", "media-src", "connect-src"), "'self'")
    assert policy == own | dict.fromkeys(
        ("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'"
    )
    assert found["referrer-policy"] == "no-referrer" and found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY" and found["cross-origin-resource-policy"] == "same-origin"
    assert found["cache-control"] == "no-store"
    assert ask(headers)[1]["content-security-policy"] != found["content-security-policy"]


def test_bodies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {**OWN, "origin": f"http://{HOST}"}
    most = guard.MOST_BYTES
    assert ask(mine, **POST, body=[b"x" * (most - 1), b"y"])[2] == b"anna:" + b"x" * (most - 1) + b"y"
    assert ask(mine, **POST, body=[b"x" * most, b"y"])[0] == 413
    assert ask({**mine, "content-length": str(most + 1)}, **POST, body=[])[0] == 413
    assert ask({**mine, "content-length": "1e3"}, **POST)[0] == 400
    assert ask({"host": HOST}, **POST, body=[])[0] == 403  # of a stranger none is read
    monkeypatch.setattr(guard, "MOST_SECONDS", 0.05)
    assert ask(mine, **POST, body=[b"..."])[0] == 408


def test_there_are_no_websockets() -> None:
    assert ask(OWN, kind="websocket")[0] == 1008


def test_a_server_on_all_addresses_takes_addresses_but_no_foreign_names() -> None:
    everywhere = Place(frozenset({"labels.example.org"}), 443, takes_addresses=True, secure=True)
    for host in ("192.168.1.5:443", "192.168.1.5", "[fe80::1]:443", "[fe80::1]", "labels.example.org"):
        assert everywhere.is_host(host), host
    for host in ("evil.example", "fe80::1", "[192.168.1.5]:443", "192.168.1.5:80", "0x7f000001", "1:443", ""):
        assert not everywhere.is_host(host), host
    assert everywhere.is_origin("https://192.168.1.5", "192.168.1.5")
    assert not everywhere.is_origin("http://192.168.1.5", "192.168.1.5")


@pytest.mark.parametrize(
    ("settings", "loopback", "shown"),
    [
        (ServeSettings(), True, "http://127.0.0.1:80/?token=t"),
        (ServeSettings(host="localhost"), True, "http://localhost:80/?token=t"),
        (ServeSettings(host="::1"), True, "http://[::1]:80/?token=t"),
        (ServeSettings(host="127.8.8.8"), True, "http://127.8.8.8:80/?token=t"),
        (ServeSettings(host="0.0.0.0", names=("a.example",)), False, "http://a.example:80/?token=t"),
        (
            ServeSettings(host="10.0.0.1", certificate=Path("c"), key=Path("k")),
            False,
            "https://10.0.0.1:80/?token=t",
        ),
    ],
)
def test_the_address_says_where_the_page_is(settings: ServeSettings, loopback: bool, shown: str) -> None:
    assert settings.is_loopback == loopback
    assert address(settings, 80, "t") == shown


def test_a_secret_is_kept_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = held_secret("one")
    assert held_secret("one") == first and held_secret("two") != first and len(first) == 32
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == first]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    os.chmod(file, 0o644)
    assert held_secret("one") != first  # others may have read it
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert len(held_secret("one")) == 32
