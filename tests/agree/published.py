"""Tables of ratings whose coefficients are published."""

from __future__ import annotations

import numpy as np

KRIPPENDORFF_2011 = np.array(
    [
        [int(cell) if cell != "." else -1 for cell in row.split()]
        for row in (
            "1 2 3 3 2 1 4 1 2 . . .",
            "1 2 3 3 2 2 4 1 2 5 . 3",
            ". 3 3 3 2 3 4 2 2 5 1 .",
            "1 2 3 3 2 4 4 1 2 5 1 .",
        )
    ]
)
"""Four observers, twelve units, gaps: nominal alpha 0.743, interval alpha 0.849 ("Computing Krippendorff's
alpha-reliability", section C)."""

_DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555
144444 124444 222333 144444 224445 333335 111455 111112 224444 133555
555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
"""
FLEISS_1971 = np.array([[row.count(category) for category in "12345"] for row in _DIAGNOSES.split()])
"""Six diagnoses of each of thirty patients: kappa 0.430."""

DAWID_SKENE_1979 = """
111 1 1 1 1|333 4 3 3 4|112 2 1 2 2|222 3 1 2 1|222 3 2 2 2|222 3 3 2 2|122 2 1 1 1|333 3 4 3 3|222 2 2 2 3
232 2 2 2 3|444 4 4 4 4|222 3 3 4 3|111 1 1 1 1|222 3 2 1 2|121 1 1 1 1|111 2 1 1 1|111 1 1 1 1|111 1 1 1 1
222 2 2 2 1|222 1 3 2 2|222 2 2 2 2|222 2 2 2 1|222 3 2 2 2|221 2 2 2 2|111 1 1 1 1|111 1 1 1 1|232 2 2 2 2
111 1 1 1 1|111 1 1 1 1|112 1 1 2 1|111 1 1 1 1|333 3 2 3 3|111 1 1 1 1|222 2 2 2 2|222 3 2 3 2|433 4 3 4 3
221 2 2 3 2|232 3 2 3 3|333 3 4 3 2|111 1 1 1 1|111 1 1 1 1|121 2 1 1 1|232 2 2 2 2|121 1 1 1 1|222 2 2 2 2
""".strip().replace("\n", "|")
"""Fitness of 45 patients by five anaesthetists, of whom the first rated each three times (table 1)."""

DAWID_SKENE_SHARES = [0.40, 0.42, 0.11, 0.07]
DAWID_SKENE_FIRST = [[0.89, 0.11, 0, 0], [0.07, 0.88, 0.05, 0], [0, 0.34, 0.66, 0], [0, 0, 0.56, 0.44]]
"""The estimates in the paper: how frequent each category is, and the first observer's error rates."""
