"""Measuring many videos: what each measure says, nothing measured twice, what cannot be read is said."""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_networks import save_clip, save_videomae

from emovid_dataset.engine import Processes
from emovid_dataset.media.frames import decode
from emovid_models.evaluation.benchmark import first_frame
from emovid_models.evaluation.frame_scores import rgb_frames
from emovid_models.evaluation.measures.clip_model import ClipModel
from emovid_models.evaluation.measures.clip_score import clip_score
from emovid_models.evaluation.measures.first_frame import first_frame_consistency
from emovid_models.evaluation.measures.flicker import temporal_flicker
from emovid_models.evaluation.measures.videomae_model import VideoMaeModel
from emovid_models.evaluation.measuring import Measurable, Networks, measure_videos
from emovid_models.wan.frames import read_image, write_video


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = tmp_path_factory.mktemp("networks")
    return Networks(str(save_clip(folder / "clip")), str(save_videomae(folder / "videomae")), "cpu")


def made(folder: Path, count: int = 3, frames: int = 5) -> list[Measurable]:
    """Videos that were made for a larger first frame of another shape."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        path, first = folder / f"{number}.mp4", folder / f"{number}.png"
        smooth = np.linspace(0, 1, 48)[None, None, :, None] * rng.uniform(0.3, 1, (frames, 1, 1, 3))
        write_video(path, np.broadcast_to(smooth, (frames, 32, 48, 3)))
        Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)).save(first)
        text = "a cat on a roof " * (1 + 5 * number)
        found.append(Measurable(path.name, "1", lambda path=path: str(path), text, str(first)))
    return found


def pickled(videos: list[Measurable]) -> list[Measurable]:
    return [dataclasses.replace(video, open=str_of(video)) for video in videos]


def str_of(video: Measurable) -> object:
    from functools import partial

    return partial(str, video.open())


def test_every_measure_is_its_function_on_all_frames(tmp_path: Path, networks: Networks) -> None:
    videos = made(tmp_path)
    found, reused = measure_videos(videos, networks, tmp_path / "measured")
    assert reused == 0 and [one.file for one in found] == ["0.mp4", "1.mp4", "2.mp4"]
    clip, videomae = ClipModel(str(networks.clip)), VideoMaeModel(str(networks.videomae))
    for video, one in zip(videos, found, strict=True):
        frames = decode(str(video.open()))
        features, text = clip.frames(frames), clip.text(video.text)
        given = np.asarray(read_image(Path(str(video.first)), 32, 48))
        assert one.frames == 5 and one.error is None
        assert one.flicker == temporal_flicker(frames) > 0
        assert one.clip_score == pytest.approx(clip_score(features, text.feature), abs=1e-6)
        assert one.first_frame == pytest.approx(
            first_frame_consistency(features, clip.frames([given])[0]), abs=1e-6
        )
        assert (one.tokens, one.truncated) == (text.tokens, text.is_truncated)
        expected = videomae.video(decode(str(video.open()), frames=4, size=16))
        np.testing.assert_allclose(one.feature, expected, atol=1e-6)
    assert [one.truncated for one in found] == [False, False, True]


def test_frames_one_by_one_are_those_of_the_decoder(tmp_path: Path) -> None:
    (video,) = made(tmp_path, 1)
    np.testing.assert_array_equal(np.stack(list(rgb_frames(video.open()))), decode(video.open()))


def test_without_networks_only_pixels_are_measured(tmp_path: Path) -> None:
    (one,), _ = measure_videos(made(tmp_path, 1), Networks(), tmp_path / "measured")
    assert one.flicker is not None and one.error is None
    assert one.clip_score is one.first_frame is one.feature is one.truncated is None


def test_a_single_frame_has_no_flicker(tmp_path: Path, networks: Networks) -> None:
    (one,), _ = measure_videos(made(tmp_path, 1, frames=1), networks, tmp_path / "measured")
    assert one.frames == 1 and one.flicker is None and one.clip_score is not None and one.error is None


def test_text_to_video_has_no_first_frame(tmp_path: Path, networks: Networks) -> None:
    videos = [dataclasses.replace(video, first=None) for video in made(tmp_path, 1)]
    (one,), _ = measure_videos(videos, networks, tmp_path / "measured")
    assert one.first_frame is None and one.clip_score is not None


def test_nothing_is_measured_twice_until_video_text_frame_or_network_changes(
    tmp_path: Path, networks: Networks
) -> None:
    videos, out = made(tmp_path), tmp_path / "measured"
    first, _ = measure_videos(videos, networks, out)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again, reused = measure_videos(videos, networks, out)
    assert reused == 3 and again == first
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times
    for change in ({"version": "2"}, {"text": "another"}):
        changed = [dataclasses.replace(videos[0], **change), *videos[1:]]
        assert measure_videos(changed, networks, out)[1] == 2
    Image.new("RGB", (80, 80), "teal").save(str(videos[1].first))
    later, reused = measure_videos(videos, networks, out)
    assert reused == 2 and later[1].first_frame != first[1].first_frame
    other = shutil.copytree(str(networks.clip), tmp_path / "other")
    settings = (other / "preprocessor_config.json").read_text()
    (other / "preprocessor_config.json").write_text(settings.replace("0.4", "0.1"))
    assert measure_videos(videos, dataclasses.replace(networks, clip=str(other)), out)[1] == 0


def test_an_interrupted_run_goes_on_by_video(tmp_path: Path, networks: Networks) -> None:
    videos, out = made(tmp_path), tmp_path / "measured"

    def stop() -> str:
        raise KeyboardInterrupt

    stopped = [*videos[:2], dataclasses.replace(videos[2], open=stop)]
    with pytest.raises(KeyboardInterrupt):
        measure_videos(stopped, networks, out)
    assert measure_videos(videos, networks, out)[1] == 2


def test_what_cannot_be_read_is_said_and_tried_again(tmp_path: Path, networks: Networks) -> None:
    videos, out = made(tmp_path), tmp_path / "measured"
    whole = Path(str(videos[1].open())).read_bytes()
    Path(str(videos[1].open())).write_bytes(b"no video")
    found, _ = measure_videos(videos, networks, out)
    assert [one.error is None for one in found] == [True, False, True]
    assert "\n" not in str(found[1].error) and found[1].flicker is found[1].feature is None
    Path(str(videos[1].open())).write_bytes(whole)
    found, reused = measure_videos(videos, networks, out)
    assert reused == 2 and found[1].error is None


def test_workers_measure_the_same(tmp_path: Path, networks: Networks) -> None:
    videos = pickled(made(tmp_path))
    here, _ = measure_videos(videos, networks, tmp_path / "here")
    there, _ = measure_videos(videos, networks, tmp_path / "there", engine=Processes(2))
    for one, other in zip(here, there, strict=True):
        assert one.flicker == other.flicker and one.clip_score == pytest.approx(other.clip_score, abs=1e-6)
        np.testing.assert_allclose(one.feature, other.feature, atol=1e-5)


def test_a_network_that_cannot_be_loaded_stops_the_run(tmp_path: Path, networks: Networks) -> None:
    with pytest.raises(OSError, match="it is of type 'videomae', not 'clip'"):
        measure_videos(made(tmp_path, 1), Networks(clip=networks.videomae), tmp_path / "measured")


def test_the_first_frame_is_the_clips_own_pixels(tmp_path: Path) -> None:
    (video,) = made(tmp_path, 1)
    with Image.open(io.BytesIO(first_frame(video.open()))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), decode(video.open())[0])
