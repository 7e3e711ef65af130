"""Sound of which packets are lost, doubled or stamped late stays where its times say."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.signal import correlate
from video_files import full_sound, noise, numbered_frames, write_video

from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader
from emovid_dataset.media.waveform import read_waveform

RATE = 48000
SECONDS = 5
Stamp = Callable[[int, float], float | None]
"""From a packet's place and its seconds to the seconds that are written, or None to lose it."""


def write(path: Path, codec: str, stamp: Stamp, sound: np.ndarray) -> Path:
    """Write numbered pictures and sound whose packets are stamped anew."""
    with av.open(str(path), "w") as sink:
        video: Any = sink.add_stream("mpeg2video" if path.suffix == ".mpg" else "libx264", rate=24)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.bit_rate = 2_000_000
        audio: Any = sink.add_stream(codec, rate=RATE, layout="mono")
        audio.codec_context.bit_rate = 128_000
        for index, picture in enumerate(numbered_frames(24)):
            # few pictures make a long film
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index * SECONDS, Fraction(1, 24)
            sink.mux(video.encode(frame))
        sink.mux(video.encode(None))
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None]), format="fltp", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
        form = audio.codec_context.format.name
        into = av.AudioResampler(
            format=form, layout="mono", rate=RATE, frame_size=audio.codec_context.frame_size
        )
        packets = [
            packet
            for piece in [*into.resample(whole), *into.resample(None), None]
            for packet in audio.codec_context.encode(piece)
        ]
        for place, packet in enumerate(packets):
            time = stamp(place, packet.pts / RATE)
            if time is not None:
                packet.pts = packet.dts = round(time * RATE)
                packet.stream = audio
                sink.mux(packet)
    return path


def heard_late(path: Path, sound: np.ndarray, times: list[float], seconds: float) -> list[float]:
    """By how many seconds stretches of the sound are late in a clip; infinite where they are not heard."""
    heard, rate, _ = full_sound(path)
    assert rate == RATE
    late = []
    for time in times:
        piece = sound[round(time * RATE) : round((time + seconds) * RATE)]
        found = correlate(heard, piece, "valid")
        place = int(np.argmax(found))
        is_there = found[place] > 0.5 * float(np.sum(piece**2))
        late.append(place / RATE - time if is_there else float("inf"))
    return late


def lost(every: int) -> Stamp:
    return lambda place, time: None if place % every == every - 1 else time


@pytest.mark.parametrize(
    ("codec", "suffix", "packet"),
    [
        ("libopus", ".mkv", 0.02),
        ("libopus", ".mp4", 0.02),
        ("aac", ".flv", 1024 / RATE),
        ("aac", ".ts", 1024 / RATE),
        ("libmp3lame", ".mkv", 1152 / RATE),
        ("mp2", ".mpg", 1152 / RATE),
        ("ac3", ".ts", 1536 / RATE),
    ],
)
def test_lost_packets_add_up(codec: str, suffix: str, packet: float, tmp_path: Path) -> None:
    """Each is shorter than what counts as a gap, together they are a second."""
    sound = noise(SECONDS, rate=RATE)
    path = write(tmp_path / f"a{suffix}", codec, lost(6), sound)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4")
    # MPEG's program stream stamps only some of the packets
    tolerance = 1.1 * packet if suffix == ".mpg" else 0.012
    # stretches of two packets, four packets after a lost one
    groups = [6 * group * packet for group in range(2, int(SECONDS / packet / 6) - 2, 8)]
    late = heard_late(tmp_path / "out.mp4", sound, [time + 2 * packet for time in groups], 1.5 * packet)
    assert sum(np.isfinite(late)) >= len(late) - 1
    assert np.abs([each for each in late if np.isfinite(each)]).max() < tolerance


@pytest.mark.parametrize(
    ("codec", "suffix", "packet"),
    [
        ("libopus", ".mp4", 0.02),
        ("aac", ".mp4", 1024 / RATE),
        ("libmp3lame", ".mkv", 1152 / RATE),
        ("ac3", ".ts", 1536 / RATE),
    ],
)
def test_lost_packets_add_up_in_waveforms(codec: str, suffix: str, packet: float, tmp_path: Path) -> None:
    """In the file as it is: each part of the sound stands where its packets' times say."""
    sound = noise(SECONDS, rate=RATE)
    path = write(tmp_path / f"a{suffix}", codec, lost(6), sound)
    with Reader(path) as reader:
        assert reader.sound is not None
        zero = reader.start_time
        found = read_waveform(path, reader.sound, rate=RATE, zero=zero, starts=[0.0], length=float(SECONDS))
    assert found is not None
    for group in range(2, int(SECONDS / packet / 6) - 2, 8):
        first = round((6 * group + 2) * packet * RATE)
        piece = sound[first : first + round(1.5 * packet * RATE)]
        place = int(np.argmax(correlate(found[0, 0], piece, "valid")))
        assert abs(place - first) < 0.012 * RATE, group


def rounded(place: int, time: float) -> float:
    return round(time, 3)


def wavering(place: int, time: float) -> float:
    return time + (0, 0.008, -0.009, 0.004)[place % 4] if place > 3 else time


def one_late(place: int, time: float) -> float:
    return time + (0.0185 if place == 30 else 0)


@pytest.mark.parametrize("stamp", [rounded, wavering, one_late])
@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mkv"), ("libopus", ".mkv"), ("libmp3lame", ".flv")])
def test_times_that_only_waver_change_nothing(stamp: Stamp, codec: str, suffix: str, tmp_path: Path) -> None:
    sound = noise(2, rate=RATE)
    lengths = []
    for name, each in (("true", lambda place, time: time), ("wavering", stamp)):
        path = write(tmp_path / f"{name}{suffix}", codec, each, sound)
        with Reader(path) as reader:
            transcode(reader, tmp_path / f"{name}.mp4")
        late = heard_late(tmp_path / f"{name}.mp4", sound, [0.2, 0.7, 1.1, 1.6], 0.15)
        assert max(late) - min(late) == pytest.approx(0, abs=1e-9)
        lengths.append(len(full_sound(tmp_path / f"{name}.mp4")[0]))
    assert lengths[0] == pytest.approx(lengths[1], abs=1024)


def test_overlaps_add_up(tmp_path: Path) -> None:
    """Parts that were joined, each with a little more sound than picture."""
    every = 8
    sound = noise(SECONDS, rate=RATE)
    packet = 1024 / RATE

    def joined(place: int, time: float) -> float:
        return time - 0.9 * packet * (place // every)

    path = write(tmp_path / "a.mkv", "aac", joined, sound)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4")
    for group in (10, 15, 20):
        time = (every * group + 5) * packet
        late = heard_late(tmp_path / "out.mp4", sound, [time], 2 * packet)[0]
        assert late == pytest.approx(-0.9 * packet * group, abs=0.055)
    assert len(full_sound(tmp_path / "out.mp4")[0]) / RATE == pytest.approx(
        SECONDS * (1 - 0.9 / every), abs=0.1
    )


SECONDS_EACH = {  # of sound and pictures in the file, one after the other
    "all pictures first": [("video", 0.0, 99.0), ("audio", 0.0, 99.0)],
    "sound three seconds ahead": [
        (kind, second + ahead, second + ahead + 1)
        for second in range(-3, 12)
        for kind, ahead in (("audio", 3), ("video", 0))
    ],
    "in long runs": [(kind, start, start + 5) for start in range(0, 15, 5) for kind in ("audio", "video")],
}


@pytest.mark.parametrize("runs", list(SECONDS_EACH))
def test_a_segment_keeps_its_sound_however_the_file_is_interleaved(runs: str, tmp_path: Path) -> None:
    sound = noise(12, rate=RATE)
    pictures = (*numbered_frames(240), *numbered_frames(48))
    source = write_video(
        tmp_path / "a.mkv",
        pictures,
        options={"g": "48", "bf": "0"},
        sound=sound,
        sound_codec="libmp3lame",
        sound_rate=RATE,
    )
    path = tmp_path / "b.mkv"
    options = {"max_interleave_delta": "1", "cluster_time_limit": "1000"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        streams = {s.type: new.add_stream_from_template(s) for s in old.streams}
        packets = [packet for packet in old.demux() if packet.size]
        kinds = [packet.stream.type for packet in packets]
        times = [max(float(packet.pts * packet.time_base), 0.0) for packet in packets]
        for wanted, low, high in SECONDS_EACH[runs]:
            for packet, kind, time in zip(packets, kinds, times, strict=True):
                if kind == wanted and low <= time < high:
                    packet.stream, packet.dts = streams[kind], packet.pts
                    new.mux(packet)
    with Reader(path) as reader:
        assert reader.info.num_frames == 288
        transcode(reader, tmp_path / "out.mp4", start=6.5, end=9.0)
    late = heard_late(tmp_path / "out.mp4", sound[round(6.5 * RATE) :], [0.2, 1.0, 2.0], 0.3)
    assert np.abs(late).max() < 0.012
