"""Files of a tree as the Hub's client sends them: hashed no second time, and on the disk where it insists.

The client takes a path or bytes. Of a file in a bucket it gets a copy that lies on the disk while it is sent;
a small one, which may go into the commit itself, it gets in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd
from huggingface_hub.lfs import UploadInfo

from emovid_models.publish.tree import HashedFile, StoredFile, first_bytes, version_of

AT_ONCE = 8
"""Files that are sent at once."""

INLINE_FILE = 10 << 20
"""The Hub takes smaller files within the commit, in memory, if it does not want them as LFS."""

COPIED_BYTES = 4 << 30
"""Bytes of the copies that lie on the disk at once, unless a single file is larger."""

_SAMPLE = 512  # by which the Hub tells texts from other files


class HashedAddition(CommitOperationAdd):
    """An addition whose hash is known; the client would read the file once more for it.

    Args:
        file: what is sent.
        content: its bytes, or where they lie on the disk.
    """

    def __init__(self, file: HashedFile, content: Path | bytes) -> None:
        self._file = file
        super().__init__(file.path, content)

    def __post_init__(self) -> None:
        content = self.path_or_fileobj
        assert isinstance(content, Path | bytes)
        self.upload_info = UploadInfo(
            size=self._file.size,
            sha256=bytes.fromhex(self._file.sha256),
            sample=first_bytes(content, _SAMPLE),
        )
        if isinstance(content, Path):
            self.path_or_fileobj = str(content)


def groups(files: Iterable[HashedFile]) -> Iterator[list[HashedFile]]:
    """Share files out to groups that are sent at once, in order; none is empty."""
    group: list[HashedFile] = []
    size = 0
    for file in files:
        copied = file.size if _is_copied(file) else 0
        if group and (len(group) == AT_ONCE or size + copied > COPIED_BYTES):
            yield group
            group, size = [], 0
        group.append(file)
        size += copied
    if group:
        yield group


@contextmanager
def additions(files: Sequence[HashedFile]) -> Iterator[list[CommitOperationAdd]]:
    """What is given to the client, for a block in which the files are sent.

    After the block the additions still serve the commit that names them.

    Args:
        files: of a tree; copies of all that are remote are made at once.

    Raises:
        OSError: a file cannot be read, or has changed since it was hashed.
    """
    with ExitStack() as stack:

        def addition(file: HashedFile) -> CommitOperationAdd:
            if version_of(file.content) != file.version:
                raise OSError(f"{file.path} has changed since it was hashed; push again")
            content = file.content
            if isinstance(content, StoredFile):
                if _is_copied(file):
                    content = stack.enter_context(content.store.local(content.name))
                else:
                    content = content.path or content.read_bytes()
            return HashedAddition(file, content)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(pool.map(addition, files))
        yield made


def _is_copied(file: HashedFile) -> bool:
    content = file.content
    return isinstance(content, StoredFile) and content.path is None and file.size >= INLINE_FILE
