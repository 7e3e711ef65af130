"""EA-8cls: an evaluate module in a folder that is published as it is."""

from pathlib import Path

_HERE = Path(__file__).parent

CODE: dict[str, Path] = {
    path.name: path
    for path in (
        _HERE / "ea_8cls.py",
        _HERE / "app.py",
        _HERE / "requirements.txt",
        _HERE / "tests.py",
    )
}
"""The code of the metric's repo: name there, and the file here; its card lies beside it."""
