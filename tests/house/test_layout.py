"""The house keeps its shape: packages are folders, what is imported is declared, files stay readable."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "build",
    "dist",
}  # folders that are not part of the package
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LIMIT = 600  # lines: a file that passes it is usually two things


def sources(folder: Path = ROOT) -> list[Path]:
    """The Python files of the package `ircc`, or below `folder`."""
    found = [path.relative_to(ROOT) for path in folder.rglob("*.py")]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.parts) and p.parts[0] not in OUTSIDE)


def test_packages_are_the_folders() -> None:
    folders = {path.parent for path in sources()}
    names = {".".join(("ircc", *folder.parts)) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_every_folder_of_sources_is_a_package() -> None:
    lacking = {path.parent for path in sources() if not (ROOT / path.parent / "__init__.py").exists()}
    assert not lacking, "folders without __init__.py"


def test_tests_are_no_part_of_the_package() -> None:
    assert not [*(ROOT / "tests").rglob("__init__.py")], "tests/ is no package: pytest imports by file"
    assert not [path for path in ROOT.glob("*.py") if path.stem == "conftest" or path.stem.startswith("test_")]


def test_no_file_is_too_long() -> None:
    tests = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")]
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in [*sources(), *tests]}
    assert not {str(path): lines for path, lines in lengths.items() if lines > LIMIT}


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports absolutely."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def declared(*requirements: str) -> set[str]:
    """The distributions that requirement strings name, in one spelling."""
    return {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower().replace("-", "_") for text in requirements}


def test_what_is_imported_is_declared() -> None:
    project = PROJECT["project"]
    always, distributions = declared(*project["dependencies"]), packages_distributions()
    for path in sources():
        allowed = set(always)
        if path.parts[0] == "testing":
            allowed |= declared(*project["optional-dependencies"]["testing"])
        if path == Path("cli/peers.py"):
            allowed |= declared(*project["optional-dependencies"]["peers"])
        if path == Path("codegen/opencl/device.py"):
            allowed |= declared(*project["optional-dependencies"]["opencl"])
        if path == Path("codegen/cuda/device.py"):
            allowed |= declared(*project["optional-dependencies"]["cuda"])
        if path == Path("runtime/trust.py"):
            allowed |= declared(*project["optional-dependencies"]["sign"])
        others = imported(path) - sys.stdlib_module_names - {"ircc"}
        missing = {
            name
            for name in others
            if not {d.lower().replace("-", "_") for d in distributions.get(name, [name])} & allowed
        }
        assert not missing, f"{path} imports {missing}, which pyproject.toml does not name"


def test_sources_import_each_other_relatively() -> None:
    absolute = [str(path) for path in sources() if "ircc" in imported(path)]
    assert not absolute, "inside the package: from ..ir import x"


def test_imports_stand_at_the_top() -> None:
    """No deferred import among our own modules hides a circle; the public face's `import_module` is the one."""
    deferred: list[str] = []
    for path in sources():
        for function in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [n for n in ast.walk(function) if isinstance(n, ast.ImportFrom) and n.level]
                deferred += [f"{path}:{node.lineno}" for node in inner]
    assert not deferred


def test_generators_that_tests_share_are_reseeded() -> None:
    """One that a module of tests keeps is called RNG, so that conftest.py finds it: a test alone sees the same numbers
    as among all."""
    kept = re.compile(
        r"^(\w+)(?: *:[^=]*)? *= *(?:np\.random\.(?:default_rng|RandomState)|random\.Random)\([^)]*\)$", re.M
    )
    found = {path: kept.findall(path.read_text()) for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    assert sum(map(len, found.values())) > 5
    assert not {path.name: names for path, names in found.items() if names and names != ["RNG"]}


def test_every_file_says_what_it_is() -> None:
    silent = [str(path) for path in sources() if not ast.get_docstring(ast.parse((ROOT / path).read_text()))]
    assert not silent, "files without a docstring"
