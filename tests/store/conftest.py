"""Stores of each kind: a folder, fsspec's memory, and a bucket of moto's S3 server on loopback."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from buckets import faults, s3, s3_server
from moto.s3.models import s3_backends

from emovid_dataset.store import Store

__all__ = ["faults", "s3", "s3_server"]


@pytest.fixture
def memory() -> Store:
    """A folder of the memory of this process."""
    return Store.at(f"memory://{uuid.uuid4().hex}/build")


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    """A folder of the disk that does not exist yet."""
    return Store.at(tmp_path / "build")


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store of each kind."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Store)
    return found


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> Store:
    """A store of each kind that is not on a disk."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Store)
    return found


@pytest.fixture
def age(s3_server: str) -> Callable[[Store, str, float], None]:
    """Makes a file older, by the clock of its store."""

    def make_older(store: Store, name: str, seconds: float) -> None:
        files, path = store._place(name)
        if store.root.startswith("memory:"):
            files.store[path].modified -= timedelta(seconds=seconds)
            return
        bucket, _, key = path.partition("/")
        for account in s3_backends.values():
            for backend in account.values():
                if bucket in backend.buckets:
                    backend.buckets[bucket].keys[key].last_modified -= timedelta(seconds=seconds)
                    return
        raise AssertionError(f"{path} is not on the server")

    return make_older
