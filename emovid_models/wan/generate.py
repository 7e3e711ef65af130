"""From orders to MP4s: the stage that generates videos, one per part."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine import Done, Executor, Ledger, Outcome, Part, Record, Resources, Serial, Stage
from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.store import Store, read_file
from emovid_dataset.terminal import Progress
from emovid_models.prompt_file import read_prompt_file
from emovid_models.remote.wan.conditioning import check_intensity
from emovid_models.remote.wan.inputs import check_prompt
from emovid_models.remote.wan.over_time import (
    EmotionOverTime,
    frame_rate_of,
    is_over_time,
    read_emotion,
)
from emovid_models.wan.frames import encode_video, read_image
from emovid_models.wan.loading import PipelineSource

if TYPE_CHECKING:
    import numpy as np

    from emovid_models.wan.loading import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One video to generate.

    Attributes:
        prompt: what it shows.
        emotion: a name, or a blend such as ``{"awe": 0.7, "fear": 0.3}``, or emotions over time such as
            ``{0: "sadness", 3.0: "awe"}``, or None.
        intensity: 0 for the base model, 1 as trained.
        content_type: "cartoon", "movie", "sticker" or None.
        image: path or URL of the first image, for I2V.
        seed: of the noise.
        out: name of the MP4 in its store.
    """

    prompt: str
    emotion: str | Mapping[str, float] | Mapping[float, str] | None = None
    intensity: float = 1.0
    content_type: str | None = None
    image: str | None = None
    seed: int = 0
    out: str


def read_orders(path: str | os.PathLike[str]) -> list[Order]:
    """Read what to generate from a file of prompts; an entry needs nothing but its prompt.

    Args:
        path: see `read_prompt_file`. A video is called ``out``, else after its ``id``, else ``0000-awe.mp4``
            and so on.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not such a file, or two videos would have one name.
    """
    orders: list[Order] = []
    places: dict[str, str] = {}
    for index, entry in enumerate(read_prompt_file(path)):
        mood = "-".join(_names(entry.emotion)) or "plain"
        out = entry.out or (f"{entry.id}.mp4" if entry.id is not None else f"{index:04d}-{mood}.mp4")
        if out in places:
            raise ValueError(f"{entry.place}: {out} is also the video of {places[out]}")
        places[out] = entry.place
        orders.append(
            Order(
                prompt=entry.prompt,
                emotion=entry.emotion,
                intensity=1.0 if entry.intensity is None else entry.intensity,
                content_type=entry.content_type,
                image=entry.image,
                seed=entry.seed or 0,
                out=out,
            )
        )
    return orders


def _names(emotion: str | Mapping[Any, Any] | None) -> Iterator[str]:
    """The emotions, in the order given."""
    if isinstance(emotion, Mapping):
        yield from emotion.values() if is_over_time(emotion) else emotion
    elif emotion is not None:
        yield emotion


def check_orders(orders: Sequence[Order], height: int, width: int) -> None:
    """Refuse what no pipeline can do, before one is loaded.

    Args:
        orders: what to generate.
        height: pixels of the videos.
        width: pixels of the videos.

    Raises:
        OSError: an image cannot be read.
        ValueError: a prompt, an emotion, an intensity, a content type or an image does not work, or only some
            orders have an image.
    """
    for order in orders:
        check_prompt(order.prompt)
        check_intensity(order.intensity)
        read_emotion(order.emotion)
        if order.content_type is not None and order.content_type not in CONTENT_TYPES:
            allowed = ", ".join(CONTENT_TYPES)
            raise ValueError(f"content_type {order.content_type!r} is unknown; allowed: {allowed}")
        if (order.image is None) != (orders[0].image is None):
            raise ValueError("either all prompts have an image or none has")
        if order.image is not None:
            if "://" not in order.image and not os.path.isfile(order.image):
                raise ValueError(f"image {order.image} does not exist")
            read_image(order.image, height, width)


def check_times(orders: Sequence[Order], num_frames: int, fps: float) -> None:
    """Refuse emotions over time whose times no frame shows.

    Args:
        orders: what to generate.
        num_frames: of each video.
        fps: how many are shown in a second.

    Raises:
        ValueError: a time is outside the video, or between two frames.
    """
    for order in orders:
        emotion = read_emotion(order.emotion)
        if isinstance(emotion, EmotionOverTime):
            emotion.check(num_frames, fps)


@dataclass(frozen=True, slots=True)
class VideoPart(Part):
    """The part of one video.

    Attributes:
        order: what to generate.
    """

    order: Order


@dataclass(frozen=True, slots=True)
class GenerateStage(Stage[VideoPart, "Pipeline"]):
    """Generate videos; what is there is left alone unless it is to be overwritten.

    The folder of a store that holds the videos holds the ledger too, as long as the job is not done.

    Attributes:
        pipeline: how a worker loads one; or a loaded one, for this process only.
        model: names base and LoRA, so that the videos of another model are told apart.
        orders: what to generate, no two under one name.
        options: arguments of every call, such as `height` or `num_frames`.
        overwrite: replace videos that are there.
        encode: makes a file of generated frames, float [T, H, W, 3] in 0..1, and of how many are shown in a
            second; picklable for other processes.
    """

    pipeline: PipelineSource | Pipeline
    model: str
    orders: tuple[Order, ...]
    options: Mapping[str, Any]
    overwrite: bool = False
    encode: Callable[[np.ndarray, int], bytes] = encode_video

    name = "generate"
    unit = "videos"
    ledger = ".generate"
    resources = Resources(gpu=True)

    def parts(self, store: Store) -> Iterator[VideoPart]:
        for order in self.orders:
            if self.overwrite or not store.exists(order.out):
                yield VideoPart(self.key(order), 1, 0, order)

    def key(self, order: Order) -> str:
        """Names a video by everything that it is made from."""
        image = None if order.image is None else hashlib.sha256(read_file(order.image)).hexdigest()
        made_from = {**asdict(order), "image": image, "model": self.model, "options": dict(self.options)}
        text = json.dumps(made_from, sort_keys=True, default=repr, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def setup(self, worker: int) -> Pipeline:
        return self.pipeline.load(worker) if isinstance(self.pipeline, PipelineSource) else self.pipeline

    def run(self, state: Pipeline, part: VideoPart, store: Store) -> Iterator[Record]:
        import torch

        order, call = part.order, dict(self.options)
        if order.image is not None:
            call["image"] = read_image(order.image, call["height"], call["width"])
        frames = state(
            prompt=order.prompt,
            emotion=order.emotion,
            intensity=order.intensity,
            content_type=order.content_type,
            generator=torch.Generator().manual_seed(order.seed),
            **call,
        ).frames[0]
        rate = frame_rate_of(getattr(state, "config", {}))
        store.put(order.out, self.encode(frames, rate))
        yield {"file": order.out}

    def is_whole(self, part: VideoPart, records: Iterable[Record], store: Store) -> bool:
        return store.exists(part.order.out)


def generate(
    pipeline: PipelineSource | Pipeline,
    orders: Sequence[Order],
    store: Store,
    *,
    model: str,
    engine: Executor | None = None,
    overwrite: bool = False,
    progress: bool = False,
    encode: Callable[[np.ndarray, int], bytes] = encode_video,
    **options: Any,
) -> frozenset[str]:
    """Generate the videos that are not there yet; an interrupted run is taken up by the same call.

    Args:
        pipeline: where workers load it from; or a loaded one, for use in this process only.
        orders: what to generate, no two under one name.
        store: where the videos go.
        model: names base and LoRA, see `PipelineSource.identity` and `version`.
        engine: who generates, by default this process.
        overwrite: replace videos that are there; each stays until the new one is complete.
        progress: show progress on stderr.
        encode: makes a file of generated frames and their rate, by default an MP4; what it depends on is
            part of `model`.
        **options: arguments of every call, such as `height` or `num_frames`.

    Returns:
        Names of the videos that were made now.

    Raises:
        StageError, OSError, ValueError: a pipeline cannot be loaded, or a video cannot be made.
    """
    engine = engine or Serial()
    if not isinstance(pipeline, PipelineSource):
        if not isinstance(engine, Serial):
            raise ValueError("a loaded pipeline works in this process only; workers need a PipelineSource")
        loaded: Any = pipeline
        loaded.set_progress_bar_config(disable=True)  # of the steps of each video; ours counts the videos
    stage = GenerateStage(pipeline, model, tuple(orders), options, overwrite, encode)
    made: set[str] = set()
    with Progress(len(orders), unit=stage.unit, title="Generating", enabled=progress) as bar:
        bar.update(len(orders) - sum(1 for _ in stage.parts(store)))

        def count(done: Done) -> None:
            if done.outcome is Outcome.DONE and isinstance(done.part, VideoPart):
                made.add(done.part.order.out)
            bar.update()

        engine.run(stage, store, on_done=count)
    _forget(stage, store)
    return frozenset(made)


def _forget(stage: GenerateStage, store: Store) -> None:
    """Remove the ledger of a job that is done; another job in the same folder keeps its own files."""
    ledger = Ledger(store, stage.ledger)
    if done := ledger.entries().done:
        for key in done.intersection(map(stage.key, stage.orders)):
            ledger.remove(key)
    if store.folder is not None:
        with suppress(OSError):
            (store.folder / stage.ledger).rmdir()
