"""The emotion of films over time: a table of windows, and the sheet of the stretches that they make.

A film is one part on the executor: it is decoded once, its windows are its ledger file, and after an
interruption the same command goes on with the films that are left.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.schema.portable.norms import expected_norms
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import BusyError, Store, store_of
from emovid_models.annotator.annotate import LoadedByName
from emovid_models.annotator.annotations import check_settings
from emovid_models.annotator.items import Item
from emovid_models.annotator.taxonomy import taxonomy_of
from emovid_models.remote.annotator.timeline import EmotionStretch, stretches

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

    from emovid_models.remote.annotator.pipeline import VideoEmotionPipeline

_SETTINGS = b"emovid_timeline"
_NORMS = ("valence", "arousal")
SHEET_COLUMNS = ("path", "start", "end", "emotion", "emotion_source", "emotion_scores")
"""Columns of the sheet of stretches, which `emovid build` and `emovid label` take."""


@dataclass(frozen=True, slots=True)
class FilmTimeline:
    """What is known of one film.

    Attributes:
        film: its key, see `Item`.
        windows: start and end of each in seconds, ascending; none where the film failed.
        scores: for each window a probability of every emotion, or None where it failed.
        errors: for each window why it failed, or None.
        error: why the film failed, in one line; None where it did not.
    """

    film: str
    windows: tuple[tuple[float, float], ...]
    scores: tuple[tuple[float, ...] | None, ...]
    errors: tuple[str | None, ...]
    error: str | None

    def stretches(self, least: float) -> list[EmotionStretch]:
        """The stretches of one emotion each, of at least so many seconds, see `stretches`."""
        return stretches(self.windows, self.scores, least=least) if self.windows else []


@dataclass(frozen=True, slots=True)
class TimelineReport:
    """What a run did.

    Attributes:
        out: the table.
        taxonomy: the emotions that the annotator tells apart.
        films: keys of the films that were asked for, in order.
        reused: how many were there from an earlier run.
        window: seconds of each window.
        abstain: below which mean probability a stretch has no specific emotion; None is never.
    """

    out: str
    taxonomy: Taxonomy
    films: tuple[str, ...]
    reused: int
    window: float
    abstain: float | None

    def timelines(self) -> Iterator[FilmTimeline]:
        """Each film of the run, in order; read from the table, one at a time."""
        wanted = set(self.films)
        for timeline in read_timelines(self.out):
            if timeline.film in wanted:
                yield timeline

    def emotion(self, stretch: EmotionStretch) -> str:
        """What a stretch shows, in words."""
        is_sure = self.abstain is None or stretch.score >= self.abstain
        return self.taxonomy.names[stretch.label] if is_sure else NO_EMOTION


@dataclass(frozen=True, slots=True)
class TimelinePart(Part):
    """A film."""

    item: Item | None = None

    @classmethod
    def of(cls, item: Item, settings: str) -> TimelinePart:
        """The part of a film; another file, model or setting gives another key."""
        text = json.dumps([settings, item.key, item.version], allow_nan=False)
        return cls(hashlib.sha256(text.encode()).hexdigest()[:32], 1, 0.0, item)


class TimelineStage(Stage[TimelinePart, Any]):
    """Annotates films window by window; its records are rows of the table.

    Args:
        items: the films.
        annotator: a loaded pipeline, for this process alone, or how each worker loads one.
        settings: what the answers depend on, as JSON.
        ledger: folder of the ledger files.
        options: of the pipeline's calls.
    """

    name, unit, resources = "Annotating", "films", Resources(gpu=True)
    leaves_only_records = True

    def __init__(
        self,
        items: Sequence[Item],
        annotator: VideoEmotionPipeline | LoadedByName,
        settings: str,
        ledger: str,
        options: Mapping[str, Any],
    ) -> None:
        self.items: Sequence[Item] = items
        self.annotator, self.settings, self.ledger, self.options = annotator, settings, ledger, options

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "items": ()}  # a worker gets its film with each part

    def parts(self, store: Store) -> Iterator[TimelinePart]:
        """One of each film."""
        for item in self.items:
            yield TimelinePart.of(item, self.settings)

    def setup(self, worker: int) -> Any:
        """The pipeline."""
        return self.annotator.load(worker) if isinstance(self.annotator, LoadedByName) else self.annotator

    def run(self, state: Any, part: TimelinePart, store: Store) -> Iterator[Record]:
        """Annotate a film; one that cannot be decoded is one row with an error."""
        assert part.item is not None
        found = state(part.item.open, timeline=True, top_k=None, **self.options)
        if "error" in found:
            yield _row(part.item, found["error"])
            return
        names = taxonomy_of(state).names
        for window in found["windows"]:
            shares = {entry["label"]: entry["score"] for entry in window.get("emotions", ())}
            scores = [shares[name] for name in names] if shares else None
            yield _row(part.item, window.get("error"), window["start"], window["end"], scores)

    def refuse(self, part: TimelinePart, failure: Failure) -> list[Record] | None:
        """A film that crashes the decoder has an error; what the model raises stops the run."""
        if failure.kind is not FailureKind.CRASHED or part.item is None:
            return None
        return [_row(part.item, "makes the decoder crash")]

    def is_whole(self, part: TimelinePart, records: Iterable[Record], store: Store) -> bool:
        """Films that failed are tried again."""
        return all(record["start"] is not None for record in records)


def _row(
    item: Item,
    error: str | None,
    start: float | None = None,
    end: float | None = None,
    scores: list[float] | None = None,
) -> dict[str, Any]:
    place = {"film": item.key, "version": item.version, "start": start, "end": end}
    return {**place, "scores": scores, "error": error}


def annotate_timeline(
    items: Iterable[Item],
    annotator: VideoEmotionPipeline | LoadedByName,
    out: str | os.PathLike[str],
    *,
    identity: str,
    window: float,
    stride: float,
    batch_size: int = 8,
    num_frames: int | None = None,
    abstain: float | None = None,
    engine: Executor | None = None,
    progress: bool = False,
) -> TimelineReport:
    """Annotate films window by window into a Parquet file, leaving out the films that are there.

    Args:
        items: the films.
        annotator: the pipeline, or for engines with workers of their own how each loads it.
        out: the Parquet file: film, version, start and end of a window in seconds, emotion (the likeliest), a
            column of probability per emotion, valence and arousal where they are known, error. Its rows for
            films that are not among `items` are kept.
        identity: names the model.
        window: seconds of each window; a shorter film is one window.
        stride: seconds from the start of a window to that of the next.
        batch_size: windows that the model sees at once.
        num_frames: frames to look at in each window, by default the model's.
        abstain: a stretch whose mean probability is below this has no specific emotion.
        engine: who does it, by default this process.
        progress: show progress on stderr.

    Returns:
        `TimelineReport`. Films that failed in an earlier run are tried again.

    Raises:
        ValueError: the file, or what an interrupted run left, is of another model or other settings, another
            process is writing it, or an item is a segment of a film.
        OSError: a file cannot be written.
    """
    store, name = store_of(out)
    taxonomy = annotator.taxonomy() if isinstance(annotator, LoadedByName) else taxonomy_of(annotator)
    asked = {"model": identity, "num_frames": num_frames, "window": window, "stride": stride}
    settings = json.dumps(asked, sort_keys=True, allow_nan=False)
    films = {item.key: item for item in items}
    check_films(films.values())
    options = {"window": window, "stride": stride, "batch_size": batch_size, "num_frames": num_frames}
    ledger = f".{name}.parts"
    try:
        with store.lease(f".{name}.lock"), ExitStack() as stack:
            earlier = stack.enter_context(_open_table(store, name, settings)) if store.exists(name) else None
            there = {} if earlier is None else earlier.groups()
            done = {key for key, item in films.items() if key in there and there[key][0] == item.version}
            pending = [item for key, item in films.items() if key not in done]
            stage = TimelineStage(pending, annotator, settings, ledger, options)
            counts = run_stage(
                stage, store, executor=engine or Serial(), progress=progress, total=len(pending)
            )
            with _writing(store, name, settings, taxonomy) as writer:
                for key, (_, groups) in there.items():
                    if key not in films and earlier is not None:
                        writer.copy(earlier, groups)
                made = _by_film(records(stage, store))
                for key in films:
                    if key in done and earlier is not None:
                        writer.copy(earlier, there[key][1])
                    else:
                        writer.write(next(made))
            store.clear(ledger)
    except BusyError as error:
        raise ValueError(
            f"{store.shown(name)} is being written by another process; choose another --out"
        ) from error
    return TimelineReport(os.fspath(out), taxonomy, tuple(films), len(done) + counts.reused, window, abstain)


def check_films(items: Iterable[Item]) -> None:
    """Refuse segments of films, which are labelled as a whole and not window by window.

    Raises:
        ValueError: one of them is a segment.
    """
    for item in items:
        if item.start is not None:
            raise ValueError(f"--timeline takes whole films, but the list names the segment {item.key}")


def _by_film(rows: Iterable[Record]) -> Iterator[list[Record]]:
    held: list[Record] = []
    for row in rows:
        if held and held[0]["film"] != row["film"]:
            yield held
            held = []
        held.append(row)
    if held:
        yield held


class _Table:
    """An earlier table: each film is a group of rows."""

    def __init__(self, file: parquet.ParquetFile) -> None:
        self.file = file

    def groups(self) -> dict[str, tuple[str | None, list[int]]]:
        """By film its version, None for one that failed, and the groups of rows that hold it."""
        found: dict[str, tuple[str | None, list[int]]] = {}
        for group in range(self.file.num_row_groups):
            rows = self.file.read_row_group(group, columns=["film", "version", "start"]).slice(0, 1)
            for row in rows.to_pylist():
                version = None if row["start"] is None else row["version"]
                found.setdefault(row["film"], (version, []))[1].append(group)
        return found


class _Writer:
    def __init__(self, file: parquet.ParquetWriter, schema: pyarrow.Schema, emotions: Sequence[str]) -> None:
        self._file, self._schema, self._emotions = file, schema, emotions

    def copy(self, table: _Table, groups: Iterable[int]) -> None:
        """Take over a film of an earlier table."""
        for group in groups:
            self._file.write_table(table.file.read_row_group(group).cast(self._schema))

    def write(self, rows: Sequence[Record]) -> None:
        """Write a film, as a group of rows."""
        import pyarrow

        table = pyarrow.Table.from_pylist([self._told(row) for row in rows], schema=self._schema)
        self._file.write_table(table, row_group_size=max(1, len(rows)))

    def _told(self, row: Record) -> dict[str, Any]:
        told = {name: row[name] for name in ("film", "version", "start", "end", "error")}
        if row["scores"] is not None:
            shares = dict(zip(self._emotions, row["scores"], strict=True))
            told |= {"emotion": max(shares, key=lambda name: shares[name]), **shares}
            told |= dict(zip(_NORMS, expected_norms(shares) or (), strict=False))
        return {key: value for key, value in told.items() if key in self._schema.names}


@contextmanager
def _writing(store: Store, name: str, settings: str, taxonomy: Taxonomy) -> Iterator[_Writer]:
    import pyarrow
    from pyarrow import parquet

    known = expected_norms(dict.fromkeys(taxonomy.names, 0.0)) is not None
    kinds: list[tuple[str, Any]] = [("film", pyarrow.string()), ("version", pyarrow.string())]
    kinds += [("start", pyarrow.float64()), ("end", pyarrow.float64()), ("emotion", pyarrow.string())]
    kinds += [(column, pyarrow.float64()) for column in (*taxonomy.names, *(_NORMS if known else ()))]
    schema = pyarrow.schema([*kinds, ("error", pyarrow.string())], metadata={_SETTINGS: settings.encode()})
    with store.create(name) as file, parquet.ParquetWriter(file, schema) as writer:
        yield _Writer(writer, schema, taxonomy.names)


@contextmanager
def _open_table(store: Store, name: str, settings: str | None = None) -> Iterator[_Table]:
    import pyarrow
    from pyarrow import parquet

    with ExitStack() as stack:
        try:
            file = stack.enter_context(parquet.ParquetFile(stack.enter_context(store.local(name))))
            found = (file.schema_arrow.metadata or {})[_SETTINGS].decode()
        except (pyarrow.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{store.shown(name)} is not a table of timelines") from error
        if settings is not None:
            check_settings(store.shown(name), found, settings)
        yield _Table(file)


def read_timelines(path: str | os.PathLike[str]) -> Iterator[FilmTimeline]:
    """Read what `annotate_timeline` wrote, a film at a time.

    Args:
        path: the Parquet file, by path or URL.

    Raises:
        ValueError: it is no such file.
    """
    store, name = store_of(path, to_read=True)
    own = {"film", "version", "start", "end", "emotion", "error", *_NORMS}
    with _open_table(store, name) as table:
        emotions = [column for column in table.file.schema_arrow.names if column not in own]
        for key, (_, groups) in table.groups().items():
            rows = [row for group in groups for row in table.file.read_row_group(group).to_pylist()]
            whole = [row for row in rows if row["start"] is not None]
            yield FilmTimeline(
                film=key,
                windows=tuple((row["start"], row["end"]) for row in whole),
                scores=tuple(
                    None if row["emotion"] is None else tuple(row[emotion] for emotion in emotions)
                    for row in whole
                ),
                errors=tuple(row["error"] for row in whole),
                error=None if whole else rows[0]["error"],
            )


def write_sheet(report: TimelineReport, path: str | os.PathLike[str]) -> int:
    """Write the stretches as a label sheet: path, start, end, emotion, who says so, mean probabilities.

    Args:
        report: of the run.
        path: the CSV file, by path or URL.

    Returns:
        How many stretches there are.

    Raises:
        OSError: it cannot be written.
    """
    text, count = io.StringIO(), 0
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(SHEET_COLUMNS)
    for timeline in report.timelines():
        for one in timeline.stretches(report.window):
            scores = json.dumps([round(score, 6) for score in one.scores], allow_nan=False)
            times = f"{one.start:.3f}", f"{one.end:.3f}"
            rows.writerow([timeline.film, *times, report.emotion(one), "model", scores])
            count += 1
    store, name = store_of(path)
    store.put(name, text.getvalue().encode())
    return count
