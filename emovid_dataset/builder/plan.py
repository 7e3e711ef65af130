"""`Plan`: the rows of a sheet and the clips made of them, in a database rather than in lists.

A build of a million clips must know all of them before it writes the first shard: which are duplicates, which
group goes to which split, which clip lies in which shard. They stand in an SQLite database that spills into
the folder for temporary files and is gone when the build ends. Nothing in it needs to survive: it is made
again from the sheet and from the ledger of what was prepared.
"""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from types import TracebackType
from typing import Any

from emovid_dataset.builder.laid import Laid, PlacedClip
from emovid_dataset.builder.plan_tables import SCHEMA
from emovid_dataset.builder.ratings import Ratings, label_of, line_of, settle_rows
from emovid_dataset.builder.set_aside import LEFT_OUT, set_aside
from emovid_dataset.builder.sheet import Label, Rejection
from emovid_dataset.builder.sides import take_sides
from emovid_dataset.schema.benchmark import Benchmark, LeftOut, qualifies
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.damage import Damaged
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.features import FEATURES, FeatureType
from emovid_dataset.schema.no_emotion import NONE, ClipWithoutEmotion, NoEmotion
from emovid_dataset.schema.taxonomy import Taxonomy


class Plan:
    """The database of one build; used by one thread, and gone when it is closed.

    A small plan stays in memory; what does not fit in 64 MiB goes into a file without a name in the folder
    for temporary files.

    Args:
        keep_none: whether clips that show no specific emotion are prepared and written too.
        taxonomy: the emotions.

    Raises:
        OSError: the folder for temporary files cannot be written, or is full.
    """

    def __init__(self, *, keep_none: bool = False, taxonomy: Taxonomy = MIKELS) -> None:
        self.keep_none, self.taxonomy = keep_none, taxonomy
        self.features: dict[str, FeatureType] = dict(FEATURES)
        self._base = sqlite3.connect("", isolation_level=None)
        # what is lost in a crash is planned again
        self._base.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;" + SCHEMA
        )

    def __enter__(self) -> Plan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        if isinstance(error, sqlite3.OperationalError):
            reason = f"the plan in {tempfile.gettempdir()} cannot be written: {error}"
            raise OSError(f"{reason}; TMPDIR names another folder for it") from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: many rows at once."""
        self._base.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK") if self._base.in_transaction else None
            raise
        self._base.execute("COMMIT")

    # the sheet

    def add(self, row: Label | Rejection) -> None:
        """Add a row of the sheet; one that names the same stretch as an earlier row waits for `settle`."""
        if isinstance(row, Rejection):
            self.reject(row)
            return
        found = self._base.execute(
            "SELECT row FROM labels WHERE path = ? AND ifnull(start, -1) = ? AND ifnull(stop, -1) = ?",
            _stretch(row.path, row.start, row.end),
        ).fetchone()
        if found is not None:
            self._base.execute("INSERT INTO ratings VALUES (?, ?, ?)", (row.row, found[0], line_of(row)))
            return
        self._base.execute(
            "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                row.row,
                row.path,
                row.start,
                row.end,
                row.emotion,
                row.emotion is not None or self.keep_none,
                line_of(row),
            ),
        )

    def settle(self, min_agreement: float = 0.0) -> Ratings:
        """Make one label of several rows for one clip, once all rows are there; see `ratings.settle_rows`."""
        with self.writing():
            return settle_rows(self._base, self.taxonomy, min_agreement, self.keep_none)

    def reject(self, rejection: Rejection) -> None:
        """Add a refusal."""
        self._base.execute("INSERT INTO rejections VALUES (?, ?, ?)", (*asdict(rejection).values(),))

    def labels(self) -> Iterator[Label]:
        """The accepted rows, in the sheet's order."""
        yield from (label_of(text) for (text,) in self._base.execute("SELECT label FROM labels ORDER BY row"))

    def label_lines(self) -> Iterator[str]:
        """The accepted rows as JSON, in the sheet's order."""
        yield from (text for (text,) in self._base.execute("SELECT label FROM labels ORDER BY row"))

    def labels_by_path(self) -> Iterator[list[Label]]:
        """The accepted rows of which a clip is made, one source file after the other, each file's by time."""
        found = self._base.execute(
            "SELECT path, label FROM labels WHERE kept ORDER BY path, ifnull(start, 0), row"
        )
        for _, rows in groupby(found, key=lambda row: row[0]):
            yield [label_of(text) for _, text in rows]

    def rejections(self) -> Iterator[Rejection]:
        """The refusals, in the sheet's order."""
        found = self._base.execute("SELECT row, path, reason FROM rejections ORDER BY row, path, reason")
        yield from (Rejection(*row) for row in found)

    def knows(self, path: str) -> bool:
        """Whether a row names this file, be it accepted or refused."""
        try:
            found = self._base.execute(
                "SELECT 1 FROM labels WHERE path = :path UNION SELECT 1 FROM rejections WHERE path = :path",
                {"path": path},
            )
        except UnicodeEncodeError:  # a name of stray bytes stands in no sheet
            return False
        return found.fetchone() is not None

    def without_emotion(self) -> Iterator[NoEmotion]:
        """The rows that say "no specific emotion", in the sheet's order, but for those that were refused."""
        found = self._base.execute(
            "SELECT label, id FROM labels LEFT JOIN clips USING (row) "
            "WHERE labels.emotion IS NULL AND (id IS NOT NULL OR NOT kept) ORDER BY row"
        )
        for text, key in found:
            label = label_of(text)
            yield NoEmotion(
                row=label.row,
                path=label.path,
                content_type=label.content_type,
                start=label.start,
                end=label.end,
                emotion_source=label.emotion_source,
                raters=label.raters,
                agreement=label.agreement,
                id=key,
            )

    def count(self, table: str) -> int:
        """Rows of "labels", "rejections", "clips", or of "unplaced" clips, which show an emotion."""
        return int(self._base.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def count_kept(self) -> int:
        """Rows of which a clip is made."""
        return int(self._base.execute("SELECT count(*) FROM labels WHERE kept").fetchone()[0])

    # the units of work

    def add_unit(self, key: str, path: str, size: int, unit: Any) -> None:
        """Add a unit.

        Args:
            key: hexadecimal digits that name it by its content.
            path: of its file.
            size: of its file, bytes.
            unit: JSON values.
        """
        row = (key, int(key[:12], 16), path, size, json.dumps(unit, allow_nan=False))
        self._base.execute("INSERT INTO units VALUES (?, ?, ?, ?, ?)", row)

    def unit_totals(self) -> tuple[int, int]:
        """How many units there are, and their bytes."""
        count, size = self._base.execute("SELECT count(*), ifnull(sum(size), 0) FROM units").fetchone()
        return int(count), int(size)

    def files(self) -> Iterator[tuple[str, int]]:
        """Every source file and its size, by path."""
        found = self._base.execute("SELECT DISTINCT path, size FROM units ORDER BY path")
        yield from (tuple(row) for row in found)

    def units(self, parts: int) -> Iterator[tuple[int, Any]]:
        """All units with the part that their content puts them into, part by part.

        Args:
            parts: how many there are.
        """
        found = self._base.execute(
            "SELECT hash % :parts AS part, unit FROM units ORDER BY part, key", {"parts": parts}
        )
        yield from ((part, json.loads(unit)) for part, unit in found)

    # the clips

    def add_prepared(self, record: Any) -> None:
        """Note what was made of a row.

        Args:
            record: JSON values, with the `path`, `start` and `end` of the row.
        """
        self._base.execute(
            "INSERT OR REPLACE INTO prepared SELECT row, ? FROM labels "
            "WHERE path = ? AND ifnull(start, -1) = ? AND ifnull(stop, -1) = ?",
            (json.dumps(record, allow_nan=False), *_stretch(record["path"], record["start"], record["end"])),
        )

    def joined(self) -> Iterator[tuple[Label, Any]]:
        """Rows of which a clip is made, in the sheet's order, each with what was made of it."""
        found = self._base.execute(
            "SELECT label, record FROM labels LEFT JOIN prepared USING (row) WHERE kept ORDER BY row"
        )
        yield from (
            (label_of(text), None if record is None else json.loads(record)) for text, record in found
        )

    def add_clip(self, row: int, laid: Laid, split: str | None = None) -> int | None:
        """Add a clip, unless one of the same content is there.

        Args:
            row: of the sheet.
            laid: the clip.
            split: that the sheet gives it.

        Returns:
            None, or the row of the clip that has the same content.
        """
        clip = laid.clip
        added = self._base.execute(
            "INSERT INTO clips "
            "(row, content, id, content_type, emotion, family, size, video, verbatim, clip, qualifies, "
            "split) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content) DO NOTHING",
            (
                row,
                _content(clip),
                clip.id,
                clip.content_type,
                clip.emotion if isinstance(clip, Clip) else None,
                clip.group,
                laid.size,
                laid.video,
                laid.verbatim,
                clip.to_json(self.features),
                isinstance(clip, Clip) and qualifies(clip),
                split if isinstance(clip, Clip) else None,
            ),
        )
        return None if added.rowcount else self.row_of(clip)

    def label_at(self, row: int) -> Label:
        """The accepted row with this number."""
        return label_of(self._base.execute("SELECT label FROM labels WHERE row = ?", (row,)).fetchone()[0])

    def drop_clip(self, row: int) -> None:
        """Take back the clip of a row."""
        self._base.execute("DELETE FROM clips WHERE row = ?", (row,))

    def row_of(self, clip: Clip | ClipWithoutEmotion) -> int | None:
        """The row of the clip that has the same content, if there is one."""
        found = self._base.execute("SELECT row FROM clips WHERE content = ?", (_content(clip),)).fetchone()
        return None if found is None else int(found[0])

    def prepared_clips(self) -> Iterator[tuple[Label, Mapping[str, Any], str, Any]]:
        """The clips that show an emotion, in the sheet's order: row, fields, split or "", what was made."""
        found = self._base.execute(
            "SELECT label, clips.clip, ifnull(clips.split, ''), record "
            "FROM clips JOIN labels USING (row) JOIN prepared USING (row) "
            "WHERE clips.emotion IS NOT NULL AND clips.split IS NOT ? ORDER BY row",
            (LEFT_OUT,),
        )
        for text, line, split, record in found:
            yield label_of(text), json.loads(line), split, json.loads(record)["clip"]

    def durations(self) -> Iterator[tuple[str, float]]:
        """Content type and seconds of every clip that shows an emotion and is not left out."""
        yield from self._base.execute(
            "SELECT content_type, json_extract(clip, '$.duration') FROM clips "
            "WHERE emotion IS NOT NULL AND split IS NOT ?",
            (LEFT_OUT,),
        )

    def regroup(self, old: str, new: str) -> None:
        """Let the clips of a group be of another one."""
        self._base.execute(
            "UPDATE clips SET family = :new, clip = json_set(clip, '$.group', :new) WHERE family = :old",
            {"old": old, "new": new},
        )

    def damaged(self) -> Iterator[Damaged]:
        """The clips of whose source a part is damaged, in the sheet's order."""
        found = self._base.execute(
            "SELECT row, path, id, json_extract(record, '$.clip.damage') AS reason "
            "FROM clips JOIN labels USING (row) JOIN prepared USING (row) "
            "WHERE reason IS NOT NULL ORDER BY row"
        )
        yield from (Damaged(*row) for row in found)

    def clip_lines(self) -> Iterator[str]:
        """The clips' JSON lines, sorted."""
        yield from (line for (line,) in self._base.execute("SELECT clip FROM clips ORDER BY clip"))

    def counts(self) -> Counter[tuple[str, str, str]]:
        """Clips by (content type, emotion, split)."""
        found = self._base.execute(
            "SELECT content_type, emotion, split, count(*) FROM placed "
            f"WHERE split != '{LEFT_OUT}' GROUP BY content_type, emotion, split"
        )
        return Counter(
            {(content_type, emotion, split): count for content_type, emotion, split, count in found}
        )

    # splits

    def set_aside(self, per_cell: int | None, listed: Sequence[str], seed: int) -> Benchmark:
        """Put clips into the benchmark, and leave the other clips of their groups out of every split.

        Args:
            per_cell: clips per emotion and content type; None takes those that are listed.
            listed: ids.
            seed: draws between equal groups and clips.

        Returns:
            What was asked for and what was found.

        Raises:
            ValueError: a listed id is not that of a clip that shows an emotion.
        """
        with self.writing():
            return set_aside(self._base, per_cell, listed, seed, self.taxonomy)

    def left_out(self) -> Iterator[LeftOut]:
        """Clips in no split, because one of their group is in the benchmark, in the sheet's order."""
        found = self._base.execute(
            "SELECT row, path, id, family FROM clips JOIN labels USING (row) WHERE split = ? ORDER BY row",
            (LEFT_OUT,),
        )
        yield from (LeftOut(*row) for row in found)

    def split(self, ratios: tuple[float, float, float], seed: int) -> None:
        """Give every clip that shows an emotion and is not set aside a split, as `splits.split_groups` does.

        Args:
            ratios: shares of train, validation and test.
            seed: draws the order of groups of the same size.
        """
        with self.writing():
            take_sides(self._base, ratios, seed)

    # shards

    def sort_into_parts(self) -> None:
        """Sort the clips by content type and split, once all have their splits."""
        self._base.execute(
            "INSERT INTO parts SELECT content_type, CASE WHEN emotion IS NULL THEN ? ELSE split END AS part, "
            "id, number, size FROM clips WHERE part IS NOT NULL ORDER BY content_type, part, id",
            (NONE,),
        )

    def shuffled(self, content_type: str, split: str, seed: int) -> tuple[array[int], array[int]]:
        """The clips of a part of the build in the order in which they are written.

        Args:
            content_type: of the clips, which `sort_into_parts` has sorted.
            split: of the clips, or `NONE` for those that show no specific emotion.
            seed: of the order.

        Returns:
            Their numbers and the sizes of their MP4s in bytes.
        """
        found = self._base.execute(
            "SELECT number, size FROM parts WHERE content_type = ? AND part = ? ORDER BY id",
            (content_type, split),
        )
        numbers, sizes = array("q"), array("q")
        for number, size in found:
            numbers.append(number)
            sizes.append(size)
        order = array("q", range(len(numbers)))
        random.Random(f"{seed}/{content_type}/{split}").shuffle(order)
        return array("q", (numbers[i] for i in order)), array("q", (sizes[i] for i in order))

    def add_shard(self, number: int, path: str, content_type: str, split: str) -> None:
        """Add a shard."""
        self._base.execute("INSERT INTO shards VALUES (?, ?, ?, ?)", (number, path, content_type, split))

    def shards(self) -> Iterator[tuple[int, str, str, str]]:
        """Number, path, content type and split of every shard, in order."""
        found = self._base.execute("SELECT number, path, content_type, split FROM shards ORDER BY number")
        yield from (tuple(row) for row in found)

    def place(self, shard: int, numbers: Iterable[int]) -> None:
        """Put clips into a shard, in this order; the shards come in the order of their numbers."""
        self._base.executemany(
            "INSERT INTO places VALUES (?, ?, ?)",
            ((shard, place, number) for place, number in enumerate(numbers)),
        )

    def laid(self, shard: int) -> tuple[PlacedClip, ...]:
        """The clips of a shard, in order."""
        found = self._base.execute(
            "SELECT clip, size, video, verbatim FROM places JOIN clips USING (number) "
            "WHERE places.shard = ? ORDER BY place",
            (shard,),
        )
        return tuple(
            PlacedClip(line, size, video, bool(verbatim), self.features, self.taxonomy)
            for line, size, video, verbatim in found
        )


def _content(clip: Clip | ClipWithoutEmotion) -> str:
    """What an id says of its source, whatever the content type."""
    return clip.id.partition("-")[2]


def _stretch(path: str, start: float | None, end: float | None) -> tuple[str, float, float]:
    """A stretch of a file as it can be looked up: NULL equals nothing."""
    return (path, -1 if start is None else start, -1 if end is None else end)
