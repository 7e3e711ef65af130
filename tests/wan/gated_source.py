"""The tiny pipeline, held up where a test wants it: at gates, so that nobody waits by the clock.

Run as a script, it is the program `emovid` with pipelines that are held up.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "engine"))
from gates import knock, pass_through

from emovid_models.wan import loading

FOLDER = "GATES"
"""The variable that names the folder of the gates."""


class HeldUp:
    """A pipeline that does what the file `at-{seed}` in the folder says before it generates."""

    def __init__(self, pipe: Any, folder: Path) -> None:
        self.pipe, self.folder = pipe, folder

    def __call__(self, **call: Any) -> Any:
        order = self.folder / f"at-{call['generator'].initial_seed()}"
        with (self.folder / "log").open("a") as log:
            log.write(f"{os.getpid()} {order.name}\n")
        if order.exists():
            what = order.read_text()
            order.unlink()  # only once
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            knock(self.folder / "here")
            pass_through(self.folder / "go")
        return self.pipe(**call)


@dataclass(frozen=True)
class GatedSource(loading.PipelineSource):
    folder: str = field(default_factory=lambda: os.environ[FOLDER])

    def load(self, worker: int = 0) -> Any:
        return HeldUp(super().load(worker), Path(self.folder))


if __name__ == "__main__":
    from gated_source import GatedSource as Importable

    from emovid_dataset.cli import main

    loading.PipelineSource = Importable  # type: ignore[misc]
    main()
