"""The paper's measures: against arithmetic of other libraries on the same features, and on videos and
Gaussians of which the answer is known."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny_networks import save_clip, save_videomae

from emovid_models.evaluation.measures import frechet
from emovid_models.evaluation.measures.clip_model import ClipModel, square_middle
from emovid_models.evaluation.measures.clip_score import clip_score
from emovid_models.evaluation.measures.cosine import mean_cosine
from emovid_models.evaluation.measures.first_frame import first_frame_consistency
from emovid_models.evaluation.measures.flicker import temporal_flicker, vbench_score
from emovid_models.evaluation.measures.frechet import FEWEST_VIDEOS, frechet_distance, fvd
from emovid_models.evaluation.measures.network import network_identity
from emovid_models.evaluation.measures.videomae_model import VideoMaeModel

TEXT = 'A cat sleeps. The video is in the "contentment" emotion.'


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def videomae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_videomae(tmp_path_factory.mktemp("videomae"))


def video(frames: int = 5, height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def test_flicker_of_videos_whose_flicker_is_known() -> None:
    black, white = np.zeros((6, 4, 3), np.uint8), np.full((6, 4, 3), 255, np.uint8)
    assert temporal_flicker([white] * 4) == 0 and vbench_score(0) == 1
    assert temporal_flicker([black, white] * 3) == 1 and vbench_score(1) == 0
    ramp = np.arange(0, 250, 5, np.uint8)[:, None, None, None] * np.ones((1, 6, 4, 3), np.uint8)
    assert temporal_flicker(ramp) == pytest.approx(5 / 255, abs=1e-15)
    assert vbench_score(temporal_flicker(ramp[::-1])) == pytest.approx(250 / 255, abs=1e-15)
    one_channel = black.copy()
    one_channel[..., 1] = 30
    assert temporal_flicker([black, one_channel]) == pytest.approx(10 / 255, abs=1e-15)


def test_flicker_is_opencvs_difference_of_neighbours() -> None:
    import cv2

    frames = video(7)
    differences = [
        np.mean(cv2.absdiff(a[..., ::-1].copy(), b[..., ::-1].copy())) for a, b in pairwise(frames)
    ]
    found = temporal_flicker(iter(frames))
    assert found == pytest.approx(np.mean(differences) / 255, rel=1e-12)
    assert vbench_score(found) == pytest.approx((255 - np.mean(differences)) / 255, rel=1e-12)


def test_flicker_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="needs two frames"):
        temporal_flicker(video(1))
    with pytest.raises(ValueError, match="must be uint8"):
        temporal_flicker(video(3) / 255)
    with pytest.raises(ValueError, match="of one shape"):
        temporal_flicker([video(1)[0], video(1, width=58)[0]])


def test_cosines_need_directions_and_shapes() -> None:
    rows, one = np.eye(3), np.array([1.0, 1.0, 0.0])
    assert mean_cosine(rows, one) == pytest.approx(2 / np.sqrt(2) / 3)
    assert mean_cosine(-7 * rows, one) == pytest.approx(-2 / np.sqrt(2) / 3)
    for wrong in (np.zeros(3), np.array([1, np.nan, 0]), np.ones(2)):
        with pytest.raises(ValueError, match=r"no direction|must be \[T, D\]"):
            mean_cosine(rows, wrong)


def test_clip_score_is_transformers_logits_without_their_scale(clip_folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    frames = video()
    network = CLIPModel.from_pretrained(clip_folder)
    pixels = CLIPImageProcessorPil.from_pretrained(clip_folder)(
        [Image.fromarray(frame) for frame in frames], return_tensors="pt"
    )
    tokens = CLIPTokenizer.from_pretrained(clip_folder)(TEXT, return_tensors="pt")
    with torch.inference_mode():
        logits = network(**tokens, **pixels).logits_per_image / network.logit_scale.exp()
    ours = ClipModel(str(clip_folder))
    text, features = ours.text(TEXT), ours.frames(iter(frames))
    assert features.shape == (5, 12) and text.feature.shape == (12,) and not text.is_truncated
    assert clip_score(features, text.feature) == pytest.approx(float(logits.mean()), abs=1e-6)
    many = ours.frames(np.concatenate([frames] * 10))
    np.testing.assert_allclose(many, np.concatenate([features] * 10), atol=1e-5)


def test_pixels_reach_clip_as_its_own_processor_makes_them() -> None:
    from transformers import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for height, width in ((40, 56), (57, 33), (32, 32), (20, 30)):
        frame = video(1, height, width)[0]
        pixels = theirs(
            Image.fromarray(frame), do_normalize=False, do_rescale=False, return_tensors="np"
        ).pixel_values[0]
        np.testing.assert_array_equal(square_middle(frame, 32), pixels.transpose(1, 2, 0).astype(np.uint8))


def test_first_frame_consistency_compares_with_the_given_frame(clip_folder: Path) -> None:
    ours = ClipModel(str(clip_folder))
    frames = video(3)
    features = ours.frames(frames)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert first_frame_consistency(features, features[0]) == pytest.approx((unit @ unit[0]).mean(), abs=1e-6)
    still = ours.frames([frames[1]] * 4)
    assert first_frame_consistency(still, ours.frames([frames[1]])[0]) == pytest.approx(1, abs=1e-6)


def test_long_text_is_cut_off_as_transformers_does_and_said(clip_folder: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    text = "a" * 200
    network, tokenizer = CLIPModel.from_pretrained(clip_folder), CLIPTokenizer.from_pretrained(clip_folder)
    cut = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        expected = network.get_text_features(**cut)
    found = ClipModel(str(clip_folder)).text(text)
    assert found.is_truncated and found.tokens == 202
    np.testing.assert_allclose(found.feature, getattr(expected, "pooler_output", expected)[0], atol=1e-6)


def test_a_videos_feature_is_the_mean_token(videomae_folder: Path) -> None:
    from transformers import VideoMAEImageProcessorPil, VideoMAEModel

    frames = video(4, 16, 16)
    ours = VideoMaeModel(str(videomae_folder))
    assert (ours.num_frames, ours.size) == (4, 16)
    pixels = VideoMAEImageProcessorPil(
        size={"shortest_edge": 16},
        crop_size={"height": 16, "width": 16},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )([Image.fromarray(frame) for frame in frames], return_tensors="pt").pixel_values
    with torch.inference_mode():
        tokens = VideoMAEModel.from_pretrained(videomae_folder)(pixels).last_hidden_state
    np.testing.assert_allclose(ours.video(frames), tokens[0].mean(0), atol=1e-5)


def gaussian(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    root = rng.standard_normal((size, size))
    return rng.standard_normal(size), root @ root.T / size


def test_frechet_distance_against_scipys_matrix_root() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 40):
        (mean, covariance), (other_mean, other) = gaussian(rng, size), gaussian(rng, size)
        root = np.real(sqrtm(covariance @ other))
        expected = np.square(mean - other_mean).sum() + np.trace(covariance + other - 2 * root)
        found = frechet_distance(mean, covariance, other_mean, other)
        assert found == pytest.approx(expected, rel=1e-8)
        assert frechet_distance(other_mean, other, mean, covariance) == pytest.approx(found, rel=1e-8)


def test_frechet_distance_where_it_has_a_closed_form() -> None:
    rng = np.random.default_rng(1)
    mean, covariance = gaussian(rng, 30)
    assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(mean, covariance, mean + 2, covariance) == pytest.approx(4 * 30)
    a, b = rng.uniform(0.1, 2, 30), rng.uniform(0.1, 2, 30)
    turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    one, other = (turn * a**2) @ turn.T, (turn * b**2) @ turn.T
    assert frechet_distance(mean, one, mean, other) == pytest.approx(np.square(a - b).sum())
    low, nothing = np.diag([1.0] * 3 + [0.0] * 27), np.zeros((30, 30))
    assert frechet_distance(mean, low, mean, nothing) == pytest.approx(3)
    assert frechet_distance(mean, low, mean, low) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("dimensions", [12, 400])
def test_fvd_is_scipys_arithmetic_on_the_same_features(dimensions: int) -> None:
    """Also where the few videos span less than the features do."""
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(2)
    scale = np.arange(1, dimensions + 1) ** -0.5
    real = rng.standard_normal((120, dimensions)) * scale
    made = rng.standard_normal((130, dimensions)) * scale * 1.3 + 0.1
    found = fvd(real, made)
    one, other = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    root = sqrtm(one @ other)
    expected = np.square(real.mean(0) - made.mean(0)).sum() + np.trace(one + other - 2 * np.real(root))
    assert found.value == pytest.approx(expected, rel=1e-4)
    assert (found.real, found.generated, found.dimensions) == (120, 130, dimensions)
    assert found.is_rank_deficient == (dimensions == 400)
    assert fvd(real, real).value == pytest.approx(0, abs=1e-6)


def test_fvd_of_gaussians_that_are_known_comes_near_and_its_bias_is_shown() -> None:
    rng = np.random.default_rng(3)
    real, made = rng.standard_normal((20_000, 6)), 2 * rng.standard_normal((20_000, 6)) + 1
    found = fvd(real, made)
    assert found.value == pytest.approx(6 + 6, rel=0.03) and found.halves < 0.01
    few = fvd(real[:100], real[100:200])
    assert 0 < few.value < few.halves, "halves of 50 differ more than samples of 100"
    assert fvd(real[:100], made[:100]) == fvd(real[:100], made[:100])


def test_fvd_refuses_too_few_and_what_does_not_fit() -> None:
    enough = np.zeros((FEWEST_VIDEOS, 3))
    with pytest.raises(ValueError, match=f"only {FEWEST_VIDEOS - 1} videos; FVD needs {FEWEST_VIDEOS}"):
        fvd(enough, enough[1:])
    with pytest.raises(ValueError, match="must be"):
        fvd(enough, np.zeros((FEWEST_VIDEOS, 4)))
    with pytest.raises(ValueError, match="not finite"):
        fvd(enough, enough + np.nan)


def test_the_bias_that_the_limit_is_founded_on(monkeypatch: pytest.MonkeyPatch) -> None:
    scale = np.arange(1, 769) ** -0.5
    rng = np.random.default_rng(0)
    apart = {
        n: frechet.fvd(*(rng.standard_normal((n, 768)) * scale for _ in range(2))).value for n in (100, 240)
    }
    total = np.square(scale).sum()
    assert round(apart[100] / total, 1) == 0.7 and round(apart[240] / total, 1) == 0.5


def test_another_network_and_one_without_all_weights_are_refused(
    clip_folder: Path, videomae_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=r"cannot be loaded: it is of type 'videomae', not 'clip'"):
        ClipModel(str(videomae_folder))
    with pytest.raises(OSError, match=r"cannot be loaded: it is of type 'clip', not 'videomae'"):
        VideoMaeModel(str(clip_folder))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((videomae_folder / name).read_bytes())
    before = network_identity(str(tmp_path))
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if "encoder" in name)
    save_file(
        {k: v for k, v in weights.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(OSError, match="1 of its weights are missing, first "):
        VideoMaeModel(str(tmp_path))
    assert network_identity(str(tmp_path)) != before
    torch.save(VideoMaeModel(str(videomae_folder))._network.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match="cannot be loaded"):
        VideoMaeModel(str(tmp_path))


def test_colours_are_normalised_as_the_models_settings_say(clip_folder: Path, tmp_path: Path) -> None:
    import shutil

    other: Any = shutil.copytree(clip_folder, tmp_path / "other")
    settings = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps({**settings, "image_mean": [0, 0, 0]}))
    frames = video(1)
    first, second = ClipModel(str(clip_folder)).frames(frames), ClipModel(str(other)).frames(frames)
    assert np.abs(first - second).max() > 1e-3
    assert network_identity(str(clip_folder)) != network_identity(str(other))
