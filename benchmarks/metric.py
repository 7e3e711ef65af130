"""EA-8cls beside scikit-learn on the same arrays: time, and memory against the size of the input.

Run ``python -m benchmarks.metric``; each measurement is a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import typer

from emovid_dataset.terminal import print_table

CASES = ("labels int64", "labels int8", "names", "probabilities float32", "1000 groups", "weights", "batches")
"""What is measured; scikit-learn runs those that it has a counterpart for."""

COUNTERPARTS = ("labels int64", "labels int8", "names", "weights")


def make_inputs(case: str, n: int) -> dict[str, np.ndarray]:
    """Random inputs of a case: eight emotions, about six in ten right.

    Args:
        case: one of `CASES`.
        n: rows.

    Returns:
        Arrays under the names of the arguments of `score`.
    """
    from emovid_models.metrics.ea_8cls.ea_8cls import EMOTIONS

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 8, n, np.int8)
    guesses = np.where(generator.random(n, np.float32) < 0.6, truth, generator.integers(0, 8, n, np.int8))
    if case == "labels int8":
        return {"predictions": guesses, "references": truth}
    if case == "names":
        names = np.array(EMOTIONS)
        return {"predictions": names[guesses], "references": names[truth]}
    inputs = {"predictions": guesses.astype(np.int64), "references": truth.astype(np.int64)}
    if case == "probabilities float32":
        rows = generator.random((n, 8), np.float32)
        rows[np.arange(n), guesses] += 1
        rows /= rows.sum(axis=1, keepdims=True)
        inputs["predictions"] = rows
    elif case == "1000 groups":
        inputs["groups"] = generator.integers(0, 1000, n)
    elif case == "weights":
        inputs["sample_weight"] = generator.random(n)
    return inputs


def ours(case: str, inputs: dict[str, np.ndarray]) -> Callable[[], float]:
    """The computation of this package, as a call that returns EA-8cls."""
    from emovid_models.metrics.ea_8cls.ea_8cls import EA8cls, score

    if case != "batches":
        return lambda: score(**inputs)["ea_8cls"]
    metric = EA8cls()

    def by_batches() -> float:
        for start in range(0, len(inputs["references"]), 10_000):
            metric.add_batch(**{name: column[start : start + 10_000] for name, column in inputs.items()})
        return metric.compute()["ea_8cls"]

    return by_batches


def theirs(inputs: dict[str, np.ndarray]) -> Callable[[], float]:
    """scikit-learn's accuracy, confusion matrix and report, as a call that returns the accuracy."""
    from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

    truth, guesses = inputs["references"], inputs["predictions"]
    weight = inputs.get("sample_weight")

    def all_three() -> float:
        confusion_matrix(truth, guesses, sample_weight=weight)
        classification_report(truth, guesses, sample_weight=weight, output_dict=True)
        return float(accuracy_score(truth, guesses, sample_weight=weight))

    return all_three


def measure(library: str, case: str, n: int, repeats: int) -> dict[str, float]:
    """Measure in this process.

    Returns:
        seconds (best of `repeats`), value, input (bytes), allocated (bytes at the peak beside the input, by
        tracemalloc), resident (bytes by which the process's largest size grew).
    """
    inputs = make_inputs(case, n)
    small = {name: column[:1000] for name, column in inputs.items()}
    (ours(case, small) if library == "emovid" else theirs(small))()  # imports and caches
    call = ours(case, inputs) if library == "emovid" else theirs(inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = call()
        seconds.append(time.perf_counter() - start)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    tracemalloc.start()
    call()
    allocated = tracemalloc.get_traced_memory()[1]
    return {
        "seconds": min(seconds),
        "value": value,
        "input": sum(column.nbytes for column in inputs.values()),
        "allocated": allocated,
        "resident": resident * 1024,
    }


def measure_apart(library: str, case: str, n: int, repeats: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--child", library, "--case", case]
    command += ["--rows", str(n), "--repeats", str(repeats)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(
    rows: int = typer.Option(10_000_000, help="Predictions."),
    repeats: int = typer.Option(3, help="Runs of each measurement; the best counts."),
    case: list[str] = typer.Option(list(CASES), help="A case to measure; may be given several times."),
    child: str = typer.Option("", hidden=True),
) -> None:
    """Print the table of ratios."""
    if child:
        print(json.dumps(measure(child, case[0], rows, repeats), allow_nan=False))
        return
    table = []
    for name in case:
        own = measure_apart("emovid", name, rows, repeats)
        line = [name, round(own["input"] / 1e6), round(own["seconds"], 3)]
        if name in COUNTERPARTS:
            other = measure_apart("sklearn", name, rows, repeats)
            if not np.isclose(own["value"], other["value"], rtol=1e-9):
                raise ValueError(f"{name}: EA-8cls is {own['value']}, scikit-learn's is {other['value']}")
            line += [round(other["seconds"], 3), round(other["seconds"] / own["seconds"], 1)]
            line += [round(other["allocated"] / other["input"], 2)]
        else:
            line += [None, None, None]
        print(f"{name}: measured", file=sys.stderr)
        table.append([*line, *(round(own[key] / own["input"], 2) for key in ("allocated", "resident"))])
    columns = (
        "input",
        "MB",
        "EA-8cls s",
        "sklearn s",
        "speed-up",
        "sklearn memory",
        "memory",
        "resident growth",
    )
    print_table(f"EA-8cls on {rows:,} predictions; memory as a multiple of the input", columns, table)


if __name__ == "__main__":
    typer.run(main)
