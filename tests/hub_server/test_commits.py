"""A model of a Hub repo is named by its commit, and loaded at that commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_clients import WRITE
from hub_server import HubServer
from huggingface_hub import HfApi

from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator import annotate as work
from emovid_models.annotator.items import find_items
from emovid_models.records import hub_commit
from emovid_models.wan.loading import PipelineSource

REPO = "emovid/annotator"


@pytest.fixture
def api(empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HfApi:
    """This process' client talks to the Hub on loopback, with a cache of its own."""
    url, cache = empty_hub.url, str(tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", cache)
    return HfApi(endpoint=empty_hub.url, token=WRITE)


def test_a_new_commit_is_another_model(api: HfApi, mini_build: Path, tmp_path: Path) -> None:
    """Its results are not taken for the old one's, and what was looked up once is loaded."""
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=MINI_ANNOTATOR).oid
    named = work.LoadedByName.pinned(REPO, "cpu")
    assert named.identity() == f"{REPO}@{first}"
    items = find_items(mini_build)[:1]
    out = tmp_path / "labels.parquet"
    second = api.upload_file(repo_id=REPO, path_in_repo="config.json", path_or_fileobj=b"{}").oid
    assert second != first
    report = work.annotate(items, named.load(), out, identity=named.identity())
    assert report.failed == () and report.annotations[0].emotion is not None
    again = work.LoadedByName.pinned(REPO, "cpu")
    assert again.identity() == f"{REPO}@{second}"
    with pytest.raises(ValueError, match="choose another --out"):
        work.annotate(items, named.load(), out, identity=again.identity())


def test_a_commit_that_is_not_known_is_an_error(api: HfApi) -> None:
    with pytest.raises(OSError, match="emovid/none"):
        hub_commit("emovid/none")
    with pytest.raises(OSError, match="neither a folder nor the name of a Hub repo"):
        hub_commit("no/such/folder")


def test_videos_of_an_older_base_are_not_reused(api: HfApi) -> None:
    """The version of what generates holds the base's commit."""
    api.create_repo("emovid/base")
    versions = []
    for content in (b"{}", b"{ }"):
        api.upload_file(repo_id="emovid/base", path_in_repo="model_index.json", path_or_fileobj=content)
        source = PipelineSource("emovid/base", image_to_video=False)
        versions += [source.version(), source.version()]
    assert versions[0] == versions[1] != versions[2] == versions[3]
