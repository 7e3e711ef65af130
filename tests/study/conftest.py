"""A small study, built once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from study_server import make_results

from emovid_models.study.build import StudySettings, build_study


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Secrets of servers go into a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def built(results: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "study"
    build_study(
        results, out, StudySettings(practice=1, per_rater=2, checks=1, questions=("emotion", "overall"))
    )
    return out


@pytest.fixture
def study(built: Path, tmp_path: Path) -> Path:
    """The study in a folder of the test's own; nobody has taken part."""
    return Path(shutil.copytree(built, tmp_path / "study"))
