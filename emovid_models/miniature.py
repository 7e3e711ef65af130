"""The miniature models that ship: where they lie, and how one is recognised.

`mini/` holds weights and records, no code. Stock transformers wants an annotator's code beside its weights:
in a wheel the code of `emovid_models.remote.annotator` was laid there when it was built (`setup.py`); in a
checkout both are copied to a folder of the user's cache when `emovid_models.MINI_ANNOTATOR` is asked for::

    ${XDG_CACHE_HOME:-~/.cache}/emovid/<digest of all files>/annotator

The name of the last folder is part of the model's identity. A changed file has another digest, so what is
found there is never stale; and every file is compared before the folder is handed out.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from emovid_dataset.store import Store
from emovid_models.records import weight_hashes
from emovid_models.remote.annotator import CODE

MINI = Path(__file__).parent / "mini"
"""The folder of all miniatures and of what was measured on them."""

ANNOTATOR_WEIGHTS = MINI / "annotator"
"""The annotator's weights and records; in a wheel its code too."""


def annotator_folder() -> Path:
    """The miniature annotator's folder with its code, created if missing.

    Returns:
        The package's own folder if the code lies in it, as in a wheel; else a copy in the user's cache or,
        where that cannot be written, in a temporary folder that lasts as long as this process.

    Raises:
        OSError: no folder can be written at all.

    >>> sorted(path.name for path in annotator_folder().glob("p*e.py"))
    ['pipeline.py']
    """
    if _holds(ANNOTATOR_WEIGHTS, CODE):
        return ANNOTATOR_WEIGHTS
    files = {path.name: path for path in ANNOTATOR_WEIGHTS.iterdir() if path.is_file()} | CODE
    place = Path("emovid", _digest(files), ANNOTATOR_WEIGHTS.name)
    for cache in _user_caches():
        try:
            return _assemble(cache / place, files)
        except OSError:
            continue
    return _assemble(_process_cache(os.getpid()) / place, files)


def is_miniature(folder: Path) -> bool:
    """Whether a folder holds the weights of a model that ships, wherever it lies and whatever it is called.

    Args:
        folder: any; it need not exist.
    """
    return any(_has_weights_of(shipped, folder) for shipped in sorted(MINI.iterdir()) if shipped.is_dir())


def _has_weights_of(shipped: Path, folder: Path) -> bool:
    weights = [path.relative_to(shipped) for path in sorted(shipped.rglob("*.safetensors"))]
    for name in weights:
        if not (folder / name).is_file() or (folder / name).stat().st_size != (shipped / name).stat().st_size:
            return False
    found = weight_hashes(folder, [folder / name for name in weights])
    return bool(weights) and found == weight_hashes(shipped, [shipped / name for name in weights])


def _digest(files: Mapping[str, Path]) -> str:
    """16 hexadecimal digits that stand for the names and bytes of all files."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        data = path.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _user_caches() -> Iterator[Path]:
    """The user's cache folder, if one is named or there is a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # by the XDG specification any other value is ignored
        yield Path(named)
        return
    try:
        yield Path.home() / ".cache"
    except RuntimeError:
        return


@functools.cache
def _process_cache(process: int) -> Path:
    """A private folder that this process removes when it ends.

    Args:
        process: its id, so that a forked child has a folder of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="emovid-"))

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _assemble(folder: Path, files: Mapping[str, Path]) -> Path:
    """Make a folder hold these files and no others, whoever else is doing the same.

    Args:
        folder: appears whole or not at all; one that is damaged is mended, file by file.
        files: by name.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be written.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        try:
            for name, path in files.items():
                shutil.copyfile(path, temporary / name)
            temporary.rename(folder)
        except OSError:
            # Another process may have been first; whose folder it is makes no difference.
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if not _holds(folder, files):
        store = Store.at(folder)
        for name, path in files.items():
            store.put(name, path)
    for path in folder.iterdir():
        if path.name not in files and path.is_file():
            path.unlink(missing_ok=True)  # another .json would be another model
    return folder


def _holds(folder: Path, files: Mapping[str, Path]) -> bool:
    """Whether each of these files lies in a folder, byte for byte."""
    for name, path in files.items():
        try:
            if (folder / name).read_bytes() != path.read_bytes():
                return False
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return False
    return True
