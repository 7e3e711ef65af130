"""What a call of the pipeline is given: options in their range, and one video or several."""

from __future__ import annotations

import functools
import math
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image


def whole_number(name: str, value: Any) -> int | None:
    """Read an option that is None or a whole number from 1 up.

    Args:
        name: of the option.
        value: as given.

    Raises:
        ValueError: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}; allowed: a whole number, at least 1")
    return int(value)


def share(name: str, value: Any) -> float | None:
    """Read an option that is None or a number from 0 to 1.

    Args:
        name: of the option.
        value: as given.

    Raises:
        ValueError: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} is {value!r}; allowed: a number from 0 to 1")
    return float(value)


def seconds(name: str, value: Any) -> float | None:
    """Read an option that is None or a length of time.

    Args:
        name: of the option.
        value: as given.

    Raises:
        ValueError: it is neither.
    """
    if value is None:
        return None
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} is {value!r}; allowed: seconds, a number above 0")
    return float(value)


def one_or_several(inputs: Any) -> tuple[bool, Iterator[Any]]:
    """Whether several videos are given, and the videos.

    Args:
        inputs: see `VideoEmotionPipeline.__call__`.

    Raises:
        ValueError: it is neither a video nor several.
    """
    if isinstance(inputs, (np.ndarray, torch.Tensor)):
        return (True, iter(inputs)) if inputs.ndim == 5 else (False, iter([inputs]))
    single = (str, bytes, bytearray, memoryview, os.PathLike, Mapping, Image.Image)
    if isinstance(inputs, single) or callable(inputs) or hasattr(inputs, "get_frames_at"):
        return False, iter([inputs])
    if isinstance(inputs, (list, tuple)):
        frames = bool(inputs) and all(
            isinstance(item, Image.Image) or getattr(item, "ndim", 0) == 3 for item in inputs
        )
        return (False, iter([inputs])) if frames else (True, iter(inputs))
    if hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__"):
        rows = getattr(inputs, "iloc", inputs)  # a pandas series finds by label, its `iloc` by place
        return True, (functools.partial(rows.__getitem__, place) for place in range(len(inputs)))
    if isinstance(inputs, Iterable):
        return True, iter(inputs)
    raise ValueError(
        f"inputs is a {type(inputs).__name__}; allowed: a video or several (path, address, bytes, array, "
        "tensor, list, tuple, dataset, iterator)"
    )
