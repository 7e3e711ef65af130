"""`EmoVidWanPipeline`: Wan2.1 text to video with an emotion.

Works alone as remote code: in a Hub repo this file is `pipeline.py`, beside the files that it imports.
"""

from __future__ import annotations

from diffusers import WanPipeline

# diffusers copies only the files that the entry file itself imports.
from .adapters import lora_file
from .conditioning import WORDINGS
from .guidance import EmotionConditioning
from .inputs import check_vae
from .lora import read_facts
from .modules import TARGETS
from .over_time import EmotionOverTime

__all__ = [
    "TARGETS",
    "WORDINGS",
    "EmoVidWanPipeline",
    "EmotionOverTime",
    "check_vae",
    "lora_file",
    "read_facts",
]


class EmoVidWanPipeline(EmotionConditioning, WanPipeline):
    """`WanPipeline` with `emotion`, `intensity`, `content_type`, `emotion_guidance_scale`,
    `wording` and `emotion_adapter`.

    Everything that `WanPipeline` takes still works; see `EmotionConditioning.__call__` for what is added.

    Example:
        pipe = EmoVidWanPipeline.from_pretrained("Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
        pipe.load_lora_weights("emovid/wan2.1-t2v-1.3b-lora")
        frames = pipe("a cat on a roof", emotion="awe", intensity=1.2).frames[0]
    """
