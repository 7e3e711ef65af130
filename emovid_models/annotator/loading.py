"""Load an annotator, and assemble the folder of a repo that anyone can load."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from emovid_models.nvila import (
    NVILALiteConfig,
    NVILALiteForConditionalGeneration,
    NVILALiteProcessor,
)
from emovid_models.remote.annotator import CODE
from emovid_models.remote.annotator.pipeline import VideoEmotionPipeline
from emovid_models.remote.annotator.repo_code import AUTO_MAP, PIPELINES, TASK


def load_annotator(
    model: str | os.PathLike[str],
    *,
    revision: str = "main",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> VideoEmotionPipeline:
    """Load an annotator with this package's own code: what the repo carries as code is not run.

    Args:
        model: a folder or a Hub repo.
        revision: branch, tag or commit of a Hub repo.
        device: by default cuda if there is one, else cpu.
        dtype: by default bfloat16 on cuda and float32 on cpu.
        **options: of `VideoEmotionPipeline`, such as `batch_size`.

    Returns:
        The pipeline.

    Raises:
        OSError: there is no such model, its weights are missing, damaged or pickles, or it is another kind
            of model; the message is one line.

    >>> from emovid_models import MINI_ANNOTATOR
    >>> annotate = load_annotator(MINI_ANNOTATOR, device="cpu")  # doctest: +SKIP
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if dtype is None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        # Before anything is built: another model's settings would be filled up to those of 2 billion weights.
        kind = NVILALiteConfig.get_config_dict(model, revision=revision)[0].get("model_type")
        if kind != NVILALiteConfig.model_type:
            raise ValueError(f"it is of type {kind!r}, and an annotator of {NVILALiteConfig.model_type!r}")
        processor = NVILALiteProcessor.from_pretrained(model, revision=revision)
        network = NVILALiteForConditionalGeneration.from_pretrained(model, revision=revision, dtype=dtype)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise OSError(f"model {str(model)!r} cannot be loaded: {_first_line(error)}") from error
    return VideoEmotionPipeline(model=network, processor=processor, task=TASK, device=device, **options)


def assemble_repo(
    out: str | os.PathLike[str],
    *,
    model: NVILALiteForConditionalGeneration,
    processor: NVILALiteProcessor,
    card: str,
    dtype: torch.dtype = torch.float16,
    code: bool = True,
) -> Path:
    """Write all that a repo needs, file by file: weights, settings, processor, code and card.

    Args:
        out: the folder; files in it are replaced.
        model: the annotator; `model.config.emotion_temperature` goes with it.
        processor: its processor.
        card: text of README.md.
        dtype: of the weights as stored; they are loaded as float32 unless asked otherwise.
        code: whether the code is laid beside the weights; without it only this package can load the folder.

    Returns:
        The folder. With its code, `pipeline("video-emotion", model=out, trust_remote_code=True)` loads it
        where emovid is not installed.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for stale in [*out.glob("model*.safetensors"), *out.glob("model*.safetensors.index.json")]:
        stale.unlink()
    if _size(model, dtype) < 4_000_000_000:
        tied = set(getattr(model, "all_tied_weights_keys", None) or {})
        weights = {
            name: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
            for name, value in model.state_dict().items()
            if not (name in tied and model.config.tie_word_embeddings)
        }
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
        (out / "model.safetensors").chmod(0o644)
    else:
        model.to(dtype=dtype)  # type: ignore[call-arg]
        model.save_pretrained(out, max_shard_size="4GB")
    model.generation_config.save_pretrained(out)
    processor.save_pretrained(out)
    for name, path in CODE.items():
        if code:
            shutil.copyfile(path, out / name)
        else:
            (out / name).unlink(missing_ok=True)
    config = model.config.to_dict()
    config["_name_or_path"] = ""  # else whoever publishes the repo tells where their files lie
    config.update(
        architectures=[type(model).__name__],
        auto_map=AUTO_MAP,
        custom_pipelines=PIPELINES,
        # Half precision is for the file only: on a CPU it is slow, and less exact.
        dtype="float32" if dtype == torch.float16 else str(dtype).removeprefix("torch."),
    )
    for part in ("text_config", "vision_config"):
        config[part].pop("dtype", None)
    (out / "config.json").write_text(
        json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )
    (out / "README.md").write_text(card, encoding="utf-8")
    return out


def _size(model: torch.nn.Module, dtype: torch.dtype) -> int:
    return sum(value.numel() for value in model.parameters()) * dtype.itemsize


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
