"""The program `emovid` as it is run: exit codes, one-line errors, tables and JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from one_process import run_all
from video_files import sticker, write_sheet

from emovid_dataset.cli.sizes import parse_byte_size


def emovid(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emovid_models.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten stickers, one of them without a label, one row that is refused."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "sticker").mkdir()
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:10]):
        shutil.copy(path, folder / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": "awe" if index % 2 else "fear"})
    with open(os.fsencode(folder) + b"/sticker/\xff.mp4", "wb") as file:
        file.write(b"not named by the sheet")
    write_sheet(folder, rows[:9])
    write_sheet(folder, [*rows[:9], {"path": "../x.mp4", "emotion": "awe"}], "refused.csv")
    return folder


@pytest.fixture(scope="module")
def built(
    raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("built") / "out"
    return out, emovid("build", raw, "--labels", raw / "labels.csv", "--out", out, "--workers", 1)


def test_a_build_ends_with_a_table_and_exit_0(
    built: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, result = built
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    cells = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if "│" in line]
    rows = {(row[0], row[1]): [int(count) for count in row[2:]] for row in cells}
    assert rows["sticker", "awe"][-1] == 4 and rows["sticker", "fear"][-1] == 5
    assert rows["all", "all"][-1] == 9 == sum(rows["all", "all"][:3])
    assert "no label for: " in result.stdout and "\\udcff.mp4" in result.stdout
    assert lines[-1].startswith(f"{out}: 9 clips, ") and ", 0 refused; built in " in lines[-1]
    assert result.stderr.splitlines()[-1].startswith("write: ")


def test_a_second_run_uses_the_first(raw: Path, built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    again = emovid("build", raw, "--labels", raw / "labels.csv", "--out", built[0], "--workers", 1)
    assert again.returncode == 0 and again.stdout.splitlines()[-1].endswith("was built already")
    assert again.stdout.splitlines()[:-1] == built[1].stdout.splitlines()[:-1]


def test_refusals_exit_1_unless_allowed_and_are_listed(raw: Path, tmp_path: Path) -> None:
    command = ["build", raw, "--labels", raw / "refused.csv", "--out", tmp_path / "out", "--workers", 1]
    first = emovid(*command)
    assert first.returncode == 1
    assert "refused: row 10: ../x.mp4: lies outside the raw folder" in first.stdout.splitlines()
    allowed = emovid(*command, "--allow-rejected", "--json")
    assert allowed.returncode == 0 and allowed.stderr == ""
    report = json.loads(allowed.stdout)
    assert report["clips"] == 9 and report["reused"] is True
    assert report["rejected"] == [{"row": 10, "path": "../x.mp4", "reason": "lies outside the raw folder"}]
    assert sum(row["clips"] for row in report["counts"]) == 9


def test_verify_exits_0_or_1(built: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    shutil.copytree(built[0], tmp_path / "out")
    good = emovid("verify", tmp_path / "out", "--decode", "--workers", 1)
    assert good.returncode == 0 and good.stdout.splitlines()[-1].endswith("are sound, every clip decoded")
    path = next((tmp_path / "out").glob("data/*/*.tar"))
    path.write_bytes(path.read_bytes()[:-1])
    bad = emovid("verify", tmp_path / "out", "--workers", 1)
    assert bad.returncode == 1 and "Traceback" not in bad.stderr
    assert any("the manifest says" in line for line in bad.stdout.splitlines())
    as_json = emovid("verify", tmp_path / "out", "--workers", 1, "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["violations"] == bad.stdout.splitlines()


def test_a_wrong_argument_is_one_line_and_exit_2(raw: Path, tmp_path: Path) -> None:
    wrong = {
        "--split 80/20": "split '80/20' must be three shares such as 80/10/10",
        "--shard-size 0MB": "size '0MB' must be a number with B, KB, MB",
        "--every 0": "every is 0; it must be",
        "--workers 0": "workers is 0; it must be at least 1",
        "--labels none.csv": "--labels none.csv is not a file",
        "--note none.txt": "none.txt",
    }
    command = ["build", raw, "--labels", raw / "labels.csv", "--out", tmp_path / "out"]
    told = run_all([[*command, *more.split()] for more in wrong])
    for says, done in zip(wrong.values(), told, strict=True):
        assert done.code == 2
        assert len(done.err.splitlines()) == 1 and says in done.err and done.out == ""
    assert not (tmp_path / "out").exists(), "nothing is made before the arguments are right"


def test_help_has_an_example_and_a_missing_option_exits_2() -> None:
    *helps, bare, nowhere = run_all(
        [["build", "--help"], ["verify", "--help"], ["build"], ["verify", "nowhere"]]
    )
    for done in helps:
        assert done.code == 0 and "Example: emovid" in " ".join(done.out.split())
    assert (bare.code, nowhere.code) == (2, 1)


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1XB", "1e9", "nan", "0", "0.1B", "1,5GB"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number with B"):
        parse_byte_size(text)
