"""Load a pipeline, in this process or in a worker, and say which one it is."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from emovid_models.library_bars import library_bars
from emovid_models.records import folder_identity, hub_commit
from emovid_models.remote.wan.conditioning import DEFAULT_WORDING
from emovid_models.wan.loras import (
    Loras,
    WeightedLora,
    adapter_name,
    content_name,
    emotion_place,
    loras_of,
    wording_of,
)

if TYPE_CHECKING:
    from emovid_models.remote.wan.pipeline_i2v import EmoVidWanImageToVideoPipeline
    from emovid_models.remote.wan.pipeline_t2v import EmoVidWanPipeline

    Pipeline = EmoVidWanPipeline | EmoVidWanImageToVideoPipeline


_INDEX = "model_index.json"


@dataclass(frozen=True, slots=True)
class PipelineSource:
    """What a worker needs to load a pipeline.

    Attributes:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a LoRA by its file, folder or Hub repo; several with their weights; or None.
        emotion_lora: source of the LoRA that the intensity moves; None for the one that has our header.
        revision: of the base's Hub repo.
        offload: on CUDA, keep in GPU memory only the part that runs.
        show_loading: let the libraries draw their progress bars while they load.
        show_steps: show a progress bar of the denoising steps of each video.
        threads: on the CPU, the threads of one worker; None leaves them as they are.
    """

    model: str
    image_to_video: bool
    lora: str | Sequence[WeightedLora] | None = None
    emotion_lora: str | None = None
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
                emotion_lora=self.emotion_lora,
                revision=self.revision,
                offload=self.offload,
                gpu=worker % max(torch.cuda.device_count(), 1),
            )
        pipe.set_progress_bar_config(disable=not self.show_steps)
        return pipe

    def wording_of(self, wording: str | None = None) -> str:
        """The wording that the pipeline will use, from the LoRAs' headers alone.

        Args:
            wording: the one that is asked for; None for that of the emotion LoRAs, and "paper" without any.

        Raises:
            OSError: a LoRA is not there.
            ValueError: the wording is unknown, or the LoRAs do not agree on one.
        """
        return wording_of(loras_of(self.lora), wording)

    @property
    def emotion_adapter(self) -> str | None:
        """For the pipeline's calls: the adapter of the LoRA that was named as the emotion's."""
        place = None if self.emotion_lora is None else emotion_place(loras_of(self.lora), self.emotion_lora)
        return None if place is None else adapter_name(place)

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
                name = f"{self.model}@{hub_commit(self.model, self.revision, file=_INDEX)}"
            return "+".join([name, *map(content_name, loras_of(self.lora))])

    def version(self) -> str:
        """Changes when a file or the commit of a Hub repo does, and needs no reading of weights.

        Raises:
            OSError: a Hub repo cannot be reached.
        """
        # What is asked of a base without a LoRA changes with the package.
        from emovid_models.remote.wan.adapters import lora_file

        loras = loras_of(self.lora)
        named = (self.model, self.revision, list(map(str, loras)), self.emotion_lora, self.image_to_video)
        stamps = [repr((*named, DEFAULT_WORDING))]
        for source in (self.model, *(lora.source for lora in loras)):
            if Path(source).exists():
                for path in sorted(_files(Path(source))):
                    found = path.stat()
                    stamps.append(f"{path} {found.st_size} {found.st_mtime_ns}")
        if not Path(self.model).exists():
            stamps.append(hub_commit(self.model, self.revision, file=_INDEX))
        for lora in loras:
            if not Path(lora.source).exists() and (file := lora_file(lora.source)) is not None:
                stamps.append(Path(file).parent.name)  # the commit, in the Hub's cache
        return hashlib.sha256("\n".join(stamps).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def check_model(
    model: str | Path,
    *,
    image_to_video: bool,
    lora: Loras = None,
    emotion_lora: str | None = None,
    revision: str | None = None,
) -> None:
    """Refuse a base for the other task, or LoRAs that do not fit, before any weights of the base are read.

    Args:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a LoRA by its file, folder or Hub repo; several with their weights; or None.
        emotion_lora: source of the LoRA that the intensity moves; None for the one that has our header.
        revision: of the base's Hub repo.

    Raises:
        OSError: the model or a LoRA is not there.
        ValueError: a LoRA does not fit the base, the base does another task, or several LoRAs are an
            emotion's and none is named.
    """
    import torch
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    from emovid_models.remote.wan.adapters import lora_file
    from emovid_models.remote.wan.lora import check_fits, read_facts
    from emovid_models.wan.noise_levels import boundary_of

    config = WanTransformer3DModel.load_config(model, subfolder="transformer", revision=revision)
    with torch.device("meta"):
        transformer: Any = WanTransformer3DModel.from_config(config)
    index = read_index(model, revision)
    is_i2v = transformer.config.in_channels > transformer.config.out_channels
    # A base whose tokens have times of their own makes both.
    if is_i2v != image_to_video and not index.get("expand_timesteps"):
        need = "an image-to-video model: give --image" if is_i2v else "a text-to-video model: give no --image"
        raise ValueError(f"model {model} is {need}")
    loras = loras_of(lora)
    for its in loras:
        file = lora_file(its.source)
        facts = None if file is None else read_facts(file)
        if file is not None and facts is not None:
            check_fits(file, transformer)
            if facts.transformer == "low" and boundary_of(index) is None:
                raise ValueError(
                    f"LoRA {file} is for the second of two transformers, and model {model} has one"
                )
    emotion_place(loras, emotion_lora)


def read_index(model: str | Path, revision: str | None = None) -> dict[str, Any]:
    """Read a base's model_index.json.

    Args:
        model: a folder or a Hub repo in the layout of diffusers.
        revision: of the Hub repo.

    Raises:
        OSError: it is not there.
    """
    from diffusers import DiffusionPipeline

    index: dict[str, Any] = DiffusionPipeline.load_config(model, revision=revision)
    return index


def load_pipeline(
    model: str | Path,
    *,
    image_to_video: bool,
    lora: Loras = None,
    emotion_lora: str | None = None,
    revision: str | None = None,
    offload: bool = False,
    gpu: int = 0,
) -> Pipeline:
    """Load one of our pipelines on CUDA in bfloat16, or on the CPU in float32.

    Args:
        model: a base, a folder or a Hub repo in the layout of diffusers.
        image_to_video: whether a first image will be given.
        lora: a LoRA by its file, folder or Hub repo; several with their weights; or None.
        emotion_lora: source of the LoRA that the intensity moves; None for the one that has our header.
        revision: of the base's Hub repo.
        offload: on CUDA, keep in GPU memory only the part that runs.
        gpu: which CUDA device, where there are several.

    Raises:
        OSError: the model or a LoRA cannot be loaded.
        ValueError: as `check_model`.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    from emovid_models.wan import EmoVidWanImageToVideoPipeline, EmoVidWanPipeline
    from emovid_models.wan.encode import dtype_option

    check_model(model, image_to_video=image_to_video, lora=lora, emotion_lora=emotion_lora, revision=revision)
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
    loras = loras_of(lora)
    for place, its in enumerate(loras):
        pipe.load_lora_weights(its.source, adapter_name=adapter_name(place))
    if loras:
        pipe.set_adapters([adapter_name(place) for place in range(len(loras))], [its.weight for its in loras])
    if cuda and offload:
        pipe.enable_model_cpu_offload(gpu_id=gpu)
    elif cuda:
        pipe.to(f"cuda:{gpu}")
    return pipe


def _files(source: Path) -> list[Path]:
    """Settings and weights."""
    return [source] if source.is_file() else [*source.rglob("*.json"), *source.rglob("*.safetensors")]
