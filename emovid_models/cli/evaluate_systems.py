"""`emovid evaluate SYSTEM...`: generate, let every judge judge every system, write the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.store import joined, read_file
from emovid_dataset.terminal import print_table
from emovid_models.cli.arguments import (
    MINI,
    annotator_taxonomy,
    base_folder,
    base_problem,
    check_annotator,
    check_build,
    check_device,
    check_knows_the_eight,
    check_model_kind,
)
from emovid_models.cli.evaluated import DEFAULTS, MINI_DEFAULTS, annotator_folder, frames_of_base

if TYPE_CHECKING:
    from emovid_dataset.engine import Executor
    from emovid_models.evaluation import Prompt
    from emovid_models.evaluation.judging_systems import JudgeSource, SystemVideos
    from emovid_models.evaluation.result import PromptSet, Result
    from emovid_models.evaluation.systems import Generator
    from emovid_models.wan.loading import PipelineSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOptions:
    """What the command was asked for; the names are those of its options.

    Attributes:
        named: the arguments SYSTEM.
        file: of `--systems`.
        judges: of `--annotator` and `--judge`; empty for the miniature.
        settings: of the generation, where a system does not set its own; None is the base's default.
    """

    named: tuple[str, ...]
    file: str | None
    judges: tuple[str, ...]
    out: str | None
    held_out: str | None
    split: str
    content_type: str | None
    prompts: str | None
    per_emotion: int | None
    settings: Mapping[str, Any]
    seed: int
    offload: bool
    batch_size: int
    clip: str | None
    videomae: str | None
    engine: Executor
    device: str | None
    allow_rejected: bool
    as_json: bool


def refuse_others(given: Mapping[str, object]) -> None:
    """Refuse options that say in another way what is evaluated.

    Args:
        given: options by name; None, False and empty ones were not given.

    Raises:
        ValueError: names the first that was.
    """
    for name, value in given.items():
        if value:
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            raise ValueError(f"--{name} {shown} does not go with SYSTEM and --systems")


def evaluate_systems(options: SystemOptions) -> None:
    """Run the evaluation: check everything, generate, judge, write the result, print its tables.

    Args:
        options: of the command.

    Raises:
        ValueError, OSError: an argument does not work, or something cannot be read or made.
        typer.Exit: a video could not be judged.
    """
    from emovid_models.evaluation.systems import GivenVideos, find_systems, read_systems

    if options.out is None:
        raise ValueError("SYSTEM needs --out FOLDER for the result")
    known = read_systems(options.file) if options.file is not None else []
    systems = find_systems(options.named, known)
    generators = [one for one in systems if not isinstance(one, GivenVideos)]
    for one in generators:
        if one.base != MINI and (problem := base_problem(one.base)) is not None:
            raise ValueError(f"system {one.name}: base{problem}")
    if not generators:
        asked = {name: getattr(options, name) for name in ("content_type", "prompts", "per_emotion")}
        for name, value in asked.items():
            if value is not None:
                raise ValueError(f"--{name.replace('_', '-')} {value} needs a system with a base")
    judges: tuple[str | None, ...] = options.judges or (None,)
    taxonomy = annotator_taxonomy(judges[0])
    for judge in options.judges:
        check_annotator("--judge", judge)
        if generators:
            check_knows_the_eight(judge, f"system {generators[0].name}")
    if options.held_out is not None:
        check_build("--held-out", options.held_out, (options.split,), taxonomy=taxonomy)
    for kind, model in (("clip", options.clip), ("videomae", options.videomae)):
        if model is not None:
            check_model_kind(f"--{kind}", model, kind)
    need("models", "transformers", "safetensors", "evaluate")
    check_device(options.device)

    from emovid_models.evaluation.judging_systems import RealSource, SystemVideos, judge_systems
    from emovid_models.evaluation.result import write_result

    wanted: list[Prompt] = []
    prompts: PromptSet | None = None
    if generators:
        wanted, prompts = _prompts(options)
    generated = _generate(generators, wanted, options)
    videos = [
        SystemVideos(name=one.name, folder=one.videos, intended=one.intended)
        if isinstance(one, GivenVideos)
        else generated[one.name]
        for one in systems
    ]
    result = judge_systems(
        videos,
        [_judge(judge, options) for judge in judges],
        options.out,
        taxonomy=taxonomy,
        real=None if options.held_out is None else RealSource(options.held_out, options.split),
        task=None if not wanted else "t2v" if wanted[0].image is None else "i2v",
        prompts=prompts,
        content_types={f"{prompt.id}.mp4": prompt.content_type for prompt in wanted},
        settings=_networks(options),
        batch_size=options.batch_size,
        allow_missing=options.allow_rejected,
        engine=options.engine,
        progress=not options.as_json,
    )
    # first as it is: what was judged stays, whatever becomes of the scores
    result = write_result(_scored(write_result(result, options.out), options), options.out)
    _show(result, options)
    if not options.allow_rejected and any(video.failure for video in result.videos):
        raise typer.Exit(FOUND_WRONG)


def _networks(options: SystemOptions) -> dict[str, Any]:
    """The networks that were named, by what they hold; they are among what went in."""
    from emovid_models.evaluation.measuring import Networks

    named = Networks(options.clip, options.videomae).identities()
    return {name: identity for name, identity in named.items() if identity is not None}


def _scored(result: Result, options: SystemOptions) -> Result:
    """The result with the scores that no judge gives."""
    from emovid_dataset.read.select import select
    from emovid_models.annotator.items import clip_item
    from emovid_models.evaluation.measuring import Networks
    from emovid_models.evaluation.paper_measures import add_paper_measures
    from emovid_models.evaluation.system_scores import add_frame_scores, add_system_scores

    real = {}
    if options.held_out is not None:
        selection = select(options.held_out, split=options.split)
        items = [clip_item(selection, place) for place in range(len(selection))]
        real = {item.key: item.open for item in items}
    result = add_frame_scores(
        result,
        joined(str(options.out), "measured"),
        real=real,  # type: ignore[arg-type]  # a build has no segments
        engine=options.engine,
        progress=not options.as_json,
    )
    result = add_system_scores(result, device=options.device)
    return add_paper_measures(
        result,
        joined(str(options.out), "paper-measures"),
        networks=Networks(options.clip, options.videomae, options.device),
        real=real,  # type: ignore[arg-type]  # a build has no segments
        engine=options.engine,
        progress=not options.as_json,
    )


def _prompts(options: SystemOptions) -> tuple[list[Prompt], PromptSet]:
    from emovid_models import evaluation
    from emovid_models.evaluation.prompts import PROMPTS_VERSION, unbalanced_scenes
    from emovid_models.evaluation.result import PromptSet

    if options.prompts is None:
        name = options.content_type or "sticker"
        place, version = str(evaluation.PROMPTS / f"{name}.jsonl"), PROMPTS_VERSION
    else:
        name, place, version = Path(options.prompts).name, options.prompts, None
    wanted = evaluation.read_prompts(place)
    if options.per_emotion is not None:
        wanted = evaluation.take_per_emotion(wanted, options.per_emotion)
    digest = hashlib.sha256(read_file(place)).hexdigest()
    return wanted, PromptSet(
        name=name,
        version=version,
        sha256=digest,
        count=len(wanted),
        unbalanced=len(unbalanced_scenes(wanted)),
    )


def _generate(
    generators: Sequence[Generator], wanted: list[Prompt], options: SystemOptions
) -> dict[str, SystemVideos]:
    """The videos of every generator by its name; one model is in memory at a time."""
    from emovid_models import evaluation
    from emovid_models.wan.generate import check_orders
    from emovid_models.wan.loading import check_model

    if not generators:
        return {}
    need("models", "diffusers", "transformers", "peft", "ftfy")
    i2v = wanted[0].image is not None
    all_settings = {}
    # All of them, before the first takes hours.
    for one in generators:
        settings = _settings(one, options.settings)
        orders = evaluation.plan_orders(wanted, seed=options.seed, intensity=settings["intensity"])
        check_orders(orders, *parse_frame_size(settings["size"]))
        base = base_folder(one.base, image_to_video=i2v)
        check_model(base, image_to_video=i2v, lora=one.loras, emotion_lora=one.emotion_lora)
        all_settings[one.name] = settings
    return {
        one.name: _generate_one(one, _source(one, i2v, options), wanted, all_settings[one.name], options)
        for one in generators
    }


def _source(one: Generator, i2v: bool, options: SystemOptions) -> PipelineSource:
    from emovid_models.wan.loading import PipelineSource

    return PipelineSource(
        base_folder(one.base, image_to_video=i2v),
        image_to_video=i2v,
        lora=one.loras,
        emotion_lora=one.emotion_lora,
        offload=options.offload,
        show_loading=not options.as_json,
        threads=options.engine.threads,
    )


def _generate_one(
    one: Generator,
    source: PipelineSource,
    wanted: list[Prompt],
    settings: dict[str, Any],
    options: SystemOptions,
) -> SystemVideos:
    from emovid_models import evaluation
    from emovid_models.cli.evaluated import shown_lora
    from emovid_models.evaluation.judging_systems import SystemVideos

    frames = settings["frames"] or frames_of_base(source.model)
    wording = source.wording_of(settings["wording"])
    height, width = parse_frame_size(settings["size"])
    identity = source.identity()
    folder = joined(joined(str(options.out), "videos"), one.name)
    adapter = source.emotion_adapter
    table = evaluation.generate_videos(
        source,
        wanted,
        folder,
        model=identity,
        seed=options.seed,
        intensity=settings["intensity"],
        wording=wording,
        engine=options.engine,
        progress=not options.as_json,
        height=height,
        width=width,
        num_frames=frames,
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance"],
        emotion_guidance_scale=settings["emotion_guidance"],
        negative_prompt=settings["negative"],
        **({} if adapter is None else {"emotion_adapter": adapter}),
    )
    return SystemVideos(
        name=one.name,
        folder=folder,
        intended=table,
        identity=identity,
        base=Path(one.base).name if Path(one.base).is_dir() else one.base,
        loras=tuple(map(shown_lora, one.loras)),
        settings={**settings, "frames": frames, "wording": wording, "seed": options.seed},
    )


def _settings(one: Generator, shared: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a generator: its own, else the command's, else the defaults of its base."""
    defaults = MINI_DEFAULTS if one.base == MINI else DEFAULTS
    settings = {
        name: defaults.get(name) if value is None else value
        for name, value in {**shared, **one.settings}.items()
    }
    if settings["emotion_guidance"] is None:
        settings["emotion_guidance"] = settings["guidance"]
    return settings


def _judge(source: str | None, options: SystemOptions) -> JudgeSource:
    from emovid_models import evaluation
    from emovid_models.evaluation.judging_systems import JudgeSource
    from emovid_models.library_bars import library_bars
    from emovid_models.miniature import is_miniature

    def load() -> evaluation.Judge:
        with library_bars("transformers", shown=not options.as_json):
            return evaluation.load_judge(
                source, device=options.device, by_workers=not options.engine.is_this_process
            )

    if source is None:
        return JudgeSource("the miniature annotator", load, lambda: True)
    chosen = source
    shown = Path(chosen).resolve().name if Path(chosen).is_dir() else chosen
    return JudgeSource(shown, load, lambda: is_miniature(annotator_folder(chosen)))


def _show(result: Result, options: SystemOptions) -> None:
    from emovid_models.evaluation.result import RESULT_NAME
    from emovid_models.evaluation.result_tables import result_rows, result_tables

    place = joined(str(options.out), RESULT_NAME)
    failed = [
        {"system": video.system, "file": video.file, "error": video.failure}
        for video in result.videos
        if video.failure
    ]
    if options.as_json:
        record = {"out": place, "inputs": result.inputs, "systems": result_rows(result), "failed": failed}
        print(json.dumps(record, allow_nan=False))
        return
    for one in failed:
        print(f"{one['system']}, {one['file'] or 'no file'}: {one['error']}")
    for table in result_tables(result):
        print("\n".join(table.above))
        print_table(table.title, table.columns, table.rows)
        print("\n".join(table.below))
    print(f"{place}; emovid report {options.out} makes pages and tables of it")
