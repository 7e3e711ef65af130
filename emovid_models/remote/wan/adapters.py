"""The LoRAs of a pipeline: which file is read, whether it fits, and how strong those of the emotion are.

Part of the pipelines' remote code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .conditioning import DEFAULT_WORDING, WORDINGS, check_wording
from .lora import WEIGHT_NAME, check_fits, read_facts


class EmotionAdapters:
    """Loads LoRAs into a Wan pipeline and knows which of them move the emotion; first among the bases.

    An emotion LoRA is one whose file has our header. Any other, of a style or a character, is loaded as the
    stock pipeline loads it and keeps the weight that `set_adapters` gave it.
    """

    _wordings: Mapping[str, str] | None = None

    @property
    def emotion_adapters(self) -> dict[str, str]:
        """The active emotion LoRAs: the adapter's name, and the wording that it was trained with."""
        active = self._active()
        return {name: wording for name, wording in (self._wordings or {}).items() if name in active}

    def wording_of(self, wording: str | None = None) -> str:
        """The wording that a call uses.

        Args:
            wording: the one that is asked for; None for that of the active emotion LoRAs, and
                `DEFAULT_WORDING` without any.

        Raises:
            ValueError: it is unknown, or the active LoRAs do not agree on one.
        """
        if wording is not None:
            check_wording(wording)
            return wording
        return agreed_wording(self.emotion_adapters)

    def _emotion_of(self, adapter: str | Sequence[str] | None) -> tuple[str, ...]:
        """The LoRAs that the intensity moves.

        Raises:
            ValueError: there are two and none is named, or one is named that is not active.
        """
        own = self.emotion_adapters
        if adapter is None:
            if len(own) > 1:
                raise ValueError(
                    f"{len(own)} emotion LoRAs are active ({', '.join(own)}): name the one that the "
                    "intensity moves by emotion_adapter=, or leave one out by set_adapters"
                )
            return tuple(own)
        names = (adapter,) if isinstance(adapter, str) else tuple(adapter)
        active = self._active()
        for name in names:
            if name not in active:
                loaded = ", ".join(sorted(active)) or "none"
                raise ValueError(f"emotion_adapter {name!r} is not an active LoRA; active: {loaded}")
        return names

    def _active(self) -> set[str]:
        active: set[str] = set()
        for name in ("transformer", "transformer_2"):
            module: Any = getattr(self, name, None)
            if getattr(module, "peft_config", None):
                active.update(module.active_adapters())
        return active

    @contextmanager
    def _adapter_weight(self, adapters: Sequence[str], weight: float) -> Iterator[None]:
        """Scale some LoRAs on top of the weights that the user set, and restore those."""
        saved = []
        if weight != 1.0 and adapters:
            transformers = (getattr(self, name, None) for name in ("transformer", "transformer_2"))
            for module in (part for whole in transformers if whole is not None for part in whole.modules()):
                scaling = getattr(module, "scaling", None)
                if isinstance(scaling, dict):
                    saved.append((scaling, dict(scaling)))
                    for name in adapters:
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

        As there, the LoRA that is loaded last is the active one; `set_adapters` makes several active, each
        with its weight.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a Hub repo or a state dict.
            adapter_name: the adapter's name.
            **kwargs: as for the stock pipeline; only safetensors files are read.

        Raises:
            ValueError: the file is cut short, or was trained on another base.
        """
        pipeline: Any = self
        path = lora_file(pretrained_model_name_or_path_or_dict, **kwargs)
        facts = read_facts(path) if path is not None else None
        second = kwargs.get("load_into_transformer_2", False)
        transformer = pipeline.transformer_2 if second else pipeline.transformer
        if path is not None and facts is not None:
            check_fits(path, transformer)
        if not isinstance(pretrained_model_name_or_path_or_dict, dict):
            kwargs.setdefault("use_safetensors", True)
            if path is not None and Path(pretrained_model_name_or_path_or_dict).is_dir():
                kwargs.setdefault("weight_name", path.name)
        before = set(getattr(transformer, "peft_config", {}))
        super().load_lora_weights(  # type: ignore[misc]
            pretrained_model_name_or_path_or_dict, adapter_name=adapter_name, **kwargs
        )
        added = set(getattr(transformer, "peft_config", {})) - before
        kept = {name: wording for name, wording in (self._wordings or {}).items() if name not in added}
        new = {} if facts is None else dict.fromkeys(sorted(added), facts.wording)
        self._wordings = {**kept, **new}


def agreed_wording(wordings: Mapping[str, str]) -> str:
    """The one wording of some LoRAs.

    Args:
        wordings: of each by its name; without any it is `DEFAULT_WORDING`.

    Raises:
        ValueError: they have more than one, or one that is unknown here.

    >>> agreed_wording({"emotion": "mood"})
    'mood'
    """
    found = set(wordings.values()) or {DEFAULT_WORDING}
    (wording, *others) = sorted(found)
    if not others and wording in WORDINGS:
        return wording
    trained = ", ".join(f"{name} with wording {its!r}" for name, its in wordings.items())
    reason = "and one prompt has one" if others else "which is unknown here"
    raise ValueError(f"LoRA {trained}, {reason}: ask for one by wording=; allowed: {', '.join(WORDINGS)}")


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
        folder = path / (kwargs.get("subfolder") or "")
        if (folder / name).is_file():
            return folder / name
        others = [] if kwargs.get("weight_name") else list(folder.glob("*.safetensors"))
        return others[0] if len(others) == 1 else None
    options = ("subfolder", "revision", "token", "cache_dir", "local_files_only", "force_download")
    try:
        found = hf_hub_download(str(source), name, **{key: kwargs[key] for key in options if key in kwargs})
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    return Path(found)
