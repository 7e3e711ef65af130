"""A tiny annotator with random weights, made like a real one."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import emovid_dataset
from emovid_models.nvila import NVILALiteConfig, NVILALiteForConditionalGeneration, NVILALiteProcessor

MINI = Path(emovid_dataset.__file__).parent / "mini"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<vila/video>")


def tiny_processor(num_frames: int = 4) -> NVILALiteProcessor:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<image>", "<vila/video>"],
    )
    return NVILALiteProcessor(fast, image_size=24, tokens_per_frame=1, num_frames=num_frames)


def tiny_model(processor: NVILALiteProcessor, seed: int = 0) -> NVILALiteForConditionalGeneration:
    torch.manual_seed(seed)
    config = NVILALiteConfig(
        vision_config=dict(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=24,
            patch_size=8,
            vision_use_head=False,
        ),
        text_config=dict(
            vocab_size=len(processor.tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=processor.tokenizer.eos_token_id,
            pad_token_id=processor.tokenizer.pad_token_id,
        ),
        num_frames=processor.num_frames,
        video_token_id=processor.video_token_id,
        image_token_id=processor.tokenizer.convert_tokens_to_ids("<image>"),
        sentinel_token_id=None,
        frame_end_token_ids=processor.frame_end_ids,
        num_tokens=len(processor.tokenizer),
    )
    return NVILALiteForConditionalGeneration(config).eval()
