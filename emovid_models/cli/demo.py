"""The command `emovid demo`: the page of the demo Space on this machine, with the models that ship."""

from __future__ import annotations

import json
import os
import runpy
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import number, whole
from emovid_dataset.cli.errors import need
from emovid_models.cli.arguments import (
    MINI,
    annotator_source,
    base_source,
    frame_count,
    frame_size,
    model_source,
    parse_loras,
    weighted_lora_source,
)

LORAS_HELP = "Its LoRA, folder or Hub repo, perhaps with a weight: style:0.8; may be repeated."

GENERATED = {
    "EMOVID_SIZE": "64x64",
    "EMOVID_FRAMES": "17",
    "EMOVID_STEPS": "8",
    "EMOVID_GUIDANCE": "3",
    "EMOVID_EMOTION_GUIDANCE": "6",
    "EMOVID_STYLE": "sticker",
}
"""What the miniature generators make; the page's own defaults are those of Wan2.1."""


_SHOWN = {
    "EMOVID_DATASET": "clips",
    "EMOVID_ANNOTATOR": "annotator",
    "EMOVID_BASE_T2V": "videos from text",
    "EMOVID_LORA_T2V": "with the LoRA",
    "EMOVID_BASE_I2V": "videos from a first frame",
    "EMOVID_LORA_I2V": "with its LoRA",
}
"""What the terminal says of the page's variables."""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``demo``.
    """
    app.command("demo", epilog="Example: emovid demo --serve --port 7860")(demo)


def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Serve the page until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="Port to listen on.", callback=whole(1, 65535))] = 7860,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    dataset: Annotated[
        str | None,
        typer.Option(
            help="A build's folder or a Hub repo; the miniature if not given.", callback=model_source
        ),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(help="A folder or a Hub repo; the miniature if not given.", callback=annotator_source),
    ] = None,
    base_t2v: Annotated[
        str | None, typer.Option(help="Text-to-video base, folder or Hub repo.", callback=base_source)
    ] = None,
    lora_t2v: Annotated[
        list[str] | None, typer.Option(help=LORAS_HELP, callback=weighted_lora_source)
    ] = None,
    base_i2v: Annotated[
        str | None, typer.Option(help="Image-to-video base, folder or Hub repo.", callback=base_source)
    ] = None,
    lora_i2v: Annotated[
        list[str] | None, typer.Option(help=LORAS_HELP, callback=weighted_lora_source)
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT of a generated video.", callback=frame_size)
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of a generated video, 4k+1.", callback=frame_count)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps at the start.", callback=whole(1))
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance by the prompt.", callback=number(1))
    ] = None,
    emotion_guidance: Annotated[
        float | None,
        typer.Option(help="Guidance by the emotion; as --guidance if not given.", callback=number(1)),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is loaded as JSON.")] = False,
) -> None:
    """Look at clips, annotate and generate in a browser: the demo Space, served here.

    Without --serve it only prints what the page would load. The miniature dataset is built into the cache
    when it is first needed.
    """
    # The miniature is what the page shows where nothing is given.
    base_t2v, base_i2v = (None if base == MINI else base for base in (base_t2v, base_i2v))
    loras = {}
    for task, base, given_loras in (("t2v", base_t2v, lora_t2v), ("i2v", base_i2v, lora_i2v)):
        loras[task] = _listed(f"--lora-{task}", given_loras)
        if given_loras and base is None:
            raise ValueError(f"--lora-{task} {loras[task]} needs --base-{task}")
    # Small modules of the extra only: transformers and diffusers take seconds, and the page loads them later.
    need("models", "safetensors", "ftfy")
    need("demo", "gradio")
    from emovid_dataset.terminal import print_table
    from emovid_models.publish.cards import CARDS

    names = {
        "EMOVID_DATASET": dataset,
        "EMOVID_ANNOTATOR": annotator,
        "EMOVID_BASE_T2V": base_t2v,
        "EMOVID_LORA_T2V": loras["t2v"],
        "EMOVID_BASE_I2V": base_i2v,
        "EMOVID_LORA_I2V": loras["i2v"],
        "EMOVID_SIZE": size,
        "EMOVID_FRAMES": frames,
        "EMOVID_STEPS": steps,
        "EMOVID_GUIDANCE": guidance,
        "EMOVID_EMOTION_GUIDANCE": guidance if emotion_guidance is None else emotion_guidance,
    }
    given = {name: str(value) for name, value in names.items() if value is not None}
    variables = page_variables(given)
    if dataset is None and serve:
        variables["EMOVID_DATASET"] = str(miniature(progress=not as_json))
    if as_json:
        print(json.dumps({**variables, "host": host, "port": port}, allow_nan=False), flush=True)
    else:
        shown = [(what, variables.get(name) or "none") for name, what in _SHOWN.items()]
        print_table("Demo", ("", "from"), shown)
    if not serve:
        return
    os.environ.update(variables)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.update(GRADIO_SERVER_NAME=host, GRADIO_SERVER_PORT=str(port))
    from emovid_dataset.media import portable
    from emovid_models.remote import sticker

    # A Space carries these folders beside its page.
    sys.modules.update(sticker=sticker, portable=portable)
    app = CARDS / "demo" / "app.py"
    # Of how Gradio declares its own fields: nothing that whoever serves the page can mend.
    warnings.filterwarnings("ignore", module="pydantic")
    # As on a Space, where the page's folder is the first place that its modules are searched in.
    sys.path.insert(0, str(app.parent))
    runpy.run_path(str(app), run_name="__main__")


def _listed(option: str, given: list[str] | None) -> str | None:
    """LoRAs as the page's variable lists them, with commas between.

    Raises:
        ValueError: one is given twice, or cannot stand in a list.
    """
    loras = parse_loras(given, None, option=option)
    if len(loras) == 1 and loras[0].weight == 1:
        return loras[0].source
    for lora in loras:
        if "," in lora.source:
            raise ValueError(f"{option} {lora.source} has a comma, which separates LoRAs; rename it")
    return ",".join(map(str, loras)) or None


def page_variables(given: dict[str, str]) -> dict[str, str]:
    """The variables of the page, with the models that ship where nothing else is given.

    Args:
        given: those that the user names.

    Returns:
        All of them; a base or LoRA that is not there is "".

    >>> page_variables({"EMOVID_BASE_T2V": "me/wan"})["EMOVID_LORA_T2V"]
    ''
    """
    import emovid_models
    import emovid_models.remote.wan

    code = Path(str(emovid_models.remote.wan.__file__)).parent
    variables = {"EMOVID_DATASET": "miniature", "EMOVID_ANNOTATOR": str(emovid_models.MINI_ANNOTATOR)}
    for task in ("T2V", "I2V"):
        own = f"EMOVID_BASE_{task}" in given
        for part, name in (("BASE", f"MINI_WAN_{task}"), ("LORA", f"MINI_LORA_{task}")):
            folder = getattr(emovid_models, name, None)
            there = not own and folder is not None and folder.is_dir()
            variables[f"EMOVID_{part}_{task}"] = str(folder) if there else ""
        variables[f"EMOVID_PIPELINE_{task}"] = str(code / f"pipeline_{task.lower()}.py")
    own_base = "EMOVID_BASE_T2V" in given or "EMOVID_BASE_I2V" in given
    return {**variables, **({} if own_base else GENERATED), **given}


def miniature(*, progress: bool) -> Path:
    """The miniature dataset, built in the Hub client's cache unless it is there.

    Args:
        progress: show progress on stderr.

    Returns:
        The build's folder.
    """
    from huggingface_hub import cached_assets_path

    import emovid_dataset
    from emovid_dataset.builder.build import build

    source = Path(emovid_dataset.__file__).parent / "mini"
    out = cached_assets_path("emovid", namespace=emovid_dataset.__version__, subfolder="miniature")
    # A finished build of the same clips is taken as it is; one of another version's clips is made anew.
    try:
        build(source, source / "labels.csv", out, progress=progress)
    except ValueError:
        build(source, source / "labels.csv", out, overwrite=True, progress=progress)
    return Path(out)
