"""Calls every function that shows progress, on small input: `python progress_calls.py FOLDER yes|no`.

With "no", the commands follow, each with --json.

Stderr is told before each call which function comes, in a line of its own.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / name) for name in ("annotator", "hub_server", "wan")]

MARK = "\x1e"
"""Stands before the name of a function; no progress display writes it."""


def calls(folder: Path) -> dict[Callable[..., Any], Callable[[bool], object]]:
    """For every function with a parameter `progress`, a call of it with that parameter.

    They are called in this order: some make what the next ones need.
    """
    from annotator_tiny import tiny_model, tiny_processor
    from diffusers import WanPipeline
    from hub_clients import WRITE
    from hub_server import Account, HubServer
    from PIL import Image
    from pyarrow import parquet
    from wan_tiny import t2v_components

    from emovid_dataset.analyse.analyses import analyse_build
    from emovid_dataset.analyse.sound import measure_sound
    from emovid_dataset.builder.append import append
    from emovid_dataset.builder.build import build
    from emovid_dataset.builder.proxy import make_proxy
    from emovid_dataset.builder.remove import remove
    from emovid_dataset.builder.repair import repair
    from emovid_dataset.check import check_build, verify
    from emovid_dataset.cut import cut_films
    from emovid_dataset.engine import Serial
    from emovid_dataset.label.items import read_sheet_clips
    from emovid_dataset.report.page import contact_sheets, draw_clips, write_report
    from emovid_dataset.report.stats import measure
    from emovid_dataset.store import Store
    from emovid_models.annotator import annotate as annotator
    from emovid_models.annotator.annotations import read_annotations
    from emovid_models.annotator.items import find_items
    from emovid_models.annotator.loading import assemble_repo, load_annotator
    from emovid_models.annotator.relabel import relabel_build
    from emovid_models.annotator.timeline import annotate_timeline
    from emovid_models.annotator.train import TrainingConfig, train_annotator
    from emovid_models.cli.evaluated import ComparedLoras, generate_models
    from emovid_models.evaluation import (
        generate_videos,
        judge_clips,
        judge_videos,
        load_judge,
        load_prompts,
        plan_orders,
    )
    from emovid_models.evaluation.judging_systems import JudgeSource, SystemVideos, judge_systems
    from emovid_models.evaluation.measuring import Measurable, Networks, measure_videos
    from emovid_models.evaluation.result import Result, write_result
    from emovid_models.evaluation.system_scores import add_frame_scores
    from emovid_models.publish.repos import assemble
    from emovid_models.publish.upload import push
    from emovid_models.study.build import StudySettings, build_study
    from emovid_models.wan.generate import generate
    from emovid_models.wan.loading import load_pipeline
    from emovid_models.wan.recipes import settings_for
    from emovid_models.wan.sticker import make_stickers
    from emovid_models.wan.train_lora import train_lora

    processor = tiny_processor()
    repo = assemble_repo(folder / "tiny", model=tiny_model(processor), processor=processor, card="# Tiny\n")
    base = folder / "base"
    WanPipeline(**t2v_components()).save_pretrained(base)
    pipeline = load_annotator(repo, device="cpu")
    judge = load_judge(repo, device="cpu")
    pipe = load_pipeline(base, image_to_video=False)
    made = folder / "made"
    prompts = load_prompts("sticker")[:2]
    film = next((folder / "raw").rglob("*.mp4"))
    face = folder / "face.png"
    Image.new("RGB", (64, 64), "white").save(face)
    settings = settings_for(
        "light",
        task="t2v",
        data=str(made),
        base=str(base),
        out=str(folder / "lora"),
        height=32,
        width=48,
        max_frames=5,
        steps=1,
        rank=2,
    )
    small = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 1}

    def send(progress: bool) -> None:
        with HubServer() as server:
            server.accounts[WRITE] = Account("me")
            tree = assemble("dataset", made, repo_id="me/clips")
            push(tree, "me/clips", token=WRITE, endpoint=server.url, progress=progress)

    def less(progress: bool) -> None:
        shutil.copytree(made, folder / "less")
        clip = next((made / "metadata/sticker").glob("train*.parquet"))
        remove(folder / "less", ids=parquet.read_table(clip)["id"].to_pylist()[:1], progress=progress)

    def relabel(progress: bool) -> None:
        answers = read_annotations(folder / "a.parquet")
        relabel_build(made, answers, folder / "relabelled", progress=progress)

    def many(progress: bool) -> Result:
        videos = str(folder / "videos")
        system = SystemVideos(name="one", folder=videos, intended=f"{videos}/intended.csv")
        source = JudgeSource("tiny", lambda: judge)
        return judge_systems([system], [source], folder / "many", taxonomy=judge.taxonomy, progress=progress)

    def score(progress: bool) -> None:
        result = write_result(many(False), folder / "many")
        add_frame_scores(result, folder / "measured", progress=progress)

    def study(progress: bool) -> None:
        results = [f"{name}={folder / 'videos'}" for name in ("one", "two")]
        out = folder / f"study-{progress}"
        build_study(results, out, StudySettings(practice=0, checks=0), progress=progress)

    return {
        build: lambda on: build(
            folder / "raw", folder / "raw/labels.csv", made, workers=1, ratios=(0.4, 0.3, 0.3), progress=on
        ),
        append: lambda on: append(folder / "raw", folder / "raw/labels.csv", made, workers=1, progress=on),
        make_proxy: lambda on: make_proxy(made, short_side=32, workers=1, progress=on),
        remove: less,
        repair: lambda on: repair(made, workers=1, progress=on),
        verify: lambda on: verify(made, workers=1, progress=on),
        check_build: lambda on: check_build(made, workers=1, progress=on),
        measure: lambda on: measure(made, progress=on),
        contact_sheets: lambda on: contact_sheets(
            made, draw_clips(measure(made), count=1, seed=0), progress=on
        ),
        write_report: lambda on: write_report(made, folder / "page.html", clips=1, progress=on),
        read_sheet_clips: lambda on: read_sheet_clips(
            folder / "raw/labels.csv", Store.at(folder / "raw"), progress=on
        ),
        measure_sound: lambda on: measure_sound(made, progress=on),
        analyse_build: lambda on: analyse_build(made, progress=on),
        cut_films: lambda on: cut_films([film], folder / "cut.csv", progress=on),
        annotator.annotate: lambda on: annotator.annotate(
            find_items(made), pipeline, folder / "a.parquet", identity="tiny", progress=on
        ),
        annotate_timeline: lambda on: annotate_timeline(
            find_items(made)[:2],
            pipeline,
            folder / "t.parquet",
            identity="tiny",
            window=1.0,
            stride=1.0,
            progress=on,
        ),
        relabel_build: relabel,
        train_annotator: lambda on: train_annotator(
            made, repo, folder / "trained", TrainingConfig(epochs=0.1, rank=2), progress=on
        ),
        train_lora: lambda on: train_lora(settings, progress=on),
        generate: lambda on: generate(
            pipe, plan_orders(prompts), Store.at(folder / "alone"), model="tiny", progress=on, **small
        ),
        generate_videos: lambda on: generate_videos(
            pipe, prompts, folder / "videos", model="tiny", progress=on, **small
        ),
        judge_videos: lambda on: judge_videos(
            folder / "videos", folder / "videos/intended.csv", judge, progress=on
        ),
        judge_clips: lambda on: judge_clips(made, judge, split="train", out=folder / "real", progress=on),
        judge_systems: many,
        add_frame_scores: score,
        build_study: study,
        generate_models: lambda on: generate_models(
            str(base),
            ComparedLoras(),
            prompts,
            folder / "models",
            size="48x32",
            seed=0,
            intensity=1.0,
            offload=False,
            engine=Serial(),
            progress=on,
            num_frames=5,
            num_inference_steps=1,
        ),
        measure_videos: lambda on: measure_videos(
            [
                Measurable(path.name, "", partial(str, path), "a cat")
                for path in sorted((folder / "videos").glob("*.mp4"))
            ],
            Networks(),
            folder / "measured",
            progress=on,
        ),
        make_stickers: lambda on: make_stickers(
            face, folder / "stickers", emotions=["awe"], size=(64, 64), frames=5, steps=1, progress=on
        ),
        push: send,
    }


def commands(folder: Path) -> list[list[str]]:
    """Every command that takes long, with --json, on what the functions have left."""
    small = ["--size", "48x32", "--steps", "1"]
    tiny, short = ["--annotator", "tiny"], ["--epochs", "0.1", "--rank", "2"]
    lora = ["--task", "t2v", "--data", "made", "--base", "base", "--out", "lora2", "--rank", "2"]
    words = [
        ["build", "raw", "--labels", "raw/labels.csv", "--out", "made2", "--workers", "1"],
        ["build", "raw", "--labels", "raw/labels.csv", "--out", "made2", "--append", "--workers", "1"],
        ["proxy", "made2", "--short-side", "32", "--workers", "1"],
        ["remove", "made2", "--where", "emotion=awe", "--workers", "1"],
        ["repair", "made2", "--workers", "1"],
        ["verify", "made", "--workers", "1"],
        ["stats", "made", "--html", "page2.html", "--clips", "1"],
        ["analyse", "made", "--html", "page3.html"],
        ["cut", "raw", "--out", "cut2.csv"],
        ["annotate", "made", "--model", "tiny", "--out", "b.parquet", "--build", "relabelled2"],
        ["annotate", "made", "--model", "tiny", "--out", "c.parquet", "--workers", "2"],
        ["generate", "a cat", "--model", "base", "--out", "cat.mp4", "--frames", "5", *small],
        ["evaluate", "--videos", "videos", *tiny, "--out", "judged"],
        ["evaluate", "videos", *tiny, "--out", "many2"],
        [
            "evaluate",
            "--base",
            "base",
            "--per-emotion",
            "1",
            "--out",
            "scores",
            *tiny,
            "--frames",
            "5",
            *small,
        ],
        ["train", "annotator", "--data", "made", "--base", "tiny", "--out", "trained2", *short],
        ["train", "lora", "--recipe", "light", *lora, *small, "--max-frames", "5"],
        ["sticker", "face.png", "--out", "stickers2", "--emotion", "awe", "--frames", "5", *small],
        ["push", "dataset", "made", "--repo-id", "me/clips", "--dry-run"],
    ]
    return [[*command, "--json"] for command in words]


if __name__ == "__main__":
    shown = sys.argv[2] == "yes"
    for function, call in calls(Path(sys.argv[1])).items():
        assert "progress" in inspect.signature(function).parameters
        print(f"{MARK}{function.__module__}.{function.__name__}", file=sys.stderr, flush=True)
        call(shown)
    if not shown:
        from emovid_dataset.cli import program

        os.chdir(sys.argv[1])
        for command in commands(Path(sys.argv[1])):
            print(f"{MARK}emovid {' '.join(command)}", file=sys.stderr, flush=True)
            code = program()(command, standalone_mode=False)
            assert not code, f"{command}: exit code {code}"
    print(MARK, file=sys.stderr, flush=True)
