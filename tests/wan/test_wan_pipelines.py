"""The pipelines against the stock ones, and emotion guidance against the formula."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
)
from peft import LoraConfig
from PIL import Image
from safetensors.torch import load_file, save_file
from wan_tiny import CAPTION, i2v_components, t2v_components, tiny_vae

from emovid_models.remote.wan import CODE
from emovid_models.remote.wan.lora import LoraFacts, write_lora
from emovid_models.remote.wan.modules import TARGET_MODULES, original_name, target_names
from emovid_models.wan import (
    EmoVidWanImageToVideoPipeline,
    EmoVidWanPipeline,
    conditioning_text,
)

CALL: dict[str, Any] = {
    "height": 32,
    "width": 48,
    "num_frames": 5,
    "num_inference_steps": 3,
    "guidance_scale": 3.0,
    "negative_prompt": "blurred",
    "output_type": "latent",
}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def first_image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def random_lora(transformer: Any, path: Path, **facts: Any) -> Path:
    """Write a LoRA with noise in both factors, rank 4 and alpha 8; the transformer is spoilt by it."""
    torch.manual_seed(5)
    transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    write_lora(path, transformer, LoraFacts(**{"wording": "paper", "task": "t2v", "base": "tiny", **facts}))
    return path


@pytest.fixture(scope="module")
def t2v_lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "pytorch_lora_weights.safetensors"
    return random_lora(t2v_components()["transformer"], path)


@pytest.fixture(params=["t2v", "i2v"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any, dict[str, Any]]:
    """A stock pipeline, ours, and the arguments of a call; the models are equal but not shared."""
    if request.param == "t2v":
        return quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components())), CALL
    stock = quiet(WanImageToVideoPipeline(**i2v_components()))
    ours = quiet(EmoVidWanImageToVideoPipeline(**i2v_components()))
    return stock, ours, {**CALL, "image": first_image()}


def run(pipe: Any, call: dict[str, Any], prompt: Any = CAPTION, **changes: Any) -> torch.Tensor:
    return pipe(prompt=prompt, generator=seeded(), **{**call, **changes}).frames


def test_intensity_0_with_a_lora_is_the_base_bit_for_bit(pair: Any, tmp_path: Path) -> None:
    stock, ours, call = pair
    lora = random_lora(
        type(stock.transformer).from_config(stock.transformer.config), tmp_path / "l.safetensors"
    )
    ours.load_lora_weights(str(lora))
    base = run(stock, call)
    assert torch.equal(run(ours, call, emotion="awe", intensity=0), base)
    assert not torch.allclose(run(ours, call), base, atol=1e-4), "the LoRA must matter otherwise"


def test_without_emotion_it_is_the_stock_pipeline(pair: Any) -> None:
    stock, ours, call = pair
    assert torch.equal(run(ours, call), run(stock, call))


def test_intensity_1_is_the_stock_pipeline_with_the_conditioning_text(pair: Any) -> None:
    stock, ours, call = pair
    expected = run(stock, call, conditioning_text(CAPTION, "fear", "movie"))
    found = run(ours, call, emotion="fear", content_type="movie")
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, run(stock, call), atol=1e-3)


def test_a_lora_is_asked_in_its_own_words_unless_others_are_named(pair: Any, tmp_path: Path) -> None:
    stock, ours, call = pair
    blank = type(stock.transformer).from_config(stock.transformer.config)
    lora = random_lora(blank, tmp_path / "l.safetensors", wording="mood")
    for pipe in (stock, ours):
        pipe.load_lora_weights(str(lora))
    for asked, wording in ((None, "mood"), ("paper", "paper"), ("mood", "mood")):
        text = conditioning_text(CAPTION, "fear", "sticker", wording=wording)
        found = run(ours, call, emotion="fear", content_type="sticker", wording=asked)
        assert torch.allclose(found, run(stock, call, text), atol=1e-5), (asked, wording)
    ours.unload_lora_weights()
    assert ours.wording_of() == "paper"


def two_emotions(folder: Path, *wordings: str) -> Any:
    """Our pipeline with an emotion LoRA of each wording, called a, b, ...; all of them are active."""
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    for name, wording in zip("ab", wordings, strict=True):
        lora = random_lora(t2v_components()["transformer"], folder / f"{name}.safetensors", wording=wording)
        ours.load_lora_weights(str(lora), adapter_name=name)
    ours.set_adapters(["a", "b"], [1.0, 1.0])
    return ours


def test_loras_of_different_wordings_are_refused_unless_a_wording_is_named(tmp_path: Path) -> None:
    ours = two_emotions(tmp_path, "mood", "paper")
    with pytest.raises(
        ValueError, match=r"LoRA a with wording 'mood', b with wording 'paper', .* by wording="
    ) as e:
        run(ours, CALL, emotion="awe", emotion_adapter="a")
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="wording 'poem' is unknown"):
        run(ours, CALL, wording="poem")
    run(ours, CALL, emotion="awe", emotion_adapter="a", wording="mood")
    run(ours, CALL)
    ours.set_adapters("b")
    assert ours.wording_of() == "paper", "a is not active"


def test_two_emotion_loras_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    ours = two_emotions(tmp_path, "paper", "paper")
    with pytest.raises(
        ValueError, match=r"2 emotion LoRAs are active \(a, b\): name .* emotion_adapter="
    ) as e:
        run(ours, CALL, emotion="awe")
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="emotion_adapter 'c' is not an active LoRA; active: a, b"):
        run(ours, CALL, emotion="awe", emotion_adapter="c")
    found = run(ours, CALL, emotion="awe", emotion_adapter="b", intensity=0.5, emotion_guidance_scale=6.0)
    stock = quiet(WanPipeline(**t2v_components()))
    for name in "ab":
        stock.load_lora_weights(str(tmp_path / f"{name}.safetensors"), adapter_name=name)
    stock.set_adapters(["a", "b"], [1.0, 0.5])
    assert torch.allclose(found, run(stock, CALL, conditioning_text(CAPTION, "awe")), atol=1e-5)


def other_lora(path: Path, naming: str) -> Path:
    """A LoRA of a style, named as others name theirs; alpha is the rank."""
    torch.manual_seed(6)
    transformer: Any = t2v_components()["transformer"]
    weights = {}
    for name in target_names(transformer):
        linear = transformer.get_submodule(name)
        original = str(original_name(name))
        module = {
            "diffusers": f"transformer.{name}",
            "comfyui": f"diffusion_model.{original}",
            "kohya": f"lora_unet_{original.replace('.', '_')}",
        }[naming]
        down, up = ("lora_A", "lora_B") if naming == "diffusers" else ("lora_down", "lora_up")
        weights[f"{module}.{down}.weight"] = 0.3 * torch.randn(2, linear.in_features)
        weights[f"{module}.{up}.weight"] = 0.3 * torch.randn(linear.out_features, 2)
        if naming == "kohya":
            weights[f"{module}.alpha"] = torch.tensor(2.0)
    save_file(weights, path)
    return path


@pytest.mark.parametrize("naming", ["diffusers", "comfyui", "kohya"])
def test_intensity_moves_the_emotion_beside_a_style_of_fixed_weight(
    pair: Any, naming: str, tmp_path: Path
) -> None:
    stock, ours, call = pair
    blank = type(stock.transformer).from_config(stock.transformer.config)
    emotion = random_lora(blank, tmp_path / "emotion.safetensors")
    (tmp_path / "style").mkdir()
    style = other_lora(tmp_path / "style" / "anything.safetensors", naming)
    stock.load_lora_weights(str(style), adapter_name="style")
    ours.load_lora_weights(str(style.parent), adapter_name="style")
    assert ours.emotion_adapters == {}
    for pipe in (stock, ours):
        pipe.load_lora_weights(str(emotion), adapter_name="emotion")
        pipe.set_adapters(["emotion", "style"], [1.0, 0.8])
    assert ours.emotion_adapters == {"emotion": "paper"}
    text = conditioning_text(CAPTION, "awe")
    seen = []
    for intensity in (0.0, 0.5, 1.0):
        # So that the guidance by the emotion is the guidance by the prompt, and stock's formula holds.
        scale = 3.0 / intensity if intensity else None
        found = run(ours, call, emotion="awe", intensity=intensity, emotion_guidance_scale=scale)
        stock.set_adapters(["emotion", "style"], [intensity, 0.8])
        expected = run(stock, call, text if intensity else CAPTION)
        assert torch.allclose(found, expected, atol=1e-5), intensity
        seen.append(found)
    stock.set_adapters("style", 0.8)
    assert torch.allclose(seen[0], run(stock, call), atol=1e-5), "the style stays at intensity 0"
    assert not torch.allclose(seen[1], seen[2], atol=1e-3)
    assert torch.equal(run(ours, call, emotion="awe"), seen[2]), "the weights are what they were"


# the emotion LoRA, however it came into the transformer


@pytest.mark.parametrize("way", ["from_pipe", "components", "state dict", "stock"])
def test_intensity_0_is_the_base_however_the_lora_came_in(pair: Any, way: str, tmp_path: Path) -> None:
    stock, ours, call = pair
    blank = type(stock.transformer).from_config(stock.transformer.config)
    lora = random_lora(blank, tmp_path / "pytorch_lora_weights.safetensors")
    base = run(stock, call)
    with_lora = run_with(stock, call, lora)
    kind = type(ours)
    if way == "state dict":
        ours.load_lora_weights(load_file(lora))
    elif way == "stock":
        other = type(stock)(**ours.components)
        other.load_lora_weights(str(lora))
        ours = quiet(kind(**other.components))
    else:
        ours.load_lora_weights(str(lora))
        ours = quiet(kind.from_pipe(ours) if way == "from_pipe" else kind(**ours.components))
    assert ours.emotion_adapters == {"default_0": "paper"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert torch.equal(run(ours, call, emotion="awe", intensity=0), base)
    unknown = way in ("state dict", "stock")
    assert any("is taken for an emotion LoRA" in str(each.message) for each in said) == unknown
    # Without its header the LoRA has another alpha.
    assert torch.equal(run(ours, call), with_lora) == (way != "state dict")
    assert not torch.allclose(run(ours, call), base, atol=1e-3)


def run_with(pipe: Any, call: dict[str, Any], lora: Path) -> torch.Tensor:
    """What a pipeline makes with a LoRA, which it does not keep."""
    pipe.load_lora_weights(str(lora))
    found = run(pipe, call)
    pipe.unload_lora_weights()
    return found


@pytest.mark.parametrize("removed", ["unload", "delete"])
def test_a_style_under_the_name_of_an_emotion_lora_that_is_gone_stays(
    pair: Any, removed: str, tmp_path: Path
) -> None:
    stock, ours, call = pair
    blank = type(stock.transformer).from_config(stock.transformer.config)
    emotion = random_lora(blank, tmp_path / "emotion.safetensors")
    style = other_lora(tmp_path / "style.safetensors", "diffusers")
    stock.load_lora_weights(str(style), adapter_name="one")
    expected = run(stock, call)
    for given in (str(style), load_file(style)):
        ours.load_lora_weights(str(emotion), adapter_name="one")
        ours.unload_lora_weights() if removed == "unload" else ours.delete_adapters("one")
        ours.load_lora_weights(given, adapter_name="one")
        if given == str(style):
            assert ours.emotion_adapters == {}
            assert torch.equal(run(ours, call, emotion="awe", intensity=0), expected)
        ours.unload_lora_weights()


def test_a_fused_emotion_lora_is_refused_where_it_would_have_to_go(pair: Any, tmp_path: Path) -> None:
    stock, ours, call = pair
    blank = type(stock.transformer).from_config(stock.transformer.config)
    emotion = random_lora(blank, tmp_path / "emotion.safetensors")
    style = other_lora(tmp_path / "style.safetensors", "diffusers")
    base = run(stock, call)
    ours.load_lora_weights(str(emotion), adapter_name="emotion")
    whole = run(ours, call)
    ours.fuse_lora()
    for pipe in (ours, quiet(type(ours)(**ours.components))):
        with pytest.raises(ValueError, match="LoRA emotion is fused into the weights"):
            run(pipe, call, emotion="awe", intensity=0)
        assert torch.allclose(run(pipe, call), whole, atol=1e-4)
    ours.unfuse_lora()
    assert torch.allclose(run(ours, call, emotion="awe", intensity=0), base, atol=1e-5)
    ours.fuse_lora()
    ours.unload_lora_weights()
    for pipe in (ours, quiet(type(ours)(**ours.components))):
        with pytest.raises(ValueError, match="LoRA emotion is fused into the weights"):
            run(pipe, call, emotion="awe", intensity=0)
    fresh = quiet(type(ours)(**{**stock.components}))
    fresh.load_lora_weights(str(style), adapter_name="style")
    fresh.fuse_lora()
    run(fresh, call, emotion="awe", intensity=0)


def test_a_lora_of_the_other_task_is_said(t2v_lora: Path) -> None:
    ours = quiet(EmoVidWanImageToVideoPipeline(**i2v_components()))
    with pytest.warns(UserWarning, match="was trained for task t2v, and this base is made for i2v"):
        ours.load_lora_weights(str(t2v_lora))


def test_a_lora_loads_into_a_compiled_transformer(t2v_lora: Path) -> None:
    stock, ours = quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components()))
    ours.transformer = torch.compile(ours.transformer, backend="eager")
    for pipe in (stock, ours):
        pipe.load_lora_weights(str(t2v_lora))
    assert torch.allclose(run(ours, CALL), run(stock, CALL), atol=1e-5)
    stock.unload_lora_weights()
    assert torch.allclose(run(ours, CALL, emotion="awe", intensity=0), run(stock, CALL), atol=1e-5)


def test_an_unknown_wording_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    lora = random_lora(t2v_components()["transformer"], tmp_path / "l.safetensors", wording="verse")
    ours.load_lora_weights(str(lora), adapter_name="later")
    with pytest.raises(ValueError, match="LoRA later with wording 'verse', which is unknown"):
        run(ours, CALL, emotion="awe")
    run(ours, CALL, emotion="awe", wording="mood")


def test_guidance_is_the_formula(pair: Any) -> None:
    """Against a loop of our own: each branch through the transformer alone, then Euler's step."""
    stock, ours, call = pair
    found = run(ours, call, emotion={"awe": 3, "fear": 1}, intensity=1.5, emotion_guidance_scale=2.0)

    moods = [conditioning_text(CAPTION, emotion, None, 1.5) for emotion in ("awe", "fear")]
    embeds = [
        stock.encode_prompt(text, None, False, max_sequence_length=512)[0]
        for text in ("blurred", CAPTION, *moods)
    ]
    extra: dict[str, Any] = {}
    condition = None
    if "image" in call:
        pixels = stock.video_processor.preprocess(call["image"], 32, 48)
        latents, condition = stock.prepare_latents(pixels, 1, 4, 32, 48, 5, torch.float32, "cpu", seeded())
        extra["encoder_hidden_states_image"] = stock.encode_image(call["image"])
    else:
        latents = stock.prepare_latents(1, 4, 32, 48, 5, torch.float32, "cpu", seeded())
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(3)
    with torch.no_grad():
        for index, time in enumerate(scheduler.timesteps):
            model_input = latents if condition is None else torch.cat([latents, condition], 1)
            uncond, prompt, awe, fear = (
                stock.transformer(model_input, time.expand(1), embed, return_dict=False, **extra)[0]
                for embed in embeds
            )
            velocity = uncond + 3 * (prompt - uncond) + 1.5 * 2 * (0.75 * awe + 0.25 * fear - prompt)
            latents = latents + (scheduler.sigmas[index + 1] - scheduler.sigmas[index]) * velocity
    assert torch.allclose(found, latents, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "branches"), [({}, 2), ({"intensity": 1.5}, 3), ({"guidance_scale": 1}, 1)]
)
def test_each_step_is_one_transformer_call(options: dict[str, Any], branches: int) -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    batches: list[int] = []
    ours.transformer.patch_embedding.register_forward_hook(lambda _, args, __: batches.append(len(args[0])))
    run(ours, CALL, emotion="awe", **options)
    assert batches == [branches] * 3


def test_a_blend_of_one_is_that_emotion() -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    plain = run(ours, CALL, emotion="awe", intensity=2.0)
    assert torch.equal(run(ours, CALL, emotion={"awe": 5}, intensity=2.0), plain)
    assert not torch.allclose(run(ours, CALL, emotion={"awe": 1, "fear": 1}, intensity=2.0), plain, atol=1e-4)


def test_intensity_scales_the_lora_on_top_of_the_users_weight_and_restores_it(t2v_lora: Path) -> None:
    stock, ours = WanPipeline(**t2v_components()), EmoVidWanPipeline(**t2v_components())
    for pipe in (quiet(stock), quiet(ours)):
        pipe.load_lora_weights(str(t2v_lora), adapter_name="mood")
        pipe.set_adapters("mood", 0.8)
    found = run(ours, CALL, emotion="awe", intensity=0.5, emotion_guidance_scale=6.0)
    assert torch.equal(run(ours, CALL), run(stock, CALL)), "the weight must be 0.8 again"
    stock.set_adapters("mood", 0.4)
    assert torch.allclose(found, run(stock, CALL, conditioning_text(CAPTION, "awe")), atol=1e-5)


def test_batches_and_several_videos_a_prompt_are_the_stock_pipelines(pair: Any) -> None:
    stock, ours, call = pair
    prompts = [CAPTION, "a dog on a roof"]
    for changes in ({"num_videos_per_prompt": 2}, {}):
        if "image" in call and changes:
            continue  # the stock pipeline repeats the image per prompt only
        expected = run(stock, call, [conditioning_text(p, "awe") for p in prompts], **changes)
        assert torch.allclose(run(ours, call, prompts, emotion="awe", **changes), expected, atol=1e-5)


def test_other_schedulers_work() -> None:
    stock, ours = quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components()))
    for pipe in (stock, ours):
        pipe.scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        )
    expected = run(stock, CALL, conditioning_text(CAPTION, "awe"))
    assert torch.allclose(run(ours, CALL, emotion="awe"), expected, atol=1e-5)


def test_callbacks_see_and_change_what_they_do_in_the_stock_pipeline() -> None:
    stock, ours = quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components()))
    seen: dict[int, list[Any]] = {id(stock): [], id(ours): []}

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen[id(pipe)].append((step, float(timestep), pipe.guidance_scale, sorted(tensors)))
        return {
            "latents": tensors["latents"] * 0.9,
            "negative_prompt_embeds": tensors["negative_prompt_embeds"] * 2,
        }

    options = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["latents", "negative_prompt_embeds", "prompt_embeds"],
    }
    expected = run(stock, CALL, conditioning_text(CAPTION, "awe"), **options)
    assert torch.allclose(run(ours, CALL, emotion="awe", **options), expected, atol=1e-5)
    assert seen[id(ours)] == seen[id(stock)] and len(seen[id(ours)]) == 3


@pytest.mark.parametrize("in_place", [False, True])
def test_embeddings_that_a_callback_returns_are_obeyed_with_an_emotion(pair: Any, in_place: bool) -> None:
    stock, ours, call = pair

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        embeds = tensors["prompt_embeds"]
        return {"prompt_embeds": embeds.mul_(-3) if in_place else embeds * -3}

    options = {"callback_on_step_end": change, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    text = conditioning_text(CAPTION, "awe")
    expected = run(stock, call, text, **options)
    assert torch.allclose(run(ours, call, emotion="awe", **options), expected, atol=1e-5)
    assert not torch.allclose(expected, run(stock, call, text), atol=1e-3), "the callback must matter"


def test_embeddings_that_a_callback_returns_stand_for_a_blend() -> None:
    stock, ours = quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components()))
    sad = stock.encode_prompt(conditioning_text(CAPTION, "sadness"), None, False, max_sequence_length=512)[0]

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_embeds": sad} if step == 0 else tensors

    blend = {"awe": 1, "fear": 1}
    options = {"callback_on_step_end": change, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    found = run(ours, CALL, emotion=blend, **options)
    first = run(ours, {**CALL, "num_inference_steps": 3}, emotion=blend, callback_on_step_end=stop_after(0))
    rest = run(stock, CALL, conditioning_text(CAPTION, "sadness"), callback_on_step_end=begin_with(first))
    assert torch.allclose(found, rest, atol=1e-5)


def stop_after(step: int) -> Any:
    """A callback that ends a run with the latents after a step."""

    def callback(pipe: Any, number: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = number >= step
        return tensors

    return callback


def begin_with(latents: torch.Tensor) -> Any:
    """A callback that puts these latents in the place of those after the first step."""

    def callback(pipe: Any, number: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": latents} if number == 0 else {}

    return callback


def test_a_callback_that_ends_the_guidance_ends_it() -> None:
    stock, ours = quiet(WanPipeline(**t2v_components())), quiet(EmoVidWanPipeline(**t2v_components()))

    def end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._guidance_scale = 0.0
        return tensors

    expected = run(stock, CALL, conditioning_text(CAPTION, "awe"), callback_on_step_end=end)
    assert torch.allclose(run(ours, CALL, emotion="awe", callback_on_step_end=end), expected, atol=1e-5)


def test_an_error_in_a_callback_leaves_no_trace(t2v_lora: Path) -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    ours.load_lora_weights(str(t2v_lora))
    before = run(ours, CALL)

    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run(ours, CALL, emotion="awe", intensity=0.3, callback_on_step_end=fail)
    assert not ours.transformer._forward_hooks and not ours.transformer._forward_pre_hooks
    assert torch.equal(run(ours, CALL), before)


def test_a_video_comes_out() -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    frames = run(ours, CALL, emotion="awe", output_type="np")
    assert frames.shape == (1, 5, 32, 48, 3) and frames.min() >= 0 and frames.max() <= 1


def test_wan_without_an_image_encoder_works() -> None:
    parts = i2v_components()
    config = {**parts["transformer"].config, "image_dim": None, "added_kv_proj_dim": None}
    parts.update(
        transformer=type(parts["transformer"]).from_config(config).eval(),
        image_encoder=None,
        image_processor=None,
    )
    stock, ours = quiet(WanImageToVideoPipeline(**parts)), quiet(EmoVidWanImageToVideoPipeline(**parts))
    call = {**CALL, "image": first_image()}
    expected = run(stock, call, conditioning_text(CAPTION, "awe"))
    assert torch.allclose(run(ours, call, emotion="awe"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emotion": "joy"}, "emotion 'joy' is unknown"),
        ({"prompt": ""}, "prompt '' is empty"),
        ({"num_frames": 6}, "num_frames 6 is not 4k"),
        ({"width": 50}, "width 50 is not a multiple of 16"),
        ({"intensity": -1}, "intensity -1"),
        ({"emotion": "awe", "emotion_guidance_scale": -1}, "emotion_guidance_scale -1"),
        ({"content_type": "film"}, "content_type 'film'"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 512, 16), "emotion": "awe"}, "need prompt as text"),
        ({"image": Image.new("RGB", (32, 32))}, "image is 32x32 but the video is 48x32"),
    ],
)
def test_bad_input_is_one_line(changes: dict[str, Any], message: str) -> None:
    if "image" in changes:
        pipe: Any = quiet(EmoVidWanImageToVideoPipeline(**i2v_components()))
    else:
        pipe = quiet(EmoVidWanPipeline(**t2v_components()))
    with pytest.raises(ValueError, match=message) as error:
        pipe(**{**CALL, "prompt": CAPTION, **changes})
    assert "\n" not in str(error.value)


def test_an_image_of_a_type_that_stock_refuses_is_named_by_its_type(pair: Any) -> None:
    stock, ours, call = pair
    if "image" not in call:
        return
    for image in (np.zeros((32, 48, 3), np.uint8), np.zeros((48, 32, 3), np.uint8), "cat.png"):
        messages = []
        for pipe in (stock, ours):
            with pytest.raises(ValueError, match=r"`image` has to be of type") as error:
                run(pipe, {**call, "image": image})
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_a_contradictory_vae_is_refused() -> None:
    parts = {**t2v_components(), "vae": tiny_vae(dim_mult=[1, 1, 1], temperal_downsample=[True, True])}
    with pytest.raises(ValueError, match="scale_factor_spatial is 8, but its layers scale by 4"):
        run(quiet(EmoVidWanPipeline(**parts)), CALL)


def test_out_of_memory_says_what_to_lower() -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    with pytest.raises(
        torch.OutOfMemoryError, match="at 48x32 and 4000000000000001 frames: lower num_frames"
    ):
        run(ours, CALL, emotion="awe", num_frames=4 * 10**15 + 1)


REMOTE = """
import sys
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
made = []
for task, base, code in (("t2v", sys.argv[1], sys.argv[2]), ("i2v", sys.argv[3], sys.argv[4])):
    pipe = DiffusionPipeline.from_pretrained(base, custom_pipeline=code, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(sys.argv[5])
    first = {"image": Image.new("RGB", (48, 32))} if task == "i2v" else {}
    frames = pipe(prompt="a cat", emotion="awe", intensity=1.2, height=32, width=48, num_frames=5,
                  num_inference_steps=1, **first).frames
    made.append((type(pipe).__name__, frames.shape))
assert not [name for name in sys.modules if name.startswith("emovid")], "remote code must stand alone"
print(made)
"""


def test_as_remote_code_both_work_in_one_process_without_this_package(
    t2v_base: Path, i2v_base: Path, t2v_lora: Path, tmp_path: Path
) -> None:
    for task in ("t2v", "i2v"):
        (tmp_path / task).mkdir()
        for name, file in CODE[task].items():
            # Two local folders share one module folder in diffusers; repos on the Hub do not.
            shutil.copy(file, tmp_path / task / (file.name if name == "pipeline.py" else name))
    codes = [str(tmp_path / task / f"pipeline_{task}.py") for task in ("t2v", "i2v")]
    arguments = [str(t2v_base), codes[0], str(i2v_base), codes[1], str(t2v_lora)]
    done = subprocess.run(
        [sys.executable, "-c", REMOTE, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shape = "(1, 5, 32, 48, 3)"
    assert done.stdout.strip() == (
        f"[('EmoVidWanPipeline', {shape}), ('EmoVidWanImageToVideoPipeline', {shape})]"
    )


def test_loads_by_class_and_what_it_saves_is_a_stock_folder(t2v_base: Path, tmp_path: Path) -> None:
    ours = quiet(EmoVidWanPipeline.from_pretrained(t2v_base))
    ours.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "WanPipeline"
    stock = quiet(DiffusionPipeline.from_pretrained(tmp_path))
    assert type(stock) is WanPipeline
    assert torch.allclose(run(ours, CALL), run(stock, CALL), atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_offload_works_with_emotion_guidance(t2v_lora: Path) -> None:
    ours = quiet(EmoVidWanPipeline(**t2v_components()))
    ours.load_lora_weights(str(t2v_lora))
    expected = run(ours, CALL, emotion="awe", intensity=1.5)
    ours.enable_model_cpu_offload()
    assert torch.allclose(run(ours, CALL, emotion="awe", intensity=1.5).cpu(), expected, atol=1e-3)
    ours.remove_all_hooks()
    ours.enable_sequential_cpu_offload()
    assert torch.allclose(run(ours, CALL, emotion="awe", intensity=1.5).cpu(), expected, atol=1e-3)


# prompts beyond the text encoder


@pytest.mark.parametrize("wording", ["paper", "mood"])
@pytest.mark.parametrize("separator", [" ", ""])
def test_a_long_prompt_leaves_the_emotion_its_place(wording: str, separator: str) -> None:
    """Its end is cut, not the sentence after it; what is encoded is the text that one would have given."""
    components = t2v_components()
    ours, stock = quiet(EmoVidWanPipeline(**components)), quiet(WanPipeline(**components))
    words = [f"word{number}" for number in range(600)]
    prompt = separator.join(words)
    seen: list[str] = []
    encode = ours.tokenizer

    def listening(text: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("padding") == "max_length":
            seen.extend(text)
        return encode(text, *args, **kwargs)

    ours.tokenizer = listening
    call = {**CALL, "guidance_scale": 1.0}
    with pytest.warns(UserWarning, match="the prompt is cut after .* the text encoder takes 512 tokens"):
        found = {
            emotion: ours(prompt, emotion=emotion, wording=wording, generator=seeded(), **call).frames
            for emotion in ("amusement", "fear")
        }
    assert not torch.equal(found["amusement"], found["fear"])
    sentence = conditioning_text("", "fear", wording=wording)
    (whole,) = {text for text in seen if text.endswith(sentence)}
    kept = whole.removesuffix(f". {sentence}")
    assert prompt.startswith(kept)
    if separator:
        assert kept.split() == words[: len(kept.split())], "words stay whole"
        longer = conditioning_text(" ".join(words[: len(kept.split()) + 1]), "fear", wording=wording)
        assert len(encode(whole).input_ids) <= 512 < len(encode(longer).input_ids)
    expected = stock(whole, generator=seeded(), **call).frames
    torch.testing.assert_close(found["fear"], expected, rtol=0, atol=1e-5)


def test_a_prompt_with_nothing_to_add_is_the_stock_pipelines(recwarn: pytest.WarningsRecorder) -> None:
    components = t2v_components()
    prompt = " ".join(f"word{number}" for number in range(600))
    ours = quiet(EmoVidWanPipeline(**components))(prompt, generator=seeded(), **CALL).frames
    assert torch.equal(ours, quiet(WanPipeline(**components))(prompt, generator=seeded(), **CALL).frames)
    assert not [warning for warning in recwarn if "is cut after" in str(warning.message)]
