"""What a container or a decoder says beside a frame: how it is turned, and what its colours mean."""

from __future__ import annotations

import gc
from typing import Any

import av
import numpy as np
from av.dictionary import Dictionary
from av.sidedata.sidedata import SideDataContainer


def attached(frame: av.VideoFrame, name: str) -> bytes | None:
    """One kind of side data.

    Args:
        frame: a decoded frame.
        name: of `av.sidedata.sidedata.Type`.

    Returns:
        Its bytes; None where the frame has none of it.

    Raises:
        ValueError: the frame carries something that this PyAV has no name for.
    """
    # a frame keeps its own `side_data`, which keeps the frame: neither would ever be freed
    container: Any = _CONTAINER(frame)
    for each in container:
        # PyAV frees the words that belong to side data, such as the name of an ICC profile, and the frame
        # frees them once more, which ends the process
        for words in gc.get_referents(each):
            if isinstance(words, Dictionary) and len(words):
                _never_freed(words)
    found = container.get(name)
    return None if found is None else bytes(found)


def _never_freed(thing: object) -> None:
    # an array that holds itself, which the garbage collector does not look into, also when the process ends
    holder = np.empty(2, object)
    holder[0], holder[1] = holder, thing


_CONTAINER: Any = SideDataContainer  # PyAV's types say that it takes no frame
