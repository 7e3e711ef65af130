"""Clips on their way into shards: as they are joined, and as the plan holds them once they have a place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import FeatureType
from emovid_dataset.schema.no_emotion import ClipWithoutEmotion
from emovid_dataset.schema.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Laid:
    """A clip on its way into a shard.

    Attributes:
        clip: its fields.
        size: bytes of its MP4.
        video: name of its MP4, in the raw store if `verbatim`, else in the build's.
        verbatim: whether the source file itself is the clip.
    """

    clip: Clip | ClipWithoutEmotion
    size: int
    video: str
    verbatim: bool


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """A clip that has its place in a shard, as the plan holds it: whoever writes it parses it.

    Attributes:
        line: its fields as JSON.
        size, video, verbatim: as in `Laid`.
        features: of the build.
        taxonomy: of the build.
    """

    line: str
    size: int
    video: str
    verbatim: bool
    features: Mapping[str, FeatureType]
    taxonomy: Taxonomy

    @property
    def clip(self) -> Clip | ClipWithoutEmotion:
        """Its fields, checked."""
        row = json.loads(self.line)
        kind = Clip if row["emotion"] is not None else ClipWithoutEmotion
        return kind.from_mapping(row, features=self.features, taxonomy=self.taxonomy)
