"""What is held in memory of the videos of a run: a part of them, whatever their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator import annotate as work
from emovid_models.annotator.annotations import Annotation, read_annotations
from emovid_models.annotator.items import Item, public_address
from emovid_models.annotator.worklist import Worklist

VIDEOS, CAPTION = 1500, "what is seen " * 200


def nothing() -> bytes:
    return b""


class Many:
    """Videos that are listed one by one, and how often they were."""

    def __init__(self, count: int) -> None:
        self.count, self.listed = count, 0

    def __iter__(self) -> Iterator[Item]:
        self.listed += 1
        return (Item(f"clip-{place:06}", "1", nothing) for place in range(self.count))


def says(videos: Any, **options: Any) -> Iterator[Any]:
    """An annotator that writes long captions."""
    for _ in videos:
        yield {"emotions": [{"label": name, "score": 0.125} for name in EMOTIONS], "caption": CAPTION}


def test_memory_does_not_grow_with_the_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emovid_models.annotator.annotations._ROWS_PER_GROUP", 100)
    work.annotate(Many(1), says, tmp_path / "imports.parquet", identity="m")  # type: ignore[arg-type]
    many, out = Many(VIDEOS), tmp_path / "a.parquet"
    tracemalloc.start()
    try:
        report = work.annotate(many, says, out, identity="m")  # type: ignore[arg-type]
        counted = sum(item.caption == CAPTION for item in report.annotations)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.videos, report.reused, counted, many.listed) == (VIDEOS, 0, VIDEOS, 1)
    assert peak < VIDEOS * len(CAPTION) / 3, f"{peak / 1e6:.1f} MB"
    assert report.annotations[-1].key == f"clip-{VIDEOS - 1:06}" and report.failed == ()
    assert report.annotations[1:3] == tuple(read_annotations(out)[1:3])
    again = work.annotate(Many(VIDEOS), says, out, identity="m")  # type: ignore[arg-type]
    assert again.reused == VIDEOS


def said(key: str, version: str = "1", error: str | None = None) -> Annotation:
    return Annotation(key, version, None if error else "awe", None, None, error)


def test_what_is_pending_done_and_kept() -> None:
    items = [Item(key, "1", nothing) for key in "abcda"]
    earlier = [said("x"), said("a"), said("b", error="broken"), said("c", version="0"), said("y")]
    with Worklist(items, earlier) as found:
        assert (len(found), found.done, found.kept) == (4, 1, 2)
        assert [item.key for item in found.pending] == ["b", "c", "d"]
        assert [item.key for item in found.pending[1:]] == ["c", "d"] and found.pending[-1].key == "d"
        assert [item.key for item in found.others()] == ["x", "y"]
        answers = iter([said("b", "2"), said("c", "2"), said("d", "2")])
        merged = [(item.key, item.version) for item in found.merged(answers)]
        assert merged == [("a", "1"), ("b", "2"), ("c", "2"), ("d", "2")]
        assert (found.version("c"), found.version("x")) == ("1", None)
    with Worklist(items, earlier, looked_at=[("a", "0"), ("d", "1")]) as found:
        assert [item.key for item in found.pending] == ["a", "b", "c", "d"]


def test_videos_that_cannot_be_pickled_stay_in_this_process() -> None:
    opened: list[Callable[[], str | bytes]] = [lambda: b"one", lambda: b"two"]
    with Worklist([Item(str(place), "", read) for place, read in enumerate(opened)]) as found:
        assert [item.open() for item in found.pending] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("https://host/v?id=7&t=1#x", "https://host/v?id=7&t=1#x"),
        ("https://me:pw@host/v.mp4", "https://host/v.mp4"),
        ("https://host/v.mp4?sv=1&se=2026&sig=a%3D", "https://host/v.mp4?sv=1&se=...&sig=..."),
        (
            "https://host/v?X-Amz-Date=1&X-Amz-Signature=0f&v=2",
            "https://host/v?X-Amz-Date=...&X-Amz-Signature=...&v=2",
        ),
        ("https://host/v?key=one", "https://host/v?key=...7692c3"),
        ("https://host/v?access_token=one", "https://host/v?access_token=..."),
    ],
)
def test_an_address_is_written_down_without_what_opens_it(address: str, key: str) -> None:
    assert public_address(address) == key
