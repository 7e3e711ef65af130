"""What a row of a label sheet says of a clip that a build holds already: the same, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset.builder.growing_plan import HeldClip, content_of
from emovid_dataset.builder.sheet import Label
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.schema.no_emotion import NO_EMOTION, NONE

_IF_GIVEN = ("emotion_scores", "source", "group", "license", "raters", "votes", "agreement", "extra")
"""Fields of which a sheet without a value says nothing."""

_OF_THE_LABEL = ("emotion_scores", "raters", "votes", "agreement")
"""Fields that are about the emotion, and go when another emotion comes without them."""

_SAID_BY_EMOTION = ("valence", "id")
"""Fields that differ only where another one does."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """How a row differs from the clip that it is about.

    Attributes:
        label: the row.
        clip: that the build holds.
        row: the fields that the clip would have.
        split: that it would have, None if it is to be shared out.
        names: of the fields that differ, "split" among them.
    """

    label: Label
    clip: HeldClip
    row: Mapping[str, Any]
    split: str | None
    names: tuple[str, ...]

    @property
    def moves(self) -> bool:
        """Whether the clip belongs into another shard."""
        both = (self.clip.row["emotion"] is None) == (self.row["emotion"] is None)
        return not both or self.row["id"] != self.clip.id or "split" in self.names

    def __str__(self) -> str:
        told = []
        for name in self.names:
            held = self.clip.split if name == "split" else self.clip.row[name]
            said = self.split if name == "split" else self.row[name]
            if name == "emotion":
                held, said = held or NO_EMOTION, said or NO_EMOTION
            told.append(f"{name} is {_short(held)} in the build and {_short(said)} in the sheet")
        return f"{self.clip.id} ({self.label.path}): {', '.join(told)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def change_of(label: Label, clip: HeldClip, manifest: Manifest) -> LabelChange | None:
    """Compare a row with the clip that it is about.

    Args:
        label: the row.
        clip: that the build holds.
        manifest: of the build.

    Returns:
        How they differ, None where they do not. A split, a licence and the like differ only where the sheet
        gives one; emotion, caption and content type always.
    """
    taxonomy, row = manifest.taxonomy, dict(clip.row)
    emotion = None if label.emotion is None else taxonomy.names[label.emotion]
    row |= {
        "id": f"{label.content_type}-{content_of(clip.id)}",
        "content_type": label.content_type,
        "emotion": emotion,
        "valence": None if label.emotion is None else taxonomy.valences[label.emotion],
        "emotion_source": label.emotion_source,
        "caption": label.caption,
    }
    if emotion != clip.row["emotion"]:
        row |= dict.fromkeys(_OF_THE_LABEL)
    given = {name: getattr(label, name) for name in _IF_GIVEN} | dict(label.kept or {})
    row |= {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None
    }
    row = {name: row[name] for name in manifest.features}
    split = None if emotion is None or clip.split == NONE else clip.split
    names = [name for name in manifest.features if row[name] != clip.row[name]]
    names = [name for name in names if name not in _SAID_BY_EMOTION]
    if emotion is not None and label.split is not None and label.split != split:
        split = label.split
        names += ["split"] if clip.split != NONE else []
    return LabelChange(label, clip, row, split, tuple(names)) if names else None
