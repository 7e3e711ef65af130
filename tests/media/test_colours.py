"""Colours as every reader sees them, against ffmpeg's zscale and the arithmetic of BT.2100.

A file holds eight flat patches, written as numbers that this test computes itself: colours of BT.709 in the
matrix, range, primaries and transfer of the case. Readers are compared in the middle of each patch.
"""

from __future__ import annotations

import colorsys
import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_files import rotate, stored_clips, write_sheet, write_video

from emovid_dataset import build, stream
from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode, sample_for_attributes
from emovid_dataset.media.portable.pixels import rgb
from emovid_dataset.media.source import Reader, VideoError

FFMPEG = shutil.which("ffmpeg")
COLOURS = np.array(
    [
        (40, 180, 60),
        (200, 60, 50),
        (60, 80, 200),
        (128, 128, 128),
        (220, 200, 90),
        (30, 30, 30),
        (190, 90, 170),
        (235, 235, 235),
    ],
    float,
)
ROWS, COLUMNS = 2, 4

WEIGHTS = {  # of red and blue in luma, by zscale's name of the matrix
    "709": (0.2126, 0.0722),
    "170m": (0.299, 0.114),
    "470bg": (0.299, 0.114),
    "7": (0.212, 0.087),
    "2020_ncl": (0.2627, 0.0593),
}
XY = {  # of red, green and blue, by zscale's name of the primaries; white is D65
    "709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "170m": ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    "470bg": ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    "2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "432": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
MATRICES = {"709": 1, "470bg": 5, "170m": 6, "7": 7, "2020_ncl": 9, "ycgco": 8, "2020_cl": 10, "ictcp": 14}
PRIMARIES = {"709": 1, "470bg": 5, "170m": 6, "2020": 9, "432": 12}
TRANSFERS = {"709": 1, "470bg": 5, "601": 6, "2020_10": 14, "2084": 16, "b67": 18}
ZSCALE = {"b67": "arib-std-b67", "2084": "smpte2084", "432": "smpte432", "470bg": "bt470bg"}


@dataclass(frozen=True)
class Space:
    """How the patches are written, and which of it the file says."""

    matrix: str = "709"
    primaries: str = "709"
    transfer: str = "709"
    full: bool = False
    pixels: str = "yuv420p"
    tagged: bool = True
    lines: int = 48
    codec: str = "ffv1"
    bits: int = 8


SDR = {
    "bt709": Space(),
    "bt709 full": Space(full=True),
    "bt709 yuvj": Space(full=True, pixels="yuvj420p", codec="libx264"),
    "bt601-525": Space("170m", "170m", "601"),
    "bt601-625": Space("470bg", "470bg", "601"),
    "bt601-625 gamma 2.8": Space("470bg", "470bg", "470bg"),
    "bt601 full": Space("170m", "709", "601", full=True, pixels="yuv444p"),
    "bt2020": Space("2020_ncl", "2020", "2020_10", pixels="yuv420p10le", bits=10),
    "bt2020 in 8 bits": Space("2020_ncl", "2020", "2020_10", codec="libx264"),
    "display-p3": Space("709", "432", "709", codec="libx264"),
    "smpte240m": Space("7", "709", "709"),
    "ycgco": Space("ycgco", pixels="yuv444p"),
    "ycgco full": Space("ycgco", full=True, pixels="yuv420p"),
    "untagged": Space("170m", tagged=False, codec="libx264"),
    "untagged full": Space("170m", tagged=False, full=True, pixels="yuvj422p", codec="mjpeg"),
    "untagged of 720 lines": Space("709", tagged=False, lines=720, codec="libx264"),
    "tagged BT.601 of 720 lines": Space("170m", "709", "601", lines=720, codec="libx264"),
}
HDR = {
    "hlg": Space("2020_ncl", "2020", "b67", pixels="yuv420p10le", bits=10),
    "hlg in 8 bits": Space("2020_ncl", "2020", "b67", codec="libx264"),
    "pq": Space("2020_ncl", "2020", "2084", pixels="yuv420p10le", bits=10),
    "pq full": Space("2020_ncl", "2020", "2084", full=True, pixels="yuv444p10le", bits=10),
    "ictcp pq": Space("ictcp", "2020", "2084", pixels="yuv444p10le", bits=10),
    "ictcp hlg": Space("ictcp", "2020", "b67", pixels="yuv420p10le", bits=10),
    "pq of 720 lines": Space("2020_ncl", "2020", "2084", pixels="yuv420p10le", bits=10, lines=720),
}


def to_xyz(primaries: str) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in XY[primaries]]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return np.asarray(columns * np.linalg.solve(columns, white))


def encoded(colours: np.ndarray, space: Space, peak: float = 203.0) -> np.ndarray:
    """BT.709's colours, 0..255, as the space codes red, green and blue, 0..1; its white has `peak` cd/m2."""
    light = (colours / 255) ** 2.4 @ (np.linalg.inv(to_xyz(space.primaries)) @ to_xyz("709")).T
    if space.transfer == "2084":
        power = np.clip(light * peak / 10000, 0, 1) ** (2610 / 16384)
        return np.asarray(((3424 + 2413 * 32 * power) / (4096 + 2392 * 32 * power)) ** (2523 / 32))
    if space.transfer == "b67":
        nits = np.clip(light * peak, 0, None)
        luminance = nits @ np.array([0.2627, 0.6780, 0.0593])
        # F_D = L_W * Y_S^(gamma - 1) * E, so that Y_D = L_W * Y_S^gamma
        scene = nits / 1000 * (np.maximum(luminance, 1e-9) / 1000)[..., None] ** ((1 - 1.2) / 1.2)
        upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper))
    return np.asarray(np.clip(light, 0, 1) ** (1 / (2.8 if space.transfer == "470bg" else 2.4)))


def constant_luminance(coded: np.ndarray) -> np.ndarray:
    """Luma and colour by BT.2020-2, table 4, of coded red, green and blue [n, 3]."""
    light = np.where(coded < 0.08145, coded / 4.5, ((coded + 0.0993) / 1.0993) ** (1 / 0.45))
    mixed = light @ np.array([0.2627, 0.6780, 0.0593])
    luma = np.where(mixed < 0.0181, 4.5 * mixed, 1.0993 * mixed**0.45 - 0.0993)
    blue, red = coded[:, 2] - luma, coded[:, 0] - luma
    blue = np.where(blue <= 0, blue / (2 * 0.9702), blue / (2 * 0.7910))
    red = np.where(red <= 0, red / (2 * 0.8591), red / (2 * 0.4969))
    return np.stack([luma, blue, red], axis=1)


def ictcp(coded: np.ndarray, transfer: str) -> np.ndarray:
    """ICtCp by BT.2100-2, table 7, of coded red, green and blue [n, 3]."""
    if transfer == "2084":
        power = coded ** (32 / 2523)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (16384 / 2610)
    else:
        upper = (np.exp((coded - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(coded <= 0.5, coded**2 / 3, upper)
    cones = light @ np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]).T / 4096
    if transfer == "2084":
        power = cones ** (2610 / 16384)
        cones = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)
        rows = [[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]
    else:
        upper = 0.17883277 * np.log(np.maximum(12 * cones - 0.28466892, 1e-9)) + 0.55991073
        cones = np.where(cones <= 1 / 12, np.sqrt(3 * cones), upper)
        rows = [[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]
    return np.asarray(cones @ np.array(rows).T / 4096)


def mixed(coded: np.ndarray, space: Space) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma of 0..1, blue and red of -0.5..0.5, by the space's matrix."""
    if space.matrix in WEIGHTS:
        red_weight, blue_weight = WEIGHTS[space.matrix]
        luma = coded @ np.array([red_weight, 1 - red_weight - blue_weight, blue_weight])
        blue = (coded[:, 2] - luma) / (2 - 2 * blue_weight)
        return luma, blue, (coded[:, 0] - luma) / (2 - 2 * red_weight)
    if space.matrix == "ycgco":
        rows = np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]])
        # in limited range made of whole levels, which reach over 219 of 255 for colour too
        rows[1:] *= 1 if space.full else 219 / 224
        planes = coded @ rows.T
    else:
        planes = constant_luminance(coded) if space.matrix == "2020_cl" else ictcp(coded, space.transfer)
    return planes[:, 0], planes[:, 1], planes[:, 2]


def patches(coded: np.ndarray, space: Space) -> av.VideoFrame:
    """Flat patches as a frame, from coded red, green and blue, by the space's matrix and range.

    Eight of them fill it; of more colours than that each patch is 16 pixels wide and high.
    """
    rows, columns = _grid(len(coded))
    luma, blue, red = mixed(coded, space)
    unit = 1 << (space.bits - 8)
    if space.full:
        top = (1 << space.bits) - 1
        levels = [luma * top, blue * top + 128 * unit, red * top + 128 * unit]
    else:
        levels = [(16 + 219 * luma) * unit, (128 + 224 * blue) * unit, (128 + 224 * red) * unit]
    frame = av.VideoFrame(space.lines * 4 // 3, space.lines, space.pixels)
    for plane, numbers in zip(frame.planes, levels, strict=False):
        kind = np.uint8 if space.bits == 8 else np.dtype("<u2")
        picture = np.asarray(memoryview(plane)).view(kind).reshape(plane.height, -1)
        grid = np.rint(numbers).astype(kind).reshape(rows, columns)
        tall, wide = plane.height // rows, plane.width // columns
        picture[:, : plane.width] = np.repeat(np.repeat(grid, tall, 0), wide, 1)
    for opaque in frame.planes[3:]:
        np.asarray(memoryview(opaque))[:] = 255
    return frame


def _grid(colours: int) -> tuple[int, int]:
    """Rows and columns of patches."""
    return (ROWS, COLUMNS) if colours == ROWS * COLUMNS else (24, 32)


def write(path: Path, space: Space, coded: np.ndarray) -> Path:
    """A file of these patches; of lossless codecs, or at their best."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as sink:
        stream: Any = sink.add_stream(space.codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = space.lines * 4 // 3, space.lines, space.pixels
        if space.codec == "libx264":
            stream.options = {"crf": "2", "preset": "veryfast", "threads": "1"}
        if space.codec == "libx265":
            stream.options = {
                "crf": "2",
                "preset": "veryfast",
                "threads": "1",
                "x265-params": "log-level=none",
            }
        context = stream.codec_context
        context.thread_count = 1
        context.color_range = 2 if space.full else 1
        if space.tagged:
            context.colorspace = MATRICES[space.matrix]
            context.color_primaries = PRIMARIES[space.primaries]
            context.color_trc = TRANSFERS[space.transfer]
        for index in range(8 if space.codec == "libx265" else 2):  # it has no times for fewer
            frame = patches(coded, space)
            frame.pts, frame.time_base = index, Fraction(1, 24)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def middles(picture: np.ndarray, colours: int = ROWS * COLUMNS) -> np.ndarray:
    """The patches' colours, float [colours, 3], of a picture [height, width, 3]."""
    rows, columns = _grid(colours)
    tall, wide = picture.shape[0] // rows, picture.shape[1] // columns
    return np.asarray(picture[tall // 2 :: tall, wide // 2 :: wide].reshape(-1, 3), float)


def by_zscale(path: Path, space: Space, colours: int = ROWS * COLUMNS) -> np.ndarray:
    """The patches as ffmpeg's zscale shows them in BT.709."""
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    source = (
        f"min={ZSCALE.get(space.matrix, space.matrix)}:pin={ZSCALE.get(space.primaries, space.primaries)}"
        f":tin={ZSCALE.get(space.transfer, space.transfer)}:rin={'full' if space.full else 'limited'}"
    )
    chain = f"zscale={source}:m=gbr:p=709:t=709:r=full,format=gbrp"
    command = [FFMPEG, "-v", "error", "-i", str(path), "-frames:v", "1", "-vf", chain]
    made = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True, timeout=60
    )
    return middles(np.frombuffer(made.stdout, np.uint8).reshape(space.lines, -1, 3), colours)


def whole(path: Path) -> np.ndarray:
    return middles(decode(path)[0])


def small(path: Path) -> np.ndarray:
    return middles(decode(path, size=(24, 32))[0])


def by_the_annotator(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return middles(rgb(next(film.decode(video=0))))


def for_attributes(path: Path) -> np.ndarray:
    with Reader(path) as reader:
        frame = next(iter(sample_for_attributes(reader, 1)))
    assert np.abs(middles(frame.reduced) - middles(np.stack(frame.planes, -1))).max() <= 3
    return middles(np.stack(frame.planes, axis=-1))


def stored(path: Path) -> np.ndarray:
    """The clip that a build makes, as a plain reader that knows no colours but the file's matrix sees it."""
    made = path.with_suffix(".made.mp4")
    with Reader(path) as reader:
        transcode(reader, made, crf=1)
    with Reader(made) as clip:
        assert nonconforming(clip) is None
    with av.open(str(made)) as film:
        frame = next(film.decode(video=0))
        matrix = None
        if frame.colorspace == 2:
            matrix = "ITU709" if frame.height >= 720 else "ITU601"
        plain = middles(frame.to_ndarray(format="rgb24", src_colorspace=matrix))
    assert np.abs(plain - whole(made)).max() <= 2
    return plain


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "decode": whole,
    "decode, small": small,
    "annotator": by_the_annotator,
    "attributes": for_attributes,
    "build": stored,
}
EXACT = {"decode": 2, "decode, small": 2, "annotator": 2, "attributes": 2, "build": 3}
"""Levels; what a build stores is rounded and encoded once more."""


@pytest.fixture(scope="module", params=[*SDR, *HDR])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Space]:
    space = {**SDR, **HDR}[request.param]
    path = tmp_path_factory.mktemp("colours") / "in.mkv"
    return request.param, write(path, space, encoded(COLOURS, space)), space


@pytest.mark.parametrize("reader", list(READERS))
def test_every_reader_sees_the_colours_that_were_meant(case: tuple[str, Path, Space], reader: str) -> None:
    name, path, space = case
    found = READERS[reader](path)
    if name in SDR:
        assert np.abs(found - by_zscale(path, space)).max() <= EXACT[reader], found
    else:
        assert np.abs(found - COLOURS).max() <= 6, found


@pytest.mark.parametrize(
    "space",
    [
        Space(lines=384),
        Space("170m", "709", "601", lines=384),
        Space(full=True, pixels="yuv422p", lines=384),
        Space(pixels="yuv444p10le", bits=10, lines=384),
        Space("7", "709", "709", pixels="yuva420p", lines=384),
    ],
    ids=["bt709", "bt601", "full", "ten bits", "transparent"],
)
def test_strong_colours_are_exact_at_full_size_too(space: Space, tmp_path: Path) -> None:
    """768 random ones; FFmpeg's quick path to RGB is 3 levels off for one in fifty of them."""
    random = np.random.default_rng(7)
    strong = random.uniform(0, 255, (9000, 3))
    strong = strong[np.ptp(strong, axis=1) > 120][:768]
    path = write(tmp_path / "in.mkv", space, strong / 255)
    wanted = by_zscale(path, space, len(strong))
    assert np.abs(wanted - strong).max() <= 4  # what eight bits of YUV keep of them
    with av.open(str(path)) as film:
        found = {"annotator": rgb(next(film.decode(video=0)))}
    with Reader(path) as reader:
        found["decode"] = decode(path)[0]
        found["attributes"] = np.stack(next(iter(sample_for_attributes(reader, 1))).planes, axis=-1)
    found["small"] = decode(path, size=(192, 256))[0]
    for name, picture in found.items():
        off = np.abs(middles(picture, len(strong)) - wanted)
        assert off.max() <= 1, (name, off.max())


def test_constant_luminance_shows_what_its_red_green_and_blue_are(tmp_path: Path) -> None:
    """zscale takes BT.2020's transfer for that of a camera there, and for that of a display elsewhere."""
    plain = Space("2020_ncl", "2020", "2020_10", pixels="yuv444p10le", bits=10)
    coded = encoded(COLOURS, plain)
    found = whole(write(tmp_path / "cl.mkv", replace(plain, matrix="2020_cl"), coded))
    assert np.abs(found - by_zscale(write(tmp_path / "ncl.mkv", plain, coded), plain)).max() <= 2


@pytest.mark.parametrize(
    ("number", "reason"),
    [(11, "has colours in SMPTE ST 2085, which is not read"), (15, "IPT-C2"), (14, "in ICtCp, but not the")],
)
def test_a_matrix_that_is_not_read_is_refused(number: int, reason: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as sink:
        stream: Any = sink.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.colorspace = number
        sink.mux([*stream.encode(patches(COLOURS / 255, Space(pixels="yuv444p"))), *stream.encode(None)])
    with pytest.raises(VideoError, match=reason):
        decode(tmp_path / "in.mkv")
    with Reader(tmp_path / "in.mkv") as reader, pytest.raises(VideoError, match=reason):
        transcode(reader, tmp_path / "out.mp4")


def test_a_matrix_that_players_do_not_know_does_not_conform(tmp_path: Path) -> None:
    space = Space("ycgco", codec="libx264")
    with Reader(write(tmp_path / "in.mp4", space, COLOURS / 255)) as reader:
        assert nonconforming(reader) == "colours beyond BT.709"
        assert transcode(reader, tmp_path / "out.mp4").colours == "ycgco -> bt709"


RGB_FILES: dict[str, tuple[str, str]] = {
    "qtrle": ("in.mov", "rgb24"),
    "ffv1": ("in.mkv", "bgr0"),
    "libx264rgb": ("in.mkv", "rgb24"),
    "png": ("in.mov", "rgb24"),
}


@pytest.mark.parametrize("lines", [48, 720])
@pytest.mark.parametrize("kind", [*RGB_FILES, "gif", "webp", "apng"])
def test_rgb_stays_what_it_is(kind: str, lines: int, tmp_path: Path) -> None:
    grid = COLOURS.astype(np.uint8).reshape(ROWS, COLUMNS, 3)
    picture = np.repeat(np.repeat(grid, lines // ROWS, 0), lines // 3, 1)
    if kind in RGB_FILES:
        name, pixels = RGB_FILES[kind]
        path = write_video(tmp_path / name, [picture] * 2, codec=kind, pixels=pixels)
    else:
        path = tmp_path / f"in.{kind}"
        pictures = [Image.fromarray(picture), Image.fromarray(np.roll(picture, 1, axis=0))]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    for name, reader in READERS.items():
        if name != "annotator" or kind != "webp":
            assert np.abs(reader(path) - COLOURS).max() <= EXACT[name], (name, reader(path))
    with av.open(str(path.with_suffix(".made.mp4"))) as film:
        frame = next(film.decode(video=0))
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc)
    # players know BT.601 by the size; from 720 lines on not all of them go by it
    assert tags == ((1, 1, 1) if lines == 720 else (2, 2, 2))


@pytest.mark.parametrize(
    "space",
    [
        Space("2020_ncl", "2020", "b67", codec="libx264"),
        Space("709", "709", "2084", codec="libx264"),
        Space("2020_ncl", "2020", "2020_10", codec="libx264"),
    ],
)
def test_what_is_beyond_bt709_does_not_conform_in_eight_bits_either(space: Space, tmp_path: Path) -> None:
    with Reader(write(tmp_path / "in.mp4", space, encoded(COLOURS, space))) as reader:
        assert nonconforming(reader) == "colours beyond BT.709"
    plain = Space("170m", "170m", "601", codec="libx264")
    with Reader(write(tmp_path / "plain.mp4", plain, encoded(COLOURS, plain))) as reader:
        assert nonconforming(reader) is None


def test_a_turned_film_in_hdr_is_both_turned_and_mapped(tmp_path: Path) -> None:
    space = replace(HDR["hlg in 8 bits"], lines=720)
    path = rotate(write(tmp_path / "phone.mp4", space, encoded(COLOURS, space)), 180)
    with Reader(path) as reader:
        assert transcode(reader, tmp_path / "made.mp4").colours == "hdr-hlg -> bt709"
    for film in (path, tmp_path / "made.mp4"):
        assert np.abs(middles(decode(film, size=(48, 64))[0]) - COLOURS[::-1]).max() <= 8


def test_highlights_roll_off_and_keep_their_hue(tmp_path: Path) -> None:
    """Whites of 100 to 1,000 cd/m2, and orange up to that."""
    white = np.array([[255.0, 255, 255]])
    orange = np.array([[255.0, 128, 40]])
    for transfer in ("b67", "2084"):
        space = Space("2020_ncl", "2020", transfer, pixels="yuv444p10le", bits=10)
        coded = np.concatenate(
            [encoded(white, space, peak) for peak in (100, 203, 400, 950)]
            + [encoded(orange, space, peak) for peak in (203, 400, 600, 900)]
        )
        found = whole(write(tmp_path / f"{transfer}.mkv", space, coded))
        assert np.ptp(found[:4], axis=1).max() <= 1  # grey is grey
        below, paper, bright, brightest = found[:4, 1]
        assert abs(below - 255 * (100 / 203) ** (1 / 2.4)) <= 2
        assert 249 <= paper < bright < brightest <= 255
        hues = [colorsys.rgb_to_hsv(*(colour / 255))[0] * 360 for colour in found[4:]]
        assert np.ptp(hues) <= 2 and abs(hues[0] - 25) <= 2, hues
        assert (np.diff(found[4:, 0]) >= 0).all() and found[-1, 2] < 60


def test_white_and_black_of_sdr_are_not_touched(tmp_path: Path) -> None:
    for primaries, matrix in (("2020", "2020_ncl"), ("170m", "170m")):
        space = Space(matrix, primaries, "709", pixels="yuv444p")
        coded = np.repeat([[0.0] * 3, [1.0] * 3], 4, axis=0)
        found = whole(write(tmp_path / f"{primaries}.mkv", space, coded))
        assert found[:4].max() == 0 and found[4:].min() == 255


def test_a_build_stores_colours_that_every_reader_shows_and_says_what_was_done(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    phone = Space("2020_ncl", "2020", "b67", pixels="yuv420p10le", bits=10, codec="libx265")
    done = {
        "phone.mp4": (phone, "hdr-hlg -> bt709"),
        "hlg8.mp4": (replace(phone, pixels="yuv420p", bits=8, codec="libx264"), "hdr-hlg -> bt709"),
        "pq.mkv": (replace(phone, transfer="2084", codec="ffv1"), "hdr-pq -> bt709"),
        "wide.mp4": (Space("2020_ncl", "2020", "2020_10", codec="libx264"), "bt2020 -> bt709"),
        "tape.mkv": (Space("170m", "170m", "601"), "bt601-525 -> bt709"),
        "full.mp4": (Space(full=True, pixels="yuvj420p", codec="libx264"), "bt709 full -> limited"),
        "plain.mp4": (Space(codec="libx264"), None),
        "plain.mkv": (Space("170m", tagged=False), None),
        "noted.mkv": (replace(phone, transfer="2084", codec="ffv1"), "graded by hand; hdr-pq -> bt709"),
    }
    rows = []
    for name, (space, _) in done.items():
        write(raw / name, space, encoded(COLOURS if name != "noted.mkv" else COLOURS[::-1], space))
        note = "graded by hand" if name == "noted.mkv" else ""
        row = {"path": name, "emotion": "awe", "content_type": "movie", "group": "one", "color": note}
        rows.append(row)
    report = build(raw, write_sheet(tmp_path, rows), tmp_path / "out", engine="serial")
    assert not report.rejections
    clips = stored_clips(tmp_path / "out")
    assert {source: fields["color"] for source, (fields, _) in clips.items()} == {
        name: said for name, (_, said) in done.items()
    }
    streamed = {clip["id"]: clip for clip in stream(tmp_path / "out", frames=1, size=(24, 32))}
    brightness = float(COLOURS.max(axis=1).mean() / 255)
    for source, (fields, data) in clips.items():
        wanted = COLOURS if source != "noted.mkv" else COLOURS[::-1]
        with av.open(io.BytesIO(data)) as film:
            frame = next(film.decode(video=0))
        tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        said = fields["color"] or ""
        if said.endswith("-> bt709"):
            assert tags == (1, 1, 1, 1)
        plain = middles(frame.to_ndarray(format="rgb24"))
        assert np.abs(plain - wanted).max() <= (14 if source == "tape.mkv" else 8), (source, plain)
        video = streamed[fields["id"]]["video"]
        shown = middles(video[0].movedim(0, -1).numpy())
        assert np.abs(shown - plain).max() <= 3, source
        assert fields["brightness"] == pytest.approx(brightness, abs=0.02)


@pytest.mark.parametrize(("tagged", "full"), [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("pixels", ["gray", "gray10le"])
def test_monochrome_is_grey_in_its_own_range(pixels: str, tagged: bool, full: bool, tmp_path: Path) -> None:
    levels = np.array([16, 40, 80, 128, 180, 235])
    stored = np.repeat(np.repeat(levels[None], 48, 0), 16, 1)
    frame = av.VideoFrame.from_ndarray(
        (stored * 4).astype(np.uint16) if pixels == "gray10le" else stored.astype(np.uint8), pixels
    )
    path = tmp_path / "raw" / "movie" / "a.mp4"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as sink:
        made = sink.add_stream("libx264", rate=25, options={"crf": "1"})
        if tagged:
            made.codec_context.color_range = frame.color_range = 2 if full else 1
        made.width, made.height, made.pix_fmt = stored.shape[1], stored.shape[0], pixels
        for index in range(6):
            frame.pts = index
            sink.mux(made.encode(frame))
        sink.mux(made.encode(None))
    shown = levels if full else np.rint((levels - 16) * (255 / 219))
    sheet = write_sheet(tmp_path, [{"path": "movie/a.mp4", "emotion": "awe"}])
    build(tmp_path / "raw", labels=sheet, out=tmp_path / "out", workers=1)
    ((fields, content),) = stored_clips(tmp_path / "out").values()
    for source in (path, content):
        grey = decode(source)[0][24, 8::16].astype(int)
        assert np.abs(grey - shown[:, None]).max() <= 2, source
    assert fields["hue_chroma"] is None and fields["colorfulness"] < 0.01
