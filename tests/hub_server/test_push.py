"""`push` against the Hub on loopback: what it sends, what it leaves, and what it survives."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_clients import READ, WRITE
from hub_server import Account, Fault, HubServer, Repo
from push_process import push_files

from emovid_models.publish.failures import redact
from emovid_models.publish.repos import assemble
from emovid_models.publish.screening import check_tree
from emovid_models.publish.tree import RepoTree
from emovid_models.publish.upload import plan_commits, push

REPO = "emovid/EmoVid"
ODD = "not-like.any_token-of-the-Hub"
NEXT = b"---\nlicense: mit\n---\n# Next\n"


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Nobody waits: what was to be waited is noted."""
    noted: list[float] = []
    monkeypatch.setattr(time, "sleep", noted.append)
    yield noted


def tree(**changes: bytes | None) -> RepoTree:
    """Three LFS files, two inline ones, README and manifest; `changes` by name without suffix."""
    files: dict[str, Any] = {
        "README.md": b"---\nlicense: mit\n---\n# Clips\n",
        "manifest.json": b"{}\n",
        "loading_script.py": b"# nothing\n",
        "_info.json": b"[]\n",
        **{f"data/train-{index}.tar": bytes([index]) * 70_000 for index in range(3)},
    }
    for name, data in changes.items():
        path = next((path for path in files if path.rpartition("/")[2].startswith(name)), name)
        if data is None:
            del files[path]
        else:
            files[path] = data
    return RepoTree("dataset", files)


def send(hub: HubServer, wanted: RepoTree, **options: Any) -> Any:
    options = {"endpoint": hub.url, "token": WRITE, "commit_files": 3, **options}
    return push(wanted, REPO, **options)


def held(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    """All files of the repo but the Hub's own."""
    commit = repo(hub).commit(revision)
    assert commit is not None
    return {path: blob.file.read_bytes() for path, blob in commit.blobs.items() if path != ".gitattributes"}


def upload(hub: HubServer, path: str, data: bytes) -> None:
    """What somebody else does on the Hub's page."""
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token=WRITE).upload_file(
        path_or_fileobj=data, path_in_repo=path, repo_id=REPO, repo_type="dataset"
    )


def repo(hub: HubServer) -> Repo:
    return hub.repos["datasets", REPO]


def times_committed(hub: HubServer, revision: str = "main") -> Counter[str]:
    """In how many commits each file is."""
    commits = repo(hub).log(revision)
    return Counter(path for commit in commits for path in commit.changed if path != ".gitattributes")


def requests(hub: HubServer, method: str, part: str) -> int:
    return sum(exchange.method == method and part in exchange.path for exchange in hub.exchanges)


class TestWhatIsSent:
    def test_all_files_in_bounded_commits_with_readme_and_manifest_last(self, empty_hub: HubServer) -> None:
        done = send(empty_hub, tree(), tag="v1")
        assert held(empty_hub) == tree().files
        assert (done.violations, done.commits, len(done.uploaded)) == ((), 3, 7)
        changed = [commit.changed - {".gitattributes"} for commit in repo(empty_hub).log()][:-1]
        assert changed[0] == {"README.md", "manifest.json"}
        assert max(map(len, changed)) == 3
        assert set(times_committed(empty_hub).values()) == {1}
        assert repo(empty_hub).tags == {"v1": done.commit} == {"v1": repo(empty_hub).branches["main"]}

    def test_again_it_sends_nothing_and_makes_no_commit(self, empty_hub: HubServer) -> None:
        first = send(empty_hub, tree(), tag="v1")
        empty_hub.exchanges.clear()
        second = send(empty_hub, tree(), tag="v1")
        assert (second.commit, second.commits, second.uploaded) == (first.commit, 0, ())
        assert requests(empty_hub, "PUT", "") == requests(empty_hub, "POST", "/commit/") == 0

    def test_only_changes_are_sent_and_what_a_former_push_left_goes_in_the_last_commit(
        self, empty_hub: HubServer
    ) -> None:
        send(empty_hub, tree())
        changed = tree(
            **{"train-1": b"new" * 50_000, "train-2": None, "README": b"---\nlicense: mit\n---\n# New\n"}
        )
        done = send(empty_hub, changed)
        assert held(empty_hub) == changed.files
        assert done.uploaded == ("data/train-1.tar", "README.md")
        assert (done.deleted, done.commits) == (("data/train-2.tar",), 2)
        last = next(repo(empty_hub).log())
        assert last.changed == {"README.md", "data/train-2.tar"}
        assert "Deleted: data/train-2.tar" in last.message

    def test_files_of_others_and_gitattributes_are_left_alone(self, empty_hub: HubServer) -> None:
        send(empty_hub, tree())
        for path in ("logo.svg", "data/train-0.tar"):
            upload(empty_hub, path, b"mine")
        done = send(empty_hub, tree(**{"train-0": None}))
        assert (done.deleted, done.kept) == ((), ("data/train-0.tar", "logo.svg"))
        assert held(empty_hub)["logo.svg"] == b"mine"
        assert (
            b"*.tar filter=lfs"
            in repo(empty_hub).commits[done.commit].blobs[".gitattributes"].file.read_bytes()
        )

    def test_a_large_file_goes_in_parts_one_of_which_is_lost(
        self, empty_hub: HubServer, sleeps: list[float]
    ) -> None:
        empty_hub.part_size = 20_000
        empty_hub.faults.append(Fault("PUT", "/part/2", reset_request_after=10_000))
        assert send(empty_hub, tree()).violations == ()
        assert held(empty_hub) == tree().files
        assert requests(empty_hub, "POST", "/complete/") == 3
        assert requests(empty_hub, "PUT", "/part/") == 3 * 4

    def test_another_branch_leaves_main_alone(self, empty_hub: HubServer) -> None:
        send(empty_hub, tree())
        before = repo(empty_hub).branches["main"]
        send(empty_hub, tree(README=NEXT), revision="next")
        assert repo(empty_hub).branches["main"] == before
        assert held(empty_hub, "next")["README.md"] == NEXT

    def test_private_is_private_from_the_start_and_a_public_repo_is_refused(
        self, empty_hub: HubServer
    ) -> None:
        send(empty_hub, tree(), private=True)
        assert repo(empty_hub).private
        repo(empty_hub).private = False
        count = len(repo(empty_hub).commits)
        with pytest.raises(ValueError, match=r"^emovid/EmoVid is public already; make it private"):
            send(empty_hub, tree(README=NEXT), private=True)
        assert len(repo(empty_hub).commits) == count

    def test_gated_is_gated_before_the_first_file_comes(self, empty_hub: HubServer) -> None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import GatedRepoError

        empty_hub.faults.append(Fault("POST", "/preupload/", status=400, error="stop"))
        with pytest.raises(OSError, match="400 stop"):
            send(empty_hub, tree(), gated="manual")
        assert (repo(empty_hub).gated, held(empty_hub)) == ("manual", {})
        send(empty_hub, tree())
        assert repo(empty_hub).gated == "manual", "left as it is"
        with pytest.raises(GatedRepoError):
            hf_hub_download(REPO, "_info.json", repo_type="dataset", endpoint=empty_hub.url, token=False)
        with pytest.raises(ValueError, match=r"^gated is 'yes'; allowed: auto, manual$"):
            send(empty_hub, tree(), gated="yes")

    def test_what_is_restricted_is_sent_only_to_a_private_repo_or_behind_a_manual_gate(
        self, empty_hub: HubServer
    ) -> None:
        closed = replace(tree(), restricted="its terms forbid redistribution")
        says = r"^its terms forbid redistribution; push it with --private or --gated manual$"
        for options in ({}, {"gated": "auto"}):
            empty_hub.exchanges.clear()
            with pytest.raises(ValueError, match=says):
                send(empty_hub, closed, **options)
            assert empty_hub.exchanges == [] and not empty_hub.repos
        send(empty_hub, closed, gated="manual")
        assert repo(empty_hub).gated == "manual"
        empty_hub.repos.clear()
        send(empty_hub, closed, private=True, gated="auto")
        assert (repo(empty_hub).private, repo(empty_hub).gated) == (True, "auto")

    def test_a_hub_that_sets_no_gate_gets_no_file(self, empty_hub: HubServer) -> None:
        empty_hub.faults.append(Fault("PUT", "/settings", status=200))
        with pytest.raises(ValueError, match=r"^emovid/EmoVid is not gated: the Hub says False instead of"):
            send(empty_hub, tree(), gated="manual")
        assert held(empty_hub) == {}

    def test_a_tag_never_moves(self, empty_hub: HubServer) -> None:
        send(empty_hub, tree(), tag="v1")
        before = repo(empty_hub).branches["main"]
        with pytest.raises(ValueError, match=r"^tag 'v1' of emovid/EmoVid names other files; give another"):
            send(empty_hub, tree(README=b"---\nlicense: mit\n---\n# New\n"), tag="v1")
        assert repo(empty_hub).branches["main"] == before
        assert send(empty_hub, tree(README=b"---\nlicense: mit\n---\n# New\n"), tag="v2").tag == "v2"

    def test_a_tag_that_names_one_more_file_is_refused_before_anything_is_changed(
        self, empty_hub: HubServer
    ) -> None:
        send(empty_hub, tree(**{"extra.py": b"# more\n"}), tag="v1")
        before = dict(repo(empty_hub).branches)
        with pytest.raises(ValueError, match=r"^tag 'v1' of emovid/EmoVid names other files; give another"):
            send(empty_hub, tree(), tag="v1", revision="next", gated="manual")
        assert (repo(empty_hub).branches, repo(empty_hub).gated) == (before, False)

    def test_files_of_others_do_not_make_a_tag_another_state(self, empty_hub: HubServer) -> None:
        send(empty_hub, tree())
        upload(empty_hub, "logo.svg", b"mine")
        first = send(empty_hub, tree(), tag="v1")
        upload(empty_hub, "second.svg", b"mine")
        assert send(empty_hub, tree(), tag="v1").tag == "v1"
        assert repo(empty_hub).tags == {"v1": first.commit}

    @pytest.mark.parametrize(("method", "part", "skip"), [("GET", "/tree/", 1), ("POST", "/tag/", 0)])
    def test_a_tag_names_what_was_verified_whatever_happens_to_the_branch(
        self, empty_hub: HubServer, method: str, part: str, skip: int
    ) -> None:
        fault = Fault(method, part, skip=skip, strike=lambda: upload(empty_hub, "_info.json", b"[1]\n"))
        empty_hub.faults.append(fault)
        done = send(empty_hub, tree(), tag="v1")
        assert fault.times == 0 and held(empty_hub)["_info.json"] == b"[1]\n"
        assert (done.violations, done.tag) == ((), "v1")
        assert repo(empty_hub).tags == {"v1": done.commit}
        assert held(empty_hub, "v1") == tree().files

    def test_a_tag_that_somebody_else_makes_meanwhile_is_not_reported_as_ours(
        self, empty_hub: HubServer
    ) -> None:
        def interfere() -> None:
            first = list(repo(empty_hub).log())[-1]
            repo(empty_hub).tags["v1"] = first.sha

        empty_hub.faults.append(Fault("POST", "/tag/", strike=interfere))
        done = send(empty_hub, tree(), tag="v1")
        named = repo(empty_hub).tags["v1"]
        assert done.tag is None and named != done.commit
        assert done.violations == (f"tag 'v1': names commit {named} on the Hub, not {done.commit}",)


FAULTS = {
    "429 before the repo is made": Fault("POST", "/repos/create", status=429, headers={"Retry-After": "7"}),
    "429 at a commit": Fault("POST", "/commit/", status=429, headers={"Retry-After": "7"}),
    "429 at an object": Fault("PUT", "/lfs/", status=429, headers={"Retry-After": "7"}, times=3),
    "503 at a commit": Fault("POST", "/commit/", status=503, times=3),
    "500 at the yaml": Fault("POST", "/validate-yaml", status=500),
    "502 at the listing": Fault("GET", "/tree/", status=502, times=2),
    "504 at the tag": Fault("POST", "/tag/", status=504),
    "reset in an object": Fault("PUT", "/lfs/", reset_request_after=30_000, times=2),
    "reset in a commit": Fault("POST", "/commit/", reset_request_after=50, times=2),
    "reset in the answer to a listing": Fault("GET", "/tree/", reset_answer_after=100, times=2),
    "reset in the answer to a commit": Fault("POST", "/commit/", reset_answer_after=10),
    "repo made but not answered": Fault("POST", "/repos/create", unanswered=True),
    "object taken but not answered": Fault("PUT", "/lfs/", unanswered=True),
    "commit applied but not answered": Fault("POST", "/commit/", unanswered=True),
    "every commit applied but not answered": Fault("POST", "/commit/", unanswered=True, times=None),
    "tag applied but not answered": Fault("POST", "/tag/", unanswered=True),
}


REQUESTS = {
    "/preupload/": "POST",
    "/info/lfs/objects/batch": "POST",
    "/lfs/[^/]+/[^/]+/part/": "PUT",
    "/complete/": "POST",
    "/verify": "POST",
    "/paths-info/": "POST",
    "/refs": "GET",
    "/branch/": "POST",
    "/settings": "PUT",
    "/revision/": "GET",
}
WRITING = ("/part/", "/complete/", "/branch/", "/settings")
WRONGS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "3"}},
    "503": {"status": 503},
    "reset": {"reset_request_after": 0},
    "unanswered": {"unanswered": True},
}


class TestWhatItSurvives:
    @pytest.mark.parametrize(
        ("part", "wrong"),
        [
            (part, wrong)
            for part in REQUESTS
            for wrong in WRONGS
            if wrong != "unanswered" or part.endswith(WRITING)
        ],
    )
    def test_every_request_may_fail_twice(
        self, empty_hub: HubServer, sleeps: list[float], part: str, wrong: str
    ) -> None:
        empty_hub.part_size = 300
        fault = Fault(REQUESTS[part], part, times=2, **WRONGS[wrong])
        empty_hub.faults.append(fault)
        files: dict[str, Path | bytes] = {"data/train.tar": b"x" * 500, "a.json": b"{}", "README.md": NEXT}
        wanted = RepoTree("dataset", files)
        done = send(empty_hub, wanted, revision="next", gated="manual", tag="v1")
        assert fault.times == 0, "the fault has struck"
        assert (done.violations, done.commits, done.tag) == ((), 2, "v1")
        assert held(empty_hub, "next") == files
        assert times_committed(empty_hub, "next") == Counter(dict.fromkeys(files, 1))
        assert (repo(empty_hub).gated, repo(empty_hub).tags) == ("manual", {"v1": done.commit})

    @pytest.mark.parametrize("name", FAULTS)
    def test_a_fault_costs_a_wait_and_no_second_commit(
        self, empty_hub: HubServer, sleeps: list[float], name: str
    ) -> None:
        from dataclasses import replace

        fault = replace(FAULTS[name])
        empty_hub.faults.append(fault)
        done = send(empty_hub, tree(), tag="v1")
        assert fault.times in (0, None), "the fault has struck"
        assert (done.violations, done.commits) == ((), 3)
        assert held(empty_hub) == tree().files
        assert set(times_committed(empty_hub).values()) == {1}
        assert repo(empty_hub).tags["v1"] == done.commit
        if fault.headers:
            assert max(sleeps) >= 7, "Retry-After is respected"

    def test_a_lost_commit_that_comes_through_late_is_not_made_again(
        self, empty_hub: HubServer, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first try seems lost; the Hub applies it just before it gets the second one."""
        from huggingface_hub import HfApi

        commit, asked = HfApi.create_commit, []

        def noted(api: HfApi, *arguments: Any, **options: Any) -> Any:
            asked.append((api, arguments, {**options, "parent_commit": None}))
            return commit(api, *arguments, **options)

        def apply_late() -> None:
            api, arguments, options = asked[0]
            commit(api, *arguments, **options)

        monkeypatch.setattr(HfApi, "create_commit", noted)
        empty_hub.faults.append(Fault("POST", "/commit/", status=504))
        empty_hub.faults.append(Fault("POST", "/commit/", strike=apply_late))
        done = send(empty_hub, tree())
        assert (done.violations, done.commits) == ((), 3)
        assert requests(empty_hub, "POST", "/commit/") == 5, "504, late, refused with 412, and two more"
        assert set(times_committed(empty_hub).values()) == {1}

    def test_a_foreign_commit_in_between_is_no_obstacle(
        self, empty_hub: HubServer, sleeps: list[float]
    ) -> None:
        empty_hub.faults.append(Fault("POST", "/commit/", strike=lambda: upload(empty_hub, "note.txt", b"x")))
        done = send(empty_hub, tree())
        assert 412 in {exchange.status for exchange in empty_hub.exchanges}
        assert done.violations == ()
        assert held(empty_hub) == {**tree().files, "note.txt": b"x"}

    @pytest.mark.parametrize("before", range(3))
    @pytest.mark.parametrize("lost", [False, True])
    def test_two_pushes_at_once_report_each_its_own(
        self, empty_hub: HubServer, sleeps: list[float], before: int, lost: bool
    ) -> None:
        """The other one makes all commits that are left, just before ours comes or while it seems lost."""
        others: list[Any] = []

        def other() -> None:
            others.append(send(empty_hub, tree()))

        empty_hub.faults.append(Fault("POST", "/commit/", skip=before, strike=other, unanswered=lost))
        mine = send(empty_hub, tree())
        (theirs,) = others
        assert (mine.commits, theirs.commits) == ((before + 1, 2 - before) if lost else (before, 3 - before))
        assert Counter(mine.uploaded + theirs.uploaded) == Counter(dict.fromkeys(tree().files, 1))
        assert [len(commit.changed) > 0 for commit in repo(empty_hub).log()].count(True) == 4
        assert held(empty_hub) == tree().files and mine.violations == theirs.violations == ()

    def test_two_pushes_that_delete_report_each_its_own(
        self, empty_hub: HubServer, sleeps: list[float]
    ) -> None:
        send(empty_hub, tree(**{"extra.py": b"# more\n"}))
        others: list[Any] = []
        strike = Fault("POST", "/commit/", strike=lambda: others.append(send(empty_hub, tree())))
        empty_hub.faults.append(strike)
        mine = send(empty_hub, tree())
        assert (mine.commits, mine.deleted) == (0, ())
        assert (others[0].commits, others[0].deleted) == (1, ("extra.py",))

    def test_a_hub_that_stays_down_is_one_line_and_the_next_call_goes_on(
        self, empty_hub: HubServer, sleeps: list[float]
    ) -> None:
        empty_hub.faults.append(Fault("POST", "/commit/", skip=1, status=503, times=None, error="down"))
        with pytest.raises(OSError, match=r"^emovid/EmoVid: 503 down$"):
            send(empty_hub, tree(), tag="v1")
        assert "v1" not in repo(empty_hub).tags
        empty_hub.faults.clear()
        empty_hub.exchanges.clear()
        done = send(empty_hub, tree(), tag="v1")
        assert (done.commits, len(done.uploaded)) == (2, 4)
        assert requests(empty_hub, "PUT", "/lfs/") == 0, "all objects were there already"
        assert set(times_committed(empty_hub).values()) == {1}

    def test_offline_is_said_at_once(
        self, empty_hub: HubServer, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        for tag in ("v1", None):
            with pytest.raises(
                OSError, match=r"^emovid/EmoVid: OfflineModeIsEnabled .*HF_HUB_OFFLINE"
            ) as caught:
                send(empty_hub, tree(), tag=tag)
            assert "\n" not in str(caught.value)
        assert sleeps == []

    @pytest.mark.parametrize(
        ("after", "seconds"),
        [
            ("40", 40),
            ("Tue, 01 Jan 2030 00:01:30 GMT", 90),
            ("Tue, 01 Jan 2030 00:01:30 -0000", 90),
            ("86400", 900),
            ("Wed, 02 Jan 2030 00:00:00 GMT", 900),
            ("Tue, 01 Jan 2019 00:00:00 GMT", 1),
            ("soon", 1),
        ],
    )
    def test_what_the_hub_asks_to_wait_is_waited_up_to_a_quarter_of_an_hour(
        self,
        empty_hub: HubServer,
        sleeps: list[float],
        monkeypatch: pytest.MonkeyPatch,
        after: str,
        seconds: float,
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1893456000.0)  # 2030-01-01
        empty_hub.faults.append(Fault("POST", "/commit/", status=429, headers={"Retry-After": after}))
        assert send(empty_hub, tree()).violations == ()
        assert sleeps == [seconds]

    def test_a_long_wait_is_one_line_on_stderr_and_a_short_one_is_none(
        self,
        empty_hub: HubServer,
        sleeps: list[float],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        for after in ("4", "5"):
            empty_hub.faults.append(
                Fault(
                    "POST", "/commit/", status=429, headers={"Retry-After": after}, error=f"slower, {WRITE}"
                )
            )
        assert send(empty_hub, tree()).violations == ()
        assert sleeps == [4, 5]
        line = "emovid: emovid/EmoVid: 429 slower, hf_...; trying again in 5 s\n"
        assert capsys.readouterr().err == line

    def test_what_the_hub_lists_otherwise_is_reported_and_not_tagged(
        self, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import HfApi

        listing = HfApi.list_repo_tree
        monkeypatch.setattr(
            HfApi,
            "list_repo_tree",
            lambda *args, **options: [
                entry for entry in listing(*args, **options) if entry.path != "_info.json"
            ],
        )
        done = send(empty_hub, tree(), tag="v1")
        assert done.violations == ("_info.json: is missing on the Hub",)
        assert repo(empty_hub).tags == {}

    @pytest.mark.parametrize(
        ("path", "data", "line"),
        [
            ("_info.json", b"[1]\n", "_info.json: differs on the Hub, where it has 4 bytes"),
            (
                "data/train-0.tar",
                b"x" * 70_000,
                "data/train-0.tar: differs on the Hub, where it has 70000 bytes",
            ),
            ("extra.py", b"# more\n", "extra.py: was deleted but is still on the Hub"),
            ("notes.tmp", b"", "notes.tmp: is a temporary file on the Hub; delete it there"),
        ],
    )
    def test_what_somebody_else_changes_before_the_check_is_reported_and_not_tagged(
        self, empty_hub: HubServer, path: str, data: bytes, line: str
    ) -> None:
        send(empty_hub, tree(**{"extra.py": b"# more\n"}))
        # One look at the branch for the commit, the next one for the check.
        fault = Fault("GET", "/revision/main", skip=1, strike=lambda: upload(empty_hub, path, data))
        empty_hub.faults.append(fault)
        done = send(empty_hub, tree(), tag="v1")
        assert fault.times == 0 and done.deleted == ("extra.py",)
        assert done.violations == (line,)
        assert (done.tag, repo(empty_hub).tags) == (None, {})

    def test_a_temporary_file_of_somebody_else_is_refused_before_the_upload(
        self, empty_hub: HubServer
    ) -> None:
        from huggingface_hub import HfApi

        send(empty_hub, tree())
        upload(empty_hub, "notes.tmp", b"")
        before = repo(empty_hub).branches["main"]
        message = (
            r"^emovid/EmoVid holds a temporary file that no push has put there: notes\.tmp; "
            r"delete it on the Hub, then push again$"
        )
        with pytest.raises(ValueError, match=message):
            send(empty_hub, tree(README=NEXT), tag="v1")
        assert repo(empty_hub).branches["main"] == before
        api = HfApi(endpoint=empty_hub.url, token=WRITE)
        api.delete_file("notes.tmp", REPO, repo_type="dataset")
        assert send(empty_hub, tree(README=NEXT), tag="v1").tag == "v1"

    def test_memory_does_not_grow_with_the_files(self, empty_hub: HubServer, tmp_path: Path) -> None:
        shard = tmp_path / "train.tar"
        with shard.open("wb") as file:
            for _ in range(128):
                file.write(os.urandom(1 << 20))
        files = {"README.md": b"---\nlicense: mit\n---\n", "data/train.tar": shard}
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=push_files, args=(files, empty_hub.url, WRITE, tmp_path / "peak"), daemon=True
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_DISABLE_XET", "1")
            process.start()
        process.join()
        assert process.exitcode == 0
        before, after = map(int, (tmp_path / "peak").read_text().split())
        assert after - before < 48 << 20, "a third of the file"

    @pytest.mark.parametrize("seed", range(2))
    def test_killed_at_any_moment_it_goes_on(
        self, empty_hub: HubServer, mini_build: Path, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A dataset of many shards; kill -9 before, amid and after requests, until a run gets through."""
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["push_process"])
        files = dict(assemble("dataset", mini_build, repo_id=REPO).files)
        rng = random.Random(seed)
        kills = 0
        for attempt in range(40):
            process = context.Process(target=push_files, args=(files, empty_hub.url, WRITE))
            empty_hub.faults.clear()
            if attempt < 12:
                moment: dict[str, Any] = rng.choice(
                    [{"reset_request_after": 0}, {"reset_request_after": 5000}, {"unanswered": True}]
                )

                def kill(process: Any = process) -> None:
                    os.kill(process.pid, signal.SIGKILL)

                empty_hub.faults.append(Fault(skip=rng.randrange(4, 24), strike=kill, **moment))
            process.start()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            kills += 1
        assert kills >= 3
        wanted = {
            path: content if isinstance(content, bytes) else content.read_bytes()
            for path, content in files.items()
        }
        assert held(empty_hub) == wanted
        assert times_committed(empty_hub) == Counter(dict.fromkeys(wanted, 1))
        log = list(repo(empty_hub).log())
        assert log[0].changed == {"README.md", "manifest.json"}
        assert repo(empty_hub).tags == {"v1": log[0].sha}


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "content", "reason"),
        [
            ("../x.json", b"", "'../x.json': is no path within a repo"),
            ("/etc/x", b"", "'/etc/x': is no path within a repo"),
            ("a//b", b"", "'a//b': is no path within a repo"),
            (".git/config", b"", "'.git/config': is no path within a repo"),
            ("a\\..\\b", b"", r"'a\\..\\b': is no path within a repo"),
            ("data/.x.tar.7.tmp", b"", "data/.x.tar.7.tmp: is a temporary file"),
            ("model.bin", b"", "model.bin: weights are published as safetensors only"),
            ("model.safetensors", b"\x80\x04pickled", "model.safetensors: is a pickle or a zip archive"),
            ("model.safetensors", b"no header here", "model.safetensors: is not a safetensors file"),
            ("weights.dat", b"PK\x03\x04", "weights.dat: is a pickle or a zip archive"),
            ("README.md", f"token {WRITE}".encode(), "README.md: holds what looks like a Hub token"),
        ],
    )
    def test_what_must_not_be_published(self, path: str, content: bytes, reason: str) -> None:
        assert check_tree(RepoTree("model", {path: content})) == [reason]

    @pytest.mark.parametrize("length", [640, 896, 1152, 1408, 65536 + 640, 648])
    def test_safetensors_are_taken_whatever_the_length_of_their_header(
        self, tmp_path: Path, length: int
    ) -> None:
        import numpy as np
        from safetensors.numpy import save

        weights = {"a": np.arange(6, dtype=np.float32)}
        data = save(weights, {"note": ""})
        missing = length - int.from_bytes(data[:8], "little")
        data = save(weights, {"note": "x" * missing})
        assert int.from_bytes(data[:8], "little") == length
        file = tmp_path / "model.safetensors"
        file.write_bytes(data)
        assert check_tree(RepoTree("model", {file.name: file})) == []
        assert check_tree(RepoTree("model", {file.name: data})) == []
        for cut in (data[:-1], data + b"x"):
            line = f"model.safetensors: is cut short or damaged: {len(cut)} bytes, {len(data)} by its header"
            assert check_tree(RepoTree("model", {file.name: cut})) == [line]
        assert check_tree(RepoTree("model", {file.name: data[:100]})) != []

    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn"])
    def test_weights_that_are_not_finite_are_not_published(self, tmp_path: Path, dtype: str) -> None:
        import torch
        from safetensors.torch import save, save_file

        good = {"a": torch.ones(3, dtype=getattr(torch, dtype)), "steps": torch.tensor([7])}
        bad = {**good, "b": torch.tensor([1, float("nan"), 1]).to(getattr(torch, dtype))}
        file = tmp_path / "model.safetensors"
        for weights, found in ((good, []), (bad, ["model.safetensors: b holds values that are not finite"])):
            save_file(weights, file)
            assert check_tree(RepoTree("model", {file.name: file})) == found
            assert check_tree(RepoTree("model", {file.name: save(weights)})) == found

    def test_links_are_refused_be_it_the_file_or_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "a.txt").write_text("secret")
        (tmp_path / "data").symlink_to(tmp_path / "secret")
        (tmp_path / "b.txt").symlink_to(tmp_path / "secret" / "a.txt")
        wanted = RepoTree("model", {"b.txt": tmp_path / "b.txt", "data/a.txt": tmp_path / "data" / "a.txt"})
        assert [line.rpartition("/")[2] for line in check_tree(wanted)] == [
            "b.txt is a link; only regular files are published",
            "data is a link; only regular files are published",
        ]

    @pytest.mark.parametrize("secret", [WRITE, "an-older-token"])
    @pytest.mark.parametrize("place", [0, (1 << 20) - 9, 3 << 20])
    def test_no_text_holds_a_token_however_long_it_is(self, tmp_path: Path, place: int, secret: str) -> None:
        text = b"a" * place + secret.encode() + b" " * 100
        file = tmp_path / "notes.json"
        file.write_bytes(text)
        for content in (file, text):
            lines = check_tree(RepoTree("model", {"notes.json": content}), secret=secret)
            assert lines == ["notes.json: holds the token in use"]
        looks = ["notes.json: holds what looks like a Hub token"] if secret == WRITE else []
        assert check_tree(RepoTree("model", {"notes.json": file})) == looks

    def test_no_header_of_weights_holds_a_token(self) -> None:
        import numpy as np
        from safetensors.numpy import save

        data = save({"a": np.zeros(2)}, {"note": WRITE})
        line = "model.safetensors: holds what looks like a Hub token"
        assert check_tree(RepoTree("model", {"model.safetensors": data})) == [line]

    def test_the_token_of_the_push_is_looked_for(self, empty_hub: HubServer) -> None:
        with pytest.raises(ValueError, match=r"^_info\.json: holds the token in use$"):
            send(empty_hub, tree(_info=b'["plain-token"]'), token="plain-token")
        assert empty_hub.exchanges == []

    def test_nothing_is_sent_of_a_tree_that_must_not_be_published(self, empty_hub: HubServer) -> None:
        with pytest.raises(ValueError, match=r"^x.tmp: is a temporary file$"):
            send(empty_hub, tree(**{"x.tmp": b""}))
        assert empty_hub.exchanges == []

    def test_bounds_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match=r"commit_files = 0"):
            plan_commits([], commit_files=0)

    @pytest.mark.parametrize(("token", "status"), [(READ, 403), ("hf_unknownunknown", 401)])
    def test_who_may_not_write_is_told_in_one_line_without_the_token(
        self, empty_hub: HubServer, token: str, status: int
    ) -> None:
        with pytest.raises(OSError, match=rf"^emovid/EmoVid: {status} .*hf auth login") as caught:
            send(empty_hub, tree(), token=token)
        assert token not in str(caught.value) and "\n" not in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__

    @pytest.mark.parametrize("token", [WRITE, ODD])
    def test_no_log_line_holds_a_token_or_a_signature(
        self,
        token: str,
        empty_hub: HubServer,
        sleeps: list[float],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
        monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, logger="huggingface_hub")
        empty_hub.accounts[token] = Account("maintainer", orgs=("emovid",))
        empty_hub.faults.append(Fault("PUT", "/lfs/", status=503, times=2))
        empty_hub.faults.append(Fault("POST", "/commit/", status=503, error=f"no, {token}"))
        send(empty_hub, tree(), token=token)
        assert "503 thrown while requesting PUT" in caplog.text and "curl" in caplog.text
        assert token not in caplog.text and "X-Amz-Signature" not in caplog.text

    @pytest.mark.parametrize("token", [WRITE, ODD])
    def test_no_log_line_of_another_library_holds_one_wherever_it_goes(
        self,
        token: str,
        empty_hub: HubServer,
        sleeps: list[float],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        written = io.StringIO()
        for name in ("httpx", "httpx2", "httpcore", "httpcore2"):
            logger = logging.getLogger(name)
            monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(written)])
            monkeypatch.setattr(logger, "level", logging.DEBUG)
            logger.manager._clear_cache()  # type: ignore[attr-defined]
        monkeypatch.setattr(logging.getLogger(), "handlers", [])

        def log() -> None:
            logger = logging.getLogger("another.library")
            logger.warning("GET %s of %s", "https://me:pass@host/x?X-Amz-Signature=1", token)
            logger.warning("%d arguments", token)
            try:
                raise OSError(token)
            except OSError:
                logger.exception("failed")

        empty_hub.accounts[token] = Account("maintainer", orgs=("emovid",))
        before = logging.getLogRecordFactory()
        empty_hub.faults.append(Fault("POST", "/preupload/", strike=log))
        send(empty_hub, tree(), token=token)
        assert logging.getLogRecordFactory() is before
        said = capsys.readouterr().err
        assert "GET https://host/x of hf_...\n" in said and "OSError: hf_..." in said
        assert "PUT" in written.getvalue()
        for text in (said, written.getvalue()):
            assert token not in text and "X-Amz-Signature" not in text and "pass" not in text

    @pytest.mark.parametrize(
        "address", ["https://host/x?sig=abc", "https://me:pass@host/x?a=1;sig=abc&b=(c)d"]
    )
    @pytest.mark.parametrize(
        "end", ["", "; run it again", ", said", "), said", ". Then", " and", "' is", ">"]
    )
    def test_of_an_address_only_the_query_goes(self, address: str, end: str) -> None:
        assert redact(f"PUT {address}{end}") == f"PUT https://host/x{end}"


class TestCommand:
    @pytest.fixture
    def run(self, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Any:
        from typer.testing import CliRunner

        from emovid_dataset.cli import program

        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
        monkeypatch.setenv("HF_TOKEN", WRITE)
        return lambda *arguments: CliRunner().invoke(program(), ["push", "metric", *arguments])

    def test_it_says_what_it_did(self, run: Any, empty_hub: HubServer) -> None:
        from emovid_models.metrics import ea_8cls

        source = str(Path(str(ea_8cls.__file__)).parent)
        first = run(source, "--repo-id", "emovid/ea_8cls")
        assert first.exit_code == 0, first.output
        head = empty_hub.repos["spaces", "emovid/ea_8cls"].branches["main"]
        assert f"2 commits; main is {head}, tagged v0.1.0" in first.output
        again = run(source, "--repo-id", "emovid/ea_8cls", "--no-tag", "--revision", "main")
        assert f"0 commits; main is {head}; every file is on the Hub" in again.output
        assert WRITE not in first.output + again.output

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--tag", "v1", "--no-tag"], "--tag 'v1' and --no-tag exclude each other"),
            (["--commit-size", "many"], "size 'many' must be a number"),
            (["--gated", "auto"], "gated is for datasets and models"),
        ],
    )
    def test_what_is_used_wrong_is_said_before_anything_is_sent(
        self, run: Any, empty_hub: HubServer, options: list[str], message: str
    ) -> None:
        from emovid_models.metrics import ea_8cls

        source = str(Path(str(ea_8cls.__file__)).parent)
        done = run(source, "--repo-id", "emovid/ea_8cls", *options)
        assert isinstance(done.exception, ValueError) and message in str(done.exception)
        assert empty_hub.exchanges == []


class TestDamagedWeights:
    @pytest.mark.parametrize("kind", ["annotator", "base", "lora"])
    def test_weights_that_are_cut_short_are_one_line_and_nothing_is_sent(
        self,
        empty_hub: HubServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        kind: str,
    ) -> None:
        from emovid_dataset import cli
        from emovid_models import MINI_ANNOTATOR, MINI_LORA_T2V, MINI_WAN_T2V

        source, name = {
            "annotator": (MINI_ANNOTATOR, "model.safetensors"),
            "base": (MINI_WAN_T2V, "vae/diffusion_pytorch_model.safetensors"),
            "lora": (MINI_LORA_T2V, "pytorch_lora_weights.safetensors"),
        }[kind]
        shutil.copytree(source, tmp_path / "source")
        weights = tmp_path / "source" / name
        weights.write_bytes(weights.read_bytes()[:-1])
        monkeypatch.setenv("HF_TOKEN", WRITE)
        monkeypatch.setattr(
            sys, "argv", ["emovid", "push", kind, str(tmp_path / "source"), "--repo-id", f"emovid/{kind}"]
        )
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr().err
        assert (left.value.code, said.count("\n")) == (2, 1)
        assert name in said and "cut short" in said
        assert empty_hub.exchanges == []


class TestDownloads:
    def test_a_reset_never_leaves_half_a_file_and_a_slow_body_is_waited_for(
        self, empty_hub: HubServer, sleeps: list[float], tmp_path: Path
    ) -> None:
        from huggingface_hub import hf_hub_download

        data = os.urandom(300_000)
        send(empty_hub, tree(**{"train-0": data}))
        empty_hub.faults += [
            Fault("GET", "/resolve/", reset_answer_after=100_000),
            Fault("GET", "/resolve/", seconds_a_block=0.25),
        ]
        options = {"repo_type": "dataset", "endpoint": empty_hub.url, "cache_dir": tmp_path}
        try:
            file = hf_hub_download(REPO, "data/train-0.tar", **options)
        except Exception as error:  # some versions of the client try again themselves, some do not
            assert "reset" in str(error)
            assert not list(tmp_path.rglob("train-0.tar"))
            file = hf_hub_download(REPO, "data/train-0.tar", **options)
        assert Path(file).read_bytes() == data
        assert sleeps.count(0.25) >= 2
