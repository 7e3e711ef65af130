"""How far the people who rated a clip were divided about it, over the clips of each emotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """How far raters were divided about the clips of an emotion.

    Attributes:
        clips: that two or more people rated, and whose votes are known.
        divided: of them, clips about which not all said the same.
        entropy: of the votes of a clip, no specific emotion among them, in bits, mean over the clips: 0 where
            all say the same, 1 where two halves say two things.
    """

    clips: int
    divided: int
    entropy: float


def vote_entropies(table: pyarrow.Table) -> dict[str, tuple[int, int, float]]:
    """By emotion: clips that several people rated, those of them about which they were divided, and the sum
    of the entropies of their votes in bits.

    Args:
        table: with the columns emotion, raters and votes.
    """
    found: dict[str, tuple[int, int, float]] = {}
    columns = (table[name].to_pylist() for name in ("emotion", "raters", "votes"))
    for emotion, raters, votes in zip(*columns, strict=True):
        if raters is None or raters < 2 or votes is None:
            continue
        shares = np.array([*votes, raters - sum(votes)], np.float64) / raters
        shares = shares[shares > 0]
        entropy = float(-(shares * np.log2(shares)).sum())
        clips, divided, total = found.get(emotion, (0, 0, 0.0))
        found[emotion] = clips + 1, divided + (len(shares) > 1), total + entropy
    return found


def ambiguity_rows(
    sums: Mapping[str, tuple[int, int, float]], emotions: tuple[str, ...]
) -> dict[str, Ambiguity]:
    """The ambiguity of each emotion that has such clips, then of "all" of them.

    Args:
        sums: of `vote_entropies`, added up over tables.
        emotions: in their order.

    >>> ambiguity_rows({"awe": (2, 1, 1.0)}, ("fear", "awe"))["awe"]
    Ambiguity(clips=2, divided=1, entropy=0.5)
    """
    found = {name: sums[name] for name in emotions if name in sums}
    if found:
        clips, divided, total = (sum(part) for part in zip(*found.values(), strict=True))
        found["all"] = int(clips), int(divided), float(total)
    return {name: Ambiguity(clips, divided, total / clips) for name, (clips, divided, total) in found.items()}


def ambiguity_table(rows: Mapping[str, Ambiguity]) -> tuple[list[str], list[list[object]]]:
    """As columns and rows of a printed table."""
    columns = ["emotion", "rated by several", "divided", "mean entropy, bits"]
    return columns, [[name, one.clips, one.divided, round(one.entropy, 3)] for name, one in rows.items()]


def ambiguity_json(rows: Mapping[str, Ambiguity]) -> dict[str, Any]:
    """As JSON values."""
    return {
        name: {"clips": one.clips, "divided": one.divided, "mean_entropy_bits": one.entropy}
        for name, one in rows.items()
    }
