"""One pass, one file, one golden file, all of one name."""

import dataclasses
from pathlib import Path

from ircc.testing import inventory

ROOT = Path(__file__).resolve().parents[2]
PASSES = inventory.passes()


def file_stem(name: str) -> str:
    return name.replace("-", "_")


def test_every_pass_has_its_golden_file_and_no_file_is_left_over() -> None:
    golden = {path.stem for path in (ROOT / "tests" / "passes").glob("*.mlir")}
    assert {file_stem(name) for name in PASSES} == golden


def test_golden_files_exercise_their_pass() -> None:
    for name in PASSES:
        path = ROOT / "tests" / "passes" / f"{file_stem(name)}.mlir"
        assert name in path.read_text(), f"{path.name} never names {name}"


def test_every_pass_is_a_frozen_dataclass_that_says_what_it_does() -> None:
    for name, cls in PASSES.items():
        assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen, f"{name} is not frozen"  # type: ignore[attr-defined]
        own = vars(cls).get("__doc__") or ""
        assert own and not own.startswith(f"{cls.__name__}("), f"{name} has no docstring"
