"""Fine-tune an annotator on a build: transformers' Trainer, LoRA or all weights, emotion and caption at once.

The loss is that of the answers' tokens. After each epoch the emotions are scored on the validation split; the
best epoch is kept, and the temperature is fitted to it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.schema.clip import Clip
from emovid_dataset.store import Store, without_credentials
from emovid_models.annotator.annotate import LoadedByName
from emovid_models.annotator.calibration import calibration_error, fit_temperature, macro_recall
from emovid_models.annotator.checkpoints import (
    best_checkpoint,
    evaluations_since_best,
    find_checkpoint,
    is_finished,
    refuse_another_run,
    write_run,
)
from emovid_models.annotator.conversations import Collator, Conversations
from emovid_models.annotator.loading import assemble_repo, load_annotator
from emovid_models.annotator.reliability import reliability
from emovid_models.annotator.run_card import readme, run_card
from emovid_models.annotator.targets import distributions_of, effective_targets, is_soft
from emovid_models.annotator.taxonomy import set_taxonomy
from emovid_models.annotator.training_config import TrainingConfig
from emovid_models.finite import check_loss, check_weights
from emovid_models.library_bars import library_bars
from emovid_models.metrics.ea_8cls.distributions import js_divergence, soft_accuracy
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.records import RUN_CARD, dataset_revision
from emovid_models.remote.annotator.prompts import END_OF_TURN

LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Modules that get an adapter; the projector is small and is trained whole."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came out.

    Attributes:
        out: the annotator's folder.
        macro_recall: mean recall of the emotions on the validation split.
        accuracy: share of right answers there.
        calibration_error: expected calibration error there, after the temperature.
        temperature: fitted there.
        steps: optimizer steps.
        targets: what the emotions were taught as: "hard", "soft", or "auto" where some were soft.
        soft_accuracy: over the clips of the validation split that several people rated, the mean share of
            them who say what it says; None without such clips, like the next one.
        js_divergence: mean Jensen-Shannon divergence of its probabilities and theirs, in bits.
    """

    out: Path
    macro_recall: float
    accuracy: float
    calibration_error: float
    temperature: float
    steps: int
    targets: str = "hard"
    soft_accuracy: float | None = None
    js_divergence: float | None = None


class AnnotatorTrainer(Trainer):
    """`Trainer` with a loss per conversation, weighted, and an evaluation by scored labels."""

    def __init__(
        self,
        *args: Any,
        processor: NVILALiteProcessor,
        emotions: Sequence[str],
        run: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs, data_collator=Collator(processor))  # type: ignore[misc]
        self._processor, self._emotions, self._run = processor, tuple(emotions), run
        self.model_accepts_loss_kwargs = False

    def compute_loss(  # type: ignore[override]
        self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        inputs = dict(inputs)
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        inputs.pop("emotions")
        outputs = model(**inputs, use_cache=False)
        logits = outputs.logits[:, :-1].float()
        tokens = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
        )
        counted = (labels[:, 1:] != -100).sum(-1).clamp(min=1)
        loss = (tokens.sum(-1) / counted * weights).mean()
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        check_loss(loss.item(), self.state.global_step + 1)
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        trained = self.accelerator.unwrap_model(model).named_parameters()
        check_weights({name: weight for name, weight in trained if weight.requires_grad}, step)
        if self.is_world_process_zero():
            write_run(Path(str(self.args.output_dir)) / f"checkpoint-{step}", self._run)
        super()._save_checkpoint(model, trial)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        scores, labels = self.score(self.eval_dataset if eval_dataset is None else eval_dataset)
        predicted = scores.argmax(-1)
        metrics = {
            f"{metric_key_prefix}_macro_recall": macro_recall(predicted, labels),
            f"{metric_key_prefix}_accuracy": float((predicted == labels).float().mean()),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @torch.no_grad()
    def score(self, dataset: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-likelihoods of the labels, [clips, emotions], and the true labels, on every process."""
        model = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        network = model.get_base_model() if hasattr(model, "get_base_model") else model
        ids = self._processor.encode_labels(self._emotions, end=END_OF_TURN)
        loader = self.get_eval_dataloader(dataset)
        scores, labels = [], []
        for batch in loader:
            # Scored as it will be asked: the prompt alone, without the answer that training appends.
            question = batch["labels"] == -100
            prompt = batch["input_ids"].masked_fill(~question, self._processor.tokenizer.pad_token_id or 0)
            with self.autocast_smart_context_manager():
                found = network.score_labels(
                    ids,
                    input_ids=prompt,
                    attention_mask=batch["attention_mask"] * question,
                    pixel_values_videos=batch["pixel_values_videos"].to(network.dtype),
                )
            gathered = self.accelerator.gather_for_metrics((found, batch["emotions"]))
            scores.append(gathered[0].float().cpu())
            labels.append(gathered[1].cpu())
        model.train(was_training)
        return torch.cat(scores), torch.cat(labels)


class _Report(TrainerCallback):
    """Prints a line on stderr whenever there is something to tell."""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        told = {name: value for name, value in (logs or {}).items() if isinstance(value, float)}
        if state.is_world_process_zero and told:
            values = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
            print(f"step {state.global_step} of {state.max_steps}: {values}", file=sys.stderr, flush=True)


class _Epoch(TrainerCallback):
    """Tells the conversations the epoch, on which their augmentation depends."""

    def __init__(self, conversations: Conversations) -> None:
        self.conversations = conversations

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.conversations.epoch = round(state.epoch or 0)


class _EarlyStopping(TrainerCallback):
    """Stops when the evaluations since the best one have used up the patience.

    They are counted in the history that a checkpoint holds, so that a resumed run stops where an
    uninterrupted one does.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.best_global_step is not None:
            state.best_model_checkpoint = str(best_checkpoint(Path(args.output_dir), state))

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if evaluations_since_best(state) >= self.patience:
            control.should_training_stop = True


def train_annotator(
    data: str | os.PathLike[str],
    base: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: TrainingConfig | None = None,
    *,
    content_type: str | None = None,
    resume: bool = True,
    progress: bool = False,
) -> TrainingResult:
    """Fine-tune an annotator for the emotions of a build.

    Args:
        data: a build with a train and a validation split; the annotator tells apart the emotions of its
            taxonomy, which its settings hold.
        base: the annotator to start from, whatever emotions it tells apart: a folder or a Hub repo.
        out: folder of the new annotator; checkpoints are kept in its ``checkpoints``.
        config: how to train.
        content_type: train on clips of one content type only.
        resume: go on from the last checkpoint, if there is one, as if there had been no interruption; a run
            that had ended does no further step.
        progress: show progress on stderr.

    Returns:
        `TrainingResult`; its folder is loaded like any annotator.

    Raises:
        ValueError: an option is out of range, a split has no clip, or `out` holds another run.
        NotFiniteError: the loss or a weight is no longer finite; the last checkpoint is the one before.
        OSError: data or base cannot be read, `out` cannot be written, or the best checkpoint is gone.
    """
    config = config or TrainingConfig()
    out = Path(out)
    store = Store.find(data)  # once, so that a push meanwhile changes nothing
    manifest = read_manifest(store)
    splits = {}
    for split in ("train", "validation"):
        splits[split] = select(store.root, split=split, content_type=content_type)
        if not len(splits[split]):
            raise ValueError(f"--data {data} has no clip in the split {split!r}")
    targets = effective_targets(splits["train"].clips, config.targets)
    set_seed(config.seed)
    named = LoadedByName.pinned(base)
    identity = named.identity()
    run = {
        "data": dataset_revision(manifest),
        "content_type": content_type,
        "base": identity.rpartition("@")[2],  # whatever its folder is called now
        **asdict(config),
        "learning_rate": config.peak,
        "targets": targets,
    }
    checkpoints = out / "checkpoints"
    checkpoint, incomplete = find_checkpoint(checkpoints) if resume else (None, [])
    if checkpoint is not None:
        refuse_another_run(checkpoint, run)
    with library_bars("transformers", shown=progress):
        annotator = load_annotator(base, revision=named.commit or "main", device="cpu", dtype=torch.float32)
    model, processor = annotator.model, annotator.processor
    model.config.use_cache = False
    set_taxonomy(model.config, manifest.taxonomy)
    model.model.vision_tower.requires_grad_(config.train_tower)
    model.model.freeze_unused_layers()
    network: Any = model
    if config.method == "lora":
        network = with_lora(model, config.rank)
    train = Conversations(
        splits["train"], processor, caption=config.caption, augment=True, seed=config.seed, targets=targets
    )
    validation = Conversations(splits["validation"], processor, caption=False, augment=False, seed=0)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.peak,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_recall",
        greater_is_better=True,
        logging_strategy="epoch",
        report_to=[],
        seed=config.seed,
        data_seed=config.seed,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=config.gradient_checkpointing,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        dataloader_num_workers=min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0,
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
    )
    trainer = AnnotatorTrainer(
        model=network,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processor=processor,
        emotions=manifest.taxonomy.names,
        run=run,
        callbacks=[_Epoch(train), _EarlyStopping(config.patience)],
    )
    trainer.remove_callback(PrinterCallback)  # it prints where --json does
    if progress:
        trainer.add_callback(_Report())
    if trainer.is_world_process_zero():
        for path in incomplete:
            shutil.rmtree(path)
        if not resume and checkpoints.is_dir():
            shutil.rmtree(checkpoints)
    trainer.accelerator.wait_for_everyone()
    if checkpoint is not None and is_finished(checkpoint, config):
        # The Trainer would do at least one step more.
        trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        trainer.state.best_model_checkpoint = str(best_checkpoint(checkpoints, trainer.state))
        trainer._load_best_model()
    else:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    scores, labels = trainer.score(validation)
    divided = torch.from_numpy(distributions_of(splits["validation"].clips, targets))
    temperature = fit_temperature(scores, labels if targets == "hard" else divided)
    network = trainer.accelerator.unwrap_model(trainer.model)
    model = network.merge_and_unload() if config.method == "lora" else network
    model.config.use_cache = True
    model.config.emotion_temperature = temperature
    vars(model.config).pop("captions", None)
    if not config.caption:
        model.config.captions = False  # it was not taught to write them
    predicted = scores.argmax(-1)
    result = TrainingResult(
        out=out,
        macro_recall=macro_recall(predicted, labels),
        accuracy=float((predicted == labels).float().mean()),
        calibration_error=calibration_error((scores / temperature).softmax(-1), labels),
        temperature=temperature,
        steps=trainer.state.global_step,
        targets=targets,
        **_with_people(splits["validation"].clips, (scores / temperature).softmax(-1).double().numpy()),
    )
    if trainer.is_world_process_zero():
        sources = {
            # The card goes to the Hub with the weights: no password, and of a folder only its name.
            "data": without_credentials(str(data)),
            "data_location": store.name if store.folder is None else store.folder.name,
            "data_digest": manifest.source_digest,
            "data_version": manifest.version,
            "data_config": content_type or "all",
            "emotions": list(manifest.taxonomy.names),
            "base": str(base),
            "base_identity": identity,
        }
        clips = {split: len(chosen) for split, chosen in splits.items()}
        measured = asdict(result)
        del measured["out"]
        probabilities = (scores / temperature).softmax(-1)
        measured["reliability"] = reliability(probabilities.numpy(), labels.numpy()).to_json()
        card = run_card(sources, clips, asdict(config), measured, trainer.state.log_history)
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float16
        assemble_repo(out, model=model, processor=processor, card=readme(card), dtype=dtype)
        (out / RUN_CARD).write_text(json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _with_people(clips: Sequence[Clip], probabilities: np.ndarray) -> dict[str, float | None]:
    """How far probabilities agree with the people who rated the clips, where several did."""
    rated = [place for place, clip in enumerate(clips) if is_soft(clip, "auto")]
    if not rated:
        return {"soft_accuracy": None, "js_divergence": None}
    truth = distributions_of([clips[place] for place in rated], "auto")
    found = probabilities[rated]
    return {
        "soft_accuracy": float(soft_accuracy(truth, found.argmax(-1)).mean()),
        "js_divergence": float(js_divergence(truth, found).mean()),
    }


def with_lora(model: Any, rank: int) -> Any:
    """An annotator's model with adapters in the language model and a projector that is trained whole.

    Args:
        model: `NVILALiteForConditionalGeneration`; it is wrapped, not copied.
        rank: of the adapters; alpha is twice that.

    Returns:
        The `PeftModel`.
    """
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS, modules_to_save=["multi_modal_projector"]
    )
    return get_peft_model(model, settings)
