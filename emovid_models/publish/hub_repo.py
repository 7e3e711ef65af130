"""A branch of a repo on the Hub, as a push sees it.

A commit is made once, even if the answer to it is lost: before it is tried again the listing is looked at,
and it names the commit that it follows, so that the Hub refuses it if the lost one came through after all.
Its description holds a mark of its own, by which it is told from that of another push of the same files.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from emovid_models.publish.failures import Patience, is_of_storage, reason_of, seconds_to_wait, status_of
from emovid_models.publish.tree import HashedFile

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

TITLE = "emovid push"
"""Titles of the commits begin with it; a file that was changed last by such a commit is one of ours."""


_PATHS = 100  # that are asked for at once

_LONG_WAIT = 5.0

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Committed:
    """What one call has brought to a branch itself, whatever others brought meanwhile.

    Attributes:
        commits: how many.
        added: paths that they added or changed.
        deleted: paths that they deleted.
    """

    commits: int = 0
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __add__(self, other: Committed) -> Committed:
        return Committed(self.commits + other.commits, self.added + other.added, self.deleted + other.deleted)


@dataclass(frozen=True, slots=True)
class HubRepo:
    """A branch of a repo on the Hub; every call is patient."""

    api: Any
    id: str
    type: str
    revision: str
    patience: Patience

    def tried(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function of the client until it works or another try is useless."""
        for wait in self.patience.waits():
            try:
                return call(*arguments, **options)
            except Exception as error:
                least = seconds_to_wait(error)
                if least is None:
                    raise
                self._wait(error, max(wait, least))
        return call(*arguments, **options)

    def _wait(self, error: BaseException, seconds: float) -> None:
        """Wait before the next try, and say so if it is long."""
        seconds = min(seconds, self.patience.most)
        if seconds >= _LONG_WAIT:
            _LOG.warning("emovid: %s: %s; trying again in %.0f s", self.id, reason_of(error), seconds)
        time.sleep(seconds)

    def create(self, private: bool, gated: str | None, space_sdk: str | None) -> None:
        """Create repo and branch if missing."""
        # An unset visibility means the owner's default, which an organisation may have set to private.
        self.tried(
            self.api.create_repo,
            self.id,
            repo_type=self.type,
            private=private or None,
            space_sdk=space_sdk,
            exist_ok=True,
        )
        if private and not self.tried(self.api.repo_info, self.id, repo_type=self.type).private:
            raise ValueError(
                f"{self.id} is public already; make it private in its settings, or leave out --private"
            )
        if gated is not None:
            self.tried(self.api.update_repo_settings, self.id, gated=gated, repo_type=self.type)
            found = self.tried(self.api.repo_info, self.id, repo_type=self.type).gated
            if found != gated:
                raise ValueError(f"{self.id} is not gated: the Hub says {found!r} instead of {gated!r}")
        if self.revision != "main":
            self.tried(
                self.api.create_branch, self.id, branch=self.revision, repo_type=self.type, exist_ok=True
            )

    def head(self) -> str:
        """The commit that the branch names."""
        return str(self.tried(self.api.repo_info, self.id, repo_type=self.type, revision=self.revision).sha)

    def listing(self, revision: str) -> dict[str, Any]:
        """All files by path, as the Hub lists them."""

        def whole() -> dict[str, Any]:
            entries = self.api.list_repo_tree(self.id, repo_type=self.type, revision=revision, recursive=True)
            return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}

        return self.tried(whole)

    def files(self, paths: Sequence[str], revision: str, *, expand: bool = False) -> dict[str, Any]:
        """Some files by path."""
        found: dict[str, Any] = {}
        for start in range(0, len(paths), _PATHS):
            part = list(paths[start : start + _PATHS])
            entries = self.tried(
                self.api.get_paths_info,
                self.id,
                part,
                repo_type=self.type,
                revision=revision,
                expand=expand,
            )
            found |= {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}
        return found

    def strays(
        self, held: Mapping[str, Any], wanted: Iterable[str], revision: str
    ) -> tuple[list[str], list[str]]:
        """Files that the tree does not have: those of an earlier push, and those of somebody else."""
        strays = sorted(set(held) - set(wanted) - {".gitattributes"})
        known = self.files(strays, revision, expand=True)
        ours = [
            path
            for path, file in known.items()
            if file.last_commit is not None and file.last_commit.title.startswith(TITLE)
        ]
        return sorted(ours), sorted(set(strays) - set(ours))

    def is_tagged(self, tag: str, files: Sequence[HashedFile]) -> bool:
        """Whether a tag exists and names exactly these files, and none of another push.

        Raises:
            ValueError: it names others.
        """
        try:
            refs = self.tried(self.api.list_repo_refs, self.id, repo_type=self.type)
        except Exception as error:
            if status_of(error) in (401, 403, 404):
                return False  # There is no such repo yet; if it is for lack of rights, creating it says so.
            raise
        if tag not in {ref.name for ref in refs.tags}:
            return False
        held = self.listing(tag)
        others, _ = self.strays(held, [file.path for file in files], tag)
        if not others and all(is_same(file, held.get(file.path)) for file in files):
            return True
        raise ValueError(f"tag {tag!r} of {self.id} names other files; give another one, or none")

    def tag(self, tag: str, commit: str) -> str:
        """Give a commit a name, unless that is taken; returns the commit that it names now."""
        self.tried(self.api.create_tag, self.id, tag=tag, revision=commit, repo_type=self.type, exist_ok=True)
        return str(self.tried(self.api.repo_info, self.id, repo_type=self.type, revision=tag).sha)

    def commit(
        self,
        batch: Sequence[HashedFile],
        deleted: Sequence[str],
        number: str,
        progress: Callable[[int, int], object],
    ) -> Committed:
        """Send files and commit them, once, whatever gets lost on the way.

        Returns:
            What this call did; nothing if somebody else brought the branch to this state meanwhile.
        """
        from huggingface_hub import CommitOperationDelete

        from emovid_models.publish.sending import AT_ONCE, additions, groups

        sent: dict[str, CommitOperationAdd] = {}
        counted: set[str] = set()
        tried: dict[str, Committed] = {}
        for wait in (*self.patience.waits(), None):
            head = self.head()
            held = self.files([*(file.path for file in batch), *deleted], head)
            todo = [file for file in batch if not is_same(file, held.get(file.path))]
            gone = [path for path in deleted if path in held]
            if not todo and not gone:
                return self._came_through(tried, head)
            try:
                for group in groups(file for file in todo if file.path not in sent):
                    with additions(group) as made:
                        self.api.preupload_lfs_files(
                            self.id,
                            made,
                            repo_type=self.type,
                            revision=self.revision,
                            num_threads=AT_ONCE,
                            free_memory=False,
                        )
                    for file, addition in zip(group, made, strict=True):
                        sent[file.path] = addition
                        if file.path not in counted:
                            counted.add(file.path)
                            progress(1, file.size)
                mark = secrets.token_hex(8)
                now = Committed(1, tuple(file.path for file in todo), tuple(gone))
                earlier = dict(tried)
                tried[mark] = now
                answer = self.api.create_commit(
                    self.id,
                    [
                        *(sent[file.path] for file in todo),
                        *(CommitOperationDelete(path, is_folder=False) for path in gone),
                    ],
                    commit_message=f"{TITLE} {number}: {len(todo)} to add, {len(gone)} to delete",
                    commit_description="\n".join([*(f"Deleted: {path}" for path in gone), f"Push: {mark}"]),
                    repo_type=self.type,
                    revision=self.revision,
                    # If the branch is not where it was when we looked, the Hub refuses, and we look again.
                    parent_commit=head,
                )
                return now + self._came_through(earlier, str(answer.oid))
            except Exception as error:
                again = status_of(error) == 412 or is_of_storage(error)
                least = 0.0 if again else seconds_to_wait(error)
                if wait is None or least is None:
                    raise
                self._wait(error, max(wait, least))
        raise AssertionError("the last try returns or raises")

    def _came_through(self, tried: Mapping[str, Committed], head: str) -> Committed:
        """What was done by commits that were not answered, or not well: those whose mark is in the history.

        A refusal too may be the answer to a commit that the client has sent twice.

        Args:
            tried: by mark.
            head: where the history is read from.
        """
        total = Committed()
        if tried:
            log = self.tried(self.api.list_repo_commits, self.id, repo_type=self.type, revision=head)
            text = "\n".join(commit.message or "" for commit in log)
            for mark, done in tried.items():
                if mark in text:
                    total += done
        return total


def is_same(file: HashedFile, held: Any) -> bool:
    """Whether the Hub's file has the same bytes."""
    if held is None or held.size != file.size:
        return False
    return held.lfs.sha256 == file.sha256 if held.lfs else held.blob_id == file.git_oid
