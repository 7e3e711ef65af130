"""What is known of weights: what was measured on their videos, and how many they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emovid_models.miniature import is_miniature
from emovid_models.records import EVALUATION, REPRODUCTION, weight_hashes


def measured_results(folder: Path, weights: Sequence[Path], which: str) -> Mapping[str, Any]:
    """What was measured on videos that these weights made, and on no others.

    `EVALUATION` in the folder comes first, then `REPRODUCTION` there or beside it. The latter counts if its
    ``weights``, digests by path for each model, hold the `weight_hashes` of this one; a file without them
    speaks of the miniatures that ship and of nothing else.

    Args:
        folder: a LoRA's or a base's.
        weights: its safetensors files.
        which: "lora" or "base", as what it was evaluated.

    Returns:
        The figures by task under "t2v" or "i2v", and "settings", "judge", "paper" as in `REPRODUCTION`, and
        "measures" of the paper's protocol; empty
        where nothing was measured.

    Raises:
        ValueError: `EVALUATION` in the folder is of other weights, or says not of which.
    """
    path = folder / EVALUATION
    if (found := read_json(path)) is not None:
        try:
            stated, results = found["generated"]["weights"], _of_evaluation(found)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} does not say whose videos it judged: make it by emovid evaluate --base or remove it"
            ) from error
        if not _told(stated.get(which), folder, weights):
            raise ValueError(f"{path} is about other weights: evaluate those in {folder}, or remove it")
        return results
    for place in (folder, folder.parent):
        if not isinstance(results := read_json(place / REPRODUCTION), dict):
            continue
        if "weights" in results:
            told = any(_told(model, folder, weights) for model in results["weights"].values())
        else:
            told = is_miniature(folder)
        if told:
            return {**results, "miniature": True}
    return {}


def _told(stated: Mapping[str, str] | None, folder: Path, weights: Sequence[Path]) -> bool:
    """Whether a result file's digests are those of these weights, whatever else it names."""
    return stated is not None and weight_hashes(folder, weights).items() <= stated.items()


def _of_evaluation(found: Mapping[str, Any]) -> dict[str, Any]:
    """A record of `emovid evaluate --base` in the form of `REPRODUCTION`."""
    generated = found["generated"]
    return {
        generated["task"]: {**found["figures"], **_only(found.get("comparison", {}), "mcnemar_p")},
        "judge": {"identity": found["judge"], **_only(found, "held_out")},
        "miniature": found["miniature"],
        "paper": found["paper"],
        "settings": generated["settings"],
        **_only(found, "measures"),
    }


def _only(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: values[name]} if name in values else {}


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is none.

    Raises:
        ValueError: it is not JSON.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


def parameters(weights: Sequence[Path]) -> int:
    """Number of parameters in safetensors files, from their headers alone."""
    from safetensors import safe_open

    total = 0
    for path in weights:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118
                shape = file.get_slice(name).get_shape()
                count = 1
                for length in shape:
                    count *= length
                total += count
    return total
