"""Means of brightness and colorfulness by emotion, and how far emotions explain them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.anova import Anova, one_way
from emovid_dataset.analyse.clip_means import MeanOfClips
from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.schema.portable.norms import MIDDLE, WARRINER


@dataclass(frozen=True, slots=True)
class AttributeMeans:
    """One attribute by emotion, within one content type or over all.

    Attributes:
        attribute: "brightness" or "colorfulness".
        content_type: of the clips, or "all", which mixes types that differ in brightness themselves.
        clips: those with a value.
        unknown: clips that are left out, as their build does not give the attribute.
        groups: number of groups of the clips.
        emotions: a mean for each emotion of the taxonomy.
        valences: a mean for the positive ones and one for the negative ones; none without valences.
        arousals: a mean for the emotions whose word's arousal (Warriner) is above the middle of the scale,
            and one for the others that are known; the division is this package's.
        anova: over the emotions that have clips.
    """

    attribute: str
    content_type: str
    clips: int
    unknown: int
    groups: int
    emotions: tuple[MeanOfClips, ...]
    valences: tuple[MeanOfClips, ...]
    arousals: tuple[MeanOfClips, ...]
    anova: Anova | NotComputed


def attribute_means(clips: ClipTable, attribute: str) -> dict[str, AttributeMeans | NotComputed]:
    """Means of an attribute by emotion, over all clips and within each content type.

    Args:
        clips: the build's.
        attribute: "brightness" or "colorfulness"; hues are angles, see `hue_directions`.

    Returns:
        By content type, the first of all clips; `NotComputed` where no clip has a value.

    Raises:
        ValueError: the attribute is not one of the two.
    """
    if attribute not in ("brightness", "colorfulness"):
        raise ValueError(f"attribute is {attribute!r}; allowed: brightness, colorfulness")
    known = ~np.isnan(clips.attributes[attribute])
    return {
        name: _means(clips, attribute, name, np.flatnonzero(inside & known), int(inside.sum()))
        for name, inside in clips.scopes()
    }


def _means(
    clips: ClipTable, attribute: str, scope: str, rows: np.ndarray, among: int
) -> AttributeMeans | NotComputed:
    if not len(rows):
        return clips.without(attribute)
    values, labels, groups = clips.attributes[attribute][rows], clips.labels[rows], clips.groups[rows]

    def mean_of(name: str, wanted: list[int]) -> MeanOfClips:
        inside = np.isin(labels, wanted)
        return MeanOfClips.of(name, values[inside], groups[inside], within=(0.0, 1.0))

    numbered = list(enumerate(clips.emotions))
    arousals = {index: WARRINER[name][1] for index, name in numbered if name in WARRINER}
    return AttributeMeans(
        attribute=attribute,
        content_type=scope,
        clips=len(rows),
        unknown=among - len(rows),
        groups=len(np.unique(groups)),
        emotions=tuple(mean_of(name, [index]) for index, name in numbered),
        valences=tuple(
            mean_of(name, [index for index, its in enumerate(clips.valences or ()) if its == valence])
            for valence, name in enumerate(clips.valence_names if clips.valences is not None else ())
        ),
        arousals=(
            mean_of("high arousal", [index for index, value in arousals.items() if value > MIDDLE]),
            mean_of("low arousal", [index for index, value in arousals.items() if value <= MIDDLE]),
        ),
        anova=one_way(values, labels, groups),
    )
