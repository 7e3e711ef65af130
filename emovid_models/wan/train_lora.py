"""Train an emotion LoRA for Wan2.1: plan, cache, then one loop that can be read from top to bottom.

Everything random in a step (which clips, which noise, which time, which part of the text) is a function of
the seed and of the step's number. So a run that goes on from a checkpoint takes the same steps as one that
was never interrupted, and two processes take the same steps as one that accumulates two batches. A batch of
two clips is another matter: they share a bucket, and other noise is drawn for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import cast_training_params
from peft import LoraConfig

from emovid_dataset import __version__
from emovid_dataset.engine import Executor
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import Selection, select
from emovid_dataset.schema.benchmark import refuse_training_on
from emovid_dataset.store import Store
from emovid_dataset.terminal import Progress
from emovid_models.finite import check_loss, check_weights
from emovid_models.library_bars import library_bars
from emovid_models.records import dataset_revision
from emovid_models.remote.wan.inputs import is_out_of_memory
from emovid_models.remote.wan.lora import WEIGHT_NAME, LoraFacts, adapter_tensors, export_comfyui, write_lora
from emovid_models.remote.wan.modules import TARGETS
from emovid_models.wan.batches import Batches, Draw, steps_of
from emovid_models.wan.cache import EncodedOnTheFly, LatentCache, Sample, SampleSource
from emovid_models.wan.checkpoints import (
    StepLog,
    find_checkpoint,
    interruption,
    load_checkpoint,
    refuse_other_origin,
    save_checkpoint,
)
from emovid_models.wan.encode import BaseOutline, Encoders, transformer_input
from emovid_models.wan.encode_stage import FilledCache, fill_cache
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.noise_levels import TIMESTEPS, WHOLE, Span, loss_weight, shifted
from emovid_models.wan.optimizer import learning_rate, make_optimizer
from emovid_models.wan.plan import CachePlan, plan_cache
from emovid_models.wan.recipes import differences
from emovid_models.wan.shares import Shares
from emovid_models.wan.two_transformers import COMFYUI_NAME, SECOND_NAMES, load_transformer, runs_of
from emovid_models.wan.validation import ValidationVideos


def train_lora(
    settings: LoraSettings,
    *,
    engine: Executor | None = None,
    progress: bool = False,
    on_plan: Callable[[CachePlan, BaseOutline], None] = lambda plan, base: None,
    on_cache: Callable[[FilledCache], None] = lambda filled: None,
) -> Path:
    """Train a LoRA, or go on with one.

    On both transformers of a base that has two, one is trained after the other, each in a folder of its own
    in the output folder, which gets a file for each.

    Args:
        settings: see `LoraSettings`.
        engine: who fills the cache, by default this process. Under `accelerate launch` each process fills its
            share, and there are no others.
        progress: show progress on stderr.
        on_plan: told of the plan before anything heavy is loaded, in the main process.
        on_cache: told of what was encoded, in the main process.

    Returns:
        The path of ``pytorch_lora_weights.safetensors`` in the output folder. For both transformers
        ``pytorch_lora_weights_2.safetensors`` lies beside it.

    Raises:
        ValueError: settings, data or base do not work, or the output folder holds another run.
        OSError: a clip cannot be encoded, or the cache cannot be written.
        NotFiniteError: the loss or a weight is no longer finite; the last checkpoint is from before.
        torch.OutOfMemoryError: the message says which settings to lower.
        KeyboardInterrupt: a signal came; the step was finished and a checkpoint written.
    """
    cuda = torch.cuda.is_available()
    accelerator = Accelerator(
        mixed_precision="bf16" if cuda else "no",
        gradient_accumulation_steps=settings.accumulation,
        cpu=not cuda,
    )
    if engine is not None and not engine.is_this_process and accelerator.num_processes > 1:
        raise ValueError(
            f"the run's {accelerator.num_processes} processes fill the cache; "
            "leave --workers and --engine out under accelerate launch"
        )
    base = BaseOutline.read(settings.base, settings.task, settings.base_revision)
    runs = runs_of(settings, base)
    written: list[Path] = []
    for run in runs:
        written += _train_one(
            run,
            base,
            accelerator,
            engine=engine,
            progress=progress,
            on_plan=on_plan if run is runs[0] else lambda plan, base: None,
            on_cache=on_cache,
        )
        accelerator.free_memory()
    out = Store.at(settings.out)
    if len(runs) > 1 and accelerator.is_main_process:
        for path in written:
            name = path.name if path.parent == Path(runs[0].out) else SECOND_NAMES[path.name]
            out.put(name, path)
    accelerator.end_training()
    return Path(settings.out) / WEIGHT_NAME


def _train_one(
    settings: LoraSettings,
    base: BaseOutline,
    accelerator: Accelerator,
    *,
    engine: Executor | None,
    progress: bool,
    on_plan: Callable[[CachePlan, BaseOutline], None],
    on_cache: Callable[[FilledCache], None],
) -> list[Path]:
    """Train a LoRA on one transformer; the arguments are those of `train_lora`.

    Returns:
        The files of the LoRA.
    """
    cuda = torch.cuda.is_available()
    main = accelerator.is_main_process
    bars = partial(library_bars, "transformers", "diffusers", shown=progress and main)
    out = Path(settings.out)
    start, checkpoint = find_checkpoint(out, settings)

    # The plan and the cache. Afterwards the encoders are gone, unless there is no cache.
    base_identity, revision = base.identity(), dataset_revision(read_manifest(Store.find(settings.data)))
    if checkpoint is not None:
        refuse_other_origin(checkpoint, base_identity, revision)
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
            engine=engine,
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
        transformer = load_transformer(base, dtype, settings.transformer)
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]
            target_modules=TARGETS[settings.modules],
        )
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

    shift = base.shift if settings.shift is None else settings.shift
    span = WHOLE if base.boundary is None else Span.of(settings.transformer, base.boundary, shift)
    batches = Batches(plan, settings.batch_size, settings.seed, span)
    steps = steps_of(settings, batches.batches_per_epoch, accelerator.num_processes)
    facts = LoraFacts(
        wording=settings.wording,
        task=settings.task,
        # A folder by its name alone: where it lies is nobody's business when the LoRA is published.
        base=Path(settings.base).resolve().name if Path(settings.base).is_dir() else settings.base,
        base_revision=settings.base_revision,
        dataset_revision=revision,
        recipe=settings.recipe,
        changes=differences(settings),
        version=__version__,
        transformer=settings.transformer or "",
    )

    with (
        interruption(accelerator.num_processes) as interrupted,
        Progress(steps - start, unit="steps", title="training", enabled=progress and main) as bar,
        StepLog(out / "log.jsonl", start, enabled=main) as log,
    ):
        for step in range(start, steps):
            began = time.perf_counter()
            losses = []
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step)
            for turn in range(settings.accumulation):
                number = (step * settings.accumulation + turn) * accelerator.num_processes
                items, draws = batches.batch(number + accelerator.process_index, settings)
                try:
                    batch = [source.load(item, draw.variant) for item, draw in zip(items, draws, strict=True)]
                    with accelerator.accumulate(model):
                        with accelerator.autocast():
                            loss = flow_matching_loss(
                                model,
                                batch,
                                draws,
                                shift,
                                dtype,
                                weighting=settings.loss_weight,
                                expand_timesteps=base.expand_timesteps,
                            )
                        accelerator.backward(loss)
                        if accelerator.sync_gradients and settings.max_grad_norm is not None:
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
            check_loss(mean, step + 1)
            log.write(step=step, loss=mean, lr=group["lr"], seconds=time.perf_counter() - began)
            bar.update()

            done = step + 1
            if done % settings.checkpoint_every == 0 or interrupted() or done == steps:
                check_weights(adapter_tensors(transformer), done)
                if main:
                    save_checkpoint(out, done, settings, base_identity, transformer, optimizer, facts)
            if main and preview is not None and done % settings.validate_every == 0:
                preview.write(out / "validation", done, transformer)
            if interrupted():
                raise KeyboardInterrupt
    accelerator.wait_for_everyone()
    files = [out / WEIGHT_NAME]
    if main:
        write_lora(files[0], transformer, replace(facts, steps=steps))
    if settings.comfyui:
        files.append(out / COMFYUI_NAME)
        if main:
            export_comfyui(files[0], files[1])
    return files


# The step


def flow_matching_loss(
    model: torch.nn.Module,
    batch: list[Sample],
    draws: list[Draw],
    shift: float,
    dtype: torch.dtype = torch.float32,
    *,
    weighting: str = "even",
    expand_timesteps: bool = False,
) -> torch.Tensor:
    """Loss of one batch: the transformer predicts the velocity from the clip to the noise.

    Args:
        model: the transformer, as it is or wrapped.
        batch: samples of one bucket.
        draws: what was drawn for each.
        shift: of the noise levels.
        dtype: of the transformer's weights.
        weighting: of each sample's error by its noise level, see `loss_weight`.
        expand_timesteps: whether the transformer is told a time for each token. The first image then stands,
            without noise, in the place of the first latent frame, which does not count.

    Returns:
        The mean squared error, a scalar.

    Source: Lipman et al., Flow Matching for Generative Modeling, 2022.
    """
    device = next(model.parameters()).device
    clean = torch.stack([sample.latents for sample in batch]).to(device, torch.float32)
    noise = torch.stack([draw.noise(sample.latents.shape) for sample, draw in zip(batch, draws, strict=True)])
    noise = noise.to(device)
    levels = [shifted(draw.time, shift) for draw in draws]
    sigma = torch.tensor(levels, device=device)
    share = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - share) * clean + share * noise

    condition = None
    if batch[0].condition is not None:
        condition = torch.stack([s.condition for s in batch if s.condition is not None]).to(device, dtype)
    image = None
    if batch[0].image is not None:
        image = torch.stack([s.image for s in batch if s.image is not None]).to(device, dtype)
    timestep, first = sigma * TIMESTEPS, 0
    if expand_timesteps:
        first = 0 if condition is None else 1
        noisy = noisy if condition is None else torch.cat([condition.to(noisy), noisy[:, :, 1:]], dim=2)
        # As the stock pipeline does it, for patches of 2 by 2 latents.
        counted = torch.ones_like(noisy[0, 0])
        counted[:first] = 0
        timestep = counted[:, ::2, ::2].flatten() * timestep.unsqueeze(1)
        condition = None
    prediction = model(
        hidden_states=transformer_input(noisy.to(dtype), condition),
        timestep=timestep,
        encoder_hidden_states=torch.stack([sample.text for sample in batch]).to(device, dtype),
        encoder_hidden_states_image=image,
        return_dict=False,
    )[0]
    prediction, velocity = prediction.float()[:, :, first:], (noise - clean)[:, :, first:]
    if weighting == "even":
        return F.mse_loss(prediction, velocity)
    errors = F.mse_loss(prediction, velocity, reduction="none").flatten(1).mean(1)
    weights = torch.tensor([loss_weight(level, shift, weighting) for level in levels], device=device)
    return (weights * errors).mean()


# What is loaded


def plan_training(settings: LoraSettings, base: BaseOutline, selection: Selection) -> CachePlan:
    """Choose the clips, and assign them to buckets that this base can hold.

    Raises:
        ValueError: the clips are set aside for judging, or none is left.
    """
    for split in selection.splits:
        refuse_training_on(split)
    return plan_cache(
        selection.clips,
        height=settings.height,
        width=settings.width,
        max_frames=settings.max_frames,
        # A clip of one latent frame would be all first image.
        min_frames=max(settings.min_frames, 5) if base.first_frame_stays else settings.min_frames,
        multiple=base.multiple,
        wording=settings.wording,
        variants=settings.variants,
        framing=settings.framing,
        max_per_type=settings.max_per_type,
        seed=settings.seed,
        fitted=base.fitted,
    )
