"""Buckets on a real S3 server on loopback, as fixtures; whoever imports them has them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import boto3
import fsspec
import pytest
from faulty_server import FaultyServer, faulty
from moto.server import ThreadedMotoServer

from emovid_dataset.store import Store

KEY, SECRET = "keyIdOfTheTests", "s3cretOfTheTests0123456789"


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
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    bucket = f"b{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    yield Store.at(f"s3://{bucket}/some/build")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def faults(s3: Store, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Everything that goes to the buckets goes through a network that breaks.

    Their client, which waits for up to a second before it tries again, waits for a hundredth here.
    """
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **_: 0.01)
    with faulty(s3_server, every=6) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield proxy


def copied(files: Store, bucket: Store, name: str) -> Store:
    """A folder of a bucket with the same files."""
    target = Store.at(bucket.url(name))
    for file in files.list():
        target.put(file, files.read(file))
    return target
