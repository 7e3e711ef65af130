"""A server on loopback that speaks the Hub's HTTP API to unmodified clients.

It serves tests and local demos only: tokens are compared as plain strings and nothing is encrypted. It
listens on 127.0.0.1 and shows folders as repos; clients find it by ``HF_ENDPOINT``, and need
``HF_HUB_DISABLE_XET=1``, as it has no Xet storage::

    with HubServer() as hub:
        hub.publish("datasets", "emovid/EmoVid", Path("build"))
        subprocess.run([...], env={"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"})

A repo is a chain of commits, and refs are names of commits. Publishing makes one of them. Every request goes
through `ROUTES`: what writes to repos is a further row there.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

KINDS = ("models", "datasets", "spaces")
PAGE = 1000
"""Entries of a tree listing in one answer, as on the Hub; a Link header leads to the next."""

_LFS_SUFFIXES = {".mp4", ".parquet", ".png", ".safetensors", ".tar"}
_DATE = "2025-01-01T00:00:00.000Z"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit.

    Attributes:
        file: where its bytes lie; they must not change.
        size: bytes.
        oid: SHA-1 as git names a blob.
        sha256: of its bytes when it is stored as LFS, else None.
    """

    file: Path
    size: int
    oid: str
    sha256: str | None

    @classmethod
    def of(cls, file: Path) -> Blob:
        """Hash a file."""
        size = file.stat().st_size
        git, sha256 = hashlib.sha1(f"blob {size}\0".encode()), hashlib.sha256()
        with file.open("rb") as data:
            while block := data.read(_BLOCK):
                git.update(block)
                sha256.update(block)
        return cls(file, size, git.hexdigest(), sha256.hexdigest() if file.suffix in _LFS_SUFFIXES else None)

    @property
    def etag(self) -> str:
        """What the Hub says as ETag: the SHA-256 of an LFS file, else git's own hash."""
        return self.sha256 or self.oid


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of a repo.

    Attributes:
        sha: 40 hex digits, a hash of all paths and contents, so that equal folders are equal commits.
        blobs: by path, sorted.
    """

    sha: str
    blobs: Mapping[str, Blob]

    @classmethod
    def of(cls, blobs: Mapping[str, Blob]) -> Commit:
        """Name a state by its contents."""
        blobs = dict(sorted(blobs.items()))
        lines = "".join(f"{blob.etag} {path}\n" for path, blob in blobs.items())
        return cls(hashlib.sha1(lines.encode()).hexdigest(), MappingProxyType(blobs))

    @classmethod
    def of_folder(cls, folder: Path) -> Commit:
        """Take every regular file of a folder; links are left out, as they may lead outside."""
        files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return cls.of({path.relative_to(folder).as_posix(): Blob.of(path) for path in files})

    def entries(self, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
        """What lies below a folder ("" is the root), files and folders, as the Hub lists them."""
        start = f"{folder}/" if folder else ""
        seen = set()
        for path in self.blobs:
            if not path.startswith(start):
                continue
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                name = start + "/".join(parts[:depth])
                if name not in seen:
                    seen.add(name)
                    yield self.entry(name)

    def entry(self, path: str) -> dict[str, Any]:
        """One file or folder as the Hub lists it."""
        blob = self.blobs.get(path)
        if blob is None:
            return {"type": "directory", "path": path, "size": 0, "oid": self._tree_id(path)}
        entry: dict[str, Any] = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
        if blob.sha256:
            entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
        return entry

    def is_folder(self, path: str) -> bool:
        """Whether any file lies below."""
        return path == "" or any(name.startswith(f"{path}/") for name in self.blobs)

    def _tree_id(self, path: str) -> str:
        below = {name: blob for name, blob in self.blobs.items() if name.startswith(f"{path}/")}
        return Commit.of(below).sha


@dataclass(slots=True)
class Repo:
    """A repo: its commits, what its branches and tags point at, and who may read it.

    Attributes:
        kind: one of `KINDS`.
        id: ``owner/name``.
        private: without a token of `readers` it looks as if it did not exist.
        gated: anyone sees it, but only a token of `readers` gets its files.
        readers: tokens.
        commits: by sha.
        branches: sha by name.
        tags: sha by name.
    """

    kind: str
    id: str
    private: bool = False
    gated: bool = False
    readers: frozenset[str] = frozenset()
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, commit: Commit, branch: str = "main") -> None:
        """Make a commit the head of a branch."""
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha

    def commit(self, revision: str) -> Commit | None:
        """The commit that a branch, tag, full ref or sha means, or None."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return self.commits.get(self.branches.get(name) or self.tags.get(name) or revision)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        method: as HEAD.
        path: as asked for, with its query.
        byte_range: the Range header.
        status: of the answer.
        length: bytes of the answer's body, 0 for HEAD.
    """

    method: str
    path: str
    byte_range: str | None
    status: int
    length: int


class HubError(Exception):
    """A refusal, with the code by which clients choose their exception."""

    def __init__(self, status: HTTPStatus, code: str, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.commit = status, code, commit


class HubServer:
    """The server, running as long as the `with` block.

    Attributes:
        repos: by kind and id.
        exchanges: all requests so far; a client sees an answer after it is noted here.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.exchanges: list[Exchange] = []
        handler = type("Handler", (HubHandler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """What clients take as ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def publish(self, kind: str, repo_id: str, folder: Path, **access: Any) -> Repo:
        """Show a folder as a repo; again, as its next commit.

        Args:
            kind: one of `KINDS`.
            repo_id: ``owner/name``.
            folder: must not change while it is served.
            access: `private`, `gated` and `readers` of a new `Repo`.

        Raises:
            ValueError: an unknown kind, or an id without an owner.
        """
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
            raise ValueError(f"repo_id is {repo_id!r}; it must be owner/name")
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id, **access))
        repo.add(Commit.of_folder(folder))
        return repo


class HubHandler(BaseHTTPRequestHandler):
    """One connection of a client."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Find the route of the request and answer."""
        # The body must be read even if it is not used: the next request comes over the same connection.
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            for methods, pattern, answer in ROUTES:
                found = pattern.fullmatch(url.path)
                if found and self.command in methods:
                    answer(self, **{name: unquote(text or "") for name, text in found.groupdict().items()})
                    return
            raise HubError(HTTPStatus.NOT_FOUND, "", "Sorry, we can't find the page you are looking for.")
        except HubError as error:
            headers = {"X-Error-Message": str(error)}
            if error.code:
                headers["X-Error-Code"] = error.code
            if error.commit:
                headers["X-Repo-Commit"] = error.commit
            self.send_json({"error": str(error)}, headers, error.status)

    do_HEAD = do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `HubServer.exchanges` is the log."""

    def token(self) -> str | None:
        """The bearer token of the request."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme == "Bearer" and token else None

    def repo(self, kind: str, repo_id: str) -> Repo:
        """The repo, if the token may know of it."""
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and self.token() not in repo.readers):
            # The Hub answers alike for both, so that private names do not leak.
            if self.token() is None:
                raise HubError(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Invalid username or password.")
            raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        return repo

    def commit(self, repo: Repo, revision: str) -> Commit:
        """The commit that a revision means."""
        commit = repo.commit(revision)
        if commit is None:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def send_json(
        self, value: Any, headers: Mapping[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        """Answer with JSON."""
        data = json.dumps(value).encode()
        self.send_head(status, len(data), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_head(self, status: HTTPStatus, length: int, headers: Mapping[str, str]) -> None:
        """Note the exchange and send everything before the body."""
        sent = 0 if self.command == "HEAD" else length
        self.hub.exchanges.append(
            Exchange(self.command, self.path, self.headers.get("Range"), status.value, sent)
        )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def info(self, kind: str, repo_id: str, revision: str) -> None:
        """Facts about a repo: its commit, files and card."""
        repo = self.repo(kind, repo_id)
        commit = self.commit(repo, revision or "main")
        siblings: list[dict[str, Any]] = []
        for path, blob in commit.blobs.items():
            siblings.append({"rfilename": path})
            if self.query.get("blobs", "").lower() == "true":
                siblings[-1] |= {"size": blob.size, "blobId": blob.oid}
                if blob.sha256:
                    siblings[-1]["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 130}
        card = _card_data(commit)
        facts = {
            "_id": hashlib.sha1(f"{kind}/{repo_id}".encode()).hexdigest()[:24],
            "id": repo.id,
            "author": repo.id.partition("/")[0],
            "sha": commit.sha,
            "createdAt": _DATE,
            "lastModified": _DATE,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": card.get("tags") or [],
            "cardData": card,
            "siblings": siblings,
        }
        if kind == "models":
            facts |= {name: card[name] for name in ("pipeline_tag", "library_name") if name in card}
        self.send_json(facts, {"X-Repo-Commit": commit.sha})

    def tree(self, kind: str, repo_id: str, revision: str, path: str) -> None:
        """Files and folders below a folder, a page at a time."""
        commit = self.commit(self.repo(kind, repo_id), revision)
        path = path.strip("/")
        if not commit.is_folder(path):
            raise HubError(
                HTTPStatus.NOT_FOUND, "EntryNotFound", f"{path} does not exist on {revision}", commit.sha
            )
        entries = list(commit.entries(path, self.query.get("recursive", "").lower() in ("true", "1")))
        start = int(self.query.get("cursor", 0))
        end = start + min(PAGE, int(self.query.get("limit", PAGE)))
        headers = {"X-Repo-Commit": commit.sha}
        if end < len(entries):
            query = "&".join(
                f"{name}={quote(text)}" for name, text in {**self.query, "cursor": str(end)}.items()
            )
            headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{query}>; rel="next"'
        expand = self.query.get("expand", "").lower() in ("true", "1")
        self.send_json([_expanded(entry, commit, expand) for entry in entries[start:end]], headers)

    def paths_info(self, kind: str, repo_id: str, revision: str) -> None:
        """The named files and folders; those that do not exist are left out."""
        commit = self.commit(self.repo(kind, repo_id), revision)
        if self.headers.get("Content-Type", "").startswith("application/json"):
            form = json.loads(self.body)
            paths, expand = form["paths"], bool(form.get("expand"))
        else:
            fields = parse_qs(self.body.decode())
            paths, expand = fields.get("paths", []), fields.get("expand", [""])[0].lower() == "true"
        known = [path for path in paths if path in commit.blobs or (path and commit.is_folder(path))]
        self.send_json(
            [_expanded(commit.entry(path), commit, expand) for path in known], {"X-Repo-Commit": commit.sha}
        )

    def refs(self, kind: str, repo_id: str) -> None:
        """Branches and tags."""
        repo = self.repo(kind, repo_id)
        named = {
            name: [
                {"name": ref, "ref": f"refs/{folder}/{ref}", "targetCommit": sha} for ref, sha in refs.items()
            ]
            for name, folder, refs in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
        }
        self.send_json({**named, "converts": [], "pullRequests": []})

    def resolve(self, kind: str, repo_id: str, revision: str, path: str) -> None:
        """A file, or one range of its bytes."""
        repo = self.repo(kind or "models", repo_id)
        if repo.gated and self.token() not in repo.readers:
            status = HTTPStatus.UNAUTHORIZED if self.token() is None else HTTPStatus.FORBIDDEN
            raise HubError(status, "GatedRepo", f"Access to {repo.kind} {repo.id} is restricted.")
        commit = self.commit(repo, revision)
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
        wanted = _byte_range(self.headers.get("Range", ""), blob.size)
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
        self.send_head(status, end - start, headers)
        if self.command == "HEAD":
            return
        with blob.file.open("rb") as data:
            data.seek(start)
            while start < end and (block := data.read(min(_BLOCK, end - start))):
                try:
                    self.wfile.write(block)
                except (BrokenPipeError, ConnectionResetError):  # a streaming client has read enough
                    self.close_connection = True
                    return
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


def _expanded(entry: dict[str, Any], commit: Commit, expand: bool) -> dict[str, Any]:
    if not expand:
        return entry
    return {**entry, "lastCommit": {"id": commit.sha, "title": "Publish", "date": _DATE}}


def _card_data(commit: Commit) -> dict[str, Any]:
    """The YAML at the head of the README."""
    readme = commit.blobs.get("README.md")
    found = readme and re.match(r"---\n(.*?)\n---", readme.file.read_text(encoding="utf-8"), re.DOTALL)
    return (yaml.safe_load(found[1]) or {}) if found else {}


_API = rf"/api/(?P<kind>{'|'.join(KINDS)})/(?P<repo_id>[^/]+/[^/]+)"
_READ = ("GET", "HEAD")

ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], Callable[..., None]]] = [
    (_READ, re.compile(rf"{_API}(?:/revision/(?P<revision>[^/]+))?"), HubHandler.info),
    (_READ, re.compile(rf"{_API}/tree/(?P<revision>[^/]+)(?P<path>/.*)?"), HubHandler.tree),
    (("POST",), re.compile(rf"{_API}/paths-info/(?P<revision>[^/]+)"), HubHandler.paths_info),
    (_READ, re.compile(rf"{_API}/refs"), HubHandler.refs),
    (
        _READ,
        re.compile(
            r"/(?:(?P<kind>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
        ),
        HubHandler.resolve,
    ),
]
"""Methods, path and answer of each request that is understood; groups of the path are the arguments."""
