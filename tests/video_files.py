"""Small video files for the tests: frames of the miniature corpus, numbered, in any container and codec.

Each frame carries its number as sixteen black or white blocks along its upper edge, which survives lossy
codecs, so that a test can read which frame it was given.
"""

from __future__ import annotations

import csv
import json
import struct
import tarfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

MINI = Path(__file__).resolve().parents[1] / "emovid_dataset" / "mini"
BLOCK = 8
BITS = 16
SOUND_RATE = 44100
EXACTLY = 0x2 | 0x40000 | 0x2000  # SWS_BILINEAR, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT


def sticker(name: str = "1f375") -> Path:
    """A sticker of the miniature corpus: 128x128, no sound."""
    return MINI / "sticker" / f"{name}.mp4"


def cartoon(name: str = "kite-480300-481600") -> Path:
    """A film segment of the miniature corpus: 256x144, 24 fps, with sound."""
    return MINI / "cartoon" / f"{name}.mp4"


def exact_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A frame of less than 720 lines as uint8 RGB by FFmpeg's scaler, which `to_ndarray` lets round early."""
    return frame.reformat(format="rgb24", interpolation=EXACTLY).to_ndarray()


def full_decode(path: Path | str, *, pixels: str = "rgb24") -> list[np.ndarray]:
    """Every frame by the plainest use of PyAV."""
    with av.open(str(path)) as container:
        return [
            exact_rgb(frame) if pixels == "rgb24" else frame.to_ndarray(format=pixels)
            for frame in container.decode(video=0)
        ]


def full_sound(path: Path | str) -> tuple[np.ndarray, int, float]:
    """All sound as mono float32, its rate, and the time of its first sample."""
    pieces: list[np.ndarray] = []
    first: float | None = None
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        for frame in container.decode(stream):
            if first is None:
                first = frame.time
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(pieces), rate, first or 0.0


@lru_cache(maxsize=4)
def numbered_frames(count: int, width: int = 160, height: int = 96) -> tuple[np.ndarray, ...]:
    """Real cartoon frames, scaled, each with its number along the upper edge; uint8 RGB."""
    pictures: list[np.ndarray] = []
    for path in sorted((MINI / "cartoon").glob("*.mp4")):
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                pictures.append(frame.reformat(width, height, "rgb24").to_ndarray())
                if len(pictures) == count:
                    return tuple(stamp(picture, index) for index, picture in enumerate(pictures))
    raise AssertionError(f"the corpus has fewer than {count} cartoon frames")


def stamp(picture: np.ndarray, number: int) -> np.ndarray:
    """Write a number into a frame of at least 128x8."""
    marked = picture.copy()
    for bit in range(BITS):
        marked[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 if number >> bit & 1 else 0
    return marked


def read_stamp(picture: np.ndarray) -> int:
    """The number in a frame."""
    number = 0
    for bit in range(BITS):
        middle = picture[2 : BLOCK - 2, bit * BLOCK + 2 : (bit + 1) * BLOCK - 2]
        number |= int(middle.mean() > 127) << bit
    return number


def noise(seconds: float, seed: int = 0, rate: int = SOUND_RATE) -> np.ndarray:
    """Low-passed noise, float32: its correlation with itself has one sharp peak, and codecs keep it."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    smooth = np.convolve(samples, np.hanning(9) / 4, "same")
    return (0.2 * smooth).astype(np.float32)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    rate: int | Fraction = 24,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sound_codec: str = "aac",
    sound_rate: int = SOUND_RATE,
    sound_gap: tuple[float, float] | None = None,
    container: dict[str, str] | None = None,
    form: str | None = None,
) -> Path:
    """Encode frames, uint8 [H, W, 3 or 4], and sound as a file.

    Args:
        path: its suffix chooses the container, unless `form` does.
        frames: RGB or RGBA.
        rate: frames per second.
        codec: FFmpeg's name.
        pixels: FFmpeg's name of the pixel format.
        options: of the video encoder.
        times: seconds of every frame, for a variable rate.
        sound: mono float32, or None.
        sound_codec: FFmpeg's name.
        sound_rate: samples per second.
        sound_gap: no sound is written between these seconds.
        container: options of the muxer.
        form: FFmpeg's name of the container.
    """
    muxer = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", format=form, options={**muxer, **(container or {})}) as sink:
        video: Any = None
        audio: Any = None
        base = Fraction(1) / rate if times is None else Fraction(1, 1000)
        for index, picture in enumerate(frames):
            if video is None:
                video = sink.add_stream(codec, rate=rate)
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = pixels
                video.codec_context.thread_count = 1
                if codec in ("libx264", "libx265"):
                    video.options = {"preset": "veryfast", "threads": "1", **(options or {})}
                else:
                    video.options = options or {}
                video.codec_context.time_base = base
                if sound is not None:
                    audio = sink.add_stream(sound_codec, rate=sound_rate, layout="mono")
            form_in = "rgba" if picture.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form_in)
            ready = frame.reformat(format=pixels)
            ready.pts = index if times is None else round(times[index] * 1000)
            ready.time_base = base
            sink.mux(video.encode(ready))
            if sound is not None and index == 0:
                _write_sound(sink, audio, sound, sound_rate, sound_gap)
        sink.mux(video.encode(None))
    return path


def _write_sound(
    sink: Any, audio: Any, sound: np.ndarray, rate: int, gap: tuple[float, float] | None
) -> None:
    form = audio.codec_context.format.name
    resampler = av.AudioResampler(format=form, layout="mono", rate=rate, frame_size=0)
    step = audio.codec_context.frame_size or 1024
    for first in range(0, len(sound), step):
        piece = sound[None, first : first + step]
        if gap is not None and gap[0] * rate <= first < gap[1] * rate:
            continue
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        for ready in resampler.resample(frame):
            ready.pts = first
            sink.mux(audio.encode(ready))
    sink.mux(audio.encode(None))


def remux(source: Path, path: Path, *, options: dict[str, str] | None = None) -> Path:
    """Copy the packets into another container, no frame changed."""
    muxer = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(source)) as old, av.open(str(path), "w", options={**muxer, **(options or {})}) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return path


def rotate(path: Path, degrees: int) -> Path:
    """Write a rotation into an MP4's first track header, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] == 1 else 20) + 16  # version and flags, times and ids, layer and volume
    one = 1 << 16
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    data[at : at + 36] = matrix
    path.write_bytes(data)
    return path


def damage_sound(path: Path, places: Iterable[int], seed: int | None = 0) -> Path:
    """Overwrite some packets of sound.

    Args:
        path: of an MP4 or Matroska file; changed in place.
        places: of the packets, from 0.
        seed: of random bytes that leave the headers; now and then one decodes all the same. None writes zeros
            everywhere, which no decoder takes.
    """
    with av.open(str(path)) as container:
        packets = [(packet.pos, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    data, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in places:
        position, payload = packets[place]
        begin = data.index(payload, position)
        kept = min(8, len(payload) // 4)
        new = bytes(len(payload)) if seed is None else payload[:kept] + random.bytes(len(payload) - kept)
        data[begin : begin + len(payload)] = new
    path.write_bytes(data)
    return path


def write_sheet(folder: Path, rows: Iterable[dict[str, Any]], name: str = "labels.csv") -> Path:
    """A label sheet; the columns are those of the first row."""
    rows = list(rows)
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def stored_clips(build: Path) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Every clip of a build by its source: the JSON's fields and the MP4, by the standard library alone."""
    found: dict[str, tuple[dict[str, Any], bytes]] = {}
    for path in sorted(build.glob("data/*/*.tar")):
        with tarfile.open(path) as shard:
            members = {member.name: shard.extractfile(member) for member in shard}
            data = {name: file.read() for name, file in members.items() if file is not None}
        for name in data:
            if name.endswith(".json"):
                fields = json.loads(data[name])
                found[fields["source"]] = fields, data[name.removesuffix("json") + "mp4"]
    return found


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
