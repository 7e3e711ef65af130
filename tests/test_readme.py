"""What the README says works: its Python blocks run on a build of the miniature, its commands run too.

The commands run in order in a scratch folder that holds `clips/`, `labels.csv` and `face.png`, made of
stickers of the miniature. Names of repos stand for folders (`STANDS_FOR`), and a command does less than at
full size (`LESS`). `emovid demo`, which serves until it is stopped, has tests of its own, and so has the
paper's protocol, which asks for a build with a benchmark.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner
from video_files import write_video

from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR, MINI_WAN_I2V
from emovid_models.metrics import ea_8cls

ROOT = Path(__file__).parents[1]
MINI = ROOT / "emovid_dataset" / "mini"
README = (ROOT / "README.md").read_text(encoding="utf-8")

STANDS_FOR = {
    "emovid/annotator": str(MINI_ANNOTATOR),
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": "base",
    "emovid/wan2.1-t2v-1.3b-lora": "my-lora",
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": str(MINI_WAN_I2V),
}
"""A repo that a command names, and the folder that it is here."""

SMALL = ["--size", "48x32", "--frames", "5", "--steps", "1"]
LESS = {
    "build": ["--workers", "1"],
    "generate": SMALL,
    "evaluate": [*SMALL, "--per-emotion", "1"],
    "sticker": ["--size", "64x64", "--frames", "5", "--steps", "1"],
    "train annotator": ["--epochs", "0.1", "--method", "lora", "--rank", "2"],
    "train lora": ["--size", "48x32", "--max-frames", "5", "--steps", "1", "--rank", "2"],
}
"""Options that follow those of the README."""

RUN = """
import json, sys
from emovid_dataset.cli import program
for command in json.loads(sys.argv[1]):
    print("$ emovid", *command, flush=True)
    program()(command, standalone_mode=False)
"""


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str = README) -> list[list[str]]:
    """The words of every `emovid` command, without the name of the program."""
    lines = "\n".join(blocks("bash", text)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("emovid ")]


def name_of(command: list[str]) -> str:
    return " ".join(command[: 2 if command[0] == "train" else 1])


def test_python_blocks_run(
    mini_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "EmoVid").symlink_to(mini_build)
    (tmp_path / "emovid").mkdir()
    (tmp_path / "emovid" / "ea_8cls").symlink_to(Path(str(ea_8cls.__file__)).parent)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert blocks("python")
    for block in blocks("python"):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "torch.Size([16, 3, 224, 224])" in printed
    assert "'amusement', 'awe', 'contentment'" in printed
    assert len(names["annotate"](names["bright"][0].video, top_k=3)) == 3
    assert printed.splitlines()[-1] == "0.5"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """`clips/` and `labels.csv` with stickers of all emotions, and a tiny Wan in `base/`."""
    sys.path.append(str(ROOT / "tests" / "wan"))
    from diffusers import WanPipeline
    from wan_tiny import t2v_components

    WanPipeline(**t2v_components()).save_pretrained(tmp_path / "base")
    with (MINI / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    chosen = [row for place, row in enumerate(rows) if place % 3 == 0]
    for row in chosen:
        target = tmp_path / "clips" / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(MINI / row["path"], target)
    with av.open(str(MINI / chosen[0]["path"])) as film:
        next(film.decode(video=0)).to_image().save(tmp_path / "face.png")
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(chosen[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return tmp_path


FILM = README.partition("## From film to labelled clips")[2].partition("\n## ")[0]
"""Its commands are those of docs/tutorial.md, which has a test of its own."""


def test_the_commands_run(scratch: Path) -> None:
    own = [words for words in commands() if words not in commands(FILM)]
    # A LoRA is trained before it is used.
    order = ["build", "verify", "stats", "analyse", "train lora", "annotate", "generate", "evaluate"]
    order += ["sticker", "train annotator"]
    planned = []
    for name in [*order, "push"]:
        found = [words for words in own if name_of(words) == name and "--protocol" not in words]
        assert found, f"the README shows no emovid {name}"
        for command in found:
            planned.append([STANDS_FOR.get(word, word) for word in command] + LESS.get(name, []))
    assert {name_of(command) for command in own} == {*order, "push", "demo"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(planned)],
        capture_output=True,
        text=True,
        cwd=scratch,
        env={**os.environ, "HF_HOME": str(scratch / "hf"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    for made in (
        "report.html",
        "analyses.html",
        "stickers/awe.webp",
        "labels.parquet",
        "cat.mp4",
        "scores/evaluation.json",
        "my-annotator/training.json",
    ):
        assert (scratch / made).stat().st_size > 0, made
    assert "loading_script.py" in done.stdout, "the dry run lists the files"


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clips/` of a person's own: several kinds of files made here, in folders named after content types."""
    folder = tmp_path_factory.mktemp("own")
    # the files' bytes differ from machine to machine, and so would the splits that are drawn
    lines = ["path,emotion,caption,split"]
    for place, emotion in enumerate(EMOTIONS):
        kind = "movie" if place == 7 else "sticker"
        suffix = (".mp4", ".gif", ".mkv", ".mov")[place % 4]
        path = folder / "clips" / kind / f"{place:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.linspace(100, 250, 64, dtype=np.uint8)
        frames = [
            np.stack([np.roll(grey, 4 * step + place)] * 48)[..., None].repeat(3, 2) for step in range(8)
        ]
        if suffix == ".gif":
            first, *others = map(Image.fromarray, frames)
            first.save(path, save_all=True, append_images=others, duration=120)
        else:
            write_video(path, frames, rate=8)
        split = {5: "validation", 6: "test"}.get(place, "train")
        lines.append(f"{kind}/{path.name},{emotion},a grey wave number {place},{split}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_the_examples_run_on_a_folder_of_ones_own(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_folder)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(own_folder / "cache"))
    section = README.partition("\n## Build\n")[2].partition("\n## From film")[0]
    mine = [words for words in commands() if " ".join(words) in " ".join(section.split())]
    assert [words[0] for words in mine] == ["build", "verify", "stats", "analyse"]
    mine += [words for words in commands() if words[0] == "annotate"]
    for words in mine:
        words = [STANDS_FOR.get(word, word) for word in words] + (["--json"] if words[0] != "build" else [])
        done = CliRunner().invoke(program(), words + LESS.get(words[0], []))
        assert done.exit_code == 0, f"{words}: {done.output}"
    for made in ("report.html", "analyses.html", "labels.parquet"):
        assert (own_folder / made).stat().st_size > 0, made
    assert parquet.read_table(own_folder / "labels.parquet").num_rows == 8
    names: dict[str, Any] = {}
    for block in (block for block in blocks("python") if block in section):
        exec(block, names)
    assert names["flat"].features["emotion"].names == list(EMOTIONS)
    assert len(names["table"]["train"]) >= 4
    assert names["item"]["video"].shape == (16, 3, 224, 224)
    assert "a grey wave" in names["sample"]["txt"] and len(names["bright"]) >= 1


def test_commands_and_their_options_exist() -> None:
    assert len(commands()) >= 10
    for command in commands():
        name = name_of(command).split()
        help_text = CliRunner().invoke(program(), [*name, "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in command if word.startswith("--")):
            assert option in help_text, f"{command}: {option}"


def test_the_places_exist() -> None:
    table = README.partition("## Where things are")[2].partition("\n## ")[0]
    places = re.findall(r"`([\w./]+)`", table)
    assert len(places) > 8
    for place in places:
        assert (ROOT / place).exists(), place


def test_the_make_targets_exist() -> None:
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        made = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr


def test_the_package_installs_as_the_readme_says(tmp_path: Path) -> None:
    """By pip itself, short of the last step: every extra is there, and what it needs is to be had."""
    sources = tmp_path / "emovid"
    skip = shutil.ignore_patterns(".*", "out", "mini", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, sources, ignore=skip)
    lines = [line for line in "\n".join(blocks("bash")).splitlines() if line.startswith("pip install ")]
    lines += re.findall(r"`(pip install [^`]+)`", README)
    assert len(lines) == 4
    for line in lines:
        command = [sys.executable, "-m", *shlex.split(line, comments=True), "--dry-run"]
        done = subprocess.run(
            [*command, "--no-build-isolation", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            cwd=sources,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "does not provide the extra" not in done.stdout + done.stderr
        assert re.search(r"Would install .*emovid", done.stdout), done.stdout
