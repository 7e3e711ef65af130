"""Options of the models' commands that stand in several of them, each with its help and its check."""

from __future__ import annotations

from typing import Annotated

import typer

from emovid_dataset.cli.arguments import check_by, existing_file, number, one_of, whole
from emovid_models.cli.arguments import annotator_sources, frame_count, noise_seed, weighted_lora_source
from emovid_models.remote.wan.conditioning import WORDINGS

Wording = Annotated[
    str | None,
    typer.Option(
        help="How a prompt names the emotion: paper or mood; if not given, as the LoRA was trained.",
        callback=one_of(WORDINGS),
    ),
]
Intensity = Annotated[
    float, typer.Option(help="0 is the base model, 1 as trained, more is more.", callback=number(0))
]
Loras = Annotated[
    list[str] | None,
    typer.Option(
        help="LoRA: a file, a folder or a Hub repo, perhaps with a weight: style:0.8; may be repeated. "
        "For mini the one that ships.",
        callback=weighted_lora_source,
    ),
]
EmotionLora = Annotated[
    str | None,
    typer.Option(
        help="Of several: the emotion's, which --intensity moves; the one trained here if not given."
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(
        help="Frames, 4k+1; 16 per second; 81 if not given, mini: 17; Wan2.2 TI2V: 24 and 121.",
        callback=frame_count,
    ),
]
Steps = Annotated[
    int | None, typer.Option(help="Denoising steps; 50 if not given, mini: 8.", callback=whole(1))
]
Guidance = Annotated[
    float | None,
    typer.Option(help="Guidance by the prompt; 5 if not given, mini: 3.", callback=number(0)),
]
Guidance2 = Annotated[
    float | None,
    typer.Option(
        "--guidance-2",
        help="That of the second of two transformers, as Wan2.2 A14B has; as --guidance if not given.",
        callback=number(0),
    ),
]
EmotionGuidance = Annotated[
    float | None,
    typer.Option(help="Guidance by the emotion; as --guidance if not given, mini: 6.", callback=number(0)),
]
NoiseSeed = Annotated[int, typer.Option(help="Seed of the noise.", callback=noise_seed)]
Offload = Annotated[bool, typer.Option(help="Keep in GPU memory only the part that runs.")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes, each with the model; more than one GPU is shared out. By default this process "
        "alone, on a Ray cluster one per GPU.",
        callback=whole(1),
    ),
]

Abstain = Annotated[
    float | None,
    typer.Option(
        help='Say "no specific emotion" where the likeliest emotion\'s probability is below this, 0 to 1.',
        callback=check_by(lambda value: None if 0 <= value <= 1 else f" is {value}; allowed: 0 to 1"),
    ),
]

Systems = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SYSTEM]...",
        help="Systems to compare, any number: a folder of videos with intended.csv, or a name of --systems.",
        show_default=False,
    ),
]
SystemsFile = Annotated[
    str | None,
    typer.Option(
        "--systems",
        help="YAML file of systems: name, then base, lora and settings, or videos. Without SYSTEM all.",
        callback=existing_file,
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        help="With SYSTEM: who judges, as --annotator; may be repeated.",
        callback=annotator_sources,
    ),
]
