"""Code on video that remote code on the Hub carries too; it imports libraries and its siblings only."""

from pathlib import Path

_HERE = Path(__file__).parent

PICTURE_CODE: dict[str, Path] = {
    f"portable/{name}.py": _HERE / f"{name}.py"
    for name in ("__init__", "colour", "errors", "icc", "matrices", "pixels", "side_data")
}
"""What makes RGB of a decoded frame, for a Space that shows pictures: name there, and the file here."""
