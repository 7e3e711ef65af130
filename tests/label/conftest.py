"""Clips to be rated, and the program that serves the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from label_server import LabelProgram
from video_files import MINI, numbered_frames, write_video

STICKERS = sorted((MINI / "sticker").glob("*.mp4"), key=lambda path: path.stat().st_size)[:12]


@pytest.fixture(scope="session")
def label_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelProgram]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        program = LabelProgram()
    yield program
    program.close()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve stickers, a clip of HEVC, one that is broken, and sheets that name them."""
    folder = tmp_path_factory.mktemp("clips")
    for path in STICKERS:
        shutil.copy(path, folder / path.name)
    write_video(folder / "hevc.mp4", numbered_frames(12, 64, 48), rate=12, codec="libx265")
    (folder / "broken.mp4").write_bytes((folder / STICKERS[0].name).read_bytes()[:700])
    names = [path.name for path in STICKERS]
    (folder / "sheet.csv").write_text("path\n" + "\n".join(names) + "\n", encoding="utf-8")
    (folder / "odd.csv").write_text(
        f"path,start,end\nhevc.mp4,,\nhevc.mp4,0.25,0.75\nbroken.mp4,,\nmissing.mp4,,\n{names[0]},,\n",
        "utf-8",
    )
    return folder
