"""Every score beside EA: what it is called, what it means, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreDefinition:
    """One score of a system.

    Attributes:
        name: in `Video.scores` and `System.measures`.
        label: as it is called in tables.
        formula: in a few words and signs; the function's docstring has the whole.
        span: of its values, with the unit.
        better: "lower", "higher", or "neither" where the real clips are the measure.
        source: where the formula comes from.
        digits: after the point, in tables.
    """

    name: str
    label: str
    formula: str
    span: str
    better: str
    source: str
    digits: int = 3


DEFINITIONS = (
    ScoreDefinition(
        "flicker",
        "temporal flicker",
        "mean absolute difference of neighbouring frames / 255",
        "0..1",
        "lower",
        "VBench",
        4,
    ),
    ScoreDefinition(
        "motion",
        "motion",
        "mean length of the optical flow (dense inverse search) / diagonal, per second",
        "0 up, diagonals a second",
        "neither",
        "Kroeger 2016, after VBench",
        4,
    ),
    ScoreDefinition(
        "frozen_share",
        "frozen share",
        "share of steps whose mean absolute difference / 255 is at most 0.001",
        "0..1",
        "lower",
        "FFmpeg's freezedetect",
    ),
    ScoreDefinition(
        "brightness_distance",
        "brightness against real clips",
        "Wasserstein distance of the mean V of HSV to the real clips of the emotion, mean over emotions",
        "0..1",
        "lower",
        "Vaserstein 1969",
    ),
    ScoreDefinition(
        "colorfulness_distance",
        "colorfulness against real clips",
        "the same of the mean S of HSV",
        "0..1",
        "lower",
        "Vaserstein 1969",
    ),
    ScoreDefinition(
        "hue_distance",
        "hue against real clips",
        "the same of the mean hue, on the circle",
        "0..180 degrees",
        "lower",
        "Rabin 2011",
        1,
    ),
    ScoreDefinition(
        "seed_diversity",
        "diversity among seeds",
        "mean absolute difference / 255 of every two videos of one prompt and emotion, 8 frames at 64 x 64",
        "0..1",
        "higher",
        "Zhu 2017, on pixels",
    ),
    ScoreDefinition(
        "content_kept",
        "content changed",
        "mean LPIPS of 8 frames of the video and of the same seed's at intensity 0",
        "0 up",
        "lower",
        "Zhang 2018",
    ),
    ScoreDefinition(
        "prompt_match",
        "prompt match",
        "mean cosine of CLIP's features of the scene, without the emotion, and of a frame",
        "-1..1",
        "higher",
        "Hessel 2021, mean over frames as in EvalCrafter",
        4,
    ),
    ScoreDefinition(
        "fvd",
        "FVD",
        "Fréchet distance of Gaussians fitted to VideoMAE features of the videos and of the real clips",
        "0 up",
        "lower",
        "Ge 2024",
        1,
    ),
)
"""All of them, in the order of tables."""

BY_NAME = {one.name: one for one in DEFINITIONS}


def definitions_table() -> str:
    """The definitions as a table in Markdown, as docs/evaluation.md has it."""
    rows = [
        "| score | formula | range | better | source |",
        "|---|---|---|---|---|",
        *(
            f"| {one.label} | {one.formula} | {one.span} | {one.better} | {one.source} |"
            for one in DEFINITIONS
        ),
    ]
    return "\n".join(rows)
