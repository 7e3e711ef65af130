"""Builds of sheets that say more than a path and an emotion: splits, raters, words, content types."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from pyarrow import parquet
from served_folder import served
from typer.testing import CliRunner
from video_files import folder_bytes, full_decode, sticker, write_sheet, write_video

from emovid_dataset.builder.sheet.paths import OUTSIDE
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.agreement import measure_agreement
from emovid_dataset.schema.emotions import MIKELS

SOURCES = sorted(sticker().parent.glob("*.mp4"))


def copies(folder: Path, *names: str) -> None:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES[index], folder / name)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """By source, a clip's row of the tables, with the split whose table it is in."""
    found = {}
    for path in out.glob("metadata/*/*.parquet"):
        for row in parquet.read_table(path, partitioning=None).to_pylist():
            found[row["source"]] = {**row, "split": path.stem}
    return found


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(program(), ["build", *map(str, words)])
    if isinstance(done.exception, (ValueError, OSError)):  # the program makes one line of it
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout + done.stderr


def test_given_splits_are_obeyed_and_the_rest_goes_with_its_group(tmp_path: Path) -> None:
    names = [f"{letter}.mp4" for letter in "abcdefgh"]
    copies(tmp_path / "raw", *names)
    given = {"a.mp4": "test", "b.mp4": "test", "c.mp4": "val", "d.mp4": "train"}
    group = {"b.mp4": "cups", "e.mp4": "cups"}
    table = [
        {"path": name, "emotion": "awe", "split": given.get(name, ""), "group": group.get(name, "")}
        for name in names
    ]
    write_sheet(tmp_path, table)
    out = tmp_path / "out"
    code, told = run(
        tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--out", out, "--content-type", "vlog",
        "--split", "1/0/0", "--workers", "1",
    )  # fmt: skip
    assert code == 0, told
    assert "note: 4 rows give no split; they are shared out, or go with their group\n" in told
    assert {source: row["split"] for source, row in rows(out).items()} == {
        **{"a.mp4": "test", "b.mp4": "test", "c.mp4": "validation", "d.mp4": "train"},
        **{"e.mp4": "test", "f.mp4": "train", "g.mp4": "train", "h.mp4": "train"},
    }
    manifest = read_manifest(out)
    assert manifest.configs() == ("all", "vlog") and manifest.content_types[-1] == "vlog"
    assert verify(out, engine="serial") == []


def test_raters_conflicts_and_agreement_are_told(tmp_path: Path) -> None:
    copies(tmp_path / "raw", *(f"sticker/{letter}.mp4" for letter in "abcd"))
    shutil.copy(SOURCES[0], tmp_path / "raw/sticker/a2.mp4")
    said = [
        ("a", "awe"),
        ("a2", "fear"),
        ("b", "awe"),
        ("b", "awe"),
        ("b", "fear"),
        ("c", "awe"),
        ("c", "fear"),
    ]
    table = [
        {"path": f"sticker/{name}.mp4", "emotion": emotion}
        for name, emotion in [*said, ("d", "fear"), ("d", "fear")]
    ]
    write_sheet(tmp_path, table)
    out = tmp_path / "out"
    place = [tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--out", out, "--workers", "1"]
    code, told = run(*place, "--allow-rejected", "--json")
    assert code == 0, told
    body = json.loads(told.splitlines()[-1])
    tie = "its 2 raters are in a tie: awe 1, fear 1; one more rating, or one fewer, decides"
    assert [(row["row"], row["reason"]) for row in body["rejected"]] == [
        (1, "has the same content as row 2, which is labelled fear, not awe; neither is taken"),
        (2, "has the same content as row 1, which is labelled awe, not fear; neither is taken"),
        (6, tie),
        (7, tie),
    ]
    # of b, c and d, seven votes: what of each clip disagrees, over what would by chance
    assert body["agreement"]["clips"] == 3 and body["agreement"]["ties"] == 1
    assert body["agreement"]["alpha"] == pytest.approx(1 - 6 * (2 * 2 / 2 + 2 * 1 / 1) / (2 * 3 * 4))
    assert body["agreement"]["emotions"]["awe"] == pytest.approx(body["agreement"]["alpha"])
    clip = rows(out)["sticker/b.mp4"]
    assert (clip["emotion"], clip["raters"], clip["votes"]) == ("awe", 3, [0, 2, 0, 0, 0, 0, 1, 0])
    assert clip["emotion_scores"] == [0, 2 / 3, 0, 0, 0, 0, 1 / 3, 0] and clip["agreement"] == 2 / 3
    assert verify(out, engine="serial") == []
    again, told = run(*place)
    assert again == 1 and "agreement: 3 clips with several raters, 1 of them in a tie; Krippendorff's" in told


def test_one_content_in_two_splits_is_in_neither(tmp_path: Path) -> None:
    copies(tmp_path / "raw", "sticker/a.mp4", "sticker/b.mp4")
    shutil.copy(SOURCES[0], tmp_path / "raw/sticker/a2.mp4")
    split = {"a": "train", "a2": "test", "b": "train"}
    write_sheet(
        tmp_path, [{"path": f"sticker/{n}.mp4", "emotion": 0, "split": side} for n, side in split.items()]
    )
    out = tmp_path / "out"
    code, told = run(tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--out", out, "--workers", "1")
    assert code == 1 and list(rows(out)) == ["sticker/b.mp4"]
    assert "row 1: sticker/a.mp4: has the same content as row 2, which is in test, not train" in told


def test_folders_and_another_taxonomy(tmp_path: Path) -> None:
    copies(tmp_path / "raw", "joy/a.mp4", "Happy/b.mp4", "grief/c.mp4", "other/d.mp4")
    labels = [{"name": "joy", "valence": 0, "synonyms": ["happy"]}, {"name": "grief", "valence": 1}]
    moods = {"name": "moods", "labels": labels, "content_types": ["game"]}
    (tmp_path / "moods.json").write_text(json.dumps(moods))
    out = tmp_path / "out"
    code, told = run(
        tmp_path / "raw", "--out", out, "--content-type", "game", "--taxonomy", tmp_path / "moods.json",
        "--workers", "1",
    )  # fmt: skip
    assert code == 0 and "no label for: other/d.mp4" in told
    manifest = read_manifest(out)
    assert (manifest.taxonomy.names, manifest.content_types) == (("joy", "grief"), ("game",))
    assert {source: (row["emotion"], row["valence"]) for source, row in rows(out).items()} == {
        "joy/a.mp4": ("joy", 0),
        "Happy/b.mp4": ("joy", 0),
        "grief/c.mp4": ("grief", 1),
    }
    assert verify(out, engine="serial") == []


def test_check_says_what_would_be_built_and_writes_nothing(tmp_path: Path) -> None:
    copies(tmp_path / "raw", "sticker/a.mp4", "sticker/b.mp4", "sticker/c.mp4")
    (tmp_path / "raw/sticker/bad.mp4").write_bytes(b"no film")
    frames = full_decode(SOURCES[0])[:12]
    write_video(tmp_path / "raw/sticker/d.mkv", frames, rate=12)
    table = [
        {"path": "sticker/a.mp4", "emotion": "awe", "split": "test", "start": "", "end": ""},
        {"path": "sticker/b.mp4", "emotion": "happy", "split": "", "start": "", "end": ""},
        {"path": "sticker/bad.mp4", "emotion": "awe", "split": "", "start": "", "end": ""},
        {"path": "sticker/d.mkv", "emotion": "fear", "split": "", "start": "0", "end": "0.5"},
        {"path": "sticker/d.mkv", "emotion": "fear", "split": "", "start": "0.5", "end": "9"},
    ]
    write_sheet(tmp_path, table)
    before = folder_bytes(tmp_path)
    words = (tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--check")
    code, told = run(*words, "--json")
    body = json.loads(told)
    assert code == 1 and body["clips"] == 2
    assert [(row["emotion"], row["split"]) for row in body["counts"]] == [("awe", "test"), ("fear", None)]
    assert [row["row"] for row in body["rejected"]] == [2, 3, 5]
    assert body["rejected"][2]["reason"] == "the segment ends at 9.0 s, beyond the film's end at 1.000 s"
    assert body["files"] == {"mp4 h264": 1, "matroska h264": 1} and body["unlabelled"] == ["sticker/c.mp4"]
    assert body["bytes"] == sum(
        (tmp_path / "raw/sticker" / name).stat().st_size for name in ("a.mp4", "d.mkv")
    )
    code, told = run(*words, "--allow-rejected")
    assert code == 0 and "splits: shared out 80/10/10 1, test 1\n" in told and "nothing was written" in told
    assert folder_bytes(tmp_path) == before


def test_kept_columns_are_fields_of_their_types(tmp_path: Path) -> None:
    copies(tmp_path / "raw", "sticker/a.mp4", "sticker/b.mp4")
    head = "path,emotion,Film Title,scene,zip,score,adult,note\n"
    text = head + "sticker/a.mp4,awe,Sintel,3,007,1.5,TRUE,x\nsticker/b.mp4,awe,,12,008,2,false,\n"
    (tmp_path / "labels.csv").write_text(text)
    out = tmp_path / "out"
    code, told = run(
        tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--out", out, "--workers", "1",
        "--keep-columns", "film title,scene,zip,score,adult", "--split", "1/0/0",
    )  # fmt: skip
    assert code == 0, told
    kinds = {"film_title": "string", "scene": "int64", "zip": "string", "score": "float64", "adult": "bool"}
    features = read_manifest(out).features
    assert {name: features[name] for name in kinds} == kinds
    found = rows(out)
    values = {name: tuple(row[key] for key in (*kinds, "extra")) for name, row in found.items()}
    assert values == {
        "sticker/a.mp4": ("Sintel", 3, "007", 1.5, True, '{"note": "x"}'),
        "sticker/b.mp4": (None, 12, "008", 2.0, False, None),
    }
    assert verify(out, engine="serial") == []
    typed = load_dataset(str(out), "all", split="train", streaming=True)
    assert {row["json"]["film_title"] for row in typed.select_columns(["json"])} == {"Sintel", None}
    (tmp_path / "labels.csv").write_text(text.replace("Film Title", "Caption"))
    code, told = run(
        tmp_path / "raw", "--labels", tmp_path / "labels.csv", "--check", "--keep-columns", "caption"
    )
    assert code == 2 and "no column 'caption' to keep" in told


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, example C: nominal alpha 0.743."""
    counts = []
    for unit in ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11"]:
        counts.append(tuple(unit.count(value) for value in "12345") + (0,) * 4)
    found = measure_agreement(counts, 0, MIKELS)
    assert found is not None and found.alpha == pytest.approx(0.743, abs=5e-4)


def test_clips_of_a_web_server_are_named_by_their_addresses_or_what_follows_the_folder_s(
    tmp_path: Path,
) -> None:
    """A web server lists no files, so those that no row names are not told."""
    copies(tmp_path / "www/clips", "a.mp4", "b c.mp4", "d%2.mp4", "unlabelled.mp4")
    with served(tmp_path / "www") as server:
        root = f"{server.url}/clips"
        named = ["a.mp4", f"{root}/b%20c.mp4", f"{root}/d%252.mp4"]
        wrong = {
            f"{root}/none.mp4": "does not exist",
            f"{server.url}/labels.csv": OUTSIDE,
            f"{root}/../labels.csv": OUTSIDE,
            "https://me:hunter22@elsewhere/a.mp4": OUTSIDE,
            f"{root}/a.mp4?key=1": "a query",
        }
        table = [{"path": path, "emotion": "awe", "content_type": "sticker"} for path in (*named, *wrong)]
        write_sheet(tmp_path / "www", table)
        words = [
            root,
            "--labels",
            f"{server.url}/labels.csv",
            "--out",
            tmp_path / "out",
            "--engine",
            "serial",
        ]
        code, said = run(*words, "--allow-rejected")
        assert code == 0 and "hunter22" not in said, said
        assert not any("unlabelled" in path for path, _, _ in server.sent)
    assert {name: row["sha256"] for name, row in rows(tmp_path / "out").items()} == {
        name: hashlib.sha256((tmp_path / "www/clips" / name).read_bytes()).hexdigest()
        for name in ("a.mp4", "b c.mp4", "d%2.mp4")
    }
    refused = [json.loads(line) for line in (tmp_path / "out/rejected.jsonl").read_text().splitlines()]
    assert "hunter22" not in str(refused)
    assert all(says in row["reason"] for row, says in zip(refused, wrong.values(), strict=True)), refused
    assert verify(tmp_path / "out", engine="serial") == []
