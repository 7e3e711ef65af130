"""NVILA-Lite as native transformers classes, known to transformers' Auto classes once this is imported.

They compute what the published code computes, but for these cases, where they differ on purpose:

- A video that ends the user's message keeps the `<|im_end|>` after it, which the original drops.
- Batches padded on the left may hold videos in any row; the original mixes up the shorter rows.
- `generate` never writes a media token.
- A transparent picture is laid on white; the original drops its alpha channel.
- Frames are squeezed width first whatever the version of Pillow; version 13 chooses the order by the shape.
- A repetition penalty counts the prompt's tokens too, as in all of transformers.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from emovid_models.remote.annotator.configuration_nvila import NVILALiteConfig
from emovid_models.remote.annotator.modeling_nvila import NVILALiteForConditionalGeneration, NVILALiteModel
from emovid_models.remote.annotator.processing_nvila import NVILALiteProcessor
from emovid_models.remote.annotator.repo_code import AUTO_MAP

AutoConfig.register(NVILALiteConfig.model_type, NVILALiteConfig)
for _auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
    _auto.register(NVILALiteConfig, NVILALiteForConditionalGeneration)
AutoProcessor.register(NVILALiteConfig, NVILALiteProcessor)

__all__ = [
    "AUTO_MAP",
    "NVILALiteConfig",
    "NVILALiteForConditionalGeneration",
    "NVILALiteModel",
    "NVILALiteProcessor",
]
