"""Puts into the wheel what stands elsewhere in the repository, since nothing stands in it twice.

- `cards/` becomes `emovid_models/card_templates`;
- the code of the annotator is laid beside the weights in `emovid_models/mini/annotator`;
- `loading_script.py` becomes `emovid_dataset/read/_builder.py`, in the place of the file that loads it in a
  checkout.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWhole(build_py):
    """The stock step on a clean folder, then the copies."""

    def run(self) -> None:
        out = Path(self.build_lib)
        if self.editable_mode:
            super().run()
            return
        if out.resolve() != ROOT:
            # A module that an earlier build left there would go into the wheel.
            (out / "loading_script.py").unlink(missing_ok=True)
            for package in ("emovid_dataset", "emovid_models"):
                shutil.rmtree(out / package, ignore_errors=True)
        super().run()
        hidden = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / "cards", out / "emovid_models" / "card_templates", ignore=hidden)
        for name, path in annotator_code().items():
            shutil.copyfile(path, out / "emovid_models" / "mini" / "annotator" / name)
        shutil.copyfile(ROOT / "loading_script.py", out / "emovid_dataset" / "read" / "_builder.py")


def annotator_code() -> dict[str, Path]:
    """The list that the package itself goes by; reading it needs nothing but the standard library."""
    sys.path.insert(0, str(ROOT))
    try:
        from emovid_models.remote.annotator import CODE
    finally:
        sys.path.remove(str(ROOT))
    return CODE


setup(cmdclass={"build_py": BuildWhole})
