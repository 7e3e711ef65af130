"""The routes that write: repos, settings, uploads as LFS or inline, commits, branches and tags."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from hub_server.store import ATTRIBUTES, GATES, KINDS, MAX_INLINE, Blob, Commit, HubError, Repo, card_data

if TYPE_CHECKING:
    from hub_server.server import HubHandler

_TYPES = {kind.removesuffix("s"): kind for kind in KINDS}


# repos


def create_repo(handler: HubHandler) -> None:
    """Make a repo with the files that every new repo has."""
    wanted = handler.read_json()
    kind, repo_id = _named(handler, wanted)
    _check_writer(handler, repo_id)
    if kind == "spaces" and not wanted.get("sdk"):
        raise HubError(HTTPStatus.BAD_REQUEST, "", "A Space needs an sdk")
    url = _page(handler, kind, repo_id)
    with handler.hub.lock:
        if (kind, repo_id) in handler.hub.repos:
            kind = kind.removesuffix("s")
            handler.send_json(
                {"error": f"You already created this {kind} repo", "url": url}, {}, HTTPStatus.CONFLICT
            )
            return
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        repo = Repo(kind, repo_id, private=private)
        files = {".gitattributes": ATTRIBUTES}
        if kind == "spaces":
            files["README.md"] = f"---\ntitle: {repo_id}\nsdk: {wanted['sdk']}\n---\n".encode()
        blobs = {path: Blob.of(_store(handler, [data]), lfs=False) for path, data in files.items()}
        repo.add(Commit.of(blobs, title="initial commit"))
        handler.hub.repos[kind, repo_id] = repo
    handler.send_json({"url": url, "name": repo_id, "id": hashlib.sha1(url.encode()).hexdigest()[:24]})


def delete_repo(handler: HubHandler) -> None:
    """Delete a repo."""
    kind, repo_id = _named(handler, handler.read_json())
    handler.repo(kind, repo_id)
    _check_writer(handler, repo_id)
    with handler.hub.lock:
        del handler.hub.repos[kind, repo_id]
    handler.send_json({})


def settings(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Change who may see a repo."""
    repo = writable(handler, kind, repo_id)
    wanted = handler.read_json()
    if wanted.get("gated", False) not in GATES:
        raise HubError(HTTPStatus.BAD_REQUEST, "", f"Invalid gated {wanted['gated']!r}")
    if "visibility" in wanted:
        repo.private = wanted["visibility"] == "private"
    if "gated" in wanted:
        repo.gated = wanted["gated"]
    handler.send_json({"private": repo.private, "gated": repo.gated})


def validate_yaml(handler: HubHandler) -> None:
    """Check the head of a README."""
    try:
        data = card_data(handler.read_json()["content"])
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        handler.send_json({"errors": [{"message": line}], "warnings": []}, {}, HTTPStatus.BAD_REQUEST)
        return
    warnings = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
    handler.send_json({"errors": [], "warnings": warnings})


# uploads


def preupload(handler: HubHandler, kind: str, repo_id: str, revision: str) -> None:
    """Say which files come as LFS, and what is there under their names already."""
    commit = handler.commit(writable(handler, kind, repo_id), revision)
    answers = []
    for file in handler.read_json()["files"]:
        held = commit.blobs.get(file["path"])
        lfs = commit.wants_lfs(file["path"], file["size"], base64.b64decode(file["sample"]))
        answers.append(
            {
                "path": file["path"],
                "uploadMode": "lfs" if lfs else "regular",
                "shouldIgnore": False,
                "oid": held.etag if held else None,
            }
        )
    handler.send_json({"files": answers})


def lfs_batch(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Say where each object goes, in one part or in several; nothing for one that is there."""
    kind = kind or "models"
    writable(handler, kind, repo_id)
    wanted = handler.read_json()
    hub = handler.hub
    objects: list[dict[str, Any]] = []
    for item in wanted["objects"]:
        oid, size = item["oid"], item["size"]
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if not re.fullmatch(r"[0-9a-f]{64}", oid):
            answer["error"] = {"code": 422, "message": "Invalid oid"}
        elif not (hub.storage / oid).is_file():
            upload: dict[str, Any] = {"href": _signed(handler, f"/lfs/{oid}/{size}"), "header": {}}
            if size > hub.part_size and "multipart" in wanted.get("transfers", []):
                count = -(-size // hub.part_size)
                upload["href"] = _signed(handler, f"/lfs/{oid}/{size}/complete/{count}")
                upload["header"] = {"chunk_size": str(hub.part_size)} | {
                    str(part): _signed(handler, f"/lfs/{oid}/{size}/part/{part}")
                    for part in range(1, count + 1)
                }
            verify = f"{_page(handler, kind, repo_id)}.git/info/lfs/objects/verify"
            answer["actions"] = {"upload": upload, "verify": {"href": verify, "header": {}}}
        objects.append(answer)
    handler.send_json({"transfer": "basic", "objects": objects})


def lfs_verify(handler: HubHandler, kind: str, repo_id: str) -> None:
    """Say whether an object has come whole."""
    writable(handler, kind or "models", repo_id)
    wanted = handler.read_json()
    file = _object(handler, wanted["oid"])
    if not file.is_file() or file.stat().st_size != wanted["size"]:
        raise HubError(HTTPStatus.NOT_FOUND, "", "Object does not exist")
    handler.send_json({})


def put_object(handler: HubHandler, oid: str, size: str) -> None:
    """Take an object and check its hash."""
    _check_signature(handler)
    _keep(handler, _store(handler, handler.read_blocks()), oid, int(size))
    handler.send_head(HTTPStatus.OK, 0, {"ETag": f'"{oid[:32]}"'})


def put_part(handler: HubHandler, oid: str, size: str, part: str) -> None:
    """Take a part of an object."""
    _check_signature(handler)
    file = _store(handler, handler.read_blocks())
    etag = hashlib.md5(file.read_bytes()).hexdigest()
    file.replace(handler.hub.storage / f"{oid}.{int(part)}.{etag}")
    handler.send_head(HTTPStatus.OK, 0, {"ETag": f'"{etag}"'})


def complete(handler: HubHandler, oid: str, size: str, count: str) -> None:
    """Join the parts of an object and check its hash."""
    _check_signature(handler)
    parts = handler.read_json()["parts"]
    if [part["partNumber"] for part in parts] != list(range(1, int(count) + 1)):
        raise HubError(HTTPStatus.BAD_REQUEST, "", "Parts are missing")
    etags = [re.sub(r"\W", "", part["etag"]) for part in parts]
    files = [handler.hub.storage / f"{oid}.{index}.{etag}" for index, etag in enumerate(etags, 1)]
    if not all(file.is_file() for file in files):
        raise HubError(HTTPStatus.BAD_REQUEST, "", "Parts are missing")
    _keep(handler, _store(handler, (file.read_bytes() for file in files)), oid, int(size))
    for file in files:
        file.unlink(missing_ok=True)
    handler.send_json({})


# commits and refs


def commit(handler: HubHandler, kind: str, repo_id: str, revision: str) -> None:
    """Apply a list of changes to a branch, all or none."""
    repo = writable(handler, kind, repo_id)
    lines = [json.loads(line) for line in handler.read_body().splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    with handler.hub.lock:
        branch = revision.removeprefix("refs/heads/")
        if branch not in repo.branches:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        head = repo.commits[repo.branches[branch]]
        if header.get("parentCommit") not in (None, head.sha):
            raise HubError(
                HTTPStatus.PRECONDITION_FAILED,
                "",
                "A commit has happened since. Please refresh and try again.",
            )
        blobs = dict(head.blobs)
        for line in lines:
            _apply(handler, line["key"], line["value"], head, blobs)
        account = handler.account()
        made = Commit.of(
            blobs,
            head,
            title=header["summary"],
            message=header.get("description", ""),
            author=account.name if account else "",
        )
        repo.add(made, branch)
    url = f"{_page(handler, kind, repo_id)}/commit/{made.sha}"
    handler.send_json({"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})


def _apply(
    handler: HubHandler, key: str, value: dict[str, Any], head: Commit, blobs: dict[str, Blob]
) -> None:
    path = value.get("path", "")
    if key != "header" and (
        not path or path.startswith("/") or {"", ".", "..", ".git"} & set(path.rstrip("/").split("/"))
    ):
        raise HubError(HTTPStatus.BAD_REQUEST, "", f"Invalid path {path!r}")
    if key == "file":
        data = base64.b64decode(value["content"])
        if len(data) > MAX_INLINE:
            raise HubError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", f"{path} must be stored as LFS")
        if path == "README.md":
            try:
                card_data(data.decode())
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise HubError(HTTPStatus.BAD_REQUEST, "", "Invalid metadata in README.md") from error
        blobs[path] = Blob.of(_store(handler, [data]), lfs=False)
    elif key == "lfsFile":
        file = _object(handler, value["oid"])
        if not file.is_file():
            raise HubError(HTTPStatus.BAD_REQUEST, "", f"LFS pointer of {path} points to no file")
        blobs[path] = Blob.of(file, lfs=True)
        if not head.wants_lfs(path, 1, b""):
            # The Hub notes such a file in .gitattributes by itself.
            before = blobs[".gitattributes"].file.read_bytes() if ".gitattributes" in blobs else b""
            line = f"{path} filter=lfs diff=lfs merge=lfs -text\n".encode()
            if line not in before:
                blobs[".gitattributes"] = Blob.of(_store(handler, [before + line]), lfs=False)
    elif key == "deletedFile":
        if path not in blobs:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", "A file with this name doesn't exist")
        del blobs[path]
    elif key == "deletedFolder":
        for name in [name for name in blobs if name.startswith(f"{path.rstrip('/')}/")]:
            del blobs[name]
    elif key != "header":
        raise HubError(HTTPStatus.BAD_REQUEST, "", f"Unknown operation {key!r}")


def create_branch(handler: HubHandler, kind: str, repo_id: str, name: str) -> None:
    """Let a branch begin at a revision."""
    repo = writable(handler, kind, repo_id)
    start = handler.commit(repo, handler.read_json().get("startingPoint") or "main")
    _name_commit(repo.branches, name, start)
    handler.send_json({})


def create_tag(handler: HubHandler, kind: str, repo_id: str, name: str) -> None:
    """Name a commit; here the path names the revision, the body the tag."""
    repo = writable(handler, kind, repo_id)
    _name_commit(repo.tags, handler.read_json()["tag"], handler.commit(repo, name))
    handler.send_json({})


def delete_branch(handler: HubHandler, kind: str, repo_id: str, name: str) -> None:
    """Forget the name of a branch."""
    repo = writable(handler, kind, repo_id)
    if name == "main" or repo.branches.pop(name, None) is None:
        raise HubError(HTTPStatus.FORBIDDEN, "", f"Cannot delete branch {name}")
    handler.send_json({})


def delete_tag(handler: HubHandler, kind: str, repo_id: str, name: str) -> None:
    """Forget a tag."""
    repo = writable(handler, kind, repo_id)
    if repo.tags.pop(name, None) is None:
        raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {name}")
    handler.send_json({})


def _name_commit(names: dict[str, str], name: str, commit: Commit) -> None:
    if name in names:
        raise HubError(HTTPStatus.CONFLICT, "", f"Reference {name} already exists")
    names[name] = commit.sha


# who may do it, and where the bytes lie


def _named(handler: HubHandler, wanted: dict[str, Any]) -> tuple[str, str]:
    """Kind and id of the repo that the body names."""
    account = handler.account()
    owner = wanted.get("organization") or (account.name if account else "")
    repo_id, kind = f"{owner}/{wanted.get('name')}", _TYPES.get(wanted.get("type", "model"))
    if kind is None or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise HubError(HTTPStatus.BAD_REQUEST, "", f"Invalid repo {repo_id}")
    return kind, repo_id


def _check_writer(handler: HubHandler, repo_id: str) -> None:
    account = handler.account()
    if account is None:
        raise HubError(HTTPStatus.UNAUTHORIZED, "", "Invalid username or password.")
    if not account.write:
        raise HubError(HTTPStatus.FORBIDDEN, "", "You must use a write token to upload to a repository.")
    if not account.owns(repo_id):
        owner = repo_id.partition("/")[0]
        raise HubError(
            HTTPStatus.FORBIDDEN, "", f"You don't have the rights to write under the namespace {owner}"
        )


def writable(handler: HubHandler, kind: str, repo_id: str) -> Repo:
    repo = handler.repo(kind, repo_id)
    _check_writer(handler, repo_id)
    return repo


def _page(handler: HubHandler, kind: str, repo_id: str) -> str:
    return f"{handler.hub.url}/{'' if kind == 'models' else f'{kind}/'}{repo_id}"


def _signed(handler: HubHandler, path: str) -> str:
    return f"{handler.hub.url}{path}?X-Amz-Signature={handler.hub.signature(path)}"


def _check_signature(handler: HubHandler) -> None:
    if handler.token() is not None:
        # A storage service refuses a token beside a signature, and it is none of its business.
        raise HubError(HTTPStatus.BAD_REQUEST, "", "Only one auth mechanism allowed")
    path = urlsplit(handler.path).path
    if handler.query.get("X-Amz-Signature") != handler.hub.signature(path):
        raise HubError(HTTPStatus.FORBIDDEN, "", "The signature does not match")


def _object(handler: HubHandler, oid: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", oid):
        raise HubError(HTTPStatus.BAD_REQUEST, "", f"Invalid oid {oid!r}")
    return handler.hub.storage / oid


def _store(handler: HubHandler, blocks: Iterator[bytes] | list[bytes]) -> Path:
    """Write bytes into a new file; it is gone if they do not come to their end."""
    file = handler.hub.storage / f"new-{uuid.uuid4().hex}"
    try:
        with file.open("wb") as data:
            for block in blocks:
                data.write(block)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file


def _keep(handler: HubHandler, file: Path, oid: str, size: int) -> None:
    """Give an uploaded file the name of its hash, if it has that hash."""
    with file.open("rb") as data:
        digest = hashlib.sha256()
        while block := data.read(1 << 20):
            digest.update(block)
    if file.stat().st_size != size or digest.hexdigest() != oid:
        file.unlink()
        raise HubError(HTTPStatus.BAD_REQUEST, "", "The content does not have the oid or size that was said")
    file.replace(handler.hub.storage / oid)


_API = rf"/api/(?P<kind>{'|'.join(KINDS)})/(?P<repo_id>[^/]+/[^/]+)"
_GIT = r"/(?:(?P<kind>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs/objects"
_LFS = r"/lfs/(?P<oid>[0-9a-f]{64})/(?P<size>\d+)"

ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], Callable[..., None]]] = [
    (("POST",), re.compile(r"/api/repos/create"), create_repo),
    (("DELETE",), re.compile(r"/api/repos/delete"), delete_repo),
    (("PUT",), re.compile(rf"{_API}/settings"), settings),
    (("POST",), re.compile(r"/api/validate-yaml"), validate_yaml),
    (("POST",), re.compile(rf"{_API}/preupload/(?P<revision>[^/]+)"), preupload),
    (("POST",), re.compile(rf"{_GIT}/batch"), lfs_batch),
    (("POST",), re.compile(rf"{_GIT}/verify"), lfs_verify),
    (("PUT",), re.compile(_LFS), put_object),
    (("PUT",), re.compile(rf"{_LFS}/part/(?P<part>\d+)"), put_part),
    (("POST",), re.compile(rf"{_LFS}/complete/(?P<count>\d+)"), complete),
    (("POST",), re.compile(rf"{_API}/commit/(?P<revision>[^/]+)"), commit),
    (("POST",), re.compile(rf"{_API}/branch/(?P<name>[^/]+)"), create_branch),
    (("DELETE",), re.compile(rf"{_API}/branch/(?P<name>[^/]+)"), delete_branch),
    (("POST",), re.compile(rf"{_API}/tag/(?P<name>[^/]+)"), create_tag),
    (("DELETE",), re.compile(rf"{_API}/tag/(?P<name>[^/]+)"), delete_tag),
]
"""Methods, path and answer of each request that is understood; groups of the path are the arguments."""
