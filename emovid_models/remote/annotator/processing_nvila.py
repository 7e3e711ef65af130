"""`NVILALiteProcessor`: from frames and text to what `NVILALiteForConditionalGeneration` takes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .repo_code import AUTO_MAP, lay_code

CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant<|im_end|>\\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML as the model was trained with: no full stop after "assistant" in the system's line."""

_CHANNELS = (1, 3, 4)

_VIDEO_KEYS = ("video", "path", "url")
"""Where a message's part holds its video."""


class NVILALiteProcessor(ProcessorMixin):
    """Samples and squeezes frames, builds ChatML prompts, and puts the video tokens into them.

    Args:
        tokenizer: the language model's tokenizer, which knows `video_token`. Where its own settings name no
            side for padding, it gets the left, on which `generate` needs it.
        image_size: pixels of a side; a frame is squeezed to a square without regard to its aspect.
        tokens_per_frame: `NVILALiteConfig.tokens_per_frame`.
        num_frames: frames that a video is sampled to.
        image_mean: mean that is subtracted from a channel, on a 0..1 scale.
        image_std: what a channel is then divided by.
        rescale_factor: what a byte is multiplied by before that.
        resample: Pillow's number of the resampling filter; 3 is bicubic.
        video_token: the token in a prompt that stands for a video.
        image_token: the token that stands for a still picture; refused in prompts.
        frame_end: text that is embedded after each frame.
        chat_template: a Jinja template; messages' contents are strings in it.

    Raises:
        ValueError: the tokenizer does not know `video_token` as one token.
    """

    def __init__(
        self,
        tokenizer: Any = None,
        image_size: int = 448,
        tokens_per_frame: int = 121,
        num_frames: int = 8,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        rescale_factor: float = 1 / 255,
        resample: int = 3,
        video_token: str = "<vila/video>",
        image_token: str = "<image>",
        frame_end: str = "\n",
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or CHAT_TEMPLATE)
        if "padding_side" not in getattr(tokenizer, "init_kwargs", {}):
            tokenizer.padding_side = "left"
        self.image_size = image_size
        self.tokens_per_frame = tokens_per_frame
        self.num_frames = num_frames
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.rescale_factor = rescale_factor
        self.resample = resample
        self.video_token = video_token
        self.image_token = image_token
        self.frame_end = frame_end
        self.video_token_id = tokenizer.convert_tokens_to_ids(video_token)
        if self.video_token_id is None or self.video_token_id == tokenizer.unk_token_id:
            raise ValueError(
                f"video_token is {video_token!r}, which the tokenizer does not know as one token"
            )

    def to_json_file(self, json_file_path: Any) -> None:
        """Write processor_config.json, a part of `save_pretrained`, and the code that it needs beside it."""
        path = Path(json_file_path)
        super().to_json_file(path)
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["auto_map"] = {"AutoProcessor": AUTO_MAP["AutoProcessor"]}
        text = json.dumps(settings, indent=2, sort_keys=True, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        lay_code(path.parent)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what `__call__` returns."""
        return ["input_ids", "attention_mask", "pixel_values_videos"]

    @property
    def frame_end_ids(self) -> list[int]:
        """Ids of `frame_end`."""
        return list(self.tokenizer(self.frame_end, add_special_tokens=False).input_ids)

    def build_prompt(
        self, question: str, *, num_videos: int = 1, system: str | None = None, answer: str | None = None
    ) -> str:
        """One turn of ChatML: the videos, the question, and the start of the answer.

        Args:
            question: what is asked about the videos; placed right after them.
            num_videos: number of videos in front of the question.
            system: the system's line; by default the one that the model was trained with.
            answer: the whole answer, for training; by default the prompt ends where the answer begins.

        Returns:
            The text, with one video token per video.

        Raises:
            ValueError: the question holds a media token.
        """
        for token in (self.video_token, self.image_token):
            if token in question:
                raise ValueError(f"question holds the token {token!r}, which stands for media")
        messages = [{"role": "user", "content": (self.video_token * num_videos + question).strip()}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system.strip()})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer.strip()})
        return self.apply_chat_template(messages, add_generation_prompt=answer is None)

    def apply_chat_template(  # type: ignore[override]
        self, conversation: Any, chat_template: str | None = None, **kwargs: Any
    ) -> Any:
        """Write messages as a prompt.

        Args:
            conversation: messages with "role" and "content"; a content is text, or a list of parts
                `{"type": "text", "text": ...}` and `{"type": "video"}`. Or a list of such lists.
            chat_template: a template to use instead of the processor's own.
            **kwargs: as for the tokenizer's `apply_chat_template`; `tokenize` is False by default. With
                `tokenize=True` each video part says which video it is: its frames, a path, an address or a
                file's bytes as "video", or a path as "path", or an address as "url".

        Returns:
            The text, or a list of texts; with `tokenize=True` what `__call__` returns for them.

        Raises:
            ValueError: a part is of another type, or its video is unusable.
            OSError: a video cannot be read or fetched.
        """
        batched = bool(conversation) and not isinstance(conversation[0], dict)
        conversations = conversation if batched else [conversation]
        videos: list[Any] = []
        plain = [
            [{**message, "content": self._flatten(message["content"], videos)} for message in messages]
            for messages in conversations
        ]
        tokenize = kwargs.pop("tokenize", False)
        call = {
            name: kwargs.pop(name)
            for name in ("num_frames", "do_sample_frames", "padding_side")
            if name in kwargs
        }
        for name in ("return_dict", "return_tensors", "padding"):
            kwargs.pop(name, None)
        texts = self.tokenizer.apply_chat_template(
            plain, chat_template=chat_template or self.chat_template, tokenize=False, **kwargs
        )
        if tokenize:
            if any(isinstance(video, (str, bytes, os.PathLike)) for video in videos):
                videos = [
                    self._read(video, call.get("num_frames"), call.get("do_sample_frames", True))
                    for video in videos
                ]
                call["do_sample_frames"] = False
            return self(text=texts, videos=videos or None, **call)
        return texts if batched else texts[0]

    def _flatten(self, content: str | list[dict[str, Any]], videos: list[Any]) -> str:
        if isinstance(content, str):
            return content.strip()
        text = ""
        for part in content:
            kind = part.get("type")
            if kind == "text":
                text += part["text"]
            elif kind == "video":
                text += self.video_token
                given = [part[name] for name in _VIDEO_KEYS if part.get(name) is not None]
                if len(given) > 1:
                    raise ValueError(f"a video part has {len(given)} of the keys {_VIDEO_KEYS}; give one")
                videos += given
            else:
                raise ValueError(f"a message's part has type {kind!r}; allowed: 'text', 'video'")
        return text.strip()

    def _read(self, video: Any, num_frames: int | None, sample: bool) -> Any:
        """The frames of a video that are looked at, from wherever it is."""
        # Imported when a file is to be read: who brings frames needs no decoder.
        from .reading import read_frames

        count = self.num_frames if num_frames is None else num_frames
        return read_frames(
            video, lambda total: self.sample_indices(total, count) if sample else list(range(total))
        )

    @staticmethod
    def sample_indices(total: int, num_frames: int) -> list[int]:
        """Which frames of a video are looked at: evenly spaced, both ends included; short videos repeat some.

        Args:
            total: frames of the video, at least 1.
            num_frames: frames wanted, at least 1.

        Returns:
            `num_frames` indices, ascending.

        Raises:
            ValueError: one of the two is below 1.

        >>> NVILALiteProcessor.sample_indices(13, 8)
        [0, 2, 3, 5, 7, 9, 10, 12]
        >>> NVILALiteProcessor.sample_indices(2, 8)
        [0, 0, 0, 0, 1, 1, 1, 1]
        """
        if total < 1:
            raise ValueError("a video has no frames")
        if num_frames < 1:
            raise ValueError(f"num_frames is {num_frames}, not at least 1")
        return np.round(np.linspace(0, total - 1, num_frames)).astype(int).tolist()

    def preprocess_frames(
        self, video: Any, *, num_frames: int | None = None, do_sample_frames: bool = True
    ) -> torch.Tensor:
        """Turn one video into the model's input.

        Args:
            video: frames as an array or tensor [T, H, W, C] or [T, C, H, W] with 1, 3 or 4 channels, or a
                sequence of frames (arrays, tensors or Pillow images), of which only those that are looked
                at are asked for. Bytes 0..255, or floats 0..1. A transparent picture is laid on white.
            num_frames: frames to sample, by default the processor's.
            do_sample_frames: False takes all frames as they are.

        Returns:
            float32 [frames, 3, image_size, image_size], normalised.

        Raises:
            ValueError: there are no frames, or they have another shape, type or range.
        """
        frames = _frames(video)
        if len(frames) == 0:
            raise ValueError("a video has no frames")
        indices = list(range(len(frames)))
        if do_sample_frames:
            indices = self.sample_indices(len(frames), self.num_frames if num_frames is None else num_frames)
        squeezed = {index: self._squeeze(frames[index], index) for index in dict.fromkeys(indices)}
        pixels = np.stack([squeezed[index] for index in indices]).astype(np.float32)
        pixels = pixels * np.float32(self.rescale_factor)
        pixels = (pixels - np.array(self.image_mean, np.float32)) / np.array(self.image_std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))

    def _squeeze(self, frame: Any, index: int) -> np.ndarray:
        image = frame if isinstance(frame, Image.Image) else _to_image(frame, index)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        resample = Image.Resampling(self.resample)
        # Width first, as Pillow before 13 does by itself; 13 chooses the order by the shape, and rounds
        # differently then.
        wide = image.convert("RGB").resize((self.image_size, image.height), resample=resample)
        return np.asarray(wide.resize((self.image_size, self.image_size), resample=resample))

    def encode_labels(self, labels: Sequence[str], *, end: str = "") -> list[list[int]]:
        """Token ids of answers, for `NVILALiteForConditionalGeneration.score_labels`.

        Args:
            labels: the answers, none empty.
            end: text after each of them, such as "<|im_end|>".

        Returns:
            One list of ids per label.
        """
        return [list(self.tokenizer(label + end, add_special_tokens=False).input_ids) for label in labels]

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        *,
        images: Any = None,
        num_frames: int | None = None,
        do_sample_frames: bool = True,
        padding_side: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare prompts and their videos.

        Args:
            text: a prompt or several, with one video token for each video; `build_prompt` makes one.
            videos: a video, the videos of all prompts in the order of their tokens, or a list of them for
                each prompt; `preprocess_frames` says what a video may be.
            images: not supported; a still picture is a video of one frame.
            num_frames: frames to sample from each video, by default the processor's.
            do_sample_frames: False takes all frames of each video, so that videos may differ in length.
            padding_side: "left" (for `generate`) or "right"; by default the tokenizer's.
            **kwargs: `return_tensors` and `padding` are accepted; tensors and padding are what there is.

        Returns:
            `input_ids` and `attention_mask` [batch, length], and with videos `pixel_values_videos`
            [frames of all videos, 3, image_size, image_size].

        Raises:
            ValueError: text and videos do not fit each other, or a video is unusable; the message says
                which one.
        """
        if images is not None:
            raise ValueError("images are not supported; pass a still picture as a video of one frame")
        if text is None or len(text) == 0:
            raise ValueError("text is empty; give at least one prompt")
        if kwargs.pop("return_tensors", "pt") not in ("pt", None):
            raise ValueError("return_tensors allows only 'pt'")
        kwargs.pop("padding", None)
        if kwargs:
            raise ValueError(f"unknown arguments {sorted(kwargs)}")
        side = padding_side or self.tokenizer.padding_side
        if side not in ("left", "right"):
            raise ValueError(f"padding_side is {side!r}; allowed: 'left', 'right'")
        texts = [text] if isinstance(text, str) else list(text)
        pixels = []
        given = videos is not None and len(videos) > 0
        for number, video in enumerate(_videos(videos) if given else []):
            try:
                pixels.append(
                    self.preprocess_frames(video, num_frames=num_frames, do_sample_frames=do_sample_frames)
                )
            except ValueError as error:
                raise ValueError(f"video {number}: {error}") from error
        wanted = sum(prompt.count(self.video_token) for prompt in texts)
        if wanted != len(pixels):
            raise ValueError(
                f"text holds {wanted} video tokens {self.video_token!r}, but there are {len(pixels)} videos"
            )
        if any(self.image_token in prompt for prompt in texts):
            raise ValueError(f"text holds {self.image_token!r}, but still pictures are not supported")

        # Text is tokenized before a video token is repeated: a newline after the last frame must stay a
        # token of its own, whatever the question begins with.
        rows = self.tokenizer(texts, add_special_tokens=False).input_ids
        counts = iter([len(frames) for frames in pixels])
        frame = [self.video_token_id] * self.tokens_per_frame + self.frame_end_ids
        expanded = [
            [
                token
                for part in row
                for token in (frame * next(counts) if part == self.video_token_id else (part,))
            ]
            for row in rows
        ]
        longest = max(map(len, expanded))
        pad = self.tokenizer.pad_token_id
        if pad is None:
            pad = self.tokenizer.eos_token_id or 0
        input_ids = torch.full((len(rows), longest), pad, dtype=torch.long)
        attention_mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for row, ids in enumerate(expanded):
            place = slice(0, len(ids)) if side == "right" else slice(longest - len(ids), longest)
            input_ids[row, place] = torch.tensor(ids, dtype=torch.long)
            attention_mask[row, place] = 1
        data = {"input_ids": input_ids, "attention_mask": attention_mask}
        if pixels:
            data["pixel_values_videos"] = torch.cat(pixels)
        return BatchFeature(data)


def _videos(videos: Any) -> list[Any]:
    """One video, several, or a list of them per prompt, always as one list of videos."""
    if isinstance(videos, (np.ndarray, torch.Tensor)):
        return list(videos) if videos.ndim == 5 else [videos]
    if not isinstance(videos, (list, tuple)) or not videos or any(_is_frame(item) for item in videos):
        return [videos]
    return [video for item in videos for video in _videos(item)]


def _is_frame(item: Any) -> bool:
    return isinstance(item, Image.Image) or getattr(item, "ndim", 0) == 3


def _frames(video: Any) -> Any:
    """A video's frames, to be indexed; nothing is copied or decoded before a frame is asked for."""
    if isinstance(video, Image.Image):
        return [video]
    if isinstance(video, (np.ndarray, torch.Tensor)) and video.ndim != 4:
        raise ValueError(f"frames have shape {list(video.shape)}; allowed: [T, H, W, C] or [T, C, H, W]")
    if isinstance(video, (str, bytes, dict)) or not (
        hasattr(video, "__len__") and hasattr(video, "__getitem__")
    ):
        raise ValueError(f"a video is a {type(video).__name__}; allowed: array, tensor or sequence of frames")
    return video


def _to_image(frame: Any, index: int) -> Image.Image:
    if isinstance(frame, torch.Tensor):
        frame = frame.detach().cpu().numpy()
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"frame {index} is a {type(frame).__name__}; allowed: array, tensor or Pillow image")
    if frame.ndim != 3 or 0 in frame.shape or not {frame.shape[0], frame.shape[2]} & set(_CHANNELS):
        raise ValueError(
            f"frame {index} has shape {list(frame.shape)}; allowed: [H, W, C] or [C, H, W], C of {_CHANNELS}"
        )
    if frame.shape[2] not in _CHANNELS:
        frame = frame.transpose(1, 2, 0)
    if np.issubdtype(frame.dtype, np.floating):
        if not (np.isfinite(frame).all() and frame.min() >= 0 and frame.max() <= 1):
            raise ValueError(f"frame {index} holds floats that are not finite or outside 0..1")
        frame = np.round(frame * 255)
    elif not np.issubdtype(frame.dtype, np.integer):
        raise ValueError(f"frame {index} holds {frame.dtype}; allowed: bytes 0..255 or floats 0..1")
    elif frame.dtype != np.uint8 and (frame.min() < 0 or frame.max() > 255):
        raise ValueError(f"frame {index} holds numbers outside 0..255")
    frame = np.ascontiguousarray(frame.astype(np.uint8))
    return Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)
