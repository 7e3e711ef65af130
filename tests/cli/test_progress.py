"""Progress on a real terminal: there when it is asked for, and not one byte when it is not."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from progress_calls import MARK
from video_files import sticker, write_sheet

ROOT = Path(__file__).parents[2]
CALLS = Path(__file__).with_name("progress_calls.py")

PASSED_ON = {
    "emovid_dataset.engine.run_stage": "what build, verify and annotate show",
    "emovid_dataset.builder.held.damaged_shards": "called by repair",
    "emovid_dataset.builder.held.refuse_damaged": "called by append and remove",
    "emovid_dataset.builder.held_looks.held_duplicates": "called by append",
    "emovid_dataset.agree.places.read_places": "what read_sheet_clips shows",
    "emovid_models.cli.demo.miniature": "to build",
    "emovid_models.evaluation.paper_measures.add_paper_measures": "what measure_videos shows",
    "emovid_models.protocol.drawing.draw": "what read_sheet_clips shows",
    "emovid_models.protocol.drawing.read_clips": "what read_sheet_clips shows",
    "emovid_models.protocol.run.run_protocol": "what its steps show",
    "emovid_models.protocol.run.run_step": "what its steps show",
    "emovid_models.protocol.training.label_rest": "what annotate shows",
    "emovid_models.protocol.training.train": "what build and train_annotator show",
    "emovid_models.wan.encode_stage.fill_cache": "called by train_lora",
}
"""Functions that one of those tried here calls, or that call one, and which."""


def takes_progress() -> set[str]:
    """The public functions with a parameter `progress: bool`, found in the source."""
    found = set()
    for package in ("emovid_dataset", "emovid_models"):
        for path in (ROOT / package).rglob("*.py"):
            if "mini" in path.relative_to(ROOT).parts:
                continue
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    named = (*node.args.args, *node.args.kwonlyargs)
                    if any(
                        a.arg == "progress" and a.annotation and ast.unparse(a.annotation) == "bool"
                        for a in named
                    ):
                        found.add(f"{module}.{node.name}")
    return found


def on_a_terminal(command: list[str]) -> str:
    """Run a command whose stderr is a terminal, and return all that it wrote there.

    Raises:
        AssertionError: it failed.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    chunks: list[bytes] = []

    def read() -> None:
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the last writer has gone
                return
            if not chunk:
                return
            chunks.append(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1", "TERM": "xterm"}
    environment["PYTHONWARNINGS"] = "ignore"
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=environment
        )
    finally:
        os.close(slave)
        reader.join(60)
        os.close(master)
    told = b"".join(chunks).decode()
    assert done.returncode == 0, told[-3000:]
    assert not reader.is_alive(), "a process that outlives the program holds the terminal"
    return told


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine stickers."""
    folder = tmp_path_factory.mktemp("progress") / "raw"
    (folder / "sticker").mkdir(parents=True)
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:9]):
        shutil.copy(path, folder / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": "awe" if index % 2 else "fear"})
    write_sheet(folder, rows)
    return folder


@pytest.mark.parametrize("shown", [False, True])
def test_progress_is_shown_where_it_is_asked_for_and_nowhere_else(
    raw: Path, tmp_path: Path, shown: bool
) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    told = on_a_terminal([sys.executable, str(CALLS), str(tmp_path), "yes" if shown else "no"])
    said = {}
    for part in told.split(MARK)[1:-1]:
        name, _, rest = part.partition("\r\n")
        said[name] = rest
    commands = {name: said.pop(name) for name in list(said) if name.startswith("emovid ")}
    assert said.keys() | PASSED_ON.keys() == takes_progress(), "a function is not tried here"
    if shown:
        assert {name for name, text in said.items() if not text} == set()
    else:
        assert {name: text for name, text in said.items() if text} == {}
        # A command may print what it has decided, in plain lines; a bar goes back to the start of its line.
        assert len(commands) == 19
        assert {name: text for name, text in commands.items() if re.search(r"\r(?!\n)|%\|", text)} == {}
