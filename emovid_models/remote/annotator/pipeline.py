"""The pipeline "video-emotion": videos in, a probability of each emotion out, and a caption if wanted.

::

    from transformers import pipeline

    annotate = pipeline("video-emotion", model=repo, trust_remote_code=True)
    annotate("clip.mp4", top_k=1)                      # [{'label': 'awe', 'score': 0.61}]
    annotate(["a.mp4", "https://example.org/b.webm"])  # one result per input, in order

This file and its siblings work alone: a Hub repo carries them beside the weights.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import torch
from transformers import Pipeline

# Some are not used here: from a folder transformers copies only the files that this one itself imports.
from .call_arguments import one_or_several, seconds, share, whole_number
from .clock import clock_of  # noqa: F401
from .colour import colour_of  # noqa: F401
from .dolby_vision import needs_dolby_vision  # noqa: F401
from .errors import VideoError  # noqa: F401
from .groups import decode_groups  # noqa: F401
from .h264 import H264Headers  # noqa: F401
from .icc import to_srgb  # noqa: F401
from .matrices import coded_rgb  # noqa: F401
from .movie_index import movie_index  # noqa: F401
from .norms import expected_norms
from .packets import Packets  # noqa: F401
from .pictures import open_picture  # noqa: F401
from .pixels import rgb  # noqa: F401
from .prompts import (
    CAPTION_QUESTION,
    END_OF_TURN,
    NO_EMOTION,
    emotion_question,
    emotions_of,
    offers_captions,
)
from .reading import read_frames
from .side_data import attached  # noqa: F401
from .streams import open_bytes  # noqa: F401
from .timeline import STRIDE, WINDOW, stretches
from .timestamps import mended  # noqa: F401
from .truncation import is_truncated  # noqa: F401
from .video_file import VideoFile  # noqa: F401
from .windows import Window, read_windows

_NOT_GIVEN: Any = object()
_CAPTION_TOKENS = 64


class VideoEmotionPipeline(Pipeline):
    """Emotion of videos by scored labels, and captions.

    Made by `pipeline("video-emotion", model=..., trust_remote_code=True)`. Options may be given there, or at
    each call, which then counts; None stands for the default.

    Args:
        top_k: how many of the model's emotions to return, the likeliest first; None returns all.
        batch_size: videos that the model sees at once. The next batch is decoded meanwhile.
        num_frames: frames to look at, by default the model's.
        return_caption: whether to write a caption too.
        return_features: whether to return the video's features too: the mean over its frames and their tokens
            of what the projector gives to the language model, float32 [hidden size of the language model].
        max_new_tokens: longest caption, in tokens, by default 64.
        abstain: say "no specific emotion" where the likeliest emotion's probability is below this, 0..1; the
            result then has what is said as "emotion". None says nothing beside the probabilities.
        return_valence_arousal: whether to return the valence and the arousal, each 1..9, that are expected
            under the probabilities, by Warriner's norms of the emotions' words; None where a word has none.
        timeline: whether to look at windows of each video, a film, instead of all of it.
        window: seconds of each window, by default 4; a shorter film is one window.
        stride: seconds from the start of a window to that of the next, by default 1.
    """

    model: Any
    processor: Any
    _load_processor = True  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _pipeline_calls_generate = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model.eval()
        whole_number("batch_size", self._batch_size)
        self.emotions = emotions_of(self.model.config)
        self._labels = self.processor.encode_labels(self.emotions, end=END_OF_TURN)

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """Write model, processor and code, so that `pipeline` loads the folder again.

        Args:
            save_directory: the folder.
            **kwargs: as for `save_pretrained` of the model.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        both = ("push_to_hub", "repo_id", "token", "private", "revision", "create_pr", "commit_message")
        self.processor.save_pretrained(
            save_directory, **{name: kwargs[name] for name in both if name in kwargs}
        )

    def __call__(self, inputs: Any, **options: Any) -> Any:  # type: ignore[override]
        """Annotate one video or many.

        Args:
            inputs: one video, or several. A video is a path, an http(s) address, bytes of a file, frames as
                an array or tensor [T, H, W, C] or [T, C, H, W] (bytes 0..255, or floats 0..1), a list of
                frames, a row of a dataset that holds one, or a function that returns any of these and is
                called when it is the video's turn. Several are a list, a tuple, an array of five dimensions,
                a dataset with `__getitem__` and `__len__` (its rows are read in the threads that decode), or
                any iterator; an iterator is read as results are taken.
            **options: see the class.

        Returns:
            For a video a list of `{"label", "score"}`, the likeliest first; where more was asked for, a dict
            `{"emotions": that list, "caption": text, "features": array, "emotion": text, "valence": number,
            "arousal": number}` with what was; for a video that cannot be used `{"error": reason}`.
            With `timeline` for a video `{"windows": [...], "segments": [...]}`: of each window that dict, or
            its error, with its "start" and "end" in seconds; and the stretches of at least a window's length
            that the probabilities divide the film into, see `stretches`, as `{"start", "end", "emotion",
            "score"}`, the score being the mean probability.
            For several videos a list of these, in order; for an iterator an iterator of these. A row that a
            dataset fails to give is such an error too.

        Raises:
            ValueError: an option is out of range, or the input is nothing of the above.
            Exception: what an iterator raised, after the results of all that it gave before.
        """
        options.pop("num_workers", None)
        batch_size = whole_number("batch_size", options.pop("batch_size", self._batch_size)) or 1
        preprocess, forward, postprocess = self._sanitize_parameters(**options)
        steps = (
            {**self._preprocess_params, **preprocess},
            {**self._forward_params, **forward},
            {**self._postprocess_params, **postprocess},
        )
        windows = {name: steps[0].pop(name, None) for name in ("timeline", "window", "stride")}
        many, items = one_or_several(inputs)
        if windows["timeline"]:
            lengths = windows["window"] or WINDOW, windows["stride"] or STRIDE
            results: Iterator[Any] = (self._over_time(item, *lengths, batch_size, *steps) for item in items)
        else:
            results = self._annotate(items, batch_size, *steps)
        if not many:
            return next(results)
        return list(results) if hasattr(inputs, "__len__") else results

    def _sanitize_parameters(
        self,
        top_k: Any = _NOT_GIVEN,
        num_frames: Any = _NOT_GIVEN,
        return_caption: Any = _NOT_GIVEN,
        return_features: Any = _NOT_GIVEN,
        max_new_tokens: Any = _NOT_GIVEN,
        abstain: Any = _NOT_GIVEN,
        return_valence_arousal: Any = _NOT_GIVEN,
        timeline: Any = _NOT_GIVEN,
        window: Any = _NOT_GIVEN,
        stride: Any = _NOT_GIVEN,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown:
            raise ValueError(
                f"unknown options {sorted(unknown)}; allowed: top_k, batch_size, num_frames, return_caption, "
                "return_features, max_new_tokens, abstain, return_valence_arousal, timeline, window, stride"
            )
        preprocess: dict[str, Any] = {}
        forward: dict[str, Any] = {}
        postprocess: dict[str, Any] = {}
        for name, value, step in (
            ("top_k", top_k, postprocess),
            ("num_frames", num_frames, preprocess),
            ("max_new_tokens", max_new_tokens, forward),
        ):
            if value is not _NOT_GIVEN:
                step[name] = whole_number(name, value)
        for name, value in (("window", window), ("stride", stride)):
            if value is not _NOT_GIVEN:
                preprocess[name] = seconds(name, value)
        if timeline is not _NOT_GIVEN:
            preprocess["timeline"] = bool(timeline)
        if abstain is not _NOT_GIVEN:
            postprocess["abstain"] = share("abstain", abstain)
        if return_valence_arousal is not _NOT_GIVEN:
            postprocess["return_valence_arousal"] = bool(return_valence_arousal)
        if return_caption is not _NOT_GIVEN:
            if return_caption and not self.offers_captions:
                raise ValueError(
                    "return_caption is True, but this model offers no captions: its config.json says "
                    "captions: false"
                )
            forward["return_caption"] = bool(return_caption)
        if return_features is not _NOT_GIVEN:
            forward["return_features"] = bool(return_features)
        return preprocess, forward, postprocess

    def _annotate(
        self,
        items: Iterator[Any],
        batch_size: int,
        preprocess: dict[str, Any],
        forward: dict[str, Any],
        postprocess: dict[str, Any],
    ) -> Iterator[Any]:
        threads = max(1, min(batch_size, os.cpu_count() or 1))
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            waiting: deque[Future[dict[str, Any]]] = deque()
            broken: Exception | None = None

            def decode(count: int) -> None:
                nonlocal broken
                try:
                    for item in itertools.islice(items, 0 if broken else count):
                        waiting.append(pool.submit(self.preprocess, item, **preprocess))
                except Exception as error:
                    broken = error

            try:
                decode(2 * batch_size)
                while waiting:
                    batch = [waiting.popleft().result() for _ in range(min(batch_size, len(waiting)))]
                    decode(len(batch))
                    for output in self._forward_or_errors(batch, forward):
                        yield self.postprocess(output, **postprocess)
                if broken is not None:
                    raise broken
            finally:
                for future in waiting:
                    future.cancel()

    def _over_time(
        self,
        film: Any,
        window: float,
        stride: float,
        batch_size: int,
        preprocess: dict[str, Any],
        forward: dict[str, Any],
        postprocess: dict[str, Any],
    ) -> dict[str, Any]:
        """What is said of the windows of one film; the next batch of them is decoded meanwhile."""
        count = preprocess.get("num_frames") or self.processor.num_frames
        outputs: list[tuple[float, float, dict[str, Any]]] = []
        try:
            with (
                closing(
                    read_windows(film, window, stride, lambda n: self.processor.sample_indices(n, count))
                ) as windows,
                ThreadPoolExecutor(1, thread_name_prefix="decode") as pool,
            ):

                def decode() -> list[tuple[Window, dict[str, Any]]]:
                    return [(each, self._pixels(each)) for each in itertools.islice(windows, batch_size)]

                waiting = pool.submit(decode)
                while batch := waiting.result():
                    waiting = pool.submit(decode)
                    answers = self._forward_or_errors([pixels for _, pixels in batch], forward)
                    outputs += [
                        (each.start, each.end, answer)
                        for (each, _), answer in zip(batch, answers, strict=True)
                    ]
        except Exception as error:
            return {"error": _one_line(error)}
        outputs.sort(key=lambda output: output[:2])
        found = []
        shares: list[list[float] | None] = []
        for start, end, output in outputs:
            said = self.postprocess(output, **postprocess)
            told = said if isinstance(said, dict) else {"emotions": said}
            found.append({"start": start, "end": end, **told})
            shares.append(None if "error" in found[-1] else output["probabilities"].tolist())
        abstain = postprocess.get("abstain") or 0.0
        segments = [
            {
                "start": each.start,
                "end": each.end,
                "emotion": self.emotions[each.label] if each.score >= abstain else NO_EMOTION,
                "score": each.score,
            }
            for each in stretches([output[:2] for output in outputs], shares, least=window)
        ]
        return {"windows": found, "segments": segments}

    def _pixels(self, window: Window) -> dict[str, Any]:
        if isinstance(window.frames, str):
            return {"error": window.frames}
        return {"pixels": self.processor.preprocess_frames(window.frames, do_sample_frames=False)}

    def _forward_or_errors(
        self, batch: list[dict[str, Any]], options: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Run the videos that were read; each that the model fails on gets its own error."""
        outputs = list(batch)
        good = [place for place, item in enumerate(batch) if "error" not in item]
        if not good:
            return outputs
        try:
            results = self.forward({"items": [batch[place] for place in good]}, **options)["results"]
        except Exception as error:
            if len(good) > 1:
                return [self._forward_or_errors([item], options)[0] for item in batch]
            results = [{"error": _one_line(error)}]
        for place, result in zip(good, results, strict=True):
            outputs[place] = result
        return outputs

    def preprocess(  # type: ignore[override]
        self, input_: Any, num_frames: int | None = None
    ) -> dict[str, Any]:
        """Read a video's frames and prepare them; what goes wrong is returned as the "error"."""
        count = num_frames or self.processor.num_frames
        try:
            frames = read_frames(input_, lambda total: self.processor.sample_indices(total, count))
            pixels = self.processor.preprocess_frames(frames, do_sample_frames=False)
        except Exception as error:
            return {"error": _one_line(error)}
        return {"pixels": pixels}

    def _forward(  # type: ignore[override]
        self,
        model_inputs: dict[str, Any],
        return_caption: bool = False,
        return_features: bool = False,
        max_new_tokens: int | None = None,
    ) -> dict[str, Any]:
        pixels = [item["pixels"].to(self.model.device, self.model.dtype) for item in model_inputs["items"]]
        features = self.model.get_video_features(torch.cat(pixels))
        scores = self.model.score_labels(
            self._labels, **self._prompts(emotion_question(self.emotions), pixels), video_features=features
        )
        temperature = getattr(self.model.config, "emotion_temperature", 1.0)
        probabilities = (scores.float() / temperature).softmax(-1).cpu()
        results: list[dict[str, Any]] = [{"probabilities": row} for row in probabilities]
        if return_features:
            pooled = features.float().unflatten(0, (len(pixels), -1)).mean((1, 2)).cpu()
            for result, row in zip(results, pooled, strict=True):
                result["features"] = row
        if return_caption:
            prompts = self._prompts(CAPTION_QUESTION, pixels)
            written = self.model.generate(
                **prompts,
                video_features=features,
                # The defaults of a generation config may sample; the same video shall get the same caption.
                do_sample=False,
                max_new_tokens=max_new_tokens or _CAPTION_TOKENS,
                eos_token_id=self.processor.tokenizer.convert_tokens_to_ids(END_OF_TURN),
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
            answers = written[:, prompts["input_ids"].shape[1] :]
            texts = self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
            for result, text in zip(results, texts, strict=True):
                result["caption"] = text.strip()
        return {"results": results}

    def _prompts(self, question: str, pixels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same prompt for every video; all of a call have the same number of frames."""
        prompt = self.processor.build_prompt(question)
        empty = np.zeros((len(pixels[0]), 1, 1, 3), np.uint8)
        one = self.processor(text=prompt, videos=[empty], do_sample_frames=False)
        return {
            name: one[name].repeat(len(pixels), 1).to(self.model.device)
            for name in ("input_ids", "attention_mask")
        }

    @property
    def offers_captions(self) -> bool:
        """Whether the model writes captions worth reading."""
        return offers_captions(self.model.config)

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: dict[str, Any],
        top_k: int | None = None,
        abstain: float | None = None,
        return_valence_arousal: bool = False,
    ) -> Any:
        """Turn probabilities into a result."""
        if "error" in model_outputs:
            return {"error": model_outputs["error"]}
        scores = model_outputs["probabilities"].tolist()
        if not all(map(math.isfinite, scores)):
            return {"error": "the model's scores are not finite: its weights are damaged, or overflow"}
        order = sorted(range(len(scores)), key=lambda label: -scores[label])[:top_k]
        emotions = [{"label": self.emotions[label], "score": scores[label]} for label in order]
        more: dict[str, Any] = {
            name: model_outputs[name] for name in ("caption", "features") if name in model_outputs
        }
        if abstain is not None:
            more["emotion"] = emotions[0]["label"] if emotions[0]["score"] >= abstain else NO_EMOTION
        if return_valence_arousal:
            norms = expected_norms(dict(zip(self.emotions, scores, strict=True)))
            more["valence"], more["arousal"] = norms or (None, None)
        if "features" in more:
            more["features"] = more["features"].numpy()
        return {"emotions": emotions, **more} if more else emotions


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
