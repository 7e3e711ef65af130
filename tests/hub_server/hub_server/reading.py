"""The routes that read: facts, listings, refs, history, files and ranges of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from hub_server.store import KINDS, HubError

if TYPE_CHECKING:
    from hub_server.server import HubHandler

PAGE = 1000
"""Entries of a tree listing in one answer, as on the Hub; a Link header leads to the next."""

_DATE = "2025-01-01T00:00:00.000Z"
_BLOCK = 1 << 16


def info(handler: HubHandler, kind: str, repo_id: str, revision: str) -> None:
    """Facts about a repo: its commit, files and card."""
    repo = handler.repo(kind, repo_id)
    commit = handler.commit(repo, revision or "main")
    siblings: list[dict[str, Any]] = []
    for path, blob in commit.blobs.items():
        siblings.append({"rfilename": path})
        if handler.query.get("blobs", "").lower() == "true":
            siblings[-1] |= {"size": blob.size, "blobId": blob.oid}
            if blob.sha256:
                siblings[-1]["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 130}
    card = commit.card()
    facts = {
        "_id": hashlib.sha1(f"{kind}/{repo_id}".encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.sha,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card.get("tags") or [],
        "cardData": card,
        "siblings": siblings,
    }
    if kind == "models":
        facts |= {name: card[name] for name in ("pipeline_tag", "library_name") if name in card}
    handler.send_json(facts, {"X-Repo-Commit": commit.sha})


def tree(handler: HubHandler, kind: str, repo_id: str, revision: str, path: str) -> None:
    """Files and folders below a folder, a page at a time."""
    repo = handler.repo(kind, repo_id)
    commit = handler.commit(repo, revision)
    path = path.strip("/")
    if not commit.is_folder(path):
        raise HubError(
            HTTPStatus.NOT_FOUND, "EntryNotFound", f"{path} does not exist on {revision}", commit.sha
        )
    entries = list(commit.entries(path, handler.query.get("recursive", "").lower() in ("true", "1")))
    start = int(handler.query.get("cursor", 0))
    end = start + min(PAGE, int(handler.query.get("limit", PAGE)))
    headers = {"X-Repo-Commit": commit.sha}
    if end < len(entries):
        query = "&".join(
            f"{name}={quote(text)}" for name, text in {**handler.query, "cursor": str(end)}.items()
        )
        headers["Link"] = f'<{handler.hub.url}{urlsplit(handler.path).path}?{query}>; rel="next"'
    expand = handler.query.get("expand", "").lower() in ("true", "1")
    page = entries[start:end]
    handler.send_json(repo.expanded(page, commit.sha) if expand else page, headers)


def paths_info(handler: HubHandler, kind: str, repo_id: str, revision: str) -> None:
    """The named files and folders; those that do not exist are left out."""
    repo = handler.repo(kind, repo_id)
    commit = handler.commit(repo, revision)
    if handler.headers.get("Content-Type", "").startswith("application/json"):
        form = handler.read_json()
        paths, expand = form["paths"], bool(form.get("expand"))
    else:
        fields = parse_qs(handler.read_body().decode())
        paths, expand = fields.get("paths", []), fields.get("expand", [""])[0].lower() == "true"
    known = [path for path in paths if path in commit.blobs or (path and commit.is_folder(path))]
    entries = [commit.entry(path) for path in known]
    handler.send_json(
        repo.expanded(entries, commit.sha) if expand else entries, {"X-Repo-Commit": commit.sha}
    )


def refs(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Branches and tags."""
    repo = handler.repo(kind, repo_id)
    named = {
        name: [{"name": ref, "ref": f"refs/{folder}/{ref}", "targetCommit": sha} for ref, sha in refs.items()]
        for name, folder, refs in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
    }
    handler.send_json({**named, "converts": [], "pullRequests": []})


def resolve(handler: HubHandler, kind: str, repo_id: str, revision: str, path: str) -> None:
    """A file, or one range of its bytes."""
    repo = handler.repo(kind or "models", repo_id)
    if repo.gated and not handler.may_read(repo):
        status = HTTPStatus.UNAUTHORIZED if handler.token() is None else HTTPStatus.FORBIDDEN
        raise HubError(status, "GatedRepo", f"Access to {repo.kind} {repo.id} is restricted.")
    commit = handler.commit(repo, revision)
    blob = commit.blobs.get(path)
    if blob is None:
        raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", commit.sha)
    headers = {
        "X-Repo-Commit": commit.sha,
        "ETag": f'"{blob.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if blob.sha256:
        headers |= {"X-Linked-Size": str(blob.size), "X-Linked-Etag": f'"{blob.etag}"'}
    start, end, status = 0, blob.size, HTTPStatus.OK
    wanted = _byte_range(handler.headers.get("Range", ""), blob.size)
    if wanted:
        start, end = wanted
        if start >= end:
            status, headers["Content-Range"] = (
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"bytes */{blob.size}",
            )
            end = start
        else:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    handler.send_head(status, end - start, headers)
    if handler.command == "HEAD":
        return
    with blob.file.open("rb") as data:
        data.seek(start)
        while start < end and (block := data.read(min(_BLOCK, end - start))):
            handler.send_block(block)
            start += len(block)


def _byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a single range; None for no range or a form that may be ignored."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def whoami(handler: HubHandler) -> None:
    """Whom the token belongs to."""
    account = handler.account()
    if account is None:
        raise HubError(HTTPStatus.UNAUTHORIZED, "", "Invalid credentials in Authorization header")
    role = "write" if account.write else "read"
    handler.send_json(
        {
            "type": "user",
            "id": hashlib.sha1(account.name.encode()).hexdigest()[:24],
            "name": account.name,
            "orgs": [{"type": "org", "name": org, "roleInOrg": role} for org in account.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "token", "role": role}},
        }
    )


def commits(handler: HubHandler, kind: str, repo_id: str, revision: str) -> None:
    """The history, newest first."""
    repo = handler.repo(kind, repo_id)
    head = handler.commit(repo, revision)
    handler.send_json(
        [
            {
                "id": commit.sha,
                "title": commit.title,
                "message": commit.message,
                "date": _DATE,
                "authors": [{"user": commit.author}],
            }
            for commit in repo.log(head.sha)
        ]
    )


_API = rf"/api/(?P<kind>{'|'.join(KINDS)})/(?P<repo_id>[^/]+/[^/]+)"
_READ = ("GET", "HEAD")

ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], Callable[..., None]]] = [
    (_READ, re.compile(r"/api/whoami-v2"), whoami),
    (_READ, re.compile(rf"{_API}(?:/revision/(?P<revision>[^/]+))?"), info),
    (_READ, re.compile(rf"{_API}/tree/(?P<revision>[^/]+)(?P<path>/.*)?"), tree),
    (("POST",), re.compile(rf"{_API}/paths-info/(?P<revision>[^/]+)"), paths_info),
    (_READ, re.compile(rf"{_API}/refs"), refs),
    (_READ, re.compile(rf"{_API}/commits/(?P<revision>[^/]+)"), commits),
    (
        _READ,
        re.compile(
            r"/(?:(?P<kind>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
        ),
        resolve,
    ),
]
"""Methods, path and answer of each request that is understood; groups of the path are the arguments."""
