"""What must not be published: links, temporary files, pickles, damaged weights, tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from emovid_models.publish.tree import Content, RepoTree, StoredFile, blocks, first_bytes, size_of

_SEARCHED_WHOLE = 1 << 20

_HEADER_BYTES = 100 * 10**6  # the library takes no longer header of safetensors

_UNSAFE_WEIGHTS = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".joblib",
    ".h5",
    ".msgpack",
    ".npy",
    ".npz",
)

_TEMPORARY = re.compile(
    r"(^|/)(__pycache__|\.cache|\.git|\.DS_Store)(/|$)|(\.tmp|\.part|\.incomplete|\.lock|\.swp|\.pyc|~)$"
)

_TOKEN = rb"hf_[A-Za-z0-9]{30,}"

_TEXT_HEAD = 8 << 10


def check_tree(tree: RepoTree, *, secret: str | None = None) -> list[str]:
    """Look for what must not be published.

    Args:
        tree: of the repo.
        secret: the token in use, which no file may hold, whatever it looks like.

    Returns:
        Violations, one line each: a path that leads out of the repo, a link, a temporary file, weights that
        are not safetensors, are cut short or hold values that are not finite, or a file that holds a Hub
        token.

    >>> check_tree(RepoTree("model", {"../README.md": b"", "model.bin": b""}))
    ["'../README.md': is no path within a repo", 'model.bin: weights are published as safetensors only']
    """
    found = [] if tree.files else ["the repo would be empty"]
    for path, content in sorted(tree.files.items()):
        parts = PurePosixPath(path).parts
        if path != "/".join(parts) or "\\" in path or not path or {".", "..", ".git", "/"} & set(parts):
            found.append(f"{path!r}: is no path within a repo")
        elif (file := _on_disk(content)) is not None and not file.is_file():
            found.append(f"{path}: {file} is not a file")
        elif file is not None and (link := _link(file, parts)):
            found.append(f"{path}: {link} is a link; only regular files are published")
        elif is_temporary(path):
            found.append(f"{path}: is a temporary file")
        elif reason := _unsafe(path, content, secret):
            found.append(f"{path}: {reason}")
    return found


def is_temporary(path: str) -> bool:
    """Whether a path looks like what a run or an editor leaves behind.

    >>> is_temporary("data/.train-00000.tar.17.tmp"), is_temporary(".gitattributes")
    (True, False)
    """
    return _TEMPORARY.search(path) is not None


def _on_disk(content: Content) -> Path | None:
    return content.path if isinstance(content, StoredFile) else content if isinstance(content, Path) else None


def _link(file: Path, parts: tuple[str, ...]) -> Path | None:
    """The file itself, or one of the folders that it shares with its path in the repo, if it is a link."""
    for part in reversed(parts):
        if file.is_symlink():
            return file
        if file.name != part:
            return None
        file = file.parent
    return None


def _unsafe(path: str, content: Content, secret: str | None) -> str | None:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _UNSAFE_WEIGHTS:
        return "weights are published as safetensors only"
    size = size_of(content)
    # First of all, since safetensors begin with the length of their header, which may look like a pickle.
    whole = _safetensors_size(content, size) if suffix == ".safetensors" else None
    if whole is not None and whole != size:
        return f"is cut short or damaged: {size} bytes, {whole} by its header"
    if whole is not None:
        header = first_bytes(content, 8 + int.from_bytes(first_bytes(content, 8), "little"))
        return _token_in(header, secret) or _not_finite(content)
    # What pickle and torch.save write, whatever the file is called.
    if re.match(rb"\x80[\x02-\x05]|PK\x03\x04", first_bytes(content, 8)):
        return "is a pickle or a zip archive"
    if suffix == ".safetensors":
        return "is not a safetensors file"
    # Videos and shards are not searched: a text has no zero bytes.
    if size > _SEARCHED_WHOLE and b"\0" in first_bytes(content, _TEXT_HEAD):
        return None
    return _token_in(content, secret)


def _token_in(content: Content, secret: str | None) -> str | None:
    """The token in use, or what looks like another one, wherever it stands in a file."""
    known = secret.encode() if secret else b""
    pattern = re.compile(b"|".join([re.escape(known)] * bool(known) + [_TOKEN]))
    before = b""
    for block in blocks(content):
        if found := pattern.search(before + block):
            return "holds the token in use" if found[0] == known else "holds what looks like a Hub token"
        before = block[-max(64, len(known)) :]
    return None


def _not_finite(weights: Content) -> str | None:
    """The first tensor that holds a value which is not a number or infinite; one is read at a time."""
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    def bad(tensor: torch.Tensor) -> bool:
        if not tensor.is_floating_point():
            return False
        return not bool(torch.isfinite(tensor.float() if tensor.element_size() < 2 else tensor).all())

    if isinstance(weights, StoredFile):
        with weights.store.local(weights.name) as path:
            return _not_finite(path)
    try:
        if isinstance(weights, bytes):
            found = next((name for name, tensor in load(weights).items() if bad(tensor)), None)
        else:
            with safe_open(weights, framework="pt") as file:
                found = next((name for name in sorted(file.keys()) if bad(file.get_tensor(name))), None)
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        return f"cannot be read as safetensors: {error}"
    return None if found is None else f"{found} holds values that are not finite"


def _safetensors_size(content: Content, size: int) -> int | None:
    """Bytes that a safetensors file has by its own header; None if it has no such header.

    Source: https://huggingface.co/docs/safetensors (8 bytes of length, little endian; JSON; the tensors).
    """
    length = int.from_bytes(first_bytes(content, 8), "little")
    if size < 8 or length > min(size - 8, _HEADER_BYTES):
        return None
    try:
        header = json.loads(first_bytes(content, 8 + length)[8:])
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return 8 + length + max(ends, default=0)
