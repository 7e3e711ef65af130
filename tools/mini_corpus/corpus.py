"""Write the whole corpus: clips, label sheet, benchmark, licences, and the list of hashes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress, print_table
from tools.mini_corpus.benchmark import write_benchmark
from tools.mini_corpus.encode import encode
from tools.mini_corpus.fetch import emoji_folder, film_path, sha256_of
from tools.mini_corpus.film import cut, read_sound
from tools.mini_corpus.labels import Segment, Sticker, read_segments, read_stickers
from tools.mini_corpus.licenses import licenses_page
from tools.mini_corpus.sources import find_source
from tools.mini_corpus.sticker import read_sticker, sticker_frame

FILM_CRF = 27
STICKER_CRF = 23
"""x264's constant rate factors; a sticker is small, and its thin outlines suffer first."""
SIZE_LIMIT = 14_000_000
"""Bytes that the corpus may take in the repository."""
LABEL_COLUMNS = ("path", "emotion", "content_type", "caption", "group", "license", "source")
SUMS = "SHA256SUMS"


def build_stickers(out: Path, stickers: Sequence[Sticker], progress: Progress) -> None:
    """Encode stickers below `out`."""
    folder = emoji_folder()
    (out / "sticker").mkdir(parents=True, exist_ok=True)
    for sticker in stickers:
        images, rate = read_sticker(folder / sticker.asset)
        encode(out / sticker.path, map(sticker_frame, images), rate, crf=STICKER_CRF)
        progress.update(1, (out / sticker.path).stat().st_size)


def build_segments(out: Path, film_key: str, segments: Sequence[Segment], progress: Progress) -> None:
    """Cut and encode segments of one film below `out`, with the film's sound if it has any."""
    film = film_path(film_key)
    sound = read_sound(film)
    for segment, start, rate, frames in cut(film, segments):
        path = out / segment.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # The sound covers the picture, which starts up to one frame after segment.start.
        piece = None if sound is None else sound.between(start, len(frames) / rate)
        encode(path, frames, rate, crf=FILM_CRF, sound=piece)
        progress.update(1, path.stat().st_size)


def label_rows(
    stickers: Sequence[Sticker], segments: Sequence[Segment]
) -> list[tuple[str, str, str, str, str, str, str]]:
    """The rows of `labels.csv`, in the order of `LABEL_COLUMNS`: stickers, then segments."""
    rows = []
    for sticker in stickers:
        source = find_source(sticker.package)
        origin = f"{source.pinned}/assets/{sticker.asset}"
        labels = (sticker.emotion, "sticker", sticker.caption, sticker.group)
        rows.append((sticker.path, *labels, source.license, origin))
    for segment in segments:
        source = find_source(segment.film)
        times = f"{float(segment.start):.2f}-{float(segment.end):.2f} s"
        origin = f"{source.pinned}/{Path(source.member[-1]).name} {times}"
        labels = (segment.emotion, source.content_type, segment.caption, segment.group)
        rows.append((segment.path, *labels, source.license, origin))
    return rows


def build_corpus(out: Path) -> None:
    """Write the whole corpus into an empty or absent folder.

    Args:
        out: receives one folder of clips per content type, labels.csv, benchmark.txt, LICENSES.md and
            SHA256SUMS.

    Raises:
        OSError: a source cannot be fetched, or the corpus is larger than `SIZE_LIMIT`.
    """
    stickers = read_stickers()
    segments = [segment for kind in ("cartoon", "movie") for segment in read_segments(kind)]
    out.mkdir(parents=True, exist_ok=True)
    with Progress(len(stickers) + len(segments), unit="clips", title="Encoding") as progress:
        build_stickers(out, stickers, progress)
        for key in dict.fromkeys(segment.film for segment in segments):
            build_segments(out, key, [segment for segment in segments if segment.film == key], progress)
    rows = label_rows(stickers, segments)
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LABEL_COLUMNS)
        writer.writerows(rows)
    write_benchmark(out)
    (out / "LICENSES.md").write_text(licenses_page(rows), encoding="utf-8")
    write_sums(out)
    size = sum(path.stat().st_size for path in files_of(out))
    if size > SIZE_LIMIT:
        raise OSError(f"the corpus takes {size} bytes, more than {SIZE_LIMIT}")


def write_sums(folder: Path) -> None:
    """Write the list of hashes of all other files."""
    files = [path for path in files_of(folder) if path.name != SUMS]
    sums = "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / SUMS).write_text(sums, encoding="utf-8")


def print_corpus(folder: Path) -> None:
    """Print clips and bytes per content type and emotion."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = sorted({row["content_type"] for row in rows})
    table: list[list[object]] = []
    for kind in kinds:
        chosen = [row for row in rows if row["content_type"] == kind]
        counts = [sum(row["emotion"] == emotion for row in chosen) for emotion in EMOTIONS]
        size = sum((folder / row["path"]).stat().st_size for row in chosen)
        table.append([kind, len(chosen), *counts, round(size / 1e6, 2)])
    total = sum(path.stat().st_size for path in files_of(folder))
    columns = list(zip(*table, strict=True))
    table.append(["all files", *(sum(column) for column in columns[1:-1]), round(total / 1e6, 2)])
    print_table(str(folder), ["content type", "clips", *EMOTIONS, "MB"], table)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
