"""A lock on an open file; it goes with the process, however that ends."""

from __future__ import annotations

import fcntl
from typing import IO, Any


def hold(file: IO[Any]) -> None:
    """Lock a file until it is closed. Where the file system has no locks, none is held.

    Args:
        file: open, in any mode.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # ENOSYS, ENOLCK or EOPNOTSUPP: whoever starts two runs there must keep them apart.
        return
