"""What `save_pretrained` writes loads again as a pipeline, and a chat's message may name its video's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from served_folder import served
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

from emovid_models.remote.annotator import CODE
from emovid_models.remote.annotator.reading import read_frames
from emovid_models.remote.annotator.repo_code import AUTO_MAP, FILES


@pytest.mark.parametrize("way", ["pipeline", "apart", "package"])
def test_what_is_saved_loads_as_a_pipeline(
    way: str, repo: Path, annotator: Any, stickers: list[Path], tmp_path: Path
) -> None:
    if way == "pipeline":
        loaded = pipeline("video-emotion", model=str(repo), trust_remote_code=True, device="cpu")
        loaded.save_pretrained(tmp_path)
    elif way == "apart":
        AutoModelForImageTextToText.from_pretrained(repo, trust_remote_code=True).save_pretrained(tmp_path)
        AutoProcessor.from_pretrained(repo, trust_remote_code=True).save_pretrained(tmp_path)
    else:
        annotator.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == set(CODE)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == AUTO_MAP
    again = pipeline("video-emotion", model=str(tmp_path), trust_remote_code=True, device="cpu")
    assert type(again).__module__.startswith("transformers_modules.")
    for ours, theirs in zip(annotator(stickers[0]), again(stickers[0]), strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)


def test_the_list_of_code_is_whole() -> None:
    assert sorted(FILES) == sorted(CODE)


def test_a_message_names_its_video(annotator: Any, stickers: list[Path]) -> None:
    processor, path = annotator.processor, stickers[0]
    frames = read_frames(path, lambda total: processor.sample_indices(total, 4))
    question = {"type": "text", "text": "Which emotion?"}

    def asked(**video: Any) -> Any:
        return [{"role": "user", "content": [{"type": "video", **video}, question]}]

    expected = processor.apply_chat_template(asked(video=frames), tokenize=True, add_generation_prompt=True)
    for part in ({"path": str(path)}, {"path": path}, {"video": str(path)}, {"video": path.read_bytes()}):
        found = processor.apply_chat_template(asked(**part), tokenize=True, add_generation_prompt=True)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items()), part
    two = processor.apply_chat_template(
        [asked(path=path), asked(video=frames)], tokenize=True, num_frames=2, add_generation_prompt=True
    )
    assert two["pixel_values_videos"].shape[0] == 4
    with pytest.raises(FileNotFoundError, match=r"absent\.mp4 is not a file"):
        processor.apply_chat_template(asked(path="absent.mp4"), tokenize=True)
    with pytest.raises(ValueError, match="has 2 of the keys"):
        processor.apply_chat_template(asked(path=path, video=frames), tokenize=True)


def test_a_message_names_its_video_by_an_address(annotator: Any, stickers: list[Path]) -> None:
    processor, path = annotator.processor, stickers[0]

    def asked(**video: Any) -> Any:
        content = [{"type": "video", **video}, {"type": "text", "text": "Which emotion?"}]
        return processor.apply_chat_template([{"role": "user", "content": content}], tokenize=True)

    expected = asked(path=path)
    with served(path.parent) as server:
        for part in ({"url": f"{server.url}/{path.name}"}, {"video": f"{server.url}/{path.name}"}):
            found = asked(**part)
            assert expected.keys() == found.keys()
            assert all(torch.equal(found[name], value) for name, value in expected.items()), part
        assert {name for name, *_ in server.sent} == {f"/{path.name}"}
        with pytest.raises((OSError, ValueError)) as refused:
            asked(url=f"{server.url}/absent.mp4")
    assert "\n" not in str(refused.value) and "absent.mp4" in str(refused.value)
