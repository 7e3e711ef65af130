"""What stock transformers promises of any model holds: assisted generation, tuples, several devices."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from converted_checkpoint import Converted
from published_layout import frames

LABELS = ("amusement", "awe", "contentment", "anger")
QUESTIONS = ("Why?", "Hm, in the end, who is there and why?")
VIDEOS = (frames(3, 30, 44, 11), frames(6, 50, 21, 12))
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12, "min_new_tokens": 12}


def asked(converted: Converted, *rows: int, **options: Any) -> Any:
    texts = [converted.processor.build_prompt(QUESTIONS[row]) for row in rows]
    return converted.processor(
        text=texts, videos=[VIDEOS[row] for row in rows], do_sample_frames=False, **options
    )


def answers(model: Any, inputs: Any, **options: Any) -> torch.Tensor:
    return model.generate(**inputs, **{**GREEDY, **options})[:, inputs["input_ids"].shape[1] :]


@pytest.mark.parametrize("row", [0, 1])
def test_assisted_generation_writes_what_greedy_writes(tied: Converted, row: int) -> None:
    inputs = asked(tied, row)
    greedy = answers(tied.model, inputs)
    other = copy.deepcopy(tied.model)
    with torch.no_grad():
        for weight in other.model.language_model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    for options in (
        {"prompt_lookup_num_tokens": 3},
        {"assistant_model": other},
        {"assistant_model": tied.model},
        {"use_cache": False},
    ):
        assert torch.equal(answers(tied.model, inputs, **options), greedy), list(options)


def test_an_assistant_that_is_the_model_itself_is_believed(tied: Converted) -> None:
    """It sees the video too, so that far fewer passes than tokens are needed."""
    passes: list[int] = []
    model, assistant = copy.deepcopy(tied.model), copy.deepcopy(tied.model)
    assistant.generation_config.assistant_confidence_threshold = 0.0
    model.lm_head.register_forward_hook(lambda *_: passes.append(1))
    answers(model, asked(tied, 0), assistant_model=assistant)
    assert len(passes) <= 4


@pytest.mark.parametrize("videos", ["pixel_values_videos", "video_features"])
def test_a_batch_of_unequal_prompts_is_each_alone(tied: Converted, videos: str) -> None:
    assert tied.processor.tokenizer.padding_side == "left"
    inputs = asked(tied, 0, 1)
    assert inputs["attention_mask"][0, 0] == 0, "padded on the left by itself"
    if videos == "video_features":
        inputs[videos] = tied.model.get_video_features(inputs.pop("pixel_values_videos"))
    for options in ({}, {"num_beams": 2, "num_return_sequences": 2}):
        count = options.get("num_return_sequences", 1)
        batch = answers(tied.model, inputs, **options)
        for row in (0, 1):
            alone = answers(tied.model, asked(tied, row), **options)
            assert torch.equal(batch[count * row : count * (row + 1)], alone), (row, options)


def test_padding_on_the_right_is_warned_of(tied: Converted, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("transformers")
    logger.propagate, before = True, logger.propagate
    try:
        answers(tied.model, asked(tied, 0, 1))
        assert "right-padding was detected" not in caplog.text
        answers(tied.model, asked(tied, 0, 1, padding_side="right"))
        assert "right-padding was detected" in caplog.text
    finally:
        logger.propagate = before


@pytest.mark.parametrize("by", ["argument", "config"])
def test_tuples_are_returned_to_who_wants_them(tied: Converted, by: str) -> None:
    inputs = asked(tied, 0, 1)
    model = copy.deepcopy(tied.model)
    options = {"return_dict": False} if by == "argument" else {}
    if by == "config":
        model.config.return_dict = False
    with torch.inference_mode():
        expected = tied.model(**inputs, labels=inputs["input_ids"])
        loss, logits, cache, *_ = model(**inputs, labels=inputs["input_ids"], **options)
        torch.testing.assert_close((loss, logits), (expected.loss, expected.logits))
        assert cache.get_seq_length() == inputs["input_ids"].shape[1]
        states = model.model(**inputs, **options)[0]
        torch.testing.assert_close(states, tied.model.model(**inputs).last_hidden_state)
        ids = tied.processor.encode_labels(LABELS)
        torch.testing.assert_close(model.score_labels(ids, **inputs), tied.model.score_labels(ids, **inputs))
    assert torch.equal(answers(model, inputs), answers(tied.model, inputs))


# several devices


def spread(model: Any, far: str, second: str) -> Any:
    """A copy of a model, some parts of which are on a second device, as `device_map="auto"` lays them."""
    from accelerate import dispatch_model

    language = "model.language_model"
    layers = [f"{language}.layers.{index}" for index in range(len(model.model.language_model.layers))]
    places = {name: "cpu" for name in ("model.vision_tower", "model.multi_modal_projector", *layers)}
    places |= {f"{language}.{name}": "cpu" for name in ("embed_tokens", "rotary_emb", "norm")}
    places |= {"lm_head": "cpu"}
    places |= {
        "end": {layers[-1]: second, f"{language}.norm": second},
        "head": {layers[-1]: second, f"{language}.norm": second, "lm_head": second},
        "tower": {"model.vision_tower": second, "model.multi_modal_projector": second},
    }[far]
    model = copy.deepcopy(model)
    if far == "head":  # a tied one would lie where the embedding lies
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.config.tie_word_embeddings = False
    return dispatch_model(model, places, main_device="cpu")


@pytest.mark.parametrize(
    ("far", "attention"), [("end", "sdpa"), ("end", "eager"), ("head", "sdpa"), ("tower", "sdpa")]
)
def test_labels_are_scored_on_a_model_that_is_spread_over_devices(
    tied: Converted, far: str, attention: str
) -> None:
    """The lazy device has memory of its own: an operation over both devices fails as on two GPUs."""
    backend = pytest.importorskip("torch._lazy.ts_backend")
    if not _second_device:
        backend.init()
        _second_device.append("lazy:0")
    with pytest.raises(RuntimeError):
        torch.ones(2, device="lazy:0") + torch.ones(2)
    inputs = asked(tied, 0, 1)
    ids = tied.processor.encode_labels(LABELS, end="<|im_end|>")
    model = spread(tied.model, far, "lazy:0")
    model.set_attn_implementation(attention)
    with torch.no_grad():
        found = model.score_labels(ids, **inputs)
        expected = tied.model.score_labels(ids, **inputs)
        logits = model(**inputs).logits.cpu()
        whole = tied.model(**inputs).logits
    assert found.device == inputs["input_ids"].device
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    shown = inputs["attention_mask"].bool()
    torch.testing.assert_close(logits[shown], whole[shown], atol=1e-4, rtol=1e-4)


_second_device: list[str] = []


def test_weights_that_are_offloaded_are_brought_for_scoring(tied: Converted, tmp_path: Any) -> None:
    from accelerate import dispatch_model

    places = {"model.vision_tower": "disk", "model.multi_modal_projector": "cpu"}
    places |= {"model.language_model": "disk", "lm_head": "cpu"}
    model = dispatch_model(copy.deepcopy(tied.model), places, main_device="cpu", offload_dir=tmp_path)
    assert next(model.model.vision_tower.parameters()).device.type == "meta"
    inputs, ids = asked(tied, 0, 1), tied.processor.encode_labels(LABELS)
    with torch.no_grad():
        torch.testing.assert_close(model.score_labels(ids, **inputs), tied.model.score_labels(ids, **inputs))


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_labels_are_scored_over_two_gpus(tied: Converted) -> None:
    inputs, ids = asked(tied, 0, 1), tied.processor.encode_labels(LABELS)
    from accelerate import dispatch_model, infer_auto_device_map

    size = sum(value.numel() * 4 for value in tied.model.parameters())
    places = infer_auto_device_map(tied.model, {0: size // 2, 1: size}, ["Qwen2DecoderLayer"])
    model = dispatch_model(copy.deepcopy(tied.model), places)
    with torch.no_grad():
        found = model.score_labels(ids, **inputs.to("cuda:0")).cpu()
        torch.testing.assert_close(found, tied.model.score_labels(ids, **inputs), atol=1e-4, rtol=1e-4)
