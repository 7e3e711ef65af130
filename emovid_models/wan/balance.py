"""Choose clips so that no content type outweighs the others, evenly over the emotions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from emovid_dataset.schema.clip import Clip


def balanced(clips: Sequence[Clip], most: Mapping[str, int], seed: int) -> list[int]:
    """Draw at most so many clips of each content type, evenly over the emotions.

    An emotion that has fewer clips than its share gives all of them, and the others share what is left. The
    draw depends on the clips and on the seed, not on their order.

    Args:
        clips: to draw from.
        most: clips of each content type; one that is not named keeps all of its clips.
        seed: of the draw.

    Returns:
        Indices of the chosen clips, in the order of `clips`.
    """
    chosen = {index for index, clip in enumerate(clips) if clip.content_type not in most}
    for content_type, count in most.items():
        groups: dict[str, list[int]] = {}
        for index, clip in enumerate(clips):
            if clip.content_type == content_type:
                groups.setdefault(clip.emotion, []).append(index)
        generator = _generator(seed, content_type)
        quotas = shares(Counter({name: len(group) for name, group in groups.items()}), count, generator)
        for emotion, group in groups.items():
            ordered = sorted(group, key=lambda index: clips[index].id)
            drawn = _generator(seed, content_type, emotion).permutation(len(ordered))
            chosen.update(ordered[place] for place in drawn[: quotas[emotion]])
    return sorted(chosen)


def shares(there: Mapping[str, int], count: int, generator: np.random.Generator) -> dict[str, int]:
    """How many to take of each, as evenly as what is there allows.

    Args:
        there: how many there are.
        count: how many to take in all, if there are enough.
        generator: draws who gets one more where the count does not divide.

    >>> shares({"awe": 9, "fear": 1, "anger": 9}, 7, np.random.default_rng(0))
    {'awe': 3, 'fear': 1, 'anger': 3}
    """
    names = sorted(there)
    order = [names[place] for place in generator.permutation(len(names))]
    # The smallest first: what it cannot give goes to those after it. The order of the others is random.
    left, taken = count, {}
    for place, name in enumerate(sorted(order, key=lambda name: there[name])):
        taken[name] = min(there[name], left // (len(names) - place))
        left -= taken[name]
    return {name: taken[name] for name in there}


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
