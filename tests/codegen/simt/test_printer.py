"""Random kernels, printed and compiled, against the interpreter of the loop dialect."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.ir import Block

from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.ir.scalars import evaluate_scalar, held_dtype
from ircc.ir.types import BufferType
from ircc.testing.loop_kernels import Program, from_memory, in_memory, random_kernel, random_sizes
from ircc.testing.scalar_cases import CASES, kernel, operands, storage, wrong

Array = np.ndarray[Any, Any]
KERNELS = 40  # in one source
SIZES = 2  # sets of sizes that each is run with


def same(a: Array, b: Array) -> bool:
    """Equal bits, but for the payload of NaN and the sign of a zero."""
    if a.dtype.kind in "biu":
        return bool((a == b).all())
    a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def types(program: Program) -> list[BufferType]:
    return [a.type for a in program.kernel.args if isinstance(a.type, BufferType)]


def check(program: Program, arrays: Sequence[Array], sizes: dict[str, int], results: Sequence[Array]) -> None:
    """What the interpreter says is what the code has left in the buffers."""
    expected = [a.copy() for a in arrays]
    evaluate_kernel(program.kernel, expected, sizes)
    for name, type_, right, flat in zip(program.kernel.arg_names, types(program), expected, results, strict=True):
        actual = from_memory(flat, type_, right.shape, sizes)
        assert same(right, actual), f"{program.kernel}\n{name} {type_} with {sizes}:\n{right}\nis\n{actual}"
        assert np.array_equal(in_memory(actual, type_, sizes).view(np.uint8), flat.view(np.uint8)), name


@pytest.mark.parametrize("seed", range(3))
def test_random_kernels(shim: Any, seed: int) -> None:
    rng = random.Random(f"simt {seed}")
    programs = [random_kernel(rng, f"k{i}", symbolic=i % 4 != 0) for i in range(KERNELS)]
    made = shim([p.kernel for p in programs])
    for p in programs:
        for _ in range(SIZES):
            sizes = random_sizes(rng, p.kernel)
            arrays = p.arrays(np.random.default_rng(rng.randrange(1 << 32)), sizes)
            flat = [in_memory(a, t, sizes) for a, t in zip(arrays, types(p), strict=True)]
            made.run(p.kernel, flat, sizes)
            check(p, arrays, sizes, flat)


def test_operations(shim: Any) -> None:
    """Every scalar operation at the edges of its types."""
    kernels = [kernel(case, 1, len(operands(case)[0])) for case in CASES]
    made = shim(kernels)
    failures: list[str] = []
    for case, k in zip(CASES, kernels, strict=True):
        given = [a.copy() for a in operands(case)]
        out = np.zeros(len(given[0]), held_dtype(storage(case.result)))
        made.run(k, [*given, out], {})
        expected = np.asarray(evaluate_scalar(case.op(Block(arg_types=case.operands)), given))
        failures += [
            f"{case.name}: {[g[at] for g in given]} gives {out[at]}, expected {expected[at]}"
            for at in np.flatnonzero(wrong(case, expected, out))[:2]
        ]
    assert not failures, f"{len(failures)} results differ\n" + "\n".join(failures)
