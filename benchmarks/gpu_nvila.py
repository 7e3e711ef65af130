"""NVILA-Lite-2B's part of `benchmarks/gpu.py`: random weights at true size, speed and memory.

Label scoring is measured beside its alternatives on the same frames: eight full forwards, generating an
answer of sixteen tokens in the same batches, and the pass over video and prompt that all of them need.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from emovid_models.nvila import NVILALiteConfig, NVILALiteForConditionalGeneration

TableParts = tuple[str, tuple[str, ...], list[tuple[object, ...]]]
"""Title, headings, rows."""

PROMPT_TOKENS = 60
LABEL_TOKENS = (3, 2, 3, 2, 2, 3, 2, 3)
"""About the tokens of the eight labels and the end of the turn."""
ANSWER_TOKENS = 16

TINY = NVILALiteConfig(
    vision_config={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 48,
        "patch_size": 8,
        "vision_use_head": False,
    },
    text_config={
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    num_frames=2,
    video_token_id=99,
    image_token_id=None,
    sentinel_token_id=None,
    frame_end_token_ids=[1],
)


def nvila(device: torch.device, tiny: bool, quick: bool = False) -> Iterator[TableParts]:
    """Score labels, generate and train at true size (or, for a dry run, at toy size).

    Args:
        device: a CUDA device, or the CPU with `tiny`.
        tiny: toy size.
        quick: fewer repeats.

    Yields:
        Tables: answering, training, and bfloat16 against float32.
    """
    config = TINY if tiny else NVILALiteConfig()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    with torch.device(device):
        model = NVILALiteForConditionalGeneration(config).to(dtype).eval()
    repeat = 2 if tiny or quick else 5
    batches = (1, 2) if tiny else (1, 8, 32)
    yield answering(model, batches, repeat, device)
    yield training(model, repeat, device)
    yield precision(model, device)


def prompts(model: NVILALiteForConditionalGeneration, batch: int, device: torch.device) -> dict[str, Any]:
    """Random frames and a prompt of about the true length, the same for every clip."""
    config = model.config
    frame = [config.video_token_id] * config.tokens_per_frame + list(config.frame_end_token_ids)
    text = [token % 90 for token in range(PROMPT_TOKENS)]
    ids = text[: PROMPT_TOKENS // 3] + frame * config.num_frames + text[PROMPT_TOKENS // 3 :]
    size = config.vision_config.image_size
    pixels = torch.rand(batch * config.num_frames, 3, size, size, device=device, dtype=model.dtype) * 2 - 1
    row = torch.tensor([ids], device=device)
    return {"input_ids": row.repeat(batch, 1), "pixel_values_videos": pixels}


def labels() -> list[list[int]]:
    """Ids of eight labels that differ."""
    return [[10 + index, *range(30, 29 + length)] for index, length in enumerate(LABEL_TOKENS)]


def timed(work: Callable[[], object], repeat: int, device: torch.device) -> tuple[float, float]:
    """Median seconds after one call to warm up, and peak GPU memory in GiB."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeat + 1):
        if cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0


@torch.inference_mode()
def answering(
    model: NVILALiteForConditionalGeneration, batches: tuple[int, ...], repeat: int, device: torch.device
) -> TableParts:
    """Clips a second by scored labels, by eight full forwards, by generating and by the prompt alone."""
    rows: list[tuple[object, ...]] = []
    for batch in batches:
        inputs = prompts(model, batch, device)

        def score(inputs: dict[str, Any] = inputs) -> torch.Tensor:
            return model.score_labels(labels(), **inputs)

        def full_forwards(inputs: dict[str, Any] = inputs) -> None:
            for label in labels():
                answer = torch.tensor([label], device=device).repeat(len(inputs["input_ids"]), 1)
                ids = torch.cat([inputs["input_ids"], answer], 1)
                model(input_ids=ids, pixel_values_videos=inputs["pixel_values_videos"], logits_to_keep=4)

        def generate(inputs: dict[str, Any] = inputs) -> torch.Tensor:
            return model.generate(
                **inputs,
                attention_mask=torch.ones_like(inputs["input_ids"]),
                do_sample=False,
                min_new_tokens=ANSWER_TOKENS,
                max_new_tokens=ANSWER_TOKENS,
                pad_token_id=0,
            )

        def prefill(inputs: dict[str, Any] = inputs) -> None:
            model(**inputs, use_cache=True, logits_to_keep=1)

        slowest = None
        for name, work in (
            (f"generate {ANSWER_TOKENS} tokens", generate),
            ("eight full forwards", full_forwards),
            ("labels on one prefix", score),
            ("the prompt's pass alone", prefill),
        ):
            seconds, memory = timed(work, repeat, device)
            slowest = slowest or seconds
            rows.append((name, batch, f"{batch / seconds:.2f}", f"{slowest / seconds:.2f}", f"{memory:.1f}"))
    title = f"NVILA-Lite, {model.config.num_frames} frames, {model.dtype}, decoding not counted"
    return title, ("", "batch", "clips/s", "ratio to generate", "peak GiB"), rows


def training(model: NVILALiteForConditionalGeneration, repeat: int, device: torch.device) -> TableParts:
    """A LoRA step with and without gradient checkpointing."""
    from emovid_models.annotator.train import with_lora

    batch = 2
    model.model.vision_tower.requires_grad_(False)
    network = with_lora(model, 16).train()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    inputs = prompts(model, batch, device)
    inputs["labels"] = inputs["input_ids"].clone()
    inputs["labels"][:, :-4] = -100

    def step() -> None:
        loss = network(**inputs, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    rows: list[tuple[object, ...]] = []
    for name, checkpointing in (("LoRA", False), ("LoRA, gradient checkpointing", True)):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        seconds, memory = timed(step, repeat, device)
        rows.append((name, batch, f"{seconds:.3f}", f"{memory:.1f}"))
    model.gradient_checkpointing_disable()
    network.unload()
    model.eval()
    return "NVILA-Lite, one training step, rank 16", ("", "batch", "s/step", "peak GiB"), rows


@torch.inference_mode()
def precision(model: NVILALiteForConditionalGeneration, device: torch.device) -> TableParts:
    """Largest change of a label's probability when the same weights run in float32."""
    inputs = prompts(model, 1, device)
    half = model.score_labels(labels(), **inputs).softmax(-1)
    full = model.float()
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"].float()
    exact = full.score_labels(labels(), **inputs).softmax(-1)
    difference = float((half - exact).abs().max())
    return (
        "NVILA-Lite, bfloat16 against float32",
        ("largest difference of a probability",),
        [(f"{difference:.4f}",)],
    )
