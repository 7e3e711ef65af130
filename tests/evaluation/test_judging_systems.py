"""Several judges judge several systems and real clips into one result."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from emovid_dataset.builder.build import build
from emovid_dataset.schema.emotions import EMOTIONS, MIKELS
from emovid_models.evaluation import INTENDED_NAME, Intended, Judge, score, write_intended
from emovid_models.evaluation.judging_systems import (
    MISSING,
    NOT_ASKED,
    JudgeSource,
    RealSource,
    SystemVideos,
    judge_systems,
)
from emovid_models.evaluation.result import REAL, Result, read_result, write_result

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@dataclass(frozen=True)
class Colours:
    """Judges by the first frame's mean: above `limit` (0..255) it sees awe, else fear."""

    limit: float

    def __call__(
        self, videos: Iterable[Callable[[], str | bytes]], *, batch_size: int = 8, **options: Any
    ) -> Iterator[Any]:
        for open_video in videos:
            source = open_video()
            try:
                with av.open(io.BytesIO(source) if isinstance(source, bytes) else source) as container:
                    mean = next(container.decode(video=0)).to_ndarray(format="gray").mean()
            except (OSError, ValueError, StopIteration) as error:
                yield {"error": f"{source!s:.200} cannot be decoded: {type(error).__name__}"}
                continue
            seen = "awe" if mean > self.limit else "fear"
            yield [{"label": seen, "score": 0.9}] + [
                {"label": name, "score": 0.1 / 7} for name in EMOTIONS if name != seen
            ]


def judge(name: str, limit: float) -> JudgeSource:
    return JudgeSource(name, partial(Judge, f"{name}@{limit}", Colours(limit)))


FAIR, AWED = judge("fair", 127), judge("awed", -1)


def write_clip(path: Path, brightness: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), brightness, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


ASKED = [
    (scene, seed, emotion) for seed, scene in enumerate(("a cat", "a dog")) for emotion in ("awe", "fear")
]


def system(root: Path, name: str, *, dark: tuple[int, ...]) -> SystemVideos:
    """Four videos, two scenes; those whose places are named are dark, and each is called as it likes."""
    folder = root / name
    folder.mkdir(parents=True)
    rows = []
    for place, (scene, seed, emotion) in enumerate(ASKED):
        file = f"{name}-{place}.mp4"
        write_clip(folder / file, 30 if place in dark else 220)
        rows.append(Intended(file, emotion, scene, seed))
    write_intended(folder / INTENDED_NAME, rows)
    return SystemVideos(name=name, folder=str(folder), intended=str(folder / INTENDED_NAME))


def evaluated(root: Path, **options: Any) -> Result:
    """One system is always right, of the other two videos are, and of these one is damaged."""
    systems = [system(root, "right", dark=(1, 3)), system(root, "light", dark=())]
    (root / "light" / "light-2.mp4").write_bytes(b"no video")
    return judge_systems(systems, [FAIR, AWED], root / "scores", taxonomy=MIKELS, **options)


def test_systems_are_compared_on_the_same_requests(tmp_path: Path) -> None:
    result = evaluated(tmp_path)
    right, light = result.of("right"), result.of("light")
    assert [one.request for one in right] == [one.request for one in light]
    assert [(one.prompt, one.seed, one.intended) for one in light] == ASKED
    assert [right[0].scene, right[2].scene] == list(dict.fromkeys(one.scene for one in right))
    shares = {
        (name, source.source): score(result.judged(name, source.load().identity)).ea_8cls.value
        for name in ("right", "light")
        for source in (FAIR, AWED)
    }
    assert shares == {
        ("right", "fair"): 1,
        ("right", "awed"): 0.5,
        ("light", "fair"): 0.25,
        ("light", "awed"): 0.25,
    }
    assert light[2].error == "cannot be decoded: InvalidDataError"
    assert score(result.judged("light", "fair@127")).unscored == 1
    file = tmp_path / "right" / "right-0.mp4"
    assert right[0].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert right[0].place == "../right/right-0.mp4"
    written = write_result(result, tmp_path / "scores")
    assert read_result(tmp_path / "scores") == written and written.locate(right[0].place) == str(file)
    assert {"emovid", "av", "numpy"} <= set(result.versions)


def test_the_same_inputs_have_one_digest_wherever_they_lie(tmp_path: Path) -> None:
    first, second = evaluated(tmp_path / "here"), evaluated(tmp_path / "there" / "too")
    assert first.inputs == second.inputs and first.videos == second.videos
    assert [one.identity for one in first.systems] == [one.identity for one in second.systems]
    write_clip(tmp_path / "here" / "right" / "right-0.mp4", 200)
    systems = [replace(one, folder=str(tmp_path / "here" / one.name)) for one in _named(tmp_path / "here")]
    changed = judge_systems(systems, [FAIR, AWED], tmp_path / "here" / "scores", taxonomy=MIKELS)
    assert changed.inputs != first.inputs


def _named(root: Path) -> list[SystemVideos]:
    return [
        SystemVideos(name=name, folder=str(root / name), intended=str(root / name / INTENDED_NAME))
        for name in ("right", "light")
    ]


def test_what_was_judged_is_not_judged_again(tmp_path: Path) -> None:
    first = evaluated(tmp_path)
    (tmp_path / "light" / "light-2.mp4").unlink()  # a failed video is tried again, so it must not be there

    def never(*_: Any, **options: Any) -> Any:
        raise AssertionError("judged again")

    judges = [JudgeSource(name, partial(Judge, identity, never)) for name, identity in (("a", "fair@127"),)]
    again = judge_systems(_named(tmp_path), judges, tmp_path / "scores", taxonomy=MIKELS, allow_missing=True)
    answers = [one.answers["fair@127"] for one in again.videos]
    assert [one for one in answers if one.error is None] == [
        one.answers["fair@127"] for one in first.videos if one.error is None
    ]
    assert [one.error for one in again.of("light")] == [None, None, MISSING, None]
    assert score(again.judged("light", "fair@127")).n == 4


def test_systems_that_were_asked_for_something_else_are_refused_or_count_as_wrong(tmp_path: Path) -> None:
    evaluated(tmp_path)
    table = tmp_path / "light" / INTENDED_NAME
    rows = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    options: dict[str, Any] = {"taxonomy": MIKELS}
    with pytest.raises(ValueError, match="light was not asked for 1 of the 4 videos of right, first right-3"):
        judge_systems(_named(tmp_path), [FAIR], tmp_path / "scores", **options)
    result = judge_systems(_named(tmp_path), [FAIR], tmp_path / "scores", allow_missing=True, **options)
    assert [one.error for one in result.of("light")][-1] == NOT_ASKED
    figures = score(result.judged("light", "fair@127"))
    assert (figures.n, figures.unscored, figures.ea_8cls.value) == (4, 2, 0.25)
    with pytest.raises(ValueError, match="judge fair@127 is given twice"):
        judge_systems(_named(tmp_path)[:1], [FAIR, FAIR], tmp_path / "scores", **options)


def test_without_prompts_and_seeds_files_of_one_name_are_one_request(tmp_path: Path) -> None:
    evaluated(tmp_path)
    for name in ("right", "light"):
        for file in (tmp_path / name).glob("*.mp4"):
            file.rename(file.with_name(file.name.removeprefix(f"{name}-")))
        rows = [Intended(f"{place}.mp4", emotion) for place, (*_, emotion) in enumerate(ASKED)]
        write_intended(tmp_path / name / INTENDED_NAME, rows)
    result = judge_systems(_named(tmp_path), [FAIR], tmp_path / "scores", taxonomy=MIKELS)
    assert [one.request for one in result.of("light")] == [f"{place}.mp4" for place in range(4)]
    assert len({one.scene for one in result.videos}) == 4
    write_intended(tmp_path / "light" / INTENDED_NAME, [replace(row, emotion="fear") for row in rows])
    with pytest.raises(ValueError, match=r"0\.mp4: right was asked for awe, light for fear"):
        judge_systems(_named(tmp_path), [FAIR], tmp_path / "scores", taxonomy=MIKELS)


def test_real_clips_are_judged_by_every_judge(tmp_path: Path, stickers: list[dict[str, str]]) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = [next(row for row in stickers if row["emotion"] == emotion) for emotion in ("awe", "fear")]
    for row in rows:
        shutil.copyfile(MINI / row["path"], raw / Path(row["path"]).name)
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "content_type", "caption", "split"])
        writer.writerows([Path(row["path"]).name, row["emotion"], "sticker", "", "test"] for row in rows)
    build(raw, tmp_path / "labels.csv", tmp_path / "build")
    result = judge_systems(
        [system(tmp_path, "right", dark=(1, 3))],
        [AWED],
        tmp_path / "scores",
        taxonomy=MIKELS,
        real=RealSource(str(tmp_path / "build")),
    )
    assert sorted(one.intended for one in result.real) == ["awe", "fear"]
    assert score(result.judged(REAL, "awed@-1")).ea_8cls.value == 0.5
    assert result.clips is not None and (result.clips.source, result.clips.count) == ("build", 2)
    assert all(one.place == "" and len(one.sha256 or "") == 64 for one in result.real)
