"""The conditioning text and what the pipelines refuse."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from wan_tiny import tiny_vae

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.remote.wan.conditioning import (
    MOODS,
    STYLES,
    WORDINGS,
    conditioning_text,
    emotion_weights,
)
from emovid_models.remote.wan.inputs import check_frames, check_image, check_prompt, check_size, check_vae
from emovid_models.wan.encode import text_variants


def test_names_are_those_of_the_dataset_in_its_order() -> None:
    assert tuple(MOODS) == EMOTIONS
    assert tuple(STYLES) == CONTENT_TYPES


@pytest.mark.parametrize(
    ("wording", "digest"),
    [("paper", "2bfed0e913cab0fc"), ("mood", "d9a3747c50573042")],
)
def test_a_wording_never_changes(wording: str, digest: str) -> None:
    texts = [
        conditioning_text(caption, emotion, style, intensity, wording=wording)
        for caption in ("", "A cat", "A cat!")
        for emotion in (None, *MOODS)
        for style in (None, *STYLES)
        for intensity in (0, 0.3, 1, 2)
    ]
    found = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    assert found == digest, "another text needs another name in WORDINGS"


def test_the_default_is_the_papers_sentence_alone() -> None:
    for emotion in EMOTIONS:
        said = f'The video is in the "{emotion}" emotion.'
        assert conditioning_text("A cat on a roof.", emotion) == f"A cat on a roof. {said}"
        for style in CONTENT_TYPES:
            for intensity in (0.3, 1.0, 2.0):
                found = conditioning_text("a cat", emotion, style, intensity, wording="paper")
                assert found == f"a cat. {said}"
        assert conditioning_text("", emotion) == said
    assert conditioning_text("a cat", None, "movie") == "a cat"
    assert set(WORDINGS) == {"paper", "mood"}


def test_a_wrong_wording_is_refused() -> None:
    with pytest.raises(ValueError, match="wording 'poem' is unknown; allowed: paper, mood"):
        conditioning_text("a cat", "awe", wording="poem")


def test_without_mood_and_style_the_caption_is_untouched() -> None:
    assert conditioning_text("  a cat ") == "  a cat "
    assert conditioning_text("a cat", "awe", intensity=0) == "a cat"


@pytest.mark.parametrize("wording", WORDINGS)
def test_training_texts_are_those_that_the_pipelines_ask_with(wording: str) -> None:
    assert text_variants("A cat.", "fear", "sticker", wording) == {
        "whole": conditioning_text("A cat.", "fear", "sticker", wording=wording),
        "no emotion": conditioning_text("A cat.", None, "sticker", wording=wording),
        "no caption": conditioning_text("", "fear", "sticker", wording=wording),
        "empty": "",
    }


@given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(1e-3, 1e3), min_size=1))
def test_a_blend_sums_to_one_and_keeps_the_proportions(blend: dict[str, float]) -> None:
    weights = emotion_weights(blend)
    assert list(weights) == list(blend)
    assert sum(weights.values()) == pytest.approx(1)
    first = next(iter(blend))
    for name in blend:
        assert weights[name] / weights[first] == pytest.approx(blend[name] / blend[first])


@pytest.mark.parametrize(
    ("emotion", "message"),
    [
        ("joy", "emotion 'joy' is unknown; allowed: amusement, awe"),
        (8, "emotion 8 is unknown"),
        (True, "emotion True is unknown"),
        ({}, "name at least one"),
        ({"awe": -1}, "weight -1 of 'awe' is not a number above 0"),
        ({"awe": float("nan")}, "weight nan"),
        ({"awe": 1, "AWE ": 1}, "'awe' is named twice"),
    ],
)
def test_a_wrong_emotion_is_one_line(emotion: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        emotion_weights(emotion)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("intensity", [-0.1, float("inf"), float("nan"), "1", True])
def test_a_wrong_intensity_is_refused(intensity: object) -> None:
    with pytest.raises(ValueError, match=r"intensity .* is not a number from 0 up"):
        conditioning_text("a cat", "awe", intensity=intensity)  # type: ignore[arg-type]


def test_a_wrong_content_type_is_refused() -> None:
    with pytest.raises(ValueError, match="content_type 'film' is unknown; allowed: cartoon, movie, sticker"):
        conditioning_text("a cat", "awe", "film")


@pytest.mark.parametrize("prompt", ["", "  \n", ["a cat", " "]])
def test_an_empty_prompt_is_refused(prompt: str | list[str]) -> None:
    with pytest.raises(ValueError, match="is empty"):
        check_prompt(prompt)


def test_frames_that_the_stock_pipeline_rounds_are_refused() -> None:
    for frames in (1, 5, 81):
        check_frames(frames)
    with pytest.raises(ValueError, match="num_frames 16 is not 4k\\+1; the nearest are 13 and 17"):
        check_frames(16)
    with pytest.raises(ValueError, match="num_frames 0"):
        check_frames(0)


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="height 481 is not a multiple of 16; the nearest are 480 and 496"):
        check_size(481, 832)
    with pytest.raises(ValueError, match="width 0 is not"):
        check_size(16, 0)


def test_an_image_that_would_be_stretched_is_refused() -> None:
    check_image(Image.new("RGB", (1920, 1080)), 480, 832)
    check_image(torch.zeros(1, 3, 480, 832), 480, 832)
    with pytest.raises(ValueError, match="image is 640x640 but the video is 832x480: crop"):
        check_image(Image.new("RGB", (640, 640)), 480, 832)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dim_mult": [1, 1, 1], "temperal_downsample": [True, True]},
            "scale_factor_spatial is 8, .* scale by 4",
        ),
        ({"temperal_downsample": [False, False, True]}, "scale_factor_temporal is 4, .* scale by 2"),
        ({"scale_factor_spatial": 16}, "scale_factor_spatial is 16, .* scale by 8"),
    ],
)
def test_a_vae_that_contradicts_its_layers_is_refused(changes: dict[str, object], message: str) -> None:
    check_vae(tiny_vae().config)
    with pytest.raises(ValueError, match=message):
        check_vae(tiny_vae(**changes).config)
