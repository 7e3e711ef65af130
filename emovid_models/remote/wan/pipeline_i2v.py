"""`EmoVidWanImageToVideoPipeline`: Wan2.1 image to video with an emotion.

Works alone as remote code: in a Hub repo this file is `pipeline.py`, beside the files that it imports.
"""

from __future__ import annotations

from diffusers import WanImageToVideoPipeline

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
    "EmoVidWanImageToVideoPipeline",
    "EmotionOverTime",
    "check_vae",
    "lora_file",
    "read_facts",
]


class EmoVidWanImageToVideoPipeline(EmotionConditioning, WanImageToVideoPipeline):
    """`WanImageToVideoPipeline` with `emotion`, `intensity`, `content_type`, `emotion_guidance_scale`,
    `wording` and `emotion_adapter`.

    Everything that `WanImageToVideoPipeline` takes still works; see `EmotionConditioning.__call__` for what
    is added. An image of another shape than the video is refused, where the stock pipeline stretches it.

    Example:
        pipe = EmoVidWanImageToVideoPipeline.from_pretrained("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")
        pipe.load_lora_weights("emovid/wan2.1-i2v-14b-lora")
        frames = pipe(image, "a cat on a roof", emotion="fear").frames[0]
    """
