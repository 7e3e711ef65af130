"""Scores from the frames alone, on constructed videos whose right value is known by arithmetic."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import video_files

from emovid_dataset.schema.emotions import MIKELS
from emovid_models.evaluation.frame_scores import FRAME_SCORES, NO_OPENCV, frame_scores
from emovid_models.evaluation.judge import Judged, Judgement
from emovid_models.evaluation.measures.content_kept import Lpips
from emovid_models.evaluation.measures.distribution_distance import (
    circle_distance,
    line_distance,
    sample_distance,
)
from emovid_models.evaluation.measures.flicker import frozen_share, neighbour_differences
from emovid_models.evaluation.measures.motion import flow_picture, motion
from emovid_models.evaluation.measures.seed_diversity import seed_diversity
from emovid_models.evaluation.result import REAL, JudgeRecord, Result, System, Video, write_result
from emovid_models.evaluation.score_definitions import DEFINITIONS, definitions_table
from emovid_models.evaluation.soft_scores import ambiguity, soft_scores
from emovid_models.evaluation.system_scores import add_frame_scores, add_system_scores

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth pattern, uint8 [height, width, 3]."""
    import cv2

    grey: np.ndarray = np.random.default_rng(seed).random((height, width), np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 2)
    grey = (grey - grey.min()) / np.ptp(grey) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def pan(right: int, down: int, frames: int = 5, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """A window that moves over a larger picture by so many pixels a frame."""
    whole = texture(height + 4 * frames + abs(down) * frames, width + 4 * frames + abs(right) * frames)
    return [whole[t * down :, t * right :][:height, :width] for t in range(frames)]


@pytest.mark.parametrize(("right", "down"), [(1, 0), (3, 4), (0, 6)])
def test_motion_of_a_pan_is_its_length_by_the_diagonal(right: int, down: int) -> None:
    pictures = [flow_picture(frame) for frame in pan(right, down)]
    expected = math.hypot(right, down) / math.hypot(96, 128) * 10  # ten frames a second
    assert motion(pictures, 0.4) == pytest.approx(expected, rel=0.03)
    assert motion(pictures[::-1], 0.4) == pytest.approx(expected, rel=0.03)
    assert motion(pictures, 0.8) == pytest.approx(motion(pictures, 0.4) / 2)


def test_motion_does_not_depend_on_the_size_and_is_0_when_still() -> None:
    small, large = pan(2, 0), [np.repeat(np.repeat(f, 4, 0), 4, 1) for f in pan(2, 0)]
    values = [motion([flow_picture(frame) for frame in video], 1.0) for video in (small, large)]
    assert values[1] == pytest.approx(values[0], rel=0.05) and values[0] > 0
    assert motion([flow_picture(small[0])] * 3, 1.0) == pytest.approx(0, abs=1e-4)
    with pytest.raises(ValueError, match="two frames that take time"):
        motion([flow_picture(small[0])], 1.0)
    with pytest.raises(ValueError, match="too small"):
        motion([flow_picture(frame[:8]) for frame in small], 1.0)


def test_frozen_share_counts_steps_that_show_the_same() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    held = [black, black, white, white, black, black]
    assert frozen_share(neighbour_differences(held)) == 3 / 5
    almost, hardly = black.copy(), np.zeros((100, 100, 3), np.uint8)
    almost[0, 0, 0] = 13  # 13 / 48 / 255 = 0.00106
    assert frozen_share(neighbour_differences([black, almost])) == 0
    hardly[:10, 0] = 255  # 10 / 10000
    assert frozen_share(neighbour_differences([np.zeros_like(hardly), hardly])) == 1
    with pytest.raises(ValueError, match="two frames"):
        frozen_share([])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_what_stands_still_is_what_freezedetect_finds(tmp_path: Path) -> None:
    moving = pan(3, 2, frames=6)
    frames = [*moving, *[moving[-1]] * 8, *moving[::-1][1:]]
    path = video_files.write_video(tmp_path / "held.mp4", frames, rate=10)
    command = ["ffmpeg", "-hide_banner", "-i", str(path), "-vf", "freezedetect=d=0.3", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (start,) = map(float, re.findall(r"freeze_start: ([\d.]+)", said))
    (end,) = map(float, re.findall(r"freeze_end: ([\d.]+)", said))
    assert (start, end) == pytest.approx((0.5, 1.4))
    # it counts the step to the next picture too, ours is not still there
    assert frame_scores(str(path)).frozen_share == pytest.approx(((end - start) * 10 - 1) / 18)


def test_scores_of_a_file(tmp_path: Path) -> None:
    frames = pan(3, 4, frames=6)
    path = video_files.write_video(tmp_path / "pan.mp4", frames, rate=10)
    found = frame_scores(path.read_bytes())
    assert found.motion == pytest.approx(5 / 160 * 10, rel=0.05)
    assert found.flicker == pytest.approx(np.mean(neighbour_differences(frames)), rel=0.05)
    assert found.brightness == pytest.approx(frames[0].mean() / 255, abs=0.01)
    assert found.frozen_share == 0 and found.colorfulness == pytest.approx(0, abs=0.02)
    assert set(found.values()) == set(FRAME_SCORES)
    single = frame_scores(str(video_files.write_video(tmp_path / "single.mp4", frames[:1], rate=10)))
    assert single.motion is single.flicker is single.frozen_share is None and single.brightness is not None
    assert dict(single.not_computed)["motion"] == "it has a single frame"


def test_motion_without_opencv_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video_files.write_video(tmp_path / "pan.mp4", pan(3, 4, frames=3), rate=10)
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = frame_scores(str(path))
    assert found.motion is None and dict(found.not_computed)["motion"] == NO_OPENCV
    assert found.flicker is not None and found.flicker > 0


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([350.0, 350.0], [10.0, 20.0], 25.0),
        ([0.0], [180.0], 180.0),
        ([0.0, 120.0, 240.0], [0.0, 120.0, 240.0], 0.0),
        ([0.0, 120.0, 240.0], [10.0, 130.0, 250.0], 10.0),
        ([359.0], [-1.0], 0.0),
        ([0.0], [90.0, 270.0], 90.0),
    ],
)
def test_hues_are_apart_on_the_circle(one: list[float], other: list[float], apart: float) -> None:
    for turn in (0.0, 77.7):
        turned = [[value + turn for value in side] for side in (one, other)]
        assert circle_distance(*turned) == pytest.approx(apart, abs=1e-9)
        assert circle_distance(*turned[::-1]) == pytest.approx(apart, abs=1e-9)


def test_distances_are_the_cheapest_assignment() -> None:
    from scipy.optimize import linear_sum_assignment

    for seed in range(5):
        rng = np.random.default_rng(seed)
        one, other = rng.uniform(0, 360, 12), rng.vonmises(1, 2, 12) * 180 / np.pi % 360
        apart = np.abs(one[:, None] - other)
        for distance, cost in ((line_distance, apart), (circle_distance, np.minimum(apart, 360 - apart))):
            assert distance(one.tolist(), other.tolist()) == pytest.approx(
                cost[linear_sum_assignment(cost)].mean()
            )


def test_what_chance_makes_of_a_distance_stands_beside_it() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(0.5, 0.1, 400).tolist()
    same = sample_distance(line_distance, rng.normal(0.5, 0.1, 20).tolist(), real)
    far = sample_distance(line_distance, rng.normal(0.8, 0.1, 20).tolist(), real)
    assert same.value < 2 * same.by_chance and far.value == pytest.approx(0.3, abs=0.05)
    assert far.by_chance == pytest.approx(0.024, abs=0.008) and (far.generated, far.real) == (20, 400)
    for wrong in ([], [math.nan]):
        with pytest.raises(ValueError, match="value"):
            line_distance(wrong, real)
        with pytest.raises(ValueError, match="value"):
            circle_distance(real, wrong)


def test_diversity_is_the_mean_over_pairs_of_seeds() -> None:
    grey = [np.full((2, 4, 4, 3), value, np.uint8) for value in (0, 51, 255)]
    assert seed_diversity(grey) == pytest.approx((51 + 255 + 204) / 3 / 255)
    assert seed_diversity([grey[1]] * 3) == 0
    with pytest.raises(ValueError, match="two seeds"):
        seed_diversity(grey[:1])
    with pytest.raises(ValueError, match="one shape"):
        seed_diversity([grey[0], grey[1][:1]])


def judged(rows: list[tuple[float, ...] | None]) -> Judged:
    names = MIKELS.names
    return Judged(
        "judge",
        tuple(
            Judgement(str(n), "awe", None if row is None else names[int(np.argmax(row))], row, None)
            for n, row in enumerate(rows)
        ),
    )


def test_calibration_and_ambiguity_of_soft_scores() -> None:
    sure, torn = (0.0, 1.0, *[0.0] * 6), (0.5, 0.0, 0.5, *[0.0] * 5)
    assert ambiguity(np.full((3, 8), 1 / 8)) == pytest.approx(3) and ambiguity(np.array([sure])) == 0
    found = soft_scores(judged([sure, sure, torn, None]))
    # the sure ones are right with confidence 1, the torn one is wrong with confidence 0.5
    assert (found.n, found.calibration_error, found.ambiguity) == (3, pytest.approx(0.5 / 3), 1 / 3)
    assert soft_scores(judged([None])) == type(found)(0, None, None)


@pytest.fixture(scope="module")
def squeeze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch's folder with a network of random weights in the place of SqueezeNet's."""
    import torch
    import torchvision.models

    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    name = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save(torchvision.models.squeezenet1_1().state_dict(), folder / "hub" / "checkpoints" / name)
    return folder


def test_lpips_is_its_formula(squeeze: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    import torchmetrics.functional.image
    import torchvision.models

    with pytest.raises(OSError, match=r"alexnet-owt.*it is not there"):
        monkeypatch.setenv("TORCH_HOME", str(squeeze))
        Lpips("alex")
    lpips = Lpips("squeeze")
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 2, 64, 64, 3), np.uint8)
    assert lpips(one, one) == 0 and lpips(one, other) == pytest.approx(lpips(other, one)) != 0
    whole = lpips(one, other)
    assert whole == pytest.approx((lpips(one[:1], other[:1]) + lpips(one[1:], other[1:])) / 2)

    layers = torchvision.models.squeezenet1_1(weights="DEFAULT").features.eval()
    folder = Path(torchmetrics.functional.image.__file__).parent / "lpips_models"
    weights = torch.load(folder / "squeeze.pth", map_location="cpu")
    found = torch.zeros(())
    sides = []
    for side in (one, other):
        x = torch.from_numpy(side).permute(0, 3, 1, 2) / 127.5 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
            :, None, None
        ]
        features = []
        for place, layer in enumerate(layers):
            x = layer(x)
            if place in (1, 4, 7, 9, 10, 11, 12):
                features.append(x / x.square().sum(1, keepdim=True).sqrt())
        sides.append(features)
    for place, (a, b) in enumerate(zip(*sides, strict=True)):
        found = found + (weights[f"lin{place}.model.1.weight"] * (a - b).square()).sum(1).mean()
    assert whole == pytest.approx(float(found.detach()), rel=1e-3)
    with pytest.raises(ValueError, match="they must be of one"):
        lpips(one, other[:1])


def entry(system: str, emotion: str, seed: int, content_type: str | None = None) -> Video:
    name = f"{emotion}-{seed}.mp4"
    return Video(
        system=system,
        file=name,
        place=f"../{system}/{name}",
        request=name,
        scene="a cat",
        prompt="a cat",
        intended=emotion,
        seed=seed,
        sha256="0" * 64,
        content_type=content_type,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Videos of one grey each: a system at intensity 1, one at 0, and one that failed; real clips by their
    looks."""
    folder = tmp_path_factory.mktemp("systems")
    settings = {"seed": 0, "size": "64x48"}
    systems, videos = [], []
    for name, intensity, greys in (("one", 1.0, (51, 102)), ("none", 0, (51, 51))):
        (folder / name).mkdir()
        systems.append(
            System(
                name=name,
                identity=name,
                place="",
                base="b",
                settings={**settings, "intensity": intensity, "wording": name},
            )
        )
        for emotion in ("awe", "fear"):
            for seed, grey in enumerate(greys):
                videos.append(entry(name, emotion, seed))
                video_files.write_video(
                    folder / name / videos[-1].file, [np.full((48, 64, 3), grey, np.uint8)] * 3, rate=10
                )
    systems.append(System(name="broken", identity="broken", place=""))
    videos.append(replace(entry("broken", "awe", 0), error="the video is missing"))
    real = []
    for emotion, levels in (("awe", (0.2, 0.4)), ("fear", (0.4, 0.6))):
        for level in levels:
            clip = replace(entry(REAL, emotion, 0), file=f"{emotion}{level}", request=f"{emotion}{level}")
            scores = {"brightness": level, "colorfulness": 0.0, "hue": 30.0}
            real.append(replace(clip, place="", scores=scores))
    judge = JudgeRecord(identity="judge@1", source="judge")
    return write_result(
        Result(systems=tuple(systems), judges=(judge,), videos=tuple(videos), real=tuple(real)),
        folder / "scores",
    )


def test_a_result_gets_the_scores_of_its_videos_and_systems(result: Result, tmp_path: Path) -> None:
    measured = add_frame_scores(result, tmp_path / "frames")
    again = add_frame_scores(result, tmp_path / "frames", real={"nobody": partial(bytes)})
    assert again == measured and measured.inputs == result.inputs
    first, last = measured.videos[0], measured.videos[-1]
    assert first.scores["brightness"] == pytest.approx(0.2, abs=0.01) and first.scores["frozen_share"] == 1
    assert first.scores["flicker"] == 0 and first.scores["motion"] == pytest.approx(0, abs=1e-3)
    assert set(last.scores.values()) == {None}
    assert last.not_computed == dict.fromkeys(FRAME_SCORES, "the video is missing")

    found = add_system_scores(measured, lpips="nobody installed it")
    one, none, broken = (system.measures for system in found.systems)
    by_networks = {
        "prompt_match",
        "fvd",
    }  # of the paper's protocol, which only networks give
    assert set(one) == {definition.name for definition in DEFINITIONS} - by_networks
    # greys 0.2 and 0.4: those of awe; those of fear are 0.2 brighter
    assert one["brightness_distance"].value == pytest.approx((0 + 0.2) / 2, abs=0.01)
    assert one["brightness_distance"].details["by_chance"] > 0 and one["brightness_distance"].n == 4
    assert one["seed_diversity"].value == pytest.approx(0.2, abs=0.01)
    assert (none["seed_diversity"].value, none["seed_diversity"].details["groups"]) == (0, 2)
    assert one["frozen_share"].value == 1 and one["frozen_share"].n == 4
    for value, reason in (
        (one["content_kept"], "nobody installed it"),
        (none["content_kept"], "these are the videos of intensity 0"),
        (broken["content_kept"], "no system with the same base"),
        (broken["flicker"], "the video is missing"),
        (broken["hue_distance"], "no emotion has both"),
        (broken["seed_diversity"], "no prompt and emotion"),
    ):
        assert value.value is None and str(value.reason).startswith(reason)
    without = add_system_scores(replace(measured, real=()), lpips="").systems[0].measures
    assert without["brightness_distance"].reason == "the result has no real clips"


def test_content_is_compared_with_the_same_seed_at_intensity_0(
    result: Result, squeeze: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(squeeze))
    few = tuple(video for video in result.videos if video.intended == "awe")
    found = add_system_scores(replace(result, videos=few), lpips=Lpips("squeeze"))
    same, other, *rest = (video.scores["content_kept"] for video in found.videos)
    assert same == 0 and other is not None and abs(other) > 0 and set(rest) == {None}
    assert found.systems[0].measures["content_kept"].value == pytest.approx(other / 2)


def test_clips_of_other_content_types_are_no_measure(result: Result) -> None:
    from emovid_models.evaluation.system_scores import looks_distance

    clips = [
        replace(entry(REAL, "awe", 0, kind), scores={"brightness": level})
        for kind, level in (("sticker", 0.9), ("movie", 0.3))
    ]
    video = replace(entry("one", "awe", 0, "movie"), scores={"brightness": 0.4})
    assert looks_distance([video], clips, "brightness").value == pytest.approx(0.1)
    either = looks_distance([replace(video, content_type=None)], clips, "brightness")
    assert either.value == pytest.approx(0.3)


def test_the_page_on_evaluation_has_every_definition() -> None:
    assert definitions_table() in DOCS.read_text(encoding="utf-8")
