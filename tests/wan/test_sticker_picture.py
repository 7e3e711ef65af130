"""The picture of a sticker: every kind is read as it looks, nothing is stretched, the background is right."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emovid_models.remote.sticker.picture import (
    COLOURS,
    choose_colour,
    frame_shape,
    prepare,
    read_picture,
)

SIDE = 40
YELLOW = (255, 204, 77)


def disc(alpha: bool = True, ground: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """A yellow disc that is bluer on the left, so that it is seen which way up it is."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.hypot(x - 19.5, y - 19.5) < 15
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[..., :3] = ground
    pixels[inside, :3] = YELLOW
    pixels[inside & (x < 12), :3] = (40, 80, 200)
    pixels[..., 3] = np.where(inside, 255, 0) if alpha else 255
    return Image.fromarray(pixels) if alpha else Image.fromarray(pixels[..., :3])


def look(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGBA"), np.int16)


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True}), ("a.tiff", {})])
def test_transparency_is_read_as_it_is(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    disc().save(tmp_path / name, **options)
    read, shown = look(read_picture(tmp_path / name)), look(disc())
    assert (read[..., 3] == shown[..., 3]).all()
    assert (read == shown)[shown[..., 3] > 0].all()


def test_palettes_with_a_transparent_colour_and_a_gifs_first_frame(tmp_path: Path) -> None:
    shown = look(disc())
    disc().quantize(8).save(tmp_path / "palette.png")
    red = Image.new("RGBA", (SIDE, SIDE), "red")
    disc().save(tmp_path / "moving.gif", save_all=True, append_images=[red], duration=100, disposal=2)
    for name in ("palette.png", "moving.gif"):
        read = look(read_picture(tmp_path / name))
        assert (read[..., 3] == shown[..., 3]).all(), name
        assert np.abs(read - shown)[shown[..., 3] > 0].max() <= 2, name


def test_without_transparency_it_is_opaque(tmp_path: Path) -> None:
    opaque = disc(alpha=False)
    opaque.save(tmp_path / "a.jpg", quality=95)
    opaque.convert("L").save(tmp_path / "grey.png")
    opaque.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    opaque.convert("1").save(tmp_path / "bit.png")
    for name, wanted, off in (
        ("a.jpg", opaque, 8),
        ("grey.png", opaque.convert("L"), 0),
        ("cmyk.jpg", opaque, 8),
        ("bit.png", opaque.convert("1"), 0),
    ):
        read = look(read_picture(tmp_path / name))
        assert (read[..., 3] == 255).all(), name
        assert np.abs(read - look(wanted)).mean() <= off, name


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "grey16.png")
    read = look(read_picture(tmp_path / "grey16.png"))
    assert np.abs(read[..., 0] - ramp / 257).max() <= 0.5 + 1e-6
    assert (read[..., :3] == read[..., :1]).all() and (read[..., 3] == 255).all()

    # Pillow writes no RGB of 16 bits.
    colour = np.dstack([ramp, ramp.T, 65535 - ramp, np.where(ramp > 30000, 65535, 0).astype(np.uint16)])
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colour)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 16, 6, 0, 0, 0)
    (tmp_path / "rgba16.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    read = look(read_picture(tmp_path / "rgba16.png"))
    assert np.abs(read - colour / 257).max() <= 1


def test_grey_with_a_transparent_value_and_with_alpha(tmp_path: Path) -> None:
    grey = np.full((20, 20), 200, np.uint8)
    grey[:, :10] = 7
    Image.fromarray(grey).save(tmp_path / "key.png", transparency=7)
    Image.fromarray(np.dstack([grey, np.where(grey == 7, 0, 255).astype(np.uint8)])).save(tmp_path / "la.png")
    wide = grey.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "key16.png", transparency=7 * 257)
    for name in ("key.png", "la.png", "key16.png"):
        read = look(read_picture(tmp_path / name))
        assert (read[:, :10, 3] == 0).all() and (read[:, 10:] == [200, 200, 200, 255]).all(), name


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = disc(alpha=False)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert (look(read_picture(tmp_path / "turned.png")) == look(upright)).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (6000, 4500), (20000, 20)])
def test_tiny_huge_and_thin_pictures_fit_into_the_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, YELLOW).save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png")
    assert max(image.size) <= 2048
    found = prepare(image, 64, 96)
    assert found.frame.shape == (64, 96, 3) and found.alpha.shape == (64, 96)
    assert not found.removes and found.alpha.any(), "there is nothing but its background"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no picture", "picture a.png is not an image that Pillow reads"),
        (b"", "picture a.png is not an image that Pillow reads"),
        ("cut", "picture a.png cannot be read: "),
        ("transparent", "picture a.png is wholly transparent"),
        ("bomb", "picture a.png has more than 89 million pixels"),
    ],
)
def test_a_wrong_picture_is_one_line(tmp_path: Path, content: bytes | str, message: str) -> None:
    path = tmp_path / "a.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "transparent":
        Image.new("RGBA", (8, 8)).save(path)
    elif content == "bomb":
        Image.new("1", (20000, 10000)).save(path)
    else:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_picture_is_padded_and_never_stretched() -> None:
    wide = Image.new("RGBA", (80, 40))
    wide.paste(disc(), (20, 0))
    found = prepare(wide, 64, 64)
    rows, columns = np.nonzero(found.alpha >= 128)
    # The disc is 30 of 80 pixels wide: 24 of the frame's 64.
    assert abs(np.ptp(rows) + 1 - 24) <= 1 and abs(np.ptp(columns) + 1 - 24) <= 1
    assert abs(rows.mean() - 31.5) <= 1 and abs(columns.mean() - 31.5) <= 1
    assert (found.frame[found.alpha == 0] == found.colour).all()


def test_what_touches_the_edge_gets_room_to_move() -> None:
    cropped = disc().crop((5, 5, 35, 35))
    found = prepare(cropped, 64, 64)
    rows, columns = np.nonzero(found.alpha)
    assert min(rows.min(), columns.min()) == 4 and max(rows.max(), columns.max()) == 59
    rows, _ = np.nonzero(prepare(disc(), 64, 64).alpha >= 128)
    assert abs(np.ptp(rows) + 1 - 48) <= 1, "what has room is not made smaller"


def test_the_shape_of_the_video_is_that_of_the_picture() -> None:
    for size in ((500, 500), (300, 400), (1, 9), (1920, 1080)):
        height, width = frame_shape(Image.new("RGBA", size))
        assert height % 16 == width % 16 == 0
        assert abs(height * width / (832 * 480) - 1) < 0.06
        ratio = min(max(size[0] / size[1], 0.5), 2)
        assert abs(width / height / ratio - 1) < 0.04


def test_the_background_is_a_colour_that_does_not_occur() -> None:
    assert choose_colour(np.array([YELLOW] * 10, np.uint8)) == (255, 255, 255)
    eyes = np.array([YELLOW] * 99 + [(250, 250, 255)], np.uint8)
    assert choose_colour(eyes) == (160, 160, 160)
    # A single pixel of thousands is not a part of a character.
    assert choose_colour(np.array([YELLOW] * 9999 + [(255, 255, 255)], np.uint8)) == (255, 255, 255)
    for count in range(1, len(COLOURS)):
        found = choose_colour(np.repeat(np.array(COLOURS[:count], np.uint8), 100, axis=0))
        assert found not in COLOURS[:count]
    everything = np.random.default_rng(0).integers(0, 256, (100_000, 3), dtype=np.uint8)
    assert choose_colour(everything) in COLOURS


def test_nearly_transparent_pixels_do_not_decide_the_background() -> None:
    pixels = np.array(disc())
    pixels[0, :, :] = (255, 255, 255, 60)
    assert prepare(Image.fromarray(pixels), 64, 64).colour == (255, 255, 255)


def test_a_plain_background_is_removed_unless_it_is_to_be_kept() -> None:
    inside = np.asarray(disc())[..., 3] > 0
    for ground in ((255, 255, 255), (20, 200, 30)):
        picture = disc(alpha=False, ground=ground).convert("RGBA")
        for background in ("auto", "remove"):
            found = prepare(picture, SIDE, SIDE, background=background)
            assert found.removes and found.colour == ground
            assert found.background == "#{:02x}{:02x}{:02x}".format(*ground)
            assert ((found.alpha >= 128) == inside).all()
            assert (found.frame == np.asarray(picture)[..., :3]).all(), "its own background is not replaced"
        kept = prepare(picture, SIDE, SIDE, background="keep")
        assert not kept.removes and (kept.alpha == 255).all() and kept.background == "kept"


def test_a_hole_of_the_background_in_a_picture_without_transparency_stays() -> None:
    pixels = np.array(disc(alpha=False))
    pixels[18:22, 18:22] = 255
    found = prepare(Image.fromarray(pixels).convert("RGBA"), SIDE, SIDE)
    assert (found.alpha[18:22, 18:22] == 255).all()


def test_a_busy_picture_is_kept_and_padding_becomes_transparent() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).convert("RGBA")
    found = prepare(picture, 60, 60)
    assert not found.removes
    assert (found.alpha[15:45] == 255).all() and not found.alpha[:15].any() and not found.alpha[45:].any()
    assert (found.frame[15:45] == noise).all()
    with pytest.raises(ValueError, match="no plain colour to remove; keep its background instead"):
        prepare(picture, 60, 60, background="remove")
    with pytest.raises(ValueError, match="nothing but its background; keep it instead"):
        prepare(Image.new("RGBA", (9, 9), YELLOW), 16, 16, background="remove")


def test_a_figure_that_hides_much_of_the_border_is_cut_out_when_asked() -> None:
    pixels = np.full((40, 40, 3), 255, np.uint8)
    pixels[20:, :] = YELLOW  # the lower half, from edge to edge
    picture = Image.fromarray(pixels).convert("RGBA")
    assert not prepare(picture, 64, 64).removes
    found = prepare(picture, 64, 64, background="remove")
    assert found.removes and found.colour in ((255, 255, 255), YELLOW)


def test_to_keep_the_background_lays_transparent_parts_on_white() -> None:
    found = prepare(disc(), SIDE, SIDE, background="keep")
    assert not found.removes and (found.alpha == 255).all()
    assert (found.frame[0, 0] == 255).all() and tuple(found.frame[20, 20]) == YELLOW
    with pytest.raises(ValueError, match="background is 'blur'; allowed: auto, keep, remove"):
        prepare(disc(), SIDE, SIDE, background="blur")
