"""Segments of films as videos that are to be annotated: their frames, without a clip being cut.

The frames are those of the clip that a build cuts, by the same reader. A film stays open for the next segment
of it that its thread is asked for, so that it is scanned, or fetched, once.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from emovid_dataset.media.portable.pixels import rgb
from emovid_dataset.media.segment import Stretch, segment, stretch_of
from emovid_dataset.media.source import Reader, VideoError
from emovid_dataset.store import Store

_opened = threading.local()


@dataclass(frozen=True, slots=True)
class FilmFile:
    """A file of which segments are annotated.

    Attributes:
        store: where it is; None for an http(s) address, which is fetched as a whole.
        name: in the store, or the address.
        shown: names it in messages.
        version: changes when the file changes.
    """

    store: Store | None
    name: str
    shown: str
    version: str

    @contextmanager
    def local(self) -> Iterator[Path]:
        """The film as a file of this machine.

        Raises:
            OSError: it is not there, or cannot be fetched.
        """
        if self.store is None:
            from emovid_models.remote.annotator.reading import fetched

            with fetched(self.name) as path:
                yield path
            return
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self.store.local(self.name))
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{self.shown} is not a file") from error
            if not path.is_file():
                raise FileNotFoundError(f"{self.shown} is not a file")
            yield path


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that were asked for, as torchcodec's decoder gives them.

    Attributes:
        data: uint8 [height, width, 3] each.
    """

    data: list[np.ndarray]


@dataclass(frozen=True, slots=True)
class SegmentFrames:
    """The frames of a segment of a film, decoded when they are asked for.

    A pipeline takes it for a video, since it has the two methods of torchcodec's decoder that it calls.

    Attributes:
        film: the file.
        start: seconds from the film's first frame.
        end: seconds, exclusive.
    """

    film: FilmFile
    start: float
    end: float

    def __len__(self) -> int:
        """How many frames there are.

        Raises:
            ValueError: the film is not a video, is damaged, or has no frame in the segment.
            OSError: it cannot be read or fetched.
        """
        with self._stretch() as (_, stretch):
            return stretch.stop - stretch.first

    def get_frames_at(self, indices: Sequence[int]) -> Frames:
        """Decode some frames of the segment.

        Args:
            indices: counted from the segment's first frame; one may come several times.

        Raises:
            ValueError: as for the number of frames, or a frame does not decode.
            OSError: the film cannot be read or fetched.
        """
        wanted, found = set(indices), dict[int, np.ndarray]()
        with self._stretch() as (reader, stretch), closing(_pictures(reader, stretch)) as pictures:
            for place, picture in enumerate(pictures):
                if place in wanted:
                    found[place] = rgb(picture)
                    if len(found) == len(wanted):
                        break
        return Frames([found[place] for place in indices])

    @contextmanager
    def _stretch(self) -> Iterator[tuple[Reader, Stretch]]:
        try:
            reader = _open(self.film).reader
            yield reader, stretch_of(reader, self.start, self.end)
        except VideoError as error:
            raise ValueError(f"{self.film.shown} {error}") from error


def _pictures(reader: Reader, stretch: Stretch) -> Generator[av.VideoFrame, None, None]:
    for frame in segment(reader, stretch):
        assert isinstance(frame, av.VideoFrame)  # nobody asked for the sound
        yield frame


class _OpenFilm:
    """A film that a thread has open; it is closed when the thread ends or turns to another."""

    def __init__(self, film: FilmFile) -> None:
        self.film = film
        stack = ExitStack()
        self.close = weakref.finalize(self, stack.close)
        self.reader = stack.enter_context(Reader(stack.enter_context(film.local())))


def _open(film: FilmFile) -> _OpenFilm:
    held: _OpenFilm | None = getattr(_opened, "film", None)
    if held is not None and held.film == film:
        return held
    if held is not None:
        _opened.film = None
        held.close()
    _opened.film = _OpenFilm(film)
    opened: _OpenFilm = _opened.film
    return opened
