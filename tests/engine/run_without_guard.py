"""A script without `if __name__ == "__main__"`, which every worker would run again: STORE LOG."""

from __future__ import annotations

import sys
from pathlib import Path

from squares import Squares

from emovid_dataset.engine import Processes
from emovid_dataset.store import Store

Processes(2).run(Squares(Path(sys.argv[2])), Store.at(sys.argv[1]), on_done=lambda done: None)
