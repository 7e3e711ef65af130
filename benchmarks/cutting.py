"""How well films are cut: every detector against shot boundaries that were marked by looking at the frames.

    python -m benchmarks.cutting reduce FILM --cache DIR      # decode once, keep small frames
    python -m benchmarks.cutting network --cache DIR          # TransNetV2 on them, taken up again
    python -m benchmarks.cutting measure --cache DIR          # all detectors -> benchmarks/cutting.json
    python -m benchmarks.cutting page                         # docs/cutting.md, from that record

`network` takes a second per fifty frames on one core; without its whole output `measure` compares TransNetV2
on as much of the film as there is, and says so. `--joins N` draws N joins of each kind (200 by default).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from benchmarks.cutting_cost import RECORD as COST
from benchmarks.cutting_joins import KINDS, Join, Kind, joins
from benchmarks.cutting_score import Score, score
from emovid_dataset.cut.change import changes_of
from emovid_dataset.cut.detect import merged, network_transitions
from emovid_dataset.cut.gradual import dissolves, fades
from emovid_dataset.cut.light import settle, sure_and_doubtful
from emovid_dataset.cut.measure import Measures
from emovid_dataset.cut.records import Transition
from emovid_dataset.cut.shot_detectors import FedDetector
from emovid_dataset.cut.thumbnails import HEIGHT, WIDTH
from emovid_dataset.cut.transnet import shot_network

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ROOT / "benchmarks" / "cutting_truth.json"
RECORD = ROOT / "benchmarks" / "cutting.json"
PAGE = ROOT / "docs" / "cutting.md"
SMALL = (128, 72)
"""Width and height of the frames that are kept."""

FPS = 24.0
HALF = 7200
"""Frame that parts the shots by which settings were chosen from those by which they are measured."""

CREDITS = 11725
CHOSEN_SEED, MEASURED_SEED, FRESH_SEED = 1, 2, 5
"""Of the joins; what came of the second is why hard cuts were looked at again, and 3 showed one thing."""

Pairs = list[tuple[int, int]]


class Held:
    """Tiny pictures in memory, for what reads `emovid_dataset.cut.thumbnails.Thumbnails`."""

    def __init__(self, pictures: np.ndarray) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def read(self, first: int, stop: int) -> np.ndarray:
        """As `Thumbnails.read`."""
        return self._pictures[first:stop]


def measures_of(pictures: np.ndarray) -> Measures:
    """What the detectors look at, of tiny pictures."""
    held, damaged = Held(pictures), np.zeros(len(pictures), bool)
    changes = changes_of(cast(Any, held), damaged)
    found = SimpleNamespace(
        luma=changes.luma,
        spread=changes.spread,
        change=changes.change,
        colour_change=changes.colour_change,
        damaged=damaged,
        fps=FPS,
        frames=len(pictures),
        thumbnails=held,
    )
    return cast(Measures, found)


def fed(name: str, frames: np.ndarray, least: int, kept: Path | None = None) -> list[Transition]:
    """One of PySceneDetect's detectors over frames; `kept` holds what it said before."""
    if kept is not None and kept.exists():
        return [Transition(int(frame), int(frame)) for frame in np.load(kept)]
    detector = FedDetector(name, FPS, least)
    for place, frame in enumerate(frames):
        detector.see(place, frame)
    cuts = detector.cuts()
    if kept is not None:
        np.save(kept, np.array([cut.first for cut in cuts], np.int64))
    return cuts


def gradual_of(measures: Measures) -> list[Transition]:
    """Fades and dissolves, as every detector of ours has them beside its own."""
    return merged([*fades(measures), *dissolves(measures.thumbnails)], [])


def auto(measures: Measures, network: Any = None) -> list[Transition]:
    """As `--detector auto` on a CPU; without a network only what is sure."""
    sure, doubtful = sure_and_doubtful(measures.change, measures.colour_change, measures.thumbnails)
    gradual = gradual_of(measures)
    cuts = [Transition(int(frame), int(frame)) for frame in sure]
    if network is not None:
        near = [*gradual, *cuts]
        opened = [f for f in doubtful if not any(t.first - 2 <= f <= t.stop + 2 for t in near)]
        cuts += settle(np.array(opened, np.int64), measures.change, measures.thumbnails, network)[0]
    return merged(gradual, cuts)


def pairs(transitions: Sequence[Transition], frames: int) -> Pairs:
    """Transitions as the score takes them; what reaches over an end of the film is between no two shots."""
    return [(item.first, item.stop) for item in transitions if item.first > 0 and item.stop < frames - 1]


def rows_of(found: Pairs, cuts: Pairs, gradual: Pairs) -> dict[str, Any]:
    """What a detector scores on all transitions, and how many of each sort it found."""
    all_of_it = score(found, sorted([*cuts, *gradual]))
    hard, soft = score(found, cuts), score(found, gradual)
    return {
        **{"hits": all_of_it.hits, "wrong": all_of_it.wrong, "missed": all_of_it.missed},
        **{"precision": all_of_it.precision, "recall": all_of_it.recall, "f1": all_of_it.f1},
        **{"cuts_found": hard.hits, "gradual_found": soft.hits},
    }


def film_record(
    frames: np.ndarray,
    pictures: np.ndarray,
    likely: np.ndarray | None,
    truth: dict[str, Any],
    cache: Path,
) -> dict[str, Any]:
    """Every detector on the film: PySceneDetect's on its frames, ours on its tiny pictures."""
    cuts = [(cut, cut) for cut in truth["cuts"]]
    gradual = [(first, stop) for first, stop in truth["gradual"]]
    count = len(frames)
    measures = measures_of(pictures)
    soft = gradual_of(measures)
    found: dict[str, Pairs] = {}
    for name in ("content", "adaptive"):
        found[f"PySceneDetect {name}, its defaults"] = pairs(
            fed(name, frames, 15, cache / f"{name}_15.npy"), count
        )
        found[f"{name}"] = pairs(merged(soft, fed(name, frames, 0, cache / f"{name}_0.npy")), count)
    found["auto, without the network"] = pairs(auto(measures, None), count)
    found["auto"] = pairs(auto(measures, shot_network()), count)
    rows = {name: rows_of(items, cuts, gradual) for name, items in found.items()}
    seen = 0 if likely is None else len(likely)
    part: dict[str, Any] = {}
    if likely is not None:
        theirs = network_transitions(np.pad(likely, (0, count - seen)))
        soft += [item for item in theirs if not item.is_cut]
        found["TransNetV2, its defaults"] = pairs(theirs, count)
        found["transnet"] = pairs(merged(soft, [item for item in theirs if item.is_cut]), count)
        until = seen - 60 if seen < count else count

        def before(items: Pairs) -> Pairs:
            return [item for item in items if item[1] < until]

        part = {name: rows_of(before(items), before(cuts), before(gradual)) for name, items in found.items()}
        if seen == count:
            rows = part
    return {
        "frames": count,
        "cuts": len(cuts),
        "gradual": len(gradual),
        "rows": rows,
        "network_frames": seen,
        "rows_where_the_network_looked": part,
    }


def shots_of(truth: dict[str, Any]) -> list[tuple[int, int]]:
    """Shots of the film that are long enough to be joined, without its credits."""
    ends = sorted([(cut, cut) for cut in truth["cuts"]] + [(a, b) for a, b in truth["gradual"]])
    found, first = [], 60  # the film fades in until then
    for begin, stop in ends:
        if begin - first >= 40 and begin <= CREDITS:
            found.append((first, begin))
        first = stop
    return found


def joins_record(
    film: np.ndarray, drawn: Iterable[Join], detectors: dict[str, Callable[[np.ndarray], Pairs]]
) -> dict[str, Any]:
    """Every detector on joins, by kind."""
    found: dict[str, dict[str, Score]] = {name: {} for name in detectors}
    for join in drawn:
        pictures = join.pictures(film)
        for name, detect in detectors.items():
            before = found[name].get(join.kind, Score(0, 0, 0))
            found[name][join.kind] = before + score(detect(pictures), join.transitions)
    return {
        name: {
            kind: {"hits": s.hits, "wrong": s.wrong, "missed": s.missed, "f1": s.f1}
            for kind, s in kinds.items()
        }
        for name, kinds in found.items()
    }


def joins_kept(film: np.ndarray, drawn: Sequence[Join], cache: Path, called: str) -> dict[str, Any]:
    """Every detector on joins; what PySceneDetect said before is kept, as ours alone change."""
    found = {}
    for name, detect in detectors_of_joins().items():
        kept = cache / f"joins_{called}_{name.split(',')[0].replace(' ', '_')}.json"
        if name.startswith("PySceneDetect") and kept.exists():
            found[name] = json.loads(kept.read_text(encoding="utf-8"))
            continue
        found.update(joins_record(film, drawn, {name: detect}))
        kept.write_text(json.dumps(found[name], allow_nan=False), encoding="utf-8")
    return found


def detectors_of_joins() -> dict[str, Callable[[np.ndarray], Pairs]]:
    """What is tried on joins; each takes frames of a whole small film."""

    def own(pictures: np.ndarray) -> Pairs:
        return pairs(auto(measures_of(pictures)), len(pictures) + 1)

    def with_network(pictures: np.ndarray) -> Pairs:
        return pairs(auto(measures_of(pictures), shot_network()), len(pictures) + 1)

    def theirs(name: str) -> Callable[[np.ndarray], Pairs]:
        return lambda pictures: pairs(fed(name, pictures, 15), len(pictures) + 1)

    return {
        "auto": with_network,
        "auto, without the network": own,
        "PySceneDetect content, its defaults": theirs("content"),
        "PySceneDetect adaptive, its defaults": theirs("adaptive"),
    }


def reduce(film: Path, cache: Path) -> None:
    """Decode the film once, and keep its frames small, and tiny as `emovid cut` makes them."""
    from av.video.reformatter import Interpolation

    from emovid_dataset.cut.measure import EXACT_AREA
    from emovid_dataset.media.portable.pixels import RgbConverter
    from emovid_dataset.media.source import Reader

    cache.mkdir(parents=True, exist_ok=True)
    converter, to_tiny = RgbConverter(Interpolation.AREA, quick=True), RgbConverter(EXACT_AREA, quick=True)
    with Reader(film, quick=True) as reader:
        shape = (reader.info.num_frames, SMALL[1], SMALL[0], 3)
        kept = np.lib.format.open_memmap(cache / "frames.npy", "w+", np.uint8, shape)
        pictures = np.zeros((len(kept), HEIGHT, WIDTH, 3), np.uint8)
        for place, frame in reader.frames(range(reader.info.num_frames)):
            kept[place] = converter.packed(frame, SMALL[::-1])
            pictures[place] = to_tiny.packed(frame, (HEIGHT, WIDTH))
        kept.flush()
    np.save(cache / "tiny.npy", pictures)


def network(cache: Path) -> None:
    """TransNetV2 over the film, five hundred frames at a time."""
    from emovid_dataset.cut.transnet import ShotNetwork

    pictures = Held(np.load(cache / "tiny.npy", mmap_mode="r"))
    done = cache / "network.npy"
    found = [np.load(done)] if done.exists() else []
    asked = ShotNetwork()
    for first in range(sum(map(len, found)), len(pictures), 500):
        answers = asked.probabilities(cast(Any, pictures), first, min(len(pictures), first + 500))
        found.append(answers[:, 0])
        np.save(done, np.concatenate(found))


def network_joins(cache: Path, count: int) -> None:
    """TransNetV2 on the first dissolves and fades that are measured on, each as one window."""
    import torch

    from emovid_dataset.cut.transnet import ShotNetwork

    pictures = np.load(cache / "tiny.npy", mmap_mode="r")
    asked, found = ShotNetwork(), []
    for join in first_gradual(count):
        batch = torch.from_numpy(join.pictures(pictures)[None]).to(asked.device)
        found.append({"join": asdict(join), "answers": asked.answers(batch)[0, :, 0].tolist()})
    (cache / "network_joins.json").write_text(json.dumps(found, allow_nan=False), encoding="utf-8")


def first_gradual(count: int) -> list[Join]:
    """The first dissolves and fades of those that are measured on."""
    shots = shots_of(json.loads(TRUTH.read_text(encoding="utf-8")))
    _, (_, seed, some, _), _ = halves(shots)
    drawn = list(joins(some, 200, seed))
    return [join for kind in ("dissolve", "fade") for join in [j for j in drawn if j.kind == kind][:count]]


def network_on_joins(cache: Path, pictures: np.ndarray) -> dict[str, Any]:
    """TransNetV2 and the detector without it on the same joins."""
    kept = json.loads((cache / "network_joins.json").read_text(encoding="utf-8"))
    drawn = [Join(**entry["join"]) for entry in kept]
    given = iter(kept)
    detectors: dict[str, Callable[[np.ndarray], Pairs]] = {
        "TransNetV2, its defaults": lambda _: pairs(
            network_transitions(np.array(next(given)["answers"])), 101
        )
    }
    own = detectors_of_joins()["auto, without the network"]
    detectors["auto, without the network"] = own
    kinds = {kind: sum(join.kind == kind for join in drawn) for kind in ("dissolve", "fade")}
    return {"kinds": kinds, "rows": joins_record(pictures, drawn, detectors)}


def halves(
    shots: Sequence[tuple[int, int]],
) -> Iterator[tuple[str, int, list[tuple[int, int]], tuple[Kind, ...]]]:
    """The shots of either half of the film, with the seed of their joins and the kinds of them."""
    later = [shot for shot in shots if shot[0] >= HALF]
    yield "chosen on", CHOSEN_SEED, [shot for shot in shots if shot[1] <= HALF], KINDS
    yield "measured on", MEASURED_SEED, later, KINDS
    yield "drawn anew", FRESH_SEED, later, ("cut",)


def measure(cache: Path, count: int, *, with_joins: bool) -> None:
    """Compare everything, and write the record; without the joins they stay as they were."""
    frames = np.load(cache / "frames.npy", mmap_mode="r")
    pictures = np.load(cache / "tiny.npy")
    truth = json.loads(TRUTH.read_text(encoding="utf-8"))
    likely = np.load(cache / "network.npy") if (cache / "network.npy").exists() else None
    record: dict[str, Any] = {"joins": {}} if with_joins else json.loads(RECORD.read_text(encoding="utf-8"))
    record = {**record, "film": film_record(frames, pictures, likely, truth, cache)}
    shots = shots_of(truth) if with_joins else []
    for name, seed, some, kinds in halves(shots) if with_joins else ():
        record["joins"][name] = {
            "of_each_kind": count,
            "seed": seed,
            "shots": len(some),
            "kinds": kinds,
            "rows": joins_kept(pictures, list(joins(some, count, seed, kinds)), cache, f"{seed}_{count}"),
        }
    if (cache / "network_joins.json").exists():
        record["network_on_joins"] = network_on_joins(cache, pictures)
    RECORD.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main() -> None:
    """Run a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("reduce", "network", "measure", "page"))
    parser.add_argument("film", nargs="?", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".cache/cutting"))
    parser.add_argument(
        "--joins", type=int, default=200, help="joins of each kind; 0 leaves them as they are"
    )
    given = parser.parse_args()
    if given.step == "reduce":
        if given.film is None:
            parser.error("reduce needs FILM")
        reduce(given.film, given.cache)
    elif given.step == "network":
        network(given.cache)
        network_joins(given.cache, min(given.joins, 40))
    elif given.step == "measure":
        measure(given.cache, given.joins, with_joins=given.joins > 0)
    else:
        from benchmarks.cutting_page import write_page

        write_page(RECORD, TRUTH, COST, PAGE)


if __name__ == "__main__":
    main()
