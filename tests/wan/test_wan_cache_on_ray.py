"""The latent cache, filled on a Ray cluster that loses a node on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ray_cluster import PATIENCE, LosingANode, TwoNodes, cluster, losses, two_nodes

from emovid_dataset.read.select import select
from emovid_dataset.store import Store
from emovid_models.wan.cache import LatentCache
from emovid_models.wan.encode import BaseOutline
from emovid_models.wan.encode_stage import EncodeStage, fill_cache
from emovid_models.wan.plan import plan_cache

__all__ = ["cluster", "losses", "two_nodes"]

pytestmark = pytest.mark.timeout(PATIENCE)


def test_a_cache_is_filled_though_a_node_is_lost(
    cluster: TwoNodes, losses: list[str], t2v_base: Path, mini_build: Path, tmp_path: Path
) -> None:
    clips = select(mini_build, split="train", where=lambda clip: clip.content_type == "sticker", limit=5)
    base = BaseOutline.read(t2v_base, "t2v")
    plan = plan_cache(clips.clips, height=32, width=64, max_frames=9)
    caches = {name: LatentCache(Store.at(tmp_path / name)) for name in ("here", "there")}
    engines = {"here": None, "there": LosingANode(cluster, EncodeStage.name)}
    for name, cache in caches.items():
        filled = fill_cache(cache, plan, clips, base, engine=engines[name])
        assert (filled.encoded, filled.reused, filled.repaired) == (5, 0, 0), name
    assert len(losses) == 1
    names = [list(cache.store.list()) for cache in caches.values()]
    assert len(names[0]) == len(names[1]) > 5
    for item in plan.clips:
        here, there = (cache.load(item, "whole") for cache in caches.values())
        for part in ("latents", "text"):
            assert torch.allclose(getattr(here, part), getattr(there, part), atol=1e-2)
