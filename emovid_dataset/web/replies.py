"""What a served page is told where its server cannot do as it was asked."""

from __future__ import annotations

import os

from fastapi import HTTPException


class Replies:
    """What a rater's session raises within it, as the reply that the page shows.

    Args:
        conflict: raised where an answer does not go with those that are there; its words are the reply's.

    Raises:
        HTTPException: 404 for an IndexError, 409 for a conflict, 507 for an OSError; all else goes through.
    """

    def __init__(self, conflict: type[Exception]) -> None:
        self._conflict = conflict

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, IndexError):
            raise HTTPException(404, "there is no such question") from error
        if isinstance(error, self._conflict):
            raise HTTPException(409, str(error)) from error
        if isinstance(error, OSError):
            raise HTTPException(507, error.strerror or os.strerror(error.errno or 5)) from error
