"""The paper's protocol: what its benchmark asks for, the six columns, and the command that fills them."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_networks import save_clip, save_videomae
from typer.testing import CliRunner, Result

from emovid_dataset.builder.build import build
from emovid_dataset.cli import program
from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import select
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import Judged, Judgement
from emovid_models.evaluation.benchmark import PROMPTS_NAME, read_benchmark, write_prompts
from emovid_models.evaluation.measures.clip_model import ClipModel
from emovid_models.evaluation.measures.clip_score import clip_score
from emovid_models.evaluation.measures.first_frame import first_frame_consistency
from emovid_models.evaluation.measures.flicker import temporal_flicker
from emovid_models.evaluation.measures.frechet import FEWEST_VIDEOS, fvd
from emovid_models.evaluation.measures.videomae_model import VideoMaeModel
from emovid_models.evaluation.measuring import Measured, Networks
from emovid_models.evaluation.paper import published_rows
from emovid_models.evaluation.protocol import COLUMNS, paired_text, paper_figures, published_row
from emovid_models.evaluation.table_formats import markdown
from emovid_models.metrics.ea_8cls import ea_8cls
from emovid_models.wan.frames import read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "wan"))
from wan_tiny import i2v_components, t2v_components

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
SMALL = ("--size", "32x32", "--frames", "5", "--steps", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def benchmark_build(tmp_path_factory: pytest.TempPathFactory, stickers: list[dict[str, str]]) -> Path:
    """A build that is all benchmark: two stickers of each emotion."""
    folder = tmp_path_factory.mktemp("benchmark")
    kept = [row for emotion in EMOTIONS for row in [r for r in stickers if r["emotion"] == emotion][:2]]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    ids = [clip_id("sticker", hashlib.sha256((MINI / row["path"]).read_bytes())) for row in kept]
    build(MINI, folder / "labels.csv", folder / "EmoVid", engine="serial", benchmark_ids=ids)
    return folder / "EmoVid"


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = tmp_path_factory.mktemp("networks")
    return Networks(str(save_clip(folder / "clip")), str(save_videomae(folder / "videomae")), "cpu")


def emovid(*arguments: str | Path) -> Result:
    ask = ["evaluate", "--protocol", "paper", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(program(), ask)


def test_the_benchmark_asks_for_each_clips_caption_and_emotion(benchmark_build: Path, tmp_path: Path) -> None:
    benchmark = read_benchmark(benchmark_build, "t2v")
    clips = select(benchmark_build, split=BENCHMARK).clips
    assert len(clips) == 16 and benchmark.cells() == {"sticker": dict.fromkeys(EMOTIONS, 2)}
    asked = [(p.id, p.emotion, p.content_type, p.prompt, p.image) for p in benchmark.prompts]
    assert asked == [(c.id, c.emotion, c.content_type, c.caption, None) for c in clips]
    for clip in clips:
        text = benchmark.texts()[clip.id]
        assert text.startswith(clip.caption) and text.endswith(
            f' The video is in the "{clip.emotion}" emotion.'
        )
    written = write_prompts(benchmark, tmp_path)
    assert written.prompts == benchmark.prompts and written.identity == benchmark.identity
    assert [prompt.id for prompt in evaluation.read_prompts(tmp_path / PROMPTS_NAME)] == [c.id for c in clips]
    few = read_benchmark(benchmark_build, "t2v", per_emotion=1)
    assert few.cells() == {"sticker": dict.fromkeys(EMOTIONS, 1)} and few.identity != benchmark.identity


def test_image_to_video_gets_the_clips_first_frame(benchmark_build: Path, tmp_path: Path) -> None:
    benchmark = write_prompts(read_benchmark(benchmark_build, "i2v", per_emotion=1), tmp_path)
    for prompt, item in zip(benchmark.prompts, benchmark.selection, strict=True):
        with Image.open(str(prompt.image)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), decode(item.video)[0])
    read = evaluation.read_prompts(tmp_path / PROMPTS_NAME)
    assert [Path(str(prompt.image)).resolve() for prompt in read] == [
        Path(str(prompt.image)).resolve() for prompt in benchmark.prompts
    ]


def test_a_benchmark_without_clips_or_captions_is_refused(mini_build: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no clip in the split 'benchmark'"):
        read_benchmark(mini_build, "t2v")
    (tmp_path / "labels.csv").write_text(
        "path,emotion,caption\nsticker/1f602.mp4,amusement,\nsticker/1f631.mp4,fear,a face\n"
    )
    build(MINI, tmp_path / "labels.csv", tmp_path / "EmoVid", engine="serial", ratios=(1, 0, 0))
    with pytest.raises(ValueError, match="1 of 2 clips of the split 'train' have no caption, first sticker-"):
        read_benchmark(tmp_path / "EmoVid", "t2v", split="train")


def answers(shown: list[str | None], intended: list[str]) -> Judged:
    return Judged(
        "judge",
        tuple(
            Judgement(f"{place}.mp4", asked, answer, None, None, f"scene {place}")
            for place, (asked, answer) in enumerate(zip(intended, shown, strict=True))
        ),
    )


def test_valences_are_compared_as_emotions_are() -> None:
    from scipy.stats import binomtest

    intended = ["amusement", "awe", "anger", "fear", "sadness", "excitement", "disgust", "contentment"]
    base = answers(["anger", "fear", "awe", "awe", "sadness", "awe", None, "awe"], intended)
    lora = answers(["awe", "awe", "fear", "fear", "awe", "awe", "anger", "awe"], intended)
    found = evaluation.compare_valence(base, lora)
    # right by valence: base sadness, excitement, contentment; lora all but sadness
    assert (found.both, found.base_only, found.lora_only, found.neither) == (2, 1, 5, 0)
    assert found.mcnemar_p == pytest.approx(binomtest(1, 6).pvalue)
    assert found.difference is not None and found.difference.value == pytest.approx(4 / 8)
    figures = [evaluation.score(judged).ea_2cls.value for judged in (base, lora)]
    assert found.difference.value == pytest.approx(figures[1] - figures[0])


def measured(count: int, shift: float = 0.0, dimensions: int = 4) -> list[Measured]:
    rng = np.random.default_rng(int(10 * shift))
    return [
        Measured(
            f"{n}.mp4",
            frames=5,
            flicker=0.01 * (n % 3) + shift,
            clip_score=0.3,
            tokens=90 if n < 2 else 20,
            truncated=n < 2,
            first_frame=0.7,
            feature=tuple(rng.standard_normal(dimensions) + shift),
        )
        for n in range(count)
    ]


def test_a_row_holds_the_means_the_distance_and_the_shares() -> None:
    shown = [EMOTIONS[n % 8] if n % 2 else None for n in range(FEWEST_VIDEOS + 2)]
    ea = evaluation.score(answers(shown, [EMOTIONS[n % 8] for n in range(FEWEST_VIDEOS + 2)]))
    real, made = (
        measured(FEWEST_VIDEOS),
        [*measured(FEWEST_VIDEOS + 1, 0.5), Measured("x.mp4", error="broken")],
    )
    found = paper_figures(made, ea, task="i2v", networks=Networks("c", "v"), reference=real)
    features = [np.array([one.feature for one in side if one.feature]) for side in (real, made)]
    assert found.n == FEWEST_VIDEOS + 2
    assert found.fvd.value == fvd(*features).value and found.fvd.n == FEWEST_VIDEOS + 1
    assert found.fvd.details["real"] == FEWEST_VIDEOS and found.fvd.details["rank_deficient"] is False
    assert (found.clip_score.value, found.clip_score.n) == (pytest.approx(0.3), FEWEST_VIDEOS + 1)
    assert found.clip_score.details == {"truncated": 2}
    flickers = [one.flicker for one in made if one.flicker is not None]
    assert found.temporal_flicker.value == pytest.approx(np.mean(flickers))
    assert found.temporal_flicker.deviation == pytest.approx(np.std(flickers, ddof=1))
    assert found.temporal_flicker.details["vbench"] == pytest.approx(1 - np.mean(flickers))
    assert found.first_frame_consistency.value == pytest.approx(0.7)
    row = found.row("lora")
    assert len(row) == len(COLUMNS) and row[:2] == ["lora", FEWEST_VIDEOS + 2]
    low, high = ea_8cls.wilson_interval(FEWEST_VIDEOS // 2 + 1, FEWEST_VIDEOS + 2)
    assert row[-1] == f"50.00% ({100 * low:.1f} to {100 * high:.1f})"
    record = json.loads(json.dumps(found.record()))
    assert record["ea_8cls"]["value"] == 0.5 and record["unscored"] == FEWEST_VIDEOS // 2 + 1
    assert record["fvd"]["value"] == found.fvd.value


def test_what_is_not_computed_has_its_reason_and_no_number() -> None:
    ea = evaluation.score(answers(["awe", "fear"], ["awe", "fear"]))
    few = measured(2)
    without = paper_figures(few, ea, task="t2v", networks=Networks(), reference=few)
    assert without.row("base")[2:5] == [
        "not computed: no --videomae MODEL",
        "not computed: no --clip MODEL",
        "not computed: text to video has no first frame",
    ]
    assert without.temporal_flicker.value is not None
    named = paper_figures(few, ea, task="i2v", networks=Networks("c", "v"), reference=few)
    assert named.row("base")[2] == f"not computed: only 2 videos; FVD needs {FEWEST_VIDEOS}"
    own = paper_figures(few, ea, task="i2v", networks=Networks("c", "v"), reference=None)
    assert own.row("real")[2] == "not computed: these are the reference"
    nothing = paper_figures(
        [Measured("x", 1), Measured("y", error="no")], ea, task="i2v", networks=Networks("c"), reference=few
    )
    assert nothing.row("base")[3:6] == ["not computed: no video was measured"] * 2 + [
        "not computed: no video has two frames"
    ]
    record = nothing.record()
    assert all(record[name]["value"] is None and record[name]["reason"] for name in ("fvd", "clip_score"))
    wide = measured(FEWEST_VIDEOS, dimensions=FEWEST_VIDEOS)
    starred = paper_figures(wide, ea, task="t2v", networks=Networks("c", "v"), reference=wide)
    assert str(starred.row("base")[2]).endswith("*")


def test_the_papers_rows_are_marked_and_of_their_task() -> None:
    rows = [published_row(row) for row in published_rows("i2v")]
    assert all(len(row) == len(COLUMNS) and str(row[0]).startswith("the paper's: ") for row in rows)
    assert rows[-1] == [
        "the paper's: Wan2.1-I2V-480P after fine-tuning",
        240,
        "517.8",
        "-",
        "SD score 0.7193",
        "0.0324",
        "94.58%",
        "76.25%",
    ]


def test_nothing_is_concluded_from_a_test_that_is_not_significant() -> None:
    assert "shows no difference, nor that there is none" in paired_text("EA-8cls", "lora", 0.0501, 3, 10)
    assert "shows" not in paired_text("EA-8cls", "lora", 0.0499, 3, 10)


def test_markdown_keeps_a_cell_a_cell() -> None:
    text = markdown("T", ("", "n"), [["a|b*", None]], ["Below."])
    assert text == "# T\n\n|  | n |\n|---|---|\n| a\\|b\\* | - |\n\nBelow.\n"


def ask(networks: Networks) -> tuple[str, ...]:
    return ("--clip", str(networks.clip), "--videomae", str(networks.videomae), "--per-emotion", "1")


def test_text_to_video_by_base_and_lora(benchmark_build: Path, networks: Networks, tmp_path: Path) -> None:
    from diffusers import WanPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    base, lora, out = tmp_path / "base", tmp_path / "lora", tmp_path / "out"
    pipe = WanPipeline(**t2v_components())
    pipe.save_pretrained(base)
    pipe.transformer.add_adapter(
        LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"], init_lora_weights=False)
    )
    WanPipeline.save_lora_weights(
        lora,
        transformer_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.transformer)),
    )
    arguments = (
        "--data",
        benchmark_build,
        "--base",
        base,
        "--lora",
        lora,
        "--out",
        out,
        *SMALL,
        *ask(networks),
    )
    found = emovid(*arguments, "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert result["protocol"]["name"] == "paper" and result["protocol"]["task"] == "t2v"
    assert result["protocol"]["n"] == 8 and result["miniature"] is True and result["failed"] == []
    assert result["protocol"]["networks"]["clip"]["model"] == networks.clip
    assert result["protocol"]["networks"]["clip"]["identity"].startswith("clip@")
    assert list(result["figures"]) == ["base", "lora"] and result["real"]["figures"]["n"] == 8
    assert result["protocol"]["wording"] == "paper"
    assert json.loads((out / "base" / "generation.json").read_text())["wording"] == "paper"
    clip = ClipModel(str(networks.clip))
    texts = read_benchmark(benchmark_build, "t2v", per_emotion=1).texts()
    for name in ("base", "lora"):
        judged = evaluation.judge_videos(
            out / name, out / "intended.csv", evaluation.load_judge(device="cpu"), out=out / f"judged-{name}"
        )
        assert judged.reused == 8
        assert result["figures"][name] == evaluation.to_record(evaluation.score(judged))
        row = result["measures"][name]
        assert row["ea_8cls"] == result["figures"][name]["ea_8cls"]
        videos = {clip_id: decode(str(out / name / f"{clip_id}.mp4")) for clip_id in texts}
        scores = [
            clip_score(clip.frames(video), clip.text(texts[key]).feature) for key, video in videos.items()
        ]
        assert row["clip_score"]["value"] == pytest.approx(np.mean(scores), abs=1e-6)
        flickers = [temporal_flicker(video) for video in videos.values()]
        assert row["temporal_flicker"]["value"] == pytest.approx(np.mean(flickers))
        assert row["fvd"]["reason"] == f"only 8 videos; FVD needs {FEWEST_VIDEOS}"
    assert result["comparison"]["base"] == result["figures"]["base"]
    assert 0 <= result["comparison_2cls"]["mcnemar_p"] <= 1
    assert {row["task"] for row in result["published"]["rows"]} == {"t2v"}
    assert result["generated"]["settings"]["protocol"] == "paper" and result["generated"]["weights"]["lora"]
    whole = json.loads(Path(result["out"]).read_text())
    assert len(whole["measured"]["lora"]) == len(whole["measured"]["real"]) == 8
    assert "feature" not in whole["measured"]["lora"][0] and whole["measured"]["lora"][0]["frames"] == 5

    files = [*(out / "base").glob("*.mp4"), *(out / "measured-base").iterdir()]
    times = {path: path.stat().st_mtime_ns for path in files}
    table = emovid(*arguments)
    assert table.exit_code == 0, table.output
    assert {path: path.stat().st_mtime_ns for path in times} == times, "generated or measured again"
    written = (out / "evaluation.md").read_text()
    for text in (table.output, written):
        assert "miniature annotator" in text and "Wan2.1-T2V-14B" in text and "I2V" not in text
        assert "n = 240" in text and "other judge weights" in text and "McNemar" in text
    assert f"| lora | 8 | not computed: only 8 videos; FVD needs {FEWEST_VIDEOS} |" in written
    assert written.count("the paper's: ") == 5


def test_image_to_video_compares_with_the_first_frame(
    benchmark_build: Path, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import WanImageToVideoPipeline

    monkeypatch.setattr("emovid_models.evaluation.measures.frechet.FEWEST_VIDEOS", 8)
    WanImageToVideoPipeline(**i2v_components()).save_pretrained(tmp_path / "base")
    out = tmp_path / "out"
    arguments = ("--data", benchmark_build, "--task", "i2v", "--base", tmp_path / "base", "--out", out)
    found = emovid(*arguments, *SMALL, *ask(networks), "--wording", "mood", "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    row, clip = result["measures"]["base"], ClipModel(str(networks.clip))
    near = []
    for path in sorted((out / "first-frames").glob("*.png")):
        features = clip.frames(decode(str(out / "base" / f"{path.stem}.mp4")))
        near.append(first_frame_consistency(features, clip.frames([np.asarray(read_image(path, 32, 32))])[0]))
    assert len(near) == 8
    assert row["first_frame_consistency"]["value"] == pytest.approx(np.mean(near), abs=1e-6)
    videomae = VideoMaeModel(str(networks.videomae))

    def features_of(videos: list[Any]) -> np.ndarray:
        return np.stack([videomae.video(decode(video, frames=4, size=16)) for video in videos])

    benchmark = read_benchmark(benchmark_build, "i2v", per_emotion=1)
    real = features_of([item.video for item in benchmark.selection])
    made = features_of([str(out / "base" / f"{prompt.id}.mp4") for prompt in benchmark.prompts])
    assert row["fvd"]["value"] == pytest.approx(fvd(real, made).value, rel=1e-4)
    assert row["fvd"]["details"]["rank_deficient"] is True
    assert result["real"]["measures"]["fvd"]["reason"] == "these are the reference"
    assert "comparison" not in result and {row["task"] for row in result["published"]["rows"]} == {"i2v"}
    written = (out / "evaluation.md").read_text()
    assert "random halves of the 8 real clips" in written and result["protocol"]["wording"] == "mood"
    assert "in the wording mood, not with the paper's sentence" in written


def test_videos_of_any_generator(benchmark_build: Path, tmp_path: Path) -> None:
    """Here the real clips themselves: their row is the one of the real clips."""
    benchmark = read_benchmark(benchmark_build, "t2v")
    videos, other = tmp_path / "videos", tmp_path / "other"
    videos.mkdir()
    for item in benchmark.selection:
        (videos / f"{item.clip.id}.mp4").write_bytes(item.video)
    shutil.copytree(videos, other)
    first, second = (prompt.id for prompt in benchmark.prompts[:2])
    shutil.copyfile(videos / f"{second}.mp4", other / f"{first}.mp4")
    arguments = ("--data", benchmark_build, "--videos", videos, "--device", "cpu")
    result = json.loads(emovid(*arguments, "--against", other, "--abstain", "0.5", "--json").stdout)
    assert list(result["figures"]) == ["base", "videos"] and "generated" not in result
    assert result["figures"]["videos"] == result["real"]["figures"]
    for name in ("temporal_flicker", "clip_score"):
        assert result["measures"]["videos"][name] == result["real"]["measures"][name]
    assert result["measures"]["videos"]["temporal_flicker"]["n"] == 16
    assert result["measures"]["videos"]["clip_score"]["reason"] == "no --clip MODEL"
    assert list(result["reliability"]) == ["base", "videos", "real"]
    assert result["reliability"]["videos"] == result["reliability"]["real"]
    assert result["reliability"]["videos"]["abstain"]["below"] == 0.5
    ea_8cls = result["figures"]["videos"]["ea_8cls"]["value"]
    assert result["reliability"]["videos"]["risk_coverage"][-1]["risk"] == pytest.approx(
        1 - ea_8cls, abs=1e-4
    )

    (videos / f"{first}.mp4").unlink()
    (videos / f"{second}.mp4").write_bytes(b"no video")
    missing = emovid(*arguments)
    assert isinstance(missing.exception, ValueError) and f"first {first}.mp4" in str(missing.exception)
    result = json.loads(emovid(*arguments, "--allow-rejected", "--json").stdout)
    row = result["measures"]["videos"]
    assert row["n"] == 16 and row["unscored"] == 2 and row["temporal_flicker"]["n"] == 14
    assert {failure["file"] for failure in result["failed"]} == {f"{first}.mp4", f"{second}.mp4"}


def test_the_prompts_alone_are_written_for_other_generators(benchmark_build: Path, tmp_path: Path) -> None:
    out = tmp_path / "asked"
    found = emovid("--data", benchmark_build, "--task", "i2v", "--out", out)
    assert found.exit_code == 0 and "16 prompts" in found.output, found.output
    assert {path.name for path in out.iterdir()} == {PROMPTS_NAME, "first-frames"}
    assert len(evaluation.read_prompts(out / PROMPTS_NAME)) == 16
    assert isinstance(emovid("--data", benchmark_build).exception, ValueError)


def test_what_ships_was_run_on_the_miniatures_benchmark() -> None:
    from tools.reproduce.paper_protocol import OUT, TASKS

    ids = (MINI / "benchmark.txt").read_text().split()
    kept = json.loads(OUT.read_text())
    assert list(kept) == list(TASKS)
    for task, run in kept.items():
        assert run["protocol"]["task"] == task and run["protocol"]["n"] == len(ids) and run["miniature"]
        cells = [count for emotions in run["protocol"]["cells"].values() for count in emotions.values()]
        assert sum(cells) == len(ids) and max(cells) <= 2 and run["failed"] == []
        for row in (*run["measures"].values(), run["real"]["measures"]):
            assert row["n"] == len(ids) and row["temporal_flicker"]["n"] == len(ids)
            for name in ("fvd", "clip_score", "first_frame_consistency"):
                assert row[name]["value"] is None and row[name]["reason"]
