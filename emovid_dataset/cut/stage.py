"""Cutting as a stage: a film is a part, and its clips are the records of its ledger file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.cut.detect import Detection
from emovid_dataset.cut.films import Film
from emovid_dataset.cut.measure import Measures, measure
from emovid_dataset.cut.propose import propose
from emovid_dataset.cut.records import CutSettings, FilmCut, FilmFacts, ProposedClip
from emovid_dataset.cut.speech import Speech
from emovid_dataset.cut.thumbnails import Thumbnails
from emovid_dataset.engine import Failure, FailureKind, Part, Record, Resources, Stage
from emovid_dataset.engine.base import one_line
from emovid_dataset.media.source import Reader, Source, VideoError
from emovid_dataset.store import Store

_STEPS = 600
"""Of the picture of a film's sound."""


@dataclass(frozen=True, slots=True)
class CutPart(Part):
    """A film that one worker cuts."""

    film: Film | None = None

    @classmethod
    def of(cls, film: Film, settings: CutSettings) -> CutPart:
        """The part of a film; another file or setting gives another key."""
        asked = "\0".join((settings.identity(), film.store.url(film.name), film.version))
        return cls(
            hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:32], 1, film.size, film
        )


class CutStage(Stage[CutPart, None]):
    """Cuts films; the records of each are its facts or its error, then its clips.

    Args:
        films: to be cut.
        settings: how.
        ledger: folder of the ledger files.
        threads: that decode one film.
    """

    name, unit = "Cutting", "films"
    leaves_only_records = True

    def __init__(
        self, films: Sequence[Film], settings: CutSettings, ledger: str, *, threads: int = 1
    ) -> None:
        self.films: Sequence[Film] = films
        self.settings, self.ledger, self.threads = settings, ledger, threads
        self.resources = Resources()

    def __getstate__(self) -> dict[str, Any]:
        # a worker gets its film with each part
        return {**self.__dict__, "films": ()}

    def parts(self, store: Store) -> Iterator[CutPart]:
        """One for each film."""
        return (CutPart.of(film, self.settings) for film in self.films)

    def run(self, state: None, part: CutPart, store: Store) -> Iterator[Record]:
        """Cut the film; one that cannot be read has an error."""
        film = part.film
        assert film is not None
        try:
            with film.store.local(film.name) as path:
                cut = cut_film(path, self.settings, film.path, threads=self.threads)
        except (VideoError, FileNotFoundError, PermissionError, IsADirectoryError) as error:
            yield {"error": _reason(error)}
            return
        assert cut.facts is not None
        yield {"facts": asdict(cut.facts)}
        for clip in cut.clips:
            yield asdict(clip)

    def refuse(self, part: CutPart, failure: Failure) -> list[Record] | None:
        """A film that crashes the decoder has an error."""
        return [{"error": "makes the decoder crash"}] if failure.kind is FailureKind.CRASHED else None

    def is_whole(self, part: CutPart, records: Iterable[Record], store: Store) -> bool:
        """Films that could not be read are tried again."""
        return all("error" not in record for record in records)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return one_line(text) or type(error).__name__


def from_records(path: str, records: Iterable[Record]) -> FilmCut:
    """The film of which `CutStage` made these records."""
    first, *rest = records
    if "error" in first:
        return FilmCut(path, None, error=str(first["error"]))
    facts = {**first["facts"], "waveform": tuple(first["facts"]["waveform"])}
    return FilmCut(path, FilmFacts(**facts), tuple(ProposedClip.from_record(record) for record in rest))


def cut_film(source: Source, settings: CutSettings, name: str = "", *, threads: int = 1) -> FilmCut:
    """Cut one film.

    Args:
        source: a path, or bytes.
        settings: how.
        name: of the film in the sheet.
        threads: that decode.

    Returns:
        Its facts and clips; near-duplicates are not told apart yet.

    Raises:
        VideoError: it is not a video, or no frame of it decodes.
        OSError: it cannot be read.
    """
    with _in_one_thread(), Thumbnails() as thumbnails, Speech() as speech:
        # the film is closed before the network is loaded: of two hours its list of packets alone is large
        measures, detection, has_sound = _looked_at(source, settings, thumbnails, speech, threads)
        transitions = detection.transitions(measures)
        clips = propose(measures, transitions, settings)
        duration = float(measures.times[-1])
        facts = FilmFacts(
            path=name,
            width=measures.width,
            height=measures.height,
            fps=measures.fps,
            frames=measures.frames,
            duration=duration,
            shots=len({clip.shot for clip in clips if clip.shot >= 0}),
            cuts=sum(item.is_cut for item in transitions),
            gradual=sum(not item.is_cut for item in transitions),
            asked=detection.asked,
            waveform=speech.waveform(duration, _STEPS) if settings.pictures and has_sound else (),
        )
    return FilmCut(name, facts, tuple(clips))


@contextmanager
def _in_one_thread() -> Iterator[None]:
    """Keep OpenCV from sharing out pictures so small that its threads wait for longer than they work."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _looked_at(
    source: Source, settings: CutSettings, thumbnails: Thumbnails, speech: Speech, threads: int
) -> tuple[Measures, Detection, bool]:
    """Go once through a film; whether it has sound."""
    with Reader(source, threads=threads, quick=True) as reader:
        detection = Detection(settings.detector, reader.info.fps)
        has_sound = reader.sound is not None
        measures = measure(
            reader,
            thumbnails,
            detection.watchers,
            speech if has_sound else None,
            pictures=settings.pictures,
        )
    return measures, detection, has_sound
