"""Emotions over time: how they are read, and what each latent frame is conditioned on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from wan_tiny import CAPTION, t2v_components

from emovid_models.remote.wan.over_time import EmotionOverTime, emotion_over_time, read_emotion
from emovid_models.wan import EmoVidWanPipeline
from emovid_models.wan.generate import check_times, read_orders

CALL: dict[str, Any] = {
    "height": 32,
    "width": 48,
    "num_frames": 9,
    "num_inference_steps": 1,
    "guidance_scale": 3.0,
    "negative_prompt": "blurred",
    "output_type": "latent",
}


@pytest.fixture(scope="module")
def pipe() -> Any:
    components = t2v_components()
    components["scheduler"] = FlowMatchEulerDiscreteScheduler()
    found = EmoVidWanPipeline(**components)
    found.set_progress_bar_config(disable=True)
    return found


def latents(pipe: Any, emotion: Any, **changes: Any) -> torch.Tensor:
    noise = torch.Generator().manual_seed(7)
    found = pipe(prompt=CAPTION, generator=noise, emotion=emotion, **{**CALL, **changes}).frames
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("changes", [{}, {"intensity": 0.5}, {"emotion_guidance_scale": 6.0}])
def test_each_latent_frame_is_conditioned_on_the_emotion_of_its_frames(
    pipe: Any, changes: dict[str, Any]
) -> None:
    """One step of Euler's method is linear in the prediction, so that a mixture of emotions is one of videos.

    Of nine frames at 16 per second the latent frames hold frame 0, frames 1 to 4, and 5 to 8.
    """
    sad, awed = latents(pipe, "sadness", **changes), latents(pipe, "awe", **changes)
    assert not torch.allclose(sad, awed, atol=1e-3), "the emotion must matter"
    found = latents(pipe, {6 / 16: "awe", 0: "sadness"}, **changes)
    assert torch.allclose(found[:, :, :2], sad[:, :, :2], atol=1e-5)
    assert torch.allclose(found[:, :, 2], 0.25 * sad[:, :, 2] + 0.75 * awed[:, :, 2], atol=1e-5)


def test_one_emotion_all_the_time_is_the_call_with_that_emotion_bit_for_bit(pipe: Any) -> None:
    awed = latents(pipe, "awe", num_inference_steps=3)
    assert torch.equal(latents(pipe, {0: "awe"}, num_inference_steps=3), awed)
    assert torch.equal(latents(pipe, {0.25: "awe"}, num_inference_steps=3), awed), "it holds before, too"
    plain = latents(pipe, {0: "awe", 0.25: "fear"}, intensity=0)
    assert torch.equal(plain, latents(pipe, None))


def test_a_time_that_is_not_in_the_video_is_refused_before_anything_is_encoded(pipe: Any) -> None:
    with pytest.raises(ValueError, match=r"'awe' from 3 s is outside the video: the last of its 9 frames"):
        latents(pipe, {0: "sadness", 3.0: "awe"})


@pytest.mark.parametrize(
    ("emotion", "num_frames", "fps", "expected"),
    [
        ({0: "fear", 1.0: "awe"}, 17, 16, [(1, 1, 1, 1, 0.75), (0, 0, 0, 0, 0.25)]),
        ({1.0: "awe", 0: "fear"}, 17, 16, [(1, 1, 1, 1, 0.75), (0, 0, 0, 0, 0.25)]),
        ({0: "fear", 4 / 24: "awe"}, 9, 24, [(1, 0.75, 0), (0, 0.25, 1)]),
        ({0.125: "fear", 0.375: "awe"}, 9, 16, [(1, 1, 0.25), (0, 0, 0.75)]),
        ({0: "fear", 1 / 16: {"awe": 3, "fear": 1}}, 5, 16, [(1, 0.25), (0, 0.75)]),
        ({0: "fear", 1 / 16: "awe", 5 / 16: "fear"}, 9, 16, [(1, 0, 1), (0, 1, 0)]),
        ({0: "fear", 0.3: 1}, 5, 16, None),
    ],
)
def test_weights_of_latent_frames(
    emotion: Any, num_frames: int, fps: float, expected: list[tuple[float, ...]] | None
) -> None:
    over = read_emotion(emotion)
    assert isinstance(over, EmotionOverTime)
    if expected is None:
        with pytest.raises(ValueError, match=r"from 0.3 s is outside the video: the last of its 5 frames"):
            over.check(num_frames, fps)
        return
    over.check(num_frames, fps)
    assert over.latent_weights(num_frames, fps) == expected


@pytest.mark.parametrize(
    ("emotion", "message"),
    [
        ({0: "sadness", -1: "awe"}, "-1 is not a time in seconds from 0 up"),
        ({0: "sadness", float("nan"): "awe"}, "nan is not a time"),
        ({"0": "sadness", 3: "awe"}, "'0' is not a time"),
        ({True: "sadness"}, "True is not a time"),
        ({0: "sadness", 3: "joy"}, "emotion 'joy' is unknown"),
        ({0: "sadness", 3: {}}, "name at least one"),
        ({0: "sadness", 3: 0.5}, "emotion 0.5 is unknown"),
        ({0: "fear", 0.01: "awe", 0.02: "anger"}, "'awe' holds from 0.01 to 0.02 s, but no frame is there"),
    ],
)
def test_wrong_emotions_over_time_are_one_line(emotion: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        emotion_over_time(emotion).check(9, 16)
    assert "\n" not in str(error.value)


def test_a_file_of_prompts_names_emotions_over_time(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a cat", "emotion": {"3": "awe", "0": "Sadness"}}\n')
    (order,) = read_orders(path)
    assert order.emotion == {0.0: "sadness", 3.0: "awe"} and order.out == "0000-sadness-awe.mp4"
    check_times([order], 49, 16)
    with pytest.raises(ValueError, match="outside the video"):
        check_times([order], 45, 16)
    for wrong, message in (
        ('{"soon": "awe", "2": "fear"}', "the key 'soon'"),
        ('{"1": "awe", "1.0": "fear"}', "1 s twice"),
    ):
        path.write_text(f'{{"prompt": "a cat", "emotion": {wrong}}}\n')
        with pytest.raises(ValueError, match=message):
            read_orders(path)
