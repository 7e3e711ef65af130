"""A push as a process of its own, to be killed."""

from __future__ import annotations

import resource
from pathlib import Path

from emovid_models.publish.tree import RepoTree
from emovid_models.publish.upload import push


def push_files(files: dict[str, Path | bytes], url: str, token: str, peak: Path | None = None) -> None:
    """Push a dataset in commits of four files; leave with 0 if the Hub then holds it.

    Args:
        files: of the repo.
        url: of the Hub.
        token: with the right to write.
        peak: file for the peak memory before and after, in bytes.
    """
    import huggingface_hub.hf_api  # noqa: F401  # so that its memory counts as before

    before = _peak()
    done = push(
        RepoTree("dataset", files), "emovid/EmoVid", endpoint=url, token=token, commit_files=4, tag="v1"
    )
    if peak is not None:
        peak.write_text(f"{before} {_peak()}")
    raise SystemExit(len(done.violations))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
