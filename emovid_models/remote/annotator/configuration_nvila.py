"""`NVILALiteConfig`: sizes of an NVILA-Lite model, and all else that its weights were trained with."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from typing import Any

from transformers import PretrainedConfig, Qwen2Config, SiglipVisionConfig

from .repo_code import AUTO_MAP, PIPELINES, lay_code

DOWNSAMPLE_RATES: dict[str, int] = {
    "linear": 1,
    "mlp_downsample": 2,
    "mlp_downsample_2x2_fix": 2,
    "mlp_downsample_3x3_fix": 3,
}
"""Projector types, and the side of the square of patches that becomes one token. `mlp<N>x_gelu` has 1."""

_MLP_TYPE = re.compile(r"mlp([1-9]\d*)x_gelu")


def mlp_depth(projector_type: str) -> int | None:
    """Number of linear layers of an `mlp<N>x_gelu` projector, or None for the other types.

    >>> mlp_depth("mlp2x_gelu"), mlp_depth("mlp_downsample_3x3_fix")
    (2, None)
    """
    match = _MLP_TYPE.fullmatch(projector_type)
    return int(match.group(1)) if match else None


def _is_taxonomy(value: Any) -> bool:
    labels = value.get("labels") if isinstance(value, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        return False
    names = [label.get("name") for label in labels]
    named = all(isinstance(name, str) and name.strip() for name in names)
    return named and len(set(names)) == len(names) > 1


class NVILALiteConfig(PretrainedConfig):
    """Configuration of `NVILALiteForConditionalGeneration`.

    The defaults are those of NVILA-Lite-2B: SigLIP so400m at 448 pixels, Qwen2.5-1.5B, 121 tokens and a
    newline per frame, 8 frames.

    Args:
        vision_config: a `SiglipVisionConfig`, or its fields.
        text_config: a `Qwen2Config`, or its fields.
        projector_type: how patches become tokens: "mlp_downsample_3x3_fix", "mlp_downsample_2x2_fix",
            "mlp_downsample", "mlp<N>x_gelu" or "linear".
        vision_feature_layer: index into the tower's hidden states (0 is the embeddings' output, negative
            counts from the last layer).
        vision_feature_select: "cls_patch" (all of the tower's tokens); SigLIP has no class token to drop.
        num_frames: frames that a video is sampled to.
        video_token_id: id of the token that a video's features replace.
        image_token_id: id of the token of a still picture; never generated, not otherwise used.
        sentinel_token_id: id of the token that marks an answer in training templates; never generated.
        frame_end_token_ids: ids of the text that is embedded after each frame, as the processor writes them.
        num_tokens: tokens that the tokenizer knows; logits beyond are cut off, since an embedding may be
            padded. None keeps all.
        taxonomy: the emotions that an annotator tells apart, as a data set's manifest holds them:
            ``{"name": ..., "labels": [{"name": "joy", "valence": 0}, ...]}``. None is Mikels' eight.
        captions: False for a model whose captions are not worth reading; its pipeline writes none.

    Raises:
        ValueError: a value is not one of those above, or contradicts another.

    >>> config = NVILALiteConfig()
    >>> config.grid_size, config.tokens_per_frame
    (32, 121)
    """

    model_type = "nvila_lite"
    taxonomy: dict[str, Any] | None = None
    sub_configs = {"vision_config": SiglipVisionConfig, "text_config": Qwen2Config}  # noqa: RUF012
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012

    def __init__(
        self,
        vision_config: SiglipVisionConfig | dict[str, Any] | None = None,
        text_config: Qwen2Config | dict[str, Any] | None = None,
        projector_type: str = "mlp_downsample_3x3_fix",
        vision_feature_layer: int = -2,
        vision_feature_select: str = "cls_patch",
        num_frames: int = 8,
        video_token_id: int = 151650,
        image_token_id: int | None = 151649,
        sentinel_token_id: int | None = 151648,
        frame_end_token_ids: list[int] | tuple[int, ...] = (198,),
        num_tokens: int | None = None,
        taxonomy: dict[str, Any] | None = None,
        captions: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if vision_config is None:
            vision_config = dict(_SO400M)
        if isinstance(vision_config, dict):
            vision_config = SiglipVisionConfig(**vision_config)
        if text_config is None:
            text_config = dict(_QWEN2_5_1_5B)
        if isinstance(text_config, dict):
            text_config = Qwen2Config(**text_config)
        self.vision_config = vision_config
        self.text_config = text_config
        self.projector_type = projector_type
        self.vision_feature_layer = vision_feature_layer
        self.vision_feature_select = vision_feature_select
        self.num_frames = num_frames
        self.video_token_id = video_token_id
        self.image_token_id = image_token_id
        self.sentinel_token_id = sentinel_token_id
        self.frame_end_token_ids = list(frame_end_token_ids)
        self.num_tokens = num_tokens
        if captions is not None:
            self.captions = captions
        if taxonomy is not None:  # the settings of annotators of the eight do not mention it
            self.taxonomy = taxonomy
        kwargs["tie_word_embeddings"] = bool(text_config.tie_word_embeddings)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            kwargs.setdefault(name, getattr(text_config, name, None))
        super().__init__(**kwargs)
        self._check()

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write config.json and the code that the model and its pipeline need beside it.

        Args:
            save_directory: the folder; `save_pretrained` of the model calls this too.
            push_to_hub: as for `PretrainedConfig.save_pretrained`.
            **kwargs: as there.
        """
        # What a model from the Hub says names its files by that repo.
        self.auto_map, self.custom_pipelines = dict(AUTO_MAP), deepcopy(PIPELINES)
        lay_code(save_directory)
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def _check(self) -> None:
        depth = self.vision_config.num_hidden_layers
        if self.projector_type not in DOWNSAMPLE_RATES and mlp_depth(self.projector_type) is None:
            allowed = [*DOWNSAMPLE_RATES, "mlp<N>x_gelu"]
            raise ValueError(f"projector_type is {self.projector_type!r}; allowed: {allowed}")
        if not -depth - 1 <= self.vision_feature_layer <= depth:
            raise ValueError(
                f"vision_feature_layer is {self.vision_feature_layer}, outside {-depth - 1}..{depth} "
                f"for a tower of {depth} layers"
            )
        if self.vision_feature_select != "cls_patch":
            raise ValueError(
                f"vision_feature_select is {self.vision_feature_select!r}; allowed: 'cls_patch' "
                "(SigLIP has no class token to drop)"
            )
        if self.taxonomy is not None and not _is_taxonomy(self.taxonomy):
            raise ValueError(f"taxonomy is {self.taxonomy!r}, not a name and labels, each with a name")
        if self.num_frames < 1:
            raise ValueError(f"num_frames is {self.num_frames}, not at least 1")
        if self.grid_size < 1:
            raise ValueError(
                f"vision_config.image_size is {self.vision_config.image_size}, smaller than a patch "
                f"of {self.vision_config.patch_size}"
            )

    @property
    def grid_size(self) -> int:
        """Patches along one side of a frame."""
        image, patch = self.vision_config.image_size, self.vision_config.patch_size
        if not isinstance(image, int) or not isinstance(patch, int):
            raise ValueError(
                f"vision_config has image_size {image!r} and patch_size {patch!r}; allowed: integers"
            )
        return image // patch

    @property
    def downsample_rate(self) -> int:
        """Patches along one side of the square that becomes one token: 1, 2 or 3."""
        return DOWNSAMPLE_RATES.get(self.projector_type, 1)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens that a frame's features fill, the frame's end not counted."""
        return math.ceil(self.grid_size / self.downsample_rate) ** 2

    @property
    def num_vision_layers_used(self) -> int:
        """Layers of the tower that run for the selected hidden state."""
        layer = self.vision_feature_layer
        return layer if layer >= 0 else self.vision_config.num_hidden_layers + 1 + layer

    @property
    def media_token_ids(self) -> list[int]:
        """Ids of the tokens that stand for media or mark templates; an answer never holds one."""
        ids = (self.video_token_id, self.image_token_id, self.sentinel_token_id)
        return [token for token in ids if token is not None]


_SO400M: dict[str, Any] = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 448,
    "patch_size": 14,
    "vision_use_head": False,
}
_QWEN2_5_1_5B: dict[str, Any] = {
    "vocab_size": 151651,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    "tie_word_embeddings": True,
    "max_window_layers": 21,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}
