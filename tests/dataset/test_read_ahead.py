"""Remote shards are read ahead while clips are decoded: in order, bounded, and errors in their turn."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from served_folder import served
from video_files import sticker, write_sheet

from emovid_dataset import build, read_manifest, stream
from emovid_dataset.read.ahead import read_ahead


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of four stickers, each in a shard of its own."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "sticker").mkdir()
    rows = []
    for path in sorted(sticker().parent.glob("*.mp4"))[:4]:
        shutil.copy(path, raw / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": "awe", "split": "train"})
    out = raw.parent / "ahead"
    build(raw, write_sheet(raw, rows), out, engine="serial", shard_size=1)
    assert len(read_manifest(out).shards) == 4
    return out


class Watched(list[tuple[str, str | None, int]]):
    """What a server has sent; says when the last of the shards was asked for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.count = count

    def append(self, sent: tuple[str, str | None, int]) -> None:
        super().append(sent)
        if sum(path.endswith(".tar") for path, _, _ in self) >= self.count:
            self.asked.set()


def test_shards_come_while_the_first_clip_is_in_hand(folder: Path) -> None:
    local = [item["id"] for item in stream(folder, frames=1, size=8, shuffle=0)]
    with served(folder) as server:
        server.sent = sent = Watched(4)
        clips = iter(stream(server.url, frames=1, size=8, shuffle=0))
        first = next(clips)["id"]
        assert sent.asked.wait(60), "the other shards were not asked for while the first clip was in hand"
        assert [first, *(item["id"] for item in clips)] == local
        assert sum(path.endswith(".tar") for path, _, _ in sent) == 4


def test_a_stream_that_is_left_asks_for_nothing_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emovid_dataset.read.clip_stream.READ_AHEAD", 1)
    with served(folder) as server:
        clips = iter(stream(server.url, frames=1, size=8, shuffle=0))
        next(clips)
        del clips
        before = threading.active_count()
        for thread in threading.enumerate():
            if thread.name == "emovid-read-ahead":
                thread.join(60)
                assert not thread.is_alive()
        assert before >= threading.active_count()
        # one in hand, one held, one that had come but found no room
        assert sum(path.endswith(".tar") for path, _, _ in server.sent) <= 3


@pytest.mark.parametrize(("limit", "ahead"), [(30, 4), (35, 4), (5, 2), (1000, 20)])
def test_as_many_bytes_are_held_as_may_be(limit: int, ahead: int) -> None:
    made = taken = most = 0
    is_full = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made, most
        for number in range(20):
            made += 1
            most = max(most, made - taken)
            if made - taken == ahead:
                is_full.set()
            yield number

    given = []
    for item in read_ahead(items(), lambda _: 10, limit):
        if not given:
            # all that may come has come while the first item was in hand
            taken = 1
            assert made == 20 or is_full.wait(60)
        given.append(item)
        taken = len(given)
    assert given == list(range(20))
    # those that are held, and one that waits for room; the one in hand may not be counted as taken yet
    assert most <= ahead + 1


def test_an_error_comes_in_its_turn_and_a_generator_is_closed() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(3)
            raise OSError("the network is down")
        finally:
            closed.set()

    came = read_ahead(items(), lambda _: 1, 100)
    assert list(islice(came, 3)) == [0, 1, 2]
    with pytest.raises(OSError, match="the network is down"):
        next(came)
    assert closed.wait(60)
