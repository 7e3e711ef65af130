"""Pictures of emoji with what the teacher sees in them, computed once for each set."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file

from tools.mini_annotator.clips import read_stickers, sheets_digest
from tools.mini_annotator.emoji import hidden_digest, read_emoji, work_folder
from tools.mini_annotator.imagenet import ImageNetTeacher, Reading
from tools.mini_annotator.pictures import augment, to_pixels
from tools.mini_annotator.settings import SEED, TEACHER_SIZE, VIEWS


@dataclass(frozen=True, slots=True)
class Views:
    """`VIEWS` pictures of each of n emoji; view v of emoji e is row ``e * VIEWS + v``.

    Attributes:
        pictures: uint8 [rows, IMAGE_SIZE, IMAGE_SIZE, 3].
        fine: float16 [rows, patches, 112], the teacher's fine map.
        coarse: float16 [rows, places, COARSE_SIZE], its last one.
        pooled: float16 [rows, 1280], the means of the last one.
        summary: float32 [rows, SUMMARY_SIZE], their principal components.
    """

    pictures: torch.Tensor
    fine: torch.Tensor
    coarse: torch.Tensor
    pooled: torch.Tensor
    summary: torch.Tensor

    def to(self, device: torch.device) -> Views:
        return Views(*(getattr(self, name).to(device) for name in self.__slots__))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it by name, as `Views` takes it."""
        return {name: getattr(self, name).contiguous() for name in self.__slots__}

    def clips(self) -> torch.Tensor:
        """The teacher's features of each emoji, the mean over its views; float32 [n, 1280]."""
        return self.pooled.float().unflatten(0, (-1, VIEWS)).mean(1)

    def of(self, emoji: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Rows of random views of these emoji."""
        return emoji * VIEWS + torch.randint(VIEWS, emoji.shape, generator=random)


def draw_views(pictures: torch.Tensor, seed: int) -> torch.Tensor:
    """Frames of clips as they are, then augmented ones.

    Args:
        pictures: uint8 [n, frames, PICTURE_SIZE, PICTURE_SIZE, 3].
        seed: of frames and augmentation.

    Returns:
        uint8 [n * VIEWS, IMAGE_SIZE, IMAGE_SIZE, 3].
    """
    random = torch.Generator().manual_seed(seed)
    count, frames = pictures.shape[:2]
    rows = []
    for view in range(VIEWS):
        if view < frames:
            rows.append(pictures[:, view])
            continue
        frame = torch.randint(frames, (count,), generator=random)
        moved = augment(pictures[torch.arange(count), frame], random)
        rows.append(((moved + 1) * 127.5).round().clamp(0, 255).byte().movedim(1, -1))
    return torch.stack(rows, 1).flatten(0, 1)


@torch.inference_mode()
def watch(
    teacher: ImageNetTeacher, reading: Reading | None, pictures: torch.Tensor, device: torch.device
) -> tuple[Views, Reading]:
    """What the teacher sees in pictures.

    Args:
        teacher: on the device.
        reading: of its maps; None learns one from every ninth picture.
        pictures: uint8 [n, IMAGE_SIZE, IMAGE_SIZE, 3].
        device: of the computation; what is returned lies on the CPU.
    """
    if reading is None:
        some = [teacher(to_pixels(part.to(device))) for part in pictures[::9].split(64)]
        fine, last = (torch.cat([maps[place].half() for maps in some]).float().cpu() for place in (0, 1))
        reading = Reading.of(fine, last)
    targets = []
    for part in pictures.split(64):
        fine, last = (seen.cpu() for seen in teacher(to_pixels(part.to(device))))
        local, coarse, pooled, summary = reading(fine, last)
        targets.append((local.half(), coarse.half(), pooled.half(), summary))
    return Views(pictures, *(torch.cat(part) for part in zip(*targets, strict=True))), reading


def read_free_views(device: torch.device, *, seed: int = SEED) -> Views:
    """Views of the emoji that nobody rated, computed once and kept; on the device."""
    return _read_free(device, seed)[0].to(device)


def read_labelled_views(device: torch.device, *, seed: int = SEED) -> Views:
    """Views of the labelled emoji, computed once and kept; on the device.

    How the teacher's maps are read is learnt from the emoji that nobody rated.
    """
    kept = work_folder() / f"labelled-{sheets_digest()}-{_settings(seed)}.safetensors"
    if not kept.exists():
        start = time.monotonic()
        _, reading = _read_free(device, seed)
        teacher = ImageNetTeacher().to(device)
        views, _ = watch(teacher, reading, draw_views(read_stickers().pictures, seed + 1), device)
        save_file(views.tensors(), kept)
        print(f"views of labelled emoji: {time.monotonic() - start:.0f} s", flush=True)
    return Views(**load_file(kept)).to(device)


def _settings(seed: int) -> str:
    return f"{hidden_digest()}-{VIEWS}-{TEACHER_SIZE}-{seed}"


def _read_free(device: torch.device, seed: int) -> tuple[Views, Reading]:
    kept = work_folder() / f"views-{_settings(seed)}.safetensors"
    if not kept.exists():
        start = time.monotonic()
        teacher = ImageNetTeacher().to(device)
        views, reading = watch(teacher, None, draw_views(read_emoji().pictures, seed), device)
        read = {f"reading.{name}": value for name, value in reading.tensors().items()}
        save_file({**views.tensors(), **read}, kept)
        print(f"views: {time.monotonic() - start:.0f} s", flush=True)
    stored = load_file(kept)
    read = {name.removeprefix("reading."): stored.pop(name) for name in list(stored) if "reading." in name}
    return Views(**stored), Reading.from_tensors(read)
