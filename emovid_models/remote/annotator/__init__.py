"""The annotator as a Hub repo carries it: NVILA-Lite, its processor, and the pipeline "video-emotion".

Code that the dataset's side uses too stands in `emovid_dataset.media.portable` and
`emovid_dataset.schema.portable`; here it is found as siblings, as it lies beside these files in an assembled
repo. Only the standard library is needed to import
this package: the build of a wheel reads `CODE`.
"""

from pathlib import Path

import emovid_dataset.media.portable
import emovid_dataset.schema.portable

_HERE = Path(__file__).parent
_PORTABLE = Path(emovid_dataset.media.portable.__file__).parent
_PORTABLE_MODULES = (
    *("clock", "colour", "dolby_vision", "errors", "groups", "h264", "icc", "matrices", "movie_index"),
    *("packets", "pictures", "pixels", "side_data", "streams", "timestamps", "truncation", "video_file"),
)
_NORMS = Path(emovid_dataset.schema.portable.__file__).with_name("norms.py")
__path__ = [*__path__, str(_PORTABLE), str(_NORMS.parent)]

CODE: dict[str, Path] = {
    path.name: path
    for path in (
        _HERE / "call_arguments.py",
        _HERE / "configuration_nvila.py",
        _HERE / "modeling_nvila.py",
        _HERE / "pipeline.py",
        _HERE / "processing_nvila.py",
        _HERE / "projector_nvila.py",
        _HERE / "prompts.py",
        _HERE / "reading.py",
        _HERE / "repo_code.py",
        _HERE / "scoring_nvila.py",
        _HERE / "timeline.py",
        _HERE / "windows.py",
        *(_PORTABLE / f"{name}.py" for name in _PORTABLE_MODULES),
        _NORMS,
    )
}
"""The code of an annotator's repo: name there, and the file here."""
