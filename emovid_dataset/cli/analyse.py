"""The command `emovid analyse`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    existing_file,
    new_file,
    number,
    one_of,
    whole,
)
from emovid_dataset.cli.errors import need
from emovid_dataset.store import without_credentials
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_dataset.analyse.analyses import Analyses


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``analyse``.
    """
    app.command("analyse", epilog="Example: emovid analyse emovid/ --html analyses.html")(analyse)


def analyse(
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="A build: its folder, a Hub repo, or an http(s) address.")
    ],
    html: Annotated[Path | None, typer.Option(help="Page to write, with figures.", callback=new_file)] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="What `emovid annotate --features` wrote, for the t-SNE.", callback=existing_file),
    ] = None,
    film: Annotated[
        str,
        typer.Option(
            help="Clips are of one film if this is equal: source or group.",
            callback=one_of(("source", "group")),
        ),
    ] = "source",
    gap: Annotated[
        float | None,
        typer.Option(
            help="Most seconds between two consecutive clips; by default any number.", callback=number(0)
        ),
    ] = None,
    bins: Annotated[
        int, typer.Option(help="Bins of brightness and colorfulness.", callback=whole(1, 100))
    ] = 10,
    sound: Annotated[
        bool | None,
        typer.Option(
            "--sound/--no-sound", help="Read the MP4s with sound; by default if the build is on this machine."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of t-SNE, bootstrap, permutations.", callback=whole(0, 2**32 - 1))
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that measure sound; by default this one.", callback=whole(1)),
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Do the paper's analyses on a build, each with its uncertainty, and show them on one HTML page."""
    runner = chosen_executor(engine, workers, ray_address)
    need("analyse", "scipy", "sklearn")
    from emovid_dataset.analyse.analyses import analyse_build
    from emovid_dataset.analyse.page import write_page

    found = analyse_build(
        source,
        features=features,
        film=film,
        gap=gap,
        bins=bins,
        seed=seed,
        sound=sound,
        executor=runner,
        progress=not as_json,
    )
    page = None if html is None else write_page(found, html)
    if as_json:
        written = None if page is None else {"path": str(page.path), "bytes": page.size}
        body = {"source": without_credentials(source), **found.to_json(), "html": written}
        typer.echo(json.dumps(body, ensure_ascii=False, allow_nan=False))
        return
    _print(found)
    if page is not None:
        typer.echo(f"{page.path}: {page.size / 1e6:.1f} MB, {len(found.clips)} clips")


def _print(found: Analyses) -> None:
    from emovid_dataset.analyse.outcomes import NotComputed

    types = [counted.content_type for counted in found.emotions]
    rows: list[list[object]] = [
        [emotion, *(counted.counts[emotion] for counted in found.emotions)]
        for emotion in found.clips.emotions
    ]
    print_table("Clips", ["emotion", *types], rows)
    print_table(
        "Differences between emotions",
        ["", "clips", "F", "p", "p by groups", "eta squared"],
        [*_tests(found)],
    )
    chain = found.transitions
    if isinstance(chain, NotComputed):
        typer.echo(f"Markov matrix: {chain}")
    else:
        stays = [[name, _shown(stay.value)] for name, stay in zip(chain.emotions, chain.staying, strict=True)]
        means = [
            ["within valence", _shown(chain.within.value)],
            ["across valence", _shown(chain.across.value)],
        ]
        if found.clips.valences is None:
            means = []
        print_table(
            f"Staying, {chain.pairs} pairs in {chain.films} films", ["emotion", "probability"], stays + means
        )
    if isinstance(found.phrases, NotComputed):
        typer.echo(f"phrases: {found.phrases}")
    else:
        said = [
            [item.emotion, ", ".join(phrase.words for phrase in item.commonest)] for item in found.phrases
        ]
        print_table("Commonest phrases", ["emotion", "phrases"], said)
    if isinstance(found.features, NotComputed):
        typer.echo(f"t-SNE: {found.features}")
    sounds: list[list[object]] = []
    for item in found.sound.emotions:
        heard = (item.loudness, item.silence, item.speech)
        shown = [_shown(mean if isinstance(mean, NotComputed) else mean.mean) for mean in heard]
        sounds.append([item.emotion, item.audible, *shown])
    print_table("Sound, means", ["emotion", "with sound", "LUFS", "silence", "speech"], sounds)


def _tests(found: Analyses) -> Iterator[list[object]]:
    from emovid_dataset.analyse.outcomes import NotComputed

    for attribute, by_scope in found.means.items():
        for scope, means in by_scope.items():
            test = means if isinstance(means, NotComputed) else means.anova
            if isinstance(test, NotComputed):
                yield [f"{attribute}, {scope}", None, str(test), None, None, None]
            else:
                held = getattr(means, "clips", None)
                numbers = (test.f, test.p, test.p_by_groups, test.eta_squared)
                yield [f"{attribute}, {scope}", held, *map(_shown, numbers)]
    for scope, hues in found.hues.items():
        if isinstance(hues, NotComputed):
            yield [f"hue, {scope}", None, str(hues), None, None, None]
        else:
            yield [f"hue, {scope}", hues.clips, "circular", _shown(hues.p), None, _shown(hues.explained)]


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
