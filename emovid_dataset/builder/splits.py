"""Splits: deterministic, stratified by content type and emotion, whole groups only."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.schema.clip import SPLITS

DEFAULT_RATIOS = (0.8, 0.1, 0.1)


def parse_ratios(text: str) -> tuple[float, float, float]:
    """Read ``train/validation/test`` shares.

    Args:
        text: three numbers with slashes, such as "80/10/10"; they are divided by their sum.

    Raises:
        ValueError: they are not three numbers, one is negative, or train has none.

    >>> parse_ratios("80/10/10")
    (0.8, 0.1, 0.1)
    """
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 3 or min(parts) < 0 or not 0 < parts[0] < float("inf") or sum(parts) == float("inf"):
        raise ValueError(f"split {text!r} must be three shares such as 80/10/10, train above 0")
    total = sum(parts)
    return (parts[0] / total, parts[1] / total, parts[2] / total)


def split_groups(
    groups: Sequence[str],
    strata: Sequence[object],
    *,
    ratios: tuple[float, float, float] = DEFAULT_RATIOS,
    seed: int = 0,
) -> list[str]:
    """Give every clip a split, so that no group is on two sides and every stratum comes near the ratios.

    Groups are placed one by one, the largest first and equal ones in an order that the seed draws; each
    goes where it lowers the squared distance to the wanted counts most. The order of the clips does not
    matter.

    Args:
        groups: the group of every clip.
        strata: what is to be balanced of every clip, such as (content type, emotion).
        ratios: shares of train, validation and test; they sum to 1.
        seed: draws the order of groups of the same size.

    Returns:
        "train", "validation" or "test" for every clip.

    >>> split_groups(["a", "a", "b", "c"], [0, 0, 0, 0], ratios=(0.5, 0.25, 0.25))
    ['train', 'train', 'test', 'validation']
    """
    members: dict[str, Counter[object]] = defaultdict(Counter)
    for group, stratum in zip(groups, strata, strict=True):
        members[group][stratum] += 1
    placement = Placement(Counter(strata), ratios)
    ordered = sorted(members, key=lambda group: (-members[group].total(), Placement.rank(group, seed)))
    split_of = {group: placement.place(members[group]) for group in ordered}
    return [split_of[group] for group in groups]


class Placement:
    """Places groups one by one: what is placed so far, and what each stratum wants in the end.

    Args:
        strata: clips of every stratum, in all groups.
        ratios: shares of train, validation and test; they sum to 1.
    """

    def __init__(self, strata: Mapping[Any, int], ratios: tuple[float, float, float]) -> None:
        self._wanted = {stratum: [count * ratio for ratio in ratios] for stratum, count in strata.items()}
        self._placed = {stratum: [0.0] * len(ratios) for stratum in strata}
        self._allowed = [index for index, ratio in enumerate(ratios) if ratio > 0]

    @staticmethod
    def rank(group: str, seed: int) -> bytes:
        """The place of a group among those of the same size, drawn by the seed."""
        return hashlib.sha256(f"{seed}/{group}".encode()).digest()

    def place(self, members: Mapping[Any, int]) -> str:
        """The split of the next group.

        Args:
            members: its clips of every stratum.
        """

        def cost(index: int) -> float:
            return sum(
                count * (2 * (self._placed[stratum][index] - self._wanted[stratum][index]) + count)
                for stratum, count in members.items()
            )

        best = min(self._allowed, key=lambda index: (round(cost(index), 9), index))
        for stratum, count in members.items():
            self._placed[stratum][best] += count
        return SPLITS[best]
