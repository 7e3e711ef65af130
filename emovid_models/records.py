"""Files of a model's folder that say how it was made and what was measured, and digests of the others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emovid_dataset.schema.manifest import Manifest

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

CONFIG = "config.json"
"""A model's settings."""

_OFFERS = re.compile(rb'^  "captions": (true|false|null),\n', re.MULTILINE)
"""Settings that say what a model offers: none of its answers depends on them."""

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
        if path.name == CONFIG and (settings := _without_offers(path)) is not None:
            digest.update(settings)
        else:
            _update(digest, path)
    return f"{folder.resolve().name}@{digest.hexdigest()[:16]}"


def hub_commit(repo: str, revision: str | None = None, *, file: str = "config.json") -> str:
    """The commit of a Hub repo that a revision stands for now; offline the one that the cache holds.

    Whatever is loaded afterwards is loaded at this commit, so that a push in between changes nothing.

    Args:
        repo: "owner/name".
        revision: branch, tag or commit; None is the main branch.
        file: one that the repo has; it is fetched.

    Returns:
        40 hexadecimal digits.

    Raises:
        OSError: there is no such repo, revision or file, it cannot be reached, or the commit is not known.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        path = Path(hf_hub_download(repo, file, revision=revision))
    except HFValidationError as error:
        raise OSError(
            f"model {repo!r} cannot be loaded: it is neither a folder nor the name of a Hub repo"
        ) from error
    # In the cache a file lies in snapshots/COMMIT/.
    commit = path.parents[len(PurePosixPath(file).parts) - 1].name
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise OSError(f"the commit of {repo} is not known: {file} lies in {path.parent}")
    return commit


def dataset_revision(manifest: Manifest) -> str:
    """Names a data set by its manifest, which changes with its clips, labels and splits: a sha256."""
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()


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


def _without_offers(path: Path) -> bytes | None:
    """A config.json without the lines of `_OFFERS`, as transformers lays them out; None where it has none."""
    kept, count = _OFFERS.subn(b"", path.read_bytes())
    return kept if count else None


def _update(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
