"""What the README says works: its Python blocks run on a build of the miniature, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emovid_models.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_blocks_run(
    mini_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "EmoVid").symlink_to(mini_build)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert blocks("python")
    for block in blocks("python"):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "torch.Size([16, 3, 224, 224])" in printed
    assert "'amusement', 'awe', 'contentment'" in printed


def test_commands_and_their_options_exist() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("emovid ")]
    assert len(lines) >= 3
    for line in lines:
        _, command, *arguments = shlex.split(line, comments=True)
        help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in help_text, f"{line}: {option}"


def test_the_make_targets_exist() -> None:
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        made = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
