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
    size: str,
    seed: int,
    intensity: float,
    offload: bool,
    workers: int,
    progress: bool,
    **options: Any,
) -> dict[str, Path]:
    """Generate the videos of the base, and of the LoRA on it; one model is in memory at a time.

    Args:
        base: a folder or a Hub repo.
        lora: a file, a folder or a Hub repo; None for the base alone.
        wanted: prompts, with an image for all or for none.
        out: gets a folder for each model.
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
            engine=Serial() if workers == 1 else Processes(workers),
            progress=progress,
            height=height,
            width=width,
            **options,
        )
    return tables


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
