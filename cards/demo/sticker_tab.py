"""The tab "Sticker": a picture of any character becomes animated stickers, one per emotion."""

from __future__ import annotations

import html
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from controls import plain_html
from emotions import NAMES
from generator import FPS, Generator, Wish
from markup import alert, hint
from PIL import Image
from settings import Settings
from sticker.animation import contact_sheet, encode_gif, encode_webp
from sticker.choices import BACKGROUNDS, PROMPT, TOLERANCE
from sticker.cutout import cut_out
from sticker.picture import frame_shape, prepare, read_picture
from visitors import kept, said

log = logging.getLogger(__name__)


def sticker_tab(settings: Settings, generator: Generator, note: str) -> None:
    """Build the tab.

    Args:
        settings: the page's.
        generator: makes the frames.
        note: what visitors are told of their files.
    """
    able = generator.has("i2v")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            if not able:
                plain_html(alert("No generator that starts from a picture is set up here."))
            picture = gr.Image(
                label="Picture of a character",
                type="filepath",
                sources=["upload"],
                height=220,
                elem_classes="media",
                elem_id="sticker-picture",
            )
            # As in the tab "Generate": a broken picture shall be a message, not an error without words.
            picture.preprocess = lambda data: data and data.path  # type: ignore[method-assign]
            emotions = gr.CheckboxGroup(
                list(NAMES),
                value=["excitement"],
                label="Emotions",
                elem_classes="chips moods",
                elem_id="sticker-emotions",
            )
            every = gr.Button("All eight", size="sm")
            intensity = gr.Slider(
                0, 2, 1, step=0.1, label="Intensity", info="0 is the base model, 1 as trained"
            )
            with gr.Accordion("Words, background and noise", open=False, elem_classes="bare"):
                prompt = gr.Textbox(
                    PROMPT, label="What the picture shows", lines=2, max_lines=3, max_length=1000
                )
                background = gr.Radio(
                    list(BACKGROUNDS), value="auto", label="Background", elem_classes="chips"
                )
                tolerance = gr.Slider(
                    0,
                    128,
                    TOLERANCE,
                    step=1,
                    label="Tolerance",
                    info="how far a colour may be from the background's, of 255",
                )
                steps = gr.Slider(
                    1, max(60, settings.steps), settings.steps, step=1, label="Steps per sticker"
                )
                with gr.Row(elem_classes="seed"):
                    seed = gr.Number(
                        0, label="Seed of the noise", precision=0, minimum=0, maximum=2**31 - 1, min_width=120
                    )
                    dice = gr.Button("Another one", size="sm", min_width=120)
            button = gr.Button("Make stickers", variant="primary", interactive=able)
            plain_html(f'<p class="warning-note">{html.escape(note)}</p>')
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            message = plain_html(
                hint("Upload a picture, choose emotions, and make stickers."), elem_id="sticker-message"
            )
            made = plain_html(elem_id="stickers")

    def stick(
        picture: str | None,
        emotions: list[str],
        intensity: float,
        prompt: str,
        background: str,
        tolerance: float,
        steps: float,
        seed: float | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[tuple[str, str]]:
        """A line about the stickers, and the stickers; again after each."""
        shown = ""
        try:
            if not picture:
                raise ValueError("Upload a picture first.")
            if not emotions:
                raise ValueError("Choose at least one emotion.")
            if unknown := [name for name in emotions if name not in NAMES]:
                raise ValueError(f"The emotion {unknown[0]!r} is none of the eight.")
            names = [name for name in NAMES if name in emotions]
            image = read_picture(Path(picture))
            size = frame_shape(image, settings.height * settings.width)
            prepared = prepare(image, *size, background=background, tolerance=int(tolerance))
            rows: dict[str, np.ndarray] = {}
            for number, name in enumerate(names, 1):
                where = f"{name}, {number} of {len(names)}"
                progress(0, desc=f"{where}: getting ready")
                wish = Wish(
                    prompt=prompt,
                    emotion=name,
                    intensity=float(intensity),
                    content_type="sticker",
                    image=None,
                    steps=int(steps),
                    seed=int(seed or 0),
                )
                frames = generator.pictures(
                    wish, Image.fromarray(prepared.frame), size, _steps(progress, where)
                )
                pixels = (np.asarray(frames).clip(0, 1) * 255).round().astype(np.uint8)
                rows[name] = cut_out(pixels, prepared, tolerance=int(tolerance))
                webp = kept(made, f"{name}.webp", encode_webp(rows[name], FPS))
                gif = kept(made, f"{name}.gif", encode_gif(rows[name], FPS))
                shown += _card(name, webp, gif)
                line = (
                    f"{number} of {len(names)} stickers, {size[1]} × {size[0]}, {len(pixels)} frames, seed "
                )
                yield f'<p class="count">{line}{wish.seed}</p>', _grid(shown)
            sheet = kept(made, "contact_sheet.png", contact_sheet({name: list(rows[name]) for name in rows}))
            link = f' · <a href="{_address(sheet)}" download="contact_sheet.png">contact sheet</a>'
            yield f'<p class="count">{line}{wish.seed}{link}</p>', _grid(shown)
        except (ValueError, OSError, MemoryError) as error:
            yield alert(said(error)), _grid(shown)
        except Exception:
            log.exception("stickers could not be made")
            yield alert("The stickers could not be made."), _grid(shown)

    button.click(
        stick,
        [picture, emotions, intensity, prompt, background, tolerance, steps, seed],
        [message, made],
        api_name="stickers",
        concurrency_id="model",
        show_progress_on=message,
    )
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    every.click(lambda: list(NAMES), None, emotions, **quick)
    dice.click(lambda: random.randrange(2**31), None, seed, **quick)


def _steps(progress: gr.Progress, where: str) -> Callable[[int, int], None]:
    """Shows how far the denoising of a sticker is."""

    def show(done: int, whole: int) -> None:
        progress((done, whole), desc=f"{where}: denoising", unit="steps")

    return show


def _card(name: str, webp: str, gif: str) -> str:
    """A sticker and the links to its files."""
    links = " ".join(
        f'<a href="{_address(path)}" download="{name}.{kind.lower()}">{kind}</a>'
        for kind, path in (("WebP", webp), ("GIF", gif))
    )
    return (
        f'<li class="sticker" style="--c: var(--{name})"><img src="{_address(webp)}" alt="{name}">'
        f'<p><i class="dot"></i>{name}<span>{links}</span></p></li>'
    )


def _grid(cards: str) -> str:
    return f'<ul class="stickers">{cards}</ul>' if cards else ""


def _address(path: str) -> str:
    """Where Gradio serves a file that was kept."""
    return html.escape(f"gradio_api/file={path}")
