"""Videos that show, in the middle of a run, what the LoRA makes of a few prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from emovid_dataset.read.select import Selection
from emovid_models.remote.wan.conditioning import MOODS, conditioning_text
from emovid_models.wan.cache import clip_pixels, padded
from emovid_models.wan.encode import BaseOutline, Bucket, Encoders
from emovid_models.wan.frames import write_video
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.plan import CachePlan
from emovid_models.wan.two_transformers import load_transformer


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
        self.embeds = {}
        for index, (emotion, prompt) in enumerate(texts):
            text = _text(settings, emotion, prompt, encoders.outline)
            self.embeds[f"{index:02d}-{emotion}"] = padded(encoders.encode_text(text))[None]
        self.base = encoders.outline
        parts = {**encoders.pipeline.components, "text_encoder": None, "transformer": None}
        # What is no component is no part of them.
        kept = {name: encoders.pipeline.config[name] for name in ("boundary_ratio", "expand_timesteps")}
        self.pipeline: Any = type(encoders.pipeline)(**parts, **kept)
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
            transformer: carries the adapter. Of a base that has two the other one is as the base has it.
        """
        trained = self.settings.transformer
        parts = {"transformer_2" if trained == "low" else "transformer": transformer}
        if trained is not None:
            dtype = next(p.dtype for p in transformer.parameters() if not p.requires_grad)
            other = load_transformer(self.base, dtype, "high" if trained == "low" else "low")
            parts["transformer" if trained == "low" else "transformer_2"] = other.to(transformer.device)
        self.pipeline.register_modules(**parts)
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
        self.pipeline.register_modules(transformer=None, transformer_2=None)  # the other one is large
        transformer.train()


def _text(settings: LoraSettings, emotion: str, prompt: str, base: BaseOutline) -> str:
    def say(shown: str) -> str:
        return conditioning_text(shown, emotion, wording=settings.wording)

    return say(base.fitted(prompt, lambda shown: [say(shown)]))
