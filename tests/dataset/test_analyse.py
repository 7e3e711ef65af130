"""`emovid analyse` on real builds: its numbers against the sheet's, its JSON, its page in a browser."""

from __future__ import annotations

import csv
import http.server
import json
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner
from video_files import noise, numbered_frames, write_sheet, write_video
from web_pages import needs_chromium

from emovid_dataset.analyse.analyses import Analyses, analyse_build
from emovid_dataset.analyse.charts import SIDE, bubbles, common_axis
from emovid_dataset.analyse.clip_means import MeanOfClips
from emovid_dataset.analyse.clips import read_clips
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.analyse.page import render_page, write_page
from emovid_dataset.analyse.sound import measure_sound
from emovid_dataset.analyse.valence_arousal import PlacedEmotion
from emovid_dataset.builder.build import build
from emovid_dataset.cli import program
from emovid_dataset.engine import Processes
from emovid_dataset.media.sound_levels import SoundLevels
from emovid_dataset.read.features import features_schema
from emovid_dataset.schema.emotions import EMOTIONS

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of two films in scenes, the first with sound that fades out, the second mute."""
    raw = tmp_path_factory.mktemp("films")
    sound = noise(8, rate=48000) * np.repeat([1.0, 0.1, 0.0, 0.0], 96000).astype(np.float32)
    write_video(raw / "a.mp4", numbered_frames(8 * 24), sound=sound, sound_rate=48000)
    write_video(raw / "b.mp4", numbered_frames(6 * 24))
    scenes = [("a.mp4", 2 * i, label) for i, label in enumerate(("fear", "fear", "anger", "awe"))]
    scenes += [("b.mp4", 2 * i, label) for i, label in enumerate(("awe", "fear", "fear"))]
    rows = [
        {
            "path": path,
            "content_type": "movie",
            "emotion": label,
            "caption": "A dark <b>night</b>",
            "start": start,
            "end": start + 2,
        }
        for path, start, label in scenes
    ]
    build(raw, write_sheet(raw, rows), raw / "out", ratios=(1, 0, 0), engine="serial")
    return raw / "out"


@pytest.fixture(scope="module")
def mini_features(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of features made up for the miniature: content types lie apart."""
    clips = read_clips(mini_build)
    rng = np.random.default_rng(0)
    vectors = 4 * rng.normal(size=(3, 12))[clips.types] + rng.normal(size=(len(clips), 12))
    rows = [
        {"id": key, "version": version, "features": vector}
        for key, version, vector in zip(clips.ids, clips.hashes, vectors.astype(np.float32), strict=True)
    ]
    schema = features_schema(json.dumps({"model": "made/up@1", "what": "numbers made up"}))
    path = tmp_path_factory.mktemp("features") / "f.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.fixture(scope="module")
def found(mini_build: Path, mini_features: Path) -> Analyses:
    return analyse_build(mini_build, features=mini_features, sound=False)


def test_the_miniature_is_counted_as_its_sheet_says(found: Analyses) -> None:
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [item.content_type for item in found.emotions] == ["all", "cartoon", "movie", "sticker"]
    for item in found.emotions:
        for emotion in EMOTIONS:
            same = [
                row
                for row in rows
                if row["emotion"] == emotion and item.content_type in ("all", row["content_type"])
            ]
            assert item.counts[emotion] == len(same)
    assert found.clips.group_count == len({row["group"] for row in rows})
    assert found.sound.emotions[0].loudness == NotComputed("nobody listened (--no-sound)")
    assert sum(item.audible for item in found.sound.emotions) == 116  # the cartoons


def test_consecutive_scenes_of_films_are_pairs(film: Path) -> None:
    chain = analyse_build(film).transitions
    assert not isinstance(chain, NotComputed)
    fear, anger, awe = (EMOTIONS.index(name) for name in ("fear", "anger", "awe"))
    assert (chain.films, chain.pairs, chain.timed) == (2, 5, 7)
    assert chain.counts[fear][fear] == 2 and chain.counts[fear][anger] == 1
    assert chain.counts[anger][awe] == 1 and chain.counts[awe][fear] == 1
    assert chain.staying[fear].value == pytest.approx(2 / 3)


def test_sound_is_measured_clip_by_clip_by_any_number_of_workers(film: Path) -> None:
    alone = measure_sound(film)
    assert alone == measure_sound(film, executor=Processes(2)) and len(alone) == 4
    clips = read_clips(film)
    order = np.argsort(np.where(clips.has_audio, clips.starts, np.inf))[:4]
    levels = [alone[clips.ids[row]] for row in order]
    assert all(isinstance(item, SoundLevels) for item in levels)
    loud, quiet, silent, also = (item for item in levels if isinstance(item, SoundLevels))
    assert loud.loudness is not None and quiet.loudness is not None
    assert loud.loudness - quiet.loudness == pytest.approx(20, abs=1)
    assert (loud.silence, also.silence, also.loudness) == (0, 1, None) and silent.silence > 0.9


def test_sound_is_summed_up_by_emotion(film: Path) -> None:
    fear = next(item for item in analyse_build(film).sound.emotions if item.emotion == "fear")
    assert (fear.clips, fear.audible, fear.share) == (4, 2, 0.5)
    assert isinstance(fear.loudness, MeanOfClips) and fear.loudness.clips == 2
    assert fear.loudness.interval == NotComputed("all clips are of one group")
    sound = analyse_build(film, sound=True).sound
    assert sound.measured == 4 and sound.failed == ()
    assert sum(sound.not_loud.values()) >= 1


def run(*arguments: object) -> Any:
    return CliRunner().invoke(program(), ["analyse", *map(str, arguments)])


def test_the_command_prints_numbers_and_what_is_not_computed(film: Path, tmp_path: Path) -> None:
    result = run(film, "--json", "--html", tmp_path / "new" / "page.html", "--gap", "0")
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    assert body["clips"] == 7 and body["transitions"]["pairs"] == 5 and body["transitions"]["gap"] == 0
    assert "emovid annotate" in body["features"]["not_computed"]
    assert body["html"]["bytes"] == (tmp_path / "new" / "page.html").stat().st_size
    assert body["emotions"][0]["counts"]["fear"] == 4
    table = run(film, "--no-sound", "--film", "group")
    assert table.exit_code == 0 and "t-SNE: not computed: no file of features" in table.output
    assert "Staying, 5 pairs in 2 films" in table.output


def test_one_clip_with_nothing_known_makes_a_page(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_video(raw / "a.mp4", numbered_frames(24))
    sheet = write_sheet(raw, [{"path": "a.mp4", "content_type": "cartoon", "emotion": "awe"}])
    build(raw, sheet, tmp_path / "out", ratios=(1, 0, 0), engine="serial")
    result = run(tmp_path / "out", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for reason in ("fewer than two emotions have clips", "no clip has a start time", "no clip has a caption"):
        assert f"not computed: {reason}" in page
    assert json.loads(run(tmp_path / "out", "--json").stdout)["clips"] == 1


def test_the_page_escapes_words_and_is_the_same_every_time(film: Path, tmp_path: Path) -> None:
    analyses = analyse_build(film)
    page = render_page(analyses)
    assert "<script" not in page and "<b>night</b>" not in page and page == render_page(analyses)
    with pytest.raises(ValueError, match="a folder; it must name a file"):
        write_page(analyses, tmp_path)


def test_a_remote_build_is_analysed_without_its_videos(film: Path) -> None:
    read: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            read.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(film)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        there = analyse_build(f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()
        server.server_close()
    here = analyse_build(film)
    assert (there.transitions, there.emotions, there.phrases) == (
        here.transitions,
        here.emotions,
        here.phrases,
    )
    assert there.sound.emotions[0].silence == NotComputed(
        "the build is not on this machine; --sound reads every MP4 that has sound"
    )
    assert read and not any(path.endswith(".tar") for path in read)


def test_a_build_of_format_1_has_none_of_the_papers_attributes(film: Path, tmp_path: Path) -> None:
    """What it calls brightness is luma, and must not pass for the paper's."""
    shutil.copytree(film, tmp_path / "old")
    manifest = tmp_path / "old" / "manifest.json"
    body = json.loads(manifest.read_text(encoding="utf-8")) | {"format": 1, "frames": 16}
    manifest.write_text(json.dumps(body), encoding="utf-8")
    clips = read_clips(tmp_path / "old")
    assert not np.isnan(read_clips(film).attributes["brightness"]).any()
    assert all(np.isnan(values).all() for values in clips.attributes.values()) and len(clips) == 7


def test_names_on_the_map_stand_free_of_circles() -> None:
    places = [PlacedEmotion("one", 6.6, 4.6, 3, 0.5), PlacedEmotion("two", 6.9, 3.8, 3, 0.2)]
    places.append(PlacedEmotion("unknown", NotComputed("x"), NotComputed("x"), 3, 0.3))
    first, second = bubbles(places)
    assert (first.x, first.y) == pytest.approx((5.6 / 8 * SIDE, 4.4 / 8 * SIDE))
    assert first.radius**2 / second.radius**2 == pytest.approx(2.5)
    for name, other in ((first, second), (second, first)):
        assert max(abs(name.label_x - other.x), abs(name.label_y - other.y)) > other.radius


def test_a_very_wide_interval_does_not_squeeze_the_others() -> None:
    rng = np.random.default_rng(0)
    rows = [MeanOfClips.of("a", rng.normal(0, 1, 50), np.arange(50)) for _ in range(4)]
    rows.append(MeanOfClips.of("b", np.array([-90.0, 90.0]), np.arange(2)))
    ends = common_axis(rows)
    assert ends is not None and ends[1] - ends[0] < 5
    assert common_axis([MeanOfClips.of("a", np.zeros(0), np.zeros(0, int))]) is None


@pytest.mark.browser
@needs_chromium
def test_the_page_is_readable_in_a_browser(found: Analyses, browser: Any, tmp_path: Path) -> None:
    page_file = tmp_path / "page.html"
    write_page(found, page_file)
    for scheme in ("light", "dark"):
        for width in (1280, 420):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width and said == []
            assert page.locator("#features svg path.points").count() == 3 + 8
            assert page.locator("#map circle").count() == 8
            assert page.locator(".scope:visible").count() == 1
            page.locator("label:has(#scope-sticker)").click()
            shown = page.locator(".scope-sticker .bins[data-attribute=brightness]")
            assert shown.is_visible() and not page.locator(".scope-all").is_visible()
            page.close()
