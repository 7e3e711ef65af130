"""A small corpus with what a real label sheet has: raters, groups across cells, clips without an emotion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from video_files import noise, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset.schema.emotions import EMOTIONS

NO_EMOTION = "no specific emotion"


def labelled_corpus(folder: Path) -> Path:
    """Fourteen stickers and a film of four segments; returns the sheet.

    ::

        sticker  awe        0 alone 3/3      1 family 3/3   2 family 2/3   3 alone 2/3
                 fear       4 family 3/3     5 alone 3/3, by a model       6 alone 2/2
                 amusement  7 to 10 alone 3/3
                 none       11 alone 3/3     12 alone, of 3 one saw awe    13 family, raters not stated
        movie    awe        two segments 3/3
                 fear       a segment 1/3
                 none       a segment 3/3
    """
    (folder / "sticker").mkdir(parents=True)
    (folder / "movie").mkdir()
    rows: list[dict[str, Any]] = []

    def add(path: str, emotion: str, votes: int | None, raters: int | None = 3, **values: Any) -> None:
        chosen = values.pop("others", {})
        if votes is not None and emotion in EMOTIONS:
            chosen = {emotion: votes}
        row = {
            "path": path,
            "emotion": emotion,
            "group": "",
            "start": "",
            "end": "",
            "emotion_source": "",
            "raters": "" if raters is None else raters,
            "votes": json.dumps(chosen) if chosen or votes is not None else "",
        }
        rows.append({**row, **values})

    family = {"group": "family"}
    stickers: list[tuple[str, int | None, int | None, dict[str, Any]]] = [
        ("awe", 3, 3, {}),
        ("awe", 3, 3, family),
        ("awe", 2, 3, family),
        ("awe", 2, 3, {}),
        ("fear", 3, 3, family),
        ("fear", 3, 3, {"emotion_source": "model"}),
        ("fear", 2, 2, {}),
        *([("amusement", 3, 3, {})] * 4),
        ("No specific emotion", 0, 3, {}),
        ("no_emotion", None, 3, {"others": {"awe": 1}}),
        (NO_EMOTION, None, None, family),
    ]
    sources = sorted(sticker().parent.glob("*.mp4"))
    for index, (emotion, votes, raters, values) in enumerate(stickers):
        shutil.copy(sources[index], folder / "sticker" / f"{index}.mp4")
        add(f"sticker/{index}.mp4", emotion, votes, raters, **values)
    write_video(folder / "movie" / "film.mkv", numbered_frames(192), sound=noise(8))
    for index, (emotion, votes) in enumerate([("awe", 3), ("fear", 1), (NO_EMOTION, 0), ("awe", 3)]):
        add("movie/film.mkv", emotion, votes, start=index * 2, end=index * 2 + 2)
    return write_sheet(folder, rows)
