"""Find the file that a row of a label sheet names, and the files that no row names."""

from __future__ import annotations

import difflib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from emovid_dataset._credentials import without_credentials
from emovid_dataset.builder.sheet.rows import printable
from emovid_dataset.media.signatures import HEAD, is_video_head
from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.store import Store

_DRIVE = re.compile(r"[A-Za-z]:/|//")
"""How a path of Windows begins: a drive, or a computer of the network."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE_URL = re.compile(r"file://(?:localhost)?(?:/(?=[A-Za-z]:/)|(?=/))", re.IGNORECASE)
"""What stands before the path of a file of this machine, or before a drive of Windows."""

_COMPARED = 20
_NAMES_COMPARED = 5_000
"""For so many rows, and of so many files, a name that looks alike is sought."""

_NAMES_HELD = 200_000
"""Among so many files one with the same last part is sought, for every row."""

_NAMED = 20
"""So many files from outside the raw folder are named."""

OUTSIDE = "lies outside the raw folder"


@dataclass(frozen=True, slots=True)
class RawFiles(Store):
    """The raw folder, and files of other folders under names that begin with "+".

    Attributes:
        others: name of each other folder and where it is.
    """

    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, raw: Store, roots: Sequence[Path]) -> RawFiles:
        """The raw folder and other folders, each called after its last part."""
        taken: dict[str, str] = {}
        for root in dict.fromkeys(path.resolve() for path in roots):
            name, number = f"+{root.name}", 1
            while name in taken or (raw.folder is not None and (raw.folder / name).exists()):
                number += 1
                name = f"+{root.name}-{number}"
            taken[name] = os.fspath(root)
        return cls(raw.root, raw.token, tuple(taken.items()))

    def _on_disk(self, name: str) -> Path | None:
        first, _, rest = name.partition("/")
        for other, root in self.others:
            if other == first:
                return Store._on_disk(Store(root), rest)
        return Store._on_disk(self, name)


def raw_files(raw: str | os.PathLike[str], roots: Sequence[Path]) -> Store:
    """The raw folder, or what is below a URL, and the other folders whose files may be taken.

    Raises:
        FileNotFoundError: the folder does not exist, or there is nothing below the URL.
    """
    text = os.fspath(raw)
    if "://" not in text and not os.path.isdir(text):
        raise FileNotFoundError(f"raw folder {text} does not exist")
    found = Store.find(os.path.abspath(text) if "://" not in text else text)
    if found.folder is None and not found.root.startswith(("http://", "https://")) and not any(found.list()):
        raise FileNotFoundError(f"{found.name} holds no files, or cannot be listed")
    return RawFiles.of(found, roots) if roots else found


def is_video_name(name: str) -> bool:
    """Whether a file has the ending of a video."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def is_video(raw: Store, name: str) -> bool:
    """Whether a file has the ending of a video or, on a disk, begins like one."""
    if is_video_name(name):
        return True
    if raw.folder is None:  # to look into every file of a bucket would take hours
        return False
    try:
        with raw.local(name) as path:
            if not path.is_file():  # a pipe would be waited for
                return False
            with path.open("rb") as file:
                return is_video_head(file.read(HEAD))
    except OSError:
        return False


def unlabelled(raw: Store, knows: Callable[[str], bool]) -> Iterator[str]:
    """Video files of the raw store that no row of the sheet names, sorted; hidden folders are left out.

    Over http nobody knows: it has no listings.

    Args:
        raw: where the source files are.
        knows: whether a row names a file.
    """
    for name in raw.list() if raw.has_listings else ():
        hidden = any(part.startswith(".") for part in name.split("/")[:-1])
        if not hidden and not knows(name) and is_video(raw, name):
            yield printable(name)


class Finder:
    """Finds the files that a sheet's paths name.

    A path is looked up below the raw folder, beside the sheet, and in the working directory, in this order;
    an absolute one where it says. Either way the file must lie in the raw folder, links followed, or in a
    folder that was allowed.

    Args:
        raw: where the source files are.
        sheet: where the sheet is; None for a sheet that is not a file of this disk.
    """

    def __init__(self, raw: Store, sheet: Path | None) -> None:
        self.raw = raw
        self.root = None if raw.folder is None else raw.folder.resolve()
        self.beside = None if sheet is None else sheet.resolve().parent
        others = raw.others if isinstance(raw, RawFiles) else ()
        self.allowed = tuple((name, Path(root)) for name, root in others)
        self.here = Path.cwd().resolve()
        self.outside: list[str] = []
        self._compared = 0
        self._elsewhere: str | None = None
        self._last: tuple[str, str, list[str]] = ("", "", [])

    def remarks(self) -> Iterator[str]:
        """What a person should know of how the files were found."""
        if self._elsewhere is not None:
            yield f"paths that begin with {self._elsewhere}/ were looked up below the raw folder without it"
        if self.outside:
            folders = ", ".join(str(folder) for _, folder in self.allowed)
            names = ", ".join(map(printable, self.outside[:_NAMED]))
            more = f" and {len(self.outside) - _NAMED} more" if len(self.outside) > _NAMED else ""
            taken = f"{len(self.outside)} rows take files from outside the raw folder"
            yield f"{taken}, which --allow-root {folders} allows: {names}{more}"

    def find(self, path: str) -> str:
        """The name in the raw store of the file that a path names.

        Raises:
            ValueError: there is none, or it may not be taken; the message says where it was sought.
        """
        last, name, outside = self._last
        if path and path == last:  # segments of a film stand one below the other
            self.outside += outside
            return name
        before = len(self.outside)
        name = self._found(path)
        self._last = path, name, self.outside[before:]
        return name

    def _found(self, path: str) -> str:
        if self.root is not None and (match := _FILE_URL.match(path)):
            path = re.sub("^/+", "/", unquote(path[match.end() :]))
        elif _ADDRESS.match(path):
            return self._find_address(path)
        slashed = path.replace("\\", "/")
        if self.root is None:
            name = self._find_below(slashed)
        elif _DRIVE.match(slashed):
            name = self._find_tail(self.root, slashed)
        else:
            name = self._find_on_disk(self.root, slashed)
        return name

    def _find_address(self, address: str) -> str:
        """A file that the sheet names by its URL."""
        if self.root is not None:
            raise ValueError("is an address; download the file, or give the address of its folder as RAW")
        below, address = f"{self.raw.name.rstrip('/')}/", without_credentials(address)
        if not address.startswith(below):
            raise ValueError(f"{OUTSIDE}; RAW must be what the addresses of all files begin with")
        name = address.removeprefix(below)
        if "?" in name or "#" in name:
            raise ValueError("is an address with a query or a fragment, which are not supported")
        try:
            return self._find_below(name)
        except ValueError:
            if "%" not in name:
                raise
            return self._find_below(unquote(name))

    def _find_below(self, path: str) -> str:
        """In a store that is not a folder."""
        name = os.path.normpath(path).replace(os.sep, "/")
        if name.startswith(("/", "../")) or name == "..":
            raise ValueError(OUTSIDE)
        if not self.raw.exists(name):
            raise ValueError("does not exist")
        return name

    def _find_on_disk(self, root: Path, path: str) -> str:
        # the dots go first, so that what is checked is what is opened, whatever links do
        first = self._as_written(Path(os.path.normpath(root / path)))
        folders = [Path("/")] if path.startswith("/") else [root, self.beside or root, self.here]
        try:
            if first.is_relative_to(root) and _is_there(first):
                return self._taken(root, first)
            sought = [self._as_written(Path(os.path.normpath(folder / path))) for folder in folders]
            found = [place for place in sought if _is_there(place)]
            if found:
                return self._taken(root, next((at for at in found if at.is_relative_to(root)), found[0]))
            if not path.startswith("/") and not first.is_relative_to(root):
                raise ValueError(OUTSIDE)
            raise ValueError(self._nowhere(path))
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None

    def _find_tail(self, root: Path, path: str) -> str:
        """Of a path of another machine: what stands behind the folder that held the clips there."""
        parts = path.replace("//", "/").split("/")
        for place in range(1, len(parts)):
            folder = "/".join(parts[:place])
            if self._elsewhere not in (None, folder):
                continue
            tail = self._as_written(root / "/".join(parts[place:]))
            if os.path.lexists(tail):
                self._elsewhere = folder
                return self._taken(root, tail)
        if self._elsewhere is not None and not path.startswith(f"{self._elsewhere}/"):
            raise ValueError(f"does not lie in {self._elsewhere}, as the paths of earlier rows do")
        raise ValueError(self._nowhere(path))

    def _taken(self, root: Path, place: Path) -> str:
        """The name of a file that was found; refuses whatever leads outside, links too."""
        try:
            real = place.resolve() if place.is_symlink() else _real_folder(place.parent) / place.name
        except (OSError, RuntimeError):
            raise ValueError("is a link in a circle") from None
        if real.is_relative_to(root) and place.is_relative_to(root):
            name = place.relative_to(root).as_posix()
        elif real.is_relative_to(root):
            name = real.relative_to(root).as_posix()
        else:
            name = self._name_outside(root, place, real)
            self.outside.append(name)
        try:
            mode = real.stat().st_mode
        except FileNotFoundError:
            raise ValueError("does not exist: it is a link to nothing") from None
        if stat.S_ISDIR(mode):
            raise ValueError("is a folder")
        if not stat.S_ISREG(mode):
            raise ValueError("is not a regular file")
        return name

    def _name_outside(self, root: Path, place: Path, real: Path) -> str:
        """What a file of another folder is called; a link keeps its own name."""
        if any(real.is_relative_to(folder) for _, folder in self.allowed):
            if place.is_relative_to(root):
                return place.relative_to(root).as_posix()
            for at in (place, real):
                for name, folder in self.allowed:
                    if at.is_relative_to(folder):
                        return f"{name}/{at.relative_to(folder).as_posix()}"
        raise ValueError(f"{OUTSIDE}; --allow-root DIR takes the files of DIR too")

    def _as_written(self, place: Path) -> Path:
        """The same path in the Unicode form in which the disk has it."""
        if str(place).isascii() or os.path.lexists(place):
            return place
        at = Path(place.anchor)
        for part in place.parts[1:]:
            if not part.isascii() and not os.path.lexists(at / part):
                part = _listing(os.fspath(at)).get(unicodedata.normalize("NFC", part), part)
            at /= part
        return at

    def _nowhere(self, path: str) -> str:
        """Where a file was sought in vain, and which name looks most like it."""
        where = "here"
        if _DRIVE.match(path):
            where = "below the raw folder, whatever is left out of its path"
        elif not path.startswith("/"):
            beside = ", beside the sheet" if self.beside is not None else ""
            where = f"below the raw folder{beside} or in the working directory"
        nearest = self._nearest(path)
        return f"does not exist {where}" + ("" if nearest is None else f"; is it {printable(nearest)!r}?")

    def _nearest(self, path: str) -> str | None:
        last = path.rpartition("/")[2].lower()
        if last in self._by_last_part:
            return self._by_last_part[last]
        if (stem := PurePosixPath(last).stem) in self._by_stem:  # without its ending, or with another one
            return self._by_stem[stem]
        self._compared += 1
        names = list(self._by_last_part.values())
        if self._compared > _COMPARED or len(names) > _NAMES_COMPARED:
            return None
        return next(iter(difflib.get_close_matches(path, names, n=1)), None)

    @cached_property
    def _by_last_part(self) -> dict[str, str]:
        """Videos of the raw folder by their names without folders, in lower case."""
        names = (name for name in self.raw.list() if is_video_name(name))
        return {name.rpartition("/")[2].lower(): name for name in islice(names, _NAMES_HELD)}

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        """The same by their names without endings."""
        return {PurePosixPath(last).stem: name for last, name in self._by_last_part.items()}


def _is_there(place: Path) -> bool:
    """Whether something has this path, be it a link to nothing."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@lru_cache(maxsize=1024)
def _real_folder(folder: Path) -> Path:
    """A folder with its links followed."""
    return folder.resolve()


@lru_cache(maxsize=4)
def _listing(folder: str) -> dict[str, str]:
    """A folder's entries by their names in Unicode's composed form."""
    try:
        return {unicodedata.normalize("NFC", name): name for name in os.listdir(folder)}
    except OSError:
        return {}
