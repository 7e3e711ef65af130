"""Votes on the disk: what counts of them, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emovid_models.study.preference import Choice
from emovid_models.study.votes import Vote, VoteFile, VotesError, failed_checks, read_votes

VOTE = Vote(
    rater="r0001", place=3, kind="trial", question="emotion", prompt="s0001",
    shown=("base", "lora"), chosen="lora", ms=900,
)  # fmt: skip
CHECK = replace(VOTE, kind="check", question="check", expected="base", place=4)


def test_votes_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = VoteFile(tmp_path, "r0001")
    assert file.append(VOTE) and not file.append(replace(VOTE, ms=5)), "sent again, it is written once"
    with pytest.raises(VotesError, match="has version 1; the next is 2"):
        file.append(replace(VOTE, chosen="base"))
    with pytest.raises(BlockingIOError):
        VoteFile(tmp_path, "r0001")
    assert file.append(replace(VOTE, chosen="base", version=2))
    assert file.append(CHECK) and file.append(replace(VOTE, place=0, kind="practice", chosen=None))
    file.close()
    path = tmp_path / "votes" / "r0001.jsonl"
    assert os.stat(path).st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes() + b'{"rater": "r0001", "pl')
    found = read_votes(tmp_path)
    assert [(vote.place, vote.chosen, vote.version) for vote in found] == [
        (0, None, 1),
        (3, "base", 2),
        (4, "lora", 1),
    ]
    assert found[1].choice == Choice("r0001", "s0001", ("base", "lora"), "base") and found[0].choice is None
    assert failed_checks(found) == {"r0001": 1}
    again = VoteFile(tmp_path, "r0001")
    assert len(again.votes) == 3 and path.read_bytes().endswith(b"}\n"), "what was torn is cut off"
    again.close()
    assert json.loads(path.read_text().splitlines()[0]) == {
        "rater": "r0001", "place": 3, "kind": "trial", "question": "emotion", "prompt": "s0001",
        "shown": ["base", "lora"], "chosen": "lora", "ms": 900, "version": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rater": "../r1"}, "rater"),
        ({"kind": "other"}, "kind 'other'"),
        ({"chosen": "third"}, "chosen 'third' is not one of"),
        ({"shown": ["base"]}, "two or more"),
        ({"shown": ["base", "base"], "chosen": "base"}, "each once"),
        ({"shown": "base"}, "is not a list"),
        ({"shown": [1, 2], "chosen": 1}, "names of systems"),
        ({"expected": "base"}, "expected 'base'"),
        ({"kind": "check"}, "question 'emotion'"),
        ({"ms": -1}, "ms -1"),
        ({"ms": True}, "ms True"),
        ({"version": 0}, "version 0"),
        ({"prompt": ""}, "prompt ''"),
        ({"at": "now"}, "unknown fields"),
    ],
)
def test_what_is_not_a_vote_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    row = {**json.loads(VOTE.to_json()), **changes}
    with pytest.raises(VotesError, match=message):
        Vote.from_mapping(row)
    (tmp_path / "r0001.jsonl").write_text(json.dumps(row, allow_nan=False) + "\n")
    with pytest.raises(VotesError, match=r"r0001\.jsonl, line 1: "):
        read_votes(tmp_path)


def test_lines_of_others_and_out_of_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r0002.jsonl").write_text(VOTE.to_json() + "\n")
    with pytest.raises(VotesError, match="the vote is of 'r0001'"):
        read_votes(tmp_path)
    (tmp_path / "r0002.jsonl").unlink()
    (tmp_path / "r0001.jsonl").write_text(f"{VOTE.to_json()}\n{VOTE.to_json()}\n")
    with pytest.raises(VotesError, match="line 2: version 1; the next is 2"):
        read_votes(tmp_path)
