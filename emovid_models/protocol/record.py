"""`ProtocolRecord`: what a run of the protocol was asked and which of its steps are done, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from emovid_dataset.store import write_file

RECORD = "protocol.json"
STEPS = ("draw", "agree", "train", "annotate", "audit", "report")
"""The steps, in order; each needs those before it."""

DRAWN, REST, ANSWERS = "drawn.csv", "rest.csv", "answers"
AGREED, DISAGREED, AGREEMENT = "agreed.csv", "disagreed.csv", "agreement.json"
BUILD, ANNOTATOR, ANNOTATIONS, LABELS = "build", "annotator", "annotations.parquet", "labels.csv"
AUDIT, AUDIT_ANSWERS, REPORT = "audit.csv", "audit", "report.html"
"""Files and folders of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSettings:
    """What a run of the protocol is asked; the defaults are the paper's.

    Attributes:
        sheet: of the clips: path, and where they are stretches of films start and end.
        raw: folder of the files that it names.
        base: the annotator to start from.
        share: of the clips that people rate, 0..1.
        audit_share: of all clips that people rate once more beside the annotator, 0..1.
        raters: people who rate each clip.
        least: of them must agree for a clip to be kept.
        seed: of the draws and of the training.
        training: settings of the training that are not the default.
    """

    sheet: str
    raw: str
    base: str
    share: float = 0.2
    audit_share: float = 0.01
    raters: int = 3
    least: int = 2
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("share", "audit_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0 and at most 1")
        if not 1 <= self.least <= self.raters:
            raise ValueError(f"least is {self.least}; it must be 1..{self.raters}, the raters")


class ProtocolRecord:
    """The record of a run, in `protocol.json` of its folder.

    Args:
        folder: of the run.
        settings: of the run.
        steps: what each step that is done found, by its name.

    Attributes:
        folder, settings, steps: as given.
    """

    def __init__(self, folder: Path, settings: ProtocolSettings, steps: Mapping[str, Any] = {}) -> None:
        self.folder, self.settings, self.steps = folder, settings, dict(steps)

    @classmethod
    def read(cls, folder: Path) -> ProtocolRecord:
        """Read the record of a folder.

        Raises:
            FileNotFoundError: the folder holds no run.
            ValueError: it is not such a record.
        """
        path = folder / RECORD
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            known = {entry.name for entry in fields(ProtocolSettings)}
            if not isinstance(body["steps"], dict) or set(body["settings"]) != known:
                raise ValueError("its settings or steps are not those of this version")
            return cls(folder, ProtocolSettings(**body["settings"]), body["steps"])
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{folder} holds no run of the protocol; it begins with: emovid protocol draw SHEET --out ..."
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the record of a run: {error}") from error

    @classmethod
    def begin(cls, folder: Path, settings: ProtocolSettings) -> ProtocolRecord:
        """The record of a folder, new or that of an earlier run with the same settings.

        Raises:
            ValueError: the folder holds a run with other settings.
        """
        if not (folder / RECORD).is_file():
            return cls(folder, settings)
        found = cls.read(folder)
        before, now = asdict(found.settings), asdict(settings)
        for name, value in now.items():
            if before[name] != value:
                raise ValueError(
                    f"{folder} holds a run with {name} {before[name]!r}, now it is {value!r}; "
                    "choose another --out"
                )
        return found

    def path(self, name: str) -> Path:
        """A file or folder of the run."""
        return self.folder / name

    def need(self, step: str) -> Any:
        """What a step found.

        Raises:
            ValueError: it is not done; the message says how to do it.
        """
        if step not in self.steps:
            hint = f"emovid protocol {step} {'SHEET ' if step == 'draw' else ''}--out {self.folder}"
            raise ValueError(f"the step {step} of {self.folder} is not done; do it first: {hint}")
        return self.steps[step]

    def finish(self, step: str, found: Mapping[str, Any]) -> None:
        """Write that a step is done; what came after it must be done again if it found something else.

        Args:
            step: its name.
            found: what it found, as JSON values.
        """
        if self.steps.get(step) != found:
            self.steps = {name: self.steps[name] for name in STEPS[: STEPS.index(step)] if name in self.steps}
            self.steps[step] = dict(found)
        body = {"protocol": "paper", "settings": asdict(self.settings), "steps": self.steps}
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
        write_file(self.path(RECORD), f"{text}\n".encode())
