"""The Python files of an annotator's repo: laid beside whatever is saved, so that it loads anywhere.

`save_pretrained` of transformers copies the files that a class imports, and only those of a class that came
from a repo. A pipeline is no part of a model, so that its file would be left behind.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __path__ as _folders

if TYPE_CHECKING:
    # From a repo transformers fetches the files that are named in such a line, whether it is run or not.
    from .call_arguments import share  # noqa: F401
    from .clock import clock_of  # noqa: F401
    from .colour import colour_of  # noqa: F401
    from .dolby_vision import needs_dolby_vision  # noqa: F401
    from .errors import VideoError  # noqa: F401
    from .groups import decode_groups  # noqa: F401
    from .h264 import H264Headers  # noqa: F401
    from .icc import to_srgb  # noqa: F401
    from .matrices import coded_rgb  # noqa: F401
    from .movie_index import movie_index  # noqa: F401
    from .norms import WARRINER  # noqa: F401
    from .packets import Packets  # noqa: F401
    from .pictures import open_picture  # noqa: F401
    from .pipeline import VideoEmotionPipeline  # noqa: F401
    from .pixels import rgb  # noqa: F401
    from .prompts import EMOTIONS  # noqa: F401
    from .reading import read_frames  # noqa: F401
    from .side_data import attached  # noqa: F401
    from .streams import open_bytes  # noqa: F401
    from .timeline import stretches  # noqa: F401
    from .timestamps import mended  # noqa: F401
    from .truncation import is_truncated  # noqa: F401
    from .video_file import VideoFile  # noqa: F401
    from .windows import read_windows  # noqa: F401

AUTO_MAP = {
    "AutoConfig": "configuration_nvila.NVILALiteConfig",
    "AutoModel": "modeling_nvila.NVILALiteForConditionalGeneration",
    "AutoModelForCausalLM": "modeling_nvila.NVILALiteForConditionalGeneration",
    "AutoModelForImageTextToText": "modeling_nvila.NVILALiteForConditionalGeneration",
    "AutoProcessor": "processing_nvila.NVILALiteProcessor",
}
"""`auto_map` in the config.json of a repo that carries this code."""

TASK = "video-emotion"
"""The pipeline's name."""

PIPELINES: dict[str, Any] = {
    TASK: {"impl": "pipeline.VideoEmotionPipeline", "pt": ["AutoModelForImageTextToText"]}
}
"""`custom_pipelines` there."""

FILES = (
    *("call_arguments.py", "clock.py", "colour.py", "configuration_nvila.py", "dolby_vision.py"),
    *("errors.py", "groups.py", "h264.py", "icc.py", "matrices.py", "modeling_nvila.py"),
    *("movie_index.py", "norms.py", "packets.py", "pictures.py", "pipeline.py", "pixels.py"),
    *("processing_nvila.py", "projector_nvila.py", "prompts.py", "reading.py", "repo_code.py"),
    *("scoring_nvila.py", "side_data.py", "streams.py", "timeline.py", "timestamps.py"),
    *("truncation.py", "video_file.py", "windows.py"),
)
"""Every file of the code."""


def lay_code(folder: str | Path) -> None:
    """Copy the code into a folder.

    Args:
        folder: created if missing; files of these names are replaced. Of a model that was loaded without its
            processor, or the other way round, transformers may not have fetched every file; those that are
            not there come with the other one.

    Raises:
        OSError: it cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        for place in _folders:
            source = Path(place, name)
            if source.is_file() and source.resolve() != (folder / name).resolve():
                shutil.copyfile(source, folder / name)
                break
