"""What `emovid evaluate` judges: the videos of a base and of LoRAs on it, and which weights these are."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset.cli.errors import need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.store import joined

if TYPE_CHECKING:
    from emovid_dataset.engine import Executor
    from emovid_models.evaluation import Prompt
    from emovid_models.wan.loras import WeightedLora

DEFAULTS: dict[str, Any] = {
    "size": "832x480",
    "frames": None,
    "steps": 50,
    "guidance": 5.0,
    "emotion_guidance": None,
}
"""Settings of a generation that nobody has named, by the names of the options; None is the base's own."""

MINI_DEFAULTS: dict[str, Any] = {
    "size": "64x64",
    "frames": 17,
    "steps": 8,
    "guidance": 3.0,
    "emotion_guidance": 6.0,
}
"""The same for the base that ships."""


@dataclass(frozen=True, slots=True)
class ComparedLoras:
    """The LoRAs of an evaluation: the emotion's is compared with the base, the others are on both.

    Attributes:
        loras: all of them, as `parse_loras` reads them.
        emotion_lora: source of the emotion's; None for the one that has our header. If none has, all of
            them are compared with the bare base.
    """

    loras: tuple[WeightedLora, ...] = ()
    emotion_lora: str | None = None

    def on_both(self) -> tuple[WeightedLora, ...]:
        """Those that the base carries too.

        Raises:
            OSError: one is not there.
            ValueError: two are an emotion's and none is named.
        """
        from emovid_models.wan.loras import emotion_place

        place = emotion_place(self.loras, self.emotion_lora)
        return () if place is None else self.loras[:place] + self.loras[place + 1 :]

    def compared(self) -> tuple[WeightedLora, ...]:
        """Those that the base does not carry: the emotion's, or all."""
        on_both = self.on_both()
        return tuple(lora for lora in self.loras if lora not in on_both)

    def hashes(self) -> dict[str, str] | None:
        """The `hashes` of the one that is compared; None for none, for several, and for a Hub repo's."""
        from emovid_models.remote.wan.lora import WEIGHT_NAME

        compared = self.compared()
        return hashes(compared[0].source, WEIGHT_NAME) if len(compared) == 1 else None

    def settings(self) -> dict[str, list[str]]:
        """What a record says of them; nothing for a single LoRA as it was trained."""
        compared, on_both = self.compared(), self.on_both()
        plain = not on_both and len(compared) < 2 and all(lora.weight == 1 for lora in compared)
        groups = {} if plain else {"loras_compared": compared, "loras_on_both": on_both}
        return {name: [shown_lora(lora) for lora in group] for name, group in groups.items()}


def shown_lora(lora: WeightedLora) -> str:
    """A LoRA without the path of its folder, which says nothing to anybody else."""
    from emovid_models.remote.wan.lora import WEIGHT_NAME

    path = Path(lora.source)
    name = lora.source if not path.exists() else path.parent.name if path.name == WEIGHT_NAME else path.name
    return str(replace(lora, source=name))


def generate_models(
    base: str,
    loras: ComparedLoras,
    wanted: list[Prompt],
    out: str | os.PathLike[str],
    *,
    wording: str | None = None,
    size: str,
    seed: int,
    intensity: float,
    offload: bool,
    engine: Executor,
    progress: bool,
    **options: Any,
) -> dict[str, str]:
    """Generate the videos of the base, and of the LoRAs on it; one model is in memory at a time.

    Both are asked in the same words.

    Args:
        base: a folder or a Hub repo.
        loras: what is compared with the base, and what is on both.
        wanted: prompts, with an image for all or for none.
        out: path or URL of the folder that gets one for each model.
        wording: see `asked_wording`.
        size: WIDTHxHEIGHT.
        seed: of the first scene.
        intensity: of the emotion.
        offload: keep in GPU memory only the part that runs.
        engine: who generates.
        progress: show progress on stderr.
        **options: of every call of the pipeline.

    Returns:
        Path or URL of the folder of each model, for "base" and perhaps "lora".

    Raises:
        OSError, ValueError: a model cannot be loaded or does another task, or a video cannot be made.
    """
    from emovid_models import evaluation
    from emovid_models.wan.loading import PipelineSource, check_model

    need("models", "diffusers", "transformers", "peft", "ftfy")
    i2v = wanted[0].image is not None
    # The LoRAs too, before the base alone takes hours.
    check_model(base, image_to_video=i2v, lora=loras.loras, emotion_lora=loras.emotion_lora)
    height, width = parse_frame_size(size)
    asked = asked_wording(base, loras, wording)
    carried = {"base": loras.on_both(), **({"lora": loras.loras} if loras.loras else {})}
    folders = {}
    for name, its in carried.items():
        source = PipelineSource(
            base,
            image_to_video=i2v,
            lora=its,
            emotion_lora=loras.emotion_lora if name == "lora" else None,
            offload=offload,
            show_loading=progress,
            threads=engine.threads,
        )
        # The intensity moves nothing of what is on both, though it be an emotion's.
        adapter: str | tuple[str, ...] | None = () if name == "base" and its else source.emotion_adapter
        moved = {} if adapter is None else {"emotion_adapter": adapter}
        folders[name] = joined(out, name)
        evaluation.generate_videos(
            source,
            wanted,
            folders[name],
            model=source.identity(),
            seed=seed,
            intensity=intensity,
            wording=asked,
            engine=engine,
            progress=progress,
            height=height,
            width=width,
            **moved,
            **options,
        )
    return folders


def asked_wording(base: str, loras: ComparedLoras, wording: str | None) -> str:
    """The words in which both the base and the LoRAs on it are asked for an emotion.

    Args:
        base: a folder or a Hub repo.
        loras: of the evaluation.
        wording: the one that the user named; None for that of the LoRAs, and "paper" without one.

    Raises:
        OSError: a LoRA is not there.
        ValueError: the wording is unknown, or the LoRAs do not agree on one.
    """
    from emovid_models.wan.loading import PipelineSource

    return PipelineSource(base, image_to_video=False, lora=loras.loras).wording_of(wording)


def frames_of_base(base: str) -> int:
    """How many frames a base makes if nothing else is asked for.

    Args:
        base: a folder or a Hub repo.

    Raises:
        OSError: it is not there.
    """
    from emovid_models.wan.frames import frames_by_default
    from emovid_models.wan.loading import read_index

    return frames_by_default(read_index(base))


def hashes(source: str, pattern: str) -> dict[str, str] | None:
    """The sha256 of a folder's or file's weights, by which a card knows them; None for a Hub repo."""
    from emovid_models.records import weight_hashes

    path = Path(source)
    if path.is_file():
        return weight_hashes(path.parent, [path])
    return weight_hashes(path, list(path.glob(pattern))) if path.is_dir() else None


def annotator_folder(annotator: str) -> Path:
    """Where an annotator's weights lie: its folder, or what the Hub's client has fetched of its repo."""
    from huggingface_hub import try_to_load_from_cache

    if Path(annotator).is_dir():
        return Path(annotator)
    fetched = try_to_load_from_cache(annotator, "model.safetensors")
    return Path(fetched if isinstance(fetched, str) else annotator).parent
