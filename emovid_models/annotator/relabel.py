"""Write a build again with the annotator's emotions."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace

from emovid_dataset.builder.index import write_card, write_metadata
from emovid_dataset.builder.shards import ShardSample, write_shard
from emovid_dataset.engine import Record
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.shard import read_samples
from emovid_dataset.report.problems import PROBLEMS_NAME
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.file_names import DATA_FOLDER, IMAGES_FOLDER, METADATA_FOLDER
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    DAMAGED_NAME,
    INFO_NAME,
    LEFT_OUT_NAME,
    MANIFEST_NAME,
    NONE_NAME,
    REJECTED_NAME,
    REMOVED_NAME,
    Manifest,
    ShardRecord,
    tables_of,
)
from emovid_dataset.schema.no_emotion import NO_EMOTION, NONE
from emovid_dataset.store import Store, is_temporary
from emovid_dataset.terminal import Progress
from emovid_models.annotator.annotations import Annotation

_UNFINISHED = ".relabelling"
"""File in a build that `relabel_build` has not finished."""
_LISTS = (NONE_NAME, LEFT_OUT_NAME, DAMAGED_NAME, PROBLEMS_NAME, REMOVED_NAME)
_FOLDERS = (DATA_FOLDER, METADATA_FOLDER, NONE, IMAGES_FOLDER)
_WRITTEN = (*_FOLDERS, MANIFEST_NAME, INFO_NAME, CARD_NAME, REJECTED_NAME, *_LISTS)


def relabel_build(
    build: str | os.PathLike[str],
    annotations: Iterable[Annotation],
    out: str | os.PathLike[str],
    *,
    keep_human: bool = False,
    progress: bool = False,
) -> Manifest:
    """Write a build again with the annotator's emotions; the videos, shards and splits stay as they are.

    The benchmark and the clips that show no specific emotion keep the labels that people gave them.

    Args:
        build: the build that was annotated.
        annotations: by clip id. A clip without one, or whose annotation failed, stays as it is.
        out: a new or empty folder, or one that an interrupted run left, which is written anew; the old build
            is not touched.
        keep_human: keep emotions that people gave and only add the probabilities to them.
        progress: show progress on stderr.

    Returns:
        The new manifest; the corpus's notes go with it.

    Raises:
        ValueError: `out` holds something, a shard is damaged, or the annotations are of other emotions.
        OSError: `out` cannot be written.
    """
    check_new_build(out)
    source = Store.find(build if "://" in os.fspath(build) else os.path.abspath(build))
    place = Store.at(out)
    manifest = read_manifest(source)
    by_id = {item.key: item for item in annotations if item.scores is not None}
    for item in by_id.values():
        if item.emotion not in manifest.taxonomy.names or len(item.scores or ()) != len(manifest.taxonomy):
            raise ValueError(
                f"the annotation of {item.key} is of other emotions ({item.emotion}, ...) than those of "
                f"{source.name}: {', '.join(manifest.taxonomy.names)}"
            )
    place.put(_UNFINISHED, b"")
    place.sweep()
    for name in _WRITTEN:
        place.clear(name) if name in _FOLDERS else place.delete(name)
    digest = _Digest()
    with Progress(len(manifest.shards), unit="shards", title="Writing", enabled=progress) as bar:

        def written() -> Iterator[Record]:
            for shard in manifest.shards:
                keep = keep_human or shard.split == BENCHMARK
                samples = _relabelled_samples(source, manifest, shard, by_id, keep)
                for record in write_shard(
                    place,
                    shard.path,
                    shard.content_type,
                    shard.split,
                    samples,
                    features=manifest.features,
                ):
                    digest.add(record)
                    yield record
                bar.update(1, shard.size)

        records = write_metadata(place, written(), manifest.features)
    # A published build lists no refusals.
    rejected = source.read(REJECTED_NAME) if source.exists(REJECTED_NAME) else b""
    place.put(REJECTED_NAME, rejected)
    manifest = _copy_others(source, place, replace(manifest, rejected=rejected.count(b"\n")))
    content = digest.hexdigest(rejected)
    settings = hashlib.sha256(f"{manifest.settings_digest}/{content}".encode()).hexdigest()
    manifest = replace(
        manifest, shards=records, source_digest=content, settings_digest=settings, complete=False
    )
    write_card(place, manifest, manifest.notes)
    manifest = replace(manifest, complete=True)
    place.put(MANIFEST_NAME, manifest.to_json().encode())
    place.delete(_UNFINISHED)
    return manifest


def _copy_others(source: Store, place: Store, manifest: Manifest) -> Manifest:
    """Copy what an annotator does not change: the clips that show no specific emotion, and the lists.

    Returns:
        The manifest, which counts no lines of lists that are not there.
    """
    for name in (*(shard.path for shard in manifest.none_shards), *tables_of(manifest.none_shards)):
        with source.local(name) as path:
            place.put(name, path)
    for name in _LISTS:
        if source.exists(name):
            place.put(name, source.read(name))
        elif name == NONE_NAME:
            manifest = replace(manifest, none_clips=0)
        elif name == LEFT_OUT_NAME and manifest.benchmark is not None:
            manifest = replace(manifest, benchmark=replace(manifest.benchmark, left_out=0))
    return manifest


def check_new_build(out: str | os.PathLike[str]) -> None:
    """Check that a build can be written there, before the work is done.

    Args:
        out: the folder for `relabel_build`.

    Raises:
        ValueError: it holds something that no interrupted `relabel_build` left there.
    """
    place = Store.at(out)
    names = {name.partition("/")[0] for name in place.list()}
    if place.folder is not None and place.folder.is_dir():
        names = set(os.listdir(place.folder))  # empty folders too
    left = {*_WRITTEN, _UNFINISHED}
    if names and not (_UNFINISHED in names and all(name in left or is_temporary(name) for name in names)):
        raise ValueError(f"{place.name} is not empty; give a new folder for the build")


class _Digest:
    """A digest of all clips that does not depend on their order, and of the refusals."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, record: Record) -> None:
        """Add a record of `write_shard`."""
        if "clip" in record:
            line = json.dumps(record["clip"], sort_keys=True, allow_nan=False).encode()
            self._sum += int.from_bytes(hashlib.sha256(line).digest(), "big")

    def hexdigest(self, rejected: bytes) -> str:
        """The digest with the refusals."""
        return hashlib.sha256(f"{self._sum:x}".encode() + rejected).hexdigest()


def _relabelled_samples(
    source: Store, manifest: Manifest, shard: ShardRecord, by_id: Mapping[str, Annotation], keep_human: bool
) -> Iterator[ShardSample]:
    with source.open(shard.path) as file:
        try:
            for key, members, _ in read_samples(file):
                clip = _relabelled(manifest.clip(json.loads(members["json"])), by_id.get(key), keep_human)
                video = members["mp4"]
                yield ShardSample(clip, len(video), lambda video=video: nullcontext(io.BytesIO(video)))  # type: ignore[misc]
        except ValueError as error:
            raise ValueError(f"{source.shown(shard.path)}: {error}") from error


def _relabelled(clip: Clip, annotation: Annotation | None, keep_human: bool) -> Clip:
    if annotation is None or annotation.emotion is None:
        return clip
    clip = replace(clip, emotion_scores=annotation.scores, caption=clip.caption or annotation.caption or "")
    # Where the annotator abstained, the label that there is stays.
    if annotation.emotion == NO_EMOTION or (keep_human and clip.emotion_source == "human"):
        return clip
    return clip.labelled(annotation.emotion, "model")
