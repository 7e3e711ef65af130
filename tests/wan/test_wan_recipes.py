"""The recipes: the paper's values, noise levels and their weights, the learning rate, the choice of clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from emovid_dataset.read.select import Selection, select
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.wan.balance import balanced
from emovid_models.wan.batches import Draw, steps_of
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.noise_levels import loss_weight, shifted
from emovid_models.wan.optimizer import learning_rate, make_optimizer
from emovid_models.wan.plan import plan_cache
from emovid_models.wan.recipes import RECIPES, differences, settings_for

WHERE = {"task": "t2v", "data": "build", "base": "me/wan", "out": "lora"}


def paper(**given: Any) -> LoraSettings:
    return settings_for(**WHERE, **given)


def test_the_default_recipe_is_the_papers() -> None:
    settings = paper()
    assert settings.recipe == "paper" and not differences(settings)
    assert (settings.rank, settings.alpha, settings.learning_rate) == (32, 32, 1e-4)
    assert (settings.epochs, settings.steps, settings.batch_size, settings.accumulation) == (3, None, 1, 1)
    assert settings.max_per_type == {"cartoon": 2727, "movie": 8000, "sticker": 6616}
    assert (settings.wording, settings.variants) == ("paper", ("whole",))
    assert (settings.height, settings.width, settings.max_frames) == (480, 832, 81)
    assert settings.max_grad_norm is None and settings.checkpointing
    assert {name: getattr(settings, name) for name in RECIPES["paper"]} == {
        "wording": "paper",
        "modules": "attention-ffn",
        "rank": 32,
        "learning_rate": 1e-4,
        "epochs": 3,
        "steps": None,
        "batch_size": 1,
        "accumulation": 1,
        "max_per_type": {"cartoon": 2727, "movie": 8000, "sticker": 6616},
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "betas": (0.9, 0.999),
        "max_grad_norm": None,
        "warmup": 5,
        "warmup_shape": "third",
        "noise_levels": "grid",
        "loss_weight": "gaussian",
        "shift": 5.0,
        "time_mean": 0.0,
        "time_std": 1.0,
        "framing": "prefix",
        "height": 480,
        "width": 832,
        "max_frames": 81,
        "min_frames": 1,
        "emotion_dropout": 0.0,
        "caption_dropout": 0.0,
        "text_dropout": 0.0,
        "checkpointing": True,
    }
    # Every clip of the full corpus three times, on the paper's one GPU.
    assert steps_of(settings, 2727 + 8000 + 6616) == 52029
    assert steps_of(paper(epochs=2, accumulation=4), 10) == 5
    assert steps_of(paper(steps=7), 1000, processes=2) == 7


def test_light_is_what_training_was_before_there_were_recipes() -> None:
    settings = settings_for("light", **WHERE)
    assert {name: getattr(settings, name) for name in RECIPES["light"]} == {
        "wording": "mood",
        "modules": "attention",
        "rank": 32,
        "learning_rate": 1e-4,
        "epochs": None,
        "steps": 2000,
        "batch_size": 1,
        "accumulation": 1,
        "max_per_type": {},
        "optimizer": "auto",
        "weight_decay": 0.01,
        "betas": (0.9, 0.99),
        "max_grad_norm": 1.0,
        "warmup": 50,
        "warmup_shape": "linear",
        "noise_levels": "logit-normal",
        "loss_weight": "even",
        "shift": None,
        "time_mean": 0.0,
        "time_std": 1.0,
        "framing": "buckets",
        "height": 480,
        "width": 832,
        "max_frames": 81,
        "min_frames": 1,
        "emotion_dropout": 0.1,
        "caption_dropout": 0.1,
        "text_dropout": 0.1,
        "checkpointing": True,
    }
    assert settings.alpha == 32 and settings.variants == ("whole", "no emotion", "no caption", "empty")


def test_what_is_given_takes_the_place_of_the_recipes_value_and_is_recorded() -> None:
    settings = paper(rank=16, wording="mood", steps=100)
    assert settings.alpha == 16, "alpha follows the rank"
    assert differences(settings) == {"rank": 16, "wording": "mood", "epochs": None, "steps": 100}
    assert differences(paper(alpha=8)) == {"alpha": 8}
    assert differences(settings_for("light", **WHERE, epochs=1)) == {"epochs": 1, "steps": None}
    assert differences(paper(rank=32, seed=5, content_type="movie")) == {}


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("heavy", {}, "recipe 'heavy' is unknown; allowed: paper, light"),
        ("paper", {"steps": 5, "epochs": 2}, "steps 5 and epochs 2 exclude each other"),
        ("paper", {"epochs": 0}, "epochs 0 is below 1"),
        ("paper", {"wording": "poem"}, "wording 'poem' is unknown; allowed: paper, mood"),
        ("paper", {"modules": "all"}, "modules 'all' is unknown; allowed: attention-ffn, attention"),
        ("paper", {"framing": "middle"}, "framing 'middle' is unknown; allowed: prefix, buckets"),
        ("paper", {"max_per_type": {"movie": 0}}, "max_per_type movie=0 is below 1"),
        ("paper", {"shift": 0.0}, "shift 0.0 is not a number above 0"),
        (
            "paper",
            {"split": "benchmark"},
            "split 'benchmark' is set aside for judging",
        ),
    ],
)
def test_wrong_settings_are_one_line(recipe: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        settings_for(recipe, **WHERE, **changes)
    assert "\n" not in str(error.value)


SEEN = {
    0: (1000.0, 0.0),
    1: (999.7998, 0.0012815),
    10: (997.9838, 0.0129067),
    100: (978.2609, 0.1390749),
    250: (937.5, 0.3979517),
    500: (833.3333, 1.0248619),
    750: (625.0, 1.9140426),
    900: (357.1429, 1.8653462),
    990: (48.0769, 0.3067968),
    999: (4.9801, 0.0318790),
}
"""Timestep and weight of the loss by number, as DiffSynth-Studio's scheduler for Wan gives them."""


def test_noise_levels_and_weights_are_diffsynths() -> None:
    for number, (timestep, weight) in SEEN.items():
        level = shifted(1 - number / 1000, 5.0)
        assert 1000 * level == pytest.approx(timestep, abs=1e-4)
        assert loss_weight(level, 5.0, "gaussian") == pytest.approx(weight, abs=2e-6)
        assert loss_weight(level, 5.0, "even") == 1.0
    sigmas = np.linspace(1, 0, 1001)[:-1]
    levels = 5 * sigmas / (1 + 4 * sigmas)
    bell = np.exp(-2 * ((1000 * levels - 500) / 1000) ** 2)
    weights = (bell - bell.min()) * 1000 / (bell - bell.min()).sum()
    found = [loss_weight(shifted(1 - number / 1000, 5.0), 5.0, "gaussian") for number in range(1000)]
    assert np.allclose(found, weights, atol=1e-12) and np.mean(found) == pytest.approx(1)


def test_the_papers_draws_are_uniform_over_the_grid_and_keep_the_whole_text() -> None:
    draws = [Draw.of(paper(), number, 0) for number in range(8000)]
    assert {draw.variant for draw in draws} == {"whole"}
    numbers = np.array([(1 - draw.time) * 1000 for draw in draws])
    assert np.allclose(numbers, numbers.round(), atol=1e-9)
    assert numbers.min() >= 0 and numbers.max() <= 999
    tenths = np.bincount(numbers.round().astype(int) // 100, minlength=10)
    assert ((tenths - 800) ** 2 / 800).sum() < 27.9, "chi squared with 9 degrees of freedom at 0.001"
    assert len({draw.noise_seed for draw in draws}) == 8000


def test_the_papers_optimizer_and_rate_are_torchs() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer(paper(), [parameter])
    assert type(optimizer) is torch.optim.AdamW
    theirs = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1e-4, weight_decay=1e-2)
    names = ("lr", "betas", "weight_decay", "eps", "amsgrad")
    ours = {name: optimizer.param_groups[0][name] for name in names}
    assert ours == {name: theirs.param_groups[0][name] for name in names}
    schedule = torch.optim.lr_scheduler.ConstantLR(theirs)
    for step in range(12):
        assert learning_rate(paper(), step) == pytest.approx(theirs.param_groups[0]["lr"])
        theirs.step()
        schedule.step()
    rising = settings_for("light", **WHERE, warmup=4)
    assert [learning_rate(rising, step) / 1e-4 for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def clips_of(counts: dict[tuple[str, str], int], clip: Clip) -> list[Clip]:
    """So many clips of each content type and emotion."""
    return [
        replace(clip, id=f"{content_type}-{emotion}-{number}", content_type=content_type, emotion=emotion)
        for (content_type, emotion), count in counts.items()
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def mini(mini_build: Any) -> Selection:
    return select(mini_build)


def test_clips_are_drawn_evenly_over_the_emotions(mini: Selection) -> None:
    counts = {("movie", emotion): 20 for emotion in EMOTIONS} | {("sticker", "awe"): 9, ("movie", "awe"): 3}
    clips = clips_of(counts, mini.clips[0])
    chosen = balanced(clips, {"movie": 80, "cartoon": 5}, seed=1)
    assert chosen == sorted(set(chosen))
    kept = Counter((clips[index].content_type, clips[index].emotion) for index in chosen)
    assert kept.pop(("sticker", "awe")) == 9, "a type that is not named keeps all"
    assert kept.pop(("movie", "awe")) == 3, "all that there are"
    assert sum(kept.values()) == 77 and set(kept.values()) == {11}
    assert balanced(clips, {"movie": 1000}, seed=1) == list(range(len(clips)))
    assert len(balanced(clips, {"movie": 30}, seed=1)) == 39


def test_the_draw_depends_on_the_seed_and_not_on_the_order(mini: Selection) -> None:
    clips = clips_of({("movie", emotion): 20 for emotion in EMOTIONS}, mini.clips[0])
    most = {"movie": 30}
    first, again, other = (
        {some[index].id for index in balanced(some, most, seed)}
        for some, seed in ((clips, 1), (clips[::-1], 1), (clips, 2))
    )
    assert first == again != other and len(first) == 30


def test_the_papers_plan_has_one_size_and_the_first_frames(mini: Selection) -> None:
    settings = paper(max_frames=33)
    plan = plan_cache(
        mini.clips,
        height=480,
        width=832,
        max_frames=33,
        framing=settings.framing,
        variants=settings.variants,
        max_per_type={"sticker": 40},
        seed=3,
    )
    assert Counter(item.clip.content_type for item in plan.clips)["sticker"] == 40
    assert plan.left_out == len(mini) - len(plan.clips)
    for item in plan.clips:
        assert mini.clips[item.index] is item.clip
        assert (item.bucket.height, item.bucket.width) == (480, 832)
        assert item.bucket.frames == min(33, (item.clip.num_frames - 1) // 4 * 4 + 1)
        assert list(item.texts()) == ["whole"] and item.name.endswith("-first")
        assert item.texts()["whole"].endswith(f'The video is in the "{item.clip.emotion}" emotion.')
    assert max(item.bucket.frames for item in plan.clips) == 33
