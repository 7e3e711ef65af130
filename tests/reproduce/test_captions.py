"""The captions that the miniature generator is trained with."""

from __future__ import annotations

import re
from pathlib import Path

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation import load_prompts
from tools.mini_corpus.labels import read_stickers
from tools.mini_wan.captions import SUBJECTS, TEMPLATES, caption_of, specific_subject, subject_of

TELLING = re.compile(
    r"\b(smil\w*|grin\w*|laugh\w*|cry\w*|crie\w*|tears?|frown\w*|angry|anger|sad\w*|happy|joy\w*|fear\w*|scar(ed|y)"
    r"|worr\w*|love\w*|kiss\w*|hugs?|disappoint\w*|astonish\w*|excit\w*|disgust\w*|awe\w*|amus\w*|content\w*"
    r"|zombie|skull|ghost|broken|scream\w*|vomit\w*|pout\w*|dizzy|weary|tired|relie\w*)\b"
)


def test_every_labelled_sticker_has_a_caption_without_its_emotion() -> None:
    captions = {sticker.name: caption_of(Path(sticker.asset).stem) for sticker in read_stickers()}
    assert captions["crying face"].count("a yellow face") == 1
    assert not [caption for caption in captions.values() if TELLING.search(caption)]
    # Nothing of an emoji's own name is left.
    known = set(" ".join([*SUBJECTS, *TEMPLATES]).replace(",", "").split())
    assert not {word for text in captions.values() for word in text.replace(",", "").split()} - known


def test_a_caption_does_not_tell_the_emotions_of_faces_apart() -> None:
    subjects = {
        emotion: {
            subject_of(Path(sticker.asset).stem) for sticker in read_stickers() if sticker.emotion == emotion
        }
        for emotion in EMOTIONS
    }
    without_faces = [emotion for emotion, found in subjects.items() if "a yellow face" not in found]
    assert without_faces == []


def test_specific_names_tell_of_no_emotion() -> None:
    stems = [f"{point:x}" for point in range(0x1F300, 0x1FB00)]
    names = [name for stem in stems if (name := specific_subject(stem))]
    assert len(names) > 300
    assert [name for name in names if TELLING.search(name)] == []


def test_the_sticker_prompts_name_what_the_base_has_seen() -> None:
    captions = {template.format(subject) for subject in SUBJECTS for template in TEMPLATES}
    assert {prompt.prompt for prompt in load_prompts("sticker")} <= captions
