"""The command `emovid push`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import check_by, existing_folder, new_folder, one_of, parsed_by
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.cli.sizes import parse_byte_size

if TYPE_CHECKING:
    from emovid_dataset.store import Store

KINDS = ("dataset", "annotator", "lora", "metric", "demo", "base")
"""What can be published; `publish.repos` assembles each."""

SPACES = ("metric", "demo")
"""Kinds whose repo is a Space."""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``push``.
    """
    app.command("push", epilog="Example: emovid push dataset emovid/ --repo-id me/EmoVid --private")(push)


def _no_repo_id(value: str) -> str | None:
    return None if re.fullmatch(r"[\w.-]+/[\w.-]+", value) else f" is {value!r}; it must be owner/name"


def _no_namespace(value: str) -> str | None:
    named = re.fullmatch(r"[\w.-]+", value)
    return None if named else f" is {value!r}; it must be the name of a user or organisation"


def _no_ref_name(value: str) -> str | None:
    """What git says of the names of branches and tags."""
    wrong = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)|(^|/)\.|[/.]$|^/|^@$|^-|^$", value)
    return f" is {value!r}; it must be a name that git allows for a branch or tag" if wrong else None


def push(
    kind: Annotated[
        str,
        typer.Argument(help="dataset, annotator, lora, metric, demo or base.", callback=one_of(KINDS)),
    ],
    source: Annotated[
        str, typer.Argument(help="Folder that holds it; of a build also its URL.", callback=existing_folder)
    ],
    repo_id: Annotated[
        str,
        typer.Option(
            help="Repo on the Hub, owner/name; created if it is missing.", callback=check_by(_no_repo_id)
        ),
    ],
    namespace: Annotated[
        str,
        typer.Option(
            help="Owner of the other repos that the card links to.", callback=check_by(_no_namespace)
        ),
    ] = "emovid",
    private: Annotated[bool, typer.Option("--private", help="Make the repo private.")] = False,
    gated: Annotated[
        str | None,
        typer.Option(
            help="auto or manual: who wants the files must ask for them.",
            callback=one_of(("auto", "manual")),
        ),
    ] = None,
    revision: Annotated[
        str,
        typer.Option(help="Branch; created from main if it is missing.", callback=check_by(_no_ref_name)),
    ] = "main",
    tag: Annotated[
        str | None,
        typer.Option(
            help="Name for this state; by default v and the version, of a build with the data's revision.",
            callback=check_by(_no_ref_name),
        ),
    ] = None,
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Give it no name.")] = False,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete for good what earlier revisions of a build's repo hold: its tags, its history "
            "and its LFS objects.",
        ),
    ] = False,
    commit_size: Annotated[
        str, typer.Option(help="Bytes of one commit at most.", callback=parsed_by(parse_byte_size))
    ] = "4GB",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every file and send nothing.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --dry-run: a new or empty folder that gets every file, to look at them.",
            callback=new_folder,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Publish a build, a model, the metric or the demo on the Hub: card, code, and weights or shards.

    What the Hub holds already is not sent again, so the same command goes on after an interruption. The token
    is that of `hf auth login`, or HF_TOKEN.
    """
    from huggingface_hub import get_token

    from emovid_dataset.check import verify
    from emovid_dataset.terminal import Progress, print_table
    from emovid_models.publish.purge import COPIES, check_branches, purged_files
    from emovid_models.publish.purge import purge as purge_repo
    from emovid_models.publish.repos import assemble, with_repo
    from emovid_models.publish.screening import check_tree
    from emovid_models.publish.tree import check_access, hash_tree, write_tree
    from emovid_models.publish.upload import push as push_tree

    if tag is not None and no_tag:
        raise ValueError(f"--tag {tag!r} and --no-tag exclude each other")
    if gated is not None and kind in SPACES:
        raise ValueError(f"--gated {gated}: gated is for datasets and models; a Space can be private only")
    if purge and kind != "dataset":
        raise ValueError(f"--purge is for a dataset, not for a {kind}")
    if out is not None and not dry_run:
        raise ValueError(f"--out {out} needs --dry-run; without it the files go to the Hub")
    if out is not None and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"--out {out} is not empty; name a new folder")
    commit_bytes = parse_byte_size(commit_size)
    try:
        tree = assemble(kind, source, repo_id=repo_id, namespace=namespace)
    except Exception as error:
        # By its name, since safetensors comes with an extra.
        if type(error).__name__ != "SafetensorError":
            raise
        raise ValueError(
            _damaged_weights(Path(source)) or f"weights in {source} cannot be read: {error}"
        ) from error
    check_access(tree, private=private, gated=gated)
    violations = check_tree(tree, secret=get_token())
    if kind == "dataset" and not violations:
        # Other processes do not see this one's memory.
        engine = "serial" if source.startswith("memory://") else "processes"
        violations = verify(source, engine=engine, progress=not as_json)
    if violations:
        if as_json:
            print(json.dumps({"repo_id": repo_id, "violations": violations}, allow_nan=False))
        else:
            for line in violations:
                print(line)
        raise typer.Exit(FOUND_WRONG)

    if dry_run:
        with Progress(len(tree.files), unit="files", title="hashing", enabled=not as_json) as progress:
            files = sorted(hash_tree(tree, progress=progress.update), key=lambda file: file.path)
        if out is not None:
            write_tree(tree, out)
        if as_json:
            listed = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files]
            told = {} if out is None else {"out": str(out)}
            print(
                json.dumps(
                    {"repo_id": repo_id, "repo_type": tree.repo_type, **told, "files": listed},
                    allow_nan=False,
                )
            )
        else:
            # Plain lines: a table cuts long names, and this list is to be exact.
            where = "" if out is None else f"; every file is in {out}"
            print(f"{repo_id}, a {tree.repo_type}: nothing was sent{where}")
            for file in files:
                print(f"{file.sha256} {file.size:>12} {file.path}")
            print(f"{len(files)} files, {sum(file.size for file in files) / 1e6:.1f} MB")
        return

    screened = tree
    name = None if no_tag else tag or f"v{_version(kind, source)}"
    changed: dict[str, bytes] = {}
    if purge:
        check_branches(tree, repo_id, revision)
        changed = purged_files(_build(source))
        tree = replace(
            tree,
            files={
                **tree.files,
                **{path: with_repo(data, repo_id) for path, data in changed.items()},
            },
        )
    done = push_tree(
        tree,
        repo_id,
        private=private,
        gated=gated,  # type: ignore[arg-type]  # checked by push
        revision=revision,
        tag=None if purge else name,
        commit_bytes=commit_bytes,
        screened=screened,
        progress=not as_json,
    )
    purged = None
    if purge and not done.violations:
        purged = purge_repo(tree, repo_id, revision=revision, tag=name)
        done = replace(done, commit=purged.commit, tag=name, violations=purged.violations)
        if not purged.violations:
            for path, data in changed.items():
                _build(source).put(path, data)
    sizes = {file.path: file.size for file in done.files}
    if as_json:
        result: dict[str, object] = {
            "repo_id": done.repo_id,
            "repo_type": done.repo_type,
            "revision": done.revision,
            "commit": done.commit,
            "tag": done.tag,
            "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in done.files],
            "uploaded": list(done.uploaded),
            "deleted": list(done.deleted),
            "kept": list(done.kept),
            "commits": done.commits,
            "violations": list(done.violations),
        }
        if purged is not None:
            result["purged"] = {**asdict(purged), "remains": COPIES}
        print(json.dumps(result, allow_nan=False))
    else:
        there = sorted(set(sizes) - set(done.uploaded))
        rows = [
            (state, len(paths), sum(sizes.get(path, 0) for path in paths))
            for state, paths in (("uploaded", done.uploaded), ("was there", there))
        ]
        rows += [("deleted", len(done.deleted), 0)] if done.deleted else []
        rows += [("not ours, left alone", len(done.kept), 0)] if done.kept else []
        print_table(f"{repo_id}, a {tree.repo_type}", ("", "files", "bytes"), rows)
        for path in done.deleted:
            print(f"deleted: {path}")
        for line in done.violations:
            print(line)
        if purged is not None:
            print(
                f"purged: {len(purged.commits)} earlier commits, {len(purged.tags)} tags, "
                f"{len(purged.objects)} LFS objects of {purged.size / 1e6:.1f} MB"
                + ("" if purged.violations else "; the earlier revisions answer 404")
            )
            print(COPIES)
        if not done.violations:
            named = f", tagged {done.tag}" if done.tag else ""
            print(
                f"{done.commits} commits; {done.revision} is {done.commit}{named}; "
                "every file is on the Hub with its size and hash"
            )
    if done.violations:
        raise typer.Exit(FOUND_WRONG)


def _damaged_weights(source: Path) -> str | None:
    """What is wrong with the first damaged file of weights in a folder."""
    from emovid_models.publish.screening import check_tree
    from emovid_models.publish.tree import RepoTree

    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*.safetensors")}
    return next(iter(check_tree(RepoTree("model", files))), None)


def _version(kind: str, source: str) -> str:
    """Version of what is published: the build's with the revision of its data, or this package's."""
    from emovid_dataset import __version__
    from emovid_dataset.read.manifest import read_manifest

    if kind != "dataset":
        return __version__
    manifest = read_manifest(_build(source))
    return f"{manifest.version}-{manifest.revision}"


def _build(source: str) -> Store:
    from emovid_dataset.store import Store

    return Store.find(source) if "://" in source else Store.at(source)
