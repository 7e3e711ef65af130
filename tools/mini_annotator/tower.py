"""The tower: a small SigLIP that learns what the teacher sees in emoji without a label."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import SiglipVisionConfig, SiglipVisionModel

from emovid_dataset.terminal import Progress
from tools.mini_annotator.emoji import Emoji, hidden_digest, read_emoji, work_folder
from tools.mini_annotator.names import NameMatching
from tools.mini_annotator.optimizer import on, set_rate, take_step
from tools.mini_annotator.pictures import augment, gradients_and_means, per_patch, to_pixels
from tools.mini_annotator.settings import (
    COARSE_SIZE,
    IMAGE_SIZE,
    PATCH_SIZE,
    SEED,
    TOWER_BATCH,
    TOWER_LAYERS,
    TOWER_STEPS,
    TOWER_WIDTH,
    VIEWS,
)
from tools.mini_annotator.views import Views, read_free_views

TOWER = SiglipVisionConfig(
    hidden_size=TOWER_WIDTH,
    intermediate_size=4 * TOWER_WIDTH,
    num_hidden_layers=TOWER_LAYERS,
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
) -> Iterator[torch.Tensor]:
    """The tower's features of clips, as they are and augmented; all frames of a clip are moved together.

    Args:
        tower: with its device.
        pictures: uint8 [n, frames, H, W, 3].
        views: of each clip; the first is the clip as it is.
        seed: of the augmentation.

    Yields:
        float32 [n, frames, patches, hidden size], one for each view.
    """
    random = torch.Generator().manual_seed(seed)
    count, frames = pictures.shape[:2]
    device = next(tower.parameters()).device
    folded = pictures.permute(0, 2, 3, 1, 4).flatten(3)
    for view in range(views):
        moved = augment(folded, random) if view else to_pixels(folded)
        pixels = moved.reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
        rows = [tower_features(tower, part.to(device)) for part in pixels.split(256)]
        yield torch.cat(rows).view(count, frames, -1, TOWER.hidden_size)


class Readers(nn.Module):
    """Read from the tower's features what the teacher sees, patch by patch and overall, and the gradients and
    mean colour of each patch."""

    def __init__(self, fine: int, pooled: int) -> None:
        super().__init__()

        def reader(size: int) -> nn.Module:
            return nn.Sequential(nn.LayerNorm(TOWER_WIDTH), nn.Linear(TOWER_WIDTH, size))

        self.fine, self.coarse, self.shape = reader(fine), reader(COARSE_SIZE), reader(12)
        self.pooled = reader(pooled)

    def loss(
        self, hidden: torch.Tensor, pixels: torch.Tensor, views: Views, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The distance of what is read from what the teacher sees, and the unexplained part of the means.

        Args:
            hidden: `tower_features`, [n, patches, hidden size].
            pixels: that it has seen, [n, 3, IMAGE_SIZE, IMAGE_SIZE].
            views: with the targets.
            rows: of the views, [n].
        """
        side = IMAGE_SIZE // PATCH_SIZE
        joined = per_patch(F.avg_pool2d(hidden.transpose(1, 2).unflatten(2, (side, side)), 2))
        whole = F.mse_loss(self.pooled(hidden.mean(1)), views.pooled[rows].float())
        loss = F.mse_loss(self.fine(hidden), views.fine[rows].float())
        loss = loss + F.mse_loss(self.coarse(joined), views.coarse[rows].float()) + 3 * whole
        return loss + 0.5 * F.mse_loss(self.shape(hidden), gradients_and_means(pixels)), whole


def train_tower(
    emoji: Emoji,
    views: Views,
    *,
    steps: int = TOWER_STEPS,
    seed: int = SEED,
) -> tuple[SiglipVisionModel, Readers]:
    """Teach a tower names, what the teacher sees in each patch and overall, and gradients and colour.

    Args:
        emoji: with their names.
        views: of these emoji, on the device to train on.
        steps: of `TOWER_BATCH` emoji with different names.
        seed: of weights and order.

    Returns:
        The tower, whose weights are a running mean over the steps, and what reads from it.
    """
    device = views.pictures.device
    random = torch.Generator().manual_seed(seed)
    matching = NameMatching(emoji, device, random)
    torch.manual_seed(seed)
    tower, readers = (
        on(device, SiglipVisionModel(TOWER)),
        Readers(views.fine.shape[-1], views.pooled.shape[-1]).to(device),
    )
    to_name = nn.Sequential(nn.LayerNorm(TOWER_WIDTH), nn.Linear(TOWER_WIDTH, matching.vectors.shape[1]))
    to_name.to(device)
    log_scale = nn.Parameter(torch.tensor(2.7, device=device))
    parts: list[nn.Module] = [tower, readers, to_name]
    parameters = [*(parameter for part in parts for parameter in part.parameters()), log_scale]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    average = AveragedModel(tower, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    with Progress(steps, unit="steps", title="Tower", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 1.5e-3, step, steps, warm_up=100)
            drawn, names = matching.draw(TOWER_BATCH)
            rows = views.of(drawn, random).to(device)
            pixels = to_pixels(views.pictures[rows])
            hidden = tower_features(tower, pixels)
            loss, whole = readers.loss(hidden, pixels, views, rows)
            loss = loss + 0.1 * matching.loss(to_name(hidden.mean(1)), names.to(device), log_scale.exp())
            take_step(optimizer, loss)
            average.update_parameters(tower)
            progress.update()
            if step % 400 == 399:
                print(f"tower, step {step + 1}: unexplained {whole.item():.3f} of the means", flush=True)
    tower.load_state_dict(average.module.state_dict())
    return tower.eval(), readers


def read_tower(device: torch.device, *, seed: int = SEED) -> tuple[SiglipVisionModel, Readers]:
    """The tower and what reads from it, trained once and kept."""
    settings = f"{TOWER_WIDTH}x{TOWER_LAYERS}-{TOWER_STEPS}-{VIEWS}-{hidden_digest()}-{seed}"
    kept = work_folder() / f"tower-{settings}.safetensors"
    if not kept.exists():
        views = read_free_views(device, seed=seed)
        start = time.monotonic()
        tower, readers = train_tower(read_emoji(), views, seed=seed)
        found = {f"tower.{name}": value for name, value in tower.state_dict().items()}
        found |= {f"readers.{name}": value for name, value in readers.state_dict().items()}
        save_file({name: value.contiguous().cpu() for name, value in found.items()}, kept)
        print(f"tower: {time.monotonic() - start:.0f} s", flush=True)
    stored = load_file(kept)
    tower, readers = (
        SiglipVisionModel(TOWER),
        Readers(len(stored["readers.fine.1.bias"]), len(stored["readers.pooled.1.bias"])),
    )
    for part, prefix in ((tower, "tower."), (readers, "readers.")):
        part.load_state_dict(
            {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
        )
    return on(device, tower).eval(), readers.to(device)
