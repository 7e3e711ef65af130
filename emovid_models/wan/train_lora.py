"""Train an emotion LoRA for Wan2.1: plan, cache, then one loop that can be read from top to bottom.

Everything random in a step (which clips, which noise, which time, which part of the text) is a function of
the seed and of the step's number. So a run that goes on from a checkpoint takes the same steps as one that
was never interrupted, and two processes take the same steps as one that accumulates two batches. A batch of
two clips is another matter: they share a bucket, and other noise is drawn for them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import WanTransformer3DModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig

from emovid_dataset import __version__
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import Selection, select
from emovid_dataset.store import Store
from emovid_dataset.terminal import Progress
from emovid_models.library_bars import library_bars
from emovid_models.remote.wan.inputs import is_out_of_memory
from emovid_models.remote.wan.lora import TARGET_MODULES, WEIGHT_NAME, LoraFacts, export_comfyui, write_lora
from emovid_models.wan.batches import Batches, Draw
from emovid_models.wan.cache import EncodedOnTheFly, LatentCache, Sample, SampleSource
from emovid_models.wan.checkpoints import (
    StepLog,
    find_checkpoint,
    interruption,
    load_checkpoint,
    save_checkpoint,
)
from emovid_models.wan.encode import BaseOutline, Encoders, dtype_option, transformer_input
from emovid_models.wan.encode_stage import FilledCache, fill_cache
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.plan import CachePlan, plan_cache
from emovid_models.wan.shares import Shares
from emovid_models.wan.validation import ValidationVideos

COMFYUI_NAME = "comfyui_lora_weights.safetensors"
TIMESTEPS = 1000
"""The transformer is told the noise level on this scale."""


def train_lora(
    settings: LoraSettings,
    *,
    workers: int = 1,
    progress: bool = False,
    on_plan: Callable[[CachePlan, BaseOutline], None] = lambda plan, base: None,
    on_cache: Callable[[FilledCache], None] = lambda filled: None,
) -> Path:
    """Train a LoRA, or go on with one.

    Args:
        settings: see `LoraSettings`.
        workers: processes that fill the cache; 1 is this one. Under `accelerate launch` each process fills
            its share, and there are no others.
        progress: show progress on stderr.
        on_plan: told of the plan before anything heavy is loaded, in the main process.
        on_cache: told of what was encoded, in the main process.

    Returns:
        The path of ``pytorch_lora_weights.safetensors`` in the output folder.

    Raises:
        ValueError: settings, data or base do not work, or the output folder holds another run.
        OSError: a clip cannot be encoded, or the cache cannot be written.
        torch.OutOfMemoryError: the message says which settings to lower.
        KeyboardInterrupt: a signal came; the step was finished and a checkpoint written.
    """
    if workers < 1:
        raise ValueError(f"workers {workers} is below 1")
    cuda = torch.cuda.is_available()
    accelerator = Accelerator(
        mixed_precision="bf16" if cuda else "no",
        gradient_accumulation_steps=settings.accumulation,
        cpu=not cuda,
    )
    if workers > 1 and accelerator.num_processes > 1:
        raise ValueError(
            f"workers {workers} is not 1: the run's {accelerator.num_processes} processes fill the cache"
        )
    main = accelerator.is_main_process
    bars = partial(library_bars, "transformers", "diffusers", shown=progress and main)
    out = Path(settings.out)
    start, checkpoint = find_checkpoint(out, settings)

    # The plan and the cache. Afterwards the encoders are gone, unless there is no cache.
    base = BaseOutline.read(settings.base, settings.task, settings.base_revision)
    selection = select(settings.data, split=settings.split, content_type=settings.content_type)
    plan = plan_training(settings, base, selection)
    if main:
        on_plan(plan, base)
    source: SampleSource
    encoders: Encoders | None = None
    preview: ValidationVideos | None = None
    if settings.use_cache:
        place = settings.cache or str(out / "cache")
        shares = Shares.begin(Store.at(place), accelerator)
        if settings.validate_every:
            with bars():
                encoders = Encoders.load(base, accelerator.device)
        source = cache = LatentCache.at(place, base)
        filled = fill_cache(
            cache,
            plan,
            selection,
            base,
            shares=shares,
            workers=workers,
            device=accelerator.device,
            encoders=encoders,
            progress=progress and main,
        )
        accelerator.wait_for_everyone()
        if main:
            shares.clear()
            on_cache(filled)
    else:
        with bars():
            encoders = Encoders.load(base, accelerator.device)
        source = EncodedOnTheFly(selection, encoders)
    if settings.validate_every and encoders is not None:
        preview = ValidationVideos(settings, encoders, plan, selection)
    del encoders
    if cuda:
        torch.cuda.empty_cache()

    # The adapter, in float32 over a frozen base.
    set_seed(settings.seed)
    dtype = torch.bfloat16 if cuda else torch.float32
    with bars():
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

    batches = Batches(plan, settings.batch_size, settings.seed)
    facts = LoraFacts(
        wording=settings.wording,
        task=settings.task,
        # A folder by its name alone: where it lies is nobody's business when the LoRA is published.
        base=Path(settings.base).resolve().name if Path(settings.base).is_dir() else settings.base,
        base_revision=settings.base_revision,
        dataset_revision=dataset_revision(settings.data),
        version=__version__,
    )

    with (
        interruption(accelerator.num_processes) as interrupted,
        Progress(settings.steps - start, unit="steps", title="training", enabled=progress and main) as bar,
        StepLog(out / "log.jsonl", start, enabled=main) as log,
    ):
        for step in range(start, settings.steps):
            began = time.perf_counter()
            losses = []
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup))
            for turn in range(settings.accumulation):
                number = (step * settings.accumulation + turn) * accelerator.num_processes
                items, draws = batches.batch(number + accelerator.process_index, settings)
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
            bar.update()

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
    return hashlib.sha256(read_manifest(Store.find(data)).to_json().encode()).hexdigest()


def plan_training(settings: LoraSettings, base: BaseOutline, selection: Selection) -> CachePlan:
    """Assign the clips to buckets that this base can hold."""
    return plan_cache(
        selection.clips,
        height=settings.height,
        width=settings.width,
        max_frames=settings.max_frames,
        min_frames=settings.min_frames,
        multiple=base.multiple,
        wording=settings.wording,
    )


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
