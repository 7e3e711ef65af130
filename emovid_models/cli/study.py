"""The commands `emovid study ...`: a user study of several generators, from its folder to its raters."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import (
    check_by,
    existing_folder,
    new_folder,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.cli.served import (
    READABLE,
    AsJson,
    Certificate,
    Host,
    HostNames,
    Port,
    PrivateKey,
    rater_names,
)
from emovid_dataset.label.raters import rater_name
from emovid_dataset.web.serve import ServeSettings, listening
from emovid_models.cli import study_analyse

if TYPE_CHECKING:
    from emovid_models.study.plan import StudyPlan
    from emovid_models.study.serving import Attendance

_QUESTIONS = ("emotion", "quality", "overall")
_MOST_LEFT_OUT = 20


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: the program, which gets the group ``study``.
    """
    group = typer.Typer(
        help="Ask people which generator is better: make a study, serve it, evaluate it.",
        no_args_is_help=True,
    )
    group.command("build", epilog="Example: emovid study build videos/base videos/lora --out study/")(build)
    group.command("serve", epilog="Example: emovid study serve study/ --open-link")(serve)
    group.command("erase", epilog="Example: emovid study erase r0007 --study study/")(erase)
    study_analyse.register(group)
    app.add_typer(group, name="study")


def _between(value: float | None) -> str | None:
    if value is None or 0 < value < 1:
        return None
    return f" is {value}; it must be a number between 0 and 1"


def _share(value: float) -> str | None:
    return None if 0 <= value <= 1 else f" is {value}; it must be a number from 0 to 1"


def _question(text: str) -> str:
    if text not in _QUESTIONS:
        raise ValueError(f"question {text!r}; allowed: {', '.join(_QUESTIONS)}")
    return text


def _code(text: str) -> str:
    if not (text.isascii() and text.isalnum() and len(text) <= 40):
        raise ValueError(f"code {text!r} is not 1..40 letters and digits")
    return text


def build(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...",
            help="Folders with intended.csv and the videos of a system each, perhaps as NAME=FOLDER; or the "
            "result of `emovid evaluate` with several systems.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the study.", callback=new_folder)],
    together: Annotated[
        int, typer.Option(help="Videos side by side in a trial; 2 are pairs.", callback=whole(2, 26))
    ] = 2,
    question: Annotated[
        list[str] | None,
        typer.Option(
            help="emotion, quality or overall; may be repeated. By default all three.",
            callback=parsed_by(_question),
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Per rater; by default 20, or as many as there are.", callback=whole(1)),
    ] = None,
    checks: Annotated[int, typer.Option(help="Attention checks per rater.", callback=whole(0))] = 2,
    most_failed_checks: Annotated[
        int,
        typer.Option(help="A rater who fails more is left out of the analysis.", callback=whole(0)),
    ] = 1,
    practice: Annotated[
        int, typer.Option(help="Scenes of the practice round; they are not voted on.", callback=whole(0))
    ] = 2,
    seconds: Annotated[
        int | None,
        typer.Option(help="Until a question is passed over; by default never.", callback=whole(1, 3600)),
    ] = None,
    preferred: Annotated[
        float | None,
        typer.Option(
            help="Share of first choices that is to be told from chance; by default half more than chance.",
            callback=check_by(_between),
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="To tell it.", callback=check_by(_between))] = 0.8,
    alpha: Annotated[float, typer.Option(help="Level of the test.", callback=check_by(_between))] = 0.05,
    correlation: Annotated[
        float, typer.Option(help="Of two votes of one rater.", callback=check_by(_share))
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of orders and places.", callback=whole(0))] = 0,
    videos_root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="Read the videos that RESULT names below this folder or address too; may be repeated.",
            callback=existing_folder,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Exit 0 though scenes are left out that not every system has."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came out as JSON.")] = False,
) -> None:
    """Make the folder of a study of what several systems made of the same prompts and seeds."""
    need("study", "scipy")
    from emovid_models.study.build import StudySettings, build_study

    settings = StudySettings(
        questions=tuple(dict.fromkeys(question or _QUESTIONS)),
        together=together,
        per_rater=trials,
        checks=checks,
        most_failed_checks=most_failed_checks,
        practice=practice,
        seconds=seconds,
        seed=seed,
        preferred=preferred,
        power=power,
        alpha=alpha,
        correlation=correlation,
    )
    plan = build_study(results, out, settings, videos_roots=videos_root or (), progress=not as_json)
    if as_json:
        body = {
            "study": str(out),
            "systems": plan.systems,
            "scenes": len(plan.scenes),
            "practice": len(plan.practice),
            "trials_per_rater": plan.per_rater,
            "need": plan.need,
            "left_out": [asdict(one) for one in plan.left_out],
        }
        print(json.dumps(body, ensure_ascii=False, allow_nan=False))
    else:
        _print_plan(plan, out)
    if plan.left_out and not allow_missing:
        raise typer.Exit(FOUND_WRONG)


def _print_plan(plan: StudyPlan, out: Path) -> None:
    need_of, assumed = plan.need, plan.need["assumed"]
    print(f"{', '.join(plan.systems)}: {len(plan.scenes)} scenes, and {len(plan.practice)} for practice.")
    print(
        f"A rater sees {plan.per_rater} trials of {plan.together} videos and answers "
        f"{len(plan.questions)} questions in each."
    )
    print(
        f"To tell a share of first choices of {assumed['preferred']:.3g} from chance (1/{plan.together}) "
        f"with a power of {assumed['power']:g} at a level of {assumed['alpha']:g}, a system needs "
        f"{need_of['votes']} votes on each question: {need_of['raters']} raters."
    )
    for one in plan.left_out[:_MOST_LEFT_OUT]:
        print(f"left out: {one.emotion}, seed {one.seed}: {one.system}: {one.reason}", file=sys.stderr)
    if len(plan.left_out) > _MOST_LEFT_OUT:
        print(f"left out: {len(plan.left_out) - _MOST_LEFT_OUT} more", file=sys.stderr)
    print(f"Fill in the consent in {out / 'texts'}; then: emovid study serve {out}")


def serve(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="Folder of the study.", callback=existing_folder)
    ],
    rater: Annotated[
        list[str] | None,
        typer.Option(
            help="Invite somebody by a link of their own; may be repeated.", callback=parsed_by(rater_name)
        ),
    ] = None,
    open_link: Annotated[
        bool, typer.Option("--open-link", help="Print a link by which anybody may take part.")
    ] = False,
    prolific: Annotated[
        bool,
        typer.Option(
            "--prolific",
            help="The open link takes Prolific's parameters; raters are sent back with --completion-code.",
        ),
    ] = False,
    completion_code: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="What raters get who finish; by default each gets a code of their own.",
            callback=parsed_by(_code),
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    host_name: HostNames = None,
    tls_cert: Certificate = None,
    tls_key: PrivateKey = None,
    as_json: AsJson = False,
) -> None:
    """Serve the page on which raters compare the videos; Ctrl-C ends it."""
    names = rater_names(rater or ())
    if not (names or open_link or prolific):
        raise ValueError("nobody could take part: give --rater NAME, --open-link or --prolific")
    if prolific and completion_code is None:
        raise ValueError("--prolific needs --completion-code, the code that Prolific has for the study")
    need("study", "fastapi", "uvicorn", "scipy")
    from emovid_models.study.plan import read_plan
    from emovid_models.study.serving import MOST_CONNECTIONS, Admission, serve_study
    from emovid_models.study.wording import read_wordings

    settings = ServeSettings(
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        names=tuple(host_name or ()),
        most_connections=MOST_CONNECTIONS,
    )
    plan = read_plan(study)
    emotions = sorted({scene.emotion for scene in (*plan.scenes, *plan.practice)})
    wordings = read_wordings(study, plan.questions, emotions)
    blanks = [f"{language}: {', '.join(one.blanks)}" for language, one in wordings.items() if one.blanks]
    if blanks and not settings.is_loopback:
        raise ValueError(
            f"the consent in {study / 'texts'} has blanks to fill in: {'; '.join(blanks)}; delete the files "
            "of languages that you do not use"
        )
    admission = Admission(names=names, is_open=open_link or prolific, code=completion_code, prolific=prolific)

    def tell(addresses: dict[str, str], attendance: Attendance) -> None:
        if as_json:
            print(json.dumps({"pages": addresses, **asdict(attendance)}, allow_nan=False), flush=True)
        else:
            for name, address in addresses.items():
                print(f"{'anybody' if name == '.open' else name}: {address}")
            print(f"The votes go to {study / 'votes'}; Ctrl-C ends.", flush=True)
        for blank in blanks:
            print(f"emovid: the consent has blanks to fill in: {blank}", file=sys.stderr, flush=True)
        if not settings.is_loopback and not settings.is_secure:
            print(READABLE.format(host=host), file=sys.stderr, flush=True)

    with listening(settings) as listener:
        found = serve_study(study, plan, wordings, admission, settings, listener, tell=tell)
    if as_json:
        print(json.dumps(asdict(found), allow_nan=False))
    else:
        print(f"{found.began} raters began, {found.finished} finished.")


def erase(
    rater: Annotated[
        str,
        typer.Argument(
            metavar="RATER", help="Such as r0007; or the name of an invited rater, or a Prolific id."
        ),
    ],
    study: Annotated[Path, typer.Option(help="Folder of the study.", callback=existing_folder)] = Path(
        "study"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Delete a rater's votes and all that says who the rater is; end `study serve` first."""
    from emovid_models.study.plan import read_plan
    from emovid_models.study.register import erase_rater

    read_plan(study)
    erased = erase_rater(study, rater)
    print(json.dumps({"erased": erased}, allow_nan=False) if as_json else f"{erased} is erased.")
