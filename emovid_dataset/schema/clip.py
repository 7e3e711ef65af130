"""`Clip`: one labelled clip, its fields, and how they are checked.

This is the border: rows of JSON, Parquet and label files become a frozen `Clip` here and travel as
one from then on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.features import FEATURES, FORMAT_1_FEATURES, FORMAT_1_NAMES, FeatureType
from emovid_dataset.schema.taxonomy import Taxonomy

CONTENT_TYPES: tuple[str, ...] = ("cartoon", "movie", "sticker")
"""EmoVid's three content types; also the names of its configs, beside "all"."""

SPLITS: tuple[str, ...] = ("train", "validation", "test")
"""The three splits that a build shares its clips among, in the order in which they are listed."""

EMOTION_SOURCES: tuple[str, ...] = ("human", "model")
"""Who gave the emotion: a person, or an annotator model."""

NAME_PATTERN = re.compile(r"[a-z0-9_]+")
"""What a content type or a split may be called: it is part of ids and of names of files."""

ID_PATTERN = re.compile(rf"({NAME_PATTERN.pattern})-[0-9a-f]{{16}}")
"""What a clip id looks like: content type, then 16 hex digits of the source's hash."""
"""What a clip id looks like: content type, then 16 hex digits of the source's hash."""


def clip_id(
    content_type: str, source_sha256: Any, start: float | None = None, end: float | None = None
) -> str:
    """Name a clip after its source's content, so that order, shards and file names do not matter.

    Args:
        content_type: such as "sticker".
        source_sha256: a `hashlib` object that has read the source file's bytes; it is copied, not changed.
        start: first second of a segment of a longer film, or None for a whole file.
        end: last second of the segment (exclusive), or None.

    Returns:
        ``{content_type}-{16 hex digits}``. For a segment the hash goes on over ``@{start_ms}-{end_ms}``.

    >>> import hashlib
    >>> clip_id("sticker", hashlib.sha256(b"abc"))
    'sticker-ba7816bf8f01cfea'
    >>> clip_id("movie", hashlib.sha256(b"abc"), 1.5, 6.5) == clip_id(
    ...     "movie", hashlib.sha256(b"abc@1500-6500"))
    True
    """
    digest = source_sha256.copy()
    if start is not None and end is not None:
        digest.update(f"@{round(start * 1000)}-{round(end * 1000)}".encode())
    return f"{content_type}-{digest.hexdigest()[:16]}"


def is_clip_id(text: str) -> bool:
    """Whether a text has the form of a clip's id.

    >>> is_clip_id("sticker-ba7816bf8f01cfea"), is_clip_id("sticker/1f602.mp4")
    (True, False)
    """
    return ID_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One labelled clip: the fields of its JSON member, always all of them, None where unknown.

    Attributes:
        id: `clip_id`, the sample's key.
        content_type: "cartoon", "movie" or "sticker", or another one of the build's own.
        emotion: name of one of the taxonomy's emotions.
        valence: 0 positive, 1 negative; None for an emotion that is neither.
        emotion_source: "human" or "model".
        emotion_scores: a probability for each emotion of the taxonomy, in its order, or None.
        caption: what is shown; may be empty.
        brightness: mean V of HSV, 0..1; None in a build of format 1.
        colorfulness: mean S of HSV, 0..1; None in a build of format 1.
        hue: unweighted circular mean of the HSV hue in degrees, 0..360; None where the hues cancel out
            exactly, and in a build of format 1.
        luma: mean Rec. 601 luma, 0..1.
        colorfulness_m3: Hasler & Suesstrunk M3 on a 0..1 RGB scale, 0 to about 1.5.
        hue_chroma: circular mean hue in degrees, weighted by chroma, 0..360; None for a grey clip.
        width: pixels.
        height: pixels.
        fps: mean frames per second.
        num_frames: decoded frames of the MP4.
        duration: seconds.
        has_audio: whether the MP4 has sound.
        source: where the clip came from: a path below the raw folder, or the label file's own words.
        group: clips of one group are never on two sides of a split.
        license: the licence's name, or None.
        start: seconds in the source film, None for a whole file.
        end: seconds in the source film, None for a whole file.
        sha256: of the MP4's bytes.
        raters: people who labelled the clip, or None.
        votes: how many of them chose each emotion, in the taxonomy's order, or None; the rest of the raters
            saw no specific emotion.
        agreement: share of the raters that chose the clip's emotion, 0..1, or None.
        color: what was done to the colours, as "hdr-hlg -> bt709", "bt2020 -> bt709", "bt601-525 -> bt709" or
            "bt709 full -> limited", after what the label sheet says of them; None where neither is.
        extra: the label sheet's other columns as a JSON object, or None.
        kept: columns of the label sheet that this build has as fields of their own, by name.
        taxonomy: of the build; not a field of the JSON member.
    """

    id: str
    content_type: str
    emotion: str
    valence: int | None
    emotion_source: str
    emotion_scores: tuple[float, ...] | None
    caption: str
    brightness: float | None
    colorfulness: float | None
    hue: float | None
    luma: float
    colorfulness_m3: float
    hue_chroma: float | None
    width: int
    height: int
    fps: float
    num_frames: int
    duration: float
    has_audio: bool
    source: str
    group: str
    license: str | None
    start: float | None
    end: float | None
    sha256: str
    raters: int | None = None
    votes: tuple[int, ...] | None = None
    agreement: float | None = None
    color: str | None = None
    extra: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    taxonomy: Taxonomy = field(default=MIKELS, repr=False, compare=False)

    @property
    def label(self) -> int:
        """Index of the emotion in the taxonomy."""
        return self.taxonomy.names.index(self.emotion)

    def labelled(self, emotion: str, source: str) -> Clip:
        """The same clip with another emotion; its agreement follows from the votes.

        Args:
            emotion: name of one of the taxonomy's emotions.
            source: who gives it, "human" or "model".
        """
        label = self.taxonomy.names.index(emotion)
        agreement = self.agreement if emotion == self.emotion else None
        if self.votes is not None and self.raters is not None:
            agreement = self.votes[label] / self.raters
        return replace(
            self,
            emotion=emotion,
            valence=self.taxonomy.valences[label],
            emotion_source=source,
            agreement=agreement,
        )

    def to_mapping(self, features: Mapping[str, FeatureType] = FEATURES) -> dict[str, Any]:
        """The clip as a row of JSON or Parquet.

        Args:
            features: of the build; the keys and their order.

        Raises:
            ValueError: the build has a field that this version does not know.
        """
        names = _fields_of(tuple(features))
        unknown = [key for key, name in names.items() if name not in _KNOWN and name not in self.kept]
        if unknown:
            raise ValueError(f"this version does not know the fields {unknown} of a clip")
        values = {
            key: getattr(self, name) if name in _KNOWN else self.kept[name] for key, name in names.items()
        }
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def to_json(self, features: Mapping[str, FeatureType] = FEATURES) -> str:
        """The clip as one line of JSON: the keys in the order of the fields, floats as floats."""
        return json.dumps(self.to_mapping(features), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(
        cls,
        row: Mapping[str, Any],
        *,
        features: Mapping[str, FeatureType] | None = None,
        taxonomy: Taxonomy = MIKELS,
    ) -> Clip:
        """Check a row of JSON or Parquet and make it a clip.

        Args:
            row: exactly the fields of the build's clips, each of its type. Integers are not taken for floats
                nor the other way round: loaders infer types and would lose digits.
            features: of the build, from its manifest; None takes the row for one of format 1 or 2, whichever
                has its keys. Fields that this version does not know go into `kept`.
            taxonomy: of the build.

        Raises:
            ValueError: a key is missing or unknown, or a value has the wrong type or range; the message
                names the key and the value.
        """
        if features is None:
            features = FEATURES if "luma" in row else FORMAT_1_FEATURES
        missing = [key for key in features if key not in row]
        unknown = [key for key in row if key not in features]
        if missing or unknown:
            raise ValueError(f"clip keys differ: missing {missing}, unknown {unknown}")
        values: dict[str, Any] = {"brightness": None, "colorfulness": None, "hue": None, "hue_chroma": None}
        kept: dict[str, Any] = {}
        for key, name in _fields_of(tuple(features)).items():
            value = _typed(key, row[key], features[key], may_be_null=name in _NULLABLE or name not in _KNOWN)
            (values if name in _KNOWN else kept)[name] = value
        clip = cls(**values, kept=kept, taxonomy=taxonomy)
        clip._check()
        return clip

    def _check(self) -> None:
        match = ID_PATTERN.fullmatch(self.id)
        if match is None or match[1] != self.content_type:
            raise ValueError(f"id {self.id!r} is not {self.content_type}-<16 hex digits>")
        taxonomy = self.taxonomy
        if self.emotion not in taxonomy.names:
            taxonomy.parse(self.emotion)
            raise ValueError(f"emotion is {self.emotion!r}, not spelled as in {taxonomy.names}")
        valence = taxonomy.valences[self.label]
        if self.valence != valence:
            raise ValueError(f"valence is {self.valence}, but {self.emotion} has {valence}")
        if self.emotion_source not in EMOTION_SOURCES:
            raise ValueError(f"emotion_source is {self.emotion_source!r}; allowed: {EMOTION_SOURCES}")
        scores = self.emotion_scores
        if scores is not None and (
            len(scores) != len(taxonomy)
            or not all(0 <= score <= 1 for score in scores)
            or abs(sum(scores) - 1) > 1e-3
        ):
            raise ValueError(f"emotion_scores is {scores!r}, not {len(taxonomy)} floats 0..1 that sum to 1")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, outside {low}..{high}")
        if (self.start is None) != (self.end is None):
            raise ValueError(f"start is {self.start!r} but end is {self.end!r}: both or neither")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, not 64 hex digits")
        self._check_votes()
        if self.extra is not None:
            try:
                is_object = isinstance(json.loads(self.extra), dict)
            except ValueError:
                is_object = False
            if not is_object:
                raise ValueError(f"extra is {self.extra!r}, not a JSON object")

    def _check_votes(self) -> None:
        if self.votes is None:
            return
        if len(self.votes) != len(self.taxonomy) or min(self.votes) < 0:
            raise ValueError(f"votes is {self.votes!r}, not {len(self.taxonomy)} numbers of people")
        if self.raters is None or not sum(self.votes) <= self.raters:
            raise ValueError(f"votes is {self.votes!r}, more than the {self.raters} raters")
        if self.agreement != self.votes[self.label] / self.raters:
            raise ValueError(
                f"agreement is {self.agreement}, but {self.votes[self.label]} of {self.raters} raters "
                f"chose {self.emotion}"
            )


KEYS: tuple[str, ...] = tuple(entry.name for entry in fields(Clip) if entry.name not in ("kept", "taxonomy"))
"""The JSON member's keys in format 2, in order."""

_KNOWN = frozenset(KEYS)

_NULLABLE = {
    "emotion_scores",
    "valence",
    "hue",
    "hue_chroma",
    "license",
    "start",
    "end",
    "raters",
    "votes",
    "agreement",
    "color",
    "extra",
}
_KINDS: dict[str, type] = {"string": str, "int64": int, "float64": float, "bool": bool}
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("brightness", 0, 1),
    ("colorfulness", 0, 1),
    ("hue", 0, 360),
    ("luma", 0, 1),
    ("colorfulness_m3", 0, 2),
    ("hue_chroma", 0, 360),
    ("width", 1, 1 << 16),
    ("height", 1, 1 << 16),
    ("num_frames", 1, 1 << 40),
    ("fps", 1e-3, 1e6),
    ("duration", 0, 1e9),
    ("raters", 1, 1 << 40),
    ("agreement", 0, 1),
)


@lru_cache(maxsize=16)
def _fields_of(keys: tuple[str, ...]) -> dict[str, str]:
    """By key of a build's rows the name of the field of a clip."""
    renamed = {} if "luma" in keys else FORMAT_1_NAMES
    return {key: renamed.get(key, key) for key in keys}


def _typed(key: str, value: Any, kind: FeatureType, *, may_be_null: bool) -> Any:
    """A value of exactly the type that a build's features name; a list becomes a tuple."""
    if value is None and may_be_null:
        return None
    if isinstance(kind, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{key} is {value!r} ({type(value).__name__}), not a list")
        return tuple(_typed(key, member, kind[0], may_be_null=False) for member in value)
    wanted = _KINDS[kind]
    if type(value) is not wanted:
        raise ValueError(f"{key} is {value!r} ({type(value).__name__}), not {wanted.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} is {value!r}, not a finite number")
    return value
