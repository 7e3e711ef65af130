"""`emovid evaluate` as a user runs it: videos of any generator, and videos that it makes itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from typer.testing import CliRunner, Result

from emovid_dataset.cli import program
from emovid_dataset.engine import Serial
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR, evaluation
from emovid_models.cli.arguments import parse_loras
from emovid_models.cli.evaluated import ComparedLoras, generate_models
from emovid_models.evaluation import GENERATION_NAME, INTENDED_NAME
from emovid_models.records import folder_identity
from emovid_models.remote.wan.lora import WEIGHT_NAME, LoraFacts, write_lora
from emovid_models.remote.wan.modules import TARGET_MODULES
from emovid_models.wan.loading import PipelineSource

sys.path.insert(0, str(Path(__file__).parents[1] / "wan"))
from wan_tiny import i2v_components, t2v_components, tiny_transformer

SMALL = ("--size", "32x32", "--frames", "5", "--steps", "1", "--device", "cpu")


def emovid(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program(), ["evaluate", *(str(argument) for argument in arguments)])


def refusal(*arguments: str | Path) -> str:
    result = emovid(*arguments)
    assert isinstance(result.exception, (ValueError, OSError)), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base, laid out like a published one."""
    from diffusers import WanPipeline

    path = tmp_path_factory.mktemp("wan") / "base"
    WanPipeline(**t2v_components()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA on that base that changes what it makes."""
    from diffusers import WanPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    folder = tmp_path_factory.mktemp("lora")
    pipe = WanPipeline.from_pretrained(base)
    torch.manual_seed(0)
    pipe.transformer.add_adapter(
        LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    )
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.transformer)),
    )
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    kept = [prompt for prompt in evaluation.load_prompts("sticker") if prompt.id.endswith(("-01", "-02"))]
    rows = [
        {name: getattr(prompt, name) for name in ("id", "emotion", "content_type", "prompt")}
        for prompt in kept
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_videos_of_any_generator(videos: Path) -> None:
    found = emovid("--videos", videos, "--device", "cpu", "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    expected = evaluation.judge_videos(videos, videos / INTENDED_NAME, evaluation.load_judge(device="cpu"))
    assert expected.reused == 16
    assert result["figures"] == {"videos": evaluation.to_record(evaluation.score(expected))}
    assert result["judge"] == expected.judge and result["miniature"] is True and result["failed"] == []
    assert result["paper"]["t2v"] == {"ea_8cls": 0.4833} and result["paper"]["i2v"] == {"ea_8cls": 0.7625}
    whole = json.loads(Path(result["out"]).read_text())
    assert whole["judgements"]["videos"]["videos"] == evaluation.to_record(expected)["videos"]

    table = emovid("--videos", videos, "--device", "cpu")
    share = evaluation.score(expected).ea_8cls
    assert f"{share.value:.2%}" in table.output and f"{share.low:.2%} to {share.high:.2%}" in table.output
    assert "16 from an earlier run" in table.output and "miniature annotator" in table.output
    assert "the paper's, T2V" in table.output and "48.33%" in table.output


def test_answers_below_a_confidence_are_withheld(videos: Path) -> None:
    found = emovid("--videos", videos, "--device", "cpu", "--abstain", "0.5", "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    judged = evaluation.judge_videos(videos, videos / INTENDED_NAME, evaluation.load_judge(device="cpu"))
    sure = [(max(one.scores), one.judged == one.intended) for one in judged.videos if one.scores]
    left = [is_right for confidence, is_right in sure if confidence >= 0.5]
    assert 0 < len(left) < len(sure) == 16
    assert result["reliability"]["videos"]["abstain"] == {
        "below": 0.5,
        "coverage": round(len(left) / 16, 4),
        "risk": round(1 - sum(left) / len(left), 4),
    }
    # EA counts every video, whether or not the judge was sure
    assert result["figures"] == {"videos": evaluation.to_record(evaluation.score(judged))}
    table = emovid("--videos", videos, "--device", "cpu", "--abstain", "0.5").output
    assert "The judge's confidence" in table and f"{len(left) / 16:.0%}" in table


def test_the_miniature_judge_is_known_by_its_weights(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged_by(annotator: str | Path) -> bool:
        found = emovid("--videos", videos, "--annotator", annotator, "--device", "cpu", "--json")
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)["miniature"]

    # One video is enough.
    table = videos / INTENDED_NAME
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    # As the Hub's client keeps a repo that it has fetched.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repo = tmp_path / "hub" / "models--me--judge"
    snapshot = shutil.copytree(MINI_ANNOTATOR, repo / "snapshots" / ("0" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    copy = shutil.copytree(MINI_ANNOTATOR, tmp_path / "mine")
    assert judged_by(copy) and judged_by("me/judge")
    for folder in (copy, snapshot):
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not judged_by(copy) and not judged_by("me/judge")


def test_two_generators_and_real_clips(videos: Path, mini_build: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(videos, other)
    first = evaluation.read_intended(videos / INTENDED_NAME)
    shutil.copyfile(videos / first[3].file, other / first[0].file)
    options = ("--against", other, "--held-out", mini_build, "--split", "validation", "--device", "cpu")
    found = emovid("--videos", videos, *options, "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert list(result["figures"]) == ["base", "videos"]
    assert result["comparison"]["base"] == result["figures"]["base"]
    assert result["comparison"]["lora"] == result["figures"]["videos"]
    assert result["held_out"]["n"] > 0
    text = emovid("--videos", videos, *options).output
    assert "real clips, what the annotator reaches" in text and "McNemar" in text


def test_videos_that_cannot_be_judged(videos: Path) -> None:
    first, second = (row.file for row in evaluation.read_intended(videos / INTENDED_NAME)[:2])
    (videos / first).write_bytes(b"no video")
    found = emovid("--videos", videos, "--device", "cpu")
    assert found.exit_code == 1 and f"{first}: " in found.output
    assert emovid("--videos", videos, "--device", "cpu", "--allow-rejected").exit_code == 0
    (videos / second).unlink()
    assert f"first {second}; --allow-rejected" in refusal("--videos", videos, "--device", "cpu")
    result = emovid("--videos", videos, "--device", "cpu", "--allow-rejected", "--json")
    assert [entry["file"] for entry in json.loads(result.stdout)["failed"]] == [first, second]


def test_generated_videos_get_the_record_that_their_folder_gets(
    base: Path, lora: Path, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    arguments = ("--base", base, "--lora", lora, "--prompts", prompts, "--out", out, *SMALL)
    found = emovid(*arguments, "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    made = sorted(path.name for path in (out / "lora").glob("*.mp4"))
    assert made == sorted(f"sticker-{emotion}-{scene}.mp4" for emotion in EMOTIONS for scene in ("01", "02"))
    assert (out / "base" / INTENDED_NAME).read_text() == (out / "lora" / INTENDED_NAME).read_text()
    assert any((out / "base" / name).read_bytes() != (out / "lora" / name).read_bytes() for name in made)

    for name in ("base", "lora"):
        alone = emovid("--videos", out / name, "--out", tmp_path / name, "--device", "cpu", "--json")
        assert json.loads(alone.stdout)["figures"]["videos"] == result["figures"][name]
        whole = json.loads((tmp_path / name / "evaluation.json").read_text())["judgements"]["videos"]
        generated = json.loads((out / "evaluation.json").read_text())["judgements"][name]
        assert whole["videos"] == generated["videos"]
    shared_out = tmp_path / "workers"
    workers = emovid(*arguments[: -len(SMALL) - 1], shared_out, *SMALL, "--workers", "2", "--json")
    assert json.loads(workers.stdout)["figures"] == result["figures"]
    for name in ("base", "lora"):
        for file in [GENERATION_NAME, INTENDED_NAME, *made]:
            assert (shared_out / name / file).read_bytes() == (out / name / file).read_bytes()
        assert {path.name for path in (shared_out / name).iterdir()} == {
            GENERATION_NAME,
            INTENDED_NAME,
            *made,
        }

    both = emovid("--videos", out / "lora", "--against", out / "base", "--device", "cpu", "--json")
    assert json.loads(both.stdout)["comparison"] == result["comparison"]

    # The same command again makes nothing and judges nothing, though the base now holds its result for the
    # card; another setting is refused.
    shutil.copyfile(out / "evaluation.json", base / "evaluation.json")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    again = emovid(*arguments)
    (base / "evaluation.json").unlink()
    assert again.exit_code == 0 and "32 from an earlier run" in again.output
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == times
    assert "other settings" in refusal(*arguments, "--guidance", "2")
    text = prompts.read_text().replace("a yellow face", "a green face")
    prompts.write_text(text)
    assert "was made for another prompt or seed" in refusal(*arguments)
    (out / "base" / GENERATION_NAME).unlink()
    assert f"without {GENERATION_NAME}" in refusal(*arguments)


def emotion_lora(folder: Path, seed: int) -> Path:
    """A LoRA with our header on the tiny base."""
    transformer = tiny_transformer()
    torch.manual_seed(seed)
    transformer.add_adapter(LoraConfig(r=2, target_modules=TARGET_MODULES, init_lora_weights=False))
    write_lora(folder / WEIGHT_NAME, transformer, LoraFacts(wording="paper", task="t2v", base="base"))
    return folder


def test_other_loras_are_on_the_base_too(base: Path, lora: Path, prompts: Path, tmp_path: Path) -> None:
    (asked,) = evaluation.read_prompts(prompts)[:1]

    def videos(name: str, *loras: str, named: Path | None = None, intensity: float = 1) -> dict[str, bytes]:
        emotion = None if named is None else str(named)
        folders = generate_models(
            str(base),
            ComparedLoras(parse_loras(loras, emotion), emotion),
            [asked],
            tmp_path / name,
            size="32x32",
            seed=0,
            intensity=intensity,
            offload=False,
            engine=Serial(),
            progress=False,
            num_frames=5,
            num_inference_steps=1,
        )
        return {name: Path(folder, f"{asked.id}.mp4").read_bytes() for name, folder in folders.items()}

    first, second = emotion_lora(tmp_path / "first", 1), emotion_lora(tmp_path / "second", 2)
    style = videos("style", f"{lora}:0.5")
    both = videos("both", f"{lora}:0.5", str(first))
    assert both["base"] == style["lora"] != style["base"]
    assert both["lora"] != both["base"]

    # Of two emotion LoRAs one has to be named; the intensity moves that one, and nothing on the base.
    two = (str(first), str(second))
    with pytest.raises(ValueError, match="name one by --emotion-lora"):
        videos("two", *two)
    assert not (tmp_path / "two").exists()
    none = videos("none", *two, named=first, intensity=0)
    assert none["base"] == none["lora"] != videos("bare", intensity=0)["base"]
    found = videos("named", *two, named=first)
    assert found["base"] == videos("second", str(second))["lora"] != found["lora"]


def test_a_record_says_which_loras_are_compared_and_which_are_on_both(
    base: Path, lora: Path, prompts: Path, tmp_path: Path
) -> None:
    emotion = emotion_lora(tmp_path / "emotion", 1)
    ask = ("--base", base, "--lora", f"{lora}:0.5", "--lora", emotion, "--prompts", prompts, *SMALL)
    done = emovid(*ask, "--per-emotion", "1", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["generated"]
    assert found["settings"]["loras_on_both"] == [f"{lora.name}:0.5"]
    assert found["settings"]["loras_compared"] == ["emotion"]
    weights = hashlib.sha256((emotion / WEIGHT_NAME).read_bytes()).hexdigest()
    assert found["weights"]["lora"] == {WEIGHT_NAME: weights}
    alone = ComparedLoras(parse_loras([str(emotion)], None))
    assert alone.settings() == {} and alone.hashes() == {WEIGHT_NAME: weights}
    weaker = ComparedLoras(parse_loras([f"{emotion / WEIGHT_NAME}:0.8"], None))
    assert weaker.settings() == {"loras_compared": ["emotion:0.8"], "loras_on_both": []}
    assert ComparedLoras(parse_loras([str(lora), f"{lora}/."], None)).hashes() is None, "of several"


def test_a_model_that_cannot_be_loaded_takes_no_folder(base: Path, prompts: Path, tmp_path: Path) -> None:
    from diffusers import WanImageToVideoPipeline

    other, out = tmp_path / "i2v", tmp_path / "out"
    WanImageToVideoPipeline(**i2v_components()).save_pretrained(other)
    ask = ("--prompts", prompts, "--out", out, "--per-emotion", "1", *SMALL)
    assert "is an image-to-video model" in refusal("--base", other, *ask)
    assert emovid("--base", base, *ask).exit_code == 0


def test_a_lora_for_another_base_is_refused_before_the_base_makes_a_video(
    base: Path, prompts: Path, tmp_path: Path
) -> None:
    larger = tiny_transformer(num_layers=3)
    larger.add_adapter(LoraConfig(r=2, target_modules=TARGET_MODULES))
    write_lora(tmp_path / WEIGHT_NAME, larger, LoraFacts(wording="paper", task="t2v", base="a larger one"))
    ask = ("--base", base, "--lora", tmp_path / WEIGHT_NAME, "--prompts", prompts, "--out", tmp_path / "out")
    assert "was trained for a larger one and does not fit" in refusal(*ask, "--per-emotion", "1", *SMALL)
    assert not (tmp_path / "out").exists()


def test_a_generator_is_known_by_its_files_as_by_its_loaded_weights(base: Path, lora: Path) -> None:
    source = PipelineSource(str(base), image_to_video=False, lora=str(lora))
    pipe: Any = source.load()
    adapter = hashlib.sha256()
    for name, value in sorted(pipe.transformer.named_parameters()):
        if "lora_" in name:
            name = name.replace(".lora_0.", ".default_0.")  # the stock loader's name for a first adapter
            adapter.update(name.encode() + value.detach().numpy().tobytes())
    files = [*base.rglob("*.json"), *base.rglob("*.safetensors")]
    expected = f"{folder_identity(base, files)}+{lora.name}@{adapter.hexdigest()[:16]}"
    assert source.identity() == expected
    assert PipelineSource(str(base), image_to_video=False).identity() == expected.partition("+")[0]


def test_image_to_video(prompts: Path, tmp_path: Path) -> None:
    from diffusers import WanImageToVideoPipeline
    from PIL import Image

    base = tmp_path / "base"
    WanImageToVideoPipeline(**i2v_components()).save_pretrained(base)
    Image.new("RGB", (40, 40), "teal").save(tmp_path / "first.png")
    rows = [{**json.loads(line), "image": "first.png"} for line in prompts.read_text().splitlines()]
    prompts.write_text("\n".join(map(json.dumps, rows)))
    arguments = (
        "--base",
        base,
        "--prompts",
        prompts,
        "--out",
        tmp_path / "out",
        "--per-emotion",
        "1",
        *SMALL,
    )
    found = emovid(*arguments)
    assert found.exit_code == 0, found.output
    assert "the paper's, I2V" in found.output and "the paper's, T2V" not in found.output
    assert len(list((tmp_path / "out" / "base").glob("*.mp4"))) == 8


def test_per_emotion_is_continued(base: Path, prompts: Path, tmp_path: Path) -> None:
    arguments = ("--base", base, "--prompts", prompts, "--out", tmp_path / "out", *SMALL, "--json")
    assert json.loads(emovid(*arguments, "--per-emotion", "1").stdout)["figures"]["base"]["n"] == 8
    assert json.loads(emovid(*arguments).stdout)["figures"]["base"]["n"] == 16


def test_wrong_use_is_said_in_one_line(videos: Path, tmp_path: Path, prompts: Path) -> None:
    assert (
        refusal()
        == refusal("--videos", videos, "--base", "me/x")
        == "give either --videos FOLDER or --base REPO"
    )
    assert "--lora me/x needs --base" in refusal("--videos", videos, "--lora", "me/x")
    assert "belong to --videos" in refusal("--base", "me/x", "--intended", "y", "--out", "z")
    assert "--base needs --out" in refusal("--base", "me/x")
    assert "--content-type is 'gif'; allowed: cartoon" in refusal(
        "--base", "me/x", "--content-type", "gif", "--out", "z"
    )
    assert "is not a file" in refusal("--base", "me/x", "--prompts", tmp_path / "none", "--out", "z")
    assert "num_frames 80" in refusal("--base", "me/x", "--frames", "80", "--out", "z")
    assert "is not a folder" in refusal("--videos", tmp_path / "none")
    assert "cannot be loaded" in refusal("--videos", videos, "--annotator", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty / INTENDED_NAME} is not a file" in refusal("--videos", empty)
    shutil.copyfile(videos / INTENDED_NAME, empty / INTENDED_NAME)
    assert "holds no video" in refusal("--videos", empty, "--device", "cpu")


def test_program_says_it_and_exits_with_2(videos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from emovid_dataset.cli import main

    (videos / INTENDED_NAME).write_text("file,emotion\na.mp4,joy\n")
    monkeypatch.setattr(sys, "argv", ["emovid", "evaluate", "--videos", str(videos)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("emovid: ") and "emotion 'joy' is unknown" in error and error.count("\n") == 1
