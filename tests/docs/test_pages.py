"""What the pages written by hand tell readers to type works: commands, pipelines, code, forms of schedules."""

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ircc.cli.parser import parse
from ircc.ir.pipeline import Pipeline
from ircc.schedules.script import PRIMITIVES
from ircc.schedules.strategy import strategies

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name if page.parent == ROOT else f"docs/{page.name}": page.read_text() for page in PAGES}
GENERATED = {"docs/cli.md", "docs/interface.md", "docs/operators.md", "docs/passes.md"}
BY_HAND = {name: text for name, text in TEXTS.items() if name not in GENERATED}
ELSEWHERE = {"drop-relu", "relu-after-pool"}  # passes of packages that a page imagines

COMMANDS = [
    (name, part.strip())
    for name, text in BY_HAND.items()
    for line in re.findall(r"^    (?:\$ )?(ircc .*)$", text, re.MULTILINE)
    for part in re.split(r"\s(?:&&|\|)\s", line.partition(" #")[0])
    if part.startswith("ircc ")
]
CODE = {  # pages whose Python runs as it stands, after what a reader has by then
    "README.md": "conv",
    "docs/write-a-pass.md": "conv",
    "docs/read-a-schedule.md": "matmul",
}


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_can_be_typed(page: str, command: str) -> None:
    """It parses; what its passes are called is true."""
    words = shlex.split(re.sub(r"\s>\s*\S+", "", command))
    args = parse(words[1:])
    given = getattr(args, "passes", None)
    for step in re.split(r",(?![^{]*})", given) if given else ():
        if step != "..." and step.partition("{")[0] not in ELSEWHERE:
            Pipeline.parse(step)


@pytest.mark.parametrize("page", CODE)
def test_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = runpy.run_path(str(ROOT / "docs" / "story.py"))
    story["write_models"](tmp_path)
    (tmp_path / f"{CODE[page]}.onnx").rename(tmp_path / "model.onnx")
    story["write_models"](tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"array": np.zeros((1, 8, 30, 30), np.float32)}
    blocks = [b for b in re.findall(r"```python\n(.*?)```", BY_HAND[page], re.DOTALL) if "class " not in b]
    assert any("import" in block for block in blocks)
    for block in blocks:
        if "def " not in block:  # what is shown of the sources is compared by docs/generate.py
            exec(compile(block, page, "exec"), names)


def test_every_primitive_has_its_row() -> None:
    rows = re.findall(r"^\| `(.+?)` \|", BY_HAND["docs/read-a-schedule.md"], re.MULTILINE)
    strategic = {s.name for s in strategies()}
    assert {row for row in rows if row not in strategic} == {p.form for p in PRIMITIVES.values()}
    assert strategic <= set(rows)


def test_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"^    (make \w+)", BY_HAND["README.md"], re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    assert BY_HAND["README.md"].splitlines()[2].strip().startswith("make demo")
