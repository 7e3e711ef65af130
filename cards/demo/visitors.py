"""What a visitor gets back: files that are deleted by themselves, and errors without a path."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import gradio as gr

log = logging.getLogger(__name__)


def kept(block: gr.blocks.Block, name: str, data: bytes) -> str:
    """The path of a new file that a part of the page shows, among those that Gradio deletes by itself.

    Args:
        block: the part.
        name: of the file.
        data: its bytes.
    """
    path = Path(block.GRADIO_CACHE, secrets.token_hex(16), name)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    block.temp_files.add(str(path))
    return str(path)


def said(error: BaseException) -> str:
    """An error in one line; of the errors of the system only their kind, for they name paths."""
    if isinstance(error, OSError) and error.errno is not None:
        log.error("%r", error)
        return f"The server could not read or write a file ({type(error).__name__})."
    return str(error).partition("\n")[0] or f"The server could not do this ({type(error).__name__})."
