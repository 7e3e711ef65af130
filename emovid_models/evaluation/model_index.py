"""A system's figures as the Hub shows them on a model card: `EvalResult`, and its `model-index`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emovid_models.evaluation.result import Result
from emovid_models.evaluation.result_tables import by_judge
from emovid_models.evaluation.statistics import Share

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_TASKS = {"t2v": "text-to-video", "i2v": "image-to-video", None: "text-to-video"}


def eval_results(result: Result, system: str) -> list[EvalResult]:
    """The figures of a system, by every judge.

    Args:
        result: of the evaluation.
        system: name of the system.

    Returns:
        EA of the emotions and, where there are valences, of these; each with its interval, with n and the
        failed among them, and with what its judge is worth.

    Raises:
        ValueError: there is no such system.
    """
    from huggingface_hub import EvalResult

    result.of(system)
    prompts = result.prompts
    kind = (
        "given requests" if prompts is None else f"{prompts.name}, version {prompts.version or 'of its own'}"
    )
    found = []
    for one in by_judge(result):
        ranked = next(ranked for ranked in one.ranking.systems if ranked.name == system)
        accuracy = None if one.fitness.figures is None else one.fitness.figures.ea_8cls
        shared: dict[str, Any] = {
            "videos": ranked.figures.n,
            "failed": ranked.figures.unscored,
            "judge": one.judge.identity,
            "judge_accuracy_on_real_clips": None if accuracy is None else accuracy.value,
            "judge_unfit": None if accuracy is None else one.fitness.is_unfit,
            "inputs": result.inputs,
        }
        shares: dict[str, Share | None] = {ranked.figures.ea_name: ranked.ea, "EA-2cls": ranked.valence}
        found += [
            EvalResult(
                task_type=_TASKS[result.task],
                task_name="Video with an emotion",
                dataset_type="prompts",
                dataset_name=f"{kind}, {ranked.figures.n} videos",
                dataset_revision=None if prompts is None else prompts.sha256,
                metric_type="ea_8cls",
                metric_name=f"{name}, judged by {one.judge.identity}",
                metric_value=share.value,
                metric_args={"interval_95": [share.low, share.high], **shared},
            )
            for name, share in shares.items()
            if share is not None
        ]
    return found


def model_index(result: Result, system: str) -> str:
    """The YAML that belongs at the top of a model's card.

    Args:
        result: of the evaluation.
        system: name of the system.

    Raises:
        ValueError: there is no such system.
    """
    import yaml
    from huggingface_hub.repocard_data import eval_results_to_model_index

    index = eval_results_to_model_index(system, eval_results(result, system))
    return yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True)
