"""A measure of a set of videos: its value, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Value:
    """One measure of one set of videos.

    Attributes:
        value: None where it was not computed.
        n: videos behind it.
        reason: why it was not computed; None where it was.
        deviation: standard deviation over the videos, where the value is a mean of at least two.
        details: what else is needed to read it.
    """

    value: float | None
    n: int = 0
    reason: str | None = None
    deviation: float | None = None
    details: Mapping[str, float | int | bool] = field(default_factory=dict)

    def cell(self, digits: int) -> str:
        """As it stands in the table: never a number where nothing was computed."""
        return f"not computed: {self.reason}" if self.value is None else f"{self.value:.{digits}f}"
