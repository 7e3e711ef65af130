"""Wan2.2 at tiny size: two transformers (T2V-A14B), and a time for each token (TI2V-5B)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner
from wan_tiny import CAPTION, a14b_components, t2v_components, ti2v_components

from emovid_dataset.cli import program
from emovid_dataset.media.frames import decode
from emovid_models.remote.wan.lora import SECOND_WEIGHT_NAME, WEIGHT_NAME, read_facts
from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline, conditioning_text
from emovid_models.wan.batches import Draw
from emovid_models.wan.cache import Sample, padded
from emovid_models.wan.encode import BaseOutline
from emovid_models.wan.frames import encode_video, frames_by_default
from emovid_models.wan.generate import Order, generate
from emovid_models.wan.loading import PipelineSource, read_index
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.loras import content_name, loras_of
from emovid_models.wan.noise_levels import Span, shifted
from emovid_models.wan.recipes import settings_for
from emovid_models.wan.train_lora import flow_matching_loss, train_lora

CALL: dict[str, Any] = {
    "height": 32,
    "width": 64,
    "num_frames": 5,
    "num_inference_steps": 3,
    "guidance_scale": 3.0,
    "negative_prompt": "blurred",
    "output_type": "latent",
}


def run(pipe: Any, prompt: str = CAPTION, **options: Any) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt=prompt, generator=torch.Generator().manual_seed(7), **{**CALL, **options}).frames


@pytest.fixture(scope="module")
def a14b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Wan2.2-T2V-A14B-Diffusers."""
    path = tmp_path_factory.mktemp("wan22") / "a14b"
    WanPipeline(**a14b_components()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ti2v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Wan2.2-TI2V-5B-Diffusers."""
    path = tmp_path_factory.mktemp("wan22") / "ti2v"
    WanPipeline(**ti2v_components()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def settings(mini_build: Path, a14b: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraSettings:
    """Two steps on the two movie clips."""
    return settings_for(
        "light",
        task="t2v",
        data=str(mini_build),
        base=str(a14b),
        out="",
        content_type="movie",
        cache=str(tmp_path_factory.mktemp("cache")),
        width=64,
        height=32,
        max_frames=5,
        rank=2,
        steps=2,
        warmup=0,
        learning_rate=0.3,
        optimizer="adamw",
        wording="paper",
    )


@pytest.fixture(scope="module")
def trained(settings: LoraSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA on both transformers."""
    out = tmp_path_factory.mktemp("both")
    again = replace(settings, out=str(out), comfyui=True)
    assert train_lora(again) == out / WEIGHT_NAME
    return out


def test_both_transformers_get_a_lora_of_their_own(trained: Path, settings: LoraSettings) -> None:
    first, second = (load_file(trained / name) for name in (WEIGHT_NAME, SECOND_WEIGHT_NAME))
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[name], second[name]) for name in first)
    facts = [read_facts(trained / name) for name in (WEIGHT_NAME, SECOND_WEIGHT_NAME)]
    assert [(its.transformer, its.steps) for its in facts if its] == [("high", 2), ("low", 2)]
    assert (trained / "comfyui_lora_weights.safetensors").is_file()
    assert (trained / "comfyui_lora_weights_2.safetensors").is_file()
    # one alone is what it is beside the other, and says so
    alone = train_lora(replace(settings, out=str(trained.parent / "low"), transformer="low"))
    assert torch.equal(
        torch.cat([weight.flatten() for weight in load_file(alone).values()]),
        torch.cat([weight.flatten() for weight in second.values()]),
    )
    alone_facts = read_facts(alone)
    assert alone_facts is not None and alone_facts.transformer == "low"
    with pytest.raises(ValueError, match="holds a run for both transformers"):
        train_lora(replace(settings, out=str(trained), transformer="high"))
    with pytest.raises(ValueError, match="holds a run for one transformer"):
        train_lora(replace(settings, out=str(alone.parent)))


def test_it_loads_in_stock_diffusers_and_ours_asks_the_same(trained: Path, a14b: Path) -> None:
    base, stock = (WanPipeline.from_pretrained(a14b) for _ in range(2))
    stock.load_lora_weights(trained, weight_name=WEIGHT_NAME, adapter_name="mood")
    stock.load_lora_weights(
        trained, weight_name=SECOND_WEIGHT_NAME, adapter_name="mood", load_into_transformer_2=True
    )
    ours = EmoVidWanPipeline.from_pretrained(a14b)
    ours.load_lora_weights(trained, adapter_name="mood")
    text = conditioning_text(CAPTION, "awe")
    expected = run(stock, text)
    assert torch.allclose(run(ours, emotion="awe"), expected, atol=1e-5)
    plain = run(base)
    assert torch.equal(run(ours, emotion="awe", intensity=0), plain)
    for name in ("transformer", "transformer_2"):
        assert ours.emotion_adapters == {"mood": "paper"}
        assert list(getattr(ours, name).peft_config) == ["mood"]
    stock.set_adapters("mood", 0.5)
    half = run(ours, emotion="awe", intensity=0.5, emotion_guidance_scale=6.0)
    assert torch.allclose(half, run(stock, text), atol=1e-5)
    # one half of it alone moves one transformer, the right one, whoever loads it
    for name, part in ((WEIGHT_NAME, "transformer"), (SECOND_WEIGHT_NAME, "transformer_2")):
        ours.unload_lora_weights()
        ours.load_lora_weights(str(trained / name), adapter_name="one")
        ours.set_adapters(["one"], [1.0])
        with_one = run(ours, emotion="awe")
        assert not torch.allclose(with_one, expected, atol=1e-3)
        one = WanPipeline.from_pretrained(a14b)
        one.load_lora_weights(
            trained, weight_name=name, load_into_transformer_2=part == "transformer_2", adapter_name="one"
        )
        assert torch.allclose(with_one, run(one, text), atol=1e-5)
        assert torch.equal(run(ours, emotion="awe", intensity=0), plain), part


def test_a_half_in_the_wrong_place_is_said(trained: Path, a14b: Path) -> None:
    ours = EmoVidWanPipeline.from_pretrained(a14b)
    with pytest.warns(UserWarning, match=r"trained on the high-noise transformer .* into the low-noise one"):
        ours.load_lora_weights(str(trained / WEIGHT_NAME), load_into_transformer_2=True)
    single = EmoVidWanPipeline(**t2v_components())
    with pytest.warns(UserWarning, match=r"high-noise transformer .* into a base that has one"):
        single.load_lora_weights(str(trained / WEIGHT_NAME))
    with pytest.raises(ValueError, match="is for the second of two transformers, and this base has one"):
        single.load_lora_weights(str(trained / SECOND_WEIGHT_NAME))


def test_callers_name_one_transformer_only_where_there_are_two(
    settings: LoraSettings, t2v_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"transformer 'low' is for a base with two, and .* has one"):
        train_lora(replace(settings, base=str(t2v_base), out=str(tmp_path / "x"), transformer="low"))
    with pytest.raises(ValueError, match="transformer 'middle' is unknown; allowed: high, low, both"):
        replace(settings, transformer="middle")


def test_videos_come_from_both_transformers_and_their_loras(
    trained: Path, settings: LoraSettings, a14b: Path, tmp_path: Path
) -> None:
    from emovid_dataset.store import Store

    source = PipelineSource(str(a14b), image_to_video=False, lora=str(trained))
    loaded = source.load()
    assert loaded.transformer.peft_config.keys() == loaded.transformer_2.peft_config.keys() == {"lora_0"}
    order = Order(prompt=CAPTION, emotion="awe", out="a.mp4")
    options = {name: CALL[name] for name in ("height", "width", "num_frames", "num_inference_steps")}
    assert generate(source, [order], Store.at(tmp_path), model=source.version(), **options) == {"a.mp4"}
    assert (tmp_path / "a.mp4").stat().st_size > 500
    # its name changes with either half
    (both,), (half,) = loras_of(str(trained)), loras_of(str(trained / WEIGHT_NAME))
    assert content_name(both).partition("@")[2] != content_name(half).partition("@")[2]


def test_a_validation_video_needs_both_transformers(settings: LoraSettings, tmp_path: Path) -> None:
    run_ = replace(
        settings,
        out=str(tmp_path),
        transformer="low",
        steps=1,
        validate_every=1,
        validation_prompts=(CAPTION,),
        validation_steps=2,
    )
    train_lora(run_)
    assert [path.name for path in (tmp_path / "validation").iterdir()] == ["step-00000001-00-amusement.mp4"]


@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize("kind", ["grid", "logit-normal"])
def test_each_transformer_is_trained_on_the_noise_that_it_works_at(
    settings: LoraSettings, kind: str, shift: float
) -> None:
    """The stock pipeline gives a timestep to the first one from boundary * 1000 on."""
    drawn = {}
    for name in ("high", "low"):
        span = Span.of(name, 0.875, shift)
        draws = [Draw.of(replace(settings, noise_levels=kind), n, 0, span) for n in range(800)]
        drawn[name] = np.array([draw.time for draw in draws])
    levels = {name: shifted_all(times, shift) for name, times in drawn.items()}
    assert levels["high"].min() >= 0.875 - 1e-9 and levels["low"].max() < 0.875
    whole = [Draw.of(replace(settings, noise_levels=kind), n, 0).time for n in range(4000)]
    whole_levels = shifted_all(np.array(whole), shift)
    for name, inside in (("high", whole_levels >= 0.875), ("low", whole_levels < 0.875)):
        # as a run over all times would give it, but for what falls to the other one
        for share in (0.1, 0.5, 0.9):
            expected = np.quantile(np.array(whole)[inside], share)
            assert abs(np.quantile(drawn[name], share) - expected) < 0.05, (name, share)


def shifted_all(times: np.ndarray, shift: float) -> np.ndarray:
    return np.array([shifted(time, shift) for time in times])


# TI2V-5B


@pytest.mark.parametrize("task", ["t2v", "i2v"])
def test_the_loss_tells_each_token_its_time(task: str) -> None:
    transformer: Any = ti2v_components()["transformer"]
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(torch.bfloat16)

    condition = noise(4, 1, 2, 4) if task == "i2v" else None
    sample = Sample(noise(4, 3, 2, 4), padded(noise(9, 16)), condition, None)
    draw = Draw("whole", 0.6, 5)
    found = flow_matching_loss(transformer, [sample], [draw], 5.0, expand_timesteps=True)

    level = shifted(0.6, 5.0)
    clean, noised = sample.latents[None].float(), draw.noise(sample.latents.shape)[None]
    noisy, velocity = (1 - level) * clean + level * noised, noised - clean
    times = torch.full((3, 1, 2), 1000 * level)  # one token is 2 by 2 latents
    if condition is not None:
        noisy[:, :, 0], times[0] = condition[:, 0].float(), 0.0
    with torch.no_grad():
        predicted = transformer(noisy, times.flatten()[None], sample.text[None].float(), return_dict=False)[0]
    first = 0 if condition is None else 1
    expected = F.mse_loss(predicted[:, :, first:], velocity[:, :, first:])
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("task", ["t2v", "i2v"])
def test_one_base_learns_both_tasks(task: str, settings: LoraSettings, ti2v: Path, tmp_path: Path) -> None:
    path = train_lora(replace(settings, task=task, base=str(ti2v), out=str(tmp_path), cache=None))
    facts = read_facts(path)
    assert facts is not None and (facts.task, facts.transformer) == (task, "")
    assert "transformer" not in json.loads(_header(path)["emovid"]), "as Wan2.1's own"
    kinds: Any = {
        "t2v": (WanPipeline, EmoVidWanPipeline),
        "i2v": (WanImageToVideoPipeline, EmoVidWanImageToVideoPipeline),
    }[task]
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    first = {"image": Image.fromarray(pixels)} if task == "i2v" else {}
    base, stock, ours = (kind.from_pretrained(ti2v) for kind in (kinds[0], *kinds))
    for pipe in (stock, ours):
        pipe.load_lora_weights(str(path))
    text = conditioning_text(CAPTION, "fear")
    expected = run(stock, text, **first)
    assert torch.allclose(run(ours, emotion="fear", **first), expected, atol=1e-5)
    assert not torch.allclose(run(base, text, **first), expected, atol=1e-3)
    assert torch.equal(run(ours, emotion="fear", intensity=0, **first), run(base, **first))


def _header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def test_the_outline_reads_what_kind_of_base_it_is(a14b: Path, ti2v: Path, t2v_base: Path) -> None:
    found = {
        path.name: (outline.boundary, outline.expand_timesteps, outline.multiple)
        for path in (a14b, ti2v, t2v_base)
        for outline in [BaseOutline.read(path, "t2v")]
    }
    assert found == {"a14b": (0.875, False, 16), "ti2v": (None, True, 32), "t2v": (None, False, 16)}
    assert BaseOutline.read(ti2v, "i2v").first_frame_stays
    identity = BaseOutline.read(a14b, "t2v").identity()
    second = WanTransformer3DModel.from_pretrained(a14b, subfolder="transformer_2")
    try:
        changed = second.proj_out.weight.data
        changed += 1
        second.save_pretrained(a14b / "transformer_2")
        assert BaseOutline.read(a14b, "t2v").identity() != identity
    finally:
        changed -= 1
        second.save_pretrained(a14b / "transformer_2")


def test_the_commands_know_them(
    settings: LoraSettings, trained: Path, a14b: Path, ti2v: Path, tmp_path: Path
) -> None:
    where = ["--task", "t2v", "--data", settings.data, "--size", "64x32", "--max-frames", "5", "--plan"]
    ask = ["train", "lora", *where, "--content-type", "movie", "--out", str(tmp_path / "lora"), "--base"]
    planned = CliRunner().invoke(program(), [*ask, str(a14b)])
    assert planned.exit_code == 0, planned.output
    assert "steps for each of two transformers on one device" in " ".join(planned.output.split())
    planned = CliRunner().invoke(program(), [*ask, str(a14b), "--transformer", "high"])
    assert "steps for the high-noise transformer on one device" in " ".join(planned.output.split())
    refused = CliRunner().invoke(program(), [*ask, str(ti2v), "--transformer", "high"])
    assert isinstance(refused.exception, ValueError)
    assert "is for a base with two" in str(refused.exception)
    video = tmp_path / "cat.mp4"
    shape = ["--size", "64x32", "--frames", "5", "--steps", "2", "--emotion", "awe", "--json"]
    made = CliRunner().invoke(
        program(),
        ["generate", CAPTION, "--model", str(a14b), "--lora", str(trained), "--out", str(video), *shape],
    )
    assert made.exit_code == 0, made.output
    assert video.stat().st_size > 500


def test_the_second_transformer_has_a_guidance_of_its_own(a14b: Path, tmp_path: Path) -> None:
    def pixels(name: str, *options: str) -> np.ndarray:
        out = tmp_path / f"{name}.mp4"
        shape = ["--size", "64x32", "--frames", "5", "--steps", "4", "--guidance", "2", "--json"]
        done = CliRunner().invoke(
            program(), ["generate", CAPTION, "--model", str(a14b), "--out", str(out), *shape, *options]
        )
        assert done.exit_code == 0, done.output
        return decode(out).astype(float)

    plain = pixels("plain")
    assert np.array_equal(pixels("same", "--guidance-2", "2"), plain)
    assert np.abs(pixels("other", "--guidance-2", "9") - plain).max() > 3
    pipe = EmoVidWanPipeline.from_pretrained(a14b)
    stock = run(
        pipe,
        num_inference_steps=4,
        guidance_scale=2.0,
        guidance_scale_2=9.0,
        negative_prompt=None,
        output_type="np",
    )
    wanted = decode(encode_video(np.asarray(stock[0]))).astype(float)
    assert np.abs(pixels("stock", "--guidance-2", "9", "--seed", "7") - wanted).mean() < 0.5


def test_a_base_of_24_frames_per_second_writes_them(ti2v: Path, a14b: Path, tmp_path: Path) -> None:
    assert frames_by_default(read_index(ti2v)) == 121
    assert frames_by_default(read_index(a14b)) == 81
    for base, rate in ((ti2v, 24), (a14b, 16)):
        out = tmp_path / f"{rate}.mp4"
        shape = ["--size", "64x32", "--frames", "5", "--steps", "1", "--json", "--out", str(out)]
        done = CliRunner().invoke(program(), ["generate", CAPTION, "--model", str(base), *shape])
        assert done.exit_code == 0, done.output
        with av.open(str(out)) as file:
            assert file.streams.video[0].average_rate == rate
            assert sum(1 for _ in file.decode(video=0)) == 5


def test_what_ours_saves_is_a_stock_base_with_two_transformers(a14b: Path, tmp_path: Path) -> None:
    EmoVidWanPipeline.from_pretrained(a14b).save_pretrained(tmp_path)
    stock = DiffusionPipeline.from_pretrained(tmp_path)
    assert (type(stock), stock.config.boundary_ratio) == (WanPipeline, 0.875)
    assert torch.equal(run(stock), run(WanPipeline.from_pretrained(a14b)))
