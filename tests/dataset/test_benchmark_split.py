"""The benchmark: as many clips per cell as qualify, groups whole, little lost, the same for any order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from emovid_dataset.builder.benchmark import BenchmarkGroup, choose, groups_of, price

CELLS = [("movie", "awe"), ("movie", "fear"), ("sticker", "awe")]
GROUPS = st.lists(
    st.tuples(st.lists(st.sampled_from(CELLS), min_size=1, max_size=6), st.integers(0, 9)), max_size=25
)


def grouped(members: list[tuple[list[tuple[str, str]], int]]) -> list[BenchmarkGroup]:
    """Groups of clips that qualify, and others that do not."""
    number = 0
    found = []
    for index, (qualify, others) in enumerate(members):
        cells = defaultdict(list)
        for cell in qualify:
            cells[cell].append((number, f"clip {number}"))
            number += 1
        clips = {cell: tuple(some) for cell, some in cells.items()}
        found.append(BenchmarkGroup(f"group {index}", len(qualify) + others, clips))
    return found


def wanted_of(groups: list[BenchmarkGroup], per_cell: int) -> dict[tuple[str, str], int]:
    there = Counter({cell: 0 for cell in CELLS})
    for group in groups:
        there.update({cell: len(clips) for cell, clips in group.clips.items()})
    return {cell: min(per_cell, count) for cell, count in there.items()}


def chosen_of(groups: list[BenchmarkGroup], per_cell: int, seed: int) -> dict[str, list[int]]:
    wanted = wanted_of(groups, per_cell)
    ordered = sorted(groups, key=lambda group: price(group, wanted, seed))
    return {group.name: numbers for group, numbers in choose(ordered, wanted, seed)}


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.integers(1, 4), st.integers(0, 2), st.randoms(use_true_random=False))
def test_every_cell_gets_what_qualifies_for_any_order(
    members: list[tuple[list[tuple[str, str]], int]], per_cell: int, seed: int, draw: random.Random
) -> None:
    groups = grouped(members)
    chosen = chosen_of(groups, per_cell, seed)
    cell_of = {number: cell for group in groups for cell, clips in group.clips.items() for number, _ in clips}
    filled = Counter(cell_of[number] for numbers in chosen.values() for number in numbers)
    assert filled == +Counter(wanted_of(groups, per_cell))
    assert all(chosen.values()), "a group was set aside that gives nothing"
    by_name = {group.name: group for group in groups}
    for name, numbers in chosen.items():
        held = {number for clips in by_name[name].clips.values() for number, _ in clips}
        assert held >= set(numbers)
    shuffled = groups[:]
    draw.shuffle(shuffled)
    assert chosen_of(shuffled, per_cell, seed) == chosen


def test_groups_that_lose_least_are_chosen_first_and_dear_ones_only_while_a_cell_is_short() -> None:
    groups = grouped(
        [
            ([("movie", "fear"), ("movie", "awe")], 38),
            ([("movie", "fear")], 0),
            ([("movie", "fear"), ("movie", "fear")], 1),
            ([("movie", "fear")], 9),
        ]
    )
    assert set(chosen_of(groups, 1, seed=0)) == {"group 0", "group 1"}  # awe is in the first one only
    without_awe = [BenchmarkGroup(g.name, g.size, {CELLS[1]: g.clips[CELLS[1]]}) for g in groups]
    assert set(chosen_of(without_awe, 3, seed=0)) == {"group 1", "group 2"}
    assert set(chosen_of(without_awe, 4, seed=0)) == {"group 1", "group 2", "group 3"}
    assert len(chosen_of(without_awe, 5, seed=0)) == 4


def test_a_group_is_priced_anew_when_a_cell_it_fills_is_full() -> None:
    groups = grouped(
        [
            ([("movie", "awe")] * 2, 0),
            ([("movie", "awe")] * 2 + [("movie", "fear")], 1),  # 1/3 a clip, but 3 once awe is full
            ([("movie", "fear")], 1),  # 1 a clip
        ]
    )
    assert set(chosen_of(groups, 2, seed=0)) == {"group 0", "group 1", "group 2"}
    one = wanted_of(groups, 2) | {("movie", "fear"): 1}
    ordered = sorted(groups, key=lambda group: price(group, one, 0))
    assert {group.name for group, _ in choose(ordered, one, 0)} == {"group 0", "group 2"}


def test_no_more_groups_are_read_than_matter() -> None:
    groups = grouped([([("sticker", "awe")], 0)] * 50)
    wanted = {("sticker", "awe"): 3}
    ordered = iter(sorted(groups, key=lambda group: price(group, wanted, 0)))
    assert len(list(choose(ordered, wanted, 0))) == 3
    assert len(list(ordered)) >= 45


def test_the_seed_draws_among_equal_groups() -> None:
    groups = grouped([([("sticker", "awe")], 0)] * 50)
    one, two = (set(chosen_of(groups, 5, seed)) for seed in (0, 1))
    assert len(one) == len(two) == 5 and one != two


def test_clips_are_gathered_into_groups() -> None:
    rows = [("a", 3, "movie", "awe", 1, "m-1"), ("a", 3, "movie", "fear", 2, "m-2")]
    rows += [("b", 1, "sticker", "awe", 3, "s-3")]
    first, second = groups_of(rows)
    assert first == BenchmarkGroup("a", 3, {CELLS[0]: ((1, "m-1"),), CELLS[1]: ((2, "m-2"),)})
    assert second == BenchmarkGroup("b", 1, {CELLS[2]: ((3, "s-3"),)})
    assert list(groups_of([])) == []
