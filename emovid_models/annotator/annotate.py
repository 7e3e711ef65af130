"""Annotate many videos, interrupted and taken up again without loss.

Videos are shared out in parts on the executor; what is said about a part's videos is its ledger file, so that
after an interruption, or a power cut, the same command goes on where it was. The table is written at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset.builder.sheet import printable
from emovid_dataset.engine import (
    Executor,
    Failure,
    FailureKind,
    Part,
    Record,
    Resources,
    Serial,
    Stage,
    records,
    run_stage,
)
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import BusyError, Store, store_of
from emovid_models.annotator.annotations import (
    Annotation,
    Annotations,
    check_settings,
    stream_annotations,
    write_annotations,
)
from emovid_models.annotator.features import FeaturesFile, packed
from emovid_models.annotator.items import Item
from emovid_models.annotator.reading_limit import reading_limit
from emovid_models.annotator.taxonomy import read_settings, read_taxonomy, taxonomy_of
from emovid_models.annotator.worklist import Worklist
from emovid_models.records import folder_identity, hub_commit

if TYPE_CHECKING:
    from emovid_dataset.report.decoding_limit import DecodingLimit
    from emovid_models.remote.annotator.pipeline import VideoEmotionPipeline

_BATCHES_PER_PART = 8
_LEAST_PARTS = 64
_FRAMES = 8  # that an annotator sees whose settings do not say how many


@dataclass(frozen=True, slots=True)
class AnnotationReport:
    """What a run did.

    Attributes:
        out: the file that holds the annotations.
        videos: number of items.
        reused: how many were there from an earlier run.
        kept: rows of the file for videos that were not among the items; they come first.
        taxonomy: the emotions that the annotator tells apart.
        limit: how near the run came to reading the frames alone; None where nobody can tell.
    """

    out: str
    videos: int
    reused: int
    kept: int
    taxonomy: Taxonomy
    limit: DecodingLimit | None = None

    @property
    def annotations(self) -> Sequence[Annotation]:
        """Of every item, in order; read from the file whenever they are asked for, and not held."""
        return Annotations(self.out, self.kept, self.videos)

    @property
    def failed(self) -> tuple[Annotation, ...]:
        """Those with an error."""
        return tuple(item for item in self.annotations if item.error is not None)


def model_identity(model: str | os.PathLike[str], commit: str | None = None) -> str:
    """Names a model, to tell its results from another's: its commit, or a digest of what it answers with.

    Args:
        model: a folder or a Hub repo.
        commit: at which a Hub repo is loaded; None asks for it.

    Raises:
        OSError: there is no such repo, or its commit is not known.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{commit or hub_commit(str(model))}"
    files = [path for kind in ("*.json", "*.jinja", "*.safetensors") for path in folder.glob(kind)]
    return folder_identity(folder, files)


@dataclass(frozen=True, slots=True)
class AnnotatePart(Part):
    """Videos that one worker annotates in one go."""

    items: tuple[Item, ...] = ()
    settings: str = ""

    @classmethod
    def of(cls, items: Sequence[Item], settings: str) -> AnnotatePart:
        """The part with these videos; another file, model or setting gives another key."""
        digest = hashlib.sha256(settings.encode())
        for item in items:
            digest.update(json.dumps([item.key, item.version], allow_nan=False).encode())
        return cls(digest.hexdigest()[:32], len(items), 0.0, tuple(items), settings)

    def halves(self) -> tuple[AnnotatePart, ...]:
        """Half of the videos each."""
        middle = len(self.items) // 2
        if not middle:
            return ()
        return (
            self.of(self.items[:middle], self.settings),
            self.of(self.items[middle:], self.settings),
        )


@dataclass(frozen=True, slots=True)
class LoadedByName:
    """An annotator that every worker loads for itself, on a device of its own where there are several.

    Attributes:
        model: a folder or a Hub repo.
        device: None for a cuda device if there is one, else cpu.
        commit: at which a Hub repo is loaded; None is what its main branch is at when it is loaded.
    """

    model: str
    device: str | None = None
    commit: str | None = None

    @classmethod
    def pinned(cls, model: str | os.PathLike[str], device: str | None = None) -> LoadedByName:
        """A model as it is now: of a Hub repo the commit is looked up once, for all workers.

        Raises:
            OSError: there is no such repo, or its commit is not known.
        """
        name = os.fspath(model)
        return cls(name, device, None if Path(name).is_dir() else hub_commit(name))

    def identity(self) -> str:
        """See `model_identity`."""
        return model_identity(self.model, self.commit)

    def taxonomy(self) -> Taxonomy:
        """The emotions that it tells apart; only its settings are read.

        Raises:
            OSError: they cannot be read.
        """
        return read_taxonomy(self.model, self.commit)

    def num_frames(self) -> int:
        """Frames of a video that it sees if nobody says otherwise.

        Raises:
            OSError: its settings cannot be read.
        """
        return int(read_settings(self.model, self.commit).get("num_frames", _FRAMES))

    def load(self, worker: int | None = None, *, progress: bool = False) -> VideoEmotionPipeline:
        """Load it.

        Args:
            worker: its number chooses the device; None is the only one.
            progress: show the libraries' progress; the bars of several workers would overwrite each other.
        """
        import torch

        from emovid_models.annotator.loading import load_annotator
        from emovid_models.library_bars import library_bars

        device = self.device
        if worker is not None and device in (None, "cuda") and torch.cuda.is_available():
            device = f"cuda:{worker % torch.cuda.device_count()}"
        with library_bars("transformers", shown=progress):
            return load_annotator(self.model, revision=self.commit or "main", device=device)


class AnnotateStage(Stage[AnnotatePart, Any]):
    """Annotates videos; its records are the fields of `Annotation`.

    Args:
        items: the videos.
        annotator: a loaded pipeline, for this process alone, or how each worker loads one.
        settings: what the answers depend on, as JSON.
        ledger: folder of the ledger files.
        batch_size: videos that the model sees at once.
        num_frames: frames to look at, by default the model's.
        caption: whether to write captions too.
        features: whether to keep the videos' features too, as "features" in the records.
        abstain: see `VideoEmotionPipeline`.
    """

    name, unit, resources = "Annotating", "videos", Resources(gpu=True)
    leaves_only_records = True

    def __init__(
        self,
        items: Sequence[Item],
        annotator: VideoEmotionPipeline | LoadedByName,
        settings: str,
        ledger: str,
        *,
        batch_size: int,
        num_frames: int | None,
        caption: bool,
        features: bool = False,
        abstain: float | None = None,
    ) -> None:
        self.items: Sequence[Item] = items
        self.annotator, self.settings, self.ledger = annotator, settings, ledger
        self.batch_size, self.num_frames, self.caption = batch_size, num_frames, caption
        self.features, self.abstain = features, abstain

    def __getstate__(self) -> dict[str, Any]:
        # a worker gets its videos with each part
        return {**self.__dict__, "items": ()}

    def parts(self, store: Store) -> Iterator[AnnotatePart]:
        """Some batches each."""
        batches = min(_BATCHES_PER_PART, max(1, len(self.items) // (_LEAST_PARTS * self.batch_size)))
        size = batches * self.batch_size
        for first in range(0, len(self.items), size):
            yield AnnotatePart.of(self.items[first : first + size], self.settings)

    def setup(self, worker: int) -> Any:
        """The pipeline."""
        return self.annotator.load(worker) if isinstance(self.annotator, LoadedByName) else self.annotator

    def run(self, state: Any, part: AnnotatePart, store: Store) -> Iterator[Record]:
        """Annotate the part's videos; what cannot be decoded has an error in its place."""
        results = state(
            (item.open for item in part.items),
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            return_caption=self.caption,
            # annotators that were published before know no such option
            **({"return_features": True} if self.features else {}),
            **({} if self.abstain is None else {"abstain": self.abstain}),
        )
        for item, result in zip(part.items, results, strict=True):
            record = asdict(_annotation(item, result, taxonomy_of(state).names))
            yield {**record, "features": packed(result)} if self.features else record

    def refuse(self, part: AnnotatePart, failure: Failure) -> list[Record] | None:
        """A video that crashes the decoder has an error; what the model raises stops the run."""
        if failure.kind is not FailureKind.CRASHED:
            return None
        reason = "makes the decoder crash"
        return [
            asdict(Annotation(i.key, i.version, None, None, None, reason, i.start, i.end)) for i in part.items
        ]

    def is_whole(self, part: AnnotatePart, records: Iterable[Record], store: Store) -> bool:
        """Videos that failed are tried again."""
        return all(record["error"] is None for record in records)


def annotate(
    items: Iterable[Item],
    annotator: VideoEmotionPipeline | LoadedByName,
    out: str | os.PathLike[str],
    *,
    identity: str,
    batch_size: int = 8,
    num_frames: int | None = None,
    caption: bool = False,
    features: str | os.PathLike[str] | None = None,
    abstain: float | None = None,
    engine: Executor | None = None,
    progress: bool = False,
) -> AnnotationReport:
    """Annotate videos into a Parquet file, leaving out what is there.

    Args:
        items: the videos; listed once, and held on the disk.
        annotator: the pipeline, or for engines with workers of their own how each loads it.
        out: the Parquet file: key, version, start and end of a segment in seconds (null for whole files),
            emotion, a column of probability per emotion, caption, error. Its rows for videos that are not
            among `items` are kept.
        identity: names the model.
        batch_size: videos that the model sees at once.
        num_frames: frames to look at, by default the model's.
        caption: whether to write captions too.
        features: Parquet file for the videos' features, made in the same pass: id, version, and a float32
            vector, the mean over frames and tokens of the projector's output. Videos of `out` that it lacks
            are looked at again; its rows for other videos are kept.
        abstain: the emotion is "no specific emotion" where the likeliest one's probability is below this.
        engine: who does it, by default this process.
        progress: show progress on stderr.

    Returns:
        `AnnotationReport`. Videos that failed in an earlier run are tried again.

    Raises:
        ValueError: a file, or what an interrupted run left, is of another model or other settings, or
            another process is writing it.
        OSError: a file cannot be written.
    """
    store, name = store_of(out)
    taxonomy = annotator.taxonomy() if isinstance(annotator, LoadedByName) else taxonomy_of(annotator)
    asked: dict[str, Any] = {"model": identity, "num_frames": num_frames, "caption": caption}
    if abstain is not None:
        asked["abstain"] = abstain
    settings = json.dumps(asked, sort_keys=True, allow_nan=False)
    vectors = None if features is None else FeaturesFile.at(features, identity, num_frames)
    ledger = f".{name}.parts"
    try:
        others = nullcontext() if vectors is None else vectors.lease()
        with store.lease(f".{name}.lock", take_over=True) as lease, others:
            _check_left_over(store, f"{ledger}/settings.json", name, settings)
            earlier = stream_annotations(out, settings) if store.exists(name) else ()
            with Worklist(items, earlier, None if vectors is None else vectors.versions()) as worklist:
                stage = AnnotateStage(
                    worklist.pending,
                    annotator,
                    settings if vectors is None else f"{settings} {vectors.settings}",
                    ledger,
                    batch_size=batch_size,
                    num_frames=num_frames,
                    caption=caption,
                    features=vectors is not None,
                    abstain=abstain,
                )
                runner, begun = engine or Serial(), time.monotonic()
                counts = run_stage(stage, store, executor=runner, progress=progress, total=len(stage.items))
                seconds = time.monotonic() - begun
                lease.check()
                if vectors is not None:
                    vectors.write(records(stage, store), worklist.version)
                answers = map(Annotation.from_row, records(stage, store))
                rows = chain(worklist.others(), worklist.merged(answers))
                write_annotations(store, name, rows, settings, taxonomy.names)
                reused = worklist.done + counts.reused
                report = AnnotationReport(
                    os.fspath(out),
                    len(worklist),
                    reused,
                    worklist.kept,
                    taxonomy,
                    reading_limit(
                        worklist.pending,
                        stage,
                        runner,
                        num_frames=num_frames or _frames_of(annotator),
                        done=counts.done,
                        seconds=seconds,
                    ),
                )
            store.clear(ledger)
    except BusyError as error:
        wait = "" if store.folder is not None else ", or try again in a minute if that one was killed"
        raise ValueError(
            f"{store.shown(name)} is being written by another process; choose another --out{wait}"
        ) from error
    return report


def _frames_of(annotator: VideoEmotionPipeline | LoadedByName) -> int:
    if isinstance(annotator, LoadedByName):
        return annotator.num_frames()
    return int(getattr(getattr(annotator, "processor", None), "num_frames", _FRAMES))


def _check_left_over(store: Store, name: str, out: str, settings: str) -> None:
    """What an interrupted run left must be of the same settings; note them for the next one."""
    if store.exists(name):
        check_settings(store.shown(out), store.read(name).decode(), settings)
    else:
        store.put(name, settings.encode())


def _annotation(item: Item, result: Any, emotions: Sequence[str]) -> Annotation:
    if isinstance(result, Mapping) and "error" in result:
        # a table that may be published names the video as its input did, not by its place on this machine
        folder, named, rest = printable(result["error"]).partition(f"{item.key} ")
        is_path = named and (not folder or (folder.endswith("/") and ": " not in folder))
        reason = rest if is_path else f"{folder}{named}{rest}"
        return Annotation(item.key, item.version, None, None, None, reason, item.start, item.end)
    caption = said = None
    if isinstance(result, Mapping):
        caption, said, result = result.get("caption"), result.get("emotion"), result["emotions"]
    found = {entry["label"]: float(entry["score"]) for entry in result}
    scores = tuple(found[name] for name in emotions)
    said = said or result[0]["label"]
    return Annotation(item.key, item.version, said, scores, caption, None, item.start, item.end)
