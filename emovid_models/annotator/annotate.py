"""Annotate many videos: a folder, a build or a list; interrupted and taken up again without loss.

Every result is appended to a journal beside the output and is on the disk before the next batch is shown, so
that after an interruption, or a power cut, the same command goes on where it was. The table is written at the
end, under a temporary name, and renamed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset.builder.sheet import printable
from emovid_dataset.locks import hold
from emovid_dataset.media.video import SUFFIXES
from emovid_dataset.read.loading import select
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.manifest import (
    MANIFEST_NAME,
    write_atomic,
)
from emovid_dataset.terminal import Progress
from emovid_models.records import folder_identity

if TYPE_CHECKING:
    from emovid_models.remote.annotator.pipeline import VideoEmotionPipeline

_SETTINGS = b"emovid_annotation"


@dataclass(frozen=True, slots=True)
class Item:
    """A video that is to be annotated.

    Attributes:
        key: its path or address as given; in a build the clip's id.
        version: changes when the file changes, so that its result is not taken for the new one's.
        open: returns a path, an address or bytes; called when it is the video's turn.
    """

    key: str
    version: str
    open: Callable[[], str | bytes]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the annotator says about a video.

    Attributes:
        key: of the `Item`.
        version: of the `Item`.
        emotion: the likeliest; None where it failed.
        scores: eight probabilities in the order of `EMOTIONS`; None where it failed.
        caption: None unless captions were asked for.
        error: why it failed, in one line; None where it did not.
    """

    key: str
    version: str
    emotion: str | None
    scores: tuple[float, ...] | None
    caption: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class AnnotationReport:
    """What a run did.

    Attributes:
        annotations: of every item, in order.
        reused: how many were there from an earlier run.
    """

    annotations: tuple[Annotation, ...]
    reused: int

    @property
    def failed(self) -> tuple[Annotation, ...]:
        """Those with an error."""
        return tuple(item for item in self.annotations if item.error is not None)


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """List the videos of an input.

    Args:
        source: a build (its folder, or a Hub repo as ``hf://datasets/owner/name`` or ``hf://owner/name``,
            either with ``@revision``); a folder of videos, or of a build's shards, searched with its
            subfolders; a list (.txt with a path or an address a line, or .csv with a column "path"); or one
            video file. Paths in a list are relative to it.

    Returns:
        The items, each key once; in a build in the order of the shards, else as listed or by name.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it holds no video, or a shard is damaged or of another layout.
    """
    text = str(source)
    if text.startswith("hf://"):
        return _clips("hf://datasets/" + text.removeprefix("hf://").removeprefix("datasets/"))
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"input {text} does not exist")
    if path.is_dir():
        if (path / MANIFEST_NAME).is_file():
            return _clips(path)
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        items = [_file(file.relative_to(path).as_posix(), file) for file in files]
        if not items:
            items = _shards(path)
    elif path.suffix.lower() in (".txt", ".csv"):
        items = [_listed(entry, path.parent) for entry in dict.fromkeys(_read_list(path))]
    else:
        items = [_file(path.name, path)]
    if not items:
        raise ValueError(f"input {text} holds no video; endings: {' '.join(sorted(SUFFIXES))}")
    return items


def _clips(source: str | os.PathLike[str]) -> list[Item]:
    selection = select(source)

    def opener(index: int) -> Callable[[], bytes]:
        return lambda: selection[index].video

    return [Item(clip.id, clip.sha256, opener(index)) for index, clip in enumerate(selection.clips)]


def _shards(folder: Path) -> list[Item]:
    """The clips of shards without their manifest, as when only some of a build's files were downloaded."""

    def opener(shard: Path, offset: int, clip: Clip, size: int) -> Callable[[], bytes]:
        def read() -> bytes:
            with shard.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
            if hashlib.sha256(data).hexdigest() != clip.sha256:
                raise OSError(f"{shard}: clip {clip.id} differs from its sha256")
            return data

        return read

    items: dict[str, Item] = {}
    for shard in sorted(folder.rglob("*.tar")):
        try:
            with shard.open("rb") as file:
                for _, members, offset in read_samples(file):
                    clip = Clip.from_mapping(json.loads(members["json"]))
                    read = opener(shard, offset, clip, len(members["mp4"]))
                    items.setdefault(clip.id, Item(clip.id, clip.sha256, read))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{shard} is no shard of a build: {error}") from error
    return list(items.values())


def _file(key: str, path: Path) -> Item:
    try:
        status = path.stat()
        version = f"{status.st_size}-{status.st_mtime_ns}"
    except OSError:
        version = "missing"  # and its error is given in its place
    return Item(_unicode(key), version, lambda: str(path))


def _unicode(name: str) -> str:
    r"""A file's name as Parquet can hold it: bytes that are no UTF-8 become escapes.

    >>> _unicode("caf\udce9.mp4")
    'caf\\xe9.mp4'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _listed(entry: str, folder: Path) -> Item:
    if entry.startswith(("http://", "https://")):
        return Item(entry, "", lambda: entry)
    return _file(entry, folder / entry)


def _read_list(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if path.suffix.lower() == ".txt":
        yield from (line.strip() for line in text.split("\n") if line.strip())
        return
    rows = csv.DictReader(io.StringIO(text))
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{path} has no column 'path'; it has: {', '.join(rows.fieldnames or ())}")
    yield from (row["path"].strip() for row in rows if (row["path"] or "").strip())


def model_identity(model: str | os.PathLike[str], annotator: VideoEmotionPipeline) -> str:
    """Names a model, to tell its results from another's: its commit, or a digest of what it answers with."""
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{getattr(annotator.model.config, '_commit_hash', None)}"
    files = [path for kind in ("*.json", "*.jinja", "*.safetensors") for path in folder.glob(kind)]
    return folder_identity(folder, files)


def annotate(
    items: Sequence[Item],
    annotator: VideoEmotionPipeline,
    out: str | os.PathLike[str],
    *,
    identity: str,
    batch_size: int = 8,
    num_frames: int | None = None,
    caption: bool = False,
    progress: bool = False,
) -> AnnotationReport:
    """Annotate videos into a Parquet file, leaving out what is there.

    Args:
        items: the videos.
        annotator: the pipeline.
        out: the Parquet file: key, version, emotion, one column of probability an emotion, caption, error.
            Its rows for videos that are not among `items` are kept.
        identity: names the model.
        batch_size: videos that the model sees at once.
        num_frames: frames to look at, by default the model's.
        caption: whether to write captions too.
        progress: show progress on stderr.

    Returns:
        `AnnotationReport`. Videos that failed in an earlier run are tried again.

    Raises:
        ValueError: the file, or the journal of an interrupted run, is of another model or other settings, or
            another process is writing it.
        OSError: the file cannot be written.
    """
    out = Path(out)
    settings = json.dumps({"model": identity, "num_frames": num_frames, "caption": caption}, sort_keys=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _Journal(out.with_name(out.name + ".journal"), settings) as journal:
        earlier = {item.key: item for item in read_annotations(out, settings)} if out.exists() else {}
        earlier.update({item.key: item for item in journal.read()})
        versions = {item.key: item.version for item in items}
        done = {
            key: result
            for key, result in earlier.items()
            if key in versions and result.error is None and result.version == versions[key]
        }
        todo = [item for item in items if item.key not in done]
        reused = len(items) - len(todo)
        with Progress(len(items), unit="videos", title="Annotating", enabled=progress) as bar:
            bar.update(reused)
            results = annotator(
                (item.open for item in todo),
                batch_size=batch_size,
                num_frames=num_frames,
                return_caption=caption,
            )
            for count, (item, result) in enumerate(zip(todo, results, strict=True), 1):
                done[item.key] = _annotation(item, result)
                journal.write(done[item.key])
                if count % batch_size == 0 or count == len(todo):
                    journal.sync()
                bar.update()
        kept = [result for key, result in earlier.items() if key not in versions]
        annotations = tuple(done[item.key] for item in items)
        _write_table(out, [*kept, *annotations], settings)
        journal.remove()
    return AnnotationReport(annotations, reused)


def _annotation(item: Item, result: Any) -> Annotation:
    if isinstance(result, Mapping) and "error" in result:
        return Annotation(item.key, item.version, None, None, None, printable(result["error"]))
    caption = None
    if isinstance(result, Mapping):
        caption, result = result["caption"], result["emotions"]
    found = {entry["label"]: float(entry["score"]) for entry in result}
    scores = tuple(found[name] for name in EMOTIONS)
    return Annotation(item.key, item.version, result[0]["label"], scores, caption, None)


class _Journal:
    """Results on their way into the output, a line each below the settings; one run at a time holds it.

    The lock goes with the process. A journal to which nothing was written is taken away.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self.path, self.settings = path, settings

    def __enter__(self) -> _Journal:
        while True:
            self._file = self.path.open("a+b")
            try:
                hold(self._file)
                if os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                    return self
            except BlockingIOError as error:
                self._file.close()
                raise ValueError(
                    f"{self.path.with_suffix('')} is being written by another process; choose another --out"
                ) from error
            except FileNotFoundError:
                pass
            # The run that held it has finished meanwhile and taken it away.
            self._file.close()

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.flush()
            if not os.fstat(self._file.fileno()).st_size:
                self.remove()

    def read(self) -> Iterator[Annotation]:
        """What an interrupted run left; a half-written last line is dropped.

        Raises:
            ValueError: it was written with other settings.
        """
        self._file.seek(0)
        text = self._file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._file.truncate(len(text))
        lines = text.decode().split("\n")[:-1]
        if lines:
            _check_settings(self.path, lines[0], self.settings)
        else:
            self._file.write(self.settings.encode() + b"\n")
        for line in lines[1:]:
            yield _from_row(json.loads(line))

    def write(self, annotation: Annotation) -> None:
        self._file.write(json.dumps(asdict(annotation)).encode() + b"\n")

    def sync(self) -> None:
        """Have it on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _from_row(row: Mapping[str, Any]) -> Annotation:
    scores = row["scores"]
    return Annotation(
        row["key"],
        row["version"],
        row["emotion"],
        None if scores is None else tuple(scores),
        row["caption"],
        row["error"],
    )


def _check_settings(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise ValueError(f"{path} holds annotations with {found}, not {wanted}; choose another --out")


def _write_table(out: Path, annotations: Iterable[Annotation], settings: str) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds: list[tuple[str, Any]] = [(name, pyarrow.string()) for name in ("key", "version", "emotion")]
    kinds += [(name, pyarrow.float64()) for name in EMOTIONS]
    kinds += [(name, pyarrow.string()) for name in ("caption", "error")]
    rows = []
    for item in annotations:
        row = {name: getattr(item, name) for name in ("key", "version", "emotion", "caption", "error")}
        row.update(
            dict.fromkeys(EMOTIONS) if item.scores is None else dict(zip(EMOTIONS, item.scores, strict=True))
        )
        rows.append(row)
    schema = pyarrow.schema(kinds, metadata={_SETTINGS: settings.encode()})
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), sink)
    write_atomic(out, sink.getvalue().to_pybytes())


def read_annotations(path: str | os.PathLike[str], settings: str | None = None) -> list[Annotation]:
    """Read what `annotate` wrote.

    Args:
        path: the Parquet file.
        settings: if given, what it must have been written with.

    Raises:
        ValueError: it is no such file, or was written with other settings.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, partitioning=None)
        found = (table.schema.metadata or {})[_SETTINGS].decode()
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise ValueError(f"{path} is not a file of annotations") from error
    if settings is not None:
        _check_settings(Path(path), found, settings)
    rows = []
    for row in table.to_pylist():
        scores = tuple(row[name] for name in EMOTIONS)
        rows.append(_from_row({**row, "scores": None if row["emotion"] is None else scores}))
    return rows
