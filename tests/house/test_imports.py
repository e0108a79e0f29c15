"""Who may import whom, as a rule for the sources and as a fact of the running process."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What each entrance may bring in; run in a process of its own, away from the repository.
ENTRANCES = {
    "import ircc": ("numpy", "xdsl", "onnx", "llvmlite", "ircc.ir"),
    "import ircc; ircc.Error": ("numpy", "xdsl", "onnx", "llvmlite", "ircc.ir"),
    "import ircc; ircc.load": ("xdsl", "onnx", "llvmlite", "rich", "hypothesis", "ircc.ir", "ircc.compiler"),
    "import ircc; ircc.Engine": (
        "xdsl",
        "onnx",
        "llvmlite",
        "rich",
        "hypothesis",
        "ircc.ir",
        "ircc.compiler",
    ),
    "import ircc.codegen.cpu": ("xdsl", "onnx", "llvmlite", "ircc.ir"),
}


def test_import_contracts() -> None:
    """The contracts of pyproject.toml's [tool.importlinter] hold."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    run = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_entrance_stays_light(entrance: str, tmp_path: Path) -> None:
    heavy = ENTRANCES[entrance]
    program = f"{entrance}\nimport sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]", f"`{entrance}` brings in {run.stdout}"
