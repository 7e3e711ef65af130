"""What is to be rated, under which ids, in which order, and what is played of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import pytest
from pyarrow import Table, parquet
from video_files import full_decode, noise, numbered_frames, read_stamp, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.label.answers import Answer
from emovid_dataset.label.definitions import definitions_of
from emovid_dataset.label.items import RatedClip, RatedClips, is_build, read_build_clips, read_sheet_clips
from emovid_dataset.label.order import LEAST_APART, Question, disagreement, ordered, with_repeats
from emovid_dataset.label.preview import NoPreviewError, Previews
from emovid_dataset.label.scores import read_clip_scores
from emovid_dataset.read.select import select
from emovid_dataset.schema.emotions import EMOTIONS, MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store

MOVIES = SheetOptions(content_type="movie")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film of HEVC with sound, one of H.264, and their sheet."""
    folder = tmp_path_factory.mktemp("film")
    frames = numbered_frames(36, 160, 96)
    write_video(folder / "hevc.mkv", frames, rate=12, codec="libx265", sound=noise(3))
    write_video(folder / "plain.mp4", frames[:12], rate=12)
    (folder / "sheet.csv").write_text(
        "path,start,end,shot\nhevc.mkv,1,2,3\nhevc.mkv,00:02,00:03,4\nplain.mp4,,,\nhevc.mkv,,,\nhevc.mkv,1,2,\n"
    )
    return folder


@pytest.fixture(scope="module")
def rated(film: Path) -> RatedClips:
    return read_sheet_clips(film / "sheet.csv", Store.at(film), options=MOVIES)


@pytest.fixture(scope="module")
def built(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    lines = (film / "sheet.csv").read_text().splitlines()[1:5]
    (film / "labels.csv").write_text(
        "path,start,end,shot,emotion\n" + "".join(f"{line},awe\n" for line in lines)
    )
    build(film, film / "labels.csv", out, sheet=MOVIES, engine="serial")
    return out


def test_clips_of_a_sheet_have_the_ids_of_a_build(rated: RatedClips, built: Path) -> None:
    assert [(clip.path, clip.start, clip.end) for clip in rated.clips] == [
        ("hevc.mkv", 1, 2),
        ("hevc.mkv", 2, 3),
        ("plain.mp4", None, None),
        ("hevc.mkv", None, None),
    ]
    assert rated.refused == ()
    ids = {clip.id for clip in select(built).clips}
    assert {clip.id for clip in rated.clips} == ids and len(ids) == 4
    of_build = read_build_clips(built)
    assert {clip.id for clip in of_build.clips} == ids and of_build.taxonomy == MIKELS
    assert is_build(built) and not is_build(built / "manifest.json")


def test_rows_that_name_no_clip_are_refused_and_the_others_rated(film: Path) -> None:
    sheet = film / "odd.csv"
    rows = ["plain.mp4,,,movie", "none.mp4,,,movie", "../out.mp4,,,movie", "plain.mp4,3,2,movie", ",,,movie"]
    rows += ["plain.mp4,1,,movie", "plain.mp4,,,opera"]
    sheet.write_text("path,start,end,content_type\n" + "\n".join(rows) + "\n")
    found = read_sheet_clips(sheet, Store.at(film))
    assert len(found.clips) == 1
    assert [rejection.row for rejection in found.refused] == [2, 3, 4, 5, 6, 7]
    assert [rejection.reason.split(";")[0].split(" allowed")[0] for rejection in found.refused] == [
        "does not exist below the raw folder, beside the sheet or in the working directory",
        "lies outside the raw folder",
        "the segment ends at 2.0 s, not after it starts at 3.0 s",
        "has no path",
        "start is 1.0 but end is None: a segment needs both",
        "content_type 'opera' is unknown",
    ]
    for name, text in (("bare.csv", "clip,emotion\nplain.mp4,awe\n"), ("empty.csv", "")):
        (film / name).write_text(text)
        with pytest.raises(ValueError, match=r"sheet .*\.csv "):
            read_sheet_clips(film / name, Store.at(film))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_sheet_clips(film / "nowhere.csv", Store.at(film))


def stamps(path: Path) -> list[int]:
    return [read_stamp(frame) for frame in full_decode(path)]


def test_what_is_played_is_h264_and_shows_the_clips_frames(rated: RatedClips, film: Path) -> None:
    with Previews(rated) as previews:
        paths = [previews.path(clip.id) for clip in rated.clips]
        assert [stamps(path) for path in paths] == [
            list(range(12, 24)),
            list(range(24, 36)),
            list(range(12)),
            list(range(36)),
        ]
        assert paths[2] == film / "plain.mp4"  # as it is, for a browser plays it
        for path in paths:
            with av.open(str(path)) as made:
                assert made.streams.video[0].codec_context.name == "h264"
                assert made.streams.video[0].pix_fmt == "yuv420p"
                assert bool(made.streams.audio) == (path != paths[2])
        assert previews.path(rated.clips[0].id) == paths[0]
        paths[0].unlink()  # somebody swept the folder
        assert stamps(previews.path(rated.clips[0].id)) == list(range(12, 24))
        assert "movie-0000000000000000" not in previews
        with pytest.raises(KeyError):
            previews.path("movie-0000000000000000")
    assert not paths[0].exists() and (film / "plain.mp4").exists()


def test_a_clip_of_a_build_is_played_from_its_shard(built: Path) -> None:
    of_build = read_build_clips(built)
    with Previews(of_build) as previews:
        for clip in select(built):
            assert previews.path(clip.clip.id).read_bytes() == clip.video


def test_a_clip_that_cannot_be_played_says_why(tmp_path: Path, film: Path) -> None:
    plain = (film / "plain.mp4").read_bytes()
    (tmp_path / "broken.mp4").write_bytes(plain[:800])
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "gone.mp4").write_bytes(plain)
    names = ("broken.mp4", "text.mp4", "gone.mp4", "far.mp4")
    (tmp_path / "far.mp4").write_bytes(plain)
    clips = tuple(
        RatedClip(f"movie-{place}", name, *((90, 91) if place == 3 else ()))
        for place, name in enumerate(names)
    )
    (tmp_path / "gone.mp4").unlink()
    with Previews(RatedClips(clips, Store.at(tmp_path), MIKELS)) as previews:
        for clip in clips:
            with pytest.raises(NoPreviewError) as caught:
                previews.path(clip.id)
            assert "\n" not in str(caught.value)
            assert (clip.path == "gone.mp4") == ("does not exist any more" in str(caught.value))
        (tmp_path / "gone.mp4").write_bytes(plain)  # it is back
        assert stamps(previews.path("movie-2")) == list(range(12))


SCORES = {
    "a": (0.9, 0.1, 0, 0, 0, 0, 0, 0),
    "b": (0.4, 0.3, 0.3, 0, 0, 0, 0, 0),
    "c": (0.4, 0.6, 0, 0, 0, 0, 0, 0),
    "d": (0.4, 0.4, 0.2, 0, 0, 0, 0, 0),
}


def test_the_least_certain_come_first() -> None:
    clips = [RatedClip(name, "x", scores=scores) for name, scores in SCORES.items()] + [RatedClip("e", "x")]
    assert ordered(clips, "uncertain") == ["b", "d", "c", "a", "e"]
    bare = [RatedClip(name, "x") for name in "abcde"]
    assert ordered(bare, "uncertain", scores={"c": SCORES["a"], "a": SCORES["b"]})[:2] == ["a", "c"]
    with pytest.raises(ValueError, match="needs scores"):
        ordered(bare, "uncertain", scores={"z": SCORES["a"]})
    with pytest.raises(ValueError, match="allowed: uncertain, random, disagreement"):
        ordered(bare, "best")


def test_a_random_order_is_that_of_its_seed_and_rater() -> None:
    clips = [RatedClip(f"c{place:02}", "x") for place in range(50)]
    first = ordered(clips, "random", seed=1, rater="anna")
    assert first == ordered(clips, "random", seed=1, rater="anna") and sorted(first) == [c.id for c in clips]
    assert (
        len({tuple(ordered(clips, "random", seed=s, rater=r)) for s in (1, 2) for r in ("anna", "ben")}) == 4
    )


def told(rater: str, clip: str, emotion: str, repeat: int = 0) -> Answer:
    return Answer(rater=rater, id=clip, emotion=emotion, ms=1, at="2025-03-01T10:00:00+00:00", repeat=repeat)


def test_only_clips_that_raters_see_differently_are_asked_about_again() -> None:
    clips = [RatedClip(name, "x") for name in "abcde"]
    said = {"a": "awe awe", "b": "awe fear", "c": "awe fear anger", "d": "awe unclear", "e": "none none"}
    answers = [
        told(f"r{n}", clip, emotion) for clip, text in said.items() for n, emotion in enumerate(text.split())
    ]
    answers += [told("r0", "a", "sadness", repeat=1)]
    assert ordered(clips, "disagreement", answers=answers) == ["c", "b"]
    assert disagreement(answers)["b"] == 1.0  # bits
    with pytest.raises(ValueError, match="raters answered differently"):
        ordered(clips, "disagreement", answers=answers[:2])


@pytest.mark.parametrize(
    ("count", "share"), [(200, 0.05), (200, 1.0), (41, 0.5), (3, 1.0), (1, 1.0), (5, 0.0)]
)
def test_a_share_of_the_clips_comes_again_later(count: int, share: float) -> None:
    clips = [f"c{place}" for place in range(count)]
    questions = with_repeats(clips, share, seed=3, rater="anna")
    assert questions == with_repeats(clips, share, seed=3, rater="anna")
    assert [one.clip for one in questions if not one.repeat] == clips
    again = [one for one in questions if one.repeat]
    assert len(again) == round(share * count) and max(Counter(again).values(), default=1) == 1
    for one in again:
        apart = questions.index(one) - questions.index(Question(one.clip))
        assert apart >= (LEAST_APART if share < 0.5 and count > 2 * LEAST_APART else 1)


def test_scores_are_found_by_id_or_by_the_place_in_the_film(
    rated: RatedClips, film: Path, tmp_path: Path
) -> None:
    rows = [SCORES["a"], SCORES["b"], SCORES["c"], SCORES["d"]]
    ids = [clip.id for clip in rated.clips]
    expected = dict(zip(ids, rows, strict=True))
    tables = {
        "ids.csv": "id,emotion_scores\n" + "".join(f'{i},"{json.dumps(r)}"\n' for i, r in expected.items()),
        "places.csv": "path,start,end,emotion_scores\n"
        + "".join(
            f"{clip.path},{'' if clip.start is None else clip.start},{'' if clip.end is None else clip.end},"
            f'"{json.dumps(row)}"\n'
            for clip, row in zip(rated.clips, rows, strict=True)
        ),
        "names.csv": f"key,{','.join(EMOTIONS)}\n"
        + "".join(f"{i},{','.join(map(str, r))}\n" for i, r in expected.items()),
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
        assert read_clip_scores(tmp_path / name, rated) == expected, name
    wide = {name: [float(row[place]) for row in rows] for place, name in enumerate(EMOTIONS)}
    columns = {"key": ids, "version": [""] * 4, "emotion": ["awe"] * 4, "error": [None] * 4, **wide}
    parquet.write_table(Table.from_pydict(columns), tmp_path / "annotations.parquet")
    assert read_clip_scores(tmp_path / "annotations.parquet", rated) == expected
    (tmp_path / "other.csv").write_text('id,emotion_scores\nmovie-1,"[1,0,0,0,0,0,0,0]"\n')
    with pytest.raises(ValueError, match="has scores of none of the clips"):
        read_clip_scores(tmp_path / "other.csv", rated)
    (tmp_path / "wrong.csv").write_text(f'id,emotion_scores\n{ids[0]},"[1,1]"\n')
    with pytest.raises(ValueError, match=r"wrong\.csv row 1: "):
        read_clip_scores(tmp_path / "wrong.csv", rated)


def test_definitions_are_the_taxonomys_own_or_those_of_the_eight(tmp_path: Path) -> None:
    assert set(definitions_of(MIKELS)) == set(EMOTIONS)
    labels = [
        {"name": "joy", "valence": 0, "definition": "Gladness.", "examples": "a dance"},
        {"name": "awe", "valence": 0},
    ]
    path = tmp_path / "moods.json"
    path.write_text(json.dumps({"name": "moods", "labels": labels}))
    found = definitions_of(Taxonomy("moods", ("joy", "awe"), (0, 0)), path)
    assert (found["joy"].meaning, found["joy"].examples) == ("Gladness.", "a dance")
    assert found["awe"] == definitions_of(MIKELS)["awe"]
    labels[0]["definition"] = 3  # type: ignore[dict-item]
    path.write_text(json.dumps({"name": "moods", "labels": labels}))
    with pytest.raises(ValueError, match="definition of 'joy' is not a text"):
        definitions_of(Taxonomy("moods", ("joy", "awe"), (0, 0)), path)
