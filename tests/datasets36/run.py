"""Build the miniature corpus and check it on datasets 3.6.0: `run.py PYTHON`, an interpreter that has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from emovid_dataset.builder.build import build

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "emovid_dataset" / "mini"


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "EmoVid"
        build(MINI, MINI / "labels.csv", out)
        return subprocess.run([python, str(Path(__file__).with_name("check.py")), str(out)]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
