"""The LoRAs of a pipeline: how they are named in options, and which of them moves the emotion.

An emotion LoRA is one whose file has our header. Any number of others, of styles or characters, stand beside
it with weights of their own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_models.remote.wan.conditioning import check_wording

if TYPE_CHECKING:
    from emovid_models.remote.wan.lora import LoraFacts


@dataclass(frozen=True, slots=True)
class WeightedLora:
    """A LoRA and how strong it is.

    Attributes:
        source: a file, a folder or a Hub repo.
        weight: 1 is as trained. The intensity multiplies that of the emotion LoRA.
    """

    source: str
    weight: float = 1.0

    def __str__(self) -> str:
        return self.source if self.weight == 1 else f"{self.source}:{self.weight:g}"


Loras = str | Path | Sequence[WeightedLora] | None
"""One LoRA of weight 1, several, or none."""


def parse_lora(text: str) -> WeightedLora:
    """Read ``SOURCE`` or ``SOURCE:WEIGHT``.

    Args:
        text: a path that is there is taken as it is, whatever it ends with.

    Raises:
        ValueError: the weight is not a finite number.

    >>> parse_lora("me/style:0.8")
    WeightedLora(source='me/style', weight=0.8)
    """
    source, colon, tail = text.rpartition(":")
    if not colon or not source or Path(text).exists():
        return WeightedLora(text)
    try:
        weight = float(tail)
    except ValueError:
        return WeightedLora(text)
    if not math.isfinite(weight):
        raise ValueError(f"weight {tail} of {source} is not a finite number")
    return WeightedLora(source, weight)


def loras_of(given: Loras) -> tuple[WeightedLora, ...]:
    """The LoRAs, however they are given."""
    if given is None:
        return ()
    return (WeightedLora(str(given)),) if isinstance(given, (str, Path)) else tuple(given)


def adapter_name(place: int) -> str:
    """The name of the adapter of the LoRA at a place, from 0."""
    return f"lora_{place}"


def read_facts_of(loras: Sequence[WeightedLora]) -> list[LoraFacts | None]:
    """Where each comes from; None for one that was not trained with this project.

    Raises:
        ValueError: a file is cut short or not a safetensors file.
        OSError: one is not there.
    """
    from emovid_models.remote.wan.adapters import lora_file
    from emovid_models.remote.wan.lora import read_facts

    files = [lora_file(lora.source) for lora in loras]
    return [None if file is None else read_facts(file) for file in files]


def emotion_place(loras: Sequence[WeightedLora], named: str | None = None) -> int | None:
    """Which of the LoRAs the intensity moves.

    Args:
        loras: those of one pipeline.
        named: the source of the one that the user named, or None for the one that has our header.

    Returns:
        Its place; None where no LoRA is an emotion's.

    Raises:
        ValueError: two are emotions' and none is named, or another source is named.
        OSError: one is not there.
    """
    sources = [lora.source for lora in loras]
    if named is not None:
        if sources.count(named) != 1:
            there = ", ".join(sources) or "none"
            raise ValueError(f"emotion LoRA {named} is not one of the LoRAs that are given: {there}")
        return sources.index(named)
    own = [place for place, facts in enumerate(read_facts_of(loras)) if facts is not None]
    if len(own) > 1:
        several = ", ".join(sources[place] for place in own)
        raise ValueError(f"{len(own)} emotion LoRAs are given ({several}): name one by --emotion-lora")
    return own[0] if own else None


def wording_of(loras: Sequence[WeightedLora], wording: str | None = None) -> str:
    """The wording that a pipeline with these LoRAs uses.

    Args:
        loras: those of the pipeline.
        wording: the one that is asked for; None for that of the emotion LoRAs, and "paper" without any.

    Raises:
        ValueError: the wording is unknown, or the LoRAs do not agree on one.
        OSError: a LoRA is not there.
    """
    from emovid_models.remote.wan.adapters import agreed_wording

    if wording is not None:
        check_wording(wording)
        return wording
    facts = read_facts_of(loras)
    return agreed_wording(
        {lora.source: its.wording for lora, its in zip(loras, facts, strict=True) if its is not None}
    )


def content_name(lora: WeightedLora) -> str:
    """Names a LoRA by its weights as the stock loader reads them, from whatever file."""
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    from emovid_models.remote.wan.adapters import lora_file, second_lora_file

    source = str(lora_file(lora.source) or lora.source)
    weights: dict[str, Any] = WanPipeline.lora_state_dict(source, use_safetensors=True)
    if (second := second_lora_file(lora.source)) is not None:
        of_second = WanPipeline.lora_state_dict(str(second), use_safetensors=True)
        weights |= {f"{name} of the second": weight for name, weight in of_second.items()}
    if not any("lora_A" in name for name in weights):
        weights = convert_unet_state_dict_to_peft(weights)
    # Named as the parameters of a transformer that carries the LoRA; in an unknown form, as they are.
    named = {
        name.removeprefix("transformer.").replace(".weight", ".default_0.weight"): weight
        for name, weight in weights.items()
        if "lora_" in name
    } or weights
    digest = hashlib.sha256()
    for name, weight in sorted(named.items()):
        digest.update(name.encode() + weight.float().numpy().tobytes())
    found = f"{Path(lora.source).name}@{digest.hexdigest()[:16]}"
    return found if lora.weight == 1 else f"{found}:{lora.weight:g}"
