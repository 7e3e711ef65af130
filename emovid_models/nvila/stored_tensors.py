"""Tensors as they lie in safetensors files: listed, compared and copied by their bytes, never loaded.

Bytes are copied in small pieces, so that memory does not grow with a shard, and every type of number stays as
it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emovid_dataset.terminal import Progress
from emovid_models.nvila.json_file import read_json, write_json

PIECE = 4 << 20
"""Bytes that are copied at a time."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in a safetensors file.

    Attributes:
        file: the file.
        key: its name there.
        dtype: its type as safetensors spell it, such as "BF16".
        shape: its sizes.
        start: first byte in the file.
        size: number of bytes.
    """

    file: Path
    key: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read_header(file: Path) -> list[StoredTensor]:
    """List the tensors of a safetensors file, in the order of their bytes, without reading those.

    Args:
        file: the file.

    Raises:
        ValueError: it is not a safetensors file, or is cut short.
    """
    length = file.stat().st_size
    with file.open("rb") as stream:
        header_length = int.from_bytes(stream.read(8), "little")
        if length < 8 or header_length > length - 8:
            raise ValueError(f"{file} is not a safetensors file, or is cut short")
        try:
            header = json.loads(stream.read(header_length))
        except ValueError as error:
            raise ValueError(f"{file} is not a safetensors file: {error}") from error
    header.pop("__metadata__", None)
    data = 8 + header_length
    tensors = [
        StoredTensor(
            file, key, entry["dtype"], tuple(entry["shape"]), data + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for key, entry in header.items()
    ]  # fmt: skip
    tensors.sort(key=lambda tensor: tensor.start)
    if tensors and tensors[-1].start + tensors[-1].size > length:
        raise ValueError(f"{file} is cut short: {length} bytes, not {tensors[-1].start + tensors[-1].size}")
    return tensors


def stored_tensors(folder: Path) -> list[StoredTensor]:
    """List all tensors of a folder's safetensors files; where there is an index, of the files it names.

    Args:
        folder: a folder with model.safetensors, or with shards and model.safetensors.index.json.

    Raises:
        OSError: there are no safetensors, or a shard is missing.
        ValueError: a key occurs twice, or the index and the files differ.
    """
    index_file = folder / "model.safetensors.index.json"
    weight_map: dict[str, str] | None = None
    if index_file.is_file():
        weight_map = read_json(index_file)["weight_map"]
        files = [folder / name for name in sorted(set(weight_map.values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise OSError(f"{folder} lacks {', '.join(missing[:3])}, which {index_file.name} names")
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        found = f"only pickle weights ({pickles[0]}), which are not read" if pickles else "no weights"
        raise OSError(f"{folder} holds {found}; *.safetensors is needed")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in read_header(file):
            if tensor.key in tensors:
                raise ValueError(f"{tensor.key} is both in {tensors[tensor.key].file} and in {file}")
            tensors[tensor.key] = tensor
    if weight_map is not None:
        wrong = [key for key in weight_map.keys() | tensors.keys()
                 if key not in tensors or weight_map.get(key) != tensors[key].file.name]  # fmt: skip
        if wrong:
            raise ValueError(f"{index_file} and the files differ in {some_of(wrong)}")
    return list(tensors.values())


def write_tensors(file: Path, tensors: dict[str, StoredTensor]) -> None:
    """Copy tensors of other files into a new safetensors file under new names.

    Args:
        file: the file to write; it appears under its name when it is complete.
        tensors: new name to where the tensor is now.
    """
    # Wide types first, as safetensors itself orders them, so that every tensor is aligned.
    order = sorted(tensors, key=lambda name: -_itemsize(tensors[name]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.size],
        }
        offset += tensor.size
    encoded = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in order:
            for piece in _pieces(tensors[name]):
                stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def write_shards(folder: Path, shards: list[dict[str, StoredTensor]]) -> None:
    """Write a checkpoint's weights as transformers names them, with an index where there are several files.

    Args:
        folder: where to; it must exist.
        shards: for each file the new names of its tensors and where those are now.
    """
    weight_map: dict[str, str] = {}
    with Progress(len(shards), unit="files", title=f"write {folder}") as progress:
        for number, tensors in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            if len(shards) == 1:
                name = "model.safetensors"
            write_tensors(folder / name, tensors)
            weight_map |= dict.fromkeys(tensors, name)
            progress.update(size=sum(tensor.size for tensor in tensors.values()))
    if len(shards) > 1:
        total = sum(tensor.size for tensors in shards for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_json(folder / "model.safetensors.index.json", index)


def hold_the_same(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors have the same type, shape and bytes."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(left == right for left, right in zip(_pieces(one), _pieces(other), strict=True))


def some_of(names: Iterable[str]) -> str:
    """The first few names, for a message.

    >>> some_of(["d", "b", "a", "c"]), some_of([])
    ('a, b, c and 1 more', 'none')
    """
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") or "none"


def _pieces(tensor: StoredTensor) -> Iterator[bytes]:
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        left = tensor.size
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise ValueError(f"{tensor.file} is cut short at {tensor.key}")
            left -= len(piece)
            yield piece


def _itemsize(tensor: StoredTensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return tensor.size // count if count else 0
