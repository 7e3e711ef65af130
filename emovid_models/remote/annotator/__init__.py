"""The annotator as a Hub repo carries it: NVILA-Lite, its processor, and the pipeline "video-emotion".

Code on video that the dataset's side uses too stands in `emovid_dataset.media.portable`; here it is found as
siblings, as it lies beside these files in an assembled repo.
"""

from pathlib import Path

import emovid_dataset.media.portable

_PORTABLE = Path(emovid_dataset.media.portable.__file__).parent
__path__ = [*__path__, str(_PORTABLE)]

CODE: dict[str, Path] = {
    name: (_PORTABLE if name == "truncation.py" else Path(__file__).parent) / name
    for name in (
        "configuration_nvila.py",
        "modeling_nvila.py",
        "processing_nvila.py",
        "pipeline.py",
        "prompts.py",
        "truncation.py",
    )
}
"""The files that stand beside the weights of a repo, by name."""
