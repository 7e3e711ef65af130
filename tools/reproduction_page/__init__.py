"""Write `docs/reproduction.md`: all numbers from `reproduction.json`, pictures from the generated videos.

::

    python -m tools.reproduction_page sheets out/reproduce/videos   # contact sheets -> docs/images
    python -m tools.reproduction_page page                          # the page

What people learnt is in `docs/reproduction_notes.md`, which is copied into the page as it is.
"""
