"""The application behind the page of a study: consent, questions, votes, and the videos by their ids.

It trusts its guard (`emovid_dataset.web.guard`) for who asks; whatever else a request says is checked here. A
visitor reaches nothing before consenting, and then the visitor's own questions and videos by id only. Nothing
that is sent to a page names a system.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from emovid_dataset.web.replies import Replies
from emovid_models.study.desk import Desk
from emovid_models.study.plan import VIDEOS_FOLDER, StudyPlan
from emovid_models.study.session import RaterSession
from emovid_models.study.visitors import Visitor
from emovid_models.study.votes import VotesError
from emovid_models.study.wording import Wording, best_language

_RETURN = "https://app.prolific.com/submissions/complete?cc={}"


class Consent(BaseModel):
    """What the page sends when its visitor takes part."""

    model_config = ConfigDict(extra="forbid", strict=True)

    language: str = Field(max_length=40)


class Given(BaseModel):
    """What the page sends when its rater has chosen."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int = Field(ge=0, le=10**6)
    choice: int | None = Field(ge=0, le=25)
    ms: int = Field(ge=0, le=24 * 3600 * 1000)
    version: int = Field(ge=1, le=10**6)


def study_application(
    study: Path, plan: StudyPlan, desk: Desk, wordings: Mapping[str, Wording], *, returns_to_prolific: bool
) -> FastAPI:
    """The application, to be served behind a guard.

    Args:
        study: its folder.
        plan: of the study.
        desk: where raters are received.
        wordings: of the page, by language.
        returns_to_prolific: whether a rater from there is shown the way back, with the code.
    """
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = _page()
    videos = plan.videos

    def visitor_of(request: Request) -> Visitor:
        return Visitor.from_text(request.state.person)

    def session_of(request: Request) -> RaterSession:
        session = desk.session_of(visitor_of(request))
        if session is None:
            raise HTTPException(403, "nobody is asked before consenting")
        return session

    def state_at(request: Request, session: RaterSession, number: int | None) -> dict[str, Any]:
        if number is not None:
            return _state(session, number)
        visitor = visitor_of(request)
        with Replies(VotesError):
            code = desk.code_of(visitor)
        total = len(session)
        body: dict[str, Any] = {"consented": True, "total": total, "answered": total, "number": None}
        goes_back = returns_to_prolific and bool(visitor.prolific)
        return body | {"code": code, "return": _RETURN.format(quote(code, safe="")) if goes_back else None}

    @application.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the request is not one of this page's"}, 400)

    @application.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    @application.get("/")
    def show_page(request: Request) -> HTMLResponse:
        language = best_language(wordings, request.headers.get("accept-language", ""))
        settings = {
            "language": language,
            "seconds": plan.seconds,
            "words": {name: wording.words for name, wording in wordings.items()},
            "consent": {name: wording.consent for name, wording in wordings.items()},
        }
        return HTMLResponse(
            page.render(settings=settings, words=wordings[language].words, nonce=request.state.nonce)
        )

    @application.get("/favicon.ico")
    def no_picture() -> Response:
        return Response(status_code=204)

    @application.get("/api/now")
    def now(request: Request) -> dict[str, Any]:
        session = desk.session_of(visitor_of(request))
        if session is None:
            return {"consented": False}
        return state_at(request, session, session.next_open())

    @application.post("/api/consent")
    def consent(request: Request, given: Consent) -> dict[str, Any]:
        if given.language not in wordings:
            raise HTTPException(400, "the study does not have this language")
        with Replies(VotesError):
            session = desk.admit(visitor_of(request), given.language, wordings[given.language].digest)
        return state_at(request, session, session.next_open())

    @application.get("/api/question/{number}")
    def question(request: Request, number: int) -> dict[str, Any]:
        session = session_of(request)
        with Replies(VotesError):
            return state_at(request, session, number)

    @application.post("/api/vote")
    def vote(request: Request, given: Given) -> dict[str, Any]:
        session = session_of(request)
        with Replies(VotesError):
            session.vote(given.number, choice=given.choice, ms=given.ms, version=given.version)
        return state_at(request, session, session.next_open())

    @application.get("/media/{video}")
    def media(request: Request, video: str) -> Response:
        session_of(request)
        if video not in videos:
            raise HTTPException(404, "there is no such video")
        path = study / VIDEOS_FOLDER / f"{video}.mp4"
        if not path.is_file():
            raise HTTPException(404, "the video is not there any more")
        kept = {"cache-control": "private, max-age=86400"}
        return FileResponse(path, media_type="video/mp4", headers=kept, content_disposition_type="inline")

    return application


def _state(session: RaterSession, number: int) -> dict[str, Any]:
    """What the page shows of a question."""
    asked = session.asked(number)
    step = asked.step
    return {
        "consented": True,
        "total": len(session),
        "answered": session.answered,
        "number": number,
        "place": step.place,
        "kind": step.kind,
        "question": asked.question,
        "emotion": step.scene.emotion,
        "expected": None if step.expected is None else step.shown.index(step.expected),
        "media": [f"/media/{step.scene.videos[system]}" for system in step.shown],
        "ahead": [f"/media/{video}" for video in session.ahead(number)],
        "choice": asked.chosen,
        "version": asked.version,
        "left": asked.left,
    }


def _page() -> Any:
    environment = Environment(
        loader=PackageLoader("emovid_models.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("study.html.j2")
