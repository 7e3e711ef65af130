"""What a user of the processor relies on: every kind of frames, the exact prompt, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from converted_checkpoint import Converted
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from published_layout import frames
from transformers import AutoProcessor

from emovid_models.nvila import NVILALiteProcessor

VIDEO = frames(8, 26, 40, 3)


class LazyVideo:
    """A sequence of frames that remembers which of them were asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.asked = count, list[int]()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        self.asked.append(index)
        return np.full((6, 8, 3), index % 256, np.uint8)


def test_prompt_is_the_one_that_the_model_was_trained_with(tied: Converted) -> None:
    assert tied.processor.build_prompt("What now?") == (
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n"
        "<|im_start|>user\n<vila/video>What now?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tied.processor.build_prompt(" Why? ", num_videos=2, system="Be brief.", answer="Fear.") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<vila/video><vila/video> Why?<|im_end|>\n<|im_start|>assistant\nFear.<|im_end|>\n"
    )


def test_messages_with_parts_become_the_same_prompt(tied: Converted) -> None:
    processor = tied.processor
    messages = [
        {
            "role": "user",
            "content": [{"type": "video", "video": VIDEO}, {"type": "text", "text": "What now?"}],
        }
    ]
    text = processor.build_prompt("What now?")
    assert processor.apply_chat_template(messages, add_generation_prompt=True) == text
    assert processor.apply_chat_template([messages], add_generation_prompt=True) == [text]
    ready = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    for key, value in processor(text=text, videos=VIDEO).items():
        assert torch.equal(ready[key], value)
    with pytest.raises(ValueError, match="type 'audio'"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "audio"}]}])


def test_a_video_becomes_its_tokens_and_a_newline_a_frame(tied: Converted) -> None:
    processor = tied.processor
    text = processor.build_prompt("\n\nWhat?")
    ids = processor(text=text, videos=VIDEO[:2], do_sample_frames=False)["input_ids"][0].tolist()
    video, newline, two_newlines = processor.video_token_id, 10, 256
    frame = [video] * processor.tokens_per_frame + [newline]
    start = ids.index(video)
    # A newline of the question's own must not melt into the last frame's.
    assert ids[start : start + 2 * len(frame) + 2] == [*frame, *frame, two_newlines, ord("W")]
    plain = processor.tokenizer(text).input_ids
    assert ids[:start] == plain[: plain.index(video)]
    assert ids[start + 2 * len(frame) :] == plain[plain.index(video) + 1 :]


def test_every_kind_of_frames_gives_the_same_pixels(tied: Converted) -> None:
    processor = tied.processor
    expected = processor.preprocess_frames(VIDEO)
    pictures = [Image.fromarray(frame) for frame in VIDEO]
    first = torch.from_numpy(VIDEO.transpose(0, 3, 1, 2).copy())
    for video in (first, first.numpy(), list(VIDEO), list(first), pictures, tuple(pictures), VIDEO / 255.0):
        assert torch.equal(processor.preprocess_frames(video), expected)
    torch.testing.assert_close(processor.preprocess_frames(first.float() / 255), expected)


def test_pixels_are_pillows_squeezed_and_normalised(tied: Converted) -> None:
    size = tied.processor.image_size
    picture = Image.fromarray(VIDEO[0]).resize((size, size), Image.Resampling.BICUBIC)
    expected = np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(tied.processor.preprocess_frames(VIDEO)[0].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("shape", [(64, 40), (40, 64), (120, 30), (77, 20), (20, 77)])
def test_tall_and_wide_frames_are_squeezed_width_first(tied: Converted, shape: tuple[int, int]) -> None:
    size = tied.processor.image_size
    frame = frames(1, *shape, seed=7)
    wide = Image.fromarray(frame[0]).resize((size, shape[0]), Image.Resampling.BICUBIC)
    expected = np.asarray(wide.resize((size, size), Image.Resampling.BICUBIC)).astype(np.int16)
    ours = (tied.processor.preprocess_frames(frame, num_frames=1)[0].permute(1, 2, 0) + 1) * 127.5
    assert np.array_equal(ours.round().numpy().astype(np.int16), expected)


def test_transparent_and_grey_pictures(tied: Converted) -> None:
    clear = np.zeros((1, 9, 9, 4), np.uint8)
    assert torch.equal(tied.processor.preprocess_frames(clear), torch.ones(8, 3, 77, 77))
    half = np.full((1, 9, 9, 4), 128, np.uint8)
    half[..., :3] = 0
    assert tied.processor.preprocess_frames(half).unique().tolist() == pytest.approx(
        [127 / 127.5 - 1], abs=1e-6
    )
    grey = np.full((1, 9, 9, 1), 51, np.uint8)
    assert tied.processor.preprocess_frames(grey).unique().tolist() == pytest.approx([0.4 - 1], abs=1e-6)
    palette = Image.new("P", (9, 9))
    palette.info["transparency"] = 0
    assert tied.processor.preprocess_frames([palette]).unique().tolist() == [1.0]


@given(total=st.integers(1, 20_000), wanted=st.integers(2, 64))
@settings(max_examples=200, deadline=None)
def test_sampled_frames_are_spread_over_the_whole_video(total: int, wanted: int) -> None:
    indices = NVILALiteProcessor.sample_indices(total, wanted)
    assert (len(indices), indices[0], indices[-1]) == (wanted, 0, total - 1)
    gap = (total - 1) / (wanted - 1)
    assert all(abs(index - step * gap) <= 0.5 for step, index in enumerate(indices))


def test_only_sampled_frames_of_a_long_video_are_asked_for(tied: Converted) -> None:
    video = LazyVideo(10_000)
    inputs = tied.processor(text=tied.processor.build_prompt("Why?"), videos=video)
    assert video.asked == [0, 1428, 2857, 4285, 5714, 7142, 8571, 9999]
    assert inputs["pixel_values_videos"].shape == (8, 3, 77, 77)


def test_short_videos_repeat_frames(tied: Converted) -> None:
    one = tied.processor.preprocess_frames(VIDEO[:1])
    assert one.shape[0] == 8
    assert all(torch.equal(frame, one[0]) for frame in one)


def test_videos_come_flat_or_a_list_a_prompt(tied: Converted) -> None:
    processor = tied.processor
    texts = [processor.build_prompt("a"), processor.build_prompt("b", num_videos=2)]
    one, two, three = frames(3, 10, 12, 1), frames(2, 9, 9, 2), frames(4, 20, 8, 3)
    flat = processor(text=texts, videos=[one, two, three], do_sample_frames=False)
    assert flat["pixel_values_videos"].shape[0] == 9
    for videos in ([[one], [two, three]], [[list(one)], [list(two), list(three)]]):
        nested = processor(text=texts, videos=videos, do_sample_frames=False)
        assert torch.equal(nested["pixel_values_videos"], flat["pixel_values_videos"])
        assert torch.equal(nested["input_ids"], flat["input_ids"])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(tied: Converted, side: str) -> None:
    processor = tied.processor
    texts = ["Hello", "Hi"]
    batch = processor(text=texts, padding_side=side)
    lengths = [len(processor.tokenizer(text).input_ids) for text in texts]
    for row, length in enumerate(lengths):
        padding = max(lengths) - length
        mask = [0] * padding + [1] * length if side == "left" else [1] * length + [0] * padding
        assert batch["attention_mask"][row].tolist() == mask
        ids = batch["input_ids"][row]
        assert ids[batch["attention_mask"][row].bool()].tolist() == processor.tokenizer(texts[row]).input_ids
        assert set(ids[batch["attention_mask"][row] == 0].tolist()) <= {processor.tokenizer.pad_token_id}


def test_saved_and_loaded_it_does_the_same(each: Converted, tmp_path: Path) -> None:
    each.processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is NVILALiteProcessor
    assert loaded.to_dict() == each.processor.to_dict()
    assert loaded.num_frames == each.shape.num_frames
    text = each.processor.build_prompt("What is there, in the end?")
    for key, value in each.processor(text=text, videos=VIDEO).items():
        assert torch.equal(loaded(text=text, videos=VIDEO)[key], value)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ([], "video 0: a video has no frames"),
        (np.zeros((0, 4, 4, 3), np.uint8), "video 0: a video has no frames"),
        (np.zeros((4, 4, 3, 2, 1, 1), np.uint8), r"video 0: frames have shape \[4, 4, 3, 2, 1, 1\]"),
        (np.zeros((2, 6, 6, 5), np.uint8), r"video 0: frame 0 has shape \[6, 6, 5\]"),
        (np.zeros((2, 0, 4, 3), np.uint8), r"video 0: frame 0 has shape \[0, 4, 3\]"),
        (torch.full((2, 3, 4, 4), float("nan")), "video 0: frame 0 holds floats that are not finite"),
        (torch.full((2, 3, 4, 4), 7.0), r"video 0: frame 0 holds floats .* outside 0\.\.1"),
        (np.full((2, 4, 4, 3), 300), r"video 0: frame 0 holds numbers outside 0\.\.255"),
        (np.zeros((2, 4, 4, 3), bool), "video 0: frame 0 holds bool"),
        ([Image.new("RGB", (4, 4)), "x.png"], "video 0: frame 1 is a str"),
        ("clip.mp4", "video 0: a video is a str"),
        ({"a": 1}, "video 0: a video is a dict"),
    ],
)
def test_unusable_videos_are_named(tied: Converted, video: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        tied.processor(text=tied.processor.build_prompt("Why?"), videos=[video])


def test_calls_that_do_not_fit_are_refused(tied: Converted) -> None:
    processor = tied.processor
    text = processor.build_prompt("Why?")
    with pytest.raises(ValueError, match="holds 1 video tokens '<vila/video>', but there are 0 videos"):
        processor(text=text)
    with pytest.raises(ValueError, match="holds 1 video tokens '<vila/video>', but there are 2 videos"):
        processor(text=text, videos=[VIDEO, VIDEO])
    with pytest.raises(ValueError, match="text is empty"):
        processor(text=[])
    with pytest.raises(ValueError, match="images are not supported"):
        processor(text=text, images=Image.new("RGB", (4, 4)))
    with pytest.raises(ValueError, match="'<image>'"):
        processor(text="<image>Why?")
    with pytest.raises(ValueError, match="num_frames is 0"):
        processor(text=text, videos=VIDEO, num_frames=0)
    with pytest.raises(ValueError, match="padding_side is 'top'"):
        processor(text=text, videos=VIDEO, padding_side="top")
    with pytest.raises(ValueError, match=r"unknown arguments \['frame_rate'\]"):
        processor(text=text, videos=VIDEO, frame_rate=3)
    with pytest.raises(ValueError, match="question holds the token '<vila/video>'"):
        processor.build_prompt("What is <vila/video>?")
