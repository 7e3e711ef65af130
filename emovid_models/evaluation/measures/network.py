"""The networks whose features are measured: loaded whole or not at all, named by what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emovid_models.library_bars import library_bars
from emovid_models.records import folder_identity, hub_commit

_SETTINGS = "preprocessor_config.json"


def network_identity(model: str) -> str:
    """Names a network by its weights and settings: a digest of a folder's, the commit of a Hub repo.

    Args:
        model: a folder or a Hub repo.

    Raises:
        OSError: there is no such repo, or its commit is not known.
    """
    folder = Path(model)
    if folder.is_dir():
        files = [path for kind in ("*.json", "*.txt", "*.safetensors") for path in folder.glob(kind)]
        return folder_identity(folder, files)
    return f"{model}@{hub_commit(model)}"


def load_network(kind: Any, model: str, device: str) -> Any:
    """Load a network of transformers for its features, in float32.

    Args:
        kind: its class.
        model: a folder or a Hub repo.
        device: as torch names it.

    Raises:
        OSError: it is not there, is another kind of network, has no safetensors, or lacks some of the
            weights: transformers would draw those at random.
    """
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    level = logging.get_verbosity()
    try:
        with library_bars("transformers", shown=False):
            wanted = kind.config_class.model_type
            found = kind.config_class.get_config_dict(model)[0].get("model_type")
            if found != wanted:
                raise ValueError(f"it is of type {found!r}, not {wanted!r}")
            logging.set_verbosity_error()  # heads that are left out are no matter
            network, report = kind.from_pretrained(
                model, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
        if lacking := sorted(report["missing_keys"]):
            raise ValueError(f"{len(lacking)} of its weights are missing, first {lacking[0]}")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise OSError(f"model {model!r} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(level)
    return network.eval().to(device)


def normalisation(
    model: str, mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the colours that a network was trained with, on a scale of 0..1.

    Args:
        model: a folder or a Hub repo; its preprocessor's settings are read where it has them.
        mean: otherwise.
        std: otherwise.
    """
    from transformers.utils import cached_file

    path = cached_file(
        model,
        _SETTINGS,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    stored = {} if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    return tuple(stored.get("image_mean", mean)), tuple(stored.get("image_std", std))


def pick_device(device: str | None, worker: int) -> str:
    """The device of a worker: cuda devices in turn where there are any, unless one is named."""
    import torch

    if device in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{worker % torch.cuda.device_count()}"
    return device or "cpu"
