"""The writing half of the Hub on loopback, as huggingface_hub and plain HTTP see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hub_clients import READ, WRITE
from hub_server import Fault, HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError

REPO = "emovid/clips"


@pytest.fixture
def api(empty_hub: HubServer) -> HfApi:
    return HfApi(endpoint=empty_hub.url, token=WRITE)


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


class TestRepos:
    @pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
    def test_a_repo_is_made_once_and_deleted(self, api: HfApi, repo_type: str) -> None:
        sdk = "gradio" if repo_type == "space" else None
        url = api.create_repo(REPO, repo_type=repo_type, space_sdk=sdk)
        assert (url.repo_id, url.repo_type) == (REPO, repo_type)
        assert api.create_repo(REPO, repo_type=repo_type, space_sdk=sdk, exist_ok=True) == url
        with pytest.raises(HfHubHTTPError) as error:
            api.create_repo(REPO, repo_type=repo_type, space_sdk=sdk)
        assert status(error) == 409
        expected = [".gitattributes", "README.md"] if repo_type == "space" else [".gitattributes"]
        assert api.list_repo_files(REPO, repo_type=repo_type) == expected
        api.delete_repo(REPO, repo_type=repo_type)
        assert not api.repo_exists(REPO, repo_type=repo_type)

    def test_a_conflicting_operation_is_tried_again_by_the_client(
        self, api: HfApi, empty_hub: HubServer
    ) -> None:
        busy = "Cannot create repo: another conflicting operation is in progress"
        empty_hub.faults.append(Fault("POST", "/repos/create", status=409, error=busy, times=2))
        assert api.create_repo(REPO).repo_id == REPO

    def test_private_and_gated_are_settings(self, api: HfApi, empty_hub: HubServer) -> None:
        api.create_repo(REPO, private=True)
        stranger = HfApi(endpoint=empty_hub.url, token=False)
        with pytest.raises(RepositoryNotFoundError):
            stranger.repo_info(REPO)
        for gated in ("auto", "manual", False):
            api.update_repo_settings(REPO, visibility="public", gated=gated)
            assert stranger.repo_info(REPO).gated == gated

    def test_who_is_who(self, empty_hub: HubServer) -> None:
        me = HfApi(endpoint=empty_hub.url, token=READ).whoami()
        assert (me["name"], me["auth"]["accessToken"]["role"]) == ("reader", "read")
        with pytest.raises(HfHubHTTPError) as error:
            HfApi(endpoint=empty_hub.url, token="hf_nobody").whoami()
        assert status(error) == 401

    @pytest.mark.parametrize(
        ("token", "repo_id", "code"),
        [(READ, REPO, 403), (WRITE, "other/clips", 403), ("hf_nobody", REPO, 401)],
    )
    def test_who_may_write(self, empty_hub: HubServer, token: str, repo_id: str, code: int) -> None:
        with pytest.raises(HfHubHTTPError) as error:
            HfApi(endpoint=empty_hub.url, token=token).create_repo(repo_id)
        assert status(error) == code


class TestCommits:
    def test_a_folder_comes_whole_inline_and_as_lfs_in_one_part_and_in_several(
        self, api: HfApi, empty_hub: HubServer, tmp_path: Path
    ) -> None:
        empty_hub.part_size = 30_000
        files = {"a.txt": b"a", "b/one.tar": os.urandom(10_000), "b/many.tar": os.urandom(100_000)}
        for name, data in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        api.create_repo(REPO)
        api.upload_folder(repo_id=REPO, folder_path=tmp_path)
        blobs = next(empty_hub.repos["models", REPO].log()).blobs
        assert {name: blobs[name].file.read_bytes() for name in files} == files
        assert {name for name in files if blobs[name].sha256} == {"b/one.tar", "b/many.tar"}
        info = api.get_paths_info(REPO, ["b/many.tar"], expand=True)[0]
        assert info.lfs.size == 100_000 and info.last_commit.title.startswith("Upload folder")
        api.delete_folder("b", REPO)
        assert api.list_repo_files(REPO) == [".gitattributes", "a.txt"]
        assert [commit.title for commit in api.list_repo_commits(REPO)][-1] == "initial commit"
        assert len(api.list_repo_commits(REPO)) == 3

    def test_all_of_a_commit_or_nothing(self, api: HfApi, empty_hub: HubServer) -> None:
        api.create_repo(REPO)
        before = api.repo_info(REPO).sha
        with pytest.raises(HfHubHTTPError) as error:
            api.create_commit(
                REPO,
                [CommitOperationAdd("a.txt", b"a"), CommitOperationDelete("none.txt")],
                commit_message="half",
            )
        assert status(error) == 404
        with pytest.raises((BadRequestError, ValueError), match=r"README\.md"):
            api.create_commit(
                REPO,
                [
                    CommitOperationAdd("README.md", b"---\na: !!python/object/apply:os.system [ls]\n---\n"),
                    CommitOperationAdd("a.txt", b"a"),
                ],
                commit_message="bad yaml",
            )
        assert api.repo_info(REPO).sha == before

    def test_a_commit_on_another_parent_is_refused(self, api: HfApi) -> None:
        api.create_repo(REPO)
        first = api.repo_info(REPO).sha
        api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id=REPO)
        with pytest.raises(HfHubHTTPError) as error:
            api.create_commit(
                REPO, [CommitOperationAdd("b.txt", b"b")], commit_message="late", parent_commit=first
            )
        assert status(error) == 412

    def test_an_object_must_be_what_its_address_says_and_takes_no_token(self, empty_hub: HubServer) -> None:
        import hashlib
        import urllib.error
        import urllib.request

        oid = hashlib.sha256(b"right").hexdigest()
        path = f"/lfs/{oid}/5"
        signed = f"{empty_hub.url}{path}?X-Amz-Signature={empty_hub.signature(path)}"

        def put(url: str, data: bytes, **headers: str) -> int:
            try:
                with urllib.request.urlopen(
                    urllib.request.Request(url, data, headers, method="PUT")
                ) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        assert put(signed, b"wrong") == 400
        assert put(f"{empty_hub.url}{path}", b"right") == 403
        assert put(signed, b"right", Authorization=f"Bearer {WRITE}") == 400
        assert not (empty_hub.storage / oid).exists()
        assert put(signed, b"right") == 200
        assert (empty_hub.storage / oid).read_bytes() == b"right"


class TestRefs:
    def test_branches_and_tags(self, api: HfApi) -> None:
        api.create_repo(REPO)
        first = api.repo_info(REPO).sha
        api.create_tag(REPO, tag="v1")
        api.create_branch(REPO, branch="next")
        api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id=REPO, revision="next")
        refs = api.list_repo_refs(REPO)
        assert {tag.name: tag.target_commit for tag in refs.tags} == {"v1": first}
        assert {branch.name: branch.target_commit == first for branch in refs.branches} == {
            "main": True,
            "next": False,
        }
        assert not api.file_exists(REPO, "a.txt") and api.file_exists(REPO, "a.txt", revision="next")
        for make in (
            lambda: api.create_tag(REPO, tag="v1"),
            lambda: api.create_branch(REPO, branch="next"),
        ):
            with pytest.raises(HfHubHTTPError) as error:
                make()
            assert status(error) == 409
        api.delete_tag(REPO, tag="v1")
        api.delete_branch(REPO, branch="next")
        with pytest.raises(HfHubHTTPError) as error:
            api.delete_branch(REPO, branch="main")
        assert status(error) == 403
        assert [branch.name for branch in api.list_repo_refs(REPO).branches] == ["main"]
