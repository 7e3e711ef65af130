"""The columns of a metadata table: every field of a clip, and where its MP4 lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emovid_dataset.schema.clip import json_features

if TYPE_CHECKING:
    import pyarrow

PLACE_COLUMNS = ("shard", "offset", "size")
"""The columns beside a clip's fields: its shard, and the offset and size of its MP4 in it, in bytes."""


def metadata_schema() -> pyarrow.Schema:
    """The pyarrow schema of a metadata table."""
    import pyarrow

    kinds: dict[str, Any] = {}
    for name, feature in json_features().items():
        if name == "emotion_scores":
            kinds[name] = pyarrow.list_(pyarrow.float64())
        else:
            kinds[name] = feature.pa_type
    place = dict(zip(PLACE_COLUMNS, (pyarrow.string(), pyarrow.int64(), pyarrow.int64()), strict=True))
    return pyarrow.schema(list({**kinds, **place}.items()))
