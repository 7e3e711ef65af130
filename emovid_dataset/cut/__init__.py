"""Cut films into clips: propose a sheet that `emovid annotate`, `label` and `agree` take.

::

    film --measure--> times, tiny pictures, sound --detect--> transitions --propose--> clips --sheet--> CSV

Every film is decoded once, at small size. The packages are those of the extra `cut`; none of them is imported
before a film is cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emovid_dataset.cut.films import find_films
from emovid_dataset.cut.records import CutSettings, FilmCut, ProposedClip
from emovid_dataset.engine import Executor, Ledger, Serial, run_stage, usable_cores
from emovid_dataset.store import BusyError, store_of

__all__ = ["CutReport", "CutSettings", "FilmCut", "ProposedClip", "cut_films"]

_MOST_THREADS = 4  # that decode one film: more hardly help


@dataclass(frozen=True, slots=True)
class CutReport:
    """What films were cut into.

    Attributes:
        out: the sheet of clips.
        dropped: the sheet of what was left out.
        films: each film with its clips, those that cannot be read among them.
        reused: films that an interrupted run had cut.
    """

    out: str
    dropped: str
    films: Sequence[FilmCut]
    reused: int

    @property
    def failed(self) -> tuple[FilmCut, ...]:
        """Films that cannot be read."""
        return tuple(film for film in self.films if film.error is not None)


def cut_films(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: CutSettings = CutSettings(),
    *,
    content_type: str | None = None,
    crop_bars: bool = False,
    engine: Executor | None = None,
    progress: bool = False,
) -> CutReport:
    """Cut films into clips and write the sheet; an interrupted run goes on where it was.

    Args:
        sources: paths or addresses of films, or of folders of them.
        out: the sheet to write, a path or an address; what is left out is listed beside it.
        settings: how they are cut.
        content_type: of all clips, for the sheet; None for that of a film's folder named after one, else
            "movie".
        crop_bars: tell `emovid build`, in the sheet, to crop the black bars that were found.
        engine: who does it, by default this process.
        progress: show progress on stderr.

    Raises:
        FileNotFoundError: a film does not exist.
        ValueError: there is no film, or another process is writing the sheet.
        OSError: the sheet cannot be written.
    """
    # only here: these need nothing beyond the core, but a worker has no use for them
    from emovid_dataset.cut.sheet import dropped_name, without_lookalikes, write_sheets
    from emovid_dataset.cut.stage import CutPart, CutStage, from_records

    films = find_films(sources, out)
    store, name = store_of(out)
    runner = engine or Serial()
    threads = min(_MOST_THREADS, usable_cores()) if runner.is_this_process else 1
    stage = CutStage(films, settings, f".{name}.parts", threads=threads)
    try:
        with store.lease(f".{name}.lock"):
            counts = run_stage(stage, store, executor=runner, progress=progress, total=len(films))
            ledger = Ledger(store, stage.ledger)
            cut = without_lookalikes(
                [from_records(film.path, ledger.read(CutPart.of(film, settings).key)) for film in films]
            )
            write_sheets(store, name, cut, content_type, crop_bars=crop_bars)
            store.clear(stage.ledger)
    except BusyError as error:
        raise ValueError(
            f"{store.shown(name)} is being written by another process; choose another --out"
        ) from error
    return CutReport(store.shown(name), store.shown(dropped_name(name)), cut, counts.reused)
