"""Two controls that Gradio lacks: a wheel of emotions, and a slider with two thumbs; and plain markup.

Both controls are `gr.HTML` with a script and a value of their own, and work by mouse, touch and keyboard.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

import gradio as gr
from emotions import EMOTIONS, VALENCES

_FOLDER = Path(__file__).parent
_RADIUS, _HOLE, _GAP = 166.0, 70.0, 1.3


def plain_html(value: str = "", **options: Any) -> gr.HTML:
    """Markup in the page's own style; Gradio's is for prose."""
    return gr.HTML(value, apply_default_css=False, **options)


def emotion_wheel(value: str = "", **options: Any) -> gr.HTML:
    """The eight emotions around a wheel; in its middle, none.

    The positive emotions are its upper half, the negative ones its lower half, in the dataset's order. It is
    a radio group: arrow keys turn it.

    Args:
        value: the emotion at the start.
        **options: of `gr.HTML`.

    Returns:
        A control whose value is a name, or "" for no emotion.
    """
    script = (_FOLDER / "wheel.js").read_text(encoding="utf-8")
    return gr.HTML(value, html_template=_wheel(), js_on_load=script, apply_default_css=False, **options)


def range_slider(
    label: str,
    bounds: tuple[float, float] = (0, 1),
    *,
    step: float = 0.01,
    unit: str = "",
    circular: bool = False,
    track: str = "var(--track)",
    **options: Any,
) -> gr.HTML:
    """A slider with two thumbs.

    Args:
        label: what it is a range of.
        bounds: of the whole range.
        step: between two values.
        unit: written after a number.
        circular: the first thumb may stand behind the second: the range then runs through the bounds.
        track: CSS background of the whole track.
        **options: of `gr.HTML`.

    Returns:
        A control whose value is [least, greatest].
    """
    return gr.HTML(
        list(bounds),
        html_template=_range(label, bounds, step, unit, circular, track),
        js_on_load=(_FOLDER / "range.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )


def _wheel() -> str:
    sectors = "".join(_sector(index) for index in range(len(EMOTIONS)))
    moods = {"": "no emotion asked for"} | {emotion.name: emotion.mood for emotion in EMOTIONS}
    told = html.escape(json.dumps(moods, allow_nan=False))
    upper, lower = (_arc_text(name, index) for index, name in enumerate(VALENCES))
    return f"""<div class="wheel" data-moods="{told}" data-value="${{value}}">
<svg viewBox="-200 -200 400 400" role="radiogroup" aria-label="Emotion">
{upper}{lower}
{sectors}
<g class="none" role="radio" data-emotion="" aria-label="no emotion" aria-checked="${{value === ''}}"
 tabindex="${{value === '' ? 0 : -1}}"><circle r="{_HOLE - 4:g}"></circle>
<text class="name" y="-2">${{value || 'none'}}</text>
<text class="hint" y="17">${{value ? 'clear' : 'choose'}}</text></g>
</svg>
<p class="mood" aria-live="polite"></p></div>"""


def _sector(index: int) -> str:
    name = EMOTIONS[index].name
    # Clockwise from nine o'clock: four above, four below.
    middle = math.pi + (index + 0.5) * math.pi / 4
    x, y = 127 * math.cos(middle), 127 * math.sin(middle)
    return f"""<g role="radio" data-emotion="{name}" aria-label="{name}" style="--c: var(--{name})"
 aria-checked="${{value === '{name}'}}" tabindex="${{value === '{name}' ? 0 : -1}}">
<path class="ground" d="{_wedge(middle)}"></path><path class="fill" d="{_wedge(middle)}"></path>
<path class="edge" d="{_wedge(middle)}"></path>
<text x="{x:.1f}" y="{y:.1f}">{name}</text></g>"""


def _wedge(middle: float) -> str:
    """A pie's slice of an eighth, from the centre to the rim, with a gap to its neighbours."""
    half = math.pi / 8 - _GAP / _RADIUS
    (x0, y0), (x1, y1) = (
        (_RADIUS * math.cos(middle + side * half), _RADIUS * math.sin(middle + side * half))
        for side in (-1, 1)
    )
    return f"M0 0 L{x0:.2f} {y0:.2f} A{_RADIUS:g} {_RADIUS:g} 0 0 1 {x1:.2f} {y1:.2f} Z"


def _arc_text(text: str, index: int) -> str:
    """A word along the rim: the first above, the second below."""
    radius, sweep = (179, 1) if index == 0 else (190, 0)
    rim = f"M-{radius} 0 A{radius} {radius} 0 0 {sweep} {radius} 0"
    return (
        f'<path id="rim-{text}" class="rim" d="{rim}"></path>'
        f'<text class="valence"><textPath href="#rim-{text}" startOffset="50%">{text}</textPath></text>'
    )


def _range(
    label: str, bounds: tuple[float, float], step: float, unit: str, circular: bool, track: str
) -> str:
    low, high = bounds
    thumb = f'type="range" min="{low:g}" max="{high:g}" step="{step:g}"'
    return f"""<div class="range" data-circular="{"yes" if circular else ""}" data-unit="{html.escape(unit)}"
 data-min="{low:g}" data-max="{high:g}" data-step="{step:g}">
<div class="range-head"><span>{html.escape(label)}</span><output></output></div>
<div class="range-track" style="--whole: {track}"><i></i><i></i>
<input class="low" {thumb} aria-label="{html.escape(label)}, from">
<input class="high" {thumb} aria-label="{html.escape(label)}, to"></div></div>"""
