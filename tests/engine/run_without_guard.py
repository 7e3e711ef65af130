"""A script without `if __name__ == "__main__"`, which every worker would run again: STORE LOG."""

from __future__ import annotations

import sys
from pathlib import Path

from local_folder import LocalFolder
from squares import Squares

from emovid_dataset.engine import Processes

Processes(2).run(Squares(Path(sys.argv[2])), LocalFolder(Path(sys.argv[1])), on_done=lambda done: None)
