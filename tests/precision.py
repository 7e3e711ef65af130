"""How the tests run a model otherwise than in float32 on the CPU: compiled, in half precision, on cuda.

A tolerance is relative, by norm: bfloat16 rounds to 8 bits (0.4 %), float16 to 11 (0.05 %), and the errors of
some layers add up.
"""

from __future__ import annotations

import pytest
import torch

TOLERANCES = {"float32": 1e-3, "compiled": 1e-3, "float16": 1e-2, "bfloat16": 4e-2}
"""Relative error that each way may have against float32 on the CPU; sums are in another order on cuda."""

WAYS = [
    *(pytest.param("cpu", way, id=f"cpu-{way}") for way in ("compiled", "float16", "bfloat16")),
    *(
        pytest.param(
            "cuda",
            way,
            id=f"cuda-{way}",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        )
        for way in TOLERANCES
    ),
]
"""Device and way; what needs a CUDA device is marked so."""


def dtype_of(way: str) -> torch.dtype:
    return getattr(torch, way, torch.float32)


def compile_in_place(module: torch.nn.Module, device: str) -> None:
    """As `module.compile()`; on the CPU graphs are captured but no C++ compiler is asked for."""
    torch._dynamo.reset()
    module.compile(backend="inductor" if device == "cuda" else "aot_eager")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of what is expected; not finite if anything found is not."""
    found, expected = found.detach().cpu().float(), expected.detach().cpu().float()
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


def check(found: torch.Tensor, expected: torch.Tensor, way: str, what: str) -> None:
    """Refuse too large an error; a gradient, rounded on the way back too, may have three times as much."""
    error = relative_error(found, expected)
    allowed = TOLERANCES[way] * (3 if what == "gradient" else 1)
    assert error <= allowed, f"{what}: {way} differs by {error:.2g}, allowed is {allowed}"
