"""The model cards: jinja2 templates of `cards/`, filled from the files of what is published.

Nothing in a card is written by hand but its prose. A number comes from a result file or from the weights
themselves; one that is not there is left out together with its sentence. The front matter is made by
huggingface_hub's own classes, so that the Hub and `ModelCard.load` read it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from emovid_dataset.report.card import CITATION
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.miniature import is_miniature
from emovid_models.publish.provenance import licence, public_name, published_base
from emovid_models.publish.results import measured_results, parameters, read_json
from emovid_models.records import FIGURES, OUT_OF_FOLD, RUN_CARD
from emovid_models.remote.annotator.prompts import emotions_of

CARDS = next(
    folder
    for folder in (Path(__file__).parents[1] / "card_templates", Path(__file__).parents[2] / "cards")
    if folder.is_dir()
)
"""The templates: part of an installed package, and in a checkout the top-level `cards/`."""


OWNER = "emovid"
"""Who owns the repos that names in files mean, until somebody else publishes them."""


def render(template: str, /, **values: Any) -> str:
    """Fill a template of `CARDS`.

    Args:
        template: its path there, such as ``annotator/README.md.jinja``.
        **values: what it names; one that is missing is an error.

    Returns:
        The text.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(CARDS),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    environment.filters["fixed"] = _fixed
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    return environment.get_template(template).render(**{"citation": CITATION, "emotions": EMOTIONS, **values})


def annotator_card(folder: Path, weights: Sequence[Path], *, repo_id: str, namespace: str) -> str:
    """The card of an annotator.

    Args:
        folder: a trained annotator; `FIGURES` and `RUN_CARD` are read where they are there.
        weights: its safetensors files.
        repo_id: the repo that the examples name.
        namespace: owner of the repos that the card links to.

    Returns:
        The text of README.md.

    Raises:
        ValueError: the licence is unknown, or a file is no JSON.
    """
    config = read_json(folder / "config.json")
    figures, run = read_json(folder / FIGURES), read_json(folder / RUN_CARD)
    base = run.get("base") if run else None
    dataset = f"{namespace}/EmoVid"
    trained_on = public_name(run.get("data")) if run else dataset
    emotions = emotions_of(SimpleNamespace(taxonomy=config.get("taxonomy")))
    measured = {
        name: group
        for name, group in (figures or {}).items()
        if isinstance(group, dict) and "accuracy" in (group.get("annotator") or {})
    }
    data = ModelCardData(
        language="en",
        license=licence(folder, base),
        library_name="transformers",
        pipeline_tag="video-classification",
        base_model=published_base(folder, base),
        datasets=[trained_on] if trained_on else None,
        metrics=["accuracy", "recall"] if measured or run else None,
        tags=["video-emotion", "emovid", "emotion", "affective-computing"],
        model_name=repo_id.partition("/")[2] if measured or run else None,
        eval_results=[
            *(
                result
                for name, group in measured.items()
                for result in _annotator_results(
                    dataset, f"EmoVid, {name}", None, group["annotator"], len(emotions)
                )
            ),
            *(_validation_results(run, trained_on, len(emotions)) if run else ()),
        ]
        or None,
        widget=[
            {
                "src": f"https://huggingface.co/{repo_id}/resolve/main/{EXAMPLE}",
                "example_title": "An animated sticker",
            }
        ],
    )
    return render(
        "annotator/README.md.jinja",
        yaml=data.to_yaml(),
        repo_id=repo_id,
        namespace=namespace,
        dataset=dataset,
        licence=data.license,
        base=published_base(folder, base),
        parameters=_rounded(parameters(weights)),
        num_frames=config["num_frames"],
        captions=config.get("captions") is not False,
        image_size=config["vision_config"]["image_size"],
        example=EXAMPLE,
        figures=figures,
        measured=measured,
        out_of_fold=OUT_OF_FOLD if (folder / OUT_OF_FOLD).is_file() else None,
        miniature=is_miniature(folder),
        run=run,
        emotions=emotions,
        trained_on=trained_on,
    )


def lora_card(folder: Path, weights: Path, *, repo_id: str, namespace: str) -> str:
    """The card of a LoRA for Wan2.1, whose repo carries our pipeline too.

    Args:
        folder: output of the training; `measured_results` of it are shown.
        weights: the LoRA file; its header says task, base, steps, rank and alpha.
        repo_id: the repo that the examples name.
        namespace: owner of the repos that the card links to.

    Returns:
        The text of README.md.

    Raises:
        ValueError: the file does not say what it was trained for, the licence is unknown, or results beside
            the weights are about others.
    """
    from emovid_models.remote.wan.lora import ADAPTER_KEY, read_facts, read_header

    facts = read_facts(weights)
    if facts is None or facts.task not in PIPELINE_TASKS:
        raise ValueError(
            f"{weights} does not say which task it was trained for; emovid train lora writes that"
        )
    adapter = json.loads(read_header(weights).get(ADAPTER_KEY, "{}"))
    # A folder is known by its name; the base of a chain of trainings lies beside what was trained on it.
    origin = facts.base if public_name(facts.base) else str(folder.resolve().parent / Path(facts.base).name)
    base = published_base(folder, facts.base)
    if base is None and (is_miniature(folder) or is_miniature(Path(origin))):
        base = f"{OWNER}/mini-wan-{facts.task}"
    if base is None:
        raise ValueError(
            f"base of {weights} is the folder {facts.base!r}, which nobody else has: "
            f"write base_model: with its Hub repo into {folder / 'README.md'}"
        )
    return _wan_card(
        f"wan-{facts.task}/README.md.jinja",
        folder,
        repo_id=repo_id,
        namespace=namespace,
        task=facts.task,
        which="lora",
        base=re.sub(rf"^{OWNER}/", f"{namespace}/", base),
        origin=origin,
        facts=facts,
        rank=adapter.get("transformer.r"),
        alpha=adapter.get("transformer.lora_alpha"),
        weights=[weights],
    )


def base_card(folder: Path, weights: Sequence[Path], task: str, *, repo_id: str, namespace: str) -> str:
    """The card of a Wan base in the layout of diffusers, such as the miniature's.

    Args:
        folder: in the layout of diffusers; `measured_results` of it are shown.
        weights: its safetensors files.
        task: "t2v" or "i2v".
        repo_id: the repo that the examples name.
        namespace: owner of the repos that the card links to.

    Returns:
        The text of README.md.

    Raises:
        ValueError: the licence is unknown, a file is no JSON, or results beside the weights are about others.
    """
    return _wan_card(
        f"wan-{task}/base.md.jinja",
        folder,
        repo_id=repo_id,
        namespace=namespace,
        task=task,
        which="base",
        base=None,
        origin=None,
        weights=weights,
    )


PIPELINE_TASKS = {"t2v": "text-to-video", "i2v": "image-to-video"}
"""Our names of the tasks, and the Hub's."""


def _wan_card(
    template: str,
    folder: Path,
    *,
    repo_id: str,
    namespace: str,
    task: str,
    which: str,
    base: str | None,
    origin: str | None,
    weights: Sequence[Path],
    **values: Any,
) -> str:
    results = measured_results(folder, weights, which)
    measured = results.get(task)
    settings = {**_EXAMPLE_CALLS[is_miniature(folder)], **results.get("settings", {})}
    width, height = (int(length) for length in settings["size"].split("x"))
    dataset = f"{namespace}/EmoVid"
    prompt = MINIATURE_PROMPT if is_miniature(folder) else PROMPT
    data = ModelCardData(
        language="en",
        license=licence(folder, origin),
        library_name="diffusers",
        pipeline_tag=PIPELINE_TASKS[task],
        base_model=base,
        base_model_relation="adapter" if base else None,
        # What a base of somebody's was trained on is not known.
        datasets=[dataset] if which == "lora" or is_miniature(folder) else None,
        metrics=[f"{namespace}/ea_8cls"] if measured else None,
        tags=[
            PIPELINE_TASKS[task],
            "emovid",
            "emotion",
            "wan",
            *(["lora", "template:sd-lora"] if base else []),
        ],
        model_name=repo_id.partition("/")[2] if measured else None,
        eval_results=_wan_results(namespace, task, measured[which], settings) if measured else None,
        widget=[{"text": prompt, **({"output": {"url": EXAMPLE_PICTURE}} if task == "i2v" else {})}],
    )
    return render(
        template,
        yaml=data.to_yaml(),
        repo_id=repo_id,
        namespace=namespace,
        dataset=dataset,
        licence=data.license,
        base=base,
        task=task,
        prompt=prompt,
        picture=EXAMPLE_PICTURE,
        width=width,
        height=height,
        frames=settings["num_frames"],
        steps=settings["steps"],
        guidance=settings["guidance_scale"],
        emotion_guidance=settings.get("emotion_guidance_scale", settings["guidance_scale"]),
        parameters=_rounded(parameters(weights)),
        results=results,
        measured=measured,
        miniature=is_miniature(folder),
        run=(folder / RUN_CARD).is_file(),
        **values,
    )


_EXAMPLE_CALLS: Mapping[bool, Mapping[str, Any]] = {
    False: {"size": "832x480", "num_frames": 81, "steps": 50, "guidance_scale": 5.0},
    True: {
        "size": "64x64",
        "num_frames": 17,
        "steps": 8,
        "guidance_scale": 3.0,
        "emotion_guidance_scale": 6.0,
    },
}
"""How the examples call Wan2.1, and the miniature, where no result file says how it was called."""

PROMPT = "a cat on a roof"
"""What the generators' examples show."""

MINIATURE_PROMPT = "a yellow face"
"""What the examples of the miniature generators show, which know stickers only."""

EXAMPLE_PICTURE = "example.png"
"""First frame in the repo of an image-to-video model, for the code example."""


def _wan_results(
    namespace: str, task: str, figures: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[EvalResult]:
    kinds = ", ".join(f"{name}s" for name in settings.get("content_types", ["sticker"]))
    own = settings.get("own_prompts", False)
    asked = "prompts" if own else f"{namespace}/EmoVid", f"{'own' if own else 'EmoVid'} prompts, {kinds}"
    if settings.get("protocol") == "paper":
        asked = "benchmark", f"benchmark of a build, {kinds}"
    return [
        EvalResult(
            task_type=PIPELINE_TASKS[task],
            task_name="Video with an emotion",
            dataset_type=asked[0],
            dataset_name=asked[1],
            metric_type=f"{namespace}/ea_8cls",
            metric_name=name,
            metric_value=figures[key]["value"],
            metric_args={"videos": figures["n"], "interval_95": [figures[key]["low"], figures[key]["high"]]},
        )
        for key, name in (("ea_8cls", "EA-8cls"), ("ea_2cls", "EA-2cls"))
        if key in figures
    ]


EXAMPLE = "example.mp4"
"""A clip of the miniature corpus that lies in an annotator's repo, for the widget and the code example."""


def _validation_results(run: Mapping[str, Any], trained_on: str | None, emotions: int) -> list[EvalResult]:
    """What was measured while an annotator was trained; a build on a disk is known by its folder's name."""
    name = Path(run.get("data") or "build").name
    config = run.get("data_config", "all")
    return _annotator_results(
        trained_on or name, f"{name}, {config}", "validation", run["validation"], emotions
    )


def _annotator_results(
    dataset: str, name: str, split: str | None, values: Mapping[str, Any], emotions: int
) -> list[EvalResult]:
    said = "eight" if emotions == len(EMOTIONS) else str(emotions)
    config = name.rpartition(", ")[2]
    metrics = (
        ("accuracy", "accuracy", f"accuracy of the {said} emotions"),
        ("macro_recall", "recall", f"macro recall of the {said} emotions"),
        ("valence_accuracy", "accuracy", "accuracy of the valence"),
        ("calibration_error", "expected_calibration_error", "expected calibration error"),
    )
    return [
        EvalResult(
            task_type="video-classification",
            task_name="Emotion of a video",
            dataset_type=dataset,
            dataset_name=name,
            dataset_config=config.removesuffix("s") if config != "all" else None,
            dataset_split=split,
            metric_type=kind,
            metric_name=title,
            metric_value=values[key],
        )
        for key, kind, title in metrics
        if key in values
    ]


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _rounded(count: int) -> str:
    """A number of parameters as people say it.

    >>> _rounded(1_936_640), _rounded(2_100_000_000)
    ('1.9 million', '2.1 billion')
    """
    if count >= 1_000_000_000:
        return f"{count / 1e9:.1f} billion"
    return f"{count / 1e6:.1f} million" if count >= 1_000_000 else f"{count / 1e3:.0f} thousand"


def demo_card(*, repo_id: str, namespace: str, repos: Sequence[str]) -> str:
    """The card of the demo's Space.

    Args:
        repo_id: the Space.
        namespace: owner of the repos that it shows.
        repos: what it loads, dataset and models.

    Returns:
        The text of README.md, with the Space's settings on top.
    """
    from importlib.metadata import version

    import yaml

    dataset = f"{namespace}/EmoVid"
    settings = {
        "title": "EmoVid",
        "emoji": "🎞️",
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "app_file": "app.py",
        "pinned": False,
        "license": "apache-2.0",
        "short_description": "Emotion in video: look, annotate, generate",
        "models": [name for name in repos if name != dataset],
        "datasets": [dataset],
        "tags": ["emotion", "video"],
    }
    front = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return render("demo/README.md.jinja", yaml=front, repo_id=repo_id, namespace=namespace)
