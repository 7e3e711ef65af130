"""What raters see is balanced: cells, places, and no rater sees anything twice."""

from __future__ import annotations

from collections import Counter

import pytest

from emovid_models.study.design import Design, spread_checks


@pytest.mark.parametrize(
    "design",
    [
        Design(prompts=12, systems=2, together=2, per_rater=12),
        Design(prompts=7, systems=3, together=2, per_rater=10, seed=4),
        Design(prompts=5, systems=4, together=4, per_rater=3, seed=1),
        Design(prompts=5, systems=3, together=3, per_rater=5, seed=2),
        Design(prompts=4, systems=3, together=2, per_rater=11),
    ],
)
def test_every_cell_is_shown_equally_often_and_every_system_in_every_place(design: Design) -> None:
    raters = range(design.together * design.cells)  # whole rounds, and whole turns of the places
    seen: Counter[tuple[int, tuple[int, ...]]] = Counter()
    places: Counter[tuple[int, int]] = Counter()
    for rater in raters:
        trials = design.trials(rater)
        plain = [(cell.prompt, tuple(sorted(cell.systems))) for cell in trials]
        assert len(trials) == design.per_rater == len(set(plain)), "no cell twice for a rater"
        seen.update(plain)
        places.update((system, place) for cell in trials for place, system in enumerate(cell.systems))
        counts = seen.values() if len(seen) == design.cells else [*seen.values(), 0]
        assert max(counts) - min(counts) <= 1, f"uneven after rater {rater}"
    assert len(seen) == design.cells and len(set(seen.values())) == 1
    assert len(set(places.values())) == 1 and len(places) == design.systems * design.together


def test_orders_differ_between_raters_and_seeds_and_are_the_same_again() -> None:
    design = Design(prompts=30, systems=2, together=2, per_rater=30)
    assert design.trials(0) != design.trials(1)
    assert design.trials(3) == Design(prompts=30, systems=2, together=2, per_rater=30).trials(3)
    assert design.trials(3) != Design(prompts=30, systems=2, together=2, per_rater=30, seed=1).trials(3)


def test_pairs_of_one_prompt_stand_far_apart() -> None:
    design = Design(prompts=10, systems=3, together=2, per_rater=10)
    for rater in range(3):
        assert len({cell.prompt for cell in design.trials(rater)}) == 10


def test_checks_are_spread() -> None:
    for seed in range(20):
        first, second, third = spread_checks(30, 3, seed)
        assert 0 <= first < 10 <= second < 20 <= third < 30
    with pytest.raises(ValueError, match="checks 3 is not within 0 and 2"):
        spread_checks(2, 3, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": 1}, "systems 1 is not within 2"),
        ({"together": 4}, "together 4 is not within 2 and 3"),
        ({"per_rater": 31}, "per_rater 31 is not within 1 and 30"),
        ({"prompts": 0}, "prompts 0"),
    ],
)
def test_wrong_designs_are_one_line(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Design(**{"prompts": 10, "systems": 3, "together": 2, "per_rater": 10, **changes})
