"""The command line of `python -m tools.mini_corpus`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import typer

from tools.mini_corpus import MINI
from tools.mini_corpus.benchmark import write_benchmark
from tools.mini_corpus.corpus import SUMS, build_corpus, files_of, print_corpus, write_sums
from tools.mini_corpus.emoji_labels import write_sheet
from tools.mini_corpus.fetch import emoji_folder, film_path, scratch_folder, sha256_of

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Rebuild the miniature corpus.")


@app.command()
def build(
    out: Path = typer.Option(MINI, help="The folder to write; an older corpus there is replaced."),
) -> None:
    """Write the corpus. Example: python -m tools.mini_corpus build --out out/mini"""
    if out.exists() and any(out.iterdir()) and not (out / SUMS).exists():
        raise ValueError(f"--out {out} holds something else; allowed: a new folder or an older corpus")
    with scratch_folder(out.resolve().parent) as scratch:
        build_corpus(scratch / "mini")
        if out.exists():
            shutil.rmtree(out)
        (scratch / "mini").replace(out)
    print_corpus(out)


@app.command()
def check() -> None:
    """Rebuild the corpus elsewhere and compare it with the one in the repository, byte for byte."""
    with tempfile.TemporaryDirectory() as name:
        rebuilt = Path(name)
        build_corpus(rebuilt)
        fresh = {path.relative_to(rebuilt).as_posix(): sha256_of(path) for path in files_of(rebuilt)}
    kept = {path.relative_to(MINI).as_posix(): sha256_of(path) for path in files_of(MINI)}
    differing = sorted(name for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name))
    for path in differing:
        print(f"differs: {path}")
    print(f"{len(fresh)} files rebuilt, {len(differing)} differ")
    if differing:
        raise typer.Exit(1)


@app.command()
def benchmark() -> None:
    """Choose the benchmark's clips anew, from the clips and labels in the repository."""
    write_benchmark(MINI)
    write_sums(MINI)


@app.command()
def film(key: str = typer.Argument("big-buck-bunny", help="big-buck-bunny or city-cc0")) -> None:
    """Print the path of a verified film. Example: python -m tools.mini_corpus film city-cc0"""
    print(film_path(key))


@app.command()
def emoji() -> None:
    """Print the folder of the animated emoji. Example: ls $(python -m tools.mini_corpus emoji)"""
    print(emoji_folder())


@app.command()
def emoji_labels() -> None:
    """Write the sheet of further labelled emoji from the answers of the two passes."""
    print(f"{write_sheet()} emoji with an emotion")


def main() -> None:
    """Run the command line: exit code 0 done, 1 found wrong, 2 used wrong."""
    try:
        app()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
