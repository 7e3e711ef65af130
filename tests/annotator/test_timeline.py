"""Films over time: windows, stretches, the table, its sheet, picture and page."""

from __future__ import annotations

import csv
import io
import itertools
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from transformers import pipeline
from typer.testing import CliRunner
from video_files import cartoon, full_decode, noise, numbered_frames, write_video

from emovid_dataset import select
from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import Store
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.annotate import LoadedByName
from emovid_models.annotator.items import find_items
from emovid_models.annotator.timeline import TimelinePart, TimelineStage, annotate_timeline, read_timelines
from emovid_models.remote.annotator import video_file, windows
from emovid_models.remote.annotator.timeline import stretches
from emovid_models.remote.annotator.windows import read_windows, spans


@pytest.fixture(scope="module")
def annotator() -> Any:
    from emovid_models.annotator.loading import load_annotator

    return load_annotator(MINI_ANNOTATOR, device="cpu")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound, the same pictures at uneven times without, and one that is no video."""
    folder = tmp_path_factory.mktemp("films")
    frames = numbered_frames(24, 96, 64)
    write_video(folder / "even.mp4", frames, rate=12, sound=noise(2.0), options={"g": "8"})
    uneven = [*np.arange(8) / 16, *(0.5 + np.arange(8) / 8), *(1.9 + np.arange(8) / 10)]
    write_video(folder / "uneven.mkv", frames, rate=12, times=[float(time) for time in uneven])
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def shares(said: Any) -> np.ndarray:
    entries = said["emotions"] if isinstance(said, dict) else said
    found = {entry["label"]: entry["score"] for entry in entries}
    return np.array([found[name] for name in EMOTIONS])


def shown_between(path: Path, start: float, end: float) -> list[np.ndarray]:
    """The frames whose time lies in a window, by PyAV's own times, and what stands there at its start."""
    import av

    with av.open(str(path)) as file:
        times = [frame.time for frame in file.decode(video=0)]
    pictures = full_decode(path)
    times = [time - times[0] for time in times]
    inside = [place for place, time in enumerate(times) if start - 1e-6 <= time < end - 1e-6]
    later = [time for time in times if time > start + 1e-6]
    stands = all(abs(time - start) > 1e-6 for time in times)
    if stands and (not inside or (later and later[0] - start > 0.1)):
        inside.insert(0, max(place for place, time in enumerate(times) if time < start))
    return [pictures[place] for place in inside]


@pytest.mark.parametrize(
    ("name", "window", "stride"),
    [("even.mp4", 0.5, 0.3), ("uneven.mkv", 0.7, 0.25), ("uneven.mkv", 0.05, 0.4), ("even.mp4", 9.0, 1.0)],
)
def test_a_window_is_what_its_segment_is(
    annotator: Any, films: Path, name: str, window: float, stride: float
) -> None:
    found = annotator(str(films / name), timeline=True, window=window, stride=stride)
    starts = [(each["start"], each["end"]) for each in found["windows"]]
    assert starts[0][0] == 0 and starts == sorted(starts)
    assert found["segments"][-1]["end"] == starts[-1][1] >= 1.99
    alone = annotator([shown_between(films / name, *times) for times in starts])
    for each, one in zip(found["windows"], alone, strict=True):
        assert np.abs(shares(each) - shares(one)).max() < 1e-5
    if window > 3:  # longer than the film, so the film
        assert len(starts) == 1
        assert np.abs(shares(found["windows"][0]) - shares(annotator(str(films / name)))).max() < 1e-5


class Counted:
    """A decoder that counts the frames that come out."""

    def __init__(self, decoder: Any, frames: list[Any]) -> None:
        object.__setattr__(self, "decoder", decoder)
        object.__setattr__(self, "frames", frames)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decoder, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.decoder, name, value)

    def decode(self, packet: Any) -> Any:
        found = self.decoder.decode(packet)
        self.frames.extend(found)
        return found


def test_each_frame_is_decoded_once_and_few_are_held(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[Any] = []
    original = video_file.decoder_of
    monkeypatch.setattr(
        video_file, "decoder_of", lambda stream, **more: Counted(original(stream, **more), frames)
    )
    drawn: list[int] = []
    shown = windows.rgb
    monkeypatch.setattr(windows, "rgb", lambda frame: drawn.append(1) or shown(frame))

    def choose(total: int) -> list[int]:
        return [round(place) for place in np.linspace(0, total - 1, 4)]

    found = list(read_windows(films / "even.mp4", 1.0, 0.1, choose))
    assert len(found) == 11 and all(len(window.frames) == 4 for window in found)
    assert len(frames) <= 24, "eleven windows of a film of 24 frames"
    assert len(drawn) == len({id(frame) for window in found for frame in window.frames}) <= 24


@pytest.mark.parametrize(
    ("duration", "window", "stride", "expected"),
    [
        (10.0, 4, 1, [(n, n + 4.0) for n in range(7)]),
        (3.0, 4, 1, [(0, 3.0)]),
        (4.0, 4, 1, [(0, 4.0)]),
        (5.5, 4, 1, [(0, 4.0), (1, 5.0), (1.5, 5.5)]),
        (5.0, 1, 2, [(0, 1), (2, 3), (4, 5)]),
        (1.0, 0.3, 0.1, [(round(n / 10, 1), round(n / 10 + 0.3, 1)) for n in range(8)]),
        (30.033333, 4, 13, [(0, 4), (13, 17), (26, 30), (26.033333, 30.033333)]),
    ],
)
def test_windows_cover_the_film(duration: float, window: float, stride: float, expected: Any) -> None:
    assert np.array(spans(duration, window, stride)) == pytest.approx(np.array(expected, float))


def best_by_trying(bounds: list[float], rows: np.ndarray, least: float) -> float:
    """The greatest sum over all divisions of the windows, by trying every one."""
    count = len(rows)
    weights = np.diff(bounds)
    best = -np.inf
    for cuts in itertools.chain.from_iterable(
        itertools.combinations(range(1, count), size) for size in range(count)
    ):
        edges = [0, *cuts, count]
        if any(bounds[stop] - bounds[first] < least - 1e-9 for first, stop in itertools.pairwise(edges)):
            continue
        total = sum(
            (np.log(rows[first:stop]) * weights[first:stop, None]).sum(0).max()
            for first, stop in itertools.pairwise(edges)
        )
        best = max(best, float(total))
    return best


def test_no_division_is_better_than_the_one_that_is_found() -> None:
    random = np.random.default_rng(3)
    for least in (1.0, 2.0, 3.5, 20.0):
        for _ in range(6):
            rows = random.dirichlet([0.6] * 3, 8)
            places = [(float(start), float(start + 2)) for start in range(8)]
            bounds = [0.0, *(start + 1.5 for start in range(7)), 9.0]
            found = stretches(places, rows.tolist(), least=least)
            assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
            assert (found[0].start, found[-1].end) == (0.0, 9.0)
            assert len(found) == 1 or min(one.end - one.start for one in found) >= least - 1e-9
            assert all(one.label != other.label for one, other in itertools.pairwise(found))
            value = 0.0
            for one in found:
                inside = [n for n in range(8) if one.start - 1e-9 <= bounds[n] < one.end - 1e-9]
                value += sum(np.log(rows[n, one.label]) * (bounds[n + 1] - bounds[n]) for n in inside)
                length = one.end - one.start
                mean = sum(rows[n] * (bounds[n + 1] - bounds[n]) for n in inside) / length
                assert one.scores == pytest.approx(mean) and one.score == pytest.approx(mean[one.label])
            if least < 20:
                assert value == pytest.approx(best_by_trying(bounds, rows, least))


def test_windows_that_say_nothing_are_bridged() -> None:
    places = [(float(start), start + 1.0) for start in range(4)]
    assert stretches(places, [None] * 4, least=1) == []
    (only,) = stretches(places, [(0.9, 0.1), None, None, (0.8, 0.2)], least=1)
    assert (only.start, only.end, only.label) == (0.0, 4.0, 0) and only.score == pytest.approx(0.85)


def test_a_damaged_stretch_costs_its_windows_alone(annotator: Any, films: Path, tmp_path: Path) -> None:
    data = bytearray((films / "even.mp4").read_bytes())
    import av

    with av.open(str(films / "even.mp4")) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    for packet in sorted(packets, key=lambda packet: packet.pts or 0)[16:]:  # the last group of pictures
        assert packet.pos is not None
        data[packet.pos + 6 : packet.pos + packet.size] = bytes(packet.size - 6)
    found = annotator(bytes(data), timeline=True, window=0.5, stride=0.5)
    assert ["error" in each for each in found["windows"]] == [False, False, True, True]
    whole = annotator(str(films / "even.mp4"), timeline=True, window=0.5, stride=0.5)
    for each, one in zip(found["windows"][:2], whole["windows"], strict=False):
        assert np.abs(shares(each) - shares(one)).max() < 1e-6


def test_the_pipeline_takes_many_films_and_refuses_what_has_no_times(annotator: Any, films: Path) -> None:
    gif = io.BytesIO()
    first, *others = (Image.new("RGB", (48, 32), (20 * step, 90, 200)) for step in range(10))
    first.save(gif, "WEBP", save_all=True, append_images=others, duration=100)
    asked = [
        str(films / "even.mp4"),
        str(films / "broken.mp4"),
        gif.getvalue(),
        np.zeros((4, 8, 8, 3), np.uint8),
    ]
    even, broken, webp, frames = annotator(asked, timeline=True, window=0.5, stride=0.5, top_k=1, abstain=1.0)
    assert len(even["windows"]) == 4 and [len(each["emotions"]) for each in even["windows"]] == [1] * 4
    assert {one["emotion"] for one in even["segments"]} == {"no specific emotion"}
    assert "broken.mp4" in broken["error"]
    assert [(each["start"], each["end"]) for each in webp["windows"]] == [(0.0, 0.5), (0.5, 1.0)]
    assert "a timeline needs times" in frames["error"]
    for wrong in ({"window": 0}, {"stride": float("inf")}, {"window": "4"}):
        with pytest.raises(ValueError, match="allowed: seconds, a number above 0"):
            annotator(str(films / "even.mp4"), timeline=True, **wrong)


def test_the_code_beside_the_weights_does_it_too(annotator: Any, films: Path) -> None:
    stranger = pipeline("video-emotion", model=str(MINI_ANNOTATOR), trust_remote_code=True, device="cpu")
    call = {"timeline": True, "window": 1.0, "stride": 0.5}
    ours, theirs = (each(str(films / "even.mp4"), **call) for each in (annotator, stranger))
    assert [each["start"] for each in ours["windows"]] == [each["start"] for each in theirs["windows"]]
    for one, other in zip(ours["windows"], theirs["windows"], strict=True):
        assert np.abs(shares(one) - shares(other)).max() < 1e-6


def run(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(program(), ["annotate", *map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What the command writes of the folder."""
    folder = tmp_path_factory.mktemp("made")
    found = run(
        films, "--model", "mini", "--out", folder / "t.parquet", "--timeline",
        "--window", 0.5, "--stride", 0.25,
        "--segments", folder / "s.csv", "--plot", folder / "p.png", "--html", folder / "p.html",
        "--allow-rejected", "--batch-size", 3,
    )  # fmt: skip
    yield folder, found


def test_the_table_holds_every_window(annotator: Any, films: Path, made: Any) -> None:
    folder, told = made
    table = parquet.read_table(folder / "t.parquet")
    assert table.column_names[:5] == ["film", "version", "start", "end", "emotion"]
    assert set(EMOTIONS) < set(table.column_names)
    rows = {
        key: [row for row in table.to_pylist() if row["film"] == key]
        for key in set(table["film"].to_pylist())
    }
    expected = annotator(str(films / "uneven.mkv"), timeline=True, window=0.5, stride=0.25)["windows"]
    for row, each in zip(rows["uneven.mkv"], expected, strict=True):
        assert (row["start"], row["end"]) == (each["start"], each["end"])
        assert np.abs([row[name] for name in EMOTIONS] - shares(each)).max() < 1e-5
        assert row["emotion"] == each["emotions"][0]["label"] and 1 <= row["valence"] <= 9
    (broken,) = rows["broken.mp4"]
    assert broken["start"] is None and broken["awe"] is None and "broken.mp4" in broken["error"]
    assert [entry["key"] for entry in told["failed"]] == ["broken.mp4"]
    assert (told["films"], told["windows"]) == (3, len(table) - 1)


def test_the_picture_and_the_page_show_the_films(made: Any) -> None:
    folder, _ = made
    with Image.open(folder / "p.png") as picture:
        assert picture.size[0] == 1000 and picture.size[1] > 600
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 8
    page = (folder / "p.html").read_text()
    assert "<script" not in page and page.count("<svg") == 2 and "broken.mp4" in page
    for emotion in EMOTIONS:
        assert page.count(f'fill="var(--emotion-{emotion})"><title>') >= 2, "an area in each film"


def test_the_sheet_goes_into_a_build(films: Path, made: Any, tmp_path: Path) -> None:
    folder, told = made
    with (folder / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == told["stretches"] and {row["path"] for row in rows} == {"even.mp4", "uneven.mkv"}
    done = CliRunner().invoke(
        program(),
        ["build", str(films), "--labels", str(folder / "s.csv"), "--out", str(tmp_path / "out"),
         "--content-type", "movie", "--workers", "1", "--split", "1/0/0"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    clips = select(tmp_path / "out").clips
    assert {clip.emotion_source for clip in clips} == {"model"}
    by_place = {(clip.source, clip.start): clip for clip in clips}
    for row in rows:
        clip = by_place[row["path"], float(row["start"])]
        assert (clip.emotion, clip.end) == (row["emotion"], float(row["end"]))
        assert list(clip.emotion_scores or ()) == pytest.approx(json.loads(row["emotion_scores"]))
    total = sum(float(row["end"]) - float(row["start"]) for row in rows)
    assert sum(told["seconds"].values()) == pytest.approx(total, abs=0.01)


def test_what_is_there_is_not_done_again(films: Path, made: Any, tmp_path: Path) -> None:
    folder, _ = made
    shutil.copy(folder / "t.parquet", tmp_path / "t.parquet")
    again = (
        "--model",
        "mini",
        "--out",
        tmp_path / "t.parquet",
        "--timeline",
        "--window",
        0.5,
        "--allow-rejected",
    )
    before = parquet.read_table(tmp_path / "t.parquet")
    assert run(films, *again, "--stride", 0.25)["reused"] == 2
    assert parquet.read_table(tmp_path / "t.parquet").equals(before)
    # another film alone: the rows of the others stay
    told = run(cartoon(), *again, "--stride", 0.25)
    assert (told["films"], told["reused"]) == (1, 0)
    found = {timeline.film: timeline for timeline in read_timelines(tmp_path / "t.parquet")}
    assert list(found)[:3] == ["broken.mp4", "even.mp4", "uneven.mkv"] and len(found) == 4
    done = CliRunner().invoke(program(), ["annotate", str(films), *map(str, again), "--stride", "0.5"])
    assert isinstance(done.exception, ValueError) and "choose another --out" in str(done.exception)
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match="is not a table of timelines"):
        list(read_timelines(tmp_path / "x.parquet"))


def test_workers_and_buckets_make_the_same_table(annotator: Any, films: Path, made: Any) -> None:
    store = Store.find("memory://timeline/films")
    for name in ("even.mp4", "uneven.mkv"):
        store.put(name, (films / name).read_bytes())
    call: dict[str, Any] = {"identity": "mini", "window": 0.5, "stride": 0.25, "batch_size": 3}
    rows = [
        row for row in parquet.read_table(made[0] / "t.parquet").to_pylist() if row["film"] != "broken.mp4"
    ]
    bucket = "memory://timeline/t.parquet"
    annotate_timeline(find_items("memory://timeline/films"), annotator, bucket, **call)
    # as a worker has it: from what is sent to it, with a model of its own
    sent = pickle.loads(
        pickle.dumps(
            TimelineStage(
                (), LoadedByName(str(MINI_ANNOTATOR), "cpu"), "{}", ".parts", {"window": 0.5, "stride": 0.25}
            )
        )
    )
    state = sent.setup(0)
    items = {item.key: item for item in find_items(films)}
    parts = [TimelinePart.of(items[key], "{}") for key in ("even.mp4", "uneven.mkv")]
    found = [row for part in parts for row in sent.run(state, pickle.loads(pickle.dumps(part)), store)]
    assert [(row["film"], row["start"]) for row in found] == [(row["film"], row["start"]) for row in rows]
    for row, other in zip(rows, found, strict=True):
        assert other["scores"] == pytest.approx([row[name] for name in EMOTIONS], abs=1e-6)
    windows_of = {
        (one.film, *times): scores
        for one in read_timelines(bucket)
        for times, scores in zip(one.windows, one.scores, strict=True)
    }
    assert len(windows_of) == len(rows)
    for row in rows:
        wanted = [row[name] for name in EMOTIONS]
        assert windows_of[row["film"], row["start"], row["end"]] == pytest.approx(wanted, abs=1e-6)
