"""The demo's clips from a Hub on loopback, by the public client alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from demo_space import BESIDE, DEMO, TESTS

from emovid_dataset import select

sys.path.append(str(TESTS / "hub_server"))
CODE = """
import hashlib, json, sys
from clips import Choice, Library
library = Library("emovid/EmoVid")
chosen = library.choose(Choice(emotions=["awe"], content_types=["sticker"]))
clip = sorted(chosen.index)[0]
print(json.dumps({"ids": sorted(chosen.index), "sha256": hashlib.sha256(library.video(clip)).hexdigest()}))
assert not any(name.startswith("emovid") for name in sys.modules)
"""


def test_clips_come_from_the_hub_by_metadata_and_byte_range(mini_build: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from hub_clients import client_environment
    from hub_server import HubServer

    with HubServer() as hub:
        hub.publish("datasets", "emovid/EmoVid", mini_build)
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=DEMO,
            env={**client_environment(hub, tmp_path), "PYTHONPATH": BESIDE},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        # Of the shards only the one clip was read.
        asked = [exchange for exchange in hub.exchanges if exchange.path.endswith(".tar")]
    found = json.loads(done.stdout.splitlines()[-1])
    chosen = select(mini_build, emotion="awe", content_type="sticker")
    assert found["ids"] == sorted(clip.id for clip in chosen.clips)
    wanted = next(clip for clip in chosen.clips if clip.id == found["ids"][0])
    assert found["sha256"] == wanted.sha256
    read = [exchange.length for exchange in asked if exchange.method == "GET"]
    video = next(item.video for item in chosen if item.clip.id == wanted.id)
    assert read == [len(video)]
