"""The examples run, as their readers would run them, and say what they should."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(example: Path, *arguments: str) -> str:
    command = [sys.executable, str(example), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.stem != "demo_magika"], ids=lambda path: path.stem)
def test_example_runs(example: Path) -> None:
    assert run(example).strip()


def test_magika_knows_these_files() -> None:
    expected = {"README.md": "markdown", "pyproject.toml": "toml", "errors.py": "python", "Makefile": "makefile"}
    lines = run(ROOT / "examples" / "demo_magika.py", *expected).splitlines()
    said = {words[0]: words[1] for line in lines if (words := line.split()) and words[0] in expected}
    assert said == expected
