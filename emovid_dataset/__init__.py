"""EmoVid's dataset side: build, verify, measure, load, stream and select emotion-labelled video clips.

What this module exports may be relied upon; everything else may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emovid_dataset.analyse.analyses import Analyses, analyse_build
    from emovid_dataset.analyse.outcomes import NotComputed
    from emovid_dataset.builder.append import AppendReport, append
    from emovid_dataset.builder.append_settings import AppendSettings
    from emovid_dataset.builder.build import BuildReport, build
    from emovid_dataset.builder.proxy import ProxyReport, make_proxy
    from emovid_dataset.builder.remove import RemoveReport, remove
    from emovid_dataset.builder.repair import Mended, RepairReport, repair
    from emovid_dataset.builder.sheet import Rejection, SheetOptions
    from emovid_dataset.check import verify
    from emovid_dataset.engine import Executor, Processes, Serial
    from emovid_dataset.engine.ray import Ray
    from emovid_dataset.media.attributes import as_in_paper
    from emovid_dataset.media.source import VideoError
    from emovid_dataset.read.clip_stream import ClipStream
    from emovid_dataset.read.collate import collate
    from emovid_dataset.read.load import load
    from emovid_dataset.read.manifest import read_manifest
    from emovid_dataset.read.select import SelectedClip, Selection, select
    from emovid_dataset.read.stream import stream
    from emovid_dataset.report.problems import Problem
    from emovid_dataset.report.stats import Statistics
    from emovid_dataset.report.stats import measure as stats
    from emovid_dataset.schema.benchmark import Benchmark, LeftOut
    from emovid_dataset.schema.card_info import CardInfo
    from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS, Clip
    from emovid_dataset.schema.damage import Damaged
    from emovid_dataset.schema.emotions import EMOTIONS, VALENCES
    from emovid_dataset.schema.label_set import LabelSet
    from emovid_dataset.schema.manifest import Manifest, ShardRecord
    from emovid_dataset.schema.no_emotion import NoEmotion
    from emovid_dataset.schema.proxies import ProxySettings
    from emovid_dataset.schema.taxonomy import Taxonomy
    from emovid_dataset.store import Store

__version__ = "0.1.0"

__all__ = [
    "CONTENT_TYPES",
    "EMOTIONS",
    "SPLITS",
    "VALENCES",
    "Analyses",
    "AppendReport",
    "AppendSettings",
    "Benchmark",
    "BuildReport",
    "CardInfo",
    "Clip",
    "ClipStream",
    "Damaged",
    "Executor",
    "LabelSet",
    "LeftOut",
    "Manifest",
    "Mended",
    "NoEmotion",
    "NotComputed",
    "Problem",
    "Processes",
    "ProxyReport",
    "ProxySettings",
    "Ray",
    "Rejection",
    "RemoveReport",
    "RepairReport",
    "SelectedClip",
    "Selection",
    "Serial",
    "ShardRecord",
    "SheetOptions",
    "Statistics",
    "Store",
    "Taxonomy",
    "VideoError",
    "__version__",
    "analyse_build",
    "append",
    "as_in_paper",
    "build",
    "collate",
    "load",
    "make_proxy",
    "read_manifest",
    "remove",
    "repair",
    "select",
    "stats",
    "stream",
    "verify",
]

_PLACES = {
    "CONTENT_TYPES": "schema.clip",
    "EMOTIONS": "schema.emotions",
    "SPLITS": "schema.clip",
    "VALENCES": "schema.emotions",
    "Analyses": "analyse.analyses",
    "AppendReport": "builder.append",
    "AppendSettings": "builder.append_settings",
    "Benchmark": "schema.benchmark",
    "BuildReport": "builder.build",
    "CardInfo": "schema.card_info",
    "Clip": "schema.clip",
    "ClipStream": "read.clip_stream",
    "Damaged": "schema.damage",
    "Executor": "engine",
    "LabelSet": "schema.label_set",
    "LeftOut": "schema.benchmark",
    "Manifest": "schema.manifest",
    "Mended": "builder.repair",
    "NoEmotion": "schema.no_emotion",
    "NotComputed": "analyse.outcomes",
    "Problem": "report.problems",
    "Processes": "engine",
    "ProxyReport": "builder.proxy",
    "ProxySettings": "schema.proxies",
    "Ray": "engine.ray",
    "Rejection": "builder.sheet",
    "RemoveReport": "builder.remove",
    "RepairReport": "builder.repair",
    "SelectedClip": "read.select",
    "Selection": "read.select",
    "Serial": "engine",
    "ShardRecord": "schema.manifest",
    "SheetOptions": "builder.sheet",
    "Statistics": "report.stats",
    "Taxonomy": "schema.taxonomy",
    "VideoError": "media.source",
    "Store": "store",
    "analyse_build": "analyse.analyses",
    "append": "builder.append",
    "as_in_paper": "media.attributes",
    "build": "builder.build",
    "collate": "read.collate",
    "load": "read.load",
    "make_proxy": "builder.proxy",
    "read_manifest": "read.manifest",
    "remove": "builder.remove",
    "repair": "builder.repair",
    "select": "read.select",
    "stats": "report.stats:measure",
    "stream": "read.stream",
    "verify": "check",
}
"""Where each name comes from; after a colon the name that it has there."""


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the package itself must stay quick to import for the command line.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, _, there = _PLACES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{place}"), there or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
