"""Step 4, the tuning of tower, projector and language model together, for one training side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress
from emovid_models.nvila import NVILALiteForConditionalGeneration
from tools.mini_annotator.captions import Captioner
from tools.mini_annotator.clips import Clips
from tools.mini_annotator.emoji import emoji_caption, read_emoji
from tools.mini_annotator.names import NameMatching
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.pictures import augment
from tools.mini_annotator.prompts import Prompts, caption_loss, last_layer, project
from tools.mini_annotator.settings import NUM_FRAMES, SEED, SUMMARY_SIZE, TEXT_WIDTH, TUNING_STEPS
from tools.mini_annotator.summary import pool_patches
from tools.mini_annotator.tower import tower_features


def tune(
    captioner: Captioner,
    stickers: Clips,
    rows: Sequence[int],
    *,
    steps: int = TUNING_STEPS,
    seed: int = SEED,
) -> tuple[NVILALiteForConditionalGeneration, nn.Linear]:
    """Teach tower, projector and language model together, with the stickers of the training side.

    Where the answer about emotion begins, they must hold the name of an emoji, the emotion of a sticker, and
    the summary of the captioner's tower.

    Args:
        captioner: stays as it is.
        stickers: all of them.
        rows: those that may be seen, with all their variants.
        steps: of 48 emoji with different names and 16 stickers, all emotions equally often; one frame each.
        seed: of order and augmentation.

    Returns:
        The model, and the layer that reads summaries from its normed states.
    """
    matching = NameMatching(read_emoji(stickers.groups[row] for row in rows), seed)
    random = matching.random
    torch.manual_seed(seed)
    model, prompts = captioner.model(), Prompts(captioner.processor)
    model.requires_grad_(True).train()
    norm = last_layer(model).post_attention_layernorm
    reader = nn.Linear(TEXT_WIDTH, SUMMARY_SIZE)
    reader.load_state_dict(captioner.reader.state_dict())
    to_name = nn.Linear(TEXT_WIDTH, matching.vectors.shape[1])
    to_emotion = nn.Linear(TEXT_WIDTH, len(EMOTIONS))
    log_scale = nn.Parameter(torch.tensor(2.7))
    parts: list[nn.Module] = [model, reader, to_name, to_emotion]
    parameters = [*(parameter for part in parts for parameter in part.parameters()), log_scale]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    pictures, labels = stickers.pictures[list(rows)], stickers.labels[list(rows)]
    rarity = 1 / torch.bincount(labels, minlength=len(EMOTIONS))[labels]
    with Progress(steps, unit="steps", title=f"Tuning on {len(rows)} stickers", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 5e-4, step, steps, warm_up=30)
            pixels, names = matching.draw(48)
            picked = torch.multinomial(rarity, 16, replacement=True, generator=random)
            frame = torch.randint(NUM_FRAMES, (16,), generator=random)
            pixels = torch.cat([pixels, augment(pictures[picked, frame], random)])
            with torch.no_grad():
                wanted = captioner.summary(pool_patches(tower_features(captioner.tower, pixels)))
            seen = tower_features(model.model.vision_tower, pixels)
            tokens = project(model, seen.unsqueeze(1)).repeat(1, NUM_FRAMES, 1, 1)
            read = norm(prompts.answer_state(model, tokens))
            loss = matching.loss(to_name(read[:48]), names, log_scale.exp())
            loss = loss + F.cross_entropy(to_emotion(read[48:]), labels[picked], label_smoothing=0.1)
            loss = loss + (reader(read) - wanted).square().sum(-1).mean()
            if step % 3 == 0:
                told = [emoji_caption(matching.names[name]) for name in names[:16].tolist()]
                loss = loss + 0.3 * caption_loss(model, prompts, tokens[:16], told)
            take_step(optimizer, loss)
            progress.update()
    return model.eval(), reader.requires_grad_(False)
