"""Both pipelines and the LoRA's loss, compiled, in half precision and on cuda, against float32 on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from PIL import Image
from precision import WAYS, check, compile_in_place, dtype_of
from wan_tiny import CAPTION, i2v_components, t2v_components, tiny_transformer

from emovid_models.remote.wan.lora import LoraFacts, write_lora
from emovid_models.remote.wan.modules import TARGET_MODULES
from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline
from emovid_models.wan.batches import Draw
from emovid_models.wan.cache import Sample
from emovid_models.wan.train_lora import flow_matching_loss

KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "t2v": (EmoVidWanPipeline, t2v_components, {}),
    "i2v": (
        EmoVidWanImageToVideoPipeline,
        i2v_components,
        {"image": Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))},
    ),
}


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A LoRA with noise in both factors for each task."""
    found = {}
    for task, (_, components, _) in KINDS.items():
        transformer: Any = components()["transformer"]
        torch.manual_seed(5)
        transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
        for name, parameter in transformer.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        path = tmp_path_factory.mktemp(task) / "pytorch_lora_weights.safetensors"
        write_lora(path, transformer, LoraFacts(wording="paper", task=task, base="tiny"))
        found[task] = str(path)
    return found


def latents(task: str, lora: str, device: str, way: str) -> torch.Tensor:
    """What three steps with the emotion beyond its trained intensity come to; the VAE stays in float32."""
    kind, components, options = KINDS[task]
    parts, dtype = components(), dtype_of(way)
    for name, part in parts.items():
        if name == "transformer":
            part.to(device)  # its buffers stay in float32, as from_pretrained leaves them
            for path, parameter in part.named_parameters():
                if not any(word in path.split(".") for word in part._keep_in_fp32_modules):
                    parameter.data = parameter.data.to(dtype)
        elif isinstance(part, torch.nn.Module):
            part.to(device, torch.float32 if name == "vae" else dtype)
    pipe = kind(**parts)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(lora)
    if way == "compiled":
        compile_in_place(pipe.transformer, device)
    return pipe(
        prompt=CAPTION,
        emotion="awe",
        intensity=1.5,
        height=32,
        width=48,
        num_frames=5,
        num_inference_steps=3,
        guidance_scale=3.0,
        output_type="latent",
        generator=torch.Generator().manual_seed(7),
        **options,
    ).frames


@pytest.fixture(scope="module")
def expected(loras: dict[str, str]) -> dict[str, torch.Tensor]:
    return {task: latents(task, path, "cpu", "float32") for task, path in loras.items()}


@pytest.mark.parametrize("task", sorted(KINDS))
@pytest.mark.parametrize(("device", "way"), WAYS)
def test_emotion_guidance(
    loras: dict[str, str], expected: dict[str, torch.Tensor], task: str, device: str, way: str
) -> None:
    check(latents(task, loras[task], device, way), expected[task], way, what="latents")


@pytest.mark.parametrize(("device", "way"), WAYS)
def test_loss_and_gradient_of_a_lora(device: str, way: str) -> None:
    """As training does it: the LoRA in float32, half precision by autocast and for the frozen weights."""
    generator = torch.Generator().manual_seed(3)
    video = {"latents": torch.randn(4, 2, 4, 6, generator=generator)}
    sample = Sample.of(video, torch.randn(9, 16, generator=generator))
    found = []
    for at, how in (("cpu", "float32"), (device, way)):
        transformer: Any = tiny_transformer().requires_grad_(False).to(at)
        dtype = dtype_of(how)
        for path, parameter in transformer.named_parameters():
            if not any(word in path.split(".") for word in transformer._keep_in_fp32_modules):
                parameter.data = parameter.data.to(dtype)
        torch.manual_seed(5)
        transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
        cast_training_params(transformer, torch.float32)
        factors = [value for name, value in transformer.named_parameters() if "lora_" in name]
        filling = torch.Generator().manual_seed(6)
        for factor in factors:
            factor.data = torch.randn(factor.shape, generator=filling).to(at) * 0.1
        if how == "compiled":
            compile_in_place(transformer, at)
        with torch.autocast(at, dtype, enabled=dtype != torch.float32):
            loss = flow_matching_loss(transformer, [sample], [Draw("whole", 0.5, 1)], 3.0, dtype)
        loss.backward()
        found.append((loss, torch.cat([factor.grad.flatten().cpu() for factor in factors])))
    (loss, gradient), (other_loss, other_gradient) = found
    check(other_loss, loss, way, what="loss")
    check(other_gradient, gradient, way, what="gradient")
