"""A small build whose shards go on in subfolders, as those of a build of a million clips do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from video_files import sticker, write_sheet

from emovid_dataset.builder.build import BuildReport, build
from emovid_dataset.schema import file_names


def smallest_stickers(raw: Path) -> Path:
    """Copy nine stickers of the miniature to a folder; the last one shows no specific emotion.

    Returns:
        The label sheet.
    """
    (raw / "sticker").mkdir(parents=True, exist_ok=True)
    rows = []
    paths = sorted(sticker().parent.glob("*.mp4"), key=lambda path: path.stat().st_size)[:9]
    for index, path in enumerate(paths):
        shutil.copy(path, raw / "sticker" / path.name)
        emotion = "no specific emotion" if index == 8 else ("amusement", "awe", "fear")[index % 3]
        row = {"path": f"sticker/{path.name}", "emotion": emotion}
        rows.append({**row, "content_type": "sticker", "group": f"g{index}"})
    return write_sheet(raw, rows)


def write_foldered_build(raw: Path, out: Path) -> BuildReport:
    """Build those stickers, a clip per shard and two shards per folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_names, "SHARDS_PER_FOLDER", 2)
        sheet = smallest_stickers(raw)
        return build(raw, sheet, out, engine="serial", shard_size=1, keep_none=True)
