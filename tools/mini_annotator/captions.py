"""Step 3, the captions: what all folds share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import SiglipVisionModel

from emovid_dataset.terminal import Progress
from emovid_models.nvila import NVILALiteForConditionalGeneration, NVILALiteProcessor
from tools.mini_annotator.architecture import build_model, build_processor
from tools.mini_annotator.emoji import emoji_caption, read_emoji, work_folder
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.prompts import Prompts, caption_loss, last_layer, project
from tools.mini_annotator.settings import (
    CAPTION_STEPS,
    EMOJI_VIEWS,
    SEED,
    SUMMARY_SIZE,
    TEACHER_SEEDS,
    TEACHER_STEPS,
    TEXT_WIDTH,
    TOWER_STEPS,
)
from tools.mini_annotator.summary import Summary, pool_patches
from tools.mini_annotator.tower import TOWER, augmented_features, read_tower


def train_captions(
    model: NVILALiteForConditionalGeneration,
    prompts: Prompts,
    features: torch.Tensor,
    captions: Sequence[str],
    summaries: torch.Tensor,
    *,
    steps: int = CAPTION_STEPS,
    seed: int = SEED,
) -> nn.Linear:
    """Teach projector and language model to caption, and to hold a clip's summary where the answer begins.

    They also learn that an answer is a label and an end, with each label equally often. No labelled sticker
    is among the clips.

    Args:
        model: changed in place.
        prompts: of its processor.
        features: [n, views, frames, patches, C].
        captions: one per clip.
        summaries: of each frame, [n, views, frames, SUMMARY_SIZE]; a clip's is the mean of its frames'.
        steps: of 32 clips; on some, parts of them are captioned or answered. Where they are not captioned, a
            clip's frames come from up to four emoji: there are more such clips than a model can keep.
        seed: of the order.

    Returns:
        A layer that reads the summary from `last_states` after their norm.
    """
    random = torch.Generator().manual_seed(seed)
    by_name: dict[str, list[int]] = {}
    for index, caption in enumerate(captions):
        by_name.setdefault(caption, []).append(index)
    groups = list(by_name.values())
    reader = nn.Linear(TEXT_WIDTH, SUMMARY_SIZE)
    norm = last_layer(model).post_attention_layernorm
    parameters = [*(parameter for parameter in model.parameters() if parameter.requires_grad)]
    parameters += reader.parameters()
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    model.train()
    with Progress(steps, unit="steps", title="Captions", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 2e-3, step, steps)
            chosen = torch.randperm(len(groups), generator=random)[:32].tolist()
            rows = [groups[n][int(torch.randint(len(groups[n]), (1,), generator=random))] for n in chosen]
            view = torch.randint(features.shape[1], (len(rows),), generator=random)
            seen, wanted = features[rows, view], summaries[rows, view]
            if step % 3:
                orders = [
                    torch.randperm(len(rows), generator=random) for _ in range((1, 2, 4)[step // 3 % 3])
                ]
                mixed = torch.stack([orders[frame % len(orders)] for frame in range(seen.shape[1])], 1)
                frames = torch.arange(seen.shape[1])
                seen, wanted = seen[mixed, frames], wanted[mixed, frames]
            tokens = project(model, seen)
            read = reader(norm(prompts.answer_state(model, tokens)))
            unexplained = (read - wanted.mean(1)).square().sum(-1).mean()
            loss = 3 * unexplained
            if step % 3 == 0:
                told = [captions[row] for row in rows[:24]]
                loss = loss + 0.5 * caption_loss(model, prompts, tokens[:24], told)
            if step % 3 == 1:
                # Every label equally often: this tells what an answer looks like, not which one is right.
                loss = loss - 0.5 * prompts.log_likelihoods(model, tokens[:12]).mean()
            take_step(optimizer, loss)
            progress.update()
            if step % 200 == 199:
                print(f"captions, step {step + 1}: unexplained {unexplained.item():.3f}", flush=True)
    model.eval()
    return reader


@dataclass(frozen=True, slots=True)
class Captioner:
    """What all folds share; none of it has seen a labelled emoji.

    Attributes:
        processor: with the tokenizer.
        tower: the vision tower.
        state: weights of a model that captions.
        reader: reads summaries from its normed states.
        summary: of the tower's features.
    """

    processor: NVILALiteProcessor
    tower: SiglipVisionModel
    state: dict[str, torch.Tensor]
    reader: nn.Linear
    summary: Summary

    def model(self) -> NVILALiteForConditionalGeneration:
        """A model with these weights."""
        model = build_model(self.processor, self.tower)
        model.load_state_dict(self.state)
        return model.eval()


def read_captioner(*, seed: int = SEED) -> Captioner:
    """Tower, tokenizer and captions, trained once and kept."""
    tower = read_tower(seed=seed)
    emoji = read_emoji()
    captions = [emoji_caption(name) for name in emoji.names]
    processor = build_processor(captions)
    settings = f"{CAPTION_STEPS}-{EMOJI_VIEWS}-{TEACHER_STEPS}-{len(TEACHER_SEEDS)}-{TOWER_STEPS}-{seed}"
    kept = work_folder() / f"captioner-{settings}.safetensors"
    if not kept.exists():
        start = time.monotonic()
        model = build_model(processor, tower, seed)
        features = augmented_features(tower, emoji.pictures, EMOJI_VIEWS, seed)
        pooled = pool_patches(features)
        summary = Summary.of(pooled[:, 0].mean(1), [TOWER.hidden_size] * 2)
        print(f"features: {time.monotonic() - start:.0f} s", flush=True)
        reader = train_captions(model, Prompts(processor), features, captions, summary(pooled), seed=seed)
        found = {f"reader.{name}": value for name, value in reader.state_dict().items()}
        found |= {"summary.mean": summary.mean, "summary.basis": summary.basis}
        found |= {f"model.{name}": value for name, value in model.state_dict().items()}
        save_file({name: value.contiguous().clone() for name, value in found.items()}, kept)
        print(f"captions: {time.monotonic() - start:.0f} s", flush=True)
    stored = load_file(kept)
    state = {
        name.removeprefix("model."): value for name, value in stored.items() if name.startswith("model.")
    }
    reader = nn.Linear(TEXT_WIDTH, SUMMARY_SIZE)
    reader.load_state_dict({"weight": stored["reader.weight"], "bias": stored["reader.bias"]})
    summary = Summary(stored["summary.mean"], stored["summary.basis"])
    return Captioner(processor, tower, state, reader, summary)
