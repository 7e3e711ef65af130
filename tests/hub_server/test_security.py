"""What a repo of ours, or one that claims to be one, can do on a user's machine: nothing beyond its job."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

import emovid_models
import emovid_models.metrics.ea_8cls
import emovid_models.wan
from emovid_dataset import load, select, stream
from emovid_dataset.build import build, verify
from emovid_dataset.card import REPO
from emovid_dataset.manifest import Manifest
from emovid_models import MINI_ANNOTATOR
from emovid_models.repos import assemble
from emovid_models.wan import PIPELINE_FILES

CARDS = Path(__file__).parents[2] / "cards"

FORBIDDEN_MODULES = {
    "aiohttp",
    "asyncio",
    "cloudpickle",
    "code",
    "ctypes",
    "dill",
    "ftplib",
    "http",
    "httpx",
    "importlib",
    "joblib",
    "marshal",
    "multiprocessing",
    "pickle",
    "pty",
    "requests",
    "runpy",
    "shelve",
    "smtplib",
    "socket",
    "ssl",
    "subprocess",
    "telnetlib",
    "urllib",
    "webbrowser",
}
FORBIDDEN_NAMES = {"__builtins__", "__import__", "breakpoint", "compile", "eval", "exec", "globals", "vars"}
FORBIDDEN_METHODS = {
    "execv",
    "execve",
    "fork",
    "hf_hub_download",
    "import_module",
    "popen",
    "posix_spawn",
    "snapshot_download",
    "spawnl",
    "spawnv",
    "startfile",
    "system",
    "urlopen",
    "urlretrieve",
}

FETCHES = {"annotator/pipeline.py": ["imports urllib.request", "uses .urlopen"]}
"""The annotator takes the address of a video from its caller, and only `_fetched` gets it."""


def remote_code(mini_build: Path) -> dict[str, str]:
    """Every Python file that a user's machine runs from a repo of ours."""
    trees = {
        "dataset": assemble("dataset", mini_build, repo_id=REPO),
        "annotator": assemble("annotator", MINI_ANNOTATOR, repo_id="emovid/annotator"),
        "metric": assemble(
            "metric", Path(emovid_models.metrics.ea_8cls.__file__).parent, repo_id="emovid/ea_8cls"
        ),
    }
    code = {
        f"{name}/{path}": content.decode() if isinstance(content, bytes) else content.read_text()
        for name, tree in trees.items()
        for path, content in tree.files.items()
        if path.endswith(".py")
    }
    sources = Path(str(emovid_models.wan.__file__)).parent
    for task, files in PIPELINE_FILES.items():
        code |= {f"{task}/{name}": (sources / file).read_text() for name, file in files.items()}
    return code


def misdeeds(code: str) -> list[str]:
    """What a module may not do: run text or programs, unpickle, trust other code, reach the network."""
    found = []
    for node in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [f"imports {name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            found.append(f"uses {node.id}")
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS:
            found.append(f"uses .{node.attr}")
        if isinstance(node, ast.Call):
            found += _call(node)
    return found


def _call(node: ast.Call) -> list[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    owner = node.func.value.id if _on_name(node.func) else ""  # type: ignore[attr-defined]
    given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
    found = []
    if name == "load" and owner in ("torch", "numpy", "np", "yaml"):
        found.append(f"calls {owner}.load")
    if given.get("trust_remote_code") is True or given.get("allow_pickle") is True:
        found.append("trusts code from elsewhere")
    if given.get("weights_only") is False or given.get("use_safetensors") is False:
        found.append("takes pickled weights")
    return found


def _on_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)


class TestRemoteCode:
    def test_it_runs_no_text_no_programs_no_pickle_and_no_network(self, mini_build: Path) -> None:
        code = remote_code(mini_build)
        assert {
            "dataset/loading_script.py",
            "metric/ea_8cls.py",
            "annotator/modeling_nvila.py",
            "annotator/pipeline.py",
            "t2v/pipeline.py",
            "i2v/guidance.py",
        } <= set(code)
        found = {name: lines for name, text in code.items() if (lines := misdeeds(text))}
        assert found == FETCHES

    def test_the_annotator_fetches_only_what_its_caller_names(self, mini_build: Path) -> None:
        module = ast.parse(remote_code(mini_build)["annotator/pipeline.py"])
        users = {
            function.name
            for function in ast.walk(module)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and node.attr == "urlopen"
        }
        assert users == {"_fetched"}

    def test_it_imports_nothing_of_this_project(self, mini_build: Path) -> None:
        for name, text in remote_code(mini_build).items():
            imported = {
                module.partition(".")[0]
                for node in ast.walk(ast.parse(text))
                for module in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom) and not node.level
                    else []
                )
            }
            assert not imported & {"emovid_dataset", "emovid_models"}, name

    def test_the_demo_runs_no_text_no_programs_and_no_pickle(self) -> None:
        """A Space is a program of its own: it may load the repos that its settings name, and no more."""
        for path in (CARDS / "demo").glob("*.py"):
            assert set(misdeeds(path.read_text())) <= {"trusts code from elsewhere"}, path.name

    @pytest.mark.parametrize(
        ("code", "misdeed"),
        [
            ("import subprocess as s", "imports subprocess"),
            ("from urllib import request", "imports urllib"),
            ("eval('1')", "uses eval"),
            ("run = exec", "uses exec"),
            ("import os; os.system('ls')", "uses .system"),
            ("torch.load('x')", "calls torch.load"),
            ("numpy.load('x', allow_pickle=True)", "trusts code from elsewhere"),
            ("AutoModel.from_pretrained('x', use_safetensors=False)", "takes pickled weights"),
            ("AutoModel.from_pretrained('x', trust_remote_code=True)", "trusts code from elsewhere"),
            ("__import__('os')", "uses __import__"),
        ],
    )
    def test_the_reader_sees_it(self, code: str, misdeed: str) -> None:
        assert misdeed in misdeeds(code)


ESCAPES = ("../escaped.mp4", "/escaped.mp4", "a/../../escaped.mp4", "..\\escaped.mp4")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder deep in another one, where everything runs; nothing but it may change."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("HF_HOME", str(inner / "hf"))
    return inner


def outside(yard: Path) -> list[Path]:
    """Files above the folder, and in the root, that somebody has written."""
    above = [path for path in yard.parent.iterdir() if path != yard]
    above += [path for path in yard.parent.parent.iterdir() if path != yard.parent]
    return above + [path for path in Path("/").glob("escaped*")]


def poisoned(build_folder: Path, yard: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    """A copy of a build whose every test shard begins with one more member, its manifest agreeing."""
    folder = yard / "build"
    shutil.copytree(build_folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["split"] != "test":
            continue
        path = folder / shard["path"]
        old = path.read_bytes()
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "../../../escaped.mp4"
        data = b"evil" if kind == tarfile.REGTYPE else b""
        info.size = len(data)
        head = io.BytesIO()
        with tarfile.open(fileobj=head, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            tar.addfile(info, io.BytesIO(data))
        length = 512 + (512 if data else 0)
        path.write_bytes(head.getvalue()[:length] + old)
        shard["size"], shard["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class TestMaliciousArchives:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *((name, tarfile.REGTYPE) for name in ESCAPES),
            ("link.mp4", tarfile.SYMTYPE),
            ("link.mp4", tarfile.LNKTYPE),
            ("pipe.mp4", tarfile.FIFOTYPE),
            ("dev.mp4", tarfile.CHRTYPE),
        ],
    )
    def test_members_that_lead_outside_write_nowhere_and_are_found(
        self, mini_build: Path, yard: Path, name: str, kind: bytes
    ) -> None:
        folder = poisoned(mini_build, yard, name, kind)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert any("stands where a ." in line for line in verify(folder, workers=1))
        for read in (
            lambda: list(load(folder, "cartoon", split="test")),
            lambda: [
                chosen.video for chosen in select(folder, split="test", content_type="cartoon", limit=2)
            ],
            lambda: list(stream(folder, "cartoon", split="test", frames=1, size=8)),
        ):
            try:
                read()
            except Exception as error:
                assert not isinstance(error, (AssertionError, MemoryError))
        assert outside(yard) == []
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    @pytest.mark.parametrize(
        "path",
        ["../../escaped.tar", "/escaped.tar", "data/../../escaped.tar", "data/sticker/..\\escaped.tar"],
    )
    def test_a_manifest_that_names_a_shard_outside_is_refused(
        self, mini_build: Path, yard: Path, path: str
    ) -> None:
        manifest = json.loads((mini_build / "manifest.json").read_text())
        manifest["shards"][0]["path"] = path
        folder = yard / "build"
        shutil.copytree(mini_build, folder)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        message = r"manifest.json names a shard outside data/"
        for read in (load, select, Manifest.read, lambda build: assemble("dataset", build, repo_id=REPO)):
            with pytest.raises(ValueError, match=message):
                read(folder)
        assert any("names a shard outside" in line for line in verify(folder, workers=1))
        assert outside(yard) == []


class TestMaliciousText:
    @pytest.mark.parametrize("path", [*ESCAPES, "~/escaped.mp4", "file:///escaped.mp4"])
    def test_a_label_sheet_reads_and_writes_nothing_outside(
        self, yard: Path, mini_build: Path, path: str
    ) -> None:
        mini = Path(emovid_models.__file__).parents[1] / "emovid_dataset" / "mini"
        raw = yard / "raw"
        raw.mkdir()
        good = next((mini / "sticker").glob("*.mp4"))
        shutil.copy(good, raw / "good.mp4")
        # The file that the path leads to is there, and a good clip: it is refused for where it lies.
        secret = yard / "escaped.mp4"
        shutil.copy(good, secret)
        sheet = yard / "labels.csv"
        with sheet.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "emotion", "content_type"])
            rows.writerow(["good.mp4", "awe", "sticker"])
            rows.writerow([path, "awe", "sticker"])
        report = build(raw, sheet, yard / "out", workers=1)
        assert [rejection.path for rejection in report.rejections] == [path]
        assert sum(shard.samples for shard in report.manifest.shards) == 1
        assert outside(yard) == []

    def test_text_in_captions_and_fields_stays_text(self, yard: Path) -> None:
        """What a label sheet says reaches the card and the metadata as text and is never run or followed."""
        mini = Path(emovid_models.__file__).parents[1] / "emovid_dataset" / "mini"
        raw = yard / "raw"
        raw.mkdir()
        shutil.copy(next((mini / "sticker").glob("*.mp4")), raw / "good.mp4")
        evil = (
            '{{ 7 * 7 }} <script>alert(1)</script> !!python/object/apply:os.system ["touch escaped"] ../../x'
        )
        sheet = yard / "labels.csv"
        with sheet.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "emotion", "content_type", "caption", "source", "group", "license"])
            rows.writerow(["good.mp4", "awe", "sticker", evil, evil, evil, evil])
        build(raw, sheet, yard / "out", workers=1)
        chosen = select(yard / "out")[0].clip
        assert (chosen.caption, chosen.source, chosen.license) == (evil, evil, evil)
        assert PurePosixPath(chosen.id).name == chosen.id
        assert verify(yard / "out", workers=1) == []
        assert outside(yard) == [] and not list(yard.rglob("escaped"))

    def test_python_tags_in_a_card_are_refused(self, mini_build: Path, yard: Path) -> None:
        folder = yard / "build"
        shutil.copytree(mini_build, folder)
        card = (folder / "README.md").read_text()
        evil = 'evil: !!python/object/apply:os.system ["touch escaped"]\n'
        (folder / "README.md").write_text(card.replace("---\n", f"---\n{evil}", 1))
        assert [line for line in verify(folder, workers=1) if line.startswith("README.md: has no typed")]
        with pytest.raises(yaml.YAMLError):
            yaml.safe_load(evil)
        assert not list(yard.rglob("escaped")) and outside(yard) == []

    @pytest.mark.parametrize(
        "name", ["../escaped.safetensors", "/escaped.safetensors", "x/../../escaped.safetensors"]
    )
    def test_a_weight_index_that_leads_outside_is_refused(self, yard: Path, name: str) -> None:
        folder = yard / "annotator"
        shutil.copytree(MINI_ANNOTATOR, folder)
        index: dict[str, Any] = {"metadata": {}, "weight_map": {"a": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ValueError, match="no safetensors file beside it"):
            assemble("annotator", folder, repo_id="me/annotator")

    def test_pickled_weights_are_never_taken(self, yard: Path) -> None:
        folder = yard / "annotator"
        shutil.copytree(MINI_ANNOTATOR, folder)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"has no model\.safetensors"):
            assemble("annotator", folder, repo_id="me/annotator")
