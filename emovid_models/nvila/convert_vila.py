"""Convert checkpoints between the layout that NVILA is published in and ours, both ways.

    python -m emovid_models.nvila.convert_vila SRC OUT [--reverse]

The published layout keeps the parts apart: folders `llm`, `vision_tower` and `mm_projector`, each with a
config.json and safetensors, and a config.json above them. Ours is one transformers checkpoint. Converting
only renames the weights: their bytes are copied in small pieces, so memory does not grow with a shard, and
every type of number stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emovid_dataset.terminal import Progress

PIECE = 4 << 20
"""Bytes that are copied at a time."""

LICENCE_FILES = ("LICENSE", "LICENSE.md", "NOTICE")

_PREFIXES = {
    "llm": {"model.": "model.language_model.", "lm_head.": "lm_head."},
    "vision_tower": {"vision_model.": "model.vision_tower."},
    "mm_projector": {"layers.": "model.multi_modal_projector.layers."},
}
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
_SENTINEL_TOKEN = "<vila/sentinel>"
_IMAGE_TOKEN = "<image>"
_VIDEO_TOKEN = "<vila/video>"
_SOURCE_SETTINGS = "vila_config"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in a safetensors file.

    Attributes:
        file: the file.
        key: its name there.
        dtype: its type as safetensors spell it, such as "BF16".
        shape: its sizes.
        start: first byte in the file.
        size: number of bytes.
    """

    file: Path
    key: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read_header(file: Path) -> list[StoredTensor]:
    """List the tensors of a safetensors file, in the order of their bytes, without reading those.

    Args:
        file: the file.

    Raises:
        ValueError: it is no safetensors file, or is cut short.
    """
    length = file.stat().st_size
    with file.open("rb") as stream:
        header_length = int.from_bytes(stream.read(8), "little")
        if length < 8 or header_length > length - 8:
            raise ValueError(f"{file} is not a safetensors file, or is cut short")
        try:
            header = json.loads(stream.read(header_length))
        except ValueError as error:
            raise ValueError(f"{file} is not a safetensors file: {error}") from error
    header.pop("__metadata__", None)
    data = 8 + header_length
    tensors = [
        StoredTensor(
            file, key, entry["dtype"], tuple(entry["shape"]), data + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for key, entry in header.items()
    ]  # fmt: skip
    tensors.sort(key=lambda tensor: tensor.start)
    if tensors and tensors[-1].start + tensors[-1].size > length:
        raise ValueError(f"{file} is cut short: {length} bytes, not {tensors[-1].start + tensors[-1].size}")
    return tensors


def write_tensors(file: Path, tensors: dict[str, StoredTensor]) -> None:
    """Copy tensors of other files into a new safetensors file under new names.

    Args:
        file: the file to write; it appears under its name when it is complete.
        tensors: new name to where the tensor is now.
    """
    # Wide types first, as safetensors itself orders them, so that every tensor is aligned.
    order = sorted(tensors, key=lambda name: -_itemsize(tensors[name]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.size],
        }
        offset += tensor.size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in order:
            for piece in _pieces(tensors[name]):
                stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def _itemsize(tensor: StoredTensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return tensor.size // count if count else 0


def _pieces(tensor: StoredTensor) -> Iterator[bytes]:
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        left = tensor.size
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise ValueError(f"{tensor.file} is cut short at {tensor.key}")
            left -= len(piece)
            yield piece


def stored_tensors(folder: Path) -> list[StoredTensor]:
    """List all tensors of a folder's safetensors files; where there is an index, of the files it names.

    Args:
        folder: a folder with model.safetensors, or with shards and model.safetensors.index.json.

    Raises:
        OSError: there are no safetensors, or a shard is missing.
        ValueError: a key is there twice, or the index and the files differ.
    """
    index_file = folder / "model.safetensors.index.json"
    weight_map: dict[str, str] | None = None
    if index_file.is_file():
        weight_map = _read_json(index_file)["weight_map"]
        files = [folder / name for name in sorted(set(weight_map.values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise OSError(f"{folder} lacks {', '.join(missing[:3])}, which {index_file.name} names")
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        found = f"only pickle weights ({pickles[0]}), which are not read" if pickles else "no weights"
        raise OSError(f"{folder} holds {found}; *.safetensors is needed")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in read_header(file):
            if tensor.key in tensors:
                raise ValueError(f"{tensor.key} is both in {tensors[tensor.key].file} and in {file}")
            tensors[tensor.key] = tensor
    if weight_map is not None:
        wrong = [key for key in weight_map.keys() | tensors.keys()
                 if key not in tensors or weight_map.get(key) != tensors[key].file.name]  # fmt: skip
        if wrong:
            raise ValueError(f"{index_file} and the files differ in {_some(wrong)}")
    return list(tensors.values())


def convert(source: Path, out: Path) -> None:
    """Convert a checkpoint in the published layout to ours.

    Args:
        source: folder with config.json, llm, vision_tower and mm_projector.
        out: folder to write; new or empty. It holds weights, configuration, tokenizer, processor and the
            code, so that it also loads with `trust_remote_code=True` where this package is missing.

    Raises:
        OSError: a file is missing, or `out` is not empty.
        ValueError: the checkpoint contradicts itself or what our classes compute.
    """
    from transformers import GenerationConfig

    from emovid_models.nvila import AUTO_MAP
    from emovid_models.remote.annotator import MODEL_CODE
    from emovid_models.remote.annotator.processing_nvila import NVILALiteProcessor

    settings = _read_json(source / "config.json")
    parts = {part: _part_settings(source, part, settings) for part in _PREFIXES}
    _check_settings(settings)
    tokenizer = _load_tokenizer(source / "llm")
    frame_end = _frame_end(settings)
    config = _our_config(settings, parts, tokenizer, frame_end)
    pixels = _pixels(source / "vision_tower" / "preprocessor_config.json", settings, config)
    template = _chat_template(source, settings, tokenizer)

    renamed: dict[str, StoredTensor] = {}
    for part in _PREFIXES:
        for tensor in stored_tensors(source / part):
            renamed[_rename(tensor, _PREFIXES[part])] = tensor
    _check_weights(config, renamed)
    dtype = renamed["model.language_model.embed_tokens.weight"].dtype
    config.dtype = _DTYPES.get(dtype)
    config.architectures = ["NVILALiteForConditionalGeneration"]
    config.auto_map = dict(AUTO_MAP)
    unwanted = [f"{part}_cfg" for part in _PREFIXES] + ["auto_map", "resume_path", "transformers_version"]
    setattr(config, _SOURCE_SETTINGS, _without(settings, "_name_or_path", *unwanted))

    _make_empty(out)
    by_file: dict[Path, dict[str, StoredTensor]] = {}
    for name, tensor in renamed.items():
        by_file.setdefault(tensor.file, {})[name] = tensor
    _write_shards(out, list(by_file.values()))

    processor = NVILALiteProcessor(
        tokenizer,
        tokens_per_frame=config.tokens_per_frame,
        num_frames=config.num_frames,
        frame_end=frame_end,
        video_token=_VIDEO_TOKEN,
        image_token=_IMAGE_TOKEN,
        chat_template=template,
        **pixels,
    )
    processor.save_pretrained(out)
    _add_auto_map(out / "processor_config.json", {"AutoProcessor": AUTO_MAP["AutoProcessor"]})
    generation_file = source / "llm" / "generation_config.json"
    generation = (
        GenerationConfig(**_read_json(generation_file)) if generation_file.is_file() else GenerationConfig()
    )
    generation.eos_token_id = _stop_ids(generation.eos_token_id, parts["llm"].get("eos_token_id"), tokenizer)
    generation.pad_token_id = tokenizer.pad_token_id
    generation.save_pretrained(out)
    for name, path in MODEL_CODE.items():
        shutil.copyfile(path, out / name)
    for name in LICENCE_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, out / name)
    # Last, so that a conversion that was interrupted does not look like a checkpoint.
    config.save_pretrained(out)


def convert_back(source: Path, out: Path) -> None:
    """Convert a checkpoint of ours to the published layout.

    Args:
        source: folder that `convert` or `save_pretrained` of model and processor wrote.
        out: folder to write; new or empty.

    Raises:
        OSError: a file is missing, or `out` is not empty.
        ValueError: the checkpoint's keys are not those of its configuration.
    """
    from transformers import GenerationConfig

    from emovid_models.remote.annotator.configuration_nvila import NVILALiteConfig
    from emovid_models.remote.annotator.processing_nvila import NVILALiteProcessor

    if _read_json(source / "config.json").get("model_type") != NVILALiteConfig.model_type:
        raise ValueError(f"{source} has another model_type than {NVILALiteConfig.model_type!r}")
    config = NVILALiteConfig.from_pretrained(source)
    processor: Any = NVILALiteProcessor.from_pretrained(source)
    tensors = {tensor.key: tensor for tensor in stored_tensors(source)}
    _check_weights(config, tensors)

    _make_empty(out)
    for part, prefixes in _PREFIXES.items():
        back = {ours: theirs for theirs, ours in prefixes.items()}
        by_file: dict[Path, dict[str, StoredTensor]] = {}
        for tensor in tensors.values():
            if any(tensor.key.startswith(prefix) for prefix in back):
                by_file.setdefault(tensor.file, {})[_rename(tensor, back)] = tensor
        (out / part).mkdir()
        _write_shards(out / part, list(by_file.values()))

    dtype = _DTYPES.get(tensors["model.language_model.embed_tokens.weight"].dtype, "float32")
    llm = _qwen2_settings(config.text_config, dtype)
    vision = {**_plain(config.vision_config), "architectures": ["SiglipVisionModel"], "torch_dtype": dtype}
    projector = {
        "architectures": ["MultimodalProjector"],
        "mm_projector_type": config.projector_type,
        "model_type": "v2l_projector",
        "torch_dtype": dtype,
    }
    _write_json(out / "llm" / "config.json", llm)
    _write_json(out / "vision_tower" / "config.json", vision)
    _write_json(out / "mm_projector" / "config.json", projector)
    _write_json(
        out / "vision_tower" / "preprocessor_config.json",
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": processor.image_mean,
            "image_processor_type": "SiglipImageProcessor",
            "image_std": processor.image_std,
            "resample": processor.resample,
            "rescale_factor": processor.rescale_factor,
            "size": {"height": processor.image_size, "width": processor.image_size},
        },
    )
    settings: dict[str, Any] = {
        "architectures": ["VILAForCausalLM"],
        "chat_template": "qwen2",
        "dynamic_s2": False,
        "fps": 0.0,
        "image_aspect_ratio": "resize",
        "image_encoder": {"_target_": "llava.model.encoders.BasicImageEncoder"},
        "s2": False,
        "video_encoder": {"_target_": "llava.model.encoders.BasicVideoEncoder"},
        **(getattr(config, _SOURCE_SETTINGS, None) or {}),
        "hidden_size": config.text_config.hidden_size,
        "mm_hidden_size": config.vision_config.hidden_size,
        "mm_vision_select_feature": config.vision_feature_select,
        "mm_vision_select_layer": config.vision_feature_layer,
        "model_dtype": f"torch.{dtype}",
        "model_type": "vila",
        "num_video_frames": config.num_frames,
        "llm_cfg": llm,
        "vision_tower_cfg": vision,
        "mm_projector_cfg": projector,
    }
    if processor.frame_end != _frame_end(settings):
        target = "llava.model.encoders.BasicVideoEncoder"
        settings["video_encoder"] = {"_target_": target, "end_tokens": processor.frame_end or None}
    _save_tokenizer(processor.tokenizer, out / "llm", llm["vocab_size"])
    if settings["chat_template"]:
        (out / f"{settings['chat_template']}.jinja").write_text(processor.chat_template, encoding="utf-8")
    if (source / "generation_config.json").is_file():
        GenerationConfig.from_pretrained(source).save_pretrained(out / "llm")
    for name in LICENCE_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, out / name)
    _write_json(out / "config.json", settings)


def _part_settings(source: Path, part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A part's own config.json; where it has none, what the one above says of it."""
    above = settings.get(f"{part}_cfg")
    file = source / part / "config.json"
    return above if isinstance(above, dict) and not file.is_file() else _read_json(file)


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse a checkpoint of the same family that computes something else than our classes."""
    for name in ("s2", "dynamic_s2"):
        if settings.get(name):
            raise ValueError(
                f"config.json has {name} {settings[name]!r}: pictures at several scales are not supported"
            )
    aspect, tiles = settings.get("image_aspect_ratio"), settings.get("video_max_tiles") or 1
    if aspect not in (None, "resize", "dynamic"):
        raise ValueError(f"config.json has image_aspect_ratio {aspect!r}; allowed: 'resize', 'dynamic'")
    if tiles > 1:
        raise ValueError(f"config.json has video_max_tiles {tiles}; allowed: 1, a frame is one tile")


def _frame_end(settings: dict[str, Any]) -> str:
    encoder = settings.get("video_encoder") or {}
    if isinstance(encoder, str):
        encoder = json.loads(encoder)
    kind = str(encoder.get("_target_", "BasicVideoEncoder")).rsplit(".", 1)[-1]
    if kind != "BasicVideoEncoder":
        raise ValueError(f"config.json has the video_encoder {kind!r}; allowed: 'BasicVideoEncoder'")
    if encoder.get("start_tokens"):
        raise ValueError(
            f"config.json has the video_encoder's start_tokens {encoder['start_tokens']!r}; allowed: none"
        )
    return encoder.get("end_tokens", "\n") or ""


def _our_config(
    settings: dict[str, Any], parts: dict[str, dict[str, Any]], tokenizer: Any, frame_end: str
) -> Any:
    from transformers import Qwen2Config, SiglipVisionConfig

    from emovid_models.remote.annotator.configuration_nvila import NVILALiteConfig

    for part, expected in (("llm", "qwen2"), ("vision_tower", "siglip_vision_model")):
        kind = parts[part].get("model_type")
        if kind != expected:
            raise ValueError(f"{part}/config.json has model_type {kind!r}; allowed: {expected!r}")
    text = Qwen2Config(**_without(parts["llm"], "model_type", "architectures", "_name_or_path"))
    vision = SiglipVisionConfig(
        **_without(parts["vision_tower"], "model_type", "architectures", "_name_or_path")
    )
    for name, stated, actual in (
        ("hidden_size", settings.get("hidden_size"), text.hidden_size),
        ("mm_hidden_size", settings.get("mm_hidden_size"), vision.hidden_size),
    ):
        if stated not in (None, actual):
            raise ValueError(f"config.json has {name} {stated}, but the part has {actual}")
    known = len(tokenizer)
    layer, feature = settings.get("mm_vision_select_layer"), settings.get("mm_vision_select_feature")
    return NVILALiteConfig(
        vision_config=vision,
        text_config=text,
        projector_type=parts["mm_projector"].get("mm_projector_type") or "mlp_downsample_3x3_fix",
        vision_feature_layer=-2 if layer is None else layer,
        vision_feature_select=feature or "cls_patch",
        num_frames=settings.get("num_video_frames") or 8,
        video_token_id=tokenizer.convert_tokens_to_ids(_VIDEO_TOKEN),
        image_token_id=tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN),
        sentinel_token_id=tokenizer.convert_tokens_to_ids(_SENTINEL_TOKEN),
        frame_end_token_ids=tokenizer(frame_end, add_special_tokens=False).input_ids if frame_end else [],
        num_tokens=known if text.vocab_size > known else None,
    )


def _pixels(file: Path, settings: dict[str, Any], config: Any) -> dict[str, Any]:
    """The processor's arguments from the image processor's settings."""
    stored = _read_json(file)
    size, expected = stored.get("size", {}), config.vision_config.image_size
    if (size.get("height"), size.get("width")) != (expected, expected):
        raise ValueError(f"{file} has size {size}, but the vision tower takes {expected} x {expected} pixels")
    if stored.get("do_resize", True) is not True:
        raise ValueError(f"{file} has do_resize {stored['do_resize']!r}; allowed: true")
    normalize = stored.get("do_normalize", True)
    return {
        "image_size": expected,
        # "resize" has squeezed the frame by Pillow's default, bicubic, before these settings come to it.
        "resample": 3 if settings.get("image_aspect_ratio") == "resize" else stored.get("resample", 3),
        "rescale_factor": stored.get("rescale_factor", 1 / 255) if stored.get("do_rescale", True) else 1.0,
        "image_mean": stored.get("image_mean", [0.5] * 3) if normalize else [0.0] * 3,
        "image_std": stored.get("image_std", [0.5] * 3) if normalize else [1.0] * 3,
    }


def _load_tokenizer(folder: Path) -> Any:
    """The language model's tokenizer, with the media tokens that the original adds when it loads."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (folder / "tokenizer_config.json").is_file():
        raise OSError(f"{folder} lacks tokenizer_config.json")
    # tokenizer.json says all; a class of its own would put its habits in the place of some of it.
    loader: Any = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
    tokenizer = loader.from_pretrained(folder)
    for token in (_SENTINEL_TOKEN, _IMAGE_TOKEN, _VIDEO_TOKEN):
        tokenizer.add_tokens([token], special_tokens=True)
    return tokenizer


def _save_tokenizer(tokenizer: Any, folder: Path, rows: int) -> None:
    """Save a tokenizer so that transformers 4, which the original runs on, reads it too."""
    tokenizer.save_pretrained(folder)
    settings = _read_json(folder / "tokenizer_config.json")
    kept = ("bos_token", "eos_token", "pad_token", "unk_token", "chat_template", "model_max_length")
    settings = {name: settings[name] for name in kept if settings.get(name) is not None}
    for name in ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    if tokenizer.chat_template:
        settings["chat_template"] = tokenizer.chat_template
    settings |= {"clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    _write_json(folder / "tokenizer_config.json", settings)


def _chat_template(source: Path, settings: dict[str, Any], tokenizer: Any) -> str:
    from emovid_models.remote.annotator.processing_nvila import CHAT_TEMPLATE

    name = settings.get("chat_template")
    if name is None:
        if not tokenizer.chat_template:
            raise ValueError(
                f"{source} has no chat template: neither config.json nor the tokenizer names one"
            )
        return tokenizer.chat_template
    file = source / f"{name}.jinja"
    if file.parent == source and file.is_file():
        # The original's templates are indented for reading; what counts is what is left without that.
        return file.read_text(encoding="utf-8").replace("    ", "").replace("\n", "")
    if name != "qwen2":
        raise ValueError(
            f"config.json has chat_template {name!r}, but {file.name} is missing; allowed: 'qwen2'"
        )
    return CHAT_TEMPLATE


def _check_weights(config: Any, tensors: dict[str, StoredTensor]) -> None:
    """Compare names and shapes with those of the model that the configuration describes."""
    import torch

    from emovid_models.remote.annotator.modeling_nvila import NVILALiteForConditionalGeneration

    with torch.device("meta"):
        model = NVILALiteForConditionalGeneration(config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    head, embedding = "lm_head.weight", "model.language_model.embed_tokens.weight"
    if config.tie_word_embeddings:
        if head not in tensors:
            del expected[head]
        elif embedding in tensors and not _equal(tensors[head], tensors[embedding]):
            raise ValueError("tie_word_embeddings is true, but lm_head.weight is not the embedding")
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"the weights do not fit config.json: missing {_some(missing)}; unknown {_some(unknown)}"
        )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            found = list(tensors[name].shape)
            raise ValueError(f"{tensors[name].key} has shape {found}, but config.json asks for {list(shape)}")


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(left == right for left, right in zip(_pieces(one), _pieces(other), strict=True))


def _rename(tensor: StoredTensor, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if tensor.key.startswith(old):
            return new + tensor.key[len(old) :]
    raise ValueError(f"{tensor.file} has the unknown key {tensor.key!r}; expected: {', '.join(prefixes)}...")


def _write_shards(folder: Path, shards: list[dict[str, StoredTensor]]) -> None:
    weight_map: dict[str, str] = {}
    with Progress(len(shards), unit="files", title=f"write {folder}") as progress:
        for number, tensors in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            if len(shards) == 1:
                name = "model.safetensors"
            write_tensors(folder / name, tensors)
            weight_map |= dict.fromkeys(tensors, name)
            progress.update(size=sum(tensor.size for tensor in tensors.values()))
    if len(shards) > 1:
        total = sum(tensor.size for tensors in shards for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        _write_json(folder / "model.safetensors.index.json", index)


def _qwen2_settings(text: Any, dtype: str) -> dict[str, Any]:
    """Qwen2's configuration as transformers 4 reads it."""
    settings = {**_plain(text), "architectures": ["Qwen2ForCausalLM"], "torch_dtype": dtype}
    rope = dict(settings.pop("rope_parameters", None) or {})
    settings["rope_theta"] = rope.pop("rope_theta", 10000.0)
    settings["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    settings.pop("layer_types", None)
    return settings


def _plain(config: Any) -> dict[str, Any]:
    unwanted = {"dtype", "transformers_version", "_name_or_path", "architectures"}
    return {name: value for name, value in config.to_dict().items() if name not in unwanted}


def _stop_ids(*sources: Any) -> list[int]:
    """Every id that ends an answer: of the two configurations, and the tokenizer's."""
    *stated, tokenizer = sources
    ids: list[int] = []
    for value in [*stated, tokenizer.eos_token_id]:
        ids += [] if value is None else value if isinstance(value, list) else [value]
    return list(dict.fromkeys(ids))


def _add_auto_map(file: Path, auto_map: dict[str, str]) -> None:
    _write_json(file, {**_read_json(file), "auto_map": auto_map})


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give a new folder")


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") or "none"


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error


def _write_json(file: Path, document: object) -> None:
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit codes are 0 done, 2 used wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m emovid_models.nvila.convert_vila",
        description="Convert NVILA checkpoints between the published layout and ours.",
    )
    parser.add_argument("source", metavar="SRC", type=Path, help="checkpoint folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write; new or empty")
    parser.add_argument("--reverse", action="store_true", help="from ours to the published layout")
    options = parser.parse_args(arguments)
    try:
        (convert_back if options.reverse else convert)(options.source, options.out)
    except (ValueError, OSError) as error:
        print(f"convert_vila: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
