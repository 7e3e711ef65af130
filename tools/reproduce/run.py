"""One run of the chain: everything that its result depends on, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from emovid_models.miniature import MINI
from tools.mini_wan.base import WanSize
from tools.mini_wan.training import Schedule

SHIPPED = MINI
"""Folder of the miniature models in the package."""

MODELS = ("wan-t2v", "wan-i2v", "lora-t2v", "lora-i2v")
"""What ships; "lora-t2v-mood", which the table compares with "lora-t2v", does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the result depends on.

    Attributes:
        seed: of everything random.
        threads: of torch; sums in a different order come out slightly different.
        ratios: shares of train, validation and test among the labelled stickers.
        size: of the model.
        vae: training of the VAE; its batch counts frames.
        vae_cuts: the VAE's second round, with cuts.
        t2v: pre-training of the T2V base.
        i2v: of the I2V base, which starts from the T2V base.
        lora_steps: optimizer steps of each LoRA.
        lora_batch: clips per step.
        t2v_lora_steps: of the T2V LoRAs, which have no first frame to show the emotion.
        t2v_caption_dropout: share of its samples that keep only the emotion.
        emotion_dropout: share of the samples without their emotion; emotion guidance leads from these to the
            others, so both must be learnt.
        lora_rank: of each LoRA, and its alpha.
        lora_rate: learning rate.
        emoji: at most this many emoji for VAE and bases.
        flow_shift: of the scheduler.
        denoising: steps of a generated video.
        guidance: by the prompt.
        emotion_guidance: by the emotion. Where it equals the guidance by the prompt, the emotion is a word of
            the text like any other, and the small LoRA has little effect.
        t2v_prompts: scenes per emotion.
        i2v_videos: videos per emotion, with several seeds per first frame.
        ablation_prompts: scenes per emotion.
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
    ablation_prompts: int = 5


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
"""The whole chain with next to nothing in it: shows that it runs and nothing more."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the chain: its settings and its folder.

    Attributes:
        settings: what the result depends on.
        out: folder that everything is written to.
    """

    settings: Settings
    out: Path

    @property
    def build(self) -> Path:
        """The build of the labelled stickers."""
        return self.out / "EmoVid"

    @property
    def real(self) -> Path:
        """The build of the stickers that are held out, after the VAE."""
        return self.out / "EmoVid-after-vae"

    @property
    def clips(self) -> Path:
        """The emoji for VAE and bases."""
        return self.out / "emoji.npz"

    def latents(self, *, first_only: bool) -> Path:
        """The clips that bases are trained on, or their first frames, after the VAE."""
        return self.out / ("first-latents.npz" if first_only else "latents.npz")

    def model(self, name: str) -> Path:
        """Folder of the VAE or of one of `MODELS`."""
        return self.out / "models" / name

    def videos(self, name: str) -> Path:
        """Folder of generated videos, such as "t2v/base"."""
        return self.out / "videos" / name
