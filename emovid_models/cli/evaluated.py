"""What `emovid evaluate` judges: the videos of a base and of a LoRA on it, and which weights these are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset.cli.errors import need
from emovid_dataset.cli.sizes import parse_frame_size

if TYPE_CHECKING:
    from emovid_models.evaluation import Prompt


def generate_models(
    base: str,
    lora: str | None,
    wanted: list[Prompt],
    out: Path,
    *,
    wording: str | None = None,
    size: str,
    seed: int,
    intensity: float,
    offload: bool,
    workers: int,
    progress: bool,
    **options: Any,
) -> dict[str, Path]:
    """Generate the videos of the base, and of the LoRA on it; one model is in memory at a time.

    Both are asked in the same words.

    Args:
        base: a folder or a Hub repo.
        lora: a file, a folder or a Hub repo; None for the base alone.
        wanted: prompts, with an image for all or for none.
        out: gets a folder for each model.
        wording: see `asked_wording`.
        size: WIDTHxHEIGHT.
        seed: of the first scene.
        intensity: of the emotion.
        offload: keep in GPU memory only the part that runs.
        workers: processes.
        progress: show progress on stderr.
        **options: of every call of the pipeline.

    Returns:
        The table of what was asked for, for "base" and perhaps "lora".

    Raises:
        OSError, ValueError: a model cannot be loaded or does another task, or a video cannot be made.
    """
    from emovid_dataset.engine import Processes, Serial, usable_cores
    from emovid_models import evaluation
    from emovid_models.wan.loading import PipelineSource, check_model

    need("models", "diffusers", "transformers", "peft", "ftfy")
    # The LoRA too, before the base alone takes hours.
    check_model(base, image_to_video=wanted[0].image is not None, lora=lora)
    height, width = parse_frame_size(size)
    asked = asked_wording(base, lora, wording)
    tables = {}
    for name, adapter in {"base": None, **({} if lora is None else {"lora": lora})}.items():
        source = PipelineSource(
            base,
            image_to_video=wanted[0].image is not None,
            lora=adapter,
            offload=offload,
            show_loading=progress,
            threads=None if workers == 1 else max(1, usable_cores() // workers),
        )
        tables[name] = evaluation.generate_videos(
            source,
            wanted,
            out / name,
            model=source.identity(),
            seed=seed,
            intensity=intensity,
            wording=asked,
            engine=Serial() if workers == 1 else Processes(workers),
            progress=progress,
            height=height,
            width=width,
            **options,
        )
    return tables


def asked_wording(base: str, lora: str | None, wording: str | None) -> str:
    """The words in which both the base and the LoRA on it are asked for an emotion.

    Args:
        base: a folder or a Hub repo.
        lora: a file, a folder or a Hub repo, or None.
        wording: the one that the user named; None for that of the LoRA, and "paper" without one.

    Raises:
        OSError, ValueError: the LoRA is not there, or its wording is unknown.
    """
    from emovid_models.wan.loading import PipelineSource

    return PipelineSource(base, image_to_video=False, lora=lora).wording_of(wording)


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
