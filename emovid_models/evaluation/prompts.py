"""What is asked for: scenes, each with the emotion that its video is to show.

A prompt names a scene and, apart from it, the emotion, so that no scene can give its emotion away.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.prompt_file import PromptEntry, read_prompt_file

PROMPTS = Path(__file__).parents[1] / "prompts"
"""Folder of the prompts that ship, one JSON Lines file per content type."""

PROMPTS_VERSION = "1"
"""Of the sets that ship: another one whenever a prompt of them changes, see ``prompts/README.md``."""

_NEEDED = ("id", "emotion", "content_type")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One video to ask for.

    Attributes:
        id: unique in its file; the video is called after it.
        emotion: one of the eight, which the scene itself does not name.
        content_type: "cartoon", "movie" or "sticker".
        prompt: the scene.
        image: path of the first image, for image-to-video; else None.
        seed: of the noise; None for that of the scene.
    """

    id: str
    emotion: str
    content_type: str
    prompt: str
    image: str | None = None
    seed: int | None = None


def load_prompts(content_type: str) -> list[Prompt]:
    """The prompts that ship for a content type: the same scenes for all eight emotions.

    So no scene can give its emotion away, and emotions and models are compared on equal scenes.
    Their order is such that the first few are a fair choice of all.

    Args:
        content_type: "cartoon", "movie" or "sticker".

    Returns:
        320 prompts of stickers, 192 of each other type.

    Raises:
        ValueError: there is no such content type.

    >>> prompts = load_prompts("sticker")
    >>> len(prompts), prompts[0].emotion, prompts[0].prompt == prompts[len(prompts) // 8].prompt
    (320, 'amusement', True)
    """
    if content_type not in CONTENT_TYPES:
        raise ValueError(f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}")
    return read_prompts(PROMPTS / f"{content_type}.jsonl")


def read_prompts(path: str | os.PathLike[str]) -> list[Prompt]:
    """Read prompts from a file of the format that every command reads, see `read_prompt_file`.

    Args:
        path: the file. Here every prompt needs an id, one emotion and a content type, and none has an
            intensity or a name of its video.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not such a file, or a prompt lacks one of these or has more.
    """
    return [_prompt(entry) for entry in read_prompt_file(path)]


def _prompt(entry: PromptEntry) -> Prompt:
    if entry.id is None or entry.emotion is None or entry.content_type is None:
        missing = next(name for name in _NEEDED if getattr(entry, name) is None)
        raise ValueError(f"{entry.place}: {missing} is missing; emovid evaluate needs {', '.join(_NEEDED)}")
    if not isinstance(entry.emotion, str):
        changes = any(isinstance(name, str) for name in entry.emotion.values())
        what = "changes over time" if changes else "is a blend"
        raise ValueError(f"{entry.place}: emotion {what}; emovid evaluate needs one of the eight")
    if entry.intensity is not None:
        raise ValueError(f"{entry.place}: intensity is given; in emovid evaluate --intensity gives it to all")
    if entry.out is not None:
        raise ValueError(f"{entry.place}: out is given; emovid evaluate calls a video after its id")
    return Prompt(entry.id, entry.emotion, entry.content_type, entry.prompt.strip(), entry.image, entry.seed)


def take_per_emotion(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """The first prompts of each emotion.

    Args:
        prompts: in any order.
        count: of each emotion, at least 1.

    Raises:
        ValueError: the count is below 1.
    """
    if count < 1:
        raise ValueError(f"prompts per emotion: {count}; allowed: at least 1")
    left = dict.fromkeys(EMOTIONS, count)
    kept = []
    for prompt in prompts:
        left[prompt.emotion] -= 1
        if left[prompt.emotion] >= 0:
            kept.append(prompt)
    return kept


def unbalanced_scenes(prompts: Sequence[Prompt]) -> list[str]:
    """The scenes that are not asked for every emotion equally often: these can give an emotion away.

    Args:
        prompts: of a set.

    Returns:
        Texts of the scenes, in order; none if the set is balanced.

    >>> rows = [Prompt(emotion, emotion, "sticker", "a face") for emotion in EMOTIONS]
    >>> unbalanced_scenes(rows), unbalanced_scenes(rows[1:])
    ([], ['a face'])
    """
    counts: dict[tuple[str, str | None], Counter[str]] = {}
    for prompt in prompts:
        counts.setdefault((prompt.prompt, prompt.image), Counter())[prompt.emotion] += 1
    return [scene for (scene, _), found in counts.items() if len({found[name] for name in EMOTIONS}) > 1]
