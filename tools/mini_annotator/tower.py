"""Step 2, the tower: a small SigLIP that learns what the teachers see."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import SiglipVisionConfig, SiglipVisionModel

from emovid_dataset.terminal import Progress
from tools.mini_annotator.emoji import Emoji, read_emoji, work_folder
from tools.mini_annotator.names import NameMatching
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.pictures import augment, gradients_and_means, per_patch, to_pixels
from tools.mini_annotator.settings import IMAGE_SIZE, PATCH_SIZE, SEED, SUMMARY_SIZE, TOWER_BATCH, TOWER_STEPS
from tools.mini_annotator.summary import Summary
from tools.mini_annotator.teachers import Teacher, read_summary, read_teachers, watch

TOWER = SiglipVisionConfig(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=IMAGE_SIZE,
    patch_size=PATCH_SIZE,
    vision_use_head=False,
)


def tower_features(tower: SiglipVisionModel, pixels: torch.Tensor) -> torch.Tensor:
    """What the annotator reads from the tower: the last layer's output, [n, patches, hidden size]."""
    hidden = tower.embeddings(pixels)
    for layer in tower.encoder.layers:
        hidden = layer(hidden, None)
    return hidden


@torch.inference_mode()
def augmented_features(
    tower: SiglipVisionModel, pictures: torch.Tensor, views: int, seed: int
) -> torch.Tensor:
    """The tower's features of clips, as they are and augmented; all frames of a clip are moved together.

    Args:
        tower: will not change any more, so its features are computed once.
        pictures: uint8 [n, frames, H, W, 3].
        views: of each clip; the first is the clip as it is.
        seed: of the augmentation.

    Returns:
        float16 [n, views, frames, patches, hidden size].
    """
    random = torch.Generator().manual_seed(seed)
    count, frames = pictures.shape[:2]
    folded = pictures.permute(0, 2, 3, 1, 4).flatten(3)
    out = []
    for view in range(views):
        rows = []
        for part in folded.split(128):
            moved = augment(part, random) if view else to_pixels(part)
            moved = moved.reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
            rows.append(tower_features(tower, moved).half())
        out.append(torch.cat(rows).view(count, frames, -1, TOWER.hidden_size))
    return torch.stack(out, 1)


def train_tower(
    emoji: Emoji,
    teachers: Sequence[Teacher],
    summary: Summary,
    *,
    steps: int = TOWER_STEPS,
    seed: int = SEED,
) -> SiglipVisionModel:
    """Teach a tower names, what the teachers see in each patch and overall, and gradients and colour.

    Args:
        emoji: pictures and names.
        teachers: trained on the same emoji.
        summary: of the teachers' features.
        steps: of `TOWER_BATCH` emoji with different names.
        seed: of weights, order and augmentation.

    Returns:
        The tower; its weights are a running mean over the steps.
    """
    matching = NameMatching(emoji, seed)

    @torch.no_grad()
    def targets(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps, pooled = watch(teachers, pixels)
        return per_patch(maps[2]), per_patch(maps[3]), summary(pooled)

    seen = targets(torch.cat([matching.draw(128)[0] for _ in range(4)]))[:2]
    means, spreads = [x.mean((0, 1)) for x in seen], [x.std((0, 1)) + 1e-3 for x in seen]
    torch.manual_seed(seed)
    tower = SiglipVisionModel(TOWER)
    width, side = TOWER.hidden_size, IMAGE_SIZE // PATCH_SIZE

    def reader(size: int) -> nn.Module:
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size))

    to_fine, to_coarse, to_shape = reader(len(means[0])), reader(len(means[1])), reader(12)
    to_summary = reader(SUMMARY_SIZE)
    to_name, log_scale = reader(matching.vectors.shape[1]), nn.Parameter(torch.tensor(2.7))
    parts: list[nn.Module] = [tower, to_fine, to_coarse, to_shape, to_summary, to_name]
    parameters = [*(parameter for part in parts for parameter in part.parameters()), log_scale]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    average = AveragedModel(tower, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    with Progress(steps, unit="steps", title="Tower", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 1.5e-3, step, steps, warm_up=100)
            pixels, names = matching.draw(TOWER_BATCH)
            *local, whole = targets(pixels)
            fine, coarse = ((x - m) / s for x, m, s in zip(local, means, spreads, strict=True))
            hidden = tower_features(tower, pixels)
            joined = per_patch(F.avg_pool2d(hidden.transpose(1, 2).unflatten(2, (side, side)), 2))
            loss_fine = F.mse_loss(to_fine(hidden), fine)
            loss_whole = (to_summary(hidden.mean(1)) - whole).square().sum(-1).mean()
            loss = 2 * loss_fine + F.mse_loss(to_coarse(joined), coarse) + 3 * loss_whole
            loss = loss + F.mse_loss(to_shape(hidden), gradients_and_means(pixels))
            loss = loss + 0.1 * matching.loss(to_name(hidden.mean(1)), names, log_scale.exp())
            take_step(optimizer, loss)
            average.update_parameters(tower)
            progress.update()
            if step % 200 == 199:
                print(
                    f"tower, step {step + 1}: unexplained {loss_fine.item():.3f} of the maps, "
                    f"{loss_whole.item():.3f} of the summaries",
                    flush=True,
                )
    tower.load_state_dict(average.module.state_dict())
    return tower.eval()


def read_tower(*, steps: int = TOWER_STEPS, seed: int = SEED) -> SiglipVisionModel:
    """The tower, trained once and kept."""
    folder = work_folder() / f"distilled-tower-{steps}-{seed}"
    if not folder.is_dir():
        teachers = read_teachers()
        start = time.monotonic()
        emoji = read_emoji()
        tower = train_tower(emoji, teachers, read_summary(teachers, emoji), steps=steps, seed=seed)
        print(f"tower: {time.monotonic() - start:.0f} s", flush=True)
        unfinished = folder.with_suffix(".unfinished")
        tower.save_pretrained(unfinished)
        unfinished.rename(folder)
    return SiglipVisionModel.from_pretrained(folder).eval()
