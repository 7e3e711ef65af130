"""The command `emovid annotate`."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    new_file,
    new_folder,
    number,
    parquet_file,
    whole,
)
from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.terminal import print_table
from emovid_models.cli.annotate_timeline import TimelineOptions, annotate_films
from emovid_models.cli.arguments import (
    annotator_source,
    check_annotator,
    check_captions,
    check_device,
    device_name,
)
from emovid_models.cli.options import Abstain, Workers


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``annotate``.
    """
    app.command("annotate", epilog="Example: emovid annotate clips/ --model REPO --out emotions.parquet")(
        annotate
    )


def annotate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Folder, build, list (.txt; .csv with path, and start and end of segments), video, or build "
            "on the Hub (hf://owner/name).",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="The annotator: a folder, a Hub repo, or mini, the one that ships.",
            callback=annotator_source,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(help="Parquet file; what it holds already is not done again.", callback=parquet_file),
    ],
    batch_size: Annotated[
        int, typer.Option(help="Videos that the model sees at once.", callback=whole(1))
    ] = 8,
    frames: Annotated[
        int | None, typer.Option(help="Frames per video; by default the model's.", callback=whole(1))
    ] = None,
    caption: Annotated[bool, typer.Option("--caption", help="Write captions too.")] = False,
    abstain: Abstain = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Parquet file for the model's features of each video, for `emovid analyse --features`.",
            callback=parquet_file,
        ),
    ] = None,
    workers: Workers = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    device: Annotated[
        str | None, typer.Option(help="By default cuda if there is one, else cpu.", callback=device_name)
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(
            help="INPUT is a build: write it again here with the model's emotions.", callback=new_folder
        ),
    ] = None,
    keep_human: Annotated[
        bool, typer.Option("--keep-human", help="With --build: keep emotions that people gave.")
    ] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="INPUT is films: label windows of each, one after the other.")
    ] = False,
    window: Annotated[
        float | None,
        typer.Option(
            help="With --timeline: seconds of a window; 4 if not given.", callback=number(0, open_end=True)
        ),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(
            help="With --timeline: seconds from one window to the next; 1 if not given.",
            callback=number(0, open_end=True),
        ),
    ] = None,
    segments: Annotated[
        str | None,
        typer.Option(
            help="With --timeline: label sheet (CSV) of the stretches of one emotion, for `emovid build`.",
            callback=new_file,
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            help="With --timeline: picture (PNG) of the probabilities over time.", callback=new_file
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            help="With --timeline: page with each film's probabilities over time.", callback=new_file
        ),
    ] = None,
    allow_rejected: Annotated[bool, typer.Option(help="Exit 0 although videos failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Label videos with a probability of each emotion: the eight, or those that the model was trained on."""
    from emovid_dataset.builder.sheet import printable
    from emovid_dataset.read.manifest import read_manifest
    from emovid_dataset.schema.manifest import MANIFEST_NAME
    from emovid_dataset.schema.no_emotion import NO_EMOTION
    from emovid_models.annotator import annotate as work
    from emovid_models.annotator import relabel
    from emovid_models.annotator.items import Items, find_build
    from emovid_models.annotator.taxonomy import check_same_emotions
    from emovid_models.annotator.timeline import check_films

    options = TimelineOptions(window, stride, segments, plot, html)
    unsuited = {"caption": caption, "features": features, "build": build, "keep_human": keep_human}
    options.check(timeline, out, **unsuited)
    if keep_human and build is None:
        raise ValueError("--keep-human needs --build FOLDER")
    if features is not None and os.path.abspath(features) == os.path.abspath(out):
        raise ValueError(f"--features {features} is also --out; name another file")
    annotated_build = find_build(source)
    if build is not None and annotated_build is None:
        raise ValueError(f"--build {build} needs a build folder as INPUT; {source} has no {MANIFEST_NAME}")
    if build is not None:
        relabel.check_new_build(build)
    runner = chosen_executor(engine, workers, ray_address)
    items = Items(source)
    first = next(iter(items))  # an input without videos is refused before a model is loaded
    if timeline:
        check_films([first])
    need("models", "transformers", "safetensors")
    check_device(device)
    check_annotator("--model", model)
    if caption:
        check_captions("--model", model)
    named = work.LoadedByName.pinned(model, device)
    if annotated_build is not None:
        theirs = read_manifest(annotated_build).taxonomy
        check_same_emotions(f"--model {model}", named.taxonomy(), f"INPUT {source}", theirs)
    if timeline:
        annotate_films(
            options,
            items,
            named,
            out,
            batch_size=batch_size,
            num_frames=frames,
            abstain=abstain,
            runner=runner,
            allow_rejected=allow_rejected,
            as_json=as_json,
        )
        return
    report = work.annotate(
        items,
        named.load(progress=not as_json) if runner.is_this_process else named,
        out,
        identity=named.identity(),
        batch_size=batch_size,
        num_frames=frames,
        caption=caption,
        features=features,
        abstain=abstain,
        engine=runner,
        progress=not as_json,
    )
    if build is not None:
        relabel.relabel_build(source, report.annotations, build, keep_human=keep_human, progress=not as_json)
    emotions = (*report.taxonomy.names, *((NO_EMOTION,) if abstain is not None else ()))
    counts: Counter[str] = Counter()
    failed = []
    for item in report.annotations:
        if item.error is not None:
            failed.append(item)
        else:
            counts[str(item.emotion)] += 1
    if as_json:
        outcome = {
            "out": out,
            "features": features,
            "build": build,
            "videos": report.videos,
            "reused": report.reused,
            "failed": [{"key": item.key, "error": item.error} for item in failed],
            "emotions": {name: counts[name] for name in emotions},
            "limit": None if report.limit is None else asdict(report.limit),
        }
        print(json.dumps(outcome, allow_nan=False))
    else:
        for item in failed:
            print(f"{printable(item.key)}: {item.error}")
        rows: list[list[object]] = [[name, counts[name]] for name in emotions]
        rows += [["failed", len(failed)], ["all", report.videos]]
        earlier = f", {report.reused} from an earlier run" if report.reused else ""
        print_table(f"{out}{earlier}", ["emotion", "videos"], rows)
        if report.limit is not None:
            print(report.limit)
    if failed and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)
