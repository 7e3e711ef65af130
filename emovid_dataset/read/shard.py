"""Read the samples of a shard, strictly."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import IO

MEMBERS = ("mp4", "json", "txt", "cls")
"""The members of a sample, in order."""


def read_samples(
    shard: IO[bytes], suffixes: Sequence[str] = MEMBERS
) -> Iterator[tuple[str, dict[str, bytes], int]]:
    """Read a shard's samples one after the other.

    Args:
        shard: a tar, open for reading at its start; it is read once, from start to end.
        suffixes: of the members of a sample, in order.

    Yields:
        Key, the members' bytes by suffix, and the MP4's byte offset.

    Raises:
        ValueError: the shard is not a tar, or a member is not where the layout wants it.
    """
    key, offset = "", 0
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=shard, mode="r|", bufsize=1 << 18) as tar:
            for info in tar:
                wanted = suffixes[len(members)]
                name, _, suffix = info.name.partition(".")
                if not info.isreg() or suffix != wanted or (members and name != key):
                    raise ValueError(f"member {info.name!r} stands where a .{wanted} is due")
                file = tar.extractfile(info)
                assert file is not None
                if wanted == suffixes[0]:
                    key, offset = name, info.offset_data
                members[wanted] = file.read()
                if len(members[wanted]) != info.size:
                    raise ValueError(f"member {info.name!r} is truncated")
                tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps every header
                if len(members) == len(suffixes):
                    yield key, members, offset
                    members = {}
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"is not a tar that can be read: {error}") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    if members:
        raise ValueError(f"sample {key!r} lacks its .{suffixes[len(members)]}")


class HashedReader:
    """A file that is hashed as it is read: a shard of gigabytes is read once.

    Attributes:
        size: bytes that were read.
        sha256: of them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size, self.sha256 = 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.size += len(data)
        self.sha256.update(data)
        return data
