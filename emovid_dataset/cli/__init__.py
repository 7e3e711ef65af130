"""The program `emovid`."""
