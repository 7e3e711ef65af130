"""The commands `emovid generate` and `emovid train lora`, run like a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result
from wan_tiny import tiny_transformer

from emovid_dataset.cli import program
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import probe
from emovid_models.cli.generate import parse_emotion_option
from emovid_models.remote.wan.lora import WEIGHT_NAME
from emovid_models.wan.frames import read_image, write_video
from emovid_models.wan.generate import read_orders

SMALL = ("--size", "48x32", "--frames", "5", "--steps", "1")


def emovid(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program(), [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    result = emovid(*arguments)
    assert isinstance(result.exception, (ValueError, OSError)), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_train_then_generate(mini_build: Path, t2v_base: Path, tmp_path: Path) -> None:
    lora, out = tmp_path / "lora", tmp_path / "cat.mp4"
    small = ("--size", "64x32", "--max-frames", "9", "--rank", "4", "--steps", "2", "--content-type", "movie")
    base = ("--task", "t2v", "--data", mini_build, "--base", t2v_base, "--out", lora)
    planned = emovid("train", "lora", *base, *small, "--plan")
    assert planned.exit_code == 0 and "2 clips, 0 dropped" in planned.output and not lora.exists()
    assert "recipe paper, but rank 4, no epochs, steps 2, height 32" in planned.output
    light = emovid("train", "lora", *base, *small, "--recipe", "light", "--plan")
    assert "recipe light, but rank 4, steps 2, height 32, width 64, max_frames 9;" in light.output
    trained = emovid("train", "lora", *base, *small, "--export", "comfyui", "--json")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout) == {
        "lora": str(lora / WEIGHT_NAME),
        "steps": 2,
        "bytes": (lora / WEIGHT_NAME).stat().st_size,
    }
    assert "2 clips, 0 dropped" in trained.stderr and "2 clips encoded, 0 reused" in trained.stderr
    assert "steps/s" not in trained.stderr, "no progress beside JSON"
    assert (lora / "comfyui_lora_weights.safetensors").is_file()

    ask = ("generate", "a cat on a roof", "--model", t2v_base, "--lora", lora, "--out", out, *SMALL)
    made = emovid(*ask, "--emotion", "awe=0.7,fear=0.3", "--intensity", "1.5")
    assert made.exit_code == 0, made.output
    info = probe(out.read_bytes())
    assert (info.width, info.height, info.num_frames, info.fps) == (48, 32, 5, 16)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["cat.mp4"]


def test_generate_takes_an_emotion_and_a_style(t2v_base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    from emovid_models.remote.wan.lora import LoraFacts, write_lora
    from emovid_models.remote.wan.modules import ATTENTION_MODULES, TARGET_MODULES

    for name, modules in (("calm", TARGET_MODULES), ("style", ATTENTION_MODULES), ("loud", TARGET_MODULES)):
        transformer: Any = tiny_transformer()
        torch.manual_seed(len(name))
        transformer.add_adapter(LoraConfig(r=2, target_modules=modules, init_lora_weights=False))
        write_lora(
            tmp_path / name / WEIGHT_NAME, transformer, LoraFacts(wording="mood", task="t2v", base="x")
        )
    style = tmp_path / "style" / WEIGHT_NAME
    save_file(load_file(style), style)  # without a header of ours it is a LoRA of anybody's

    def frames(name: str, *loras: str, intensity: float = 1.0) -> np.ndarray:
        out = tmp_path / f"{name}.mp4"
        options = [word for lora in loras for word in ("--lora", f"{tmp_path}/{lora}")]
        made = emovid(
            *("generate", "a cat", "--model", t2v_base, "--emotion", "awe", "--out", out),
            *(*SMALL, "--intensity", str(intensity), *options),
        )
        assert made.exit_code == 0, made.output
        return decode(out.read_bytes())

    both = frames("both", "calm", "style:0.8")
    assert not np.array_equal(both, frames("weaker", "calm", "style:0.1"))
    assert not np.array_equal(both, frames("alone", "calm"))
    off = frames("off", "calm", "style:0.8", intensity=0)
    assert np.array_equal(off, frames("style", "style:0.8", intensity=0))
    ask = ("generate", "a cat", "--model", t2v_base, "--out", tmp_path / "two.mp4", *SMALL)
    two = ("--lora", tmp_path / "calm", "--lora", tmp_path / "loud")
    refused = refusal(*ask, *two)
    assert refused.startswith("2 emotion LoRAs are given (") and refused.endswith(
        ": name one by --emotion-lora"
    )
    made = emovid(*ask, *two, "--emotion-lora", tmp_path / "loud", "--emotion", "awe")
    assert made.exit_code == 0, made.output


def test_a_file_of_prompts_goes_on_where_it_was(i2v_base: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "first.png")
    entries: list[dict[str, Any]] = [
        {"prompt": "a cat", "emotion": "awe", "image": "first.png"},
        {
            "prompt": "a dog",
            "emotion": {"awe": 1, "fear": 1},
            "image": "first.png",
            "seed": 3,
            "out": "dog.mp4",
        },
    ]
    (tmp_path / "prompts.json").write_text(json.dumps(entries))
    ask = ("generate", "--prompts", tmp_path / "prompts.json", "--model", i2v_base, "--out", tmp_path / "out")
    first = emovid(*ask, *SMALL, "--json")
    assert first.exit_code == 0, first.output
    states = [(Path(row["out"]).name, row["state"]) for row in json.loads(first.stdout)]
    assert states == [("0000-awe.mp4", "made"), ("dog.mp4", "made")]
    (tmp_path / "out" / "dog.mp4").unlink()
    kept = (tmp_path / "out" / "0000-awe.mp4").stat().st_mtime_ns
    second = emovid(*ask, *SMALL, "--json")
    assert [row["state"] for row in json.loads(second.stdout)] == ["was there", "made"]
    assert (tmp_path / "out" / "0000-awe.mp4").stat().st_mtime_ns == kept


def test_a_written_video_reads_back(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64)[None, None, :, None] * np.ones((9, 48, 1, 3))
    frames = ramp * np.linspace(0.2, 1, 9)[:, None, None, None]
    write_video(tmp_path / "ramp.mp4", frames)
    read = decode((tmp_path / "ramp.mp4").read_bytes())
    assert read.shape == (9, 48, 64, 3)
    assert np.abs(read / 255 - frames).mean() < 0.01
    data = (tmp_path / "ramp.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart"


def test_the_same_frames_are_written_as_the_same_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).random((9, 96, 96, 3))
    written = set()
    for index in range(6):
        write_video(tmp_path / f"{index}.mp4", frames)
        written.add((tmp_path / f"{index}.mp4").read_bytes())
    assert len(written) == 1


def test_an_image_is_cut_to_the_videos_shape_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (100, 40), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 50, 40))
    image.save(tmp_path / "half.png")
    out = np.asarray(read_image(tmp_path / "half.png", 32, 32))
    assert out.shape == (32, 32, 3)
    assert out[16, 4].tolist() == [255, 255, 255] and out[16, 28].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a cat", "--emotion", "joy"], "emotion 'joy' is unknown"),
        (["a cat", "--emotion", "awe=x"], "--emotion: emotion 'awe=x' is not of the form"),
        ([" "], "prompt ' ' is empty"),
        (["a cat", "--frames", "6"], "num_frames 6 is not 4k+1"),
        (["a cat", "--size", "50x32"], "width 50 is not a multiple of 16"),
        (["a cat", "--size", "big"], "size 'big' is not of the form WIDTHxHEIGHT"),
        (["a cat", "--image", "gone.png"], "--image gone.png is not a file"),
        (["a cat", "--content-type", "gif"], "--content-type is 'gif'; allowed: cartoon, movie, sticker"),
        (["a cat", "--intensity", "-1"], "--intensity is -1.0; it must be a number from 0 up"),
        (["a cat", "--out", "cat.avi"], "--out 'cat.avi' does not end in .mp4"),
        ([], "give either a prompt or --prompts FILE"),
    ],
)
def test_bad_input_is_refused_before_the_model_is_loaded(arguments: list[str], message: str) -> None:
    text = refusal("generate", "--model", "me/nowhere", "--out", "cat.mp4", *SMALL, *arguments)
    assert message in text


def test_a_lora_that_does_not_fit_and_a_wrong_model_are_refused(
    t2v_base: Path, i2v_base: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig

    from emovid_models.remote.wan.lora import LoraFacts, write_lora
    from emovid_models.remote.wan.modules import TARGET_MODULES

    other = tiny_transformer(num_layers=3)
    other.add_adapter(LoraConfig(r=2, target_modules=TARGET_MODULES))
    write_lora(tmp_path / WEIGHT_NAME, other, LoraFacts(wording="paper", task="t2v", base="a larger one"))
    ask = ("generate", "a cat", "--out", tmp_path / "cat.mp4", *SMALL)
    assert "was trained for a larger one and does not fit" in refusal(
        *ask, "--model", t2v_base, "--lora", tmp_path
    )
    assert "an image-to-video model: give --image" in refusal(*ask, "--model", i2v_base)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "holds no prompts"),
        ('[{"emotion": "awe"}]', "entry 0: prompt is None"),
        ('[{"prompt": "a", "mood": "awe"}]', "unknown fields ['mood']"),
        ('[{"prompt": "a", "out": "../a.mp4"}]', "out '../a.mp4' is not the name of an .mp4 file"),
        (
            '[{"prompt": "a", "out": "a.mp4"}, {"prompt": "b", "out": "a.mp4"}]',
            "entry 1: a.mp4 is also the video of",
        ),
        ('[{"prompt": "a", "out": "a.mp4"}, {"prompt": "b", "id": "a"}]', "a.mp4 is also the video of"),
    ],
)
def test_a_wrong_file_of_prompts_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(text)
    with pytest.raises(ValueError) as error:
        read_orders(tmp_path / "prompts.json")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_options_are_read() -> None:
    assert parse_emotion_option(None) is None
    assert parse_emotion_option("awe") == "awe"
    assert parse_frame_size("832X480") == (480, 832)
