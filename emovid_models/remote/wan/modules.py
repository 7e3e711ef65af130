"""Which modules of the transformer a LoRA is trained on, and what they are called elsewhere.

diffusers and the original Wan code, whose names ComfyUI and DiffSynth-Studio use, call the same modules by
different names. Part of the pipelines' remote code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

TARGET_MODULES = r"blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ffn\.net\.(0\.proj|2))"
"""q, k, v and o of both attentions and both layers of the feed-forward: 10 per block, as in the paper."""

ATTENTION_MODULES = r"blocks\.\d+\.attn[12]\.(to_q|to_k|to_v|to_out\.0|add_k_proj|add_v_proj)"
"""The attention projections: 8 per block, and 2 more where the transformer sees CLIP's image tokens."""

TARGETS: Mapping[str, str] = {"attention-ffn": TARGET_MODULES, "attention": ATTENTION_MODULES}
"""The sets of modules by name."""

_IMAGE_TOKENS = ("add_k_proj", "add_v_proj")

_ORIGINAL = {
    "attn1.to_q": "self_attn.q",
    "attn1.to_k": "self_attn.k",
    "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_q": "cross_attn.q",
    "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
_DIFFUSERS = {theirs: ours for ours, theirs in _ORIGINAL.items()}


def target_names(transformer: Any, modules: str = TARGET_MODULES) -> list[str]:
    """Names of the modules that a LoRA is trained on.

    Args:
        transformer: a `WanTransformer3DModel`.
        modules: one of the patterns of `TARGETS`.

    Returns:
        With `TARGET_MODULES` 300 names in Wan2.1 1.3B and 400 in 14B, whether it sees an image or not; with
        `ATTENTION_MODULES` 240, 320, and 400 in 14B I2V.
    """
    return [name for name, _ in transformer.named_modules() if re.fullmatch(modules, name)]


def needs_no_image(names: Iterable[str]) -> set[str]:
    """The modules that the text-to-video model has too."""
    return {name for name in names if not name.endswith(_IMAGE_TOKENS)}


def original_name(name: str) -> str | None:
    """The name that the original Wan code has for a module of diffusers, or None.

    >>> original_name("blocks.3.attn2.to_out.0"), original_name("blocks.0.ffn.net.0.proj")
    ('blocks.3.cross_attn.o', 'blocks.0.ffn.0')
    """
    match = re.fullmatch(r"(blocks\.\d+)\.(.+)", name)
    if match is None or match[2] not in _ORIGINAL:
        return None
    return f"{match[1]}.{_ORIGINAL[match[2]]}"


def weight_name(key: str) -> str:
    """The name that the stock loader gives to a weight of a LoRA file in the original Wan code's form.

    >>> weight_name("diffusion_model.blocks.0.ffn.2.lora_down.weight")
    'transformer.blocks.0.ffn.net.2.lora_A.weight'
    """
    match = re.fullmatch(r"diffusion_model\.(blocks\.\d+)\.(.+)\.lora_(down|up|A|B)\.weight", key)
    if match is None or match[2] not in _DIFFUSERS:
        return key
    factor = {"down": "A", "up": "B"}.get(match[3], match[3])
    return f"transformer.{match[1]}.{_DIFFUSERS[match[2]]}.lora_{factor}.weight"
