"""The models' commands of the program `emovid`."""
