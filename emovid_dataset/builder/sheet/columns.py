"""What the columns of a label sheet mean, and what is kept of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.builder.sheet.rows import printable
from emovid_dataset.builder.sheet.table import is_empty

COLUMNS = (
    "path",
    "emotion",
    "content_type",
    "caption",
    "group",
    "license",
    "source",
    "start",
    "end",
    "emotion_source",
    "emotion_scores",
    "raters",
    "votes",
    "agreement",
    "color",
    "crop_bars",
    "split",
    "rater",
)
"""Columns of a label sheet that have a meaning; `path` and `emotion` it must have, others become `extra`."""

ALSO = {"file_name": "path", "file": "path", "filename": "path", "video": "path", "label": "emotion"}
"""Other names under which a column is known, and what it means."""


def meaning_of(header: str) -> str | None:
    """What a column means by its header alone, in any case, with spaces or hyphens for underscores.

    >>> meaning_of(" File-Name "), meaning_of("Content Type"), meaning_of("mood")
    ('path', 'content_type', None)
    """
    name = "_".join(header.strip().lower().replace("-", " ").replace("_", " ").split())
    return name if name in COLUMNS else ALSO.get(name)


def name_columns(
    where: str,
    headers: Sequence[str],
    chosen: Mapping[str, str],
    needed: Sequence[str] = ("path", "emotion"),
) -> dict[str, str]:
    """Give a sheet's columns their meanings.

    Args:
        where: names the sheet in messages.
        headers: of the sheet.
        chosen: by meaning the header that a person gave it; other columns then do not have that meaning.
        needed: meanings that the sheet must have a column of.

    Returns:
        By meaning the header of its column.

    Raises:
        ValueError: a chosen or a needed column is missing, or two columns would have one meaning.
    """
    shown = [printable(header) for header in headers]
    found: dict[str, list[str]] = {}
    for meaning, header in chosen.items():
        alike = [name for name in headers if name == header] or [
            name for name in headers if name.strip().lower() == header.strip().lower()
        ]
        if len(alike) != 1:
            raise ValueError(
                f"{where} has no column {header!r} for --column {meaning}={header}; it has: {shown}"
            )
        found[meaning] = alike
    taken = {names[0] for names in found.values()}
    for header in headers:
        known = meaning_of(header)
        if known is not None and known not in chosen and header not in taken:
            found.setdefault(known, []).append(header)
    for meaning, names in found.items():
        if len(names) > 1:
            said = " and ".join(repr(printable(name)) for name in names)
            raise ValueError(
                f"{where}: columns {said} would both be the {meaning}; "
                f"--column {meaning}={printable(names[0])} says which is"
            )
    missing = [name for name in needed if name not in found]
    if missing:
        hint = f"--column {missing[0]}=NAME says which it is"
        raise ValueError(f"{where} has no column {' and '.join(missing)}; it has: {shown}; {hint}")
    return {meaning: names[0] for meaning, names in found.items()}


def extra_of(others: Mapping[str, Any]) -> str | None:
    """The row's columns that have no meaning here, as a JSON object; None where it has none.

    Args:
        others: cells by header. Empty cells are left out; what JSON does not know, such as a date, becomes
            text.

    Raises:
        ValueError: a number is not finite, or a text is not valid Unicode.

    >>> extra_of({"film": "Sintel", "scene": 3, "note": ""})
    '{"film": "Sintel", "scene": 3}'
    """
    held = {name: value for name, value in others.items() if not is_empty(value)}
    if not held:
        return None
    try:
        text = json.dumps(held, ensure_ascii=False, default=str, allow_nan=False)
        text.encode()
    except RecursionError:
        raise ValueError("its further columns are nested too deeply to be kept") from None
    except ValueError as error:
        raise ValueError(f"its further columns {held!r} cannot be kept as JSON: {error}") from error
    return text
