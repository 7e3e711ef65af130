"""The program `emovid`, one file per command; other packages add theirs by entry points."""

from emovid_dataset.cli.app import main, program

__all__ = ["main", "program"]
