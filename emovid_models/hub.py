"""Publish a repo on the Hugging Face Hub: what goes into it, and how it gets there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LAST_FILES = ("README.md", "manifest.json")
"""Files that go up in the last commit, because they describe all others."""


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
