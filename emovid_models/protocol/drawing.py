"""Draw the clips that people rate: so many of every film."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from emovid_dataset.agree.places import read_places
from emovid_dataset.agree.sheet import write_sheet
from emovid_dataset.builder.sheet.paths import raw_files
from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.source import Reader
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.store import Store, read_file
from emovid_models.annotator.items import Item
from emovid_models.protocol.record import DRAWN, REST, ProtocolRecord, ProtocolSettings


@dataclass(frozen=True, slots=True)
class ProtocolClip:
    """A clip of the sheet.

    Attributes:
        id: as a build gives it.
        film: clips of one film have one; whole files without a group are of none in particular.
        row: of the sheet, by column: path, start, end and whatever else it says, but no emotion.
    """

    id: str
    film: str
    row: dict[str, Any]


def read_clips(settings: ProtocolSettings, *, progress: bool = False) -> list[ProtocolClip]:
    """The clips of a run's sheet.

    Args:
        settings: of the run.
        progress: show how many files were read.

    Raises:
        FileNotFoundError: there is no such sheet or folder.
        ValueError: it cannot be read, or has no clip that can be shown.
    """
    told: list[str] = []
    places = read_places(settings.sheet, told.append, raw=settings.raw, progress=progress)
    if not places:
        raise ValueError(
            f"{settings.sheet} has no clip that can be rated" + "".join(f": {one}" for one in told[:1])
        )
    clips = []
    for clip, row in places.items():
        film = row.get("group") or row.get("source") or (row["path"] if "start" in row else "")
        clips.append(ProtocolClip(clip, f"{row['content_type']} {film}", row))
    return clips


def stratified(strata: Sequence[Hashable], share: float, seed: int) -> list[int]:
    """Draw a share of things so that every stratum gives its part, to the nearest whole number.

    What is left over when each stratum has given the whole part of its share goes to those with the largest
    remainders, at random where they are equal.

    Args:
        strata: of each thing, the stratum that it is of.
        share: of all things, 0..1; at least one thing is drawn.
        seed: of the draw.

    Returns:
        The places of those drawn, ascending.

    >>> drawn = stratified(["a"] * 10 + ["b"] * 5, 0.2, seed=0)
    >>> sum(place < 10 for place in drawn), len(drawn)
    (2, 3)
    """
    rng = np.random.default_rng(seed)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, stratum in enumerate(strata):
        members[stratum].append(place)
    total = min(len(strata), max(1, round(share * len(strata))))
    parts = np.array([share * len(places) for places in members.values()])
    counts = np.floor(parts + 1e-9).astype(int)
    order = np.lexsort((rng.random(len(parts)), -np.round(parts - counts, 9)))
    sizes = np.array([len(places) for places in members.values()])
    for which in [*order.tolist(), *order.tolist()]:
        if counts.sum() < total and counts[which] < sizes[which]:
            counts[which] += 1
    drawn: list[int] = []
    for places, count in zip(members.values(), counts.tolist(), strict=True):
        drawn += rng.choice(places, count, replace=False).tolist()
    return sorted(drawn)


def draw(record: ProtocolRecord, *, progress: bool = False) -> dict[str, Any]:
    """Draw the clips that people rate, as a sheet for `emovid label`, and write the others beside it.

    Args:
        record: of the run.
        progress: show how many files were read.

    Returns:
        How many clips there are, were drawn, and of how many films.

    Raises:
        ValueError: the sheet cannot be read, or is not the one that was drawn from before.
    """
    clips = read_clips(record.settings, progress=progress)
    chosen = set(stratified([clip.film for clip in clips], record.settings.share, record.settings.seed))
    drawn = [clip for place, clip in enumerate(clips) if place in chosen]
    rest = [clip for place, clip in enumerate(clips) if place not in chosen]
    found: dict[str, Any] = {
        "clips": len(clips),
        "films": len({clip.film for clip in clips}),
        "drawn": len(drawn),
        "ids": _digest([clip.id for clip in drawn]),
    }
    if "draw" in record.steps and record.steps["draw"] != found:
        raise ValueError(
            f"{record.settings.sheet} is not the sheet that was drawn from; choose another --out"
        )
    for name, some in ((DRAWN, drawn), (REST, rest)):
        write_sheet(record.path(name), [{"id": clip.id, **clip.row} for clip in some])
    record.finish("draw", found)
    return found


def read_clip_sheet(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a sheet of this run, by the clips' ids."""
    text = read_file(path).decode()
    return {
        row["id"]: {name: cell for name, cell in row.items() if cell}
        for row in csv.DictReader(io.StringIO(text))
    }


def items_of(rows: dict[str, dict[str, Any]], raw: str) -> list[Item]:
    """Clips as the annotator takes them; a stretch of a film is cut when its turn comes.

    Args:
        rows: by id where each clip comes from.
        raw: folder of the files.
    """
    store = raw_files(raw, ())
    return [Item(clip, "1", partial(_video_of, store, row)) for clip, row in rows.items()]


def _video_of(store: Store, row: dict[str, Any]) -> bytes:
    """The bytes of a clip: its file's, or of a stretch what a build makes of it."""
    if not row.get("start"):
        return store.read(row["path"])
    start, end = float(row["start"]), float(row["end"])
    with TemporaryDirectory(prefix="emovid-protocol-") as folder, store.local(row["path"]) as source:
        out = Path(folder, "clip.mp4")
        with Reader(source) as reader:
            Encoding.of(reader, VideoSettings(), is_whole=False).write(reader, out, start, end)
        return out.read_bytes()


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
