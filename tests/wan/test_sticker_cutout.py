"""Transparency of generated frames, on shapes that move over a background and whose alpha is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from emovid_models.remote.sticker.cutout import cut_out
from emovid_models.remote.sticker.picture import PreparedPicture, prepare
from emovid_models.remote.sticker.regions import components, grown

SIDE, FINE, FRAMES = 96, 4, 8
YELLOW, BROWN, WHITE = (255, 204, 77), (120, 60, 0), (255, 255, 255)
RADIUS = 26

Shape = Callable[[int], np.ndarray]


def face(time: int, *, hole: bool = False, start: float = 40, speed: float = 3) -> np.ndarray:
    """A face that moves to the right, at four times the frame's resolution: RGBA, float."""
    y, x = np.mgrid[: SIDE * FINE, : SIDE * FINE] / FINE
    left, top = start + speed * time, 48 + 2 * np.sin(time)
    distance = np.hypot(x - left, y - top)
    pixels = np.zeros((SIDE * FINE, SIDE * FINE, 4))
    pixels[distance < RADIUS] = (*BROWN, 255)
    pixels[distance < RADIUS - 3] = (*YELLOW, 255)
    pixels[np.hypot(x - left - 7, y - top + 14) < 5] = (*WHITE, 255)
    if hole:
        pixels[distance < 9] = 0
    return pixels


def reduced(fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame's colours, multiplied by alpha, and its alpha in 0..1, both exact."""
    alpha = fine[..., 3:] / 255
    both = np.concatenate([fine[..., :3] * alpha, alpha], axis=-1)
    small = both.reshape(SIDE, FINE, SIDE, FINE, 4).mean(axis=(1, 3))
    return small[..., :3], small[..., 3]


def scene(
    shape: Shape, *, drift: float = 0, noise: float = 0, background: str = "auto", opaque: bool = False
) -> tuple[np.ndarray, np.ndarray, PreparedPicture]:
    """Frames of a shape on the background that its picture was given, its alpha, and the picture."""
    parts = [reduced(shape(time)) for time in range(FRAMES)]
    colours, alpha = parts[0]
    if opaque:
        pixels = np.dstack([colours + (1 - alpha[..., None]) * 255, np.full_like(alpha, 255)])
    else:
        pixels = np.dstack([colours / np.maximum(alpha, 1e-9)[..., None], alpha * 255])
    picture = prepare(
        Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)), SIDE, SIDE, background=background
    )
    random = np.random.default_rng(0)
    frames = [
        colours
        + (1 - alpha[..., None]) * (np.array(picture.colour) - drift * time)
        + random.normal(0, noise, colours.shape)
        for time, (colours, alpha) in enumerate(parts)
    ]
    made = np.stack(frames).round().clip(0, 255).astype(np.uint8)
    return made, np.stack([alpha for _, alpha in parts]), picture


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of two alphas in 0..1, at one half."""
    first, second = found >= 0.5, wanted >= 0.5
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("noise", [0, 4])
@pytest.mark.parametrize("hole", [False, True])
def test_a_moving_shape_is_cut_out_without_holes_or_halo(hole: bool, noise: float) -> None:
    frames, alpha, picture = scene(lambda time: face(time, hole=hole), drift=noise / 2, noise=noise)
    assert picture.colour == (160, 160, 160), "white occurs in the eye"
    cut = cut_out(frames, picture)
    assert cut.shape == (FRAMES, SIDE, SIDE, 4) and cut.dtype == np.uint8
    for index in range(FRAMES):
        found = cut[index, ..., 3] / 255
        assert overlap(found, alpha[index]) > 0.99
        assert np.abs(found - alpha[index]).mean() < 0.003
        inside = ndimage.binary_erosion(alpha[index] == 1, np.ones((3, 3)))
        assert (found[inside] == 1).all(), "a hole"
        outside = ndimage.binary_erosion(alpha[index] == 0, np.ones((3, 3)))
        assert (found[outside] == 0).all()
        # A halo would be grey at the outline, which is brown outside and yellow around the hole.
        rim = (found > 0) & (alpha[index] < 1)
        colours = cut[index, rim][:, :3].astype(int)
        apart = np.minimum(*(np.abs(colours - own).max(axis=-1) for own in (BROWN, YELLOW)))
        untreated = frames[index, rim].astype(int)
        halo = np.minimum(*(np.abs(untreated - own).max(axis=-1) for own in (BROWN, YELLOW)))
        assert rim.sum() > 50 and halo.mean() > 40
        assert apart.mean() < 0.15 * halo.mean() + 3 * noise and np.quantile(apart, 0.95) < 30


def test_a_hole_of_the_picture_remains_a_hole_as_it_moves_and_an_eye_does_not_become_one() -> None:
    frames, alpha, picture = scene(lambda time: face(time, hole=True))
    cut = cut_out(frames, picture)
    for index in (0, FRAMES - 1):
        left, top = round(40 + 3 * index), round(48 + 2 * np.sin(index))
        assert cut[index, top, left, 3] == 0
        assert cut[index, top - 14, left + 7, 3] == 255

    # On white, with white eyes: only what leads to the border is background.
    frames, alpha, picture = scene(face, opaque=True)
    assert picture.removes and picture.colour == WHITE
    cut = cut_out(frames, picture)
    for index in range(FRAMES):
        assert overlap(cut[index, ..., 3] / 255, alpha[index]) > 0.98
        left, top = round(40 + 3 * index), round(48 + 2 * np.sin(index))
        assert (cut[index, top - 14, left + 7] == 255).all()

    # In a picture without transparency a hole of the background's colour is a part of the character.
    frames, alpha, picture = scene(lambda time: face(time, hole=True), opaque=True)
    cut = cut_out(frames, picture)
    assert all(cut[i, round(48 + 2 * np.sin(i)), 40 + 3 * i, 3] == 255 for i in range(FRAMES))


def test_what_the_character_encloses_later_stays_open() -> None:
    def closing(time: int) -> np.ndarray:
        pixels = np.zeros((SIDE * FINE, SIDE * FINE, 4))
        y, x = np.mgrid[: SIDE * FINE, : SIDE * FINE] / FINE
        ring = np.abs(np.hypot(x - 48, y - 48) - 26) < 6
        gap = (np.abs(y - 48) < 14 - 2 * time) & (x > 48)
        pixels[ring & ~gap] = (*YELLOW, 255)
        return pixels

    frames, alpha, picture = scene(closing)
    cut = cut_out(frames, picture)
    assert alpha[0, 48, 74] == 0 and alpha[-1, 48, 74] == 1, "it closes"
    assert not cut[:, 48, 48, 3].any()
    assert min(overlap(cut[i, ..., 3] / 255, alpha[i]) for i in range(FRAMES)) > 0.99


@pytest.mark.parametrize("start", [10, 48, 84, 100])
def test_a_shape_that_leaves_the_frame_is_not_taken_for_background(start: int) -> None:
    _, _, picture = scene(lambda time: face(time, start=48))
    parts = [reduced(face(time, start=start, speed=0.5)) for time in range(FRAMES)]
    frames = np.stack([colours + (1 - alpha[..., None]) * picture.colour for colours, alpha in parts])
    cut = cut_out(frames.round().astype(np.uint8), picture)
    for index, (_, wanted) in enumerate(parts):
        found = cut[index, ..., 3] / 255
        assert overlap(found, wanted) > 0.98
        inside = ndimage.binary_erosion(wanted == 1, np.ones((3, 3)), border_value=1)
        assert (found[inside] == 1).all()


def test_a_background_that_drifts_beyond_the_tolerance_is_followed() -> None:
    frames, alpha, picture = scene(face, drift=10)
    assert 10 * (FRAMES - 1) > 2 * 32
    cut = cut_out(frames, picture)
    assert min(overlap(cut[i, ..., 3] / 255, alpha[i]) for i in range(FRAMES)) > 0.98


def test_the_tolerance_decides_what_is_background() -> None:
    frames, _, picture = scene(face)
    spotted = frames.copy()
    spotted[:, 4:12, 4:12] = 160 + 50
    assert (cut_out(spotted, picture)[:, 6:10, 6:10, 3] == 255).all()
    assert not cut_out(spotted, picture, tolerance=60)[:, 6:10, 6:10, 3].any()


def test_a_specks_of_noise_goes_and_a_small_part_stays() -> None:
    frames, _, picture = scene(face)
    frames[:, 5, 5] = 0
    frames[:, 5:9, 80:84] = 0
    cut = cut_out(frames, picture)
    assert not cut[:, 5, 5, 3].any() and cut[:, 6:8, 81:83, 3].all()


def test_a_kept_background_has_the_pictures_alpha_in_every_frame() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    picture = prepare(Image.fromarray(noise).convert("RGBA"), 64, 64)
    frames = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    cut = cut_out(frames, picture)
    assert (cut[..., :3] == frames).all() and (cut[..., 3] == picture.alpha).all()


def test_frames_of_nothing_but_background_and_of_none_of_it() -> None:
    _, _, picture = scene(face)
    empty = np.full((2, SIDE, SIDE, 3), picture.colour, np.uint8)
    assert not cut_out(empty, picture).any()
    full = np.full((2, SIDE, SIDE, 3), YELLOW, np.uint8)
    assert (cut_out(full, picture)[..., 3] == 255).all()
    with pytest.raises(ValueError, match="is not the shape of the picture"):
        cut_out(empty[:, 1:], picture)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.6, 0.9, 1.0])
def test_regions_are_those_of_scipy(share: float) -> None:
    mask = np.random.default_rng(0).random((61, 83)) < share
    expected, count = ndimage.label(mask)
    found = components(mask)
    assert (found == expected).all() and found.max() == count
    for reach in (0, 1, 3):
        square = np.ones((2 * reach + 1, 2 * reach + 1))
        assert (grown(mask, reach) == ndimage.binary_dilation(mask, square)).all()
    assert not components(np.zeros((4, 5), bool)).any()
