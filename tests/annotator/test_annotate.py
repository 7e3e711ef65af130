"""Bulk annotation: resumed without loss, nothing done twice, written back into a build that verifies."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
import pytest
import torch
import typer
from typer.testing import CliRunner

from emovid_dataset import cli
from emovid_dataset.check import verify
from emovid_dataset.engine import Processes, Serial
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.schema.emotions import EMOTIONS, valence
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator import annotate as work
from emovid_models.annotator import relabel
from emovid_models.annotator.annotations import Annotation, read_annotations
from emovid_models.annotator.items import find_items
from emovid_models.annotator.loading import load_annotator
from emovid_models.annotator.reading_limit import reading_limit
from emovid_models.remote.annotator.reading import read_frames


@pytest.fixture
def folder(tmp_path: Path, stickers: list[Path]) -> Path:
    """Five videos in two folders, one of them damaged, beside a file that is none."""
    raw = tmp_path / "raw"
    (raw / "more").mkdir(parents=True)
    for path in stickers[:3]:
        shutil.copyfile(path, raw / path.name)
    shutil.copyfile(stickers[3], raw / "more" / "d.mp4")
    (raw / "bad.mp4").write_bytes(b"no video")
    (raw / "notes.txt").write_text("nothing")
    return raw


class Interrupted(KeyboardInterrupt):
    pass


class Counting:
    """The annotator, with a count of the videos that it was given, and a stop after some results."""

    def __init__(self, annotator: Any, stop: int | None = None) -> None:
        self.annotator, self.stop, self.seen = annotator, stop, 0
        self.model = annotator.model

    def __call__(self, videos: Any, **options: Any) -> Any:
        for result in self.annotator(videos, **options):
            if self.seen == self.stop:
                raise Interrupted
            self.seen += 1
            yield result


@pytest.fixture(scope="session")
def program() -> typer.Typer:
    return cli.program()


def test_folder(annotator: Any, folder: Path, tmp_path: Path, stickers: list[Path]) -> None:
    out = tmp_path / "out" / "emotions.parquet"
    report = work.annotate(find_items(folder), annotator, out, identity="m", batch_size=2)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(
        ["bad.mp4", "more/d.mp4", *(path.name for path in stickers[:3])]
    )
    by_key = {row["key"]: row for row in rows}
    expected = {entry["label"]: entry["score"] for entry in annotator(stickers[3])}
    assert {name: by_key["more/d.mp4"][name] for name in EMOTIONS} == pytest.approx(expected, abs=1e-6)
    assert by_key["more/d.mp4"]["emotion"] == max(expected, key=lambda name: expected[name])
    assert by_key["bad.mp4"]["emotion"] is None
    assert by_key["bad.mp4"]["error"].startswith("cannot be decoded: ")
    assert [item.key for item in report.failed] == ["bad.mp4"]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_bucket_is_annotated_as_a_folder_is(
    annotator: Any, folder: Path, sticker_build: Path, tmp_path: Path
) -> None:
    files, raw = fsspec.filesystem("memory"), "annotated"
    for path in [*folder.rglob("*.mp4"), *sticker_build.rglob("*.*")]:
        root = folder if path.is_relative_to(folder) else sticker_build.parent
        files.pipe_file(f"{raw}/{path.relative_to(root).as_posix()}", path.read_bytes())
    files.pipe_file("/listed/list.txt", b"a.mp4\nmemory://annotated/more/d.mp4\n")
    files.pipe_file("/listed/a.mp4", next(folder.glob("[!b]*.mp4")).read_bytes())
    build = f"memory://{raw}/{sticker_build.name}"

    local, remote = find_items(sticker_build), find_items(build)
    assert [(item.key, item.version, item.open()) for item in remote] == [
        (item.key, item.version, item.open()) for item in local
    ]
    shards = f"memory://{raw}/{sticker_build.name}/data"
    assert sorted(item.key for item in find_items(shards)) == sorted(item.key for item in local)
    listed = find_items("memory://listed/list.txt")
    assert [item.key for item in listed] == ["a.mp4", "memory://annotated/more/d.mp4"]

    files.rm(f"{raw}/{sticker_build.name}", recursive=True)
    out = "memory://annotations/emotions.parquet"
    work.annotate(find_items(f"memory://{raw}"), annotator, out, identity="m", batch_size=2)
    work.annotate(find_items(folder), annotator, tmp_path / "a.parquet", identity="m", batch_size=2)
    found = {item.key: item for item in read_annotations(out)}
    wanted = {item.key: item for item in read_annotations(tmp_path / "a.parquet")}
    assert set(found) == set(wanted)
    assert all(found[key].scores == pytest.approx(wanted[key].scores, abs=1e-5) for key in wanted)
    assert "cannot be decoded" in str(found["bad.mp4"].error)
    again = Counting(annotator)
    work.annotate(find_items(f"memory://{raw}"), again, out, identity="m", batch_size=2)
    assert again.seen == 1  # the damaged one


def test_interrupted_run_goes_on_and_gives_the_same(annotator: Any, folder: Path, tmp_path: Path) -> None:
    items = find_items(folder)
    undisturbed, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    work.annotate(items, annotator, undisturbed, identity="m", batch_size=1)
    with pytest.raises(Interrupted):
        work.annotate(items, Counting(annotator, stop=3), out, identity="m", batch_size=1)
    assert not out.exists()
    (parts := tmp_path / ".b.parquet.parts").joinpath(".0123.jsonl.0123456789ab.tmp").write_bytes(
        b"half a li"
    )
    assert len(list(parts.glob("[!.]*.jsonl"))) == 3
    again = Counting(annotator)
    report = work.annotate(items, again, out, identity="m", batch_size=1)
    assert (again.seen, report.reused) == (2, 3)
    assert read_annotations(out) == read_annotations(undisturbed)


def test_workers_annotate_as_one_process_does(
    annotator: Any, repo: Path, stickers: list[Path], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for index in range(6):
        shutil.copyfile(stickers[index], raw / f"{index}.mp4")
    items = find_items(raw)
    work.annotate(items, annotator, tmp_path / "a.parquet", identity="m", batch_size=2)
    report = work.annotate(
        items,
        work.LoadedByName(str(repo), "cpu"),
        tmp_path / "b.parquet",
        identity="m",
        batch_size=2,
        engine=Processes(2),
    )
    alone = read_annotations(tmp_path / "a.parquet")
    assert [item.key for item in report.annotations] == [item.key for item in alone] and len(alone) == 6
    for found, wanted in zip(report.annotations, alone, strict=True):
        assert found.emotion == wanted.emotion
        assert found.scores == pytest.approx(wanted.scores, abs=1e-5)


def test_the_limit_is_what_reading_the_frames_takes(stickers: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    for index, path in enumerate(stickers[:4]):
        shutil.copyfile(path, tmp_path / f"{index}.mp4")
    items = find_items(tmp_path)
    model = work.LoadedByName(str(MINI_ANNOTATOR), "cpu")
    stage = work.AnnotateStage(items, model, "", "x", batch_size=1, num_frames=2, caption=False)
    begun = time.perf_counter()
    for path in stickers[:4]:
        read_frames(path, lambda total: (0, total - 1))
    alone = time.perf_counter() - begun
    given = {"num_frames": model.num_frames(), "seconds": 1000.0}
    found = reading_limit(items, stage, Serial(), done=4, **given)
    assert found is not None and found.ratio * 1000 == pytest.approx(alone, rel=20)  # a busy machine
    assert str(found) == (
        f"reading the frames of the clips alone would take {found.ratio:.0%} of the time of 'annotate'"
    )
    many = reading_limit(items, stage, Processes(2), done=400_000, **given)
    assert many is not None and many.ratio > 1000 * found.ratio  # by two workers
    assert reading_limit(items, stage, Serial(), done=0, **given) is None  # all was there
    assert reading_limit(items, stage, Serial(), done=4, num_frames=4, seconds=1.0) is None  # too short


def test_two_runs_do_not_write_one_file(annotator: Any, stickers: list[Path], tmp_path: Path) -> None:
    items, out = [find_items(path)[0] for path in stickers[:3]], tmp_path / "a.parquet"

    class Beside(Counting):
        """Starts a second run while the first one is at work."""

        def __call__(self, videos: Any, **options: Any) -> Any:
            for result in super().__call__(videos, **options):
                with pytest.raises(ValueError, match=r"a.parquet is being written by another process"):
                    work.annotate(items, annotator, out, identity="m")
                yield result

    first = work.annotate(items, Beside(annotator), out, identity="m", batch_size=1)
    assert read_annotations(out) == list(first.annotations)
    assert work.annotate(items, annotator, out, identity="m").reused == 3, "the lock went with the run"
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_file_system_without_locks(
    annotator: Any, stickers: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    items, out = find_items(stickers[0]), tmp_path / "a.parquet"
    assert len(work.annotate(items, annotator, out, identity="m").annotations) == 1
    assert len(read_annotations(out)) == 1


class Captions:
    """An annotator that has one answer, with a caption, and stops after some."""

    def __init__(self, caption: str, stop: int | None = None) -> None:
        self.caption, self.stop, self.seen = caption, stop, 0

    def __call__(self, videos: Any, **options: Any) -> Any:
        emotions = [{"label": name, "score": 0.125} for name in EMOTIONS]
        for video in videos:
            if self.seen == self.stop:
                raise Interrupted
            self.seen += 1
            video()
            yield {"emotions": emotions, "caption": self.caption}


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\U0001f600"])
def test_any_text_comes_through_an_interruption(odd: str, tmp_path: Path) -> None:
    names = [f"a{odd}b.mp4", "c.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("\n".join(names), encoding="utf-8")
    items, out = find_items(tmp_path / "list.txt"), tmp_path / "out.parquet"
    assert [item.key for item in items] == names
    with pytest.raises(Interrupted):
        work.annotate(items, Captions(f"one{odd}two", stop=1), out, identity="m", batch_size=1)
    report = work.annotate(items, Captions("three"), out, identity="m", batch_size=1)
    assert report.reused == 1
    found = [(item.key, item.caption) for item in read_annotations(out)]
    assert found == [(names[0], f"one{odd}two"), (names[1], "three")]


def test_file_names_that_are_no_utf8(annotator: Any, stickers: list[Path], tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    good, bad = os.fsencode(raw) + b"/caf\xe9.mp4", os.fsencode(raw) + b"/bad\xff.mp4"
    shutil.copyfile(stickers[0], good)
    Path(os.fsdecode(bad)).write_bytes(b"no video")
    items, out = find_items(raw), tmp_path / "out.parquet"
    assert [item.key for item in items] == [r"bad\xff.mp4", r"caf\xe9.mp4"]
    with pytest.raises(Interrupted):
        work.annotate(items, Counting(annotator, stop=1), out, identity="m", batch_size=1)
    work.annotate(items, annotator, out, identity="m", batch_size=1)
    failed, answered = read_annotations(out)
    assert "cannot be decoded" in str(failed.error)
    assert str(failed.error).isprintable()
    assert answered.emotion == annotator(stickers[0])[0]["label"]


def test_nothing_is_done_twice(annotator: Any, folder: Path, tmp_path: Path, stickers: list[Path]) -> None:
    out = tmp_path / "a.parquet"
    (folder / "bad.mp4").unlink()
    work.annotate(find_items(folder), annotator, out, identity="m")
    again = Counting(annotator)
    assert work.annotate(find_items(folder), again, out, identity="m").reused == 4
    assert again.seen == 0
    shutil.copyfile(stickers[4], folder / "new.mp4")
    shutil.copyfile(stickers[5], folder / "more" / "d.mp4")
    work.annotate(find_items(folder), again, out, identity="m")
    assert again.seen == 2, "one is new and one has changed"


def test_rows_of_other_videos_stay(annotator: Any, stickers: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    for path in stickers[:2]:
        work.annotate(find_items(path), annotator, out, identity="m")
    assert [item.key for item in read_annotations(out)] == [path.name for path in stickers[:2]]


def test_another_models_results_are_not_taken(annotator: Any, stickers: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    items = find_items(stickers[0])
    work.annotate(items, annotator, out, identity="one")
    with pytest.raises(ValueError, match="choose another --out"):
        work.annotate(items, annotator, out, identity="two")
    with pytest.raises(ValueError, match="choose another --out"):
        work.annotate(items, annotator, out, identity="one", num_frames=2)


@pytest.mark.parametrize(
    ("name", "another"),
    [
        ("figures.json", False),
        ("training.json", False),
        ("README.md", False),
        ("out_of_fold.jsonl", False),
        ("config.json", True),
        ("tokenizer.json", True),
        ("chat_template.jinja", True),
        ("model.safetensors", True),
    ],
)
def test_a_model_is_named_by_what_it_answers_with(
    annotator: Any, tmp_path: Path, name: str, another: bool
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINI_ANNOTATOR, folder)
    before = work.model_identity(folder)
    assert before.startswith("model@")
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert (work.model_identity(folder) != before) == another


def test_scores_that_are_not_finite_are_errors(stickers: list[Path], repo: Path, tmp_path: Path) -> None:
    """Of every video, alone and in a table; a label would be the first of the eight."""
    broken = load_annotator(repo, device="cpu")
    with torch.no_grad():
        next(p for name, p in broken.model.named_parameters() if "language_model" in name).fill_(math.nan)
    items = [item for path in stickers[:2] for item in find_items(path)]
    report = work.annotate(items, broken, tmp_path / "labels.parquet", identity="broken")
    assert [item.emotion for item in report.annotations] == [None, None]
    assert all("not finite" in str(item.error) for item in report.failed) and len(report.failed) == 2


def test_lists(stickers: list[Path], tmp_path: Path) -> None:
    shutil.copyfile(stickers[0], tmp_path / "a.mp4")
    (tmp_path / "list.txt").write_text(f"a.mp4\n\n{stickers[1]}\nhttps://example.org/b.mp4\na.mp4\n")
    items = find_items(tmp_path / "list.txt")
    assert [item.key for item in items] == ["a.mp4", str(stickers[1]), "https://example.org/b.mp4"]
    assert items[0].open() == str(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text("name,path\nx,a.mp4\n")
    assert [item.key for item in find_items(tmp_path / "list.csv")] == ["a.mp4"]
    (tmp_path / "wrong.csv").write_text("name\nx\n")
    with pytest.raises(ValueError, match="no column 'path'"):
        find_items(tmp_path / "wrong.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_items(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no video"):
        find_items(tmp_path / "empty")


@pytest.mark.parametrize(
    ("given", "revision"),
    [
        ("hf://datasets/emovid/EmoVid", None),
        ("hf://datasets/emovid/EmoVid@v1", "v1"),
        ("hf://emovid/EmoVid", None),
        ("hf://emovid/EmoVid@v1", "v1"),
    ],
)
def test_builds_on_the_hub(given: str, revision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All these addresses reach the Hub with repo and revision taken apart."""
    asked = []

    def on_hub(repo: str, revision: str | None, token: Any) -> str:
        asked.append((repo, revision))
        raise FileNotFoundError(f"{repo} is not there")

    monkeypatch.setattr("emovid_dataset._address.on_hub", on_hub)
    with pytest.raises(FileNotFoundError, match="emovid/EmoVid is not there"):
        find_items(given)
    assert asked == [("emovid/EmoVid", revision)]


def test_shards_without_manifest(sticker_build: Path, tmp_path: Path) -> None:
    """A download of some shards alone gives the same clips as the build."""
    shutil.copytree(sticker_build / "data", tmp_path / "data")
    found = {item.key: item for item in find_items(tmp_path)}
    expected = {item.key: item for item in find_items(sticker_build)}
    assert found.keys() == expected.keys()
    for key, item in found.items():
        assert (item.version, item.open()) == (expected[key].version, expected[key].open())
    shard = next(tmp_path.rglob("*.tar"))
    content = shard.read_bytes()
    place = content.index(b"ftyp")
    shard.write_bytes(content[:place] + b"x" + content[place + 1 :])
    (damaged,) = [item for item in find_items(tmp_path) if item.key in content[:200].decode("latin-1")]
    with pytest.raises(OSError, match="differs from its sha256"):
        damaged.open()
    shard.write_bytes(content[:700])
    with pytest.raises(ValueError, match=r"\.tar is not a shard of a build: ") as refusal:
        find_items(tmp_path)
    assert "\n" not in str(refusal.value)


def test_build_is_written_again_with_the_models_emotions(
    annotator: Any, sticker_build: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.parquet"
    items = find_items(sticker_build)
    report = work.annotate(items, annotator, out, identity="m")
    before = {item.clip.id: item for item in select(sticker_build)}
    assert {item.key for item in report.annotations} == set(before)
    spared = report.annotations[0].key
    relabel.relabel_build(sticker_build, report.annotations[1:], tmp_path / "new")
    assert verify(tmp_path / "new", decode=True, workers=1) == []
    by_id = {item.key: item for item in report.annotations}
    for found in select(tmp_path / "new"):
        old = before[found.clip.id]
        assert (found.split, found.video) == (old.split, old.video)
        if found.clip.id == spared:
            assert found.clip == old.clip
            continue
        assert found.clip.emotion_source == "model"
        assert found.clip.emotion == by_id[found.clip.id].emotion
        assert found.clip.valence == valence(found.clip.emotion)
        assert found.clip.emotion_scores == by_id[found.clip.id].scores
        assert found.clip.caption == old.clip.caption


def test_the_notes_about_the_corpus_go_with_a_new_build(sticker_build: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    shutil.copytree(sticker_build, noted)
    manifest = replace(read_manifest(noted), notes=("One film, two cats.",))
    (noted / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    key = select(noted).clips[0].id
    annotations = [Annotation(key, "", "awe", (0.125,) * 8, None, None)]
    assert relabel.relabel_build(noted, annotations, tmp_path / "new").notes == ("One film, two cats.",)
    assert "- One film, two cats." in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")
    assert verify(tmp_path / "new", engine="serial") == []


def test_keep_human_only_adds_probabilities(annotator: Any, sticker_build: Path, tmp_path: Path) -> None:
    items = find_items(sticker_build)
    report = work.annotate(items, annotator, tmp_path / "a.parquet", identity="m")
    relabel.relabel_build(sticker_build, report.annotations, tmp_path / "new", keep_human=True)
    before = {clip.id: clip for clip in select(sticker_build).clips}
    for clip in select(tmp_path / "new").clips:
        assert (clip.emotion, clip.emotion_source) == (before[clip.id].emotion, "human")
        assert clip.emotion_scores is not None


def test_relabelling_never_writes_over_anything(sticker_build: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty"):
        relabel.relabel_build(sticker_build, [], tmp_path)
    with pytest.raises(ValueError, match="is not empty"):
        relabel.relabel_build(sticker_build, [], sticker_build)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_interrupted_relabelling_is_run_again(
    sticker_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was interrupted, the same call gives the same build as an undisturbed one."""
    key = select(sticker_build).clips[0].id
    annotations = [Annotation(key, "", "awe", (0.125,) * 8, None, None)]
    relabel.relabel_build(sticker_build, annotations, tmp_path / "undisturbed")
    out, steps = tmp_path / "out", ("write_shard", "write_metadata", "write_card")
    for name in steps:
        undisturbed, calls = getattr(relabel, name), []

        def interrupted(
            *arguments: Any, undisturbed: Any = undisturbed, calls: list[int] = calls, **named: Any
        ) -> Any:
            result = undisturbed(*arguments, **named)
            calls.append(1)
            if len(calls) == 2 or undisturbed.__name__ != "write_shard":
                raise KeyboardInterrupt
            return result

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(relabel, name, interrupted)
            relabel.relabel_build(sticker_build, annotations, out)
        assert any(out.iterdir())
    (out / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty"):
        relabel.relabel_build(sticker_build, annotations, out)
    (out / "mine.txt").unlink()
    relabel.relabel_build(sticker_build, annotations, out)
    assert files(out) == files(tmp_path / "undisturbed")
    assert not (out / ".relabelling").exists()
    with pytest.raises(ValueError, match="is not empty"):
        relabel.relabel_build(sticker_build, annotations, out)


def test_command_writes_a_build(
    program: typer.Typer,
    repo: Path,
    sticker_build: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted while it writes the build, the same command goes on and does no video twice."""
    out, new = tmp_path / "a.parquet", tmp_path / "new"
    arguments = ["annotate", str(sticker_build), "--model", str(repo), "--out", str(out)]
    arguments += ["--build", str(new), "--device", "cpu"]

    def interrupted(*_: Any, **__: Any) -> None:
        raise OSError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(relabel, "write_metadata", interrupted)
        done = CliRunner().invoke(program, arguments)
    assert isinstance(done.exception, OSError)
    count = len(select(sticker_build))
    done = CliRunner().invoke(program, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert (outcome["build"], outcome["videos"], outcome["reused"]) == (str(new), count, count)
    assert verify(new, workers=1) == []
    assert {clip.emotion_source for clip in select(new).clips} == {"model"}
    done = CliRunner().invoke(program, arguments)
    assert isinstance(done.exception, ValueError)
    assert f"{new} is not empty" in str(done.exception)


def test_command_lists_errors_and_progress(
    program: typer.Typer, repo: Path, folder: Path, tmp_path: Path
) -> None:
    arguments = ["annotate", str(folder), "--model", str(repo), "--out", str(tmp_path / "a.parquet")]
    done = CliRunner().invoke(program, [*arguments, "--device", "cpu"])
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("bad.mp4: ")]
    assert line.startswith("bad.mp4: cannot be decoded: ") and str(folder) not in done.stdout
    assert "Annotating: 5/5 videos" in done.stderr
    rows = [line.split() for line in done.stdout.replace("│", " ").splitlines()]
    assert ["failed", "1"] in rows
    assert ["all", "5"] in rows


def test_command(program: typer.Typer, repo: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    arguments = [
        "annotate",
        str(folder),
        "--model",
        str(repo),
        "--out",
        str(out),
        "--device",
        "cpu",
        "--json",
    ]
    done = CliRunner().invoke(program, arguments)
    assert done.exit_code == 1, done.output
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert (outcome["videos"], outcome["reused"]) == (5, 0)
    limit = outcome["limit"]
    assert limit is None or (limit["step"] == "annotate" and limit["ratio"] > 0)  # None of a quick run
    assert [item["key"] for item in outcome["failed"]] == ["bad.mp4"]
    assert sum(outcome["emotions"].values()) == 4
    done = CliRunner().invoke(program, [*arguments, "--allow-rejected"])
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["reused"] == 4


# bad models: one clear line each


def check_refusal(model: Any, *words: str) -> None:
    with pytest.raises(OSError, match="cannot be loaded") as refusal:
        load_annotator(model, device="cpu")
    text = str(refusal.value)
    assert "\n" not in text
    assert str(model) in text
    for word in words:
        assert word in text


def test_unknown_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    check_refusal(tmp_path / "absent")


def test_another_kind_of_model(tmp_path: Path) -> None:
    """Models that load well by themselves, with a tokenizer and without."""
    from tokenizers import Tokenizer, models
    from transformers import (
        BertConfig,
        BertModel,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    sizes = dict(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=1, **sizes)).save_pretrained(tmp_path / "qwen2")
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path / "qwen2")
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / "bert")
    for name in ("qwen2", "bert"):
        assert (tmp_path / name / "model.safetensors").is_file()
        check_refusal(tmp_path / name, name, "nvila_lite")


def test_repo_without_weights(repo: Path, tmp_path: Path) -> None:
    shutil.copytree(repo, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    check_refusal(tmp_path / "m", "safetensors")


def test_interrupted_download_of_weights(repo: Path, tmp_path: Path) -> None:
    shutil.copytree(repo, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    check_refusal(tmp_path / "m")


def test_pickle_weights_are_refused(repo: Path, tmp_path: Path) -> None:
    shutil.copytree(repo, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    trap = tmp_path / "trapped"

    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(trap),))

    import pickle

    (tmp_path / "m" / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    check_refusal(tmp_path / "m", "pickle")
    assert not trap.exists()


def test_lacking_weights(repo: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(repo, tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    weights.popitem()
    save_file(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    check_refusal(tmp_path / "m", "lacks 1 weights")
