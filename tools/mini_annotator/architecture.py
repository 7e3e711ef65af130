"""The annotator before its training: tokenizer, processor, and the model, narrow or widened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, SiglipVisionModel

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteConfig, NVILALiteForConditionalGeneration, NVILALiteProcessor
from emovid_models.remote.annotator.prompts import CAPTION_QUESTION, EMOTION_QUESTION
from tools.mini_annotator.settings import (
    ANSWER_UNITS,
    IMAGE_SIZE,
    NUM_FRAMES,
    PATCH_SIZE,
    SEED,
    SPECIAL_TOKENS,
    TEXT_LAYERS,
    TEXT_WIDTH,
    VOCABULARY,
)
from tools.mini_annotator.tower import TOWER


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer for any text, trained on these."""
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
    """The processor, with a tokenizer trained on these captions and on all prompts."""
    chat = ["system\nYou are a helpful assistant", "user\n", "assistant\n", *EMOTIONS]
    tokenizer = build_tokenizer([*sorted(captions), *([*chat, EMOTION_QUESTION, CAPTION_QUESTION]) * 50])
    side = math.ceil(IMAGE_SIZE // PATCH_SIZE / 3)
    return NVILALiteProcessor(
        tokenizer, image_size=IMAGE_SIZE, tokens_per_frame=side**2, num_frames=NUM_FRAMES
    )


def build_model(
    processor: NVILALiteProcessor, tower: SiglipVisionModel, seed: int = SEED, *, answer_units: int = 0
) -> NVILALiteForConditionalGeneration:
    """The annotator with a trained tower; projector and language model have random weights.

    Args:
        processor: with the tokenizer.
        tower: its weights are copied and frozen.
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


def widen(
    processor: NVILALiteProcessor, tower: SiglipVisionModel, state: dict[str, torch.Tensor]
) -> NVILALiteForConditionalGeneration:
    """A model with these weights and `ANSWER_UNITS` more units in each MLP, which change nothing yet."""
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
