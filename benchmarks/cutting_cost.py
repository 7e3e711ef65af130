"""What cutting a film costs: its time beside that of decoding alone, and its memory at two lengths.

    python -m benchmarks.cutting_cost time FILM      # both in one run, by processor time
    python -m benchmarks.cutting_cost memory FILM    # ten minutes and two hours, each in a process of its own

Each writes its part of `benchmarks/cutting_cost.json`, of which `python -m benchmarks.cutting page` tells.
The long film is ten seconds of FILM at 128x72 with its sound, repeated by FFmpeg without encoding again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).resolve().parent / "cutting_cost.json"
LENGTHS = (600, 7200)
"""Seconds of the films whose memory is measured."""

_PIECE = 10  # seconds that are repeated
_CHILD = "import sys; from benchmarks.cutting_cost import cut; cut(sys.argv[1])"


def cut(film: str | Path) -> Any:
    """Cut a film by the default settings, on one core."""
    from emovid_dataset.cut.records import CutSettings
    from emovid_dataset.cut.stage import cut_film

    return cut_film(Path(film), CutSettings())


def decode(film: Path) -> int:
    """Decode every frame and do nothing with it; how many there are."""
    from emovid_dataset.media.source import Reader

    with Reader(film, quick=True) as reader:
        return sum(1 for _ in reader.frames(range(reader.info.num_frames)))


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of this process, all threads together, which other processes do not lengthen."""
    begin = time.process_time()
    done = work()
    return time.process_time() - begin, done


def time_record(film: Path) -> dict[str, Any]:
    """Decoding, then cutting, of the same film in the same process."""
    from emovid_dataset.cut.transnet import shot_network

    shot_network()  # what it takes to load it is no matter of the film
    decoding, frames = seconds_of(lambda: decode(film))
    cutting, found = seconds_of(lambda: cut(film))
    return {
        "frames": frames,
        "asked": found.facts.asked,
        "decode_s": round(decoding, 2),
        "cut_s": round(cutting, 2),
        "ratio": round(cutting / decoding, 3),
    }


def lengthened(film: Path, seconds: int, folder: Path) -> Path:
    """Ten seconds of a film, small, repeated to a length."""
    piece, out = folder / "piece.mp4", folder / f"{seconds}.mp4"
    quiet = ("ffmpeg", "-v", "error", "-y")
    small = ("-vf", "scale=128:72", "-g", "240", "-c:a", "aac", "-ac", "1", "-b:a", "32k")
    subprocess.run([*quiet, "-ss", "60", "-t", str(_PIECE), "-i", film, *small, piece], check=True)
    loops = str(seconds // _PIECE - 1)
    subprocess.run([*quiet, "-stream_loop", loops, "-i", piece, "-c", "copy", out], check=True)
    return out


def memory_record(film: Path) -> list[dict[str, Any]]:
    """The greatest resident memory of a process that cuts a film, for each length."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in LENGTHS:
            long = lengthened(film, seconds, Path(folder))
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            child = subprocess.Popen([sys.executable, "-c", _CHILD, str(long)], env=environment)
            _, status, usage = os.wait4(child.pid, 0)
            if status:
                raise RuntimeError(f"cutting {seconds} s ended with {status}")
            found.append({"seconds": seconds, "peak_mb": round(usage.ru_maxrss * 1024 / 1e6)})
    return found


def main() -> None:
    """Measure one of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("time", "memory"))
    parser.add_argument("film", type=Path)
    given = parser.parse_args()
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    record[given.step] = time_record(given.film) if given.step == "time" else memory_record(given.film)
    RECORD.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
