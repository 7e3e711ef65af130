"""No command prints or writes a credential, wherever it was given: one walk over all that a user does."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import fsspec.config
import pyarrow.parquet
import pytest
from buckets import KEY, SECRET, s3, s3_server
from hub_server import Account, HubServer

from emovid_dataset import _retry, cli
from emovid_dataset.store import Store
from emovid_models import MINI_ANNOTATOR

__all__ = ["s3", "s3_server"]

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
PASSWORD, SIGNATURE, ODD_TOKEN = (
    "passw0rdOfTheAddress",
    "0f3eSignatureOfTheAddress",
    "tokenOfNoKnownForm-0123",
)
OPTION_KEY, OPTION_SECRET = "keyIdOfTheOptions", "s3cretOfTheOptions0123"
CREDENTIALS = (KEY, SECRET, PASSWORD, SIGNATURE, ODD_TOKEN, OPTION_KEY, OPTION_SECRET)
DOWN = f"http://me:{PASSWORD}@127.0.0.1:9"
Run = Callable[..., int]


@pytest.fixture
def address(empty_hub: HubServer, tmp_path: Path) -> str:
    """The folder `served` over http, by a server that is told a user and a password."""
    host = empty_hub.url.removeprefix("http://")
    return f"http://me:{PASSWORD}@{host}/datasets/emovid/served/resolve/main"


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, empty_hub: HubServer, s3: Store, capfd: pytest.CaptureFixture[str]
) -> Iterator[io.StringIO]:
    """What is logged; the environment and fsspec's configuration hold credentials."""
    empty_hub.accounts[ODD_TOKEN] = Account("maintainer", orgs=("emovid",))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    monkeypatch.setenv("HF_TOKEN", ODD_TOKEN)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"key": OPTION_KEY, "secret": OPTION_SECRET})
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr(_retry, "FIRST_WAIT", 0.0)
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    monkeypatch.setattr(logging.getLogger("werkzeug"), "disabled", True)  # the server, not a part of us
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def run(said: io.StringIO, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, adds what it prints to what is logged, and gives its exit code."""

    def command(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["emovid", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said.writelines(["\n# ", " ".join(map(str, words))[:9], "\n", *capfd.readouterr()])
        return int(left.value.code or 0)

    return command


def written(store: Store) -> Iterator[tuple[str, str]]:
    """The text of every file; of a Parquet file its rows and what its schema says."""
    for name in store.list():
        data = store.read(name)
        yield f"{store.name}/{name}", data.decode("latin-1")
        if name.endswith(".parquet"):
            table = pyarrow.parquet.read_table(io.BytesIO(data))
            yield f"{store.name}/{name}", f"{table.schema.metadata} {table.to_pylist()}"


def test_no_credential_is_printed_logged_or_written(
    run: Run, said: io.StringIO, s3: Store, address: str, empty_hub: HubServer, tmp_path: Path
) -> None:
    lines = (MINI / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    stickers = [line for line in lines if line.startswith("sticker/")][:4]
    names = [line.partition(",")[0] for line in stickers]
    for name in names:
        s3.put(f"in/{name}", MINI / name)
    s3.put("labels.csv", "".join([lines[0], *stickers]).encode())
    serial = ("--engine", "serial")
    build = s3.url("build")
    assert run("build", s3.url("in"), "--labels", s3.url("labels.csv"), "--out", build, *serial) == 0
    made = Store.at(build)
    served = Store.at(tmp_path / "served")
    for name in made.list():
        served.put(f"build/{name}", made.read(name))
    served.put("a.mp4", MINI / names[0])
    empty_hub.publish("datasets", "emovid/served", tmp_path / "served")
    out = Store.at(tmp_path / "out")
    for place in (build, f"{address}/build"):
        assert run("verify", place, *serial) == 0
        assert run("stats", place) == 0

    listed = f"{address.replace(f'me:{PASSWORD}@', '')}/a.mp4?X-Amz-Signature={SIGNATURE}"
    lines = [listed, f"{DOWN}/b.mp4?sig={SIGNATURE}", f"{address}/no.mp4?id=7&sig={SIGNATURE}"]
    s3.put("list.txt", "\n".join(lines).encode())
    model = ("--model", MINI_ANNOTATOR, "--device", "cpu")
    assert run("annotate", s3.url("list.txt"), *model, "--out", s3.url("list.parquet")) == 1
    annotated = pyarrow.parquet.read_table(io.BytesIO(s3.read("list.parquet"))).to_pylist()
    assert [row["error"] is None for row in annotated] == [True, False, False]
    assert annotated[2]["key"].endswith("/no.mp4?id=7&sig=...")
    s3.delete("list.txt")
    assert run("annotate", f"{address}/build", *model, "--out", out.url("build.parquet"), "--json") == 0

    made_videos = Store.at(s3.url("videos"))
    for name in names[:2]:
        made_videos.put(name.rpartition("/")[2], MINI / name)
    table = "".join(f"{name.rpartition('/')[2]},awe\n" for name in names[:2])
    made_videos.put("intended.csv", f"file,emotion\n{table}".encode())
    held = ("--held-out", f"{address}/build", "--split", "train", "--device", "cpu")
    assert run("evaluate", "--videos", made_videos.root, "--out", s3.url("judged"), *held) == 0
    assert run("push", "dataset", build, "--repo-id", "emovid/EmoVid") == 0

    unreachable = f"{DOWN}/x?sig={SIGNATURE}"
    for failing in (
        ("build", s3.url("in"), "--labels", unreachable, "--out", s3.url("none")),
        ("build", s3.url("in"), "--labels", s3.url("labels.csv"), "--out", unreachable),
        ("verify", unreachable, *serial),
        ("stats", unreachable),
        ("annotate", unreachable, *model, "--out", out.url("none.parquet")),
        ("annotate", build, *model, "--out", f"s3://{KEY}:{SECRET}@bucket/none.parquet"),
        ("evaluate", "--videos", unreachable, "--out", s3.url("none")),
        ("evaluate", "--videos", made_videos.root, "--held-out", unreachable, "--out", s3.url("none")),
        ("evaluate", "--protocol", "paper", "--data", unreachable, "--out", s3.url("none")),
        ("push", "dataset", unreachable, "--repo-id", "emovid/EmoVid"),
        ("push", "annotator", unreachable, "--repo-id", "emovid/annotator"),
    ):
        assert run(*failing) in (1, 2), failing

    everything = {"what is printed and logged": said.getvalue(), **dict(written(s3)), **dict(written(out))}
    commit = empty_hub.repos["datasets", "emovid/EmoVid"].commit("main")
    assert commit is not None and len(commit.blobs) > 5 and len(everything) > 15
    everything |= {path: blob.file.read_bytes().decode("latin-1") for path, blob in commit.blobs.items()}
    found = [
        (place, text[max(0, at - 80) : at + 40])
        for place, text in everything.items()
        for credential in CREDENTIALS
        if (at := text.find(credential)) >= 0
    ]
    assert found == []
    assert "127.0.0.1:9" in said.getvalue(), "places are shown, only without what opens them"
