"""Step 1, the teachers: convolutional nets that match names, and what they see in pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from emovid_dataset.terminal import Progress
from tools.mini_annotator.emoji import Emoji, read_emoji, work_folder
from tools.mini_annotator.names import NameMatching, sentence_model
from tools.mini_annotator.optimizer import set_rate, take_step
from tools.mini_annotator.pictures import to_pixels
from tools.mini_annotator.settings import SEED, TEACHER_BATCH, TEACHER_SEEDS, TEACHER_STEPS, TEACHER_WIDTH
from tools.mini_annotator.summary import Summary


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut around them.

    Args:
        inner: channels of the input.
        outer: channels of the output.
        stride: of the first convolution.
    """

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer))
        self.second = nn.Sequential(nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inner != outer:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map [n, inner, H, W] to [n, outer, H / stride, W / stride]."""
        return F.relu(self.second(F.relu(self.first(maps))) + self.shortcut(maps))


class Teacher(nn.Module):
    """A convolutional net of four stages, which learns more from few pictures than a transformer does."""

    def __init__(self, width: int = TEACHER_WIDTH) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = nn.ModuleList(
            Residual(inner * width, outer * width, stride)
            for inner, outer, stride in ((1, 1, 1), (1, 2, 2), (2, 4, 2), (4, 8, 2))
        )

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The four stages' maps of pictures [n, 3, H, W], of 1/2, 1/4, 1/8 and 1/16 of their sides."""
        maps = [self.stem(pixels)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def train_teacher(emoji: Emoji, *, steps: int = TEACHER_STEPS, seed: int = SEED) -> Teacher:
    """Teach a convolutional net to match names.

    Args:
        emoji: pictures and names.
        steps: of `TEACHER_BATCH` emoji with different names.
        seed: of weights, order and augmentation.
    """
    matching = NameMatching(emoji, seed)
    torch.manual_seed(seed)
    teacher = Teacher().to(memory_format=torch.channels_last)
    to_name = nn.Linear(8 * TEACHER_WIDTH, matching.vectors.shape[1])
    log_scale = nn.Parameter(torch.tensor(2.7))
    parameters = [*teacher.parameters(), *to_name.parameters(), log_scale]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    with Progress(steps, unit="steps", title=f"Teacher {seed}", every=30) as progress:
        for step in range(steps):
            set_rate(optimizer, 2e-3, step, steps, warm_up=60)
            pixels, names = matching.draw(TEACHER_BATCH)
            seen = teacher(pixels.contiguous(memory_format=torch.channels_last))[-1].mean((2, 3))
            take_step(optimizer, matching.loss(to_name(seen), names, log_scale.exp()))
            progress.update()
    return teacher.eval()


def _train_teacher(seed: int) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    return {
        name: value.contiguous()
        for name, value in train_teacher(read_emoji(), seed=seed).state_dict().items()
    }


def read_teachers() -> list[Teacher]:
    """The teachers, trained once and kept."""
    kept = {seed: work_folder() / f"teacher-{TEACHER_STEPS}-{seed}.safetensors" for seed in TEACHER_SEEDS}
    wanted = [seed for seed, path in kept.items() if not path.exists()]
    if wanted:
        start = time.monotonic()
        read_emoji()
        sentence_model()
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            for seed, state in zip(wanted, pool.map(_train_teacher, wanted), strict=True):
                save_file(state, kept[seed])
        print(f"teachers: {time.monotonic() - start:.0f} s", flush=True)
    teachers = []
    for path in kept.values():
        teacher = Teacher().eval()
        teacher.load_state_dict(load_file(path))
        teachers.append(teacher)
    return teachers


def watch(teachers: Sequence[Teacher], pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What the teachers see in pictures.

    Args:
        teachers: the convolutional nets.
        pixels: [n, 3, H, W], -1..1.

    Returns:
        The maps of the four stages, those of all teachers concatenated, and the mean and the maximum of each
        stage over the picture, [n, features].
    """
    each = [teacher(pixels) for teacher in teachers]
    maps = [torch.cat(stage, 1) for stage in zip(*each, strict=True)]
    pooled = [torch.cat([stage.mean((2, 3)), stage.amax((2, 3))], 1) for stage in maps]
    return maps, torch.cat(pooled, 1)


@torch.inference_mode()
def watch_clips(teachers: Sequence[Teacher], pictures: torch.Tensor) -> torch.Tensor:
    """The teachers' pooled features of clips: the mean over the frames and their mirror images.

    Args:
        teachers: the convolutional nets.
        pictures: uint8 [n, frames, H, W, 3].

    Returns:
        [n, features].
    """
    rows = []
    for part in pictures.flatten(0, 1).split(64):
        pixels = to_pixels(part)
        rows.append((watch(teachers, pixels)[1] + watch(teachers, pixels.flip(-1))[1]) / 2)
    return torch.cat(rows).unflatten(0, pictures.shape[:2]).mean(1)


def read_summary(teachers: Sequence[Teacher], emoji: Emoji) -> Summary:
    """How the teachers' pooled features are shortened."""
    kept = work_folder() / f"watched-{TEACHER_STEPS}-{len(TEACHER_SEEDS)}.safetensors"
    if not kept.exists():
        save_file({"pooled": watch_clips(teachers, emoji.pictures)}, kept)
    sizes = [2 * TEACHER_WIDTH * wide * len(teachers) for wide in (1, 2, 4, 8)]
    return Summary.of(load_file(kept)["pooled"], sizes)
