"""The agreement of raters as JSON."""

from __future__ import annotations

from typing import Any

from emovid_dataset.agree.coefficient import Coefficient
from emovid_dataset.agree.measure import InterRaterAgreement
from emovid_dataset.agree.verdicts import is_emotion


def agreement_json(found: InterRaterAgreement) -> dict[str, Any]:
    """The figures as JSON values; a coefficient that is not defined is null and has a reason.

    Args:
        found: of `measure_raters`.
    """
    table = found.table
    alone = {
        "krippendorff_alpha": found.alpha,
        "krippendorff_alpha_wheel": found.alpha_wheel,
        "fleiss_kappa": found.fleiss,
        "mean_cohen_kappa": found.mean_kappa,
    }
    body: dict[str, Any] = {
        "n_items": len(table.clips),
        "n_compared": found.compared,
        "n_raters": len(table.raters),
        "n_ratings": int((table.codes >= 0).sum()),
        "n_unclear": int(table.unclear.sum()),
        "n_decided": sum(one.emotion is not None for one in found.verdicts),
        "n_with_emotion": sum(map(is_emotion, found.verdicts)),
        "categories": list(table.categories),
        **{name: one.value for name, one in alone.items()},
        "intervals": {name: _interval(one) for name, one in alone.items()},
        "not_defined": {name: one.reason for name, one in alone.items() if one.value is None},
        "percent_agreement": found.same,
        "percent_agreement_with_second": found.same_with_second,
        "pairwise_cohen_kappa": [
            {
                "raters": list(pair.raters),
                "kappa": pair.kappa.value,
                **_rest(pair.kappa),
                "n_items": pair.clips,
                "percent_agreement": pair.same,
                "confusion": pair.confusion,
            }
            for pair in found.pairs
        ],
        "emotions": {
            one.name: {"votes": one.votes, "alpha": one.alpha.to_json(), "specific_agreement": one.specific}
            for one in found.emotions
        },
        "raters": [
            {
                "rater": one.name,
                "answers": one.answers,
                "unclear": one.unclear,
                "second_emotions": one.seconds,
                "median_ms": one.median_ms,
                "with_majority_of_others": one.with_majority,
                "reliability": one.reliability,
                "mean_kappa": one.mean_kappa.to_json(),
                "retest_kappa": one.retest.to_json(),
                "same_again": one.same_again,
            }
            for one in found.raters
        ],
        "coincidences": found.coincidences,
        "dawid_skene": _estimates(found),
        "look": [
            {"id": one.id, "emotion": one.emotion, "entropy": one.entropy, "reasons": list(one.reasons)}
            for one in found.look
        ],
    }
    return body


def _estimates(found: InterRaterAgreement) -> dict[str, Any]:
    if found.estimates is None:
        return {"not_defined": "no clip has two raters"}
    both = [one for one in found.verdicts if one.emotion is not None and one.likeliest is not None]
    return {
        "shares": found.estimates.shares.tolist(),
        "errors": dict(zip(found.table.raters, found.estimates.errors.tolist(), strict=True)),
        "iterations": found.estimates.iterations,
        "converged": found.estimates.converged,
        "like_majority": sum(one.emotion == one.likeliest for one in both) / len(both) if both else None,
    }


def _interval(one: Coefficient) -> list[float] | None:
    return None if one.low is None or one.high is None else [one.low, one.high]


def _rest(one: Coefficient) -> dict[str, Any]:
    reason = {} if one.reason is None else {"not_defined": one.reason}
    return {"interval": _interval(one), **reason}
