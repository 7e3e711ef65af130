"""The settings that an append shares with the build that grows, and what is said where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emovid_dataset.builder.growing_plan import GrowingPlan
from emovid_dataset.builder.sheet import SheetOptions
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.features import FEATURES, FeatureType
from emovid_dataset.schema.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendSettings:
    """What must be as in the build; None takes what the build has.

    Attributes:
        shard_size, ratios, seed, every, benchmark, benchmark_ids, keep_none, corpus, notes: as in
            `build.build`.
    """

    shard_size: int | None = None
    ratios: tuple[float, float, float] | None = None
    seed: int | None = None
    every: int | None = None
    benchmark: int | None = None
    benchmark_ids: Sequence[str] | None = None
    keep_none: bool | None = None
    corpus: str | None = None
    notes: Sequence[str] | None = None

    def check(self, manifest: Manifest, sheet: SheetOptions, build: str) -> SheetOptions:
        """Compare them with those of a build.

        Args:
            manifest: of the build.
            sheet: how the label sheet is to be read.
            build: its name.

        Returns:
            How the label sheet is read: with the build's columns and content types, where none are given.

        Raises:
            ValueError: one differs; the message names it.
        """
        if manifest.format == 1:
            raise ValueError(f"{build} is a build of format 1, which cannot grow; build it again")
        held: dict[str, Any] = {
            "shard_size": manifest.shard_size,
            "ratios": manifest.split_ratios,  # which the command line calls split
            "seed": manifest.seed,
            "every": manifest.every,
            "corpus": manifest.corpus,
            "notes": manifest.notes,
            "benchmark": None if manifest.benchmark is None else manifest.benchmark.per_cell,
        }
        for name, value in held.items():
            given = getattr(self, name)
            given = tuple(given) if name == "notes" and given is not None else given
            if given is not None and given != value:
                raise _differs(build, "split" if name == "ratios" else name, given, value)
        keeps = bool(manifest.none_shards)
        if self.keep_none is not None and self.keep_none != keeps and manifest.none_clips:
            raise _differs(build, "keep_none", self.keep_none, keeps)
        if sheet.labels.taxonomy != manifest.taxonomy:
            raise _differs(build, "taxonomy", sheet.labels.taxonomy.name, manifest.taxonomy.name)
        if not sheet.keep_columns:
            extra = tuple(name for name in manifest.features if name not in FEATURES)
            sheet = replace(sheet, keep_columns=extra)
        others = [name for name in manifest.content_types if name not in sheet.content_types]
        if sheet.content_type is None and len(others) == 1:
            sheet = replace(sheet, content_type=others[0])
        if sheet.content_types != manifest.content_types:
            raise _differs(
                build, "content types", ", ".join(sheet.content_types), ", ".join(manifest.content_types)
            )
        return sheet

    def keeps_none(self, manifest: Manifest) -> bool:
        """Whether clips that show no specific emotion are written; a build without any may begin with it."""
        return bool(manifest.none_shards) or bool(self.keep_none)

    def check_features(self, manifest: Manifest, read: Mapping[str, FeatureType], build: str) -> None:
        """Compare the columns that become fields with those of a build.

        Args:
            manifest: of the build.
            read: fields of the clips, as the sheet gives them.
            build: its name.

        Raises:
            ValueError: they are others, or one has another type.
        """
        wanted = {name: kind for name, kind in manifest.features.items() if name not in FEATURES}
        found = {name: kind for name, kind in read.items() if name not in FEATURES}
        for name in dict.fromkeys([*wanted, *found]):
            if wanted.get(name) != found.get(name):
                raise _differs(
                    build,
                    f"keep_columns: the type of {name}",
                    found.get(name, "none"),
                    wanted.get(name, "none"),
                )

    def check_benchmark(self, manifest: Manifest, plan: GrowingPlan, build: str) -> None:
        """Compare the ids of a benchmark with those of a build.

        Raises:
            ValueError: the build's benchmark is another one.
        """
        if self.benchmark_ids is None:
            return
        held = sum(shard.samples for shard in manifest.select(split=BENCHMARK))
        others = [key for key in self.benchmark_ids if not plan.is_held(key, BENCHMARK)]
        if others or held != len(self.benchmark_ids):
            raise ValueError(
                f"benchmark_ids are not those of {build}, whose benchmark has {held} clips; an append keeps "
                "what was set aside"
            )


def _differs(build: str, name: str, given: object, held: object) -> ValueError:
    return ValueError(
        f"{name} is {given!r}, but {build} was built with {held!r}; an append keeps its settings"
    )
