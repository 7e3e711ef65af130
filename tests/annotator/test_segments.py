"""Segments that a list names are annotated as the clips that a build cuts of them would be."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pyarrow import parquet
from served_folder import served
from video_files import full_decode, numbered_frames, read_stamp, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.builder.sheet.paths import raw_files
from emovid_dataset.label.items import read_sheet_clips
from emovid_dataset.label.scores import read_clip_scores
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator import annotate as work
from emovid_models.annotator.annotations import read_annotations
from emovid_models.annotator.items import Item, find_items
from emovid_models.annotator.timeline import check_films
from emovid_models.remote.annotator.reading import read_frames

RATE, FILM = 24, "movie/film.mp4"
SHEET = f"path,start,end,note\n{FILM},0.25,00:00:01.250,x\n{FILM},1.5,1.9,y\n{FILM},0.250,1.25,again\n"
PLACES = {f"{FILM}#t=0.25,1.25": range(6, 30), f"{FILM}#t=1.5,1.9": range(36, 46)}


def stamps(item: Item) -> list[int]:
    """The numbers in the frames that a model that looks at every frame sees."""
    return [read_stamp(frame) for frame in read_frames(item.open, range)]


class Counting:
    """The annotator, with a count of the videos that it was given."""

    def __init__(self, annotator: Any) -> None:
        self.annotator, self.model, self.seen = annotator, annotator.model, 0

    def __call__(self, videos: Any, **options: Any) -> Any:
        for result in self.annotator(videos, **options):
            self.seen += 1
            yield result


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 48 numbered frames with few key frames, and a list of two segments, one of them twice."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "movie").mkdir()
    write_video(folder / FILM, numbered_frames(48), rate=RATE, options={"g": "20"})
    (folder / "clips.csv").write_text(SHEET)
    return folder


@pytest.fixture(scope="module")
def annotated(raw: Path, annotator: Any) -> Path:
    """What the annotator said of them."""
    out = raw.parent / f"{raw.name}.parquet"
    report = work.annotate(find_items(raw / "clips.csv"), annotator, out, identity="m")
    assert (report.videos, report.failed) == (2, ())
    return out


def test_the_model_sees_the_frames_of_the_segment(raw: Path) -> None:
    items = find_items(raw / "clips.csv")
    assert {item.key: stamps(item) for item in items} == {key: list(r) for key, r in PLACES.items()}
    assert [(item.start, item.end) for item in items] == [(0.25, 1.25), (1.5, 1.9)]
    assert stamps(pickle.loads(pickle.dumps(items[1]))) == list(PLACES[items[1].key])
    files = fsspec.filesystem("memory")
    files.pipe_file(f"/segments/{FILM}", (raw / FILM).read_bytes())
    files.pipe_file("/segments/clips.csv", SHEET.encode())
    assert [stamps(item) for item in find_items("memory://segments/clips.csv")] == list(
        map(list, PLACES.values())
    )
    with served(raw) as server:
        (raw / "far.csv").write_text(f"path,Start,END\n{server.url}/{FILM}?token=x,1.5,1.9\n")
        (far,) = find_items(raw / "far.csv")
        assert stamps(far) == list(range(36, 46))
    assert far.key == f"{server.url}/{FILM}?token=...#t=1.5,1.9"


def test_it_is_annotated_as_the_clip_that_build_cuts(
    raw: Path, annotated: Path, annotator: Any, tmp_path: Path
) -> None:
    build(raw, annotated, tmp_path / "built", workers=1, crf=0)
    for shard in (tmp_path / "built").glob("data/*/*.tar"):
        with tarfile.open(shard) as archive:
            archive.extractall(tmp_path / "clips", filter="data")
    stored = [
        (json.loads(path.read_text()), path.with_suffix(".mp4")) for path in tmp_path.glob("clips/*.json")
    ]
    clips = {(fields["start"], fields["end"]): (fields, clip) for fields, clip in stored}
    said = read_annotations(annotated)
    assert set(clips) == {(0.25, 1.25), (1.5, 1.9)} == {(one.start, one.end) for one in said}
    for one in said:
        fields, clip = clips[one.start, one.end]
        assert [read_stamp(frame) for frame in full_decode(clip)] == list(PLACES[one.key])
        assert (fields["source"], fields["emotion_source"], fields["emotion"]) == (FILM, "model", one.emotion)
        assert fields["emotion_scores"] == pytest.approx(one.scores, abs=1e-6)
        shares = {entry["label"]: entry["score"] for entry in annotator(clip)}
        assert one.scores == pytest.approx([shares[name] for name in EMOTIONS], abs=1e-5)
    assert said[0].scores != pytest.approx(said[1].scores, abs=1e-3), (
        "two segments that look alike show nothing"
    )


def test_label_finds_the_scores_of_each_segment(raw: Path, annotated: Path) -> None:
    rated = read_sheet_clips(raw / "clips.csv", raw_files(raw, ()))
    found = read_clip_scores(annotated, rated)
    wanted = {(one.start, one.end): one.scores for one in read_annotations(annotated)}
    assert [found[clip.id] for clip in rated.clips] == [wanted[clip.start, clip.end] for clip in rated.clips]


def test_nothing_is_done_twice_and_what_is_wrong_is_an_error_in_its_place(
    raw: Path, annotated: Path, annotator: Any, tmp_path: Path
) -> None:
    out = tmp_path / "a.parquet"
    out.write_bytes(annotated.read_bytes())
    (raw / "more.csv").write_text(
        f"{SHEET}{FILM},,,\n{FILM},1,,\n{FILM},2,1,\n{FILM},x,1,\n{FILM},7,9,\nnone.mp4,0,1,\n"
    )
    items = find_items(raw / "more.csv")
    assert len({item.key for item in items}) == len(items) == 8
    again = Counting(annotator)
    report = work.annotate(items, again, out, identity="m", batch_size=3)
    assert (report.reused, again.seen) == (2, 6)
    rows = parquet.read_table(out).to_pylist()
    assert [(row["start"], row["end"]) for row in rows[:3]] == [(0.25, 1.25), (1.5, 1.9), (None, None)]
    assert rows[2]["key"] == FILM and rows[2]["error"] is None
    told = (
        "a segment needs both",
        "ends at 1.0 s",
        "start 'x' is not",
        "has no frame in",
        "none.mp4 is not a file",
    )
    assert all(part in row["error"] for part, row in zip(told, rows[3:], strict=True)), [
        row["error"] for row in rows[3:]
    ]
    with pytest.raises(ValueError, match=r"--timeline takes whole films, [^#]*film.mp4#t=0.25,1.25"):
        check_films(items)


def test_files_of_before_are_read(raw: Path, annotator: Any, tmp_path: Path) -> None:
    out, items = tmp_path / "a.parquet", find_items(raw / FILM)
    work.annotate(items, annotator, out, identity="m")
    said = read_annotations(out)
    parquet.write_table(parquet.read_table(out).drop_columns(["start", "end"]), out)
    assert read_annotations(out) == said and said[0].start is None
    assert work.annotate(items, annotator, out, identity="m").reused == 1
