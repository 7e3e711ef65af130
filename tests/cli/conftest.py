"""The videos of `tests/dataset` are the commands' too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dataset"))
