"""At the true size of NVILA-Lite-2B, built without memory: keys, shapes, parameters, tokens."""

from __future__ import annotations

import pytest
import torch
from published_layout import MERGES, SPECIAL_TOKENS, Shape, llm_shapes, projector_shapes, vision_shapes

from emovid_models.nvila import NVILALiteConfig, NVILALiteForConditionalGeneration

TRUE = Shape(
    name="nvila-lite-2b",
    image_size=448,
    patch_size=14,
    vision_hidden=1152,
    vision_layers=27,
    vision_heads=16,
    vision_inner=4304,
    hidden=1536,
    layers=28,
    heads=12,
    key_value_heads=2,
    inner=8960,
    padded_rows=151651 - 256 - len(MERGES) - len(SPECIAL_TOKENS),
)


@pytest.fixture(scope="module")
def model() -> NVILALiteForConditionalGeneration:
    with torch.device("meta"):
        return NVILALiteForConditionalGeneration(NVILALiteConfig())


def test_keys_and_shapes_are_those_of_the_published_layout(model: NVILALiteForConditionalGeneration) -> None:
    expected = {
        key.replace("model.", "model.language_model.", 1): shape for key, shape in llm_shapes(TRUE).items()
    }
    for key, shape in vision_shapes(TRUE).items():
        expected[key.replace("vision_model.", "model.vision_tower.", 1)] = shape
    for key, shape in projector_shapes(TRUE).items():
        expected[f"model.multi_modal_projector.{key}"] = shape
    expected["lm_head.weight"] = expected["model.language_model.embed_tokens.weight"]
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == expected


def test_number_of_parameters(model: NVILALiteForConditionalGeneration) -> None:
    # Qwen2.5-1.5B has 1,543,714,304 with its 151,936 rows; SigLIP so400m's layers have 4 (1152^2 + 1152)
    # in attention, 2 * 1152 * 4304 + 4304 + 1152 in the inner layers and 4 * 1152 in the norms.
    language = 1_543_714_304 - (151_936 - 151_651) * 1536
    layer = 4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152
    vision = 27 * layer + (3 * 14 * 14 + 1) * 1152 + 32 * 32 * 1152 + 2 * 1152
    joined, half = 9 * 1152, 3 * 1152
    projector = 2 * joined + joined * half + half + 2 * half + half * 1536 + 1536 + 1536**2 + 1536
    # Loading ties the embeddings; on the meta device the two are counted apart.
    parameters = {id(value): value.numel() for value in model.parameters()}
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    assert sum(parameters.values()) == language + vision + projector + (0 if tied else 151_651 * 1536)


def test_a_video_of_eight_frames_fills_976_tokens() -> None:
    config = NVILALiteConfig()
    assert config.num_frames * (config.tokens_per_frame + len(config.frame_end_token_ids)) == 976
