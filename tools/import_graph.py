"""Draw which room of the two packages imports which, from the code, for CONTRIBUTING.md.

    python -m tools.import_graph            # print the picture
    python -m tools.import_graph --write    # put it into CONTRIBUTING.md

An arrow leads from a room to one that it imports. An arrow that follows from others is left out: a room may
import whatever it reaches. The rules themselves stand in pyproject.toml and are held by `lint-imports`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import grimp

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"
START, END = "<!-- the import graph: python -m tools.import_graph --write -->\n", "<!-- end -->\n"
PACKAGES = ("emovid_dataset", "emovid_models")
PARTS = {
    "_address": "store",
    "_credentials": "store",
    "_disk": "store",
    "_lease": "store",
    "_remote": "store",
    "_retry": "store",
}
"""Private modules, and the room that they are part of."""


def rooms() -> dict[str, set[str]]:
    """For each room, ``package.room``, the rooms that it imports."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    found: dict[str, set[str]] = defaultdict(set)
    for module in sorted(graph.modules):
        importer = _room(module)
        for imported in graph.find_modules_directly_imported_by(module):
            room = _room(imported)
            if importer and room and importer != room:
                found[importer].add(room)
                found.setdefault(room, set())
    return found


def _room(module: str) -> str:
    """The room of a module; a package's own `__init__` is none."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return f"{package}.{PARTS.get(room, room)}" if room else ""


def reduced(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others.

    Raises:
        ValueError: the rooms import each other in a circle.

    >>> reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    {'a': {'b'}, 'b': {'c'}, 'c': set()}
    """
    reached: dict[str, set[str]] = {}

    def reach(room: str, path: tuple[str, ...] = ()) -> set[str]:
        if room in path:
            raise ValueError(f"circle: {' -> '.join((*path[path.index(room) :], room))}")
        if room not in reached:
            reached[room] = set().union(*({one} | reach(one, (*path, room)) for one in edges[room]))
        return reached[room]

    for room in edges:
        reach(room)
    return {
        room: {one for one in below if not any(one in reach(other) for other in below if other != one)}
        for room, below in edges.items()
    }


def draw(edges: Mapping[str, set[str]]) -> str:
    """A Mermaid flowchart, as GitHub shows it."""
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        lines.append(f"  subgraph {package}")
        held = sorted(room for room in edges if room.startswith(f"{package}."))
        lines += [f"    {_node(room)}[{room.partition('.')[2]}]" for room in held]
        lines.append("  end")
    for room, below in sorted(reduced(edges).items()):
        lines += [f"  {_node(room)} --> {_node(one)}" for one in sorted(below)]
    return "\n".join([*lines, "```"]) + "\n"


def _node(room: str) -> str:
    return room.replace(".", "_")


def main() -> None:
    """Print the picture, or put it where it belongs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put it into CONTRIBUTING.md")
    picture = draw(rooms())
    if not parser.parse_args().write:
        print(picture, end="")
        return
    before, _, rest = CONTRIBUTING.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    CONTRIBUTING.write_text(f"{before}{START}{picture}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
