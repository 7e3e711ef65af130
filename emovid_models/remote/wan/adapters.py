"""The LoRAs of a pipeline: which file is read, whether it fits, and how strong those of the emotion are.

Part of the pipelines' remote code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .conditioning import DEFAULT_WORDING, WORDINGS, check_wording
from .lora import SECOND_WEIGHT_NAME, WEIGHT_NAME, LoraFacts, check_fits, read_facts

_MARK = "emovid_wording"
"""Attribute of an adapter's config in a transformer: what the LoRA's file says of it, see `_origin`."""

_FUSED = "emovid_fused"
"""Attribute of a transformer whose weights hold emotion LoRAs: their names."""


class EmotionAdapters:
    """Loads LoRAs into a Wan pipeline and knows which of them move the emotion; first among the bases.

    An emotion LoRA is one whose file has our header. Any other, of a style or a character, is loaded as the
    stock pipeline loads it and keeps the weight that `set_adapters` gave it. What a LoRA is, is noted in the
    transformer that carries it, so that pipelines that share the transformer agree. Of a LoRA that was given
    as a state dict, or loaded by another kind of pipeline, nobody knows: where no other is an emotion LoRA,
    it is taken for one.
    """

    @property
    def emotion_adapters(self) -> dict[str, str]:
        """The active emotion LoRAs: the adapter's name, and the wording that it was trained with."""
        origins = self._origins()
        known = {name: origin for name, origin in origins.items() if origin}
        return known or {name: DEFAULT_WORDING for name, origin in origins.items() if origin is None}

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

    def _emotion_of(self, adapter: str | Sequence[str] | None, intensity: float) -> tuple[str, ...]:
        """The LoRAs that the intensity moves.

        Raises:
            ValueError: there are two and none is named, one is named that is not active, or one is fused into
                the weights and would have to be moved.
        """
        own = self.emotion_adapters
        if adapter is None:
            if len(own) > 1:
                raise ValueError(
                    f"{len(own)} emotion LoRAs are active ({', '.join(own)}): name the one that the "
                    "intensity moves by emotion_adapter=, or leave one out by set_adapters"
                )
            names = tuple(own)
            if names and self._origins()[names[0]] is None and intensity < 1:
                warnings.warn(
                    f"LoRA {names[0]!r} was not loaded from a file by this pipeline and is taken for an "
                    "emotion LoRA; name another one by emotion_adapter=",
                    stacklevel=3,
                )
        else:
            names = (adapter,) if isinstance(adapter, str) else tuple(adapter)
            active = self._origins()
            for name in names:
                if name not in active:
                    loaded = ", ".join(sorted(active)) or "none"
                    raise ValueError(f"emotion_adapter {name!r} is not an active LoRA; active: {loaded}")
        if intensity < 1:
            self._refuse_fused(names if adapter is not None else None)
        return names

    def _refuse_fused(self, names: Sequence[str] | None) -> None:
        """Refuse to move LoRAs that are part of the weights; None is any of an emotion."""
        for module in self._transformers():
            merged = _merged(module)
            fused = _not_of_a_style(module, merged) if names is None else merged & set(names)
            fused |= set(getattr(module, _FUSED, ()))
            if fused:
                raise ValueError(
                    f"LoRA {', '.join(sorted(fused))} is fused into the weights, and an intensity below 1 "
                    "cannot take it out: call unfuse_lora() first, or load the pipeline anew"
                )

    def _transformers(self) -> list[Any]:
        found = (getattr(self, name, None) for name in ("transformer", "transformer_2"))
        return [module for module in found if module is not None]

    def _origins(self) -> dict[str, str | None]:
        """Of every active LoRA its wording, "" where it is not an emotion's, None where nobody knows."""
        found: dict[str, str | None] = {}
        for module in self._transformers():
            configs = getattr(module, "peft_config", None)
            if configs:
                for name in module.active_adapters():
                    mark = getattr(configs.get(name), _MARK, None)
                    found[name] = mark or found.get(name, mark)
        return found

    @contextmanager
    def _adapter_weight(self, adapters: Sequence[str], weight: float) -> Iterator[None]:
        """Scale some LoRAs on top of the weights that the user set, and restore those."""
        saved = []
        if weight != 1.0 and adapters:
            for module in (part for whole in self._transformers() for part in whole.modules()):
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
        with its weight. Where the pipeline has two transformers, a file whose header says on which of them it
        was trained goes into that one, and of a folder or repo that holds a file for each both are loaded.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a Hub repo or a state dict.
            adapter_name: the adapter's name.
            **kwargs: as for the stock pipeline; only safetensors files are read.

        Warns:
            UserWarning: the LoRA was trained for the other task, or on the other transformer.

        Raises:
            ValueError: the file is cut short, or was trained on another base.
        """
        pipeline: Any = self
        source = pretrained_model_name_or_path_or_dict
        path = lora_file(source, **kwargs)
        facts = read_facts(path) if path is not None else None
        named = "weight_name" in kwargs or "load_into_transformer_2" in kwargs
        if facts is not None and facts.transformer == "low" and not named:
            kwargs["load_into_transformer_2"] = True
        if kwargs.get("load_into_transformer_2") and pipeline.transformer_2 is None:
            raise ValueError(
                f"LoRA {path or 'of a state dict'} is for the second of two transformers, "
                "and this base has one"
            )
        name = self._load_into_one(source, path, facts, adapter_name, kwargs)
        if facts is None or facts.transformer != "high" or pipeline.transformer_2 is None or named:
            return
        other = None if Path(source).is_file() else second_lora_file(source, **kwargs)
        if other is not None:
            into_second = {"load_into_transformer_2": True}
            self._load_into_one(str(other), other, read_facts(other), name, {**kwargs, **into_second})

    def _load_into_one(
        self,
        source: Any,
        path: Path | None,
        facts: LoraFacts | None,
        adapter_name: str | None,
        options: Mapping[str, Any],
    ) -> str | None:
        """Load one file into one transformer, and note there what it is.

        Returns:
            The adapter's name.
        """
        pipeline: Any = self
        kwargs = dict(options)
        second = kwargs.get("load_into_transformer_2", False)
        transformer = pipeline.transformer_2 if second else pipeline.transformer
        transformer = getattr(transformer, "_orig_mod", transformer)  # of a compiled one
        if path is not None and facts is not None:
            check_fits(path, transformer)
            self._say_where_trained(path, facts, transformer, "low" if second else "high")
        if not isinstance(source, dict):
            kwargs.setdefault("use_safetensors", True)
            if path is not None and Path(source).is_dir():
                kwargs.setdefault("weight_name", path.name)
        before = set(getattr(transformer, "peft_config", None) or {})
        super().load_lora_weights(source, adapter_name=adapter_name, **kwargs)  # type: ignore[misc]
        configs = getattr(transformer, "peft_config", None) or {}
        # A hot swap puts other weights under a name that is there.
        added = (set(configs) - before) or {name for name in (adapter_name,) if name in configs}
        for name in added:
            if isinstance(source, dict):
                setattr(configs[name], _MARK, None)
            else:
                setattr(configs[name], _MARK, "" if facts is None else facts.wording)
        return adapter_name or next(iter(added), None)

    def _say_where_trained(self, path: Path, facts: LoraFacts, transformer: Any, part: str) -> None:
        """Warn of a LoRA of the other task, or of another transformer."""
        pipeline: Any = self
        tasks = {"i2v"} if transformer.config.in_channels > transformer.config.out_channels else {"t2v"}
        if pipeline.config.get("expand_timesteps"):
            tasks = {"t2v", "i2v"}
        if facts.task not in tasks:
            warnings.warn(
                f"LoRA {path} was trained for task {facts.task}, and this base is made for {tasks.pop()}",
                stacklevel=4,
            )
        here = part if pipeline.transformer_2 is not None else ""
        if facts.transformer and facts.transformer != here:
            where = f"the {here}-noise one" if here else "a base that has one"
            warnings.warn(
                f"LoRA {path} was trained on the {facts.transformer}-noise transformer of a base with two, "
                f"and is loaded into {where}",
                stacklevel=4,
            )

    def fuse_lora(self, *args: Any, **kwargs: Any) -> None:
        """Fuse LoRAs into the weights as the stock pipeline does.

        A fused emotion LoRA answers to no intensity below 1: a call that asks for one is refused.

        Args:
            *args: as for the stock pipeline.
            **kwargs: as for the stock pipeline.
        """
        super().fuse_lora(*args, **kwargs)  # type: ignore[misc]
        self._note_fused()

    def unfuse_lora(self, *args: Any, **kwargs: Any) -> None:
        """Take fused LoRAs out of the weights again, as the stock pipeline does.

        Args:
            *args: as for the stock pipeline.
            **kwargs: as for the stock pipeline.
        """
        super().unfuse_lora(*args, **kwargs)  # type: ignore[misc]
        self._note_fused()

    def _note_fused(self) -> None:
        """Note the fused emotion LoRAs in the transformers: unloading leaves them in the weights."""
        for module in self._transformers():
            fused = _not_of_a_style(module, _merged(module))
            setattr(module, _FUSED, tuple(sorted(fused)))


def _merged(transformer: Any) -> set[str]:
    """The LoRAs that are part of a transformer's weights now."""
    return {name for part in transformer.modules() for name in getattr(part, "merged_adapters", ())}


def _not_of_a_style(transformer: Any, names: set[str]) -> set[str]:
    """Of some LoRAs those that are an emotion's, or may be."""
    configs = getattr(transformer, "peft_config", None) or {}
    return {name for name in names if getattr(configs.get(name), _MARK, None) != ""}


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


def second_lora_file(source: Any, **kwargs: Any) -> Path | None:
    """The file of a folder or Hub repo that holds the LoRA of the second transformer, or None without one.

    Args:
        source: a file, a folder, a Hub repo or a state dict; a file alone has no second.
        **kwargs: of `load_lora_weights`.
    """
    if isinstance(source, dict) or Path(source).is_file():
        return None
    return lora_file(source, **{**kwargs, "weight_name": SECOND_WEIGHT_NAME})
