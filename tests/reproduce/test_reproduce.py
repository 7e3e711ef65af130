"""The chain from clips to table, with next to nothing in it: `python -m tools.reproduce all --tiny`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import select
from emovid_models.remote.wan.lora import WEIGHT_NAME
from tools.mini_annotator.split import held_out_groups
from tools.mini_corpus.fetch import cache_folder
from tools.mini_corpus.labels import read_stickers, reserved_assets
from tools.mini_wan import vae
from tools.mini_wan.clips import EmojiClips
from tools.mini_wan.training import training_device_name
from tools.reproduce.data import training_paths
from tools.reproduce.judges import TITLES
from tools.reproduce.plan import STAGES, is_done, read_records
from tools.reproduce.round_trip import read_table
from tools.reproduce.run import MODELS, TINY, Run, Settings
from tools.reproduce.stages import run_stage

pytestmark = pytest.mark.skipif(
    not (cache_folder() / "fluent-emoji-anim-1.0.0").is_dir(), reason="make sources fetches the emoji"
)

SMALL = replace(TINY, emoji=12)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the whole chain."""
    run = Run(SMALL, tmp_path_factory.mktemp("first"))
    for name in STAGES:
        run_stage(run, name)
    return run


def test_every_stage_leaves_a_record(first: Run) -> None:
    result = json.loads((first.out / "reproduction.json").read_text())
    assert list(read_records(first)) == list(STAGES)
    assert list(result["stages"]) == list(STAGES)[:-2], "all before the table"
    assert all(stage["seed"] == 0 and stage["peak_mb"] > 100 for stage in result["stages"].values())
    assert {stage["device"] for stage in result["stages"].values()} == {training_device_name()}
    assert result["t2v"]["base"]["n"] == result["t2v"]["lora"]["n"] == 8 * SMALL.t2v_prompts


def test_the_judges_are_measured_on_clips_that_they_have_not_learnt_from(first: Run) -> None:
    result = json.loads((first.out / "reproduction.json").read_text())
    train = {clip.id for clip in select(first.build, split="train").clips}
    learnt = {row["path"].removesuffix(".mp4") for row in read_table(first.videos("train"))}
    held = {path.stem for path in first.videos("real/after-vae").glob("*.mp4")}
    assert learnt == train and len(train | held) == len(read_stickers()) and not train & held
    assert {clip.group for clip in select(first.build, split="train").clips}.isdisjoint(held_out_groups())
    for key in TITLES:
        assert result[key]["held_out"]["n"] == result[key]["as_they_are"]["n"] == len(held)
        assert result["t2v"].get(key, result["t2v"])["lora"]["n"] == 8
    assert set(result["wordings"]) == set(TITLES)
    assert result["wordings"]["judge"]["paper"]["lora"] == result["t2v"]["lora"]
    # What the VAE costs, by the arithmetic of the videos that were written, which are compressed besides.
    decibels = []
    for clip in sorted(held):
        before, after = (
            decode(first.videos(f"real/{kind}") / f"{clip}.mp4").astype(float)
            for kind in ("as-they-are", "after-vae")
        )
        assert before.shape == after.shape == (17, 64, 64, 3)
        decibels.append(20 * np.log10(255) - 10 * np.log10(np.square(before - after).mean((1, 2, 3))))
    told = result["vae"]["frame_psnr_db"]
    assert told == pytest.approx(np.mean(decibels, axis=0).tolist(), abs=1)


def test_a_stage_is_done_until_its_settings_or_inputs_change(first: Run) -> None:
    assert all(is_done(first, name) for name in STAGES)
    other = Run(replace(SMALL, denoising=3), first.out)
    undone = [name for name in STAGES if not is_done(other, name)]
    generated = ["generate-t2v", "generate-t2v-mood", "generate-i2v", "controls", "ablation"]
    assert undone == generated


def test_a_second_run_that_was_killed_on_its_way_gives_the_same_table(first: Run, tmp_path: Path) -> None:
    """The second run shares only the data; its VAE is killed after a checkpoint and goes on from it."""
    run = Run(SMALL, tmp_path)
    for name in ("EmoVid", "stages"):
        shutil.copytree(first.out / name, run.out / name)
    shutil.copyfile(first.clips, run.clips)
    for path in (run.out / "stages").iterdir():
        if not path.name.startswith("data"):
            path.unlink()

    steps = []
    loss = vae.F.l1_loss

    def killed(*args: object, **kwargs: object) -> torch.Tensor:
        steps.append(1)
        if len(steps) > 3 * 2:
            raise KeyboardInterrupt
        return loss(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae.F, "l1_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage(run, "vae")
    assert not is_done(run, "vae")
    assert torch.load(run.out / "checkpoints" / "vae.pt", weights_only=True)["step"] == 2

    for name in list(STAGES)[1:]:
        run_stage(run, name)
    for model in ("vae", *MODELS):
        for path in first.model(model).rglob("*.safetensors"):
            ours, theirs = load_file(path), load_file(run.out / path.relative_to(first.out))
            assert all(torch.equal(ours[name], theirs[name]) for name in ours), path
    assert (run.out / "table.json").read_bytes() == (first.out / "table.json").read_bytes()


def test_no_training_sees_a_reserved_or_held_out_emoji(first: Run) -> None:
    clips = EmojiClips.load(first.clips)
    everything = training_paths(Run(Settings(), first.out))
    stems = {path.stem for path in everything}
    assert set(clips.stems) <= stems
    assert not {Path(asset).stem for asset in reserved_assets()} & stems
    for split, least in (("validation", 8), ("test", 20), ("benchmark", 16)):
        held = {str(clip.group) for clip in select(first.build, split=split).clips}
        assert len(held) >= least, split
        assert not held & {stem.partition("-")[0] for stem in stems}, split
    # The labelled stickers of the training side are in.
    train = {str(clip.group) for clip in select(first.build, split="train").clips}
    labelled = {Path(sticker.asset).stem for sticker in read_stickers() if sticker.group in train}
    assert labelled - {Path(asset).stem for asset in reserved_assets()} <= stems


def test_models_are_float16_on_disk_and_float32_when_loaded(first: Run) -> None:
    from emovid_models.wan.loading import load_pipeline

    weights = load_file(first.model("wan-t2v") / "transformer/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    pipe = load_pipeline(first.model("wan-t2v"), image_to_video=False, lora=first.model("lora-t2v"))
    for module in (pipe.transformer, pipe.vae, pipe.text_encoder):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert (first.model("lora-t2v") / WEIGHT_NAME).is_file()
