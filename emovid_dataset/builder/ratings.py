"""Several rows of a sheet for one clip: who rated it how, in votes, a majority and an agreement."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from typing import Any

from emovid_dataset.builder.sheet.rows import Label, Rejection
from emovid_dataset.report.agreement import RaterAgreement, measure_agreement
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.schema.taxonomy import Taxonomy

_ALIKE = ("content_type", "group", "license", "source", "color", "split", "crop_bars")
"""What all rows of a clip must say alike, where they say it."""

_FIELDS = tuple(entry.name for entry in fields(Label))


@dataclass(frozen=True, slots=True)
class Ratings:
    """What the rows of a sheet came to when all were there.

    Attributes:
        agreement: of clips that several people rated; None where there are none.
        below: clips that are refused because too few raters agreed.
        given: rows that have a split of their own, of those of which a clip with an emotion is made.
        not_given: the others.
    """

    agreement: RaterAgreement | None
    below: int
    given: int
    not_given: int


def label_of(text: str) -> Label:
    """A label as the plan holds it."""
    values = json.loads(text)
    for name in ("emotion_scores", "votes"):
        values[name] = None if values[name] is None else tuple(values[name])
    return Label(**values)


def line_of(label: Label) -> str:
    """The same as the plan holds it; `dataclasses.asdict` would copy each value deeply."""
    return json.dumps({name: getattr(label, name) for name in _FIELDS}, allow_nan=False)


def settle_rows(base: sqlite3.Connection, taxonomy: Taxonomy, least: float, keep_none: bool) -> Ratings:
    """Make one label of the rows for each clip; refuse ties, little agreement and torn groups.

    Args:
        base: a plan's, in a transaction; the rows beyond a clip's first are in `ratings`.
        taxonomy: of the build.
        least: clips are refused of whose raters a smaller share agreed.
        keep_none: whether clips that show no specific emotion are kept.
    """
    firsts = array("q", (row for (row,) in base.execute("SELECT DISTINCT first FROM ratings ORDER BY first")))
    ties: list[tuple[int, ...]] = []
    for first in firsts:
        found = base.execute(
            "SELECT label FROM labels WHERE row = :first UNION ALL "
            "SELECT * FROM (SELECT label FROM ratings WHERE first = :first ORDER BY row)",
            {"first": first},
        )
        label, refused, tie = _combine([label_of(text) for (text,) in found], taxonomy)
        ties += [tie] if tie else []
        for rejection in refused:
            _reject(base, rejection)
        if label is None:
            base.execute("DELETE FROM labels WHERE row = ?", (first,))
        else:
            _update(base, first, label, keep_none)
    base.execute("DELETE FROM ratings")
    for label in _chosen(base, "json_extract(label, '$.rater') IS NOT NULL"):
        if label.raters is None and label.votes is None:
            _update(base, label.row, _counted([label], label.emotion, taxonomy), keep_none)
    agreement = measure_agreement(chain(_votes(base), ties), len(ties), taxonomy)
    below = 0
    for label in _chosen(base, f"json_extract(label, '$.agreement') < {float(least)!r}"):
        below += 1
        base.execute("DELETE FROM labels WHERE row = ?", (label.row,))
        _reject(base, _refused(label, f"agreement {label.agreement:.2f} is below --min-agreement {least:g}"))
    _refuse_torn_groups(base)
    given, all_of_them = base.execute(
        "SELECT count(json_extract(label, '$.split')), count(*) FROM labels WHERE emotion IS NOT NULL"
    ).fetchone()
    return Ratings(agreement, below, int(given), int(all_of_them) - int(given))


def _chosen(base: sqlite3.Connection, condition: str) -> Iterator[Label]:
    """Labels of a condition, which may be changed on the way."""
    rows = array(
        "q", (row for (row,) in base.execute(f"SELECT row FROM labels WHERE {condition} ORDER BY row"))
    )
    for row in rows:
        yield label_of(base.execute("SELECT label FROM labels WHERE row = ?", (row,)).fetchone()[0])


def _reject(base: sqlite3.Connection, rejection: Rejection) -> None:
    base.execute("INSERT INTO rejections VALUES (?, ?, ?)", (*asdict(rejection).values(),))


def _update(base: sqlite3.Connection, row: int, label: Label, keep_none: bool) -> None:
    base.execute(
        "UPDATE labels SET emotion = ?, kept = ?, label = ? WHERE row = ?",
        (label.emotion, label.emotion is not None or keep_none, line_of(label), row),
    )


def _combine(
    rows: Sequence[Label], taxonomy: Taxonomy
) -> tuple[Label | None, list[Rejection], tuple[int, ...] | None]:
    """The label of a clip that several rows name, what is refused, and the votes of raters in a tie."""
    first = rows[0]
    counted = [row.votes is None and row.raters is None and row.agreement is None for row in rows]
    if not all(counted) or any(row.emotion_source != "human" or row.emotion_scores for row in rows):
        # these are sums already, or a model's: nothing says how they add up
        return first, [_refused(row, f"is a duplicate of row {first.row}") for row in rows[1:]], None
    for name in _ALIKE:
        said = {getattr(row, name): row.row for row in reversed(rows) if getattr(row, name) is not None}
        if len(said) > 1:
            values = " and ".join(
                f"{value!r} in row {row}" for value, row in sorted(said.items(), key=_by_row)
            )
            return None, [_refused(row, f"is of a clip whose {name} is {values}") for row in rows], None
    for name in dict.fromkeys(name for row in rows for name in row.kept or {}):
        if len({(row.kept or {}).get(name) for row in rows} - {None}) > 1:
            return (
                None,
                [_refused(row, f"is of a clip whose {name} differs from row to row") for row in rows],
                None,
            )
    refused: list[Rejection] = []
    raters: dict[str, Label] = {}
    unsure: set[str] = set()
    for row in rows:
        earlier = raters.setdefault(row.rater, row) if row.rater is not None else row
        if earlier is row:
            continue
        if earlier.emotion == row.emotion:
            refused.append(_refused(row, f"is a duplicate of row {earlier.row}: {row.rater!r} says the same"))
        else:
            unsure.add(str(row.rater))
    valid = []
    for row in rows:
        if row.rater in unsure:
            reason = f"rater {row.rater!r} gave this clip several emotions; none of them counts"
            refused = [*(one for one in refused if one.row != row.row), _refused(row, reason)]
        elif row.rater is None or raters[row.rater] is row:
            valid.append(row)
    if not valid:
        return None, refused, None
    counts = Counter(row.emotion for row in valid)
    (emotion, most), *others = counts.most_common()
    if others and others[0][1] == most:
        names = ", ".join(f"{_name(label, taxonomy)} {count}" for label, count in _in_order(counts))
        reason = f"its {len(valid)} raters are in a tie: {names}; one more rating, or one fewer, decides"
        tie = (*(counts[label] for label in range(len(taxonomy))), counts[None])
        return None, [*refused, *(_refused(row, reason) for row in valid)], tie
    return _counted(valid, emotion, taxonomy), refused, None


def _by_row(item: tuple[Any, int]) -> int:
    return item[1]


def _in_order(counts: Counter[int | None]) -> list[tuple[int | None, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], -1 if item[0] is None else item[0]))


def _name(label: int | None, taxonomy: Taxonomy) -> str:
    return NO_EMOTION if label is None else taxonomy.names[label]


def _refused(row: Label, reason: str) -> Rejection:
    return Rejection(row.row, row.path, reason)


def _counted(rows: Sequence[Label], emotion: int | None, taxonomy: Taxonomy) -> Label:
    """The label of a clip by the votes of its raters, a row each."""
    given = [row.emotion for row in rows]
    first, raters = rows[0], len(given)
    votes = tuple(given.count(label) for label in range(len(taxonomy)))
    agreed = raters - sum(votes) if emotion is None else votes[emotion]
    captions = list(dict.fromkeys(row.caption for row in rows if row.caption))
    others = {"captions": captions} if len(captions) > 1 else {}
    alike: dict[str, Any] = {
        name: next((value for row in rows if (value := getattr(row, name)) is not None), None)
        for name in _ALIKE
    }
    kept = {
        name: next((value for row in rows if (value := (row.kept or {}).get(name)) is not None), None)
        for name in first.kept or {}
    }
    scores = None if emotion is None or raters == 1 else tuple(count / sum(votes) for count in votes)
    return replace(
        first,
        **alike,
        emotion=emotion,
        caption=captions[0] if captions else "",
        emotion_scores=scores,
        raters=raters,
        votes=votes,
        agreement=agreed / raters,
        extra=_extra(rows, others),
        rater=None,
        kept=kept or None,
    )


def _extra(rows: Sequence[Label], others: dict[str, Any]) -> str | None:
    """The further columns of all rows: one value where they are alike, else a list in the rows' order."""
    held = [{} if row.extra is None else json.loads(row.extra) for row in rows]
    for name in dict.fromkeys(name for extra in held for name in extra):
        values = [extra.get(name) for extra in held]
        others[name] = values[0] if all(value == values[0] for value in values) else values
    return json.dumps(others, ensure_ascii=False, allow_nan=False) if others else None


def _refuse_torn_groups(base: sqlite3.Connection) -> None:
    """Refuse the rows of a group that the sheet gives to several splits.

    Args:
        base: a plan's, in a transaction; each clip has one row.
    """
    family = "coalesce(json_extract(label, '$.group'), CASE WHEN start IS NULL THEN NULL ELSE path END)"
    found = base.execute(
        f"SELECT {family} AS family, group_concat(DISTINCT json_extract(label, '$.split')) FROM labels "
        "WHERE family IS NOT NULL GROUP BY family HAVING count(DISTINCT json_extract(label, '$.split')) > 1 "
        "ORDER BY min(row)"
    ).fetchall()
    for name, splits in found:
        members = f"SELECT row, path FROM labels WHERE {family} = ? ORDER BY row"
        said = " and ".join(sorted(splits.split(",")))
        for row, path in base.execute(members, (name,)).fetchall():
            reason = f"its group {name!r} is given to {said}; the clips of a group stay in one split"
            _reject(base, Rejection(row, path, reason))
            base.execute("DELETE FROM labels WHERE row = ?", (row,))


def _votes(base: sqlite3.Connection) -> Iterator[tuple[int, ...]]:
    """Of every clip that two or more people rated: votes for each emotion, then those for none."""
    for (text,) in base.execute("SELECT label FROM labels WHERE json_extract(label, '$.raters') > 1"):
        label = label_of(text)
        if label.votes is not None and label.raters is not None:
            yield (*label.votes, label.raters - sum(label.votes))
