"""The LoRAs of a pipeline: which file is read, whether it fits, and how strong those of the emotion are.

Part of the pipelines' remote code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .conditioning import WORDING_VERSION
from .lora import WEIGHT_NAME, check_fits, read_facts


class EmotionAdapters:
    """Loads LoRAs into a Wan pipeline; stands before it among the bases."""

    _emotion_adapters: tuple[str, ...] = ()

    @contextmanager
    def _adapter_weight(self, weight: float) -> Iterator[None]:
        """Scale the emotion LoRAs on top of the weights that the user set, and restore those."""
        saved = []
        if weight != 1.0 and self._emotion_adapters:
            transformers = (getattr(self, name, None) for name in ("transformer", "transformer_2"))
            for module in (part for whole in transformers if whole is not None for part in whole.modules()):
                scaling = getattr(module, "scaling", None)
                if isinstance(scaling, dict):
                    saved.append((scaling, dict(scaling)))
                    for name in self._emotion_adapters:
                        if name in scaling:
                            scaling[name] *= weight
        try:
            yield
        finally:
            for scaling, before in saved:
                scaling.update(before)

    def load_lora_weights(
        self, pretrained_model_name_or_path_or_dict: Any, adapter_name: str | None = None, **kwargs: Any
    ) -> None:
        """Load a LoRA as the stock pipeline does, after a look at where it comes from.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a Hub repo or a state dict.
            adapter_name: the adapter's name.
            **kwargs: as for the stock pipeline; only safetensors files are read.

        Raises:
            ValueError: the file is cut short, or was trained on another base.

        Warns:
            UserWarning: it was trained with another wording of the emotions, or for another task.
        """
        pipeline: Any = self
        path = lora_file(pretrained_model_name_or_path_or_dict, **kwargs)
        facts = read_facts(path) if path is not None else None
        second = kwargs.get("load_into_transformer_2", False)
        transformer = pipeline.transformer_2 if second else pipeline.transformer
        if path is not None and facts is not None:
            check_fits(path, transformer)
            if facts.wording != WORDING_VERSION:
                warnings.warn(
                    f"LoRA {path} was trained with wording {facts.wording} of the emotions, this pipeline "
                    f"uses wording {WORDING_VERSION}: the emotion may come out weaker",
                    stacklevel=2,
                )
        if not isinstance(pretrained_model_name_or_path_or_dict, dict):
            kwargs.setdefault("use_safetensors", True)
        before = set(getattr(transformer, "peft_config", {}))
        super().load_lora_weights(  # type: ignore[misc]
            pretrained_model_name_or_path_or_dict, adapter_name=adapter_name, **kwargs
        )
        if facts is not None:
            added = set(getattr(transformer, "peft_config", {})) - before
            self._emotion_adapters = (*self._emotion_adapters, *sorted(added))


def lora_file(source: Any, **kwargs: Any) -> Path | None:
    """The file that the stock loader is going to read, or None where only that loader can tell.

    Args:
        source: a file, a folder, a Hub repo or a state dict.
        **kwargs: of `load_lora_weights`.
    """
    if isinstance(source, dict):
        return None
    path = Path(source)
    if path.is_file():
        return path
    name = kwargs.get("weight_name") or WEIGHT_NAME
    if path.is_dir():
        file = path / (kwargs.get("subfolder") or "") / name
        return file if file.is_file() else None
    options = ("subfolder", "revision", "token", "cache_dir", "local_files_only", "force_download")
    try:
        found = hf_hub_download(str(source), name, **{key: kwargs[key] for key in options if key in kwargs})
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    return Path(found)
