"""An analysis of a study as JSON, as a LaTeX table, and as one HTML page that needs nothing but a browser."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from emovid_dataset.report.colours import palette
from emovid_dataset.report.formats import page_environment
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import write_file
from emovid_models.evaluation.statistics import Share
from emovid_models.study.analyse import Answers, StudyAnalysis
from emovid_models.study.judges import Correlation
from emovid_models.study.preference import Preference

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def analysis_json(found: StudyAnalysis) -> dict[str, Any]:
    """An analysis as values of JSON; what is not known is null.

    Args:
        found: of `analyse`.
    """
    body = asdict(found)
    for row in body["questions"]:
        for whose in ("kept", "everyone"):
            for agreement, one in zip(
                row[whose]["agreement"], _answers(found, row["question"], whose).agreement, strict=True
            ):
                agreement["alpha"] = one.alpha.to_json()
    return {**body, "counted_raters": found.counted_raters}


def _answers(found: StudyAnalysis, question: str, whose: str) -> Answers:
    one = next(one for one in found.questions if one.question == question)
    return one.kept if whose == "kept" else one.everyone


def analysis_latex(found: StudyAnalysis) -> str:
    r"""A LaTeX table of Top-1 preference, for `\usepackage{booktabs}`.

    Args:
        found: of `analyse`.

    Returns:
        A `tabular`: a row for each system, for each question the share of first choices in per cent with its
        95 % interval; a dagger stands where Holm's test against chance has p < 0.05.
    """
    heads = " & ".join(_tex(one.question) for one in found.questions)
    lines = [
        f"% {found.counted_raters} raters, {found.scenes} scenes, {found.together} systems in a trial; "
        f"chance {100 / found.together:.1f} %",
        rf"\begin{{tabular}}{{l{'l' * len(found.questions)}}}",
        r"\toprule",
        rf"system & {heads} \\",
        r"\midrule",
    ]
    for system in found.systems:
        cells = [_tex(system), *(_cell(one.kept, system) for one in found.questions)]
        lines.append(rf"{' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(answers: Answers, system: str) -> str:
    found = answers.preference
    if found is None or system not in found.top1:
        return "--"
    share, p = found.top1[system], found.p_chance[system]
    dagger = r"$^\dagger$" if p is not None and p < 0.05 else ""
    return f"{100 * share.value:.1f}{dagger} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def render_analysis_page(found: StudyAnalysis) -> str:
    """The page's HTML; it allows no script and loads nothing.

    Args:
        found: of `analyse`.
    """
    environment = page_environment("emovid_models.study", "emovid_dataset.report")
    environment.filters.update(p=p_in_words, share=_share, correlation=correlation_in_words, by_rank=_by_rank)
    return environment.get_template("analysis.html.j2").render(
        found=found, palette=palette(EMOTIONS), scopes=()
    )


def write_analysis_page(found: StudyAnalysis, html: str | os.PathLike[str]) -> int:
    """Write the page, the same to the byte for the same analysis.

    Args:
        found: of `analyse`.
        html: path or URL of the page.

    Returns:
        Bytes of the page.

    Raises:
        OSError: it cannot be written.
    """
    page = render_analysis_page(found).encode("utf-8", "replace")
    write_file(html, page)
    return len(page)


def analysis_rows(answers: Answers) -> list[tuple[str, str, str, str, int | None]]:
    """Rows of a table: system, share of first choices, p against chance, worth, rank; the best first."""
    found = answers.preference
    if found is None:
        return []
    worths: Mapping[str, Any] = found.worths or {}
    return [
        (
            name,
            _share(found.top1[name]),
            p_in_words(found.p_chance[name]),
            "-"
            if name not in worths
            else f"{worths[name].value:+.2f} [{worths[name].low:+.2f}, {worths[name].high:+.2f}]",
            found.rank[name],
        )
        for name in _by_rank(found)
    ]


def p_in_words(p: float | None) -> str:
    """A p-value; what is not quite 0 never looks like 0.

    >>> p_in_words(0.0314), p_in_words(1e-9), p_in_words(None)
    ('0.031', '< 0.001', 'no test')
    """
    if p is None:
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def correlation_in_words(found: Correlation) -> str:
    """A correlation with its interval, or why there is none."""
    if found.value is None:
        return found.reason
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}], n = {found.n}"


def _by_rank(found: Preference) -> list[str]:
    return sorted(found.top1, key=lambda name: (found.rank[name], -found.top1[name].value))


def _share(share: Share) -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
