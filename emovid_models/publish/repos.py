"""`assemble`: the files of a Hub repo, one by one, from the folder that a command wrote.

A repo is a card, its code, and weights or shards. Whatever else lies in the folder (checkpoints, caches,
logs, files of other programs) stays where it is. Code comes from this package, so that what runs on a user's
machine is what was tested here.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import emovid_dataset
from emovid_dataset.read.load import loading_script
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.report.card import ANY_REPO, REPO
from emovid_dataset.schema.file_names import CONTACT_SHEET, EMOTION_CHART
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    INFO_NAME,
    MANIFEST_NAME,
    PAPER_CORPUS,
    REMOVED_NAME,
    Manifest,
    tables_of,
)
from emovid_dataset.schema.proxies import PROXIES_NAME, ProxySet, proxies_json
from emovid_dataset.store import Store, without_credentials
from emovid_models.publish import cards
from emovid_models.publish.results import read_json
from emovid_models.publish.tree import Content, RepoTree, StoredFile
from emovid_models.records import FIGURES, OUT_OF_FOLD, RUN_CARD

Files = dict[str, Content]

RESTRICTION = "the corpus of the EmoVid paper is for academic, non-commercial research, and not redistributed"
"""Why not everybody may read it."""

EXAMPLE_CLIP = Path(emovid_dataset.__file__).parent / "mini" / "sticker" / "1f602.mp4"
"""The clip that an annotator's repo carries for its examples: a face with tears of joy, MIT."""

_PROCESSOR_FILES = re.compile(
    r"(processor|preprocessor|tokenizer|special_tokens|added_tokens)[\w.]*\.json|vocab\.json|merges\.txt"
    r"|chat_template\.(jinja|json)|generation_config\.json"
)

_PART_FILES = re.compile(r"[\w-][\w.-]*\.(json|safetensors|jinja)|spiece\.model|merges\.txt")
"""Files of a folder of diffusers' layout: settings, tokenizers and weights, and no pickles."""

_SETTINGS = re.compile(r"(\w+_)?config\.json|model_index\.json")

_DEMO_FILES = re.compile(r"[a-z][\w-]*\.(py|js|css|txt)|assets/[\w-]+\.(png|svg|mp4|webp)")


def assemble(
    kind: str, source: str | os.PathLike[str], *, repo_id: str, namespace: str = "emovid"
) -> RepoTree:
    """List all files of a repo.

    Args:
        kind: one of `KINDS`.
        source: what shall be published: a build, by its folder or URL, or the folder of a trained annotator,
            of what `emovid train lora` wrote, of a Wan base, a metric or a demo.
        repo_id: ``owner/name``; the card's examples name it.
        namespace: owner of the other repos that the card links to.

    Returns:
        The tree. Nothing is copied, and no file's bytes are read but those that the card is made from.

    Raises:
        ValueError: an unknown kind, a repo id of another form, or a folder that holds something else.
        OSError: the folder is not there or cannot be read.

    >>> from emovid_models.metrics import ea_8cls
    >>> tree = assemble("metric", Path(ea_8cls.__file__).parent, repo_id="me/ea_8cls")
    >>> tree.repo_type, sorted(tree.files)
    ('space', ['README.md', 'app.py', 'batches.py', 'comparison.py', 'distributions.py', 'ea_8cls.py',
    'intervals.py', 'labels.py', 'requirements.txt', 'scoring.py', 'taxonomy.py', 'tests.py'])
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise ValueError(f"repo id is {repo_id!r}; it must be owner/name")
    if not re.fullmatch(r"[\w.-]+", namespace):
        raise ValueError(f"namespace is {namespace!r}; it must be the name of a user or organisation")
    if "://" in os.fspath(source):
        if kind != "dataset":
            # Their cards are made from weights, which safetensors reads from the disk only.
            shown = without_credentials(os.fspath(source))
            raise ValueError(f"{shown} is not a folder; of what lies at a URL only a dataset can be pushed")
        return _dataset(Store.find(source), repo_id)
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    if kind == "dataset":
        return _dataset(Store.at(folder), repo_id)
    tree = _ASSEMBLERS[kind](folder, repo_id, namespace)
    files = {
        name: _without_origin(file) if isinstance(file, Path) and _SETTINGS.fullmatch(file.name) else file
        for name, file in tree.files.items()
    }
    return replace(tree, files=files)


_PICTURES = (CONTACT_SHEET, EMOTION_CHART)


def _dataset(build: Store, repo_id: str) -> RepoTree:
    manifest = read_manifest(build)
    tables = sorted(tables_of(manifest.all_shards))
    names = [*(shard.path for shard in manifest.all_shards), *tables, INFO_NAME, MANIFEST_NAME]
    if manifest.removed:
        names.append(REMOVED_NAME)
    sets = read_proxies(build)
    # those of shards that have changed since stay behind: they would serve clips as they no longer are
    proxies = [proxy for one in sets for proxy in one.of(manifest.shards).values()]
    names += [proxy.path for proxy in proxies]
    held = _names_in(build)
    for name in (*names, CARD_NAME):
        if not (build.exists(name) if held is None else name in held):
            raise ValueError(f"{build.name} is no build: it has no {name}")
    return RepoTree(
        "dataset",
        {
            **{name: StoredFile(build, name) for name in names},
            # Builds of earlier versions have no pictures.
            **{name: StoredFile(build, name) for name in _PICTURES if build.exists(name)},
            **({PROXIES_NAME: _proxy_list(sets, manifest)} if sets else {}),
            "loading_script.py": loading_script(),
            # The build's own card, with whatever its owner has added to it.
            CARD_NAME: with_repo(build.read(CARD_NAME), repo_id),
        },
        RESTRICTION if manifest.corpus == PAPER_CORPUS else None,
        {
            **{shard.path: shard.sha256 for shard in manifest.all_shards},
            **{proxy.path: proxy.sha256 for proxy in proxies},
        },
    )


def with_repo(card: bytes, repo_id: str) -> bytes:
    """A build's card, or another file beside it, whose examples name the repo that it is published in."""
    pattern = "|".join(re.escape(name) for name in (ANY_REPO, REPO))
    return re.sub(pattern.encode(), lambda _: repo_id.encode(), card)


def _proxy_list(sets: Iterable[ProxySet], manifest: Manifest) -> bytes:
    """The list of the proxies that are published."""
    fresh = (replace(one, shards=tuple(one.of(manifest.shards).values())) for one in sets)
    return proxies_json(fresh).encode()


def _names_in(build: Store) -> set[str] | None:
    """What a bucket holds, by far fewer requests than files; None where each file is asked for."""
    return set(build.list()) if build.folder is None and build.has_listings else None


def _annotator(folder: Path, repo_id: str, namespace: str) -> RepoTree:
    from emovid_models.remote.annotator import CODE

    config = _parsed(folder, "config.json", "annotator")
    if not isinstance(config, dict) or config.get("model_type") != "nvila_lite":
        raise ValueError(f"{folder} is no annotator: its config.json has no model_type 'nvila_lite'")
    weights = _weights(folder, "model", "annotator")
    card = cards.annotator_card(folder, _safetensors(weights), repo_id=repo_id, namespace=namespace)
    return RepoTree(
        "model",
        {
            **weights,
            **_take(folder, ("config.json", "processor_config.json", "tokenizer.json"), "annotator"),
            **{path.name: path for path in folder.iterdir() if _PROCESSOR_FILES.fullmatch(path.name)},
            **CODE,
            **_results(folder),
            **{name: folder / name for name in [OUT_OF_FOLD] if (folder / name).is_file()},
            cards.EXAMPLE: EXAMPLE_CLIP,
            CARD_NAME: card.encode(),
        },
    )


def _lora(folder: Path, repo_id: str, namespace: str) -> RepoTree:
    from emovid_models.remote.wan import CODE, lora

    weights = _path(folder, lora.WEIGHT_NAME, "LoRA")
    card = cards.lora_card(folder, weights, repo_id=repo_id, namespace=namespace)
    facts = lora.read_facts(weights)
    assert facts is not None  # else there were no card
    return RepoTree(
        "model",
        {
            weights.name: weights,
            **{name: folder / name for name in [lora.SECOND_WEIGHT_NAME] if (folder / name).is_file()},
            **CODE[facts.task],
            **_example_picture(facts.task),
            **_results(folder),
            CARD_NAME: card.encode(),
        },
    )


def _base(folder: Path, repo_id: str, namespace: str) -> RepoTree:
    index = _parsed(folder, "model_index.json", "Wan base")
    name = index.get("_class_name") if isinstance(index, dict) else None
    tasks = {"WanPipeline": "t2v", "WanImageToVideoPipeline": "i2v"}
    if name not in tasks:
        raise ValueError(f"{folder} is no Wan base: its model_index.json names {name!r}")
    files: Files = {"model_index.json": folder / "model_index.json"}
    for part in sorted(part for part, found in index.items() if isinstance(found, list) and found[0]):
        held = [path for path in sorted((folder / part).glob("*")) if _PART_FILES.fullmatch(path.name)]
        if not held:
            raise ValueError(f"{folder} is no Wan base: its folder {part} is missing or empty")
        files |= {f"{part}/{path.name}": path for path in held}
    weights = _safetensors(files)
    if not weights:
        raise ValueError(f"{folder} is no Wan base: it holds no safetensors")
    task = tasks[name]
    card = cards.base_card(folder, weights, task, repo_id=repo_id, namespace=namespace)
    files |= {**_example_picture(task), **_results(folder)}
    return RepoTree("model", {**files, CARD_NAME: card.encode()})


def _demo(folder: Path, repo_id: str, namespace: str) -> RepoTree:
    from emovid_dataset.media.portable import PICTURE_CODE
    from emovid_models.remote.sticker import CODE

    needed = ("app.py", "requirements.txt")
    files: Files = {**_take(folder, needed, "demo"), **CODE, **PICTURE_CODE}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _DEMO_FILES.fullmatch(name):
            files[name] = path
    # The page shows the repos of this owner.
    settings = _read(folder, "settings.py", "demo").replace('"emovid/', f'"{namespace}/')
    files["settings.py"] = settings.encode()
    names = re.findall(rf'"((?:{re.escape(namespace)}|Wan-AI)/[\w.-]+)"', settings)
    card = cards.demo_card(repo_id=repo_id, namespace=namespace, repos=list(dict.fromkeys(names)))
    return RepoTree("space", {**files, CARD_NAME: card.encode()})


def _example_picture(task: str) -> Files:
    """The first frame of the example clip, for models that start from a picture."""
    if task != "i2v":
        return {}
    from PIL import Image

    from emovid_dataset.media.frames import decode

    png = io.BytesIO()
    Image.fromarray(decode(EXAMPLE_CLIP, frames=lambda count: [0])[0]).save(png, "PNG")
    return {cards.EXAMPLE_PICTURE: png.getvalue()}


def _metric(folder: Path, repo_id: str, namespace: str) -> RepoTree:
    from emovid_models.metrics.ea_8cls import CODE

    name = folder.resolve().name
    if repo_id.partition("/")[2] != name:
        # evaluate looks for a module that is named like its repo.
        raise ValueError(f"repo id is {repo_id!r}; this metric loads from a repo named {name!r} only")
    files = _take(folder, CODE, "metric")
    card = _read(folder, CARD_NAME, "metric").replace(f"emovid/{name}", repo_id)
    card = card.replace(f"/spaces/{cards.OWNER}/", f"/spaces/{namespace}/")
    return RepoTree("space", {**files, CARD_NAME: card.encode()})


def _take(folder: Path, names: Iterable[str], what: str) -> Files:
    """The named files, all of which must be there."""
    return {name: _path(folder, name, what) for name in names}


def _weights(folder: Path, stem: str, what: str) -> Files:
    """A model's safetensors, whole or in the parts that its index names."""
    index = f"{stem}.safetensors.index.json"
    if not (folder / index).is_file():
        return _take(folder, [f"{stem}.safetensors"], what)
    names = set(_parsed(folder, index, what)["weight_map"].values())
    if outside := sorted(name for name in names if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", str(name))):
        raise ValueError(f"{folder / index} names {outside[0]!r}, which is no safetensors file beside it")
    return _take(folder, [index, *sorted(names)], what)


def _safetensors(files: Files) -> list[Path]:
    return [path for path in files.values() if isinstance(path, Path) and path.suffix == ".safetensors"]


def _results(folder: Path) -> Files:
    """The run card and the figures, as far as they are there, without the machine's paths in them."""
    files: Files = {}
    for name in (RUN_CARD, FIGURES):
        content = read_json(folder / name)
        if content is not None:
            files[name] = (json.dumps(_without_folders(content), indent=1, allow_nan=False) + "\n").encode()
    return files


def _without_folders(value: Any) -> Any:
    """A JSON value whose absolute paths are only the names of what they lead to.

    >>> _without_folders({"base": "/home/me/base", "data": ["emovid/EmoVid"]})
    {'base': 'base', 'data': ['emovid/EmoVid']}
    """
    if isinstance(value, dict):
        return {key: _without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_folders(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _without_origin(path: Path) -> Path | bytes:
    """A model's settings; if they name the folder that it was loaded from, without what leads there."""
    content = read_json(path)

    def renamed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: _without_folders(entry) if key in ("_name_or_path", "name_or_path") else renamed(entry)
            for key, entry in value.items()
        }

    found = renamed(content)
    return path if found == content else (json.dumps(found, indent=2, allow_nan=False) + "\n").encode()


def _parsed(folder: Path, name: str, what: str) -> Any:
    return read_json(_path(folder, name, what))


def _path(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{folder} is no {what}: it has no {name}")
    return path


def _read(folder: Path, name: str, what: str) -> str:
    return _path(folder, name, what).read_text(encoding="utf-8")


_ASSEMBLERS: Mapping[str, Callable[[Path, str, str], RepoTree]] = {
    "annotator": _annotator,
    "lora": _lora,
    "base": _base,
    "metric": _metric,
    "demo": _demo,
}

KINDS = ("dataset", *_ASSEMBLERS)
"""What can be published."""
