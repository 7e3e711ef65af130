"""Delete for good what the earlier revisions of a repo on the Hub still hold.

::

    push      main is the build as it is now; it is what stays
    tags      all deleted: each names a commit that holds what must go
    history   squashed: main is one commit without a past
    objects   LFS files that main does not name are deleted, whichever branch or pull request named them
    check     each earlier commit, tag and object is asked for, and must be gone

What somebody has downloaded, duplicated or forked is out of reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.removed import read_removed
from emovid_dataset.schema.manifest import CARD_NAME, MANIFEST_NAME, REMOVED_NAME
from emovid_dataset.schema.removed import removed_lines
from emovid_dataset.store import Store
from emovid_models.publish.failures import Patience, one_line_errors, redacted_logs, status_of
from emovid_models.publish.hub_repo import TITLE, HubRepo
from emovid_models.publish.tree import RepoTree

COPIES = (
    "copies and forks remain: whoever has downloaded or duplicated the repo still has what was removed; ask "
    "them to delete it"
)
"""What no purge can change."""

_SERVED = re.compile(r"^Earlier revisions of this repo still serve (it|[^\n]*)\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did.

    Attributes:
        commit: the only commit that the branch has now.
        tags: that were deleted.
        commits: earlier ones that are gone.
        objects: LFS files that were deleted.
        size: bytes of them.
        violations: what the Hub still serves; empty when there is nothing.
    """

    commit: str
    tags: tuple[str, ...]
    commits: tuple[str, ...]
    objects: tuple[str, ...]
    size: int
    violations: tuple[str, ...]


def purged_files(build: Store, date: str | None = None) -> dict[str, bytes]:
    """The files of a build that say whether earlier revisions serve what was removed, as a purge leaves them.

    Args:
        build: the build; it is not changed.
        date: of the purge, None for today, in UTC.

    Returns:
        Their bytes by name; none where nothing was removed.
    """
    manifest = read_manifest(build)
    if not manifest.removed or manifest.purged == manifest.removed:
        return {}
    today = date or datetime.now(timezone.utc).date().isoformat()
    entries = [replace(entry, purged=entry.purged or today) for entry in read_removed(build).values()]
    card = build.read(CARD_NAME).decode()

    def none_serves(found: re.Match[str]) -> str:
        return f"No earlier revision of this repo serves {'it' if found[1] == 'it' else 'them'} any more."

    return {
        REMOVED_NAME: removed_lines(entries),
        MANIFEST_NAME: replace(manifest, purged=manifest.removed).to_json().encode(),
        CARD_NAME: _SERVED.sub(none_serves, card).encode(),
    }


def check_branches(
    tree: RepoTree, repo_id: str, revision: str, *, token: str | None = None, endpoint: str | None = None
) -> None:
    """Refuse to purge a repo that has other branches, before anything is sent.

    Args:
        tree: of the repo.
        repo_id: ``owner/name``.
        revision: the branch that stays.
        token, endpoint: as for `upload.push`.

    Raises:
        ValueError: there is another one, which may hold what must go.
        OSError: the Hub refused, or could not be reached for long.
    """
    with one_line_errors(repo_id, token):
        repo = _repo(tree, repo_id, revision, token, endpoint, Patience())
        try:
            refs = repo.tried(repo.api.list_repo_refs, repo_id, repo_type=tree.repo_type)
        except Exception as error:
            if status_of(error) in (401, 403, 404):
                return  # there is nothing to purge, or the push says why not
            raise
        others = sorted({ref.name for ref in refs.branches} - {revision})
    if others:
        raise ValueError(
            f"{repo_id} has other branches, which may hold what must go: {', '.join(others)}; delete them on "
            "the Hub, then purge again"
        )


def purge(
    tree: RepoTree,
    repo_id: str,
    *,
    revision: str = "main",
    tag: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    patience: Patience = Patience(),
) -> Purged:
    """Delete what earlier revisions of a repo hold; its branch holds the tree already.

    Interrupted, the same call goes on from there.

    Args:
        tree: of the repo.
        repo_id: ``owner/name``.
        revision: the branch that stays.
        tag: name for the commit that stays, None for none.
        token, endpoint, patience: as for `upload.push`.

    Returns:
        What was done, and what the Hub serves all the same.

    Raises:
        OSError: the Hub refused, or could not be reached for long.
    """
    from huggingface_hub import get_token

    secret = token or get_token()
    with redacted_logs(secret), one_line_errors(repo_id, secret):
        repo = _repo(tree, repo_id, revision, token, endpoint, patience)
        api, kind = repo.api, {"repo_type": tree.repo_type}
        refs = repo.tried(api.list_repo_refs, repo_id, **kind)
        before = [
            commit.commit_id
            for commit in repo.tried(api.list_repo_commits, repo_id, revision=revision, **kind)
        ]
        tagged = {ref.name: ref.target_commit for ref in refs.tags}
        files = {sha: path for path, sha in _objects_of(repo, [*before, *tagged.values()])}
        stays = len(before) == 1 and tagged == ({tag: before[0]} if tag else {})
        if not stays:
            for name in sorted(tagged):
                repo.tried(api.delete_tag, repo_id, tag=name, **kind)
            if len(before) > 1:
                repo.tried(
                    api.super_squash_history,
                    repo_id,
                    branch=revision,
                    commit_message=f"{TITLE}: the build without its past",
                    **kind,
                )
        head = repo.head()
        kept = {entry.lfs.sha256 for entry in repo.listing(head).values() if entry.lfs}
        stale = [
            entry
            for entry in repo.tried(lambda: list(api.list_lfs_files(repo_id, **kind)))
            if entry.file_oid not in kept
        ]
        if stale:
            repo.tried(api.permanently_delete_lfs_files, repo_id, stale, **kind)
            head = repo.head()
        if tag is not None and (named := repo.tag(tag, head)) != head:
            raise ValueError(f"{repo_id}: tag {tag!r} names commit {named}, not {head}")
        gone = [sha for sha in dict.fromkeys([*before, *tagged.values()]) if sha != head]
        found = [*_still_there(repo, gone, files, kept)]
        left = {
            entry.file_oid for entry in repo.tried(lambda: list(api.list_lfs_files(repo_id, **kind)))
        } - kept
        found += [f"object {sha} is still stored on the Hub" for sha in sorted(left)]
    return Purged(
        commit=head,
        tags=tuple(sorted(name for name in tagged if not stays and name != tag)),
        commits=tuple(gone),
        objects=tuple(entry.file_oid for entry in stale),
        size=sum(entry.size for entry in stale),
        violations=tuple(found),
    )


def _repo(
    tree: RepoTree,
    repo_id: str,
    revision: str,
    token: str | None,
    endpoint: str | None,
    patience: Patience,
) -> HubRepo:
    from huggingface_hub import HfApi

    return HubRepo(HfApi(endpoint=endpoint, token=token), repo_id, tree.repo_type, revision, patience)


def _objects_of(repo: HubRepo, commits: list[str]) -> Iterator[tuple[str, str]]:
    """Paths and hashes of the LFS files of some commits."""
    for sha in dict.fromkeys(commits):
        for path, entry in repo.listing(sha).items():
            if entry.lfs:
                yield path, str(entry.lfs.sha256)


def _still_there(
    repo: HubRepo, commits: list[str], files: Mapping[str, str], kept: set[str]
) -> Iterator[str]:
    """Lines about commits that the Hub still answers for, and about files that it still serves of them."""
    folder = "" if repo.type == "model" else f"{repo.type}s/"
    stale = [path for sha, path in files.items() if sha not in kept]
    for sha in commits:
        asked: dict[str, Any] = {"repo_type": repo.type, "revision": sha}
        if not _is_missing(repo, lambda asked=asked: repo.api.repo_info(repo.id, **asked)):
            yield f"commit {sha} is still there on the Hub"
            for path in stale:
                url = f"{repo.api.endpoint}/{folder}{repo.id}/resolve/{sha}/{quote(path)}"
                if not _is_missing(repo, lambda url=url: repo.api.get_hf_file_metadata(url=url)):
                    yield f"{path} of commit {sha} is still served"


def _is_missing(repo: HubRepo, call: Any) -> bool:
    try:
        repo.tried(call)
    except Exception as error:
        if status_of(error) == 404:
            return True
        raise
    return False
