#!/usr/bin/env python3
"""The paper's claim in miniature: train everything from scratch, generate, judge, tabulate.

::

    python tools/reproduce.py all                 # every stage that is not done yet
    python tools/reproduce.py vae                 # one stage, and whatever it needs
    python tools/reproduce.py all --tiny          # the same chain in a minute, to see that it runs
    python tools/reproduce.py ship                # models and results into emovid_models/mini

A stage is done when its record `OUT/stages/NAME.json` carries the hash of its settings and of the outputs
that it reads; where these change it runs again. Each stage runs in a process of its own; its record says
seed, seconds and peak memory, and `OUT/logs/NAME.log` what it printed. Stages that are cut off go on.

No reserved emoji, no held-out sticker and no variant of one (same first code point) is in any training.
"""

from __future__ import annotations

import csv
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, UMT5EncoderModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import emovid_models
from emovid_dataset.builder.build import build
from emovid_dataset.media.frames import decode
from emovid_dataset.read.loading import select
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.manifest import write_atomic
from emovid_dataset.terminal import print_table
from emovid_models import MINI_ANNOTATOR
from emovid_models.evaluation import protocol as evaluation
from emovid_models.publish.cards import weight_hashes
from emovid_models.records import REPRODUCTION, RUN_CARD
from emovid_models.remote.wan.lora import FACTS_KEY, WEIGHT_NAME, read_header, write_safetensors
from emovid_models.wan.encode import fit, frame_indices
from emovid_models.wan.generate import load_pipeline
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.train_lora import train_lora
from tools.mini_corpus import MINI
from tools.mini_corpus.fetch import emoji_folder, training_emoji
from tools.mini_corpus.labels import read_stickers, reserved_assets
from tools.mini_wan.base import WanSize, save_base
from tools.mini_wan.captions import caption_of, subject_of
from tools.mini_wan.clips import FRAMES, SHARES, SIZE, EmojiClips, read_emoji
from tools.mini_wan.text import TextEmbeddings, known_texts, new_text_encoder, new_tokenizer
from tools.mini_wan.training import Schedule
from tools.mini_wan.transformer import new_transformer, train_transformer, widen_for_images
from tools.mini_wan.vae import encode_clips, new_vae, reconstruction_psnr, train_vae

PACKAGE = Path(emovid_models.__file__).parent
SHIPPED = PACKAGE / "mini"
RESULTS = SHIPPED / REPRODUCTION
MODELS = ("wan-t2v", "wan-i2v", "lora-t2v", "lora-i2v")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the result depends on.

    Attributes:
        seed: of everything random.
        threads: of torch; sums in another order come out a little different.
        ratios: shares of train, validation and test among the labelled stickers.
        size: of the model.
        vae: training of the VAE; its batch counts frames.
        vae_cuts: its second round, with cuts.
        t2v: pre-training of the T2V base.
        i2v: of the I2V base, which starts from the T2V base.
        lora_steps: optimizer steps of each LoRA.
        lora_batch: clips a step.
        t2v_lora_steps: of the T2V LoRA, which has no first frame that tells of the emotion.
        t2v_caption_dropout: share of its samples that keep only the emotion.
        emotion_dropout: share of the samples without their emotion; emotion guidance goes from these to the
            others, so that both must be learnt.
        lora_rank: of each LoRA, and its alpha.
        lora_rate: learning rate.
        emoji: at most this many emoji for VAE and bases.
        flow_shift: of the scheduler.
        denoising: steps of a generated video.
        guidance: by the prompt.
        emotion_guidance: by the emotion. Where it equals the guidance by the prompt, the emotion is a word of
            the text like any other, and the small LoRA says little.
        t2v_prompts: scenes an emotion.
        i2v_videos: videos an emotion, by several seeds a first frame.
        ablation_prompts: scenes an emotion.
    """

    seed: int = 0
    threads: int = 1
    ratios: tuple[float, float, float] = (0.7, 0.1, 0.2)
    size: WanSize = field(default_factory=WanSize)
    vae: Schedule = field(
        default_factory=lambda: Schedule(steps=4500, batch_size=34, learning_rate=2e-3, image_share=0.2)
    )
    vae_cuts: Schedule = field(
        default_factory=lambda: Schedule(steps=3600, batch_size=34, learning_rate=1.5e-3)
    )
    t2v: Schedule = field(
        default_factory=lambda: Schedule(steps=3000, batch_size=12, learning_rate=1.5e-3, image_share=0.6)
    )
    i2v: Schedule = field(default_factory=lambda: Schedule(steps=700, batch_size=12, learning_rate=8e-4))
    lora_steps: int = 900
    t2v_lora_steps: int = 2400
    t2v_caption_dropout: float = 0.3
    emotion_dropout: float = 0.05
    lora_batch: int = 8
    lora_rank: int = 16
    lora_rate: float = 1e-3
    emoji: int = 4000
    flow_shift: float = 2.0
    denoising: int = 8
    guidance: float = 3.0
    emotion_guidance: float = 6.0
    t2v_prompts: int = 40
    i2v_videos: int = 40
    ablation_prompts: int = 10


TINY = Settings(
    threads=1,
    size=WanSize(vae_dim=4, width=24, heads=2, layers=1, text_dim=16),
    vae=Schedule(steps=3, batch_size=5, learning_rate=1e-3, checkpoint_every=2),
    vae_cuts=Schedule(steps=2, batch_size=17, learning_rate=1e-3, checkpoint_every=2),
    t2v=Schedule(steps=3, batch_size=2, learning_rate=1e-3, image_share=0.4, checkpoint_every=2),
    i2v=Schedule(steps=2, batch_size=2, learning_rate=1e-3),
    lora_steps=2,
    t2v_lora_steps=2,
    lora_batch=2,
    lora_rank=2,
    emoji=60,
    denoising=2,
    t2v_prompts=1,
    i2v_videos=1,
    ablation_prompts=1,
)
"""The whole chain with next to nothing in it: shows that it runs, and nothing else."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the chain: its settings and its folder.

    Attributes:
        settings: what the result depends on.
        out: everything is written below.
    """

    settings: Settings
    out: Path

    @property
    def build(self) -> Path:
        """The build of the labelled stickers."""
        return self.out / "EmoVid"

    @property
    def clips(self) -> Path:
        """The emoji for VAE and bases."""
        return self.out / "emoji.npz"

    def model(self, name: str) -> Path:
        """Folder of the VAE or of one of `MODELS`."""
        return self.out / "models" / name

    def videos(self, name: str) -> Path:
        """Folder of generated videos, such as "t2v/base"."""
        return self.out / "videos" / name


# Data


def held_out_code_points(run: Run) -> frozenset[str]:
    """First code points of what no training may see: held-out stickers, and reserved emoji."""
    held = {item.group for item in select(run.build, split=("validation", "test")).clips if item.group}
    reserved = {Path(asset).stem.partition("-")[0] for asset in reserved_assets()}
    return frozenset(held | reserved)


def training_paths(run: Run) -> list[Path]:
    """The emoji that VAE and bases are trained on: those with a subject, one skin tone of each."""
    hidden = held_out_code_points(run)
    tones = {f"{tone:x}" for tone in range(0x1F3FB, 0x1F400)}
    paths = [
        path
        for path in training_emoji()
        if subject_of(path.stem) is not None
        and path.stem.partition("-")[0] not in hidden
        and not tones & set(path.stem.split("-"))
    ]
    return paths[:: max(1, len(paths) // run.settings.emoji)][: run.settings.emoji]


def write_labels(path: Path) -> None:
    """The label sheet of the stickers, with captions that tell of no emotion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "emotion", "content_type", "caption", "group", "license", "source"))
        for sticker in read_stickers():
            stem = Path(sticker.asset).stem
            caption = caption_of(stem)
            writer.writerow(
                (sticker.path, sticker.emotion, "sticker", caption, sticker.group, "MIT", sticker.package)
            )


def data(run: Run) -> list[Path]:
    """Build the labelled stickers with a split of their own; decode the emoji for VAE and bases."""
    emoji_folder()
    write_labels(run.out / "labels.csv")
    build(MINI, run.out / "labels.csv", run.build, ratios=run.settings.ratios, overwrite=True)
    paths = training_paths(run)
    with ProcessPoolExecutor(run.settings.threads) as pool:
        pixels = list(pool.map(read_emoji, paths, chunksize=16))
    EmojiClips(tuple(path.stem for path in paths), torch.stack(pixels)).save(run.clips)
    print(f"{len(paths)} emoji, {len(select(run.build, split='train').clips)} labelled stickers to train on")
    return [run.build / "manifest.json", run.clips]


# Training


def _vae_checkpoints(run: Run) -> list[Path]:
    return [run.out / "checkpoints" / name for name in ("vae.pt", "vae-cuts.pt")]


def vae(run: Run) -> list[Path]:
    """Train the VAE."""
    clips = EmojiClips.load(run.clips)
    model = new_vae(run.settings.size, run.settings.seed)
    checkpoints = _vae_checkpoints(run)
    checkpoints[0].parent.mkdir(parents=True, exist_ok=True)
    schedules = (run.settings.vae, run.settings.vae_cuts)
    train_vae(model, clips, schedules, run.settings.seed, checkpoints)
    model.half().save_pretrained(run.model("vae"))
    model = AutoencoderKLWan.from_pretrained(run.model("vae"))
    held = np.stack([_held_out_pixels(item.video, item.clip.fps) for item in select(run.build, split="test")])
    psnr = reconstruction_psnr(model, torch.from_numpy(held))
    print(f"PSNR on {len(held)} held-out stickers: {psnr:.2f} dB")
    write_atomic(run.out / "vae.json", json.dumps({"held_out_psnr_db": round(psnr, 2)}).encode())
    return [run.model("vae")]


def base_t2v(run: Run) -> list[Path]:
    """Pre-train the T2V base, on texts without emotion."""
    return _train_base(run, "t2v")


def base_i2v(run: Run) -> list[Path]:
    """Pre-train the I2V base, from the T2V base's weights."""
    return _train_base(run, "i2v")


def prompted_clips(run: Run, clips: EmojiClips) -> EmojiClips:
    """The clips that a base is worth training on: subjects that prompts ask for, and labelled stickers."""
    labelled = {Path(sticker.asset).stem for sticker in read_stickers()}
    rows = [index for index, stem in enumerate(clips.stems) if subject_of(stem) in SHARES or stem in labelled]
    return EmojiClips(tuple(clips.stems[index] for index in rows), clips.pixels[rows])


def _train_base(run: Run, task: str) -> list[Path]:
    settings = run.settings
    clips = prompted_clips(run, EmojiClips.load(run.clips))
    vae = AutoencoderKLWan.from_pretrained(run.model("vae"))
    both = torch.stack([clips.pixels, clips.pixels.flip(-1)], dim=1).flatten(0, 1)

    def encoded(first_only: bool) -> torch.Tensor:
        return encode_clips(vae, both, first_only=first_only).unflatten(0, (-1, 2))

    latents = encoded(False)
    conditions = encoded(True) if task == "i2v" else None
    print("clips are encoded", flush=True)
    if task == "t2v":
        tokenizer = new_tokenizer(known_texts(clips.stems))
        encoder = new_text_encoder(settings.size, len(tokenizer), settings.seed)
        transformer = new_transformer(settings.size, settings.seed)
    else:
        base = run.model("wan-t2v")
        tokenizer = AutoTokenizer.from_pretrained(base, subfolder="tokenizer")
        encoder = UMT5EncoderModel.from_pretrained(base, subfolder="text_encoder")
        transformer = widen_for_images(
            WanTransformer3DModel.from_pretrained(base, subfolder="transformer"), settings.size
        )
    train_transformer(
        transformer,
        TextEmbeddings(tokenizer, encoder),
        clips.stems,
        latents,
        conditions,
        settings.t2v if task == "t2v" else settings.i2v,
        settings.flow_shift,
        settings.seed,
        run.out / "checkpoints" / f"base-{task}.pt",
    )
    folder = run.model(f"wan-{task}")
    shutil.rmtree(folder, ignore_errors=True)
    save_base(
        folder,
        vae=vae,
        tokenizer=tokenizer,
        text_encoder=encoder,
        transformer=transformer,
        shift=settings.flow_shift,
        image_to_video=task == "i2v",
    )
    return [folder]


def lora_t2v(run: Run) -> list[Path]:
    """Train the emotion LoRA for T2V."""
    return _train_lora(run, "t2v")


def lora_i2v(run: Run) -> list[Path]:
    """Train the emotion LoRA for I2V."""
    return _train_lora(run, "i2v")


def _train_lora(run: Run, task: str) -> list[Path]:
    work = run.out / "lora" / task
    settings = LoraSettings(
        task=task,
        data=str(run.build),
        base=str(run.model(f"wan-{task}")),
        out=str(work),
        content_type="sticker",
        steps=run.settings.t2v_lora_steps if task == "t2v" else run.settings.lora_steps,
        batch_size=run.settings.lora_batch,
        learning_rate=run.settings.lora_rate,
        rank=run.settings.lora_rank,
        alpha=run.settings.lora_rank,
        height=SIZE,
        width=SIZE,
        max_frames=FRAMES,
        checkpointing=False,
        emotion_dropout=run.settings.emotion_dropout,
        caption_dropout=run.settings.t2v_caption_dropout if task == "t2v" else 0.05,
        text_dropout=0.1,
        checkpoint_every=100,
        seed=run.settings.seed,
    )
    # Without the cache: it would keep the adapter's first weights in bfloat16 for the whole training.
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        path = train_lora(settings)
    folder = run.model(f"lora-{task}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / WEIGHT_NAME)
    return [folder]


# Generating


def _options(run: Run, **changes: Any) -> dict[str, Any]:
    return {
        "height": SIZE,
        "width": SIZE,
        "num_frames": FRAMES,
        "num_inference_steps": run.settings.denoising,
        "guidance_scale": run.settings.guidance,
        "emotion_guidance_scale": run.settings.emotion_guidance,
        **changes,
    }


def _generate(
    run: Run, task: str, name: str, prompts: list[evaluation.Prompt], *, lora: bool, **options: Any
) -> Path:
    base = run.model(f"wan-{task}")
    adapter = run.model(f"lora-{task}") if lora else None
    pipe = load_pipeline(base, image_to_video=task == "i2v", lora=adapter)
    pipe.set_progress_bar_config(disable=True)
    # Weights that are mapped from a file lie at any address, and sums depend on it in the last bit.
    for part in (pipe.transformer, pipe.vae, pipe.text_encoder):
        for parameter in part.parameters():
            parameter.data = parameter.data.clone()
    folder = run.videos(name)
    intensity = options.pop("intensity", 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        evaluation.generate_videos(
            pipe,
            prompts,
            folder,
            model=evaluation.generator_identity(base, pipe, adapter),
            seed=run.settings.seed,
            intensity=intensity,
            progress=True,
            **_options(run, **options),
        )
    return folder


def generate_t2v(run: Run) -> list[Path]:
    """Generate from prompts with base and LoRA."""
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.t2v_prompts)
    return [_generate(run, "t2v", f"t2v/{name}", prompts, lora=name == "lora") for name in ("base", "lora")]


def _held_out_pixels(video: bytes, fps: float) -> np.ndarray:
    frames = decode(video, frames=lambda count: frame_indices(count, fps, FRAMES))
    return fit(frames, SIZE, SIZE).numpy()


def first_frames(run: Run) -> list[evaluation.Prompt]:
    """The held-out stickers as I2V prompts: first frame, caption, and the clip's own emotion.

    Every emotion gets `Settings.i2v_videos`, its clips in turn, each with as many seeds as that takes. Seeds
    differ by the image's file, so an image is written once a seed.
    """
    folder = run.out / "first-frames"
    folder.mkdir(parents=True, exist_ok=True)
    test = list(select(run.build, split="test", content_type="sticker"))
    prompts = []
    for emotion in EMOTIONS:
        clips = [item for item in test if item.clip.emotion == emotion]
        wanted = run.settings.i2v_videos if clips else 0
        for index in range(wanted):
            seed, place = divmod(index, len(clips))
            item = clips[place]
            image = folder / f"{item.clip.id}-{seed:02d}.png"
            Image.fromarray(_held_out_pixels(item.video, item.clip.fps)[0].transpose(1, 2, 0)).save(image)
            prompts.append(
                evaluation.Prompt(
                    id=f"{emotion}-{item.clip.id}-{seed:02d}",
                    emotion=emotion,
                    content_type="sticker",
                    prompt=item.clip.caption,
                    image=str(image),
                )
            )
    return prompts


def generate_i2v(run: Run) -> list[Path]:
    """Generate from held-out first frames with base and LoRA."""
    prompts = first_frames(run)
    return [_generate(run, "i2v", f"i2v/{name}", prompts, lora=name == "lora") for name in ("base", "lora")]


def controls(run: Run) -> list[Path]:
    """Generate with the bases once more, not told of any emotion.

    Words of moods that a base has never seen, strongly guided by, spoil its videos. This tells how much of
    the LoRA's lead is only that.
    """
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.t2v_prompts)
    return [
        _generate(run, "t2v", "control/t2v", prompts, lora=False, intensity=0.0),
        _generate(run, "i2v", "control/i2v", first_frames(run), lora=False, intensity=0.0),
    ]


ABLATION: tuple[tuple[bool, float, float], ...] = (
    (False, 1.0, 0.0),
    (True, 1.0, 0.0),
    (True, 0.0, 0.5),
    (True, 0.0, 1.0),
    (True, 0.0, 1.5),
    (True, 0.5, 1.0),
    (True, 1.0, 0.5),
    (True, 1.0, 1.0),
    (True, 1.0, 1.5),
)
"""LoRA or base, emotion guidance as a share of `Settings.emotion_guidance`, intensity."""


def _ablation_name(lora: bool, guidance: float, intensity: float) -> str:
    return f"ablation/{'lora' if lora else 'base'}-guidance-{guidance:g}-intensity-{intensity:g}"


def ablation(run: Run) -> list[Path]:
    """Generate on fewer prompts with emotion guidance off and on, at several intensities."""
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.ablation_prompts)
    folders = []
    for lora, guidance, intensity in ABLATION:
        scale = guidance * run.settings.emotion_guidance
        name = _ablation_name(lora, guidance, intensity)
        folders.append(
            _generate(run, "t2v", name, prompts, lora=lora, intensity=intensity, emotion_guidance_scale=scale)
        )
    base, at_zero = folders[:2]
    apart = max(
        np.abs(decode(video).astype(float) - decode(at_zero / video.name).astype(float)).mean()
        for video in sorted(base.glob("*.mp4"))
    )
    print(f"LoRA at intensity 0 and base: {apart:.3f} of 255 apart at most, mean over a video")
    if apart > 8:
        raise RuntimeError(f"the LoRA at intensity 0 is {apart:.1f} of 255 away from the base")
    return folders


# Judging


def judge(run: Run) -> list[Path]:
    """Let the annotator and the second judge score all videos, and real held-out clips."""
    from tools.second_judge import train_second_judge

    train = list(select(run.build, split="train", content_type="sticker"))
    files = run.out / "second-judge"
    files.mkdir(parents=True, exist_ok=True)
    paths = []
    for item in train:
        paths.append(files / f"{item.clip.id}.mp4")
        paths[-1].write_bytes(item.video)
    second = train_second_judge(
        paths, [item.clip.label for item in train], [str(item.clip.group) for item in train]
    )
    first = evaluation.load_judge(MINI_ANNOTATOR)
    work = run.out / "judged"
    record: dict[str, Any] = {}
    for task in ("t2v", "i2v"):
        compared = []
        for name, judge in (("annotator", first), ("second", second)):
            base, lora = (
                evaluation.judge_videos(
                    run.videos(f"{task}/{kind}"),
                    run.videos(f"{task}/{kind}") / evaluation.INTENDED_NAME,
                    judge,
                    out=work / name / task / kind,
                )
                for kind in ("base", "lora")
            )
            compared.append(evaluation.to_record(evaluation.compare(base, lora)))
            folder = run.videos(f"control/{task}")
            control = evaluation.judge_videos(
                folder, folder / evaluation.INTENDED_NAME, judge, out=work / name / "control" / task
            )
            compared[-1]["control"] = evaluation.to_record(evaluation.compare(control, lora))
        record[task] = {**compared[0], "second_judge": compared[1]}
    record["ablation"] = [
        {
            "emotion_guidance": guidance * run.settings.emotion_guidance,
            "intensity": intensity,
            "figures": evaluation.to_record(
                evaluation.score(
                    evaluation.judge_videos(
                        run.videos(name), run.videos(name) / evaluation.INTENDED_NAME, first, out=work / name
                    )
                )
            ),
            **({} if lora else {"base": True}),
        }
        for lora, guidance, intensity in ABLATION
        for name in [_ablation_name(lora, guidance, intensity)]
    ]
    record["second_judge"] = {
        "identity": second.identity,
        "held_out": evaluation.to_record(
            evaluation.score(
                evaluation.judge_clips(
                    run.build, second, split="test", content_type="sticker", out=work / "second" / "held-out"
                )
            )
        ),
    }
    record["judge"] = {"identity": first.identity}
    write_atomic(run.out / "judged.json", json.dumps(record, indent=1).encode())
    return [run.out / "judged.json"]


def table(run: Run) -> list[Path]:
    """Put the results together: `reproduction.json`, and the table on the terminal."""
    judged = json.loads((run.out / "judged.json").read_text())
    records = read_records(run)
    settings = run.settings
    result = {
        "t2v": judged["t2v"],
        "i2v": judged["i2v"],
        "judge": judged["judge"],
        "second_judge": judged["second_judge"],
        "ablation": judged["ablation"],
        "paper": evaluation.paper_record(),
        "stages": {
            name: {key: records[name][key] for key in ("seed", "seconds", "peak_mb")}
            for name in STAGES
            if "seconds" in records.get(name, {})
        },
        "settings": {
            "size": f"{SIZE}x{SIZE}",
            "num_frames": FRAMES,
            "steps": settings.denoising,
            "guidance_scale": settings.guidance,
            "emotion_guidance_scale": settings.emotion_guidance,
            "prompts": settings.t2v_prompts,
        },
    }
    path = run.out / REPRODUCTION
    write_atomic(path, (json.dumps(result, indent=1) + "\n").encode())
    write_atomic(run.out / "table.json", json.dumps(table_rows(result)).encode())
    print_table("EA-8cls and EA-2cls", TABLE_COLUMNS, table_rows(result))
    return [run.out / "table.json"]


TABLE_COLUMNS = ("task", "model", "videos", "EA-8cls", "95 % interval", "EA-2cls", "McNemar p", "2nd judge")


def table_rows(result: dict[str, Any]) -> list[list[object]]:
    """The table of base against LoRA, from `reproduction.json`."""
    rows: list[list[object]] = []
    for task in ("t2v", "i2v"):
        for name in ("base", "lora"):
            figures = result[task][name]
            ea, second = figures["ea_8cls"], result[task]["second_judge"][name]["ea_8cls"]
            rows.append(
                [
                    task,
                    name,
                    figures["n"],
                    round(ea["value"], 4),
                    f"{ea['low']:.4f}-{ea['high']:.4f}",
                    round(figures["ea_2cls"]["value"], 4),
                    f"{result[task]['mcnemar_p']:.2g}" if name == "lora" else None,
                    round(second["value"], 4),
                ]
            )
        control, second = (judge["control"]["base"] for judge in (result[task], result[task]["second_judge"]))
        rows.append(
            [
                task,
                "base, not told",
                control["n"],
                round(control["ea_8cls"]["value"], 4),
                f"{control['ea_8cls']['low']:.4f}-{control['ea_8cls']['high']:.4f}",
                round(control["ea_2cls"]["value"], 4),
                f"{result[task]['control']['mcnemar_p']:.2g}",
                round(second["ea_8cls"]["value"], 4),
            ]
        )
    return rows


# Shipping

_CARD = """\
---
license: mit
{base}---

# {title}

{text} Seed {seed}.
`training.json` holds all settings, seconds and peak memory; `tools/reproduce.py` trains it anew.

Trained on Fluent Emoji, Copyright (c) Microsoft Corporation, MIT; packages, Copyright (c) 2023 LobeHub, MIT.
The full text stands in `emovid_dataset/mini/LICENSES.md`.
"""

_TEXTS = {
    "wan-t2v": "Wan2.1's architecture at small size, from scratch on animated emoji with captions that tell "
    "of no emotion. It knows faces, people, animals, hands, hearts and the sky, 64x64, 17 frames.",
    "wan-i2v": "The text-to-video miniature, trained on with a first frame; without CLIP.",
    "lora-t2v": "Adds eight emotions to `wan-t2v`; trained on the labelled stickers of the training split.",
    "lora-i2v": "Adds eight emotions to `wan-i2v`; trained on the labelled stickers of the training split.",
}


def ship(run: Run, target: Path = SHIPPED) -> None:
    """Copy models and results into the package, without the names of this machine's folders.

    Args:
        run: a run of the whole chain.
        target: the folder with the miniatures.
    """
    records = read_records(run)
    for name in MODELS:
        kind, task = name.split("-")
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.model(name), folder)
        for path in folder.rglob("*.json"):
            content = json.loads(path.read_text())
            if isinstance(content, dict):
                named = ("_name_or_path", "name_or_path")
                kept = {key: value for key, value in content.items() if key not in named}
                path.write_text(json.dumps(kept, indent=2) + "\n")
        if kind == "lora":
            _rename_base(folder / WEIGHT_NAME, f"emovid/mini-wan-{task}")
        wanted = chain(f"lora-{task}" if kind == "lora" else f"base-{task}")
        card = {
            "task": task,
            "settings": asdict(run.settings),
            "stages": {
                stage: {
                    key: records[stage][key]
                    for key in ("seed", "seconds", "peak_mb")
                    if key in records[stage]
                }
                for stage in wanted
                if stage in records
            },
            "data": "animated Fluent emoji without the reserved and the held-out ones and their variants",
        }
        if kind == "lora":
            card["base"] = f"emovid/mini-wan-{task}"
        (folder / RUN_CARD).write_text(json.dumps(card, indent=1) + "\n")
        base = f"base_model: emovid/mini-wan-{task}\n" if kind == "lora" else ""
        title = f"Miniature {'emotion LoRA' if kind == 'lora' else 'Wan2.1'}, {task.upper()}"
        (folder / "README.md").write_text(
            _CARD.format(base=base, title=title, text=_TEXTS[name], seed=run.settings.seed)
        )
    result = run.out / REPRODUCTION
    if result.exists():
        # By these a card knows whose results they are.
        weights = {
            name: weight_hashes(target / name, list((target / name).rglob("*.safetensors")))
            for name in MODELS
        }
        found = {**json.loads(result.read_text()), "weights": weights}
        write_atomic(target / RESULTS.name, (json.dumps(found, indent=1) + "\n").encode())
    size = sum(
        path.stat().st_size for name in MODELS for path in (target / name).rglob("*") if path.is_file()
    )
    print(f"{target}: {size / 1e6:.1f} MB of models")


def _rename_base(path: Path, base: str) -> None:
    header = read_header(path)
    facts = {**json.loads(header[FACTS_KEY]), "base": base}
    kept = {key: value for key, value in header.items() if key != "format"}
    write_safetensors(path, load_file(path), {**kept, FACTS_KEY: json.dumps(facts)})


# Stages


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the chain.

    Attributes:
        run: does it and returns what it wrote.
        needs: stages whose outputs it reads.
        settings: names of the settings that it reads.
    """

    run: Callable[[Run], list[Path]]
    needs: tuple[str, ...]
    settings: tuple[str, ...]


_MODEL = ("seed", "threads", "size")
_VIDEOS = ("seed", "threads", "denoising", "guidance", "emotion_guidance")
_LORA = (*_MODEL, "lora_steps", "lora_batch", "lora_rank", "lora_rate", "emotion_dropout")

STAGES: dict[str, Stage] = {
    "data": Stage(data, (), ("ratios", "emoji")),
    "vae": Stage(vae, ("data",), (*_MODEL, "vae", "vae_cuts")),
    "base-t2v": Stage(base_t2v, ("data", "vae"), (*_MODEL, "t2v", "flow_shift")),
    "base-i2v": Stage(base_i2v, ("data", "vae", "base-t2v"), (*_MODEL, "i2v", "flow_shift")),
    "lora-t2v": Stage(lora_t2v, ("data", "base-t2v"), (*_LORA, "t2v_lora_steps", "t2v_caption_dropout")),
    "lora-i2v": Stage(lora_i2v, ("data", "base-i2v"), _LORA),
    "generate-t2v": Stage(generate_t2v, ("base-t2v", "lora-t2v"), (*_VIDEOS, "t2v_prompts")),
    "generate-i2v": Stage(generate_i2v, ("data", "base-i2v", "lora-i2v"), (*_VIDEOS, "i2v_videos")),
    "controls": Stage(controls, ("data", "base-t2v", "base-i2v"), (*_VIDEOS, "t2v_prompts", "i2v_videos")),
    "ablation": Stage(ablation, ("base-t2v", "lora-t2v"), (*_VIDEOS, "ablation_prompts")),
    "judge": Stage(judge, ("data", "generate-t2v", "generate-i2v", "controls", "ablation"), ()),
    "table": Stage(table, ("judge",), ()),
}


def read_records(run: Run) -> dict[str, dict[str, Any]]:
    """The records of the stages that are done, by name."""
    paths = {name: run.out / "stages" / f"{name}.json" for name in STAGES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def digest(paths: list[Path]) -> str:
    """sha256 of files and of all files in folders, by name and content."""
    whole = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                whole.update(f"{file.name} {file.stat().st_size} ".encode() + file.read_bytes())
    return whole.hexdigest()


def inputs_of(run: Run, name: str) -> str:
    """Hash of the settings and inputs of a stage; the judge is an input of its own."""
    stage = STAGES[name]
    records = read_records(run)
    parts: dict[str, Any] = {key: asdict(run.settings)[key] for key in stage.settings}
    parts |= {need: records.get(need, {}).get("output") for need in stage.needs}
    if name == "judge":
        parts["annotator"] = digest(sorted(MINI_ANNOTATOR.glob("*.safetensors")))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_done(run: Run, name: str) -> bool:
    """Whether the stage's record is there and belongs to these settings and inputs."""
    record = read_records(run).get(name)
    return record is not None and record["inputs"] == inputs_of(run, name)


def run_stage(run: Run, name: str) -> None:
    """Do one stage in this process and write its record."""
    inputs = inputs_of(run, name)
    begun = run.out / "stages" / f"{name}.begun"
    if not begun.exists() or begun.read_text() != inputs:
        # What another run of this stage left behind would be taken for this one's.
        for left in _intermediate(run, name):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        (run.out / "stages" / f"{name}.spent").unlink(missing_ok=True)
        write_atomic(begun, inputs.encode())
    torch.set_num_threads(run.settings.threads)
    started = time.monotonic()
    spent_before = run.out / "stages" / f"{name}.spent"
    spent = float(spent_before.read_text()) if spent_before.exists() else 0.0
    try:
        outputs = STAGES[name].run(run)
    finally:
        # A stage that goes on where it was cut off has also taken the time before.
        spent += time.monotonic() - started
        write_atomic(spent_before, str(spent).encode())
    spent_before.unlink()
    record = {
        "inputs": inputs,
        "output": digest(outputs),
        "seed": run.settings.seed,
        "seconds": round(spent, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    write_atomic(run.out / "stages" / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())


def _intermediate(run: Run, name: str) -> list[Path]:
    kind, _, task = name.partition("-")
    return {
        "vae": _vae_checkpoints(run),
        "base": [run.out / "checkpoints" / f"{name}.pt"],
        "lora": [run.out / "lora" / task],
        "generate": [run.videos(task)],
        "ablation": [run.videos("ablation")],
        "controls": [run.videos("control")],
        "judge": [run.out / "judged"],
    }.get(kind, [])


def chain(name: str) -> list[str]:
    """A stage and all that it needs, in order; "all" for every stage."""
    wanted = set(STAGES) if name == "all" else {name}
    for stage in reversed(STAGES):
        if stage in wanted:
            wanted.update(STAGES[stage].needs)
    return [stage for stage in STAGES if stage in wanted]


@contextmanager
def _log(path: Path) -> Iterator[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file


def reproduce(run: Run, name: str, *, tiny: bool) -> None:
    """Run a stage and whatever it needs and is not done, each in a process of its own.

    Raises:
        RuntimeError: a stage failed; the message says where its log is.
    """
    for stage in chain(name):
        if is_done(run, stage):
            print(f"{stage}: done before", flush=True)
            continue
        log = run.out / "logs" / f"{stage}.log"
        command = [sys.executable, __file__, stage, "--out", str(run.out), "--inside"]
        started = time.monotonic()
        print(f"{stage}: running, see {log}", flush=True)
        with _log(log) as file:
            code = subprocess.call(command + ["--tiny"] * tiny, stdout=file, stderr=subprocess.STDOUT)
        if code:
            raise RuntimeError(f"stage {stage} failed with code {code}; {log} says why")
        print(f"{stage}: done in {time.monotonic() - started:.0f} s", flush=True)


def main(
    stage: str = typer.Argument("all", help=f"all, ship, or one of {', '.join(STAGES)}."),
    out: Path = typer.Option(Path("out/reproduce"), help="Everything is written below."),
    tiny: bool = typer.Option(False, help="Next to nothing of everything: shows that the chain runs."),
    inside: bool = typer.Option(False, hidden=True),
) -> None:
    """Reproduce the paper's claim in miniature. Example: python tools/reproduce.py all

    "ship" copies models and results of a finished run into the package.
    """
    if stage not in ("all", "ship", *STAGES):
        raise typer.BadParameter(f"stage {stage!r} is unknown; allowed: all, ship, {', '.join(STAGES)}")
    run = Run(TINY if tiny else Settings(), out.resolve())
    if stage == "ship":
        ship(run)
        return
    if inside:
        run_stage(run, stage)
        return
    try:
        reproduce(run, stage, tiny=tiny)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if stage in ("all", "table"):
        result = json.loads((run.out / REPRODUCTION).read_text())
        print_table("EA-8cls and EA-2cls", TABLE_COLUMNS, table_rows(result))


if __name__ == "__main__":
    typer.run(main)
