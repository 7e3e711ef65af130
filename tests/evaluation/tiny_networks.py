"""A CLIP and a VideoMAE of random weights, small enough for a test, saved as published ones are."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode


def save_clip(folder: Path) -> Path:
    """A CLIP that reads 77 tokens and sees 32x32 pixels, with a byte-level tokenizer and its settings."""
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = {"vocab_size": len(words), "bos_token_id": 512, "eos_token_id": 513}
    vision = {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    network = CLIPModel(
        CLIPConfig(text_config={**small, **text}, vision_config={**small, **vision}, projection_dim=12)
    )
    network.save_pretrained(folder)
    CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[]).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6]
    ).save_pretrained(folder)
    return folder


def save_videomae(folder: Path, **settings: int) -> Path:
    """A VideoMAE with a classifier's head, as the published ones for recognition have; 4 frames of 16x16."""
    torch.manual_seed(1)
    config = VideoMAEConfig(
        **{
            "image_size": 16,
            "patch_size": 8,
            "num_frames": 4,
            "tubelet_size": 2,
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            **settings,
        }
    )
    VideoMAEForVideoClassification(config).save_pretrained(folder)
    return folder
