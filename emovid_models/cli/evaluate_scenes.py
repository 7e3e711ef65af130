"""`emovid evaluate --protocol scenes`: judge one or two models' videos, write the record, print the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.store import joined, write_file
from emovid_dataset.terminal import print_table
from emovid_models.cli.evaluated import annotator_folder
from emovid_models.records import EVALUATION

if TYPE_CHECKING:
    from emovid_dataset.engine import Executor

_NOTE = (
    "Judged by the miniature annotator, which is for trying things out: the figures show that the protocol "
    "works, not how good a generator is. Give --annotator."
)


def judge_scenes(
    folders: Mapping[str, str],
    tables: Mapping[str, str],
    tasks: Sequence[str],
    *,
    out: str,
    videos_out: str | None,
    generated: dict[str, Any] | None,
    annotator: str | None,
    held_out: str | None,
    split: str,
    abstain: float | None,
    batch_size: int,
    device: str | None,
    engine: Executor,
    allow_rejected: bool,
    as_json: bool,
) -> None:
    """Judge the videos of one or two models.

    Args:
        folders: path or URL of the videos by the model's name, "videos", or "base" and perhaps "lora".
        tables: of what they were asked for, by the same names.
        tasks: whose rows of the paper stand below the table.
        out: path or URL of the folder of the record.
        videos_out: of what is judged of "videos"; None for a folder of its own in `out`.
        generated: how the videos were generated; None for given ones.
        annotator: who judges; None is the miniature.
        held_out: a build of real clips, or None.
        split: of that build.
        abstain: confidence below which answers are withheld.
        batch_size: videos that the judge sees at once.
        device: of the judge.
        engine: who judges.
        allow_rejected: count missing videos as wrong.
        as_json: print the outcome as JSON.

    Raises:
        OSError, ValueError: the judge cannot be loaded, or videos or tables cannot be read.
        typer.Exit: a video could not be judged.
    """
    from emovid_models import evaluation
    from emovid_models.evaluation.judge_reliability import judge_reliability, print_reliability
    from emovid_models.library_bars import library_bars
    from emovid_models.miniature import is_miniature

    with library_bars("transformers", shown=not as_json):
        judge = evaluation.load_judge(annotator, device=device, by_workers=not engine.is_this_process)
    judged = {
        name: evaluation.judge_videos(
            folder,
            tables[name],
            judge,
            out=videos_out if name == "videos" and videos_out is not None else joined(out, f"judged-{name}"),
            batch_size=batch_size,
            allow_missing=allow_rejected,
            engine=engine,
            progress=not as_json,
        )
        for name, folder in folders.items()
    }
    miniature = annotator is None or is_miniature(annotator_folder(annotator))
    figures = {name: evaluation.score(found) for name, found in judged.items()}
    rows = [evaluation.table_row(name, found) for name, found in figures.items()]
    result: dict[str, Any] = {
        "judge": judge.identity,
        "miniature": miniature,
        "figures": {name: evaluation.to_record(found) for name, found in figures.items()},
    }
    if generated is not None:
        result["generated"] = generated
    judged_all = dict(judged)
    comparison = None
    if len(judged) == 2:
        comparison = evaluation.compare(*judged.values())
        result["comparison"] = evaluation.to_record(comparison)
    if held_out is not None:
        real = evaluation.judge_clips(
            held_out,
            judge,
            split=split,
            out=joined(out, "judged-real"),
            batch_size=batch_size,
            engine=engine,
            progress=not as_json,
        )
        judged_all["held_out"] = real
        result["held_out"] = evaluation.to_record(evaluation.score(real))
        rows.append(evaluation.table_row("real clips, what the annotator reaches", evaluation.score(real)))
    reliable = {name: judge_reliability(found, abstain) for name, found in judged_all.items()}
    result["reliability"] = reliable
    eight = judge.taxonomy == MIKELS  # the paper says nothing of others
    if eight:
        result["paper"] = evaluation.paper_record()
    failed = [video for found in judged.values() for video in found.failed]
    result["failed"] = [{"file": video.file, "error": video.error} for video in failed]
    written = {**result, "judgements": {name: evaluation.to_record(found) for name, found in judged.items()}}
    write_file(
        joined(out, EVALUATION),
        (json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    )
    if as_json:
        print(json.dumps({"out": joined(out, EVALUATION), **result}, allow_nan=False))
    else:
        for video in failed:
            print(f"{video.file}: {video.error}")
        if miniature:
            print(_NOTE)
        rows += [evaluation.paper_row(task) for task in tasks] if eight else []
        reused = sum(found.reused for found in judged.values())
        columns = evaluation.table_columns(next(iter(figures.values())))
        print_table(f"Judged by {judge.identity}, {reused} from an earlier run", columns, rows)
        print_reliability(reliable)
        if comparison is not None:
            second = list(judged)[1]
            print(
                f"Same prompts and seeds: right in both {comparison.both}, in base alone "
                f"{comparison.base_only}, in {second} alone {comparison.lora_only}; exact McNemar test, "
                f"two-sided: p = {comparison.mcnemar_p:.3g}"
            )
    if failed and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)
