"""Claim the place of a build: nothing of anybody else's is touched there, and one build runs at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from emovid_dataset import __version__
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.file_names import DATA_FOLDER, IMAGES_FOLDER, METADATA_FOLDER
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    INFO_NAME,
    LISTS,
    MANIFEST_NAME,
    REMOVED_NAME,
    Manifest,
)
from emovid_dataset.schema.no_emotion import NONE
from emovid_dataset.schema.proxies import PROXY_FOLDER
from emovid_dataset.store import BusyError, Lease, Store, is_temporary

SETTINGS_NAME = f"{WORK_FOLDER}/settings.json"
LEASE_NAME = f"{WORK_FOLDER}/lock"
COMMIT_NAME = f"{WORK_FOLDER}/commit.json"
"""Says what an interrupted change of a finished build has still to do; see `commit`."""
_OWN_FOLDERS = {DATA_FOLDER, METADATA_FOLDER, NONE, IMAGES_FOLDER, PROXY_FOLDER, WORK_FOLDER}
_OWN_FILES = {MANIFEST_NAME, INFO_NAME, CARD_NAME, *LISTS}
_OWN_NAMES = _OWN_FOLDERS | _OWN_FILES


def settings_of(
    plan: Plan,
    *,
    shard_size: int,
    ratios: tuple[float, float, float],
    seed: int,
    every: int,
    notes: Sequence[str],
    benchmark: int | Sequence[str] | None,
    corpus: str | None,
    video: VideoSettings,
    group_duplicates: bool,
    info: CardInfo,
) -> str:
    """What must be equal for an interrupted build to go on: the input and every setting, as JSON.

    Args:
        plan: holds the sheet.
        benchmark: clips per cell, or the ids that are listed.
        video: what is made of the videos.
        shard_size, ratios, seed, every, notes, corpus, info, group_duplicates: as in
            `build`.
    """
    digest = hashlib.sha256()
    for file in plan.files():
        digest.update(repr(file).encode())
    for line in plan.label_lines():
        digest.update(line.encode())
    for rejection in plan.rejections():
        digest.update(json.dumps(asdict(rejection), allow_nan=False).encode())
    settings = {
        "version": __version__,
        "input": digest.hexdigest(),
        "shard_size": shard_size,
        "split": ratios,
        "seed": seed,
        "every": every,
        "notes": list(notes),
        "benchmark": benchmark if benchmark is None or isinstance(benchmark, int) else list(benchmark),
        "keep_none": plan.keep_none,
        "corpus": corpus,
        "info": info.to_mapping(),
        "taxonomy": plan.taxonomy.to_mapping(),
        **video.changed(),
        **({"group_duplicates": True} if group_duplicates else {}),
    }
    return json.dumps(settings, indent=1, allow_nan=False) + "\n"


def digest_of(settings: str) -> str:
    """Names the settings in the manifest."""
    return hashlib.sha256(settings.encode()).hexdigest()


def claim(out: Store, settings: str, newest: int, *, overwrite: bool) -> Manifest | None:
    """Make the place ready.

    Args:
        out: where the build goes.
        settings: of `settings_of`.
        newest: when the newest source file changed, in nanoseconds; 0 when unknown.
        overwrite: remove what an earlier build wrote there, and nothing else.

    Returns:
        The manifest, when this very build stands there, finished after the newest source file.

    Raises:
        ValueError: something else stands there, or another process is building it.
    """
    place = out.folder or out.name
    if out.folder is not None and out.folder.exists() and not out.folder.is_dir():
        raise ValueError(f"out {place} is a file, not a folder")
    held = _held(out)
    foreign = [name for name in held if name not in _OWN_NAMES and not _is_left_over(name)]
    is_ours = WORK_FOLDER in held or MANIFEST_NAME in held
    if foreign or (held and not is_ours):
        raise ValueError(
            f"out {place} holds something else ({(foreign or held)[0]}); name a new or empty folder"
        )
    if not is_ours:
        return None
    if out.exists(COMMIT_NAME) and not overwrite:
        raise ValueError(
            f"out {place} is being changed, and that was interrupted; run the same command again to finish it"
        )
    if overwrite and REMOVED_NAME in held:
        raise ValueError(
            f"out {place} has {REMOVED_NAME}: a build from the start would take the removed clips in again; "
            "delete that file if it may"
        )
    if overwrite:
        check_unclaimed(out)  # not while another process builds it
        for name in held:
            out.clear(name) if name in _OWN_FOLDERS else out.delete(name)
        return None
    finished = _finished(out)
    if finished is not None:
        same = finished.settings_digest == digest_of(settings)
        if not same or _is_older(out, newest):
            raise ValueError(
                f"out {place} holds a build of other input or settings; give --overwrite, or --append "
                "to add what is new"
            )
        out.clear(WORK_FOLDER)
        return finished
    if out.exists(SETTINGS_NAME) and out.read(SETTINGS_NAME).decode() != settings:
        raise ValueError(
            f"out {place} holds an unfinished build of other input or settings; "
            "finish that one first, or give --overwrite"
        )
    return None


def check_unclaimed(out: Store) -> None:
    """Check that nobody is building there.

    Raises:
        ValueError: somebody is.
    """
    with only_one(out, f"out {out.folder or out.name} is being built"):
        pass


@contextmanager
def only_one(build: Store, being: str) -> Iterator[Lease]:
    """Be the only process that writes a build, and sweep away what another one left half written.

    The place of a process that was killed is taken over: on a disk at once, elsewhere when it has not been
    heard of for a minute. Whoever holds the lease checks it before a step that a successor must not meet.

    Args:
        build: the build.
        being: begins the refusal, such as "X is being built".

    Raises:
        ValueError: another process writes it, or has taken it over.
    """
    try:
        with build.lease(LEASE_NAME, take_over=True) as lease:
            build.sweep()
            yield lease
    except BusyError as error:
        wait = "" if build.folder is not None else "; if that one was killed, try again in a minute"
        raise ValueError(f"{being} by another process{wait}") from error


def _held(out: Store) -> list[str]:
    """Names of the files and folders at the top of a store."""
    if out.folder is not None:
        return sorted(path.name for path in out.folder.iterdir()) if out.folder.exists() else []
    return sorted({name.partition("/")[0] for name in out.list()})


def _is_left_over(name: str) -> bool:
    """Whether a kill left it: a file that was about to be renamed."""
    return is_temporary(name) and any(name.startswith(f".{own}") for own in _OWN_NAMES)


def _is_older(out: Store, newest: int) -> bool:
    return out.folder is not None and (out.folder / MANIFEST_NAME).stat().st_mtime_ns < newest


def _finished(out: Store) -> Manifest | None:
    try:
        manifest = Manifest.from_json(out.read(MANIFEST_NAME).decode())
    except (ValueError, OSError):
        return None
    return manifest if manifest.complete else None
