"""What the paper says of its corpus: its Table 2 and its label counts, as printed, with their errors.

Source: Qiu, Wang, Chen, He, Wang: EmoVid, AAAI 2026 (arXiv 2511.11002), Table 2 and the section on labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "Qiu et al., EmoVid, AAAI 2026, Table 2"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A row of the paper's Table 2, with its count of human-labelled clips.

    Attributes:
        clips: number of clips.
        mean: mean length in seconds.
        sd: standard deviation of the length in seconds.
        seconds: total length; given for the whole corpus only.
        sound: whether the clips have sound; None where the paper does not say.
        human: clips that people labelled.
    """

    clips: int
    mean: float
    sd: float
    seconds: float | None
    sound: bool | None
    human: int


TABLE_2: Mapping[str, PaperRow] = {
    "cartoon": PaperRow(clips=2_807, mean=5.12, sd=2.65, seconds=None, sound=True, human=282),
    "movie": PaperRow(clips=13_255, mean=8.75, sd=4.71, seconds=None, sound=True, human=2_771),
    "sticker": PaperRow(clips=6_696, mean=2.91, sd=2.18, seconds=None, sound=False, human=6_996),
    "all": PaperRow(clips=22_758, mean=6.18, sd=4.53, seconds=140_580, sound=None, human=10_049),
}
"""By content type, and "all"; the paper calls cartoons animation."""

ERRORS: tuple[str, ...] = (
    "The paper counts 6,996 human-labelled stickers, more than its 6,696 stickers.",
    "The paper's rows add up to 149,838 s, a mean of 6.58 s; it gives 140,580 s and 6.18 s.",
)
"""Where the figures contradict each other."""
