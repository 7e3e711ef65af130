"""`emovid cut` on films whose shots are known."""

from __future__ import annotations

import base64
import csv
import errno
import io
import json
import shutil
import sys
import tarfile
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from known_films import black, blend, shot, stamped
from PIL import Image, ImageDraw
from served_folder import served
from video_files import full_decode, read_stamp, rotate, write_sheet, write_video

from benchmarks.cutting import Held
from emovid_dataset.builder.build import build
from emovid_dataset.builder.repair import repair
from emovid_dataset.builder.sheet.paths import raw_files
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.cli import program
from emovid_dataset.cut import CutReport, CutSettings, cut_films, gradual
from emovid_dataset.cut.lengths import ShotPart, divided, out_of_words, shots_between
from emovid_dataset.cut.light import sure_and_doubtful
from emovid_dataset.cut.page import render_page
from emovid_dataset.cut.records import Detector, Transition
from emovid_dataset.cut.speech import Speech
from emovid_dataset.cut.stage import cut_film
from emovid_dataset.cut.text_share import text_share
from emovid_dataset.cut.thumbnails import Thumbnails
from emovid_dataset.media.segment import stretch_of
from emovid_dataset.media.source import Reader

A, B, C, D = "flowers-063900-069200", "kite-473000-479900", "burrow-034000-039500", "trap-340500-344800"
DROPPED = "sheet.dropped.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def spans(path: Path) -> list[tuple[int, int]]:
    """First frame, and the frame behind the last one, of every row."""
    return [(int(row["first_frame"]), int(row["first_frame"]) + int(row["frames"])) for row in rows(path)]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CutReport]:
    """A folder with a film and its sheet: A | B dissolves into C, black, D | a bit of A | D | A standing."""
    folder = tmp_path_factory.mktemp("known")
    a, b, c, d = shot(A, 60), shot(B, 60), shot(C, 60), shot(D, 60)
    moving = stamped([*a, *b[:48], *blend(b[48:], c[:12]), *c[12:]])
    pictures = [*moving, *black(48), *d, *shot(A, 20), *d, *[a[0]] * 48]
    write_video(folder / "film.mp4", pictures)
    report = cut_films([folder / "film.mp4"], folder / "sheet.csv", CutSettings(pictures=True))
    return folder, report


def test_shots_are_clips_and_the_rest_is_left_out_with_a_reason(
    known: tuple[Path, CutReport],
) -> None:
    folder, report = known
    kept, dropped = spans(folder / "sheet.csv"), spans(folder / DROPPED)
    assert kept[0] == (0, 60) and kept[1][0] == 60 and kept[2][1] == 168 and kept[3:] == [(216, 276)]
    # frames 108 to 119 are mixed; at most two of either shot go with them
    assert 106 <= kept[1][1] <= 108 and 120 <= kept[2][0] <= 122
    reasons = [row["reason"] for row in rows(folder / DROPPED)]
    told = ["a gradual transition", "", "shorter than 1.5 s: 0.83 s", "looks like 9.00-11.50 s", "still: "]
    assert len(reasons) == len(told)
    assert all(reason.startswith(begin) for reason, begin in zip(reasons, told, strict=True))
    assert "black" in reasons[1] or reasons[1] == "a gradual transition"
    every = sorted(kept + dropped)
    assert every[0][0] == 0 and every[-1][1] == 404
    assert all(before[1] == behind[0] for before, behind in pairwise(every))
    assert [film.error for film in report.films] == [None] and report.films[0].facts is not None
    assert report.films[0].facts.cuts == 4


def test_build_finds_exactly_the_frames_of_the_sheet(known: tuple[Path, CutReport], tmp_path: Path) -> None:
    folder, _ = known
    labelled = [{**row, "emotion": "awe"} for row in rows(folder / "sheet.csv")][:3]
    assert {row["content_type"] for row in labelled} == {"movie"}
    build(folder, write_sheet(tmp_path, labelled), tmp_path / "built")
    found = {}
    for shard in (tmp_path / "built").glob("data/*/*.tar"):
        with tarfile.open(shard) as archive:
            archive.extractall(tmp_path / "clips", filter="data")
    for clip in (tmp_path / "clips").glob("*.mp4"):
        fields = json.loads(clip.with_suffix(".json").read_text())
        found[fields["start"]] = [read_stamp(picture) for picture in full_decode(clip)]
    for row, (first, stop) in zip(labelled, spans(folder / "sheet.csv")[:3], strict=True):
        assert found[float(row["start"])] == list(range(first, stop))


@pytest.mark.parametrize("kind", ["of a variable rate", "interlaced", "interlaced, a cut between fields"])
def test_frames_of_a_film_are_found_by_their_times(tmp_path: Path, kind: str) -> None:
    a, b = shot(A, 48), shot(B, 49)
    pictures, times, options = [*a, *b[1:]], None, {}
    if kind == "of a variable rate":
        steps = np.random.default_rng(5).choice([0.02, 0.033, 0.071, 0.09], len(pictures))
        times = [float(t) for t in np.cumsum(steps)]
    else:
        options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    if "between" in kind:  # the first field is of the shot before, the second of the one behind
        woven = b[0].copy()
        woven[::2] = a[-1][::2]
        pictures = [*a, woven, *b[1:]]
    write_video(tmp_path / "film.mkv", pictures, times=times, options=options)
    with av.open(str(tmp_path / "film.mkv")) as container:
        assert next(container.decode(video=0)).interlaced_frame == ("interlaced" in kind)
    cut_films([tmp_path / "film.mkv"], tmp_path / "sheet.csv", CutSettings("adaptive"))
    (first, stop), (after, last) = spans(tmp_path / "sheet.csv")
    assert (first, last) == (0, len(pictures))
    if "between" in kind:  # frame 48 is of neither; at most two of either shot go with it
        assert 46 <= stop <= 48 and 49 <= after <= 51
    else:
        assert stop == after == 48
    with Reader(tmp_path / "film.mkv") as reader:
        for row, (first, stop) in zip(
            rows(tmp_path / "sheet.csv"), spans(tmp_path / "sheet.csv"), strict=True
        ):
            stretch = stretch_of(reader, float(row["start"]), float(row["end"]))
            assert (stretch.first, stretch.stop) == (first, stop)


def test_bars_are_measured_upright_in_a_turned_film(tmp_path: Path) -> None:
    pictures = [picture.copy() for picture in shot(A, 48)]
    for picture in pictures:
        picture[:, :16] = picture[:, -16:] = 0
    rotate(write_video(tmp_path / "turned.mp4", pictures), 90)
    cut_films([tmp_path / "turned.mp4"], tmp_path / "sheet.csv", CutSettings("adaptive"), crop_bars=True)
    # what is left and right in the file is above and below for whoever looks
    (row,) = rows(tmp_path / "sheet.csv")
    assert row["bars"] == row["crop_bars"] == "16 16 0 0"
    wrong = [{**row, "crop_bars": cell} for cell in ("16 16", "15 17 0 0", "80 66 0 0")]
    starts = [{**one, "start": str(place / 2)} for place, one in enumerate(wrong, 1)]
    sheet = write_sheet(tmp_path, [{**one, "emotion": "awe"} for one in (row, *starts)])
    report = build(tmp_path, sheet, tmp_path / "built")
    assert [(one.row, one.reason.partition("; ")[0]) for one in report.rejections] == [
        (2, "crop_bars '16 16' is not four numbers of pixels: top, bottom, left, right"),
        (3, "crop_bars '15 17 0 0' has odd numbers"),
        (4, "crop_bars 80 66 0 0 leaves no picture of 96x160"),
    ]
    (shard,) = (tmp_path / "built").glob("data/*/*.tar")
    with tarfile.open(shard) as archive:
        archive.extractall(tmp_path / "clips", filter="data")
    (clip,) = (tmp_path / "clips").glob("*.mp4")
    assert json.loads(json.loads(clip.with_suffix(".json").read_text())["extra"])["crop_bars"] == "16 16 0 0"
    upright = np.rot90(pictures[20], -1)[16:-16].astype(int)
    shown = full_decode(clip)[20].astype(int)
    assert shown.shape == upright.shape == (128, 96, 3)
    assert np.abs(shown - upright).mean() < 6 < np.abs(shown[2:] - upright[:-2]).mean()

    # reduced as well, and made again of the film
    build(tmp_path, sheet, tmp_path / "small", height=64)
    (small,) = (tmp_path / "small").glob("data/*/*.tar")
    made = small.read_bytes()
    with tarfile.open(small) as archive:
        archive.extractall(tmp_path / "reduced", filter="data")
    (clip,) = (tmp_path / "reduced").glob("*.mp4")
    halved = np.asarray(Image.fromarray(upright.astype(np.uint8)).reduce(2)).astype(int)
    shown = full_decode(clip)[20].astype(int)
    assert shown.shape == halved.shape == (64, 48, 3)
    assert np.abs(shown - halved).mean() < min(9, np.abs(shown[1:] - halved[:-1]).mean())
    small.write_bytes(made[:2000])
    assert not repair(tmp_path / "small", raw=tmp_path, labels=sheet, engine="serial").left
    assert small.read_bytes() == made


@pytest.mark.parametrize("detector", ["transnet", "adaptive", "content"])
def test_every_detector_finds_a_plain_cut(tmp_path: Path, detector: Detector) -> None:
    film = write_video(tmp_path / "film.mp4", [*shot(A, 48), *shot(B, 48)])
    cut_films([film], tmp_path / "sheet.csv", CutSettings(detector))
    assert spans(tmp_path / "sheet.csv") == [(0, 48), (48, 96)]


def test_what_cannot_be_read_is_listed_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    # a key frame every second, and a packet of the second one overwritten
    film = write_video(tmp_path / "film.mp4", shot(A, 96), options={"g": "24", "bf": "0"})
    with av.open(str(film)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
        assert packet.pos is not None
        place, size = packet.pos, packet.size
    data = bytearray(film.read_bytes())
    data[place : place + size] = bytes(size)
    film.write_bytes(data)
    (tmp_path / "text.mp4").write_text("no film")
    report = cut_films([tmp_path], tmp_path / "sheet.csv", CutSettings("adaptive", least=0.5, most=1))
    assert [film.path for film in report.failed] == ["text.mp4"]
    left_out = rows(tmp_path / DROPPED)
    assert [row["path"] for row in left_out if not row["start"]] == ["text.mp4"]
    damaged = [row for row in left_out if "damaged" in row["reason"]]
    assert {row["path"] for row in damaged} == {"film.mp4"}
    kept = spans(tmp_path / "sheet.csv")
    assert kept[0][0] == 0 and kept[-1][1] == 96
    assert all(stop <= 30 or first >= 48 for first, stop in kept)


def test_the_page_shows_every_stretch_and_loads_nothing(known: tuple[Path, CutReport]) -> None:
    folder, report = known
    page = render_page([replace(report.films[0], path="<b>film</b>.mp4")])
    assert "&lt;b&gt;film&lt;/b&gt;.mp4" in page and "<b>film" not in page
    assert page.count('<li class="kept">') == len(rows(folder / "sheet.csv"))
    assert page.count('<li class="dropped">') == len(rows(folder / DROPPED))
    assert "looks like 9.00-11.50 s" in page and "<script" not in page and "://" not in page
    with Image.open(io.BytesIO(base64.b64decode(report.films[0].clips[0].pictures[0]))) as picture:
        assert picture.size == (160, 96)


@pytest.mark.parametrize(
    ("seconds", "calm", "bounds"),
    [
        (9.0, [4.0], [(0.0, 9.0)]),
        (15.0, [7.0], [(0.0, 7.0), (7.0, 15.0)]),
        (26.0, [1.0, 9.0, 17.5, 25.5], [(0.0, 9.0), (9.0, 17.5), (17.5, 26.0)]),
    ],
)
def test_long_shots_are_divided_where_they_are_calm(
    seconds: float, calm: list[float], bounds: list[tuple[float, float]]
) -> None:
    count = round(seconds * 10)
    times, change = np.arange(count + 1) / 10, np.full(count, 5, np.float32)
    for moment in calm:
        change[round(moment * 10) - 2 : round(moment * 10) + 3] = 0
    parts = divided(ShotPart(0, count, 0), times, change, np.zeros(count, bool), 1.5, 10.0)
    assert [(times[part.first], times[part.stop]) for part in parts] == bounds


@pytest.mark.parametrize(
    ("spoken", "found"),
    [
        ([], (0, 40, None)),
        ([(0, 6)], (6, 40, None)),
        ([(35, 50)], (0, 34, None)),
        ([(0, 6), (38, 41)], (6, 37, None)),
        ([(0, 30)], (0, 40, "begins in the middle of speech")),
        ([(12, 41)], (0, 40, "ends in the middle of speech")),
        ([(10, 20)], (0, 40, None)),
    ],
)
def test_clips_neither_begin_nor_end_in_a_word(
    spoken: list[tuple[int, int]], found: tuple[int, int, str | None]
) -> None:
    speaks = np.zeros(60, bool)
    for first, stop in spoken:
        speaks[first:stop] = True
    part, reason = out_of_words(ShotPart(0, 40, 0), np.arange(61) / 10, lambda places: speaks[places], 1.5)
    assert (part.first, part.stop, reason) == found


def test_sure_cuts_and_doubtful_places_are_told_apart() -> None:
    change = np.full(60, 2, np.float32)
    change[[0, 20]] = 40  # the film's first frame is no cut
    change[38:43] = [9, 31, 22, 38, 12]
    change[55] = 6
    pictures = np.random.default_rng(3).integers(0, 256, (60, 27, 48, 3)).astype(np.uint8)
    sure, doubtful = sure_and_doubtful(change, change, cast(Thumbnails, Held(pictures)))
    assert sure.tolist() == [20] and doubtful.tolist() == [39, 41]
    # a flash: the picture is the one before, only lighter
    pictures[20] = pictures[19] // 2 + 100
    sure, doubtful = sure_and_doubtful(change, change, cast(Thumbnails, Held(pictures)))
    assert sure.tolist() == [] and doubtful.tolist() == [20, 39, 41]
    # red, green and blue change alone: something passes
    pictures[20] = 255 - pictures[19]
    sure, doubtful = sure_and_doubtful(change, np.full(60, 2, np.float32), cast(Thumbnails, Held(pictures)))
    assert sure.tolist() == [] and doubtful.tolist() == [20, 39, 41]


def test_a_cut_amid_movement_is_told_from_movement() -> None:
    # every frame moves by two pixels and 9 levels; from frame 30 on it is another picture
    random = np.random.default_rng(4)
    wide = [np.kron(random.integers(0, 256, (9, 60, 3)), np.ones((3, 3, 1))).astype(np.uint8) for _ in "ab"]
    pictures = np.stack([wide[place >= 30][:, 2 * place : 2 * place + 48] for place in range(60)])
    change = np.full(60, 9, np.float32)
    change[[28, 30]] = 20, 50  # less than three times the greatest change around
    change[45] = 40  # but the picture goes on
    sure, doubtful = sure_and_doubtful(change, change, cast(Thumbnails, Held(pictures)))
    assert sure.tolist() == [30] and doubtful.tolist() == [45]


def test_no_stretch_reaches_over_a_transition() -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        ends = np.sort(random.choice(np.arange(1, 900), 12, replace=False)).tolist()
        found = [Transition(a, a if random.random() < 0.5 else b) for a, b in pairwise(ends[::2])]
        shots = shots_between(found, 900)
        change, times = random.random(900).astype(np.float32), np.arange(901) / 24
        parts = [
            part
            for one in shots
            for part in divided(one, times, change, np.zeros(one.stop - one.first, bool), 1.5, 10.0)
        ]
        assert all(item.stop <= p.first or p.stop <= item.first for item in found for p in parts)
        whole = {frame for item in found for frame in range(item.first, item.stop)}
        assert sum(p.stop - p.first for p in parts) == 900 - len(whole)


def test_the_sound_keeps_its_place_and_a_tone_is_no_speech() -> None:
    with Speech() as speech:
        for place, loud in ((0.0, 0.0), (1.0, 0.5), (3.0, 0.25)):  # a second of sound is missing
            wave = loud * np.sin(np.arange(48000, dtype=np.float32) * 0.05)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate = 48000
            speech.hear(frame, place)
        assert speech.waveform(4.0, 4) == pytest.approx([0, 0.354, 0, 0.177], abs=0.02)
        assert (speech.at(np.arange(0.1, 3.9, 0.1)) < 0.5).all() and speech.at(np.array([9.0]))[0] == 0


def test_without_its_packages_the_command_names_the_extra(
    known: tuple[Path, CutReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(ValueError, match=r"scenedetect is not installed; .*\[cut\]"):
        program()(["cut", str(known[0] / "film.mp4"), "--out", "x.csv"], standalone_mode=False)


def test_a_film_at_an_address_is_cut_by_its_address(known: tuple[Path, CutReport], tmp_path: Path) -> None:
    folder, _ = known
    with served(folder) as server:
        address = f"{server.url}/film.mp4"
        cut_films([address], tmp_path / "sheet.csv")
        kept = rows(tmp_path / "sheet.csv")
        write_sheet(tmp_path, [{**row, "emotion": "awe", "content_type": "movie"} for row in kept])
        labels = list(read_sheet(tmp_path / "labels.csv", raw_files(server.url, ())))
    assert {row["path"] for row in kept} == {address}
    assert [label.path for label in labels] == ["film.mp4"] * len(kept)
    assert spans(tmp_path / "sheet.csv") == spans(folder / "sheet.csv")


def test_memory_grows_by_small_numbers_for_each_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradual, "_BLOCK", 48)
    films = {times: write_video(tmp_path / f"{times}.mp4", [*shot(A, 48)] * times) for times in (3, 12)}
    peaks = {}
    cut_film(films[3], CutSettings())  # what is imported, and kept for good, counts for neither
    for times, film in films.items():
        tracemalloc.start()
        try:
            cut_film(film, CutSettings())
            peaks[times] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # a tiny picture has 3,888 bytes; at a thousand for each frame two hours take 173 MB
    assert peaks[12] - peaks[3] < 9 * 48 * 1000


def test_lines_of_text_are_told_from_grass() -> None:
    credits = Image.new("L", (512, 288), 20)
    draw = ImageDraw.Draw(credits)
    for line in range(12):
        draw.text((120, 20 + 22 * line), "Directed by Somebody Important", fill=235, font_size=14)
    assert text_share(np.asarray(credits)) > 0.05
    for name in (A, B, C, D):
        grass = Image.fromarray(shot(name, 1)[0]).convert("L").resize((512, 307))
        assert text_share(np.asarray(grass)) < 0.012


def test_films_that_were_cut_are_not_cut_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_video(tmp_path / "film.mp4", [*shot(A, 48), *shot(B, 48)])
    shutil.copy(film, tmp_path / "again.mp4")

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left"):
        full.setattr("emovid_dataset.cut.sheet.write_sheets", fails)
        cut_films([tmp_path], tmp_path / "sheet.csv", CutSettings("adaptive"))
    assert not (tmp_path / "sheet.csv").exists()
    film.unlink()
    film.write_text("no film any more")  # only this one has changed
    report = cut_films([tmp_path], tmp_path / "sheet.csv", CutSettings("adaptive"), content_type="vlog")
    assert report.reused == 1 and {row["content_type"] for row in rows(tmp_path / "sheet.csv")} == {"vlog"}
    assert [item.path for item in report.failed] == ["film.mp4"]
    assert {row["path"] for row in rows(tmp_path / "sheet.csv")} == {"again.mp4"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.mp4",
        "film.mp4",
        "sheet.csv",
        DROPPED,
    ]
