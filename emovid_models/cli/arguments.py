"""Checks that several of the models' commands declare: models, builds, devices, shapes of videos, seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from emovid_dataset.cli.arguments import Check, check_by, parsed_by, whole
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_models.remote.wan.inputs import check_frames, check_size
from emovid_models.wan.loras import WeightedLora, parse_lora

MINI = "mini"
"""The name of the models that ship with the package."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DEVICE = re.compile(r"(cpu|mps|xpu|cuda(:\d+)?)")

noise_seed = whole(-(2**63), 2**63 - 1)
"""A seed that torch's generators take."""

training_seed = whole(0, 2**32 - 1)
"""A seed that torch, numpy and Python take alike."""


def _source(value: str) -> str | None:
    """What keeps a text from naming a folder or a Hub repo."""
    if Path(value).is_dir() or _REPO.fullmatch(value):
        return None
    return f" {value!r} is not a folder, and not a repo of the form owner/name"


def _build(value: str) -> str | None:
    return None if "://" in value else _source(value)


_KINDS = {
    "annotator": ("nvila_lite", "an annotator"),
    "clip": ("clip", "a CLIP"),
    "videomae": ("videomae", "a VideoMAE"),
}
"""transformers' type of each kind of model that a command takes, and what it is called."""


def _model_of(kind: str) -> Callable[[str], str | None]:
    """What keeps a text from naming a model of a kind."""

    def problem(value: str) -> str | None:
        folder = Path(value)
        return _kind_problem(value, folder / "config.json", kind) if folder.is_dir() else _source(value)

    return problem


def _kind_problem(value: str, config: Path, kind: str) -> str | None:
    """What a model's settings say against its being of a kind."""
    if not config.is_file():
        return f" {value} cannot be loaded: it has no config.json"
    try:
        found = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError):
        return f" {value} cannot be loaded: its config.json is damaged"
    wanted, called = _KINDS[kind]
    if found != wanted:
        return f" {value} cannot be loaded: it is of type {found!r}, and {called} of type {wanted!r}"
    return None


def _network(kind: str) -> Callable[[str], str | None]:
    """What keeps a text from naming a network whose weights are safetensors."""

    def problem(value: str) -> str | None:
        found = _model_of(kind)(value)
        if found is None and Path(value).is_dir() and next(Path(value).glob("*.safetensors"), None) is None:
            return f" {value} cannot be loaded: it has no safetensors file"
        return found

    return problem


def base_problem(value: str) -> str | None:
    """What keeps a text from naming a base, as it follows the option's name, or None."""
    folder = Path(value)
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        return f" {value} has no model_index.json; it must be a base in the layout of diffusers"
    return _source(value)


def _weighted_lora(value: str) -> str | None:
    try:
        return _lora(parse_lora(value).source)
    except ValueError as error:
        return f": {error}"


def _lora(value: str) -> str | None:
    path = Path(value)
    if path.is_file():
        return None if path.suffix == ".safetensors" else f" {value} is not a safetensors file"
    if path.is_dir():
        found = next(path.glob("*.safetensors"), None)
        return None if found is not None else f" {value} holds no safetensors file"
    if _REPO.fullmatch(value):
        return None
    return f" {value!r} is not a file or folder, and not a repo of the form owner/name"


build_source: Check = check_by(_build)
"""A build: its folder, URL or Hub repo."""

model_source: Check = check_by(_source)
"""A model's folder or Hub repo."""


def annotator_sources(param: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Several annotators, each once, see `annotator_source`."""
    found = [one for value in values or () if (one := annotator_source(param, value)) is not None]
    for one in found:
        if found.count(one) > 1:
            raise ValueError(f"--{param.name} {one} is given twice")
    return found or None


def annotator_source(param: typer.CallbackParam, value: str | None) -> str | None:
    """An annotator's folder or Hub repo; "mini" becomes the folder of the one that ships."""
    if value == MINI:
        import emovid_models

        return str(emovid_models.MINI_ANNOTATOR)
    found: str | None = check_by(_model_of("annotator"))(param, value)
    return found


clip_source: Check = check_by(_network("clip"))
"""A CLIP's folder or Hub repo."""

videomae_source: Check = check_by(_network("videomae"))
"""A VideoMAE's folder or Hub repo."""

base_source: Check = check_by(lambda value: None if value == MINI else base_problem(value))
"""A folder in the layout of diffusers, a Hub repo, or "mini", see `base_folder`."""

weighted_lora_source: Check = check_by(_weighted_lora)
"""A LoRA's file, folder or Hub repo, with or without a weight after a colon."""

device_name: Check = check_by(
    lambda value: None if _DEVICE.fullmatch(value) else f" is {value!r}; allowed: cpu, cuda, cuda:N, mps, xpu"
)
"""A device by torch's name; `check_device` says whether it is there."""

frame_size: Check = parsed_by(lambda text: check_size(*parse_frame_size(text)))
"""WIDTHxHEIGHT, both multiples of 16."""


def _frame_count(value: int) -> str | None:
    try:
        check_frames(value)
    except ValueError as error:
        return f": {error}"
    return None


frame_count: Check = check_by(_frame_count)
"""4k+1 frames."""


def parse_loras(
    given: Sequence[str] | None, emotion: str | None, *, option: str = "--lora"
) -> tuple[WeightedLora, ...]:
    """Read the LoRAs that an option names.

    Args:
        given: the values of the option.
        emotion: the value of `--emotion-lora`.
        option: its name.

    Raises:
        ValueError: one is given twice, or the emotion's is none of them.
    """
    loras = tuple(map(parse_lora, given or ()))
    sources = [lora.source for lora in loras]
    for source in sources:
        if sources.count(source) > 1:
            raise ValueError(f"{option} {source} is given twice")
    if emotion is not None and emotion not in sources:
        there = ", ".join(sources) or "none"
        raise ValueError(f"--emotion-lora {emotion} is not given by {option}; given: {there}")
    return loras


def base_folder(base: str, *, image_to_video: bool) -> str:
    """A base by its folder or repo: "mini" is the one that ships for the task."""
    import emovid_models

    if base != MINI:
        return base
    return str(emovid_models.MINI_WAN_I2V if image_to_video else emovid_models.MINI_WAN_T2V)


def check_device(name: str | None) -> None:
    """Refuse a device that this machine does not have.

    Args:
        name: as torch names it; None is always there.

    Raises:
        ValueError: names the option and the value.
    """
    if name is None:
        return
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error


def check_build(
    option: str,
    source: str,
    splits: Iterable[str],
    content_type: str | None = None,
    *,
    taxonomy: Taxonomy | None = MIKELS,
) -> None:
    """Refuse what is not a build, a build of other emotions, or one without clips in some splits.

    Args:
        option: by which it was given.
        source: the build's folder, URL or Hub repo.
        splits: those that must have clips.
        content_type: only clips of this type count; None counts all.
        taxonomy: the emotions that the build must have; None for any.

    Raises:
        ValueError: a split has no such clip, or the build has other emotions.
        OSError: it is not a build, or cannot be read.
    """
    from emovid_dataset.read.manifest import read_manifest

    manifest = read_manifest(source)
    if taxonomy is not None and manifest.taxonomy.names != taxonomy.names:
        theirs = f"{manifest.taxonomy.name!r} ({', '.join(manifest.taxonomy.names)})"
        known = ", ".join(taxonomy.names)
        raise ValueError(f"{option} {source} has the emotions of {theirs}; the model knows {known}")
    held = manifest.splits(content_type or "all")
    for split in splits:
        if split not in held:
            kind = "" if content_type is None else f" of content type {content_type!r}"
            there = ", ".join(held) or "none"
            raise ValueError(f"{option} {source} has no clip{kind} in the split {split!r}; it has: {there}")


def check_annotator(option: str, source: str) -> None:
    """Refuse a repo that holds no annotator, see `check_model_kind`."""
    check_model_kind(option, source, "annotator")


def check_captions(option: str, source: str) -> None:
    """Refuse an annotator that offers no captions, where some are asked for.

    Args:
        option: by which it was given.
        source: a folder or a Hub repo.

    Raises:
        ValueError: its settings say that it offers none.
        OSError: they cannot be read.
    """
    path = Path(source, "config.json")
    if not Path(source).is_dir():
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(source, "config.json"))
    if json.loads(path.read_text(encoding="utf-8")).get("captions") is False:
        raise ValueError(f"--caption: {option} {source} offers no captions, as its config.json says")


def annotator_taxonomy(source: str | None) -> Taxonomy:
    """The emotions that an annotator tells apart; None is the miniature, which knows Mikels' eight."""
    from emovid_models.annotator.taxonomy import read_taxonomy

    return MIKELS if source is None else read_taxonomy(source)


def check_knows_the_eight(source: str | None, asked: str) -> None:
    """Refuse an annotator of other emotions than Mikels' eight, where those are asked for.

    Raises:
        ValueError: names the option, and what asks for the eight.
    """
    names = annotator_taxonomy(source).names
    if names != MIKELS.names:
        raise ValueError(
            f"--annotator {source} tells apart {', '.join(names)}; {asked} asks for {', '.join(MIKELS.names)}"
        )


def check_model_kind(option: str, source: str, kind: str) -> None:
    """Refuse a repo of another kind of model, by its settings alone; a folder's were looked at already.

    Args:
        option: by which it was given.
        source: a folder or a Hub repo.
        kind: "annotator", "clip" or "videomae".

    Raises:
        ValueError: it holds another kind of model.
        OSError: the repo is not there, or may not be read.
    """
    if Path(source).is_dir():
        return
    from huggingface_hub import hf_hub_download

    problem = _kind_problem(source, Path(hf_hub_download(source, "config.json")), kind)
    if problem is not None:
        raise ValueError(f"{option}{problem}")
