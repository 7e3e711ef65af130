"""Takes `cards/` into the wheel: it stands at the top of the repository, and the package needs it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithCards(build_py):
    """The stock step, then the templates as `emovid_models/card_templates`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "emovid_models", "card_templates")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("cards", target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


setup(cmdclass={"build_py": BuildWithCards})
