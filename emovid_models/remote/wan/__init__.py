"""Wan2.1 with an emotion as a Hub repo carries it: conditioning text, guidance, LoRA files, pipelines."""
