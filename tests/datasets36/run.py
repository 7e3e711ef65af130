"""Check builds on datasets 3.6.0: `run.py PYTHON`, an interpreter that has it.

The miniature corpus is built for it; builds of earlier versions lie with the tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from emovid_dataset.builder.build import build as build_dataset

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "emovid_dataset" / "mini"
EARLIER = [ROOT / "tests" / "dataset" / name for name in ("format_1", "counted_names")]


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "EmoVid"
        build_dataset(MINI, MINI / "labels.csv", out)
        check = [python, str(Path(__file__).with_name("check.py"))]
        return max(subprocess.run([*check, str(build)]).returncode for build in (*EARLIER, out))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
