"""Fixtures of the tests that push to the Hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_server import Account, HubServer

WRITE = "hf_" + "writeTOKEN" * 3 + "abcd"
READ = "hf_" + "readsTOKEN" * 3 + "abcd"


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub without repos, that this process' client may write to with the token `WRITE`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with HubServer() as server:
        server.accounts[WRITE] = Account("maintainer", orgs=("emovid",))
        server.accounts[READ] = Account("reader", orgs=("emovid",), write=False)
        yield server
