"""Plan which clip falls into which bucket, and keep what the encoders make of it on disk.

    DIR/{fingerprint of the encoders}/clips/{clip}-{bucket}.safetensors     latents, I2V's condition and image
    DIR/{fingerprint of the encoders}/texts/{sha256}.safetensors            text embeddings

Every file is written under another name and then renamed, so that a file that is there is whole. Running
again encodes only what is missing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from emovid_dataset.media.video import decode
from emovid_dataset.read.loading import Selection
from emovid_dataset.schema.clip import Clip
from emovid_dataset.terminal import print_table
from emovid_models.remote.wan.inputs import check_frames, check_size
from emovid_models.remote.wan.lora import read_header, target_names, write_safetensors
from emovid_models.wan.encode import (
    FPS,
    STORED,
    TEXT_LENGTH,
    BaseOutline,
    Bucket,
    Encoders,
    Variant,
    fit,
    frame_indices,
    text_variants,
)

FRAMES = (1, 5, 9, 13, 17, 25, 33, 49, 65, 81)
"""Lengths of the buckets; each clip takes the longest that it fills."""

ASPECT_RATIOS = (4 / 3, 1.0, 3 / 4)
"""Shapes of the buckets beside the given size and its upright form."""


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip and the bucket it falls into.

    Attributes:
        index: of the clip in the selection.
        clip: its fields.
        bucket: the shape that it is cut to.
    """

    index: int
    clip: Clip
    bucket: Bucket

    @property
    def name(self) -> str:
        """The clip's name in the cache; it changes with the video's bytes and with the bucket."""
        return f"{self.clip.id}-{self.clip.sha256[:8]}-{self.bucket}"

    def texts(self) -> dict[Variant, str]:
        """The texts that the clip is trained with."""
        return text_variants(self.clip.caption, self.clip.emotion, self.clip.content_type)


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Where every clip of a selection goes.

    Attributes:
        clips: those that are used, in the order of the selection.
        dropped: those that are too short for the least length asked for.
        enlarged: number of clips that are smaller than their bucket.
    """

    clips: tuple[PlannedClip, ...]
    dropped: tuple[Clip, ...]
    enlarged: int

    def buckets(self) -> dict[Bucket, int]:
        """Clips per bucket, the largest shape first."""
        return dict(sorted(Counter(item.bucket for item in self.clips).items(), reverse=True))


def bucket_sizes(height: int, width: int, multiple: int = 16) -> list[tuple[int, int]]:
    """Frame sizes of about one area: as given, upright, 4:3, square and 3:4.

    Args:
        height: pixels.
        width: pixels.
        multiple: what both sides are rounded to.

    Returns:
        (height, width), without repetition.

    >>> bucket_sizes(480, 832)
    [(480, 832), (832, 480), (544, 736), (624, 624), (736, 544)]
    """
    sizes = [(height, width), (width, height)]
    for ratio in ASPECT_RATIOS:
        sides = (math.sqrt(height * width / ratio), math.sqrt(height * width * ratio))
        rows, columns = (max(multiple, round(side / multiple) * multiple) for side in sides)
        sizes.append((rows, columns))
    return list(dict.fromkeys(sizes))


def plan_cache(
    clips: Sequence[Clip],
    *,
    height: int,
    width: int,
    max_frames: int,
    min_frames: int = 1,
    multiple: int = 16,
) -> CachePlan:
    """Assign every clip to a bucket, from its fields alone.

    Args:
        clips: a selection's clips.
        height: pixels of the main frame size.
        width: pixels of the main frame size.
        max_frames: length of the longest bucket, 4k+1.
        min_frames: clips that are shorter at 16 frames per second are dropped; 1 drops none.
        multiple: what both sides must be multiples of.

    Raises:
        ValueError: a number that is not allowed, or no clip is left.
    """
    check_frames(max_frames)
    check_size(height, width, multiple)
    if not 1 <= min_frames <= max_frames:
        raise ValueError(f"min_frames {min_frames} is not in 1..{max_frames}")
    lengths = sorted({*(length for length in FRAMES if length < max_frames), max_frames})
    sizes = bucket_sizes(height, width, multiple)
    planned, dropped, enlarged = [], [], 0
    for index, clip in enumerate(clips):
        available = max(1, int(clip.num_frames / clip.fps * FPS + 1e-6))
        if available < min_frames:
            dropped.append(clip)
            continue
        frames = max(length for length in lengths if length <= available)
        rows, columns = min(
            sizes, key=lambda size: abs(math.log(size[1] * clip.height / size[0] / clip.width))
        )
        planned.append(PlannedClip(index, clip, Bucket(frames, rows, columns)))
        enlarged += clip.height < rows or clip.width < columns
    if not planned:
        raise ValueError(f"no clip to train on: {len(clips)} selected, {len(dropped)} dropped as too short")
    return CachePlan(tuple(planned), tuple(dropped), enlarged)


def estimate_disk(plan: CachePlan, base: BaseOutline) -> int:
    """Bytes that the full cache will take, without the files' headers.

    Args:
        plan: the clips.
        base: says how large latents, texts and images are.
    """
    videos = 2 if base.task == "i2v" else 1
    image = base.image_tokens * (base.transformer.config.image_dim or 0)
    numbers = sum(
        count * (videos * math.prod(base.latent_shape(bucket)) + image)
        for bucket, count in plan.buckets().items()
    )
    texts = sorted({text for item in plan.clips for text in item.texts().values()})
    tokens = base.tokenizer(texts, truncation=True, max_length=TEXT_LENGTH).input_ids
    numbers += sum(map(len, tokens)) * base.transformer.config.text_dim
    return numbers * STORED.itemsize


def estimate_memory(
    base: BaseOutline, bucket: Bucket, *, rank: int, batch_size: int, checkpointing: bool
) -> int:
    """Bytes of GPU memory that a training step takes, roughly.

    Weights in bfloat16; the adapter in float32 with its gradient and two moments; of each block its input
    with checkpointing, else all that the backward pass needs; and one block's working set.

    Args:
        base: the model.
        bucket: the clips' shape.
        rank: of the LoRA.
        batch_size: clips.
        checkpointing: whether blocks are computed again in the backward pass.
    """
    config = base.transformer.config
    adapter = 0
    for name in target_names(base.transformer):
        linear = base.transformer.get_submodule(name)
        adapter += rank * (linear.in_features + linear.out_features)
    _, frames, rows, columns = base.latent_shape(bucket)
    tokens = batch_size * frames * rows * columns // math.prod(config.patch_size)
    width = config.num_attention_heads * config.attention_head_dim
    block = tokens * (24 * width + 3 * config.ffn_dim) * 2
    kept = config.num_layers * (tokens * width * 2 if checkpointing else block)
    weights = sum(parameter.numel() for parameter in base.transformer.parameters())
    return weights * 2 + adapter * 16 + kept + block


def print_plan(
    plan: CachePlan, base: BaseOutline, *, rank: int, batch_size: int, checkpointing: bool
) -> None:
    """Print where the clips go and what that costs.

    Args:
        plan: the clips.
        base: the model.
        rank: of the LoRA.
        batch_size: clips a batch.
        checkpointing: as for `estimate_memory`.
    """
    rows: list[tuple[object, ...]] = []
    for bucket, count in plan.buckets().items():
        memory = estimate_memory(base, bucket, rank=rank, batch_size=batch_size, checkpointing=checkpointing)
        shape = "x".join(map(str, base.latent_shape(bucket)))
        rows.append(
            (bucket.frames, f"{bucket.width}x{bucket.height}", count, shape, round(memory / 2**30, 1))
        )
    print_table("Buckets", ("frames", "size", "clips", "latents", "GPU memory, about GiB"), rows)
    print(
        f"{len(plan.clips)} clips, {len(plan.dropped)} dropped as too short, {plan.enlarged} enlarged; "
        f"the cache takes about {estimate_disk(plan, base) / 2**20:.1f} MiB"
    )


def padded(text: torch.Tensor) -> torch.Tensor:
    """Fill a text's embeddings [L, D] up with zeros to [512, D], as the stock pipelines do."""
    return torch.cat([text, text.new_zeros(TEXT_LENGTH - text.shape[0], text.shape[1])])


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded clip with one of its texts.

    Attributes:
        latents: bfloat16 [C, T', H', W'].
        text: bfloat16 [512, D], zeros after the last token.
        condition: bfloat16 [C, T', H', W'] of the first frame, or None for T2V.
        image: bfloat16 [N, D] of the image encoder, or None.
    """

    latents: torch.Tensor
    text: torch.Tensor
    condition: torch.Tensor | None
    image: torch.Tensor | None

    @classmethod
    def of(cls, video: dict[str, torch.Tensor], text: torch.Tensor) -> Sample:
        """Put an encoded clip and an unpadded text [L, D] together."""
        return cls(video["latents"], padded(text), video.get("condition"), video.get("image"))


class SampleSource(Protocol):
    """Where the training loop gets its samples from."""

    def load(self, item: PlannedClip, variant: Variant) -> Sample:
        """The encoded clip with that text."""
        ...


class EncodedOnTheFly:
    """Samples without a cache: decoded and encoded whenever they are asked for.

    Args:
        selection: the clips.
        encoders: of the base.
    """

    def __init__(self, selection: Selection, encoders: Encoders) -> None:
        self.selection, self.encoders = selection, encoders

    def load(self, item: PlannedClip, variant: Variant) -> Sample:
        """Decode and encode a clip and its text."""
        video = self.encoders.encode_video(clip_pixels(self.selection[item.index].video, item))
        return Sample.of(video, self.encoders.encode_text(item.texts()[variant]))


class LatentCache:
    """Encoded clips and texts on disk.

    Args:
        folder: the folder of one fingerprint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clip_path(self, item: PlannedClip) -> Path:
        """The file of a clip in its bucket."""
        return self.folder / "clips" / f"{item.name}.safetensors"

    def text_path(self, text: str) -> Path:
        """The file of a text."""
        return self.folder / "texts" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def load(self, item: PlannedClip, variant: Variant) -> Sample:
        """Read a clip and its text.

        Raises:
            ValueError: a file is missing or cut short.
        """
        return Sample.of(self._read(self.clip_path(item)), self.text(item.texts()[variant]))

    def text(self, text: str) -> torch.Tensor:
        """Read the embeddings [L, D] of a text."""
        return self._read(self.text_path(text))["text"]

    def _read(self, path: Path) -> dict[str, torch.Tensor]:
        if not path.is_file():
            raise ValueError(f"{path} is missing from the cache; run the same command again to encode it")
        read_header(path)
        return load_file(path)

    def is_complete(self, plan: CachePlan) -> bool:
        """Whether every clip and text of a plan is there and whole."""
        texts = {text for item in plan.clips for text in item.texts().values()}
        paths = [self.clip_path(item) for item in plan.clips] + [self.text_path(text) for text in texts]
        return all(_is_whole(path) for path in paths)

    def fill(
        self,
        plan: CachePlan,
        selection: Selection,
        encoders: Encoders,
        *,
        rank: int = 0,
        world: int = 1,
        done: Callable[[int], None] = lambda size: None,
    ) -> FilledCache:
        """Encode whatever is missing or damaged.

        Args:
            plan: the clips.
            selection: gives their videos.
            encoders: of the base.
            rank: of this process; each takes every `world`-th clip.
            world: number of processes.
            done: called after each clip with the bytes written.

        Returns:
            What was done.

        Raises:
            ValueError: a clip's video is damaged.
        """
        reused = repaired = encoded = 0
        texts = {text for item in plan.clips for text in item.texts().values()}
        for text in sorted(texts)[rank::world]:
            if not _is_whole(self.text_path(text)):
                write_safetensors(self.text_path(text), {"text": encoders.encode_text(text)}, {"of": text})
        for item in plan.clips[rank::world]:
            path = self.clip_path(item)
            if _is_whole(path):
                reused += 1
                done(0)
                continue
            repaired += path.exists()
            encoded += not path.exists()
            pixels = clip_pixels(selection[item.index].video, item)
            write_safetensors(path, encoders.encode_video(pixels))
            done(path.stat().st_size)
        return FilledCache(encoded, reused, repaired)


@dataclass(frozen=True, slots=True)
class FilledCache:
    """What filling the cache did.

    Attributes:
        encoded: clips that were not there.
        reused: clips that were there.
        repaired: clips whose file was damaged and is now whole.
    """

    encoded: int
    reused: int
    repaired: int


def clip_pixels(video: bytes, item: PlannedClip) -> torch.Tensor:
    """Decode the frames of a clip that its bucket holds.

    Args:
        video: the bytes of an MP4.
        item: says which frames and which size.

    Returns:
        uint8 [T, 3, H, W] of the bucket's shape.

    Raises:
        ValueError: the video is damaged.
    """
    try:
        frames = decode(
            video, frames=lambda count: frame_indices(count, item.clip.fps, item.bucket.frames), threads=2
        )
    except ValueError as error:
        raise ValueError(f"clip {item.clip.id} cannot be decoded: {error}") from error
    return fit(frames, item.bucket.height, item.bucket.width)


def _is_whole(path: Path) -> bool:
    """Whether a cache file is there and as long as its header says; safetensors checks that on opening."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt"):
            return True
    except Exception:
        return False
