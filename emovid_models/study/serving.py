"""Serve the page of a study until it is ended: the register, the desk, the guard."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.web.invitations import held_secret
from emovid_dataset.web.serve import ServeSettings, serve
from emovid_models.study.application import study_application
from emovid_models.study.desk import Desk
from emovid_models.study.plan import StudyPlan
from emovid_models.study.register import open_register
from emovid_models.study.visitors import OPEN, PROLIFIC, StudyInvitations
from emovid_models.study.wording import Wording

MOST_CONNECTIONS = 4000
"""Some hundred raters at once, each with the six connections of a browser."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """How far a study has come.

    Attributes:
        began: raters who consented, erased ones among them.
        finished: raters who answered everything and got their code.
    """

    began: int
    finished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may come, and what they get at the end.

    Attributes:
        names: of invited raters, each with a link of their own.
        is_open: whether anybody may come by one link.
        code: for everybody who finishes; None gives each rater one of their own.
        prolific: whether raters from Prolific are shown the way back.
    """

    names: Sequence[str] = ()
    is_open: bool = False
    code: str | None = None
    prolific: bool = False


def serve_study(
    study: Path,
    plan: StudyPlan,
    wordings: Mapping[str, Wording],
    admission: Admission,
    settings: ServeSettings,
    listener: socket.socket,
    *,
    tell: Callable[[dict[str, str], Attendance], None],
) -> Attendance:
    """Serve until Ctrl-C.

    Args:
        study: its folder.
        plan: of the study.
        wordings: of the page, by language.
        admission: who may come.
        settings: where the page is served.
        listener: as `web.serve.listening` gives it.
        tell: gets the addresses, by name and for `OPEN`, once the page can be opened.

    Returns:
        How far the study has come.

    Raises:
        BlockingIOError: the study is being served already.
        ValueError, OSError: a file of the study is damaged, or cannot be opened.
    """
    secret = held_secret(f"study {study.resolve()}")
    with open_register(study) as register:

        def attendance() -> Attendance:
            return Attendance(len(register.raters), len(register.finished))

        def addresses(found: dict[str, str]) -> dict[str, str]:
            if admission.prolific and OPEN in found:
                filled = "".join(f"&{name}={{{{%{name}%}}}}" for name in PROLIFIC)
                return {**found, OPEN: found[OPEN] + filled}
            return found

        invitations = StudyInvitations(secret, admission.names, is_open=admission.is_open)
        with (
            closing(Desk(study, plan, register, secret, admission.code)) as desk,
            suppress(KeyboardInterrupt),
        ):
            application = study_application(
                study, plan, desk, wordings, returns_to_prolific=admission.prolific
            )
            serve(
                application,
                invitations,
                settings,
                listener,
                tell=lambda found: tell(addresses(found), attendance()),
            )
        return attendance()
