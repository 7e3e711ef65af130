"""Read and write the JSON files of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is not JSON.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error


def write_json(file: Path, document: object) -> None:
    """Write a JSON file, indented, with characters of all languages as they are."""
    file.write_text(
        json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
