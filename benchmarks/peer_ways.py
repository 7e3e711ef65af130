"""How each library loads the same clips; runs in that library's own environment, which lacks this package.

    python peer_ways.py WAY DOES JSON       # prints one line of JSON

A way has a `convert` that writes the clips in the library's format, an `epoch` that yields all of them once,
and what else the library offers: `pick` for single clips by their places, and `loader` for a loader whose
state can be saved. Frames are the same everywhere: the middles of 16 equal parts of the clip, RGB,
224 x 224. Each library reads in its usual way, with two workers, processes or threads as it has them.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

FRAMES, SIZE, WORKERS = 16, 224, 2
FILE_BYTES = 1_000_000
"""Size of one file of each format."""


@dataclass(frozen=True)
class Place:
    """Where a way reads.

    Attributes:
        folder: the clips in the way's format: a folder, or ``s3://bucket/...``.
        shards: the build's shards below it, for ways that read those.
        http: address of the server of the bucket; "" for a folder.
        scratch: a folder for what is downloaded.
    """

    folder: str
    shards: list[str]
    http: str
    scratch: str

    def shard_urls(self, *, http: bool = False) -> list[str]:
        """The addresses of the shards."""
        folder = self.http + self.folder.removeprefix("s3:/") if http and self.http else self.folder
        return [f"{folder}/{shard}" for shard in self.shards]


def indices(count: int) -> list[int]:
    return [(2 * part + 1) * count // (2 * FRAMES) for part in range(FRAMES)]


def samples(shards: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Id, label and video of the clips of shards on the disk."""
    for shard in shards:
        with tarfile.open(shard) as tar:
            held: dict[str, bytes] = {}
            for member in tar:
                name, _, kind = member.name.partition(".")
                file = tar.extractfile(member)
                held[kind] = file.read() if file else b""
                if {"mp4", "cls"} <= set(held) and len(held) == 4:
                    yield {"id": name, "label": int(held["cls"]), "video": held["mp4"]}
                    held = {}


def decoded(sample: dict[str, Any], decoder: Any = None) -> dict[str, Any]:
    """A sample by torchcodec, as its documentation shows."""
    from torchcodec.decoders import VideoDecoder
    from torchvision.transforms.v2.functional import resize

    decoder = decoder or VideoDecoder(bytes(sample["video"]), num_ffmpeg_threads=1)
    frames = decoder.get_frames_at(indices(decoder.metadata.num_frames)).data
    video = resize(frames, [SIZE, SIZE], antialias=True)
    return {"id": sample["id"], "label": sample["label"], "video": video}


def loader(clips: Any, **settings: Any) -> Any:
    from torch.utils.data import DataLoader

    return DataLoader(clips, batch_size=None, num_workers=WORKERS, **settings)


class EmoVid:
    """This package's `stream` and `select`."""

    name = "emovid"

    def stream(self, place: Place) -> Any:
        from emovid_dataset import stream

        return stream(place.folder, frames=FRAMES, size=SIZE, shuffle=0)

    def epoch(self, place: Place) -> Iterator[Any]:
        return iter(loader(self.stream(place)))

    def resumable(self, place: Place) -> Any:
        from torchdata.stateful_dataloader import StatefulDataLoader

        return StatefulDataLoader(self.stream(place), batch_size=None, num_workers=WORKERS)

    def pick(self, place: Place) -> Callable[[int], Any]:
        from emovid_dataset import select
        from emovid_dataset.media.frames import decode

        chosen = select(place.folder, split="train")

        def one(index: int) -> Any:
            found = chosen[index]
            return {"id": found.clip.id, "video": decode(found.video, frames=FRAMES, size=SIZE)}

        return one


def _from_row(row: dict[str, Any]) -> dict[str, Any]:
    return decoded({"id": row["__key__"], "label": row["cls"]}, row["mp4"])


class Datasets:
    """`datasets` with torchcodec; it reads a bucket by its http address."""

    name = "datasets + torchcodec"

    def _load(self, place: Place, *, streaming: bool) -> Any:
        from datasets import load_dataset

        files = {"train": place.shard_urls(http=True)}
        return load_dataset(
            "webdataset", data_files=files, split="train", streaming=streaming, cache_dir=place.scratch
        )

    def epoch(self, place: Place) -> Iterator[Any]:
        return iter(loader(self._load(place, streaming=True), collate_fn=_from_row))

    def resumable(self, place: Place) -> Any:
        from torchdata.stateful_dataloader import StatefulDataLoader

        clips = self._load(place, streaming=True)
        return StatefulDataLoader(clips, batch_size=None, num_workers=WORKERS, collate_fn=_from_row)

    def pick(self, place: Place) -> Callable[[int], Any]:
        clips = self._load(place, streaming=False)
        return lambda index: _from_row(clips[index])


def _with_decord(sample: dict[str, Any]) -> dict[str, Any]:
    import decord
    import torch

    reader = decord.VideoReader(io.BytesIO(sample["mp4"]), width=SIZE, height=SIZE, num_threads=1)
    frames = reader.get_batch(indices(len(reader))).asnumpy()
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    return {"id": sample["__key__"], "label": int(sample["cls"]), "video": video}


class WebDataset:
    """webdataset with decord; it reads a bucket by its http address."""

    name = "webdataset + decord"

    def epoch(self, place: Place) -> Iterator[Any]:
        import webdataset

        shards = place.shard_urls(http=True)
        return iter(loader(webdataset.WebDataset(shards, shardshuffle=False).map(_with_decord)))


class LitData:
    """litdata; torchcodec decodes."""

    name = "litdata"

    def convert(self, shards: Sequence[str], folder: Path) -> None:
        import litdata

        chosen = list(samples(shards))
        litdata.optimize(
            _same, chosen, str(folder), chunk_bytes=FILE_BYTES, num_workers=1, keep_data_ordered=True
        )

    def clips(self, place: Place) -> Any:
        import litdata

        settings: dict[str, Any] = {}
        if place.http:
            settings = {"storage_options": {"endpoint_url": place.http}, "cache_dir": place.scratch}
        return litdata.StreamingDataset(place.folder, transform=decoded, **settings)

    def epoch(self, place: Place) -> Iterator[Any]:
        return iter(self.resumable(place))

    def resumable(self, place: Place) -> Any:
        import litdata

        return litdata.StreamingDataLoader(
            self.clips(place), batch_size=1, num_workers=WORKERS, collate_fn=_first
        )

    def pick(self, place: Place) -> Callable[[int], Any]:
        return self.clips(place).__getitem__


def _same(sample: Any) -> Any:
    return sample


def _first(batch: Sequence[Any]) -> Any:
    return batch[0]


class Spdl:
    """SPDL, which decodes in threads; whole shards are fetched by boto3."""

    name = "SPDL"

    def epoch(self, place: Place) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder

        builder = PipelineBuilder().add_source(place.shards)
        builder = builder.pipe(partial(_fetched, place), concurrency=2, output_order="input")
        builder = builder.pipe(_untarred).pipe(_by_spdl, concurrency=WORKERS)
        pipeline = builder.add_sink(8).build(num_threads=WORKERS + 2)
        with pipeline.auto_stop():
            yield from pipeline.get_iterator(timeout=300)


def _fetched(place: Place, shard: str) -> bytes:
    if not place.http:
        return Path(place.folder, shard).read_bytes()
    import boto3

    bucket, _, prefix = place.folder.removeprefix("s3://").partition("/")
    found = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{shard}")
    return bytes(found["Body"].read())


def _untarred(data: bytes) -> Iterator[dict[str, Any]]:
    import spdl.io

    held: dict[str, Any] = {}
    for name, content in spdl.io.iter_tarfile(io.BytesIO(data)):
        key, _, kind = name.partition(".")
        held[kind] = bytes(content)
        if len(held) == 4:
            yield {"id": key, "label": int(held["cls"]), "video": held["mp4"]}
            held = {}


def _by_spdl(sample: dict[str, Any]) -> dict[str, Any]:
    import spdl.io

    packets = spdl.io.demux_video(sample["video"])
    scale = spdl.io.get_video_filter_desc(
        scale_width=SIZE, scale_height=SIZE, scale_algo="bilinear", scale_mode=None, pix_fmt="rgb24"
    )
    frames = spdl.io.sample_decode_video(packets, indices(len(packets)), filter_desc=scale)
    video = spdl.io.to_torch(spdl.io.convert_frames(frames)).permute(0, 3, 1, 2)
    return {"id": sample["id"], "label": sample["label"], "video": video}


class Lance:
    """Lance by its map-style dataset; torchcodec decodes."""

    name = "Lance"

    def convert(self, shards: Sequence[str], folder: Path) -> None:
        import lance
        import pyarrow as pa

        rows = list(samples(shards))
        types = pa.schema([("id", pa.string()), ("label", pa.int64()), ("video", pa.large_binary())])
        table = pa.Table.from_pylist(rows, schema=types)
        lance.write_dataset(table, str(folder), max_bytes_per_file=FILE_BYTES)

    def _clips(self, place: Place) -> Any:
        from lance.torch.data import SafeLanceDataset

        options = {"storage_options": {"endpoint": place.http, "allow_http": "true"}} if place.http else {}
        return SafeLanceDataset(place.folder, dataset_options=options)

    def epoch(self, place: Place) -> Iterator[Any]:
        from lance.torch.data import get_safe_loader

        clips = self._clips(place)
        return _flat(get_safe_loader(clips, batch_size=8, num_workers=WORKERS, collate_fn=_all_decoded))

    def pick(self, place: Place) -> Callable[[int], Any]:
        clips = self._clips(place)
        return lambda index: decoded(clips[index])


def _all_decoded(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [decoded(sample) for sample in batch]


def _flat(batches: Any) -> Iterator[Any]:
    for batch in batches:
        yield from batch


class Mosaic:
    """mosaicml-streaming; torchcodec decodes."""

    name = "mosaicml-streaming"

    def convert(self, shards: Sequence[str], folder: Path) -> None:
        from streaming import MDSWriter

        columns = {"id": "str", "label": "int", "video": "bytes"}
        with MDSWriter(out=str(folder), columns=columns, size_limit=FILE_BYTES) as writer:
            for sample in samples(shards):
                writer.write(sample)

    def clips(self, place: Place) -> Any:
        from streaming import StreamingDataset

        where = {"remote": place.folder, "local": place.scratch} if place.http else {"local": place.folder}
        return StreamingDataset(**where, batch_size=1, shuffle=False, num_canonical_nodes=1)

    def epoch(self, place: Place) -> Iterator[Any]:
        for batch in self.resumable(place):
            yield {name: column[0] for name, column in batch.items()}

    def resumable(self, place: Place) -> Any:
        from streaming import StreamingDataLoader

        return StreamingDataLoader(
            self.clips(place), batch_size=1, num_workers=WORKERS, collate_fn=_batch_of_one
        )

    def pick(self, place: Place) -> Callable[[int], Any]:
        clips = self.clips(place)
        return lambda index: decoded(clips[index])


def _batch_of_one(batch: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    # its loader counts the samples of a batch by the length of a column
    return {name: [value] for name, value in decoded(batch[0]).items()}


WAYS: dict[str, Any] = {
    "emovid": EmoVid(),
    "datasets": Datasets(),
    "webdataset": WebDataset(),
    "litdata": LitData(),
    "spdl": Spdl(),
    "lance": Lance(),
    "mosaicml": Mosaic(),
}


def imported(way: Any, place: Place) -> None:
    """Import what the first sample would import, which is no latency of the store's."""
    import importlib

    modules = {
        "emovid": "emovid_dataset.read.clip_stream",
        "datasets + torchcodec": "datasets torchcodec.decoders torchvision.transforms.v2.functional",
        "webdataset + decord": "webdataset decord torch.utils.data",
        "litdata": "litdata torchcodec.decoders torchvision.transforms.v2.functional",
        "SPDL": "spdl.io spdl.pipeline torch boto3",
        "Lance": "lance.torch.data torchcodec.decoders torchvision.transforms.v2.functional",
        "mosaicml-streaming": "streaming torchcodec.decoders torchvision.transforms.v2.functional",
    }
    for module in modules[way.name].split():
        importlib.import_module(module)


def epoch(way: Any, place: Place, warm_up: int) -> dict[str, Any]:
    """Load every clip once: seconds to the first, clips per second after some, and ids."""
    imported(way, place)
    before = time.process_time()
    begun = time.perf_counter()
    ids, times = [], []
    for sample in way.epoch(place):
        times.append(time.perf_counter() - begun)
        ids.append(sample["id"])
        assert tuple(sample["video"].shape) == (FRAMES, 3, SIZE, SIZE), sample["video"].shape
    return {
        "first_seconds": times[0],
        "cpu_before": before,
        "clips_per_second": (len(times) - 1 - warm_up) / (times[-1] - times[warm_up]),
        "ids": ids,
    }


def pick(way: Any, place: Place, places: Sequence[int]) -> dict[str, Any]:
    """Load single clips by their places, in one process: seconds to open, and per clip."""
    imported(way, place)
    begun = time.perf_counter()
    one = way.pick(place)
    opened = time.perf_counter() - begun
    ids = [one(index)["id"] for index in places]
    return {
        "open_seconds": opened,
        "clip_seconds": (time.perf_counter() - begun - opened) / len(places),
        "ids": ids,
    }


def resume(way: Any, place: Place, state: str, count: int) -> dict[str, Any]:
    """Load some clips and save the state; or, where it is saved already, the rest: their ids."""
    held = way.resumable(place)
    ids: list[str] = []
    if Path(state).exists():
        import torch

        held.load_state_dict(torch.load(state, weights_only=False))
        return {"ids": [id_of(sample) for sample in held]}
    import torch

    for sample in held:
        ids.append(id_of(sample))
        if len(ids) == count:
            torch.save(held.state_dict(), state)
            break
    return {"ids": ids}


def id_of(sample: dict[str, Any]) -> str:
    """The id of a sample, or of the only one of a batch."""
    found = sample["id"]
    return found if isinstance(found, str) else str(found[0])


def main() -> None:
    way, does, given = WAYS[sys.argv[1]], sys.argv[2], json.loads(sys.argv[3])
    try:
        import torch

        torch.set_num_threads(1)
        if does == "convert":
            way.convert(given["shards"], Path(given["folder"]))
            found: dict[str, Any] = {}
        else:
            place = Place(**given.pop("place"))
            found = {"epoch": epoch, "pick": pick, "resume": resume}[does](way, place, **given)
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        if "--traceback" in sys.argv:
            raise
    print("\n" + json.dumps(found, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
