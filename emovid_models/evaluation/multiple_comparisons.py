"""Many tests at once: p-values corrected for their number, and ranks that what is not told apart shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that may be compared with the level as if there were only one.

    Args:
        p_values: of all tests of the family, in any order.

    Returns:
        The corrected ones, in the same order.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian J. of Statistics
    6, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        found[index] = highest
    return found


def shared_ranks(order: Sequence[str], differs: Callable[[str, str], bool]) -> dict[str, int]:
    """Ranks with ties: a system opens a rank of its own where it differs from the best of the rank above.

    Args:
        order: the systems, the best first.
        differs: whether a test tells a better system from a worse one.

    Returns:
        By system its rank, 1 the best; after a tie ranks go on by the number of systems above.

    >>> shared_ranks("abcd", lambda better, worse: (better, worse) in {("a", "c"), ("a", "d")})
    {'a': 1, 'b': 1, 'c': 3, 'd': 3}
    """
    ranks: dict[str, int] = {}
    best, rank = "", 0
    for place, name in enumerate(order, 1):
        if not ranks or differs(best, name):
            best, rank = name, place
        ranks[name] = rank
    return ranks
