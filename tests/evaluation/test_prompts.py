"""The prompts that ship: enough of them, the same for all emotions, none of which names or implies one."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.remote.wan.conditioning import MOODS

WORDS = [
    word
    for line in (Path(__file__).parent / "emotion_words.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for word in line.split()
]
EMOTIONAL = re.compile(
    r"\b(?:" + "|".join(re.escape(word).replace(r"\*", r"\w*") for word in WORDS) + r")\b", re.IGNORECASE
)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_enough_prompts_and_the_same_scenes_for_all_emotions(content_type: str) -> None:
    prompts = evaluation.load_prompts(content_type)
    assert {prompt.content_type for prompt in prompts} == {content_type}
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    scenes = {
        emotion: [prompt.prompt for prompt in prompts if prompt.emotion == emotion] for emotion in EMOTIONS
    }
    least = 40 if content_type == "sticker" else 20
    for emotion in EMOTIONS:
        assert scenes[emotion] == scenes["amusement"], "a scene that all emotions share cannot give one away"
        assert len(set(scenes[emotion])) == len(scenes[emotion]) >= least


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_no_prompt_names_or_implies_an_emotion(content_type: str) -> None:
    for prompt in evaluation.load_prompts(content_type):
        assert not EMOTIONAL.search(prompt.prompt), prompt.prompt
        assert 1 <= len(prompt.prompt.split()) <= 20


def test_the_word_list_knows_the_emotions_and_their_moods() -> None:
    for emotion in EMOTIONS:
        assert EMOTIONAL.search(f"a face, {emotion}")
        assert EMOTIONAL.search(MOODS[emotion])
    for text in (
        "a crying face",
        "a funeral",
        "a birthday party",
        "a storm at sea",
        "a smiling cat",
        "a monster",
    ):
        assert EMOTIONAL.search(text), text
    assert not EMOTIONAL.search("a big hat in the wind beside a car")


def test_files_hold_one_object_a_line_with_fixed_fields() -> None:
    files = sorted(evaluation.PROMPTS.glob("*"))
    assert [file.name for file in files] == sorted(f"{name}.jsonl" for name in CONTENT_TYPES)
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert list(json.loads(line)) == ["id", "emotion", "content_type", "prompt"]


def test_first_prompts_of_each_emotion() -> None:
    prompts = evaluation.load_prompts("sticker")
    taken = evaluation.take_per_emotion(prompts, 10)
    assert Counter(prompt.emotion for prompt in taken) == dict.fromkeys(EMOTIONS, 10)
    assert [p for p in prompts if p.emotion == "awe"][:10] == [p for p in taken if p.emotion == "awe"]
    with pytest.raises(ValueError, match="at least 1"):
        evaluation.take_per_emotion(prompts, 0)


def test_a_scene_has_one_seed_for_all_emotions(tmp_path: Path) -> None:
    prompts = evaluation.load_prompts("sticker")
    orders = evaluation.plan_orders(prompts, tmp_path, seed=5)
    seeds: dict[str, set[int]] = {}
    for order in orders:
        seeds.setdefault(order.prompt, set()).add(order.seed)
    assert sorted(min(found) for found in seeds.values()) == list(range(5, 45))
    assert all(len(found) == 1 for found in seeds.values())


GOOD = {"id": "a", "emotion": "awe", "content_type": "sticker", "prompt": "a hand"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompts"),
        (["{"], "line 1 is no JSON"),
        (["[]"], "line 1 is no object"),
        ([json.dumps({**GOOD, "mood": "x"})], "unknown fields ['mood']"),
        ([json.dumps({**GOOD, "prompt": " "})], "prompt is ' ', not a text"),
        ([json.dumps({**GOOD, "emotion": "joy"})], "emotion 'joy' is unknown"),
        ([json.dumps({**GOOD, "content_type": "gif"})], "content_type 'gif' is unknown"),
        ([json.dumps({**GOOD, "id": "../a"})], "id '../a' may hold"),
        ([json.dumps(GOOD)] * 2, "id 'a' stands in line 1 too"),
        ([json.dumps({**GOOD, "image": "none.png"})], "image 'none.png' is not there"),
        ([json.dumps(GOOD), json.dumps({**GOOD, "id": "b", "image": "p"})], "either all lines have an image"),
    ],
)
def test_wrong_prompts_are_refused_in_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(lines))
    (tmp_path / "p").touch()
    with pytest.raises(ValueError) as caught:
        evaluation.read_prompts(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
