"""The prompts that ship: enough of them, the same for all emotions, none of which names or implies one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation.prompts import PROMPTS_VERSION, unbalanced_scenes
from emovid_models.prompt_file import PromptEntry, read_prompt_file
from emovid_models.remote.wan.conditioning import MOODS
from emovid_models.wan.generate import read_orders

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
    assert [file.name for file in files] == ["README.md", *sorted(f"{name}.jsonl" for name in CONTENT_TYPES)]
    files = files[1:]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert list(json.loads(line)) == ["id", "emotion", "content_type", "prompt"]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_the_datasheet_is_of_these_prompts_and_this_version(content_type: str) -> None:
    sheet = (evaluation.PROMPTS / "README.md").read_text(encoding="utf-8")
    file = evaluation.PROMPTS / f"{content_type}.jsonl"
    prompts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    scenes = {prompt["prompt"] for prompt in prompts}
    words = [len(scene.split()) for scene in scenes]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    row = f"{content_type} | {len(prompts)} | {len(scenes)} | {min(words)} to {max(words)} | `{digest}`"
    assert f"| {row} |" in sheet, "a changed set needs another version and its row in the datasheet"
    assert sheet.startswith(f"# The prompts of the evaluation: version {PROMPTS_VERSION}\n")


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_scenes_are_balanced(content_type: str) -> None:
    prompts = evaluation.load_prompts(content_type)
    assert unbalanced_scenes(prompts) == []
    changed = dataclasses.replace(prompts[0], emotion="fear")
    assert unbalanced_scenes([changed, *prompts[1:]]) == [prompts[0].prompt]


def test_first_prompts_of_each_emotion() -> None:
    prompts = evaluation.load_prompts("sticker")
    taken = evaluation.take_per_emotion(prompts, 10)
    assert Counter(prompt.emotion for prompt in taken) == dict.fromkeys(EMOTIONS, 10)
    assert [p for p in prompts if p.emotion == "awe"][:10] == [p for p in taken if p.emotion == "awe"]
    with pytest.raises(ValueError, match="at least 1"):
        evaluation.take_per_emotion(prompts, 0)


def test_a_scene_has_one_seed_for_all_emotions() -> None:
    prompts = evaluation.load_prompts("sticker")
    orders = evaluation.plan_orders(prompts, seed=5)
    seeds: dict[str, set[int]] = {}
    for order in orders:
        seeds.setdefault(order.prompt, set()).add(order.seed)
    assert sorted(min(found) for found in seeds.values()) == list(range(5, 45))
    assert all(len(found) == 1 for found in seeds.values())


def test_a_prompt_may_have_a_seed_of_its_own() -> None:
    prompts = evaluation.load_prompts("sticker")[:3]
    own = dataclasses.replace(prompts[1], seed=99)
    orders = evaluation.plan_orders([prompts[0], own, prompts[2]], seed=5)
    assert [order.seed for order in orders] == [5, 99, 7]


GOOD = {"id": "a", "emotion": "awe", "content_type": "sticker", "prompt": "a hand"}
FULL = {**GOOD, "intensity": 1.5, "image": "p", "seed": 3, "out": "x.mp4"}


def test_lines_and_lists_hold_the_same_prompts(tmp_path: Path) -> None:
    rows = [FULL, {"prompt": "b", "emotion": {"Awe": 1, "fear": 0.5}, "image": "p"}]
    (tmp_path / "p").touch()
    (tmp_path / "lines").write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n")
    (tmp_path / "list").write_text(json.dumps(rows, indent=1))
    lines, entries = (read_prompt_file(tmp_path / name) for name in ("lines", "list"))
    assert [entry.place for entry in lines] == [f"{tmp_path / 'lines'}, line {n}" for n in (1, 3)]
    assert [entry.place for entry in entries] == [f"{tmp_path / 'list'}, entry {n}" for n in (0, 1)]
    assert [dataclasses.replace(entry, place="") for entry in lines] == [
        PromptEntry(
            place="",
            prompt="a hand",
            id="a",
            emotion="awe",
            intensity=1.5,
            content_type="sticker",
            image=str(tmp_path / "p"),
            seed=3,
            out="x.mp4",
        ),
        PromptEntry(place="", prompt="b", emotion={"awe": 1, "fear": 0.5}, image=str(tmp_path / "p")),
    ]
    assert [dataclasses.replace(entry, place="") for entry in entries] == [
        dataclasses.replace(entry, place="") for entry in lines
    ]


def test_every_command_reads_the_same_file(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "id": "b", "emotion": "Fear", "seed": 7}]
    for name, text in (("lines", "\n".join(map(json.dumps, rows))), ("list", json.dumps(rows))):
        (tmp_path / name).write_text(text)
        prompts, orders = evaluation.read_prompts(tmp_path / name), read_orders(tmp_path / name)
        assert [(p.id, p.emotion, p.seed) for p in prompts] == [("a", "awe", None), ("b", "fear", 7)]
        assert [(o.out, o.emotion, o.seed) for o in orders] == [("a.mp4", "awe", 0), ("b.mp4", "fear", 7)]


def test_videos_are_named_by_out_by_id_or_by_number(tmp_path: Path) -> None:
    rows = [{"out": "x.mp4", "id": "a"}, {"id": "b"}, {"emotion": {"awe": 1, "fear": 1}}, {}]
    (tmp_path / "own.json").write_text(json.dumps([{"prompt": "a cat", **row} for row in rows]))
    orders = read_orders(tmp_path / "own.json")
    assert [order.out for order in orders] == ["x.mp4", "b.mp4", "0002-awe-fear.mp4", "0003-plain.mp4"]
    assert {order.intensity for order in orders} == {1.0}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompts"),
        (["[]"], "holds no prompts"),
        (["[{]"], "own.jsonl is not JSON"),
        (["{"], "line 1 is not JSON"),
        (["1"], "line 1 is not an object"),
        (["[1]"], "entry 0 is not an object"),
        ([json.dumps([GOOD, {**GOOD, "id": "b", "prompt": 1}])], "entry 1: prompt is 1; it must say what"),
        ([json.dumps({**GOOD, "mood": "x"})], "unknown fields ['mood']"),
        ([json.dumps({**GOOD, "prompt": " "})], "line 1: prompt is ' '; it must say what"),
        ([json.dumps({**GOOD, "emotion": {"awe": 0}})], "weight of awe is 0; it must be above 0"),
        ([json.dumps({**GOOD, "emotion": {"awe": "x"}})], "weight of awe is 'x'; it must be a number"),
        ([json.dumps({**GOOD, "emotion": {"awe": 1, "Awe": 1}})], "'awe' is in the blend twice"),
        ([json.dumps({**GOOD, "emotion": {}})], "a blend names at least one emotion"),
        ([json.dumps({**GOOD, "seed": 1.5})], "seed is 1.5; it must be a whole number"),
        ([json.dumps({**GOOD, "intensity": -1})], "intensity is -1; it must be a number from 0 up"),
        ([json.dumps({**GOOD, "out": "../a.mp4"})], "out '../a.mp4' is not the name of an .mp4 file"),
        ([json.dumps({**GOOD, "image": 3})], "image is 3; it must be a path"),
        ([json.dumps({**GOOD, "emotion": "joy"})], "emotion 'joy' is unknown"),
        ([json.dumps({**GOOD, "content_type": "gif"})], "content_type 'gif' is unknown"),
        ([json.dumps({**GOOD, "id": "../a"})], "id is '../a'; it may hold"),
        ([json.dumps(GOOD)] * 2, "line 2: id 'a' is also in line 1"),
        ([json.dumps({**GOOD, "image": "none.png"})], "image 'none.png' does not exist"),
        (
            [json.dumps(GOOD), json.dumps({**GOOD, "id": "b", "image": "p"})],
            "either all prompts have an image",
        ),
        (
            [json.dumps({k: v for k, v in GOOD.items() if k != "id"})],
            "line 1: id is missing; emovid",
        ),
        ([json.dumps({k: v for k, v in GOOD.items() if k != "emotion"})], "line 1: emotion is missing"),
        ([json.dumps({**GOOD, "content_type": None})], "line 1: content_type is missing"),
        ([json.dumps({**GOOD, "emotion": {"awe": 1}})], "line 1: emotion is a blend"),
        (
            [json.dumps({**GOOD, "intensity": 1})],
            "line 1: intensity is given; in emovid evaluate",
        ),
        ([json.dumps({**GOOD, "out": "a.mp4"})], "line 1: out is given; emovid evaluate calls"),
    ],
)
def test_wrong_prompts_are_refused_in_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(lines))
    (tmp_path / "p").touch()
    with pytest.raises(ValueError) as caught:
        evaluation.read_prompts(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
