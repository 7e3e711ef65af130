"""How the package comes by the builder: never from a file of that name that somebody put where it is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributions import ROOT, Run

FOREIGN = """
import pathlib
pathlib.Path(__file__).with_name("marker").write_text("this ran")
raise ImportError("a foreign loading script")
"""

LOAD = """
import sys
from pathlib import Path
import emovid_dataset
from emovid_models.publish.repos import assemble

place, build = sys.argv[1:]
assert Path(emovid_dataset.__file__).is_relative_to(place), emovid_dataset.__file__
rows = emovid_dataset.load(build, "movie", split="train")
streamed = emovid_dataset.load(build, "movie", split="train", streaming=True)
assert [row["id"] for row in rows] == [row["id"] for row in streamed] != []
assert "loading_script" not in sys.modules
print(assemble("dataset", build, repo_id="me/EmoVid").files["loading_script.py"].read_text().splitlines()[0])
"""


@pytest.fixture
def downloaded(mini_build: Path, tmp_path: Path) -> Path:
    """A folder such as somebody's repo leaves when it is downloaded: its loading script is theirs."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name in ("loading_script.py", "_builder.py"):
        (folder / name).write_text(FOREIGN)
    for path in mini_build.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def test_a_foreign_loading_script_in_the_working_folder_is_not_run(downloaded: Path, run: Run) -> None:
    first_line = run(LOAD, downloaded, cwd=downloaded)
    assert first_line == (ROOT / "loading_script.py").read_text().splitlines()[0]
    assert not (downloaded / "marker").exists()


WORKERS = """
import sys
import multiprocess
import emovid_dataset

if __name__ == "__main__":
    method = sys.argv[3]
    multiprocess.set_start_method(method, force=True)
    rows = emovid_dataset.load(sys.argv[2], "sticker", num_proc=2, cache_dir=method)
    assert sys.modules["emovid_dataset.read._builder"].EmoVid.__module__ == "emovid_dataset.read._builder"
    print(sum(map(len, rows.values())))
"""


def test_worker_processes_import_the_builder_by_its_private_name(
    downloaded: Path, run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    method = {"checkout": "fork", "wheel": "spawn"}[request.node.callspec.params["run"]]
    assert run(script, downloaded, method, cwd=downloaded) == "153"
    assert not (downloaded / "marker").exists()
