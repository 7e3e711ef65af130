"""Who yields which clip: ranks and workers, unequal shards, filters, and going on in the middle."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from uneven_build import COUNTS, write_uneven_build

from emovid_dataset import select, stream
from emovid_dataset.read.share import StreamReader, even_parts
from emovid_dataset.schema.clip import Clip

CLIPS = sum(COUNTS)


@pytest.fixture(scope="module")
def uneven(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_uneven_build(mini_build, tmp_path_factory.mktemp("uneven"))


@pytest.fixture(scope="module")
def names(uneven: Path) -> list[str]:
    """Ids in the order of the shards, by the packaged reader of tars."""
    found = [item["id"] for item in small(uneven, shuffle=0)]
    assert len(set(found)) == CLIPS
    return found


def small(folder: Path, **options: Any) -> Any:
    return stream(folder, "sticker", **{"frames": 1, "size": 8, **options})


def _is_even(clip: Clip) -> bool:
    return int(clip.id[-1], 16) % 2 == 0


def batches(folder: Path, ranks: int, *, workers: int = 0, batch: int = 4, **options: Any) -> list[list[Any]]:
    """The batches of every rank's DataLoader."""
    return [
        list(
            DataLoader(
                small(folder, rank=rank, world_size=ranks, **options), batch_size=batch, num_workers=workers
            )
        )
        for rank in range(ranks)
    ]


def all_of(batches: list[list[Any]], name: str) -> list[list[Any]]:
    """A field of every item, for each rank."""
    return [[value for batch in rank for value in batch[name]] for rank in batches]


class TestPlan:
    @pytest.mark.parametrize("counts", [(14, 7, 20), (1,), (3, 0, 0, 5), (1, 1, 1, 1, 1), (0, 0)])
    @pytest.mark.parametrize("ranks", [2, 3, 7])
    @pytest.mark.parametrize("workers", [1, 2, 3])
    @pytest.mark.parametrize("even", ["pad", "drop", "none"])
    def test_every_clip_once_and_equally_many_a_rank(
        self, counts: tuple[int, ...], ranks: int, workers: int, even: Any
    ) -> None:
        total = sum(counts)
        chosen = [range(0, 3 * count, 3) for count in counts]
        order = list(reversed(range(len(counts))))
        for turn in {0, total // 2, max(total - 1, 0)}:
            own: Counter[tuple[int, int]] = Counter()
            again = 0
            sizes: list[list[int]] = []
            for rank in range(ranks):
                sizes.append([])
                for worker in range(workers):
                    takes = even_parts(chosen, order, StreamReader(rank, ranks, worker, workers), even, turn)
                    for take in takes:
                        assert set(take.ordinals) <= set(chosen[take.shard]) and take.ordinals
                        again += take.padding * len(take.ordinals)
                        if not take.padding:
                            own.update((take.shard, ordinal) for ordinal in take.ordinals)
                    sizes[-1].append(sum(len(take.ordinals) for take in takes))
            assert set(own.values()) <= {1}
            a_rank = [sum(workers) for workers in sizes]
            if even == "pad":
                assert set(a_rank) == {math.ceil(total / ranks)}
                assert sum(own.values()) == total and again == ranks * math.ceil(total / ranks) - total
            elif even == "drop":
                assert set(a_rank) == {total // ranks} and not again
            else:
                assert max(a_rank) - min(a_rank) <= 1 and sum(own.values()) == total and not again
            if even != "none":
                assert len({tuple(workers) for workers in sizes}) == 1, "batches would differ in number"


class TestRanks:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_pad_gives_every_rank_equally_many_batches_and_marks_what_comes_again(
        self, uneven: Path, names: list[str], workers: int
    ) -> None:
        got = batches(uneven, 2, workers=workers)
        assert len(got[0]) == len(got[1])
        ids, padding = all_of(got, "id"), all_of(got, "padding")
        assert [len(rank) for rank in ids] == [21, 21]
        flat = list(zip(ids[0] + ids[1], padding[0] + padding[1], strict=True))
        assert sorted(name for name, again in flat if not again) == sorted(names)
        assert sum(bool(again) for _, again in flat) == 1

    def test_drop_leaves_out_others_in_every_epoch(self, uneven: Path, names: list[str]) -> None:
        left_out = set()
        for epoch in range(4):
            ids = all_of(batches(uneven, 2, even="drop", epoch=epoch), "id")
            assert [len(rank) for rank in ids] == [20, 20] and len({*ids[0], *ids[1]}) == 40
            left_out |= {*names} - {*ids[0], *ids[1]}
        assert len(left_out) > 1

    def test_none_gives_every_clip_once(self, uneven: Path, names: list[str]) -> None:
        ids = all_of(batches(uneven, 3, even="none"), "id")
        assert sorted(map(len, ids)) == [13, 14, 14]
        assert sorted(name for rank in ids for name in rank) == sorted(names)

    def test_a_rank_has_other_clips_in_every_epoch(self, uneven: Path) -> None:
        first, second = (
            {item["id"] for item in small(uneven, rank=0, world_size=2, epoch=epoch)} for epoch in (0, 1)
        )
        assert first != second

    def test_the_order_of_the_shards_stays_without_shuffle(self, uneven: Path, names: list[str]) -> None:
        got = [item["id"] for rank in range(2) for item in small(uneven, rank=rank, world_size=2, shuffle=0)]
        assert got == [*names, names[0]]

    @pytest.mark.parametrize(
        "filters",
        [
            {"emotions": ["awe", "amusement", "contentment"]},
            {"where": _is_even},
            {"emotions": ["awe", "amusement"], "where": _is_even},
        ],
        ids=["emotions", "where", "both"],
    )
    def test_filtered_clips_are_shared_evenly(self, uneven: Path, filters: dict[str, Any]) -> None:
        expected = sorted(item["id"] for item in small(uneven, **filters))
        assert 2 < len(expected) < CLIPS, "the filter is no test"
        got = batches(uneven, 2, **filters)
        ids, padding = all_of(got, "id"), all_of(got, "padding")
        assert len(ids[0]) == len(ids[1]) == math.ceil(len(expected) / 2)
        flat = zip(ids[0] + ids[1], padding[0] + padding[1], strict=True)
        assert sorted(name for name, again in flat if not again) == expected

    def test_a_filter_that_leaves_nothing_gives_nothing_on_any_rank(self, uneven: Path) -> None:
        assert batches(uneven, 2, where=lambda clip: False) == [[], []]

    def test_metadata_that_lists_other_clips_is_an_error(self, uneven: Path, tmp_path: Path) -> None:
        (tmp_path / "data").symlink_to(uneven / "data")
        manifest = json.loads((uneven / "manifest.json").read_text())
        manifest["shards"][1]["samples"] += 1
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        (tmp_path / "metadata").symlink_to(uneven / "metadata")
        with pytest.raises(OSError, match=r"lists 7 clips of data/sticker/train-00001.* instead of 8"):
            small(tmp_path, emotions="awe", rank=0, world_size=2)

    @pytest.mark.parametrize("shuffle", [0, 8])
    def test_each_rank_goes_on_where_it_stopped(self, uneven: Path, shuffle: int) -> None:
        for rank in range(2):
            options = {"rank": rank, "world_size": 2, "shuffle": shuffle}
            whole = [item["id"] for item in small(uneven, epoch=2, **options)]
            stopped = small(uneven, epoch=2, **options)
            before = [item["id"] for item in islice(stopped, 8)]
            resumed = small(uneven, **options)
            resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
            assert before + [item["id"] for item in resumed] == whole

    def test_a_place_in_another_epoch_is_not_a_place_in_this_one(self, uneven: Path) -> None:
        stopped = small(uneven)
        list(islice(stopped, 5))
        resumed = small(uneven)
        resumed.load_state_dict(stopped.state_dict())
        resumed.set_epoch(1)
        assert len(list(resumed)) == CLIPS

    def test_index_is_the_place_in_the_order_of_the_shards(self, uneven: Path, names: list[str]) -> None:
        for item in small(uneven, rank=1, world_size=2):
            assert names[item["index"]] == item["id"]

    def test_index_finds_the_clip_in_a_selection(self, mini_build: Path) -> None:
        clips = select(mini_build, split="test").clips
        items = list(stream(mini_build, split="test", frames=1, size=8))
        assert [clips[item["index"]].id for item in items] == [item["id"] for item in items]
        assert sorted(item["index"] for item in items) == list(range(len(clips)))


class TestShardBy:
    @pytest.mark.parametrize(("shard_by", "times"), [("auto", 1), ("rank", 1), ("worker", 2), ("none", 4)])
    def test_says_who_shares(
        self,
        uneven: Path,
        names: list[str],
        shard_by: Any,
        times: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        seen: Counter[str] = Counter()
        for rank in range(2):
            monkeypatch.setenv("RANK", str(rank))
            data = small(uneven, shard_by=shard_by, even="none")
            for batch in DataLoader(data, batch_size=4, num_workers=2):
                seen.update(batch["id"])
        assert seen == Counter({name: times for name in names})

    @pytest.mark.parametrize("context", ["fork", "spawn"])
    def test_workers_know_the_rank_that_only_torch_distributed_knows(
        self, uneven: Path, names: list[str], context: str, tmp_path: Path
    ) -> None:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
        )
        try:
            group = torch.distributed.group.WORLD
            assert group is not None
            data = small(uneven)
            # What a process of two would be told.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.distributed, "get_world_size", lambda group=None: 2)
                loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context=context)
                got = [item["id"] for item in loader]
        finally:
            torch.distributed.destroy_process_group()
        assert len(got) == 21 and set(got) < set(names)


class Wrapped(IterableDataset):
    """What users put around a stream."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Any:
        return iter(self.source)


class TestAccelerate:
    """Its wrapper for ranks that each read all, in one process; recipes for two are run elsewhere."""

    def prepared(self, data: Any, rank: int, workers: int = 0) -> Any:
        loaders = pytest.importorskip("accelerate.data_loader")
        loader = DataLoader(data, batch_size=4, num_workers=workers)
        return loaders.prepare_data_loader(loader, num_processes=2, process_index=rank)

    @pytest.fixture(autouse=True)
    def ranks(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Be one of two ranks; accelerate itself must not wait for the other one."""
        pytest.importorskip("accelerate.state").PartialState()
        monkeypatch.setenv("WORLD_SIZE", "2")
        return lambda rank: monkeypatch.setenv("RANK", str(rank))

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("filters", [{}, {"where": _is_even}], ids=["all", "where"])
    @pytest.mark.parametrize("wrap", [lambda data: data, Wrapped], ids=["stream", "wrapped"])
    def test_clips_are_shared_once(
        self, uneven: Path, ranks: Any, workers: int, filters: dict[str, Any], wrap: Any
    ) -> None:
        expected = {item["id"] for item in small(uneven, rank=0, world_size=1, **filters)}
        seen: Counter[str] = Counter()
        for rank in range(2):
            ranks(rank)
            for batch in self.prepared(wrap(small(uneven, **filters)), rank, workers):
                seen.update(batch["id"])
        assert set(seen) == expected
        assert seen.total() < len(expected) + 2 * 4 * max(workers, 1), "only the last batches are filled up"

    def test_the_same_stream_without_it_is_shared_by_rank(self, uneven: Path, ranks: Any) -> None:
        ranks(1)
        data = small(uneven)
        assert sum(len(batch["id"]) for batch in self.prepared(data, 1)) == 24
        assert sum(len(batch["id"]) for batch in DataLoader(data, batch_size=4)) == 21

    @pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (1, "spawn")])
    def test_a_loop_that_was_left_divides_nothing_else(
        self, uneven: Path, ranks: Any, workers: int, start: str | None
    ) -> None:
        """After a `break`, or while its iterator waits, a plain DataLoader of the same stream is its own."""
        ranks(1)
        data = small(uneven)
        for _ in self.prepared(data, 1, min(workers, 1)):
            break
        waiting = iter(self.prepared(data, 1))
        held = len(next(waiting)["id"])
        plain = DataLoader(data, batch_size=4, num_workers=workers, multiprocessing_context=start)
        assert sum(len(batch["id"]) for batch in plain) == 21
        assert held + sum(len(batch["id"]) for batch in waiting) == 24

    def test_epochs_are_counted_by_the_loader(self, uneven: Path, ranks: Any) -> None:
        ranks(0)
        loader = self.prepared(small(uneven), 0)
        first, second = ([name for batch in loader for name in batch["id"]] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize(
        ("options", "given"),
        [({"shard_by": "rank"}, "shard_by='rank'"), ({"rank": 0, "world_size": 2}, "rank=0")],
    )
    def test_a_rank_that_is_given_is_refused(
        self, uneven: Path, ranks: Any, options: dict[str, Any], given: str
    ) -> None:
        ranks(0)
        with pytest.raises(ValueError, match=f"the stream has {given}, and accelerate divides"):
            next(iter(self.prepared(small(uneven, **options), 0)))


def test_nothing_is_said_without_accelerate(uneven: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(iter(small(uneven)))
