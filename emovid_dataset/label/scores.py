"""An annotator's probabilities for the clips that are to be rated, of its own file or of a sheet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emovid_dataset.builder.sheet.cells import read_scores, read_text
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.parse import read_path, read_stretch
from emovid_dataset.builder.sheet.paths import Finder
from emovid_dataset.label.items import RatedClips, read_table

_Place = tuple[str, float | None, float | None]


def read_clip_scores(
    path: Path, rated: RatedClips, options: SheetOptions = SheetOptions()
) -> dict[str, tuple[float, ...]]:
    """By clip id a probability for each emotion.

    Args:
        path: what `emovid annotate` wrote, or a sheet with the column emotion_scores or a column per emotion;
            its rows name clips by their id, or by the path, start and end that the rated sheet has.
        rated: the clips; others in the file are left aside.
        options: how the file is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, or it has scores of none of the clips.
    """
    if not path.is_file():
        raise FileNotFoundError(f"scores {path} does not exist")
    ids = {clip.id for clip in rated.clips}
    by_place: dict[_Place, str] = {(clip.path, clip.start, clip.end): clip.id for clip in rated.clips}
    finder = Finder(rated.store, path)
    found: dict[str, tuple[float, ...]] = {}
    for number, values in read_table(path, options, ()):
        if isinstance(values, ValueError):
            continue
        try:
            scores = _scores(values, options)
        except ValueError as error:
            raise ValueError(f"scores {path} row {number}: {error}") from error
        clip = _clip(values, ids, by_place, finder)
        if scores is not None and clip is not None:
            found[clip] = scores
    if not found:
        names = ", ".join(options.labels.taxonomy.names)
        raise ValueError(
            f"scores {path} has scores of none of the clips; it needs the column id, key or path, and "
            f"emotion_scores or the columns {names}"
        )
    return found


def _scores(values: Mapping[str, Any], options: SheetOptions) -> tuple[float, ...] | None:
    taxonomy = options.labels.taxonomy
    if values.get("emotion_scores") is not None:
        return read_scores(values["emotion_scores"], taxonomy)
    each = [values.get(name) for name in taxonomy.names]
    return None if any(score in (None, "") for score in each) else read_scores(each, taxonomy)


def _clip(
    values: Mapping[str, Any], ids: set[str], by_place: Mapping[_Place, str], finder: Finder
) -> str | None:
    for name in ("id", "key", "path"):
        if (text := read_text(values, name)) in ids:
            return text
    try:
        named = read_path(values) or read_text(values, "key")
        return None if named is None else by_place.get((finder.find(named), *read_stretch(values)))
    except ValueError:
        return None
