"""The progress bars that libraries draw by themselves: off where ours is off."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def library_bars(*libraries: str, shown: bool) -> Iterator[None]:
    """Let libraries draw their bars on a terminal within, or not; afterwards all is as it was.

    Args:
        *libraries: "transformers", "diffusers"; what they download goes through the Hub's client, which is
            always among them.
        shown: False turns their bars off; True leaves them as they are where stderr is a terminal. Elsewhere
            each step of a bar would be a piece of one long line.
    """
    with ExitStack() as stack:
        if not (shown and sys.stderr.isatty()):
            from huggingface_hub import utils as hub

            # Put back last: transformers switches the Hub's bars with its own.
            were_off = hub.are_progress_bars_disabled()
            stack.callback(hub.disable_progress_bars if were_off else hub.enable_progress_bars)
            hub.disable_progress_bars()
            for name in libraries:
                logging = importlib.import_module(f"{name}.utils.logging")
                if logging.is_progress_bar_enabled():
                    logging.disable_progress_bar()
                    stack.callback(logging.enable_progress_bar)
        yield
