"""The tuning of tower, projector and language model together, for one training side."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress
from emovid_models.nvila import NVILALiteForConditionalGeneration
from tools.mini_annotator.emoji import emoji_caption, read_emoji
from tools.mini_annotator.heads import Head
from tools.mini_annotator.language import Base, mixed_clips
from tools.mini_annotator.names import NameMatching
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.pictures import to_pixels
from tools.mini_annotator.prompts import Prompts, caption_loss, last_layer, project
from tools.mini_annotator.settings import ANSWER_SPREAD, SEED, TOWER_WIDTH, TUNING_BATCH, TUNING_STEPS
from tools.mini_annotator.tower import tower_features
from tools.mini_annotator.views import Views, read_free_views, read_labelled_views


def tune(
    base: Base,
    rows: Sequence[int],
    head: Head,
    *,
    steps: int = TUNING_STEPS,
    seed: int = SEED,
) -> tuple[NVILALiteForConditionalGeneration, nn.Linear]:
    """Teach tower, projector and language model together to answer as a head on the teacher's features does.

    They see emoji without a label, for which the head answers too, and the stickers of the training side; and
    they go on learning what the teacher sees in both.

    Args:
        base: stays as it is.
        rows: the labelled stickers that may be seen.
        head: fitted to these.
        steps: of `TUNING_BATCH` pictures; clips are put together from these.
        seed: of the order.

    Returns:
        The model, whose weights are a running mean over the steps, and a layer that reads the head's logits,
        with a standard deviation of `ANSWER_SPREAD`, from its normed states.
    """
    device = base.device
    free, labelled = read_free_views(device), read_labelled_views(device)
    random = torch.Generator().manual_seed(seed)
    emoji = read_emoji()
    matching = NameMatching(emoji, device, random)
    torch.manual_seed(seed)
    model, prompts = base.model(), Prompts(base.processor)
    model.requires_grad_(True).train()
    answers, own_answers = head.logits(free.pooled), head.logits(labelled.pooled)
    spread = answers.std()
    answers, own_answers = answers / spread, own_answers / spread
    reader, readers = copy.deepcopy(base.reader), copy.deepcopy(base.readers)
    to_answer = nn.Linear(reader.in_features, len(EMOTIONS)).to(device)
    from_tower = nn.Sequential(nn.LayerNorm(TOWER_WIDTH), nn.Linear(TOWER_WIDTH, len(EMOTIONS))).to(device)
    learner = nn.ModuleList([model, to_answer, reader, readers, from_tower])
    optimizer = torch.optim.AdamW(learner.parameters(), weight_decay=0.05)
    average = AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    norm = last_layer(model).post_attention_layernorm
    seen = torch.tensor(rows)
    others, own = TUNING_BATCH
    with Progress(steps, unit="steps", title=f"Tuning on {len(rows)} stickers", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 5e-4, step, steps, warm_up=30)
            drawn, _ = matching.draw(others)
            picked = seen[torch.randint(len(seen), (own,), generator=random)]
            theirs, mine = free.of(drawn, random).to(device), labelled.of(picked, random).to(device)
            batch = _joined(free, theirs, labelled, mine)
            wanted = torch.cat([answers[theirs], own_answers[mine]])
            pixels = to_pixels(batch.pictures)
            hidden = tower_features(model.model.vision_tower, pixels)
            loss, _ = readers.loss(hidden, pixels, batch, torch.arange(len(pixels), device=device))
            loss = loss + F.mse_loss(from_tower(hidden.mean(1)), wanted)
            mixed = mixed_clips(len(pixels), (1, 2, 4)[step % 3], random).to(device)
            tokens = project(model, hidden[mixed])
            read = norm(prompts.answer_state(model, tokens))
            loss = loss + 2 * F.mse_loss(to_answer(read), wanted[mixed].mean(1))
            loss = loss + (reader(read) - batch.summary[mixed].mean(1)).square().sum(-1).mean()
            if step % 3 == 0:
                told = [emoji_caption(emoji.names[row]) for row in drawn[:16].tolist()]
                whole = project(model, hidden[:16].unsqueeze(1).repeat(1, mixed.shape[1], 1, 1))
                loss = loss + 0.2 * caption_loss(model, prompts, whole, told)
            if step % 3 == 1:
                loss = loss - 0.2 * prompts.log_likelihoods(model, tokens[:12]).mean()
            take_step(optimizer, loss)
            average.update_parameters(learner)
            progress.update()
    learner.load_state_dict(average.module.state_dict())
    with torch.no_grad():
        to_answer.weight.mul_(ANSWER_SPREAD)
        to_answer.bias.mul_(ANSWER_SPREAD)
    return model.eval(), to_answer.requires_grad_(False)


def _joined(first: Views, rows: torch.Tensor, second: Views, others: torch.Tensor) -> Views:
    """Rows of two sets of views in one."""
    return Views(
        *(torch.cat([getattr(first, name)[rows], getattr(second, name)[others]]) for name in Views.__slots__)
    )
