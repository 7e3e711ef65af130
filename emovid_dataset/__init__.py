"""EmoVid's dataset side: build, verify, load, stream and select emotion-labelled video clips."""

from __future__ import annotations

__version__ = "0.1.0"
