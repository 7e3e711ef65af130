"""`python -m emovid_models.cli`, for `accelerate launch`."""

from emovid_models.cli.main import main

main()
