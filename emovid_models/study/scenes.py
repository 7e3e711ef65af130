"""What several systems made of the same prompts and seeds, read from folders of videos and from results."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from emovid_dataset.store import Store, without_credentials
from emovid_models.evaluation.intended import INTENDED_NAME, read_intended
from emovid_models.evaluation.result import RESULT_NAME, read_result
from emovid_models.evaluation.video_places import VideoPlaces

_MOST_SYSTEMS = 26


@dataclass(frozen=True, slots=True)
class Footage:
    """A video of a system.

    Attributes:
        folder: of the system.
        file: in it, with slashes.
        sha256: that the file must have; None where any may lie there.
    """

    folder: Store
    file: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Footages:
    """A scene as every system made it.

    Attributes:
        prompt: in words, "" if unknown.
        emotion: that was asked for.
        seed: of the noise, None if unknown.
        videos: by system.
        missing: by system why it has no video.
    """

    prompt: str
    emotion: str
    seed: int | None
    videos: dict[str, Footage] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Row:
    """A video that a system was asked for."""

    system: str
    prompt: str
    emotion: str
    seed: int | None
    footage: Footage
    error: str | None


def read_scenes(
    results: Sequence[str], videos_roots: Sequence[str | os.PathLike[str]] = ()
) -> tuple[tuple[str, ...], list[Footages]]:
    """Read what the systems made.

    Videos belong to one scene when they have the same prompt, emotion and seed; where a prompt or a seed is
    not known, or two videos of a system have the same, when their files have the same name and emotion.

    Args:
        results: each a folder or an address with `intended.csv` and the videos of one system, perhaps as
            NAME=FOLDER, or the result of an evaluation, with all its systems.
        videos_roots: folders and addresses whose videos a result may name, beside those of `VideoPlaces`.

    Returns:
        The systems' names, and the scenes in the order of the first system.

    Raises:
        FileNotFoundError: a folder holds neither.
        ValueError: a table cannot be read, fewer than two systems, or two with one name; or a video of a
            result lies where none may be read.
    """
    rows = [row for text in results for row in _rows(text, videos_roots)]
    systems = tuple(dict.fromkeys(row.system for row in rows))
    if not 2 <= len(systems) <= _MOST_SYSTEMS:
        found = ", ".join(systems) or "none"
        raise ValueError(f"a study compares 2 to {_MOST_SYSTEMS} systems; RESULT has {found}")
    scenes: dict[Hashable, Footages] = {}
    by_prompt = _tells_apart(rows)
    for row in rows:
        key: Hashable = (row.prompt, row.emotion, row.seed) if by_prompt else (row.footage.file, row.emotion)
        scene = scenes.setdefault(key, Footages(row.prompt, row.emotion, row.seed))
        if row.error is None and not row.footage.folder.exists(row.footage.file):
            scene.missing[row.system] = f"{row.footage.file} does not exist"
        elif row.error is not None:
            scene.missing[row.system] = row.error
        else:
            scene.videos[row.system] = row.footage
    for scene in scenes.values():
        for system in systems:
            if system not in scene.videos:
                scene.missing.setdefault(system, "the system was not asked for it")
    return systems, list(scenes.values())


def _tells_apart(rows: Sequence[_Row]) -> bool:
    """Whether prompt, emotion and seed say which video of a system is meant."""
    if any(not row.prompt or row.seed is None for row in rows):
        return False
    counts = Counter((row.system, row.prompt, row.emotion, row.seed) for row in rows)
    return max(counts.values()) == 1


def _rows(text: str, videos_roots: Sequence[str | os.PathLike[str]]) -> Iterator[_Row]:
    name, separator, rest = text.partition("=")
    named = separator and "/" not in name and not os.path.exists(text)
    folder = rest if named else text
    store = Store.at(folder)
    if store.exists(RESULT_NAME) and not named:
        yield from _rows_of_result(folder, videos_roots)
        return
    if not store.exists(INTENDED_NAME):
        raise FileNotFoundError(
            f"RESULT {without_credentials(folder)} holds neither {INTENDED_NAME} nor {RESULT_NAME}"
        )
    system = name if named else PurePosixPath(without_credentials(folder).rstrip("/")).name
    if not named and system in ("", ".", ".."):
        system = Path(folder).resolve().name
    for row in read_intended(store.url(INTENDED_NAME)):
        yield _Row(system, row.prompt, row.emotion, row.seed, Footage(store, row.file), None)


def _rows_of_result(folder: str, videos_roots: Sequence[str | os.PathLike[str]]) -> Iterator[_Row]:
    result = read_result(folder)
    places = VideoPlaces(result, videos_roots)
    systems = {system.name: system for system in result.systems}
    stores: Mapping[str, Store] = {
        name: Store.at(result.locate(system.place)) for name, system in systems.items()
    }
    for video in result.videos:
        sha256 = None
        if video.error is None and places.needs_digest(places.locate(systems[video.system], video)):
            sha256 = video.sha256
        footage = Footage(stores[video.system], video.file, sha256)
        yield _Row(video.system, video.prompt, video.intended, video.seed, footage, video.error)


def check_names(systems: Sequence[str], results: Sequence[str]) -> None:
    """Refuse two folders that would be one system.

    Raises:
        ValueError: there are fewer systems than folders.
    """
    if len(systems) < len(results):
        raise ValueError(
            f"RESULT: {len(results)} folders hold the systems {', '.join(systems)}; give folders of the same "
            "name as NAME=FOLDER"
        )
