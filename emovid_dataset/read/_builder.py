"""The builder of `loading_script.py`, by a name that no file in a user's folder can take.

The script lies at the top of the repository and works alone, beside the data. A wheel holds it in this file's
place. In a checkout this file loads it by its path and gives it its own name, so that worker processes can
import it too.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loading_script import EmoVid as EmoVid
else:
    _spec = importlib.util.spec_from_file_location(__name__, Path(__file__).parents[2] / "loading_script.py")
    sys.modules[__name__] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[__name__])
