"""Where weights come from: the base that they derive from, and the licence that they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emovid_models.miniature import is_miniature

LICENCES = (
    (re.compile(r"NVILA"), "cc-by-nc-4.0"),
    (re.compile(r"Wan2\.1"), "apache-2.0"),
)
"""What a base's name holds, on the Hub or as a folder, and the licence of all that derives from it."""


def licence(folder: Path, base: str | None) -> str:
    """The licence of trained weights: that of the base, else what the folder's own card states.

    Args:
        folder: of the weights.
        base: a Hub repo or a folder, or None for weights that were trained from nothing.

    Returns:
        The Hub's name of the licence.

    Raises:
        ValueError: nothing states one.

    >>> licence(Path("."), "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    'apache-2.0'
    """
    for pattern, name in LICENCES:
        if base is not None and pattern.search(base):
            return name
    if is_miniature(folder) or (base is not None and is_miniature(Path(base))):
        return "mit"  # trained from nothing, on emoji under MIT
    for place in (folder, *([Path(base)] if base is not None else [])):
        stated = front_matter(place / "README.md").get("license")
        if isinstance(stated, str):
            return stated
    origin = f"base {base!r} has no known licence" if base is not None else "no base is recorded"
    raise ValueError(f"licence of {folder} is unknown ({origin}): write license: into {folder / 'README.md'}")


def front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML at the top of a card; empty where there is no card or no YAML."""
    import yaml

    if not card.is_file():
        return {}
    found = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", card.read_text(encoding="utf-8"), flags=re.DOTALL)
    try:
        values = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError as error:
        raise ValueError(f"{card} has a front matter that is no YAML") from error
    return values if isinstance(values, dict) else {}


def public_name(base: str | None) -> str | None:
    """A base's name if it is a Hub repo: a folder's name says nothing to anybody else.

    >>> public_name("Wan-AI/Wan2.1-T2V-1.3B-Diffusers"), public_name("/home/me/base")
    ('Wan-AI/Wan2.1-T2V-1.3B-Diffusers', None)
    """
    if base is None or Path(base).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", base):
        return None
    return base


def published_base(folder: Path, base: str | None) -> str | None:
    """The Hub repo that weights derive from, as far as it can be told.

    Args:
        folder: of the weights; `base_model` in its own card comes first.
        base: what the training was given.

    >>> published_base(Path("."), "Wan2.1-T2V-1.3B-Diffusers")
    'Wan-AI/Wan2.1-T2V-1.3B-Diffusers'
    """
    stated = front_matter(folder / "README.md").get("base_model")
    if isinstance(stated, str):
        return stated
    if base is not None and re.fullmatch(r"Wan2\.1-[\w.-]+-Diffusers", Path(base).name):
        return f"Wan-AI/{Path(base).name}"
    return public_name(base)
