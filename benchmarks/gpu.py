"""True sizes with random weights on one CUDA card of 24 GB or more: times, memory, bfloat16 against float32.

    python -m benchmarks.gpu                  # every part; writes benchmarks/GPU.md
    python -m benchmarks.gpu --quick          # the same with fewer repeats, within 10 minutes on an H100
    python -m benchmarks.gpu --part wan       # one part, printed only
    python -m benchmarks.gpu --tiny           # a dry run at toy size, on the CPU too, printed only

Nothing is downloaded: speed and memory do not depend on what the weights say. Each part is a function that
yields tables; `PARTS` lists them.
"""

from __future__ import annotations

import argparse
import datetime
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from emovid_dataset.terminal import print_table

REPORT = Path(__file__).with_name("GPU.md")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        title: what was measured and how.
        columns: headings.
        rows: cells.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def measure(work: Callable[[], object], repeat: int, device: torch.device) -> tuple[float, float]:
    """Median seconds of a call after one to warm up, and peak GPU memory in GiB (0 on the CPU)."""
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


# Wan2.1 1.3B


@dataclass(frozen=True, slots=True)
class WanSize:
    """Configs of a base, and the clip it is measured on."""

    transformer: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    frames: int
    height: int
    width: int
    repeat: int


WAN_1_3B = WanSize(
    transformer={
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "text_dim": 4096,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
    vae={},
    text={
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
    },
    frames=81,
    height=480,
    width=832,
    repeat=3,
)
WAN_TINY = WanSize(
    transformer={
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "text_dim": 32,
        "ffn_dim": 128,
        "num_layers": 2,
    },
    vae={"base_dim": 4, "num_res_blocks": 1},
    text={"vocab_size": 256, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
    frames=5,
    height=32,
    width=48,
    repeat=2,
)


def random_on(device: torch.device, dtype: torch.dtype, make: Callable[[], Any]) -> Any:
    """Make a model with random weights directly on a device and in a type."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return make().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)


def keep_in_float32(transformer: Any) -> Any:
    """Put the modules back into float32 that `from_pretrained` leaves there."""
    for name, parameter in transformer.named_parameters():
        if any(kept in name.split(".") for kept in transformer._keep_in_fp32_modules):
            parameter.data = parameter.data.float()
    return transformer


def wan_pipeline(size: WanSize, device: torch.device, dtype: torch.dtype) -> Any:
    """An `EmoVidWanPipeline` of that size with random weights; the VAE in float32."""
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
    from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

    from emovid_models.wan import EmoVidWanPipeline

    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:-"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pipe: Any = EmoVidWanPipeline(
        tokenizer=T5TokenizerFast(vocab=[*special, *letters], extra_ids=0),
        text_encoder=random_on(device, dtype, lambda: UMT5EncoderModel(UMT5Config(**size.text))),
        vae=random_on(device, torch.float32, lambda: AutoencoderKLWan(**size.vae)),
        transformer=keep_in_float32(
            random_on(device, dtype, lambda: WanTransformer3DModel(**size.transformer))
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def wan(device: torch.device, tiny: bool, quick: bool = False) -> Iterator[Table]:
    """Wan2.1 1.3B at 480p and 81 frames: guidance and LoRA step, compiled and not, and bfloat16."""
    size = WAN_TINY if tiny else WAN_1_3B
    if quick:
        size = replace(size, repeat=2)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    pipe = wan_pipeline(size, device, dtype)
    yield wan_guidance(pipe, size, device)
    yield wan_training(pipe, size, device, dtype)
    del pipe
    if device.type == "cuda":
        torch.cuda.empty_cache()
    yield wan_precision(size, device)


def compile_blocks(transformer: Any) -> None:
    """Compile the transformer's blocks, which are alike, as diffusers recommends: one of them for all."""
    torch._dynamo.reset()
    transformer.compile_repeated_blocks()


def leave_blocks_uncompiled(transformer: Any) -> None:
    """Run the blocks as they are again."""
    for module in transformer.modules():
        module._compiled_call_impl = None


def wan_guidance(pipe: Any, size: WanSize, device: torch.device) -> Table:
    """Seconds of a denoising step: plain and emotion guidance, with the blocks as they are and compiled."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("plain guidance", {}),
        ("emotion guidance, intensity 1", {"emotion": "awe"}),
        ("emotion guidance, intensity 1.5", {"emotion": "awe", "intensity": 1.5}),
    ]
    plans = [*kinds, *((f"{name}, compiled", options) for name, options in kinds)]
    steps = size.repeat + 1
    rows: list[tuple[object, ...]] = []
    plain = 0.0
    for index, (name, options) in enumerate(plans):
        if index == len(kinds):
            compile_blocks(pipe.transformer)
        stamps: list[float] = []

        def stamp(
            _: Any, __: int, ___: Any, tensors: dict[str, Any], to: list[float] = stamps
        ) -> dict[str, Any]:
            if device.type == "cuda":
                torch.cuda.synchronize()
            to.append(time.perf_counter())
            return tensors

        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        pipe(
            prompt="a cat on a roof",
            height=size.height,
            width=size.width,
            num_frames=size.frames,
            num_inference_steps=steps,
            output_type="latent",
            callback_on_step_end=stamp,
            **options,
        )
        peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
        # The first step, in which it is compiled, stands before the first stamp.
        seconds = statistics.median(after - before for before, after in pairwise(stamps))
        plain = plain or seconds
        rows.append((name, f"{seconds:.3f}", f"{seconds / plain:.2f}", f"{peak:.1f}"))
    leave_blocks_uncompiled(pipe.transformer)
    title = f"Denoising, {size.width}x{size.height}, {size.frames} frames, median of {steps - 1} steps"
    return Table(title, ("", "s/step", "ratio", "peak GiB, text encoder included"), rows)


def wan_training(pipe: Any, size: WanSize, device: torch.device, dtype: torch.dtype) -> Table:
    """Seconds and memory of a LoRA step with cached samples, and with encoding in every step."""
    from diffusers import WanPipeline
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    from emovid_models.remote.wan.conditioning import conditioning_text
    from emovid_models.remote.wan.modules import TARGET_MODULES
    from emovid_models.wan.batches import Draw
    from emovid_models.wan.cache import Sample
    from emovid_models.wan.encode import BaseOutline, Encoders
    from emovid_models.wan.train_lora import flow_matching_loss

    transformer, parts = pipe.transformer, dict(pipe.components)
    stock: Any = WanPipeline(**{**parts, "transformer": None})
    outline = BaseOutline("random", None, "t2v", pipe.vae, transformer, pipe.tokenizer, 0, 3.0)
    encoders = Encoders(stock, outline)
    transformer.add_adapter(LoraConfig(r=32, lora_alpha=32, target_modules=TARGET_MODULES))
    cast_training_params(transformer, torch.float32)
    transformer.enable_gradient_checkpointing()
    transformer.train()
    optimizer = torch.optim.AdamW([p for p in transformer.parameters() if p.requires_grad], 1e-4)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (size.frames, 3, size.height, size.width), dtype=torch.uint8, generator=generator
    )
    text = conditioning_text("a cat on a roof", "awe")

    def encode() -> Sample:
        return Sample.of(encoders.encode_video(pixels), encoders.encode_text(text))

    def step(sample: Sample) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = flow_matching_loss(transformer, [sample], [Draw("whole", 0.5, 1)], 3.0, dtype)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    try:
        slow, large = measure(lambda: step(encode()), size.repeat, device)
    except torch.OutOfMemoryError:
        slow, large = math.nan, math.nan
        optimizer.zero_grad()
    cached = encode()
    # With caches the encoders are never loaded.
    for part in ("vae", "text_encoder"):
        getattr(pipe, part).to("cpu")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    fast, small = measure(lambda: step(cached), size.repeat, device)
    compile_blocks(transformer)
    compiled, compiled_memory = measure(lambda: step(cached), size.repeat, device)
    rows: list[tuple[object, ...]] = [
        ("with caches", f"{fast:.2f}", "1.00", f"{small:.1f}"),
        ("with caches, compiled", f"{compiled:.2f}", f"{compiled / fast:.2f}", f"{compiled_memory:.1f}"),
        ("without caches", f"{slow:.2f}", f"{slow / fast:.2f}", f"{large:.1f}"),
    ]
    if math.isnan(slow):
        rows[-1] = ("without caches", "out of memory", "-", "out of memory")
    title = f"LoRA step, rank 32, {size.width}x{size.height}, {size.frames} frames, median of {size.repeat}"
    return Table(title, ("", "s/step", "ratio", "peak GiB"), rows)


PRECISION = 0.03
"""Relative error allowed to a bfloat16 prediction of the transformer."""


def wan_precision(size: WanSize, device: torch.device) -> Table:
    """One prediction in bfloat16 against the same in float32, by norm."""
    from diffusers import WanTransformer3DModel

    exact = random_on(device, torch.float32, lambda: WanTransformer3DModel(**size.transformer))
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 16, 5, size.height // 8, size.width // 8, generator=generator).to(device)
    text = torch.randn(1, 512, size.transformer["text_dim"], generator=generator).to(device)
    time_ = torch.tensor([500.0], device=device)
    with torch.no_grad():
        expected = exact(latents, time_, text, return_dict=False)[0]
        half = torch.bfloat16
        for parameter in exact.parameters():
            parameter.data = parameter.data.to(half)
        rounded = keep_in_float32(exact)
        found = rounded(latents.to(half), time_, text.to(half), return_dict=False)[0].float()
    error = ((found - expected).norm() / expected.norm()).item()
    if error > PRECISION:
        raise ValueError(f"bfloat16 differs from float32 by {error:.4f}, allowed is {PRECISION}")
    return Table(
        "Transformer, bfloat16 against float32",
        ("relative error", "allowed"),
        [(f"{error:.4f}", PRECISION)],
    )


def nvila(device: torch.device, tiny: bool, quick: bool = False) -> Iterator[Table]:
    """NVILA-Lite: scoring labels against generating, training, bfloat16 against float32."""
    from benchmarks.gpu_nvila import nvila as measure

    return (Table(*parts) for parts in measure(device, tiny, quick))


PARTS: dict[str, Callable[[torch.device, bool, bool], Iterator[Table]]] = {"nvila": nvila, "wan": wan}
"""Every part takes the device, whether to run at toy size and whether to be quick, and
yields tables."""


def main() -> int:
    """Run the parts, print their tables and, for a full run at true size, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="only this part")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--report", type=Path, default=REPORT, help="file of a run of all parts at true size")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.tiny:
        print("gpu.py: no CUDA device; --tiny runs on the CPU", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    chapters = [f"# Measured on {card}, {today}, torch {torch.__version__}\n"]
    for name in arguments.part or PARTS:
        for table in PARTS[name](device, arguments.tiny, arguments.quick):
            print_table(f"{table.title} ({card})", table.columns, table.rows)
            chapters.append(table.markdown())
            if not arguments.tiny and not arguments.part:
                arguments.report.write_text("\n".join(chapters), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
