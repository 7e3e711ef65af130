"""EA-8cls: an evaluate module in a folder that is published as it is."""

from pathlib import Path

_HERE = Path(__file__).parent

MODULE: dict[str, Path] = {
    f"{name}.py": _HERE / f"{name}.py"
    for name in (
        "ea_8cls",
        "batches",
        "comparison",
        "distributions",
        "intervals",
        "labels",
        "scoring",
        "taxonomy",
    )
}
"""The module, and the siblings that it imports: name in the repo, and the file here."""

CODE: dict[str, Path] = MODULE | {name: _HERE / name for name in ("app.py", "requirements.txt", "tests.py")}
"""The code of the metric's repo: name there, and the file here; its card lies beside it."""
