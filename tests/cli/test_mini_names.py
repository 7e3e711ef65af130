""" "mini" names the models that ship, wherever a command takes an annotator or a base."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import emovid_models
from emovid_dataset.cli import program
from emovid_models.cli.arguments import base_folder

TAKES = {
    ("annotate",): "--model",
    ("evaluate",): "--annotator",
    ("demo",): "--annotator",
    ("train", "annotator"): "--base",
}
BASES = {
    ("generate",): "--model",
    ("sticker",): "--model",
    ("evaluate",): "--base",
    ("train", "lora"): "--base",
    ("demo",): "--base-i2v",
}


@cache
def whole() -> Any:
    """The program with all its commands."""
    return get_command(program())


def given(words: tuple[str, ...], option: str, value: str) -> Any:
    """What a command's own check makes of an option's value."""
    command: Any = whole()
    for word in words:
        command = command.commands[word]
    parameter = next(found for found in command.params if option in found.opts)
    return parameter.callback(typer.Context(command), parameter, value)


@pytest.mark.parametrize("words", TAKES, ids=" ".join)
def test_mini_is_the_annotator_that_ships(words: tuple[str, ...]) -> None:
    found = Path(given(words, TAKES[words], "mini"))
    assert found == emovid_models.MINI_ANNOTATOR
    assert (found / "config.json").is_file()


@pytest.mark.parametrize("words", BASES, ids=" ".join)
def test_mini_is_a_base_that_ships(words: tuple[str, ...]) -> None:
    assert given(words, BASES[words], "mini") == "mini"
    with pytest.raises((ValueError, typer.BadParameter), match="'minni' is not a folder"):
        given(words, BASES[words], "minni")


def test_the_base_that_ships_is_that_of_the_task() -> None:
    assert base_folder("mini", image_to_video=False) == str(emovid_models.MINI_WAN_T2V)
    assert base_folder("mini", image_to_video=True) == str(emovid_models.MINI_WAN_I2V)
    assert base_folder("me/wan", image_to_video=True) == "me/wan"
