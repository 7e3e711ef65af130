"""What the annotator is taught: a build's clips as questions with answers, and batches of them.

Every clip gives two conversations: the emotion's question with the emotion's name as the answer, and, where
the clip has a caption, the caption's question with the caption. Where people were divided about the emotion,
its question has several answers, each with its share: the loss is then the cross-entropy with their
distribution.

What augmentation does: mirrors, crops a little, and shifts the frames in time. What it does not do: change
colours. Brightness, colorfulness and hue go with the emotion (that is why EmoVid stores them for each clip),
so jittering them would change what the label is about; nor does it turn a clip upside down or cut much
of it away, since faces and gestures carry the emotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import Selection
from emovid_dataset.schema.benchmark import refuse_training_on
from emovid_models.annotator.targets import target_of
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.prompts import CAPTION_QUESTION, END_OF_TURN, emotion_question


class Conversations(Dataset[dict[str, Any]]):
    """A build's clips as questions with answers.

    Args:
        clips: at least one, of one split, which is not set aside for judging.
        processor: the annotator's.
        caption: whether to ask for captions too, where a clip has one.
        augment: mirror, crop and shift in time; the outcome depends on seed, epoch and index only, so that a
            resumed run sees what an uninterrupted one sees.
        seed: of the augmentation.
        targets: what emotions are taught as, one of `targets.TARGETS`.

    Raises:
        ValueError: a clip is of the benchmark.
    """

    def __init__(
        self,
        clips: Selection,
        processor: NVILALiteProcessor,
        *,
        caption: bool,
        augment: bool,
        seed: int,
        targets: str = "hard",
    ) -> None:
        for split in clips.splits:
            refuse_training_on(split)
        self.clips, self.processor, self.augment, self.seed = clips, processor, augment, seed
        self.targets = targets
        self.epoch = 0
        self.rows = [(index, False) for index in range(len(clips))]
        if caption:
            self.rows += [(index, True) for index, clip in enumerate(clips.clips) if clip.caption]
        taxonomy = clips.clips[0].taxonomy
        self.emotion_question = emotion_question(taxonomy.names)
        counts = np.bincount([clip.label for clip in clips.clips], minlength=len(taxonomy))
        present = np.count_nonzero(counts)
        # Each emotion weighs the same in the sum, whatever its number of clips; the mean weight is 1.
        self.weights = [len(clips) / (present * counts[clip.label]) for clip in clips.clips]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        index, captioned = self.rows[number]
        selected = self.clips[index]
        count = self.processor.num_frames
        random = np.random.default_rng((self.seed, self.epoch, number)) if self.augment else None

        def choose(total: int) -> list[int]:
            indices = np.array(self.processor.sample_indices(total, count), float)
            if random is not None:
                indices += random.uniform(-0.5, 0.5, count) * (total - 1) / max(count - 1, 1)
            return np.sort(np.clip(np.round(indices), 0, total - 1)).astype(int).tolist()

        frames = decode(selected.video, frames=choose)
        if random is not None:
            frames = _mirror_and_crop(frames, random)
        clip = selected.clip
        names, taught = clip.taxonomy.names, target_of(clip, self.targets)
        return {
            "pixels": self.processor.preprocess_frames(frames, do_sample_frames=False),
            "question": CAPTION_QUESTION if captioned else self.emotion_question,
            "answer": clip.caption if captioned else clip.emotion,
            "answers": [(clip.caption, 1.0)]
            if captioned
            else [(names[label], share) for label, share in taught],
            "weight": 1.0 if captioned else self.weights[index],
            "emotion": clip.label,
        }


def _mirror_and_crop(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirror half of the clips, and cut up to a tenth off each pair of sides; all frames alike."""
    if random.random() < 0.5:
        frames = frames[:, :, ::-1]
    height, width = frames.shape[1:3]
    keep_h, keep_w = (max(1, round(side * random.uniform(0.9, 1.0))) for side in (height, width))
    top, left = (
        int(random.integers(0, full - kept + 1)) for full, kept in ((height, keep_h), (width, keep_w))
    )
    return np.ascontiguousarray(frames[:, top : top + keep_h, left : left + keep_w])


class Collator:
    """Joins conversations to a batch: prompts, answers, labels that are -100 outside the answers.

    A conversation with several answers becomes a sequence for each, weighted by its share; the mean over the
    batch's sequences stays the mean over its conversations.

    Args:
        processor: the annotator's.
    """

    def __init__(self, processor: NVILALiteProcessor) -> None:
        self.processor = processor

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        tokenizer = self.processor.tokenizer
        sequences, starts, weights, sources = [], [], [], []
        for place, row in enumerate(rows):
            empty = np.zeros((len(row["pixels"]), 1, 1, 3), np.uint8)
            prompt = self.processor.build_prompt(row["question"])
            ids = self.processor(text=prompt, videos=[empty], do_sample_frames=False).input_ids[0].tolist()
            for answer, share in row["answers"]:
                starts.append(len(ids))
                sequences.append(ids + self.processor.encode_labels([answer], end=END_OF_TURN)[0])
                weights.append(row["weight"] * share)
                sources.append(place)
        longest = max(map(len, sequences))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        input_ids = torch.full((len(sequences), longest), pad)
        attention_mask, labels = torch.zeros_like(input_ids), torch.full_like(input_ids, -100)
        for place, (sequence, start) in enumerate(zip(sequences, starts, strict=True)):
            input_ids[place, : len(sequence)] = torch.tensor(sequence)
            attention_mask[place, : len(sequence)] = 1
            labels[place, start : len(sequence)] = input_ids[place, start : len(sequence)]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "labels": labels,
            "pixel_values_videos": torch.cat([rows[place]["pixels"] for place in sources]),
            "weights": torch.tensor(weights) * (len(sequences) / len(rows)),
            "emotions": torch.tensor([rows[place]["emotion"] for place in sources]),
        }
