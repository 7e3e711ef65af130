"""The generating stages: base and LoRA on the same prompts, the controls, and the ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import select
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.wan.loading import PipelineSource
from tools.mini_wan.clips import FRAMES, SIZE
from tools.mini_wan.text import OTHER_WORDING, WORDING
from tools.mini_wan.training import half_precision
from tools.reproduce.data import held_out_pixels
from tools.reproduce.run import Run

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


def generate_t2v(run: Run) -> list[Path]:
    """Generate from prompts with base and LoRA."""
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.t2v_prompts)
    return [_generate(run, "t2v", f"t2v/{name}", prompts, lora=name == "lora") for name in ("base", "lora")]


def generate_t2v_mood(run: Run) -> list[Path]:
    """Generate from the same prompts with the LoRA of the other wording, and with the base so asked."""
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.t2v_prompts)
    return [
        _generate(run, "t2v", f"t2v-mood/{name}", prompts, lora=name == "lora", wording=OTHER_WORDING)
        for name in ("base", "lora")
    ]


def generate_i2v(run: Run) -> list[Path]:
    """Generate from held-out first frames with base and LoRA."""
    prompts = first_frames(run)
    return [_generate(run, "i2v", f"i2v/{name}", prompts, lora=name == "lora") for name in ("base", "lora")]


def first_frames(run: Run) -> list[evaluation.Prompt]:
    """The held-out stickers as I2V prompts: first frame, caption, and the clip's own emotion.

    Every emotion gets `Settings.i2v_videos`: its clips in turn, each with as many seeds as that takes. A seed
    follows from the image's file name, so an image is written once per seed.
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
            Image.fromarray(held_out_pixels(item.video, item.clip.fps)[0].transpose(1, 2, 0)).save(image)
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


def controls(run: Run) -> list[Path]:
    """Generate with the bases once more, without telling them of any emotion.

    Strong guidance by words for moods, which a base has never seen, spoils its videos. This tells how much of
    the LoRA's lead is due to that alone.
    """
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.t2v_prompts)
    return [
        _generate(run, "t2v", "control/t2v", prompts, lora=False, intensity=0.0),
        _generate(run, "i2v", "control/i2v", first_frames(run), lora=False, intensity=0.0),
    ]


def ablation(run: Run) -> list[Path]:
    """Generate on fewer prompts with emotion guidance off and on, at several intensities."""
    prompts = evaluation.take_per_emotion(evaluation.load_prompts("sticker"), run.settings.ablation_prompts)
    folders = []
    for lora, guidance, intensity in ABLATION:
        scale = guidance * run.settings.emotion_guidance
        name = ablation_name(lora, guidance, intensity)
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


def ablation_name(lora: bool, guidance: float, intensity: float) -> str:
    return f"ablation/{'lora' if lora else 'base'}-guidance-{guidance:g}-intensity-{intensity:g}"


def _generate(
    run: Run,
    task: str,
    name: str,
    prompts: list[evaluation.Prompt],
    *,
    lora: bool,
    wording: str = WORDING,
    intensity: float = 1.0,
    **options: Any,
) -> Path:
    base = run.model(f"wan-{task}")
    model = f"lora-{task}" if wording == WORDING else f"lora-{task}-{wording}"
    adapter = run.model(model) if lora else None
    source = PipelineSource(
        str(base), image_to_video=task == "i2v", lora=None if adapter is None else str(adapter)
    )
    pipe: Any = source.load()
    # Weights mapped from a file may lie at any address, and sums depend on it in the last bit.
    for part in (pipe.transformer, pipe.vae, pipe.text_encoder):
        for parameter in part.parameters():
            parameter.data = parameter.data.clone()
    folder = run.videos(name)
    with half_precision():
        evaluation.generate_videos(
            pipe,
            prompts,
            folder,
            model=source.identity(),
            seed=run.settings.seed,
            intensity=intensity,
            wording=wording,
            progress=True,
            **_options(run, **options),
        )
    return folder


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
