"""The order of the reproduction's stages when several run at a time; what a stage does is left out here."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tools.reproduce import stages
from tools.reproduce.plan import STAGES
from tools.reproduce.run import TINY, Run


class Recorded:
    """Stands in the place of the processes: notes which stages ran, and how many at once."""

    def __init__(self, failing: str | None = None) -> None:
        self.failing, self.lock = failing, threading.Lock()
        self.running: set[str] = set()
        self.done: list[str] = []
        self.most = 0

    def __call__(self, run: Run, stage: str, tiny: bool) -> int:
        with self.lock:
            assert set(STAGES[stage].needs) <= set(self.done), f"{stage} began before what it needs"
            self.running.add(stage)
            self.most = max(self.most, len(self.running))
        time.sleep(0.02)
        with self.lock:
            self.running.remove(stage)
            self.done.append(stage)
        return 3 if stage == self.failing else 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_stage_runs_once_after_what_it_needs(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    monkeypatch.setattr(stages, "_run_apart", recorded)
    stages.reproduce(Run(TINY, tmp_path), "all", tiny=True, jobs=jobs)
    assert sorted(recorded.done) == sorted(STAGES) and recorded.most == jobs


def test_a_stage_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded("lora-t2v")
    monkeypatch.setattr(stages, "_run_apart", recorded)
    with pytest.raises(RuntimeError, match=r"stage lora-t2v failed with code 3; .*lora-t2v\.log says why"):
        stages.reproduce(Run(TINY, tmp_path), "all", tiny=True, jobs=2)
    assert not {"generate-t2v", "judge", "table", "pages"} & set(recorded.done)
