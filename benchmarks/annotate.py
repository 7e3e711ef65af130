"""How fast emotions are scored, beside generating an answer and parsing it; prints a table of ratios.

    python -m benchmarks.annotate                        # the miniature annotator on the embedded stickers
    python -m benchmarks.annotate --model REPO --input DIR --device cuda

The same model, the same clips, the same question, the same frames, in turns, so that a busy machine slows all
of them down alike:

- generate, one by one: decode, `generate`, look for an emotion's name in the text; what a script does that
  follows a model card
- generate, batched: the same in batches, decoded before the model runs
- labels, batched: the eight labels scored, decoded before the model runs
- emovid: the pipeline; labels scored in batches, the next batch decoded meanwhile

An answer that names no emotion, or several, cannot be parsed. Where it can, it is compared with the likeliest
label.

All ways look at the video and read the prompt once. An answer that is one label takes one more step or two,
so that scoring labels instead gains little on a small model. It gains with every word more that an answer
has, and it never fails to parse.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import emovid_dataset
from emovid_dataset.media.frames import decode as decode_video
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.items import find_items
from emovid_models.annotator.loading import load_annotator
from emovid_models.remote.annotator.prompts import EMOTION_QUESTION, END_OF_TURN

MINI_STICKERS = Path(emovid_dataset.__file__).parent / "mini" / "sticker"
NAMES = re.compile("|".join(EMOTIONS))


def parse(answer: str) -> str | None:
    """The one emotion that an answer names, or None.

    >>> parse("It is awe."), parse("fear or awe"), parse("joy")
    ('awe', None, None)
    """
    named = set(NAMES.findall(answer.lower()))
    return named.pop() if len(named) == 1 else None


def decode(annotator: Any, paths: Sequence[str]) -> list[torch.Tensor]:
    processor = annotator.processor
    frames = [
        decode_video(path, frames=lambda n: processor.sample_indices(n, processor.num_frames))
        for path in paths
    ]
    return [processor.preprocess_frames(clip, do_sample_frames=False) for clip in frames]


def inputs(annotator: Any, pixels: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The prompts of a batch, on the model's device."""
    processor, model = annotator.processor, annotator.model
    clips = [clip.permute(0, 2, 3, 1).numpy() for clip in pixels]
    blank = [clip[:, :1, :1] * 0 for clip in clips]
    prompts = processor(
        text=[processor.build_prompt(EMOTION_QUESTION)] * len(pixels),
        videos=blank,
        do_sample_frames=False,
        padding_side="left",
    )
    moved = {name: prompts[name].to(model.device) for name in ("input_ids", "attention_mask")}
    return {**moved, "pixel_values_videos": torch.cat(list(pixels)).to(model.device, model.dtype)}


@torch.inference_mode()
def generate(annotator: Any, paths: Sequence[str], batch_size: int, max_new_tokens: int) -> list[str | None]:
    processor, model = annotator.processor, annotator.model
    answers: list[str | None] = []
    for start in range(0, len(paths), batch_size):
        batch = inputs(annotator, decode(annotator, paths[start : start + batch_size]))
        written = model.generate(
            **batch,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=processor.tokenizer.convert_tokens_to_ids(END_OF_TURN),
            pad_token_id=processor.tokenizer.pad_token_id,
        )
        texts = processor.tokenizer.batch_decode(
            written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        answers += [parse(text) for text in texts]
    return answers


@torch.inference_mode()
def score(annotator: Any, paths: Sequence[str], batch_size: int) -> list[str | None]:
    labels = annotator.processor.encode_labels(EMOTIONS, end=END_OF_TURN)
    answers: list[str | None] = []
    for start in range(0, len(paths), batch_size):
        batch = inputs(annotator, decode(annotator, paths[start : start + batch_size]))
        best = annotator.model.score_labels(labels, **batch).argmax(-1).tolist()
        answers += [EMOTIONS[label] for label in best]
    return answers


def pipeline(annotator: Any, paths: Sequence[str], batch_size: int) -> list[str | None]:
    results = annotator(list(paths), batch_size=batch_size, top_k=1)
    return [result[0]["label"] for result in results]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MINI_ANNOTATOR), help="the annotator: a folder or a Hub repo")
    parser.add_argument("--input", type=Path, default=MINI_STICKERS, help="folder of clips")
    parser.add_argument("--clips", type=int, default=None, help="at most so many")
    parser.add_argument("--batch", type=int, default=32, help="clips a batch")
    parser.add_argument("--max-new-tokens", type=int, default=16, help="longest generated answer")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--device", default=None, help="by default cuda if there is one, else cpu")
    arguments = parser.parse_args()

    annotator = load_annotator(arguments.model, device=arguments.device)
    paths = [str(item.open()) for item in find_items(arguments.input)][: arguments.clips]
    batch, longest = arguments.batch, arguments.max_new_tokens
    ways: dict[str, Callable[[], list[str | None]]] = {
        "generate, one by one": lambda: generate(annotator, paths, 1, longest),
        f"generate, batches of {batch}": lambda: generate(annotator, paths, batch, longest),
        f"labels, batches of {batch}": lambda: score(annotator, paths, batch),
        f"emovid, batches of {batch}": lambda: pipeline(annotator, paths, batch),
    }
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[str | None]] = {}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            answers[name] = way()
            seconds[name].append(time.perf_counter() - start)

    first = next(iter(ways))
    emovid = list(ways)[-1]
    rows: list[list[object]] = []
    for name in ways:
        parsed = [(a, b) for a, b in zip(answers[name], answers[emovid], strict=True) if a is not None]
        ratio = statistics.median(a / b for a, b in zip(seconds[first], seconds[name], strict=True))
        rows.append(
            [
                name,
                f"{len(paths) / statistics.median(seconds[name]):.1f}",
                f"{ratio:.2f}",
                f"{len(parsed)} of {len(paths)}",
                f"{sum(a == b for a, b in parsed) / len(parsed):.3f}" if parsed else "-",
            ]
        )
    device = torch.cuda.get_device_name() if annotator.device.type == "cuda" else "cpu"
    print_table(
        f"{len(paths)} clips on {device}, median of {arguments.rounds}",
        ["way", "clips/s", f"times {first}", "answers parsed", "same as emovid"],
        rows,
    )


if __name__ == "__main__":
    main()
