"""The emotions that an annotator tells apart, as its settings say; and whether a build has the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy

_KEY = "taxonomy"


def read_taxonomy(model: str | os.PathLike[str], commit: str | None = None) -> Taxonomy:
    """The taxonomy of an annotator; nothing else of it is read.

    Args:
        model: a folder or a Hub repo.
        commit: of a Hub repo; None is its main branch.

    Returns:
        Mikels' eight for an annotator that names no other.

    Raises:
        OSError: there is no such model, or its settings are damaged; the message is one line.
    """
    settings = read_settings(model, commit)
    try:
        return MIKELS if settings.get(_KEY) is None else Taxonomy.from_mapping(settings[_KEY])
    except (ValueError, AttributeError) as error:
        raise _unusable(model, error) from error


def read_settings(model: str | os.PathLike[str], commit: str | None = None) -> Mapping[str, Any]:
    """The settings of an annotator, from its config.json.

    Args:
        model: a folder or a Hub repo.
        commit: of a Hub repo; None is its main branch.

    Raises:
        OSError: there is no such model, or its settings are damaged; the message is one line.
    """
    path = Path(model) / "config.json"
    if not Path(model).is_dir():
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(str(model), "config.json", revision=commit))
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(model, error) from error
    if not isinstance(settings, dict):
        raise _unusable(model, "not a JSON object")
    return settings


def _unusable(model: str | os.PathLike[str], reason: object) -> OSError:
    return OSError(f"model {str(model)!r} cannot be loaded: config.json: {reason}")


def taxonomy_of(annotator: Any) -> Taxonomy:
    """The taxonomy of a loaded annotator, and Mikels' eight for what has no settings."""
    config = getattr(getattr(annotator, "model", None), "config", None)
    body: Mapping[str, Any] | None = getattr(config, _KEY, None)
    return MIKELS if body is None else Taxonomy.from_mapping(body)


def set_taxonomy(config: Any, taxonomy: Taxonomy) -> None:
    """Note a taxonomy in a model's settings; those of the eight do not mention it."""
    if taxonomy == MIKELS:
        vars(config).pop(_KEY, None)
    else:
        setattr(config, _KEY, taxonomy.to_mapping())


def check_same_emotions(model: str, its: Taxonomy, build: str, others: Taxonomy) -> None:
    """Refuse an annotator that tells apart other emotions than those of a build.

    Args:
        model: option and value that named the annotator.
        its: its taxonomy.
        build: option and value that named the build.
        others: the build's taxonomy.

    Raises:
        ValueError: the names or their order differ.
    """
    if its.names != others.names:
        raise ValueError(
            f"{model} tells apart {', '.join(its.names)}, but {build} has the emotions of {others.name!r}: "
            f"{', '.join(others.names)}"
        )
