"""Publish a repo on the Hugging Face Hub: what goes into it, and how it gets there.

::

    tree ---check, hash---> files ---less what the Hub lists already---> batches
      batch 1, 2, ...  shards, weights, code    one commit each, bounded in files and bytes
      last batch       README.md, manifest.json, and the removal of files that a former push left
    listing of the Hub ---compare with files---> tag

A push that was interrupted goes on with the same call: the Hub's listing says what is there. A commit is made
once, even if the answer to it is lost: before it is tried again the listing is looked at, and it names the
commit that it follows, so that the Hub refuses it if the lost one came through after all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from emovid_dataset.store import without_credentials

LAST_FILES = ("README.md", "manifest.json")
"""Files that go up in the last commit, because they describe all others."""

TITLE = "emovid push"
"""Titles of the commits begin with it; a file that was changed last by such a commit is one of ours."""

COMMIT_FILES = 100
"""Files of one commit at most."""

COMMIT_BYTES = 4 * 10**9
"""Bytes of one commit at most, unless a single file is larger."""

INLINE_FILE = 10 << 20
"""The Hub takes smaller files within the commit, in memory, if it does not want them as LFS."""

INLINE_BYTES = 32 << 20
"""Bytes of such files in one commit at most."""

_GROUP = 8
_BLOCK = 1 << 20
_HEADER_BYTES = 100 * 10**6  # the library takes no longer header of safetensors
_UNSAFE_WEIGHTS = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".joblib",
    ".h5",
    ".msgpack",
    ".npy",
    ".npz",
)
_TEMPORARY = re.compile(
    r"(^|/)(__pycache__|\.cache|\.git|\.DS_Store)(/|$)|(\.tmp|\.part|\.incomplete|\.lock|\.swp|\.pyc|~)$"
)
_TOKEN = rb"hf_[A-Za-z0-9]{30,}"
_TEXT_HEAD = 8 << 10
_LONG_WAIT = 5.0
_LOG = logging.getLogger(__name__)
_API_PATHS = r"^/api/(models|datasets|spaces|repos)/|^/api/validate-yaml$|\.git/info/lfs/objects/"
_TRANSPORT = {"TransportError", "ConnectionError", "Timeout", "ChunkedEncodingError", "JSONDecodeError"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RepoTree:
    """All files of one Hub repo.

    Args:
        repo_type: "dataset", "model" or "space".
        files: Path in the repo, with forward slashes, to the local file or to the content itself.
    """

    repo_type: Literal["dataset", "model", "space"]
    files: Mapping[str, Path | bytes]

    @property
    def first(self) -> list[str]:
        """The files that may go up in any commit, sorted by path."""
        return sorted(name for name in self.files if name not in LAST_FILES)

    @property
    def last(self) -> list[str]:
        """README.md and manifest.json, as far as the repo has them: they belong in the last commit."""
        return sorted(name for name in self.files if name in LAST_FILES)


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file of a tree.

    Attributes:
        path: in the repo.
        size: bytes.
        sha256: of its bytes; the Hub names it for a file that it stores as LFS.
        oid: SHA-1 as git names a blob; the Hub names it for any other file.
        content: the local file, or the bytes.
    """

    path: str
    size: int
    sha256: str
    oid: str
    content: Path | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        repo_id: ``owner/name``.
        repo_type: "dataset", "model" or "space".
        revision: the branch.
        commit: its head, of which all is said.
        tag: name of this state, None without one or with violations.
        files: all files of the tree.
        uploaded: paths that were not there, or not like this.
        deleted: paths of a former push that the tree has no more.
        kept: paths that are no part of the tree and were put there by somebody else.
        commits: made by this call.
        violations: what the Hub lists otherwise than it should; empty when all is well.
    """

    repo_id: str
    repo_type: str
    revision: str
    commit: str
    tag: str | None
    files: tuple[HashedFile, ...]
    uploaded: tuple[str, ...]
    deleted: tuple[str, ...]
    kept: tuple[str, ...]
    commits: int
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request that fails by no fault of ours is tried again.

    Attributes:
        tries: of one request.
        first: seconds before the second try; doubled for each further one.
        longest: seconds between two tries, unless the Hub's Retry-After asks for more.
        most: seconds between two tries, whatever the Hub asks for.
    """

    tries: int = 8
    first: float = 1.0
    longest: float = 60.0
    most: float = 900.0

    def waits(self) -> Iterator[float]:
        """Seconds after each failed try but the last."""
        for attempt in range(self.tries - 1):
            yield min(self.longest, self.first * 2**attempt)


# before the upload


def check_tree(tree: RepoTree, *, secret: str | None = None) -> list[str]:
    """Look for what must not be published.

    Args:
        tree: of the repo.
        secret: the token in use, which no file may hold, whatever it looks like.

    Returns:
        Violations, one line each: a path that leads out of the repo, a link, a temporary file, weights that
        are not safetensors or are cut short, or a file that holds a Hub token.

    >>> check_tree(RepoTree("model", {"../README.md": b"", "model.bin": b""}))
    ["'../README.md': is no path within a repo", 'model.bin: weights are published as safetensors only']
    """
    found = [] if tree.files else ["the repo would be empty"]
    for path, content in sorted(tree.files.items()):
        parts = PurePosixPath(path).parts
        if path != "/".join(parts) or "\\" in path or not path or {".", "..", ".git", "/"} & set(parts):
            found.append(f"{path!r}: is no path within a repo")
        elif isinstance(content, Path) and not content.is_file():
            found.append(f"{path}: {content} is not a file")
        elif isinstance(content, Path) and (link := _link(content, parts)):
            found.append(f"{path}: {link} is a link; only regular files are published")
        elif is_temporary(path):
            found.append(f"{path}: is a temporary file")
        elif reason := _unsafe(path, content, secret):
            found.append(f"{path}: {reason}")
    return found


def is_temporary(path: str) -> bool:
    """Whether a path looks like what a run or an editor leaves behind.

    >>> is_temporary("data/.train-00000-of-00001.tar.17.tmp"), is_temporary(".gitattributes")
    (True, False)
    """
    return _TEMPORARY.search(path) is not None


def _link(file: Path, parts: tuple[str, ...]) -> Path | None:
    """The file itself, or one of the folders that it shares with its path in the repo, if it is a link."""
    for part in reversed(parts):
        if file.is_symlink():
            return file
        if file.name != part:
            return None
        file = file.parent
    return None


def _unsafe(path: str, content: Path | bytes, secret: str | None) -> str | None:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _UNSAFE_WEIGHTS:
        return "weights are published as safetensors only"
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    # First of all, since safetensors begin with the length of their header, which may look like a pickle.
    whole = _safetensors_size(content, size) if suffix == ".safetensors" else None
    if whole is not None and whole != size:
        return f"is cut short or damaged: {size} bytes, {whole} by its header"
    if whole is not None:
        return _token_in(
            _first_bytes(content, 8 + int.from_bytes(_first_bytes(content, 8), "little")), secret
        )
    # What pickle and torch.save write, whatever the file is called.
    if re.match(rb"\x80[\x02-\x05]|PK\x03\x04", _first_bytes(content, 8)):
        return "is a pickle or a zip archive"
    if suffix == ".safetensors":
        return "is not a safetensors file"
    # Videos and shards are not searched: a text has no zero bytes.
    if size > _BLOCK and b"\0" in _first_bytes(content, _TEXT_HEAD):
        return None
    return _token_in(content, secret)


def _token_in(content: Path | bytes, secret: str | None) -> str | None:
    """The token in use, or what looks like another one, wherever it stands in a file."""
    known = secret.encode() if secret else b""
    pattern = re.compile(b"|".join([re.escape(known)] * bool(known) + [_TOKEN]))
    before = b""
    for block in _blocks(content):
        if found := pattern.search(before + block):
            return "holds the token in use" if found[0] == known else "holds what looks like a Hub token"
        before = block[-max(64, len(known)) :]
    return None


def _safetensors_size(content: Path | bytes, size: int) -> int | None:
    """Bytes that a safetensors file has by its own header; None if it has no such header.

    Source: https://huggingface.co/docs/safetensors (8 bytes of length, little endian; JSON; the tensors).
    """
    length = int.from_bytes(_first_bytes(content, 8), "little")
    if size < 8 or length > min(size - 8, _HEADER_BYTES):
        return None
    try:
        header = json.loads(_first_bytes(content, 8 + length)[8:])
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return 8 + length + max(ends, default=0)


def _first_bytes(content: Path | bytes, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[:size]
    with content.open("rb") as file:
        return file.read(size)


def hash_tree(tree: RepoTree, *, progress: Callable[[int, int], object] | None = None) -> list[HashedFile]:
    """Hash all files, in the order in which they go up.

    Args:
        tree: of the repo.
        progress: called with (1, bytes) after each file.

    Raises:
        OSError: a file cannot be read.

    >>> [file.oid for file in hash_tree(RepoTree("model", {"a.txt": b"a"}))]
    ['2e65efe2a145dda7ee51d1741299f848e5bf752e']
    """
    files = []
    for path in (*tree.first, *tree.last):
        content = tree.files[path]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
        for block in _blocks(content):
            sha256.update(block)
            git.update(block)
        files.append(HashedFile(path, size, sha256.hexdigest(), git.hexdigest(), content))
        if progress:
            progress(1, size)
    return files


def _blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def plan_commits(
    files: Iterable[HashedFile], *, commit_files: int = COMMIT_FILES, commit_bytes: int = COMMIT_BYTES
) -> list[list[HashedFile]]:
    """Share files out to commits; README.md and manifest.json are always in the last one.

    Args:
        files: those to be sent.
        commit_files: at most so many a commit.
        commit_bytes: at most so many bytes a commit, unless a single file is larger.

    Returns:
        The files of each commit; none when there are no files.

    Raises:
        ValueError: a bound is not positive.
    """
    if commit_files < 1 or commit_bytes < 1:
        raise ValueError(f"{commit_files = } and {commit_bytes = } must be positive")
    batches: list[list[HashedFile]] = []
    size = inline = 0
    last = []
    for file in files:
        if file.path in LAST_FILES:
            last.append(file)
            continue
        small = file.size if file.size < INLINE_FILE else 0
        if (
            not batches
            or len(batches[-1]) == commit_files
            or size + file.size > commit_bytes
            or inline + small > INLINE_BYTES
        ):
            batches.append([])
            size = inline = 0
        batches[-1].append(file)
        size, inline = size + file.size, inline + small
    return [*batches, last] if last else batches


# the upload


def push(
    tree: RepoTree,
    repo_id: str,
    *,
    private: bool = False,
    gated: Literal["auto", "manual"] | None = None,
    revision: str = "main",
    tag: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    commit_files: int = COMMIT_FILES,
    commit_bytes: int = COMMIT_BYTES,
    patience: Patience = Patience(),
    progress: bool = False,
) -> Pushed:
    """Make the Hub's repo hold exactly the tree, and check that it does.

    Args:
        tree: of the repo.
        repo_id: ``owner/name``; it is made if it is not there.
        private: the repo shall be private; one that is public already is refused.
        gated: who wants the files must ask, and gets them at once ("auto") or if the owner agrees ("manual");
            set before anything is sent. None leaves it as it is.
        revision: branch; it is made from main if it is not there.
        tag: name for the outcome; refused, before anything is sent, if it names something else.
        token: with the right to write; by default the one of ``hf auth login`` or HF_TOKEN.
        endpoint: of the Hub; by default HF_ENDPOINT.
        commit_files: files of one commit at most.
        commit_bytes: bytes of one commit at most, unless a single file is larger.
        patience: with requests that fail by no fault of ours.
        progress: show progress on stderr.

    Returns:
        What was done. Files in the repo that no push put there are left alone.

    Raises:
        ValueError: the tree holds what must not be published, an argument contradicts the repo, or somebody
            else has left a temporary file there.
        OSError: the Hub refused, or could not be reached for long. The same call goes on from there.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    from emovid_dataset.terminal import Progress

    secret = token or get_token()
    if violations := check_tree(tree, secret=secret):
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise ValueError(f"{violations[0]}{more}")
    if gated not in (None, "auto", "manual"):
        raise ValueError(f"gated is {gated!r}; allowed: auto, manual")
    if gated is not None and tree.repo_type == "space":
        raise ValueError("gated is for datasets and models; a Space can be private only")
    plan_commits([], commit_files=commit_files, commit_bytes=commit_bytes)
    with Progress(len(tree.files), unit="files", title="hashing", enabled=progress) as bar:
        files = hash_tree(tree, progress=bar.update)

    api = HfApi(endpoint=endpoint, token=token)
    repo = _Repo(api, repo_id, tree.repo_type, revision, patience)
    bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with _redacted_logs(secret), _one_line_errors(repo_id, secret):
            sdk = _space_sdk(tree)
            tagged = tag is not None and repo.is_tagged(tag, files)
            repo.create(private, gated, sdk)
            held = repo.listing(revision)
            missing = [file for file in files if not _is_same(file, held.get(file.path))]
            deleted, kept = repo.strays(held, tree.files, revision)
            if left := [path for path in kept if is_temporary(path)]:
                raise ValueError(
                    f"{repo_id} holds a temporary file that no push has put there: {', '.join(left)}; "
                    "delete it on the Hub, then push again"
                )
            batches = plan_commits(missing, commit_files=commit_files, commit_bytes=commit_bytes)
            if deleted and not (batches and batches[-1][-1].path in LAST_FILES):
                batches.append([])
            title = f"uploading {repo_id}"
            commits = 0
            with Progress(len(missing), unit="files", title=title, enabled=progress) as bar:
                for number, batch in enumerate(batches, 1):
                    gone = deleted if number == len(batches) else []
                    commits += repo.commit(batch, gone, f"({number} of {len(batches)})", bar.update)
            # From here on all is about one commit, wherever somebody else moves the branch.
            head = repo.head()
            found = _compare(files, deleted, repo.listing(head))
            if tag is not None and not tagged and not found and (named := repo.tag(tag, head)) != head:
                found.append(f"tag {tag!r}: names commit {named} on the Hub, not {head}")
    finally:
        if bars:
            enable_progress_bars()
    return Pushed(
        repo_id=repo_id,
        repo_type=tree.repo_type,
        revision=revision,
        commit=head,
        tag=tag if not found else None,
        files=tuple(files),
        uploaded=tuple(file.path for file in missing),
        deleted=tuple(deleted),
        kept=tuple(kept),
        commits=commits,
        violations=tuple(found),
    )


@dataclass(frozen=True, slots=True)
class _Repo:
    """A branch of a repo on the Hub; every call is patient."""

    api: Any
    id: str
    type: str
    revision: str
    patience: Patience

    def _try(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function of the client until it works or it is no use."""
        for wait in self.patience.waits():
            try:
                return call(*arguments, **options)
            except Exception as error:
                least = _seconds_to_wait(error)
                if least is None:
                    raise
                self._wait(error, max(wait, least))
        return call(*arguments, **options)

    def _wait(self, error: BaseException, seconds: float) -> None:
        """Wait before the next try, and say so if it is long."""
        seconds = min(seconds, self.patience.most)
        if seconds >= _LONG_WAIT:
            _LOG.warning("emovid: %s: %s; trying again in %.0f s", self.id, _reason(error), seconds)
        time.sleep(seconds)

    def create(self, private: bool, gated: str | None, space_sdk: str | None) -> None:
        """Make repo and branch, unless they are there."""
        # An unset visibility means the owner's default, which an organisation may have set to private.
        self._try(
            self.api.create_repo,
            self.id,
            repo_type=self.type,
            private=private or None,
            space_sdk=space_sdk,
            exist_ok=True,
        )
        if private and not self._try(self.api.repo_info, self.id, repo_type=self.type).private:
            raise ValueError(
                f"{self.id} is public already; make it private in its settings, or leave out --private"
            )
        if gated is not None:
            self._try(self.api.update_repo_settings, self.id, gated=gated, repo_type=self.type)
        if self.revision != "main":
            self._try(
                self.api.create_branch, self.id, branch=self.revision, repo_type=self.type, exist_ok=True
            )

    def head(self) -> str:
        """The commit that the branch names."""
        return str(self._try(self.api.repo_info, self.id, repo_type=self.type, revision=self.revision).sha)

    def listing(self, revision: str) -> dict[str, Any]:
        """All files by path, as the Hub lists them."""

        def whole() -> dict[str, Any]:
            entries = self.api.list_repo_tree(self.id, repo_type=self.type, revision=revision, recursive=True)
            return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}

        return self._try(whole)

    def files(self, paths: Sequence[str], revision: str, *, expand: bool = False) -> dict[str, Any]:
        """Some files by path."""
        found: dict[str, Any] = {}
        for start in range(0, len(paths), COMMIT_FILES):
            part = list(paths[start : start + COMMIT_FILES])
            entries = self._try(
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
        """Files that the tree does not have: those of a former push, and those of somebody else."""
        strays = sorted(set(held) - set(wanted) - {".gitattributes"})
        known = self.files(strays, revision, expand=True)
        ours = [
            path
            for path, file in known.items()
            if file.last_commit is not None and file.last_commit.title.startswith(TITLE)
        ]
        return sorted(ours), sorted(set(strays) - set(ours))

    def is_tagged(self, tag: str, files: Sequence[HashedFile]) -> bool:
        """Whether a tag is there already and names these very files, and none of another push.

        Raises:
            ValueError: it names others.
        """
        try:
            refs = self._try(self.api.list_repo_refs, self.id, repo_type=self.type)
        except Exception as error:
            if _status(error) in (401, 403, 404):
                return False  # There is no such repo yet; if it is for lack of rights, making it says so.
            raise
        if tag not in {ref.name for ref in refs.tags}:
            return False
        held = self.listing(tag)
        others, _ = self.strays(held, [file.path for file in files], tag)
        if not others and all(_is_same(file, held.get(file.path)) for file in files):
            return True
        raise ValueError(f"tag {tag!r} of {self.id} names other files; give another one, or none")

    def tag(self, tag: str, commit: str) -> str:
        """Give a commit a name, unless that is taken; returns the commit that it names now."""
        self._try(self.api.create_tag, self.id, tag=tag, revision=commit, repo_type=self.type, exist_ok=True)
        return str(self._try(self.api.repo_info, self.id, repo_type=self.type, revision=tag).sha)

    def commit(
        self,
        batch: Sequence[HashedFile],
        deleted: Sequence[str],
        number: str,
        progress: Callable[[int, int], object],
    ) -> int:
        """Send files and commit them, once, whatever gets lost on the way.

        Returns:
            1, or 0 if somebody else brought the branch to this state meanwhile.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        sent: set[str] = set()
        asked = False
        for wait in (*self.patience.waits(), None):
            head = self.head()
            held = self.files([*(file.path for file in batch), *deleted], head)
            todo = [file for file in batch if not _is_same(file, held.get(file.path))]
            gone = [path for path in deleted if path in held]
            if not todo and not gone:
                return int(asked)
            additions = [CommitOperationAdd(file.path, file.content) for file in todo]
            try:
                for start in range(0, len(additions), _GROUP):
                    group = additions[start : start + _GROUP]
                    self.api.preupload_lfs_files(
                        self.id,
                        group,
                        repo_type=self.type,
                        revision=self.revision,
                        free_memory=False,
                    )
                    for file in todo[start : start + _GROUP]:
                        if file.path not in sent:
                            sent.add(file.path)
                            progress(1, file.size)
                asked = True
                self.api.create_commit(
                    self.id,
                    [*additions, *(CommitOperationDelete(path, is_folder=False) for path in gone)],
                    commit_message=f"{TITLE} {number}: {len(todo)} to add, {len(gone)} to delete",
                    commit_description="\n".join(f"Deleted: {path}" for path in gone),
                    repo_type=self.type,
                    revision=self.revision,
                    # If the branch is not where it was when we looked, the Hub refuses, and we look again.
                    parent_commit=head,
                )
                return 1
            except Exception as error:
                again = _status(error) == 412 or _is_of_storage(error)
                least = 0.0 if again else _seconds_to_wait(error)
                if wait is None or least is None:
                    raise
                self._wait(error, max(wait, least))
        raise AssertionError("the last try returns or raises")


def _is_same(file: HashedFile, held: Any) -> bool:
    """Whether the Hub's file has the same bytes."""
    if held is None or held.size != file.size:
        return False
    return held.lfs.sha256 == file.sha256 if held.lfs else held.blob_id == file.oid


def _compare(files: Iterable[HashedFile], deleted: Iterable[str], held: Mapping[str, Any]) -> list[str]:
    found = []
    for file in files:
        there = held.get(file.path)
        if there is None:
            found.append(f"{file.path}: is missing on the Hub")
        elif not _is_same(file, there):
            found.append(f"{file.path}: differs on the Hub, where it has {there.size} bytes")
    found += [f"{path}: was deleted but is still on the Hub" for path in deleted if path in held]
    found += [
        f"{path}: is a temporary file on the Hub; delete it there"
        for path in sorted(held)
        if is_temporary(path)
    ]
    return found


def _space_sdk(tree: RepoTree) -> str | None:
    """What a Space runs on, from the head of its README."""
    if tree.repo_type != "space":
        return None
    readme = tree.files.get("README.md", b"")
    found = re.search(rb"^sdk:\s*(\w+)\s*$", _first_bytes(readme, 1 << 16), re.MULTILINE)
    if found is None:
        raise ValueError("README.md: a Space's card must name its sdk, such as gradio")
    return found[1].decode()


# what goes wrong


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of the client is about."""
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if status is not None:
            return int(status)
    return None


def _is_of_storage(error: BaseException) -> bool:
    """Whether an upload address has refused an object.

    It may have expired, or the parts may be joined already by a request whose answer was lost. Asked anew,
    the Hub gives another address, or says that the object is there.
    """
    for link in _chain(error):
        response = getattr(link, "response", None)
        if response is not None:
            return re.search(_API_PATHS, urlsplit(str(response.url)).path) is None
    return False


def _seconds_to_wait(error: BaseException) -> float | None:
    """How long to wait at least before trying again; None when that is no use.

    The client's HTTP library has changed from version to version, so its exceptions are known by name.
    """
    for link in _chain(error):
        if type(link).__name__ == "OfflineModeIsEnabled":
            return None  # a ConnectionError that stays
        response = getattr(link, "response", None)
        status = getattr(response, "status_code", None)
        if response is not None and status is not None:
            if status < 500 and status not in (408, 425, 429):
                return None
            window = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", response.headers.get("ratelimit", ""))
            after = _seconds_until(response.headers.get("Retry-After", ""))
            return after if after is not None else float(window[1] if window else 0)
        if any(cls.__name__ in _TRANSPORT for cls in type(link).__mro__):
            return 0.0
    return None


def _seconds_until(after: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None if it is neither.

    >>> _seconds_until("120"), _seconds_until("Wed, 21 Oct 2015 07:28:00 GMT"), _seconds_until("soon")
    (120.0, 0.0, None)
    """
    if after.strip().isdecimal():
        return float(after)
    try:
        date = parsedate_to_datetime(after)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp() - time.time())


def redact(text: str, secret: str | None = None) -> str:
    """Take tokens and the signatures of upload addresses out of a text.

    >>> redact("PUT https://user:pw@s3.example/part?X-Amz-Signature=abc with hf_abcdefghijkl")
    'PUT https://s3.example/part with hf_...'
    """
    if secret:
        text = text.replace(secret, "hf_...")
    text = re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_...", text)
    return re.sub(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*", r"\1", without_credentials(text))


@contextmanager
def _redacted_logs(secret: str | None) -> Iterator[None]:
    """Keep secrets out of every log record that is made meanwhile, whoever makes it and wherever it goes."""
    make = logging.getLogRecordFactory()

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # logging reports a message that does not fit its arguments, and shows both
            text = f"{record.msg} {record.args}"
        record.msg, record.args = redact(text, secret), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info), secret)
            record.exc_info = None
        return record

    logging.setLogRecordFactory(make_redacted)
    try:
        yield
    finally:
        # If another push has begun meanwhile, its factory stands before this one.
        if logging.getLogRecordFactory() is make_redacted:
            logging.setLogRecordFactory(make)


def _reason(error: BaseException) -> str:
    """What went wrong: the status and what the Hub said, or the error's own words."""
    status = _status(error)
    said = next((text for link in _chain(error) if (text := getattr(link, "server_message", None))), "")
    return " ".join((f"{status} {said}" if status else f"{type(error).__name__} {error}").split())


@contextmanager
def _one_line_errors(repo_id: str, secret: str | None) -> Iterator[None]:
    """Turn the client's errors into an OSError of one line that holds no token."""
    try:
        yield
    except Exception as error:
        status = _status(error)
        if status is None and not isinstance(error, OSError) and _seconds_to_wait(error) is None:
            if isinstance(error, ValueError):
                raise ValueError(redact(" ".join(str(error).split()), secret)) from None
            raise
        why = _reason(error)
        if status in (401, 403):
            why += "; this needs a token that may write there: run `hf auth login` or set HF_TOKEN"
        # The cause would show addresses and headers in a traceback.
        raise OSError(f"{repo_id}: {redact(why, secret)}") from None
