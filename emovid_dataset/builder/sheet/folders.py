"""Read the labels from folders that are named after emotions, where there is no sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emovid_dataset.builder.sheet.formats import ENDINGS
from emovid_dataset.builder.sheet.parse import SPLIT_WORDS
from emovid_dataset.builder.sheet.paths import is_video
from emovid_dataset.builder.sheet.table import Row, Table
from emovid_dataset.store import Store

HEADERS = ("path", "emotion", "content_type", "split")


def open_folders(raw: Store, is_emotion: Callable[[str], bool]) -> Table:
    """A table of the videos in ``EMOTION/``, ``TYPE/EMOTION/`` and ``SPLIT/EMOTION/``, sorted by path.

    Args:
        raw: where the source files are. A video elsewhere, or in a hidden folder, is in no row.
        is_emotion: whether a folder's name is a word for an emotion.

    Raises:
        ValueError: no folder is named after an emotion.
    """

    def read() -> Iterator[Row]:
        number = 0
        for name in raw.list():
            *folders, _ = name.split("/")
            if len(folders) not in (1, 2) or folders[0].startswith("."):
                continue
            if is_emotion(folders[-1]) and is_video(raw, name):
                number += 1
                above = folders[0] if len(folders) == 2 else ""
                is_split = above.lower() in SPLIT_WORDS
                cells = (name, folders[-1], "" if is_split else above, above if is_split else "")
                yield Row(number, dict(zip(HEADERS, cells, strict=True)))

    if next(read(), None) is None:
        place = raw.folder or raw.name
        sheets = [name for name in raw.list() if "/" not in name and name.lower().endswith(ENDINGS)]
        hint = f"--labels {place}/{sheets[0]}" if sheets else "--labels FILE"
        raise ValueError(
            f"{place} has no folder named after an emotion, such as awe/ or sticker/awe/; "
            f"{hint} names the clips' labels"
        )
    return Table(HEADERS, read)
