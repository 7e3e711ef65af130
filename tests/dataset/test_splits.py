"""Splits: whole groups, near the ratios, the same for any order of the clips."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovid_dataset.builder.splits import DEFAULT_RATIOS, parse_ratios, split_groups
from emovid_dataset.schema.clip import SPLITS

CLIPS = st.lists(
    st.tuples(st.sampled_from([f"g{i}" for i in range(30)]), st.sampled_from(["a", "b", "c"])),
    min_size=1,
    max_size=120,
)
RATIOS = st.sampled_from([DEFAULT_RATIOS, (0.6, 0.2, 0.2), (1.0, 0.0, 0.0), (0.9, 0.0, 0.1)])


@settings(max_examples=150, deadline=None)
@given(CLIPS, RATIOS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_group_is_on_two_sides_and_order_does_not_matter(
    clips: list[tuple[str, str]], ratios: tuple[float, float, float], seed: int, draw: random.Random
) -> None:
    groups, strata = zip(*clips, strict=True)
    splits = split_groups(groups, strata, ratios=ratios, seed=seed)
    sides = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        sides[group].add(split)
    assert all(len(side) == 1 for side in sides.values())
    assert not (set(splits) & {name for name, ratio in zip(SPLITS, ratios, strict=True) if not ratio})

    order = list(range(len(clips)))
    draw.shuffle(order)
    again = split_groups([groups[i] for i in order], [strata[i] for i in order], ratios=ratios, seed=seed)
    assert again == [splits[i] for i in order]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(0, 5))
def test_clips_on_their_own_come_within_one_clip_of_the_ratios(sizes: list[int], seed: int) -> None:
    strata = [stratum for stratum, size in enumerate(sizes) for _ in range(size)]
    groups = [f"clip {index}" for index in range(len(strata))]
    splits = split_groups(groups, strata, seed=seed)
    counts = Counter(zip(strata, splits, strict=True))
    for stratum, size in enumerate(sizes):
        for split, ratio in zip(SPLITS, DEFAULT_RATIOS, strict=True):
            assert abs(counts[stratum, split] - size * ratio) <= 1


def test_groups_of_films_come_near_the_ratios() -> None:
    draw = random.Random(0)
    groups, strata = [], []
    for film in range(200):
        for _ in range(draw.randint(1, 40)):
            groups.append(f"film {film}")
            strata.append(draw.randrange(8))
    counts = Counter(split_groups(groups, strata))
    for split, ratio in zip(SPLITS, DEFAULT_RATIOS, strict=True):
        assert counts[split] / len(groups) == pytest.approx(ratio, abs=0.01)
    by_stratum = Counter(zip(strata, split_groups(groups, strata), strict=True))
    for stratum, total in Counter(strata).items():
        assert by_stratum[stratum, "train"] / total == pytest.approx(0.8, abs=0.03)


def test_one_large_group_does_not_starve_the_others() -> None:
    groups = ["film"] * 90 + [f"clip {index}" for index in range(10)]
    splits = split_groups(groups, [0] * 100)
    assert Counter(splits[:90]) == {"train": 90}
    assert Counter(splits[90:]) == {"validation": 5, "test": 5}


def test_the_seed_draws_and_the_same_seed_repeats() -> None:
    groups = [f"clip {index}" for index in range(200)]
    one = split_groups(groups, [0] * 200, seed=0)
    assert one == split_groups(groups, [0] * 200, seed=0) != split_groups(groups, [0] * 200, seed=1)
    assert Counter(one) == {"train": 160, "validation": 20, "test": 20}


@pytest.mark.parametrize("text", ["80/10", "0/50/50", "a/b/c", "-1/1/1", "nan/1/1", "inf/1/1", "1/1/inf", ""])
def test_wrong_ratios_are_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="must be three shares such as 80/10/10") as caught:
        parse_ratios(text)
    assert repr(text) in str(caught.value)


def test_ratios_are_shares_of_their_sum() -> None:
    assert parse_ratios("8/1/1") == parse_ratios("80/10/10") == (0.8, 0.1, 0.1)
    assert parse_ratios("1/0/0") == (1.0, 0.0, 0.0)
