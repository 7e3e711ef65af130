"""`python -m emovid_models.cli`, for `accelerate launch`: the program `emovid`."""

from emovid_dataset.cli import main

main()
