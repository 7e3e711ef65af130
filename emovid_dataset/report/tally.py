"""What a card counts over all clips of a build, in one pass over its metadata."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emovid_dataset.report.agreement import measure_agreement
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store


@dataclass(slots=True)
class Tally:
    """What the card counts over all clips."""

    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # content type, split, emotion
    licenses: Counter[str | None] = field(default_factory=Counter)
    raters: Counter[int] = field(default_factory=Counter)  # clips by how many people labelled them
    votes: Counter[tuple[int, ...]] = field(
        default_factory=Counter
    )  # for each emotion and for none, by clips
    agreements: int = 0
    agreement: float = 0.0  # summed over these
    first: Mapping[str, Any] = field(default_factory=dict)
    people: int = 0
    captioned: int = 0
    audible: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, manifest: Manifest, build: Store) -> Tally:
        """Count over the metadata, a batch of rows at a time."""
        import pyarrow.parquet

        columns = ["emotion", "emotion_source", "caption", "duration", "has_audio", "license"]
        columns += [name for name in ("raters", "votes", "agreement") if name in manifest.features]
        tally = cls()
        for name, (first, *_) in manifest.tables().items():
            content_type, split = first.content_type, first.split
            with build.local(name) as path:
                table = pyarrow.parquet.ParquetFile(path)
                tally.first = tally.first or _first_row(table, list(manifest.features))
                for batch in table.iter_batches(10_000, columns=columns):
                    rows = batch.to_pylist()
                    tally.cells.update((content_type, split, row["emotion"]) for row in rows)
                    tally.licenses.update(row["license"] for row in rows)
                    tally.raters.update(row["raters"] for row in rows if row.get("raters"))
                    tally.votes.update(
                        (*row["votes"], row["raters"] - sum(row["votes"]))
                        for row in rows
                        if row.get("votes") is not None and (row.get("raters") or 0) > 1
                    )
                    told = [row["agreement"] for row in rows if row.get("agreement") is not None]
                    tally.agreements += len(told)
                    tally.agreement += math.fsum(told)
                    tally.people += sum(row["emotion_source"] == "human" for row in rows)
                    tally.captioned += sum(bool(row["caption"]) for row in rows)
                    tally.audible += sum(row["has_audio"] for row in rows)
                    tally.seconds += sum(row["duration"] for row in rows)
        return tally

    @property
    def clips(self) -> int:
        return self.cells.total()

    def raters_in_words(self, taxonomy: Taxonomy) -> str:
        """How many people labelled the clips and how far they agreed, as far as it is known."""
        if not self.raters:
            return ""
        least, most = min(self.raters), max(self.raters)
        people = f"{least}" if least == most else f"{least} to {most}"
        words = f"Of {self.raters.total():,} clips the number of raters is known: {people} each."
        if self.agreements:
            mean = self.agreement / self.agreements
            words += f" On average {mean:.0%} of them chose the clip's emotion (`agreement`)."
        found = measure_agreement(self.votes.elements(), 0, taxonomy)
        if found is not None and found.alpha is not None:
            each = ", ".join(
                f"{name} {alpha:.2f}" for name, alpha in found.emotions.items() if alpha is not None
            )
            words += (
                f" Krippendorff's alpha (nominal) over the {found.clips:,} clips with several raters is "
                f"{found.alpha:.2f}; for each emotion alone: {each}. Clips without a majority are not in the "
                "data, which raises it."
            )
        return words

    def by(self, place: int) -> Counter[str]:
        """Clips by one of the three things that `cells` tells apart."""
        counts: Counter[str] = Counter()
        for cell, count in self.cells.items():
            counts[cell[place]] += count
        return counts


def count_emotions(manifest: Manifest, build: Store) -> dict[str, int]:
    """Clips of each emotion, in the order of the taxonomy."""
    counts = Tally.of(manifest, build).by(2)
    return {emotion: counts[emotion] for emotion in manifest.taxonomy.names}


def _first_row(table: Any, columns: list[str]) -> Mapping[str, Any]:
    return next(iter(batch.to_pylist()[0] for batch in table.iter_batches(1, columns=columns)), {})
