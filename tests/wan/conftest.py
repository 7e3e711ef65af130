"""Bases at tiny size, saved like the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import WanImageToVideoPipeline, WanPipeline
from wan_tiny import i2v_components, t2v_components


@pytest.fixture(scope="session")
def t2v_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Wan2.1-T2V-1.3B-Diffusers."""
    path = tmp_path_factory.mktemp("wan") / "t2v"
    WanPipeline(**t2v_components()).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def i2v_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like Wan2.1-I2V-14B-480P-Diffusers."""
    path = tmp_path_factory.mktemp("wan") / "i2v"
    WanImageToVideoPipeline(**i2v_components()).save_pretrained(path)
    return path
