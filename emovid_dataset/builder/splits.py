"""Splits: deterministic, totals and strata both near their shares, whole groups only.

Groups are placed one by one, the largest first, each where its strata lack clips most. Strata too small to be
divided all round the same way: of 24 strata of five clips each, none can give a tenth of a clip to both
validation and test, and so all would give a whole one to the same side. So where the totals come out far from
the shares, groups are moved until they do not, those first whose strata suffer least.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emovid_dataset.schema.clip import SPLITS

DEFAULT_RATIOS = (0.8, 0.1, 0.1)

_SHARE_OFF = 1 / 8
"""Totals farther from their shares than this part of the share are mended, if by more than a clip."""

_SHARE_SAID = 1 / 20
"""Totals farther from their shares than this part of the share are told."""

_NAMED = 3
"""Pairs of content type and emotion that a line names."""

Members = Mapping[Any, int]
"""A group's clips of every stratum."""

Kind = tuple[tuple[Any, int], ...]
"""The same as a key: groups of one kind are as good as each other."""


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
    """Give every clip a split, so that no group is on two sides and totals and strata come near the ratios.

    Groups are placed one by one, the largest first and equal ones in an order that the seed draws; each
    goes where it lowers the squared distance of its strata to the wanted counts most. Then groups are moved
    where the totals want it, see `Placement.settle`. The order of the clips does not matter.

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
    if placement.settle():
        split_of = {group: placement.settled(members[group], split_of[group]) for group in ordered}
    return [split_of[group] for group in groups]


@dataclass(frozen=True, slots=True)
class _Step:
    """Groups to be moved, each with its present split and the next."""

    cost: float
    moves: tuple[tuple[Kind, int, int], ...]


class Placement:
    """Places groups one by one: what is placed so far, and what each stratum wants in the end.

    It holds counts of groups by what they consist of, not the groups. When all are placed, `settle` decides
    how many of each kind are moved; then `settled`, asked for every group in the same order, names those.

    Args:
        strata: clips of every stratum, in all groups.
        ratios: shares of train, validation and test; they sum to 1.
    """

    def __init__(self, strata: Members, ratios: tuple[float, float, float]) -> None:
        self._wanted = {stratum: [count * ratio for ratio in ratios] for stratum, count in strata.items()}
        self._placed = {stratum: [0.0] * len(ratios) for stratum in strata}
        self._allowed = [index for index, ratio in enumerate(ratios) if ratio > 0]
        clips = sum(strata.values())
        self._wanted_totals = [clips * ratio for ratio in ratios]
        self._totals = [0] * len(ratios)
        self._fixed = [0] * len(ratios)
        self._groups: dict[tuple[Kind, int], int] = {}
        self._moves: dict[tuple[Kind, int], Counter[int]] = defaultdict(Counter)

    @staticmethod
    def rank(group: str, seed: int) -> bytes:
        """The place of a group among those of the same size, drawn by the seed."""
        return hashlib.sha256(f"{seed}/{group}".encode()).digest()

    def hold(self, stratum: Any, split: str, clips: int) -> None:
        """Count clips that have their split for good; it is called before any group is placed.

        Args:
            stratum: of the clips.
            split: that they have.
            clips: how many there are.
        """
        index = SPLITS.index(split)
        self._placed[stratum][index] += clips
        self._totals[index] += clips
        self._fixed[index] += 1

    def place(self, members: Members) -> str:
        """The split of the next group.

        Args:
            members: its clips of every stratum.
        """
        best = min(self._allowed, key=lambda index: (round(self._cost_of_adding(members, index), 9), index))
        self._add(_kind(members), best, 1)
        return SPLITS[best]

    def settle(self) -> bool:
        """Decide which groups are moved, once all are placed.

        No asked-for split stays empty where there are groups enough. Totals that are off by more than a clip,
        and by more than the largest group or an eighth of the share, are brought within a clip of it, or as
        near as whole groups can come. Other totals stay as they are, so that most data sets keep the splits
        that earlier versions gave them.

        Returns:
            Whether any group is moved.
        """
        if not self._groups:
            return False
        self._fill_empty()
        if any(abs(self._off(index)) > self._tolerance(index) for index in self._allowed):
            while max(abs(self._off(index)) for index in self._allowed) >= 1:
                step = min(self._improvements(), key=lambda step: step.cost, default=None)
                if step is None:
                    break
                for move in step.moves:
                    self._move(*move)
        return any(self._moves.values())

    def settled(self, members: Members, split: str) -> str:
        """The split of a group after `settle`.

        Args:
            members: its clips of every stratum.
            split: what `place` gave it.
        """
        waiting = self._moves.get((_kind(members), SPLITS.index(split)))
        if not waiting:
            return split
        to = min(waiting)
        waiting -= Counter((to,))
        return SPLITS[to]

    def _cost_of_adding(self, members: Members, index: int) -> float:
        """By how much the squared distance of the strata grows."""
        return sum(
            count * (2 * (self._placed[stratum][index] - self._wanted[stratum][index]) + count)
            for stratum, count in members.items()
        )

    def _cost_of_moving(self, kind: Kind, old: int, new: int) -> float:
        return sum(
            2 * count * (count - self._distance(stratum, old) + self._distance(stratum, new))
            for stratum, count in kind
        )

    def _distance(self, stratum: Any, index: int) -> float:
        return self._placed[stratum][index] - self._wanted[stratum][index]

    def _add(self, kind: Kind, index: int, groups: int) -> None:
        for stratum, count in kind:
            self._placed[stratum][index] += groups * count
            self._totals[index] += groups * count
        self._groups[kind, index] = self._groups.get((kind, index), 0) + groups

    def _move(self, kind: Kind, old: int, new: int) -> None:
        self._add(kind, old, -1)
        self._add(kind, new, 1)
        # a group that came to `old` only by a move goes on from where it was placed
        for first in self._allowed:
            waiting = self._moves[kind, first]
            if waiting[old]:
                waiting -= Counter((old,))
                old = first
                break
        if old != new:
            self._moves[kind, old][new] += 1

    def _off(self, index: int) -> float:
        return self._totals[index] - self._wanted_totals[index]

    def _tolerance(self, index: int) -> float:
        largest = max(_size(kind) for kind, _ in self._groups)
        return max(1.0, min(largest, self._wanted_totals[index] * _SHARE_OFF))

    def _held(self) -> list[int]:
        """Groups in every split, and what is there for good."""
        held = list(self._fixed)
        for (_, index), groups in self._groups.items():
            held[index] += groups
        return held

    def _fill_empty(self) -> None:
        while sum(held := self._held()) >= len(self._allowed):
            empty = next((index for index in self._allowed if not held[index]), None)
            if empty is None:
                return
            steps = (
                _Step(
                    self._cost_of_moving(kind, old, empty) + self._change_of_totals(_size(kind), old, empty),
                    ((kind, old, empty),),
                )
                for (kind, old), groups in self._groups.items()
                if groups and held[old] > 1
            )
            self._move(*min(steps, key=lambda step: round(step.cost, 9)).moves[0])

    def _change_of_totals(self, size: int, old: int, new: int) -> float:
        """By how much the squared distance of the totals grows."""
        return 2 * size * (size - self._off(old) + self._off(new))

    def _improvements(self) -> Iterator[_Step]:
        """Moves that bring the totals nearer: of each size the cheapest for the strata.

        A group moves straight, or one moves halfway while another of its size goes the rest: with groups of
        one clip each, these are the shortest paths by which a cheapest flow grows.
        """
        held = self._held()
        cheapest: dict[tuple[int, int, int], tuple[float, Kind]] = {}
        for (kind, old), groups in self._groups.items():
            if not groups or held[old] < 2:
                continue
            for new in self._allowed:
                if new != old:
                    key, cost = (_size(kind), old, new), round(self._cost_of_moving(kind, old, new), 9)
                    if key not in cheapest or cost < cheapest[key][0]:
                        cheapest[key] = cost, kind
        for size in sorted({key[0] for key in cheapest}):
            for old in self._allowed:
                for new in self._allowed:
                    change = self._change_of_totals(size, old, new)
                    if old == new or change > -1e-9:
                        continue
                    if (straight := cheapest.get((size, old, new))) is not None:
                        yield _Step(round(straight[0] + change, 9), ((straight[1], old, new),))
                    for middle in self._allowed:
                        first, second = cheapest.get((size, old, middle)), cheapest.get((size, middle, new))
                        if first is None or second is None or first[1] == second[1]:
                            continue
                        moves = ((first[1], old, middle), (second[1], middle, new))
                        yield _Step(round(first[0] + second[0] + change, 9), moves)


def _kind(members: Members) -> Kind:
    if len(members) == 1:
        return tuple(members.items())
    return tuple(sorted(members.items(), key=repr))


def _size(kind: Kind) -> int:
    return sum(count for _, count in kind)


def shortfalls(counts: Mapping[tuple[str, str, str], int], ratios: tuple[float, float, float]) -> list[str]:
    """What of the asked-for shares a build does not meet, one line each.

    Args:
        counts: clips by (content type, emotion, split); splits that no share asks for do not count.
        ratios: shares of train, validation and test; they sum to 1.

    Returns:
        Lines about splits that are empty, that are off by more than a clip and a twentieth of their share, or
        that have no clip of some pairs of content type and emotion.

    >>> shortfalls({("sticker", "awe", "train"): 2}, (0.8, 0.1, 0.1))[0]
    'validation is empty: 10 % of 2 clips was asked for, but groups stay whole'
    """
    asked = {split: ratio for split, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0}
    held = {key: count for key, count in counts.items() if key[2] in asked and count}
    clips = sum(held.values())
    pairs = {key[:2] for key in held}
    lines = []
    for split, ratio in asked.items():
        there = sum(count for key, count in held.items() if key[2] == split)
        wanted = clips * ratio
        if not there:
            asked_for = f"{100 * ratio:.3g} % of {clips} clips was asked for"
            lines.append(f"{split} is empty: {asked_for}, but groups stay whole")
            continue
        if abs(there - wanted) > max(1.0, wanted * _SHARE_SAID):
            is_, should = f"{100 * there / clips:.1f} %", f"{100 * ratio:.3g} %"
            lines.append(f"{split} holds {there} of {clips} clips: {is_}, not {should}")
        lacking = sorted(pairs - {key[:2] for key in held if key[2] == split})
        if lacking:
            named = ", ".join(" ".join(pair) for pair in lacking[:_NAMED])
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            of = f"{len(lacking)} of {len(pairs)} pairs of content type and emotion"
            lines.append(f"{split} has no clip of {of}: {named}{more}")
    return lines
