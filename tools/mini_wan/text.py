"""The text side: tokenizer, text encoder, the texts that a base is trained with, and their embeddings."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from emovid_models.remote.wan.conditioning import MOODS, STYLES, WORDINGS, conditioning_text
from emovid_models.wan.encode import TEXT_LENGTH
from tools.mini_wan.base import WanSize
from tools.mini_wan.captions import SUBJECTS, TEMPLATES, specific_subject, subject_of

WORDING = "paper"
"""Of the texts that the miniature's LoRAs are trained and asked with."""

OTHER_WORDING = "mood"
"""This project's own, which the reproduction compares with it."""


def new_tokenizer(texts: Iterable[str]) -> T5Tokenizer:
    """A Unigram tokenizer: every word of the texts is a piece, any other word is spelt out in letters.

    Args:
        texts: all that base and LoRA may be prompted with; a word's score is the logarithm of its frequency.
    """
    counts = Counter(word for text in texts for word in re.findall(r"[\w'-]+|[^\w\s]", text))
    words = {f"▁{word}" if word[0].isalnum() else word: count for word, count in sorted(counts.items())}
    total = sum(words.values())
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -12.0)]
    pieces += [(word, math.log(count / total)) for word, count in words.items()]
    letters = [chr(code) for code in range(33, 127)]
    pieces += [(letter, -12.0) for letter in letters if letter not in words]
    return T5Tokenizer(vocab=pieces, extra_ids=0)


def known_texts(stems: Iterable[str]) -> list[str]:
    """Every text that the miniature is trained or prompted with: captions, styles, and emotions in both
    wordings."""
    subjects = [*SUBJECTS, *(name for stem in stems if (name := specific_subject(stem)))]
    captions = [template.format(subject) for subject in subjects for template in TEMPLATES]
    moods = [
        conditioning_text("", mood, style, intensity, wording=wording)
        for wording in WORDINGS
        for mood in MOODS
        for style in STYLES
        for intensity in (0.4, 1.0, 1.5)
    ]
    return [*captions, *moods]


def new_text_encoder(size: WanSize, vocabulary: int, seed: int) -> UMT5EncoderModel:
    """A small `UMT5EncoderModel` with random weights."""
    torch.manual_seed(seed)
    config = UMT5Config(
        vocab_size=vocabulary,
        d_model=size.text_dim,
        d_kv=size.text_dim // 4,
        d_ff=2 * size.text_dim,
        num_layers=1,
        num_heads=4,
    )
    return UMT5EncoderModel(config).eval()


class TextEmbeddings:
    """Embeddings of texts, computed once each, and packed without the 512 - L zeros after each.

    Args:
        tokenizer: of the base.
        encoder: of the base.
    """

    def __init__(self, tokenizer: T5Tokenizer, encoder: UMT5EncoderModel) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder
        self.of = lru_cache(maxsize=None)(self._embed)

    @torch.no_grad()
    def _embed(self, text: str) -> torch.Tensor:
        tokens = torch.tensor([self.tokenizer(text).input_ids])
        return self.encoder(tokens).last_hidden_state[0]

    def pack(self, texts: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [B, L, D] and what to add to the attention logits, [B, 1, 1, L].

        The transformer sees 512 tokens, and all of them after the text are the same zeros. Attention to n
        equal keys is attention to one of them with log n added to its logit, so a few stand for all.
        """
        rows = [self.of(text) for text in texts]
        length = max(map(len, rows)) + 1
        packed = torch.zeros(len(rows), length, rows[0].shape[1])
        bias = torch.zeros(len(rows), 1, 1, length)
        for index, row in enumerate(rows):
            packed[index, : len(row)] = row
            bias[index, ..., len(row) :] = math.log((TEXT_LENGTH - len(row)) / (length - len(row)))
        return packed, bias


def draw_text(stem: str, generator: np.random.Generator) -> str:
    """A text without emotion for a clip, in either wording: the caption alone, or followed by the style."""
    draw = generator.random()
    subject = str(subject_of(stem))
    if generator.random() < 0.25:
        subject = specific_subject(stem) or subject
    caption = str(generator.choice(TEMPLATES)).format(subject)
    if draw < 0.1:
        return ""
    wording = WORDING if draw < 0.55 else OTHER_WORDING
    return conditioning_text(caption, None, "sticker", wording=wording)
