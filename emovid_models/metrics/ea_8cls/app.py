"""The metric's page: labels in, EA-8cls with its interval and the confusion matrix out."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

import evaluate
import gradio as gr
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

metric = evaluate.load(str(Path(__file__).with_name("ea_8cls.py")))

EXAMPLE_PREDICTIONS = """amusement
amusement
awe
awe
contentment
contentment
excitement
amusement
anger
fear
disgust
anger
fear
fear
sadness
-"""
EXAMPLE_REFERENCES = """amusement
amusement
awe
contentment
contentment
contentment
excitement
excitement
anger
anger
disgust
disgust
fear
fear
sadness
sadness"""
EXAMPLE_GROUPS = "\n".join(["cartoon", "movie", "sticker", "movie"] * 4)

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.ea-flush, .ea-flush > div { padding: 0 !important; }
.ea-tiles { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
.ea-tile { background: var(--block-background-fill); border-radius: 10px; padding: 12px 14px;
  box-shadow: var(--block-shadow); }
.ea-tile b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.ea-tile span { display: block; color: var(--body-text-color-subdued); font-size: .82rem; line-height: 1.4; }
.ea-error { background: var(--block-background-fill); border-left: 5px solid #c2410c; border-radius: 8px;
  padding: 12px 14px; overflow-wrap: anywhere; }
.ea-tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 16px;
  align-items: start; }
.ea-tables > div { overflow-x: auto; background: var(--block-background-fill); border-radius: 10px;
  padding: 8px 10px; box-shadow: var(--block-shadow); min-width: 0; }
.ea-tables table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.ea-tables :is(table, tr) { border: 0 !important; margin: 0 !important; }
.ea-tables :is(th, td) { padding: 5px 3px !important; border: 0 !important; text-align: right;
  font-size: .8rem !important; white-space: nowrap; }
.ea-tables tr + tr :is(th, td) { border-top: 1px solid var(--border-color-primary) !important; }
.ea-tables :is(th, td):first-child { text-align: left; }
"""


def parse_lines(text: str) -> list[Any]:
    """Read one prediction or reference per line.

    Args:
        text: names, indices, or eight numbers separated by commas or spaces; a blank line or "-" is unscored.

    Returns:
        One value per line: text, a list of floats, or None.

    >>> parse_lines("awe\\n-\\n0.5, 0.5, 0 0 0 0 0 0")
    ['awe', None, [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    return [_parse_line(line.strip()) for line in text.rstrip().splitlines()]


def _parse_line(line: str) -> Any:
    if line in ("", "-"):
        return None
    words = line.strip("[]").replace(",", " ").split()
    if len(words) > 1:
        try:
            return [float(word) for word in words]
        except ValueError:
            return line
    return line


def draw_confusion(matrix: Any, emotions: tuple[str, ...]) -> Image.Image:
    """Draw the confusion matrix: each cell's count, and its share of the row as colour.

    Args:
        matrix: 8 x 8 counts, rows are references.
        emotions: the eight names.

    Returns:
        An RGB picture, 1120 pixels wide.

    >>> draw_confusion([[1] * 8] * 8, tuple("abcdefgh")).size
    (1120, 1008)
    """
    counts = np.asarray(matrix, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7, 6.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(8), emotions, rotation=40, ha="right", rotation_mode="anchor", fontsize=12)
    axes.set_yticks(range(8), emotions, fontsize=12)
    axes.set_title("Confusion matrix", loc="left", fontsize=13, pad=12)
    axes.set_xlabel("annotated emotion", fontsize=12)
    axes.set_ylabel("intended emotion", fontsize=12)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # Lines between the four positive and the four negative emotions: what EA-2cls counts.
    axes.axhline(3.5, color="#475569", linewidth=1)
    axes.axvline(3.5, color="#475569", linewidth=1)
    for row, column in np.ndindex(8, 8):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.55 else "#0f172a"
            text = f"{counts[row, column]:g}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return Image.open(buffer).convert("RGB")


def describe(result: dict[str, Any]) -> str:
    """The two shares with their intervals, and the numbers of rows, as HTML.

    Args:
        result: what the metric computed.

    Returns:
        HTML.

    >>> "EA-8cls" in describe(metric.compute(predictions=[0], references=[0]))
    True
    """
    level = f"{100 * result['confidence_level']:.4g} %"
    tiles = []
    for key, title in (("ea_8cls", "EA-8cls"), ("ea_2cls", "EA-2cls")):
        lines = [title, f"{level} interval {_percent_range(result[f'{key}_wilson'])}"]
        if result[f"{key}_bootstrap"] is not None:
            lines.append(f"over groups {_percent_range(result[f'{key}_bootstrap'])}")
        tiles.append((_percent(result[key]) + " %", lines))
    tiles.append((_percent(result["macro_f1"]) + " %", ["macro F1"]))
    tiles.append((str(result["n"]), ["videos", f"{result['unscored']} unscored, so wrong"]))
    body = "".join(
        f'<div class="ea-tile"><b>{value}</b>{"".join(f"<span>{line}</span>" for line in lines)}</div>'
        for value, lines in tiles
    )
    return f'<div class="ea-tiles">{body}</div>'


def tabulate(result: dict[str, Any]) -> str:
    """Recall, precision and F1 of each emotion, and each group's shares, as HTML.

    Args:
        result: what the metric computed.

    Returns:
        HTML; the groups' names are escaped.

    >>> tabulate(metric.compute(predictions=[0], references=[0], groups=["<b>"])).count("&lt;b&gt;")
    1
    """
    emotions = [
        [
            name,
            _percent(row["recall"]),
            _percent(row["precision"]),
            _percent(row["f1"]),
            f"{row['support']:g}",
        ]
        for name, row in result["per_emotion"].items()
    ]
    tables = _table(["in %", "recall", "precision", "F1", "videos"], emotions)
    if result["groups"]:
        groups = [
            [name, _percent(row["ea_8cls"]), _percent(row["ea_2cls"]), row["n"], row["unscored"]]
            for name, row in result["groups"].items()
        ]
        tables += _table(["in %", "EA-8cls", "EA-2cls", "videos", "unscored"], groups)
    return f'<div class="ea-tables">{tables}</div>'


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _percent_range(bounds: list[float]) -> str:
    return f"{_percent(bounds[0])} to {_percent(bounds[1])}"


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<div><table><tr>{head}</tr>{body}</table></div>"


def score_text(
    predictions: str, references: str, groups: str, percent: float, first_of_ties: bool
) -> tuple[str, Image.Image | None, str, dict[str, Any] | None]:
    """Score what is in the boxes.

    Args:
        predictions: one per line, see `parse_lines`.
        references: one per line.
        groups: one per line, or empty.
        percent: confidence level, 50..99.9.
        first_of_ties: whether a tie goes to the first emotion instead of being an error.

    Returns:
        The numbers as HTML, the confusion matrix as a picture, the tables as HTML, the whole result. An input
        error comes in place of the numbers, and the others are empty then.

    >>> score_text("joy", "awe", "", 95, False)[1] is None
    True
    """
    try:
        result = metric.compute(
            predictions=parse_lines(predictions),
            references=parse_lines(references),
            groups=groups.rstrip().splitlines() or None,
            confidence_level=percent / 100,
            ties="first" if first_of_ties else "error",
        )
    except ValueError as error:
        message = f"{html.escape(str(error))} <span>(positions count from 0)</span>"
        return f'<div class="ea-error" role="alert">{message}</div>', None, "", None
    return (
        describe(result),
        draw_confusion(result["confusion_matrix"], metric.emotions),
        tabulate(result),
        result,
    )


def build() -> gr.Blocks:
    """The page, not started yet.

    Returns:
        Gradio blocks.

    >>> build().title
    'EA-8cls'
    """
    with gr.Blocks(title="EA-8cls", analytics_enabled=False) as page:
        gr.Markdown(
            "# EA-8cls\nHow often does a generated video show the emotion that was asked for? "
            "One video per line: a name, an index 0..7 or eight scores. "
            "A blank line or `-` is unscored and counts as wrong."
        )
        with gr.Row():
            with gr.Column(min_width=300):
                with gr.Row():
                    predictions = gr.Textbox(
                        EXAMPLE_PREDICTIONS, label="Predictions", lines=12, max_lines=12, min_width=130
                    )
                    references = gr.Textbox(
                        EXAMPLE_REFERENCES, label="References", lines=12, max_lines=12, min_width=130
                    )
                with gr.Accordion("Groups and options"):
                    groups = gr.Textbox(EXAMPLE_GROUPS, label="Groups, optional", lines=3, max_lines=3)
                    percent = gr.Slider(50, 99.9, value=95, step=0.1, label="Confidence, %")
                    first_of_ties = gr.Checkbox(label="A tie goes to the first emotion")
                button = gr.Button("Score", variant="primary")
            with gr.Column(min_width=300):
                numbers = gr.HTML(padding=False, elem_classes="ea-flush")
                picture = gr.Image(
                    show_label=False,
                    alt_text="Confusion matrix: rows are intended, columns are annotated emotions",
                    type="pil",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                )
        tables = gr.HTML(padding=False, elem_classes="ea-flush")
        with gr.Accordion("All values", open=False):
            values = gr.JSON(show_label=False)
        inputs = [predictions, references, groups, percent, first_of_ties]
        outputs = [numbers, picture, tables, values]
        button.click(score_text, inputs, outputs, api_name="score")
        page.load(score_text, inputs, outputs, api_name=False)
    return page


# Fonts of the system, so that the page needs nothing from other hosts.
THEME = gr.themes.Soft(
    primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)

if __name__ == "__main__":
    build().launch(theme=THEME, css=CSS)
