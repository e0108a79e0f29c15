"""Compiling is linear in the number of nodes. Work is counted, not timed: how often each function is called."""

import cProfile
import importlib
import pstats
import sys
from pathlib import Path
from typing import Any

import pytest

from ircc.compiler import Compilation

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
CHAINS = importlib.import_module("compile_time").KINDS
NODES, TIMES = 30, 3


def calls(model: Any) -> dict[tuple[str, int, str], int]:
    """Calls of each function while the model is compiled down to loops."""
    profile = cProfile.Profile()
    profile.enable()
    Compilation(target="cpu:x86-64-v3").lower(model, "loop-ir")
    profile.disable()
    return {place: entry[1] for place, entry in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["elementwise", "matmul", "cnn", "reshapes"])
def test_no_pass_is_quadratic(kind: str) -> None:
    calls(CHAINS[kind](NODES))  # what is computed once and kept is not counted
    few, many = calls(CHAINS[kind](NODES)), calls(CHAINS[kind](NODES * TIMES))
    assert sum(many.values()) < 1.2 * TIMES * sum(few.values())
    # of what is called often, nothing grows much faster than the model: three times the nodes, nine times the calls
    grown = {place: (few.get(place, 0), count) for place, count in many.items() if count > 3000}
    assert {place: pair for place, pair in grown.items() if pair[1] > 2 * TIMES * max(pair[0], 1)} == {}
