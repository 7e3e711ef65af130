"""The LoRA file: the stock loader reads all of it, and what does not fit is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from wan_tiny import i2v_components, t2v_components, tiny_transformer

from emovid_models import MINI_LORA_I2V, MINI_LORA_T2V
from emovid_models.remote.wan.lora import (
    ADAPTER_KEY,
    FACTS_KEY,
    WEIGHT_NAME,
    LoraFacts,
    adapter_tensors,
    export_comfyui,
    read_facts,
    read_header,
    write_lora,
    write_safetensors,
)
from emovid_models.remote.wan.modules import ATTENTION_MODULES, TARGET_MODULES, TARGETS, target_names
from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline

FACTS = LoraFacts(
    wording="mood", task="t2v", base="tiny", dataset_revision="0" * 64, steps=7, version="0.1.0"
)


MODULES = pytest.mark.parametrize("modules", TARGETS.values(), ids=TARGETS)


def with_adapter(transformer: Any, *, modules: str = TARGET_MODULES, rank: int = 4, alpha: float = 8) -> Any:
    torch.manual_seed(5)
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=modules))
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return transformer.eval()


def forward(transformer: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    config = transformer.config
    images = {}
    if config.image_dim is not None:
        images["encoder_hidden_states_image"] = torch.randn(1, 5, config.image_dim, generator=generator)
    latents = torch.randn(1, config.in_channels, 2, 4, 6, generator=generator)
    text = torch.randn(1, 512, config.text_dim, generator=generator)
    with torch.no_grad():
        return transformer(latents, torch.tensor([500.0]), text, return_dict=False, **images)[0]


@MODULES
@pytest.mark.parametrize(
    ("components", "pipeline"), [(t2v_components, WanPipeline), (i2v_components, WanImageToVideoPipeline)]
)
def test_the_stock_loader_reads_exactly_these_keys(
    components: Any, pipeline: Any, modules: str, tmp_path: Path
) -> None:
    trained = with_adapter(components()["transformer"], modules=modules)
    write_lora(tmp_path / WEIGHT_NAME, trained, FACTS)
    stock = pipeline(**components())
    before = forward(stock.transformer)
    stock.load_lora_weights(tmp_path, adapter_name="mood")

    with safe_open(tmp_path / WEIGHT_NAME, "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    loaded = {
        f"transformer.{name}": tensor
        for name, tensor in get_peft_model_state_dict(stock.transformer, adapter_name="mood").items()
    }
    # For I2V the stock loader adds zeros for the projections of image tokens where a file has none.
    added = {name for name in loaded if "add_k_proj" in name or "add_v_proj" in name} - stored.keys()
    assert not any(loaded[name].any() for name in added)
    assert loaded.keys() - added == stored.keys()
    assert all(torch.equal(stored[name], loaded[name]) for name in stored)
    assert len(stored) == 2 * len(target_names(components()["transformer"], modules))
    # The same function of its input as in training: so alpha, which is not the rank, survived.
    assert torch.allclose(forward(stock.transformer), forward(trained), atol=1e-6)
    assert not torch.allclose(forward(stock.transformer), before, atol=1e-2)


@MODULES
def test_the_header_holds_only_what_every_peft_knows_and_our_facts(modules: str, tmp_path: Path) -> None:
    write_lora(tmp_path / WEIGHT_NAME, with_adapter(tiny_transformer(), modules=modules), FACTS)
    header = read_header(tmp_path / WEIGHT_NAME)
    assert json.loads(header[ADAPTER_KEY]) == {
        "transformer.r": 4,
        "transformer.lora_alpha": 8,
        "transformer.target_modules": modules,
    }
    assert read_facts(tmp_path / WEIGHT_NAME) == FACTS


WAN_1_3B = {
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
}
WAN_14B = {**WAN_1_3B, "num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
WAN_14B_I2V = {**WAN_14B, "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}


@pytest.mark.parametrize(
    ("config", "parameters", "paper", "attention"),
    [(WAN_1_3B, 1.4e9, 300, 240), (WAN_14B, 14.3e9, 400, 320), (WAN_14B_I2V, 16.4e9, 400, 400)],
    ids=["1.3B", "14B", "14B I2V"],
)
def test_the_true_sizes_take_the_lora_on_exactly_these_modules(
    config: dict[str, Any], parameters: float, paper: int, attention: int
) -> None:
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**config)
        assert sum(p.numel() for p in transformer.parameters()) == pytest.approx(parameters, rel=0.02)
        linear = [name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)]
        projections = [name for name in linear if ".attn1." in name or ".attn2." in name]
        feed_forward = [name for name in linear if ".ffn." in name]
        for name, modules in (("paper", TARGET_MODULES), ("attention", ATTENTION_MODULES)):
            adapter = LoraConfig(r=32, lora_alpha=32, target_modules=modules)
            transformer.add_adapter(adapter, adapter_name=name)
    adapted = {
        adapter: {
            name for name, module in transformer.named_modules() if adapter in getattr(module, "lora_A", ())
        }
        for adapter in ("paper", "attention")
    }
    text = {name for name in projections if not name.endswith(("add_k_proj", "add_v_proj"))}
    assert adapted["paper"] == text | set(feed_forward) and len(adapted["paper"]) == paper
    assert adapted["attention"] == set(projections) and len(adapted["attention"]) == attention


@pytest.mark.parametrize("config", [WAN_1_3B, WAN_14B, WAN_14B_I2V], ids=["1.3B", "14B", "14B I2V"])
def test_the_stock_loader_takes_the_papers_modules_at_the_true_sizes(config: dict[str, Any]) -> None:
    """All names and widths of a file for the true model, at rank 1 and without its weights."""
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**config)
        weights = {}
        for name in target_names(transformer):
            module = transformer.get_submodule(name)
            weights[f"transformer.{name}.lora_A.weight"] = torch.zeros(1, module.in_features)
            weights[f"transformer.{name}.lora_B.weight"] = torch.zeros(module.out_features, 1)
        transformer.load_lora_adapter(dict(weights), low_cpu_mem_usage=True)
    loaded = get_peft_model_state_dict(transformer, adapter_name="default_0")
    assert {f"transformer.{name}": tensor.shape for name, tensor in loaded.items()} == {
        name: tensor.shape for name, tensor in weights.items()
    }


@MODULES
@pytest.mark.parametrize("components", [t2v_components, i2v_components])
def test_the_comfyui_form_means_the_same_to_the_stock_loader(
    components: Any, modules: str, tmp_path: Path
) -> None:
    trained = with_adapter(components()["transformer"], modules=modules)
    write_lora(tmp_path / WEIGHT_NAME, trained, FACTS)
    count = export_comfyui(tmp_path / WEIGHT_NAME, tmp_path / "comfyui.safetensors")
    assert count == len(target_names(components()["transformer"], modules))
    with safe_open(tmp_path / "comfyui.safetensors", "pt") as file:
        names = set(file.keys())
        blocks = len(components()["transformer"].blocks)
        places = [f"{kind}_attn.{part}" for kind in ("self", "cross") for part in "qkvo"]
        if modules == TARGET_MODULES:
            places += ["ffn.0", "ffn.2"]
        elif components is i2v_components:
            places += ["cross_attn.k_img", "cross_attn.v_img"]
        assert names == {
            f"diffusion_model.blocks.{block}.{place}.{part}"
            for block in range(blocks)
            for place in places
            for part in ("lora_down.weight", "lora_up.weight", "alpha")
        }
        assert file.get_tensor("diffusion_model.blocks.0.self_attn.q.alpha").item() == 8
        assert ADAPTER_KEY not in file.metadata()
    for kind in (WanPipeline, EmoVidWanPipeline):
        pipe = kind(**{**t2v_components(), "transformer": components()["transformer"]})
        pipe.load_lora_weights(tmp_path, weight_name="comfyui.safetensors")
        loaded = get_peft_model_state_dict(pipe.transformer, adapter_name="default_0")
        for name, tensor in adapter_tensors(trained).items():
            # alpha / rank = 2, which the stock loader multiplies into one of the factors.
            found = loaded[name.removeprefix("transformer.")]
            assert torch.equal(found, 2 * tensor if "lora_A" in name else tensor), name
        assert torch.allclose(forward(pipe.transformer), forward(trained), atol=1e-5)


@MODULES
def test_a_t2v_lora_also_serves_the_i2v_model(modules: str, tmp_path: Path) -> None:
    write_lora(tmp_path / WEIGHT_NAME, with_adapter(tiny_transformer(), modules=modules), FACTS)
    ours = EmoVidWanImageToVideoPipeline(**i2v_components())
    before = forward(ours.transformer)
    ours.load_lora_weights(tmp_path)
    assert not torch.allclose(forward(ours.transformer), before, atol=1e-2)


@pytest.mark.parametrize(
    "changes",
    [{"num_layers": 3}, {"num_layers": 1}, {"num_attention_heads": 3}, {"ffn_dim": 48}],
    ids=["more", "fewer", "wider", "wider feed-forward"],
)
def test_a_lora_for_another_base_is_refused(changes: dict[str, int], tmp_path: Path) -> None:
    write_lora(tmp_path / WEIGHT_NAME, with_adapter(tiny_transformer(**changes)), FACTS)
    ours = EmoVidWanPipeline(**t2v_components())
    with pytest.raises(ValueError, match=r"was trained for tiny and does not fit: it has \d+ modules"):
        ours.load_lora_weights(tmp_path)
    assert not getattr(ours.transformer, "peft_config", None)


@pytest.mark.parametrize(
    ("stored", "wording"),
    [
        ({"wording": "paper"}, "paper"),
        ({"wording": "mood"}, "mood"),
        ({"wording": "1"}, "mood"),
        ({}, "mood"),
    ],
)
def test_a_file_names_its_wording_and_older_ones_have_the_only_one_that_there_was(
    stored: dict[str, str], wording: str, tmp_path: Path
) -> None:
    transformer = with_adapter(tiny_transformer())
    facts = json.dumps({**stored, "task": "t2v", "base": "tiny"})
    write_safetensors(tmp_path / WEIGHT_NAME, adapter_tensors(transformer), {FACTS_KEY: facts})
    found = read_facts(tmp_path / WEIGHT_NAME)
    assert found is not None and found.wording == wording
    ours = EmoVidWanPipeline(**t2v_components())
    assert ours.wording_of() == "paper"
    ours.load_lora_weights(tmp_path)
    assert ours.wording_of() == wording


def test_the_shipped_loras_ask_as_they_were_trained() -> None:
    for folder in (MINI_LORA_T2V, MINI_LORA_I2V):
        facts = read_facts(folder / WEIGHT_NAME)
        assert facts is not None and facts.wording == "paper"


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / WEIGHT_NAME
    write_lora(path, with_adapter(tiny_transformer()), FACTS)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is cut short or not a safetensors file"):
        EmoVidWanPipeline(**t2v_components()).load_lora_weights(tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    torch.save({"transformer.blocks.0.attn1.to_q.lora_A.weight": torch.zeros(4, 24)}, tmp_path / "lora.bin")
    with pytest.raises(ValueError, match="not a safetensors file"):
        EmoVidWanPipeline(**t2v_components()).load_lora_weights(tmp_path, weight_name="lora.bin")


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    header = {letter: f'{letter} "\u00e4"' for letter in "hgfedcba"}
    written = set()
    for number in range(5):
        path = tmp_path / f"{number}.safetensors"
        write_safetensors(path, tensors, header)
        written.add(path.read_bytes())
    assert len(written) == 1
    assert read_header(path) == {**header, "format": "pt"}
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_a_save_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    """The disk is full in the middle of writing: a limit on the size of files does the same."""
    path = tmp_path / WEIGHT_NAME
    write_lora(path, with_adapter(tiny_transformer()), FACTS)
    old = path.read_bytes()
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from emovid_models.remote.wan.lora import write_safetensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_safetensors(Path(sys.argv[1]), {'a': torch.zeros(10**6)})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode != 0 and "File too large" in done.stderr
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == [WEIGHT_NAME]
