"""A push as a process of its own, to be killed."""

from __future__ import annotations

from pathlib import Path

from emovid_models.hub import RepoTree, push


def push_files(files: dict[str, Path | bytes], url: str, token: str) -> None:
    """Push a dataset in commits of four files; leave with 0 if the Hub then holds it."""
    done = push(
        RepoTree("dataset", files), "emovid/EmoVid", endpoint=url, token=token, commit_files=4, tag="v1"
    )
    raise SystemExit(len(done.violations))
