"""`Clip`: one labelled clip, its fields, how they are checked, and the types that loaders see.

This is the border: rows of JSON, Parquet and label files become a frozen `Clip` here and travel as
one from then on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion

CONTENT_TYPES: tuple[str, ...] = ("cartoon", "movie", "sticker")
"""The three content types; also the names of the dataset's configs, beside "all"."""

SPLITS: tuple[str, ...] = ("train", "validation", "test")
"""The three splits, in the order in which they are listed."""

EMOTION_SOURCES: tuple[str, ...] = ("human", "model")
"""Who gave the emotion: a person, or an annotator model."""

ID_PATTERN = re.compile(r"(?:cartoon|movie|sticker)-[0-9a-f]{16}")
"""What a clip id looks like: content type, then 16 hex digits of the source's hash."""


def clip_id(
    content_type: str, source_sha256: Any, start: float | None = None, end: float | None = None
) -> str:
    """Name a clip after its source's content, so that order, shards and file names do not matter.

    Args:
        content_type: one of `CONTENT_TYPES`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One labelled clip: the fields of its JSON member, always all of them, None where unknown.

    Attributes:
        id: `clip_id`, the sample's key.
        content_type: "cartoon", "movie" or "sticker".
        emotion: name of one of the eight emotions.
        valence: 0 positive, 1 negative.
        emotion_source: "human" or "model".
        emotion_scores: eight probabilities in the order of `EMOTIONS`, or None.
        caption: what is shown; may be empty.
        brightness: mean Rec. 601 luma, 0..1.
        colorfulness: Hasler & Suesstrunk M3 on a 0..1 RGB scale, 0 to about 1.5.
        hue: circular mean hue in degrees, 0..360; None for a grey clip.
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
    """

    id: str
    content_type: str
    emotion: str
    valence: int
    emotion_source: str
    emotion_scores: tuple[float, ...] | None
    caption: str
    brightness: float
    colorfulness: float
    hue: float | None
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

    @property
    def label(self) -> int:
        """Index of the emotion in `EMOTIONS`."""
        return EMOTIONS.index(self.emotion)

    def to_json(self) -> str:
        """The clip as one line of JSON: the keys in the order of the fields, floats as floats."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> Clip:
        """Check a row of JSON or Parquet and make it a clip.

        Args:
            row: exactly the fields of a clip, each of the type that the class names. Integers are not
                taken for floats nor the other way round: loaders infer types and would lose digits.

        Raises:
            ValueError: a key is missing or unknown, or a value has the wrong type or range; the message
                names the key and the value.
        """
        missing = [name for name in KEYS if name not in row]
        unknown = [name for name in row if name not in KEYS]
        if missing or unknown:
            raise ValueError(f"clip keys differ: missing {missing}, unknown {unknown}")
        values = {name: row[name] for name in KEYS}
        scores = values["emotion_scores"]
        if isinstance(scores, (list, tuple)):
            values["emotion_scores"] = tuple(scores)
        elif scores is not None:
            raise ValueError(f"emotion_scores is {scores!r} ({type(scores).__name__}), not a list")
        for name, kind in _KINDS.items():
            value = values[name]
            if value is None and name in _NULLABLE:
                continue
            if type(value) is not kind:
                raise ValueError(f"{name} is {value!r} ({type(value).__name__}), not {kind.__name__}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value!r}, not a finite number")
        clip = cls(**values)
        clip._check()
        return clip

    def _check(self) -> None:
        if not ID_PATTERN.fullmatch(self.id) or not self.id.startswith(f"{self.content_type}-"):
            raise ValueError(f"id {self.id!r} is not {self.content_type}-<16 hex digits>")
        if self.emotion not in EMOTIONS:
            parse_emotion(self.emotion)
            raise ValueError(f"emotion is {self.emotion!r}, not spelled as in {EMOTIONS}")
        if self.valence != self.label // 4:
            raise ValueError(f"valence is {self.valence}, but {self.emotion} has {self.label // 4}")
        if self.emotion_source not in EMOTION_SOURCES:
            raise ValueError(f"emotion_source is {self.emotion_source!r}; allowed: {EMOTION_SOURCES}")
        scores = self.emotion_scores
        if scores is not None and (
            len(scores) != len(EMOTIONS)
            or not all(type(score) is float and 0 <= score <= 1 for score in scores)
            or abs(sum(scores) - 1) > 1e-3
        ):
            raise ValueError(f"emotion_scores is {scores!r}, not eight floats 0..1 that sum to 1")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, outside {low}..{high}")
        if (self.start is None) != (self.end is None):
            raise ValueError(f"start is {self.start!r} but end is {self.end!r}: both or neither")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, not 64 hex digits")


KEYS: tuple[str, ...] = tuple(field.name for field in fields(Clip))
"""The JSON member's keys, in order."""

_NULLABLE = {"hue", "license", "start", "end"}
_KINDS: dict[str, type] = {
    "id": str,
    "content_type": str,
    "emotion": str,
    "valence": int,
    "emotion_source": str,
    "caption": str,
    "brightness": float,
    "colorfulness": float,
    "hue": float,
    "width": int,
    "height": int,
    "fps": float,
    "num_frames": int,
    "duration": float,
    "has_audio": bool,
    "source": str,
    "group": str,
    "license": str,
    "start": float,
    "end": float,
    "sha256": str,
}
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("brightness", 0, 1),
    ("colorfulness", 0, 2),
    ("hue", 0, 360),
    ("width", 1, 1 << 16),
    ("height", 1, 1 << 16),
    ("num_frames", 1, 1 << 40),
    ("fps", 1e-3, 1e6),
    ("duration", 0, 1e9),
)


def json_features() -> dict[str, Any]:
    """Types of the JSON member's keys, for a `datasets.Features` of the typed card.

    Names stay strings and numbers numbers, exactly as the JSON holds them.
    """
    from datasets import Sequence, Value

    kinds = {str: "string", int: "int64", float: "float64", bool: "bool"}
    return {
        name: Sequence(Value("float64")) if name == "emotion_scores" else Value(kinds[_KINDS[name]])
        for name in KEYS
    }


def flat_features() -> Any:
    """The flat, typed columns of the loading script and of `emovid_dataset.load`.

    Returns:
        `datasets.Features`: id, video (`Video(decode=False)`), emotion and content_type as ClassLabel,
        caption, then the other JSON keys in their order.
    """
    from datasets import ClassLabel, Features, Value, Video

    typed = json_features()
    head = {
        "id": Value("string"),
        "video": Video(decode=False),
        "emotion": ClassLabel(names=list(EMOTIONS)),
        "caption": Value("string"),
        "content_type": ClassLabel(names=list(CONTENT_TYPES)),
    }
    return Features({**head, **{name: kind for name, kind in typed.items() if name not in head}})
