"""An S3 server on loopback whose every answer takes a while to begin, and which counts what it sends."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

BUCKET = "clips"

# anybody's open it
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of the server.

    Attributes:
        address: of the server, an http address.
    """

    address: str
    _delay: Any
    _sent: Any

    @property
    def sent(self) -> int:
        """Bytes of the bodies of all answers so far."""
        return int(self._sent.value)

    def delay(self, seconds: float) -> None:
        """Let every answer from now on begin so much later."""
        self._delay.value = seconds

    def put(self, folder: Path, name: str) -> None:
        """Copy a folder's files into the bucket, below a name."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_REGION"],
        )
        client.create_bucket(Bucket=BUCKET)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = f"{name}/{path.relative_to(folder).as_posix()}"
            client.upload_file(str(path), BUCKET, key, {"ACL": "public-read"})  # webdataset signs nothing

    def environment(self) -> dict[str, str]:
        """Variables that lead S3 clients to the server."""
        addresses = dict.fromkeys(("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"), self.address)
        return {**os.environ, **CREDENTIALS, **addresses}


@contextmanager
def slow_bucket() -> Iterator[Bucket]:
    """Run the server in a process of its own; without a delay until it is told one."""
    context = multiprocessing.get_context("spawn")
    delay, sent = context.Value("d", 0.0), context.Value("q", 0)
    here, there = context.Pipe()
    server = context.Process(target=_serve, args=(there, delay, sent), daemon=True)
    server.start()
    try:
        yield Bucket(f"http://127.0.0.1:{here.recv()}", delay, sent)
    finally:
        server.terminate()
        server.join()


def _serve(ready: Connection, delay: Any, sent: Any) -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    bucket = DomainDispatcherApplication(create_backend_app)

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        time.sleep(delay.value)
        for piece in bucket(environment, start):
            with sent.get_lock():
                sent.value += len(piece)
            yield piece

    class Kept(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as a real store keeps them

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Kept)
    ready.send(server.server_port)
    server.serve_forever()
