"""`GrowingPlan`: a plan that also knows the clips which a finished build holds already."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.ratings import label_of
from emovid_dataset.builder.set_aside import LEFT_OUT
from emovid_dataset.builder.sheet import Label, Rejection, printable
from emovid_dataset.builder.sides import take_sides
from emovid_dataset.engine import Record
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.clip import SPLITS
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.schema.no_emotion import NONE

_SCHEMA = """
CREATE TABLE held (
    content TEXT PRIMARY KEY, id TEXT NOT NULL, content_type TEXT NOT NULL, emotion TEXT,
    family TEXT NOT NULL, split TEXT NOT NULL, shard TEXT NOT NULL, start INTEGER NOT NULL,
    size INTEGER NOT NULL, clip TEXT NOT NULL
);
CREATE INDEX families_held ON held (family);
CREATE TABLE known (content TEXT PRIMARY KEY, id TEXT NOT NULL, why TEXT NOT NULL, family TEXT);
CREATE TABLE identified (row INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE INDEX contents ON identified (content);
CREATE TABLE named (path TEXT NOT NULL, start REAL NOT NULL, stop REAL NOT NULL);
"""

REMOVED = "removed"
"""Why a content is known that no shard holds: its clip was removed. The other reason is `LEFT_OUT`."""


@dataclass(frozen=True, slots=True)
class HeldClip:
    """A clip that a build holds.

    Attributes:
        id: of the clip.
        split: of its shard, `NONE` if it shows no specific emotion.
        shard: path of its shard.
        start: first byte of its MP4 in the shard.
        size: bytes of its MP4.
        row: its fields.
    """

    id: str
    split: str
    shard: str
    start: int
    size: int
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldShade:
    """How light and colourful a clip of the build is, and where it lies.

    Attributes:
        id, shard, start, size: as of `HeldClip`.
        luma, colorfulness: as in `Clip`: `luma`, `colorfulness_m3`.
    """

    id: str
    shard: str
    start: int
    size: int
    luma: float
    colorfulness: float


class GrowingPlan(Plan):
    """The database of one append.

    Args:
        manifest: of the build that grows.
        keep_none: whether clips that show no specific emotion are prepared and written too.
    """

    def __init__(self, manifest: Manifest, *, keep_none: bool) -> None:
        super().__init__(keep_none=keep_none, taxonomy=manifest.taxonomy)
        self._base.executescript(_SCHEMA)
        self._only_new = False

    def __enter__(self) -> GrowingPlan:
        return self

    # what the build holds

    def hold(self, shard: ShardRecord, clips: Iterable[Record]) -> None:
        """Add the clips of a shard, as `shards.write_shard` tells of them."""
        self._base.executemany(
            "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    content_of(record["clip"]["id"]),
                    record["clip"]["id"],
                    shard.content_type,
                    record["clip"]["emotion"],
                    record["clip"]["group"],
                    shard.split,
                    shard.path,
                    record["offset"],
                    record["size"],
                    json.dumps(record["clip"], ensure_ascii=False, allow_nan=False),
                )
                for record in clips
            ),
        )

    def know(self, key: str, why: str, family: str | None = None) -> None:
        """Add a clip that the build does not hold, and why: `REMOVED` or `LEFT_OUT`."""
        self._base.execute(
            "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", (content_of(key), key, why, family)
        )

    def is_held(self, key: str, split: str) -> bool:
        """Whether the build holds a clip in a split."""
        return bool(
            self._base.execute("SELECT 1 FROM held WHERE id = ? AND split = ?", (key, split)).fetchone()
        )

    def held_clip(self, key: str) -> HeldClip:
        """The clip of the build with this id."""
        key, split, shard, start, size, line = self._base.execute(
            "SELECT id, split, shard, start, size, clip FROM held WHERE content = ?", (content_of(key),)
        ).fetchone()
        return HeldClip(key, split, shard, start, size, json.loads(line))

    def held_shades(self) -> Iterator[HeldShade]:
        """The clips of the build that show an emotion, in the order of the shards."""
        found = self._base.execute(
            "SELECT id, shard, start, size, json_extract(clip, '$.luma'), "
            "json_extract(clip, '$.colorfulness_m3') FROM held WHERE emotion IS NOT NULL ORDER BY rowid"
        )
        yield from (HeldShade(*row) for row in found)

    def count_held(self) -> int:
        """Number of clips that the build holds."""
        return self.count("held")

    def change_held(self, clip: HeldClip, row: Mapping[str, Any] | None) -> None:
        """Note other fields of a clip that stays in its shard, or with None that it leaves it."""
        if row is None:
            self._base.execute("DELETE FROM held WHERE id = ?", (clip.id,))
            return
        self._base.execute(
            "UPDATE held SET emotion = ?, family = ? WHERE id = ?", (row["emotion"], row["group"], clip.id)
        )

    # rows of the sheet that are about them

    def note_names(self) -> None:
        """Note which files and stretches the sheet names, once all rows are there."""
        self._base.create_function("printable", 1, printable, deterministic=True)
        self._base.execute(
            "INSERT INTO named SELECT printable(path), ifnull(start, -1), ifnull(stop, -1) FROM labels "
            "UNION SELECT path, -2, -2 FROM rejections"
        )
        self._base.execute("CREATE INDEX names ON named (path)")

    def is_named(self, path: str, start: float | None = None, end: float | None = None) -> bool:
        """Whether the sheet names a stretch of a file; without a start, whether it names the file at all."""
        found = self._base.execute(
            "SELECT 1 FROM named WHERE path = ? AND (? IS NULL OR start = -2 OR (start = ? AND stop = ?))",
            (path, start, start, end),
        )
        return found.fetchone() is not None

    def labels_by_path(self) -> Iterator[list[Label]]:
        """As in `Plan`; before anything is identified, rows of which no clip is made are among them."""
        if self._only_new:
            yield from super().labels_by_path()
            return
        held: list[Label] = []
        for (text,) in self._base.execute("SELECT label FROM labels ORDER BY path, ifnull(start, 0), row"):
            label = label_of(text)
            if held and held[0].path != label.path:
                yield held
                held = []
            held.append(label)
        if held:
            yield held

    def identify(self, record: Record) -> None:
        """Note the clip id of a stretch, as `identify.IdentifyStage` found it.

        Where clips have a greatest length, the id of what is left of a longer stretch counts if it is known.
        """
        if record["id"] is None:
            return
        found, cut = record["id"], record.get("cut")
        if cut is not None and self._is_known(cut):
            found = cut
        start = -1 if record["start"] is None else record["start"]
        end = -1 if record["end"] is None else record["end"]
        self._base.execute(
            "INSERT OR REPLACE INTO identified SELECT row, ? FROM labels "
            "WHERE path = ? AND ifnull(start, -1) = ? AND ifnull(stop, -1) = ?",
            (content_of(found), record["path"], start, end),
        )

    def _is_known(self, key: str) -> bool:
        found = self._base.execute(
            "SELECT 1 FROM held WHERE content = :content UNION SELECT 1 FROM known WHERE content = :content",
            {"content": content_of(key)},
        )
        return found.fetchone() is not None

    def known(self) -> Iterator[tuple[Label, str, str]]:
        """Rows whose clip the build knows but does not hold, each with its id and why."""
        found = self._base.execute(
            "SELECT label, id, why FROM labels JOIN identified USING (row) JOIN known USING (content) "
            "ORDER BY row"
        )
        yield from ((label_of(text), key, why) for text, key, why in found)

    def met(self) -> Iterator[tuple[list[Label], HeldClip]]:
        """The clips of the build that rows are about, each with those rows."""
        found = self._base.execute(
            "SELECT content, id, split, shard, held.start, held.size, clip, label FROM labels "
            "JOIN identified USING (row) JOIN held USING (content) ORDER BY content, row"
        )
        last, labels, clip = "", [], None
        for content, key, split, shard, start, size, line, text in found:
            if content != last and clip is not None:
                yield labels, clip
                labels = []
            last, clip = content, HeldClip(key, split, shard, start, size, json.loads(line))
            labels.append(label_of(text))
        if clip is not None:
            yield labels, clip

    def start_afresh(self, settled: Iterable[int]) -> None:
        """Forget rows that are settled, and the units of work; what is left is new."""
        self._base.executemany("DELETE FROM labels WHERE row = ?", ((row,) for row in settled))
        self._base.execute("DELETE FROM units")
        self._only_new = True

    def put_back(self, label: Label) -> None:
        """Take a row again whose clip goes into another shard, or into none."""
        kept = label.emotion is not None or self.keep_none
        self._base.execute(
            "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                label.row,
                label.path,
                label.start,
                label.end,
                label.emotion,
                kept,
                json.dumps(asdict(label), allow_nan=False),
            ),
        )

    # splits

    def refuse_torn(self) -> None:
        """Refuse new rows to which the sheet gives another split than their group has in the build."""
        family = (
            "coalesce(json_extract(labels.label, '$.group'), "
            "CASE WHEN labels.start IS NULL THEN NULL ELSE labels.path END)"
        )
        found = self._base.execute(
            f"SELECT row, path, {family}, json_extract(label, '$.split') AS said, (SELECT min(held.split) "
            f"FROM held WHERE held.family = {family} AND held.emotion IS NOT NULL) AS has "
            "FROM labels WHERE said IS NOT NULL AND has IS NOT NULL AND said != has ORDER BY row"
        ).fetchall()
        for row, path, group, said, has in found:
            reason = f"its group {group!r} is in {has}, not {said}; the clips of a group stay in one split"
            self.reject(Rejection(row, printable(path), reason))
            self._base.execute("DELETE FROM labels WHERE row = ?", (row,))

    def split(self, ratios: tuple[float, float, float], seed: int) -> None:
        """As in `Plan`; the clips that the build holds stay where they are, and new ones go to their groups.

        Raises:
            ValueError: a group would be on two sides.
        """
        with self.writing():
            self._base.execute(
                "UPDATE clips SET split = (SELECT CASE min(split) WHEN :benchmark THEN :out ELSE min(split) "
                "END FROM held WHERE held.family = clips.family AND held.emotion IS NOT NULL) "
                "WHERE emotion IS NOT NULL AND split IS NULL AND family IN "
                "(SELECT family FROM held WHERE emotion IS NOT NULL)",
                {"benchmark": BENCHMARK, "out": LEFT_OUT},
            )
            self._base.execute(
                "UPDATE clips SET split = ? WHERE emotion IS NOT NULL AND split IS NULL AND family IN "
                "(SELECT family FROM known WHERE why = ?)",
                (LEFT_OUT, LEFT_OUT),
            )
            marks = ", ".join("?" * len(SPLITS))
            held = self._base.execute(
                f"SELECT content_type, emotion, split, count(*) FROM held WHERE split IN ({marks}) "
                "GROUP BY 1, 2, 3",
                SPLITS,
            ).fetchall()
            take_sides(
                self._base, ratios, seed, [((kind, emotion), side, n) for kind, emotion, side, n in held]
            )
            torn = self._base.execute(
                "SELECT family, min(split), max(split) FROM ("
                "SELECT family, split FROM held WHERE split != ? UNION "
                "SELECT family, split FROM placed WHERE split != ?) GROUP BY family HAVING count(*) > 1",
                (NONE, LEFT_OUT),
            ).fetchone()
        if torn is not None:
            raise ValueError(
                f"group {torn[0]!r} would be in {torn[1]} and {torn[2]}; update all of its clips"
            )

    def split_of(self, key: str) -> str | None:
        """The split of a clip that goes into a new shard, if it has one."""
        found = self._base.execute("SELECT split FROM placed WHERE id = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def check_new(self) -> None:
        """Check that no new clip has the content of one that the build holds.

        Raises:
            ValueError: one has; its file changed while it was read.
        """
        twin = self._base.execute("SELECT held.id FROM clips JOIN held USING (content)").fetchone()
        if twin is not None:
            raise ValueError(f"the file of {twin[0]} changed while the append ran; run it again")


def content_of(key: str) -> str:
    """What a clip's id says of its source, whatever the content type."""
    return key.partition("-")[2]
