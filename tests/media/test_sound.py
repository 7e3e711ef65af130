"""Sound that is not the same from beginning to end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.signal import correlate, resample_poly
from video_files import full_decode, full_sound, noise, numbered_frames, read_stamp, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader

SECONDS = 2
"""Of each part."""


def broadcast(path: Path, forms: Sequence[tuple[str, int]], *, codec: str = "mp2") -> np.ndarray:
    """Write two seconds of pictures and sound in each layout and rate, all sound in the same stream.

    Returns:
        The sound, mono float32, 48,000 samples per second.
    """
    sound = noise(SECONDS * len(forms), rate=48000)
    with av.open(str(path), "w") as sink:
        video: Any = sink.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.options = {"preset": "veryfast", "bf": "0"}
        audio: Any = sink.add_stream(codec, rate=forms[0][1], layout=forms[0][0])
        for index, picture in enumerate(numbered_frames(24 * SECONDS * len(forms))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 24)
            sink.mux(video.encode(frame))
        sink.mux(video.encode(None))
        due = Fraction(-1)
        for number, (layout, rate) in enumerate(forms):
            encoder: Any = audio.codec_context
            if number:
                encoder = av.CodecContext.create(codec, "w")
                encoder.sample_rate, encoder.layout, encoder.format = rate, layout, audio.codec_context.format
                encoder.time_base = Fraction(1, rate)
                encoder.open()
            part = sound[48000 * SECONDS * number : 48000 * SECONDS * (number + 1)]
            ready = resample_poly(part, rate // 1600, 30).astype(np.float32)
            channels = av.AudioLayout(layout).nb_channels
            source = av.AudioFrame.from_ndarray(np.tile(ready, (channels, 1)), format="fltp", layout=layout)
            source.sample_rate, source.pts, source.time_base = rate, 0, Fraction(1, rate)
            into = av.AudioResampler(
                format=encoder.format.name, layout=layout, rate=rate, frame_size=encoder.frame_size
            )
            packets = []
            for piece in [*into.resample(source), *into.resample(None)]:
                packets += encoder.encode(piece)
            for packet in [*packets, *encoder.encode(None)]:
                base = Fraction(1, rate)
                shift = round(SECONDS * number / base)
                begins_anew = number and packet.pts <= 0
                if (packet.pts + shift) * base < due + begins_anew * packet.duration * base / 2:
                    continue  # an encoder's delay; the part before is still heard
                due = (packet.pts + shift + packet.duration) * base
                ready = _with_adts(packet, rate, channels) if codec == "aac" else packet
                ready.pts = ready.dts = packet.pts + shift
                ready.time_base, ready.stream = base, audio
                sink.mux(ready)
    return sound


def _with_adts(packet: av.Packet, rate: int, channels: int) -> av.Packet:
    """A packet of AAC-LC that says itself what it is, as in a broadcast: ISO/IEC 13818-7, table 31."""
    length = packet.size + 7
    bits = 0xFFF1 << 40 | 1 << 38 | {48000: 3, 32000: 5}[rate] << 34 | channels << 30
    bits |= length << 13 | 0x7FF << 2
    new = av.Packet(bits.to_bytes(7, "big") + bytes(packet))
    new.duration = packet.duration
    return new


CHANGES: dict[str, tuple[str, str, list[tuple[str, int]]]] = {
    "stereo, then mono, TS": ("mp2", ".ts", [("stereo", 48000), ("mono", 48000)]),
    "stereo, then mono, MPEG": ("mp2", ".mpg", [("stereo", 48000), ("mono", 48000)]),
    "mono, then stereo": ("mp2", ".ts", [("mono", 48000), ("stereo", 48000), ("mono", 48000)]),
    "another rate, TS": ("mp2", ".ts", [("stereo", 48000), ("stereo", 32000)]),
    "another rate, MPEG": ("mp2", ".mpg", [("stereo", 48000), ("stereo", 32000)]),
    "stereo, then 5.1": ("ac3", ".ts", [("stereo", 48000), ("5.1", 48000)]),
    "5.1, then stereo": ("ac3", ".mkv", [("5.1", 48000), ("stereo", 48000)]),
    "another rate of AC-3": ("ac3", ".mpg", [("stereo", 48000), ("stereo", 32000)]),
    "ADTS": ("aac", ".ts", [("stereo", 48000), ("mono", 32000)]),
    "ADTS, 5.1": ("aac", ".ts", [("mono", 48000), ("5.1", 48000)]),
    "MP3 in Matroska": ("libmp3lame", ".mkv", [("mono", 32000), ("stereo", 48000)]),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_broadcast_may_change_its_sound(change: str, tmp_path: Path) -> None:
    """The clip's sound is throughout what the container says, and in its place."""
    codec, suffix, forms = CHANGES[change]
    sound = broadcast(tmp_path / f"a{suffix}", forms, codec=codec)
    with av.open(str(tmp_path / f"a{suffix}")) as made:
        stated = ("mono" if made.streams.audio[0].channels == 1 else "stereo", made.streams.audio[0].rate)
        seen = {(frame.layout.name.partition("(")[0], frame.sample_rate) for frame in made.decode(audio=0)}
    assert seen >= set(forms), "the file does not change its sound"
    with Reader(tmp_path / f"a{suffix}") as reader:
        transcode(reader, tmp_path / "out.mp4")
        transcode(reader, tmp_path / "part.mp4", start=1.0, end=3.0)
    with Reader(tmp_path / f"a{suffix}") as fresh:
        transcode(fresh, tmp_path / "again.mp4", start=1.0, end=3.0)
    assert (tmp_path / "part.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    with Reader(tmp_path / "out.mp4") as reader:
        assert nonconforming(reader) is None
        assert reader.info.num_frames == 24 * SECONDS * len(forms)
        assert reader.audio is not None and (reader.audio.layout.name, reader.audio.rate) == stated
    sound = resample_poly(sound, stated[1] // 1600, 30)
    for name, begin, seconds in (("out.mp4", 0.0, SECONDS * len(forms)), ("part.mp4", 1.0, 2.0)):
        heard, rate, first = full_sound(tmp_path / name)
        assert first == pytest.approx(0, abs=0.01)
        assert len(heard) / rate == pytest.approx(seconds, abs=0.1)
        for second in np.arange(0.25, seconds, 1.0):  # none of these stretches has a change in it
            piece = sound[round((begin + second) * rate) : round((begin + second + 0.5) * rate)]
            found = int(np.argmax(correlate(heard, piece, "valid"))) / rate
            assert found == pytest.approx(second, abs=0.04), f"{name}: sound of {second} s is at {found} s"


def test_a_build_goes_on_after_a_broadcast(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "movie").mkdir(parents=True)
    broadcast(raw / "movie" / "a.mpg", CHANGES["stereo, then mono, MPEG"][2])
    write_video(raw / "movie" / "b.mp4", numbered_frames(96)[:24])
    sheet = write_sheet(raw, [{"path": f"movie/{name}", "emotion": "awe"} for name in ("a.mpg", "b.mp4")])
    report = build(raw, sheet, tmp_path / "out", workers=1)
    assert report.rejections == () and sum(shard.samples for shard in report.manifest.shards) == 2


def test_no_silence_is_written_beyond_the_pictures(tmp_path: Path) -> None:
    """A damaged time of sound would fill the disk with silence, a recording's next day too."""
    frames = numbered_frames(96)[:48]
    path = write_video(tmp_path / "a.mkv", frames, sound=noise(40), sound_gap=(1, 30))
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4")
    assert [read_stamp(frame) for frame in full_decode(tmp_path / "out.mp4")] == list(range(48))
    heard, rate, _ = full_sound(tmp_path / "out.mp4")
    assert len(heard) / rate == pytest.approx(2, abs=0.1)
    assert np.abs(heard[: int(0.9 * rate)]).max() > 0.1
    assert np.abs(heard[int(1.2 * rate) :]).max() < 1e-3


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
def test_channels_in_an_order_of_the_files_own(tmp_path: Path) -> None:
    """PyAV frees such a layout twice, which ends the process."""
    tones = "|".join(f"0.1*sin({200 * channel}*2*PI*t)" for channel in range(1, 9))
    pictures = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=24:d=1"]
    sound = ["-f", "lavfi", "-i", f"aevalsrc={tones}:d=1", "-c:a", "pcm_s24le"]
    path, out = tmp_path / "a.mov", tmp_path / "out.mp4"
    subprocess.run(["ffmpeg", "-v", "error", *pictures, *sound, path], check=True)
    program = (
        "import sys; from pathlib import Path; from emovid_dataset.media.encode import transcode;"
        "from emovid_dataset.media.source import Reader;"
        "from emovid_dataset.media.sound_levels import sound_levels;"
        "reader = Reader(sys.argv[1]); transcode(reader, Path(sys.argv[2])); sound_levels(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, path, out], check=True)
    heard, rate, _ = full_sound(out)
    assert len(heard) / rate == pytest.approx(1, abs=0.05) and np.abs(heard).max() > 0.05


def test_sound_is_anchored_to_the_segment(tmp_path: Path) -> None:
    """Not to the first picture, which may have come long before."""
    sound = noise(20)
    times = [0.0, 5.0, 10.0, 15.0]
    path = write_video(tmp_path / "a.mp4", numbered_frames(24)[:4], times=times, sound=sound)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4", start=6.5, end=13.0)
    heard, rate, first = full_sound(tmp_path / "out.mp4")
    assert first == pytest.approx(0, abs=0.001) and len(heard) / rate == pytest.approx(6.5, abs=0.03)
    for second in (0.1, 3.0, 6.0):
        piece = sound[round((6.5 + second) * rate) : round((6.7 + second) * rate)]
        assert int(np.argmax(correlate(heard, piece, "valid"))) / rate == pytest.approx(second, abs=0.002)


@pytest.mark.parametrize("codec", ["flac", "libopus"])
def test_a_segment_of_ogg_has_its_own_sound(codec: str, tmp_path: Path) -> None:
    """Ogg dates pages, each with a second of packets, and FFmpeg misses most packets' times after a seek."""
    sound = noise(4, rate=48000)
    path = write_video(
        tmp_path / "a.ogv",
        numbered_frames(96),
        codec="libvpx",
        options={"deadline": "realtime", "cpu-used": "8", "g": "12"},
        sound=sound,
        sound_codec=codec,
        sound_rate=48000,
    )
    for start in (1.02, 1.6, 2.51):
        with Reader(path) as reader:
            transcode(reader, tmp_path / "out.mp4", start=start, end=start + 0.7)
        first = read_stamp(full_decode(tmp_path / "out.mp4")[0])
        assert 0 <= first / 24 - start < 1 / 24
        heard, rate, _ = full_sound(tmp_path / "out.mp4")
        piece = sound[round((start + 0.3) * rate) : round((start + 0.5) * rate)]
        late = int(np.argmax(correlate(heard, piece, "valid"))) / rate - (start + 0.3 - first / 24)
        assert late == pytest.approx(0, abs=0.008)
