"""Builds that grow: new rows make new shards, what was there stays, and what contradicts it is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from video_files import folder_bytes, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset.builder import append as appending
from emovid_dataset.builder.append import AppendReport, append
from emovid_dataset.builder.append_settings import AppendSettings
from emovid_dataset.builder.build import build
from emovid_dataset.builder.prepare import PrepareStage
from emovid_dataset.builder.remove import remove
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import Store

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """A raw folder of 20 stickers in families of two and a film of four segments, and its rows."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "sticker").mkdir()
    (raw / "movie").mkdir()
    found = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:20]):
        shutil.copy(path, raw / "sticker" / path.name)
        found.append(
            {
                "path": f"sticker/{path.name}",
                "emotion": EMOTIONS[index % 8],
                "start": "",
                "end": "",
                "group": f"family {index // 2}",
                "caption": f"Clip {index}",
            }
        )
    write_video(raw / "movie" / "film.mp4", numbered_frames(240)[:48], rate=20)
    for index in range(4):
        found.append(
            {
                "path": "movie/film.mp4",
                "emotion": EMOTIONS[index],
                "start": 0.5 * index,
                "end": 0.5 * index + 0.4,
                "group": "",
                "caption": f"Part {index}",
            }
        )
    return raw, found


def first(rows: Sequence[Row]) -> list[Row]:
    """What the build begins with: 15 stickers and two segments."""
    return [*rows[:15], *rows[20:22]]


@pytest.fixture(scope="module")
def begun(rows: tuple[Path, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the first rows."""
    raw, all_rows = rows
    out = tmp_path_factory.mktemp("begun") / "out"
    build(raw, sheet(raw, first(all_rows)), out, engine="serial", shard_size=40_000, seed=3)
    return out


@pytest.fixture
def out(begun: Path, tmp_path: Path) -> Path:
    """A copy of the build that a test may change."""
    return Path(shutil.copytree(begun, tmp_path / "out"))


@pytest.fixture(scope="module")
def grown(
    begun: Path, rows: tuple[Path, list[Row]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, AppendReport]:
    """The build after one append, and its report."""
    out = Path(shutil.copytree(begun, tmp_path_factory.mktemp("grown") / "out"))
    raw, all_rows = rows
    return out, append(raw, sheet(raw, all_rows), out, engine="serial")


def sheet(raw: Path, rows: Sequence[Row]) -> Path:
    write_sheet(raw, list(rows))
    return raw / "labels.csv"


def clips(out: Path) -> dict[str, Row]:
    found = {}
    for table in sorted(out.glob("metadata/*/*.parquet")):
        for row in parquet.read_table(table, partitioning=None).to_pylist():
            found[row["id"]] = row | {"split": table.stem}
    return found


def by_caption(out: Path) -> dict[str, Row]:
    return {row["caption"]: row for row in clips(out).values()}


def shards(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in folder_bytes(out).items() if name.endswith(".tar")}


# what is new comes in, what was there stays


def test_new_rows_make_new_shards_and_the_others_stay_byte_for_byte(
    begun: Path, grown: tuple[Path, AppendReport]
) -> None:
    out, report = grown
    assert verify(out, engine="serial") == []
    before, after = shards(begun), shards(out)
    assert {name: after[name] for name in before} == before
    assert set(report.shards) == set(after) - set(before) and report.rewritten == ()
    assert (report.held, report.added.total(), len(clips(out))) == (17, 7, 24)
    assert by_caption(out)["Clip 19"]["emotion"] == EMOTIONS[3]
    manifest = read_manifest(out)
    assert len(manifest.shards) == len(after)
    assert not (out / ".build").exists()
    assert "24 short video clips" in (out / "README.md").read_text()


def test_only_new_clips_are_prepared(
    out: Path, rows: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, all_rows = rows
    prepared: list[str] = []
    run = PrepareStage.run

    def noted(self: PrepareStage, state: None, part: Any, store: Store) -> Any:
        prepared.extend(unit.path for unit in part.units)
        return run(self, state, part, store)

    monkeypatch.setattr(PrepareStage, "run", noted)
    # rows in another order have other numbers
    append(raw, sheet(raw, [*all_rows[:17], *all_rows[20:22]][::-1]), out, engine="serial")
    assert sorted(prepared) == sorted(row["path"] for row in all_rows[15:17])


def test_groups_stay_on_their_side(begun: Path, grown: tuple[Path, AppendReport]) -> None:
    before, after = by_caption(begun), by_caption(grown[0])
    # clip 15 is of the family of clip 14, and the film's new segments are of the film
    assert after["Clip 15"]["split"] == before["Clip 14"]["split"]
    assert {after[f"Part {index}"]["split"] for index in range(4)} == {before["Part 0"]["split"]}
    assert after["Clip 16"]["split"] == after["Clip 17"]["split"]


def test_the_same_appends_give_the_same_bytes_on_any_engine_and_another_kind_of_store(
    begun: Path, rows: tuple[Path, list[Row]], grown: tuple[Path, AppendReport], out: Path
) -> None:
    raw, all_rows = rows
    append(raw, sheet(raw, all_rows), out, workers=2)
    assert folder_bytes(out) == folder_bytes(grown[0])
    bucket = Store.at("memory://append/out")
    for name, data in folder_bytes(begun).items():
        bucket.put(name, data)
    append(raw, sheet(raw, all_rows), "memory://append/out", engine="serial")
    assert {name: bucket.read(name) for name in bucket.list()} == folder_bytes(grown[0])


def test_again_there_is_nothing_to_do(grown: tuple[Path, AppendReport], rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    before = folder_bytes(grown[0])
    again = append(raw, sheet(raw, all_rows), grown[0], engine="serial")
    assert (again.held, again.added.total(), again.shards) == (24, 0, ())
    assert folder_bytes(grown[0]) == before


def test_a_sheet_of_new_rows_alone_does_as_well(
    out: Path, rows: tuple[Path, list[Row]], grown: tuple[Path, AppendReport]
) -> None:
    raw, all_rows = rows
    append(raw, sheet(raw, [*all_rows[15:20], *all_rows[22:]]), out, engine="serial")
    assert shards(out) == shards(grown[0]) and verify(out, engine="serial") == []


def test_refusals_of_earlier_sheets_stay_listed_while_no_row_speaks_of_their_files(
    out: Path, rows: tuple[Path, list[Row]], tmp_path: Path
) -> None:
    raw, all_rows = rows
    (tmp_path / "raw").mkdir()
    for name in ("broken.mp4", "later.mp4"):
        (tmp_path / "raw" / name).write_bytes(b"no video")
    bad = [
        all_rows[0] | {"path": name, "group": "", "content_type": "sticker"}
        for name in ("broken.mp4", "later.mp4")
    ]
    done = append(tmp_path / "raw", write_sheet(tmp_path / "raw", bad), out, engine="serial")
    assert len(done.rejections) == 2 == read_manifest(out).rejected
    shutil.copy(raw / all_rows[19]["path"], tmp_path / "raw" / "later.mp4")
    done = append(tmp_path / "raw", write_sheet(tmp_path / "raw", bad[1:]), out, engine="serial")
    assert done.added.total() == 1 and not done.rejections
    listed = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [entry["path"] for entry in listed] == ["broken.mp4"]
    assert verify(out, engine="serial") == []


# what contradicts the build


def other(rows: list[Row], caption: str, values: Row) -> list[Row]:
    return [row | values if row["caption"] == caption else row for row in rows]


CHANGES = [
    ("Clip 3", {"emotion": "fear"}, "emotion is 'excitement' in the build and 'fear' in the sheet"),
    ("Clip 3", {"caption": "A cat"}, "caption is 'Clip 3' in the build and 'A cat' in the sheet"),
    ("Part 0", {"emotion": "no specific emotion"}, "and 'no specific emotion' in the sheet"),
]


@pytest.mark.parametrize(("caption", "values", "says"), CHANGES)
def test_other_labels_are_refused_and_written_by_update_with_their_shards_only(
    caption: str, values: Row, says: str, out: Path, rows: tuple[Path, list[Row]]
) -> None:
    raw, all_rows = rows
    before, clip = folder_bytes(out), by_caption(out)[caption]
    changed = sheet(raw, other(all_rows, caption, values))
    with pytest.raises(ValueError, match="--update writes them again") as refused:
        append(raw, changed, out, engine="serial")
    assert says in str(refused.value) and clip["id"] in str(refused.value)
    assert folder_bytes(out) == before
    done = append(raw, changed, out, engine="serial", update=True)
    assert verify(out, engine="serial") == []
    touched = {
        name for name, data in before.items() if name.endswith(".tar") and shards(out).get(name) != data
    }
    assert touched == {clip["shard"]}
    assert done.updated == (clip["id"],) and done.added.total() == 7
    if "no specific" in str(values.get("emotion")):
        assert clip["id"] not in clips(out)
        assert "movie/film.mp4" in (out / "none.jsonl").read_text()
    else:
        now = clips(out)[clip["id"]]
        assert {name: now[name] for name in values} == values and now["shard"] == clip["shard"]
    again = append(raw, changed, out, engine="serial")
    assert again.updated == () and again.shards == ()


def test_another_split_moves_a_whole_group_or_is_refused(out: Path, rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    held = by_caption(out)
    here = held["Clip 0"]["split"]
    to = "test" if here != "test" else "train"
    given = [row | {"split": to if row["group"] == "family 0" else ""} for row in first(all_rows)]
    with pytest.raises(ValueError, match=f"split is '{here}' in the build and '{to}' in the sheet"):
        append(raw, sheet(raw, given), out, engine="serial")
    torn = [row | {"split": "" if row["caption"] == "Clip 1" else row["split"]} for row in given]
    with pytest.raises(ValueError, match="group 'family 0' would be in"):
        append(raw, sheet(raw, torn), out, engine="serial", update=True)
    done = append(raw, sheet(raw, given), out, engine="serial", update=True)
    assert verify(out, engine="serial") == []
    now = by_caption(out)
    assert {now[name]["split"] for name in ("Clip 0", "Clip 1")} == {to}
    assert done.added.total() == 0 and len(now) == 17
    assert {name: row["sha256"] for name, row in now.items()} == {
        name: row["sha256"] for name, row in held.items()
    }


def test_a_new_row_with_another_split_than_its_group_is_refused(
    out: Path, rows: tuple[Path, list[Row]]
) -> None:
    raw, all_rows = rows
    to = "test" if by_caption(out)["Clip 14"]["split"] != "test" else "train"
    given = [all_rows[15] | {"split": to}]
    done = append(raw, sheet(raw, given), out, engine="serial")
    assert "its group 'family 7' is in" in done.rejections[0].reason


def test_other_settings_are_refused_by_name(out: Path, rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    for name, value in {
        "shard_size": 1000,
        "ratios": (0.5, 0.25, 0.25),
        "seed": 4,
        "every": 7,
        "benchmark": 1,
        "corpus": "emovid",
        "notes": ("New.",),
    }.items():
        called = "split" if name == "ratios" else name
        with pytest.raises(ValueError, match=f"^{called} is .* but .* was built with"):
            append(raw, sheet(raw, all_rows), out, settings=AppendSettings(**{name: value}), engine="serial")
    append(
        raw,
        sheet(raw, first(all_rows)),
        out,
        settings=AppendSettings(seed=3, shard_size=40_000),
        engine="serial",
    )


@pytest.mark.parametrize("damage", ["flipped", "short", "missing", "no table"])
def test_a_damaged_build_does_not_grow(damage: str, out: Path, rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    shard = sorted(out.glob("data/sticker/*.tar"))[0]
    data = bytearray(shard.read_bytes())
    if damage == "flipped":
        data[600] ^= 1
        shard.write_bytes(data)
    elif damage == "short":
        shard.write_bytes(data[:-512])
    elif damage == "missing":
        shard.unlink()
    else:
        (out / "metadata/sticker/train.parquet").unlink()
    before = folder_bytes(out)
    with pytest.raises(ValueError, match=r"is damaged: .*emovid repair"):
        append(raw, sheet(raw, all_rows), out, engine="serial")
    assert folder_bytes(out) == before


def test_two_at_once_are_refused(out: Path, rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    with (
        Store.at(out).lease(".build/lock"),
        pytest.raises(ValueError, match="being changed by another process"),
    ):
        append(raw, sheet(raw, all_rows), out, engine="serial")


def test_an_interrupted_append_goes_on_and_the_build_is_whole_meanwhile(
    out: Path, begun: Path, rows: tuple[Path, list[Row]], grown: tuple[Path, AppendReport], monkeypatch: Any
) -> None:
    raw, all_rows = rows
    real = appending.AppendStage.run

    def cut(self: Any, state: None, part: Any, store: Store) -> Any:
        if "sticker" in part.path:
            raise OSError("the disk is gone")
        return real(self, state, part, store)

    monkeypatch.setattr(appending.AppendStage, "run", cut)
    with pytest.raises(OSError, match="the disk is gone"):
        append(raw, sheet(raw, all_rows), out, engine="serial")
    assert verify(out, engine="serial") == []
    assert {n: d for n, d in folder_bytes(out).items() if not n.startswith(".build")} == folder_bytes(begun)
    monkeypatch.undo()
    monkeypatch.setattr(PrepareStage, "run", lambda *_: pytest.fail("was prepared already"))
    append(raw, sheet(raw, all_rows), out, engine="serial")
    assert folder_bytes(out) == folder_bytes(grown[0])


def test_what_is_cut_off_among_the_last_files_is_finished_by_the_next_command(
    out: Path, rows: tuple[Path, list[Row]], grown: tuple[Path, AppendReport], monkeypatch: Any
) -> None:
    raw, all_rows = rows
    from emovid_dataset.builder import commit

    real, left = commit.take_place, [3]

    def cut(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the power is out")
        real(*arguments)

    monkeypatch.setattr(commit, "take_place", cut)
    with pytest.raises(OSError, match="the power is out"):
        append(raw, sheet(raw, all_rows), out, engine="serial")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unfinished"):
        read_manifest(out)
    with pytest.raises(ValueError, match="was interrupted; run the same command again"):
        build(raw, sheet(raw, all_rows), out, engine="serial")
    done = append(raw, sheet(raw, all_rows), out, engine="serial")
    assert done.held == 24 and folder_bytes(out) == folder_bytes(grown[0])


# builds of earlier versions


def test_a_build_with_totals_in_its_names_grows_too(rows: tuple[Path, list[Row]], tmp_path: Path) -> None:
    raw, _ = rows
    old = Path(__file__).parent / "counted_names"
    out = Path(shutil.copytree(old, tmp_path / "old"))
    new = [
        {"path": "sticker/" + name.name, "emotion": "awe"}
        for name in sorted((raw / "sticker").glob("*.mp4"))[-4:]
    ]
    append(raw, write_sheet(raw, new, "new.csv"), out, engine="serial")
    assert verify(out, engine="serial") == []
    before = folder_bytes(old)
    assert {name: data for name, data in shards(out).items() if name in before} == {
        name: data for name, data in before.items() if name.endswith(".tar")
    }
    assert (out / "data/sticker/train-00003.tar").is_file()


def test_a_build_of_format_1_is_refused_with_the_way_out(
    rows: tuple[Path, list[Row]], tmp_path: Path
) -> None:
    raw, all_rows = rows
    out = Path(shutil.copytree(Path(__file__).parent / "format_1", tmp_path / "old"))
    with pytest.raises(ValueError, match="format 1, which cannot grow; build it again"):
        append(raw, sheet(raw, all_rows), out, engine="serial")


# removal


def test_a_removed_clip_leaves_its_shard_and_stays_away(out: Path, rows: tuple[Path, list[Row]]) -> None:
    raw, all_rows = rows
    before, clip = folder_bytes(out), by_caption(out)["Clip 2"]
    problem = {
        "problem": "still",
        "detail": "",
        "clips": [{"id": clip["id"], "row": 3, "path": clip["source"]}],
    }
    (out / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    done = remove(out, ids=[clip["id"]], date="2026-11-27", engine="serial")
    assert done.removed == (clip["id"],) and done.rewritten + done.deleted == (clip["shard"],)
    assert (out / "removed.jsonl").read_text() == f'{{"id": "{clip["id"]}", "date": "2026-11-27"}}\n'
    assert verify(out, engine="serial") == [] and clip["id"] not in clips(out)
    kept = {name: data for name, data in before.items() if name.endswith(".tar") and name != clip["shard"]}
    assert {name: shards(out)[name] for name in kept} == kept
    left = {name: data for name, data in folder_bytes(out).items() if name != "removed.jsonl"}
    assert not any(clip["id"].encode() in data or clip["sha256"].encode() in data for data in left.values())
    assert "Earlier revisions of this repo still serve it." in (out / "README.md").read_text()
    assert remove(out, ids=[clip["id"]], engine="serial").before == (clip["id"],)
    with pytest.raises(ValueError, match="would take the removed clips in again"):
        build(raw, sheet(raw, all_rows), out, engine="serial", overwrite=True)
    grown = append(raw, sheet(raw, all_rows), out, engine="serial")
    assert grown.removed_before == (clip["id"],) and clip["id"] not in clips(out)
    back = append(raw, sheet(raw, all_rows), out, engine="serial", restore=True)
    assert back.added.total() == 1 and clip["id"] in clips(out)
    assert not (out / "removed.jsonl").exists() and verify(out, engine="serial") == []


def test_a_removal_that_is_cut_off_at_the_end_is_finished_by_the_same_call(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emovid_dataset.builder import commit

    def cut(*_: Any) -> None:
        raise OSError("the power is out")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the power is out"):
        patch.setattr(commit, "take_place", cut)
        remove(out, source=["movie/film.mp4"], engine="serial")
    assert remove(out, source=["movie/film.mp4"], engine="serial").removed == ()
    assert len((out / "removed.jsonl").read_text().splitlines()) == 2 and verify(out, engine="serial") == []


def test_removal_by_condition_and_by_source(out: Path) -> None:
    done = remove(out, where=["content_type=movie", "start>=0.5"], engine="serial", dry_run=True)
    part = by_caption(out)["Part 1"]
    assert done.removed == (part["id"],) and not (out / "removed.jsonl").exists()
    done = remove(out, source=["movie/film.mp4"], engine="serial")
    assert len(done.removed) == 2 and not list(out.glob("data/movie/*"))
    assert set(read_manifest(out).config_types) == {"all", "sticker"}
    assert verify(out, engine="serial") == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "nothing is to be removed"),
        ({"ids": ["x"]}, "id 'x' is not of the form"),
        ({"ids": ["sticker-0123456789abcdef"]}, "holds no clip sticker-0123456789abcdef"),
        ({"where": ["mood=awe"]}, "clips have no field 'mood'"),
        ({"where": ["width=wide"]}, "'wide' is not of the type int64"),
        ({"where": ["votes=1"]}, "votes is a list"),
        ({"where": ["width>=1"]}, "that is every clip of"),
        ({"source": ["nowhere"]}, "holds no clip that is meant"),
    ],
)
def test_a_removal_that_cannot_be_meant_is_refused(asked: Row, says: str, begun: Path) -> None:
    before = folder_bytes(begun)
    with pytest.raises(ValueError, match=says):
        remove(begun, engine="serial", **asked)
    assert folder_bytes(begun) == before
