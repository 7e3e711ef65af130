"""`Register`: who the raters of a study are, apart from their votes; `private/raters.jsonl`, of mode 0600.

It alone holds names, Prolific's ids and times. A line is an event::

    {"event": "began", "rater": "r0001", "key": "prolific 5f.. 64..", "PROLIFIC_PID": "5f..", ...,
     "language": "en", "consent": "<sha256 of the text>", "at": "..."}
    {"event": "finished", "rater": "r0001", "code": "C7K2M9QX", "at": "..."}
    {"event": "erased", "rater": "r0001"}
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from emovid_dataset.web.appended import AppendedLines
from emovid_models.study.visitors import PROLIFIC, Visitor
from emovid_models.study.votes import VOTES_FOLDER

PRIVATE_FOLDER = "private"
REGISTER_NAME = "raters.jsonl"


class Register:
    """The raters of a study; safe to be called from several threads.

    Args:
        study: its folder.

    Raises:
        BlockingIOError: another process has it: the study is being served.
        ValueError: the file is damaged.
        OSError: it cannot be opened.
    """

    def __init__(self, study: Path) -> None:
        folder = study / PRIVATE_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._file = AppendedLines(folder / REGISTER_NAME, mode=0o600)
        os.chmod(self._file.path, 0o600)
        self._lock = threading.Lock()
        self._raters: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._names: list[str] = []
        try:
            for number, line in enumerate(self._file.lines(), 1):
                self._take(line, number)
        except BaseException:
            self._file.close()
            raise

    def _take(self, line: bytes, number: int) -> None:
        try:
            event = json.loads(line)
            rater, kind = event["rater"], event["event"]
            if kind == "began":
                self._raters[event["key"]] = rater
                self._names.append(rater)
            elif kind == "finished":
                self._codes[rater] = event["code"]
            elif kind == "erased":
                self._names.append(rater)
            else:
                raise ValueError(f"event {kind!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._file.path}, line {number} is not an event: {error}") from error

    @property
    def raters(self) -> list[str]:
        """Every rater who began, erased ones among them."""
        return list(self._names)

    @property
    def finished(self) -> list[str]:
        """Raters who got their code."""
        return list(self._codes)

    def rater_of(self, visitor: Visitor) -> str | None:
        """Which rater a visitor is; None before the visitor has consented."""
        return self._raters.get(visitor.key)

    def begin(self, visitor: Visitor, language: str, consent: str) -> str:
        """Write that a visitor consented, and make a rater of the visitor; nothing is written before.

        Args:
            visitor: who.
            language: of the page.
            consent: digest of the text.

        Returns:
            The rater, the same when called again.
        """
        with self._lock:
            if (known := self.rater_of(visitor)) is not None:
                return known
            rater = f"r{len(self._names) + 1:04d}"
            ids = dict(zip(PROLIFIC, visitor.prolific, strict=False))
            self._write("began", rater, key=visitor.key, **ids, language=language, consent=consent)
            self._raters[visitor.key] = rater
            self._names.append(rater)
            return rater

    def finish(self, rater: str, code: str) -> str:
        """Write that a rater has answered everything; the first code stays."""
        with self._lock:
            if rater not in self._codes:
                self._write("finished", rater, code=code)
                self._codes[rater] = code
            return self._codes[rater]

    def _write(self, event: str, rater: str, **more: Any) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        body = {"event": event, "rater": rater, **more, "at": at}
        self._file.append(json.dumps(body, ensure_ascii=False, allow_nan=False).encode())

    def erase(self, who: str) -> str:
        """Delete a rater's votes and everything that says who the rater is.

        The rater's number stays taken, so that no other rater is mistaken for this one.

        Args:
            who: the rater, an invited rater's name, or a Prolific id.

        Returns:
            The rater.

        Raises:
            ValueError: there is no such rater, or several.
        """
        with self._lock:
            events = [json.loads(line) for line in self._file.lines()]
            began = [event for event in events if event["event"] == "began"]
            found = sorted(
                {
                    event["rater"]
                    for event in began
                    if who in (event["rater"], event.get(PROLIFIC[0])) or event["key"] == f"name {who}"
                }
            )
            if len(found) != 1:
                known = "is not one of this study's" if not found else f"is several: {', '.join(found)}"
                raise ValueError(f"RATER {who} {known}")
            (rater,) = found
            # the votes first: were it to fail in between, the rater can be named again
            (self._file.path.parents[1] / VOTES_FOLDER / f"{rater}.jsonl").unlink(missing_ok=True)
            kept = [
                {"event": "erased", "rater": rater} if event["rater"] == rater else event
                for event in events
                if event["rater"] != rater or event["event"] == "began"
            ]
            text = "".join(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n" for event in kept)
            self._file.replace(text.encode())
            return rater

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()


def erase_rater(study: Path, who: str) -> str:
    """Delete a rater's votes and everything that says who the rater is, see `Register.erase`.

    Args:
        study: folder of the study, which is not being served.
        who: the rater, an invited rater's name, or a Prolific id.

    Raises:
        BlockingIOError: the study is being served.
        ValueError: there is no such rater, or several.
    """
    if not (study / PRIVATE_FOLDER / REGISTER_NAME).is_file():
        raise ValueError(f"RATER {who} is not one of this study's: nobody has taken part")
    with open_register(study) as register:
        return register.erase(who)


@contextmanager
def open_register(study: Path) -> Iterator[Register]:
    """A study's register, closed at the end.

    Raises:
        BlockingIOError: the study is being served.
        ValueError, OSError: as `Register`.
    """
    register = Register(study)
    try:
        yield register
    finally:
        register.close()
