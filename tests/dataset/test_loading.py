"""load, stream and select against what the shards hold, read with Python's own tarfile."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from served_folder import served
from torch.utils.data import DataLoader, get_worker_info
from video_files import exact_rgb

import emovid_dataset
from emovid_dataset import load, select, stream
from emovid_dataset.media.frames import uniform_indices
from emovid_dataset.media.source import VideoError
from emovid_dataset.read import clip_stream as streaming
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import CONTENT_TYPES, KEYS, SPLITS, Clip
from emovid_dataset.schema.emotions import EMOTIONS, MIKELS
from emovid_dataset.schema.features import FEATURES, flat_features
from emovid_dataset.schema.manifest import MANIFEST_NAME


def samples(folder: Path, config: str = "all", split: str = "*") -> dict[str, tuple[Clip, bytes]]:
    """Clips and videos by id, in the order of the shards."""
    found: dict[str, tuple[Clip, bytes]] = {}
    for shard in sorted(folder.glob(f"data/{'*' if config == 'all' else config}/{split}-*.tar")):
        with tarfile.open(shard) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}
        for name, data in files.items():
            if name.endswith(".json"):
                clip = Clip.from_mapping(json.loads(data))
                found[clip.id] = clip, files[f"{clip.id}.mp4"]
    return found


@pytest.fixture
def build(mini_build: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    folder = tmp_path / "build"
    shutil.copytree(mini_build, folder)
    return folder


@pytest.fixture(scope="module")
def few_shards(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips in one shard a split."""
    folder = tmp_path_factory.mktemp("few") / "build"
    shutil.copytree(mini_build, folder)
    manifest = read_manifest(folder)
    kept = []
    for content_type in CONTENT_TYPES:
        for split in SPLITS:
            shards = manifest.select(content_type, split)
            if not shards:
                continue
            path = f"data/{content_type}/{split}-00000.tar"
            with tarfile.open(folder / "one.tar", "w", format=tarfile.USTAR_FORMAT) as joined:
                for shard in shards:
                    with tarfile.open(folder / shard.path) as tar:
                        for member in tar:
                            joined.addfile(member, tar.extractfile(member))
                    (folder / shard.path).unlink()
            (folder / "one.tar").rename(folder / path)
            kept.append(replace(shards[0], path=path, samples=sum(shard.samples for shard in shards)))
    kept_manifest = replace(manifest, shards=tuple(kept))
    (folder / "manifest.json").write_text(kept_manifest.to_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def server(mini_build: Path) -> Iterator[Any]:
    with served(mini_build) as httpd:
        yield httpd


def test_importing_the_package_is_quick() -> None:
    code = "import sys, emovid_dataset; print([m for m in ('torch', 'datasets', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = emovid_dataset.lod


class TestLoad:
    @pytest.mark.parametrize("streamed", [False, True])
    @pytest.mark.parametrize("config", ["all", "cartoon", "movie", "sticker"])
    def test_gives_every_clip_as_the_shards_hold_it(
        self, mini_build: Path, config: str, streamed: bool, cache: str
    ) -> None:
        loaded = load(mini_build, config, streaming=streamed, cache_dir=cache)
        assert list(loaded) == [split for split in SPLITS if samples(mini_build, config, split)]
        for split, rows in loaded.items():
            assert isinstance(rows, IterableDataset if streamed else Dataset)
            columns = flat_features(FEATURES, MIKELS, CONTENT_TYPES)
            assert rows.features == columns
            assert list(rows.features) == list(columns)
            expected = samples(mini_build, config, split)
            for row, (clip, video) in zip(rows, expected.values(), strict=True):
                assert row.pop("video")["bytes"] == video
                assert row["emotion"] == clip.label
                assert CONTENT_TYPES[row["content_type"]] == clip.content_type
                row |= {"emotion": clip.emotion, "content_type": clip.content_type}
                assert Clip.from_mapping(row) == clip

    @pytest.mark.parametrize("streamed", [False, True])
    def test_metadata_is_every_field_and_the_place_of_the_video(
        self, mini_build: Path, streamed: bool, cache: str
    ) -> None:
        for split, rows in load(mini_build, "metadata", streaming=streamed, cache_dir=cache).items():
            expected = samples(mini_build, "all", split)
            rows = list(rows)
            assert [row["id"] for row in rows] == list(expected)
            for row in rows:
                clip, video = expected[row["id"]]
                assert Clip.from_mapping({key: row[key] for key in KEYS}) == clip
                with open(mini_build / row["shard"], "rb") as file:
                    file.seek(row["offset"])
                    assert file.read(row["size"]) == video

    def test_takes_slices_of_splits(self, mini_build: Path, cache: str) -> None:
        both = load(mini_build, "sticker", split="train[:3]+test", cache_dir=cache)
        train, test = (list(samples(mini_build, "sticker", split)) for split in ("train", "test"))
        assert both["id"] == train[:3] + test

    def test_a_folder_that_was_built_anew_does_not_come_from_the_cache(self, build: Path, cache: str) -> None:
        assert len(load(build, "sticker", split="test", cache_dir=cache)) > 0
        manifest = read_manifest(build)
        test = manifest.select("sticker", "test")
        kept = [shard for shard in manifest.shards if shard not in test]
        moved = [replace(shard, split="validation") for shard in test]
        (build / MANIFEST_NAME).write_text(replace(manifest, shards=(*kept, *moved)).to_json())
        assert "test" not in load(build, "sticker", cache_dir=cache)

    def test_over_http(self, mini_build: Path, server: Any, cache: str) -> None:
        rows = load(server.url, "sticker", split="test", streaming=True)
        assert [(row["id"], row["video"]["bytes"]) for row in rows] == [
            (key, video) for key, (_, video) in samples(mini_build, "sticker", "test").items()
        ]
        metadata = load(server.url, "metadata", split="test", cache_dir=cache)
        assert metadata["id"] == list(samples(mini_build, "all", "test"))

    def test_wrong_arguments_are_one_line(self, mini_build: Path, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"config is 'anime'; .* has: all, cartoon, movie, sticker, metadata"
        ):
            load(mini_build, "anime")
        with pytest.raises(ValueError, match="split is 'dev'; sticker has: train, validation, test"):
            load(mini_build, "sticker", split="dev")
        with pytest.raises(FileNotFoundError, match=r"not an EmoVid build: it has no manifest\.json"):
            load(tmp_path)
        with pytest.raises(FileNotFoundError, match="no folder, no Hub repo"):
            load(tmp_path / "nowhere")
        with pytest.raises(ValueError, match=r"revision is 'v1', but .* is no Hub repo"):
            load(mini_build, revision="v1")


def ids(items: Any) -> list[str]:
    return [item["id"] for item in items]


def small(folder: Path, config: str = "sticker", split: str = "train", **options: Any) -> Any:
    return stream(folder, config, split=split, **{"frames": 1, "size": 8, **options})


class TestStream:
    def test_yields_the_frames_and_the_fields(self, mini_build: Path) -> None:
        expected = samples(mini_build, "sticker", "test")
        items = list(stream(mini_build, "sticker", split="test", frames=5, size=(96, 80), shuffle=0))
        assert ids(items) == list(expected)
        for item in items:
            clip, _ = expected[item["id"]]
            assert item["video"].dtype == torch.uint8
            assert item["video"].shape == (5, 3, 96, 80)
            assert (item["label"], item["valence"]) == (EMOTIONS.index(clip.emotion), clip.valence)
            for name, value in clip.to_mapping().items():
                if name in ("hue_chroma", "start", "end", "agreement") and value is None:
                    assert math.isnan(item[name])
                elif name in ("license", "color", "extra"):
                    assert item[name] == (value or "")
                elif name == "raters":
                    assert item[name] == (value or 0)
                elif name == "votes":
                    assert item[name].tolist() == [-1] * 8 and value is None
                elif name == "emotion_scores":
                    assert torch.equal(item[name].isnan(), torch.full((8,), value is None))
                else:
                    assert item[name] == value

    def test_frames_are_those_of_a_full_decode(self, mini_build: Path) -> None:
        expected = samples(mini_build, "sticker", "test")
        for item in stream(mini_build, "sticker", split="test", frames=4, size=128):
            with av.open(io.BytesIO(expected[item["id"]][1])) as film:
                frames = [exact_rgb(frame) for frame in film.decode(video=0)]
            assert frames[0].shape == (128, 128, 3)
            wanted = np.stack([frames[index] for index in uniform_indices(len(frames), 4)])
            got = item["video"].permute(0, 2, 3, 1).numpy()
            assert np.abs(got.astype(int) - wanted).mean() < 1

    @pytest.mark.parametrize("workers", [0, 1, 2, 3])
    @pytest.mark.parametrize("few", [False, True], ids=["many shards", "fewer shards than readers"])
    def test_ranks_and_workers_share_every_clip_once(
        self, mini_build: Path, few_shards: Path, workers: int, few: bool
    ) -> None:
        folder = few_shards if few else mini_build
        shards = read_manifest(folder).select("sticker", "train")
        readers = 2 * max(workers, 1)
        assert (len(shards) < readers) == few
        seen = Counter()
        for rank in range(2):
            clips = small(folder, rank=rank, world_size=2, seed=3, even="none")
            loader = DataLoader(clips, batch_size=4, num_workers=workers)
            got = [key for batch in loader for key in batch["id"]]
            assert got
            seen.update(got)
        assert seen == Counter(samples(mini_build, "sticker", "train").keys())

    def test_takes_its_rank_from_torchrun(self, mini_build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLD_SIZE", "3")
        seen: list[str] = []
        for rank in range(3):
            monkeypatch.setenv("RANK", str(rank))
            seen += ids(small(mini_build, even="none"))
        assert sorted(seen) == sorted(samples(mini_build, "sticker", "train"))

    def test_seed_and_epoch_decide_the_order(self, mini_build: Path) -> None:
        clips = small(mini_build, seed=1)
        first = ids(clips)
        assert first == ids(clips) == ids(small(mini_build, seed=1))
        clips.set_epoch(1)
        second = ids(clips)
        assert second == ids(small(mini_build, seed=1, epoch=1))
        assert sorted(first) == sorted(second) == sorted(ids(small(mini_build, seed=2)))
        assert len({tuple(first), tuple(second), tuple(ids(small(mini_build, seed=2)))}) == 3

    def test_set_epoch_reaches_workers_that_live_on(self, mini_build: Path) -> None:
        clips = small(mini_build, seed=1)
        loader = DataLoader(clips, batch_size=None, num_workers=1, persistent_workers=True)
        first = ids(loader)
        clips.set_epoch(1)
        assert ids(loader) == ids(small(mini_build, seed=1, epoch=1)) != first

    @pytest.mark.parametrize("shuffle", [0, 10])
    def test_goes_on_where_it_stopped_and_decodes_nothing_twice(
        self, mini_build: Path, shuffle: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = ids(small(mini_build, shuffle=shuffle, epoch=4))
        stopped = small(mini_build, shuffle=shuffle, epoch=4)
        before = ids(islice(stopped, 7))
        state = json.loads(json.dumps(stopped.state_dict()))
        decoded = []
        read = streaming.read_windows
        monkeypatch.setattr(streaming, "read_windows", lambda *a, **k: decoded.append(1) or read(*a, **k))
        resumed = small(mini_build, shuffle=shuffle)
        resumed.load_state_dict(state)
        assert before + ids(resumed) == whole
        assert len(decoded) == len(whole) - 7
        assert ids(resumed) == whole, "the next iteration starts from the beginning"

    def test_goes_on_in_workers(self, mini_build: Path) -> None:
        whole = ids(DataLoader(small(mini_build), batch_size=None, num_workers=2))
        # Items come from the workers in turn: after 6 of them each worker has yielded 3.
        resume = DataLoader(
            small(mini_build),
            batch_size=None,
            num_workers=2,
            worker_init_fn=lambda _: get_worker_info().dataset.load_state_dict({"epoch": 0, "yielded": 3}),
        )
        assert ids(resume) == whole[6:]

    def test_torchdata_saves_and_restores_it(self, mini_build: Path) -> None:
        torchdata = pytest.importorskip("torchdata.stateful_dataloader")
        whole = ids(torchdata.StatefulDataLoader(small(mini_build), batch_size=None, num_workers=2))
        loader = torchdata.StatefulDataLoader(small(mini_build), batch_size=None, num_workers=2)
        items = iter(loader)
        before = ids(islice(items, 7))
        state = loader.state_dict()
        del items
        again = torchdata.StatefulDataLoader(small(mini_build), batch_size=None, num_workers=2)
        again.load_state_dict(state)
        assert before + ids(again) == whole

    def test_filters(self, mini_build: Path) -> None:
        expected = {key: clip for key, (clip, _) in samples(mini_build, "all", "train").items()}
        awe = ids(small(mini_build, "all", emotions=["awe", 6]))
        assert sorted(awe) == sorted(key for key, clip in expected.items() if clip.emotion in ("awe", "fear"))
        assert ids(small(mini_build, "all", emotions="awe", shuffle=0)) == [
            key for key, clip in expected.items() if clip.emotion == "awe"
        ]
        bright = ids(small(mini_build, "all", where=lambda clip: clip.brightness > 0.5))
        assert sorted(bright) == sorted(key for key, clip in expected.items() if clip.brightness > 0.5)

    def test_a_clip_that_is_left_out_is_not_decoded(self, build: Path) -> None:
        first = next(iter(load(build, "metadata", split="test", streaming=True)))
        with open(build / first["shard"], "r+b") as file:
            file.seek(first["offset"])
            file.write(bytes(first["size"]))
        everything = small(build, first["content_type"], "test")
        with pytest.raises(VideoError, match=first["id"]):
            list(everything)
        others = small(build, first["content_type"], "test", where=lambda clip: clip.id != first["id"])
        assert sorted([first["id"], *ids(others)]) == sorted(samples(build, first["content_type"], "test"))

    def test_a_shard_that_lost_clips_is_an_error(self, build: Path) -> None:
        shard = read_manifest(build).select("sticker", "train")[0]
        with tarfile.open(build / shard.path) as tar:
            fourth = tar.getmembers()[4].offset
        with open(build / shard.path, "r+b") as file:
            file.truncate(fourth)
            file.seek(fourth)
            file.write(bytes(1024))
        with pytest.raises(OSError, match=f"{shard.path} holds 1 clips instead of {shard.samples}"):
            list(small(build))

    def test_over_http_in_workers(self, mini_build: Path, server: Any) -> None:
        loader = DataLoader(small(server.url, split="test"), batch_size=None, num_workers=2)
        assert sorted(ids(loader)) == sorted(samples(mini_build, "sticker", "test"))

    def test_a_server_that_breaks_off_every_shard_costs_no_clip(self, mini_build: Path, server: Any) -> None:
        server.broken = True
        got = ids(small(server.url, split="test"))
        assert sorted(got) == sorted(samples(mini_build, "sticker", "test"))
        assert any(wanted for path, wanted, _ in server.sent if path.endswith(".tar"))

    def test_default_collation_makes_batches(self, mini_build: Path) -> None:
        batch = next(iter(DataLoader(small(mini_build, "all", frames=2), batch_size=3)))
        assert batch["video"].shape == (3, 2, 3, 8, 8)
        assert batch["label"].shape == batch["hue"].shape == (3,)
        assert batch["emotion_scores"].shape == (3, 8)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"frames": 0}, "frames is 0; it must be 1 or more"),
            ({"size": 0}, "size is 0"),
            ({"size": (1, 2, 3)}, r"size is \(1, 2, 3\)"),
            ({"shuffle": -1}, "shuffle is -1"),
            ({"emotions": ["joy"]}, "emotion 'joy' is unknown; allowed: amusement"),
            ({"emotions": []}, "emotions is empty"),
            ({"split": "dev"}, "split is 'dev'; sticker has: train, validation, test"),
            ({"config": "anime"}, "config is 'anime'; .* has: all, cartoon, movie, sticker$"),
            ({"fit": "stretch"}, "fit is 'stretch'; allowed: squeeze, crop, pad$"),
            ({"to": "half"}, "to is 'half'; allowed: uint8, float$"),
            ({"windows": 0}, "windows is 0; it must be 1 or more"),
            ({"audio": 0}, "audio is 0; it must be 1 or more"),
            ({"frame_rate": 0}, "frame_rate is 0; it must be more than 0 frames per second"),
            ({"frame_rate": math.nan}, "frame_rate is nan"),
            ({"shard_by": "shard"}, "shard_by is 'shard'; allowed: auto, rank, worker, none$"),
            ({"even": True}, "even is True; allowed: pad, drop, none$"),
            ({"rank": 2, "world_size": 2}, r"rank is 2; it must be 0\.\.1"),
            ({"rank": 0}, "rank is 0 but world_size is None"),
        ],
    )
    def test_wrong_arguments_are_one_line(
        self, mini_build: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            stream(mini_build, **{"config": "sticker", **options})


class TestSelect:
    def test_chooses_by_every_field(self, mini_build: Path) -> None:
        expected = {key: clip for key, (clip, _) in samples(mini_build).items()}

        def chosen(**conditions: Any) -> list[str]:
            return sorted(clip.id for clip in select(mini_build, **conditions).clips)

        def meet(condition: Any) -> list[str]:
            found = sorted(key for key, clip in expected.items() if condition(clip))
            assert 0 < len(found) < len(expected), "the condition is no test"
            return found

        assert chosen() == sorted(expected)
        assert chosen(emotion="awe") == chosen(emotion=1) == meet(lambda clip: clip.emotion == "awe")
        assert chosen(emotion=["awe", "fear"]) == meet(lambda clip: clip.label in (1, 6))
        assert chosen(content_type="sticker") == meet(lambda clip: clip.content_type == "sticker")
        assert chosen(content_type=["movie", "cartoon"]) == meet(lambda clip: clip.content_type != "sticker")
        assert chosen(brightness=(0.5, 1)) == meet(lambda clip: clip.brightness >= 0.5)
        assert chosen(colorfulness=(0, 0.4)) == meet(lambda clip: clip.colorfulness <= 0.4)
        assert chosen(duration=(0.5, 2)) == meet(lambda clip: 0.5 <= clip.duration <= 2)
        assert chosen(hue=(90, 270)) == meet(lambda clip: clip.hue is not None and 90 <= clip.hue <= 270)
        wrapped = meet(lambda clip: clip.hue is not None and (clip.hue >= 300 or clip.hue <= 60))
        assert chosen(hue=(300, 60)) == wrapped
        assert chosen(where=lambda clip: clip.width > 200) == meet(lambda clip: clip.width > 200)
        both = meet(lambda clip: clip.emotion == "amusement" and clip.brightness >= 0.3)
        assert chosen(emotion="amusement", brightness=(0.3, 1)) == both
        for split in SPLITS:
            assert chosen(split=split) == sorted(samples(mini_build, "all", split))

    def test_bounds_are_inclusive(self, mini_build: Path) -> None:
        clip = select(mini_build, limit=1).clips[0]
        exact = select(mini_build, brightness=(clip.brightness, clip.brightness))
        assert clip in exact.clips

    def test_gives_the_videos_with_their_splits(self, mini_build: Path) -> None:
        for split in SPLITS:
            expected = samples(mini_build, "all", split)
            for selected in select(mini_build, split=split):
                assert selected.split == split
                assert (selected.clip, selected.video) == expected[selected.clip.id]

    def test_limit_takes_the_first_or_draws_with_a_seed(self, mini_build: Path) -> None:
        everything = select(mini_build).clips
        assert everything == tuple(clip for clip, _ in in_order(mini_build))
        assert select(mini_build, limit=5).clips == everything[:5]
        drawn = select(mini_build, limit=5, seed=1).clips
        assert drawn == select(mini_build, limit=5, seed=1).clips != everything[:5]
        assert drawn != select(mini_build, limit=5, seed=2).clips
        assert Counter(select(mini_build, seed=1).clips) == Counter(everything)
        assert len(select(mini_build, limit=0)) == 0

    def test_is_a_sequence_that_reads_when_asked(self, build: Path) -> None:
        selection = select(build, content_type="sticker")
        assert selection[0].clip == selection.clips[0]
        assert selection[-1].video == samples(build)[selection.clips[-1].id][1]
        assert selection[2:5].clips == selection.clips[2:5]
        shutil.rmtree(build / "data")
        assert len(selection.clips) == len(selection)
        with pytest.raises(FileNotFoundError):
            _ = selection[0]

    def test_over_http_moves_only_the_chosen_members(self, mini_build: Path, server: Any) -> None:
        expected = samples(mini_build)
        selection = select(server.url, emotion="awe", content_type="sticker", limit=20)
        assert not [path for path, _, _ in server.sent if path.endswith(".tar")]
        assert {path for path, _, _ in server.sent if path.startswith("/metadata")} <= {
            f"/metadata/sticker/{split}.parquet" for split in SPLITS
        }
        got = list(selection)
        assert [(item.clip, item.video) for item in got] == [expected[clip.id] for clip in selection.clips]
        from_shards = [size for path, _, size in server.sent if path.endswith(".tar")]
        assert sorted(from_shards) == sorted(len(item.video) for item in got)

    def test_a_server_without_ranges_is_an_error(self, server: Any) -> None:
        server.ranges = False
        with pytest.raises(OSError, match="its server takes no range requests"):
            _ = select(server.url, content_type="sticker", limit=1)[0]

    def test_a_server_without_a_build_is_an_error(self, server: Any) -> None:
        with pytest.raises(FileNotFoundError, match=r"not an EmoVid build: it has no manifest\.json"):
            select(f"{server.url}/data")

    def test_no_server_is_an_error(self) -> None:
        with pytest.raises(OSError, match="cannot be read"):
            select("http://127.0.0.1:9")

    def test_a_damaged_member_is_an_error(self, build: Path) -> None:
        selection = select(build, content_type="sticker", limit=2)
        row = next(
            row
            for row in load(build, "metadata", split="train", streaming=True)
            if row["id"] == selection.clips[1].id
        )
        with open(build / row["shard"], "r+b") as file:
            file.seek(row["offset"] + row["size"] // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
        assert hashlib.sha256(selection[0].video).hexdigest() == selection.clips[0].sha256
        with pytest.raises(OSError, match=f"{row['id']} .* differs from its sha256"):
            _ = selection[1]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"emotion": "joy"}, "emotion 'joy' is unknown"),
            ({"content_type": "anime"}, "content_type is 'anime'; allowed: cartoon, movie, sticker"),
            ({"split": "dev"}, "split is 'dev'; allowed: train, validation, test"),
            ({"brightness": (1, 0)}, r"brightness is \(1, 0\); the least must not exceed the greatest"),
            ({"duration": 3}, "duration is 3; it must be two numbers"),
            ({"colorfulness": (0, math.nan)}, "colorfulness is"),
            ({"hue": (0, 400)}, r"hue is \(0, 400\); both angles must be 0\.\.360"),
            ({"limit": -1}, "limit is -1; it must be 0 or more"),
        ],
    )
    def test_wrong_arguments_are_one_line(
        self, mini_build: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            select(mini_build, **options)


def in_order(folder: Path) -> list[tuple[Clip, bytes]]:
    """Content type, then split in the order of SPLITS, then shard, then member."""
    return [
        pair
        for content_type in CONTENT_TYPES
        for split in SPLITS
        for pair in samples(folder, content_type, split).values()
    ]
