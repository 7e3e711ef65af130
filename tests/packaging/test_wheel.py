"""What the wheel holds beside the modules, that a source distribution builds the same, and that it works."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from distributions import ROOT, Run, build_alone

from emovid_models.miniature import ANNOTATOR_WEIGHTS
from emovid_models.remote.annotator import CODE


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_what_stands_elsewhere_in_the_repository(wheel: Path) -> None:
    held = contents(wheel)
    for path in (ROOT / "cards").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            name = f"emovid_models/card_templates/{path.relative_to(ROOT / 'cards').as_posix()}"
            assert held[name] == path.read_bytes(), name
    annotator = "emovid_models/mini/annotator/"
    beside = {name.removeprefix(annotator) for name in held if name.startswith(annotator)}
    assert beside == {path.name for path in ANNOTATOR_WEIGHTS.iterdir()} | set(CODE)
    for name, path in CODE.items():
        assert held[annotator + name] == path.read_bytes(), name
    assert held["emovid_dataset/read/_builder.py"] == (ROOT / "loading_script.py").read_bytes()


def test_the_wheel_installs_two_packages_and_nothing_else_at_the_top(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in contents(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"emovid_dataset", "emovid_models"}


def test_what_an_earlier_build_left_is_not_in_the_wheel(source: Path, wheel: Path) -> None:
    assert not [name for name, data in contents(wheel).items() if data == b"# of an older version\n"]


def test_the_source_distribution_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"loading_script.py", "setup.py", "setup.cfg", "pyproject.toml", "cards/demo/app.py"} <= names
    assert not [name for name in names if name.startswith("emovid_models/mini/") and name.endswith(".py")]
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    out = tmp_path / "wheel"
    out.mkdir()
    assert contents(build_alone("build_wheel", source, out)) == contents(wheel)


PIPELINE = """
import json, sys
from pathlib import Path
import emovid_models
from emovid_models import MINI_ANNOTATOR
from transformers import pipeline

place, clip, cache = map(Path, sys.argv[1:])
assert Path(emovid_models.__file__).is_relative_to(place), emovid_models.__file__
assert MINI_ANNOTATOR == (
    Path(emovid_models.__file__).parent / "mini" / "annotator"
    if (place / "emovid_models" / "card_templates").is_dir()
    else next(cache.glob("emovid/*/annotator"))
)
assert cache.exists() != MINI_ANNOTATOR.is_relative_to(place), "a wheel writes no cache"
annotate = pipeline("video-emotion", model=str(MINI_ANNOTATOR), trust_remote_code=True, device="cpu")
assert type(annotate).__module__.startswith("transformers_modules."), "the code beside the weights"
print(json.dumps({answer["label"]: answer["score"] for answer in annotate(str(clip))}))
"""


def test_stock_transformers_loads_the_miniature_offline(run: Run, tmp_path: Path) -> None:
    from emovid_models.annotator.loading import load_annotator

    clip = ROOT / "emovid_dataset" / "mini" / "sticker" / "1f602.mp4"
    found = json.loads(run(PIPELINE, clip, tmp_path / "home" / "cache"))
    expected = load_annotator(ANNOTATOR_WEIGHTS, device="cpu")(str(clip))
    assert found == pytest.approx({answer["label"]: answer["score"] for answer in expected}, abs=1e-6)


ASSEMBLE = """
import sys
from emovid_models import MINI_ANNOTATOR
from emovid_models.publish import cards
from emovid_models.publish.repos import assemble

assert cards.CARDS.is_relative_to(sys.argv[1]), cards.CARDS
annotator = assemble("annotator", MINI_ANNOTATOR, repo_id="me/annotator").files
demo = assemble("demo", cards.CARDS / "demo", repo_id="me/demo", namespace="us").files
assert b"me/annotator" in annotator["README.md"] and "pipeline.py" in annotator
assert b"us/EmoVid" in demo["README.md"] and "app.py" in demo
print("assembled")
"""


def test_repos_are_assembled_from_it(run: Run) -> None:
    assert run(ASSEMBLE) == "assembled"
