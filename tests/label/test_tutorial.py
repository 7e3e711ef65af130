"""docs/tutorial.md is walked, command by command, on the first part of the miniature's film."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from label_server import LabelClient, LabelProgram
from typer.testing import CliRunner

from emovid_dataset import read_manifest
from emovid_dataset.cli import program
from tools.mini_corpus.fetch import cache_folder

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
SECONDS = 40
"""Of the film; all of it takes some minutes."""


def commands() -> list[list[str]]:
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("emovid ")]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with the beginning of the film, its packets as they are."""
    film = cache_folder() / "big-buck-bunny.mp4"
    if not film.exists():
        pytest.skip("make sources fetches the film")
    (tmp_path / "films").mkdir()
    with av.open(str(film)) as source, av.open(str(tmp_path / "films" / film.name), "w") as target:
        streams = {
            stream.index: target.add_stream_from_template(stream)
            for stream in (source.streams.video[0], source.streams.audio[0])
        }
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is not None and packet.dts * packet.time_base < SECONDS:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return tmp_path / "films"


@pytest.fixture
def server_program() -> Iterator[LabelProgram]:
    found = LabelProgram()
    yield found
    found.close()


def rate(folder: Path, server_program: LabelProgram, arguments: list[str]) -> int:
    """Both raters answer all that they are asked; of every fourth clip they think differently."""
    server = server_program.start(folder, *arguments)
    answered = 0
    for rater in ("anna", "ben"):
        client = LabelClient(server, rater)
        state = client.json("GET", "/api/now")
        while state["place"] is not None:
            number = int(state["media"][-4:], 16)
            differs = rater == "ben" and number % 4 == 0
            state = client.answer(state, ("awe", "fear", "amusement")[(number + differs) % 3])
            answered += 1
    server.end()
    return answered


def test_the_whole_way(
    films: Path, tmp_path: Path, server_program: LabelProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = []
    for command in commands():
        if command[0] == "label":
            answered = rate(tmp_path, server_program, command[1:])
        else:
            found = CliRunner().invoke(program(), command)
            assert found.exit_code == 0, f"{shlex.join(command)}: {found.output[-1500:]}"
        done.append(command[0])
    assert done == ["cut", "annotate", "label", "agree", "build", "verify", "stats"]
    with Path("clips.csv").open(newline="", encoding="utf-8") as file:
        clips = list(csv.DictReader(file))
    assert len(clips) >= 4 and answered >= 2 * min(12, len(clips)), "all, and some once more"
    with Path("labels.csv").open(newline="", encoding="utf-8") as file:
        agreed = list(csv.DictReader(file))
    assert 0 < len(agreed) <= answered / 2
    assert {row["emotion"] for row in agreed} <= {"awe", "fear", "amusement"}
    asked = {json.loads(line)["id"] for path in Path("answers").glob("*.jsonl") for line in path.open()}
    manifest = read_manifest("EmoVid")
    assert sum(shard.samples for shard in manifest.all_shards) == len(agreed) <= len(asked)
    assert len(asked) == min(12, len(clips))
    for made in ("cut.html", "clips.dropped.csv", "guesses.parquet", "agreement.html", "report.html"):
        assert Path(made).stat().st_size > 0, made
