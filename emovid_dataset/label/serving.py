"""Serve the rating page to some raters until it is ended: their files, the previews, the guard."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.label.answers import AnswerFile
from emovid_dataset.label.definitions import Definition
from emovid_dataset.label.items import RatedClips
from emovid_dataset.label.order import Question
from emovid_dataset.label.preview import Previews
from emovid_dataset.label.server import rating_application
from emovid_dataset.label.session import RatingSession
from emovid_dataset.web.invitations import Invitations, held_secret
from emovid_dataset.web.serve import ServeSettings, serve


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """How far a rater has come.

    Attributes:
        rater: the rater's name.
        questions: that the rater is asked, repeats among them.
        answered: of them.
        unplayable: by id of a clip that could not be shown the reason.
        milliseconds: that the latest answers took, their median; None before the first.
        file: of the answers.
    """

    rater: str
    questions: int
    answered: int
    unplayable: dict[str, str]
    milliseconds: float | None
    file: Path


def serve_rating(
    rated: RatedClips,
    questions: Mapping[str, Sequence[Question]],
    out: Path,
    definitions: Mapping[str, Definition],
    settings: ServeSettings,
    listener: socket.socket,
    *,
    tell: Callable[[dict[str, str], list[RaterProgress]], None],
) -> list[RaterProgress]:
    """Serve until Ctrl-C.

    Args:
        rated: the clips.
        questions: by rater's name what the rater is asked, in order.
        out: folder of the answers, a file per rater; created if missing.
        definitions: by name of an emotion; some may be missing.
        settings: where the page is served.
        listener: as `web.serve.listening` gives it.
        tell: gets each rater's address and progress once the page can be opened.

    Returns:
        The raters' progress at the end, in the order of `questions`.

    Raises:
        ValueError: a name or a taxonomy cannot be used, or a file of answers is damaged.
        OSError: a file of answers cannot be opened, or is open elsewhere.
    """
    with ExitStack() as stack:
        files = {name: stack.enter_context(AnswerFile(out, name, rated.taxonomy)) for name in questions}
        sessions = {name: RatingSession(files[name], asked) for name, asked in questions.items()}
        previews = stack.enter_context(Previews(rated))
        application = rating_application(sessions, previews, rated.taxonomy, definitions)
        invitations = Invitations(held_secret(f"label {out.resolve()}"), list(questions))

        def progress() -> list[RaterProgress]:
            return [
                RaterProgress(
                    name,
                    len(session),
                    session.answered,
                    session.unplayable,
                    session.milliseconds,
                    files[name].path,
                )
                for name, session in sessions.items()
            ]

        with suppress(KeyboardInterrupt):
            serve(application, invitations, settings, listener, tell=lambda found: tell(found, progress()))
        return progress()
