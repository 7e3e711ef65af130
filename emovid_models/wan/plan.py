"""Plan which clip falls into which bucket, and what that costs in disk and memory."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

from emovid_dataset.schema.clip import Clip
from emovid_models.remote.wan.conditioning import DEFAULT_WORDING
from emovid_models.remote.wan.inputs import check_frames, check_size
from emovid_models.remote.wan.modules import TARGETS, target_names
from emovid_models.wan.balance import balanced
from emovid_models.wan.encode import (
    FPS,
    STORED,
    TEXT_LENGTH,
    VARIANTS,
    BaseOutline,
    Bucket,
    Variant,
    text_variants,
)

FRAMES = (1, 5, 9, 13, 17, 25, 33, 49, 65, 81)
"""Lengths of the buckets; each clip takes the longest that it fills."""

ASPECT_RATIOS = (4 / 3, 1.0, 3 / 4)
"""Shapes of the buckets beside the given size and its upright form."""


FittedCaption = Callable[[str, Callable[[str], Iterable[str]]], str]
"""From a caption, and what makes texts of a caption, to a caption whose texts the encoder takes whole."""


@dataclass(frozen=True, slots=True)
class BucketedClip:
    """A clip and the bucket it falls into.

    Attributes:
        index: of the clip in the selection.
        clip: its fields.
        bucket: the shape that it is cut to.
        wording: of its texts.
        variants: the parts of its text that are used.
        framing: which frames are seen, see `FRAMINGS`.
    """

    index: int
    clip: Clip
    bucket: Bucket
    wording: str = DEFAULT_WORDING
    variants: tuple[Variant, ...] = VARIANTS
    framing: str = "buckets"

    @property
    def name(self) -> str:
        """The clip's name in the cache; it changes with the video's bytes, the bucket and the framing."""
        name = f"{self.clip.id}-{self.clip.sha256[:8]}-{self.bucket}"
        return f"{name}-first" if self.framing == "prefix" else name

    def texts(self) -> dict[Variant, str]:
        """The texts that the clip is trained with."""
        texts = text_variants(self.clip.caption, self.clip.emotion, self.clip.content_type, self.wording)
        return {variant: texts[variant] for variant in self.variants}

    def texts_of(self, caption: str) -> list[str]:
        """The texts that the clip would be trained with under another caption."""
        return list(replace(self, clip=replace(self.clip, caption=caption)).texts().values())


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Where every clip of a selection goes.

    Attributes:
        clips: those that are used, in the order of the selection.
        dropped: those that are too short for the least length asked for.
        enlarged: number of clips that are smaller than their bucket.
        left_out: number of clips beyond the most of their content type.
        shortened: number of clips whose caption is cut at its end, so that the emotion's sentence is read.
    """

    clips: tuple[BucketedClip, ...]
    dropped: tuple[Clip, ...]
    enlarged: int
    left_out: int = 0
    shortened: int = 0

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
    wording: str = DEFAULT_WORDING,
    variants: tuple[Variant, ...] = VARIANTS,
    framing: str = "buckets",
    max_per_type: Mapping[str, int] = MappingProxyType({}),
    seed: int = 0,
    fitted: FittedCaption | None = None,
) -> CachePlan:
    """Assign every clip to a bucket, from its fields alone.

    Args:
        clips: a selection's clips.
        height: pixels of the main frame size.
        width: pixels of the main frame size.
        max_frames: length of the longest bucket, 4k+1.
        min_frames: clips that are shorter are dropped, at 16 frames per second where the framing is
            "buckets"; 1 drops none.
        multiple: what both sides must be multiples of.
        wording: of the clips' texts.
        variants: the parts of the clips' texts that are used.
        framing: "buckets" fills several lengths and shapes at 16 frames per second; "prefix" takes the first
            4n+1 frames in one shape.
        max_per_type: at most so many clips of a content type, see `balanced`; of those that are not dropped.
        seed: of that choice.
        fitted: shortens a caption until the texts made of it fit into the text encoder, see
            `BaseOutline.fitted`; None leaves captions as they are.

    Raises:
        ValueError: a number that is not allowed, or no clip is left.
    """
    check_frames(max_frames)
    check_size(height, width, multiple)
    if not 1 <= min_frames <= max_frames:
        raise ValueError(f"min_frames {min_frames} is not in 1..{max_frames}")
    prefix = framing == "prefix"
    lengths = range(1, max_frames + 1, 4) if prefix else [*(n for n in FRAMES if n < max_frames), max_frames]
    sizes = [(height, width)] if prefix else bucket_sizes(height, width, multiple)
    planned, dropped = [], []
    for index, clip in enumerate(clips):
        available = clip.num_frames if prefix else max(1, int(clip.num_frames / clip.fps * FPS + 1e-6))
        if available < min_frames:
            dropped.append(clip)
            continue
        frames = max(length for length in lengths if length <= available)
        rows, columns = min(
            sizes, key=lambda size: abs(math.log(size[1] * clip.height / size[0] / clip.width))
        )
        planned.append(BucketedClip(index, clip, Bucket(frames, rows, columns), wording, variants, framing))
    if not planned:
        raise ValueError(f"no clip to train on: {len(clips)} selected, {len(dropped)} dropped as too short")
    chosen = [planned[place] for place in balanced([item.clip for item in planned], max_per_type, seed)]
    shortened = 0
    if fitted is not None:
        captions = [fitted(item.clip.caption, item.texts_of) for item in chosen]
        shortened = sum(caption != item.clip.caption for caption, item in zip(captions, chosen, strict=True))
        chosen = [
            replace(item, clip=replace(item.clip, caption=caption))
            for caption, item in zip(captions, chosen, strict=True)
        ]
    enlarged = sum(
        item.clip.height < item.bucket.height or item.clip.width < item.bucket.width for item in chosen
    )
    return CachePlan(tuple(chosen), tuple(dropped), enlarged, len(planned) - len(chosen), shortened)


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
    texts = _different(text for item in plan.clips for text in item.texts().values())
    while some := list(islice(texts, 1000)):
        tokens = base.tokenizer(some, truncation=True, max_length=TEXT_LENGTH).input_ids
        numbers += sum(map(len, tokens)) * base.transformer.config.text_dim
    return numbers * STORED.itemsize


def _different(texts: Iterable[str]) -> Iterator[str]:
    """Each text once; what is kept of those that were seen does not grow with their length."""
    seen: set[bytes] = set()
    for text in texts:
        digest = hashlib.sha256(text.encode()).digest()[:16]
        if digest not in seen:
            seen.add(digest)
            yield text


def estimate_memory(
    base: BaseOutline, bucket: Bucket, *, modules: str, rank: int, batch_size: int, checkpointing: bool
) -> int:
    """Bytes of GPU memory that a training step takes, roughly.

    Weights in bfloat16; the adapter in float32 with its gradient and two moments; of each block its input
    with checkpointing, else all that the backward pass needs; and one block's working set.

    Args:
        base: the model.
        bucket: the clips' shape.
        modules: which the LoRA is trained on, a key of `TARGETS`.
        rank: of the LoRA.
        batch_size: clips.
        checkpointing: whether blocks are computed again in the backward pass.
    """
    config = base.transformer.config
    adapter = 0
    for name in target_names(base.transformer, TARGETS[modules]):
        linear = base.transformer.get_submodule(name)
        adapter += rank * (linear.in_features + linear.out_features)
    _, frames, rows, columns = base.latent_shape(bucket)
    tokens = batch_size * frames * rows * columns // math.prod(config.patch_size)
    width = config.num_attention_heads * config.attention_head_dim
    block = tokens * (24 * width + 3 * config.ffn_dim) * 2
    kept = config.num_layers * (tokens * width * 2 if checkpointing else block)
    weights = sum(parameter.numel() for parameter in base.transformer.parameters())
    return weights * 2 + adapter * 16 + kept + block
