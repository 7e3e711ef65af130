"""The draw of the clips that people rate: every film gives its share, and the same draw comes again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from emovid_dataset.agree.rating import Rating
from emovid_dataset.schema.emotions import EMOTIONS, MIKELS
from emovid_models.protocol.auditing import MODEL, Audit, compare
from emovid_models.protocol.drawing import stratified


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("sizes", [(10, 5, 85), (1, 1, 1, 1, 1, 1, 1), (3,), (2, 97)])
def test_every_film_gives_its_share(share: float, sizes: tuple[int, ...]) -> None:
    strata = [film for film, size in enumerate(sizes) for _ in range(size)]
    drawn = stratified(strata, share, seed=3)
    assert drawn == sorted(set(drawn)) == stratified(strata, share, seed=3)
    assert len(drawn) == max(1, round(share * len(strata)))
    counts = Counter(strata[place] for place in drawn)
    assert all(abs(counts[film] - share * size) < 1 or len(drawn) == 1 for film, size in enumerate(sizes))


def test_equal_films_are_drawn_equally_often() -> None:
    strata = [film for film in range(10) for _ in range(2)]
    drawn = Counter(strata[place] for seed in range(300) for place in stratified(strata, 0.2, seed))
    assert set(drawn) == set(range(10)) and max(drawn.values()) < 2 * min(drawn.values())


def audited(agreement: float, clips: int) -> Audit:
    """Three people who agree, and an annotator who agrees with them as told."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 8, clips)

    def said(share: float) -> list[str]:
        seen = np.where(rng.random(clips) < share, truth, rng.integers(0, 8, clips))
        return [EMOTIONS[label] for label in seen]

    people = {name: said(0.85) for name in ("anna", "bob", "cleo")}
    ratings = [
        Rating(rater=rater, id=str(place), emotion=emotion)
        for rater, answers in {**people, MODEL: said(agreement)}.items()
        for place, emotion in enumerate(answers)
    ]
    return compare(ratings, MIKELS, draws=300)


def test_the_audit_tells_a_good_annotator_from_a_bad_one() -> None:
    good, bad = audited(0.85, 3000), audited(0.4, 300)
    assert good.raters == ("anna", "bob", "cleo") and good.clips == 3000
    assert good.within and good.gap is not None and good.low is not None and good.high is not None
    assert good.low < good.gap < good.high and "below 4" in good.in_words()
    assert bad.within is False and bad.settled and bad.gap is not None and bad.gap > 0.2
    assert "not below 4" in bad.in_words()
    # chance agreement of 0.85 and 0.85 with eight equal categories is kappa 0.85 ** 2
    assert good.people.value == pytest.approx(0.85**2, abs=0.03)
    assert bad.model.value == pytest.approx(0.85 * 0.4, abs=0.08)
    assert len(good.pairs) == 6 and "anna and the annotator" in good.pairs


def test_few_clips_settle_nothing() -> None:
    found = audited(0.8, 12)
    assert found.settled is False and "does not settle it" in found.in_words()
