"""Load a pipeline, in this process or in a worker, and say which one it is."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from emovid_models.library_bars import library_bars
from emovid_models.records import folder_identity
from emovid_models.remote.wan.conditioning import DEFAULT_WORDING, check_wording

if TYPE_CHECKING:
    from emovid_models.remote.wan.pipeline_i2v import EmoVidWanImageToVideoPipeline
    from emovid_models.remote.wan.pipeline_t2v import EmoVidWanPipeline

    Pipeline = EmoVidWanPipeline | EmoVidWanImageToVideoPipeline


@dataclass(frozen=True, slots=True)
class PipelineSource:
    """What a worker needs to load a pipeline.

    Attributes:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a file, a folder or a Hub repo of a LoRA, or None.
        revision: of the base's Hub repo.
        offload: on CUDA, keep in GPU memory only the part that runs.
        show_loading: let the libraries draw their progress bars while they load.
        show_steps: show a progress bar of the denoising steps of each video.
        threads: on the CPU, the threads of one worker; None leaves them as they are.
    """

    model: str
    image_to_video: bool
    lora: str | None = None
    revision: str | None = None
    offload: bool = False
    show_loading: bool = False
    show_steps: bool = False
    threads: int | None = None

    def load(self, worker: int = 0) -> Pipeline:
        """Load the pipeline.

        Args:
            worker: 0, 1, ...; on CUDA the workers take the devices in turn.

        Raises:
            OSError, ValueError: as `load_pipeline`.
        """
        import torch

        is_worker = multiprocessing.parent_process() is not None
        if is_worker:
            # tqdm's own lock is a semaphore of the system, which a worker that is killed would leave behind.
            tqdm.set_lock(threading.RLock())
        if self.threads is not None and not torch.cuda.is_available():
            torch.set_num_threads(self.threads)
        # The bars of several workers would overwrite each other.
        with library_bars("transformers", "diffusers", shown=self.show_loading and not is_worker):
            pipe: Any = load_pipeline(
                self.model,
                image_to_video=self.image_to_video,
                lora=self.lora,
                revision=self.revision,
                offload=self.offload,
                gpu=worker % max(torch.cuda.device_count(), 1),
            )
        pipe.set_progress_bar_config(disable=not self.show_steps)
        return pipe

    def wording_of(self, wording: str | None = None) -> str:
        """The wording that the pipeline will use, from the LoRA's header alone.

        Args:
            wording: the one that is asked for; None for that of the LoRA, and "paper" without one.

        Raises:
            OSError: the LoRA is not there.
            ValueError: the wording is unknown.
        """
        from emovid_models.remote.wan.adapters import agreed_wording, lora_file
        from emovid_models.remote.wan.lora import read_facts

        if wording is not None:
            check_wording(wording)
            return wording
        file = None if self.lora is None else lora_file(self.lora)
        facts = None if file is None else read_facts(file)
        return agreed_wording({} if facts is None else {str(self.lora): facts.wording})

    def identity(self) -> str:
        """Names the base, and the LoRA on it, by their content: all weights are read.

        Raises:
            OSError: they cannot be found.
        """
        folder = Path(self.model)
        with library_bars("transformers", "diffusers", shown=self.show_loading):
            if folder.is_dir():
                name = folder_identity(folder, _files(folder))
            else:
                name = f"{self.model}@{_commit(self.model, self.revision)}"
            return name if self.lora is None else f"{name}+{Path(self.lora).name}@{_lora_digest(self.lora)}"

    def version(self) -> str:
        """Changes when one of the files changes, and needs no reading of weights."""
        # What is asked of a base without a LoRA changes with the package.
        stamps = [repr((self.model, self.revision, self.lora, self.image_to_video, DEFAULT_WORDING))]
        for source in (self.model, self.lora):
            if source is not None and Path(source).exists():
                for path in sorted(_files(Path(source))):
                    found = path.stat()
                    stamps.append(f"{path} {found.st_size} {found.st_mtime_ns}")
        return hashlib.sha256("\n".join(stamps).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def check_model(
    model: str | Path,
    *,
    image_to_video: bool,
    lora: str | Path | None = None,
    revision: str | None = None,
) -> None:
    """Refuse a base for the other task, or a LoRA for another base, before any weights of the base are read.

    Args:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a file, a folder or a Hub repo of a LoRA, or None.
        revision: of the base's Hub repo.

    Raises:
        OSError: the model or the LoRA is not there.
        ValueError: the LoRA does not fit the base, or the base does another task.
    """
    import torch
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    from emovid_models.remote.wan.adapters import lora_file
    from emovid_models.remote.wan.lora import check_fits, read_facts

    config = WanTransformer3DModel.load_config(model, subfolder="transformer", revision=revision)
    with torch.device("meta"):
        transformer: Any = WanTransformer3DModel.from_config(config)
    is_i2v = transformer.config.in_channels > transformer.config.out_channels
    if is_i2v != image_to_video:
        need = "an image-to-video model: give --image" if is_i2v else "a text-to-video model: give no --image"
        raise ValueError(f"model {model} is {need}")
    file = None if lora is None else lora_file(str(lora))
    if file is not None and read_facts(file) is not None:
        check_fits(file, transformer)


def load_pipeline(
    model: str | Path,
    *,
    image_to_video: bool,
    lora: str | Path | None = None,
    revision: str | None = None,
    offload: bool = False,
    gpu: int = 0,
) -> Pipeline:
    """Load one of our pipelines on CUDA in bfloat16, or on the CPU in float32.

    Args:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a file, a folder or a Hub repo of a LoRA, or None.
        revision: of the base's Hub repo.
        offload: on CUDA, keep in GPU memory only the part that runs.
        gpu: which CUDA device, where there are several.

    Raises:
        OSError: the model or the LoRA cannot be loaded.
        ValueError: the LoRA does not fit the base, or the base does another task.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline
    from emovid_models.wan.encode import dtype_option

    check_model(model, image_to_video=image_to_video, lora=lora, revision=revision)
    kind: Any = EmoVidWanImageToVideoPipeline if image_to_video else EmoVidWanPipeline
    cuda = torch.cuda.is_available()
    # The VAE shows banding in bfloat16.
    vae = AutoencoderKLWan.from_pretrained(
        model, subfolder="vae", revision=revision, use_safetensors=True, **dtype_option(torch.float32)
    )
    pipe = kind.from_pretrained(
        model,
        vae=vae,
        revision=revision,
        use_safetensors=True,
        **dtype_option(torch.bfloat16 if cuda else torch.float32),
    )
    if lora is not None:
        pipe.load_lora_weights(str(lora))
    if cuda and offload:
        pipe.enable_model_cpu_offload(gpu_id=gpu)
    elif cuda:
        pipe.to(f"cuda:{gpu}")
    return pipe


def _files(source: Path) -> list[Path]:
    """Settings and weights."""
    return [source] if source.is_file() else [*source.rglob("*.json"), *source.rglob("*.safetensors")]


def _commit(repo: str, revision: str | None) -> str:
    """The commit of a Hub repo that is loaded, also offline."""
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    found = WanTransformer3DModel.load_config(
        repo,
        subfolder="transformer",
        revision=revision,
        return_unused_kwargs=True,
        return_commit_hash=True,
    )
    return str(found[2])


def _lora_digest(lora: str) -> str:
    """Of a LoRA's weights as the stock loader reads them, from whatever file."""
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    weights: dict[str, Any] = WanPipeline.lora_state_dict(lora, use_safetensors=True)
    if not any("lora_A" in name for name in weights):
        weights = convert_unet_state_dict_to_peft(weights)
    # Named as the parameters of a transformer that carries the LoRA; in an unknown form, as they are.
    named = {
        name.removeprefix("transformer.").replace(".weight", ".default_0.weight"): weight
        for name, weight in weights.items()
        if "lora_" in name
    } or weights
    digest = hashlib.sha256()
    for name, weight in sorted(named.items()):
        digest.update(name.encode() + weight.float().numpy().tobytes())
    return digest.hexdigest()[:16]
