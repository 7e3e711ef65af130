"""Small models of the true classes, assembled as repos and published on a Hub on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from card_sources import KINDS, RESULTS, TESTS, Card, write_results

from emovid_models import MINI_ANNOTATOR
from emovid_models.metrics import ea_8cls
from emovid_models.publish.repos import assemble
from emovid_models.publish.tree import RepoTree

sys.path += [str(TESTS / "hub_server"), str(TESTS / "wan")]


@pytest.fixture(scope="session")
def sources(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder to publish for each kind: bases and LoRAs of tiny size, everything else as it ships."""
    from diffusers import WanImageToVideoPipeline, WanPipeline
    from peft import LoraConfig
    from wan_tiny import i2v_components, t2v_components

    from emovid_models.remote.wan.lora import WEIGHT_NAME, LoraFacts, write_lora
    from emovid_models.remote.wan.modules import TARGET_MODULES

    root = tmp_path_factory.mktemp("sources")
    for task, kind, components in (
        ("t2v", WanPipeline, t2v_components()),
        ("i2v", WanImageToVideoPipeline, i2v_components()),
    ):
        base, lora = root / f"wan-{task}", root / f"lora-{task}"
        kind(**components).save_pretrained(base)
        (base / "README.md").write_text("---\nlicense: mit\n---\n")
        lora.mkdir()
        (lora / "README.md").write_text(f"---\nbase_model: emovid/mini-wan-{task}\n---\n")
        transformer: Any = components["transformer"]
        transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
        write_lora(
            lora / WEIGHT_NAME,
            transformer,
            LoraFacts(wording="paper", task=task, base=f"wan-{task}", steps=1234),
        )
    write_results(root, RESULTS)
    return {
        "emovid/EmoVid": mini_build,
        "emovid/annotator": MINI_ANNOTATOR,
        "emovid/ea_8cls": Path(str(ea_8cls.__file__)).parent,
        "emovid/demo": TESTS.parent / "cards" / "demo",
        **{f"emovid/mini-wan-{task}": root / f"wan-{task}" for task in ("t2v", "i2v")},
        **{f"emovid/mini-lora-{task}": root / f"lora-{task}" for task in ("t2v", "i2v")},
    }


@pytest.fixture(scope="session")
def trees(sources: dict[str, Path]) -> dict[str, RepoTree]:
    """Every kind of repo, assembled."""
    return {name: assemble(kind, sources[name], repo_id=name) for name, kind in KINDS.items()}


@pytest.fixture(scope="session")
def cards(trees: dict[str, RepoTree]) -> dict[str, Card]:
    found = {}
    for name, tree in trees.items():
        text = tree.files["README.md"]
        assert isinstance(text, bytes)
        found[name] = Card(KINDS[name], name, text.decode())
    return found


@pytest.fixture(scope="session")
def hub(trees: dict[str, RepoTree], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Hub on loopback that holds every tree."""
    from hub_server import HubServer

    root = tmp_path_factory.mktemp("published")
    with HubServer() as server:
        for name, tree in trees.items():
            for path, content in tree.files.items():
                target = root / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
            server.publish(f"{tree.repo_type}s", name, root / name)
        yield server
