"""The command line of `python -m tools.reproduction_page`."""

from __future__ import annotations

from pathlib import Path

import typer

from emovid_models.evaluation import INTENDED_NAME
from tools.reproduction_page.contact_sheets import draw_sheet
from tools.reproduction_page.page import IMAGES, NOTES, PAGE, RESULT, read_result, render
from tools.reproduction_page.tables import MODELS, TASKS

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write docs/reproduction.md.")


@app.command()
def sheets(
    videos: Path = typer.Argument(help="Folder with t2v/base, t2v/lora, i2v/base, i2v/lora."),
    out: Path = typer.Option(IMAGES, help="Folder of the images."),
) -> None:
    """Draw the contact sheets."""
    out.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        folders = {heading: videos / task / model for model, heading in MODELS.items()}
        if all((folder / INTENDED_NAME).is_file() for folder in folders.values()):
            path = out / f"reproduction-{task}.jpg"
            draw_sheet(folders).save(path, quality=85)
            print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


@app.command()
def page(
    result: Path = typer.Option(RESULT, help="The result file."),
    notes: Path = typer.Option(NOTES, help="What people wrote."),
    images: Path = typer.Option(IMAGES, help="Folder of the contact sheets."),
    out: Path = typer.Option(PAGE, help="The page."),
) -> None:
    """Write the page."""
    found = read_result(result)
    written = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    shown = {task: images / f"reproduction-{task}.jpg" for task in TASKS}
    relative = {
        task: path.relative_to(out.parent).as_posix() for task, path in shown.items() if path.is_file()
    }
    out.write_text(render(found, written, relative), encoding="utf-8")
    print(out)


if __name__ == "__main__":
    app()
