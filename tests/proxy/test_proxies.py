"""Proxies: what they are, who reads them, and that no change of a build leaves one that disagrees with it."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import yaml
from buckets import s3, s3_server  # noqa: F401
from served_folder import served
from torch.utils.data import DataLoader
from video_files import folder_bytes, noise, numbered_frames, read_stamp, sticker, write_sheet, write_video

from emovid_dataset import append, build, make_proxy, read_manifest, remove, stream, verify
from emovid_dataset.builder import proxy as making
from emovid_dataset.builder.proxy_shards import make_proxy_shard
from emovid_dataset.check import check_build
from emovid_dataset.media.proxy import write_proxy
from emovid_dataset.media.source import VideoError
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.proxies import PROXIES_NAME, ProxySettings, parse_proxies
from emovid_dataset.store import Store
from emovid_models.publish.repos import assemble

SIDE, EVERY = 96, 5
UNEVEN = [0.0, 0.04, 0.2, 0.21, 0.5, 0.55, 0.6, 0.9, 1.0, 1.3, 1.32, 1.4]
"""Seconds at which the frames of one clip are shown."""

Row = dict[str, Any]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """Four clips of 320x192 with numbered frames, one with sound and one of uneven rhythm; three stickers."""
    folder = tmp_path_factory.mktemp("raw")
    frames = numbered_frames(48, 320, 192)
    (folder / "movie").mkdir()
    shows: list[dict[str, Any]] = [{"sound": noise(1.0)}, {}, {"times": UNEVEN}, {"rate": 15}]
    for index, kind in enumerate(shows):
        chosen = frames[12 * index :][: len(UNEVEN) if "times" in kind else 24]
        write_video(folder / f"movie/{index}.mp4", chosen, options={"crf": "12", "g": "250"}, **kind)
    (folder / "sticker").mkdir()
    for path in sorted(sticker().parent.glob("*.mp4"))[:3]:
        shutil.copy(path, folder / "sticker" / path.name)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.mp4"))
    rows = [
        {"path": path, "emotion": EMOTIONS[index], "caption": f"Clip {index}", "split": "train"}
        for index, path in enumerate(paths)
    ]
    return folder, rows


def built(raw: tuple[Path, list[Row]], out: Path, count: int = 7, **how: Any) -> Path:
    folder, rows = raw
    build(folder, write_sheet(folder, rows[:count]), out, engine="serial", shard_size=80_000, seed=1, **how)
    return out


def made(folder: Path | str, **how: Any) -> Any:
    return make_proxy(folder, short_side=SIDE, keyframe_every=EVERY, engine="serial", **how)


@pytest.fixture(scope="module")
def whole(raw: tuple[Path, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of all clips with proxies of 96."""
    out = built(raw, tmp_path_factory.mktemp("whole") / "out")
    report = made(out)
    assert len(report.made) == len(read_manifest(out).shards) >= 3 and not report.kept and not report.copied
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def members(folder: Path, top: str) -> dict[str, dict[str, bytes]]:
    """The samples below a folder by key, in the order of the shards, by the standard library alone."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob(f"{top}/**/*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                key, _, suffix = member.name.partition(".")
                file = shard.extractfile(member)
                assert file is not None
                found.setdefault(key, {})[suffix] = file.read()
    return found


def test_a_proxy_is_the_same_sample_with_a_smaller_video(whole: Path, tmp_path: Path) -> None:
    originals, proxies = members(whole, "data"), members(whole, f"proxy/{SIDE}")
    assert list(proxies) == list(originals)
    for key, proxy in proxies.items():
        assert [*proxy] == ["mp4", "json", "txt", "cls", "proxy.json"]
        assert all(proxy[name] == originals[key][name] for name in ("json", "txt", "cls"))
        paths = tmp_path / "proxy.mp4", tmp_path / "original.mp4"
        for path, sample in zip(paths, (proxy, originals[key]), strict=True):
            path.write_bytes(sample["mp4"])
        times = []
        for path in paths:
            with av.open(str(path)) as file:
                picture = next(file.decode(video=0))
                file.seek(0)
                times.append(sorted(float(p.pts * p.time_base) for p in file.demux(video=0) if p.size))
            if path is paths[0]:
                assert (picture.width, picture.height) == ((160, 96) if key[0] == "m" else (96, 96))
                with av.open(str(path)) as file:
                    places = [place for place, p in enumerate(file.demux(video=0)) if p.is_keyframe]
                assert places == list(range(0, len(times[0]), EVERY))
        assert np.allclose(times[0], np.array(times[1]) - times[1][0], atol=1e-6)
        told = json.loads(proxy["proxy.json"])
        assert told["num_frames"] == len(times[0])
        assert told["sha256"] == hashlib.sha256(proxy["mp4"]).hexdigest()
    (one,) = parse_proxies((whole / PROXIES_NAME).read_text())
    assert one.settings == ProxySettings(SIDE, EVERY)
    for shard in one.shards:
        assert shard.source_sha256 == hashlib.sha256((whole / shard.source).read_bytes()).hexdigest()
        assert shard.sha256 == hashlib.sha256((whole / shard.path).read_bytes()).hexdigest()
    assert verify(whole, decode=True, engine="serial") == []


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg command is not installed")
def test_the_psnr_is_what_ffmpeg_measures(whole: Path, tmp_path: Path) -> None:
    originals, proxies = members(whole, "data"), members(whole, f"proxy/{SIDE}")
    # with at most 16 frames all of them are compared
    key = next(key for key, m in proxies.items() if json.loads(m["proxy.json"])["num_frames"] == len(UNEVEN))
    for name, sample in (("a", originals[key]), ("b", proxies[key])):
        (tmp_path / f"{name}.mp4").write_bytes(sample["mp4"])
    graph = "[0:v]scale=160:96:flags=bilinear[a];[a][1:v]psnr=stats_file=p.txt"
    command = ["ffmpeg", "-i", "a.mp4", "-i", "b.mp4", "-fps_mode", "passthrough", "-lavfi", graph]
    subprocess.run([*command, "-f", "null", "-"], cwd=tmp_path, check=True, capture_output=True)
    errors = [float(x) for x in re.findall(r"mse_avg:([\d.]+)", (tmp_path / "p.txt").read_text())]
    assert len(errors) == len(UNEVEN)
    theirs = 10 * np.log10(255**2 / np.mean(errors))
    assert abs(json.loads(proxies[key]["proxy.json"])["psnr"] - theirs) < 1.0


@pytest.mark.parametrize(
    "taken",
    [
        {"frames": 4, "shuffle": 2},
        {"frames": 3, "windows": 2, "frame_rate": 12, "audio": 8000, "fit": "pad", "size": (96, 64)},
        {"frames": 5, "frame_rate": 8, "rank": 1, "world_size": 2},
    ],
    ids=["uniform", "windows and sound", "a rank"],
)
def test_a_stream_of_proxies_is_that_of_the_originals(whole: Path, taken: dict[str, Any]) -> None:
    taken = {"size": SIDE, **taken}
    ours, theirs = (list(stream(whole, **taken, proxy=proxy)) for proxy in ("auto", False))
    assert [item["id"] for item in ours] == [item["id"] for item in theirs] != []
    for one, other in zip(ours, theirs, strict=True):
        for name, value in one.items():
            if name == "video":
                off = value.int() - other["video"].int()
                assert off.float().pow(2).mean().sqrt() < 6 and off.any()
            elif isinstance(value, torch.Tensor):
                assert torch.equal(value.nan_to_num(-1), other[name].nan_to_num(-1)), name
            elif value == value:
                assert value == other[name], name


def test_the_same_frames_are_chosen(whole: Path) -> None:
    def numbers(item: dict[str, Any]) -> list[int]:
        whole_size = torch.nn.functional.interpolate(item["video"].float(), (192, 320), mode="bilinear")
        return [read_stamp(picture.permute(1, 2, 0).numpy()) for picture in whole_size]

    # at a width of 160 each block of the number still has four pixels
    how: dict[str, Any] = {"frames": 6, "frame_rate": 12, "size": (96, 160), "shuffle": 0}
    settings = make_proxy(whole, short_side=160, engine="serial")
    try:
        ours, theirs = ([*stream(whole, "movie", **how, proxy=each)] for each in (True, False))
    finally:
        shutil.rmtree(whole / "proxy/160")
        one, _ = read_proxies(Store.at(whole))
        (whole / PROXIES_NAME).write_text(making.proxies_json([one]))
    assert settings.size > 0
    assert [numbers(item) for item in ours] == [numbers(item) for item in theirs]
    assert len({number for item in ours for number in numbers(item)}) > 12


def test_proxies_are_taken_where_they_serve(whole: Path, raw: tuple[Path, list[Row]], tmp_path: Path) -> None:
    assert stream(whole, size=SIDE, proxy="auto").proxies
    for size in (SIDE + 1, (SIDE, SIDE + 1)):
        assert not stream(whole, size=size, proxy="auto").proxies
        with pytest.raises(ValueError, match=r"short side of 96, and size is 97; .*--short-side 256"):
            stream(whole, size=size, proxy=True)
    assert not stream(whole, size=SIDE).proxies
    with pytest.raises(ValueError, match="proxy is 'yes'; allowed: True, False, 'auto'"):
        stream(whole, size=SIDE, proxy="yes")  # type: ignore[arg-type]
    bare = Path(shutil.copytree(whole, tmp_path / "bare"))
    shutil.rmtree(bare / "proxy")
    assert not stream(bare, size=SIDE, proxy="auto").proxies
    with pytest.raises(ValueError, match="it has no proxies; make them by `emovid proxy"):
        stream(bare, size=SIDE, proxy=True)


def test_the_card_s_configs_leave_them_out(whole: Path) -> None:
    configs = yaml.safe_load((whole / "README.md").read_text().split("---\n")[1])["configs"]
    patterns = [entry["path"] for config in configs for entry in config["data_files"]]
    names = [path.relative_to(whole).as_posix() for path in whole.rglob("*.tar")]
    taken = {name for name in names for pattern in patterns if fnmatch.fnmatchcase(name, pattern)}
    assert taken == {shard.path for shard in read_manifest(whole).shards} != set(names)


def test_workers_and_a_web_server_give_them_too(whole: Path) -> None:
    local = [item["id"] for item in stream(whole, size=SIDE, frames=1, proxy=True)]
    with served(whole) as server:
        loader = DataLoader(
            stream(server.url, size=SIDE, frames=1, proxy=True), batch_size=None, num_workers=2
        )
        remote = [item["id"] for item in loader]
        asked = {path for path, _, _ in server.sent if path.endswith(".tar")}
    assert sorted(remote) == sorted(local)
    assert asked and all(path.startswith(f"/proxy/{SIDE}/") for path in asked)


def test_a_bucket_gets_the_same_bytes(whole: Path, s3: Store) -> None:  # noqa: F811
    for name in Store.at(whole).list():
        if not name.startswith("proxy/"):
            s3.put(name, whole / name)
    made(s3.root)
    assert {name: s3.read(name) for name in s3.list("proxy")} == {
        f"proxy/{name}": data for name, data in folder_bytes(whole / "proxy").items()
    }
    ids = [item["id"] for item in stream(s3.root, size=SIDE, frames=1, proxy=True)]
    assert ids == [item["id"] for item in stream(whole, size=SIDE, frames=1)]


def test_an_interrupted_run_goes_on(whole: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(out / "proxy")
    done: list[str] = []

    def interrupted(store: Store, shard: Any, settings: ProxySettings) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(shard.path)
        return make_proxy_shard(store, shard, settings)

    monkeypatch.setattr("emovid_dataset.builder.proxy_shards.make_proxy_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(out)
    with pytest.raises(ValueError, match=r"stale: \d of \d shards"):
        stream(out, size=SIDE, proxy=True)
    again: list[str] = []

    def counted(store: Store, shard: Any, settings: ProxySettings) -> Any:
        again.append(shard.path)
        return make_proxy_shard(store, shard, settings)

    monkeypatch.setattr("emovid_dataset.builder.proxy_shards.make_proxy_shard", counted)
    made(out)
    assert not set(again) & set(done) and {*again, *done} == {s.path for s in read_manifest(out).shards}
    assert folder_bytes(out) == folder_bytes(whole)


def test_a_clip_that_cannot_be_made_goes_in_as_it_is(
    whole: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(out / "proxy")
    (odd, *_) = [sample["mp4"] for sample in members(out, "data").values()]

    def refusing(clip: bytes, path: Path, settings: ProxySettings) -> Any:
        if clip == odd:
            raise VideoError("becomes frames of other times")
        return write_proxy(clip, path, settings)

    monkeypatch.setattr("emovid_dataset.builder.proxy_shards.write_proxy", refusing)
    assert made(out).copied == 1
    samples = members(out, f"proxy/{SIDE}")
    (copied,) = [m for m in samples.values() if "copied" in json.loads(m["proxy.json"])]
    assert copied["mp4"] == odd
    assert verify(out, decode=True, engine="serial") == []
    ours, theirs = (
        {item["id"]: item["video"] for item in stream(out, size=SIDE, frames=3, proxy=proxy)}
        for proxy in (True, False)
    )
    assert sum(torch.equal(video, theirs[key]) for key, video in ours.items()) == 1


def test_other_settings_are_refused_and_then_made(out: Path) -> None:
    assert not made(out).made
    assert not make_proxy(out, short_side=SIDE, engine="serial").made  # what is not said is as it was
    with pytest.raises(
        ValueError, match=r"crf is 40, but .* has proxies of 96 with crf 20; give --overwrite"
    ):
        make_proxy(out, short_side=SIDE, crf=40, engine="serial")
    report = make_proxy(out, short_side=SIDE, crf=40, overwrite=True, engine="serial")
    assert len(report.made) == len(read_manifest(out).shards)
    assert (report.settings.crf, report.settings.keyframe_every) == (40, EVERY)
    assert verify(out, engine="serial") == []


def test_a_removed_clip_leaves_the_proxies_too(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(out)
    shard = max(manifest.shards, key=lambda shard: shard.samples)
    with tarfile.open(out / shard.path) as tar:
        gone = tar.getnames()[0].partition(".")[0]
    video = members(out, f"proxy/{SIDE}")[gone]["mp4"]
    before = members(out, f"proxy/{SIDE}")
    # what an interrupted run for another size has left
    (out / "proxy/64/movie").mkdir(parents=True)
    shutil.copy(out / shard.path, out / "proxy/64/movie/train-00000.tar")
    monkeypatch.setattr("emovid_dataset.media.proxy._write", None)  # no video is encoded again
    remove(out, ids=[gone], engine="serial")
    left = folder_bytes(out)
    assert not [name for name, data in left.items() if gone.encode() in data and name != "removed.jsonl"]
    assert not [name for name, data in left.items() if video in data]
    assert not [name for name in left if name.startswith("proxy/64")]
    assert members(out, f"proxy/{SIDE}") == {key: sample for key, sample in before.items() if key != gone}
    assert verify(out, decode=True, engine="serial") == []
    assert stream(out, size=SIDE, proxy=True).proxies
    assert not made(out).made


def test_a_shard_that_empties_takes_its_proxy_along(out: Path) -> None:
    shard = read_manifest(out).shards[0]
    with tarfile.open(out / shard.path) as tar:
        ids = {name.partition(".")[0] for name in tar.getnames()}
    remove(out, ids=ids, engine="serial")
    assert not (out / shard.path).exists() and not (out / f"proxy/{SIDE}" / shard.path[5:]).exists()
    assert check_build(out, engine="serial").violations == check_build(out, engine="serial").notes == ()


def test_a_build_that_grew_says_which_proxies_it_lacks(raw: tuple[Path, list[Row]], tmp_path: Path) -> None:
    out = built(raw, tmp_path / "out", count=5)
    made(out)
    folder, rows = raw
    rows = [{**row, "caption": "Another one"} if row is rows[0] else row for row in rows]
    append(folder, write_sheet(folder, rows), out, update=True, engine="serial")
    report = check_build(out, engine="serial")
    assert report.violations == ()
    assert [
        note for note in report.notes if "shards have no proxy; run `emovid proxy --short-side 96`" in note
    ]
    # the caption of a clip that stays has followed
    captions = {sample["txt"] for sample in members(out, f"proxy/{SIDE}").values()}
    assert b"Another one" in captions
    with pytest.warns(UserWarning, match="the originals are read until `emovid proxy` has made them"):
        assert not stream(out, size=SIDE, proxy="auto").proxies
    with pytest.raises(ValueError, match=r"its proxies of 96 are stale: .*--short-side 96"):
        stream(out, size=SIDE, proxy=True)
    done = made(out)
    assert done.made and done.kept
    assert list(members(out, f"proxy/{SIDE}")) == list(members(out, "data"))
    assert check_build(out, decode=True, engine="serial").notes == ()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def other_source(path: Path, out: Path) -> None:
    """As if the shard had been replaced by one that is not the proxy's original."""
    text = (out / PROXIES_NAME).read_text()
    one = parse_proxies(text)[0].shards[0]
    (out / PROXIES_NAME).write_text(text.replace(one.source_sha256, "0" * 64))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path, out: flip(path), r"proxy/96/\S+: sha256 is .*run `emovid proxy`"),
        (lambda path, out: path.unlink(), r"proxy/96/\S+: is missing; run `emovid proxy`"),
        (other_source, r"proxy/96/\S+: is stale: data/\S+ is another shard now"),
    ],
    ids=["bit rot", "missing", "of another shard"],
)
def test_verify_knows_proxies_and_they_are_made_anew(
    whole: Path, out: Path, harm: Callable[[Path, Path], object], said: str
) -> None:
    shard = read_proxies(Store.at(out))[0].shards[0]
    harm(out / shard.path, out)
    found = verify(out, engine="serial")
    assert [line for line in found if re.match(said, line)] and all("proxy" in line for line in found)
    assert made(out).made == (shard.source,)
    assert folder_bytes(out) == folder_bytes(whole)


def test_a_damaged_list_is_one_line_and_blocks_no_reader_of_originals(out: Path) -> None:
    for text in (
        "{",
        '{"name": "other"}',
        (out / PROXIES_NAME).read_text().replace("proxy/96/", "proxy/../"),
    ):
        (out / PROXIES_NAME).write_text(text)
        assert [line for line in verify(out, engine="serial") if line.startswith("proxy/manifest.json")]
        assert next(iter(stream(out, size=SIDE, frames=1)))
        with pytest.raises(
            ValueError, match=r"^proxy/manifest\.json.*; delete that file and run `emovid proxy`"
        ):
            stream(out, size=SIDE, proxy=True)
    (out / PROXIES_NAME).unlink()
    assert made(out).made
    assert verify(out, engine="serial") == []


def test_push_takes_what_is_of_the_build_as_it_is(out: Path) -> None:
    files = set(assemble("dataset", out, repo_id="me/EmoVid").files)
    listed = {shard.path for shard in read_proxies(Store.at(out))[0].shards}
    assert listed | {PROXIES_NAME} <= files
    other_source(out, out)
    tree = assemble("dataset", out, repo_id="me/EmoVid")
    left = {name for name in tree.files if name.startswith("proxy/")}
    content = tree.files[PROXIES_NAME]
    assert isinstance(content, bytes)
    assert left == {PROXIES_NAME, *(shard.path for shard in parse_proxies(content.decode())[0].shards)}
    assert len(left) == len(listed)


def test_a_build_is_still_known_as_finished(raw: tuple[Path, list[Row]], out: Path) -> None:
    before = folder_bytes(out)
    built(raw, out)
    assert folder_bytes(out) == before
    built(raw, out, overwrite=True)
    assert not (out / "proxy").exists()


def test_bytes_are_limited_where_half_of_the_pixels_go(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(48, 320, 192), options={"crf": "30"})
    clip = path.read_bytes()
    sizes = []
    for share in (0.5, 1.0):
        write_proxy(clip, tmp_path / "b.mp4", ProxySettings(128, 8, 1, share))
        sizes.append((tmp_path / "b.mp4").stat().st_size / len(clip))
    assert sizes[0] <= 0.5 < sizes[1] <= 1.0
    # half of the few bytes of a sticker would show hardly anything
    clip = sticker().read_bytes()
    facts = write_proxy(clip, tmp_path / "b.mp4", ProxySettings(64, 8, 20, 0.3))
    assert facts.psnr > 30 and (tmp_path / "b.mp4").stat().st_size > 0.5 * len(clip)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"short_side": 95}, "short_side is 95; it must be an even number 16..8192"),
        ({"keyframe_every": 0}, "keyframe_every is 0; it must be 1..1000"),
        ({"crf": 52}, "crf is 52; it must be 0..51"),
        ({"byte_share": 0.0}, "byte_share is 0.0; it must be above 0 and at most 1"),
    ],
)
def test_settings_out_of_range_are_refused(whole: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make_proxy(whole, **{"short_side": SIDE, **wrong})
