"""From what one pass over a film tells to clips: kept ones, and those that are left out with the reason.

::

    measures --transitions--> shots --divided--> stretches --words, filters--> clips
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from emovid_dataset.cut.bars import bars_of
from emovid_dataset.cut.gradual import black_frames
from emovid_dataset.cut.lengths import ShotPart, SpeaksAt, divided_between_words, out_of_words, shots_between
from emovid_dataset.cut.likeness import MOMENTS, likeness_of
from emovid_dataset.cut.measure import Measures
from emovid_dataset.cut.records import CutSettings, ProposedClip, Transition

_BLACK = 0.5  # share of a clip's frames
_STILL = 4.0  # levels: no point of a tiny picture changes by more than a codec's noise
_STILL_FRAMES = 0.9  # share of a clip's frames in which nothing moves
_TEXT = 0.012  # share of the picture


def propose(
    measures: Measures, transitions: Sequence[Transition], settings: CutSettings
) -> list[ProposedClip]:
    """Cut a film.

    Args:
        measures: of the film.
        transitions: between its shots, ascending.
        settings: bounds of the clips.

    Returns:
        The clips in the order of the film; every frame is in one of them, or in one that is left out.
    """
    speaks_at = SpeaksAt(measures.times, measures.speech)
    clips: list[ProposedClip] = []
    reached = 0
    for shot in shots_between(transitions, measures.frames):
        if shot.first > reached:
            clips.append(_left_out(measures, reached, shot.first, "a gradual transition"))
        clips += _of_shot(measures, shot, settings, speaks_at)
        reached = shot.stop
    if reached < measures.frames:
        clips.append(_left_out(measures, reached, measures.frames, "a gradual transition"))
    return clips


def _of_shot(
    measures: Measures, shot: ShotPart, settings: CutSettings, speaks_at: SpeaksAt
) -> list[ProposedClip]:
    times, clips = measures.times, []
    wholes = divided_between_words(shot, times, measures.change, speaks_at, settings.least, settings.most)
    for whole in wholes:
        if (reason := _reason(measures, whole, settings)) is not None:
            clips.append(_clip(measures, whole, reason))
            continue
        part, reason = out_of_words(whole, times, speaks_at, settings.least)
        if part.first > whole.first:
            clips.append(_left_out(measures, whole.first, part.first, "the rest of a word", whole.shot))
        clips.append(_clip(measures, part, reason))
        if part.stop < whole.stop:
            clips.append(_left_out(measures, part.stop, whole.stop, "the beginning of a word", whole.shot))
    return clips


def _reason(measures: Measures, part: ShotPart, settings: CutSettings) -> str | None:
    """Why a stretch is no clip, by its length and by what it shows."""
    frames = slice(part.first, part.stop)
    seconds = float(measures.times[part.stop] - measures.times[part.first])
    if (share := float(black_frames(measures)[frames].mean())) > _BLACK:
        return f"black: {share:.0%} of its frames"
    if seconds < settings.least - 1e-6:
        # it is a whole shot: joined to its neighbour it would put a cut into the middle of a clip
        return f"shorter than {settings.least:g} s: {seconds:.2f} s"
    if seconds > settings.most + 1e-6:
        return f"longer than {settings.most:g} s: {seconds:.2f} s, in which a picture stands too long"
    moves = measures.stir[part.first + 1 : part.stop]
    if not len(moves) or (moves <= _STILL).mean() >= _STILL_FRAMES:
        return "still: nothing moves"
    if (text := _text(measures, part)) >= _TEXT:
        return f"text: lines of it cover {text:.0%} of the picture"
    return None


def _sampled(measures: Measures, part: ShotPart) -> slice:
    """Which of the sampled frames are of a stretch; the one before where none is."""
    low, high = (int(place) for place in np.searchsorted(measures.sampled, [part.first, part.stop]))
    return slice(max(0, low - 1), low) if low == high else slice(low, high)


def _text(measures: Measures, part: ShotPart) -> float:
    """The mean share of text in a stretch."""
    text = measures.text[_sampled(measures, part)]
    return float(text.mean()) if len(text) else 0.0


def _clip(measures: Measures, part: ShotPart, reason: str | None) -> ProposedClip:
    frames = slice(part.first, part.stop)
    sampled = _sampled(measures, part)
    moves = measures.change[part.first + 1 : part.stop]
    places = [part.first + int((part.stop - part.first) * moment) for moment in MOMENTS]
    return ProposedClip(
        first=part.first,
        stop=part.stop,
        start=float(measures.times[part.first]),
        end=float(measures.times[part.stop]),
        shot=part.shot,
        reason=reason,
        motion=float(moves.mean()) if len(moves) else 0.0,
        luma=float(measures.luma[frames].mean()),
        text=_text(measures, part),
        bars=bars_of(measures.rows[sampled], measures.columns[sampled]),
        pictures=_pictures(measures, sampled),
        likeness=tuple(likeness_of(measures.thumbnails.at(place)) for place in places),
    )


def _pictures(measures: Measures, sampled: slice) -> tuple[str, ...]:
    """Three of the sampled pictures of a stretch, or fewer, as base64."""
    if measures.pictures is None:
        return ()
    there = range(sampled.start, sampled.stop)
    chosen = sorted({there[int(len(there) * moment)] for moment in MOMENTS}) if there else []
    return tuple(base64.b64encode(measures.pictures[place]).decode() for place in chosen)


def _left_out(measures: Measures, first: int, stop: int, what: str, shot: int = -1) -> ProposedClip:
    """Frames that are of no clip for what they are."""
    if damaged := int(measures.damaged[first:stop].sum()):
        what = f"damaged: {damaged} frames do not decode"
    return _clip(measures, ShotPart(first, stop, shot), what)
