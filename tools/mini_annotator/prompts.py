"""What the language model is asked and answers, and its states where an answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteForConditionalGeneration, NVILALiteProcessor
from emovid_models.remote.annotator.prompts import CAPTION_QUESTION, EMOTION_QUESTION, END_OF_TURN
from tools.mini_annotator.settings import NUM_FRAMES


class Prompts:
    """Token ids of the two questions, alone and with answers; they are the same for every clip."""

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
        """Length-normalised log-likelihoods of the labels, [n, 8], for features from `project`."""
        return self._score(model, features, length_normalized=True)

    def answer_state(self, model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
        """What the last layer's MLP is about to read where the answer about emotion begins, [n, H]."""
        ids = torch.tensor([self.emotion], device=features.device).repeat(len(features), 1)
        return last_states(model, input_ids=ids, video_features=features.flatten(0, 1))[:, -1]

    def log_likelihoods(
        self, model: NVILALiteForConditionalGeneration, features: torch.Tensor
    ) -> torch.Tensor:
        """Log-likelihoods of the whole answers that name the labels, [n, 8]."""
        return self._score(model, features, length_normalized=False)

    def _score(
        self, model: NVILALiteForConditionalGeneration, features: torch.Tensor, *, length_normalized: bool
    ) -> torch.Tensor:
        ids = torch.tensor([self.emotion], device=features.device).repeat(len(features), 1)
        return model.score_labels(
            self.labels,
            input_ids=ids,
            video_features=features.flatten(0, 1),
            length_normalized=length_normalized,
        )


def project(model: NVILALiteForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
    """Tower features [n, frames, patches, C] as tokens [n, frames, tokens, H]."""
    tokens = model.model.multi_modal_projector(features.float().flatten(0, 1))
    return tokens.view(*features.shape[:2], *tokens.shape[1:])


def last_layer(model: NVILALiteForConditionalGeneration) -> Any:
    """The last layer of the language model."""
    return model.model.language_model.layers[-1]


def last_states(model: NVILALiteForConditionalGeneration, **inputs: torch.Tensor) -> torch.Tensor:
    """The residual sums that enter the norm before the last layer's MLP, [n, T, H]."""
    kept: list[torch.Tensor] = []
    norm = last_layer(model).post_attention_layernorm
    hook = norm.register_forward_pre_hook(lambda _, entered: kept.append(entered[0]))
    try:
        model.model(**inputs)
    finally:
        hook.remove()
    return kept[0]


def caption_loss(
    model: NVILALiteForConditionalGeneration, prompts: Prompts, tokens: torch.Tensor, captions: Sequence[str]
) -> torch.Tensor:
    ids, mask, labels = (part.to(tokens.device) for part in prompts.captioned(captions))
    return model(input_ids=ids, attention_mask=mask, video_features=tokens.flatten(0, 1), labels=labels).loss
