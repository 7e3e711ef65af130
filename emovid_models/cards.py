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
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from emovid_dataset.card import CITATION
from emovid_dataset.emotions import EMOTIONS

CARDS = next(
    folder
    for folder in (Path(__file__).parent / "card_templates", Path(__file__).parents[1] / "cards")
    if folder.is_dir()
)
"""The templates: part of an installed package, and in a checkout the top-level `cards/`."""

LICENCES = (
    (re.compile(r"Efficient-Large-Model/NVILA"), "cc-by-nc-4.0"),
    (re.compile(r"Wan-AI/Wan2\.1"), "apache-2.0"),
)
"""Published bases, and the licence that their derivatives carry."""

RUN_CARD = "training.json"
"""File of a trained folder that says how it was trained."""

FIGURES = "figures.json"
"""File of an annotator's folder that holds what was measured."""


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
    return environment.get_template(template).render(citation=CITATION, emotions=EMOTIONS, **values)


def licence(folder: Path, base: str | None) -> str:
    """The licence of trained weights: that of the base, else what the folder's own card states.

    Args:
        folder: of the weights.
        base: a Hub repo or a folder, or None for weights that were trained from nothing.

    Returns:
        The Hub's name of the licence.

    Raises:
        ValueError: nothing states one.

    >>> licence(Path("."), "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    'apache-2.0'
    """
    for pattern, name in LICENCES:
        if base is not None and pattern.match(base):
            return name
    for place in (folder, *([Path(base)] if base is not None else [])):
        stated = front_matter(place / "README.md").get("license")
        if isinstance(stated, str):
            return stated
    origin = f"base {base!r} has no known licence" if base is not None else "no base is recorded"
    raise ValueError(f"licence of {folder} is unknown ({origin}): write license: into {folder / 'README.md'}")


def front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML at the top of a card; empty where there is no card or no YAML."""
    import yaml

    if not card.is_file():
        return {}
    found = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", card.read_text(encoding="utf-8"), flags=re.DOTALL)
    try:
        values = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError as error:
        raise ValueError(f"{card} has a front matter that is no YAML") from error
    return values if isinstance(values, dict) else {}


def public_name(base: str | None) -> str | None:
    """A base's name if it is a Hub repo: a folder's name says nothing to anybody else.

    >>> public_name("Wan-AI/Wan2.1-T2V-1.3B-Diffusers"), public_name("/home/me/base")
    ('Wan-AI/Wan2.1-T2V-1.3B-Diffusers', None)
    """
    if base is None or Path(base).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", base):
        return None
    return base


def parameters(weights: Sequence[Path]) -> int:
    """Number of parameters in safetensors files, from their headers alone."""
    from safetensors import safe_open

    total = 0
    for path in weights:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118
                shape = file.get_slice(name).get_shape()
                count = 1
                for length in shape:
                    count *= length
                total += count
    return total


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is none.

    Raises:
        ValueError: it is no JSON.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


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
    measured = {
        name: group
        for name, group in (figures or {}).items()
        if isinstance(group, dict) and "annotator" in group
    }
    data = ModelCardData(
        language="en",
        license=licence(folder, base),
        library_name="transformers",
        pipeline_tag="video-classification",
        base_model=public_name(base),
        datasets=[dataset],
        metrics=["accuracy", "recall"] if measured or run else None,
        tags=["video-emotion", "emovid", "emotion", "affective-computing"],
        model_name=repo_id.partition("/")[2],
        eval_results=[
            *(
                result
                for name, group in measured.items()
                for result in _annotator_results(dataset, name, None, group["annotator"])
            ),
            *(_annotator_results(dataset, "all", "validation", run["validation"]) if run else ()),
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
        base=public_name(base),
        parameters=_rounded(parameters(weights)),
        num_frames=config["num_frames"],
        image_size=config["vision_config"]["image_size"],
        example=EXAMPLE,
        figures=figures,
        measured=measured,
        run=run,
    )


EXAMPLE = "example.mp4"
"""A clip of the miniature corpus that lies in an annotator's repo, for the widget and the code example."""


def _annotator_results(
    dataset: str, name: str, split: str | None, values: Mapping[str, Any]
) -> list[EvalResult]:
    metrics = (
        ("accuracy", "accuracy", "accuracy of the eight emotions"),
        ("macro_recall", "recall", "macro recall of the eight emotions"),
        ("valence_accuracy", "accuracy", "accuracy of the valence"),
        ("calibration_error", "expected_calibration_error", "expected calibration error"),
    )
    return [
        EvalResult(
            task_type="video-classification",
            task_name="Emotion of a video",
            dataset_type=dataset,
            dataset_name=f"EmoVid, {name}",
            dataset_config=name.removesuffix("s") if name != "all" else None,
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
