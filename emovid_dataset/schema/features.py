"""Names and types of a clip's fields, as a manifest holds them, and the same for `datasets` and pyarrow.

A type is the name that `datasets` gives it, such as "float64"; a list of numbers is ["float64"].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emovid_dataset.schema.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pyarrow
    from datasets import Features

FeatureType = str | list[str]
"""A type by its name, or a list with the name of its members' type."""

FEATURES: dict[str, FeatureType] = {
    "id": "string",
    "content_type": "string",
    "emotion": "string",
    "valence": "int64",
    "emotion_source": "string",
    "emotion_scores": ["float64"],
    "caption": "string",
    "brightness": "float64",
    "colorfulness": "float64",
    "hue": "float64",
    "luma": "float64",
    "colorfulness_m3": "float64",
    "hue_chroma": "float64",
    "width": "int64",
    "height": "int64",
    "fps": "float64",
    "num_frames": "int64",
    "duration": "float64",
    "has_audio": "bool",
    "source": "string",
    "group": "string",
    "license": "string",
    "start": "float64",
    "end": "float64",
    "sha256": "string",
    "raters": "int64",
    "votes": ["int64"],
    "agreement": "float64",
    "color": "string",
    "extra": "string",
}
"""The keys of a clip's JSON member in format 2, in order, and their types."""

_NEW_IN_2 = {
    "luma",
    "colorfulness_m3",
    "hue_chroma",
    "raters",
    "votes",
    "agreement",
    "color",
    "extra",
}

FORMAT_1_FEATURES: dict[str, FeatureType] = {
    name: kind for name, kind in FEATURES.items() if name not in _NEW_IN_2
}
"""The keys of a clip's JSON member in format 1, whose manifests do not name them."""

FORMAT_1_NAMES: dict[str, str] = {
    "brightness": "luma",
    "colorfulness": "colorfulness_m3",
    "hue": "hue_chroma",
}
"""What keys of format 1 are called since format 2, which gave their names to other measures."""

FEATURE_TYPES = ("string", "int64", "float64", "bool")
"""Types that a manifest may name."""


def check_features(features: Mapping[str, FeatureType]) -> None:
    """Check what a manifest says of its clips' fields.

    Raises:
        ValueError: a type is unknown, or a field that every clip has is not there or has another type.
    """
    for name, kind in features.items():
        member = kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
        if member not in FEATURE_TYPES:
            raise ValueError(f"features: {name} has the type {kind!r}; allowed: {', '.join(FEATURE_TYPES)}")
    for name, kind in FORMAT_1_FEATURES.items():
        if features.get(name) != kind:
            raise ValueError(f"features: {name} is {features.get(name)!r}, not {kind!r}")
    for name in _NEW_IN_2:
        if features.get(name, FEATURES[name]) != FEATURES[name]:
            raise ValueError(f"features: {name} is {features[name]!r}, not {FEATURES[name]!r}")


def json_features(features: Mapping[str, FeatureType] = FEATURES) -> dict[str, Any]:
    """Types of the JSON member's keys, for a `datasets.Features` of the typed card.

    Names stay strings and numbers numbers, exactly as the JSON holds them.
    """
    from datasets import Sequence, Value

    return {
        name: Sequence(Value(kind[0])) if isinstance(kind, list) else Value(kind)
        for name, kind in features.items()
    }


def flat_features(
    features: Mapping[str, FeatureType], taxonomy: Taxonomy, content_types: Sequence[str]
) -> Features:
    """The flat, typed columns of the loading script and of `emovid_dataset.load`.

    Args:
        features: of the build's clips.
        taxonomy: of the build; its emotions are the names of the emotion's ClassLabel.
        content_types: of the build, the names of the content type's ClassLabel.

    Returns:
        id, video (`Video(decode=False)`), emotion and content_type as ClassLabel, caption, then the other
        JSON keys in their order.
    """
    from datasets import ClassLabel, Features, Value, Video

    typed = json_features(features)
    head = {
        "id": Value("string"),
        "video": Video(decode=False),
        "emotion": ClassLabel(names=list(taxonomy.names)),
        "caption": Value("string"),
        "content_type": ClassLabel(names=list(content_types)),
    }
    return Features({**head, **{name: kind for name, kind in typed.items() if name not in head}})


PLACE_COLUMNS = ("shard", "offset", "size")
"""A metadata table's columns beside a clip's fields: its shard, and the offset and size of its MP4 in it,
in bytes."""


def metadata_schema(features: Mapping[str, FeatureType] = FEATURES) -> pyarrow.Schema:
    """The pyarrow schema of a metadata table: every field of a clip, and where its MP4 lies."""
    import pyarrow

    kinds = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }
    columns = {
        name: pyarrow.list_(kinds[kind[0]]) if isinstance(kind, list) else kinds[kind]
        for name, kind in features.items()
    }
    place = dict(zip(PLACE_COLUMNS, (kinds["string"], kinds["int64"], kinds["int64"]), strict=True))
    return pyarrow.schema(list({**columns, **place}.items()))
