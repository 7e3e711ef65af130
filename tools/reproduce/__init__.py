"""The paper's claim in miniature: train everything from scratch, generate, judge, tabulate.

::

    python -m tools.reproduce all                 # every stage that is not done yet
    python -m tools.reproduce vae                 # one stage, and whatever it needs
    python -m tools.reproduce all --tiny          # the same chain in a minute, to see that it runs
    python -m tools.reproduce ship                # models and results into emovid_models/mini

A stage is done when its record `OUT/stages/NAME.json` carries the hash of its settings and of the outputs
that it reads; where these change, it runs again. Each stage runs in a process of its own; its record gives
seed, seconds and peak memory, and `OUT/logs/NAME.log` what it printed. A stage that was cut off resumes.

No reserved emoji, no held-out sticker and no variant of one (same first code point) is in any training.
"""
