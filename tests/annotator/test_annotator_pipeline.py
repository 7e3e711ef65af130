"""The pipeline "video-emotion": what it takes, what it answers, and that one bad video spoils nothing."""

from __future__ import annotations

import ast
import functools
import http.server
import inspect
import io
import json
import struct
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from annotator_tiny import MINI
from PIL import Image
from transformers.pipelines.pt_utils import KeyDataset
from video_files import exact_rgb

from emovid_dataset.media.frames import decode
from emovid_dataset.media.portable import truncation
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.remote.annotator import CODE, pipeline, prompts, video_file
from emovid_models.remote.annotator.reading import read_frames


def as_scores(result: Any) -> np.ndarray:
    found = {entry["label"]: entry["score"] for entry in result}
    return np.array([found[name] for name in EMOTIONS])


def write_video(path: Path, frames: np.ndarray, codec: str = "libx264", **options: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "10", **options})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def numbered() -> np.ndarray:
    """57 frames of moving noise with their numbers, 8 bits in blocks along the upper edge."""
    random = np.random.default_rng(2)
    texture = np.kron(random.integers(40, 200, (8, 12, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    frames = np.stack([np.roll(texture, (index, 2 * index), (0, 1)) for index in range(57)])
    for index, frame in enumerate(frames):
        for bit in range(8):
            frame[:16, bit * 12 : (bit + 1) * 12] = 255 if index >> bit & 1 else 0
    return frames


def read_number(frame: np.ndarray) -> int:
    return sum(int(frame[4:12, bit * 12 + 3 : bit * 12 + 9].mean() > 127) << bit for bit in range(8))


def rotate(path: Path, degrees: int) -> None:
    """Write into an MP4 that its pictures are to be turned clockwise, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] == 1 else 20) + 16  # version and flags, times and ids, layer and volume
    one = 1 << 16
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    data[at : at + 36] = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


class Choice:
    """Chooses the frames given, and notes the numbers of frames that it is told."""

    def __init__(self, indices: list[int]) -> None:
        self.indices = indices
        self.totals: list[int] = []

    def __call__(self, total: int) -> list[int]:
        self.totals.append(total)
        return self.indices


@pytest.fixture
def server(stickers: list[Path]) -> Iterator[str]:
    """Serves the stickers; `/broken.mp4` promises more bytes than it sends."""
    data = stickers[0].read_bytes()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/broken.mp4":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(stickers[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


# answers


def test_labels_are_those_of_the_dataset() -> None:
    assert prompts.EMOTIONS == EMOTIONS


def test_eight_probabilities_the_likeliest_first(annotator: Any, stickers: list[Path]) -> None:
    result = annotator(stickers[0])
    scores = [entry["score"] for entry in result]
    assert {entry["label"] for entry in result} == set(EMOTIONS)
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-6)


def test_probabilities_are_those_of_eight_full_forwards(annotator: Any, stickers: list[Path]) -> None:
    """The reference: each label appended to the prompt, one forward each, mean log-likelihood, softmax."""
    processor, model = annotator.processor, annotator.model
    frames = decode(stickers[0].read_bytes(), frames=lambda n: processor.sample_indices(n, 4))
    scores = []
    for label in EMOTIONS:
        inputs = processor(
            text=processor.build_prompt(prompts.EMOTION_QUESTION), videos=[frames], do_sample_frames=False
        )
        answer = torch.tensor([processor.tokenizer(label + "<|im_end|>").input_ids])
        ids = torch.cat([inputs["input_ids"], answer], 1)
        with torch.inference_mode():
            logits = model(input_ids=ids, pixel_values_videos=inputs["pixel_values_videos"]).logits
        log_probs = logits[0, -answer.shape[1] - 1 : -1].log_softmax(-1)
        scores.append(float(log_probs.gather(-1, answer.T).mean()))
    expected = (torch.tensor(scores) / 0.25).softmax(-1).numpy()
    np.testing.assert_allclose(as_scores(annotator(stickers[0])), expected, atol=1e-5)


def test_temperature_of_the_config_is_applied(annotator: Any, stickers: list[Path]) -> None:
    sharp = as_scores(annotator(stickers[0]))
    annotator.model.config.emotion_temperature = 0.5
    try:
        soft = as_scores(annotator(stickers[0]))
    finally:
        annotator.model.config.emotion_temperature = 0.25
    expected = np.sqrt(sharp) / np.sqrt(sharp).sum()
    np.testing.assert_allclose(soft, expected, atol=1e-6)


def test_batches_change_no_answer(annotator: Any, stickers: list[Path]) -> None:
    one = annotator(stickers, batch_size=1)
    many = annotator(stickers, batch_size=5)
    assert len(one) == len(many) == len(stickers)
    for left, right in zip(one, many, strict=True):
        np.testing.assert_allclose(as_scores(left), as_scores(right), atol=1e-5)


def test_top_k(annotator: Any, stickers: list[Path]) -> None:
    full = annotator(stickers[0])
    assert annotator(stickers[0], top_k=3) == full[:3]


def another(annotator: Any, **options: Any) -> Any:
    """A pipeline with the same model that is given options when it is made."""
    return pipeline.VideoEmotionPipeline(
        model=annotator.model,
        processor=annotator.processor,
        task="video-emotion",
        device=torch.device("cpu"),
        **options,
    )


@pytest.mark.parametrize("name", ["top_k", "batch_size", "num_frames", "max_new_tokens"])
@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "4", float("nan")])
def test_a_number_is_whole_and_at_least_one(
    annotator: Any, frames: np.ndarray, name: str, wrong: Any
) -> None:
    reason = f"{name} is {wrong!r}; allowed: a whole number, at least 1"
    with pytest.raises(ValueError, match=reason):
        annotator(frames, **{name: wrong})
    with pytest.raises(ValueError, match=reason):
        another(annotator, **{name: wrong})


def test_none_at_a_call_undoes_what_was_given_before(annotator: Any, frames: np.ndarray) -> None:
    given = {"top_k": 2, "num_frames": 1, "return_caption": True, "max_new_tokens": 3, "batch_size": 2}
    narrow = another(annotator, **given)
    assert len(narrow(frames)["emotions"]) == 2
    assert len(narrow(frames, top_k=None)["emotions"]) == 8
    found = narrow(frames, **dict.fromkeys(given))
    np.testing.assert_allclose(as_scores(found), as_scores(annotator(frames)), atol=1e-5)


def test_num_frames_chooses_how_much_is_seen(annotator: Any, frames: np.ndarray) -> None:
    """With one frame only the first is looked at, so that what follows cannot matter."""
    changed = frames.copy()
    changed[1:] = 0
    first, second = annotator([frames, changed], num_frames=1)
    np.testing.assert_allclose(as_scores(first), as_scores(second), atol=1e-7)
    first, second = annotator([frames, changed], num_frames=5)
    assert np.abs(as_scores(first) - as_scores(second)).max() > 1e-4


def test_caption_is_what_generate_writes(annotator: Any, stickers: list[Path]) -> None:
    result = annotator(stickers[:2], return_caption=True, max_new_tokens=6, batch_size=2)
    processor, model = annotator.processor, annotator.model
    for path, found in zip(stickers, result, strict=False):
        frames = decode(path.read_bytes(), frames=lambda n: processor.sample_indices(n, 4))
        prompt = processor.build_prompt(prompts.CAPTION_QUESTION)
        inputs = processor(text=prompt, videos=[frames], do_sample_frames=False)
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=6)[:, inputs["input_ids"].shape[1] :]
        expected = processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert found["caption"] == expected
        np.testing.assert_allclose(as_scores(found["emotions"]), as_scores(annotator(path)), atol=1e-5)


# inputs


def test_every_kind_of_input_gives_the_same_answer(annotator: Any, stickers: list[Path], server: str) -> None:
    path = stickers[0]
    frames = decode(path.read_bytes())
    expected = as_scores(annotator(path))
    for same in (
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        frames,
        frames.transpose(0, 3, 1, 2),
        torch.from_numpy(frames),
        torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255,
        list(frames),
        [Image.fromarray(frame) for frame in frames],
        {"video": str(path)},
        {"mp4": {"bytes": path.read_bytes(), "path": None}},
        lambda: path,
        f"{server}/{path.name}",
    ):
        np.testing.assert_allclose(as_scores(annotator(same)), expected, atol=1e-5)


def test_several_videos_in_every_form(annotator: Any, stickers: list[Path]) -> None:
    paths = [str(path) for path in stickers[:3]]
    expected = [as_scores(result) for result in annotator(paths)]
    rows = datasets.Dataset.from_dict({"video": paths})
    stacked = np.stack([decode(path, frames=8) for path in paths])
    for several in (tuple(paths), rows, rows.to_iterable_dataset(), (path for path in paths), iter(paths)):
        results = list(annotator(several, batch_size=2))
        assert len(results) == 3
        for found, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(as_scores(found), wanted, atol=1e-5)
    assert len(annotator(stacked)) == 3


def test_a_dataset_needs_no_iterator(annotator: Any, stickers: list[Path]) -> None:
    """Torch's map-style datasets and transformers' `KeyDataset` have only `__getitem__` and `__len__`."""
    paths = [str(path) for path in stickers[:3]]
    expected = [as_scores(result) for result in annotator(paths)]
    rows = KeyDataset(datasets.Dataset.from_dict({"clip": paths}), "clip")
    series = pd.Series(["absent.mp4", *paths])[1:]
    for several in (rows, torch.utils.data.Subset(rows, range(3)), series):
        results = annotator(several, batch_size=2)
        assert len(results) == 3
        for found, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(as_scores(found), wanted, atol=1e-5)


def test_a_row_that_a_dataset_fails_to_give_is_an_error_in_its_place(
    annotator: Any, stickers: list[Path]
) -> None:
    class Rows:
        def __len__(self) -> int:
            return 6

        def __getitem__(self, place: int) -> Path:
            if place in (1, 4):
                raise RuntimeError(f"row {place}\nis lost")
            return stickers[place]

    results = annotator(Rows(), batch_size=4)
    assert [results[1], results[4]] == [{"error": "row 1 is lost"}, {"error": "row 4 is lost"}]
    for place in (0, 2, 3, 5):
        np.testing.assert_allclose(
            as_scores(results[place]), as_scores(annotator(stickers[place])), atol=1e-5
        )


def test_an_iterator_that_fails_gives_what_it_read_first(annotator: Any, frames: np.ndarray) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from [frames] * 5
        raise RuntimeError("the disk is gone")

    results = annotator(failing(), batch_size=2)
    for _ in range(5):
        assert as_scores(next(results)).sum() == pytest.approx(1, abs=1e-6)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(results)


def test_the_decoder_that_datasets_gives_is_a_video(annotator: Any, frames: np.ndarray) -> None:
    """`datasets` decodes a video column to torchcodec's decoder: only the chosen frames are asked for."""
    asked = []

    class Decoder:
        def __len__(self) -> int:
            return len(frames)

        def __getitem__(self, index: int) -> torch.Tensor:
            raise AssertionError("frames are asked for together")

        def get_frames_at(self, indices: list[int]) -> Any:
            asked.append(indices)
            chosen = torch.from_numpy(frames)[indices].permute(0, 3, 1, 2)
            return types.SimpleNamespace(data=chosen)

    expected = as_scores(annotator(frames))
    results = [annotator(Decoder()), annotator({"video": Decoder()}), *annotator([Decoder()])]
    for result in results:
        np.testing.assert_allclose(as_scores(result), expected, atol=1e-5)
    assert asked == [annotator.processor.sample_indices(20, 4)] * 3


def test_nothing_gives_nothing(annotator: Any) -> None:
    assert annotator([]) == []
    assert annotator(()) == []
    assert list(annotator(iter(()))) == []


def test_an_iterator_is_read_as_results_are_taken(annotator: Any, frames: np.ndarray) -> None:
    read = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            read.append(1)
            yield frames

    results = annotator(endless(), batch_size=2)
    for _ in range(3):
        next(results)
    results.close()
    assert len(read) <= 8


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_pictures_are_videos_too(annotator: Any, frames: np.ndarray, tmp_path: Path, suffix: str) -> None:
    """Transparent pixels count as white."""
    path = tmp_path / f"a.{suffix}"
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    clear.save(path)
    white = np.full((1, 20, 20, 3), 255, np.uint8)
    np.testing.assert_allclose(as_scores(annotator(path)), as_scores(annotator(white)), atol=1e-5)


# bad inputs


def test_a_bad_video_gets_an_error_in_its_place(
    annotator: Any, stickers: list[Path], frames: np.ndarray, tmp_path: Path, server: str
) -> None:
    data = stickers[0].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.mp4").write_text("not a video")
    silent = tmp_path / "sound.wav"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    unknown = write_video(tmp_path / "unknown.mp4", frames).read_bytes()
    animated: dict[str, bytes] = {}
    for name in ("gif", "webp", "png"):
        first, *others = [Image.fromarray(frame) for frame in frames[:4]]
        first.save(tmp_path / f"a.{name}", save_all=True, append_images=others)
        animated[name] = (tmp_path / f"a.{name}").read_bytes()
        (tmp_path / f"half.{name}").write_bytes(animated[name][: len(animated[name]) // 2])
    Image.fromarray(frames[0]).save(tmp_path / "a.jpg")
    still = (tmp_path / "a.jpg").read_bytes()
    nan = torch.full((4, 3, 8, 8), float("nan"))
    bad: list[tuple[Any, str]] = [
        (tmp_path / "cut.mp4", "cut.mp4 is truncated"),
        (tmp_path / "text.mp4", "text.mp4 cannot be decoded"),
        (silent, "sound.wav has no video stream"),
        (unknown.replace(b"avc1", b"zzzz"), "the video has a video stream of an unknown codec"),
        *((tmp_path / f"half.{name}", f"half.{name} is truncated") for name in animated),
        *((content[:14], "the video is truncated") for content in animated.values()),
        (still[: len(still) // 2], "the video cannot be decoded: "),
        (b"RIFF\4\0\0\0WEBP", "the video cannot be decoded: it does not begin as a picture does"),
        (b"", "empty"),
        (tmp_path / "absent.mp4", "is not a file"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no frames"),
        (nan, "not finite"),
        (np.zeros((8, 8), np.uint8), "shape [8, 8]"),
        (np.zeros((2, 8, 8, 7), np.uint8), "shape"),
        (np.zeros((2, 8, 8, 3), np.int64) - 5, "outside 0..255"),
        ([], "no frames"),
        (None, "NoneType"),
        ({"caption": "x"}, "columns"),
        (f"{server}/absent.mp4", "404"),
        (f"{server}/broken.mp4", "broke off after"),
    ]
    good = as_scores(annotator(stickers[1]))
    inputs = [stickers[1]]
    for item, _ in bad:
        inputs += [item, stickers[1]]
    results = annotator(inputs, batch_size=4)
    assert len(results) == len(inputs)
    for result in results[::2]:
        np.testing.assert_allclose(as_scores(result), good, atol=1e-5)
    for result, (_, reason) in zip(results[1::2], bad, strict=True):
        assert set(result) == {"error"}
        assert reason in result["error"]
        assert "\n" not in result["error"]
        assert " object at 0x" not in result["error"]


def test_one_frame_is_a_video(annotator: Any, frames: np.ndarray, tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", frames[:1])
    (only,) = read_frames(path, Choice([0]))
    np.testing.assert_allclose(as_scores(annotator(path)), as_scores(annotator(only[None])), atol=1e-5)


def test_a_failure_of_the_model_hits_its_own_video_only(
    annotator: Any, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that fails as a whole is tried video by video."""
    black = np.zeros_like(frames)
    original = annotator.model.get_video_features

    def failing(pixels: torch.Tensor) -> torch.Tensor:
        if (pixels.view(-1, 4, 3, 24, 24) == -1).flatten(1).all(1).any():
            raise RuntimeError("out of memory")
        return original(pixels)

    monkeypatch.setattr(annotator.model, "get_video_features", failing)
    first, second, third = annotator([frames, black, frames], batch_size=3)
    assert second == {"error": "out of memory"}
    np.testing.assert_allclose(as_scores(first), as_scores(third), atol=1e-6)


def test_wrong_arguments_are_named(annotator: Any, stickers: list[Path]) -> None:
    with pytest.raises(ValueError, match="unknown options \\['topk'\\]"):
        annotator(stickers[0], topk=3)
    with pytest.raises(ValueError, match="batch_size is -1"):
        annotator(stickers[0], batch_size=-1)
    with pytest.raises(ValueError, match="inputs is a int"):
        annotator(3)


# decoding


def test_frames_are_the_decoders(tmp_path: Path) -> None:
    """Two passes and skipped groups give the frames that decoding everything gives."""
    random = np.random.default_rng(1)
    shade = random.integers(0, 256, (57, 1, 1, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", np.broadcast_to(shade, (57, 32, 48, 3)).copy(), bf="3")
    everything = decode(path)
    for indices in ([0, 28, 56], [5], [9, 10, 11], [56], list(range(57))):
        found = np.stack(read_frames(path, lambda total, chosen=indices: chosen))
        assert np.abs(found.astype(int) - everything[indices]).max() <= 2
    assert len(everything) == 57


def trim(source: Path, path: Path, start: int) -> Path:
    """Copy an MP4's packets; an edit list hides the frames before `start`, as `ffmpeg -ss -c copy` does."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        out = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        times = sorted(packet.pts for packet in packets if packet.pts is not None)
        for packet in packets:
            assert packet.pts is not None and packet.dts is not None
            packet.pts -= times[start]
            packet.dts -= times[start]
            packet.stream = out
            new.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_trimmed_video_shows_its_own_frames(tmp_path: Path, codec: str, numbered: np.ndarray) -> None:
    """What an edit list hides is not counted, but later frames refer to it."""
    whole = write_video(tmp_path / "whole.mp4", numbered, codec=codec, bf="2")
    path = trim(whole, tmp_path / "trimmed.mp4", 27)
    with av.open(str(path)) as container:
        everything = [exact_rgb(frame) for frame in container.decode(video=0)]
    assert [read_number(frame) for frame in everything] == list(range(27, 57))
    for indices in ([0, 15, 29], [0], [2, 3], [29], list(range(30))):
        choose = Choice(indices)
        found = read_frames(path, choose)
        assert choose.totals == [30]
        for index, frame in zip(indices, found, strict=True):
            assert np.array_equal(frame, everything[index]), f"frame {index}"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_reordered_frames_in_avi_are_counted(tmp_path: Path, codec: str, numbered: np.ndarray) -> None:
    """AVI holds no times of presentation, and those that FFmpeg makes up are not the frames' own."""
    path = write_video(tmp_path / "a.avi", numbered, codec=codec, bf="3")
    for indices in ([0, 8, 16, 24, 32, 40, 48, 56], [5], [56]):
        found = [read_number(frame) for frame in read_frames(path, Choice(indices))]
        assert found == indices


def test_a_gradual_refresh_is_no_place_to_begin(tmp_path: Path, numbered: np.ndarray) -> None:
    """MPEG-TS marks where a gradual refresh begins as a key frame; it needs the frames before it."""
    options = {"x264-params": "intra-refresh=1:keyint=10:bframes=0:scenecut=0"}
    path = write_video(tmp_path / "a.ts", numbered, **options)
    with av.open(str(path)) as container:
        everything = [exact_rgb(frame) for frame in container.decode(video=0)]
    for index in range(len(everything)):
        (frame,) = read_frames(path, Choice([index]))
        assert np.array_equal(frame, everything[index]), f"frame {index}"


def test_av1_is_decoded_once(tmp_path: Path, numbered: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder cannot be told anew for every frame which to leave out, but groups are left out."""
    path = write_video(tmp_path / "a.mp4", numbered, codec="libsvtav1", preset="12")

    def again(self: Any) -> Any:
        raise AssertionError("everything is decoded again")

    monkeypatch.setattr(video_file.VideoFile, "_decode_all", again)
    for indices in ([0, 28, 56], [5, 6, 33], [56]):
        choose = Choice(indices)
        assert [read_number(frame) for frame in read_frames(path, choose)] == indices
        assert choose.totals == [57]


def test_a_damaged_frame_is_no_answer(tmp_path: Path, numbered: np.ndarray) -> None:
    """Nor are those that come between it and the next key frame; all others are."""
    data = write_video(tmp_path / "a.mkv", numbered, bf="0").read_bytes()
    with av.open(io.BytesIO(data)) as container:
        victim = [bytes(packet) for packet in container.demux(video=0) if packet.size][15]
    assert data.count(victim) == 1
    rubbish = np.random.default_rng(0).integers(0, 256, len(victim) - 12, np.uint8).tobytes()
    damaged = data.replace(victim, victim[:12] + rubbish)
    for index in (15, 17):
        with pytest.raises(ValueError, match=r"the video is damaged: the frame at 0\.6"):
            read_frames(damaged, Choice([index]))
    assert [read_number(frame) for frame in read_frames(damaged, Choice([3, 25, 56]))] == [3, 25, 56]


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.avi", "a.mp4"])
def test_half_a_video_is_no_video(tmp_path: Path, numbered: np.ndarray, name: str) -> None:
    """Most demuxers take the cut for the end; the container's own sizes tell."""
    how = {"codec": "libvpx", "cpu-used": "8", "deadline": "realtime"} if name == "a.webm" else {}
    data = write_video(tmp_path / name, numbered, **how).read_bytes()
    assert len(read_frames(data, Choice([0, 56]))) == 2
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=f"{name} is truncated"):
        read_frames(tmp_path / name, Choice([0]))


def test_video_is_read_by_the_datasets_own_code() -> None:
    """Its files lie beside the pipeline only in an assembled repo."""
    folder = Path(truncation.__file__).parent
    assert inspect.getsourcefile(pipeline.is_truncated) == str(folder / "truncation.py")
    assert inspect.getsourcefile(pipeline.VideoFile) == str(folder / "video_file.py")


def test_frames_without_times_are_counted(tmp_path: Path, numbered: np.ndarray) -> None:
    path = write_video(tmp_path / "a.h264", numbered, bf="3")
    for indices in ([0, 20, 56], [5], list(range(57))):
        choose = Choice(indices)
        assert [read_number(frame) for frame in read_frames(path, choose)] == indices
        assert choose.totals[-1] == 57


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_packets_that_are_not_kept_are_read_again(
    tmp_path: Path, numbered: np.ndarray, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / f"a.{suffix}", numbered, bf="3")
    again = functools.partial(pytest.fail, "everything is decoded")
    monkeypatch.setattr(video_file.VideoFile, "_decode_all", again)
    monkeypatch.setattr(video_file, "_KEPT_BYTES", path.stat().st_size // 3)
    for indices in ([0, 20, 56], [9, 10, 11], [56], list(range(57))):
        assert [read_number(frame) for frame in read_frames(path, Choice(indices))] == indices


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_phones_rotation_is_undone(tmp_path: Path, numbered: np.ndarray, degrees: int) -> None:
    path = write_video(tmp_path / "a.mp4", numbered)
    flat = read_frames(path, Choice([0, 30]))
    rotate(path, degrees)
    turned = read_frames(path, Choice([0, 30]))
    for before, after in zip(flat, turned, strict=True):
        assert np.array_equal(np.rot90(before, -degrees // 90), after)


def test_ten_thousand_frames_are_not_held(annotator: Any, tmp_path: Path) -> None:
    """A video of 10,000 frames is answered, and its process never takes what its frames would."""
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        frame = av.VideoFrame(128, 96, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for index in range(10_000):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    script = """
import resource, sys
from emovid_models.remote.annotator.reading import read_frames
read_frames(sys.argv[2], lambda total: [0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seen = []
frames = read_frames(sys.argv[1], lambda total: seen.append(total) or [0, total // 2, total - 1])
print(seen[0], len(frames), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    short = MINI / "sticker" / "1f47b.mp4"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(short)], capture_output=True, text=True, check=True
    )
    total, count, grown = map(int, done.stdout.split())
    assert (total, count) == (10_000, 3)
    assert grown < 60_000, f"{grown} KiB, all frames would take 360,000"
    assert as_scores(annotator(path)).sum() == pytest.approx(1, abs=1e-6)


def test_a_transparent_webm_is_seen_on_white(tmp_path: Path) -> None:
    """FFmpeg's own decoders leave the transparency out, and show what stands below it."""
    path = tmp_path / "a.webm"
    rgba = np.zeros((12, 32, 48, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:, 8:24, 8:40, 3] = 0
    with av.open(str(path), "w") as container:
        options = {"deadline": "realtime", "cpu-used": "8"}
        stream = container.add_stream("libvpx-vp9", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuva420p"
        for picture in rgba:
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for frame in read_frames(path, Choice([0, 6, 11])):
        assert frame.shape == (32, 48, 3)
        assert frame[12:20, 12:36].min() > 245 and frame[:4].max() < 20


def test_a_title_in_another_encoding_does_not_matter(tmp_path: Path, numbered: np.ndarray) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Zaehne"
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *numbered.shape[1:3], "yuv420p"
        for picture in numbered:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"Zaehne") == 1
    frames = read_frames(data.replace(b"Zaehne", b"Z\xe4\xe4hne"), Choice([0, 56]))
    assert [read_number(frame) for frame in frames] == [0, 56]


def test_an_mp4_without_its_last_frames_is_no_video(tmp_path: Path, numbered: np.ndarray) -> None:
    """The box of the frames reaches to the end of the file, so that only the index knows of more."""
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *numbered.shape[1:3], "yuv420p"
        for picture in numbered:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    at = data.index(b"mdat")
    data[at - 4 : at] = bytes(4)
    assert len(read_frames(bytes(data), Choice([0, 56]))) == 2
    with pytest.raises(ValueError, match=r"the video is truncated: \d+ of 57 frames are there"):
        read_frames(bytes(data[: (at + len(data)) // 2]), Choice([0]))


# the repo


def test_the_entry_file_imports_all_that_its_siblings_need() -> None:
    """From a folder transformers copies what `pipeline.py` imports, and looks no further."""
    needs = {
        name: {
            node.module + ".py"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        }
        for name, path in CODE.items()
    }
    assert all(needed <= set(CODE) for needed in needs.values())
    closure = set(needs["pipeline.py"])
    while more := {name for each in closure for name in needs[each]} - closure:
        closure |= more
    assert needs["pipeline.py"] == closure
    portable = {path.name for path in Path(truncation.__file__).parent.glob("[!_]*.py")}
    assert portable <= closure


def test_repo_works_where_no_emovid_is_installed(repo: Path, annotator: Any, stickers: list[Path]) -> None:
    """A process that cannot import this package gets the same answers from the folder alone."""
    script = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("emovid_models", "emovid_dataset"):
            raise ImportError(name + " is not installed")
sys.meta_path.insert(0, Blocked())
from transformers import pipeline
annotate = pipeline("video-emotion", model=sys.argv[1], trust_remote_code=True, device="cpu")
print(json.dumps(annotate([sys.argv[2], "absent.mp4"], batch_size=2, return_caption=True, max_new_tokens=3)))
plain = pipeline(model=sys.argv[1], trust_remote_code=True, device="cpu", top_k=1)
print(json.dumps(plain(sys.argv[2])))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(repo), str(stickers[0])],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()[-2:]
    found, failed = json.loads(first)
    np.testing.assert_allclose(as_scores(found["emotions"]), as_scores(annotator(stickers[0])), atol=1e-5)
    assert failed == {"error": "absent.mp4 is not a file"}
    assert json.loads(second)[0]["label"] == annotator(stickers[0])[0]["label"]


def test_repo_holds_only_what_it_needs(repo: Path) -> None:
    names = {path.name for path in repo.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "pipeline.py",
        "prompts.py",
        "truncation.py",
        "README.md",
    } <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    config = json.loads((repo / "config.json").read_text())
    assert config["custom_pipelines"]["video-emotion"]["impl"] == "pipeline.VideoEmotionPipeline"
    assert config["dtype"] == "float32"
    for code in repo.glob("*.py"):
        assert "import emovid" not in code.read_text()
        assert "from emovid" not in code.read_text()
