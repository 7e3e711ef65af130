"""What a watch hears of sound: its loudest sample, and how many samples are clipped."""

from __future__ import annotations

from types import SimpleNamespace

import av
import numpy as np
import pytest

from emovid_dataset.media.traits import Watch


def heard(frames: list[np.ndarray], form: str = "fltp") -> tuple[float | None, float | None]:
    """Peak and share of clipped samples of stereo sound in these frames."""
    reader, watch = SimpleNamespace(heard_by=None), Watch()
    with watch.hearing(reader):
        for samples in frames:
            reader.heard_by(av.AudioFrame.from_ndarray(samples, format=form, layout="stereo"))
    traits = watch.traits()
    return traits.peak, traits.clipped


@pytest.mark.parametrize("count", (1, 31, 32, 33, 70))
def test_the_loudest_sample_is_found_in_whichever_frame_it_is(count: int) -> None:
    for loud in {0, count // 2, count - 1}:
        frames = [np.full((2, 8), 0.25, np.float32) for _ in range(count)]
        frames[loud][1, 5] = -0.75
        assert heard(frames) == (0.75, 0.0)


def test_a_run_of_three_full_samples_in_one_frame_and_channel_is_clipped() -> None:
    frames = [np.full((2, 8), 0.25, np.float32) for _ in range(40)]
    frames[3][0, 2:5] = 1.0
    frames[35][1, :4] = -1.25
    frames[10][0, -2:], frames[11][0, :1] = 1.0, 1.0  # three, but not in one frame
    frames[20][:, 3] = 1.0
    assert heard(frames) == (1.25, round(7 / (40 * 16), 6))


def test_samples_that_are_no_numbers_hide_no_others() -> None:
    frames = [np.full((2, 8), 0.25, np.float32) for _ in range(3)]
    frames[0][0, 0] = np.nan
    frames[2][1, 7] = 0.5
    assert heard(frames) == (0.5, 0.0)
    assert heard([np.full((2, 8), np.nan, np.float32)]) == (None, 0.0)


def test_packed_whole_numbers_are_heard_as_planes_of_floats_are() -> None:
    frames = [np.full((1, 16), 1 << 13, np.int16) for _ in range(40)]
    frames[39][0, :6] = -(1 << 15)  # left and right in turn: three each
    peak, clipped = heard(frames, "s16")
    assert peak == pytest.approx(1.0, abs=1e-4) and clipped == round(6 / (40 * 16), 6)
