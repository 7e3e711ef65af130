"""The statistics against other libraries, and the report in a real browser."""

from __future__ import annotations

import base64
import colorsys
import csv
import hashlib
import io
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from scipy import stats as scipy_stats
from skimage.color import deltaE_ciede2000, rgb2lab
from typer.testing import CliRunner
from web_pages import NAMES_AMISS, needs_chromium

from emovid_dataset.builder.build import build
from emovid_dataset.cli import program
from emovid_dataset.media.frames import decode
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report import page as report_page
from emovid_dataset.report.colours import PALETTE
from emovid_dataset.report.figures import ridge, rose
from emovid_dataset.report.page import _missing, write_report
from emovid_dataset.report.profile import HUE_SECTORS, Distribution, Hues
from emovid_dataset.report.sheets import contact_sheets, draw_clips
from emovid_dataset.report.stats import Statistics, _end_of_axis, measure
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.emotions import EMOTIONS

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
PAGE_SCRIPT = Path(report_page.__file__).parent / "templates" / "report.js"
SCRIPT = "<script>document.title='taken'</script>"
IMAGE = "\"'><img src=http://192.0.2.1/x onerror=\"document.title='taken'\"> {{ 7 * 7 }} &amp; </style>"


def table(folder: Path) -> pandas.DataFrame:
    """The metadata as pandas reads it, with a column for the split."""
    parts = [
        pandas.read_parquet(io.BytesIO(path.read_bytes())).assign(split=path.stem)
        for path in sorted(folder.glob("metadata/*/*.parquet"))
    ]
    return pandas.concat(parts, ignore_index=True)


def build_of(tmp_path: Path, rows: list[dict[str, Any]], *, raw: Path = MINI) -> Path:
    """A build of the rows of a label sheet; paths are below `raw`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    sheet = tmp_path / "labels.csv"
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    out = tmp_path / "EmoVid"
    build(raw, sheet, out, workers=1)
    return out


def write_grey_clip(path: Path, level: int) -> None:
    """Twelve frames of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(12):
            picture = np.full((48, 64, 3), level, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode(None))


@pytest.fixture(scope="module")
def statistics(mini_build: Path) -> Statistics:
    return measure(mini_build)


@pytest.fixture(scope="module")
def report(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(mini_build, page, clips=3).unshown == ()
    return page


@pytest.fixture(scope="module")
def odd_builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clip; stickers only, of one emotion; grey clips only; hostile words and refusals."""
    stickers = sorted(path.relative_to(MINI).as_posix() for path in MINI.glob("sticker/*.mp4"))
    one = build_of(
        tmp_path_factory.mktemp("one"), [{"path": stickers[0], "emotion": "awe", "emotion_source": "model"}]
    )
    single = [{"path": path, "emotion": "fear"} for path in stickers[:7]]
    narrow = build_of(tmp_path_factory.mktemp("narrow"), single)
    raw = tmp_path_factory.mktemp("raw")
    for index in range(6):
        write_grey_clip(raw / "movie" / f"{index}.mp4", 30 + 30 * index)
    rows = [{"path": f"movie/{index}.mp4", "emotion": index} for index in range(6)]
    grey = build_of(tmp_path_factory.mktemp("grey"), rows, raw=raw)
    words = {"caption": SCRIPT + IMAGE, "license": IMAGE, "group": IMAGE, "emotion": "anger"}
    hostile = [{"path": stickers[0], **words}, {"path": SCRIPT, **words}]
    hostile += [{"path": f"{IMAGE} {'x' * 300}-{index}.mp4", **words} for index in range(320)]
    return {
        "one": one,
        "narrow": narrow,
        "grey": grey,
        "hostile": build_of(tmp_path_factory.mktemp("hostile"), hostile),
    }


@pytest.fixture(scope="module")
def large_report(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a build that lists every clip of the miniature 100 times; it has no shards."""
    times, folder = 100, tmp_path_factory.mktemp("large") / "EmoVid"
    folder.mkdir()
    manifest = read_manifest(mini_build)
    shards = tuple(replace(shard, samples=shard.samples * times) for shard in manifest.shards)
    (folder / "manifest.json").write_text(replace(manifest, shards=shards).to_json(), encoding="utf-8")
    shutil.copy(mini_build / "rejected.jsonl", folder)
    for source in mini_build.glob("metadata/*/*.parquet"):
        rows = pyarrow.parquet.read_table(io.BytesIO(source.read_bytes()))
        path = folder / source.relative_to(mini_build)
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.concat_tables([rows] * times), path)
    page = folder.parent / "report.html"
    assert write_report(folder, page, clips=0).size < 1_000_000
    return page


# the numbers


def test_counts_are_those_of_the_metadata(mini_build: Path, statistics: Statistics) -> None:
    rows = table(mini_build)
    assert statistics.counts == rows.groupby(["content_type", "emotion", "split"]).size().to_dict()
    assert statistics.total.clips == len(rows) == 271
    assert statistics.groups == rows["group"].nunique()
    assert statistics.total.audible == rows["has_audio"].sum() == 116
    assert statistics.total.bytes == rows["size"].sum()
    assert statistics.licenses == rows["license"].value_counts().to_dict()
    assert statistics.emotion_sources == rows["emotion_source"].value_counts().to_dict()
    assert statistics.frame_sizes == rows.groupby(["width", "height"]).size().to_dict()
    assert statistics.refusals == ()


def test_distributions_are_those_of_pandas(mini_build: Path, statistics: Statistics) -> None:
    rows = table(mini_build)
    held = set(rows.groupby(["content_type", "emotion"]).groups)
    assert {key for key in statistics.profiles if "all" not in key} == held
    for (content_type, emotion), profile in statistics.profiles.items():
        part = rows
        part = part if content_type == "all" else part[part["content_type"] == content_type]
        part = part if emotion == "all" else part[part["emotion"] == emotion]
        assert profile.clips == len(part)
        assert profile.seconds == pytest.approx(part["duration"].sum())
        for name in ("brightness", "colorfulness", "luma", "colorfulness_m3", "duration", "size", "fps"):
            found, expected = getattr(profile, name), part[name].astype(float).describe()
            keys = ["count", "min", "25%", "50%", "75%", "max", "mean"]
            *values, deviation = found.summary().values()
            assert values == pytest.approx([expected[key] for key in keys])
            assert deviation == (None if len(part) == 1 else pytest.approx(expected["std"]))
            assert sum(found.bins) + found.beyond == len(part)


def test_hues_are_those_of_scipy(mini_build: Path, statistics: Statistics) -> None:
    rows = table(mini_build)
    for emotion in EMOTIONS:
        for name in ("hue", "hue_chroma"):
            degrees = rows[rows["emotion"] == emotion][name].to_numpy(float)
            hues = getattr(statistics.profiles["all", emotion], name)
            assert hues.mean == pytest.approx(scipy_stats.circmean(degrees, high=360))
            assert hues.concentration == pytest.approx(1 - scipy_stats.circvar(degrees, high=360))
            assert sum(hues.sectors) + hues.grey == len(degrees)


def test_hues_around_red_do_not_average_to_cyan() -> None:
    hues = Hues.of(np.array([355.0, 5.0, 358.0, 2.0]))
    assert min(hues.mean, 360 - hues.mean) < 1e-6
    assert hues.sectors[0] == 4 and sum(hues.sectors) == 4


def test_opposite_hues_have_no_mean_and_grey_clips_are_counted_apart() -> None:
    hues = Hues.of(np.array([90.0, 270.0, np.nan]))
    assert hues.mean is None and hues.concentration == pytest.approx(0, abs=1e-9) and hues.grey == 1


def test_a_ridge_covers_its_values_and_few_clips_have_none() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.02, 500)
    path = ridge(Distribution.of(values, 1.0))
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", path)]
    peak = min(points, key=lambda point: point[1])
    assert peak[1] == 0 and abs(peak[0] / 200 - 0.3) < 0.01
    assert all(height == 100 for place, height in points if place > 120)
    assert ridge(Distribution.of(values[:4], 1.0)) == ""


def test_areas_of_a_rose_are_in_proportion_to_clips() -> None:
    sectors = [0] * HUE_SECTORS
    sectors[0], sectors[6] = 9, 36
    drawn = rose(Hues(tuple(sectors), 0, None, None))
    radii = [float(re.search(r"A([\d.]+)", path)[1]) for path, _, _ in drawn]
    assert [(degrees, count) for _, degrees, count in drawn] == [(0, 9), (90, 36)]
    assert radii == [50, 100]


def test_metadata_at_odds_with_the_manifest_is_an_error(mini_build: Path, tmp_path: Path) -> None:
    folder = tmp_path / "EmoVid"
    shutil.copytree(mini_build / "metadata", folder / "metadata")
    shutil.copy(mini_build / "manifest.json", folder)
    shutil.copy(mini_build / "rejected.jsonl", folder)
    assert measure(folder).total.clips == 271  # no shard is needed
    shutil.copy(folder / "metadata/sticker/test.parquet", folder / "metadata/sticker/validation.parquet")
    with pytest.raises(ValueError, match="lists 267 clips and its manifest 271; `emovid verify`"):
        measure(folder)


def test_a_clip_has_the_papers_rounding_beside_the_exact_value(mini_build: Path, tmp_path: Path) -> None:
    written = write_report(mini_build, tmp_path / "page.html", clips=1, frames=1)
    shown = set(re.findall(r'<p class="what attributes">(.*?)</p>', written.path.read_text()))
    rows = table(mini_build).set_index("id")
    drawn = [key for keys in draw_clips(written.statistics, count=1, seed=0).values() for key in keys]
    for row in (rows.loc[key] for key in drawn):
        light, colour, hue = row["brightness"], row["colorfulness"], row["hue"]
        assert (
            f"brightness {light:.3f} ({light:.1f}), colorfulness {colour:.3f} ({colour:.1f}), "
            f"hue {hue:.2f}° ({round(hue) % 360}°)"
        ) in shown


# the pictures


def test_the_draw_is_the_seed_and_the_content_types_take_turns(statistics: Statistics) -> None:
    drawn = draw_clips(statistics, count=6, seed=0)
    assert drawn == draw_clips(statistics, count=6, seed=0) != draw_clips(statistics, count=6, seed=1)
    assert list(drawn) == list(EMOTIONS)
    assert [key.partition("-")[0] for key in drawn["awe"]] == [
        *("cartoon", "movie", "sticker"),
        *("cartoon", "movie", "sticker"),
    ]
    assert all(len(set(keys)) == 6 for keys in drawn.values())
    fewer = draw_clips(statistics, count=2, seed=0)
    assert all(drawn[emotion][:2] == keys for emotion, keys in fewer.items())


def test_a_picture_shows_the_frames_of_its_clip(mini_build: Path, statistics: Statistics) -> None:
    drawn = draw_clips(statistics, count=1, seed=0)
    sheets = contact_sheets(mini_build, drawn, frames=4)
    for emotion, (item,) in sheets.items():
        assert item.clip.emotion == emotion and item.clip.id == drawn[emotion][0]
        place = table(mini_build).set_index("id").loc[item.clip.id]
        with (mini_build / place["shard"]).open("rb") as shard:
            shard.seek(place["offset"])
            video = shard.read(place["size"])
        assert item.split == place["split"]
        picture = np.asarray(Image.open(io.BytesIO(item.picture)).convert("RGB")).astype(int)
        height, width = (item.height - 4) // 2, (item.width - 4) // 2
        frames = decode(video, frames=4, size=(height, width)).astype(int)
        for index, frame in enumerate(frames):
            row, column = divmod(index, 2)
            top, left = row * (height + 4), column * (width + 4)
            seen = picture[top : top + height, left : left + width]
            assert np.abs(seen - frame).mean() < 6, (emotion, index)


def test_only_the_drawn_clips_are_read(mini_build: Path, report: Path, tmp_path: Path) -> None:
    folder = tmp_path / mini_build.name
    shutil.copytree(mini_build, folder)
    drawn = {key for keys in draw_clips(measure(folder), count=3, seed=0).values() for key in keys}
    for row in table(folder).itertuples():
        if row.id not in drawn:
            with (folder / row.shard).open("r+b") as shard:
                shard.seek(row.offset)
                shard.write(bytes(row.size))
    page = tmp_path / "report.html"
    assert write_report(folder, page, clips=3).unshown == ()
    assert page.read_bytes() == report.read_bytes()


def test_a_damaged_clip_is_named_on_the_page_and_by_the_command(mini_build: Path, tmp_path: Path) -> None:
    folder, page = tmp_path / "EmoVid", tmp_path / "report.html"
    shutil.copytree(mini_build, folder)
    victim = draw_clips(measure(folder), count=1, seed=0)["fear"][0]
    place = table(folder).set_index("id").loc[victim]
    with (folder / place["shard"]).open("r+b") as shard:
        shard.seek(place["offset"] + 2000)
        shard.write(b"damage")
    result = CliRunner().invoke(
        program(), ["stats", str(folder), "--html", str(page), "--clips", "1", "--json"]
    )
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout.splitlines()[-1])["unshown"]
    assert problem["id"] == victim and "differs from its sha256" in problem["reason"]
    text = page.read_text(encoding="utf-8")
    assert text.count("cannot be shown:") == 1 and victim in text and text.count("<img ") == 7


def test_the_page_of_the_miniature_is_small_and_the_same_each_time(mini_build: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "a.html", tmp_path / "sub" / "b.html"]
    for page in pages:
        assert write_report(mini_build, page).size == page.stat().st_size < 6_000_000
    first, second = (hashlib.sha256(page.read_bytes()).hexdigest() for page in pages)
    assert first == second


# the command


def test_json_holds_the_numbers(mini_build: Path) -> None:
    result = CliRunner().invoke(program(), ["stats", str(mini_build), "--json"])
    assert result.exit_code == 0
    body = json.loads(result.stdout)
    rows = table(mini_build)
    assert body["clips"] == len(rows) and body["html"] is None and body["rejected"] == []
    counts = {(row["content_type"], row["emotion"], row["split"]): row["clips"] for row in body["counts"]}
    assert counts == rows.groupby(["content_type", "emotion", "split"]).size().to_dict()
    awe = next(row for row in body["profiles"] if (row["content_type"], row["emotion"]) == ("all", "awe"))
    assert awe["brightness"]["median"] == pytest.approx(rows[rows["emotion"] == "awe"]["brightness"].median())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "101"], "--clips is 101; it must be 0..100"),
        (["--frames", "0"], "--frames is 0; it must be 1..16"),
    ],
)
def test_a_wrong_number_is_one_line(
    mini_build: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    page = tmp_path / "report.html"
    result = CliRunner().invoke(program(), ["stats", str(mini_build), "--html", str(page), *arguments])
    assert isinstance(result.exception, ValueError) and str(result.exception) == message
    assert not page.exists()


def test_a_folder_as_page_and_a_folder_that_is_no_build(mini_build: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder; it must name a file"):
        write_report(mini_build, tmp_path)
    with pytest.raises(FileNotFoundError, match="is not an EmoVid build"):
        measure(tmp_path)


# the colours


def channels(colour: str) -> np.ndarray:
    return np.array([int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)])


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.1."""
    bright = sorted(float(linear(channels(colour)) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A physiologically-based model for simulation of color
# vision deficiency", IEEE TVCG 15(6), 2009, severity 1.0.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_emotions_differ_to_colour_blind_eyes(deficiency: str, mode: int) -> None:
    rgb = np.stack([linear(channels(PALETTE[emotion][mode])) for emotion in EMOTIONS])
    seen = np.clip(rgb @ DEFICIENCIES[deficiency].T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]
    first, second = np.triu_indices(len(EMOTIONS), 1)
    assert deltaE_ciede2000(lab[first], lab[second]).min() > 12


def test_an_emotion_has_nearly_one_colour_on_light_and_dark_pages() -> None:
    for name, pair in PALETTE.items():
        light, dark = (360 * colorsys.rgb_to_hsv(*channels(colour))[0] for colour in pair)
        assert abs((light - dark + 180) % 360 - 180) <= 12, name
        assert deltaE_ciede2000(*(rgb2lab(channels(colour)) for colour in pair)) < 30, name


# the page in a browser


def opened(browser: Any, page: Path, *, width: int = 1440, mode: str = "light") -> tuple[Any, list[str]]:
    """The page, and what its console said and what it asked for beside itself."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=mode)
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on("request", lambda request: heard.append(request.url))
    tab.goto(page.as_uri())
    # on a phone the sections are folded
    tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    heard.remove(page.as_uri())
    return tab, [line for line in heard if not line.startswith("data:")]


FITS = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const out = [...document.querySelectorAll('header *, main *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5) && !element.closest('.hidden');
  });
  const full = [...document.querySelectorAll('.panel, th, td, dd, li, nav')].filter(
    element => element.scrollWidth > element.clientWidth + 1 && !element.querySelector('.hidden'));
  return [wide, [...out, ...full].map(element => element.outerHTML.slice(0, 120))];
}"""
"""How far the page is wider than the window, and the elements that stick out of it or of their box."""


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_the_page_fits_is_quiet_and_loads_nothing(browser: Any, report: Path, width: int, mode: str) -> None:
    tab, heard = opened(browser, report, width=width, mode=mode)
    assert heard == []
    assert tab.evaluate(FITS) == [0, []]
    pictures = tab.evaluate("[...document.images].map(image => [image.naturalWidth, image.alt.length])")
    assert len(pictures) == 24 and all(size > 0 and words > 20 for size, words in pictures)
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_the_page_shows_the_numbers_of_the_metadata(browser: Any, report: Path, mini_build: Path) -> None:
    tab, _ = opened(browser, report)
    rows = table(mini_build)
    for name in ("all", "cartoon", "movie", "sticker"):
        part = rows if name == "all" else rows[rows["content_type"] == name]
        cells = tab.evaluate(
            """name => [...document.querySelectorAll(`[data-content-type=${name}] tbody tr`)].map(
                 row => [...row.cells].map(cell => cell.innerText.trim()))""",
            name,
        )
        expected = []
        for emotion in (*EMOTIONS, "all"):
            these = part if emotion == "all" else part[part["emotion"] == emotion]
            numbers = [int((these["split"] == split).sum()) for split in SPLITS]
            expected.append([emotion, *map(str, numbers), str(len(these))])
        assert cells == expected
        tab.click(f".scopes label:has(#scope-{name})")
        for attribute in ("brightness", "colorfulness", "luma"):
            shown = tab.evaluate(
                """([scope, title]) => [...document.querySelectorAll(
                     `[data-scope=${scope}] [data-name=${title}] tbody tr`)].map(row => ({
                       emotion: row.cells[0].innerText.trim(),
                       text: row.cells[2].innerText,
                       numbers: [...row.querySelectorAll('data')].map(item => Number(item.value)),
                       clips: (row.querySelector('svg')?.ariaLabel ?? '').match(/: (\\d+) clips/)?.[1]
                     }))""",
                [name, attribute.capitalize()],
            )
            assert [row["emotion"] for row in shown] == list(EMOTIONS)
            for row in shown:
                values = part[part["emotion"] == row["emotion"]][attribute]
                if len(values):
                    quartiles = [values.quantile(share) for share in (0.5, 0.25, 0.75)]
                    assert row["numbers"] == pytest.approx(quartiles)
                    assert row["text"] == f"{values.median():.2f}" and row["clips"] == str(len(values))
                else:
                    assert row["numbers"] == [] and row["text"] == "no clips"
    totals = {
        key: tab.evaluate(f"Number(document.getElementById('{key}').value)") for key in ("clips", "audible")
    }
    assert totals == {"clips": len(rows), "audible": int(rows["has_audio"].sum())}
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_marks_stand_where_their_values_are(browser: Any, report: Path, statistics: Statistics) -> None:
    tab, _ = opened(browser, report)
    places = tab.evaluate(
        """() => [...document.querySelectorAll(
             '[data-scope=all] [data-name=Colorfulness] tbody svg')].map(plot => {
             const whole = plot.getBoundingClientRect();
             const box = plot.querySelector('.box').getBBox();
             const dot = plot.querySelector('.median').getScreenCTM().a *
               plot.querySelector('.median').getPointAtLength(0).x / whole.width;
             return [dot, box.x / 200, (box.x + box.width) / 200];
           })"""
    )
    for emotion, place in zip(EMOTIONS, places, strict=True):
        spread = statistics.profiles["all", emotion].colorfulness
        values = [spread.median, spread.lower_quartile, spread.upper_quartile]
        assert place == pytest.approx([value / spread.high for value in values], abs=1e-3)
    widths = tab.evaluate(
        "[...document.querySelectorAll('#clips-by .bars:not(.mix) .bar')].map(bar => "
        "[...bar.children].reduce((sum, part) => sum + part.getBoundingClientRect().width, 0))"
    )
    clips = [statistics.profiles["all", emotion].clips for emotion in EMOTIONS]
    assert np.array(widths) / max(widths) == pytest.approx(np.array(clips) / max(clips), abs=0.02)
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_one_content_type_is_looked_at_at_a_time(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report, width=390)
    shown = """[...document.querySelectorAll('.scope')].filter(part => part.offsetHeight).map(
        part => part.dataset.scope)"""
    assert tab.evaluate(shown) == ["all"]
    tab.focus("#scope-all")
    for name in ("cartoon", "movie", "sticker"):
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate(shown) == [name]
        assert tab.evaluate(FITS) == [0, []]
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_clips_are_searched_and_play_and_a_phone_folds_the_page(browser: Any, report: Path) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.goto(report.as_uri())
    assert tab.evaluate("[...document.querySelectorAll('details')].filter(part => part.open).length") == 1
    assert not tab.is_visible("#sheets .lead")
    tab.click("nav a[href='#sheets']")
    assert tab.is_visible("#sheets .lead")
    tab.set_viewport_size({"width": 1280, "height": 900})
    assert tab.evaluate("[...document.querySelectorAll('details')].every(part => part.open)")
    caption = tab.inner_text(".gallery li p")
    tab.fill(".search input", caption.upper())
    shown = tab.evaluate(
        "[...document.querySelectorAll('.gallery li')].filter(clip => clip.offsetParent).length"
    )
    assert 1 <= shown < 24
    assert tab.inner_text(".search output") == f"{shown} clip{'s' * (shown > 1)}"
    film = ".gallery li:not([hidden]) .film"
    assert not tab.is_visible(film)
    tab.hover(".sheet:not([hidden]) .gallery li:not([hidden]) .shown")
    assert tab.is_visible(film)
    source = tab.evaluate("film => getComputedStyle(document.querySelector(film)).backgroundImage", film)
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2].rstrip('")'))))
    assert picture.is_animated and 2 <= picture.n_frames <= 16
    tab.fill(".search input", "no such words")
    assert tab.inner_text(".search output") == "0 clips"
    tab.close()


TABLES_INSIDE = """() => [...document.querySelectorAll('.panel table')].filter(table => {
  const panel = table.closest('.panel').getBoundingClientRect(), right = panel.right - 10;
  return table.getClientRects().length && [table, ...table.querySelectorAll('th, td')].some(
    part => part.getBoundingClientRect().right > right);
}).map(table => table.className + table.id)"""


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [320, 390, 1000, 1280, 1440])
def test_names_stand_beside_their_dots_and_tables_within_their_cards(
    browser: Any, report: Path, width: int
) -> None:
    tab, _ = opened(browser, report, width=width)
    assert tab.evaluate(NAMES_AMISS) == []
    assert tab.evaluate("document.querySelectorAll('.named').length") > 8
    assert tab.evaluate(TABLES_INSIDE) == []
    tab.close()


def test_one_outlier_leaves_the_axis_to_the_others() -> None:
    usual = np.linspace(2, 6, 40)
    assert _end_of_axis(np.append(usual, 900.0)) < 20
    assert _end_of_axis(np.full(9, 4.0)) == 4.0
    assert _end_of_axis(np.append(np.full(9, 4.0), 900.0)) == 12.0
    assert _end_of_axis(usual) == pytest.approx(np.percentile(usual, 99))


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_words_and_marks_stand_out_from_the_page(browser: Any, report: Path, mode: str) -> None:
    tab, _ = opened(browser, report, mode=mode)
    emotions = [f"emotion-{emotion}" for emotion in EMOTIONS]
    names = ["page", "panel", "ink", "soft", "link", "neutral", *emotions]
    colours = tab.evaluate(
        """names => Object.fromEntries(names.map(name =>
             [name, getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()]))""",
        names,
    )
    assert {emotion: colours[f"emotion-{emotion}"] for emotion in EMOTIONS} == {
        emotion: pair[mode == "dark"] for emotion, pair in PALETTE.items()
    }
    for ground in ("page", "panel"):
        for name in ("ink", "soft", "link"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in ("neutral", *emotions):
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_the_page_speaks_to_a_screen_reader(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report)
    assert tab.evaluate("document.documentElement.lang") == "en"
    levels = tab.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(title => Number(title.tagName[1]))"
    )
    assert levels.count(1) == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
    without = tab.evaluate(
        """() => [...document.querySelectorAll(`
             svg:not([aria-label]), img:not([alt]), table:not(:has(thead th[scope=col])),
             tbody tr:not(:has(th[scope=row])), section:not([aria-labelledby])
           `)].map(item => item.outerHTML.slice(0, 99))"""
    )
    assert without == []
    tab.close()


@pytest.mark.browser
@needs_chromium
def test_words_of_the_sheet_cannot_become_markup(
    browser: Any, odd_builds: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    statistics = write_report(odd_builds["hostile"], page).statistics
    assert len(statistics.refusals) == read_manifest(odd_builds["hostile"]).rejected == 321
    tab, heard = opened(browser, page, width=390)
    assert heard == []
    assert tab.title() == "EmoVid: what is in this build"
    assert (
        tab.evaluate("document.querySelectorAll('iframe, [onerror], img:not([src^=\"data:\"])').length") == 0
    )
    assert tab.evaluate("[...document.scripts].map(script => script.textContent)") == [
        PAGE_SCRIPT.read_text()
    ]
    assert tab.evaluate("document.querySelectorAll('style').length") == 1
    assert tab.inner_text(".gallery li p") == SCRIPT + IMAGE
    assert tab.get_attribute(".gallery img", "alt").endswith(SCRIPT + IMAGE)
    assert tab.inner_text("#licenses tbody th") == IMAGE
    assert tab.inner_text(".refused tbody tr:nth-child(1)").split("\n") == [
        "2",
        SCRIPT,
        "does not exist below the raw folder, beside the sheet or in the working directory",
    ]
    assert tab.evaluate("document.querySelectorAll('.refused tbody tr').length") == 300
    assert "321 rows of the label sheet" in tab.inner_text("#refusals")
    assert "The first 300 are listed here, all of them in rejected.jsonl." in tab.inner_text("#refusals")
    assert tab.evaluate(FITS) == [0, []]
    tab.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_the_numbers_of_a_large_build_fit(browser: Any, large_report: Path, width: int) -> None:
    tab, heard = opened(browser, large_report, width=width)
    assert heard == [] and tab.evaluate(FITS) == [0, []]
    assert tab.inner_text("#clips") == "27,100"
    assert tab.evaluate("document.querySelectorAll('.ridges .clips').length") < 20  # too many for ticks
    tab.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("name", ["one", "narrow", "grey"])
def test_odd_builds_have_a_whole_page(
    browser: Any, odd_builds: dict[str, Path], tmp_path: Path, name: str
) -> None:
    page = tmp_path / "report.html"
    statistics = write_report(odd_builds[name], page).statistics
    tab, heard = opened(browser, page, width=390)
    assert heard == [] and tab.evaluate(FITS) == [0, []]
    assert "Nothing was refused" in tab.inner_text("#refusals")
    assert tab.evaluate("document.querySelectorAll('.counts').length") == 1
    held = statistics.content_types[0]
    missing = {"sticker": "cartoon, movie", "movie": "cartoon, sticker"}[held]
    assert f"No clips: {missing}." in tab.inner_text("#clips-by .lead")
    assert tab.evaluate("document.querySelectorAll('.scopes').length") == 0
    assert tab.is_visible(f"[data-scope={held}] [data-name=Brightness]")
    grey = tab.inner_text(f"[data-scope={held}] [data-hue=hue_chroma] [data-emotion=all] .note")
    in_paper = tab.inner_text(f"[data-scope={held}] [data-hue=hue] [data-emotion=all] .note")
    assert tab.evaluate("document.images.length") == statistics.total.clips
    if name == "grey":
        assert grey == "6 grey"
        assert tab.evaluate("document.querySelectorAll('[data-hue=hue_chroma] .rose path').length") == 0
        assert in_paper.startswith("mean 0°, R 1.00") and in_paper.endswith("0 without a hue")
        assert "nan" not in tab.inner_text("body").lower()
    if name == "one":
        assert "1 video clip (sticker)" in tab.inner_text(".top .lead")
        assert "by its word all are from a model" in tab.inner_text(".top .lead").replace("\n", " ")
        assert grey.endswith("outer ring 1 of 1\n0 grey")
    tab.close()


@pytest.mark.parametrize(
    ("known", "held", "missing"),
    [
        (CONTENT_TYPES, ["sticker"], ["cartoon", "movie"]),
        ((*CONTENT_TYPES, "vlog"), ["vlog"], []),
        ((*CONTENT_TYPES, "vlog"), ["movie", "vlog"], []),
        (("game", "vlog"), ["game"], ["vlog"]),
    ],
)
def test_a_build_of_own_content_types_lacks_none_of_emovids(
    known: tuple[str, ...], held: list[str], missing: list[str]
) -> None:
    assert _missing(known, held) == missing
