"""Clips in which people saw no specific emotion: how a label sheet says so, and what is kept of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.features import FEATURES, FeatureType
from emovid_dataset.schema.taxonomy import Taxonomy

NO_EMOTION = "no specific emotion"
"""The label, in the paper's words."""

ABSTAINED = "abstained"
"""The column of an annotator's file that is true where the annotator itself says so."""

_SPELLINGS = frozenset((NO_EMOTION, "no emotion"))
"""Only what can mean nothing else: "none" is also what programs write for a missing value, and elsewhere
"neutral" is an emotion of its own."""

NO_LABEL = -1
"""The index in a sample's `cls`; `datasets` takes it for a ClassLabel that is not given."""

NONE = "none"
"""Their folder in a build, and what stands in the place of the split in the records of their shards."""


def is_no_emotion(value: object) -> bool:
    """Whether a cell of a label sheet says that the clip shows no specific emotion.

    >>> is_no_emotion("No specific emotion"), is_no_emotion("no_emotion"), is_no_emotion("none")
    (True, True, False)
    """
    text = str(value).lower().replace("_", " ").replace("-", " ")
    return isinstance(value, str) and " ".join(text.split()) in _SPELLINGS


@dataclass(frozen=True, slots=True)
class ClipWithoutEmotion:
    """A clip in which people saw no specific emotion, with a clip's fields: `emotion` and `valence` are null.

    Attributes:
        votes: how many people chose each emotion, or None; the rest of the raters chose none.
        agreement: share of the raters that chose none, or None.
    """

    _clip: Clip  # its own emotion stands for none, and leaves this module in no way
    votes: tuple[int, ...] | None
    agreement: float | None

    @classmethod
    def of(cls, clip: Clip) -> ClipWithoutEmotion:
        """Take its emotion from a clip.

        Args:
            clip: whatever its emotion; its votes and its agreement are about no emotion.
        """
        emotion, valence = clip.taxonomy.names[0], clip.taxonomy.valences[0]
        bare = replace(clip, emotion=emotion, valence=valence, votes=None, agreement=None)
        return cls(bare, clip.votes, clip.agreement)

    @property
    def id(self) -> str:
        """As in `Clip`, like the properties below."""
        return self._clip.id

    @property
    def content_type(self) -> str:
        return self._clip.content_type

    @property
    def caption(self) -> str:
        return self._clip.caption

    @property
    def group(self) -> str:
        return self._clip.group

    @property
    def source(self) -> str:
        return self._clip.source

    @property
    def sha256(self) -> str:
        return self._clip.sha256

    @property
    def width(self) -> int:
        return self._clip.width

    @property
    def height(self) -> int:
        return self._clip.height

    @property
    def num_frames(self) -> int:
        return self._clip.num_frames

    @property
    def has_audio(self) -> bool:
        return self._clip.has_audio

    @property
    def label(self) -> int:
        """No index of an emotion."""
        return NO_LABEL

    def to_mapping(self, features: Mapping[str, FeatureType] = FEATURES) -> dict[str, Any]:
        """The clip as a row of JSON or Parquet; see `Clip.to_mapping`."""
        votes = None if self.votes is None else list(self.votes)
        own = {"emotion": None, "valence": None, "votes": votes, "agreement": self.agreement}
        return {**self._clip.to_mapping(features), **{key: own[key] for key in own if key in features}}

    def to_json(self, features: Mapping[str, FeatureType] = FEATURES) -> str:
        """The clip as one line of JSON; see `Clip.to_json`."""
        return json.dumps(self.to_mapping(features), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(
        cls,
        row: Mapping[str, Any],
        *,
        features: Mapping[str, FeatureType] = FEATURES,
        taxonomy: Taxonomy = MIKELS,
    ) -> ClipWithoutEmotion:
        """Check a row of JSON or Parquet.

        Args:
            row: exactly the fields of the build's clips.
            features: of the build.
            taxonomy: of the build.

        Raises:
            ValueError: as `Clip.from_mapping`, or the row has an emotion.
        """
        for key in ("emotion", "valence"):
            if row.get(key) is not None:
                raise ValueError(f"{key} is {row[key]!r}, but the clip shows no specific emotion")
        own: dict[str, Any] = {"emotion": taxonomy.names[0], "valence": taxonomy.valences[0]}
        own |= {"votes": None, "agreement": None}
        bare = {key: own.get(key, value) for key, value in row.items()}
        clip = cls(
            Clip.from_mapping(bare, features=features, taxonomy=taxonomy),
            None if row.get("votes") is None else tuple(row["votes"]),
            row.get("agreement"),
        )
        clip._check()
        return clip

    def _check(self) -> None:
        votes, raters, taxonomy = self.votes, self._clip.raters, self._clip.taxonomy
        if votes is None:
            share = self.agreement
            if share is not None and not (type(share) is float and math.isfinite(share) and 0 <= share <= 1):
                raise ValueError(f"agreement is {share!r}, not a share of 0 to 1")
            return
        if len(votes) != len(taxonomy) or not all(type(count) is int and count >= 0 for count in votes):
            raise ValueError(f"votes is {votes!r}, not {len(taxonomy)} numbers of people")
        if raters is None or sum(votes) > raters:
            raise ValueError(f"votes is {votes!r}, more than the {raters} raters")
        if self.agreement != (raters - sum(votes)) / raters:
            raise ValueError(
                f"agreement is {self.agreement}, but {raters - sum(votes)} of {raters} raters saw no emotion"
            )


@dataclass(frozen=True, slots=True)
class NoEmotion:
    """One line of `none.jsonl`: a row of the label sheet that is kept out of the emotions' clips.

    Attributes:
        row: number of the row, 1 for the first one after the header.
        path: as the sheet gives it.
        content_type: such as "sticker".
        start: seconds, None for a whole file.
        end: seconds, None for a whole file.
        emotion_source: "human" or "model".
        raters: people who labelled it, or None.
        agreement: share of them that saw no specific emotion, or None.
        id: of the clip in the shards below `none/`; None if it was not kept.
    """

    row: int
    path: str
    content_type: str
    start: float | None
    end: float | None
    emotion_source: str
    raters: int | None
    agreement: float | None
    id: str | None
