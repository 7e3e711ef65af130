"""EmoVid's dataset side: build, verify, load, stream and select emotion-labelled video clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emovid_dataset.read.loading import load, select, stream

__version__ = "0.1.0"
__all__ = ["__version__", "load", "select", "stream"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the package itself must stay quick to import for the command line.
    if name in ("load", "select", "stream"):
        from emovid_dataset.read import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
