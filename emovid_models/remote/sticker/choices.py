"""What may be chosen of a sticker."""

from __future__ import annotations

FORMATS = ("webp", "gif", "mp4")
"""Files that a sticker can be: animated WebP, GIF with one transparent colour, MP4 on white."""

BACKGROUNDS = ("auto", "keep", "remove")
"""What may become of the picture's background."""

TOLERANCE = 32
"""By how much a channel of a background pixel may differ from the background's colour, of 255."""

PROMPT = "An animated sticker of a character."
"""What a sticker shows if nothing else is said."""
