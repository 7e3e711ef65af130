"""What a store does is the same in a folder, in memory and in a bucket."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emovid_dataset.store import Store, is_temporary, store_of, write_file

BAD_NAMES = [
    "",
    "/etc/passwd",
    "a//b",
    "a/",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "a\\b",
    "a\0b",
]


def test_what_was_put_is_read(store: Store) -> None:
    assert not store.exists("data/x.tar")
    store.put("data/x.tar", b"0123456789")
    assert store.exists("data/x.tar") and not store.exists("data") and not store.exists("data/x.ta")
    assert store.read("data/x.tar") == b"0123456789"
    assert store.range("data/x.tar", 2, 5) == b"234"
    assert store.range("data/x.tar", 0, 10) == b"0123456789"
    assert store.range("data/x.tar", 4, 4) == b""
    assert store.size("data/x.tar") == 10
    with store.open("data/x.tar") as file:
        assert (file.read(3), file.read(), file.read()) == (b"012", b"3456789", b"")
    store.put("data/x.tar", b"")
    assert (store.read("data/x.tar"), store.size("data/x.tar")) == (b"", 0)


def test_a_range_beyond_the_end_is_an_error(store: Store) -> None:
    store.put("x", b"0123456789")
    with pytest.raises(OSError, match=r"x: 2 bytes came instead of 5; the file is too short"):
        store.range("x", 8, 13)
    with pytest.raises(OSError, match="x"):
        store.range("x", 20, 25)
    for start, end in [(-1, 3), (5, 4)]:
        with pytest.raises(ValueError, match=f"no bytes {start} to {end}"):
            store.range("x", start, end)


def test_a_missing_file_is_named_in_one_line(store: Store) -> None:
    def opened() -> None:
        with store.open("no/such.tar"):
            pass

    def local() -> None:
        with store.local("no/such.tar"):
            pass

    for ask in (
        lambda: store.read("no/such.tar"),
        lambda: store.range("no/such.tar", 0, 5),
        lambda: store.size("no/such.tar"),
        lambda: store.version("no/such.tar"),
        opened,
        local,
    ):
        with pytest.raises(FileNotFoundError) as caught:
            ask()
        assert store.shown("no/such.tar") in str(caught.value) and "\n" not in str(caught.value)
    store.delete("no/such.tar")
    store.clear("no")


def test_a_file_of_the_disk_is_put(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    content = os.urandom(3 << 20)
    source.write_bytes(content)
    store.put("a/copy.bin", source)
    assert store.read("a/copy.bin") == content and source.read_bytes() == content
    store.put("a/copy.bin", b"short")
    store.put("a/copy.bin", source)
    assert store.range("a/copy.bin", 2 << 20, (2 << 20) + 9) == content[2 << 20 :][:9]
    with pytest.raises(FileNotFoundError, match=r"none\.bin") if store.folder else pytest.raises(OSError):
        store.put("a/other.bin", tmp_path / "none.bin")
    assert list(store.list()) == ["a/copy.bin"]


def test_a_created_file_is_whole_or_absent(store: Store) -> None:
    with store.create("a/b.tar") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
        size = file.tell()
        file.seek(0)
        assert file.read(1) == b"x"
        assert not store.exists("a/b.tar") and list(store.list()) == []
    assert store.size("a/b.tar") == size

    with store.create("a/closed") as file:
        file.write(b"closed by whoever wrote it")
        file.close()
    assert store.read("a/closed") == b"closed by whoever wrote it"

    for name in ("a/closed", "a/new"):
        with pytest.raises(KeyboardInterrupt), store.create(name) as file:
            file.write(b"half")
            raise KeyboardInterrupt
    assert store.read("a/closed") == b"closed by whoever wrote it"
    assert list(store.list()) == ["a/b.tar", "a/closed"]
    if store.folder:
        assert sorted(path.name for path in store.folder.rglob("*")) == ["a", "b.tar", "closed"]


def test_a_file_created_by_its_path_is_whole_or_absent(store: Store) -> None:
    """The path may be opened again and again, and even be replaced."""
    with store.create_local("a/x.mp4") as path:
        path.write_bytes(b"first")
        with path.open("r+b") as file:
            file.write(b"F")
        assert not store.exists("a/x.mp4") and list(store.list()) == []
    assert store.read("a/x.mp4") == b"First" and not path.exists()
    with pytest.raises(KeyboardInterrupt), store.create_local("a/x.mp4") as path:
        path.write_bytes(b"half")
        raise KeyboardInterrupt
    assert store.read("a/x.mp4") == b"First" and not path.exists()
    with store.create_local("a/empty"):
        pass
    assert store.read("a/empty") == b""
    for name in ("../x", "a/.x.tmp"):
        with pytest.raises(ValueError), store.create_local(name):
            pass
    assert list(store.list()) == ["a/empty", "a/x.mp4"]


def test_one_file_is_written_by_its_own_address(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(store.url("a/b.json"), b"{}")
    assert store.read("a/b.json") == b"{}" and store_of(store.url("a/b")) == (Store(store.url("a")), "b")
    if store.folder:
        store.folder.joinpath("work").mkdir()
        monkeypatch.chdir(store.folder / "work")
        write_file("here", b"x")
        write_file(Path("../there"), b"x")
        assert list(store.list()) == ["a/b.json", "there", "work/here"]
    monkeypatch.chdir(tmp_path)
    for place in ("s3://bucket", "http://host/x/y", Path("s3://bucket/x"), Path("s3://x"), "", "x/..", "x/"):
        with pytest.raises(ValueError):
            write_file(place, b"x")
    assert set(os.listdir()) <= {"build"}


def test_local_is_a_file_with_the_same_suffix(store: Store) -> None:
    store.put("clips/x.webm", b"video")
    with store.local("clips/x.webm") as path:
        assert path.read_bytes() == b"video" and path.suffix == ".webm"
        if store.folder:
            assert path == store.folder / "clips/x.webm"
    assert path.exists() == (store.folder is not None)
    with pytest.raises(KeyboardInterrupt), store.local("clips/x.webm") as path:
        raise KeyboardInterrupt
    assert path.exists() == (store.folder is not None)


def test_listed_in_the_order_of_whole_names(store: Store) -> None:
    names = ["a", "b-/x", "b.txt", "b/a/z", "b/c", "b0", "é", "日本/x y.mp4", "b/[x]*?", "b/%20#"]
    for name in reversed(names):
        store.put(name, name.encode())
    assert list(store.list()) == sorted(names)
    assert list(store.list("b")) == list(store.list("b/")) == ["b/%20#", "b/[x]*?", "b/a/z", "b/c"]
    assert list(store.list("b/a")) == ["b/a/z"]
    assert list(store.list("none")) == list(store.list("a")) == list(store.list("b/c")) == []
    assert {name: store.read(name).decode() for name in store.list()} == {name: name for name in names}
    for bad in ("..", "a//", "/a"):
        with pytest.raises(ValueError, match="is not the name"):
            store.list(bad)


def test_deleted_files_and_folders_are_gone_and_no_others(store: Store) -> None:
    names = ["a*", "ab", "d/x", "d/y/z", "d2/x", "[d]/x"]
    for name in names:
        store.put(name, b"x")
    store.delete("a*")
    store.delete("a*")
    assert list(store.list()) == sorted(set(names) - {"a*"})
    store.clear("d")
    assert list(store.list()) == ["[d]/x", "ab", "d2/x"]
    store.clear("[d]/")
    store.clear("none")
    assert list(store.list()) == ["ab", "d2/x"]
    with pytest.raises(ValueError):
        store.clear("")


def test_a_version_tells_a_change(store: Store) -> None:
    store.put("x", b"one")
    store.put("y", b"one")
    first = store.version("x")
    assert store.version("x") == first
    store.put("y", b"two")
    assert store.version("x") == first
    store.put("x", b"two")
    assert store.version("x") != first


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    def created() -> None:
        with store.create(name) as file:
            file.write(b"x")

    def opened() -> None:
        with store.open(name):
            pass

    def local() -> None:
        with store.local(name):
            pass

    def leased() -> None:
        with store.lease(name):
            pass

    for use in (
        lambda: store.read(name),
        lambda: store.range(name, 0, 0),
        lambda: store.put(name, b"x"),
        lambda: store.exists(name),
        lambda: store.size(name),
        lambda: store.version(name),
        lambda: store.delete(name),
        lambda: store.clear(name) if not name.endswith("a/") else store.read(name),
        created,
        opened,
        local,
        leased,
    ):
        with pytest.raises(ValueError, match="is not the name of a file"):
            use()
    assert list(store.list()) == []


parts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
texts = st.one_of(st.lists(parts, min_size=1, max_size=4).map("/".join), st.text(max_size=12))


@example(name="-" * 255)
@example(name="a::b")
@example(name="a?versionId=1")
@example(name="{x,y}")
@example(name="~")
@example(name="http://x")
@example(name="s3:/x")
@given(name=texts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_refused_or_is_a_file_below_the_root(store: Store, name: str) -> None:
    store.clear("data")
    name = f"data/{name}"
    try:
        store.put(name, name.encode())
    except ValueError as error:
        assert "\n" not in str(error)
        assert list(store.list()) == []
        return
    except OSError as error:
        assert store.folder and "too long" in str(error), error
        return
    assert list(store.list()) == [name]
    assert store.read(name) == name.encode() and store.exists(name)
    store.delete(name)
    assert list(store.list()) == []


def test_temporary_names_are_nobodys(store: Store) -> None:
    assert is_temporary("a/.x.tmp")
    with pytest.raises(ValueError, match="temporary name"):
        store.put("a/.x.tmp", b"x")
    with pytest.raises(ValueError, match="temporary name"), store.create(".x.tmp"):
        pass
    with pytest.raises(ValueError, match="temporary name"), store.lease(".x.tmp"):
        pass
    store.put("a/.x", b"x")
    store.put("a/x.tmp", b"x")
    store.sweep()
    assert list(store.list()) == ["a/.x", "a/x.tmp"]


def test_a_store_travels_between_processes(store: Store) -> None:
    copy = pickle.loads(pickle.dumps(store))
    assert copy == store and hash(copy) == hash(store)
    copy.put("x", b"x")
    assert store.read("x") == b"x"


def test_an_empty_store_has_no_files(store: Store) -> None:
    assert list(store.list()) == [] == list(store.list("a/b"))
    store.sweep()
