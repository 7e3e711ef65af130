"""Files of a model's folder that say how it was made and what was measured, and digests of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

RUN_CARD = "training.json"
"""File of a trained folder that says how it was trained."""

REPRODUCTION = "reproduction.json"
"""File in a LoRA's or base's folder, or beside it, that holds what was measured on the miniatures' videos."""

EVALUATION = "evaluation.json"
"""What `emovid evaluate` writes: figures, comparison, every judgement; also kept beside what it measured."""

FIGURES = "figures.json"
"""File of an annotator's folder that holds what was measured."""

OUT_OF_FOLD = "out_of_fold.jsonl"
"""File of an annotator's folder that holds the answers of a cross-validation, one line per clip."""

_BLOCK = 1 << 20
_RECORDS = frozenset({RUN_CARD, REPRODUCTION, EVALUATION, FIGURES})


def folder_identity(folder: Path, files: Iterable[Path]) -> str:
    """Names a model's folder by what it answers with: a new measurement of it leaves its name as it is.

    Args:
        folder: the model's.
        files: its weights and settings; records among them are left out.

    Returns:
        The folder's own name, "@" and 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.name not in _RECORDS):
        digest.update(path.relative_to(folder).as_posix().encode())
        _update(digest, path)
    return f"{folder.resolve().name}@{digest.hexdigest()[:16]}"


def weight_hashes(folder: Path, weights: Sequence[Path]) -> dict[str, str]:
    """The sha256 of weights, by which a result file says whose results it holds.

    Args:
        folder: a model's.
        weights: its safetensors files.

    Returns:
        Hexadecimal digests by path in the folder, with slashes.
    """
    hashes = {}
    for path in sorted(weights):
        digest = hashlib.sha256()
        _update(digest, path)
        hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return hashes


def _update(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
