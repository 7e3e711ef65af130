"""The paper's Table 2 of any build, and who labelled its clips, with the paper's own figures beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.report.paper import ERRORS, SOURCE, TABLE_2, PaperRow
from emovid_dataset.report.profile import ALL
from emovid_dataset.report.stats import Statistics
from emovid_dataset.schema.manifest import PAPER_CORPUS


@dataclass(frozen=True, slots=True)
class Agreement:
    """Clips that people labelled with the same agreement.

    Attributes:
        raters: people who labelled each of them; None where the label sheet does not say.
        agreed: how many of them chose the clip's own label; None where the sheet does not say.
        clips: number of clips.
    """

    raters: int | None
    agreed: int | None
    clips: int


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """A row of Table 2.

    Attributes:
        content_type: or `ALL`.
        clips: number of clips.
        mean: mean length in seconds.
        sd: standard deviation of the length in seconds, with n - 1; None of a single clip.
        seconds: total length.
        audible: clips with sound.
        human: clips that people labelled.
        model: clips that an annotator labelled.
        agreements: of the clips that people labelled, most raters and best agreement first.
        paper: the paper's row; None where there is none, or it was not asked for.
    """

    content_type: str
    clips: int
    mean: float
    sd: float | None
    seconds: float
    audible: int
    human: int
    model: int
    agreements: tuple[Agreement, ...]
    paper: PaperRow | None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON holds it."""
        return asdict(self)


def corpus_rows(statistics: Statistics, *, paper: bool | None = None) -> tuple[CorpusRow, ...]:
    """Table 2 of a build: its content types, then all of them together.

    Args:
        statistics: of the build.
        paper: put the paper's figures beside the build's; None does so if the build is the paper's corpus.
    """
    beside = is_of_the_paper(statistics) if paper is None else paper
    rows = []
    for content_type in (*statistics.content_types, ALL):
        profile = statistics.profiles[content_type, ALL]
        labels: Counter[tuple[str, int | None, int | None]] = Counter()
        for (its_type, source, raters, agreed), count in statistics.labels.items():
            if content_type in (ALL, its_type):
                labels[source, raters, agreed] += count
        human = [Agreement(*key[1:], count) for key, count in labels.items() if key[0] == "human"]
        assert profile.duration is not None  # a profile has clips
        rows.append(
            CorpusRow(
                content_type=content_type,
                clips=profile.clips,
                mean=profile.duration.mean,
                sd=profile.duration.deviation,
                seconds=profile.seconds,
                audible=profile.audible,
                human=sum(agreement.clips for agreement in human),
                model=sum(count for key, count in labels.items() if key[0] == "model"),
                agreements=tuple(sorted(human, key=_best_first)),
                paper=TABLE_2.get(content_type) if beside else None,
            )
        )
    return tuple(rows)


def is_of_the_paper(statistics: Statistics) -> bool:
    """Whether the build is the paper's corpus."""
    return statistics.manifest.corpus == PAPER_CORPUS


def length_columns(rows: Sequence[CorpusRow]) -> tuple[list[str], list[list[object]]]:
    """Table 2 as columns and rows of a printed table."""
    columns = ["content type", "clips", "mean s", "sd s", "total s", "with sound"]
    table: list[list[object]] = []
    for row in rows:
        sd = None if row.sd is None else round(row.sd, 2)
        table.append(
            [row.content_type, row.clips, round(row.mean, 2), sd, round(row.seconds, 1), row.audible]
        )
    if not _has_paper(rows):
        return columns, table
    for line, row in zip(table, rows, strict=True):
        known = row.paper
        sound = None if known is None or known.sound is None else ("yes" if known.sound else "no")
        line += [known and known.clips, known and known.mean, known and known.sd, known and known.seconds]
        line.append(sound)
    return [*columns, *(f"paper: {name}" for name in ("clips", "mean s", "sd s", "total s", "sound"))], table


def label_columns(rows: Sequence[CorpusRow]) -> tuple[list[str], list[list[object]]]:
    """The label counts as columns and rows of a printed table."""
    kinds = sorted({_kind(agreement) for row in rows for agreement in row.agreements}, key=_best_first)
    columns = ["content type", "model", "people", *(agreement_words(kind) for kind in kinds)]
    table: list[list[object]] = []
    for row in rows:
        counts = {_kind(agreement): agreement.clips for agreement in row.agreements}
        table.append([row.content_type, row.model, row.human, *(counts.get(kind, 0) for kind in kinds)])
        if _has_paper(rows):
            table[-1].append(row.paper and row.paper.human)
    return ([*columns, "paper: people"] if _has_paper(rows) else columns), table


def paper_notes(rows: Sequence[CorpusRow]) -> Iterator[str]:
    """Where the paper's figures are from, and where they contradict each other; nothing without them."""
    if _has_paper(rows):
        yield f"The paper's figures: {SOURCE}."
        yield from ERRORS


def agreement_words(agreement: Agreement) -> str:
    """How many raters agreed, in words.

    >>> agreement_words(Agreement(3, 2, 7)), agreement_words(Agreement(1, 1, 7))
    ('2 of 3', '1 of 1')
    >>> agreement_words(Agreement(3, None, 7)), agreement_words(Agreement(None, None, 7))
    ('? of 3', 'raters not stated')
    """
    if agreement.raters is None:
        return "raters not stated"
    return f"{'?' if agreement.agreed is None else agreement.agreed} of {agreement.raters}"


def _kind(agreement: Agreement) -> Agreement:
    return Agreement(agreement.raters, agreement.agreed, 0)


def _best_first(agreement: Agreement) -> tuple[int, int]:
    raters, agreed = agreement.raters, agreement.agreed
    return (0 if raters is None else -raters, 1 if agreed is None else -agreed)


def _has_paper(rows: Sequence[CorpusRow]) -> bool:
    return any(row.paper is not None for row in rows)
