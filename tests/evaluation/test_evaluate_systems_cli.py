"""`emovid evaluate SYSTEM...` as a user runs it: systems of a file and folders, then the report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import INTENDED_NAME, read_intended, write_intended
from emovid_models.evaluation.prompts import PROMPTS_VERSION
from emovid_models.evaluation.result import read_result

sys.path.insert(0, str(Path(__file__).parents[1] / "wan"))
from wan_tiny import t2v_components

SMALL = ("--size", "32x32", "--frames", "5", "--steps", "1", "--device", "cpu", "--per-emotion", "1")


def emovid(command: str, *arguments: str | Path) -> Ran:
    return CliRunner().invoke(program(), [command, *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two generators that differ in one setting, on a tiny base beside it."""
    from diffusers import WanPipeline

    folder = tmp_path_factory.mktemp("systems")
    WanPipeline(**t2v_components()).save_pretrained(folder / "base")
    path = folder / "systems.yaml"
    path.write_text("plain: {base: base}\nguided: {base: base, settings: {guidance: 2}}\n")
    return path


def test_systems_side_by_side(systems: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    first = emovid("evaluate", "plain", "--systems", systems, "--out", tmp_path / "one", *SMALL, "--json")
    assert first.exit_code == 0, first.output
    made = tmp_path / "one" / "videos" / "plain"
    other = shutil.copytree(made, tmp_path / "other")
    rows = read_intended(made / INTENDED_NAME)
    for row in rows:
        (other / row.file).rename(other / f"my-{row.file}")
    write_intended(
        other / INTENDED_NAME,
        [evaluation.Intended(f"my-{r.file}", r.emotion, r.prompt, r.seed) for r in rows],
    )
    arguments = ("plain", "guided", other, "--systems", systems, "--out", out, *SMALL)
    found = emovid("evaluate", *arguments, "--json")
    assert found.exit_code == 0, found.output
    printed = json.loads(found.stdout)
    result = read_result(out)
    assert printed["out"] == str(out / "result.json") and printed["inputs"] == result.inputs
    assert [one.name for one in result.systems] == ["plain", "guided", "other"] and result.task == "t2v"
    assert [one.settings.get("guidance") for one in result.systems] == [5.0, 2, None]
    assert (result.prompts and (result.prompts.name, result.prompts.version, result.prompts.count)) == (
        "sticker",
        PROMPTS_VERSION,
        8,
    )
    plain, guided, given = (result.of(name) for name in ("plain", "guided", "other"))
    assert [one.intended for one in plain] == list(EMOTIONS) and len({one.scene for one in plain}) == 1
    assert [one.sha256 for one in plain] == [one.sha256 for one in given] != [one.sha256 for one in guided]
    assert [one.answers for one in plain] == [one.answers for one in given]
    assert [one.request for one in plain] == [one.request for one in given]
    assert {one.content_type for one in (*plain, *given)} == {"sticker"}
    expected = evaluation.judge_videos(made, made / INTENDED_NAME, evaluation.load_judge(device="cpu"))
    assert [one.answers[expected.judge].scores for one in plain] == [one.scores for one in expected.videos]

    reasons = [(name, one.reason) for name, one in result.systems[0].measures.items() if one.reason]
    assert {("prompt_match", "no --clip MODEL"), ("fvd", "no --videomae MODEL")} <= set(reasons)

    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    table = emovid("evaluate", *arguments)
    assert table.exit_code == 0 and len(times) == 16, table.output
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == times
    assert table.output.index("accuracy on real clips is not known") < table.output.index("plain")
    assert "never dropped" in table.output and "miniature annotator" in table.output
    flicker = result.systems[0].measures["flicker"]
    assert flicker.n == 8 and flicker.value == np.mean([one.scores["flicker"] for one in plain])
    assert plain[0].scores["motion"] is not None and plain[0].scores["brightness"] is not None
    assert result.systems[0].measures["hue_distance"].reason == "the result has no real clips"
    page = tmp_path / "page.html"
    report = emovid("report", out, "--markdown", tmp_path / "table.md", "--html", page)
    assert page.read_text(encoding="utf-8").count("<video ") == 24
    assert report.exit_code == 0 and "| guided | 8 | 0 |" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plain"], "system plain is not a folder"),
        (["SYSTEMS", "best"], "system best is not a folder, and not one of the file's: plain, guided"),
        (["SYSTEMS", "--lora", "me/lora"], "--lora me/lora does not go with SYSTEM and --systems"),
        (["SYSTEMS", "--protocol", "paper"], "--protocol paper does not go with SYSTEM"),
        (["SYSTEMS", "--judge", "mini", "--judge", "mini"], "is given twice"),
        (["SYSTEMS", "--size", "48x48", "--prompts", "none"], "--prompts none is not a file"),
        (["--judge", "mini"], "needs SYSTEM or --systems"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    systems: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [
        part
        for argument in arguments
        for part in (["--systems", str(systems)] if argument == "SYSTEMS" else [argument])
    ]
    found = emovid("evaluate", *given, "--out", tmp_path / "new")
    assert isinstance(found.exception, (ValueError, OSError)), found.output
    assert message in str(found.exception) and "\n" not in str(found.exception)
    assert not (tmp_path / "new").exists()


def test_a_result_needs_a_place(systems: Path) -> None:
    found = emovid("evaluate", "--systems", systems)
    assert "SYSTEM needs --out FOLDER" in str(found.exception)
