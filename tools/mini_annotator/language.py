"""The language model before the tuning: what all sides of the cross-validation start from."""

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
from tools.mini_annotator.emoji import emoji_caption, hidden_digest, read_emoji, work_folder
from tools.mini_annotator.optimizer import on, set_rate, take_step
from tools.mini_annotator.pictures import to_pixels
from tools.mini_annotator.prompts import Prompts, caption_loss, last_layer, project
from tools.mini_annotator.settings import (
    LANGUAGE_STEPS,
    LANGUAGE_VIEWS,
    NUM_FRAMES,
    SEED,
    SUMMARY_SIZE,
    TEXT_WIDTH,
    TOWER_LAYERS,
    TOWER_STEPS,
    TOWER_WIDTH,
    VIEWS,
)
from tools.mini_annotator.tower import Readers, read_tower, tower_features
from tools.mini_annotator.views import Views, read_free_views


def mixed_clips(count: int, orders: int, random: torch.Generator) -> torch.Tensor:
    """Rows of the frames of clips that are put together from pictures of several emoji.

    Args:
        count: of pictures, and of clips.
        orders: how many emoji share a clip: 1, 2 or 4.
        random: of the orders.

    Returns:
        [count, NUM_FRAMES].
    """
    drawn = [torch.randperm(count, generator=random) for _ in range(orders)]
    return torch.stack([drawn[frame % orders] for frame in range(NUM_FRAMES)], 1)


def train_language(
    model: NVILALiteForConditionalGeneration,
    prompts: Prompts,
    features: torch.Tensor,
    summaries: torch.Tensor,
    captions: Sequence[str],
    *,
    steps: int = LANGUAGE_STEPS,
    seed: int = SEED,
) -> nn.Linear:
    """Teach projector and language model to hold a clip's summary where the answer about emotion begins.

    They also learn to caption, and that an answer is a label and an end, with each label equally often. No
    labelled sticker is among the clips.

    Args:
        model: changed in place.
        prompts: of its processor.
        features: of the tower, [n, views, patches, C].
        summaries: of the teacher, [n, views, SUMMARY_SIZE]; a clip's is the mean of its frames'.
        captions: one per emoji.
        steps: of 32 clips; on some, parts of them are captioned or answered. Where they are not captioned, a
            clip's frames come from up to four emoji: there are more such clips than a model can keep.
        seed: of the order.

    Returns:
        A layer that reads the summary from `last_states` after their norm.
    """
    random = torch.Generator().manual_seed(seed)
    device = summaries.device
    torch.manual_seed(seed)
    reader = nn.Linear(TEXT_WIDTH, SUMMARY_SIZE).to(device)
    norm = last_layer(model).post_attention_layernorm
    parameters = [*(parameter for parameter in model.parameters() if parameter.requires_grad)]
    parameters += reader.parameters()
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    model.train()
    with Progress(steps, unit="steps", title="Language", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 2e-3, step, steps)
            emoji = torch.randperm(len(features), generator=random)[:32].unsqueeze(1).repeat(1, NUM_FRAMES)
            if step % 3:
                mixed = mixed_clips(len(emoji), (1, 2, 4)[step // 3 % 3], random)
                emoji = emoji[mixed, torch.arange(NUM_FRAMES)]
            view = torch.randint(features.shape[1], emoji.shape, generator=random)
            tokens = project(model, features[emoji.to(device), view.to(device)].float())
            wanted = summaries[emoji.to(device), view.to(device)].mean(1)
            read = reader(norm(prompts.answer_state(model, tokens)))
            unexplained = (read - wanted).square().sum(-1).mean()
            loss = 3 * unexplained
            if step % 3 == 0:
                told = [captions[row] for row in emoji[:24, 0].tolist()]
                loss = loss + 0.5 * caption_loss(model, prompts, tokens[:24], told)
            if step % 3 == 1:
                # Every label equally often: this tells what an answer looks like, not which one is right.
                loss = loss - 0.5 * prompts.log_likelihoods(model, tokens[:12]).mean()
            take_step(optimizer, loss)
            progress.update()
            if step % 300 == 299:
                print(f"language, step {step + 1}: unexplained {unexplained.item():.3f}", flush=True)
    model.eval()
    return reader


@dataclass(frozen=True, slots=True)
class Base:
    """What all sides start from; none of it has seen a labelled emoji.

    Attributes:
        processor: with the tokenizer.
        tower: the vision tower.
        readers: of what the teacher sees, from the tower's features.
        state: weights of a model that holds summaries.
        reader: reads summaries from its normed states.
        device: of all this.
    """

    processor: NVILALiteProcessor
    tower: SiglipVisionModel
    readers: Readers
    state: dict[str, torch.Tensor]
    reader: nn.Linear
    device: torch.device

    def model(self) -> NVILALiteForConditionalGeneration:
        """A model with these weights."""
        model = build_model(self.processor, self.tower)
        model.load_state_dict(self.state)
        return on(self.device, model).eval()


@torch.inference_mode()
def language_features(tower: SiglipVisionModel, views: Views) -> torch.Tensor:
    """The tower's features of some views of each emoji, float16 [n, LANGUAGE_VIEWS, patches, C]."""
    pictures = views.pictures.unflatten(0, (-1, VIEWS))[:, :LANGUAGE_VIEWS].flatten(0, 1)
    rows = [tower_features(tower, to_pixels(part)).half() for part in pictures.split(256)]
    return torch.cat(rows).unflatten(0, (-1, LANGUAGE_VIEWS))


def read_processor() -> NVILALiteProcessor:
    """The processor, whose tokenizer is trained on captions of the emoji without a label."""
    return build_processor([emoji_caption(name) for name in read_emoji().names])


def read_base(device: torch.device, *, seed: int = SEED) -> Base:
    """Tower, tokenizer and language model, trained once and kept."""
    tower, readers = read_tower(device, seed=seed)
    processor = read_processor()
    settings = f"{TOWER_WIDTH}x{TOWER_LAYERS}-{TOWER_STEPS}-{LANGUAGE_STEPS}-{VIEWS}-{hidden_digest()}-{seed}"
    kept = work_folder() / f"language-{settings}.safetensors"
    if not kept.exists():
        start = time.monotonic()
        views = read_free_views(device, seed=seed)
        model = on(device, build_model(processor, tower, seed))
        captions = [emoji_caption(name) for name in read_emoji().names]
        summaries = views.summary.unflatten(0, (-1, VIEWS))[:, :LANGUAGE_VIEWS]
        features = language_features(tower, views)
        reader = train_language(model, Prompts(processor), features, summaries, captions, seed=seed)
        found = {f"reader.{name}": value for name, value in reader.state_dict().items()}
        found |= {f"model.{name}": value for name, value in model.state_dict().items()}
        save_file({name: value.contiguous().clone().cpu() for name, value in found.items()}, kept)
        print(f"language: {time.monotonic() - start:.0f} s", flush=True)
    stored = load_file(kept)
    state = {
        name.removeprefix("model."): value for name, value in stored.items() if name.startswith("model.")
    }
    reader = nn.Linear(TEXT_WIDTH, SUMMARY_SIZE)
    reader.load_state_dict({"weight": stored["reader.weight"], "bias": stored["reader.bias"]})
    return Base(processor, tower, readers, state, reader.to(device), device)
