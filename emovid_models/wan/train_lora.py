"""Train an emotion LoRA for Wan2.1: plan, cache, then one loop that can be read from top to bottom.

Everything random in a step (which clips, which noise, which time, which part of the text) is a function of
the seed and of the step's number. So a run that goes on from a checkpoint takes the same steps as one that
was never interrupted, and two processes with one clip each take the same steps as one process with two.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import WanTransformer3DModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig, set_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file

from emovid_dataset import __version__
from emovid_dataset.read.loading import Selection, select
from emovid_dataset.read.location import Location
from emovid_dataset.terminal import Progress
from emovid_models.remote.wan.conditioning import MOODS, WORDING_VERSION, conditioning_text
from emovid_models.remote.wan.inputs import is_out_of_memory
from emovid_models.remote.wan.lora import (
    TARGET_MODULES,
    WEIGHT_NAME,
    LoraFacts,
    adapter_tensors,
    export_comfyui,
    read_facts,
    read_header,
    write_lora,
    write_safetensors,
)
from emovid_models.wan.cache import (
    CachePlan,
    EncodedOnTheFly,
    LatentCache,
    PlannedClip,
    Sample,
    SampleSource,
    clip_pixels,
    padded,
    plan_cache,
    print_plan,
)
from emovid_models.wan.encode import (
    TASKS,
    VARIANTS,
    BaseOutline,
    Bucket,
    Encoders,
    Variant,
    dtype_option,
    transformer_input,
)
from emovid_models.wan.generate import write_video

COMFYUI_NAME = "comfyui_lora_weights.safetensors"
CHECKPOINTS = "checkpoints"
SETTINGS_KEY = "settings"
NUMBERS_KEY = "numbers"
TIMESTEPS = 1000
"""The transformer is told the noise level on this scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """How a LoRA is trained.

    Attributes:
        task: "t2v" or "i2v".
        data: a build: its folder, or a Hub repo.
        base: the base model, a folder or a Hub repo in the layout of diffusers.
        out: the output folder.
        base_revision: of the base's Hub repo.
        split: of the data.
        content_type: only clips of this type, or None for all.
        cache: where encoded clips are kept; None for ``OUT/cache``.
        use_cache: False encodes every clip again at every step.
        steps: optimizer steps.
        batch_size: clips of one bucket that go through the transformer together.
        accumulation: batches whose gradients are averaged, on each process.
        learning_rate: of AdamW, after `warmup` steps of rising.
        warmup: steps.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this norm.
        rank: of the LoRA.
        alpha: of the LoRA; its weight is alpha / rank.
        height: pixels of the main frame size, a multiple of 16.
        width: pixels of the main frame size, a multiple of 16.
        max_frames: longest bucket, 4k+1.
        min_frames: shorter clips are dropped; 1 drops none.
        emotion_dropout: share of samples that keep only the caption.
        caption_dropout: share of samples that keep only the emotion.
        text_dropout: share of samples without any text.
        time_mean: of the logit of the time.
        time_std: of the logit of the time.
        checkpointing: compute the blocks again in the backward pass, for less memory.
        optimizer: "adamw", "adamw8bit" (bitsandbytes), or "auto" for the latter where it works.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validation videos; 0 makes none.
        validation_prompts: what the validation videos show, each with an emotion in turn.
        validation_steps: denoising steps of a validation video.
        comfyui: also write the LoRA under ComfyUI's names.
        seed: of everything random.
    """

    task: str
    data: str
    base: str
    out: str
    base_revision: str | None = None
    split: str = "train"
    content_type: str | None = None
    cache: str | None = None
    use_cache: bool = True
    steps: int = 2000
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup: int = 50
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    rank: int = 32
    alpha: float = 32
    height: int = 480
    width: int = 832
    max_frames: int = 81
    min_frames: int = 1
    emotion_dropout: float = 0.1
    caption_dropout: float = 0.1
    text_dropout: float = 0.1
    time_mean: float = 0.0
    time_std: float = 1.0
    checkpointing: bool = True
    optimizer: str = "auto"
    checkpoint_every: int = 250
    validate_every: int = 0
    validation_prompts: tuple[str, ...] = ()
    validation_steps: int = 30
    comfyui: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r} is unknown; allowed: {', '.join(TASKS)}")
        if self.optimizer not in ("auto", "adamw", "adamw8bit"):
            raise ValueError(f"optimizer {self.optimizer!r} is unknown; allowed: auto, adamw, adamw8bit")
        for name in ("steps", "batch_size", "accumulation", "rank", "checkpoint_every", "validation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")
        for name in ("learning_rate", "alpha", "max_grad_norm", "time_std"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)} is not a number above 0")
        if self.validate_every and not self.validation_prompts:
            raise ValueError("validate_every needs validation_prompts: what shall the videos show?")
        shares = (self.emotion_dropout, self.caption_dropout, self.text_dropout)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"emotion_dropout, caption_dropout and text_dropout are {shares}: "
                "each must be 0 or more, their sum at most 1"
            )


def train_lora(settings: LoraSettings) -> Path:
    """Train a LoRA, or go on with one.

    Args:
        settings: see `LoraSettings`.

    Returns:
        The path of ``pytorch_lora_weights.safetensors`` in the output folder.

    Raises:
        ValueError: settings, data or base do not work, or the output folder holds another run.
        torch.OutOfMemoryError: the message says which settings to lower.
        KeyboardInterrupt: a signal came; the step was finished and a checkpoint written.
    """
    cuda = torch.cuda.is_available()
    accelerator = Accelerator(
        mixed_precision="bf16" if cuda else "no",
        gradient_accumulation_steps=settings.accumulation,
        cpu=not cuda,
    )
    main = accelerator.is_main_process
    out = Path(settings.out)
    start, checkpoint = find_checkpoint(out, settings)

    # The plan and the cache. Afterwards the encoders are gone, unless there is no cache.
    base = BaseOutline.read(settings.base, settings.task, settings.base_revision)
    selection = select(settings.data, split=settings.split, content_type=settings.content_type)
    plan = plan_training(settings, base, selection, show=main)
    cache = LatentCache(Path(settings.cache or out / "cache") / base.fingerprint())
    source: SampleSource = cache
    preview: ValidationVideos | None = None
    complete = settings.use_cache and cache.is_complete(plan)
    if settings.validate_every or not complete:
        encoders = Encoders.load(base, accelerator.device)
        if not settings.use_cache:
            source = EncodedOnTheFly(selection, encoders)
        elif not complete:
            fill_cache(plan, selection, encoders, cache, accelerator)
        if settings.validate_every:
            preview = ValidationVideos(settings, encoders, plan, selection)
        del encoders
    if complete and main:
        print(f"cache {cache.folder}: complete, the encoders are not needed")
    accelerator.wait_for_everyone()
    if cuda:
        torch.cuda.empty_cache()

    # The adapter, in float32 over a frozen base.
    set_seed(settings.seed)
    dtype = torch.bfloat16 if cuda else torch.float32
    transformer = load_transformer(base, dtype)
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=TARGET_MODULES)  # type: ignore[arg-type]
    )
    cast_training_params(transformer, torch.float32)
    if settings.checkpointing:
        transformer.enable_gradient_checkpointing()
    transformer.to(accelerator.device).train()
    parameters = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(settings, parameters)
    if checkpoint is not None:
        load_checkpoint(checkpoint, transformer, optimizer)
    model, optimizer = accelerator.prepare(transformer, optimizer)

    schedule = Schedule(plan, settings.batch_size, settings.seed)
    facts = LoraFacts(
        wording=WORDING_VERSION,
        task=settings.task,
        # A folder by its name alone: where it lies is nobody's business when the LoRA is published.
        base=Path(settings.base).resolve().name if Path(settings.base).is_dir() else settings.base,
        base_revision=settings.base_revision,
        dataset_revision=dataset_revision(settings.data),
        version=__version__,
    )

    with (
        interruption(accelerator.num_processes) as interrupted,
        Progress(settings.steps - start, unit="steps", title="training", enabled=main) as progress,
        StepLog(out / "log.jsonl", start, enabled=main) as log,
    ):
        for step in range(start, settings.steps):
            began = time.perf_counter()
            losses = []
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup))
            for turn in range(settings.accumulation):
                number = (step * settings.accumulation + turn) * accelerator.num_processes
                items, draws = schedule.batch(number + accelerator.process_index, settings)
                try:
                    batch = [source.load(item, draw.variant) for item, draw in zip(items, draws, strict=True)]
                    with accelerator.accumulate(model):
                        with accelerator.autocast():
                            loss = flow_matching_loss(model, batch, draws, base.shift, dtype)
                        accelerator.backward(loss)
                        if accelerator.sync_gradients:
                            accelerator.clip_grad_norm_(parameters, settings.max_grad_norm)
                        optimizer.step()
                        optimizer.zero_grad()
                except Exception as error:
                    if is_out_of_memory(error):
                        raise torch.OutOfMemoryError(
                            f"out of memory in bucket {items[0].bucket}, batch_size {settings.batch_size}: "
                            "lower batch_size, max_frames or height and width, or keep checkpointing on"
                        ) from error
                    raise
                losses.append(loss.detach())
            mean = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
            log.write(step=step, loss=mean, lr=group["lr"], seconds=time.perf_counter() - began)
            progress.update()

            done = step + 1
            if main and (done % settings.checkpoint_every == 0 or interrupted() or done == settings.steps):
                save_checkpoint(out, done, settings, transformer, optimizer, facts)
            if main and preview is not None and done % settings.validate_every == 0:
                preview.write(out / "validation", done, transformer)
            if interrupted():
                raise KeyboardInterrupt
    accelerator.wait_for_everyone()
    path = out / WEIGHT_NAME
    if main:
        write_lora(path, transformer, replace(facts, steps=settings.steps))
        if settings.comfyui:
            export_comfyui(path, out / COMFYUI_NAME)
    accelerator.end_training()
    return path


# The step


def flow_matching_loss(
    model: torch.nn.Module,
    batch: list[Sample],
    draws: list[Draw],
    shift: float,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Loss of one batch: the transformer predicts the velocity from the clip to the noise.

    Args:
        model: the transformer, as it is or wrapped.
        batch: samples of one bucket.
        draws: what was drawn for each.
        shift: of the base's scheduler.
        dtype: of the transformer's weights.

    Returns:
        The mean squared error, a scalar.

    Source: Lipman et al., Flow Matching for Generative Modeling, 2022; the time is drawn as in Esser et al.,
    Scaling Rectified Flow Transformers, 2024: sigmoid of a normal number, then shifted.
    """
    device = next(model.parameters()).device
    clean = torch.stack([sample.latents for sample in batch]).to(device, torch.float32)
    noise = torch.stack([draw.noise(sample.latents.shape) for sample, draw in zip(batch, draws, strict=True)])
    noise = noise.to(device)
    sigma = torch.tensor([shifted(draw.time, shift) for draw in draws], device=device)
    weight = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - weight) * clean + weight * noise

    condition = None
    if batch[0].condition is not None:
        condition = torch.stack([s.condition for s in batch if s.condition is not None]).to(device, dtype)
    image = None
    if batch[0].image is not None:
        image = torch.stack([s.image for s in batch if s.image is not None]).to(device, dtype)
    prediction = model(
        hidden_states=transformer_input(noisy.to(dtype), condition),
        timestep=sigma * TIMESTEPS,
        encoder_hidden_states=torch.stack([sample.text for sample in batch]).to(device, dtype),
        encoder_hidden_states_image=image,
        return_dict=False,
    )[0]
    return F.mse_loss(prediction.float(), noise - clean)


def shifted(time: float, shift: float) -> float:
    """The noise level of a time, moved towards noise as the scheduler does for video.

    Args:
        time: 0..1.
        shift: 1 changes nothing.

    >>> shifted(0.5, 3.0)
    0.75
    """
    return shift * time / (1 + (shift - 1) * time)


@dataclass(frozen=True, slots=True)
class Draw:
    """What is random about one sample of one step.

    Attributes:
        variant: which part of the text is kept.
        time: 0..1, not yet shifted.
        noise_seed: of the noise.
    """

    variant: Variant
    time: float
    noise_seed: int

    def noise(self, shape: tuple[int, ...] | torch.Size) -> torch.Tensor:
        """Standard normal noise, float32, the same on every device."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.noise_seed))

    @classmethod
    def of(cls, settings: LoraSettings, batch: int, place: int) -> Draw:
        """Draw for a place in a batch.

        Args:
            settings: seed, dropouts and distribution of the time.
            batch: number of the batch since the start of the run, over all processes.
            place: in the batch.
        """
        generator = np.random.default_rng([settings.seed, batch, place])
        shares = (settings.emotion_dropout, settings.caption_dropout, settings.text_dropout)
        variant = str(generator.choice(VARIANTS, p=[1 - sum(shares), *shares]))
        logit = generator.normal(settings.time_mean, settings.time_std)
        return cls(variant, float(1 / (1 + np.exp(-logit))), int(generator.integers(1 << 62)))


class Schedule:
    """Which clips are in which batch: every clip once an epoch, each batch from one bucket.

    Args:
        plan: the clips.
        batch_size: clips a batch; the last batch of a bucket may be smaller.
        seed: of the order.
    """

    def __init__(self, plan: CachePlan, batch_size: int, seed: int) -> None:
        self.plan, self.batch_size, self.seed = plan, batch_size, seed
        self.batches_per_epoch = sum(math.ceil(count / batch_size) for count in plan.buckets().values())
        self._epoch: tuple[int, list[list[PlannedClip]]] = (-1, [])

    def batch(self, number: int, settings: LoraSettings) -> tuple[list[PlannedClip], list[Draw]]:
        """The clips of a batch and what is drawn for them.

        Args:
            number: of the batch since the start of the run, over all processes.
            settings: for the draws.
        """
        epoch, place = divmod(number, self.batches_per_epoch)
        if epoch != self._epoch[0]:
            self._epoch = (epoch, self._order(epoch))
        items = self._epoch[1][place]
        return items, [Draw.of(settings, number, i) for i in range(len(items))]

    def _order(self, epoch: int) -> list[list[PlannedClip]]:
        generator = np.random.default_rng([self.seed, epoch])
        buckets: dict[Bucket, list[PlannedClip]] = {}
        for index in generator.permutation(len(self.plan.clips)):
            item = self.plan.clips[index]
            buckets.setdefault(item.bucket, []).append(item)
        batches = [
            items[first : first + self.batch_size]
            for _, items in sorted(buckets.items())
            for first in range(0, len(items), self.batch_size)
        ]
        return [batches[index] for index in generator.permutation(len(batches))]


# What is loaded


def load_transformer(base: BaseOutline, dtype: torch.dtype) -> Any:
    """Load the base's transformer with its weights."""
    return WanTransformer3DModel.from_pretrained(
        base.name,
        subfolder="transformer",
        revision=base.revision,
        use_safetensors=True,
        **dtype_option(dtype),
    )


def dataset_revision(data: str) -> str:
    """sha256 of the dataset's manifest."""
    return hashlib.sha256(Location.find(data).manifest().to_json().encode()).hexdigest()


def plan_training(
    settings: LoraSettings, base: BaseOutline, selection: Selection, *, show: bool = True
) -> CachePlan:
    """Assign the clips to buckets that this base can hold, and print that."""
    plan = plan_cache(
        selection.clips,
        height=settings.height,
        width=settings.width,
        max_frames=settings.max_frames,
        min_frames=settings.min_frames,
        multiple=base.multiple,
    )
    if show:
        print_plan(
            plan,
            base,
            rank=settings.rank,
            batch_size=settings.batch_size,
            checkpointing=settings.checkpointing,
        )
    return plan


def fill_cache(
    plan: CachePlan,
    selection: Selection,
    encoders: Encoders,
    cache: LatentCache,
    accelerator: Accelerator,
) -> None:
    """Encode what is missing, each process its share, and say what was done."""
    rank, world = accelerator.process_index, accelerator.num_processes
    main = accelerator.is_main_process
    with Progress(len(plan.clips[rank::world]), unit="clips", title="encoding", enabled=main) as progress:
        filled = cache.fill(
            plan, selection, encoders, rank=rank, world=world, done=lambda size: progress.update(size=size)
        )
    if main:
        repaired = f", {filled.repaired} damaged ones encoded again" if filled.repaired else ""
        print(f"cache {cache.folder}: {filled.encoded} clips encoded, {filled.reused} reused{repaired}")


def make_optimizer(settings: LoraSettings, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, in 8 bits where that is asked for or possible.

    Raises:
        ValueError: 8 bits are asked for and bitsandbytes is not installed.
    """
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (0.9, 0.99),
        "weight_decay": settings.weight_decay,
    }
    if settings.optimizer != "adamw" and (settings.optimizer == "adamw8bit" or torch.cuda.is_available()):
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            if settings.optimizer == "adamw8bit":
                raise ValueError(
                    "optimizer adamw8bit needs bitsandbytes; pip install bitsandbytes"
                ) from error
        else:
            return AdamW8bit(parameters, **options)
    return torch.optim.AdamW(parameters, **options)


# Checkpoints


def find_checkpoint(out: Path, settings: LoraSettings) -> tuple[int, Path | None]:
    """Find where to go on.

    Args:
        out: the output folder.
        settings: of this run.

    Returns:
        The number of steps done, and the checkpoint's folder or None.

    Raises:
        ValueError: the checkpoint is of a run with other settings.
    """
    found = sorted((out / CHECKPOINTS).glob("step-*"))
    if not found:
        return 0, None
    stored = json.loads(read_header(found[-1] / "optimizer.safetensors")[SETTINGS_KEY])
    free = {"steps", "out", "cache", "use_cache", "checkpoint_every", "checkpointing", "comfyui"}
    free |= {name for name in stored if name.startswith("valid")}
    for name, value in json.loads(json.dumps(asdict(settings))).items():
        if name not in free and stored.get(name) != value:
            raise ValueError(
                f"{out} holds a run with {name} {stored.get(name)!r}, now it is {value!r}; "
                "choose another output folder, or delete that one"
            )
    return int(found[-1].name.removeprefix("step-")), found[-1]


def save_checkpoint(
    out: Path,
    step: int,
    settings: LoraSettings,
    transformer: torch.nn.Module,
    optimizer: Any,
    facts: LoraFacts,
) -> None:
    """Write LoRA and optimizer; the folder gets its name when both are complete. Two are kept.

    Args:
        out: the output folder.
        step: steps done.
        settings: stored beside, to refuse going on with others.
        transformer: carries the adapter.
        optimizer: of its parameters.
        facts: for the LoRA's header.
    """
    folder = out / CHECKPOINTS / f"step-{step:08d}"
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write_lora(part / WEIGHT_NAME, transformer, replace(facts, steps=step))
    state = {
        f"{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    numbers = {name: value for name, value in state.items() if name not in tensors}
    header = {SETTINGS_KEY: json.dumps(asdict(settings)), NUMBERS_KEY: json.dumps(numbers)}
    write_safetensors(part / "optimizer.safetensors", tensors, header)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    for old in sorted(folder.parent.glob("step-*"))[:-2]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, transformer: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Read LoRA and optimizer back.

    Raises:
        ValueError: a file is cut short, or its keys are not the adapter's.
    """
    read_facts(folder / WEIGHT_NAME)
    tensors = load_file(folder / WEIGHT_NAME)
    if tensors.keys() != adapter_tensors(transformer).keys():
        raise ValueError(f"{folder} does not hold this adapter's weights")
    set_peft_model_state_dict(
        transformer, {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    )
    numbers = json.loads(read_header(folder / "optimizer.safetensors")[NUMBERS_KEY])
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(folder / "optimizer.safetensors"), **numbers}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@contextmanager
def interruption(processes: int) -> Iterator[Any]:
    """Turn SIGINT and SIGTERM into a flag, so that the running step is finished and saved.

    With several processes the signals stay as they are: they may reach the processes in different steps,
    and the last checkpoint is what a new run goes on from.
    """
    received: list[int] = []
    saved: dict[signal.Signals, Any] = {}
    if processes == 1:
        for number in (signal.SIGINT, signal.SIGTERM):
            saved[number] = signal.signal(number, lambda *_: received.append(1))
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


class StepLog:
    """One line of JSON a step; lines of steps that are taken again are replaced.

    Args:
        path: the file.
        start: first step of this run.
        enabled: False writes nothing.
    """

    def __init__(self, path: Path, start: int, *, enabled: bool) -> None:
        self.path, self.enabled = path, enabled
        if not enabled:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in old if line.endswith("}") and json.loads(line)["step"] < start]
        path.write_text("".join(f"{line}\n" for line in kept))

    def write(self, **values: float) -> None:
        """Add a line."""
        if self.enabled:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()

    def __enter__(self) -> StepLog:
        if self.enabled:
            self._file = self.path.open("a")
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled:
            self._file.close()


# Validation videos


class ValidationVideos:
    """Generates the same few videos at several points of a run, with the stock pipeline.

    The texts are encoded once and the text encoder is not kept.

    Args:
        settings: prompts and size; the prompts get the eight emotions in turn.
        encoders: of the base.
        plan: for I2V, whose first images are those of the first clips.
        selection: gives their videos.
    """

    def __init__(
        self, settings: LoraSettings, encoders: Encoders, plan: CachePlan, selection: Selection
    ) -> None:
        self.settings = settings
        emotions = list(MOODS)
        texts = [
            (emotions[index % len(emotions)], prompt)
            for index, prompt in enumerate(settings.validation_prompts)
        ]
        self.negative = padded(encoders.encode_text(""))[None]
        self.embeds = {
            f"{index:02d}-{emotion}": padded(encoders.encode_text(conditioning_text(prompt, emotion)))[None]
            for index, (emotion, prompt) in enumerate(texts)
        }
        parts = dict(encoders.pipeline.components)
        self.pipeline: Any = type(encoders.pipeline)(**{**parts, "text_encoder": None, "transformer": None})
        self.pipeline.set_progress_bar_config(disable=True)
        self.images = []
        if settings.task == "i2v":
            shape = Bucket(1, settings.height, settings.width)
            for item in (plan.clips[index % len(plan.clips)] for index in range(len(texts))):
                pixels = clip_pixels(selection[item.index].video, replace(item, bucket=shape))
                self.images.append(Image.fromarray(pixels[0].permute(1, 2, 0).numpy()))

    def write(self, folder: Path, step: int, transformer: Any) -> None:
        """Generate the videos with the adapter as it is now.

        Args:
            folder: gets ``step-00000100-00-amusement.mp4`` and so on.
            step: steps done.
            transformer: carries the adapter.
        """
        self.pipeline.register_modules(transformer=transformer)
        transformer.eval()
        for index, (name, embeds) in enumerate(self.embeds.items()):
            first = {"image": self.images[index]} if self.images else {}
            frames = self.pipeline(
                **first,
                prompt_embeds=embeds.to(transformer.device),
                negative_prompt_embeds=self.negative.to(transformer.device),
                height=self.settings.height,
                width=self.settings.width,
                num_frames=self.settings.max_frames,
                num_inference_steps=self.settings.validation_steps,
                generator=torch.Generator().manual_seed(self.settings.seed),
            ).frames[0]
            write_video(folder / f"step-{step:08d}-{name}.mp4", frames)
        transformer.train()
