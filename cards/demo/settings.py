"""What the page shows and runs: repos of the Hub or local folders, named by environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotions import CONTENT_TYPES


@dataclass(frozen=True, slots=True)
class WeightedLora:
    """A LoRA and how strong it is.

    Attributes:
        source: a repo or a folder.
        weight: 1 is as trained. The intensity multiplies that of the emotion's.
    """

    source: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Where a generator comes from.

    Attributes:
        base: Wan2.1 in the layout of diffusers, or "" for no generator.
        loras: the emotion's, and perhaps others of styles and characters; none for the base alone.
        code: what `custom_pipeline` is given: a repo or an ``.py`` file.
    """

    base: str
    loras: tuple[WeightedLora, ...]
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the page.

    Attributes:
        dataset: the clips to look at.
        annotator: the model of the pipeline "video-emotion".
        t2v: text to video.
        i2v: image to video.
        height: of a generated video, pixels.
        width: of a generated video, pixels.
        frames: of a generated video, 4k+1.
        steps: denoising steps that the slider starts at.
        guidance: by the prompt.
        emotion_guidance: by the emotion at intensity 1; that by the prompt if nothing else is said.
        style: content type that is chosen at first, or "any".
    """

    dataset: str
    annotator: str
    t2v: GeneratorSettings
    i2v: GeneratorSettings
    height: int
    width: int
    frames: int
    steps: int
    guidance: float
    emotion_guidance: float
    style: str

    @property
    def are_toys(self) -> bool:
        """Whether the generators are the miniatures, whose videos are of a few pixels."""
        return max(self.width, self.height) <= 64 and bool(self.t2v.base or self.i2v.base)

    @property
    def example(self) -> str:
        """A prompt that the generator can show."""
        return "a yellow face, smiling" if self.are_toys else "a lighthouse by the sea"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables; each that is absent has the published name as its default.

        Raises:
            ValueError: a size or number is none.

        >>> Settings.read({}).dataset, Settings.read({"EMOVID_DATASET": "me/Clips"}).dataset
        ('emovid/EmoVid', 'me/Clips')
        >>> Settings.read({"EMOVID_SIZE": "big"})
        Traceback (most recent call last):
        ...
        ValueError: EMOVID_SIZE is 'big', not of the form WIDTHxHEIGHT, such as 832x480
        """
        get = environment.get
        loras_t2v = _loras(environment, "EMOVID_LORA_T2V", "emovid/wan2.1-t2v-1.3b-lora")
        loras_i2v = _loras(environment, "EMOVID_LORA_I2V", "emovid/wan2.1-i2v-14b-lora")
        size = get("EMOVID_SIZE", "832x480")
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ValueError(f"EMOVID_SIZE is {size!r}, not of the form WIDTHxHEIGHT, such as 832x480")
        style = get("EMOVID_STYLE", "any")
        if style not in ("any", *CONTENT_TYPES):
            raise ValueError(f"EMOVID_STYLE is {style!r}; allowed: any, {', '.join(CONTENT_TYPES)}")
        return cls(
            dataset=get("EMOVID_DATASET", "emovid/EmoVid"),
            annotator=get("EMOVID_ANNOTATOR", "emovid/annotator"),
            t2v=GeneratorSettings(
                base=get("EMOVID_BASE_T2V", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
                loras=loras_t2v,
                code=get("EMOVID_PIPELINE_T2V", loras_t2v[0].source if loras_t2v else ""),
            ),
            i2v=GeneratorSettings(
                base=get("EMOVID_BASE_I2V", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"),
                loras=loras_i2v,
                code=get("EMOVID_PIPELINE_I2V", loras_i2v[0].source if loras_i2v else ""),
            ),
            height=int(height),
            width=int(width),
            frames=_number(environment, "EMOVID_FRAMES", 81),
            steps=_number(environment, "EMOVID_STEPS", 50),
            guidance=_guidance(environment, "EMOVID_GUIDANCE", "5"),
            emotion_guidance=_guidance(environment, "EMOVID_EMOTION_GUIDANCE", get("EMOVID_GUIDANCE", "5")),
            style=style,
        )


def _loras(environment: Mapping[str, str], name: str, default: str) -> tuple[WeightedLora, ...]:
    """Read ``emotion,style:0.8``; a path that is there is taken as it is."""
    text = environment.get(name, default)
    parts = [text] if Path(text).exists() else text.split(",")
    loras = []
    for part in filter(None, map(str.strip, parts)):
        source, colon, tail = part.rpartition(":")
        if not colon or not source or Path(part).exists():
            loras.append(WeightedLora(part))
            continue
        try:
            weight = float(tail)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise ValueError(f"{name} has a LoRA {part!r}, not of the form SOURCE or SOURCE:WEIGHT")
        loras.append(WeightedLora(source, weight))
    return tuple(loras)


def shown_name(model: str) -> str:
    """A repo's name, or of a folder only its last part: visitors learn no paths.

    >>> shown_name("emovid/EmoVid")
    'emovid/EmoVid'
    """
    return Path(model).name if Path(model).exists() else model


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} is {text!r}, not a whole number from 1 up")
    return int(text)


def _guidance(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 1):
        raise ValueError(f"{name} is {text!r}, not a number from 1 up")
    return value
