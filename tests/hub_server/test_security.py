"""What a repo of ours, or one that claims to be one, can do on a user's machine: nothing beyond its job."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

import emovid_models
import emovid_models.metrics.ea_8cls
import emovid_models.wan
from emovid_dataset import load, select, stream
from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.media.portable import PICTURE_CODE
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.card import REPO
from emovid_models import MINI_ANNOTATOR
from emovid_models.publish.repos import assemble
from emovid_models.remote.sticker import CODE as STICKER_CODE
from emovid_models.remote.wan import CODE as PIPELINE_CODE

CARDS = Path(__file__).parents[2] / "cards"

HARMLESS = {
    *(
        "__future__",
        "bisect",
        "collections",
        "collections.abc",
        "contextlib",
        "dataclasses",
        "fractions",
        "functools",
    ),
    *("hashlib", "html", "inspect", "io", "itertools", "json", "logging", "math", "numbers"),
    *(
        "operator",
        "pathlib",
        "random",
        "re",
        "secrets",
        "shutil",
        "signal",
        "statistics",
        "struct",
        "tempfile",
        "threading",
    ),
    *("typing", "warnings"),
}
"""Modules of Python itself from which every name may be taken, unless it is forbidden by itself."""

_PIPELINE = {
    *("os", "torch", "safetensors.SafetensorError", "safetensors.safe_open", "safetensors.torch.save"),
    *("diffusers.WanPipeline", "diffusers.WanImageToVideoPipeline", "peft.get_peft_model_state_dict"),
    "diffusers.pipelines.wan.pipeline_wan.prompt_clean",
    "huggingface_hub.errors.EntryNotFoundError",
    "huggingface_hub.errors.LocalEntryNotFoundError",
}
IMPORTS: dict[str, set[str]] = {
    "dataset": {"os", "datasets"},
    "metric": {"datasets", "evaluate", "gradio", "matplotlib.figure.Figure", "numpy", "PIL.Image"},
    "annotator": {
        *("os", "av", "numpy", "PIL.Image", "PIL.ImageCms", "torch", "torch.nn", "torch.nn.functional"),
        "copy.deepcopy",
        *(
            "av.dictionary.Dictionary",
            "gc",
            "zlib",
            "av.sidedata.sidedata.SideDataContainer",
            "av.video.reformatter.Interpolation",
        ),
        "av.video.reformatter.VideoReformatter",
        *("concurrent.futures.Future", "concurrent.futures.ThreadPoolExecutor"),
        *("transformers.BatchFeature", "transformers.GenerationConfig", "transformers.GenerationMixin"),
        *("transformers.Pipeline", "transformers.PreTrainedModel", "transformers.PretrainedConfig"),
        *("transformers.Qwen2Config", "transformers.Qwen2Model", "transformers.SiglipVisionConfig"),
        *("transformers.SiglipVisionModel", "transformers.cache_utils.Cache"),
        "transformers.modeling_outputs.BaseModelOutputWithPast",
        "transformers.modeling_outputs.CausalLMOutputWithPast",
        "transformers.processing_utils.ProcessorMixin",
    },
    "t2v": _PIPELINE,
    "i2v": _PIPELINE,
    "demo": {
        *("os", "av", "fsspec", "gradio", "numpy", "pandas", "PIL.Image", "PIL.ImageOps", "torch"),
        *("PIL.ImageDraw", "PIL.ImageFont", "PIL.UnidentifiedImageError", "zlib"),
        *("diffusers", "diffusers.AutoencoderKLWan", "diffusers.DiffusionPipeline"),
        *("diffusers.WanTransformer3DModel", "huggingface_hub.HfApi", "huggingface_hub.HfFileSystem"),
        *("packaging.version.Version", "transformers.pipeline"),
        *("starlette.concurrency.run_in_threadpool", "starlette.requests.Request"),
        *("starlette.responses.PlainTextResponse", "starlette.responses.Response", "starlette.routing.Route"),
    },
}
"""What each repo may import beside that, name by name; its own modules are free."""

FORBIDDEN_NAMES = {"__builtins__", "__import__", "breakpoint", "compile", "eval", "exec", "globals", "vars"}
FORBIDDEN_MODULES = ("torch.hub", "torch.jit", "torch.multiprocessing", "torch.package")
FORBIDDEN_METHODS = re.compile(
    r"exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|fork(pty)?|popen\d?|system|startfile|urlopen|urlretrieve"
    r"|import_module|exec_module|load_module|attrgetter|methodcaller|open_code"
    r"|__(builtins|dict|getattribute|globals|import|loader|reduce(_ex)?|subclasses)__"
    r"|(unsafe_|full_)load(_all)?|load_all|load_library|load_inline|load_state_dict_from_url|cpp_extension"
    r"|(read|to)_pickle|hf_hub_download|snapshot_download|download_url_to_file|cached_download"
)
ADDRESS = re.compile(r"[a-z][\w+.-]*:+//?", re.IGNORECASE)
OPENERS = re.compile(r"open|read_\w+|filesystem|url_to_fs|load_dataset|download")

FETCHES = {
    "annotator/reading.py": [
        "imports urllib.request",
        "imports http.client.HTTPException",  # that an answer breaks off
        "uses urllib.request.urlopen",
    ],
    "annotator/streams.py": ["imports ctypes"],
    **{
        f"{task}/adapters.py": [
            "imports huggingface_hub.hf_hub_download",
            "uses huggingface_hub.hf_hub_download",
        ]
        for task in ("t2v", "i2v")
    },
    "metric/app.py": ["uses evaluate.load"],
}
"""What is allowed by name.

The annotator takes the address of a video from its caller, and only `fetched` gets it. The pipelines look at
the LoRA that the caller names, by the stock client, before the stock loader does. The metric's page loads the
metric beside it. To count one reference more, of an object that PyAV frees twice, takes ctypes.
"""


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
    for task, files in PIPELINE_CODE.items():
        code |= {f"{task}/{name}": file.read_text() for name, file in files.items()}
    return code


def misdeeds(code: str, allowed: Collection[str]) -> list[str]:
    """What a module may not do: run text or programs, unpickle, trust other code, reach the network.

    Args:
        code: its text.
        allowed: what it may import beside `HARMLESS` and its own siblings.
    """
    module = ast.parse(code)
    origins, found = _imports(module, allowed)
    inner = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    modules = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(module)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            if node.id in FORBIDDEN_NAMES:
                found.append(f"uses {node.id}")
            # As a value a module loses its name, and nobody sees what becomes of it.
            elif node.id in modules and id(node) not in inner:
                found.append(f"hands on {origins[node.id]}")
        if isinstance(node, ast.Name | ast.Attribute) and _forbidden(_dotted(node, origins), node, origins):
            found.append(f"uses {_dotted(node, origins)}")
        if isinstance(node, ast.Call):
            found += _call(node, origins)
    return found


def _imports(module: ast.Module, allowed: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The full names behind a module's names, and the imports that are not allowed."""
    origins, found = {}, []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = {alias.name: alias.asname for alias in node.names}
            origins |= {short or name.partition(".")[0]: short and name for name, short in names.items()}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {f"{node.module}.{alias.name}": alias.asname or alias.name for alias in node.names}
            origins |= {str(short): name for name, short in names.items()}
        else:
            continue
        for name in names:
            package = name.rpartition(".")[0] if isinstance(node, ast.ImportFrom) else name
            last = name.rpartition(".")[2]
            free = package in HARMLESS and not FORBIDDEN_METHODS.fullmatch(last) and last != "*"
            if not free and name not in allowed:
                found.append(f"imports {name}")
    return {short: name or short for short, name in origins.items()}, found


def _dotted(node: ast.expr, origins: Mapping[str, str]) -> str:
    """The full name of an expression such as ``th.hub.load``; ``?`` stands for what has none."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, origins)}.{node.attr}"
    return origins.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def _forbidden(name: str, node: ast.expr, origins: Mapping[str, str]) -> bool:
    if any(name == module or name.startswith(f"{module}.") for module in FORBIDDEN_MODULES):
        return True
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    imported = not isinstance(root, ast.Name) or root.id in origins
    _, dot, last = name.rpartition(".")
    return bool(dot) and (
        bool(FORBIDDEN_METHODS.fullmatch(last))
        # An object of ours may load something; a library's load is pickle until it is known.
        or (last == "load" and imported and name != "json.load")
        or name == "fsspec.open"
        or name.endswith("sys.modules")
    )


def _call(node: ast.Call, origins: Mapping[str, str]) -> list[str]:
    name = _dotted(node.func, origins)
    given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
    found = []
    if OPENERS.fullmatch(name.rpartition(".")[2]) and any(
        isinstance(value, ast.Constant) and isinstance(value.value, str) and ADDRESS.match(value.value)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords))
        for value in ast.walk(argument)
    ):
        found.append(f"gives an address to {name}")
    if given.get("trust_remote_code") is True or given.get("allow_pickle") is True:
        found.append("trusts code from elsewhere")
    if given.get("weights_only") is False or given.get("use_safetensors") is False:
        found.append("takes pickled weights")
    return found


class TestRemoteCode:
    def test_it_runs_no_text_no_programs_no_pickle_and_no_network(self, mini_build: Path) -> None:
        code = remote_code(mini_build)
        assert {
            "dataset/loading_script.py",
            "metric/ea_8cls.py",
            "annotator/modeling_nvila.py",
            "annotator/reading.py",
            "t2v/pipeline.py",
            "i2v/guidance.py",
        } <= set(code)
        found = {
            name: lines
            for name, text in code.items()
            if (lines := misdeeds(text, IMPORTS[name.partition("/")[0]]))
        }
        assert found == FETCHES

    @pytest.mark.parametrize(
        ("path", "name", "function"),
        [
            ("annotator/reading.py", "urlopen", "fetched"),
            ("annotator/streams.py", "ctypes", "kept"),
            ("t2v/adapters.py", "hf_hub_download", "lora_file"),
            ("i2v/adapters.py", "hf_hub_download", "lora_file"),
        ],
    )
    def test_only_what_the_caller_names_is_fetched(
        self, mini_build: Path, path: str, name: str, function: str
    ) -> None:
        module = ast.parse(remote_code(mini_build)[path])
        users = {
            place.name
            for place in ast.walk(module)
            if isinstance(place, ast.FunctionDef)
            for node in ast.walk(place)
            if name in (getattr(node, "attr", ""), getattr(node, "id", ""))
        }
        assert users == {function}

    def test_the_metrics_page_loads_the_module_beside_it(self, mini_build: Path) -> None:
        (call,) = [
            node
            for node in ast.walk(ast.parse(remote_code(mini_build)["metric/app.py"]))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "evaluate.load"
        ]
        assert ast.unparse(call.args[0]) == "str(Path(__file__).with_name('ea_8cls.py'))"

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
        files = list((CARDS / "demo").glob("*.py"))
        carried = {**STICKER_CODE, **PICTURE_CODE}
        own = {file.stem for file in files}
        own |= {f"{name.partition('/')[0]}.{file.stem}" for name, file in carried.items()}
        for path in (*files, *carried.values()):
            code = path.read_text()
            siblings = {
                f"{node.module}.{alias.name}"
                for node in ast.walk(ast.parse(code))
                if isinstance(node, ast.ImportFrom) and node.module in own
                for alias in node.names
            }
            allowed = (
                IMPORTS["demo"]
                | siblings
                | (IMPORTS["annotator"] if path in PICTURE_CODE.values() else set())
            )
            assert set(misdeeds(code, allowed)) <= {"trusts code from elsewhere"}, path.name

    @pytest.mark.parametrize(
        ("code", "misdeed"),
        [
            ("import subprocess as s", "imports subprocess"),
            ("from urllib import request", "imports urllib.request"),
            ("eval('1')", "uses eval"),
            ("run = exec", "uses exec"),
            ("import os; os.system('ls')", "uses os.system"),
            ("import torch; torch.load('x')", "uses torch.load"),
            ("import numpy; numpy.load('x', allow_pickle=True)", "trusts code from elsewhere"),
            ("AutoModel.from_pretrained('x', use_safetensors=False)", "takes pickled weights"),
            ("AutoModel.from_pretrained('x', trust_remote_code=True)", "trusts code from elsewhere"),
            ("__import__('os')", "uses __import__"),
            ("import builtins; builtins.exec('1')", "imports builtins"),
            ("import torch; torch.hub.load('me/x', 'y')", "uses torch.hub.load"),
            ("import torch; torch.jit.load('x')", "uses torch.jit.load"),
            ("import torch as th; th.load('x')", "uses torch.load"),
            ("import torch as th; take = th.load", "uses torch.load"),
            ("from torch import load", "imports torch.load"),
            ("from torch import hub as h", "imports torch.hub"),
            ("import torch.utils.cpp_extension", "imports torch.utils.cpp_extension"),
            ("from os import system", "imports os.system"),
            ("from os import *", "imports os.*"),
            ("import os; getattr(os, 'system')('ls')", "hands on os"),
            ("import os; o = os", "hands on os"),
            ("import os as o; o.execvp('ls', ['ls'])", "uses os.execvp"),
            ("import os; os.spawnvp(0, 'ls', ['ls'])", "uses os.spawnvp"),
            ("import os; os.posix_spawnp('ls', ['ls'], {})", "uses os.posix_spawnp"),
            ("import os; os.posix_spawn('ls', ['ls'], {})", "uses os.posix_spawn"),
            ("import os; os.__dict__['system']('ls')", "uses os.__dict__"),
            ("import shutil; shutil.os.popen('ls')", "uses shutil.os.popen"),
            ("import inspect; inspect.sys.modules['os']", "uses inspect.sys.modules"),
            ("from operator import methodcaller", "imports operator.methodcaller"),
            ("().__class__.__base__.__subclasses__()", "uses ?.__class__.__base__.__subclasses__"),
            ("import pandas as pd; pd.read_pickle('x')", "uses pandas.read_pickle"),
            ("import yaml; yaml.unsafe_load('x')", "uses yaml.unsafe_load"),
            ("import yaml; yaml.load('x', yaml.Loader)", "uses yaml.load"),
            ("from concurrent.futures import ProcessPoolExecutor", "imports concurrent.futures.Process"),
            ("import concurrent.futures as c; c.ProcessPoolExecutor()", "imports concurrent.futures"),
            ("import fsspec; fsspec.open('http://x')", "uses fsspec.open"),
            (
                "import fsspec; fsspec.filesystem('file', fo='http://x')",
                "gives an address to fsspec.filesystem",
            ),
            ("import av; av.open('http://x')", "gives an address to av.open"),
            ("import av as a; a.open(f'https://{host}/x')", "gives an address to av.open"),
            ("import av; av.open(file='rtmp://x')", "gives an address to av.open"),
            ("import pandas; pandas.read_csv('http://x')", "gives an address to pandas.read_csv"),
            ("import urllib3", "imports urllib3"),
            ("import httpcore", "imports httpcore"),
            ("import websockets", "imports websockets"),
            ("from huggingface_hub import hf_hub_download as get", "imports huggingface_hub.hf_hub_download"),
        ],
    )
    def test_the_reader_sees_it(self, code: str, misdeed: str) -> None:
        allowed = set().union(*IMPORTS.values())
        assert any(line.startswith(misdeed) for line in misdeeds(code, allowed))

    @pytest.mark.parametrize(
        "code",
        [
            "import re; re.compile('x')",
            "import torch; model.eval(); torch.compile(model)",
            "import json; json.load(file)",
            "import av; av.open(file, 'w')",
            "self.annotator.load(); page.load(None)",
            "import os; os.path.join('a', 'b'); os.replace('a', 'b')",
        ],
    )
    def test_the_reader_lets_it_be(self, code: str) -> None:
        assert misdeeds(code, set().union(*IMPORTS.values())) == []


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
        for read in (load, select, read_manifest, lambda build: assemble("dataset", build, repo_id=REPO)):
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
