"""Follows bring-your-chip.md from its first line to its last: what it tells readers to type and to write is done.

    python docs/bring_your_chip.py FOLDER [--each N]

The package comes into FOLDER. `pip install -e` is done by hand, so that nothing is fetched: the entry points are
written down, and Python finds the package there. With --each the kit runs so many checks of each level. Exits with 1
where a command fails.
"""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bring-your-chip.md"
STEP = re.compile(r"^    ((?:ircc|pip) [^\n]*)$|^```python\n# (\S+)\n(.*?)^```$", re.M | re.S)


def merged(text: str, block: str) -> str:
    """A file with what a block defines: in place of what has the same name there, or behind it. Imports are added."""
    return "\n\n".join(_joined(_pieces(text, ast.parse(text).body), _pieces(block, ast.parse(block).body)))


_Pieces = dict[
    str, tuple[int, str, ast.stmt]
]  # by name: where it belongs in a body, text with the comments above, node


def _pieces(text: str, body: list[ast.stmt]) -> _Pieces:
    found: _Pieces = {}
    lines = text.splitlines()
    for node in body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                rank, name = 3, node.name
            case ast.Expr(value=ast.Constant()):
                rank, name = 0, "the docstring"
            case ast.Import() | ast.ImportFrom():
                rank, name = 1, ast.unparse(node)
            case _:
                rank, name = 2, ast.unparse(node).partition(" = ")[0]
        first = node.lineno - 1
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        found[name] = rank, "\n".join(lines[first : node.end_lineno]), node
    return found


def _joined(old: _Pieces, new: _Pieces) -> list[str]:
    both = dict(old)
    for name, (rank, text, node) in new.items():
        was = old.get(name)
        if was is not None and isinstance(node, ast.ClassDef) and isinstance(was[2], ast.ClassDef):
            members = _joined(_members(was[1]), _members(text))
            text = "\n\n".join([text.splitlines()[0], *members])
        both[name] = rank, text, node
    texts: list[str] = []
    for rank, text, _ in sorted(both.values(), key=lambda piece: piece[0]):
        if texts and rank == 2 and "\n" not in text + texts[-1].rpartition("\n\n")[2]:
            texts[-1] += f"\n{text}"  # short lines stay together
        else:
            texts.append(text)
    return texts


def _members(text: str) -> _Pieces:
    made = ast.parse(text).body[0]
    assert isinstance(made, ast.ClassDef)
    return _pieces(text, made.body)


def tidy(folder: Path) -> None:
    """Imports that nobody needs any more go, the others are sorted; blank lines where they belong."""
    ruff = [sys.executable, "-m", "ruff"]
    rules = ["--config", str(ROOT / "pyproject.toml"), "--quiet", str(folder)]
    subprocess.run([*ruff, "check", "--fix-only", "--select", "I,F401,F811", *rules], check=True)
    subprocess.run([*ruff, "format", *rules], check=True)


def install(folder: Path) -> None:
    """What `pip install -e` leaves behind for Python to find, in the folder itself."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    text = "\n".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups)
    (info / "entry_points.txt").write_text(text)


def follow(folder: Path, each: int | None) -> int:
    """Do what the page says; what the first command that fails has returned."""
    package = folder
    for command, file, code in STEP.findall(PAGE.read_text()):
        if file:
            path = package / file
            print(f"== {file}", flush=True)
            path.write_text(merged(path.read_text(), code))
            tidy(package)
            continue
        words = shlex.split(command)
        if "model.onnx" in words:
            continue  # the reader's
        print(f"$ {command}", flush=True)
        if words[0] == "pip":
            package = folder / words[-1]
            install(package)
            continue
        more = ["--each", str(each)] if each and words[1] == "conformance" else []
        path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "ircc", *words[1:], *more],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Follow bring-your-chip.md.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(follow(arguments.folder.resolve(), arguments.each))
