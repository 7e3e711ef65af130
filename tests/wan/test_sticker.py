"""The files of stickers, read back by other readers, and the command `emovid sticker` as a user runs it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from gated_source import FOLDER
from gates import Gate
from PIL import Image
from typer.testing import CliRunner, Result

from emovid_dataset.cli import program
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import probe
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_LORA_I2V, MINI_WAN_I2V, make_stickers
from emovid_models.remote.sticker.animation import contact_sheet, encode_gif, encode_webp, on_white
from emovid_models.remote.sticker.picture import prepare, read_picture
from emovid_models.wan.frames import FPS, encode_video
from emovid_models.wan.sticker import RECORD, SHEET, Sticker, StickerEncoder, StickerSet, read_animation

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
FRAMES = 9
SMALL = ("--size", "48x32", "--frames", "5", "--steps", "1")


def emovid(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program(), [str(argument) for argument in arguments])


def moving(frames: int = FRAMES, side: int = 48) -> np.ndarray:
    """A disc with soft edges that moves right over nothing, its left half blue; no two frames are equal."""
    y, x = np.mgrid[:side, :side]
    made = np.zeros((frames, side, side, 4), np.uint8)
    for time in range(frames):
        left = 14 + 2 * time
        made[time, ..., :3] = np.where((x < left)[..., None], (40, 80, 200), (255, 204, 77))
        made[time, ..., 3] = (np.clip(11 - np.hypot(x - left, y - side / 2), 0, 1) * 255).round()
    return made


def pictures(data: bytes) -> list[tuple[np.ndarray, float]]:
    """What Pillow reads: RGBA, and how long it is shown, in milliseconds."""
    with Image.open(io.BytesIO(data)) as file:
        assert file.info["loop"] == 0, "it does not loop for ever"
        found = []
        for index in range(file.n_frames):
            file.seek(index)
            file.load()
            found.append((np.asarray(file.convert("RGBA")), file.info["duration"]))
    return found


def test_a_webp_reads_back_with_its_alpha_its_frames_and_their_times() -> None:
    frames = moving()
    read = pictures(encode_webp(frames, FPS))
    for (picture, _), frame in zip(read, frames, strict=True):
        assert (picture[..., 3] == frame[..., 3]).all(), "alpha is exact"
        solid = frame[..., 3] == 255
        assert np.abs(picture[solid].astype(int) - frame[solid]).mean() < 6
    lengths = [length for _, length in read]
    assert set(lengths) == {62, 63} and abs(sum(lengths) - FRAMES * 1000 / FPS) <= 0.5
    with Image.open(io.BytesIO(encode_webp(frames[:1], FPS))) as file:
        assert (np.asarray(file.convert("RGBA"))[..., 3] == frames[0, ..., 3]).all()


def test_an_encoder_goes_to_another_process() -> None:
    frames = moving()
    prepared = prepare(Image.fromarray(frames[0]), 48, 48)
    encoder = StickerEncoder(prepared, "webp", 32)
    generated = on_white(frames)
    assert pickle.loads(pickle.dumps(encoder))(generated, 16) == encoder(generated, 16)
    others = [StickerEncoder(prepared, "gif", 32), StickerEncoder(prepared, "webp", 33)]
    others.append(StickerEncoder(prepare(Image.fromarray(frames[1]), 48, 48), "webp", 32))
    assert len({one.identity() for one in (encoder, *others)}) == 4


def test_a_gif_reads_back_in_pillow_and_in_ffmpeg() -> None:
    frames = moving()
    data = encode_gif(frames, FPS)
    hidden = frames[..., 3] < 128
    read = pictures(data)
    lengths = [length for _, length in read]
    assert len(read) == FRAMES and set(lengths) <= {60, 70} and sum(lengths) == 560
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        shown = [
            (frame.to_ndarray(format="rgba"), float(frame.pts * stream.time_base))
            for frame in file.decode(stream)
        ]
    assert [start for _, start in shown] == pytest.approx(
        [sum(lengths[:index]) / 1000 for index in range(FRAMES)]
    )
    for index, frame in enumerate(frames):
        for picture in (read[index][0], shown[index][0]):
            # Of a frame before nothing is left where this one is transparent.
            assert (picture[..., 3] == np.where(hidden[index], 0, 255)).all()
            off = np.abs(picture.astype(int) - frame)[~hidden[index]][:, :3]
            assert off.mean() < 4
    with Image.open(io.BytesIO(data)) as file:
        assert file.disposal_method == 2


def test_a_gif_of_many_colours_and_one_of_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 4), dtype=np.uint8)
    noise[..., 3] = 255
    read = pictures(encode_gif(noise, FPS))
    assert len(read) == 3 and all((picture[..., 3] == 255).all() for picture, _ in read)
    assert np.abs(read[2][0].astype(int) - noise[2])[..., :3].mean() < 32
    nothing = np.zeros((1, 8, 8, 4), np.uint8)
    with Image.open(io.BytesIO(encode_gif(nothing, FPS))) as file:
        assert not np.asarray(file.convert("RGBA"))[..., 3].any()


def test_an_mp4_lies_on_white() -> None:
    frames = moving()
    read = decode(encode_video(on_white(frames)))
    assert read.shape == (FRAMES, 48, 48, 3)
    assert (np.abs(read[frames[..., 3] == 0].astype(int) - 255) < 12).mean() > 0.98
    assert np.abs(read[..., :3] / 255 - on_white(frames)).mean() < 0.01


def test_a_contact_sheet_shows_each_row_on_a_checkerboard() -> None:
    rows = {"awe": list(moving()), "fear": list(moving()[:2])}
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(rows))))
    assert sheet.shape == (8 + 2 * (128 + 8), 84 + 6 * (128 + 8), 3)
    for row in range(2):
        top = 8 + row * 136
        assert (sheet[top : top + 128, 8:80] < 128).any(), "the name"
        cell = sheet[top : top + 128, 84:212].reshape(-1, 3)
        assert {(255, 255, 255), (204, 204, 204)} <= set(map(tuple, cell))
        assert (np.abs(cell.astype(int) - (255, 204, 77)).max(axis=-1) < 12).sum() > 500


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frame of a clip that ships: a face with tears of joy, on white."""
    path = tmp_path_factory.mktemp("emoji") / "joy.png"
    with av.open(str(MINI / "sticker" / "1f602.mp4")) as film:
        next(film.decode(video=0)).to_image().save(path)
    return path


def test_an_emoji_becomes_stickers_with_the_miniature(emoji: Path, tmp_path: Path) -> None:
    out = tmp_path / "stickers"
    ask = ("sticker", emoji, "--emotion", "awe", "--out", out)
    first = emovid(*ask, "--json")
    assert first.exit_code == 0, first.output
    printed = json.loads(first.stdout)
    assert first.stderr == "" and printed["background"] == "#ffffff"
    (one,) = printed["stickers"]
    assert (one["out"], one["emotion"], one["state"]) == (str(out / "awe.webp"), "awe", "made")
    assert {path.name for path in out.iterdir()} == {"awe.webp", SHEET, RECORD}

    read = pictures((out / "awe.webp").read_bytes())
    assert len(read) == 17 and abs(sum(length for _, length in read) - 17 * 1000 / 16) <= 0.5
    alpha = np.stack([picture[..., 3] for picture, _ in read])
    assert alpha.shape == (17, 64, 64) and 0.2 < (alpha > 0).mean() < 0.9
    assert (alpha[:, :2, :2] == 0).all() and (alpha[:, 30:34, 30:34] == 255).all()
    assert one["opaque"] == pytest.approx((alpha > 0).mean(), abs=1e-4)

    # The same as the pipeline makes of the padded picture, cut out.
    from emovid_models.wan import EmoVidWanImageToVideoPipeline

    pipe = EmoVidWanImageToVideoPipeline.from_pretrained(MINI_WAN_I2V)
    pipe.load_lora_weights(MINI_LORA_I2V)
    pipe.set_progress_bar_config(disable=True)
    import torch

    prepared = prepare(read_picture(emoji), 64, 64)
    made = pipe(
        image=Image.fromarray(prepared.frame),
        prompt="An animated sticker of a character.",
        emotion="awe",
        content_type="sticker",
        height=64,
        width=64,
        num_frames=17,
        num_inference_steps=8,
        guidance_scale=3.0,
        emotion_guidance_scale=6.0,
        generator=torch.Generator().manual_seed(0),
    ).frames[0]
    expected = pictures(StickerEncoder(prepared, "webp", 32)(made, FPS))
    pairs = zip(read, expected, strict=True)
    assert np.mean([np.abs(a.astype(int) - b).mean() for (a, _), (b, _) in pairs]) < 1

    kept = (out / "awe.webp").stat().st_mtime_ns
    again = emovid("sticker", emoji, "--emotion", "awe,fear", "--emotion", "awe", "--out", out)
    assert again.exit_code == 0, again.output
    assert "was there" in again.stdout and "made" in again.stdout and "#ffffff" in again.stdout
    assert (out / "awe.webp").stat().st_mtime_ns == kept
    sheet = np.asarray(Image.open(out / SHEET))
    assert sheet.shape[0] == 8 + 2 * 136


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    pixels = moving(1)[0]
    Image.fromarray(pixels).save(tmp_path / "disc.png")
    return tmp_path / "disc.png"


def states(result: Result) -> dict[str, str]:
    assert result.exit_code in (0, 1), result.output
    return {Path(row["out"]).name: row["state"] for row in json.loads(result.stdout)["stickers"]}


def test_what_was_made_from_something_else_is_made_again(i2v_base: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ask = ("sticker", drawn, "--model", i2v_base, "--emotion", "awe", "--out", out, *SMALL, "--json")
    assert states(emovid(*ask)) == {"awe.webp": "made"}
    assert states(emovid(*ask)) == {"awe.webp": "was there"}
    for more in (("--seed", "1"), ("--intensity", "0.5"), ("--tolerance", "20"), ("--background", "keep")):
        assert states(emovid(*ask, *more)) == {"awe.webp": "made"}, more
        assert states(emovid(*ask, *more)) == {"awe.webp": "was there"}, more
    assert states(emovid(*ask)) == {"awe.webp": "made"}
    Image.fromarray(moving(2)[1]).save(drawn)
    assert states(emovid(*ask)) == {"awe.webp": "made"}
    assert states(emovid(*ask, "--format", "gif")) == {"awe.gif": "made"}
    assert states(emovid(*ask)) == {"awe.webp": "was there"}
    paper = (out / "awe.webp").read_bytes()
    assert states(emovid(*ask, "--wording", "mood")) == {"awe.webp": "made"}
    assert (out / "awe.webp").read_bytes() != paper, "the words reach the model"
    (out / "awe.webp").unlink()
    assert states(emovid(*ask)) == {"awe.webp": "made"}
    (out / RECORD).write_text("not JSON")
    assert states(emovid(*ask)) == {"awe.webp": "made"}
    record = json.loads((out / RECORD).read_text())
    assert record["awe.webp"]["picture"] == "disc.png" and record["awe.webp"]["seed"] == 0
    assert str(tmp_path) not in (out / RECORD).read_text()


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_every_format_has_all_frames(i2v_base: Path, drawn: Path, tmp_path: Path, kind: str) -> None:
    result = make_stickers(
        drawn,
        tmp_path / "out",
        emotions=["Awe", "awe", "fear"],
        format=kind,
        model=str(i2v_base),
        size=(32, 48),
        frames=5,
        steps=1,
    )
    assert [one.path.name for one in result.stickers] == [f"awe.{kind}", f"fear.{kind}"]
    assert all(one.made for one in result.stickers)
    for one in result.stickers:
        frames = read_animation(one.path)
        assert len(frames) == 5 and frames[0].shape == (32, 48, 4)
        if kind == "mp4":
            info = probe(one.path.read_bytes())
            assert (info.width, info.height, info.num_frames, info.fps) == (48, 32, 5, 16)
        else:
            assert (
                sum(length for _, length in pictures(one.path.read_bytes()))
                == {"webp": 313, "gif": 310}[kind]
            )
    assert result.sheet.is_file()


def test_all_emotions_is_all_eight(i2v_base: Path, drawn: Path, tmp_path: Path) -> None:
    ask = ("sticker", drawn, "--model", i2v_base, "--out", tmp_path / "out", *SMALL, "--json")
    assert list(states(emovid(*ask))) == [f"{name}.webp" for name in EMOTIONS]
    assert set(states(emovid(*ask, "--emotion", "all")).values()) == {"was there"}


def test_a_background_that_could_not_be_removed_is_found_wrong(tmp_path: Path) -> None:
    def made(opaque: float, suffix: str = ".webp", background: str = "#ffffff") -> list[str]:
        one = Sticker(tmp_path / f"awe{suffix}", "awe", 1.0, 0, opaque, True)
        return StickerSet((one,), tmp_path / SHEET, background).failures()

    assert made(0.5) == [] == made(1.0, background="kept") == made(1.0, ".mp4")
    assert "raise the tolerance" in made(1.0)[0] and "lower the tolerance" in made(0.0)[0]


def test_random_weights_leave_a_background_and_the_exit_code_says_so(
    i2v_base: Path, drawn: Path, tmp_path: Path
) -> None:
    result = emovid(
        *("sticker", drawn, "--model", i2v_base, "--emotion", "awe", "--out", tmp_path / "out"),
        *(*SMALL, "--tolerance", "0", "--json"),
    )
    assert result.exit_code == 1
    assert "awe.webp still has its whole background: raise the tolerance" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--emotion", "joy"), "emotion 'joy' is unknown; allowed: all, amusement"),
        (("--size", "50x32"), "width 50 is not a multiple of 16"),
        (("--background", "remove"), "no plain colour to remove"),
    ],
)
def test_what_does_not_work_is_said_before_the_model_is_loaded(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    ask = ("sticker", tmp_path / "noise.png", "--model", "me/nowhere", "--out", tmp_path / "out", *arguments)
    result = emovid(*ask)
    assert isinstance(result.exception, ValueError) and message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_several_loras_with_weights_reach_the_model(tmp_path: Path) -> None:
    pixels = moving(1)[0]
    Image.fromarray(pixels).save(tmp_path / "disc.png")
    shutil.copytree(MINI_LORA_I2V, tmp_path / "style")
    emotion = str(MINI_LORA_I2V)
    made = {}
    for name, loras in {
        "alone": [emotion],
        "none of it": [emotion, f"{tmp_path / 'style'}:0"],
        "more": [emotion, f"{tmp_path / 'style'}:0.8"],
    }.items():
        ask = [
            "sticker",
            tmp_path / "disc.png",
            "--out",
            tmp_path / name,
            "--emotion",
            "awe",
            "--json",
            *SMALL,
        ]
        result = emovid(
            *ask, *(word for lora in loras for word in ("--lora", lora)), "--emotion-lora", emotion
        )
        assert states(result) == {"awe.webp": "made"}
        made[name] = np.stack([frame for frame, _ in pictures((tmp_path / name / "awe.webp").read_bytes())])
    apart = {name: np.abs(frames.astype(int) - made["alone"]).mean() for name, frames in made.items()}
    assert apart["none of it"] < 1 < apart["more"]


def test_a_text_to_video_base_is_refused(t2v_base: Path, drawn: Path, tmp_path: Path) -> None:
    result = emovid("sticker", drawn, "--model", t2v_base, "--out", tmp_path / "out", *SMALL)
    assert isinstance(result.exception, ValueError)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_same_command_goes_on_after_ctrl_c(i2v_base: Path, drawn: Path, tmp_path: Path) -> None:
    gates, out = tmp_path / "gates", tmp_path / "out"
    gates.mkdir()
    here, go = Gate(gates / "here"), Gate(gates / "go")
    ask = ("sticker", str(drawn), "--model", str(i2v_base), "--emotion", "awe,fear", "--out", str(out))
    command = [*ask, *SMALL, "--json"]
    first = emovid(*command, "--seed", "3", "--emotion", "awe")
    assert states(first)["awe.webp"] == "made"
    old = (out / "awe.webp").stat().st_mtime_ns
    code = (
        "import gated_source, sys\n"
        "from emovid_models.wan import sticker\n"
        "sticker.PipelineSource = gated_source.GatedSource\n"
        "real = gated_source.HeldUp.__call__\n"
        "def call(self, **options):\n"
        "    if options['emotion'] == 'fear':\n"
        "        gated_source.knock(self.folder / 'here'); gated_source.pass_through(self.folder / 'go')\n"
        "    return real(self, **options)\n"
        "gated_source.HeldUp.__call__ = call\n"
        "from emovid_dataset.cli import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, FOLDER: str(gates)},
        start_new_session=True,
    ) as process:
        here.wait(1)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=600)
    assert process.returncode == 130 and "Traceback" not in error
    made = (out / "awe.webp").stat().st_mtime_ns
    assert made != old
    del go
    assert states(emovid(*command)) == {"awe.webp": "was there", "fear.webp": "made"}
    assert (out / "awe.webp").stat().st_mtime_ns == made
    assert {path.name for path in out.iterdir()} == {"awe.webp", "fear.webp", SHEET, RECORD}
