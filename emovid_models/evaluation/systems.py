"""The systems of an evaluation: a folder of videos, or a name in a YAML file of systems.

::

    base:
      base: Wan-AI/Wan2.1-T2V-1.3B-Diffusers
    ours:
      base: Wan-AI/Wan2.1-T2V-1.3B-Diffusers
      lora: emovid/wan2.1-t2v-lora        # or a list, each perhaps with a weight: style:0.8
      settings: {intensity: 1.2, steps: 30}
    other:
      videos: videos/other                # with intended.csv in it; or intended: FILE

Paths are relative to the file.

Nothing is loaded or generated here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from emovid_dataset.store import joined, read_file, store_of, without_credentials
from emovid_models.evaluation.intended import INTENDED_NAME
from emovid_models.evaluation.result import REAL
from emovid_models.remote.wan.conditioning import WORDINGS
from emovid_models.remote.wan.inputs import check_frames, check_size
from emovid_models.wan.loras import WeightedLora, parse_lora

_FIELDS = ("base", "lora", "emotion_lora", "settings", "videos", "intended")


@dataclass(frozen=True, slots=True)
class GivenVideos:
    """A system whose videos are there.

    Attributes:
        name: unique among the systems.
        videos: path or URL of their folder.
        intended: path or URL of the table of what they were asked for.
    """

    name: str
    videos: str
    intended: str


@dataclass(frozen=True, slots=True)
class Generator:
    """A system whose videos are generated.

    Attributes:
        name: unique among the systems.
        base: a folder, a Hub repo, or "mini".
        loras: on the base; empty for the base alone.
        emotion_lora: source of the one that the intensity moves; None for the one that has our header.
        settings: those in which it differs from the command's, see `SETTINGS`.
    """

    name: str
    base: str
    loras: tuple[WeightedLora, ...] = ()
    emotion_lora: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_systems(path: str | os.PathLike[str]) -> list[GivenVideos | Generator]:
    """Read a YAML file of systems.

    Args:
        path: path or URL; a mapping of names to systems, see the module.

    Returns:
        The systems, in the order of the file; folders by their full path or URL.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: in one line what is wrong and where.
    """
    import yaml

    shown = without_credentials(os.fspath(path))
    if "://" not in shown and not os.path.isfile(path):
        raise FileNotFoundError(f"{shown} is not a file")
    try:
        body = yaml.safe_load(read_file(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{shown} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(body, dict) or not body:
        raise ValueError(f"{shown} is not a mapping of names to systems")
    return [_system(name, value, f"{shown}, system {name}", os.fspath(path)) for name, value in body.items()]


def find_systems(
    named: Sequence[str], known: Sequence[GivenVideos | Generator] = ()
) -> list[GivenVideos | Generator]:
    """Find the systems that a command names.

    Args:
        named: names of known systems, or folders of videos with their ``intended.csv``; none for all that are
            known. A folder is called after its last part.
        known: of a file, see `read_systems`.

    Returns:
        The systems, in order.

    Raises:
        FileNotFoundError: a folder has no ``intended.csv``, or is neither known nor there.
        ValueError: two systems have one name.
    """
    by_name = {system.name: system for system in known}
    found = [by_name.get(name) or _folder(name, by_name) for name in named] if named else list(known)
    names = [system.name for system in found]
    for system in found:
        if names.count(system.name) > 1:
            raise ValueError(f"system {system.name!r} comes twice; --systems FILE gives each its own name")
        if system.name == REAL:
            raise ValueError(f"system {REAL!r}: this name is that of the real clips")
        if isinstance(system, GivenVideos):
            _check_there(system)
    return found


def _folder(place: str, known: Mapping[str, object]) -> GivenVideos:
    if "://" not in place and not os.path.isdir(place):
        names = f", and not one of the file's: {', '.join(known)}" if known else ""
        raise FileNotFoundError(f"system {place} is not a folder{names}")
    plain = without_credentials(place).rstrip("/")
    name = PurePosixPath(plain).name if "://" in plain else Path(place).resolve().name
    return GivenVideos(name, place, joined(place, INTENDED_NAME))


def _check_there(system: GivenVideos) -> None:
    shown = without_credentials(system.intended)
    there = os.path.isfile(system.intended) if "://" not in system.intended else _is_stored(system.intended)
    if not there:
        raise FileNotFoundError(
            f"system {system.name}: {shown} is not a file; it says what each video was to show"
        )


def _is_stored(place: str) -> bool:
    store, name = store_of(place, to_read=True)
    return store.exists(name)


def _system(name: object, value: object, where: str, path: str) -> GivenVideos | Generator:
    if not isinstance(name, str) or not name or "/" in name or name != name.strip() or name.startswith("."):
        raise ValueError(f"{where}: a name is a text without slashes that does not start with a dot")
    if not isinstance(value, dict) or not set(value) <= set(_FIELDS):
        raise ValueError(f"{where} is not a mapping with some of: {', '.join(_FIELDS)}")
    if ("videos" in value) == ("base" in value):
        raise ValueError(f"{where} needs either videos or base")
    allowed = {"videos", "intended"} if "videos" in value else set(_FIELDS) - {"videos", "intended"}
    if strange := sorted(set(value) - allowed):
        raise ValueError(f"{where}: {', '.join(strange)} does not go with {min(allowed & set(value))}")
    for key in ("videos", "intended", "base", "emotion_lora"):
        if key in value and (not isinstance(value[key], str) or not value[key]):
            raise ValueError(f"{where}: {key} is {value[key]!r}; it must be a text")
    if "videos" in value:
        folder = _beside(path, value["videos"])
        table = _beside(path, value["intended"]) if "intended" in value else joined(folder, INTENDED_NAME)
        return GivenVideos(name, folder, table)
    given = value.get("lora") or []
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: lora is {given!r}; it must be a text or a list of texts")
    try:
        loras = tuple(_lora_beside(path, parse_lora(text)) for text in texts)
        settings = _settings(value.get("settings") or {})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    emotion_lora = value.get("emotion_lora")
    if emotion_lora is not None:
        emotion_lora = _model_beside(path, emotion_lora)
    if emotion_lora is not None and all(lora.source != emotion_lora for lora in loras):
        raise ValueError(f"{where}: emotion_lora {value['emotion_lora']} is not among its lora")
    return Generator(name, _model_beside(path, value["base"]), loras, emotion_lora, settings)


def _beside(path: str, place: str) -> str:
    """A folder or file that is named relative to the YAML file."""
    if "://" in place or os.path.isabs(place):
        return place
    if "://" in path:
        return joined(path.rpartition("/")[0], place)
    return os.path.join(os.path.dirname(os.path.abspath(path)), place)


def _model_beside(path: str, source: str) -> str:
    """A model by its folder relative to the YAML file, if there is one; else a Hub repo as it is."""
    place = _beside(path, source)
    return place if "://" not in place and os.path.exists(place) else source


def _lora_beside(path: str, lora: WeightedLora) -> WeightedLora:
    return replace(lora, source=_model_beside(path, lora.source))


def _settings(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"settings is {given!r}; it must be a mapping")
    if strange := sorted(map(str, set(given) - set(SETTINGS))):
        raise ValueError(f"settings has unknown {', '.join(strange)}; allowed: {', '.join(SETTINGS)}")
    for name, value in given.items():
        try:
            SETTINGS[name](value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"settings: {name} is {value!r}: {error}") from error
    return given


def _is_size(value: Any) -> None:
    found = re.fullmatch(r"(\d+)x(\d+)", value)
    if found is None:
        raise ValueError("it must be WIDTHxHEIGHT")
    check_size(height=int(found[2]), width=int(found[1]))


def _is_whole(value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError("it must be a whole number of at least 1")


def _is_frames(value: Any) -> None:
    _is_whole(value)
    check_frames(value)


def _is_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError("it must be a number from 0 up")


def _is_text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError("it must be a text")


def _is_wording(value: Any) -> None:
    if value not in WORDINGS:
        raise ValueError(f"allowed: {', '.join(WORDINGS)}")


SETTINGS: Mapping[str, Callable[[Any], None]] = {
    "size": _is_size,
    "frames": _is_frames,
    "steps": _is_whole,
    "guidance": _is_number,
    "emotion_guidance": _is_number,
    "intensity": _is_number,
    "negative": _is_text,
    "wording": _is_wording,
}
"""What a system may set for itself, by the names of the command's options, and what refuses a wrong value."""
