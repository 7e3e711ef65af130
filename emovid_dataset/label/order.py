"""In which order a rater is asked, and about which clips a second time.

A question is a clip and how often its rater was asked about it before. The order follows from the clips, the
seed and the rater's name alone, so that a server that is started again asks on where it ended.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emovid_dataset.label.answers import Answer

if TYPE_CHECKING:
    from emovid_dataset.label.items import RatedClip

ORDERS = ("uncertain", "random", "disagreement")
"""The annotator's least certain first; at random; where raters disagree, and nothing else."""

LEAST_APART = 20
"""So many questions or more lie between the two times a rater is asked about a clip, if there are as many."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a rater is asked.

    Attributes:
        clip: its id.
        repeat: how often this rater was asked about it before.
    """

    clip: str
    repeat: int = 0


def ordered(
    clips: Sequence[RatedClip],
    order: str,
    *,
    seed: int = 0,
    rater: str = "",
    scores: Mapping[str, Sequence[float]] | None = None,
    answers: Iterable[Answer] = (),
) -> list[str]:
    """The ids of the clips in the order in which a rater is asked.

    Args:
        clips: what is to be rated.
        order: one of `ORDERS`.
        seed: of the random order, and of what is alike in another.
        rater: whose order it is: a random one differs from rater to rater.
        scores: by id a probability for each emotion; beside those that the clips bring.
        answers: of all raters, for "disagreement".

    Raises:
        ValueError: there is no such order, or nothing that it could go by.
    """
    if order not in ORDERS:
        raise ValueError(f"order {order!r} is unknown; allowed: {', '.join(ORDERS)}")
    shuffled = list(clips)
    _random(seed, rater).shuffle(shuffled)
    if order == "random":
        return [clip.id for clip in shuffled]
    if order == "uncertain":
        known = {clip.id: clip.scores for clip in shuffled if clip.scores is not None} | dict(scores or {})
        if not any(clip.id in known for clip in shuffled):
            raise ValueError("order 'uncertain' needs scores of an annotator; none of the clips has any")
        certain = {clip.id: certainty(known[clip.id]) for clip in shuffled if clip.id in known}
        # what has no score comes last: nothing is known of it
        return [clip.id for clip in sorted(shuffled, key=lambda clip: certain.get(clip.id, (2.0, 0.0)))]
    doubts = disagreement(answers)
    torn = [clip.id for clip in shuffled if doubts.get(clip.id, 0) > 0]
    if not torn:
        raise ValueError("order 'disagreement' needs clips that raters answered differently; there are none")
    return sorted(torn, key=lambda clip: -doubts[clip])


def certainty(scores: Sequence[float]) -> tuple[float, float]:
    """How sure an annotator is: by its likeliest emotion, and where that is alike by all of them.

    Args:
        scores: a probability for each emotion.

    Returns:
        The greatest of them, 0..1, and their negative entropy in bits; the less, the less certain.

    >>> certainty((0.5, 0.5)) < certainty((0.5, 0.25, 0.25)) < certainty((0.75, 0.25))
    False
    >>> certainty((0.5, 0.25, 0.25)) < certainty((0.5, 0.5)) < certainty((0.75, 0.25))
    True
    """
    return max(scores), sum(share * math.log2(share) for share in scores if share > 0)


def disagreement(answers: Iterable[Answer]) -> dict[str, float]:
    """By clip the entropy in bits of what its raters first said; 0 where all said the same.

    What a rater could not tell is no vote.

    Args:
        answers: those that count, as `answers.read_answers` gives them.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        if answer.repeat == 0 and answer.emotion is not None and answer.emotion != "unclear":
            votes[answer.id][answer.emotion] += 1
    return {
        clip: -sum(n / count.total() * math.log2(n / count.total()) for n in count.values()) + 0.0
        for clip, count in votes.items()
    }


def with_repeats(clips: Sequence[str], share: float, *, seed: int = 0, rater: str = "") -> list[Question]:
    """Questions about each clip, and about a share of them a second time, later.

    Args:
        clips: ids in the order in which the rater is asked.
        share: of the clips, 0..1, that come a second time; rounded to whole clips.
        seed: draws which, and where they come.
        rater: whose questions they are.

    Returns:
        Every clip once, in order, and the repeats between them, `LEAST_APART` or more questions behind where
        there are so many clips.
    """
    draw = _random(seed, f"repeats of {rater}")
    count = round(share * len(clips))
    apart = min(LEAST_APART, max(len(clips) // 2, 1))
    # a clip near the end could only come again at once
    again = draw.sample(range(max(len(clips) - apart, min(count, len(clips)))), count)
    behind: dict[int, list[str]] = defaultdict(list)
    for place in sorted(again):
        first = min(place + apart, len(clips) - 1)
        behind[draw.randint(first, len(clips) - 1)].append(clips[place])
    questions: list[Question] = []
    for place, clip in enumerate(clips):
        questions.append(Question(clip))
        questions += [Question(earlier, 1) for earlier in behind[place]]
    return questions


def _random(seed: int, name: str) -> random.Random:
    """The same on every machine and in every process, which `hash` of a text is not."""
    return random.Random(hashlib.sha256(f"{seed}\n{name}".encode()).digest())
