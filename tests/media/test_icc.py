"""Pictures with an ICC profile, and Dolby Vision: shown in sRGB, or refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms
from video_files import numbered_frames, write_video

from emovid_dataset.media.attributes import measure
from emovid_dataset.media.compare import MadeClip, check_faithful
from emovid_dataset.media.conforming import misfit_of
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode
from emovid_dataset.media.portable.dolby_vision import needs_dolby_vision
from emovid_dataset.media.source import Reader, VideoError

P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
D65, D50 = (0.3127, 0.3290), np.array([0.9642, 1, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
GAMMA = 2.2
CELLS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
SIDE = 16


def to_xyz(point: tuple[float, float]) -> np.ndarray:
    x, y = point
    return np.array([x / y, 1, (1 - x - y) / y])


def primaries(points: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.stack([to_xyz(point) for point in points], axis=1)
    return np.asarray(columns * np.linalg.solve(columns, to_xyz(D65)))


def profile(columns: np.ndarray | None) -> bytes:
    """An ICC profile, version 2, of primaries as XYZ and a gamma; of grey without primaries."""

    def numbers(values: np.ndarray) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(GAMMA * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78 + 3)
    tags = [
        (b"desc", name),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + numbers(D50)),
    ]
    if columns is None:
        tags.append((b"kTRC", curve))
    else:
        adapt = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / (BRADFORD @ to_xyz(D65))) @ BRADFORD
        for letter, column in zip((b"r", b"g", b"b"), (adapt @ columns).T, strict=True):
            tags += [(letter + b"XYZ", b"XYZ \0\0\0\0" + numbers(column)), (letter + b"TRC", curve)]
    table, data = struct.pack(">I", len(tags)), b""
    for kind, content in tags:
        content += bytes(-len(content) % 4)
        table += kind + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content
    space = b"GRAY" if columns is None else b"RGB "
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + numbers(D50)
    return head.ljust(128, b"\0") + table + data


def in_srgb(levels: np.ndarray, columns: np.ndarray) -> np.ndarray:
    light = (levels / 255) ** GAMMA @ (np.linalg.inv(primaries(SRGB)) @ columns).T
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def large(cells: np.ndarray) -> Image.Image:
    return Image.fromarray(np.repeat(np.repeat(cells, SIDE, 0), SIDE, 1))


def middles(picture: np.ndarray) -> np.ndarray:
    return picture[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].astype(float)


def write(path: Path, icc: bytes, mode: str = "RGB") -> Path:
    """Three pictures, each a row of cells further down."""
    first, *others = (large(np.roll(CELLS, shift, axis=0)).convert(mode) for shift in range(3))
    if path.suffix == ".mov":
        jpeg = io.BytesIO()
        first.save(jpeg, "JPEG", quality=98, subsampling=0, icc_profile=icc)
        with av.open(str(path), "w") as sink:
            stream = sink.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuvj444p"
            for index in range(2):
                packet = av.Packet(jpeg.getvalue())
                packet.stream, packet.pts, packet.dts, packet.is_keyframe = (
                    stream,
                    512 * index,
                    512 * index,
                    True,
                )
                sink.mux(packet)
        return path
    options = {} if path.suffix == ".png" else {"save_all": True, "append_images": others, "duration": 100}
    if path.suffix == ".webp":
        options["lossless"] = True
    first.save(path, icc_profile=icc, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".apng", ".webp", ".mov"])
def test_a_profile_says_what_the_numbers_mean(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", profile(primaries(P3)))
    pictures = decode(path)
    wanted = [in_srgb(np.roll(CELLS, shift, axis=0), primaries(P3)) for shift in range(3)]
    assert np.abs(wanted[0] - CELLS).max() > 50
    if suffix == ".mov":
        wanted = wanted[:1] * 2
    for picture, colours in zip(pictures, wanted, strict=False):
        assert np.abs(middles(picture) - colours).max() <= 2
    assert np.array_equal(decode(path, frames=lambda count: [count - 1])[0], pictures[-1])
    with Reader(path) as reader:
        encoded = transcode(reader, tmp_path / "made.mp4", crf=1)
        with MadeClip(tmp_path / "made.mp4") as made:
            check_faithful(reader, made, start=None, end=None)
    assert encoded.colours == "icc profile -> bt709"
    assert np.abs(middles(decode(tmp_path / "made.mp4")[0]) - wanted[0]).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".apng", ".webp"])
def test_the_profile_of_srgb_changes_nothing(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(middles(decode(path)[0]), CELLS)
    with Reader(path) as reader:
        assert transcode(reader, tmp_path / "made.mp4").colours is None


def test_a_profile_of_grey_is_read_and_others_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", profile(None), "L")
    grey = np.asarray(large(CELLS).convert("L"))
    assert (
        np.abs(
            middles(decode(path)[0]) - in_srgb(middles(grey)[..., None].repeat(3, 2), primaries(SRGB))
        ).max()
        <= 2
    )
    for icc, reason in (
        (profile(primaries(P3)).replace(b"RGB XYZ ", b"CMYKXYZ "), "has an ICC profile"),
        (b"no profile at all" * 20, "has an ICC profile that cannot be read"),
    ):
        with pytest.raises(VideoError, match=reason):
            decode(write(tmp_path / "b.png", icc))


@pytest.mark.parametrize("kind", [b"prof", b"rICC"])
@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [("libx264", "yuv420p", ".mp4"), ("libx264", "yuv444p", ".mov"), ("png", "rgb24", ".mov")],
)
def test_a_profile_in_the_box_of_colours(
    kind: bytes, codec: str, pixels: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    picture = av.VideoFrame.from_ndarray(np.asarray(large(CELLS)), "rgb24").reformat(format=pixels)
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=25, options={"crf": "1"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pixels
        for index in range(3):
            picture.pts = index
            sink.mux(stream.encode(picture))
        sink.mux(stream.encode(None))
    box = kind + profile(primaries(P3))
    with_box(path, b"colr", box, b"avc1" if codec == "libx264" else b"png ")
    wanted = in_srgb(CELLS, primaries(P3))
    assert np.abs(middles(decode(path)[0]) - wanted).max() <= 3
    content = path.read_bytes()
    assert np.abs(middles(decode(content, frames=lambda count: [count - 1])[0]) - wanted).max() <= 3
    with Reader(path) as reader:
        misfit = misfit_of(reader)
        assert misfit.file is not None and misfit.pictures is not None
        assert not measure(reader)[1]
        assert transcode(reader, tmp_path / "made.mp4", crf=1).colours == "icc profile -> bt709"
    assert np.abs(middles(decode(tmp_path / "made.mp4")[0]) - wanted).max() <= 4


def record(profile_number: int, compatible_with: int) -> bytes:
    """What a container says of Dolby Vision: level 6, with RPU and base layer."""
    bits = profile_number << 9 | 6 << 3 | 0b101
    return bytes([1, 0]) + struct.pack(">HB", bits, compatible_with << 4) + bytes(19)


def with_box(path: Path, kind: bytes, content: bytes, entry: bytes = b"avc1") -> Path:
    """Put a box into the only sample entry of an MP4 whose index stands last."""
    data = path.read_bytes()
    box = struct.pack(">I4s", 8 + len(content), kind) + content
    index = data.index(b"moov")  # not the brand of the same name as the sample entry
    kinds = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry)
    holders = [data.index(kind, index) - 4 for kind in kinds]
    end = holders[-1] + struct.unpack(">I", data[holders[-1] : holders[-1] + 4])[0]
    forged = bytearray(data[:end] + box + data[end:])
    for at in holders:
        size = struct.unpack(">I", forged[at : at + 4])[0]
        forged[at : at + 4] = struct.pack(">I", size + len(box))
    path.write_bytes(forged)
    return path


@pytest.mark.parametrize(("number", "compatible", "is_refused"), [(5, 0, True), (10, 0, True), (8, 1, False)])
def test_dolby_vision_without_a_base_layer_for_others_is_refused(
    number: int, compatible: int, is_refused: bool, tmp_path: Path
) -> None:
    plain = write_video(tmp_path / "a.mp4", numbered_frames(4), container={"movflags": "disable_chpl"})
    path = with_box(plain, b"dvcC", record(number, compatible))
    tracks = b"\x1a\x45\xdf\xa3" + b"\x41\xe4\xa0\x41\xe7\x84dvcC\x41\xed\x98" + record(number, compatible)
    assert needs_dolby_vision(io.BytesIO(tracks)) == is_refused
    if is_refused:
        with pytest.raises(VideoError, match="is in Dolby Vision"):
            decode(path)
    else:
        assert len(decode(path)) == 4
