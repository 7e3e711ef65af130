"""Buckets, encoding and the cache on disk, against the stock pipelines and direct use of the models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanPipeline
from PIL import Image
from safetensors.torch import load, load_file

from emovid_dataset.engine import Processes, Serial, run_stage
from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import Selection, select
from emovid_dataset.schema.clip import Clip
from emovid_dataset.store import Store
from emovid_models.cli.train_lora import print_plan
from emovid_models.wan.cache import EncodedOnTheFly, LatentCache, clip_pixels
from emovid_models.wan.encode import (
    TEXT_LENGTH,
    VARIANTS,
    BaseOutline,
    Bucket,
    Encoders,
    first_indices,
    fit,
    frame_indices,
    transformer_input,
)
from emovid_models.wan.encode_stage import EncodePart, EncodeStage, FilledCache, fill_cache
from emovid_models.wan.plan import CachePlan, bucket_sizes, estimate_disk, plan_cache
from emovid_models.wan.recipes import settings_for

SMALL = {"height": 32, "width": 64, "max_frames": 9}


@pytest.fixture(scope="module")
def clips(mini_build: Path) -> Selection:
    return select(mini_build, split="train", where=lambda clip: clip.content_type != "cartoon", limit=8)


@pytest.fixture(scope="module", params=["t2v", "i2v"])
def encoders(request: pytest.FixtureRequest, t2v_base: Path, i2v_base: Path) -> Encoders:
    base = t2v_base if request.param == "t2v" else i2v_base
    return Encoders.load(BaseOutline.read(base, request.param))


@pytest.fixture(scope="module")
def plan(clips: Selection) -> CachePlan:
    return plan_cache(clips.clips, **SMALL)


def fill(cache: LatentCache, plan: CachePlan, clips: Selection, encoders: Encoders) -> FilledCache:
    return fill_cache(cache, plan, clips, encoders.outline, encoders=encoders)


def test_every_clip_of_the_miniature_has_a_bucket_that_it_fills(mini_build: Path) -> None:
    clips = select(mini_build).clips
    plan = plan_cache(clips, height=480, width=832, max_frames=81)
    assert [item.clip for item in plan.clips] == list(clips) and not plan.dropped
    assert sum(plan.buckets().values()) == len(clips)
    for item in plan.clips:
        bucket = item.bucket
        assert bucket.frames % 4 == 1 and bucket.height % 16 == bucket.width % 16 == 0
        assert bucket.frames <= max(1, item.clip.num_frames / item.clip.fps * 16)
        # No other size of the same area keeps more of the picture.
        kept = [
            min(h * item.clip.width / (w * item.clip.height), w * item.clip.height / (h * item.clip.width))
            for h, w in bucket_sizes(480, 832)
        ]
        own = bucket.height * item.clip.width / (bucket.width * item.clip.height)
        assert min(own, 1 / own) == pytest.approx(max(kept))


def test_only_the_flag_drops_clips(clips: Selection) -> None:
    short = replace(clips.clips[0], num_frames=3, fps=16.0)
    kept = plan_cache([short, clips.clips[1]], **SMALL)
    assert [item.bucket.frames for item in kept.clips] == [1, 9] and not kept.dropped
    dropped = plan_cache([short, clips.clips[1]], **SMALL, min_frames=5)
    assert dropped.dropped == (short,) and [item.index for item in dropped.clips] == [1]
    with pytest.raises(ValueError, match="no clip to train on: 1 selected, 1 dropped as too short"):
        plan_cache([short], **SMALL, min_frames=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_frames": 8}, "num_frames 8 is not 4k"),
        ({"height": 30}, "height 30 is not a multiple of 16"),
        ({"min_frames": 10}, r"min_frames 10 is not in 1\.\.9"),
    ],
)
def test_a_plan_refuses_what_the_model_cannot_hold(
    changes: dict[str, int], message: str, clips: Selection
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_cache(clips.clips, **{**SMALL, **changes})


def test_frames_are_those_a_player_shows_at_16_a_second() -> None:
    assert frame_indices(81, 16.0, 81) == list(range(81))
    # The 13 ticks lie in the middle of one second: the first is shown from 0.094 s to 0.156 s.
    assert frame_indices(24, 24.0, 13)[:4] == [3, 4, 6, 7]
    assert frame_indices(2, 8.0, 1) == [1]
    for fps in (8.0, 12.5, 16.0, 23.976, 60.0):
        indices = frame_indices(200, fps, 49)
        assert indices == sorted(indices) and indices[0] >= 0 and indices[-1] < 200


def test_the_first_frames_are_taken_as_they_are(clips: Selection) -> None:
    plan = plan_cache(clips.clips, **SMALL, framing="prefix")
    for item in plan.clips[:2]:
        video = clips[item.index].video
        frames = decode(video)[: item.bucket.frames]
        assert item.bucket == Bucket(min(9, (item.clip.num_frames - 1) // 4 * 4 + 1), 32, 64)
        assert torch.equal(clip_pixels(video, item), fit(frames, 32, 64))
    assert first_indices(3, 5) == [0, 1, 2, 2, 2]


def test_fit_keeps_the_middle_and_the_shape_of_things() -> None:
    square = np.zeros((1, 40, 80, 3), np.uint8)
    square[:, 10:30, 30:50] = 255
    out = fit(square, 20, 20)[0, 0].numpy()
    assert out.shape == (20, 20)
    rows, columns = np.where(out > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 14, 5, 14)
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    assert np.array_equal(fit(frames, 32, 48).permute(0, 2, 3, 1).numpy(), frames)


def test_encoded_clips_are_what_the_models_say(encoders: Encoders, clips: Selection, plan: CachePlan) -> None:
    item = plan.clips[0]
    wanted = frame_indices(item.clip.num_frames, item.clip.fps, 9)
    frames = decode(clips[item.index].video)[wanted]
    pixels = clip_pixels(clips[item.index].video, item)
    assert torch.equal(pixels, fit(frames, item.bucket.height, item.bucket.width))

    vae = encoders.pipeline.vae
    video = pixels.permute(1, 0, 2, 3)[None].float() / 127.5 - 1
    mean = torch.tensor([0.1, -0.2, 0.3, -0.4]).view(1, 4, 1, 1, 1)
    std = torch.tensor([1.5, 0.5, 2.0, 1.0]).view(1, 4, 1, 1, 1)
    with torch.no_grad():
        expected = (vae.encode(video).latent_dist.mean - mean) / std
    encoded = encoders.encode_video(pixels)
    assert tuple(encoded["latents"].shape) == encoders.outline.latent_shape(item.bucket)
    assert torch.equal(encoded["latents"], expected[0].to(torch.bfloat16))
    assert set(encoded) == (
        {"latents"} if encoders.outline.task == "t2v" else {"latents", "condition", "image"}
    )


def test_texts_are_what_the_stock_pipeline_feeds(
    t2v_base: Path, encoders: Encoders, clips: Selection, plan: CachePlan
) -> None:
    stock = WanPipeline.from_pretrained(t2v_base)
    source = EncodedOnTheFly(clips, encoders)
    for variant in VARIANTS:
        text = plan.clips[0].texts()[variant]
        with torch.no_grad():
            expected, _ = stock.encode_prompt(text, None, False, max_sequence_length=TEXT_LENGTH)
        found = source.load(plan.clips[0], variant).text
        assert found.shape == (512, 16)
        assert torch.allclose(found.float(), expected[0], atol=2e-2, rtol=1e-2)
        assert torch.equal(found.abs().sum(1) > 0, expected[0].abs().sum(1) > 0)


def test_i2v_conditions_are_what_the_stock_pipeline_feeds(
    i2v_base: Path, clips: Selection, plan: CachePlan
) -> None:
    encoders = Encoders.load(BaseOutline.read(i2v_base, "i2v"))
    stock = WanImageToVideoPipeline.from_pretrained(i2v_base)
    stock.set_progress_bar_config(disable=True)
    fed: list[dict[str, Any]] = []
    stock.transformer.register_forward_pre_hook(lambda _, __, kwargs: fed.append(kwargs), with_kwargs=True)
    pixels = clip_pixels(clips[plan.clips[0].index].video, plan.clips[0])
    height, width = pixels.shape[2:]
    noise = torch.randn(1, 4, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    stock(
        image=Image.fromarray(pixels[0].permute(1, 2, 0).numpy()),
        prompt="a cat",
        height=height,
        width=width,
        num_frames=9,
        num_inference_steps=1,
        guidance_scale=1,
        latents=noise,
        output_type="latent",
    )
    encoded = encoders.encode_video(pixels)
    built = transformer_input(noise, encoded["condition"][None])
    assert built.shape == fed[0]["hidden_states"].shape
    assert torch.allclose(built, fed[0]["hidden_states"], atol=2e-2, rtol=1e-2)
    assert torch.equal(built[:, 4:8], fed[0]["hidden_states"][:, 4:8]), "the mask"
    image = fed[0]["encoder_hidden_states_image"][0]
    assert torch.allclose(encoded["image"].float(), image, atol=2e-2, rtol=1e-2)


def test_cached_and_uncached_samples_are_equal_and_a_second_run_encodes_nothing(
    encoders: Encoders, clips: Selection, plan: CachePlan, tmp_path: Path
) -> None:
    cache, fly = LatentCache(Store.at(tmp_path)), EncodedOnTheFly(clips, encoders)
    filled = fill(cache, plan, clips, encoders)
    assert (filled.encoded, filled.reused, filled.repaired) == (len(plan.clips), 0, 0)
    for item, variant in zip(plan.clips, VARIANTS * 2, strict=True):
        cached, fresh = cache.load(item, variant), fly.load(item, variant)
        for name in ("latents", "text", "condition", "image"):
            left, right = getattr(cached, name), getattr(fresh, name)
            assert (left is None and right is None) or torch.equal(left, right)
    # No base is there to load encoders of.
    absent = replace(encoders.outline, name="absent")
    assert fill_cache(cache, plan, clips, absent).reused == len(plan.clips)


def test_a_half_written_cache_is_completed(
    t2v_base: Path, clips: Selection, plan: CachePlan, tmp_path: Path
) -> None:
    encoders = Encoders.load(BaseOutline.read(t2v_base, "t2v"))
    cache = LatentCache(Store.at(tmp_path))
    fill(cache, plan, clips, encoders)
    cut, gone = (tmp_path / cache.clip_name(item) for item in plan.clips[:2])
    text = tmp_path / cache.text_name(plan.clips[0].texts()["whole"])
    whole = {path: load(path.read_bytes()) for path in (cut, gone, text)}
    for path in (cut, text):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    gone.unlink()
    with pytest.raises(ValueError, match=f"{cut.name} is cut short or not a safetensors file"):
        cache.load(plan.clips[0], "empty")
    with pytest.raises(ValueError, match=f"{gone.name} is missing from the cache; run the"):
        cache.load(plan.clips[1], "empty")
    filled = fill(cache, plan, clips, encoders)
    assert (filled.encoded, filled.reused, filled.repaired) == (1, len(plan.clips) - 2, 1)
    for path, tensors in whole.items():
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_file(path).items())


def test_another_selection_uses_what_is_there(
    t2v_base: Path, clips: Selection, plan: CachePlan, tmp_path: Path
) -> None:
    encoders = Encoders.load(BaseOutline.read(t2v_base, "t2v"))
    cache = LatentCache(Store.at(tmp_path))
    some = replace(plan, clips=plan.clips[1:6:2])
    assert fill(cache, some, clips, encoders) == FilledCache(str(tmp_path), 3, 0, 0)
    assert fill(cache, plan, clips, encoders) == FilledCache(str(tmp_path), len(plan.clips) - 3, 3, 0)


def test_another_wording_is_another_entry_of_the_cache(
    t2v_base: Path, clips: Selection, plan: CachePlan, tmp_path: Path
) -> None:
    encoders = Encoders.load(BaseOutline.read(t2v_base, "t2v"))
    cache = LatentCache(Store.at(tmp_path))
    fill(cache, plan, clips, encoders)
    texts = set((tmp_path / "texts").iterdir())
    paper, mood = plan.clips[0], replace(plan.clips[0], wording="mood")
    assert paper.wording == "paper"
    with pytest.raises(ValueError, match="is missing from the cache"):
        cache.load(mood, "whole")
    assert EncodePart.of([paper], clips).key != EncodePart.of([mood], clips).key
    other = plan_cache(clips.clips, **SMALL, wording="mood")
    filled = fill(cache, other, clips, encoders)
    assert (filled.encoded, filled.reused) == (0, len(plan.clips)), "the videos are the same"
    assert texts < set((tmp_path / "texts").iterdir())
    for item in (paper, mood):
        expected = encoders.encode_text(item.texts()["whole"])
        assert torch.equal(cache.load(item, "whole").text[: len(expected)], expected)


def test_only_the_texts_that_training_sees_are_encoded(
    t2v_base: Path, clips: Selection, tmp_path: Path
) -> None:
    encoders = Encoders.load(BaseOutline.read(t2v_base, "t2v"))
    plan = plan_cache(clips.clips, **SMALL, variants=("whole",))
    cache = LatentCache(Store.at(tmp_path))
    fill(cache, plan, clips, encoders)
    whole = {cache.text_name(text) for item in plan.clips for text in item.texts().values()}
    assert {f"texts/{path.name}" for path in (tmp_path / "texts").iterdir()} == whole
    assert len(whole) <= len(plan.clips)


def test_processes_share_the_work(t2v_base: Path, clips: Selection, plan: CachePlan, tmp_path: Path) -> None:
    base = BaseOutline.read(t2v_base, "t2v")
    encoders, store = Encoders.load(base), Store.at(tmp_path)
    stages = [
        EncodeStage(plan, clips, base, run="one", encoders=encoders, rank=rank, world=3) for rank in range(3)
    ]
    done = [run_stage(stage, store, executor=Serial(), progress=False).done for stage in stages]
    assert sum(done) == len(plan.clips) and max(done) - min(done) <= 1
    whole = EncodeStage(plan, clips, base, run="one")
    assert FilledCache.of(whole, store) == FilledCache(str(tmp_path), len(plan.clips), 0, 0)


def test_worker_processes_encode_the_same(
    i2v_base: Path, clips: Selection, plan: CachePlan, tmp_path: Path
) -> None:
    base = BaseOutline.read(i2v_base, "i2v")
    caches = [LatentCache(Store.at(tmp_path / name)) for name in ("here", "workers")]
    fill(caches[0], plan, clips, Encoders.load(base))
    filled = fill_cache(caches[1], plan, clips, base, engine=Processes(2))
    assert (filled.encoded, filled.reused, filled.repaired) == (len(plan.clips), 0, 0)
    for item, variant in zip(plan.clips, VARIANTS * 2, strict=True):
        here, there = (cache.load(item, variant) for cache in caches)
        for name in ("latents", "text", "condition", "image"):
            assert torch.allclose(getattr(here, name), getattr(there, name), atol=1e-2)


def test_a_part_is_divided_down_to_single_clips_with_their_own_videos(
    clips: Selection, plan: CachePlan
) -> None:
    part = EncodePart.of(plan.clips[2:7], clips)
    pieces = [part]
    while any(piece.halves() for piece in pieces):
        pieces = [half for piece in pieces for half in piece.halves() or (piece,)]
    assert [piece.clips for piece in pieces] == [(item,) for item in plan.clips[2:7]]
    for whole in (part, *pieces):
        assert [whole.video(item) for item in whole.clips] == [
            clips[item.index].video for item in whole.clips
        ]
    assert len({piece.key for piece in (part, *pieces)}) == 6


def test_the_plan_knows_the_size_of_the_cache(
    encoders: Encoders, clips: Selection, plan: CachePlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(LatentCache(Store.at(tmp_path)), plan, clips, encoders)
    tensors = [load_file(path) for path in tmp_path.rglob("*.safetensors")]
    stored = sum(tensor.nbytes for file in tensors for tensor in file.values())
    assert estimate_disk(plan, encoders.outline) == stored
    where = {"task": "t2v", "data": "build", "base": "me/wan", "out": "lora"}
    print_plan(plan, encoders.outline, settings=settings_for(**where, rank=16))
    printed = capsys.readouterr().out
    assert f"{len(plan.clips)} clips, 0 dropped as too short" in printed
    assert f"recipe paper, but rank 16; {3 * len(plan.clips)} steps on one device" in printed


def test_other_weights_or_another_task_have_another_cache(
    t2v_base: Path, i2v_base: Path, tmp_path: Path
) -> None:
    name = BaseOutline.read(t2v_base, "t2v").fingerprint()
    copy = shutil.copytree(t2v_base, tmp_path / "base")
    assert BaseOutline.read(copy, "t2v").fingerprint() == name
    assert BaseOutline.read(i2v_base, "i2v").fingerprint() != name
    vae = AutoencoderKLWan.from_pretrained(copy, subfolder="vae")
    with torch.no_grad():
        vae.encoder.conv_in.weight += 1
    vae.save_pretrained(copy / "vae")
    assert BaseOutline.read(copy, "t2v").fingerprint() != name


def test_a_base_for_the_other_task_is_refused_before_it_is_loaded(t2v_base: Path) -> None:
    with pytest.raises(ValueError, match="is made for task t2v, not i2v"):
        BaseOutline.read(t2v_base, "i2v")


def test_a_damaged_video_is_named(plan: CachePlan) -> None:
    with pytest.raises(ValueError, match=f"clip {plan.clips[0].clip.id} cannot be decoded: "):
        clip_pixels(b"no video", plan.clips[0])


def test_another_bucket_or_another_video_has_another_name(plan: CachePlan) -> None:
    item = plan.clips[0]
    other: Clip = replace(item.clip, sha256="f" * 64)
    names = {
        item.name,
        replace(item, clip=other).name,
        replace(item, bucket=Bucket(5, 32, 32)).name,
        replace(item, framing="prefix").name,
    }
    assert len(names) == 4


def test_a_long_caption_leaves_the_emotion_its_place_in_training(clips: Selection, t2v_base: Path) -> None:
    """All of its texts fit into the text encoder; other captions stay as they are."""
    base = BaseOutline.read(t2v_base, "t2v")
    caption = " ".join(f"word{number}" for number in range(600))
    given = [replace(clips.clips[0], caption=caption), clips.clips[1]]
    plan = plan_cache(given, **SMALL, fitted=base.fitted)
    assert plan.shortened == 1
    assert plan.clips[1].clip.caption == given[1].caption
    texts = plan.clips[0].texts()
    for text in texts.values():
        assert len(base.tokenizer(text).input_ids) <= TEXT_LENGTH
    assert texts["whole"].endswith(f'The video is in the "{given[0].emotion}" emotion.')
    kept = texts["no emotion"].split()
    assert kept == caption.split()[: len(kept)] and texts["whole"].startswith(texts["no emotion"])
    more = " ".join(caption.split()[: len(kept) + 1])
    assert len(base.tokenizer(texts["whole"].replace(texts["no emotion"], more)).input_ids) > TEXT_LENGTH
