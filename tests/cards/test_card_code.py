"""Every code block of every card runs, against a Hub on loopback that holds what is published.

Blocks of a card run in order in one namespace; those that do not import this package run where it cannot be
imported. Commands run in a scratch folder that holds what they name, `clips/` and `example.png`. Only a
number of training steps is lowered, and `emovid demo`, which serves until it is stopped, has its own tests.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from card_sources import FENCE, KINDS, Card
from hub_clients import client_environment
from PIL import Image

from emovid_models.publish.repos import EXAMPLE_CLIP

WITHOUT_THIS_PACKAGE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("emovid_dataset", "emovid_models", "loading_script"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""

EXEC = """
import json, os, sys
found = {}
for name, code, check in json.loads(sys.argv[1]):
    os.makedirs(name, exist_ok=True)
    home = os.getcwd()
    os.chdir(name)
    names = {}
    exec(compile(code, f"the card of {name}", "exec"), names)
    found[name] = eval(check, names)
    os.chdir(home)
print()
print(json.dumps(found))
"""
"""Runs each card's code in a folder and a namespace of its own, then looks at what it left."""

COMMANDS = """
import json, sys
from emovid_dataset.cli import program
for command in json.loads(sys.argv[1]):
    program()(command, standalone_mode=False)
"""

LOWERED = {"500": "2"}
"""What a command does less of here than its card says: steps of a training."""

MODELS = [name for name, kind in KINDS.items() if kind in ("annotator", "base", "lora")]
Run = Callable[..., str]


@pytest.fixture
def run(hub: Any, tmp_path: Path) -> Run:
    """Runs Python code in the scratch folder, with the Hub on loopback, and gives what it printed."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "laugh.mp4").write_bytes(EXAMPLE_CLIP.read_bytes())
    repo = hub.repos["models", "emovid/mini-wan-i2v"]
    picture = repo.commits[repo.branches["main"]].blobs["example.png"].file
    (tmp_path / "example.png").write_bytes(picture.read_bytes())

    def call(code: str, argument: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(argument)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=client_environment(hub, tmp_path),
        )
        assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        return done.stdout

    return call


def python(card: Card, *, ours: bool = False) -> str:
    """The Python blocks of a card that import this package, or those that do not."""
    return "\n".join(block for block in card.blocks("python") if ("import emovid_" in block) == ours)


def test_every_block_is_in_a_language_that_is_run_here(cards: dict[str, Card]) -> None:
    for card in cards.values():
        languages = {language for language, _ in FENCE.findall(card.text)}
        assert languages <= {"python", "bash", "bibtex", "json"}, card.repo_id
        for record in card.blocks("json"):
            assert json.loads(record)["id"], card.repo_id


def test_the_models_python_runs_with_public_libraries_only(
    cards: dict[str, Card], run: Run, tmp_path: Path
) -> None:
    checks = {
        "annotator": "[type(model).__name__, type(processor).__name__, len(answer['emotions']), "
        "sorted(answer)]",
        "base": "type(pipe).__name__",
        "lora": "[type(pipe).__name__, sorted(stock.transformer.peft_config)]",
    }
    tasks = [(name, python(cards[name]), checks[KINDS[name]]) for name in MODELS]
    found = json.loads(run(WITHOUT_THIS_PACKAGE + EXEC, tasks).splitlines()[-1])
    model, processor, count, said = found["emovid/annotator"]
    assert (model, processor, count) == ("NVILALiteForConditionalGeneration", "NVILALiteProcessor", 3)
    assert said == ["arousal", "emotion", "emotions", "valence"], "the miniature offers no captions"
    assert found["emovid/mini-wan-t2v"] == "WanPipeline"
    assert found["emovid/mini-wan-i2v"] == "WanImageToVideoPipeline"
    assert found["emovid/mini-lora-t2v"] == ["EmoVidWanPipeline", ["default_0"]]
    assert found["emovid/mini-lora-i2v"] == ["EmoVidWanImageToVideoPipeline", ["default_0"]]
    for name in MODELS[1:]:
        with Image.open(tmp_path / name / "cat.gif") as film:
            assert film.size == (48, 32), name


def test_the_datasets_and_the_metrics_python_runs_with_public_libraries_only(
    cards: dict[str, Card], run: Run
) -> None:
    text = "\n".join(cards["emovid/ea_8cls"].blocks("python"))
    examples = (
        "import doctest\n"
        f"test = doctest.DocTestParser().get_doctest({text!r}, {{}}, 'card', 'card', 0)\n"
        "result = doctest.DocTestRunner().run(test)"
    )
    tasks = [
        ("EmoVid", python(cards["emovid/EmoVid"]), "[len(frames), clip['json']['emotion'], table.num_rows]"),
        ("ea_8cls", examples, "[result.failed, result.attempted]"),
    ]
    found = json.loads(run(WITHOUT_THIS_PACKAGE + EXEC, tasks).splitlines()[-1])
    count, emotion, rows = found["EmoVid"]
    assert count > 1 and rows > 100 and emotion.isalpha()
    assert found["ea_8cls"] == [0, text.count(">>> ")]


def test_the_python_that_needs_this_package_runs(cards: dict[str, Card], run: Run) -> None:
    assert [name for name in cards if python(cards[name], ours=True)] == ["emovid/EmoVid"]
    check = "[len(rows), len(few), list(next(iter(frames))['video'].shape)]"
    tasks = [("EmoVid", python(cards["emovid/EmoVid"], ours=True), check)]
    rows, few, shape = json.loads(run(EXEC, tasks).splitlines()[-1])["EmoVid"]
    assert rows > 100 and 0 < few <= 20 and shape == [16, 3, 224, 224]


def test_the_commands_run(cards: dict[str, Card], run: Run, tmp_path: Path) -> None:
    commands = []
    for number, name in enumerate(MODELS):
        assert cards[name].blocks("bash"), f"{name} shows no command"
        for block in cards[name].blocks("bash"):
            program, *words = shlex.split(block.replace("\\\n", " "))
            assert program == "emovid"
            # Each card's output in a place of its own: they are called alike.
            place = words.index("--out") + 1
            words[place] = f"out{number}/{words[place]}"
            commands.append([LOWERED.get(word, word) for word in words])
    (tmp_path / "out0").mkdir()
    run(COMMANDS, commands)
    for command in commands:
        out = tmp_path / command[command.index("--out") + 1]
        assert (out / "pytorch_lora_weights.safetensors" if out.is_dir() else out).stat().st_size > 0
    assert {command[0] for command in commands} == {"annotate", "generate", "train"}


def test_the_demos_command_exists(cards: dict[str, Card]) -> None:
    from typer.testing import CliRunner

    from emovid_dataset.cli import program

    (block,) = cards["emovid/demo"].blocks("bash")
    name, command, *options = shlex.split(block)
    shown = CliRunner().invoke(program(), [command, "--help"], env={"COLUMNS": "200"}).output
    assert name == "emovid" and all(option in shown for option in options)
