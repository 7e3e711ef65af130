"""Files of every kind, made here by ffmpeg, PyAV and Pillow: what of each goes into a build, and how.

Whether pictures are the source's own is told by the ffmpeg command: it decodes source and clip, and every
frame's MD5 and time is compared. Encoded anew, no picture would be the same to the bit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from video_files import rotate, stored_clips, write_sheet

from emovid_dataset import build, verify
from emovid_dataset.media.conforming import misfit_of
from emovid_dataset.media.remux import remux
from emovid_dataset.media.source import Reader

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")

RATE, SECONDS, FRAMES = 24, 0.5, 12
FILE, COPIED, ENCODED, MUTE = "the file itself", "copied", "encoded", "no sound"
H264 = "-c:v libx264 -g 6 -pix_fmt yuv420p"
AAC, NONE = "-c:a aac", "-an"
CLOCK = ["-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
FAST = "-movflags +faststart"
LOCK = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "00112233445566778899aabbccddeeff"]
LOCK += ["-encryption_kid", "ffeeddccbbaa99887766554433221100"]


@dataclass(frozen=True)
class Made:
    """What must come of a file.

    Attributes:
        made: options of ffmpeg that make it.
        pictures: how they get into the clip.
        sound: how it does.
        frames: that come out.
        fps: of the clip.
        size: of the clip.
    """

    made: str
    pictures: str = COPIED
    sound: str = COPIED
    frames: int = FRAMES
    fps: float = RATE
    size: tuple[int, int] = (64, 48)


# from a generated picture and tone
GENERATED = {
    "fast.mp4": Made(f"{H264} {AAC} {FAST}", FILE, FILE),
    "mute.mp4": Made(f"{H264} {NONE} {FAST}", FILE, MUTE),
    "download.bin": Made(f"{H264} -crf 20 {AAC} {FAST} -f mp4", FILE, FILE),
    "no suffix": Made(f"{H264} -crf 21 {AAC} {FAST} -f mp4", FILE, FILE),
    "pieces.mp4": Made(f"{H264} {AAC} -movflags +frag_keyframe+empty_moov", FILE, FILE),
    "mono.mp4": Made(f"{H264} {AAC} -ac 1 -ar 22050"),
    "rate 32000.mkv": Made(f"{H264} {AAC} -ar 32000"),
    "no b-frames.mkv": Made(f"{H264} -bf 0 {AAC}"),
    "pyramid.mkv": Made(f"{H264} -bf 3 -b_strategy 0 -x264-params b-pyramid=2 {AAC}"),
    "open groups.ts": Made(f"{H264} -x264-params open-gop=1 {AAC}"),
    "interlaced tools.mkv": Made(f"{H264} -flags +ilme+ildct {AAC}"),
    "baseline.mov": Made(f"{H264} -profile:v baseline {AAC}"),
    "named bt709.mkv": Made(f"{H264} -colorspace bt709 -color_primaries bt709 -color_trc bt709 {AAC}"),
    "mute.mkv": Made(f"{H264} {NONE}", sound=MUTE),
    "mute.ts": Made(f"{H264} {NONE}", sound=MUTE),
    "mkv.mp4": Made(f"{H264} {AAC} -crf 22 -f matroska"),
    "ts.avi": Made(f"{H264} {AAC} -crf 22 -f mpegts"),
    "ntsc.mkv": Made(f"{H264} {AAC} -vf fps=30000/1001", frames=15, fps=30000 / 1001),
    "pal.ts": Made(f"{H264} {AAC} -vf fps=25", frames=13, fps=25),
    "fast rate.flv": Made(f"{H264} {AAC} -vf fps=60", frames=30, fps=60),
    "opus.mkv": Made(f"{H264} -c:a libopus", sound=ENCODED),
    "mp3.mkv": Made(f"{H264} -c:a libmp3lame", sound=ENCODED),
    "mp3.mp4": Made(f"{H264} -c:a libmp3lame", sound=ENCODED),
    "mp3.flv": Made(f"{H264} -c:a libmp3lame", sound=ENCODED),
    "ac3.ts": Made(f"{H264} -c:a ac3", sound=ENCODED),
    "eac3.mkv": Made(f"{H264} -c:a eac3", sound=ENCODED),
    "mp2.ts": Made(f"{H264} -c:a mp2", sound=ENCODED),
    "pcm.mov": Made(f"{H264} -c:a pcm_s16le", sound=ENCODED),
    "alac.mov": Made(f"{H264} -c:a alac", sound=ENCODED),
    "flac.mkv": Made(f"{H264} -c:a flac", sound=ENCODED),
    "vorbis.mkv": Made(f"{H264} -c:a libvorbis", sound=ENCODED),
    "h264.avi": Made(f"{H264} -bf 0 -c:a libmp3lame", ENCODED, ENCODED),
    "ten bits.mkv": Made(f"-c:v libx264 -pix_fmt yuv420p10le {AAC}", ENCODED),
    "444.mp4": Made(f"-c:v libx264 -pix_fmt yuv444p {AAC}", ENCODED),
    "full range.mkv": Made(f"-c:v libx264 -pix_fmt yuvj420p {AAC}", ENCODED),
    "wide pixels.mkv": Made(f"{H264} {AAC} -vf setsar=2", ENCODED, size=(128, 48)),
    "hevc.mp4": Made(f"-c:v libx265 -x265-params log-level=0 -pix_fmt yuv420p {AAC}", ENCODED),
    "hevc.mkv": Made("-c:v libx265 -x265-params log-level=0 -c:a libopus", ENCODED, ENCODED),
    "mpeg2.mpg": Made("-c:v mpeg2video -c:a mp2", ENCODED, ENCODED),
    "mpeg1.mpeg": Made("-c:v mpeg1video -c:a mp2", ENCODED, ENCODED),
    "dvd.vob": Made("-c:v mpeg2video -c:a ac3", ENCODED, ENCODED),
    "mpeg2.m2ts": Made("-c:v mpeg2video -c:a ac3 -f mpegts -mpegts_m2ts_mode 1", ENCODED, ENCODED),
    "windows.wmv": Made("-c:v wmv2 -c:a wmav2", ENCODED, ENCODED),
    # the first frame stands twice as long: MP3 comes late, and AVI knows no times
    "xvid.avi": Made("-c:v mpeg4 -c:a libmp3lame", ENCODED, ENCODED, fps=22.154),
    "divx.avi": Made("-c:v msmpeg4 -c:a libmp3lame", ENCODED, ENCODED, fps=22.154),
    "mpeg4.3gp": Made(f"-c:v mpeg4 {AAC}", ENCODED),
    "phone.3gp": Made(f"-c:v h263 -s 128x96 {AAC}", ENCODED, size=(128, 96)),
    # its encoder says of three frames that nothing has changed
    "theora.ogv": Made("-c:v libtheora -c:a libvorbis", ENCODED, ENCODED, 9, 19.636),
    "vp8.webm": Made("-c:v libvpx -c:a libvorbis", ENCODED, ENCODED),
    "vp8.dat": Made("-c:v libvpx -crf 20 -b:v 1M -c:a libvorbis -f webm", ENCODED, ENCODED),
    "vp9.webm": Made("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", ENCODED, ENCODED),
    "av1.mp4": Made(f"-c:v libaom-av1 -cpu-used 8 -usage realtime {AAC}", ENCODED),
    "motion.avi": Made("-c:v mjpeg -c:a pcm_s16le", ENCODED, ENCODED),
    "huffyuv.avi": Made("-c:v huffyuv -an", ENCODED, MUTE),
    "ffv1.mkv": Made("-c:v ffv1 -an", ENCODED, MUTE),
    "prores.mov": Made("-c:v prores -c:a pcm_s16le", ENCODED, ENCODED),
    "sorenson.flv": Made("-c:v flv1 -c:a libmp3lame", ENCODED, ENCODED),
    "broadcast.mxf": Made("-c:v mpeg2video -vf fps=25 -c:a pcm_s16le", ENCODED, ENCODED, 13, 25),
    "ffmpeg.nut": Made("-c:v mpeg4 -c:a libmp3lame", ENCODED, ENCODED),
    "animation.gif": Made("-r 10 -an", ENCODED, MUTE, 5, 10),
    "animation.apng": Made("-r 10 -an -plays 0 -f apng", ENCODED, MUTE, 5, 10),
    "animation.avif": Made("-r 10 -an -c:v libaom-av1 -cpu-used 8 -usage realtime", ENCODED, MUTE, 5, 10),
    "transparent.mov": Made("-c:v qtrle -pix_fmt argb -an", ENCODED, MUTE),
    "uncompressed.y4m": Made("-pix_fmt yuv420p -an -f yuv4mpegpipe", ENCODED, MUTE),
    "stream.ivf": Made("-c:v libvpx -an", ENCODED, MUTE),
    "slow motion.mp4": Made(f"{H264} -vf fps=120 {NONE}", sound=MUTE, frames=60, fps=120),
    "odd.mkv": Made("-vf scale=63:47,setsar=1 -c:v ffv1 -an", ENCODED, MUTE),
    "flash.swf": Made("-c:v flv1 -an", ENCODED, MUTE),
    "10 bits.mkv": Made(
        "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt yuv420p10le -an", ENCODED, MUTE
    ),
    "cineform.mov": Made("-c:v cfhd -an", ENCODED, MUTE),
}

# from a finished MP4 of H.264 and AAC, nothing encoded
REPACKED = {
    "end.mp4": Made("-c copy"),
    "camera.mov": Made("-c copy"),
    "tunes.m4v": Made("-c copy -f ipod"),
    "matroska.mkv": Made("-c copy"),
    "broadcast.ts": Made("-c copy"),
    "disc.m2ts": Made("-c copy -f mpegts -mpegts_m2ts_mode 1"),
    "disc.mts": Made("-c copy -f mpegts -mpegts_m2ts_mode 1 -muxdelay 2"),
    "flash.flv": Made("-c copy"),
    "flash.f4v": Made("-c copy -f f4v"),
    "phone h264.3gp": Made("-c copy"),
    "late.ts": Made("-c copy -output_ts_offset 1000"),
    "two sounds.mkv": Made("-map 0:v -map 0:a -map 0:a -c copy"),
    "sound first.mkv": Made("-map 0:a -map 0:v -c copy"),
}

REFUSED = {
    "text.mp4": "Invalid data found",
    "sheet.csv": "",
    "empty.mkv": "is empty (0 bytes)",
    "noise.mkv": "",
    "cut.mp4": "is truncated",
    "photo.mp4": "is a still picture",
    "song.m4a": "has no video stream",
    "list.mp4": "",
    "script.mp4": "",
    "camera.sdp": "",
    "clips.zip": "",
    # FFmpeg draws the cipher's first vector at random, and with it what of the noise looks like a frame.
    "locked.mp4": "",
    "song with cover.m4a": "has no video stream",
    "photo.tga": "is a still picture",
    "photo.avif": "is a still picture",
    "icon.ico": "is a still picture",
    "photo and film.jpg": "is a still picture",
    "pipe.mp4": "is not a regular file",
    "itself.mp4": "is a link in a circle",
}
"""What is said of a file that is no video; where nothing stands here FFmpeg's words change."""


def ffmpeg(*arguments: str | Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@lru_cache
def frames(path: Path) -> list[tuple[float, str]]:
    """Seconds from the first one and MD5 of every frame, by the ffmpeg command."""
    text = ffmpeg("-copyts", "-i", path, "-map", "0:v:0", *CLOCK, "-f", "framemd5", "-")
    found: list[tuple[float, str]] = []
    tick = 0.0
    for line in text.decode().splitlines():
        if line.startswith("#tb 0:"):
            above, below = line.split(":")[1].split("/")
            tick = int(above) / int(below)
        elif not line.startswith("#"):
            fields = [field.strip() for field in line.split(",")]
            found.append((int(fields[2]) * tick, fields[5]))
    return [(time - found[0][0], md5) for time, md5 in found]


def samples(path: Path) -> np.ndarray:
    """All sound, by the ffmpeg command."""
    return np.frombuffer(ffmpeg("-i", path, "-map", "0:a:0", "-f", "f32le", "-"), "<f4")


def make_files(raw: Path) -> None:
    sources = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r={RATE}:d={SECONDS}"]
    sources += ["-f", "lavfi", "-i", f"sine=440:r=48000:d={SECONDS}"]
    outputs: list[str | Path] = []
    for name, made in GENERATED.items():
        outputs += ["-threads", "1", "-t", str(SECONDS), *made.made.split(), raw / name]
    ffmpeg(*sources, *outputs)
    base = raw.parent / "base.mp4"
    ffmpeg(*sources, *f"{H264} -bf 2 {AAC}".split(), base)
    outputs = []
    for name, made in REPACKED.items():
        outputs += [*made.made.split(), raw / name]
    ffmpeg("-i", base, *outputs)
    shutil.copy(base, raw / "turned.mp4")
    rotate(raw / "turned.mp4", 90)
    (raw / "joined.ts").write_bytes((raw / "mute.ts").read_bytes() * 2)
    ffmpeg("-ss", "0.2", "-i", base, "-c", "copy", raw / "trimmed.mp4")
    pictures = [Image.fromarray(np.full((48, 64, 3), 20 * place, np.uint8)) for place in range(6)]
    pictures[0].save(raw / "animation.webp", save_all=True, append_images=pictures[1:], duration=100)
    # what is no video
    (raw / "text.mp4").write_text("Once upon a time there was a text.\n" * 50)
    (raw / "sheet.csv").write_text("a,b\n1,2\n")
    (raw / "empty.mkv").touch()
    (raw / "noise.mkv").write_bytes(np.random.default_rng(1).bytes(5000))
    data = (raw / "end.mp4").read_bytes()
    (raw / "cut.mp4").write_bytes(data[: len(data) // 2])
    pictures[3].save(raw / "photo.mp4", format="jpeg")
    ffmpeg("-i", base, "-vn", "-c", "copy", raw / "song.m4a")
    ffmpeg("-i", base, "-c", "copy", *LOCK, raw / "locked.mp4")
    pictures[3].save(raw.parent / "cover.jpg")
    cover = ["-i", raw.parent / "cover.jpg", "-map", "0:a", "-map", "1:v", "-c", "copy"]
    ffmpeg("-i", base, *cover, "-disposition:v", "attached_pic", raw / "song with cover.m4a")
    for name in ("photo.tga", "photo.avif", "icon.ico"):
        pictures[3].save(raw / name)
    # as telephones store a photo with a moment of film behind it
    (raw / "photo and film.jpg").write_bytes((raw.parent / "cover.jpg").read_bytes() + base.read_bytes())
    with ZipFile(raw / "clips.zip", "w") as archive:
        archive.write(base)
    (raw / "script.mp4").write_text(f"ffconcat version 1.0\nfile {base}\n")
    (raw / "camera.sdp").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n")
    os.mkfifo(raw / "pipe.mp4")
    (raw / "itself.mp4").symlink_to(raw / "itself.mp4")
    (raw / "round").symlink_to(raw)
    (raw / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nend.mp4\n#EXT-X-ENDLIST\n")


OTHERS = {
    "turned.mp4": Made("", ENCODED, COPIED, size=(48, 64)),
    "joined.ts": Made("", ENCODED, MUTE, frames=24),
    "trimmed.mp4": Made("", ENCODED, COPIED, frames=7),
    "animation.webp": Made("", ENCODED, MUTE, 6, 10),
}
TAKEN = {**GENERATED, **REPACKED, **OTHERS}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "raw"
    folder.mkdir()
    make_files(folder)
    return folder


@pytest.fixture(scope="module")
def built(raw: Path) -> tuple[dict[str, Path], dict[str, tuple], dict[str, str]]:
    """Every clip of a build as a file of its own, its fields, and the refusals, each by name."""
    rows = [{"path": name, "emotion": "awe", "content_type": "movie"} for name in (*TAKEN, *REFUSED)]
    sheet = write_sheet(raw.parent, rows)
    report = build(raw, sheet, raw.parent / "out", engine="serial")
    assert verify(raw.parent / "out", decode=True, engine="serial") == []
    clips: dict[str, Path] = {}
    fields: dict[str, tuple] = {}
    for name, (values, data) in stored_clips(raw.parent / "out").items():
        clips[name] = raw.parent / f"{values['id']}.mp4"
        clips[name].write_bytes(data)
        fields[name] = (values["num_frames"], values["fps"], (values["width"], values["height"]))
    return clips, fields, {rejection.path: rejection.reason for rejection in report.rejections}


def test_there_are_many_and_no_other_is_refused(built: tuple) -> None:
    clips, _, refused = built
    assert len(TAKEN) + len(REFUSED) >= 60
    assert set(clips) == set(TAKEN) and set(refused) == set(REFUSED)


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_file_that_is_no_video_is_refused_with_its_reason(name: str, built: tuple) -> None:
    assert REFUSED[name] in built[2][name] and built[2][name]


@pytest.mark.parametrize("name", list(TAKEN))
def test_what_comes_of_a_file(name: str, raw: Path, built: tuple) -> None:
    wanted, clip = TAKEN[name], built[0][name]
    count, fps, size = built[1][name]
    assert (count, size) == (wanted.frames, wanted.size) and fps == pytest.approx(wanted.fps, abs=0.01)
    if wanted.pictures == FILE:
        assert clip.read_bytes() == (raw / name).read_bytes()
        return
    data = clip.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    ours = frames(clip)
    assert len(ours) == wanted.frames
    if name not in ("joined.ts", "trimmed.mp4", "animation.webp"):  # ffmpeg shows others, or none
        theirs = frames(raw / name)
        same = [md5 for _, md5 in ours] == [md5 for _, md5 in theirs]
        assert same == (wanted.pictures == COPIED)
        if name != "h264.avi":  # of whose times two versions of FFmpeg think differently
            off = [abs(one - other) for (one, _), (other, _) in zip(ours, theirs, strict=True)]
            assert max(off) <= 0.001
    if wanted.sound == MUTE:
        assert b"mp4a" not in data
        return
    heard = samples(clip)
    assert abs(len(heard) / 48000 - SECONDS) < 0.06 or name in ("mono.mp4", "rate 32000.mkv", "trimmed.mp4")
    if wanted.sound == COPIED and name != "trimmed.mp4":
        source = samples(raw / name)
        # the encoder's lead-in of 1,024 samples is heard where the container does not hide it
        before = len(source) - len(heard)
        assert 0 <= before <= 1024 and np.array_equal(source[before:], heard)


@pytest.mark.parametrize("name", ["end.mp4", "matroska.mkv", "broadcast.ts", "opus.mkv"])
def test_the_same_file_gives_the_same_bytes(name: str, raw: Path, built: tuple, tmp_path: Path) -> None:
    with Reader(raw / name) as reader:
        fit = misfit_of(reader)
        assert fit.pictures is None
        remux(reader, tmp_path / "again.mp4", fit.layout)
    assert (tmp_path / "again.mp4").read_bytes() == built[0][name].read_bytes()


def test_a_clip_that_is_copied_is_as_large_as_its_source(raw: Path, built: tuple) -> None:
    for name in REPACKED:
        packed = (raw / name).stat().st_size
        assert built[0][name].stat().st_size < packed + 1500
