"""Every wrong argument is one line that names it and what is allowed, before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
HEAVY = ("torch", "transformers", "diffusers", "peft")

RUN = """
import contextlib, io, json, sys
from emovid_dataset.cli import main

cases, heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for arguments in cases:
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["emovid", *arguments]
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(heavy))
    print(json.dumps([code, out.getvalue(), err.getvalue(), loaded]))
"""


def cases(tmp_path: Path) -> list[tuple[list[str], str]]:
    mini, sheet = str(MINI), str(MINI / "labels.csv")
    out, file = str(tmp_path / "out"), str(tmp_path / "file")
    Path(file).write_text("x", encoding="utf-8")
    build = ["build", mini, "--labels", sheet, "--out", out]
    generate = ["generate", "a cat", "--model", str(tmp_path / "never-reached"), "--out", f"{out}/a.mp4"]
    return [
        (["build", file, "--labels", sheet, "--out", out], "is not a folder"),
        (["build", mini, "--labels", "none.csv", "--out", out], "--labels none.csv is not a file"),
        (["build", mini, "--labels", sheet, "--out", file], "is a file, not a folder"),
        (["build", mini, "--labels", sheet, "--out", f"{file}/below"], "is not a folder"),
        ([*build, "--workers", "0"], "--workers is 0; it must be at least 1"),
        ([*build, "--frames", "1025"], "--frames is 1025; it must be 1..1024"),
        ([*build, "--shard-size", "big"], "such as 256MB"),
        ([*build, "--split", "80/20"], "must be three shares such as 80/10/10"),
        (["verify", out, "--workers", "0"], "--workers is 0"),
        (["stats", out], "is no folder, no Hub repo"),
        ([*generate, "--content-type", "bad"], "bad"),
        ([*generate, "--emotion", "joy"], "joy"),
        ([*generate, "--size", "big"], "is not of the form WIDTHxHEIGHT"),
        ([*generate, "--frames", "16"], "16"),
        ([*generate, "--intensity", "nan"], "intensity"),
        (["generate", "a cat", "--out", "a.avi"], "does not end in .mp4"),
        (["generate"], "give either a prompt or --prompts FILE"),
        (
            ["annotate", mini, "--model", "me/m", "--out", f"{out}/a.parquet", "--batch-size", "0"],
            "batch-size",
        ),
        (["evaluate"], "give either --videos FOLDER or --base REPO"),
        (["push", "dataset", mini, "--repo-id", "x"], "owner/name"),
    ]


def test_wrong_arguments_are_one_line_each_before_anything_heavy(tmp_path: Path) -> None:
    table = cases(tmp_path)
    command = [
        sys.executable,
        "-c",
        RUN,
        json.dumps([arguments for arguments, _ in table]),
        json.dumps(HEAVY),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wrong = []
    for (arguments, says), line in zip(table, done.stdout.splitlines(), strict=True):
        code, out, err, loaded = json.loads(line)
        one_line = len(err.splitlines()) == 1 and err.startswith("emovid: ") and says in err
        if (code, out) != (2, "") or not one_line or loaded:
            wrong.append((arguments, code, out, err, loaded))
    assert wrong == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
