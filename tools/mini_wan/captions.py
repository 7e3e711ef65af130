"""What an animated emoji shows, in words that neither name nor imply an emotion.

An emoji's own name often does ("crying face"), so captions are made of a subject, read from the code points,
and of a template. The small base model is trained with these captions and with nothing else.
"""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata

SUBJECTS = (
    "a yellow face",
    "the face of a cat",
    "a person",
    "a woman",
    "a man",
    "a hand",
    "an animal",
    "a figure",
    "a heart",
    "something in the sky",
    "a vehicle",
    "an object",
    "a plant",
    "something to eat",
    "something to drink",
)
"""What a caption may say is shown; the LoRA's captions say no more than that."""

TEMPLATES = (
    "{}",
    "{} on a white background",
    "a small picture of {}",
    "{} in the middle of the picture",
    "{} that moves",
    "one single sticker of {}",
    "{}, seen from the front",
    "{} in bright colours",
)
"""How a caption may say it."""

EMOTIONAL = re.compile(
    r"amus|\bawe|content(ed|ment)|excit|anger|angry|disgust|fear|\bsad|happ|joy|smil|grin|laugh|cry|tear|weep"
    r"|frown|pout|worr|scream|kiss|lov|hug|relie|disappoint|astonish|weary|tired|dizzy|anguish|anxious|pensive"
    r"|confus|savour|smirk|celebrat|party|broken|villain|ogre|goblin|imp\b|zombie|skull|ghost|monster|beast"
    r"|evil|bow\b|bowing|palm\b|pleading|triumph|vomit|nausea|sick|hospital|coffin|urn\b|blood|bomb|knife|sword"
    r"|poo|no entry|warning|money|good|bad|funny|crazy|calm|peace|danger|dead|death|pile of|joker|fire\b"
    r"|cracker|firework|trophy|medal|gift|wedding|ribbon|balloon|pinata|mirror ball|headstone"
    r"|cigarette|needle|trap"
)
"""A name that contains one of these makes no specific caption; the caption gives the subject alone."""

_SILENT = {0xFE0F, 0x200D, 0x20E3}
_MAN = {0x1F468, 0x1F466, 0x1F474, 0x1F57A, 0x1F574, 0x1F935, 0x1F385, 0x1F934}
_WOMAN = {0x1F469, 0x1F467, 0x1F475, 0x1F478, 0x1F470, 0x1F483, 0x1F930, 0x1F931, 0x1F936}
_SIGN = re.compile(
    r"symbol|sign\b|button|squared?\b|arrow|circle|triangle|clock face|ideograph|input|mark\b|letter|digit"
    r"|diamond|flag|circled|loop|dash|suit|asterisk|no one|cyclone|cross$|zodiac"
)

# First code points, both ends included; the first row that contains one wins.
_RANGES: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = (
    ("the face of a cat", ((0x1F638, 0x1F640),)),
    ("a heart", ((0x1F493, 0x1F49F), (0x1F9E1, 0x1F9E1), (0x1F90D, 0x1F90E), (0x1F5A4, 0x1F5A4))),
    ("a heart", ((0x2764, 0x2764), (0x2763, 0x2763), (0x1FA75, 0x1FA77), (0x2665, 0x2665))),
    ("a figure", ((0x1F479, 0x1F47B), (0x1F47D, 0x1F480), (0x2620, 0x2620), (0x1F916, 0x1F916))),
    ("a figure", ((0x1F921, 0x1F921), (0x1F9B8, 0x1F9B9), (0x1F9D9, 0x1F9DF), (0x1F4A9, 0x1F4A9))),
    ("a figure", ((0x1F383, 0x1F383), (0x2603, 0x2603), (0x26C4, 0x26C4), (0x1F9CC, 0x1F9CC))),
    ("a figure", ((0x1F9F8, 0x1F9F8), (0x1F47C, 0x1F47C), (0x1FA86, 0x1FA86))),
    ("a hand", ((0x1F446, 0x1F450), (0x1F590, 0x1F596), (0x1F64C, 0x1F64C), (0x1F64F, 0x1F64F))),
    ("a hand", ((0x1F918, 0x1F91F), (0x1F90C, 0x1F90C), (0x1F90F, 0x1F90F), (0x1F932, 0x1F933))),
    ("a hand", ((0x1FAF0, 0x1FAF8), (0x270A, 0x270D), (0x261D, 0x261D), (0x1F4AA, 0x1F4AA))),
    ("a yellow face", ((0x1F600, 0x1F637), (0x1F641, 0x1F644), (0x1F910, 0x1F917), (0x1F920, 0x1F925))),
    ("a yellow face", ((0x1F927, 0x1F92F), (0x1F970, 0x1F976), (0x1F978, 0x1F97A), (0x1F9D0, 0x1F9D0))),
    ("a yellow face", ((0x1FAE0, 0x1FAE5), (0x1FAE8, 0x1FAE8), (0x2639, 0x263A))),
    ("a person", ((0x1F466, 0x1F478), (0x1F481, 0x1F487), (0x1F645, 0x1F647), (0x1F64B, 0x1F64E))),
    ("a person", ((0x1F6A3, 0x1F6A3), (0x1F6B4, 0x1F6B6), (0x1F926, 0x1F926), (0x1F930, 0x1F93E))),
    ("a person", ((0x1F9CD, 0x1F9CF), (0x1F9D1, 0x1F9D8), (0x26F7, 0x26F7), (0x26F9, 0x26F9))),
    ("a person", ((0x1F3C2, 0x1F3C4), (0x1F3C7, 0x1F3C7), (0x1F3CA, 0x1F3CC), (0x1F385, 0x1F385))),
    ("a person", ((0x1F574, 0x1F575), (0x1F57A, 0x1F57A), (0x1F483, 0x1F483), (0x1F6C0, 0x1F6C0))),
    ("a person", ((0x1FAC2, 0x1FAC5), (0x1F977, 0x1F977))),
    ("an animal", ((0x1F400, 0x1F43F), (0x1F648, 0x1F64A), (0x1F980, 0x1F9AE), (0x1F577, 0x1F577))),
    ("an animal", ((0x1F54A, 0x1F54A), (0x1FAB0, 0x1FAB3), (0x1FABC, 0x1FABF), (0x1FACE, 0x1FACF))),
    ("something in the sky", ((0x1F308, 0x1F308), (0x1F311, 0x1F32C), (0x2600, 0x2604))),
    ("something in the sky", ((0x26C5, 0x26C8), (0x2B50, 0x2B50), (0x1FA90, 0x1FA90), (0x1F4AB, 0x1F4AB))),
    ("something in the sky", ((0x2728, 0x2728), (0x26A1, 0x26A1), (0x2744, 0x2744), (0x1F300, 0x1F301))),
    ("a plant", ((0x1F330, 0x1F344), (0x1F490, 0x1F490), (0x1F38B, 0x1F38B), (0x1F384, 0x1F384))),
    ("a plant", ((0x2618, 0x2618), (0x1FAB4, 0x1FAB4), (0x1FAB7, 0x1FAB8), (0x1FABB, 0x1FABB))),
    ("something to drink", ((0x2615, 0x2615), (0x1F375, 0x1F37C), (0x1F37E, 0x1F37E), (0x1F942, 0x1F943))),
    ("something to drink", ((0x1F95B, 0x1F95B), (0x1F964, 0x1F964), (0x1F9C9, 0x1F9C9), (0x1F9CB, 0x1F9CB))),
    ("something to eat", ((0x1F32D, 0x1F32F), (0x1F345, 0x1F370), (0x1F37F, 0x1F37F), (0x1F950, 0x1F96F))),
    ("something to eat", ((0x1F9C0, 0x1F9C8), (0x1FAD0, 0x1FAD5), (0x1F371, 0x1F374), (0x1F382, 0x1F382))),
    ("a vehicle", ((0x1F680, 0x1F6A2), (0x1F6A4, 0x1F6A4), (0x1F6B2, 0x1F6B2), (0x1F6E9, 0x1F6FC))),
    ("a vehicle", ((0x1F3CD, 0x1F3CE), (0x2708, 0x2708), (0x26F4, 0x26F5))),
    ("an object", ((0x1F30A, 0x1F30A), (0x1F380, 0x1F3D3), (0x1F3F8, 0x1F3FA), (0x1F451, 0x1F465))),
    ("an object", ((0x1F47E, 0x1F47E), (0x1F488, 0x1F492), (0x1F4A0, 0x1F4FF), (0x1F525, 0x1F52E))),
    ("an object", ((0x1F56F, 0x1F5C4), (0x1F9A0, 0x1F9A0), (0x1F9E0, 0x1F9FF), (0x1FA70, 0x1FAAC))),
    ("an object", ((0x231A, 0x2328), (0x23F0, 0x23F3), (0x2614, 0x2614), (0x26BD, 0x26BE))),
)


def subject_of(stem: str) -> str | None:
    """The subject of an emoji, one of `SUBJECTS`; None for flags, letters, arrows and other signs.

    Args:
        stem: code points in hexadecimal, joined by hyphens: the asset's file name without its extension.

    >>> subject_of("1f622"), subject_of("1f647-200d-2640-fe0f"), subject_of("1f1e6-1f1e8")
    ('a yellow face', 'a woman', None)
    """
    points = _points(stem)
    if not points:
        return None
    first = points[0]
    subject = next(
        (name for name, ranges in _RANGES if any(low <= first <= high for low, high in ranges)), None
    )
    if subject == "a person":
        if 0x2640 in points or first in _WOMAN:
            return "a woman"
        if 0x2642 in points or first in _MAN:
            return "a man"
    if subject in ("an object", "a vehicle", "something in the sky") and _SIGN.search(_name(points)):
        # Three signs are stickers with a label: a row of digits, a chequered flag and a flash of lightning.
        return subject if first in (0x1F4AF, 0x1F3C1, 0x26A1) else None
    return subject


def specific_subject(stem: str) -> str | None:
    """What an emoji shows in the words of its name, or None where these could suggest an emotion.

    >>> specific_subject("1f436"), specific_subject("1f622")
    ('a dog face', None)
    """
    name = _name(_points(stem))
    told = subject_of(stem) in ("an animal", "a vehicle", "an object", "a plant", "something to eat")
    if not told or "?" in name or "," in name or EMOTIONAL.search(name):
        return None
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption_of(stem: str) -> str:
    """The one caption of a labelled sticker: its subject, in a template chosen by its name.

    Raises:
        ValueError: it has no subject.

    >>> caption_of("1f622")
    'a yellow face in the middle of the picture'
    """
    subject = subject_of(stem)
    if subject is None:
        raise ValueError(f"emoji {stem} has no subject")
    draw = hashlib.sha256(stem.encode()).digest()[0]
    return TEMPLATES[draw % len(TEMPLATES)].format(subject)


def _points(stem: str) -> list[int]:
    try:
        points = [int(part, 16) for part in stem.split("-")]
    except ValueError:
        return []
    return points if max(points) <= sys.maxunicode else []


def _name(points: list[int]) -> str:
    shown = [point for point in points if point not in _SILENT]
    return ", ".join(unicodedata.name(chr(point), "?").lower() for point in shown)
