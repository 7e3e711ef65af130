"""The folder as evaluate loads it, alone, and its README."""

import ast
import doctest
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emovid_models.metrics.ea_8cls import CODE, MODULE

evaluate = pytest.importorskip("evaluate")


def template_cases(folder: Path) -> list[dict]:
    spec = importlib.util.spec_from_file_location("ea_8cls_cases", folder / "tests.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.test_cases


def test_the_template_cases_hold(metric, ea_8cls_folder):
    cases = template_cases(ea_8cls_folder)
    assert len(cases) >= 3
    for case in cases:
        result = metric.compute(predictions=case["predictions"], references=case["references"])
        assert {key: result[key] for key in case["result"]} == pytest.approx(case["result"])


def test_the_module_says_what_it_is(metric):
    assert metric.name == "ea_8cls"
    assert "unscored" in metric.description.lower()
    assert "2511.11002" in metric.reference_urls[0]
    assert "emovid/ea_8cls" in metric.inputs_description
    assert metric.features[0].keys() == {"predictions", "references"}


def test_labels_that_evaluate_lets_through_are_refused(metric):
    for label in (9, -3, 1.7):
        with pytest.raises(ValueError, match=rf"^predictions\[1\] is {label};"):
            metric.compute(predictions=[1, label], references=[1, 1])


def test_positions_count_over_batches_and_a_refused_batch_leaves_no_trace(metric):
    metric.add_batch(predictions=["awe", "fear"], references=["awe", "fear"])
    with pytest.raises(ValueError, match=r"^predictions\[3\] is 9;"):
        metric.add_batch(predictions=[0, 9], references=[0, 0])
    with pytest.raises(ValueError, match=r"^references\[2\] is None;"):
        metric.add(prediction="awe", reference=None)
    with pytest.raises(TypeError, match="references"):
        metric.add(prediction="awe")
    assert len(metric) == 2
    metric.add(prediction=None, reference=7)
    assert metric.compute()["ea_8cls"] == 2 / 3
    with pytest.raises(ValueError, match=r"^predictions is empty"):
        metric.compute()


def test_a_refused_computation_can_be_repeated(metric):
    metric.add_batch(predictions=[[0.25] * 4 + [0] * 4, [1, *[0] * 7]], references=[0, 0])
    metric.add_batch(predictions=[None], references=[0])
    with pytest.raises(ValueError, match=r"^predictions\[0\] is a tie"):
        metric.compute()
    assert metric.compute(ties="first")["ea_8cls"] == 2 / 3


def test_batches_must_be_of_one_kind(metric):
    metric.add_batch(predictions=["awe"], references=["awe"], groups=["a"])
    metric.add_batch(predictions=[[1, *[0] * 7]], references=[0])
    with pytest.raises(ValueError, match=r"^groups was given for 1 of 2 batches; all or none$"):
        metric.compute()
    metric = type(metric)()
    metric.add_batch(predictions=[[1, *[0] * 7]], references=[0])
    metric.add_batch(predictions=["awe"], references=["awe"])
    with pytest.raises(ValueError, match=r"^predictions\[1\] is 'awe', but other rows are eight scores"):
        metric.compute()


def test_a_buffer_may_be_filled_again_after_it_was_added(metric):
    buffer = np.eye(8)[[1, 2]]
    weight = np.ones(2)
    metric.add_batch(predictions=buffer, references=[1, 2], sample_weight=weight)
    buffer[:] = np.eye(8)[[5, 5]]
    weight[:] = 0
    assert metric.compute()["ea_8cls"] == 1.0


def test_it_combines_with_other_modules(metric):
    both = evaluate.combine({"first": metric, "second": type(metric)()}, force_prefix=True)
    result = both.compute(predictions=[0, 1], references=[0, 2])
    assert result["first_ea_8cls"] == result["second_ea_8cls"] == 0.5
    both.add(predictions=1, references=1)
    both.add_batch(predictions=[2], references=[3])
    assert both.compute()["second_ea_8cls"] == 0.5


def test_several_processes_are_refused_rather_than_half_counted(ea_8cls_folder):
    with pytest.raises(ValueError, match=r"^num_process is 2; allowed: 1"):
        evaluate.load(str(ea_8cls_folder), num_process=2, process_id=0)


SIBLINGS = MODULE.keys() - {"ea_8cls.py"}


def copy_module(folder: Path, target: Path) -> None:
    """Copy what a published folder holds of the module: its file and the siblings that it imports."""
    target.mkdir(parents=True)
    for name in MODULE:
        shutil.copy(folder / name, target)


def test_the_folder_works_alone(ea_8cls_folder, tmp_path):
    copy_module(ea_8cls_folder, tmp_path / "alone" / "ea_8cls")
    code = (
        "import sys, evaluate\n"
        "for place in ('alone/ea_8cls', 'alone/ea_8cls/ea_8cls.py'):\n"
        "    print(evaluate.load(place).compute(predictions=['awe'], references=[1])['ea_8cls'])\n"
        "from alone.ea_8cls import ea_8cls\n"
        "print(ea_8cls.score(['awe'], [1])['ea_8cls'])\n"
        "print([name for name in sys.modules if name.startswith('emovid')])\n"
    )
    environment = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["1.0", "1.0", "1.0", "[]"]


def imports(path: Path) -> list[tuple[str, str]]:
    """Module (with its leading dot) and name of every import, which all stand alone on their line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert len(node.names) == 1
            name = node.names[0].name
            module = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else name
            found.append((module, name))
    return found


def test_the_file_imports_every_sibling_and_only_what_the_hub_installs(ea_8cls_folder):
    entry = imports(ea_8cls_folder / "ea_8cls.py")
    assert {f"{module[1:]}.py" for module, _ in entry if module.startswith(".")} == SIBLINGS
    there = {path.name for path in ea_8cls_folder.glob("*.py")}
    assert there == {"__init__.py", *(name for name in CODE if name.endswith(".py"))}
    for name in sorted(SIBLINGS):
        for module, _ in imports(ea_8cls_folder / name):
            if module.startswith("."):
                assert f"{module[1:]}.py" in SIBLINGS
            else:
                assert module.split(".")[0] in {*sys.stdlib_module_names, "numpy"}
    roots = {module.split(".")[0] for module, _ in entry if not module.startswith(".")}
    # datasets comes with evaluate.
    assert roots - set(sys.stdlib_module_names) == {"evaluate", "datasets"}
    required = {
        re.split("[>=]", line)[0] for line in (ea_8cls_folder / "requirements.txt").read_text().split()
    }
    assert required == {"evaluate", "numpy", "matplotlib", "gradio"}


def test_the_spaces_yaml_is_complete(ea_8cls_folder):
    yaml = pytest.importorskip("yaml")
    front = yaml.safe_load((ea_8cls_folder / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio"
    assert front["tags"] == ["evaluate", "metric"]
    assert (ea_8cls_folder / front["app_file"]).is_file()
    assert len(front["short_description"]) <= 60
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])


@pytest.fixture
def published(ea_8cls_folder, tmp_path, monkeypatch):
    """A working folder in which "emovid/ea_8cls" is the metric, as it is on the Hub."""
    copy_module(ea_8cls_folder, tmp_path / "emovid" / "ea_8cls")
    monkeypatch.chdir(tmp_path)


def run_examples(text: str, name: str) -> int:
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    return runner.tries


@pytest.mark.usefixtures("published")
def test_every_code_block_of_the_readme_runs(ea_8cls_folder):
    text = (ea_8cls_folder / "README.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for language, block in blocks:
        assert language == "python"
        for line in block.splitlines():
            assert line == "" or line.startswith((">>> ", "... ")) or ">>> " in block
    assert run_examples("\n".join(block for _, block in blocks), "README.md") >= len(blocks)


@pytest.mark.usefixtures("published")
def test_the_example_that_evaluate_shows_runs(metric):
    assert run_examples(metric.inputs_description, "inputs_description") == 3
