"""A script that runs the stage of squares: run_squares.py STORE LOG WORKERS STAGE-AS-JSON [RAY-ADDRESS]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gates import knock, pass_through

if __name__ == "__mp_main__" and (Path(sys.argv[2]) / "importing").exists():
    # a worker that is still being started
    knock(Path(sys.argv[2]) / "importing")
    pass_through(Path(sys.argv[2]) / "import")


def main() -> int:
    from squares import Squares

    from emovid_dataset.engine import executor
    from emovid_dataset.store import Store

    store, log, workers, fields, *address = sys.argv[1:]
    engine = executor("ray" if address else "processes", int(workers), *address)
    values = json.loads(fields)
    values["does"] = {int(number): mischief for number, mischief in values.get("does", {}).items()}
    try:
        engine.run(Squares(Path(log), **values), Store.at(store), on_done=lambda done: None)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
