"""LoRA training: one step against a direct computation, and runs that are resumed, shared and interrupted."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from wan_tiny import i2v_components, t2v_components

from emovid_dataset.media.source import probe
from emovid_dataset.read.select import Selection, select
from emovid_models.finite import NotFiniteError
from emovid_models.remote.wan.lora import WEIGHT_NAME, read_facts, read_header, write_safetensors
from emovid_models.remote.wan.modules import TARGETS, target_names
from emovid_models.wan.batches import Draw
from emovid_models.wan.cache import Sample, padded
from emovid_models.wan.checkpoints import CHECKPOINTS, find_checkpoint
from emovid_models.wan.encode import BaseOutline
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.recipes import settings_for
from emovid_models.wan.train_lora import flow_matching_loss, plan_training, train_lora
from emovid_models.wan.two_transformers import COMFYUI_NAME


@pytest.fixture(scope="module")
def settings(mini_build: Path, t2v_base: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraSettings:
    """A short run on the two movie clips, all runs of this file on one cache."""
    return settings_for(
        "light",
        task="t2v",
        data=str(mini_build),
        base=str(t2v_base),
        out="",
        content_type="movie",
        cache=str(tmp_path_factory.mktemp("cache")),
        width=64,
        height=32,
        max_frames=9,
        rank=4,
        alpha=8,
        steps=4,
        warmup=2,
        learning_rate=1e-2,
        optimizer="adamw",
        emotion_dropout=0.2,
        caption_dropout=0.2,
        text_dropout=0.2,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHT_NAME)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def random_sample(task: str, seed: int) -> Sample:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(torch.bfloat16)

    text = padded(noise(9, 16))
    if task == "t2v":
        return Sample(noise(4, 3, 4, 6), text, None, None)
    return Sample(noise(4, 3, 4, 6), text, noise(4, 3, 4, 6), noise(5, 8))


def diffsynth_weights(shift: float = 5.0) -> np.ndarray:
    """DiffSynth-Studio's weights of the loss at its 1,000 timesteps, from noise to clip, written anew."""
    sigmas = np.linspace(1, 0, 1001)[:-1]
    timesteps = 1000 * shift * sigmas / (1 + (shift - 1) * sigmas)
    bell = np.exp(-2 * ((timesteps - 500) / 1000) ** 2)
    bell -= bell.min()
    return bell * 1000 / bell.sum()


@pytest.mark.parametrize("task", ["t2v", "i2v"])
@pytest.mark.parametrize(
    ("checkpointing", "modules", "shift", "weighting"),
    [
        (False, "attention", 3.0, "even"),
        (True, "attention", 3.0, "even"),
        (True, "attention-ffn", 5.0, "gaussian"),
    ],
    ids=["light", "light-checkpointing", "paper"],
)
def test_loss_and_gradients_are_those_of_a_direct_computation(
    task: str, checkpointing: bool, modules: str, shift: float, weighting: str
) -> None:
    """The direct one knows no peft: W + alpha / r * B A stands in the place of W, autograd does the rest."""
    components = t2v_components if task == "t2v" else i2v_components
    transformer: Any = components()["transformer"]
    torch.manual_seed(0)
    transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS[modules]))
    for name, parameter in transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    transformer.train()
    samples = [random_sample(task, seed) for seed in (1, 2)]
    draws = [Draw("whole", 0.3, 11), Draw("empty", 0.8, 12)]
    loss = flow_matching_loss(transformer, samples, draws, shift=shift, weighting=weighting)
    loss.backward()

    plain: Any = components()["transformer"].double()
    factors = {
        name: parameter.detach().double().requires_grad_()
        for name, parameter in transformer.named_parameters()
        if "lora_" in name
    }
    merged = dict(plain.named_parameters())
    for name, a in factors.items():
        if "lora_A" in name:
            module = name.split(".lora_A")[0]
            b = factors[name.replace("lora_A", "lora_B")]
            merged[f"{module}.weight"] = merged[f"{module}.weight"].detach() + 8 / 4 * b @ a
    squares = []
    for sample, draw in zip(samples, draws, strict=True):
        noise = torch.randn(4, 3, 4, 6, generator=torch.Generator().manual_seed(draw.noise_seed)).double()
        sigma = shift * draw.time / (1 + (shift - 1) * draw.time)
        clean = sample.latents.double()
        model_input = sigma * noise + (1 - sigma) * clean
        images = {}
        if task == "i2v":
            mask = torch.zeros(4, 3, 4, 6).double()
            mask[:, 0] = 1
            model_input = torch.cat([model_input, mask, sample.condition.double()])
            images["encoder_hidden_states_image"] = sample.image.double()[None]
        velocity = torch.func.functional_call(
            plain,
            merged,
            (model_input[None], torch.tensor([1000 * sigma]).double(), sample.text.double()[None]),
            {"return_dict": False, **images},
        )[0][0]
        weight = 1.0 if weighting == "even" else diffsynth_weights()[round((1 - draw.time) * 1000)]
        squares.append(weight * (velocity - (noise - clean)) ** 2)
    expected = torch.stack(squares).mean()
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    found = {name: p.grad for name, p in transformer.named_parameters() if p.grad is not None}
    assert found.keys() == factors.keys()
    for name, gradient in found.items():
        assert torch.allclose(gradient.double(), factors[name].grad, atol=1e-6, rtol=1e-3), name


def test_the_papers_loss_is_the_error_weighted_by_the_noise_level() -> None:
    """Near pure noise nothing is left of it; a weight of its own for each clip of a batch."""
    transformer: Any = t2v_components()["transformer"]
    samples = [random_sample("t2v", seed) for seed in (1, 2)]
    draws = [Draw("whole", 1 - number / 1000, 7 + number) for number in (100, 750)]

    def loss(some: list[int], weighting: str) -> float:
        chosen = [samples[i] for i in some], [draws[i] for i in some]
        with torch.no_grad():
            return flow_matching_loss(transformer, *chosen, shift=5.0, weighting=weighting).item()

    weights = diffsynth_weights()[[100, 750]]
    alone = [loss([i], "even") for i in range(2)]
    assert [loss([i], "gaussian") for i in range(2)] == pytest.approx(list(weights * alone), rel=1e-5)
    assert loss([0, 1], "gaussian") == pytest.approx(np.mean(weights * alone), rel=1e-5)


def test_draws_have_the_shares_and_the_distribution_asked_for(settings: LoraSettings) -> None:
    draws = [Draw.of(settings, number, 0) for number in range(4000)]
    shares = {v: sum(d.variant == v for d in draws) / 4000 for v in ("no emotion", "no caption", "empty")}
    assert shares == {name: pytest.approx(0.2, abs=0.03) for name in shares}
    logits = np.log([d.time / (1 - d.time) for d in draws])
    assert logits.mean() == pytest.approx(0, abs=0.06) and logits.std() == pytest.approx(1, abs=0.05)
    assert len({d.noise_seed for d in draws}) == 4000
    assert draws[7] == Draw.of(settings, 7, 0) != Draw.of(settings, 7, 1)


def test_the_lora_of_a_run_loads_in_the_stock_pipeline_and_changes_its_output(
    settings: LoraSettings, tmp_path: Path
) -> None:
    told: list[Any] = []
    path = train_lora(
        replace(settings, out=str(tmp_path), comfyui=True),
        on_plan=lambda plan, base: told.append((len(plan.clips), len(plan.dropped), base.task)),
        on_cache=lambda filled: told.append(filled.encoded),
    )
    assert told == [(2, 0, "t2v"), 2]
    facts = read_facts(path)
    assert facts is not None and (facts.wording, facts.task, facts.base, facts.steps) == (
        "mood",
        "t2v",
        Path(settings.base).name,
        4,
    )
    assert facts.dataset_revision is not None and len(facts.dataset_revision) == 64
    call = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2, "output_type": "latent"}
    results = []
    for name in (None, WEIGHT_NAME, COMFYUI_NAME):
        stock = WanPipeline.from_pretrained(settings.base)
        stock.set_progress_bar_config(disable=True)
        if name is not None:
            stock.load_lora_weights(tmp_path, weight_name=name)
        results.append(stock("a cat", generator=torch.Generator().manual_seed(0), **call).frames)
    assert torch.allclose(results[1], results[2], atol=1e-4)
    assert not torch.allclose(results[0], results[1], atol=1e-2)


def test_the_papers_recipe_runs_its_epochs_and_its_lora_says_what_differs(
    settings: LoraSettings, i2v_base: Path, tmp_path: Path
) -> None:
    small = {"width": 64, "height": 32, "max_frames": 9, "rank": 4, "learning_rate": 1e-2}
    own = settings_for(
        task="i2v",
        data=settings.data,
        base=str(i2v_base),
        out=str(tmp_path),
        content_type="movie",
        max_per_type={},
        comfyui=True,
        **small,
    )
    path = train_lora(own)
    lines = log(tmp_path)
    assert len(lines) == 6, "both clips three times"
    assert [line["lr"] for line in lines] == pytest.approx([1e-2 / 3] * 5 + [1e-2])
    facts = read_facts(path)
    assert facts is not None and (facts.recipe, facts.wording, facts.steps) == ("paper", "paper", 6)
    assert facts.changes == {**small, "max_per_type": {}}
    before = WanImageToVideoPipeline.from_pretrained(i2v_base).transformer
    for name in (WEIGHT_NAME, COMFYUI_NAME):
        stock = WanImageToVideoPipeline.from_pretrained(i2v_base)
        stock.load_lora_weights(tmp_path, weight_name=name)
        adapted = [n for n, m in stock.transformer.named_modules() if hasattr(m, "lora_A")]
        # The stock loader adds zeros for the projections of image tokens.
        trained = [n for n in adapted if "add_" not in n]
        assert trained == target_names(before) and len(trained) == 20


def test_another_wording_or_recipe_is_another_run_and_older_runs_are_light(
    settings: LoraSettings, tmp_path: Path
) -> None:
    own = replace(settings, out=str(tmp_path), steps=1)
    train_lora(own)
    with pytest.raises(ValueError, match="holds a run with wording 'mood', now it is 'paper';"):
        find_checkpoint(tmp_path, replace(own, wording="paper"))
    path = next((tmp_path / CHECKPOINTS).iterdir()) / "optimizer.safetensors"
    header = read_header(path)
    stored = json.loads(header["settings"])
    for name in ("recipe", "wording", "modules", "framing", "loss_weight", "epochs", "betas", "shift"):
        del stored[name]
    write_safetensors(path, load_file(path), {**header, "settings": json.dumps(stored)})
    assert find_checkpoint(tmp_path, own)[0] == 1
    with pytest.raises(ValueError, match="holds a run with framing 'buckets', now it is 'prefix';"):
        find_checkpoint(tmp_path, replace(own, framing="prefix"))


def test_the_benchmark_is_not_trained_on(settings: LoraSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split 'benchmark' is set aside for judging"):
        replace(settings, split="benchmark")
    base = BaseOutline.read(settings.base, "t2v")
    chosen = select(settings.data, split="train", content_type="movie")
    aside = Selection(chosen._store, [replace(member, split="benchmark") for member in chosen._members])
    with pytest.raises(ValueError, match="nothing may be trained or validated on it"):
        plan_training(settings, base, aside)
    assert plan_training(settings, base, chosen).clips


def test_without_the_cache_the_steps_are_the_same(settings: LoraSettings, tmp_path: Path) -> None:
    for name, use in (("with", True), ("without", False)):
        train_lora(replace(settings, out=str(tmp_path / name), use_cache=use))
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    losses = [[line["loss"] for line in log(tmp_path / name)] for name in ("with", "without")]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_a_run_learns(settings: LoraSettings, tmp_path: Path) -> None:
    train_lora(replace(settings, out=str(tmp_path), steps=100, checkpoint_every=1000, rank=8))
    losses = [line["loss"] for line in log(tmp_path)]
    assert np.mean(losses[-25:]) < 0.95 * np.mean(losses[:25])


def test_a_resumed_run_takes_the_same_steps(settings: LoraSettings, tmp_path: Path) -> None:
    train_lora(replace(settings, out=str(tmp_path / "once"), steps=6))
    resumed = replace(settings, out=str(tmp_path / "twice"), checkpoint_every=3)
    train_lora(replace(resumed, steps=3))
    train_lora(replace(resumed, steps=6))
    assert same(weights(tmp_path / "once"), weights(tmp_path / "twice"))
    assert [line["step"] for line in log(tmp_path / "twice")] == [0, 1, 2, 3, 4, 5]
    kept = sorted(path.name for path in (tmp_path / "twice" / CHECKPOINTS).iterdir())
    assert kept == ["step-00000003", "step-00000006"]


def test_a_checkpoint_that_was_not_finished_is_not_taken(settings: LoraSettings, tmp_path: Path) -> None:
    own = replace(settings, out=str(tmp_path), checkpoint_every=2)
    train_lora(replace(own, steps=2))
    before = weights(tmp_path)
    part = tmp_path / CHECKPOINTS / ".step-00000004.part"
    part.mkdir()
    (part / WEIGHT_NAME).write_bytes(b"half")
    train_lora(replace(own, steps=2))
    assert same(before, weights(tmp_path))
    train_lora(replace(own, steps=4))
    assert not part.exists()


def test_a_run_with_other_settings_is_refused(settings: LoraSettings, tmp_path: Path) -> None:
    own = replace(settings, out=str(tmp_path), steps=1)
    train_lora(own)
    with pytest.raises(ValueError, match=r"holds a run with learning_rate 0\.01, now it is 0\.02;"):
        train_lora(replace(own, learning_rate=0.02))


def test_a_run_on_other_data_or_another_base_is_refused(
    settings: LoraSettings, mini_build: Path, t2v_base: Path, tmp_path: Path
) -> None:
    """Under the same paths: what counts is what stands there."""
    data, base = tmp_path / "data", tmp_path / "base"
    shutil.copytree(mini_build, data)
    shutil.copytree(t2v_base, base)
    own = replace(settings, out=str(tmp_path / "out"), steps=1, data=str(data), base=str(base))
    train_lora(own)
    place = base / "transformer" / "diffusion_pytorch_model.safetensors"
    was = place.read_bytes()
    save_file({name: tensor + 1 for name, tensor in load_file(place).items()}, place)
    with pytest.raises(ValueError, match="holds a run from before the base changed;"):
        train_lora(own)
    place.write_bytes(was)
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps({**manifest, "source_digest": "0" * 64}))
    with pytest.raises(ValueError, match="holds a run from before the data changed;"):
        train_lora(own)
    (data / "manifest.json").write_bytes((mini_build / "manifest.json").read_bytes())
    train_lora(own)


def test_a_run_whose_numbers_overflow_keeps_the_last_good_checkpoint(
    settings: LoraSettings, tmp_path: Path
) -> None:
    own = replace(settings, out=str(tmp_path), warmup=0, learning_rate=1e30, checkpoint_every=1, steps=6)
    with pytest.raises(NotFiniteError, match=r"^(the loss of|after) step \d+ "):
        train_lora(own)
    assert not (tmp_path / WEIGHT_NAME).exists()
    for path in (tmp_path / CHECKPOINTS).glob("step-*"):
        assert all(torch.isfinite(tensor).all() for tensor in weights(path).values())
    assert all(math.isfinite(line["loss"]) for line in log(tmp_path))


def child(settings: LoraSettings, *prefix: str) -> subprocess.Popen[str]:
    values = {name: getattr(settings, name) for name in LoraSettings.__dataclass_fields__}
    code = (
        "import json, sys\n"
        "from emovid_models.wan.train_lora import LoraSettings, train_lora\n"
        "values = json.loads(sys.argv[1])\n"
        "values['validation_prompts'] = tuple(values['validation_prompts'])\n"
        "train_lora(LoraSettings(**values))\n"
    )
    script = Path(settings.out).parent / "train.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, *prefix, str(script), json.dumps(values)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_after_an_interruption_the_same_command_goes_on(settings: LoraSettings, tmp_path: Path) -> None:
    own = replace(settings, out=str(tmp_path / "run"), steps=400, checkpoint_every=1000)
    running = child(own)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "log.jsonl").exists() or len(log(tmp_path / "run")) < 3:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode != 0 and "KeyboardInterrupt" in errors
    (checkpoint,) = (tmp_path / "run" / CHECKPOINTS).iterdir()
    taken = int(checkpoint.name.removeprefix("step-"))
    assert 3 <= taken < 400
    train_lora(replace(own, steps=taken + 2))
    train_lora(replace(own, out=str(tmp_path / "once"), steps=taken + 2))
    assert same(weights(tmp_path / "run"), weights(tmp_path / "once"))


def test_two_processes_take_the_steps_of_one_with_two_batches(settings: LoraSettings, tmp_path: Path) -> None:
    one = replace(settings, out=str(tmp_path / "one"), steps=3, accumulation=2)
    train_lora(one)
    two = replace(settings, out=str(tmp_path / "two"), steps=3)
    # What `accelerate launch` starts on several GPUs.
    running = child(two, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    _, errors = running.communicate(timeout=200)
    assert running.returncode == 0, errors[-2000:]
    left, right = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert left.keys() == right.keys()
    for name in left:
        # Adam divides by the gradient's size, so that a rounding error in a tiny one moves a single number.
        assert (left[name] - right[name]).abs().mean() < 1e-4, name
    losses = [[line["loss"] for line in log(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_i2v_trains_with_validation_videos(settings: LoraSettings, i2v_base: Path, tmp_path: Path) -> None:
    path = train_lora(
        replace(
            settings,
            task="i2v",
            base=str(i2v_base),
            out=str(tmp_path),
            steps=2,
            batch_size=2,
            validate_every=2,
            validation_prompts=("a cat", "a dog"),
            validation_steps=1,
        )
    )
    stock = WanImageToVideoPipeline.from_pretrained(i2v_base)
    stock.load_lora_weights(path.parent)
    names = sorted(file.name for file in (tmp_path / "validation").iterdir())
    assert names == ["step-00000002-00-amusement.mp4", "step-00000002-01-awe.mp4"]
    info = probe((tmp_path / "validation" / names[0]).read_bytes())
    assert (info.width, info.height, info.num_frames, info.fps) == (64, 32, 9, 16)


def test_validation_does_not_change_the_run(settings: LoraSettings, tmp_path: Path) -> None:
    train_lora(replace(settings, out=str(tmp_path / "without")))
    watched = replace(settings, validate_every=2, validation_prompts=("a cat",), validation_steps=1)
    train_lora(replace(watched, out=str(tmp_path / "with")))
    assert same(weights(tmp_path / "without"), weights(tmp_path / "with"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "t2i"}, "task 't2i' is unknown; allowed: t2v, i2v"),
        ({"task": "i2v"}, "is made for task t2v, not i2v"),
        ({"steps": 0}, "steps 0 is below 1"),
        ({"learning_rate": -1.0}, "learning_rate -1.0 is not a number above 0"),
        ({"emotion_dropout": 0.9}, "their sum at most 1"),
        ({"max_frames": 10}, "num_frames 10 is not 4k"),
        ({"optimizer": "lion"}, "optimizer 'lion' is unknown"),
        ({"optimizer": "adamw8bit"}, "optimizer adamw8bit needs bitsandbytes"),
        ({"split": "all"}, "split"),
        ({"split": "benchmark"}, "split 'benchmark' is set aside for judging"),
        ({"validate_every": 5}, "validate_every needs validation_prompts"),
    ],
)
def test_wrong_settings_are_one_line(
    changes: dict[str, Any], message: str, settings: LoraSettings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        train_lora(replace(settings, out=str(tmp_path), **changes))
    assert "\n" not in str(error.value)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_cuda_is_near_the_run_on_the_cpu(settings: LoraSettings, tmp_path: Path) -> None:
    train_lora(replace(settings, out=str(tmp_path / "cuda"), cache=None))
    code = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''\n"
    own = replace(settings, out=str(tmp_path / "cpu"), cache=None)
    running = child(own)
    script = tmp_path / "train.py"
    script.write_text(code + script.read_text())
    running.communicate(timeout=200)
    left = [line["loss"] for line in log(tmp_path / "cuda")]
    assert left == pytest.approx([line["loss"] for line in log(tmp_path / "cpu")], rel=0.05)
