"""Stores of each kind: a folder, fsspec's memory, and a bucket of moto's S3 server on loopback."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import fsspec
import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from emovid_dataset.store import Store

SECRET = "s3cretOfTheTests0123456789"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server that everybody's credentials open."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A folder of a fresh bucket; the environment of this process leads there."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "keyIdOfTheTests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    bucket = f"b{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    yield Store.at(f"s3://{bucket}/some/build")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


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
