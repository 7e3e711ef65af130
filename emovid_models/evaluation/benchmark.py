"""The paper's benchmark: what it asks for, from the clips of a build's split of that name.

Text to video is asked for the clip's own caption with the paper's sentence of the emotion; image to video for
the same, and gets the clip's first frame.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset.media.frames import decode
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import Selection, select
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import Store, joined, write_file
from emovid_models.evaluation.paper import Task
from emovid_models.evaluation.prompts import Prompt
from emovid_models.remote.wan.conditioning import conditioning_text

PROMPTS_NAME = "prompts.jsonl"
"""What was asked for, in the format of `--prompts`."""


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """One task of a benchmark: its clips, and what is asked for.

    Attributes:
        task: "t2v" or "i2v".
        selection: the clips.
        prompts: one per clip, in the same order, called after the clip; for I2V with its first frame.
        identity: a digest of the clips' ids, videos and captions.
    """

    task: Task
    selection: Selection
    prompts: tuple[Prompt, ...]
    identity: str

    def cells(self) -> dict[str, dict[str, int]]:
        """How many clips there are of each content type and emotion; the paper has ten of each."""
        counts = Counter((clip.content_type, clip.emotion) for clip in self.selection.clips)
        kinds = sorted({kind for kind, _ in counts})
        return {kind: {emotion: counts[kind, emotion] for emotion in EMOTIONS} for kind in kinds}

    def texts(self) -> Mapping[str, str]:
        """The paper's prompt of every clip by id: the caption, then its sentence."""
        return {
            prompt.id: conditioning_text(prompt.prompt, prompt.emotion, wording="paper")
            for prompt in self.prompts
        }


def read_benchmark(
    data: str | os.PathLike[str], task: Task, *, split: str = BENCHMARK, per_emotion: int | None = None
) -> BenchmarkTask:
    """Read what a build's benchmark asks for; no video is read.

    Args:
        data: a build: its folder, URL or Hub repo.
        task: "t2v" or "i2v".
        split: of the build.
        per_emotion: only the first so many clips of each emotion.

    Returns:
        The benchmark; its prompts have no first frames yet, see `write_prompts`.

    Raises:
        ValueError: the split has no clip, or a clip has no caption.
        OSError: it is not a build, or cannot be read.
    """
    if split not in read_manifest(data).splits("all"):
        raise ValueError(f"{data} has no clip in the split {split!r}; emovid build --benchmark makes one")
    found = select(data, split=split)
    if per_emotion is not None:
        left = dict.fromkeys(EMOTIONS, per_emotion)
        chosen = set()
        for clip in found.clips:
            left[clip.emotion] -= 1
            if left[clip.emotion] >= 0:
                chosen.add(clip.id)
        found = select(data, split=split, where=lambda clip: clip.id in chosen)
    clips = found.clips
    bare = [clip.id for clip in clips if not clip.caption.strip()]
    if bare:
        raise ValueError(
            f"{len(bare)} of {len(clips)} clips of the split {split!r} have no caption, first {bare[0]}"
        )
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(
            json.dumps([clip.id, clip.sha256, clip.emotion, clip.caption], allow_nan=False).encode()
        )
    prompts = tuple(Prompt(clip.id, clip.emotion, clip.content_type, clip.caption.strip()) for clip in clips)
    return BenchmarkTask(task, found, prompts, digest.hexdigest()[:16])


def write_prompts(benchmark: BenchmarkTask, folder: str | os.PathLike[str]) -> BenchmarkTask:
    """Write what is asked for: `prompts.jsonl`, and for I2V the first frames, as any generator can read them.

    Args:
        benchmark: of `read_benchmark`.
        folder: path or URL of the folder that gets the files; pictures that are there are kept.

    Returns:
        The same, for I2V with the paths of the first frames.

    Raises:
        OSError: a clip cannot be read, or the folder cannot be written.
    """
    store = Store.at(folder)
    prompts, rows = [], []
    for place, prompt in enumerate(benchmark.prompts):
        row: dict[str, Any] = {
            "id": prompt.id,
            "prompt": prompt.prompt,
            "emotion": prompt.emotion,
            "content_type": prompt.content_type,
        }
        if benchmark.task == "i2v":
            row["image"] = f"first-frames/{prompt.id}.png"
            if not store.exists(row["image"]):
                store.put(row["image"], first_frame(benchmark.selection[place].video))
            image = joined(folder, row["image"])
            prompt = Prompt(prompt.id, prompt.emotion, prompt.content_type, prompt.prompt, image)
        prompts.append(prompt)
        rows.append(json.dumps(row, ensure_ascii=False, allow_nan=False))
    write_file(joined(folder, PROMPTS_NAME), ("\n".join(rows) + "\n").encode())
    return BenchmarkTask(benchmark.task, benchmark.selection, tuple(prompts), benchmark.identity)


def first_frame(video: str | bytes) -> bytes:
    """The first frame of a video as a PNG, in its own size.

    Args:
        video: a path or bytes.
    """
    from PIL import Image

    pixels = decode(video, frames=lambda count: [0])[0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
