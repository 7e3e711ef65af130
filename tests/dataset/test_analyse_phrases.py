"""The phrases of captions: which they are, their counts, and their log-odds against a calculation by hand."""

from __future__ import annotations

import math

import pytest
from analyse_clips import clip_table

from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.analyse.phrases import STOP_WORDS, EmotionPhrases, log_odds, phrases, phrases_of


def test_a_phrase_stands_so_in_the_caption() -> None:
    found = list(phrases_of("The old man's dog barks. A dog of the house, at night"))
    first = ["old man's", "old man's dog", "old man's dog barks", "man's dog", "man's dog barks", "dog barks"]
    assert found == [*first, "dog of the house"]
    assert list(phrases_of("of the and")) == [] == list(phrases_of("")) and "of" in STOP_WORDS


def of_emotion(found: tuple[EmotionPhrases, ...] | NotComputed, emotion: str) -> EmotionPhrases:
    assert not isinstance(found, NotComputed)
    return next(item for item in found if item.emotion == emotion)


def test_the_commonest_are_counted_and_the_telling_are_not_the_common() -> None:
    captions = ["white background"] * 6 + ["merry dance"] * 3 + ["white background"] * 6 + ["dark night"] * 3
    clips = clip_table([0] * 9 + [6] * 9, captions=captions)
    merry = of_emotion(phrases(clips, top=1), "amusement")
    assert (merry.captions, merry.phrases) == (9, 9)
    assert [(item.words, item.count, item.elsewhere) for item in merry.commonest] == [
        ("white background", 6, 6)
    ]
    assert [item.words for item in merry.telling] == ["merry dance"]  # type: ignore[union-attr]
    assert merry.commonest[0].z == pytest.approx(0)


def test_the_log_odds_are_those_of_a_calculation_by_hand() -> None:
    # 10 of 100 here, 5 of 400 elsewhere; the prior's 50 phrases hold 50 * 15 / 500 = 1.5 of this one
    delta, z = log_odds(10, 100, 5, 500, 50.0)
    by_hand = math.log(11.5 / (150 - 11.5)) - math.log(6.5 / (450 - 6.5))
    assert delta == pytest.approx(by_hand)
    assert z == pytest.approx(by_hand / math.sqrt(1 / 11.5 + 1 / 6.5))
    clips = clip_table(
        [0] * 3 + [4] * 4, captions=["big dog"] * 2 + ["big cat"] + ["big cat"] * 3 + ["big dog"]
    )
    dog = next(
        item for item in of_emotion(phrases(clips, prior=7.0), "amusement").commonest if "dog" in item.words
    )
    assert (dog.count, dog.elsewhere) == (2, 1)
    assert dog.log_odds == pytest.approx(math.log(5 / (10 - 5)) - math.log(4 / (11 - 4)))
    assert dog.z == pytest.approx(dog.log_odds / math.sqrt(1 / 5 + 1 / 4))  # type: ignore[operator]


def test_a_heavier_prior_pulls_rare_phrases_back() -> None:
    light, heavy = (log_odds(2, 100, 0, 1000, prior) for prior in (1.0, 1000.0))
    assert light[0] > heavy[0] > 0


def test_what_cannot_be_compared_is_said() -> None:
    assert phrases(clip_table([0, 4])) == NotComputed("no clip has a caption")
    alone = of_emotion(phrases(clip_table([0], captions=["happy dog"])), "amusement")
    assert (
        alone.telling == NotComputed("no other emotion has phrases to compare with") == alone.commonest[0].z
    )
    wordless = phrases(clip_table([0, 4], captions=["happy dog", "the"]))
    assert of_emotion(wordless, "anger").commonest == () and of_emotion(wordless, "anger").captions == 1
    assert of_emotion(wordless, "amusement").telling == alone.telling
    with pytest.raises(ValueError, match="top is 0"):
        phrases(clip_table([0]), top=0)
