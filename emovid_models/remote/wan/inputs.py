"""What a Wan2.1 pipeline can be given, and one clear line for what it cannot.

The stock pipelines round a wrong number of frames, stretch an image of another shape and trust a VAE's
configured scale factors; here each of these is refused. Part of the pipelines' remote code.
"""

from __future__ import annotations

from typing import Any


def check_prompt(prompt: str | list[str] | None) -> None:
    """Refuse a prompt that says nothing.

    Args:
        prompt: one text, several, or None where embeddings are given instead.

    Raises:
        ValueError: a text is empty.
    """
    for text in [prompt] if isinstance(prompt, str) else prompt or []:
        if isinstance(text, str) and not text.strip():
            raise ValueError(f"prompt {prompt!r} is empty; say what the video shows")


def check_frames(num_frames: int, temporal_factor: int = 4) -> None:
    """Refuse a number of frames that the VAE cannot hold.

    Args:
        num_frames: frames of the video.
        temporal_factor: frames of one latent frame after the first.

    Raises:
        ValueError: the number is not a multiple of the factor plus one.

    >>> check_frames(81)
    >>> check_frames(80)
    Traceback (most recent call last):
    ...
    ValueError: num_frames 80 is not 4k+1; the nearest are 77 and 81
    """
    if num_frames < 1 or num_frames % temporal_factor != 1 % temporal_factor:
        below = max(1, (num_frames - 1) // temporal_factor * temporal_factor + 1)
        raise ValueError(
            f"num_frames {num_frames} is not {temporal_factor}k+1; "
            f"the nearest are {below} and {max(1, below + temporal_factor)}"
        )


def check_size(height: int, width: int, multiple: int = 16) -> None:
    """Refuse a frame size that does not divide into patches.

    Args:
        height: pixels.
        width: pixels.
        multiple: the VAE's spatial factor times the transformer's patch size.

    Raises:
        ValueError: a side is not a positive multiple.

    >>> check_size(480, 833)
    Traceback (most recent call last):
    ...
    ValueError: width 833 is not a multiple of 16; the nearest are 832 and 848
    """
    for name, value in (("height", height), ("width", width)):
        if value < multiple or value % multiple:
            below = max(multiple, value // multiple * multiple)
            nearest = f"{below} and {below + multiple}"
            raise ValueError(f"{name} {value} is not a multiple of {multiple}; the nearest are {nearest}")


def check_image(image: Any, height: int, width: int, *, name: str = "image") -> None:
    """Refuse a first image whose shape is not that of the video, since it would be stretched.

    Args:
        image: a PIL image or a tensor [..., H, W]; of anything else the stock pipeline names the type.
        height: pixels of the video.
        width: pixels of the video.
        name: the argument's name for the message.

    Raises:
        ValueError: the two aspect ratios differ by more than the 5 % that rounding to 16 pixels explains.
    """
    import torch  # only here: the commands check their arguments without it

    size = getattr(image, "size", None)
    if isinstance(image, torch.Tensor) and image.ndim >= 2:
        rows, columns = image.shape[-2:]
    elif isinstance(size, tuple):
        columns, rows = size
    else:
        return
    if rows < 1 or columns < 1 or abs(columns * height / (rows * width) - 1) > 0.05:
        raise ValueError(
            f"{name} is {columns}x{rows} but the video is {width}x{height}: crop the image to that shape, "
            "or give height and width of the image's shape"
        )


def check_vae(config: Any) -> None:
    """Refuse a VAE whose configured scale factors are not those of its layers.

    diffusers sizes the latents by the configured numbers alone; where they are wrong, the video silently
    comes out in another size.

    Args:
        config: of an `AutoencoderKLWan`.

    Raises:
        ValueError: a configured factor contradicts the layers.
    """
    spatial = 2 ** (len(config.dim_mult) - 1) * (config.patch_size or 1)
    temporal = 2 ** sum(bool(step) for step in config.temperal_downsample)
    for name, actual in (("scale_factor_spatial", spatial), ("scale_factor_temporal", temporal)):
        configured = getattr(config, name)
        if configured != actual:
            raise ValueError(f"the VAE's {name} is {configured}, but its layers scale by {actual}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory ran out, on a device or on the CPU."""
    kind = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or kind or "can't allocate memory" in str(error)
