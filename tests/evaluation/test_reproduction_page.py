"""The page of the reproduction: its numbers stand in the result file, and its words follow from them."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR, evaluation
from emovid_models.evaluation import INTENDED_NAME, Intended, Judge, Judged
from emovid_models.evaluation.measuring import Measured, Networks
from emovid_models.evaluation.protocol import paper_figures
from tools.reproduction_page import page
from tools.reproduction_page.__main__ import app
from tools.reproduction_page.contact_sheets import TILE, first_blocks
from tools.reproduction_page.tables import TASKS

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, stickers: list[dict[str, str]]) -> Path:
    """Folders as the stages leave them, with real stickers in the place of generated videos.

    Base always shows the same stickers, whatever was asked for; the LoRA those of the emotion.
    """
    root = tmp_path_factory.mktemp("videos")
    by_emotion = {name: [row for row in stickers if row["emotion"] == name] for name in EMOTIONS}
    for task, shared in (("t2v", True), ("i2v", False)):
        for model in ("base", "lora"):
            folder = root / task / model
            folder.mkdir(parents=True)
            rows = []
            for emotion in EMOTIONS:
                for scene in range(3):
                    shown = by_emotion[emotion if model == "lora" else "amusement"][scene]
                    name = f"{emotion}-{scene}.mp4"
                    shutil.copyfile(MINI / shown["path"], folder / name)
                    prompt = f"scene {scene}" if shared else f"{emotion} {scene}"
                    rows.append(Intended(name, emotion, prompt, scene))
            evaluation.write_intended(folder / INTENDED_NAME, rows)
    return root


def protocol_run(base: Judged, lora: Judged) -> dict[str, Any]:
    """A task's record as `tools.reproduce.paper_protocol` keeps it."""
    rows = {
        name: paper_figures(
            [Measured("a", 5, flicker), Measured("b", 5, 0.0345)],
            evaluation.score(judged),
            task="t2v",
            networks=Networks(),
            reference=[],
        ).record()
        for name, judged, flicker in (("base", base, 0.0123), ("lora", lora, 0.0678))
    }
    return {
        "protocol": {"n": len(base.videos)},
        "measures": rows,
        "real": {"measures": rows["lora"]},
        "comparison": evaluation.to_record(evaluation.compare(base, lora)),
        "comparison_2cls": evaluation.to_record(evaluation.compare_valence(base, lora)),
    }


@pytest.fixture(scope="module")
def result(made: Path, judge: Judge) -> dict[str, Any]:
    """A result file as the judge and table stages write it."""
    record: dict[str, Any] = {"paper": evaluation.paper_record()}
    for task in ("t2v", "i2v"):
        base, lora = (
            evaluation.judge_videos(made / task / model, made / task / model / INTENDED_NAME, judge)
            for model in ("base", "lora")
        )
        comparison = evaluation.to_record(evaluation.compare(base, lora))
        told = comparison | {"control": copy.deepcopy(comparison)}
        record[task] = told | {"second_judge": told, "third_judge": copy.deepcopy(told)}
        record.setdefault("paper_protocol", {})[task] = protocol_run(base, lora)
    confusion = json.loads((MINI_ANNOTATOR / "figures.json").read_text())["stickers"]["confusion"]
    figures = evaluation.to_record(evaluation.score_confusion(confusion))
    for key, share in (("judge", 0.3125), ("second_judge", 0.4375), ("third_judge", 0.5625)):
        record[key] = {
            "identity": judge.identity if key == "judge" else f"{key}@0123",
            "title": f"a judge called {key}",
            "as_they_are": record["t2v"]["lora"],
            "held_out": figures,
            "commonest": "awe",
            "commonest_share": share,
            "unfit": share > 0.5,
        }
    told = {"paired": record["t2v"], "paper": record["t2v"], "mood": record["i2v"]}
    record["wordings"] = {"judge": told, "third_judge": copy.deepcopy(told)}
    record["ablation"] = [
        {"emotion_guidance": 3.0, "intensity": 0.0, "figures": record["t2v"]["base"], "base": True},
        {"emotion_guidance": 3.0, "intensity": 0.0, "figures": record["t2v"]["base"]},
        {"emotion_guidance": 0.0, "intensity": 1.5, "figures": record["t2v"]["lora"]},
    ]
    record["vae"] = {"frame_psnr_db": [23.4, 11.2]}
    record["stages"] = {
        "vae": {"seed": 0, "seconds": 612.4, "device": "cpu", "peak_mb": 1234.6},
        "table": {"seed": 0, "seconds": 3.2, "peak_mb": 321.0},
    }
    record["settings"] = {"size": "64x64", "num_frames": 17, "guidance_scale": 3.5}
    return record


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.@-])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])", text)


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, str):
        yield from map(float, numbers(value))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def test_every_number_comes_from_the_result(result: dict[str, Any]) -> None:
    text = page.render(result, "", {})
    text = text.replace("95 %", "").replace("intensity 0 ", "").replace(result["paper"]["source"], "")
    known = set(leaves(result))
    allowed = {f"{100 * value:.1f}" for value in known} | {f"{value:g}" for value in known}
    allowed |= {f"{abs(100 * value):.1f}" for value in known}
    allowed |= {f"{100 * value['ea_8cls']:.2f}" for value in result["paper"].values() if "ea_8cls" in value}
    allowed |= {f"{value:.2g}" for value in known} | {str(round(value)) for value in known}
    allowed |= {f"{value / 60:.1f}" for value in known} | {f"{value:.4f}" for value in known}
    allowed |= {str(sum(column)) for column in zip(*result["t2v"]["base"]["confusion"], strict=True)}
    seconds = sum(stage["seconds"] for stage in result["stages"].values())
    allowed.add(f"{seconds / 60:.1f}")
    found = numbers(text)
    assert len(found) > 150
    assert [number for number in found if number not in allowed] == []


def test_other_numbers_make_another_page(result: dict[str, Any]) -> None:
    """No number of the page is its own: with all of them changed, none of the old tables is left."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: change(part) for key, part in value.items()}
        if isinstance(value, list):
            return [change(part) for part in value]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        return value + 7 if isinstance(value, int) else math.fmod(value + 0.123, 0.99)

    rows = [line for line in page.render(result, "", {}).splitlines() if re.search(r"\| .*\d", line)]
    changed = page.render(change(copy.deepcopy(result)), "", {}).splitlines()
    kept = [row for row in rows if row in changed and "95 %" not in row and "64x64" not in row]
    assert len(rows) > 30 and kept == []


def test_words_follow_from_the_numbers(result: dict[str, Any]) -> None:
    text = page.render(result, "", {})
    base, lora = result["t2v"]["base"], result["t2v"]["lora"]
    assert base["ea_8cls"]["value"] != lora["ea_8cls"]["value"]
    apart = lora["ea_8cls"]["low"] > base["ea_8cls"]["high"]
    assert ("The LoRA's interval lies above the base's." in text) == apart
    assert ("The two intervals overlap." in text) != apart
    assert "At intensity 0 the LoRA's score is the base's." in text
    for name in ("second", "third"):
        assert f"Both the annotator and the {name} judge see the LoRA ahead." in text
        assert f"; the {name} judge sees the LoRA ahead (p = " in text
    (line,) = [line for line in text.splitlines() if line.startswith("- The third judge")]
    assert "It is unfit: it answers awe to 56.2 % of the real clips" in line
    assert text.count("It is unfit") == 1 and text.count("but it is unfit") == 2
    assert text.index("It is unfit") < text.index("## The table")
    assert text.count("with `paper` more videos are right.") == 2

    level = copy.deepcopy(result)
    for found in (level["wordings"]["judge"]["paired"], level["t2v"]["third_judge"]["control"]):
        found |= {"mcnemar_p": 0.051}
    text = page.render(level, "", {})
    assert text.count("which wording makes more videos right cannot be told.") == 1
    assert "the third judge cannot tell them apart (p = 0.051)" in text

    swapped = copy.deepcopy(result)
    for comparison in (swapped["t2v"], swapped["i2v"]):
        comparison["base"], comparison["lora"] = comparison["lora"], comparison["base"]
    swapped["ablation"][1]["figures"] = result["t2v"]["lora"]
    text = page.render(swapped, "", {})
    assert "the paper's claim is not reproduced here" in text
    assert "The annotator sees the base ahead, the second judge the LoRA." in text
    assert "not the base's" in text

    worlds_apart = copy.deepcopy(result)
    worlds_apart["t2v"]["lora"]["ea_8cls"] = {"value": 0.9, "low": 0.8, "high": 0.95}
    worlds_apart["t2v"]["base"]["ea_8cls"] = {"value": 0.2, "low": 0.1, "high": 0.3}
    assert "raises EA-8cls, as the paper reports; the intervals are apart" in page.render(
        worlds_apart, "", {}
    )


def test_what_is_missing_is_left_out(result: dict[str, Any]) -> None:
    kept = {k: v for k, v in result["t2v"].items() if k not in ("second_judge", "control")}
    kept["third_judge"] = {k: v for k, v in kept["third_judge"].items() if k != "control"}
    text = page.render({"t2v": kept}, "", {})
    assert "## The table" in text and "Image to video" not in text and "the paper's, " not in text
    assert "## Stages" not in text and "## Emotion guidance" not in text
    assert "No figures of the judges on real clips are recorded." in text
    assert "No figures of the second judge are recorded." in text and "## The two wordings" not in text


def test_the_papers_values_are_marked_as_the_papers(result: dict[str, Any]) -> None:
    text = page.render(result, "", {})
    for value in ("48.33 %", "76.25 %"):
        (line,) = [line for line in text.splitlines() if value in line and "paper" in line]
        assert "the paper's" in line and "other model, data and judge" in line


def test_the_papers_protocol_is_marked_as_what_it_is(result: dict[str, Any]) -> None:
    text = page.render(result, "", {}).partition("## The paper's protocol: here the code runs")[2]
    section = text.partition("\n## ")[0]
    assert "No conclusion follows from any number here" in section and "the paper's values do not" in section
    base = result["paper_protocol"]["t2v"]["measures"]["base"]
    (row,) = [line for line in section.splitlines() if line.startswith("| Text to video, base |")]
    assert row.split(" | ")[1:6] == ["24", *["not computed"] * 3, f"{base['temporal_flicker']['value']:.4f}"]
    assert "FVD, no --videomae MODEL" in section and "CLIP score, no --clip MODEL" in section
    assert "48.33" not in section and "610.1" not in section


def test_sheets_and_page(made: Path, result: dict[str, Any], tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    run = CliRunner().invoke(app, ["sheets", str(made), "--out", str(docs / "images")])
    assert run.exit_code == 0, run.output
    paths = sorted((docs / "images").iterdir())
    assert [path.name for path in paths] == ["reproduction-i2v.jpg", "reproduction-t2v.jpg"]
    assert sum(path.stat().st_size for path in paths) < 1_500_000
    for path in paths:
        with Image.open(path) as sheet:
            extent = sheet.convert("L").getextrema()
            assert sheet.width > 2 * 8 * TILE and sheet.height > 8 * TILE and extent[0] < 50

    (tmp_path / "reproduction.json").write_text(json.dumps(result))
    (docs / "reproduction_notes.md").write_text("### Why\n\nBecause.\n")
    written = CliRunner().invoke(
        app,
        [
            *(
                "page",
                "--result",
                str(tmp_path / "reproduction.json"),
                "--out",
                str(docs / "reproduction.md"),
            ),
            *("--notes", str(docs / "reproduction_notes.md"), "--images", str(docs / "images")),
        ],
    )
    assert written.exit_code == 0, written.output
    text = (docs / "reproduction.md").read_text()
    assert "### Why\n\nBecause." in text
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (docs / path).is_file()
    assert text.count("![") == 2


def test_blocks_of_a_sheet() -> None:
    shared = [Intended(f"{e}{s}.mp4", e, f"scene {s}", s) for e in EMOTIONS for s in range(3)]
    blocks = first_blocks(shared, 2)
    assert [heading for heading, _ in blocks] == ["scene 0", "scene 1"]
    assert [row.emotion for row in blocks[1][1]] == list(EMOTIONS)
    own = [Intended(f"{e}{s}.mp4", e, f"{e} {s}", s) for e in EMOTIONS for s in range(4)]
    assert [[row.seed for row in rows] for _, rows in first_blocks(own, 2)] == [[0] * 8, [2] * 8]
    with pytest.raises(ValueError, match="each of the eight"):
        first_blocks(own[:8], 2)


def test_the_page_that_is_there_is_the_one_of_the_result() -> None:
    if not page.RESULT.is_file():
        pytest.skip("the reproduction has not been run")
    found = page.read_result()
    notes = page.NOTES.read_text() if page.NOTES.is_file() else ""
    images = {
        task: f"images/reproduction-{task}.jpg"
        for task in TASKS
        if (page.IMAGES / f"reproduction-{task}.jpg").is_file()
    }
    assert page.PAGE.read_text() == page.render(found, notes, images)
    assert sum(path.stat().st_size for path in page.IMAGES.glob("reproduction-*")) < 1_500_000
