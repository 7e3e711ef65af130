"""The routes that delete for good: a branch's history, and objects that are stored as LFS."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from hub_server.store import KINDS, Commit, HubError
from hub_server.writing import writable

if TYPE_CHECKING:
    from hub_server.server import HubHandler

_DATE = "2025-01-01T00:00:00.000Z"


def squash(handler: HubHandler, kind: str, repo_id: str, name: str) -> None:
    """Make one commit of a branch; commits that no branch and no tag leads to are gone."""
    repo = writable(handler, kind, repo_id)
    message = handler.read_json().get("message") or ""
    with handler.hub.lock:
        if name not in repo.branches:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {name}")
        head = repo.commits[repo.branches[name]]
        made = Commit.of(head.blobs, title=message, author=head.author)
        repo.add(made, name)
        named = [*repo.branches.values(), *repo.tags.values()]
        reached = {commit.sha for sha in named for commit in repo.log(sha)}
        repo.commits = {sha: commit for sha, commit in repo.commits.items() if sha in reached}
        repos = handler.hub.repos.values()
        held = {
            blob.file for one in repos for commit in one.commits.values() for blob in commit.blobs.values()
        }
        for file in set(handler.hub.storage.glob("new-*")) - held:
            file.unlink()
    handler.send_json({})


def lfs_files(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Every object that was ever pushed to the repo and not deleted, whether or not a commit names it."""
    repo = writable(handler, kind, repo_id)
    handler.send_json(
        [
            {
                "fileOid": oid,
                "oid": f"id-{oid[:16]}",
                "filename": filename,
                "size": size,
                "pushedAt": _DATE,
                "ref": "main",
            }
            for oid, (filename, size) in sorted(repo.objects.items())
        ]
    )


def delete_lfs_files(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Delete objects, and with `rewriteHistory` the files that point to them, in every commit."""
    repo = writable(handler, kind, repo_id)
    wanted = handler.read_json()["deletions"]
    gone = set(wanted["sha"])
    with handler.hub.lock:
        for oid in gone & set(repo.objects):
            del repo.objects[oid]
            if not any(oid in other.objects for other in handler.hub.repos.values()):
                (handler.hub.storage / oid).unlink(missing_ok=True)
        if wanted["rewriteHistory"]:
            repo.forget(gone)
    handler.send_json({})


_API = rf"/api/(?P<kind>{'|'.join(KINDS)})/(?P<repo_id>[^/]+/[^/]+)"

ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], Callable[..., None]]] = [
    (("POST",), re.compile(rf"{_API}/super-squash/(?P<name>[^/]+)"), squash),
    (("GET",), re.compile(rf"{_API}/lfs-files"), lfs_files),
    (("POST",), re.compile(rf"{_API}/lfs-files/batch"), delete_lfs_files),
]
"""Methods, path and answer of each request that is understood; groups of the path are the arguments."""
