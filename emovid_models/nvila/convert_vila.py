"""Convert checkpoints between the layout that NVILA is published in and ours, both ways.

    python -m emovid_models.nvila.convert_vila SRC OUT [--reverse]

The published layout keeps the parts apart: folders `llm`, `vision_tower` and `mm_projector`, each with a
config.json and safetensors, and a config.json above them. Ours is one transformers checkpoint. Converting
only renames the weights: their bytes are copied in small pieces, so memory does not grow with a shard, and
every type of number stays as it is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from emovid_models.nvila.json_file import read_json, write_json
from emovid_models.nvila.published_settings import (
    IMAGE_TOKEN,
    VIDEO_TOKEN,
    chat_template,
    check_settings,
    frame_end_of,
    load_tokenizer,
    our_config,
    part_settings,
    pixel_settings,
    plain,
    qwen2_settings,
    save_tokenizer,
    stop_ids,
    without,
)
from emovid_models.nvila.stored_tensors import (
    StoredTensor,
    hold_the_same,
    some_of,
    stored_tensors,
    write_shards,
)

LICENCE_FILES = ("LICENSE", "LICENSE.md", "NOTICE")

_PREFIXES = {
    "llm": {"model.": "model.language_model.", "lm_head.": "lm_head."},
    "vision_tower": {"vision_model.": "model.vision_tower."},
    "mm_projector": {"layers.": "model.multi_modal_projector.layers."},
}
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
_SOURCE_SETTINGS = "vila_config"


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

    from emovid_models.remote.annotator.processing_nvila import NVILALiteProcessor

    settings = read_json(source / "config.json")
    parts = {part: part_settings(source, part, settings) for part in _PREFIXES}
    check_settings(settings)
    tokenizer = load_tokenizer(source / "llm")
    frame_end = frame_end_of(settings)
    config = our_config(settings, parts, tokenizer, frame_end)
    pixels = pixel_settings(source / "vision_tower" / "preprocessor_config.json", settings, config)
    template = chat_template(source, settings, tokenizer)

    renamed: dict[str, StoredTensor] = {}
    for part in _PREFIXES:
        for tensor in stored_tensors(source / part):
            renamed[_rename(tensor, _PREFIXES[part])] = tensor
    _check_weights(config, renamed)
    dtype = renamed["model.language_model.embed_tokens.weight"].dtype
    config.dtype = _DTYPES.get(dtype)
    config.architectures = ["NVILALiteForConditionalGeneration"]
    unwanted = [f"{part}_cfg" for part in _PREFIXES] + ["auto_map", "resume_path", "transformers_version"]
    setattr(config, _SOURCE_SETTINGS, without(settings, "_name_or_path", *unwanted))

    _make_empty(out)
    by_file: dict[Path, dict[str, StoredTensor]] = {}
    for name, tensor in renamed.items():
        by_file.setdefault(tensor.file, {})[name] = tensor
    write_shards(out, list(by_file.values()))

    processor = NVILALiteProcessor(
        tokenizer,
        tokens_per_frame=config.tokens_per_frame,
        num_frames=config.num_frames,
        frame_end=frame_end,
        video_token=VIDEO_TOKEN,
        image_token=IMAGE_TOKEN,
        chat_template=template,
        **pixels,
    )
    processor.save_pretrained(out)
    generation_file = source / "llm" / "generation_config.json"
    generation = (
        GenerationConfig(**read_json(generation_file)) if generation_file.is_file() else GenerationConfig()
    )
    generation.eos_token_id = stop_ids(generation.eos_token_id, parts["llm"].get("eos_token_id"), tokenizer)
    generation.pad_token_id = tokenizer.pad_token_id
    generation.save_pretrained(out)
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

    if read_json(source / "config.json").get("model_type") != NVILALiteConfig.model_type:
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
        write_shards(out / part, list(by_file.values()))

    dtype = _DTYPES.get(tensors["model.language_model.embed_tokens.weight"].dtype, "float32")
    llm = qwen2_settings(config.text_config, dtype)
    vision = {**plain(config.vision_config), "architectures": ["SiglipVisionModel"], "torch_dtype": dtype}
    projector = {
        "architectures": ["MultimodalProjector"],
        "mm_projector_type": config.projector_type,
        "model_type": "v2l_projector",
        "torch_dtype": dtype,
    }
    write_json(out / "llm" / "config.json", llm)
    write_json(out / "vision_tower" / "config.json", vision)
    write_json(out / "mm_projector" / "config.json", projector)
    write_json(
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
    if processor.frame_end != frame_end_of(settings):
        target = "llava.model.encoders.BasicVideoEncoder"
        settings["video_encoder"] = {"_target_": target, "end_tokens": processor.frame_end or None}
    save_tokenizer(processor.tokenizer, out / "llm")
    if settings["chat_template"]:
        (out / f"{settings['chat_template']}.jinja").write_text(processor.chat_template, encoding="utf-8")
    if (source / "generation_config.json").is_file():
        GenerationConfig.from_pretrained(source).save_pretrained(out / "llm")
    for name in LICENCE_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, out / name)
    write_json(out / "config.json", settings)


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
        elif embedding in tensors and not hold_the_same(tensors[head], tensors[embedding]):
            raise ValueError("tie_word_embeddings is true, but lm_head.weight is not the embedding")
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"the weights do not fit config.json: missing {some_of(missing)}; unknown {some_of(unknown)}"
        )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            found = list(tensors[name].shape)
            raise ValueError(f"{tensors[name].key} has shape {found}, but config.json asks for {list(shape)}")


def _rename(tensor: StoredTensor, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if tensor.key.startswith(old):
            return new + tensor.key[len(old) :]
    raise ValueError(f"{tensor.file} has the unknown key {tensor.key!r}; expected: {', '.join(prefixes)}...")


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give a new folder")


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
