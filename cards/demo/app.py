"""The demo of EmoVid: look at clips, annotate a video, generate one with an emotion, make stickers."""

from __future__ import annotations

import html
import logging
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from annotator import Annotator
from clips import COLORFULNESS, HUE, ORDERS, Choice, Library
from controls import emotion_wheel, plain_html, range_slider
from emotions import CONTENT_TYPES, EMOTIONS, NAMES
from generator import Generator, Wish
from markup import UNREADABLE, alert, bars, cards, hint
from preview import preview
from settings import GeneratorSettings, Settings, shown_name
from starlette.routing import Route
from sticker_tab import sticker_tab
from theme import THEME, head
from visitors import kept, said

PAGE = 12
"""Clips on a page."""

LARGEST_UPLOAD = "64mb"
OLDEST = 3600
"""Seconds after which a file is deleted; whether there are such files is looked at as often."""

MOST_PREVIEWS = 256
"""Previews whose originals are known; of an older one the preview itself is annotated again."""

_ORIGINALS: dict[str, str] = {}
"""The file that was uploaded, by its preview."""

PICTURES = "Upload a GIF, WebP or APNG"
"""The button that takes what Gradio's video field refuses; `pictures.js` passes it on."""

DELETED = "Uploads, generated videos and stickers are deleted after two hours at most."
TOYS = (
    "The models of this page are toys of 64 × 64 pixels that ship with EmoVid: they show how it works, and "
    "nothing of what full models can do. They know faces, people and animals as stickers."
)
_FOLDER = Path(__file__).parent
_RAINBOW = "linear-gradient(90deg, {})".format(
    ", ".join(f"hsl({degrees} 70% 55%)" for degrees in range(0, 361, 30))
)
# The emotions' colours on the chips, which Gradio draws in order.
_CHIPS = "".join(
    f".moods label:nth-of-type({index + 1}) {{ --c: var(--{emotion.name}) }}"
    for index, emotion in enumerate(EMOTIONS)
)

log = logging.getLogger(__name__)


def build(settings: Settings) -> tuple[gr.Blocks, Library]:
    """The page, not started yet, and the library whose clips its player asks for.

    Args:
        settings: what it shows and runs.
    """
    library = Library(settings.dataset)
    annotator = Annotator(settings.annotator)
    generator = Generator(settings)
    with gr.Blocks(title="EmoVid", analytics_enabled=False, delete_cache=(OLDEST, OLDEST)) as page:
        plain_html(
            '<header class="masthead"><h1>EmoVid</h1><p>Video by the emotion that it conveys: look at the '
            "clips, annotate your own, generate one, make stickers.</p></header>"
        )
        if settings.are_toys:
            plain_html(f'<p class="toys">{TOYS}</p>')
        with gr.Tabs() as tabs:
            with gr.Tab("Look", id="look"):
                grid = _look(page, library)
            with gr.Tab("Annotate", id="annotate"):
                video, annotation = _annotate(annotator)
            with gr.Tab("Generate", id="generate"):
                _generate(settings, generator, annotator)
            with gr.Tab("Sticker", id="sticker"):
                sticker_tab(settings, generator, DELETED)
        plain_html(_colophon(settings, library, annotator))

        def take(event: gr.EventData) -> tuple[Any, ...]:
            return _taken(library, str(getattr(event, "id", "")), video)

        annotate = _annotation(annotator)

        def annotate_taken(path: str | None) -> Any:
            # Where there is no clip, a message says so already.
            return annotate(path) if path else gr.skip()

        grid.annotate(
            take,
            None,
            [video, annotation, tabs],
            api_visibility="private",
        ).then(
            annotate_taken,
            video,
            annotation,
            api_visibility="private",
            concurrency_id="model",
        )
        page.load(None, js=(_FOLDER / "pictures.js").read_text(encoding="utf-8"))
        page.load(
            lambda: _load_soon(annotator, generator),
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    return page, library


def _look(page: gr.Blocks, library: Library) -> Any:
    """The tab; returns its grid, which can ask for an annotation."""
    with gr.Row(equal_height=False):
        with (
            gr.Column(scale=1, min_width=290, elem_classes="sheet"),
            gr.Accordion("Filters", open=True, elem_classes="filters bare", elem_id="filters"),
        ):
            emotions = gr.CheckboxGroup(list(NAMES), label="Emotion", elem_classes="chips moods")
            kinds = gr.CheckboxGroup(list(CONTENT_TYPES), label="Content", elem_classes="chips")
            dark_to_light = "linear-gradient(90deg, #16181c, #fdfcf9)"
            grey_to_loud = "linear-gradient(90deg, #8b8f94, #6d8f86, #2f9c77, #e0487d, #ff7a00)"
            brightness = range_slider("Brightness", track=dark_to_light)
            colorfulness = range_slider("Colourfulness", COLORFULNESS, track=grey_to_loud)
            hue = range_slider("Hue", HUE, step=5, unit="°", circular=True, track=_RAINBOW)
            words = gr.Textbox(label="Words in the caption", placeholder="such as: ghost", max_lines=1)
            reset = gr.Button("Reset", size="sm")
        with gr.Column(scale=3, min_width=300):
            with gr.Row(elem_classes="results-head"):
                count = plain_html(elem_classes="bare", min_width=160)
                order = gr.Dropdown(
                    list(ORDERS), value=next(iter(ORDERS)), label="Order", show_label=False, container=False,
                    min_width=200, scale=0,
                )  # fmt: skip
            results = plain_html(
                hint("The list of clips is being read."),
                js_on_load=(_FOLDER / "cards.js").read_text(encoding="utf-8"),
                elem_id="results",
            )
            with gr.Row(elem_classes="pager"):
                back = gr.Button("Previous", size="sm", interactive=False)
                where = plain_html(elem_classes="where")
                forth = gr.Button("Next", size="sm", interactive=False)
    number = gr.State(0)
    chosen = [emotions, kinds, brightness, colorfulness, hue, words, order]
    shown = [number, count, results, where, back, forth]
    quick = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last"}

    def turn(step: int) -> Callable[..., Any]:
        return lambda current, *values: _clips(library, current + step, *values)

    def anew(*values: Any) -> Any:
        return _clips(library, 0, *values)

    page.load(
        None, js="() => { if (innerWidth < 860) document.querySelector('#filters .label-wrap')?.click() }"
    )
    # One event, so that the last answer is that to the last wish: the page's first one may be slow.
    page.load(
        lambda: _chips(library),
        None,
        [emotions, kinds],
        api_visibility="private",
        queue=False,
        show_progress="hidden",
    )
    wishes = [page.load, *(control.change for control in chosen)]
    gr.on(wishes, anew, chosen, shown, api_visibility="private", **quick)
    back.click(turn(-1), [number, *chosen], shown, api_visibility="private", **quick)
    forth.click(turn(1), [number, *chosen], shown, api_visibility="private", **quick)
    whole: list[Any] = [[], [], [0, 1], list(COLORFULNESS), list(HUE), "", next(iter(ORDERS))]
    # One answer: a second one for the clips could come after that to what is chosen meanwhile.
    reset.click(lambda: (*whole, *anew(*whole)), None, [*chosen, *shown], api_visibility="private", **quick)
    return results


def _chips(library: Library) -> tuple[Any, Any]:
    """The emotions and content types that the build has, for the filters."""
    try:
        return gr.update(choices=list(library.emotions())), gr.update(choices=list(library.content_types()))
    except Exception:  # of the Hub's client, which has exceptions of many kinds; the list of clips says it
        return gr.update(), gr.update()


def _clips(
    library: Library,
    number: int,
    emotions: list[str],
    kinds: list[str],
    brightness: list[float],
    colorfulness: list[float],
    hue: list[float],
    words: str,
    order: str,
) -> tuple[Any, ...]:
    """One page of the clips that are wanted: its number, how many there are, the cards, and the pager."""
    off = gr.update(interactive=False)
    try:
        clips = library.choose(
            Choice(
                emotions=emotions,
                content_types=kinds,
                brightness=(brightness[0], brightness[1]),
                colorfulness=(colorfulness[0], colorfulness[1]),
                hue=(hue[0], hue[1]),
                words=words,
                order=order,
            )
        )
    except Exception:  # of the Hub's client, which has exceptions of many kinds
        log.exception("the dataset %s cannot be read", library.name)
        message = f"The dataset {library.name} cannot be read; it may be private, or not there."
        return 0, "", alert(message), "", off, off
    whole = len(library.table())
    count = f'<p class="count"><b>{len(clips):,}</b> of {whole:,} clips</p>'
    if clips.empty:
        return 0, count, hint("No clip matches. Take a filter away, or widen a range."), "", off, off
    pages = -(-len(clips) // PAGE)
    number = min(max(number, 0), pages - 1)
    part = clips.iloc[number * PAGE : (number + 1) * PAGE]
    return (
        number,
        count,
        cards(part),
        f"page {number + 1} of {pages}",
        gr.update(interactive=number > 0),
        gr.update(interactive=number < pages - 1),
    )


def _taken(library: Library, clip_id: str, video: gr.Video) -> tuple[str | None, str, Any]:
    """A clip of the library as the video to annotate, and the tab for it."""
    try:
        path = kept(video, "clip.mp4", library.video(clip_id))
    except Exception:  # of the Hub's client, which has exceptions of many kinds
        log.exception("the clip %s cannot be read", clip_id)
        return None, alert(UNREADABLE), gr.Tabs(selected="annotate")
    return path, hint("The annotator is looking at the clip."), gr.Tabs(selected="annotate")


def _annotate(annotator: Annotator) -> tuple[gr.Video, gr.HTML]:
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            video = gr.Video(
                label="Video, GIF, WebP or APNG",
                sources=["upload"],
                height=340,
                elem_classes="media",
                elem_id="annotate-video",
            )
            picture = gr.UploadButton(PICTURES, file_types=[".gif", ".webp", ".apng", ".png"], size="sm")
            button = gr.Button("Annotate", variant="primary")
            plain_html(
                f'<p class="warning-note">Up to {LARGEST_UPLOAD.removesuffix("mb")} MB and ten minutes. '
                f"{DELETED}</p>"
            )
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            annotation = plain_html(
                hint("Upload a video to see the emotions' probabilities."),
                elem_id="annotation",
            )
    annotate = _annotation(annotator)
    for upload in (video, picture):
        # A preview that plays comes first; what the annotator says of the file itself takes longer.
        upload.upload(
            lambda path: _shown(path, video), upload, video, api_visibility="private", show_progress_on=video
        ).then(annotate, upload, annotation, api_visibility="private", concurrency_id="model")
    button.click(annotate, video, annotation, api_name="annotate", concurrency_id="model")
    return video, annotation


def _shown(path: str | None, video: gr.Video) -> Any:
    """A video as the player can show it: as it is, or a preview of it."""
    if not path:
        return gr.skip()
    try:
        found = preview(Path(path).read_bytes())
    except ValueError:
        return gr.skip()  # the annotator says what is wrong with it
    if found is None:
        return path
    shown = kept(video, "preview.mp4", found)
    _ORIGINALS[shown] = path
    while len(_ORIGINALS) > MOST_PREVIEWS:
        del _ORIGINALS[next(iter(_ORIGINALS))]
    return shown


def _annotation(annotator: Annotator) -> Callable[[str | None], str]:
    def annotate(video: str | None) -> str:
        """Eight probabilities of a video, and its caption where the model offers one, as HTML."""
        if not video:
            return alert("Upload a video first.")
        try:
            original = Path(_ORIGINALS.get(video, video))
            found = annotator.annotate(original if original.exists() else Path(video))
        except (ValueError, OSError) as error:
            return alert(said(error))
        except Exception:
            log.exception("a video could not be annotated")
            return alert("The video could not be annotated.")
        return bars(found.probabilities, found.caption)

    return annotate


def _generate(settings: Settings, generator: Generator, annotator: Annotator) -> None:
    tasks = [name for task, name in (("t2v", "text"), ("i2v", "a first frame")) if generator.has(task)]
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            if not tasks:
                plain_html(alert("No generator is set up here: this page can look and annotate only."))
            prompt = gr.Textbox(
                label="Prompt",
                lines=2,
                max_lines=6,
                placeholder=f"such as: {settings.example}",
                max_length=1000,
            )
            emotion = emotion_wheel("awe", elem_id="wheel")
            intensity = gr.Slider(
                0,
                2,
                1,
                step=0.1,
                label="Intensity",
                info="0 is the base model, 1 as trained",
                elem_id="intensity",
            )
            with gr.Accordion("First frame, style and seed", open=False, elem_classes="bare"):
                image = gr.Image(
                    label="First frame, optional",
                    type="filepath",
                    sources=["upload"],
                    height=190,
                    elem_classes="media",
                    elem_id="first-frame",
                )
                # Gradio's own opens the picture, and a broken one would be an error without words. That
                # the path is an upload's is checked before.
                image.preprocess = lambda data: data and data.path  # type: ignore[method-assign]
                style = gr.Radio(
                    ["any", *CONTENT_TYPES], value=settings.style, label="Style", elem_classes="chips"
                )
                steps = gr.Slider(1, max(60, settings.steps), settings.steps, step=1, label="Steps")
                with gr.Row(elem_classes="seed"):
                    seed = gr.Number(
                        0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=120
                    )
                    dice = gr.Button("Another seed", size="sm", min_width=120)
            button = gr.Button("Generate", variant="primary", interactive=bool(tasks))
        with gr.Column(scale=1, min_width=300, elem_classes="sheet"):
            message = plain_html(
                hint("Say what the video shows, turn the wheel, and generate."), elem_id="message"
            )
            video = gr.Video(
                label="Video",
                interactive=False,
                autoplay=True,
                loop=True,
                height=360,
                visible=False,
                elem_classes="media",
                elem_id="generated",
            )
            judged = plain_html(elem_id="judged")
    asked = gr.State(None)

    def generate(
        prompt: str,
        emotion: str,
        intensity: float,
        image: str | None,
        style: str,
        steps: float,
        seed: float | None,
        progress: gr.Progress = gr.Progress(),
    ) -> tuple[Any, ...]:
        """A video with an emotion; then a line about it."""
        none = gr.update(value=None, visible=False)
        if emotion and emotion not in NAMES:
            return alert(f"The emotion {emotion!r} is none of the eight."), none, None, ""
        wish = Wish(
            prompt=prompt,
            emotion=emotion or None,
            intensity=float(intensity),
            content_type=None if style == "any" else style,
            image=image,
            steps=int(steps),
            seed=int(seed or 0),
        )
        progress(0, desc="Getting the generator ready")
        try:
            made = generator.generate(
                wish, lambda done, whole: progress((done, whole), desc="Denoising", unit="steps")
            )
            path = kept(video, f"{wish.emotion or 'plain'}-{wish.seed}.mp4", made)
        except (ValueError, OSError, MemoryError) as error:
            return alert(said(error)), none, None, ""
        except Exception:
            log.exception("a video could not be generated")
            return alert("The video could not be generated."), none, None, ""
        what = f"{wish.emotion} at intensity {wish.intensity:g}" if wish.emotion else "no emotion"
        size = f"{settings.width} × {settings.height}, {settings.frames} frames, {wish.steps} steps"
        line = f'<p class="count"><b>{html.escape(what)}</b>, seed {wish.seed}<br>{size}</p>'
        return (
            line,
            gr.update(value=path, visible=True),
            wish.emotion,
            hint("The annotator is looking at it."),
        )

    def judge(video: str | None, wanted: str | None) -> str:
        """The annotator's bars for a generated video."""
        if not video:
            return ""
        try:
            found = annotator.annotate(Path(video))
        except (ValueError, OSError) as error:
            return alert(said(error))
        except Exception:
            log.exception("a generated video could not be annotated")
            return alert("The annotator could not look at this video.")
        return bars(found.probabilities, found.caption, wanted)

    button.click(
        generate,
        [prompt, emotion, intensity, image, style, steps, seed],
        [message, video, asked, judged],
        api_name="generate",
        concurrency_id="model",
        show_progress_on=message,
    ).then(judge, [video, asked], judged, api_visibility="private", concurrency_id="model")
    dice.click(
        lambda: random.randrange(2**31),
        None,
        seed,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    # The wheel's slice grows with the intensity.
    intensity.change(
        None,
        intensity,
        js="(value) => document.querySelector('#wheel').style.setProperty('--intensity', value / 2)",
    )


def _load_soon(annotator: Annotator, generator: Generator) -> None:
    """Load the models while the page is looked at; what fails here fails again when it is used."""

    def load() -> None:
        try:
            annotator.load()
            if generator.has("t2v"):
                generator.load("t2v")
        except (ValueError, OSError) as error:
            log.warning("%s", error)

    threading.Thread(target=load, daemon=True).start()


def _read_soon(library: Library) -> None:
    """Read the list of clips and the first page's posters while the server starts."""
    try:
        for clip_id in library.choose(Choice()).index[:PAGE]:
            library.poster(clip_id)
    except Exception as error:  # of the Hub's client, which has exceptions of many kinds
        log.warning("the dataset %s cannot be read yet: %s", library.name, error)


def _colophon(settings: Settings, library: Library, annotator: Annotator) -> str:
    def name(shown: str, kind: str) -> str:
        if "/" not in shown:
            return html.escape(shown)
        address = html.escape(f"https://huggingface.co/{kind}{shown}")
        return f'<a href="{address}" target="_blank" rel="noopener">{html.escape(shown)}</a>'

    sources = {
        "Clips": name(library.name, "datasets/"),
        "Annotator": name(annotator.name, ""),
        "Videos from text": _made_by(settings.t2v, name),
        "Videos from a first frame": _made_by(settings.i2v, name),
    }
    listed = " ".join(f"{what}: {source}." for what, source in sources.items() if source)
    local = " A name without an owner is a folder of this server." if "/" not in library.name else ""
    return (
        f'<div class="colophon"><p class="sources">{listed}{local}</p>'
        "An emotion here is what somebody perceived in a video, "
        "not what anyone in it felt. Each clip keeps the licence of its source.</div>"
    )


def _made_by(source: GeneratorSettings, name: Callable[[str, str], str]) -> str:
    """What a generator consists of, or "" for none."""
    if not source.base:
        return ""
    loras = [
        name(shown_name(lora.source), "") + ("" if lora.weight == 1 else f" ({lora.weight:g})")
        for lora in source.loras
    ]
    return " with ".join([name(shown_name(source.base), ""), *filter(None, [" and ".join(loras)])])


def main() -> None:
    """Serve the page; Gradio's own variables name host and port."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # A server that is told to end ends as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    page, library = build(Settings.read())
    # What fails here fails again, and is shown, when the page asks for it.
    threading.Thread(target=_read_soon, args=(library,), daemon=True).start()
    page.queue(max_size=16).launch(
        theme=THEME,
        head=head() + f"<style>{_CHIPS}</style>",
        max_file_size=LARGEST_UPLOAD,
        footer_links=[],
        # Its lines are of options that are not this page's.
        quiet=True,
        prevent_thread_lock=True,
        # Gradio tells screen readers this key where it has no word for it.
        i18n=gr.I18n(en={"common.complete": "Complete"}),
        ssr_mode=False,
        app_kwargs={
            "routes": [
                Route("/clip/{id}.mp4", library.serve),
                Route("/poster/{id}.jpg", library.serve_poster),
            ]
        },
    )
    print(f"The page is at {page.local_url} until Ctrl-C.", flush=True)
    page.block_thread()
    _forget(page)
    # A video that is being made is not waited for.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _forget(page: gr.Blocks) -> None:
    """Delete what visitors uploaded and generated, though a page may still be open."""
    for files in page.temp_file_sets:
        for file in list(files):
            Path(file).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
