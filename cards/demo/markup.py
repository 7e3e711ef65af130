"""Pieces of HTML: cards of clips, bars of probabilities, messages. Every text from outside is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from emotions import NAMES, VALENCES, valence

UNREADABLE = "This clip cannot be read; try another one."


def alert(message: str) -> str:
    """A message that something did not work.

    >>> alert("<b>")
    '<div class="alert" role="alert">&lt;b&gt;</div>'
    """
    return f'<div class="alert" role="alert">{html.escape(message)}</div>'


def hint(message: str) -> str:
    """A message in place of what is not there yet."""
    return f'<div class="hint-box">{html.escape(message)}</div>'


def percents(probabilities: Mapping[str, float]) -> dict[str, str]:
    """Probabilities in per cent with one digit, rounded so that they sum to 100.0.

    >>> percents({"awe": 1 / 3, "fear": 1 / 3, "anger": 1 / 3})
    {'awe': '33.4', 'fear': '33.3', 'anger': '33.3'}
    """
    exact = {name: 1000 * share for name, share in probabilities.items()}
    whole = {name: math.floor(value) for name, value in exact.items()}
    missing = 1000 - sum(whole.values())
    for name in sorted(exact, key=lambda name: whole[name] - exact[name])[:missing]:
        whole[name] += 1
    return {name: f"{value / 10:.1f}" for name, value in whole.items()}


def bars(probabilities: Mapping[str, float], caption: str = "", asked: str | None = None) -> str:
    """A bar for each emotion, under the two valences where they are known, the likeliest one and a caption.

    Args:
        probabilities: of the annotator's emotions, sum 1.
        caption: what the annotator says the video shows.
        asked: the emotion that the generator was asked for; its bar is marked.
    """
    shown = percents(probabilities)
    are_the_eight = set(probabilities) == set(NAMES)
    names = list(NAMES) if are_the_eight else sorted(probabilities)
    likeliest = max(names, key=lambda name: probabilities[name])
    groups = []
    for kind in VALENCES if are_the_eight else ("emotions",):
        members = [name for name in names if not are_the_eight or valence(name) == kind]
        total = sum(float(shown[name]) for name in members)
        rows = "".join(
            f'<div class="bar{" best" if name == likeliest else ""}{" asked" if name == asked else ""}" '
            f'role="meter" aria-label="{name}" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{shown[name]}" style="--c: var(--{name}); --share: {probabilities[name]:.5f}">'
            f'<span class="label"><i class="dot"></i>{name}</span><span class="track"><i></i></span>'
            f'<span class="value">{shown[name]} %</span></div>'
            for name in members
        )
        groups.append(f'<div class="bars {kind}"><h4>{kind}<span>{total:.1f} %</span></h4>{rows}</div>')
    verdict = (
        f'<p class="verdict" style="--c: var(--{likeliest})"><i class="dot"></i><b>{likeliest}</b>'
        f"<span>{shown[likeliest]} %</span></p>"
    )
    if asked:
        answer = "as asked" if asked == likeliest else f"{asked} was asked for: {shown[asked]} %"
        verdict = verdict.replace("</p>", f'<span class="asked">{answer}</span></p>')
    said = f'<p class="said">{html.escape(caption)}</p>' if caption.strip() else ""
    return f'<div class="annotation">{verdict}{said}{"".join(groups)}</div>'


def cards(clips: pd.DataFrame) -> str:
    """A grid of clips, each a button that opens the player; what the player shows stands beside it."""
    return f'<ul class="clips">{"".join(_card(row) for row in clips.to_dict("records"))}</ul>'


def _card(clip: Mapping[str, Any]) -> str:
    emotion, caption = clip["emotion"], html.escape(clip["caption"])
    # In a style sheet an escaped text still acts.
    colour = f"--c: var(--{emotion})" if emotion in NAMES else ""
    sound = " · sound" if clip["has_audio"] else ""
    address = f"clip/{html.escape(clip['id'])}.mp4"
    return (
        f'<li class="clip" style="{colour}" data-id="{html.escape(clip["id"])}" '
        f'data-address="{address}" data-ratio="{clip["width"] / clip["height"]:.4f}">'
        f'<button type="button" aria-label="Play: {caption or emotion}">'
        f'<img src="poster/{html.escape(clip["id"])}.jpg" alt="">'
        f'<video src="{address}" muted loop playsinline preload="none" tabindex="-1"></video>'
        f'<span class="unreadable" hidden>{UNREADABLE}</span>'
        f'<span class="mood"><i class="dot"></i>{html.escape(emotion)}</span></button>'
        f'<p class="caption">{caption}</p>'
        f'<p class="facts">{html.escape(clip["content_type"])} · {clip["duration"]:.1f} s{sound}</p>'
        f'<div class="more" hidden>{_more(clip)}</div></li>'
    )


def _more(clip: Mapping[str, Any]) -> str:
    by = {"human": "given by a person", "model": "given by the annotator"}
    facts = {
        "emotion": f'<i class="dot"></i>{html.escape(clip["emotion"])}, '
        f"{by.get(clip['emotion_source'], html.escape(str(clip['emotion_source'])))}",
        "content": html.escape(clip["content_type"]),
        "length": f"{clip['duration']:.2f} s, {clip['num_frames']} frames, "
        f"{'with' if clip['has_audio'] else 'no'} sound",
        "picture": f"{clip['width']} × {clip['height']}, {round(clip['fps'], 2):g} frames per second",
        "brightness": f"{clip['brightness']:.2f}",
        "colourfulness": f"{clip['colorfulness']:.2f}",
        "hue": _hue(clip["hue"], clip.get("hue_chroma", clip["hue"])),
        "source": _source(str(clip["source"])),
        "licence": html.escape(clip["license"] or "not stated"),
        "id": f"<code>{html.escape(clip['id'])}</code>",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<p class="said">{html.escape(clip["caption"]) or "No caption."}</p><dl>{rows}</dl>'


def _hue(hue: float | None, of_chroma: float | None) -> str:
    """A hue with a swatch of it, where the clip is not grey: grey pixels count as red.

    >>> _hue(0.0, None), _hue(None, None)
    ('0°, it is grey', 'none')
    """
    if hue is None or math.isnan(hue):
        return "none"
    text = f"{round(hue) % 360}°"
    if of_chroma is None or math.isnan(of_chroma):
        return f"{text}, it is grey"
    return f'<i class="swatch" style="background: hsl({hue:.0f} 70% 52%)"></i>{text}'


def _source(text: str) -> str:
    """A source, as a link where it is an address.

    >>> _source("https://example.org/?a=<b>")
    '<a href="https://example.org/?a=&lt;b&gt;" rel="noopener noreferrer" target="_blank">https://example.org/?a=&lt;b&gt;</a>'
    """
    shown = html.escape(text)
    if text.startswith(("https://", "http://")):
        return f'<a href="{shown}" rel="noopener noreferrer" target="_blank">{shown}</a>'
    return shown
