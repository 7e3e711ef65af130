"""The application behind the rating page: questions, answers, undo, and the clips' videos.

It trusts its guard (`emovid_dataset.web.guard`) for who asks; whatever else a request says is checked here. A
rater reaches nothing but the rater's own answers, and clips by id only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from emovid_dataset.label.answers import NONE, UNCLEAR, AnswersError
from emovid_dataset.label.definitions import SOURCE, Definition
from emovid_dataset.label.preview import NoPreviewError, Previews
from emovid_dataset.label.session import RatingSession, Shown
from emovid_dataset.report.colours import palette
from emovid_dataset.schema.emotions import MIKELS, VALENCES
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.web.replies import Replies

MOST_KEYS = 9
"""The keys 1 to 9 choose; 0 is for none of the emotions."""

RATER_HEADER = "x-rater"
"""Says, percent-encoded, whose page a request comes from."""


class GivenAnswer(BaseModel):
    """What the page sends when its rater has chosen."""

    model_config = ConfigDict(extra="forbid", strict=True)

    place: int = Field(ge=0, le=10**9)
    emotion: str = Field(max_length=100)
    second: str | None = Field(default=None, max_length=100)
    intensity: float | None = Field(default=None, ge=0, le=1)
    ms: int = Field(ge=0, le=7 * 24 * 3600 * 1000)
    version: int = Field(ge=1, le=10**6)


class TakenBack(BaseModel):
    """What the page sends to take an answer back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    place: int = Field(ge=0, le=10**9)
    version: int = Field(ge=1, le=10**6)


def check_taxonomy(taxonomy: Taxonomy) -> None:
    """Refuse emotions that the page's own answers would be taken for.

    Raises:
        ValueError: an emotion is called "none" or "unclear".
    """
    if taken := {NONE, UNCLEAR} & set(taxonomy.names):
        raise ValueError(
            f"taxonomy {taxonomy.name!r} has the emotion {min(taken)!r}, which the page gives for "
            f"{'none of the emotions' if NONE in taken else 'unclear'}; rename it"
        )


def rating_application(
    sessions: Mapping[str, RatingSession],
    previews: Previews,
    taxonomy: Taxonomy,
    definitions: Mapping[str, Definition],
) -> FastAPI:
    """The application, to be served behind a guard.

    Args:
        sessions: by rater's name.
        previews: of the clips.
        taxonomy: the emotions that may be chosen.
        definitions: by name of an emotion; some may be missing.

    Raises:
        ValueError: as `check_taxonomy`.
    """
    check_taxonomy(taxonomy)
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = _Page(taxonomy, definitions)

    def session_of(request: Request) -> RatingSession:
        rater: str = request.state.person
        asked = unquote(request.headers.get(RATER_HEADER, ""))
        if request.url.path.startswith("/api/") and asked != rater:
            # a browser holds one cookie: whose address it opened last
            raise HTTPException(
                403, f"this browser opened the page of {rater} meanwhile; open the address of {asked} again"
            )
        return sessions[rater]

    def state_at(session: RatingSession, place: int | None) -> dict[str, Any]:
        if place is not None:
            ahead = session.ahead(place)
            # the one that is asked for comes first
            previews.prepare([session.shown(place).question.clip, *ahead])
            return _state(session, session.shown(place), ahead)
        return _state(session, None, [])

    @application.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the request is not one of this page's"}, 400)

    @application.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    @application.get("/")
    def show_page(request: Request) -> HTMLResponse:
        return HTMLResponse(page.render(session_of(request), request.state.nonce))

    @application.get("/favicon.ico")
    def no_picture() -> Response:
        return Response(status_code=204)

    @application.get("/api/now")
    def now(request: Request) -> dict[str, Any]:
        session = session_of(request)
        return state_at(session, session.next_open())

    @application.get("/api/question/{place}")
    def question(request: Request, place: int) -> dict[str, Any]:
        session = session_of(request)
        if not 0 <= place < len(session):
            raise HTTPException(404, "there is no such question")
        return state_at(session, place)

    @application.get("/api/open/{place}")
    def open_question(request: Request, place: int) -> dict[str, Any]:
        session = session_of(request)
        return state_at(session, session.next_open(max(0, min(place, len(session)))))

    @application.post("/api/answer")
    def answer(request: Request, given: GivenAnswer) -> dict[str, Any]:
        session = session_of(request)
        with Replies(AnswersError):
            session.answer(**given.model_dump())
        return state_at(session, session.next_open(given.place + 1))

    @application.post("/api/undo")
    def undo(request: Request, given: TakenBack) -> dict[str, Any]:
        session = session_of(request)
        with Replies(AnswersError):
            session.undo(given.place, given.version)
        return state_at(session, given.place)

    @application.get("/media/{clip}")
    def media(request: Request, clip: str) -> Response:
        session = session_of(request)
        if clip not in previews:
            raise HTTPException(404, "there is no such clip")
        try:
            path = previews.path(clip)
        except NoPreviewError as error:
            session.cannot_show(clip, str(error))
            raise HTTPException(422, str(error)) from error
        session.can_show(clip)
        # an id stands for the same frames for ever
        kept = {"cache-control": "private, max-age=3600"}
        return FileResponse(path, media_type="video/mp4", headers=kept, content_disposition_type="inline")

    return application


def _state(session: RatingSession, shown: Shown | None, ahead: Sequence[str]) -> dict[str, Any]:
    """What the page shows of a question."""
    last = session.last
    body: dict[str, Any] = {
        "total": len(session),
        "answered": session.answered,
        "unplayable": len(session.unplayable),
        "pace": session.milliseconds,
        "undo": None if last is None else {"place": last.place, "version": last.version},
        "place": None,
    }
    if shown is None:
        return body
    given = shown.answer
    return body | {
        "place": shown.place,
        "version": shown.version,
        "media": f"/media/{shown.question.clip}",
        "ahead": [f"/media/{clip}" for clip in ahead],
        "answer": None
        if given is None
        else {"emotion": given.emotion, "second": given.second, "intensity": given.intensity},
    }


class _Page:
    """The page's text, of templates that escape what they are given."""

    def __init__(self, taxonomy: Taxonomy, definitions: Mapping[str, Definition]) -> None:
        environment = Environment(
            loader=PackageLoader("emovid_dataset.label"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("label.html.j2")
        tones = palette(taxonomy.names)
        self._emotions = [
            {
                "name": name,
                "key": str(place + 1) if place < MOST_KEYS else "",
                "valence": "" if valence is None else VALENCES[valence],
                "definition": definitions.get(name),
                "tones": tones[name],
            }
            for place, (name, valence) in enumerate(zip(taxonomy.names, taxonomy.valences, strict=True))
        ]
        self._source = SOURCE if taxonomy == MIKELS else ""

    def render(self, session: RatingSession, nonce: str) -> str:
        names = [emotion["name"] for emotion in self._emotions]
        return self._template.render(
            rater=session.rater,
            total=len(session),
            answered=session.answered,
            emotions=self._emotions,
            source=self._source,
            settings={"rater": session.rater, "emotions": names, "none": NONE, "unclear": UNCLEAR},
            nonce=nonce,
        )
