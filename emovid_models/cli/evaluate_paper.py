"""`emovid evaluate --protocol paper`: the paper's benchmark, its six columns, and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.store import joined, without_credentials, write_file
from emovid_dataset.terminal import print_table
from emovid_models.cli.arguments import (
    check_annotator,
    check_build,
    check_device,
    check_knows_the_eight,
    check_model_kind,
)
from emovid_models.cli.evaluated import (
    ComparedLoras,
    annotator_folder,
    asked_wording,
    frames_of_base,
    generate_models,
    hashes,
)
from emovid_models.records import EVALUATION
from emovid_models.remote.wan.conditioning import DEFAULT_WORDING

if TYPE_CHECKING:
    from emovid_dataset.engine import Executor
    from emovid_models.evaluation import Judge, Judged
    from emovid_models.evaluation.benchmark import BenchmarkTask
    from emovid_models.evaluation.measuring import Measured, Networks
    from emovid_models.evaluation.paper import Task

TABLE_NAME = "evaluation.md"
"""The table as Markdown, beside `EVALUATION`."""

_MINIATURE = (
    "Judged by the miniature annotator: the figures show that the code runs, and nothing about a generator. "
    "Give --annotator."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOptions:
    """What the command was asked for; the names are those of its options."""

    data: str
    task: Task
    base: str | None
    loras: ComparedLoras
    wording: str | None
    videos: str | None
    against: str | None
    out: str | None
    per_emotion: int | None
    annotator: str | None
    clip: str | None
    videomae: str | None
    size: str
    frames: int | None
    steps: int
    guidance: float
    emotion_guidance: float | None
    intensity: float
    negative: str | None
    seed: int
    offload: bool
    batch_size: int
    abstain: float | None
    engine: Executor
    device: str | None
    allow_rejected: bool
    as_json: bool


def evaluate_paper(options: PaperOptions) -> None:
    """Run the protocol: check everything, generate where a base is given, judge, measure, write, print.

    Args:
        options: of the command.

    Raises:
        ValueError, OSError: an argument does not work, or something cannot be read or made.
        typer.Exit: a video could not be judged or measured.
    """
    from emovid_dataset.schema.benchmark import BENCHMARK
    from emovid_models.evaluation.benchmark import read_benchmark, write_prompts

    if options.base is not None and options.out is None:
        raise ValueError("--base needs --out FOLDER for what is generated")
    check_build("--data", options.data, (BENCHMARK,))
    benchmark = read_benchmark(options.data, options.task, per_emotion=options.per_emotion)
    if options.base is None and options.videos is None:
        assert options.out is not None
        write_prompts(benchmark, options.out)
        _say_what_was_written(benchmark, options.out, as_json=options.as_json)
        return
    need("models", "transformers", "safetensors", "evaluate")
    check_device(options.device)
    if options.annotator is not None:
        check_annotator("--annotator", options.annotator)
        check_knows_the_eight(options.annotator, "--protocol paper")
    for name, kind in (("clip", "clip"), ("videomae", "videomae")):
        if (model := getattr(options, name)) is not None:
            check_model_kind(f"--{name}", model, kind)

    from emovid_models import evaluation
    from emovid_models.evaluation.measuring import Networks
    from emovid_models.library_bars import library_bars

    out = options.out if options.out is not None else joined(str(options.videos), "judged")
    benchmark = write_prompts(benchmark, out)
    folders, generated = _videos(options, benchmark, out)
    with library_bars("transformers", shown=not options.as_json):
        judge = evaluation.load_judge(
            options.annotator, device=options.device, by_workers=not options.engine.is_this_process
        )
    networks = Networks(options.clip, options.videomae, options.device)
    judged = _judge(options, benchmark, folders, judge, out, options.engine)
    measured = {
        name: _measure(options, benchmark, folder, networks, joined(out, f"measured-{name}"), options.engine)
        for name, folder in {**folders, "real": None}.items()
    }
    outcome = _Outcome(options, benchmark, judge, networks, judged, measured, generated)
    outcome.write(out)
    outcome.show(out)
    if outcome.failed and not options.allow_rejected:
        raise typer.Exit(FOUND_WRONG)


def _say_what_was_written(benchmark: BenchmarkTask, out: str, *, as_json: bool) -> None:
    from emovid_models.evaluation.benchmark import PROMPTS_NAME

    place = joined(out, PROMPTS_NAME)
    if as_json:
        print(
            json.dumps(
                {"out": place, "n": len(benchmark.prompts), "benchmark": benchmark.identity}, allow_nan=False
            )
        )
    else:
        print(
            f"{place}: {len(benchmark.prompts)} prompts; call each video {{id}}.mp4 and give --videos FOLDER"
        )


def _videos(
    options: PaperOptions, benchmark: BenchmarkTask, out: str
) -> tuple[dict[str, str], dict[str, Any] | None]:
    """The folder of every model's videos, and for generated ones how they were made."""
    from emovid_models import evaluation
    from emovid_models.wan.generate import check_orders

    if options.base is None:
        assert options.videos is not None
        against = {} if options.against is None else {"base": options.against}
        return {**against, "videos": options.videos}, None
    prompts = list(benchmark.prompts)
    orders = evaluation.plan_orders(prompts, seed=options.seed, intensity=options.intensity)
    check_orders(orders, *parse_frame_size(options.size))
    frames = options.frames or frames_of_base(options.base)
    folders = generate_models(
        options.base,
        options.loras,
        prompts,
        out,
        wording=options.wording,
        size=options.size,
        seed=options.seed,
        intensity=options.intensity,
        offload=options.offload,
        engine=options.engine,
        progress=not options.as_json,
        num_frames=frames,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        emotion_guidance_scale=options.emotion_guidance,
        negative_prompt=options.negative,
    )
    guidance = options.guidance if options.emotion_guidance is None else options.emotion_guidance
    generated = {
        "task": options.task,
        "weights": {
            "base": hashes(options.base, "**/*.safetensors"),
            "lora": options.loras.hashes(),
        },
        "settings": {
            "protocol": "paper",
            "size": options.size,
            "num_frames": frames,
            "steps": options.steps,
            "guidance_scale": options.guidance,
            "emotion_guidance_scale": guidance,
            "negative_prompt": options.negative,
            "intensity": options.intensity,
            "wording": asked_wording(options.base, options.loras, options.wording),
            **options.loras.settings(),
            "seed": options.seed,
            "content_types": sorted({prompt.content_type for prompt in prompts}),
            "own_prompts": False,
        },
    }
    return folders, generated


def _judge(
    options: PaperOptions,
    benchmark: BenchmarkTask,
    folders: Mapping[str, str],
    judge: Judge,
    out: str,
    engine: Executor,
) -> dict[str, Judged]:
    """What the judge says of every model's videos, and under "real" of the benchmark's own clips."""
    from emovid_dataset.schema.benchmark import BENCHMARK
    from emovid_models import evaluation

    table = joined(out, evaluation.INTENDED_NAME)
    rows = [evaluation.Intended(f"{one.id}.mp4", one.emotion, one.prompt) for one in benchmark.prompts]
    evaluation.write_intended(table, rows)
    shared: dict[str, Any] = {
        "batch_size": options.batch_size,
        "engine": engine,
        "progress": not options.as_json,
    }
    judged = {
        name: evaluation.judge_videos(
            folder,
            table,
            judge,
            out=joined(out, f"judged-{name}"),
            allow_missing=options.allow_rejected,
            **shared,
        )
        for name, folder in folders.items()
    }
    real = evaluation.judge_clips(
        options.data, judge, split=BENCHMARK, out=joined(out, "judged-real"), **shared
    )
    wanted = {prompt.id for prompt in benchmark.prompts}
    kept = tuple(video for video in real.videos if video.file in wanted)
    return {**judged, "real": replace(real, videos=kept)}


def _measure(
    options: PaperOptions,
    benchmark: BenchmarkTask,
    folder: str | None,
    networks: Networks,
    out: str,
    engine: Executor,
) -> list[Measured]:
    """What was measured on a model's videos, or without a folder on the benchmark's own clips."""
    from emovid_models.annotator.items import clip_item, find_items
    from emovid_models.evaluation.measuring import Measurable, measure_videos

    texts = benchmark.texts()
    if folder is None:
        items = [clip_item(benchmark.selection, place) for place in range(len(benchmark.selection))]
        items_by_id = {item.key: item for item in items}
    else:
        items_by_id = {item.key.removesuffix(".mp4"): item for item in find_items(folder)}
    videos = [
        # neither a build nor a folder has segments
        Measurable(item.key, item.version, item.open, texts[prompt.id], prompt.image)  # type: ignore[arg-type]
        for prompt in benchmark.prompts
        if (item := items_by_id.get(prompt.id)) is not None
    ]
    measured, _ = measure_videos(videos, networks, out, engine=engine, progress=not options.as_json)
    return measured


class _Outcome:
    """What the command found, as a record and as a table.

    Args:
        options: of the command.
        benchmark: what was asked for.
        judge: who judged.
        networks: where features come from.
        judged: by model, and under "real" the benchmark's own clips.
        measured: the same.
        generated: how the videos were made; None for those of any generator.
    """

    def __init__(
        self,
        options: PaperOptions,
        benchmark: BenchmarkTask,
        judge: Judge,
        networks: Networks,
        judged: Mapping[str, Judged],
        measured: Mapping[str, Sequence[Measured]],
        generated: Mapping[str, Any] | None,
    ) -> None:
        from emovid_models import evaluation
        from emovid_models.evaluation.judge_reliability import judge_reliability
        from emovid_models.evaluation.protocol import paper_figures
        from emovid_models.miniature import is_miniature

        self.options, self.benchmark, self.judge, self.networks = options, benchmark, judge, networks
        self.judged, self.measured, self.generated = judged, measured, generated
        self.wording = DEFAULT_WORDING if generated is None else generated["settings"]["wording"]
        self.miniature = options.annotator is None or is_miniature(annotator_folder(options.annotator))
        self.figures = {name: evaluation.score(found) for name, found in judged.items()}
        self.reliability = {name: judge_reliability(found, options.abstain) for name, found in judged.items()}
        self.rows = {
            name: paper_figures(
                measured[name],
                self.figures[name],
                task=options.task,
                networks=networks,
                reference=None if name == "real" else measured["real"],
            )
            for name in judged
        }
        models = [name for name in judged if name != "real"]
        self.second = models[-1]
        pair = [judged[name] for name in models] if len(models) == 2 else None
        self.comparison = None if pair is None else evaluation.compare(*pair)
        self.valences = None if pair is None else evaluation.compare_valence(*pair)
        failures = [(one.file, one.error) for found in judged.values() for one in found.failed]
        failures += [(one.file, one.error) for found in measured.values() for one in found if one.error]
        self.failed = [{"file": file, "error": error} for file, error in dict.fromkeys(failures)]

    def record(self) -> dict[str, Any]:
        """All of it but single videos, as JSON values."""
        from emovid_dataset.schema.benchmark import BENCHMARK
        from emovid_models import evaluation
        from emovid_models.evaluation.paper import published_record

        options, benchmark = self.options, self.benchmark
        models = [name for name in self.judged if name != "real"]
        record: dict[str, Any] = {
            "protocol": {
                "name": "paper",
                "task": options.task,
                "data": without_credentials(options.data),
                "split": BENCHMARK,
                "benchmark": benchmark.identity,
                "n": len(benchmark.prompts),
                "wording": self.wording,
                "cells": benchmark.cells(),
                "networks": {
                    name: None if model is None else {"model": model, "identity": identity}
                    for (name, identity), model in zip(
                        self.networks.identities().items(),
                        (options.clip, options.videomae),
                        strict=True,
                    )
                },
            },
            "judge": self.judge.identity,
            "miniature": self.miniature,
            "figures": {name: evaluation.to_record(self.figures[name]) for name in models},
            "measures": {name: self.rows[name].record() for name in models},
            "real": {
                "figures": evaluation.to_record(self.figures["real"]),
                "measures": self.rows["real"].record(),
            },
        }
        record["reliability"] = self.reliability
        if self.generated is not None:
            record["generated"] = self.generated
        if self.comparison is not None and self.valences is not None:
            record["comparison"] = evaluation.to_record(self.comparison)
            record["comparison_2cls"] = evaluation.to_record(self.valences)
        record["paper"] = evaluation.paper_record()
        record["published"] = published_record(options.task)
        record["failed"] = self.failed
        return record

    def table(self) -> tuple[str, list[list[object]]]:
        """Title and rows: the models, the real clips, and the paper's own values."""
        from emovid_models.evaluation.paper import published_rows
        from emovid_models.evaluation.protocol import published_row

        task = {"t2v": "text to video", "i2v": "image to video"}[self.options.task]
        names = {"real": "real clips of the benchmark"}
        rows = [row.row(names.get(name, name)) for name, row in self.rows.items()]
        rows += [published_row(row) for row in published_rows(self.options.task)]
        return f"The paper's protocol, {task}, judged by {self.judge.identity}", rows

    def notes(self) -> list[str]:
        """What to know before the table is read, and the paired tests."""
        from emovid_models.evaluation.paper import CAUTIONS, SOURCE, N
        from emovid_models.evaluation.protocol import NOTES, paired_text

        notes = [_MINIATURE] if self.miniature else []
        if self.wording != DEFAULT_WORDING:
            notes.append(f"Generated in the wording {self.wording}, not with the paper's sentence.")
        if (found := self.comparison) is not None and (valences := self.valences) is not None:
            notes += [
                paired_text(name, self.second, one.mcnemar_p, one.base_only, one.lora_only)
                for name, one in (("EA-2cls", valences), ("EA-8cls", found))
            ]
        notes += NOTES
        scores = {name: row.temporal_flicker.details.get("vbench") for name, row in self.rows.items()}
        shown = ", ".join(f"{name} {score:.4f}" for name, score in scores.items() if score is not None)
        notes += [f"Temporal flicker as VBench's score, higher is better: {shown}."] if shown else []
        real = self.rows["real"]
        for row in self.rows.values():
            if row.fvd.value is not None:
                apart = row.fvd.details["halves_of_the_real"]
                real_clips = row.fvd.details["real"]
                notes.append(f"FVD between random halves of the {real_clips} real clips: {apart:.1f}.")
                break
        if truncated := real.clip_score.details.get("truncated"):
            notes.append(
                f"CLIP score: {truncated} of {real.n} texts are longer than CLIP reads; they were cut off."
            )
        cautions = " ".join(CAUTIONS[self.options.task])
        notes.append(f"The paper's rows: {SOURCE}, n = {N}, with other judge weights. {cautions}")
        return notes

    def write(self, out: str) -> None:
        """Write the record with every single video, and the table as Markdown."""
        from emovid_models import evaluation
        from emovid_models.evaluation.protocol import COLUMNS
        from emovid_models.evaluation.table_formats import markdown

        written = {
            **self.record(),
            "judgements": {name: evaluation.to_record(found) for name, found in self.judged.items()},
            "measured": {
                name: [
                    {k: v for k, v in asdict(one).items() if k not in ("feature", "from_frames")}
                    for one in found
                ]
                for name, found in self.measured.items()
            },
        }
        write_file(
            joined(out, EVALUATION),
            (json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        )
        title, rows = self.table()
        write_file(joined(out, TABLE_NAME), markdown(title, COLUMNS, rows, self.notes()).encode())

    def show(self, out: str) -> None:
        """Print it, as a table or as JSON."""
        from emovid_models.evaluation.judge_reliability import print_reliability
        from emovid_models.evaluation.protocol import COLUMNS

        if self.options.as_json:
            print(json.dumps({"out": joined(out, EVALUATION), **self.record()}, allow_nan=False))
            return
        for failure in self.failed:
            print(f"{failure['file']}: {failure['error']}")
        title, rows = self.table()
        print_table(title, COLUMNS, rows)
        print_reliability(self.reliability)
        print("\n".join(self.notes()))
