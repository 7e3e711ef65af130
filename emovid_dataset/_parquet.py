"""What is said of a Parquet file that is damaged, or is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def parquet_errors(what: str, *others: type[Exception]) -> Iterator[None]:
    """Give what pyarrow raises for the content of a file one line, whenever it is found out.

    Args:
        what: begins the line, such as "x.parquet is not a file of annotations".
        others: exceptions that come of the content too, such as KeyError for what it lacks.

    Raises:
        ValueError: it is damaged, of a kind that pyarrow cannot read, or claims sizes that no machine has.
    """
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, *others) as error:
        raise ValueError(f"{what}: {' '.join(str(error).split())}") from error
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the content
            raise
        raise ValueError(f"{what}: {' '.join(str(error).split())}") from error
