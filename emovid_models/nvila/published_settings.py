"""The settings of the published layout: what they say in ours, and ours in theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_models.nvila.json_file import read_json, write_json

if TYPE_CHECKING:
    from emovid_models.remote.annotator.configuration_nvila import NVILALiteConfig

SENTINEL_TOKEN = "<vila/sentinel>"
IMAGE_TOKEN = "<image>"
VIDEO_TOKEN = "<vila/video>"


def part_settings(source: Path, part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A part's own config.json; where it has none, what the one above says of it."""
    above = settings.get(f"{part}_cfg")
    file = source / part / "config.json"
    return above if isinstance(above, dict) and not file.is_file() else read_json(file)


def check_settings(settings: dict[str, Any]) -> None:
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


def frame_end_of(settings: dict[str, Any]) -> str:
    """The text that the published code puts after each frame.

    Raises:
        ValueError: it encodes videos in a way that our classes do not.
    """
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


def our_config(
    settings: dict[str, Any], parts: dict[str, dict[str, Any]], tokenizer: Any, frame_end: str
) -> NVILALiteConfig:
    """Our configuration from the published ones.

    Args:
        settings: of the config.json above the parts.
        parts: the config.json of "llm", "vision_tower" and "mm_projector".
        tokenizer: the language model's, with the media tokens.
        frame_end: text after each frame.

    Returns:
        An `NVILALiteConfig`.

    Raises:
        ValueError: a part is of another kind than our classes compute, or the files contradict each other.
    """
    from transformers import Qwen2Config, SiglipVisionConfig

    from emovid_models.remote.annotator.configuration_nvila import NVILALiteConfig

    for part, expected in (("llm", "qwen2"), ("vision_tower", "siglip_vision_model")):
        kind = parts[part].get("model_type")
        if kind != expected:
            raise ValueError(f"{part}/config.json has model_type {kind!r}; allowed: {expected!r}")
    text = Qwen2Config(**without(parts["llm"], "model_type", "architectures", "_name_or_path"))
    vision = SiglipVisionConfig(
        **without(parts["vision_tower"], "model_type", "architectures", "_name_or_path")
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
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        sentinel_token_id=tokenizer.convert_tokens_to_ids(SENTINEL_TOKEN),
        frame_end_token_ids=tokenizer(frame_end, add_special_tokens=False).input_ids if frame_end else [],
        num_tokens=known if text.vocab_size > known else None,
    )


def pixel_settings(file: Path, settings: dict[str, Any], config: Any) -> dict[str, Any]:
    """The processor's arguments from the image processor's settings.

    Args:
        file: the vision tower's preprocessor_config.json.
        settings: of the config.json above the parts.
        config: our configuration.

    Raises:
        ValueError: the settings contradict the vision tower.
    """
    stored = read_json(file)
    size, expected = stored.get("size", {}), config.vision_config.image_size
    if (size.get("height"), size.get("width")) != (expected, expected):
        raise ValueError(f"{file} has size {size}, but the vision tower takes {expected} x {expected} pixels")
    if stored.get("do_resize", True) is not True:
        raise ValueError(f"{file} has do_resize {stored['do_resize']!r}; allowed: true")
    normalize = stored.get("do_normalize", True)
    return {
        "image_size": expected,
        # "resize" has squeezed the frame by Pillow's default, bicubic, before these settings apply.
        "resample": 3 if settings.get("image_aspect_ratio") == "resize" else stored.get("resample", 3),
        "rescale_factor": stored.get("rescale_factor", 1 / 255) if stored.get("do_rescale", True) else 1.0,
        "image_mean": stored.get("image_mean", [0.5] * 3) if normalize else [0.0] * 3,
        "image_std": stored.get("image_std", [0.5] * 3) if normalize else [1.0] * 3,
    }


def load_tokenizer(folder: Path) -> Any:
    """The language model's tokenizer, with the media tokens that the original adds when it loads."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (folder / "tokenizer_config.json").is_file():
        raise OSError(f"{folder} lacks tokenizer_config.json")
    # tokenizer.json is complete; a tokenizer class of its own would override some of it.
    loader: Any = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
    tokenizer = loader.from_pretrained(folder)
    for token in (SENTINEL_TOKEN, IMAGE_TOKEN, VIDEO_TOKEN):
        tokenizer.add_tokens([token], special_tokens=True)
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer so that transformers 4, which the original runs on, reads it too."""
    tokenizer.save_pretrained(folder)
    settings = read_json(folder / "tokenizer_config.json")
    kept = ("bos_token", "eos_token", "pad_token", "unk_token", "chat_template", "model_max_length")
    settings = {name: settings[name] for name in kept if settings.get(name) is not None}
    for name in ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    if tokenizer.chat_template:
        settings["chat_template"] = tokenizer.chat_template
    settings |= {"clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", settings)


def chat_template(source: Path, settings: dict[str, Any], tokenizer: Any) -> str:
    """The chat template that the checkpoint names, or else the tokenizer's.

    Raises:
        ValueError: there is none, or the one that is named is missing.
    """
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


def qwen2_settings(text: Any, dtype: str) -> dict[str, Any]:
    """Qwen2's configuration as transformers 4 reads it."""
    settings = {**plain(text), "architectures": ["Qwen2ForCausalLM"], "torch_dtype": dtype}
    rope = dict(settings.pop("rope_parameters", None) or {})
    settings["rope_theta"] = rope.pop("rope_theta", 10000.0)
    settings["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    settings.pop("layer_types", None)
    return settings


def plain(config: Any) -> dict[str, Any]:
    """A configuration's fields without what transformers adds on saving."""
    unwanted = {"dtype", "transformers_version", "_name_or_path", "architectures"}
    return {name: value for name, value in config.to_dict().items() if name not in unwanted}


def stop_ids(*sources: Any) -> list[int]:
    """Every id that ends an answer: of the two configurations, and the tokenizer's."""
    *stated, tokenizer = sources
    ids: list[int] = []
    for value in [*stated, tokenizer.eos_token_id]:
        ids += [] if value is None else value if isinstance(value, list) else [value]
    return list(dict.fromkeys(ids))


def without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Settings without those of these names."""
    return {name: value for name, value in settings.items() if name not in names}
