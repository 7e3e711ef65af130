"""The demo's code: it stands alone, does nothing risky, and says what the package says."""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import clips
import emotions
import generator
import markup
import numpy as np
import pandas as pd
import pytest
import settings
import torch
from annotator import check_video
from demo_space import DEMO
from foldered_build import write_foldered_build
from PIL import Image
from preview import preview
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient
from typer.testing import CliRunner
from video_files import rotate

from emovid_dataset.cli import program
from emovid_dataset.media import portable
from emovid_dataset.media.frames import decode
from emovid_dataset.report.colours import PALETTE
from emovid_dataset.schema import clip
from emovid_dataset.schema.emotions import EMOTIONS, VALENCES
from emovid_models import MINI_LORA_T2V
from emovid_models.cli.demo import page_variables
from emovid_models.remote import sticker
from emovid_models.remote.wan.conditioning import MOODS, STYLES

gr = pytest.importorskip("gradio")
app = importlib.import_module("app")

CARRIED = (*sticker.CODE.values(), *portable.PICTURE_CODE.values())
SIBLINGS = {path.stem for path in (*DEMO.glob("*.py"), *CARRIED)} | {"sticker", "portable"}
REQUIRED = {"gradio", "huggingface_hub", "fsspec", "pandas", "av", "PIL", "numpy", "torch", "transformers"}
REQUIRED |= {"diffusers", "starlette", "packaging"}
FORBIDDEN_CALLS = {"exec", "eval", "compile", "__import__"}


@pytest.mark.parametrize(
    "path", [*sorted(DEMO.glob("*.py")), *CARRIED], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_file_imports_public_libraries_only_and_runs_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, ast.unparse(node)
    assert not imported & {"pickle", "subprocess", "ctypes", "socket", "urllib", "requests", "httpx"}
    assert imported <= SIBLINGS | REQUIRED | set(sys.stdlib_module_names)


def test_emotions_are_those_of_the_package() -> None:
    assert emotions.NAMES == EMOTIONS
    assert emotions.VALENCES == VALENCES
    assert {emotion.name: emotion.mood for emotion in emotions.EMOTIONS} == MOODS
    assert {emotion.name: (emotion.light, emotion.dark) for emotion in emotions.EMOTIONS} == PALETTE
    assert set(emotions.CONTENT_TYPES) == set(STYLES)


def test_text_from_outside_is_escaped() -> None:
    attack = '<img src=x onerror="alert(1)">'
    row = {
        **{"id": attack, "emotion": attack, "caption": attack, "content_type": attack, "has_audio": True},
        **{"width": 16, "height": 16, "duration": 1.0, "num_frames": 8, "fps": 8.0, "brightness": 0.5},
        **{"colorfulness": 0.5, "hue": None, "emotion_source": attack, "source": attack, "license": attack},
    }
    written = markup.cards(pd.DataFrame([row])) + markup.alert(attack)
    written += markup.bars(dict.fromkeys(EMOTIONS, 0.125), attack)
    assert "<img src=x" not in written and 'onerror="' not in written and "&lt;img src=x" in written


HOSTILE_EMOTION = "awe); background: url(//host.example/"


def test_an_emotion_from_outside_sets_no_style() -> None:
    row = {
        **{"id": "sticker-0123456789abcdef", "emotion": HOSTILE_EMOTION, "caption": "", "has_audio": False},
        **{
            "content_type": "sticker",
            "width": 16,
            "height": 16,
            "duration": 1.0,
            "num_frames": 8,
            "fps": 8.0,
        },
        **{"brightness": 0.5, "colorfulness": 0.5, "hue": None, "emotion_source": "human"},
        **{"source": "", "license": ""},
    }
    styles = re.findall(r'style="([^"]*)"', markup.cards(pd.DataFrame([row])))
    assert styles and not any("background" in style for style in styles)


def rewritten(build: Path, folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> clips.Library:
    """A library of a build's metadata alone, with the stickers' training rows changed."""
    shutil.copytree(build / "metadata", folder / "metadata")
    path = folder / "metadata" / "sticker" / "train.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    return clips.Library(str(folder))


def test_ids_have_the_packages_form() -> None:
    assert clips.ID_PATTERN == clip.ID_PATTERN


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "/tmp/outside"),
        ("id", "../outside"),
        ("id", "sticker-0123456789abcdef/../../outside"),
        ("id", "sticker-0123456789abcdef\n"),
        ("id", "movie-0123456789abcdef"),
        ("id", None),
        ("emotion", HOSTILE_EMOTION),
        ("emotion", None),
        ("content_type", "../sticker"),
        ("caption", None),
        ("source", None),
        ("sha256", None),
        ("shard", None),
        ("height", 0),
        ("width", -1),
        ("num_frames", 0),
        ("size", 1 << 40),
        ("offset", -1),
        ("brightness", float("nan")),
        ("duration", float("inf")),
        ("hue", 400.0),
    ],
)
def test_a_row_that_is_no_clip_is_left_out(
    mini_build: Path, tmp_path: Path, column: str, value: object
) -> None:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows[column] = [value, *rows[column][1:]]
        return rows

    whole = clips.Library(str(mini_build)).table()
    left = rewritten(mini_build, tmp_path, change).table()
    first = pd.read_parquet(mini_build / "metadata" / "sticker" / "train.parquet")["id"][0]
    assert list(left.index) == [name for name in whole.index if name != first]


def test_rows_that_share_an_id_are_left_out(mini_build: Path, tmp_path: Path) -> None:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows["id"] = [rows["id"][1], *rows["id"][1:]]
        return rows

    whole = clips.Library(str(mini_build)).table()
    table = rewritten(mini_build, tmp_path, change).table()
    assert len(table) == len(whole) - 2 and table.index.is_unique


def test_a_clip_without_licence_or_hue_is_shown(mini_build: Path, tmp_path: Path) -> None:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows["license"] = [None, *rows["license"][1:]]
        rows["hue"] = [None, 359.7, *rows["hue"][2:]]
        rows["hue_chroma"] = [None, None, *rows["hue_chroma"][2:]]
        return rows

    shown = markup.cards(rewritten(mini_build, tmp_path, change).table())
    assert "not stated" in shown and "<dt>hue</dt><dd>none<" in shown
    assert "<dt>hue</dt><dd>0°, it is grey<" in shown, "grey pixels count as 0 degrees"


def test_a_build_of_format_1_is_shown() -> None:
    folder = Path(__file__).parents[1] / "dataset" / "format_1"
    table = clips.Library(str(folder)).table()
    assert len(table) == 12 and "<dt>hue</dt>" in markup.cards(table)
    brightest = clips.Library(str(folder)).choose(clips.Choice(order="brightest first"))
    assert list(brightest["brightness"]) == sorted(table["brightness"], reverse=True)


def test_builds_of_every_version_of_names_are_played(tmp_path: Path) -> None:
    write_foldered_build(tmp_path / "raw", tmp_path / "foldered")
    for folder in (Path(__file__).parents[1] / "dataset" / "counted_names", tmp_path / "foldered"):
        library = clips.Library(str(folder))
        table = library.table()
        assert len(table) == 8 and table["shard"].nunique() > 4
        for clip_id, row in table.iterrows():
            assert len(library.video(str(clip_id))) == row["size"]


def test_a_dataset_of_no_clips_and_one_that_lacks_a_column_are_refused(
    mini_build: Path, tmp_path: Path
) -> None:
    for name, change, message in (
        ("lacking", lambda rows: rows.drop(columns=["shard"]), r"its metadata lacks \['shard'\]"),
        ("hostile", lambda rows: rows.assign(id="../outside"), "has no clip that can be shown"),
    ):
        shutil.copytree(mini_build / "metadata", tmp_path / name / "metadata")
        for path in (tmp_path / name).rglob("*.parquet"):
            change(pd.read_parquet(path)).to_parquet(path)
        with pytest.raises(OSError, match=message) as caught:
            clips.Library(str(tmp_path / name)).table()
        assert str(tmp_path) not in str(caught.value)


def test_percents_sum_to_a_hundred_and_stay_next_to_the_exact_ones() -> None:
    exact = dict(zip(EMOTIONS, (0.2049, 0.2049, 0.2049, 0.2049, 0.0451, 0.0451, 0.0451, 0.0451), strict=True))
    shown = {name: float(text) for name, text in markup.percents(exact).items()}
    assert sum(shown.values()) == pytest.approx(100, abs=1e-9)
    assert all(abs(shown[name] - 100 * exact[name]) <= 0.1 for name in EMOTIONS)


def test_a_row_that_names_another_file_is_not_read(mini_build: Path) -> None:
    library = clips.Library(str(mini_build))
    table = library.table()
    clip_id = table.index[0]
    assert len(library.video(clip_id)) == table.loc[clip_id, "size"]
    library.video.cache_clear()
    table.loc[clip_id, "shard"] = "../../secret.tar"
    with pytest.raises(OSError, match="names no shard"):
        library.video(clip_id)
    other = table.index[1]
    table.loc[other, "offset"] += 1
    with pytest.raises(OSError, match="differs from its sha256"):
        library.video(other)


def test_a_folder_without_metadata_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no build of clips") as caught:
        clips.Library(str(tmp_path)).table()
    assert str(tmp_path.parent) not in str(caught.value)


@pytest.mark.parametrize("data", [b"no video", b""], ids=["text", "nothing"])
def test_a_clip_that_cannot_be_decoded_is_an_answer_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    library = clips.Library("me/clips")
    monkeypatch.setattr(library, "video", lambda clip_id: data)
    with pytest.raises(OSError, match="clip sticker-0 cannot be decoded"):
        library.poster("sticker-0")
    client = TestClient(Starlette(routes=[Route("/poster/{id}.jpg", library.serve_poster)]))
    answer = client.get("/poster/sticker-0.jpg")
    assert (answer.status_code, answer.text) == (502, "the clip cannot be read")


def test_a_poster_shows_the_colours_of_the_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """BT.709, which a picture of 720 lines has without saying so; read as BT.601 it is 20 levels off."""
    with av.open(str(tmp_path / "hd.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=24, options={"crf": "2"})
        stream.width, stream.height, stream.pix_fmt = 960, 720, "yuv420p"
        frame = av.VideoFrame(960, 720, "yuv420p")
        for plane, level in zip(frame.planes, (138, 89, 71), strict=True):  # (40, 180, 60) in BT.709
            np.asarray(memoryview(plane))[:] = level
        film.mux([*stream.encode(frame), *stream.encode(None)])
    library = clips.Library("me/clips")
    monkeypatch.setattr(library, "video", lambda clip_id: (tmp_path / "hd.mp4").read_bytes())
    shown = np.asarray(Image.open(io.BytesIO(library.poster("movie-0"))), int)
    assert np.abs(shown - (40, 180, 60)).max() <= 5


def test_a_failing_client_is_an_answer_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(clip_id: str) -> bytes:
        raise RuntimeError("/secret/folder")

    library = clips.Library("me/clips")
    monkeypatch.setattr(library, "video", fail)
    client = TestClient(Starlette(routes=[Route("/clip/{id}.mp4", library.serve)]))
    answer = client.get("/clip/sticker-0.mp4")
    assert (answer.status_code, answer.text) == (502, "the clip cannot be read")


def test_whatever_fails_a_visitor_reads_a_line_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("/secret/folder")

    monkeypatch.setattr(app.Annotator, "annotate", fail)
    monkeypatch.setattr(app.Generator, "generate", fail)
    monkeypatch.setattr(app.Generator, "pictures", fail)
    monkeypatch.setattr(app.Library, "table", fail)
    functions = {step.name: step.fn for step in page_of(app).fns.values()}
    picture = tmp_path / "face.png"
    Image.new("RGB", (8, 8), "yellow").save(picture)
    taken = functions["take"](gr.EventData(None, {"id": "sticker-0"}))
    said = {
        "annotate": functions["annotate"]("a.mp4"),
        "judge": functions["judge"]("a.mp4", "awe"),
        "generate": functions["generate"]("a cat", "awe", 1, None, "any", 2, 0)[0],
        "take": taken[1],
        "stick": list(functions["stick"](str(picture), ["awe"], 1, "a face", "auto", 32, 2, 0))[-1][0],
        "anew": functions["anew"]([], [], [0, 1], [0, 1], [0, 360], "", "mixed")[2],
    }
    for name, message in said.items():
        assert 'role="alert"' in message and "secret" not in message, name
    assert taken[0] is None


def page_of(app: Any) -> Any:
    """The page with nothing set up."""
    nothing = dict.fromkeys(("EMOVID_BASE_T2V", "EMOVID_BASE_I2V"), "")
    return app.build(settings.Settings.read(nothing))[0]


MODEL_STEPS = ("annotate", "annotate_taken", "generate", "judge", "stick")


def test_one_visitor_at_a_time_uses_a_model() -> None:
    steps = page_of(app).fns.values()
    queues = {step.name: step.concurrency_id for step in steps if step.name in MODEL_STEPS}
    assert queues == dict.fromkeys(MODEL_STEPS, "model")


def test_a_base_that_cannot_be_loaded_is_named_without_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object) -> Any:
        raise ValueError(f"{tmp_path} holds no model")

    monkeypatch.setattr(generator, "_load", fail)
    named = settings.Settings.read({"EMOVID_BASE_T2V": str(tmp_path)})
    with pytest.raises(OSError, match=f"^The generator {tmp_path.name} cannot be loaded; try again later.$"):
        generator.Generator(named).load("t2v")


def test_an_annotator_that_fails_is_named_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes, **options: object) -> Any:
        raise ValueError(f"{tmp_path} holds no weights")

    path = tmp_path / "video.mp4"
    generator.write_video(path, np.zeros((4, 16, 16, 3)))
    judge = app.Annotator("me/judge")
    monkeypatch.setattr(judge, "_pipeline", fail)
    with pytest.raises(OSError, match=r"^The annotator failed on this video; try another one.$"):
        judge.annotate(path)


def a_sticker_page(
    monkeypatch: pytest.MonkeyPatch, folder: Path, fail_at: str = ""
) -> tuple[Any, Callable[..., Any]]:
    """The page, its files in a folder, and the function that makes stickers; the frames are the picture's."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))

    def pictures(self: Any, wish: Any, image: Any, size: tuple[int, int], on_step: Any) -> Any:
        if wish.emotion == fail_at:
            raise MemoryError("Memory ran out.")
        assert image.size == size[::-1] and wish.content_type == "sticker"
        frame = np.asarray(image) / 255
        return np.stack([frame, np.roll(frame, 2, axis=1), np.roll(frame, 4, axis=1)])

    monkeypatch.setattr(app.Generator, "pictures", pictures)
    page = page_of(app)
    return page, next(step.fn for step in page.fns.values() if step.name == "stick")


def a_face(folder: Path, size: tuple[int, int] = (60, 60)) -> str:
    image = Image.new("RGBA", size)
    image.paste((255, 204, 77, 255), (20, 20, 40, 40))
    image.save(folder / "face.png")
    return str(folder / "face.png")


def test_stickers_come_one_after_the_other_with_links_to_files_that_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, stick = a_sticker_page(monkeypatch, tmp_path)
    face = a_face(tmp_path, (60, 40))
    answers = list(stick(face, ["sadness", "awe"], 1.5, "a face", "auto", 32, 2, 7))
    assert [answer[1].count("<li") for answer in answers] == [1, 2, 2]
    assert answers[-1][1].index("awe") < answers[-1][1].index("sadness"), "in the order of the emotions"
    assert "seed 7" in answers[-1][0] and "contact sheet" in answers[-1][0]
    files = [Path(path) for path in re.findall(r"gradio_api/file=([^\"]+)", "".join(answers[-1]))]
    kinds = ["contact_sheet.png", "awe.webp", "awe.webp", "awe.gif", *["sadness.webp"] * 2, "sadness.gif"]
    assert sorted(path.name for path in files) == sorted(kinds)
    assert all(path.is_relative_to(tmp_path / "cache") for path in files)
    for path in files:
        if path.suffix == ".png":
            continue
        with Image.open(path) as animation:
            assert animation.n_frames == 3 and animation.info["loop"] == 0
            # 832x480 pixels in the picture's shape of 3:2.
            assert animation.size == (768, 512)
            alpha = np.asarray(animation.convert("RGBA"))[..., 3]
            assert 0.1 < (alpha > 0).mean() < 0.3
    app._forget(page)
    assert not any(path.exists() for path in files)


def test_what_went_well_stays_when_a_sticker_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stick = a_sticker_page(monkeypatch, tmp_path, fail_at="fear")
    *_, (message, shown) = stick(a_face(tmp_path), ["awe", "fear"], 1, "a face", "auto", 32, 2, 0)
    assert "Memory ran out." in message and shown.count("<li") == 1 and "awe" in shown


def test_what_no_sticker_can_be_made_of_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stick = a_sticker_page(monkeypatch, tmp_path)
    face = a_face(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (tmp_path / "text.png").write_text("no picture")
    for picture, chosen, background, words in (
        (None, ["awe"], "auto", "Upload a picture first."),
        (face, [], "auto", "Choose at least one emotion."),
        (face, ["<b>"], "auto", "is none of the eight"),
        (str(tmp_path / "noise.png"), ["awe"], "remove", "no plain colour to remove"),
        (str(tmp_path / "text.png"), ["awe"], "auto", "is not an image that Pillow reads"),
    ):
        ((message, shown),) = stick(picture, chosen, 1, "a face", background, 32, 2, 0)
        assert 'role="alert"' in message and words in message and shown == ""
        assert str(tmp_path) not in message and "<b>" not in message


def test_a_generated_video_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    named = settings.Settings.read({"EMOVID_SIZE": "16x16"})
    made = generator.Generator(named)
    pictures = SimpleNamespace(frames=[np.zeros((5, 16, 16, 3))])
    monkeypatch.setattr(made, "_loaded", lambda task: lambda **options: pictures)
    wish = generator.Wish(
        prompt="a cat", emotion=None, intensity=1, content_type=None, image=None, steps=1, seed=0
    )
    video = made.generate(wish, lambda step, steps: None)
    assert len(decode(video)) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_visitor_was_shown_is_deleted_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = page_of(app)
    videos = [block for block in page.blocks.values() if isinstance(block, gr.Video)]
    kept = [Path(app.kept(video, "clip.mp4", b"bytes")) for video in videos]
    assert len(set(kept)) == 2 and all(path.is_relative_to(tmp_path) for path in kept)
    assert all(path.read_bytes() == b"bytes" for path in kept)
    app._forget(page)
    assert not any(path.exists() for path in kept)


def test_page_and_card_say_the_same_of_what_is_deleted() -> None:
    card = " ".join((DEMO / "README.md.jinja").read_text(encoding="utf-8").split())
    assert app.DELETED in card and 2 * app.OLDEST == 2 * 60 * 60
    note = next(
        block.value for block in page_of(app).blocks.values() if "64 MB" in str(getattr(block, "value", ""))
    )
    assert app.DELETED in note


def test_a_large_generator_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        outline = WanTransformer3DModel(num_layers=8)
    outline.save_config(tmp_path / "transformer")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    named = settings.Settings.read({"EMOVID_BASE_T2V": str(tmp_path)})
    with pytest.raises(ValueError, match="billion weights and needs a GPU"):
        generator.Generator(named).load("t2v")


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "first.png"
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="no image that can be read") as caught:
        generator.read_image(path, 32, 48)
    assert str(path) not in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av
    import numpy as np

    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(ValueError, match="holds no pictures"):
        check_video(path.read_bytes())


def test_the_command_prints_what_the_page_loads(mini_build: Path) -> None:
    result = CliRunner().invoke(
        program(),
        ["demo", "--dataset", str(mini_build), "--annotator", "me/judge", "--json"],
    )
    assert result.exit_code == 0
    printed = json.loads(result.output)
    assert printed["EMOVID_DATASET"] == str(mini_build)
    assert printed["EMOVID_ANNOTATOR"] == "me/judge"
    named = settings.Settings.read(printed)
    assert (named.dataset, named.annotator) == (str(mini_build), "me/judge")


def test_a_base_of_ones_own_goes_without_the_lora_that_ships() -> None:
    variables = page_variables({"EMOVID_BASE_T2V": "me/wan"})
    assert variables["EMOVID_LORA_T2V"] == ""
    assert settings.Settings.read(variables).width == 832


def test_several_loras_go_from_the_command_to_the_page(mini_build: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("emotion", "a,b", "odd:2")]
    for folder in folders:
        folder.mkdir()
        (folder / "pytorch_lora_weights.safetensors").touch()

    def read(*loras: str | Path) -> tuple[tuple[str, float], ...]:
        named = [word for lora in loras for word in ("--lora-t2v", str(lora))]
        ask = ["demo", "--dataset", str(mini_build), "--base-t2v", "me/wan", *named, "--json"]
        result = CliRunner().invoke(program(), ask)
        if isinstance(result.exception, ValueError):
            raise result.exception
        found = settings.Settings.read(json.loads(result.output)).t2v.loras
        return tuple((lora.source, lora.weight) for lora in found)

    emotion, comma, colon = map(str, folders)
    assert read() == ()
    assert read(emotion, "me/style:0.8") == ((emotion, 1), ("me/style", 0.8))
    assert read(colon) == ((colon, 1),) and read(f"{colon}:0.5") == ((colon, 0.5),)
    assert read(comma) == ((comma, 1),)
    with pytest.raises(ValueError, match=f"--lora-t2v {comma} has a comma, which separates LoRAs"):
        read(f"{comma}:0.5")


def test_the_pages_variable_of_loras() -> None:
    def loras(text: str) -> settings.GeneratorSettings:
        return settings.Settings.read({"EMOVID_LORA_I2V": text}).i2v

    both = loras("me/emotion , me/style:-0.5")
    assert both.loras == (settings.WeightedLora("me/emotion"), settings.WeightedLora("me/style", -0.5))
    assert both.code == "me/emotion" and loras("").loras == ()
    for wrong in ("me/style:heavy", "me/style:nan", "me/emotion,me/style:"):
        with pytest.raises(ValueError, match=r"EMOVID_LORA_I2V has a LoRA 'me/style:.*', not of the form"):
            loras(wrong)


def test_several_loras_are_on_the_generator_and_the_intensity_moves_the_first(tmp_path: Path) -> None:
    style = shutil.copytree(MINI_LORA_T2V, tmp_path / "style")
    named = page_variables({}) | {
        "EMOVID_LORA_T2V": f"{MINI_LORA_T2V},{style}:0.5",
        "EMOVID_FRAMES": "5",
        "EMOVID_SIZE": "32x32",
    }
    made = generator.Generator(settings.Settings.read(named))
    pipe = made.load("t2v")
    assert pipe.get_active_adapters() == ["lora_0", "lora_1"]
    scalings = [layer.scaling for layer in pipe.transformer.modules() if hasattr(layer, "lora_A")]
    assert scalings and all(found["lora_1"] == 0.5 * found["lora_0"] for found in scalings)
    wish = generator.Wish(
        prompt="a face", emotion="awe", intensity=0.4, content_type=None, image=None, steps=1, seed=0
    )
    found = made.pictures(wish, None, (32, 32), lambda step, steps: None)

    def stock(adapter: str) -> Any:
        return pipe(
            prompt="a face",
            emotion="awe",
            intensity=0.4,
            height=32,
            width=32,
            num_frames=5,
            num_inference_steps=1,
            guidance_scale=3.0,
            emotion_guidance_scale=6.0,
            emotion_adapter=adapter,
            generator=torch.Generator().manual_seed(0),
        ).frames[0]

    assert np.array_equal(found, stock("lora_0")) and not np.array_equal(found, stock("lora_1"))


def test_guidance_goes_from_the_command_to_the_pipeline(
    mini_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ["demo", "--dataset", str(mini_build), "--guidance", "7.5", "--json"]
    result = CliRunner().invoke(program(), ask)
    assert result.exit_code == 0
    named = settings.Settings.read(json.loads(result.output))
    assert named.guidance == 7.5
    asked: dict[str, Any] = {}

    class Refused(Exception):
        pass

    def pipe(**options: Any) -> Any:
        asked.update(options)
        raise Refused

    made = generator.Generator(named)
    monkeypatch.setattr(made, "_loaded", lambda task: pipe)
    wish = generator.Wish(
        prompt="a cat", emotion="awe", intensity=1, content_type=None, image=None, steps=2, seed=0
    )
    with pytest.raises(Refused):
        made.generate(wish, lambda step, steps: None)
    assert (asked["guidance_scale"], asked["emotion_guidance_scale"]) == (7.5, 7.5)


def test_the_miniatures_start_with_the_style_that_they_know() -> None:
    assert settings.Settings.read(page_variables({})).style == "sticker"
    assert settings.Settings.read({}).style == "any"
    with pytest.raises(ValueError, match="EMOVID_STYLE is 'film'; allowed: any, cartoon, movie, sticker"):
        settings.Settings.read({"EMOVID_STYLE": "film"})


@pytest.mark.parametrize("value", ["much", "nan", "inf", "0.5", "-3", ""])
def test_guidance_that_is_no_number_from_one_up_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"EMOVID_GUIDANCE is '.*', not a number from 1 up"):
        settings.Settings.read({"EMOVID_GUIDANCE": value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "no/such/folder"], "--dataset 'no/such/folder' is not a folder, and not a repo"),
        (["--lora-i2v", "me/lora"], "--lora-i2v me/lora needs --base-i2v"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(program(), ["demo", *arguments], catch_exceptions=False)


def test_another_taxonomy_has_its_own_emotions_and_one_group_of_bars(
    mini_build: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moods"
    shutil.copytree(mini_build, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    names = ["joy", *EMOTIONS]
    manifest["taxonomy"] = {"name": "nine", "labels": [{"name": name, "valence": 0} for name in names]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert clips.Library(str(folder)).emotions() == tuple(names)
    manifest["taxonomy"]["labels"][0]["name"] = "</style>"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert clips.Library(str(folder)).emotions() == EMOTIONS
    shown = markup.bars({"joy": 0.75, "grief": 0.25})
    assert shown.count('role="meter"') == 2
    assert "<b>joy</b>" in shown
    assert "positive" not in shown


@pytest.mark.parametrize(
    ("arguments", "played"),
    [
        (["-c:v", "libx264", "-pix_fmt", "yuv420p", "a.mp4"], True),
        (["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "a.mp4"], False),
        (["-c:v", "libx264", "-pix_fmt", "yuv444p", "a.mp4"], False),
        (["-c:v", "libx264", "-pix_fmt", "yuv420p", "a.avi"], False),
        (["-c:v", "libvpx", "a.webm"], True),
        (["a.gif"], False),
    ],
    ids=["h264", "hevc", "h264 4:4:4", "h264 in avi", "webm", "gif"],
)
def test_what_a_browser_may_not_play_gets_a_preview(
    arguments: list[str], played: bool, tmp_path: Path
) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    *options, name = arguments
    source = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=#3388aa:size=64x48:rate=10:duration=1"]
    subprocess.run([*source, *options, str(tmp_path / name)], check=True)
    found = preview((tmp_path / name).read_bytes())
    assert (found is None) == played
    if found is not None:
        with av.open(io.BytesIO(found)) as film:
            stream = film.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            frames = list(film.decode(video=0))
        assert (len(frames), frames[0].width, frames[0].height) == (10, 64, 48)
        with av.open(str(tmp_path / name)) as film:
            wanted = next(film.decode(video=0)).to_ndarray(format="rgb24")
        # On the whole: a GIF scatters a colour that its palette lacks.
        means = [picture.mean((0, 1)) for picture in (frames[0].to_ndarray(format="rgb24"), wanted)]
        assert np.abs(means[0] - means[1]).max() < 6
    with pytest.raises(ValueError, match="no video that can be read"):
        preview(b"no video")


def test_a_preview_stands_upright(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    red_above = ["-f", "lavfi", "-i", "color=red:size=64x24:rate=5:duration=1,pad=64:48:0:0:blue"]
    encode = ["-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p"]
    command = ["ffmpeg", "-v", "error"]
    subprocess.run([*command, *red_above, *encode, str(tmp_path / "turned.mp4")], check=True)
    rotate(tmp_path / "turned.mp4", 90)
    # ffmpeg turns what it decodes, as a player does
    shown = ["-i", str(tmp_path / "turned.mp4"), "-frames:v", "1", str(tmp_path / "shown.png")]
    subprocess.run([*command, *shown], check=True)
    wanted = np.asarray(Image.open(tmp_path / "shown.png").convert("RGB"), float)
    found = preview((tmp_path / "turned.mp4").read_bytes())
    assert found is not None and wanted.shape == (64, 48, 3)
    frame = decode(found, frames=lambda count: [0])[0]
    assert frame.shape == wanted.shape and np.abs(frame - wanted).mean() < 12


def test_toys_say_so_and_ask_for_what_they_know() -> None:
    toys = settings.Settings.read({"EMOVID_SIZE": "64x64"})
    assert (toys.are_toys, "face" in toys.example) == (True, True)
    assert not settings.Settings.read({}).are_toys
