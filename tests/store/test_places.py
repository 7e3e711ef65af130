"""Which places can be named, what is refused before any work, and that no credential is ever shown."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from emovid_dataset import _retry
from emovid_dataset._credentials import first_line, without_credentials
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.store import Store


def test_a_folder_by_path_or_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b%20c"
    monkeypatch.chdir(tmp_path)
    assert Store.at("a b%20c") == Store.at(folder) == Store.at(f"file://{folder}") == Store(str(folder))
    assert not folder.exists()
    with pytest.raises(FileNotFoundError, match="no folder, no Hub repo"):
        Store.find(folder)
    folder.mkdir()
    assert Store.find(folder) == Store.find(f"local://{folder}/") == Store.at(folder)
    assert Store.find(folder).folder == folder


def test_urls(s3: Store) -> None:
    assert Store.at("s3://bucket/a/b/") == Store.find("s3://bucket/a/b") == Store("s3://bucket/a/b")
    assert Store.at("memory://x").folder is None and Store.at("s3://b").url("n") == "s3://b/n"
    assert repr(Store.at("s3://bucket/a/")) == "Store('s3://bucket/a')"
    assert Store.find("http://host/x/") == Store("http://host/x")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("http://host/x", "nothing can be written to http://host/x"),
        ("hf://datasets/emovid/EmoVid", "nothing can be written to hf://"),
        ("ftp://me:pass@host/x", "nothing can be written to ftp://host/x"),
        ("nonesuch://x", "nothing can be written to nonesuch://x"),
        ("zip://x::s3://b/y.zip", "nothing can be written to"),
        ("s3://", "does not say which bucket"),
        ("s3:///x", "does not say which bucket"),
        ("s3://key:secret@bucket/x", "s3://bucket/x was given with a key in it"),
        (Path("s3://bucket/x"), "s3:/bucket/x looks like a URL that has lost a slash"),
        ("", "is not a folder"),
        ("a\0b", "is not a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(
    place: str | Path, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words) as caught:
        Store.at(place)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value) and os.listdir() == []


WITHOUT_S3FS = """
import sys
sys.modules["s3fs"] = None
from emovid_dataset.store import Store
for place in (Store.at, Store.find):
    try:
        place("s3://b/x")
    except ValueError as error:
        print(error)
"""


def test_a_missing_package_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_S3FS], capture_output=True, text=True, check=True)
    line = "s3://b/x needs a package that is not installed: pip install 'emovid[s3]'"
    assert done.stdout.splitlines() == [line, line]


def test_only_buckets_and_folders_are_written(tmp_path: Path) -> None:
    store = Store("http://127.0.0.1:9/x")
    for write in (
        lambda: store.put("x", b""),
        lambda: store.create("x").__enter__(),
        lambda: store.delete("x"),
        lambda: store.lease("x").__enter__(),
    ):
        with pytest.raises(OSError, match=r"http://127\.0\.0\.1:9/x/x cannot be written"):
            write()
    with pytest.raises(OSError, match="cannot be listed"):
        list(store.list())


def test_no_link_leads_a_write_out_of_the_root(disk: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"mine")
    (outside / ".x.tmp").write_bytes(b"mine")
    disk.put("in/y", b"y")
    assert disk.folder
    (disk.folder / "out").symlink_to(outside)
    (disk.folder / "in/self").symlink_to(disk.folder)
    (disk.folder / "alias").symlink_to("in")
    (disk.folder / "circle").symlink_to("circle")  # no file, and no reason not to list the others
    assert disk.read("out/x") == b"mine"
    assert list(disk.list()) == ["alias/y", "in/y", "out/x"]
    for write in (
        lambda: disk.put("out/x", b"z"),
        lambda: disk.put("out/new/x", b"z"),
        lambda: disk.delete("out/x"),
        lambda: disk.lease("out/lock").__enter__(),
        lambda: disk.clear("out/x"),
    ):
        with pytest.raises(ValueError, match="behind a link that leads out of"):
            write()
    disk.sweep()
    disk.put("alias/z", b"z")
    assert disk.read("in/z") == b"z"
    disk.clear("out")
    assert sorted(os.listdir(outside)) == [".x.tmp", "x"] and not (disk.folder / "out").is_symlink()


class TestCredentials:
    def test_of_s3(
        self, s3: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{secret}@127.0.0.1:9")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        monkeypatch.setattr(fsspec.get_filesystem_class("s3"), "retries", 1)
        for use in uses(s3):
            shown = failure(use)
            assert "s3://" in shown and secret not in shown, shown
        assert secret not in caplog.text + repr(s3)

    def test_of_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_retry, "FIRST_WAIT", 0.0)
        store = Store.find("http://me:p%40ss@127.0.0.1:9/x?X-Amz-Signature=0f3e")
        for use in uses(store):
            shown = failure(use)
            assert "127.0.0.1" in shown and "p%40ss" not in shown and "0f3e" not in shown, shown
        assert repr(store) == "Store('http://127.0.0.1:9/x?X-Amz-Signature=...')"

    def test_of_texts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for text in (
            "s3://b/what?.mp4 is a & b = c",
            "/data/basic training/a?x=1&signature=2.mp4",
            "s3://b/a?x=1&signature=2.mp4",
            "a:b@c",
        ):
            assert without_credentials(text) == text
        query = "GET https://a:b@h/x?sig=abc%3D&se=2026 failed, url='http://h/?v' (http://h/x?a=b)"
        clean = "GET https://h/x?sig=...&se=... failed, url='http://h/?v' (http://h/x?a=...)"
        assert without_credentials(query) == clean
        for text, clean in {
            "Authorization: Bearer hf_abcdef": "Authorization: Bearer ...",
            "{'Authorization': 'Basic bWU6cA=='}": "{'Authorization': 'Basic ...'}",
            "AWS4 Credential=AKIA/2026, Signature=00ff": "AWS4 Credential=..., Signature=...",
        }.items():
            assert first_line(OSError(text)) == f"OSError {clean}"
        monkeypatch.setenv("SOME_API_KEY", "0123456789ab")
        assert (
            first_line(OSError("key 0123456789ab, token tok_0123\nmore"), "tok_0123")
            == "OSError key ..., token ..."
        )


def uses(store: Store) -> list[Callable[[], object]]:
    """Everything that asks the server."""
    return [
        lambda: store.read("x"),
        lambda: store.range("x", 0, 1),
        lambda: store.open("x").__enter__(),
        lambda: store.local("x").__enter__(),
        lambda: store.size("x"),
        lambda: store.exists("x"),
        lambda: store.version("x"),
        lambda: list(store.list()),
        lambda: store.put("x", b"x"),
        lambda: store.delete("x"),
        lambda: store.lease("x").__enter__(),
        lambda: read_manifest(store),
    ]


def failure(use: Callable[[], object]) -> str:
    """The whole traceback of what cannot be done."""
    with pytest.raises(OSError) as caught:
        use()
    assert "\n" not in str(caught.value)
    return "".join(traceback.format_exception(caught.value))
