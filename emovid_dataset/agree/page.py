"""The page of raters' agreement: one HTML file that needs nothing but a browser."""

from __future__ import annotations

import os

from emovid_dataset.agree.measure import InterRaterAgreement
from emovid_dataset.report.colours import palette
from emovid_dataset.report.formats import page_environment
from emovid_dataset.store import write_file

_MOST_PAIRS = 15
"""Pairs of raters whose confusion is drawn."""

_MOST_LOOKS = 500
"""Clips that are listed for another look."""


def write_agreement_page(found: InterRaterAgreement, html: str | os.PathLike[str]) -> int:
    """Write the page, the same to the byte for the same agreement.

    Args:
        found: of `measure_raters`.
        html: path or URL of the page.

    Returns:
        Bytes of the page.

    Raises:
        OSError: it cannot be written.
    """
    page = render_agreement_page(found).encode("utf-8", "replace")
    write_file(html, page)
    return len(page)


def render_agreement_page(found: InterRaterAgreement) -> str:
    """The page's HTML; it allows no script and loads nothing.

    Args:
        found: of `measure_raters`.
    """
    environment = page_environment("emovid_dataset.agree", "emovid_dataset.report")
    environment.filters.update(share=_share)
    look = found.look
    return environment.get_template("agreement.html.j2").render(
        found=found,
        table=found.table,
        palette=palette(found.table.categories[:-1]),
        pairs=[pair for pair in found.pairs if pair.clips][:_MOST_PAIRS],
        look=look[:_MOST_LOOKS],
        look_count=len(look),
        likeliest=_likeliest(found),
        scopes=(),
    )


def _likeliest(found: InterRaterAgreement) -> float | None:
    """Share of the clips with an emotion whose likeliest category by Dawid and Skene it is."""
    both = [one for one in found.verdicts if one.emotion is not None and one.likeliest is not None]
    return sum(one.emotion == one.likeliest for one in both) / len(both) if both else None


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
