"""How pages are made: the templates' environment, and numbers and words as pages show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emovid_dataset.report.profile import axis

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page_environment(*packages: str) -> Environment:
    """An environment that escapes what it is given, refuses unknown names, and knows the formats.

    Args:
        packages: where templates are looked for, the first one first.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        quantity=_quantity,
        length=_length,
        size=_size,
        percent=_percent,
        printable=_printable,
        breakable=_breakable,
    )
    return environment


def _number(value: int) -> str:
    return f"{value:,}"


def _quantity(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}"


def _percent(part: float, whole: float) -> str:
    """A share in per cent; what is not quite none or all never looks as if it were."""
    if not whole or part in (0, whole):
        return "100 %" if whole and part else "0 %"
    share = 100 * part / whole
    if share < 1:
        return "< 1 %"
    return "> 99 %" if share > 99 else f"{share:.0f} %"


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


_SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def _size(size: float) -> str:
    unit, factor = next((pair for pair in _SIZES if size >= pair[1]), _SIZES[-1])
    value = size / factor
    return f"{value:.1f} {unit}" if value < 10 and factor > 1 else f"{value:,.0f} {unit}"


def axis_labels(high: float, kind: str) -> list[tuple[float, str]]:
    """Ticks of an axis from 0 to `high`, the unit at the last one only.

    Args:
        high: end of the axis.
        kind: "size" for bytes, "length" for seconds, anything else for plain numbers.

    Returns:
        Place in per cent, and text, of each.
    """
    marks = axis(high)
    unit, factor = {"size": next((pair for pair in _SIZES if high >= pair[1]), _SIZES[-1])}.get(
        kind, ("s" if kind == "length" else "", 1.0)
    )
    texts = [f"{mark / factor:g}" for mark in marks]
    texts[-1] = f"{texts[-1]} {unit}".rstrip()
    return [(100 * mark / high, text) for mark, text in zip(marks, texts, strict=True)]


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def _printable(text: str) -> str:
    """Text on one line, its control characters visible: HTML forbids some, others reorder what is read.

    >>> _printable("a\\tb\\x00")
    'a b\ufffd'
    """
    return _UNPRINTABLE.sub("\ufffd", " ".join(text.split()))


def _breakable(name: str) -> Markup:
    """A name that may go on in the next line behind its hyphens and underscores.

    >>> print(_breakable("fear_of_<b>"))
    fear_<wbr>of_<wbr>&lt;b&gt;
    """
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split("(?<=[-_])(?=.)", name))
