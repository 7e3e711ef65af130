"""Stickers of a picture: what the model is given, what becomes transparent, files. Travels with the demo."""

from pathlib import Path

_HERE = Path(__file__).parent

CODE: dict[str, Path] = {
    f"sticker/{name}": _HERE / name
    for name in (
        "__init__.py",
        "choices.py",
        "picture.py",
        "regions.py",
        "cutout.py",
        "animation.py",
    )
}
"""The code of a Space that makes stickers: name there, and the file here."""
