"""How far emotions over time are seen in their own part of a video, on the miniature.

Run ``python -m benchmarks.emotion_over_time --write``. For each of 12 pairs of emotions, with one scene and
one seed, four videos of 33 frames are made: first one emotion for a second, then the other; the same the
other way round; and each of the two for the whole video. The annotator's timeline gives the probabilities
of the emotions in the first and in the second second. The record is `benchmarks/emotion_over_time.json`.

The effect of a pair is how much more probable an emotion is in its own part than in the other part, the mean
over both emotions and both orders, so that what a video does by itself from its first second to its second
cancels out. Beside it stands the most that could be expected: the same difference between two whole videos.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from emovid_dataset.schema.emotions import EMOTIONS

RECORD = Path(__file__).with_suffix(".json")

FRAMES, CHANGE, SEED = 33, 1.0, 2026
"""Frames of a video, seconds at which the emotion changes, and the seed of the first pair's noise."""

PAIRS = tuple(sorted({tuple(sorted((first, (first + step) % 8))) for step in (3, 4) for first in range(8)}))
"""Indices of emotions; each emotion is in three of the 12 pairs."""

SCENES = ("a yellow face", "an animal", "a person", "a woman that moves", "a man")
"""The scenes of stickers that ship, one a pair in turn."""

CALL = {
    "content_type": "sticker",
    "height": 64,
    "width": 64,
    "num_frames": FRAMES,
    "num_inference_steps": 8,
    "guidance_scale": 3.0,
    "emotion_guidance_scale": 6.0,
}
"""The settings with which `emovid generate` calls the miniature."""

Parts = Sequence[Mapping[str, float]]
"""Probabilities of the emotions in the first and in the second part of a video."""


def effect_over_time(first: str, second: str, there: Parts, back: Parts) -> float:
    """How much more probable an emotion is in its own part than in the other part of the same video.

    Args:
        first: an emotion.
        second: the other.
        there: of the video that shows `first`, then `second`.
        back: of the video that shows `second`, then `first`.

    Returns:
        -1..1, the mean over both emotions and both videos.

    >>> there = {"awe": 0.75, "fear": 0.25}, {"awe": 0.25, "fear": 0.75}
    >>> effect_over_time("awe", "fear", there, there[::-1])
    0.5
    """
    differences = [
        there[0][first] - there[1][first],
        there[1][second] - there[0][second],
        back[1][first] - back[0][first],
        back[0][second] - back[1][second],
    ]
    return float(np.mean(differences))


def effect_of_whole_videos(first: str, second: str, alone: Parts, other: Parts) -> float:
    """How much more probable an emotion is in a video of it than in a video of the other emotion.

    Args:
        first: an emotion.
        second: the other.
        alone: of the video that shows `first` all the time.
        other: of the video that shows `second` all the time.

    Returns:
        -1..1, the mean over both emotions and both parts.
    """
    differences = [
        sign * (a[name] - b[name])
        for a, b in zip(alone, other, strict=True)
        for name, sign in ((first, 1), (second, -1))
    ]
    return float(np.mean(differences))


def summary_of(effects: Sequence[float]) -> dict[str, Any]:
    """Mean of paired effects, its 95 % interval by Student's t, and the exact sign-flip test.

    Args:
        effects: one for each pair of emotions, at least 2.

    Returns:
        n, mean, low, high, positive (how many effects are above 0), p (two-sided).

    >>> summary_of([1.0, 1.0, 1.0, 1.0])["p"]
    0.125
    """
    from scipy.stats import t

    values = np.asarray(effects)
    mean, count = float(values.mean()), len(values)
    reach = float(t.isf(0.025, count - 1) * values.std(ddof=1) / np.sqrt(count))
    signs = np.array(list(itertools.product((1, -1), repeat=count)))
    at_least = np.abs(signs @ values) >= abs(values.sum()) - 1e-12
    return {
        "n": count,
        "mean": mean,
        "low": mean - reach,
        "high": mean + reach,
        "positive": int((values > 0).sum()),
        "p": float(at_least.mean()),
    }


def summarized(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The summaries of a record's pairs."""
    return {
        name: summary_of([pair[name] for pair in pairs])
        for name in ("effect_over_time", "effect_of_whole_videos")
    }


def measured() -> dict[str, Any]:
    """Make the videos and let the annotator look at them; minutes on an idle core."""
    import torch

    import emovid_models
    from emovid_models.annotator.annotate import LoadedByName
    from emovid_models.cli.arguments import parse_loras
    from emovid_models.wan.frames import write_video
    from emovid_models.wan.loading import PipelineSource

    source = PipelineSource(
        str(emovid_models.MINI_WAN_T2V),
        image_to_video=False,
        lora=parse_loras([str(emovid_models.MINI_LORA_T2V)], None),
        threads=1,
    )
    generator: Any = source.load(0)
    generator.set_progress_bar_config(disable=True)
    named = LoadedByName.pinned(emovid_models.MINI_ANNOTATOR, "cpu")
    annotator = named.load()

    def parts(emotion: Any, scene: str, seed: int, path: Path) -> list[dict[str, float]]:
        noise = torch.Generator().manual_seed(seed)
        frames = generator(prompt=scene, emotion=emotion, generator=noise, **CALL).frames[0]
        write_video(path, frames)
        found = annotator(str(path), timeline=True, window=CHANGE, stride=CHANGE, top_k=None)
        windows = {(window["start"], window["end"]): window for window in found["windows"]}
        return [
            {one["label"]: round(one["score"], 6) for one in windows[start, start + CHANGE]["emotions"]}
            for start in (0.0, CHANGE)
        ]

    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        for number, pair in enumerate(PAIRS):
            first, second = (EMOTIONS[index] for index in pair)
            scene, seed = SCENES[number % len(SCENES)], SEED + number
            asked = {
                "there": {0: first, CHANGE: second},
                "back": {0: second, CHANGE: first},
                "alone": first,
                "other": second,
            }
            shown = {name: parts(emotion, scene, seed, path) for name, emotion in asked.items()}
            row = {"first": first, "second": second, "scene": scene, "seed": seed, "parts": shown}
            row["effect_over_time"] = effect_over_time(first, second, shown["there"], shown["back"])
            row["effect_of_whole_videos"] = effect_of_whole_videos(
                first, second, shown["alone"], shown["other"]
            )
            pairs.append(row)
            print(f"{number + 1}/{len(PAIRS)} {first}, {second}: {row['effect_over_time']:+.3f}", flush=True)
    return {
        "judge": named.identity(),
        "generator": source.version(),
        "call": CALL,
        "change": CHANGE,
        "pairs": pairs,
        "summary": summarized(pairs),
    }


def main(write: Annotated[bool, typer.Option(help=f"Write {RECORD.name}.")] = False) -> None:
    """Measure and print the summaries."""
    record = measured()
    print(json.dumps(record["summary"], indent=1, allow_nan=False))
    if write:
        RECORD.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
