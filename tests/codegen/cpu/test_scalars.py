"""Every scalar operation, compiled on scalars and on vectors, against its reference meaning on values at the edges."""

import ctypes
import ctypes.util
import struct
import sys
from typing import Any

import numpy as np
import pytest
from xdsl.dialects import arith, math
from xdsl.ir import Block

from ircc.codegen.cpu import llvm
from ircc.ir.scalars import SIMPLE, evaluate_scalar, held_dtype
from ircc.ir.target import PRESETS, Target
from ircc.testing.scalar_cases import CASES, CASTS, Case, kernel, operands, storage, wrong

LANES = {"host": (1, 4, 16)}  # of each target
OTHERS = (1, 8)
SOME = (None, 1, 4, 9)  # predicates of comparisons on other targets than the host


def test_every_operation_has_a_case() -> None:
    assert {c.cls for c in CASES} >= {*SIMPLE, *CASTS, arith.CmpiOp, arith.CmpfOp, math.FmaOp}


def test_operations(native: Any, call: Any, target: Target) -> None:
    forms = LANES.get(target.name, OTHERS)
    tested = [c for c in CASES if target.name == "host" or c.predicate in SOME]
    calls: dict[Case, list[Any]] = {}
    for case in tested:
        given = operands(case)
        out = np.zeros(len(given[0]), held_dtype(storage(case.result)))
        calls[case] = [call(f"{case.name}.{lanes}", [*given, out]) for lanes in forms]
    module = native([kernel(c, lanes, len(operands(c)[0])) for c in tested for lanes in forms], target)
    module.run([c for group in calls.values() for c in group])
    failures: list[str] = []
    for case, group in calls.items():
        given = operands(case)
        expected = np.asarray(evaluate_scalar(case.op(Block(arg_types=case.operands)), given))
        for c in group:
            actual = c.results[-1]
            failures += [
                f"{c.kernel}: {[g[at] for g in given]} gives {actual[at]}, expected {expected[at]}"
                for at in np.flatnonzero(wrong(case, expected, actual))[:2]
            ]
    assert not failures, f"{len(failures)} results differ\n" + "\n".join(failures)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into ELF objects")
@pytest.mark.parametrize("name", ["x86-64", "aarch64", "riscv64", "riscv64-v", "loongarch64"])
def test_operations_need_only_the_c_library(name: str, native: Any) -> None:
    """Each operation has code on every target, and calls no function that a process may lack."""
    target = PRESETS[name]
    kernels = [kernel(c, 4, 16) for c in CASES if c.predicate in SOME]
    code = llvm.compile_object(native.module_text(kernels, target.triple), native.machine_of(target))
    libraries = [ctypes.CDLL(ctypes.util.find_library(n)) for n in ("c", "m")]
    assert not [n for n in undefined(code) if not any(hasattr(x, n) for x in libraries)]


def undefined(code: bytes) -> list[str]:
    """Names of the symbols that an ELF object needs."""
    start = struct.unpack_from("<Q", code, 40)[0]
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQII", code, start + i * size) for i in range(count)]
    found: list[str] = []
    for _, kind, _, _, offset, length, link, _ in sections:
        if kind == 2:
            symbols = struct.iter_unpack("<IBBHQQ", code[offset : offset + length])
            places = [sections[link][4] + name for name, _, _, section, _, _ in symbols if name and not section]
            found += [code[at : code.index(b"\0", at)].decode() for at in places]
    return found
