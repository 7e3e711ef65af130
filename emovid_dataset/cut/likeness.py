"""Which clips look alike: a film shows its title twice, a trailer repeats the film.

Of three frames of a clip, at a quarter, a half and three quarters of it, 64 bits say where the picture grows
brighter from left to right, and a few numbers what colour it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOMENTS = (0.25, 0.5, 0.75)
"""Where in a clip its likeness is taken."""

_BITS_APART = 5  # of 64, in each of the frames
_LEVELS_APART = 10.0  # in each colour of each frame
_FLAT = 4.0  # levels; a picture without contrast is like every other one


def likeness_of(picture: np.ndarray) -> str:
    """What a frame looks like.

    Args:
        picture: uint8 [27, 48, 3], RGB.

    Returns:
        22 hexadecimal digits: the bits, then mean red, green and blue; empty for a picture without contrast.
    """
    import cv2

    luma = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    if float(luma.std()) < _FLAT:
        return ""
    bits = np.packbits(luma[:, 1:] > luma[:, :-1]).tobytes()
    colour = np.round(picture.reshape(-1, 3).mean(0)).astype(np.uint8).tobytes()
    return (bits + colour).hex()


def first_alike(likenesses: Sequence[tuple[str, ...]]) -> list[int | None]:
    """For each clip an earlier one that looks like it.

    Args:
        likenesses: of each clip, three texts of `likeness_of`; empty for a clip that is not compared.

    Returns:
        For each clip the place of the first one that it looks like, which looks like none before it; None
        where there is none.
    """
    found: list[int | None] = []
    bits = np.zeros((len(likenesses), len(MOMENTS)), np.uint64)
    colours = np.zeros((len(likenesses), 3 * len(MOMENTS)), np.float32)
    originals: list[int] = []
    for place, texts in enumerate(likenesses):
        if len(texts) != len(MOMENTS) or not all(texts):
            found.append(None)
            continue
        data = [bytes.fromhex(text) for text in texts]
        bits[place] = [int.from_bytes(one[:8], "big") for one in data]
        colours[place] = [number for one in data for number in one[8:]]
        earlier = np.array(originals, np.int64)
        apart = np.bitwise_count(bits[earlier] ^ bits[place])
        alike = (apart <= _BITS_APART).all(1)
        alike &= (np.abs(colours[earlier] - colours[place]) <= _LEVELS_APART).all(1)
        same = earlier[alike]
        found.append(int(same[0]) if len(same) else None)
        if not len(same):
            originals.append(place)
    return found
