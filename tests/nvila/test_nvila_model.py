"""What a user of the model relies on: caching, padding, scoring, training, saving, and clear refusals."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from converted_checkpoint import Converted
from published_layout import frames
from safetensors.torch import load_file, save_file
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModel,
    AutoModelForCausalLM,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from emovid_models.nvila import NVILALiteConfig, NVILALiteForConditionalGeneration, NVILALiteModel
from emovid_models.remote.annotator.projector_nvila import Downsample

LABELS = ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness")
QUESTIONS = ("What emotion is it?", "Hm, in the end, who is there and why?")
VIDEOS = (frames(3, 30, 44, 11), frames(6, 50, 21, 12))


def prompts(converted: Converted, padding_side: str = "left") -> Any:
    texts = [converted.processor.build_prompt(question) for question in QUESTIONS]
    return converted.processor(
        text=texts, videos=list(VIDEOS), do_sample_frames=False, padding_side=padding_side
    )


def one_by_one(converted: Converted) -> list[Any]:
    return [
        converted.processor(
            text=converted.processor.build_prompt(question), videos=video, do_sample_frames=False
        )
        for question, video in zip(QUESTIONS, VIDEOS, strict=True)
    ]


def tiny_config(**changes: Any) -> NVILALiteConfig:
    vision = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": 50, "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2}
    return NVILALiteConfig(
        vision_config=vision | {"image_size": 64, "patch_size": 8, "vision_use_head": False},
        text_config=text | {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
        **{"video_token_id": 49, "image_token_id": 48, "sentinel_token_id": None, "frame_end_token_ids": [7]}
        | changes,
    )


# Scoring

# Stands for attention that takes no mask but padding: the labels are then rows of a batch.
AttentionInterface.register("of_another_name", sdpa_attention_forward)
AttentionMaskInterface.register("of_another_name", sdpa_mask)


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("attention", ["sdpa", "eager", "of_another_name"])
def test_scores_equal_a_full_forward_for_each_label(
    each: Converted, padding_side: str, attention: str
) -> None:
    label_ids = each.processor.encode_labels(LABELS, end="<|im_end|>")
    assert len({len(ids) for ids in label_ids}) > 2
    each.model.set_attn_implementation(attention)
    try:
        with torch.inference_mode():
            scores = each.model.score_labels(label_ids, **prompts(each, padding_side))
            for row, inputs in enumerate(one_by_one(each)):
                for column, ids in enumerate(label_ids):
                    full = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
                    pixels = inputs["pixel_values_videos"]
                    logits = each.model(input_ids=full, pixel_values_videos=pixels).logits[0]
                    places = logits[-len(ids) - 1 : -1].log_softmax(-1)
                    expected = places.gather(1, torch.tensor(ids).unsqueeze(1)).mean()
                    assert abs(scores[row, column] - expected) < 1e-5
    finally:
        each.model.set_attn_implementation("sdpa")


def test_scores_without_normalization_are_sums(tied: Converted) -> None:
    label_ids = tied.processor.encode_labels(LABELS)
    with torch.inference_mode():
        means = tied.model.score_labels(label_ids, **prompts(tied))
        sums = tied.model.score_labels(label_ids, **prompts(tied), length_normalized=False)
    lengths = torch.tensor([len(ids) for ids in label_ids])
    torch.testing.assert_close(means * lengths, sums)


def test_labels_of_one_token_are_the_next_tokens_probabilities(tied: Converted) -> None:
    inputs = prompts(tied)
    with torch.inference_mode():
        scores = tied.model.score_labels([[40], [41], [97]], **inputs)
        expected = tied.model(**inputs, logits_to_keep=1).logits[:, 0].log_softmax(-1)
    torch.testing.assert_close(scores, expected[:, [40, 41, 97]])


def test_scores_of_text_alone(tied: Converted) -> None:
    inputs = tied.processor(text=tied.processor.build_prompt("Why?", num_videos=0))
    label_ids = tied.processor.encode_labels(LABELS)
    with torch.inference_mode():
        alone = [tied.model.score_labels([ids], **inputs)[0, 0] for ids in label_ids]
        together = tied.model.score_labels(label_ids, **inputs)[0]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("label_ids", [[], [[1], []]])
def test_empty_labels_are_refused(tied: Converted, label_ids: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="label_ids has lengths"):
        tied.model.score_labels(label_ids, **prompts(tied))


# Generation


def test_generation_is_the_same_with_and_without_cache_alone_and_in_a_batch(tied: Converted) -> None:
    settings = {"do_sample": False, "max_new_tokens": 10, "min_new_tokens": 10}
    inputs = prompts(tied)
    batch = tied.model.generate(**inputs, **settings)[:, -10:]
    assert torch.equal(batch, tied.model.generate(**inputs, **settings, use_cache=False)[:, -10:])
    for row, single in enumerate(one_by_one(tied)):
        assert torch.equal(batch[row], tied.model.generate(**single, **settings)[0, -10:])


def test_beams_and_several_answers_repeat_whole_prompts(tied: Converted) -> None:
    settings = {"do_sample": False, "max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 2}
    batch = tied.model.generate(**prompts(tied), **settings)
    for row, single in enumerate(one_by_one(tied)):
        alone = tied.model.generate(**single, **settings)
        length = single["input_ids"].shape[1]
        assert [ids.tolist() for ids in batch[2 * row : 2 * row + 2, -6:]] == alone[:, length:].tolist()


def test_media_tokens_are_never_generated(each: Converted) -> None:
    model = copy.deepcopy(each.model)
    inputs = one_by_one(each)[0]
    with torch.no_grad():
        hidden = model.model(**inputs).last_hidden_state[0, -1]
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        for token in model.config.media_token_ids:
            model.lm_head.weight[token] = 10 * hidden
        assert model(**inputs).logits[0, -1].argmax() in model.config.media_token_ids
    for settings in ({}, {"suppress_tokens": [5]}, {"num_beams": 2}):
        answer = model.generate(**inputs, do_sample=False, max_new_tokens=8, **settings)
        answer = answer[0, inputs["input_ids"].shape[1] :].tolist()
        assert not set(answer) & set(model.config.media_token_ids)
        assert "suppress_tokens" not in settings or 5 not in answer


def test_features_may_be_computed_once_and_used_often(tied: Converted) -> None:
    inputs = prompts(tied)
    pixels = inputs.pop("pixel_values_videos")
    with torch.inference_mode():
        features = tied.model.get_video_features(pixels)
        assert features.shape == (9, tied.model.config.tokens_per_frame, 64)
        once = tied.model(**inputs, video_features=features).logits
        torch.testing.assert_close(once, tied.model(**inputs, pixel_values_videos=pixels).logits)
    answers = [
        tied.model.generate(**inputs, **videos, do_sample=False, max_new_tokens=4)
        for videos in ({"video_features": features}, {"pixel_values_videos": pixels})
    ]
    assert torch.equal(*answers)


# Training


def test_gradient_checkpointing_changes_no_gradient(tied: Converted) -> None:
    inputs = prompts(tied, "right")
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    gradients = []
    for checkpointing in (False, True):
        model = copy.deepcopy(tied.model).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**inputs, labels=labels).loss.backward()
        gradients.append(
            {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
        )
    plain, checkpointed = gradients
    assert all(gradient is not None for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)


def test_only_layers_behind_the_features_are_frozen(each: Converted) -> None:
    layers = each.model.config.num_vision_layers_used
    frozen = {name for name, value in each.model.named_parameters() if not value.requires_grad}
    tower = "model.vision_tower."
    unused = [f"{tower}encoder.layers.{index}." for index in range(layers, each.shape.vision_layers)]
    unused += [f"{tower}post_layernorm.", f"{tower}head."]
    expected = {name for name, _ in each.model.named_parameters() if name.startswith(tuple(unused))}
    assert frozen == expected
    assert len(expected) > 1


@pytest.mark.parametrize(
    "projector", ["linear", "mlp2x_gelu", "mlp_downsample_2x2_fix", "mlp_downsample_3x3_fix"]
)
def test_a_miniature_learns_to_tell_two_videos_apart(projector: str) -> None:
    torch.manual_seed(0)
    config = tiny_config(projector_type=projector, num_frames=2)
    assert config.tokens_per_frame == {1: 64, 2: 16, 3: 9}[config.downsample_rate]
    model = NVILALiteForConditionalGeneration(config)
    prompt = torch.tensor(
        [[1] + ([49] * config.tokens_per_frame + [7]) * 2 + [2, answer] for answer in (10, 11)]
    )
    pixels = torch.linspace(-1, 1, 4).view(4, 1, 1, 1) * torch.randn(1, 3, 64, 64)
    labels = torch.full_like(prompt, -100)
    labels[:, -1] = prompt[:, -1]
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(input_ids=prompt, pixel_values_videos=pixels, labels=labels).loss.backward()
        optimizer.step()
    with torch.inference_mode():
        scores = model.eval().score_labels([[10], [11]], input_ids=prompt[:, :-1], pixel_values_videos=pixels)
    assert scores.argmax(-1).tolist() == [0, 1]


def test_downsampling_equals_an_unfolding_by_hand() -> None:
    patches = torch.rand(2, 49, 5)
    padded = torch.zeros(2, 9, 9, 5)
    padded[:, :7, :7] = patches.view(2, 7, 7, 5)
    rows = [
        torch.cat([padded[:, 3 * y + dy, 3 * x + dx] for dy in range(3) for dx in range(3)], dim=-1)
        for y in range(3)
        for x in range(3)
    ]
    assert torch.equal(Downsample(3)(patches), torch.stack(rows, dim=1))


# Loading and saving


def test_saved_and_loaded_it_computes_the_same(each: Converted, tmp_path: Path) -> None:
    each.model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    inputs = prompts(each)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(**inputs).logits, each.model(**inputs).logits, atol=1e-5, rtol=1e-5)
    ours, theirs = loaded.config.to_dict(), each.model.config.to_dict()
    assert {**ours, "_name_or_path": ""} == {**theirs, "_name_or_path": ""}


def test_half_precision_is_close_to_single(tied: Converted) -> None:
    half = AutoModel.from_pretrained(tied.folder, dtype=torch.bfloat16).eval()
    inputs = prompts(tied)
    with torch.inference_mode():
        single = tied.model(**inputs).logits[inputs["attention_mask"].bool()]
        logits = half(**inputs).logits[inputs["attention_mask"].bool()]
        scores = half.score_labels(tied.processor.encode_labels(LABELS), **inputs)
    assert logits.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(logits.float(), single).min() > 0.98
    assert scores.dtype == torch.float32


def test_attention_is_sdpa_in_both_parts(tied: Converted) -> None:
    assert tied.model.model.vision_tower.config._attn_implementation == "sdpa"
    assert tied.model.model.language_model.config._attn_implementation == "sdpa"


def test_pickles_are_refused(tied: Converted, tmp_path: Path) -> None:
    shutil.copy(tied.folder / "config.json", tmp_path)
    torch.save(tied.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"only pickle weights \(pytorch_model.bin\)"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="use_safetensors is False"):
        AutoModel.from_pretrained(tmp_path, use_safetensors=False)


def test_a_checkpoint_that_lacks_weights_is_refused(tied: Converted, tmp_path: Path) -> None:
    tied.model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    save_file({key: stored[key] for key in stored if "projector" not in key}, file)
    with pytest.raises(ValueError, match="lacks 10 weights of NVILALiteForConditionalGeneration: model"):
        AutoModel.from_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="published layout; convert it first"):
        NVILALiteForConditionalGeneration.from_pretrained(tied.published)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"projector_type": "resampler"}, "projector_type is 'resampler'"),
        ({"vision_feature_layer": 3}, "vision_feature_layer is 3"),
        ({"vision_feature_select": "patch"}, "vision_feature_select is 'patch'"),
        ({"num_frames": 0}, "num_frames is 0"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)


def test_new_tokens_get_logits(each: Converted) -> None:
    model = copy.deepcopy(each.model)
    known = len(each.processor.tokenizer)
    inputs = prompts(each)
    with torch.inference_mode():
        before = model(**inputs).logits
        model.resize_token_embeddings(known + 3)
        after = model(**inputs).logits
    assert (before.shape[-1], after.shape[-1]) == (known, known + 3)
    torch.testing.assert_close(after[..., :known], before, atol=1e-5, rtol=1e-5)


def test_lora_reaches_scores_and_answers(tied: Converted) -> None:
    peft = pytest.importorskip("peft")
    inputs = prompts(tied)
    label_ids = tied.processor.encode_labels(LABELS)
    settings = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    model = peft.get_peft_model(copy.deepcopy(tied.model), settings).eval()
    with torch.inference_mode():
        adapted = model.score_labels(label_ids, **inputs)
        with model.disable_adapter():
            torch.testing.assert_close(
                model.score_labels(label_ids, **inputs), tied.model.score_labels(label_ids, **inputs)
            )
        merged = model.merge_and_unload()
        torch.testing.assert_close(merged.score_labels(label_ids, **inputs), adapted, atol=1e-4, rtol=1e-4)
        assert (adapted - tied.model.score_labels(label_ids, **inputs)).abs().max() > 0.1


# Inputs that do not fit


def test_videos_that_do_not_fit_the_prompt_are_refused(tied: Converted) -> None:
    inputs = prompts(tied)
    pixels = inputs.pop("pixel_values_videos")
    tokens = 9 * tied.model.config.tokens_per_frame
    with pytest.raises(ValueError, match=f"hold {tokens} video tokens, but the videos have 0"):
        tied.model(**inputs)
    with pytest.raises(ValueError, match=f"hold {tokens} video tokens, but the videos have"):
        tied.model(**inputs, pixel_values_videos=pixels[:-1])
    with pytest.raises(ValueError, match=r"shape \[9, 3, 77, 70\], not \[frames, 3, 77, 77\]"):
        tied.model(**inputs, pixel_values_videos=pixels[..., :70])
    features = tied.model.get_video_features(pixels)
    with pytest.raises(ValueError, match="both given"):
        tied.model(**inputs, pixel_values_videos=pixels, video_features=features)


def test_the_model_without_output_embedding_gives_hidden_states(tied: Converted) -> None:
    inputs = prompts(tied)
    base = NVILALiteModel.from_pretrained(tied.folder).eval()
    with torch.inference_mode():
        hidden = base(**inputs).last_hidden_state
        torch.testing.assert_close(
            tied.model.lm_head(hidden), tied.model(**inputs).logits, atol=1e-5, rtol=1e-5
        )
