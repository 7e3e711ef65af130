"""Ledger files: what is written is what is read, and a file is whole or not there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emovid_dataset.engine import Ledger
from emovid_dataset.store import Store


def joined(text: str) -> str:
    """Surrogates that make up a character as that character: no decoder leaves them apart, nor does JSON."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


texts = (st.text() | st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF))).map(joined)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=6,
)


def identical(left: Any, right: Any) -> bool:
    """Equal in type too, so that 1 is not 1.0 nor True, and 0.0 not -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(identical(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # nothing hangs on the machine's load
@given(st.lists(st.dictionaries(texts, values, max_size=4), max_size=4))
def test_records_come_back_unchanged(records: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        ledger = Ledger(Store.at(folder), "ledger/prepare")
        ledger.write("key", records)
        assert identical(list(ledger.read("key")), records)
        lines = (Path(folder) / "ledger/prepare/key.jsonl").read_bytes().splitlines()
        assert [json.loads(line) for line in lines] == records, "not one line per record"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_an_error_and_leaves_no_file(store: Store, number: float) -> None:
    ledger = Ledger(store, "ledger")
    with pytest.raises(ValueError, match="a record of part key cannot be written as JSON"):
        ledger.write("key", [{"hue": 1.0}, {"hue": [number]}])
    assert not ledger.has("key") and list(store.list()) == []


def test_records_that_end_in_an_error_leave_no_file(store: Store) -> None:
    def records() -> Any:
        yield {"number": 1}
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        Ledger(store, "ledger").write("key", records())
    assert list(store.list()) == []


def test_a_part_without_records_is_done(store: Store) -> None:
    ledger = Ledger(store, "ledger")
    assert not ledger.has("key")
    ledger.write("key", [])
    assert ledger.has("key") and list(ledger.read("key")) == []
    ledger.remove("key")
    assert not ledger.has("key")


@pytest.mark.parametrize("key", ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "é", "x" * 201])
def test_keys_are_safe_file_names(store: Store, key: str) -> None:
    ledger = Ledger(store, "ledger")
    for use in (
        lambda: ledger.write(key, []),
        lambda: list(ledger.read(key)),
        lambda: ledger.has(key),
        lambda: ledger.divide(key, ["a"]),
    ):
        with pytest.raises(ValueError, match="is not a safe file name"):
            use()
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n{"a"', r"ledger/key\.jsonl: the file is cut off"),
        (b'{"a": 1}\n{"a"}\n', r"ledger/key\.jsonl, line 2: "),
        (b"[1]\n", r"ledger/key\.jsonl, line 1: not a JSON object"),
        (b"\xff\n", r"ledger/key\.jsonl, line 1: "),
    ],
)
def test_a_damaged_file_is_named(store: Store, data: bytes, message: str) -> None:
    store.put("ledger/key.jsonl", data)
    with pytest.raises(ValueError, match=message):
        list(Ledger(store, "ledger").read("key"))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"halves": 3}', b"\xff"])
def test_a_damaged_division_is_named(store: Store, data: bytes) -> None:
    store.put("ledger/key.halves", data)
    with pytest.raises(ValueError, match=r"ledger/key\.halves: the file is damaged"):
        Ledger(store, "ledger").halves("key")


def test_entries_are_those_of_the_folder(store: Store) -> None:
    ledger = Ledger(store, "ledger/a")
    ledger.write("one", [])
    ledger.write("two.parts", [{"x": 1}])
    ledger.divide("three", ["four", "five"])
    Ledger(store, "ledger/ab").write("other", [])
    store.put("ledger/a/notes.txt", b"not ours")
    entries = ledger.entries()
    assert entries.done == {"one", "two.parts"} and entries.divided == {"three"}
    assert ledger.halves("three") == ("four", "five")
