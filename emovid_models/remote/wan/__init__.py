"""Wan2.1 with an emotion as a Hub repo carries it: conditioning text, guidance, LoRA files, pipelines."""

from pathlib import Path

_HERE = Path(__file__).parent

CODE: dict[str, dict[str, Path]] = {
    task: {
        "pipeline.py": _HERE / f"pipeline_{task}.py",
        "adapters.py": _HERE / "adapters.py",
        "conditioning.py": _HERE / "conditioning.py",
        "guidance.py": _HERE / "guidance.py",
        "inputs.py": _HERE / "inputs.py",
        "lora.py": _HERE / "lora.py",
        "modules.py": _HERE / "modules.py",
        "over_time.py": _HERE / "over_time.py",
    }
    for task in ("t2v", "i2v")
}
"""For each task the code of a repo that works as `custom_pipeline`: name there, and the file here."""
