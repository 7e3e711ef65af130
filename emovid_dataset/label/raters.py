"""What a rater may be called, and which file holds a rater's answers."""

from __future__ import annotations

import unicodedata

MOST_CHARACTERS = 64
"""Of a rater's name."""

ENDING = ".jsonl"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_MOST_BYTES = 200  # file systems take 255 for a name
_DEVICES = frozenset(
    ("aux", "con", "nul", "prn", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10)))
)
"""Windows opens a device for these, whatever their ending."""


def rater_name(text: object) -> str:
    """Check a rater's name.

    Args:
        text: as it was typed; spaces around it are dropped.

    Returns:
        The name in Unicode's composed form, so that the same letters are the same name.

    Raises:
        ValueError: it is not text, is empty or too long, or has characters that cannot be seen or that paths
            are made of.

    >>> rater_name(" Zoë "), rater_name("rater 3")
    ('Zoë', 'rater 3')
    >>> rater_name("../anna")
    Traceback (most recent call last):
    ...
    ValueError: rater '../anna' must not contain '/'
    """
    if not isinstance(text, str):
        raise ValueError(f"rater {text!r} is not a name")
    name = unicodedata.normalize("NFC", text.strip())
    if not name or not any(character.isalnum() for character in name):
        raise ValueError(f"rater {text!r} is not a name; it needs a letter or a digit")
    if len(name) > MOST_CHARACTERS:
        raise ValueError(f"rater {name[:20]!r}... has {len(name)} characters; at most {MOST_CHARACTERS}")
    for character in name:
        if character in "/\\" or not character.isprintable():
            raise ValueError(f"rater {name!r} must not contain {character!r}")
    if name.startswith("."):
        raise ValueError(f"rater {name!r} must not begin with a dot")
    if len(_stem(name)) > _MOST_BYTES:
        raise ValueError(f"rater {name!r} is too long for the name of a file")
    return name


def file_name(rater: str) -> str:
    """The name of the file that holds a rater's answers.

    Two names never share a file, not even on a disk that takes upper and lower case for the same: whatever
    is not a-z, 0-9, _ or - stands there as its bytes.

    Args:
        rater: whatever `rater_name` takes.

    >>> file_name("anna"), file_name("Anna"), file_name("zoë k")
    ('anna.jsonl', '%41nna.jsonl', 'zo%C3%AB%20k.jsonl')
    """
    return _stem(rater_name(rater)) + ENDING


def _stem(name: str) -> str:
    stem = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in name.encode())
    return f"%{ord(stem[0]):02X}{stem[1:]}" if stem in _DEVICES else stem
