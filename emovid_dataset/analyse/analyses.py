"""All analyses of a build in one go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from emovid_dataset.analyse.attribute_means import AttributeMeans, attribute_means
from emovid_dataset.analyse.clips import ClipTable, read_clips
from emovid_dataset.analyse.emotion_counts import EmotionCounts, emotions_by_type
from emovid_dataset.analyse.feature_map import FeatureMap, feature_map
from emovid_dataset.analyse.hue_directions import HueDirections, hue_directions
from emovid_dataset.analyse.outcomes import NotComputed, as_json
from emovid_dataset.analyse.phrases import EmotionPhrases, phrases
from emovid_dataset.analyse.positive_share import BINS, PositiveShares, positive_share
from emovid_dataset.analyse.sound import SoundByEmotion, measure_sound, sound_by_emotion
from emovid_dataset.analyse.transitions import Transitions, transitions
from emovid_dataset.analyse.valence_arousal import PlacedEmotion, valence_arousal
from emovid_dataset.engine import Executor
from emovid_dataset.media.sound_levels import SoundLevels
from emovid_dataset.read.features import read_features
from emovid_dataset.store import Store

SCALARS = ("brightness", "colorfulness")
"""The attributes that are plain numbers; hue is an angle."""


@dataclass(frozen=True, slots=True)
class Analyses:
    """What the analyses of a build found.

    Attributes:
        clips: the metadata that they were made from.
        seed: of every draw.
        emotions: emotions of all clips and of each content type.
        places: the valence-arousal map.
        features: the map by the annotator's features.
        positive: by attribute and content type the share of positive clips over bins.
        means: by attribute and content type the means by emotion.
        hues: by content type the mean hues by emotion.
        transitions: the Markov matrix over consecutive clips.
        phrases: of the captions.
        sound: by emotion.
    """

    clips: ClipTable
    seed: int
    emotions: tuple[EmotionCounts, ...]
    places: tuple[PlacedEmotion, ...]
    features: FeatureMap | NotComputed
    positive: dict[str, dict[str, PositiveShares | NotComputed]]
    means: dict[str, dict[str, AttributeMeans | NotComputed]]
    hues: dict[str, HueDirections | NotComputed]
    transitions: Transitions | NotComputed
    phrases: tuple[EmotionPhrases, ...] | NotComputed
    sound: SoundByEmotion

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON holds them; what was not computed is ``{"not_computed": reason}``."""
        body = {
            "name": self.clips.name,
            "clips": len(self.clips),
            "groups": self.clips.group_count,
            "seed": self.seed,
            "emotions": self.emotions,
            "valence_arousal": self.places,
            "features": self.features,
            "positive_share": self.positive,
            "means": self.means,
            "hues": self.hues,
            "transitions": self.transitions,
            "phrases": self.phrases,
            "sound": self.sound,
        }
        return {name: as_json(value) for name, value in body.items()}


def analyse_build(
    source: str | os.PathLike[str],
    *,
    features: str | os.PathLike[str] | None = None,
    film: str = "source",
    gap: float | None = None,
    bins: int = BINS,
    seed: int = 0,
    sound: bool | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Analyses:
    """Do every analysis that the build's metadata allow; see each function for what it does.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        features: file of `emovid annotate --features`; without it there is no map by features.
        film: see `transitions`.
        gap: see `transitions`.
        bins: see `positive_share`.
        seed: of every draw.
        sound: read the MP4s of clips with sound; None does so for a build on this machine only.
        executor: who reads them, by default this process.
        progress: show progress on stderr.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `Analyses`.

    Raises:
        FileNotFoundError: the source is not a build, or there is no such file of features.
        ValueError: the build is unfinished or holds no clips, the file is not one of features, or an option
            is out of range.
    """
    vectors = None if features is None else read_features(features)
    clips = read_clips(source, revision=revision, token=token)
    chain = transitions(clips, film=film, gap=gap, seed=seed)
    positive = {name: positive_share(clips, name, bins=bins) for name in SCALARS}
    here = Store.find(source, revision=revision, token=token).folder is not None
    levels: dict[str, SoundLevels | str] | NotComputed
    if sound or (sound is None and here):
        levels = measure_sound(source, executor=executor, progress=progress, revision=revision, token=token)
    elif sound is None:
        levels = NotComputed("the build is not on this machine; --sound reads every MP4 that has sound")
    else:
        levels = NotComputed("nobody listened (--no-sound)")
    return Analyses(
        clips=clips,
        seed=seed,
        emotions=emotions_by_type(clips),
        places=valence_arousal(clips),
        features=feature_map(clips, vectors, seed=seed),
        positive=positive,
        means={name: attribute_means(clips, name) for name in SCALARS},
        hues=hue_directions(clips, seed=seed),
        transitions=chain,
        phrases=phrases(clips),
        sound=sound_by_emotion(clips, levels),
    )
