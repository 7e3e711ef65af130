"""What a browser plays of a clip: the file itself where a shard would take it, else what a build makes of it.

So every browser can play it, whatever the source is in, and a rater sees what the data set will hold: its
frames, its colours, its background.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from emovid_dataset.label.items import RatedClip, RatedClips
from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.playable import PREVIEW, write_playable
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader

_KEPT = 64
"""So many previews lie on the disk at once, the latest."""


class NoPreviewError(Exception):
    """A clip cannot be shown; the message says why."""


class Previews:
    """Makes what is played, each clip once, and keeps the latest in a folder that goes with this object.

    Args:
        rated: the clips.

    One thread makes them: the package's encoder uses the cores, and neighbouring clips of one film share its
    index of frames.
    """

    def __init__(self, rated: RatedClips) -> None:
        self._clips = {clip.id: clip for clip in rated.clips}
        self._store = rated.store
        self._folder = TemporaryDirectory(prefix="emovid-label-", ignore_cleanup_errors=True)
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._lock = threading.Lock()
        self._made: dict[str, Future[Path]] = {}
        self._reader: tuple[str, Reader] | None = None

    def __contains__(self, clip: object) -> bool:
        return clip in self._clips

    def path(self, clip: str) -> Path:
        """The file that is played, made if it is not there yet.

        Args:
            clip: an id of a clip that is to be rated.

        Raises:
            KeyError: there is no such clip.
            NoPreviewError: it cannot be shown.
        """
        path = self._begun(clip).result()
        if path.exists():
            return path
        with self._lock:  # it was taken away, or moved: make it again
            self._made.pop(clip, None)
        return self._begun(clip).result()

    def prepare(self, clips: Iterable[str]) -> None:
        """Begin to make what will be played next."""
        for clip in clips:
            with suppress(KeyError, RuntimeError):
                self._begun(clip)

    def close(self) -> None:
        """End, and delete what was made."""
        self._maker.shutdown(wait=True, cancel_futures=True)
        self._drop_reader()
        self._folder.cleanup()

    def __enter__(self) -> Previews:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begun(self, clip: str) -> Future[Path]:
        with self._lock:
            found = self._made.get(clip)
            failed = found is not None and found.done() and found.exception() is not None
            if found is None or failed:  # what failed may be there by now
                found = self._maker.submit(self._make, self._clips[clip])
                self._made[clip] = found
                self._drop_old()
            return found

    def _drop_old(self) -> None:
        own = Path(self._folder.name)
        while len(self._made) > _KEPT and (first := next(iter(self._made))) and self._made[first].done():
            (own / f"{first}.mp4").unlink(missing_ok=True)
            del self._made[first]

    def _make(self, clip: RatedClip) -> Path:
        out = Path(self._folder.name) / f"{clip.id}.mp4"
        try:
            if clip.offset is not None and clip.size is not None:
                out.write_bytes(self._store.range(clip.path, clip.offset, clip.offset + clip.size))
                return out
            with self._store.local(clip.path) as source:
                return self._convert(clip, source, out)
        except VideoError as error:
            raise NoPreviewError(f"the video {error}") from error
        except FileNotFoundError as error:
            raise NoPreviewError("its file does not exist any more") from error
        except OSError as error:
            raise NoPreviewError(f"its file cannot be read: {error.strerror or error}") from error
        except Exception as error:  # whatever a file's content raises, the next clip is shown
            raise NoPreviewError(f"it cannot be decoded: {type(error).__name__}: {error}") from error

    def _convert(self, clip: RatedClip, source: Path, out: Path) -> Path:
        reader = self._open(clip.path, source)
        encoding = Encoding.of(reader, PREVIEW, is_whole=clip.start is None)
        if encoding.takes_file:
            if self._store.folder is not None:
                return source
            shutil.copyfile(source, out)
            return out
        unfinished = out.with_suffix(".part.mp4")
        write_playable(reader, encoding, unfinished, clip.start, clip.end)
        unfinished.replace(out)
        return out

    def _open(self, name: str, source: Path) -> Reader:
        """The reader of a file; that of a film stays open for its next clip."""
        if self._store.folder is not None and self._reader is not None and self._reader[0] == name:
            return self._reader[1]
        self._drop_reader()
        reader = Reader(source)
        self._reader = name, reader
        return reader

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None
