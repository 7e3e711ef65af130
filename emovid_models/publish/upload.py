"""Publish a repo on the Hugging Face Hub: what goes into it, and how it gets there.

::

    tree ---check, hash---> files ---less what the Hub lists already---> batches
      batch 1, 2, ...  shards, weights, code    one commit each, bounded in files and bytes
      last batch       README.md, manifest.json, and the removal of files that an earlier push left
    listing of the Hub ---compare with files---> tag

A push that was interrupted goes on with the same call: the Hub's listing says what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from emovid_models.publish.failures import Patience, one_line_errors, redacted_logs
from emovid_models.publish.hub_repo import Committed, HubRepo, is_same
from emovid_models.publish.screening import check_tree, is_temporary
from emovid_models.publish.sending import INLINE_FILE
from emovid_models.publish.tree import (
    LAST_FILES,
    HashedFile,
    RepoTree,
    check_access,
    first_bytes,
    hash_tree,
)

COMMIT_FILES = 100
"""Maximum number of files per commit."""


COMMIT_BYTES = 4 * 10**9
"""Maximum bytes per commit, unless a single file is larger."""


INLINE_BYTES = 32 << 20
"""Maximum bytes of such files per commit."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        repo_id: ``owner/name``.
        repo_type: "dataset", "model" or "space".
        revision: the branch.
        commit: its head, which all of this is about.
        tag: name of this state, None without one or with violations.
        files: all files of the tree.
        uploaded: paths that this call added or changed.
        deleted: paths of an earlier push that the tree no longer has, and that this call deleted.
        kept: paths that are not part of the tree and were put there by somebody else.
        commits: made by this call.
        violations: differences from the Hub's listing; empty when there are none.
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


def plan_commits(
    files: Iterable[HashedFile], *, commit_files: int = COMMIT_FILES, commit_bytes: int = COMMIT_BYTES
) -> list[list[HashedFile]]:
    """Share files out to commits; README.md and manifest.json are always in the last one.

    Args:
        files: those to be sent.
        commit_files: maximum number of files per commit.
        commit_bytes: maximum bytes per commit, unless a single file is larger.

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
    screened: RepoTree | None = None,
    progress: bool = False,
) -> Pushed:
    """Make the Hub's repo hold exactly the tree, and check that it does.

    Args:
        tree: of the repo.
        repo_id: ``owner/name``; created if missing.
        private: make the repo private; one that is already public is refused.
        gated: who wants the files must ask, and gets them at once ("auto") or if the owner agrees ("manual");
            set before anything is sent. None leaves it as it is.
        revision: branch; created from main if missing.
        tag: name for the outcome; refused, before anything is sent, if it names something else.
        token: with the right to write; by default the one of ``hf auth login`` or HF_TOKEN.
        endpoint: of the Hub; by default HF_ENDPOINT.
        commit_files: maximum number of files per commit.
        commit_bytes: maximum bytes per commit, unless a single file is larger.
        patience: with requests that fail by no fault of ours.
        screened: a tree against which `check_tree` has found nothing; what of it is in this one is not
            screened again.
        progress: show progress on stderr.

    Returns:
        What was done. Files in the repo that no push put there are left alone.

    Raises:
        ValueError: the tree holds what must not be published, or not as openly as this, an argument
            contradicts the repo, or somebody else has left a temporary file there.
        OSError: the Hub refused, or could not be reached for long. The same call goes on from there.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    from emovid_dataset.terminal import Progress

    secret = token or get_token()
    known = {} if screened is None else screened.files
    unknown = {path: content for path, content in tree.files.items() if known.get(path) is not content}
    violations = check_tree(replace(tree, files=unknown), secret=secret) if unknown or not known else []
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise ValueError(f"{violations[0]}{more}")
    if gated not in (None, "auto", "manual"):
        raise ValueError(f"gated is {gated!r}; allowed: auto, manual")
    if gated is not None and tree.repo_type == "space":
        raise ValueError("gated is for datasets and models; a Space can be private only")
    check_access(tree, private=private, gated=gated)
    plan_commits([], commit_files=commit_files, commit_bytes=commit_bytes)
    with Progress(len(tree.files), unit="files", title="hashing", enabled=progress) as bar:
        files = hash_tree(tree, progress=bar.update)

    api = HfApi(endpoint=endpoint, token=token)
    repo = HubRepo(api, repo_id, tree.repo_type, revision, patience)
    bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with redacted_logs(secret), one_line_errors(repo_id, secret):
            sdk = _space_sdk(tree)
            tagged = tag is not None and repo.is_tagged(tag, files)
            repo.create(private, gated, sdk)
            held = repo.listing(revision)
            missing = [file for file in files if not is_same(file, held.get(file.path))]
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
            done = Committed()
            with Progress(len(missing), unit="files", title=title, enabled=progress) as bar:
                for number, batch in enumerate(batches, 1):
                    gone = deleted if number == len(batches) else []
                    done += repo.commit(batch, gone, f"({number} of {len(batches)})", bar.update)
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
        uploaded=done.added,
        deleted=done.deleted,
        kept=tuple(kept),
        commits=done.commits,
        violations=tuple(found),
    )


def _compare(files: Iterable[HashedFile], deleted: Iterable[str], held: Mapping[str, Any]) -> list[str]:
    found = []
    for file in files:
        there = held.get(file.path)
        if there is None:
            found.append(f"{file.path}: is missing on the Hub")
        elif not is_same(file, there):
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
    found = re.search(rb"^sdk:\s*(\w+)\s*$", first_bytes(readme, 1 << 16), re.MULTILINE)
    if found is None:
        raise ValueError("README.md: a Space's card must name its sdk, such as gradio")
    return found[1].decode()
