"""The page's look: one palette for light and dark, fonts of the system, nothing from other hosts."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from emotions import EMOTIONS

_LIGHT = {
    "page": "#faf9f6",
    "panel": "#ffffff",
    "ink": "#1c2127",
    "soft": "#59626d",
    "line": "#e3e0d9",
    "track": "#eceae4",
    "link": "#2454a6",
    "positive": "#117965",
    "negative": "#8a3b4a",
}
_DARK = {
    "page": "#111418",
    "panel": "#191d23",
    "ink": "#e9ebee",
    "soft": "#a3acb7",
    "line": "#2c333c",
    "track": "#272d35",
    "link": "#9cc0ff",
    "positive": "#5fb8a2",
    "negative": "#d98695",
}
_SANS = [
    "-apple-system",
    "BlinkMacSystemFont",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Noto Sans",
    "Liberation Sans",
    "Arial",
    "sans-serif",
]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]


def _both(**values: str) -> dict[str, str]:
    """Gradio's variables, the same on a light and a dark page: our own switch by themselves."""
    return values | {f"{name}_dark": value for name, value in values.items()}


THEME = gr.themes.Base(
    font=_SANS, font_mono=_MONO, radius_size=gr.themes.sizes.radius_lg, text_size=gr.themes.sizes.text_md
).set(
    # The page is painted with these two before any style sheet is read.
    body_background_fill=_LIGHT["page"],
    body_background_fill_dark=_DARK["page"],
    body_text_color=_LIGHT["ink"],
    body_text_color_dark=_DARK["ink"],
    **_both(
        body_text_color_subdued="var(--soft)",
        background_fill_primary="var(--panel)",
        background_fill_secondary="var(--page)",
        border_color_primary="var(--line)",
        border_color_accent="var(--line)",
        color_accent_soft="var(--track)",
        link_text_color="var(--link)",
        link_text_color_hover="var(--link)",
        link_text_color_visited="var(--link)",
        link_text_color_active="var(--link)",
        block_background_fill="var(--panel)",
        block_border_color="var(--line)",
        block_border_width="1px",
        block_label_background_fill="var(--panel)",
        block_label_border_color="var(--line)",
        block_label_text_color="var(--soft)",
        block_title_text_color="var(--ink)",
        block_info_text_color="var(--soft)",
        block_shadow="none",
        panel_background_fill="var(--panel)",
        panel_border_color="var(--line)",
        input_background_fill="var(--page)",
        input_background_fill_focus="var(--page)",
        input_border_color="var(--line)",
        input_border_color_focus="var(--link)",
        input_placeholder_color="var(--soft)",
        input_shadow="none",
        input_shadow_focus="none",
        slider_color="var(--ink)",
        checkbox_background_color="var(--page)",
        checkbox_background_color_selected="var(--ink)",
        checkbox_border_color="var(--line)",
        checkbox_border_color_focus="var(--link)",
        checkbox_border_color_selected="var(--ink)",
        checkbox_label_background_fill="var(--panel)",
        checkbox_label_background_fill_hover="var(--track)",
        checkbox_label_background_fill_selected="var(--ink)",
        checkbox_label_border_color="var(--line)",
        checkbox_label_text_color="var(--ink)",
        checkbox_label_text_color_selected="var(--page)",
        button_primary_background_fill="var(--ink)",
        button_primary_background_fill_hover="var(--ink)",
        button_primary_border_color="var(--ink)",
        button_primary_text_color="var(--page)",
        button_primary_text_color_hover="var(--page)",
        button_secondary_background_fill="var(--panel)",
        button_secondary_background_fill_hover="var(--track)",
        button_secondary_border_color="var(--line)",
        button_secondary_text_color="var(--ink)",
        loader_color="var(--ink)",
    ),
)


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def head() -> str:
    """The style sheet, for the head of the page: Gradio's own `css` would be confined to its container."""
    light = _LIGHT | {emotion.name: emotion.light for emotion in EMOTIONS}
    dark = _DARK | {emotion.name: emotion.dark for emotion in EMOTIONS}
    sheet = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"<style>:root {{ {_variables(light)} }} .dark {{ {_variables(dark)} }}\n{sheet}</style>"
