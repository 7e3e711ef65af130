"""The emotions: added units that answer as the head does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from emovid_models.nvila import NVILALiteForConditionalGeneration
from tools.mini_annotator.architecture import widen
from tools.mini_annotator.clips import Clips
from tools.mini_annotator.emoji import emoji_caption, read_emoji
from tools.mini_annotator.heads import Head, choose_head
from tools.mini_annotator.language import Base
from tools.mini_annotator.optimizer import on, set_rate, take_step
from tools.mini_annotator.prompts import Prompts, last_layer, last_states, project
from tools.mini_annotator.settings import (
    ANSWER_LEAD,
    ANSWER_SCALE,
    ANSWER_STEPS,
    ANSWER_UNITS,
    CLIP_VIEWS,
    SEED,
    TEXT_WIDTH,
)
from tools.mini_annotator.tower import augmented_features
from tools.mini_annotator.tuning import tune
from tools.mini_annotator.views import read_labelled_views


@torch.inference_mode()
def answer_states(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, pictures: torch.Tensor, views: int
) -> torch.Tensor:
    """`answer_state` of clips as they are and augmented, [n * views, H], from uint8 [n, frames, H, W, 3]."""
    return torch.cat(
        [
            prompts.answer_state(model, project(model, part))
            for features in augmented_features(model.model.vision_tower, pictures, views, SEED)
            for part in features.split(128)
        ]
    )


def caption_states(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, tokens: torch.Tensor, captions: Sequence[str]
) -> torch.Tensor:
    """`last_states` of all places except those where an answer about emotion begins, [n, H].

    Args:
        model: that captions.
        prompts: of its processor.
        tokens: of clips, [n, frames, tokens, H].
        captions: one per clip.
    """
    ids, mask, labels = (part.to(tokens.device) for part in prompts.captioned(captions))
    features = tokens.flatten(0, 1)
    states = last_states(model, input_ids=ids, attention_mask=mask, video_features=features)
    rows = [states[labels != -100]]
    for label in prompts.labels:
        answered = torch.tensor([prompts.emotion + label[:1]], device=tokens.device).repeat(len(tokens), 1)
        rows.append(last_states(model, input_ids=answered, video_features=features)[:, -1])
    return torch.cat(rows)


@torch.no_grad()
def set_directions_aside(model: NVILALiteForConditionalGeneration, labels: Sequence[int]) -> torch.Tensor:
    """Give each label a direction of the last state that no other token is read from.

    These are the directions that the output embeddings use least; what little they use is removed. Each
    label's embedding becomes the labels' mean plus its direction.

    Args:
        model: changed in place.
        labels: the first token of each label.

    Returns:
        Orthonormal directions of the sum that enters the last norm, [8, H].
    """
    head, norm = model.lm_head.weight, model.model.language_model.norm.weight
    directions = torch.linalg.svd(head * norm, full_matrices=False)[2][-len(labels) :]
    head.copy_((head * norm - (head * norm) @ directions.T @ directions) / norm)
    head[list(labels)] = head[list(labels)].mean(0) + ANSWER_SCALE * directions / norm
    return directions


def fit_answers(
    model: NVILALiteForConditionalGeneration,
    labels: Sequence[int],
    to_answer: nn.Linear,
    states: torch.Tensor,
    other_emoji: torch.Tensor,
    elsewhere: torch.Tensor,
    *,
    steps: int = ANSWER_STEPS,
    seed: int = SEED,
) -> None:
    """Teach the added units of the last MLP to answer as the head does.

    They see states of the training side's stickers, of emoji without a label, and mixtures of two states;
    where no answer about emotion begins they must say nothing, and where one does, a label must come.

    Args:
        model: from `widen`; changed in place.
        labels: the first token of each label.
        to_answer: reads the head's logits from the normed states.
        states: `answer_states` of the training side's stickers, all views, [n, H].
        other_emoji: of emoji without a label, [m, H].
        elsewhere: `caption_states`, [k, H].
        steps: of 768 states.
        seed: of the order and of the mixtures.
    """
    random = torch.Generator().manual_seed(seed)
    directions = set_directions_aside(model, labels)
    layer, norm = last_layer(model), model.model.language_model.norm
    mlp, head = layer.mlp, model.lm_head.weight.detach()
    device = head.device
    named = torch.tensor(labels, device=device)
    first = mlp.gate_proj.weight.shape[0] - ANSWER_UNITS
    torch.manual_seed(seed)
    gate, up = (
        nn.Parameter((torch.randn(ANSWER_UNITS, TEXT_WIDTH) / TEXT_WIDTH**0.5).to(device)) for _ in range(2)
    )
    down = nn.Parameter(torch.zeros(len(labels), ANSWER_UNITS, device=device))
    optimizer = torch.optim.AdamW([gate, up, down], weight_decay=0.01)

    def mixed() -> torch.Tensor:
        def draw(source: torch.Tensor, count: int) -> torch.Tensor:
            return source[torch.randint(len(source), (count,), generator=random)]

        share = torch.rand(256, 1, generator=random).to(device)
        own = draw(states, 256) * share + draw(states, 256) * (1 - share)
        share = torch.rand(128, 1, generator=random).to(device)
        between = draw(states, 128) * share + draw(other_emoji, 128) * (1 - share)
        return torch.cat([draw(states, 256), own, between, draw(other_emoji, 128)])

    for step in range(steps):
        set_rate(optimizer, 2e-3, step, steps, warm_up=50)
        with torch.no_grad():
            entered = mixed()
            read = layer.post_attention_layernorm(entered)
            wanted = to_answer(read)
            wanted = wanted - wanted.mean(-1, keepdim=True)
            left = entered + mlp(read)
            quiet = layer.post_attention_layernorm(
                elsewhere[torch.randint(len(elsewhere), (256,), generator=random)]
            )
        said = F.silu(read @ gate.T) * (read @ up.T) @ down.T
        final = norm(left + said @ directions)
        logits = final @ head[named].T
        loss = F.mse_loss(logits - logits.mean(-1, keepdim=True), wanted)
        others = (final[::3] @ head.T).index_fill(1, named, -math.inf).logsumexp(-1)
        lead = logits[::3].logsumexp(-1) - others
        loss = loss + 0.1 * F.relu(ANSWER_LEAD - lead).square().mean()
        loss = loss + 0.1 * (F.silu(quiet @ gate.T) * (quiet @ up.T) @ down.T).square().mean()
        take_step(optimizer, loss)
    with torch.no_grad():
        mlp.gate_proj.weight[first:] = gate
        mlp.up_proj.weight[first:] = up
        mlp.down_proj.weight[:, first:] = directions.T @ down


def train_annotator(
    base: Base, stickers: Clips, rows: Sequence[int]
) -> tuple[NVILALiteForConditionalGeneration, Head, float]:
    """Train on these stickers, from the base.

    Args:
        base: what has seen no labelled emoji.
        stickers: all of them.
        rows: those that may be seen.

    Returns:
        The annotator, the head that it has learnt to answer as, and the macro recall of such a head within
        these stickers.
    """
    device, prompts = base.device, Prompts(base.processor)
    if {len(answer) for answer in prompts.labels} != {2}:
        raise ValueError("a label is not one token; raise VOCABULARY")
    labelled = read_labelled_views(device)
    head, recall = choose_head(
        labelled.clips().cpu()[list(rows)],
        stickers.labels[list(rows)],
        [stickers.groups[row] for row in rows],
    )
    tuned, to_answer = tune(base, rows, head)
    emoji = read_emoji()
    some = list(range(0, len(emoji.names), 12))
    (features,) = augmented_features(tuned.model.vision_tower, emoji.pictures[some], 1, SEED)
    with torch.inference_mode():
        captions = [emoji_caption(emoji.names[index]) for index in some]
        elsewhere = caption_states(tuned, prompts, project(tuned, features), captions)
    others = answer_states(tuned, prompts, emoji.pictures, 1)
    states = answer_states(tuned, prompts, stickers.pictures[list(rows)], CLIP_VIEWS)
    model = on(device, widen(base.processor, base.tower, tuned.state_dict()))
    fit_answers(model, [answer[0] for answer in prompts.labels], to_answer, states, others, elsewhere)
    return model, head, recall[head.strength]
