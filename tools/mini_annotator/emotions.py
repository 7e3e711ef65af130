"""Step 5, the emotions: added units that answer as a kernel ridge regression does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteForConditionalGeneration
from tools.mini_annotator.architecture import widen
from tools.mini_annotator.captions import Captioner
from tools.mini_annotator.clips import Clips
from tools.mini_annotator.emoji import emoji_caption, read_emoji
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.prompts import Prompts, last_layer, last_states, project
from tools.mini_annotator.settings import (
    ANSWER_LEAD,
    ANSWER_SCALE,
    ANSWER_STEPS,
    ANSWER_UNITS,
    RIDGE,
    SEED,
    SOFTNESS,
    STICKER_VIEWS,
    TEXT_WIDTH,
)
from tools.mini_annotator.tower import augmented_features
from tools.mini_annotator.tuning import tune


class KernelRidge:
    """Kernel ridge regression of emotions on summaries; all emotions weigh the same.

    Args:
        known: summaries, [n, SUMMARY_SIZE].
        labels: their emotions, [n].
    """

    def __init__(self, known: torch.Tensor, labels: torch.Tensor) -> None:
        self.known = known
        self.typical = torch.cdist(known, known).square().mean()
        often = torch.bincount(labels, minlength=len(EMOTIONS))[labels] * len(EMOTIONS) / len(labels)
        certain = F.one_hot(labels, len(EMOTIONS)).float()
        self.weights = torch.linalg.solve(
            self._likeness(known) + RIDGE * often.diag(), certain - 1 / len(EMOTIONS)
        )

    def _likeness(self, asked: torch.Tensor) -> torch.Tensor:
        return (-2 * torch.cdist(asked, self.known).square() / self.typical).exp()

    def logits(self, asked: torch.Tensor) -> torch.Tensor:
        """Logits [m, 8], mean 0, of summaries [m, SUMMARY_SIZE]."""
        rows = self._likeness(asked) @ self.weights / SOFTNESS
        return rows - rows.mean(-1, keepdim=True)


@torch.inference_mode()
def answer_states(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, features: torch.Tensor
) -> torch.Tensor:
    """`answer_state` of clips and views, [n, views, H], from features [n, views, frames, patches, C]."""
    parts = [prompts.answer_state(model, project(model, part)) for part in features.flatten(0, 1).split(64)]
    return torch.cat(parts).unflatten(0, features.shape[:2])


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
    ids, mask, labels = prompts.captioned(captions)
    features = tokens.flatten(0, 1)
    states = last_states(model, input_ids=ids, attention_mask=mask, video_features=features)
    rows = [states[labels != -100]]
    for label in prompts.labels:
        answered = torch.tensor([prompts.emotion + label[:1]]).repeat(len(tokens), 1)
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
    reader: nn.Linear,
    ridge: KernelRidge,
    states: torch.Tensor,
    other_emoji: torch.Tensor,
    elsewhere: torch.Tensor,
    *,
    steps: int = ANSWER_STEPS,
    seed: int = SEED,
) -> None:
    """Teach the added units of the last MLP to answer as the regression does.

    They see states of the training side's stickers, of emoji without a label, and mixtures of two states;
    where no answer about emotion begins they must say nothing, and where one does, a label must come.

    Args:
        model: from `widen`; changed in place.
        labels: the first token of each label.
        reader: reads summaries from the normed states.
        ridge: fitted to the training side.
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
    named = torch.tensor(labels)
    first = mlp.gate_proj.weight.shape[0] - ANSWER_UNITS
    torch.manual_seed(seed)
    gate, up = (nn.Parameter(torch.randn(ANSWER_UNITS, TEXT_WIDTH) / TEXT_WIDTH**0.5) for _ in range(2))
    down = nn.Parameter(torch.zeros(len(labels), ANSWER_UNITS))
    optimizer = torch.optim.AdamW([gate, up, down], weight_decay=0.01)

    def mixed() -> torch.Tensor:
        def draw(source: torch.Tensor, count: int) -> torch.Tensor:
            return source[torch.randint(len(source), (count,), generator=random)]

        share = torch.rand(256, 1, generator=random)
        own = draw(states, 256) * share + draw(states, 256) * (1 - share)
        share = torch.rand(128, 1, generator=random)
        between = draw(states, 128) * share + draw(other_emoji, 128) * (1 - share)
        return torch.cat([draw(states, 256), own, between, draw(other_emoji, 128)])

    for step in range(steps):
        set_rate(optimizer, 2e-3, step, steps, warm_up=50)
        with torch.no_grad():
            entered = mixed()
            read = layer.post_attention_layernorm(entered)
            wanted = ridge.logits(reader(read))
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
    captioner: Captioner, stickers: Clips, rows: Sequence[int]
) -> NVILALiteForConditionalGeneration:
    """Train on these stickers, from the captioner.

    Args:
        captioner: what has seen no labelled emoji.
        stickers: all of them.
        rows: those that may be seen.
    """
    tuned, reader = tune(captioner, stickers, rows)
    tower, prompts = tuned.model.vision_tower, Prompts(captioner.processor)
    if {len(answer) for answer in prompts.labels} != {2}:
        raise ValueError("a label is not one token; raise VOCABULARY")

    def states_of(pictures: torch.Tensor, views: int) -> tuple[torch.Tensor, torch.Tensor]:
        features = augmented_features(tower, pictures, views, SEED)
        return features, answer_states(tuned, prompts, features)

    emoji = read_emoji()
    features, others = states_of(emoji.pictures, 1)
    some = torch.arange(0, len(features), 12)
    captions = [emoji_caption(emoji.names[index]) for index in some.tolist()]
    with torch.inference_mode():
        elsewhere = caption_states(tuned, prompts, project(tuned, features[some, 0]), captions)
    _, states = states_of(stickers.pictures[list(rows)], STICKER_VIEWS)
    with torch.no_grad():
        summaries = reader(last_layer(tuned).post_attention_layernorm(states))
    ridge = KernelRidge(summaries.mean(1), stickers.labels[list(rows)])
    model = widen(captioner.processor, captioner.tower, tuned.state_dict())
    answers = [answer[0] for answer in prompts.labels]
    fit_answers(model, answers, reader, ridge, states.flatten(0, 1), others.flatten(0, 1), elsewhere)
    return model
