"""`VideoPlaces`: where the videos of a result may be read from, so that none publishes what is not its own.

A result may come from somebody else, and it says where its videos lie. Whoever makes a page or a study of it
publishes what lies there. So videos are read only

- inside the folder of the result, or below a folder or address that the user names;
- beside it, inside the folder that holds the result, if the file has the sha256 that the result gives:
  whoever knows that has the file already.

Links are followed before it is asked where a file lies.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Sequence
from urllib.parse import unquote

from emovid_dataset.store import joined, read_file, without_credentials
from emovid_models.evaluation.result import Result, System, Video


class VideoPlaces:
    """Where the videos of a result may be read from.

    Args:
        result: that was read or written, so that it lies somewhere.
        roots: folders and addresses that the user names.
    """

    def __init__(self, result: Result, roots: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._result = result
        own = [] if result.place is None else [result.place]
        self._trusted = [_real(os.fspath(root)) for root in (*own, *roots)]
        self._beside = [_parent(_real(place)) for place in own]

    def check(self) -> None:
        """Look at the places of all videos before any is read.

        Raises:
            ValueError: one may not be read; one line with its place.
        """
        for video in self._result.videos:
            if video.place and video.error is None:
                self._check(self._result.locate(video.place), video)

    def locate(self, system: System, video: Video) -> str:
        """Path or address of a video by the folder of its system.

        Raises:
            ValueError: it may not be read; one line with its place.
        """
        place = joined(self._result.locate(system.place), video.file)
        self._check(place, video)
        return place

    def needs_digest(self, place: str) -> bool:
        """Whether a file may be read only if it has the sha256 that the result gives."""
        return not any(_is_below(_real(place), root) for root in self._trusted)

    def read(self, video: Video) -> bytes:
        """The bytes of a video.

        Raises:
            ValueError: it may not be read, or is not the file that was judged.
            OSError: it cannot be read.
        """
        place = self._result.locate(video.place)
        self._check(place, video)
        data = read_file(place)
        if self.needs_digest(place) and hashlib.sha256(data).hexdigest() != video.sha256:
            raise ValueError(f"{video.file} is not the file that was judged")
        return data

    def _check(self, place: str, video: Video) -> None:
        real = _real(place)
        if any(_is_below(real, root) for root in self._trusted):
            return
        if video.sha256 is not None and any(_is_below(real, root) for root in self._beside):
            return
        raise ValueError(
            f"RESULT: the video {video.file} of {video.system} lies at {without_credentials(place)}, "
            "neither in the result's folder nor beside it; --videos-root DIR takes the videos below DIR"
        )


def _real(place: str) -> str:
    """A path without links, or an address without dots."""
    if "://" not in place:
        return os.path.realpath(place)
    scheme, _, rest = place.partition("://")
    return f"{scheme.lower()}://{posixpath.normpath(unquote(rest))}"


def _parent(place: str) -> str:
    """The folder that holds another; of an address not above its host or bucket."""
    if "://" not in place:
        return os.path.dirname(place)
    scheme, _, rest = place.partition("://")
    return f"{scheme}://{posixpath.dirname(rest) or rest}"


def _is_below(place: str, root: str) -> bool:
    """Whether something lies below a folder; a path never lies below an address, nor the other way round."""
    return place.startswith(root.rstrip("/") + "/")
