"""Phrases of 2 to 4 words in the captions of each emotion: the commonest, and the most telling."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.outcomes import NotComputed

SHORTEST, LONGEST = 2, 4
"""Words of a phrase."""

PRIOR = 500.0
"""Weight of the prior by default, in phrases: it counts as a text of this many."""

_STOP_WORDS = """
a about above after again against all also an and another any are around as at back be because been
before behind being below beside between both but by can could did do does doing down during each either
every few for from further had has have having he her here hers him himself his how i if in into is it
its itself just like may me might more most much must my near no nor not of off on once one only onto or
other others our out over own s same she should so some such t than that the their theirs them
themselves then there these they this those through to too toward towards under until up upon us very
was we were what when where which while who whom whose why will with within without would you your
"""

STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words without meaning of their own; a phrase neither begins nor ends with one."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_BREAK = re.compile(r"[.,;:!?()\[\]{}\"\u201c\u201d\n\r|/]+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase in the captions of one emotion.

    Attributes:
        words: in lower case, parted by single spaces.
        count: times that it stands in the captions of this emotion.
        elsewhere: times that it stands in those of all other emotions.
        log_odds: of the phrase here against elsewhere, smoothed by the prior; above 0 it is commoner here.
        z: the log-odds by its standard error; takes phrases as independent draws.
    """

    words: str
    count: int
    elsewhere: int
    log_odds: float | NotComputed
    z: float | NotComputed


@dataclass(frozen=True, slots=True)
class EmotionPhrases:
    """The phrases of one emotion.

    Attributes:
        emotion: its name.
        captions: clips that have a caption.
        phrases: number of phrases in their captions, repeated ones each time.
        commonest: by count, then by the alphabet.
        telling: by z.
    """

    emotion: str
    captions: int
    phrases: int
    commonest: tuple[Phrase, ...]
    telling: tuple[Phrase, ...] | NotComputed


def phrases(
    clips: ClipTable, *, top: int = 5, prior: float = PRIOR
) -> tuple[EmotionPhrases, ...] | NotComputed:
    """The commonest and the most telling phrases of 2 to 4 words of each emotion.

    A phrase is a run of words that stands so in a caption, with no punctuation between them, and neither
    begins nor ends with a stop word. The log-odds are those with an informative Dirichlet prior: the prior
    says how common a phrase is in all captions.

    Args:
        clips: the build's.
        top: phrases per list, at least 1.
        prior: weight of the prior, in phrases, above 0.

    Returns:
        One record per emotion that has a caption, in the taxonomy's order; `NotComputed` without captions.

    Raises:
        ValueError: `top` or `prior` is out of range.

    Source: B. L. Monroe, M. P. Colaresi and K. M. Quinn, "Fightin' words", Political Analysis 16, 2008,
    section 3.
    """
    if top < 1:
        raise ValueError(f"top is {top}; it must be at least 1")
    if not prior > 0:
        raise ValueError(f"prior is {prior}; it must be above 0")
    counts: list[Counter[str]] = [Counter() for _ in clips.emotions]
    captioned = Counter[int]()
    for caption, label in zip(clips.captions, clips.labels.tolist(), strict=True):
        if caption.strip():
            captioned[label] += 1
            counts[label].update(phrases_of(caption))
    if not captioned:
        return NotComputed("no clip has a caption")
    totals: Counter[str] = Counter()
    for some in counts:
        totals.update(some)
    return tuple(
        _of_emotion(emotion, captioned[label], counts[label], totals, top, prior)
        for label, emotion in enumerate(clips.emotions)
        if captioned[label]
    )


def phrases_of(caption: str) -> Iterator[str]:
    """The phrases of a caption, in order, each as often as it stands there.

    >>> list(phrases_of("A face with tears of joy, on white."))
    ['face with tears', 'tears of joy']
    """
    for piece in _BREAK.split(caption.lower()):
        words = _WORD.findall(piece)
        for start, word in enumerate(words):
            if word in STOP_WORDS:
                continue
            for end in range(start + SHORTEST, min(start + LONGEST, len(words)) + 1):
                if words[end - 1] not in STOP_WORDS:
                    yield " ".join(words[start:end])


def log_odds(here: int, of: int, elsewhere: int, of_all: int, prior: float) -> tuple[float, float]:
    """Log-odds ratio of a phrase with an informative Dirichlet prior, and its z-score.

    Args:
        here: times that it stands in one text.
        of: phrases of that text.
        elsewhere: times that it stands in the rest.
        of_all: phrases of the text and the rest together.
        prior: weight of the prior, in phrases.

    Returns:
        delta and z.
    """
    alpha = prior * (here + elsewhere) / of_all
    rest = of_all - of

    def log(count: int, total: int) -> float:
        return math.log((count + alpha) / (total + prior - count - alpha))

    delta = log(here, of) - log(elsewhere, rest)
    return delta, delta / math.sqrt(1 / (here + alpha) + 1 / (elsewhere + alpha))


def _of_emotion(
    emotion: str, captions: int, counts: Counter[str], totals: Counter[str], top: int, prior: float
) -> EmotionPhrases:
    here, everywhere = counts.total(), totals.total()
    alone = NotComputed("no other emotion has phrases to compare with") if here == everywhere else None

    def compared(words: str) -> tuple[float, float]:
        return log_odds(counts[words], here, totals[words] - counts[words], everywhere, prior)

    def phrase(words: str) -> Phrase:
        delta, z = (alone, alone) if alone else compared(words)
        return Phrase(words, counts[words], totals[words] - counts[words], delta, z)

    commonest = nsmallest(top, counts, key=lambda words: (-counts[words], words))
    telling = [] if alone else nsmallest(top, counts, key=lambda words: (-compared(words)[1], words))
    return EmotionPhrases(
        emotion=emotion,
        captions=captions,
        phrases=here,
        commonest=tuple(map(phrase, commonest)),
        telling=alone or tuple(map(phrase, telling)),
    )
