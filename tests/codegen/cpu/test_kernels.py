"""Random kernels, compiled, against the interpreter of the loop dialect: the same bits, and nothing else touched."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import For, Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.dialects.loop.sharing import shared
from ircc.ir.types import BufferType
from ircc.testing.loop_kernels import Program, from_memory, in_memory, random_kernel, random_sizes

Array = np.ndarray[Any, Any]
KERNELS = 40  # in one module
SIZES = 2  # sets of sizes that each is run with


def same(a: Array, b: Array) -> bool:
    """Equal bits, but for the payload of NaN and the sign of a zero."""
    if a.dtype.kind in "biu":
        return bool((a == b).all())
    a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def buffer_types(program: Program) -> list[BufferType]:
    return [a.type for a in program.kernel.args if isinstance(a.type, BufferType)]


def flat_buffers(program: Program, arrays: Sequence[Array], sizes: dict[str, int]) -> list[Array]:
    return [in_memory(a, t, sizes) for a, t in zip(arrays, buffer_types(program), strict=True)]


def differences(
    program: Program, arrays: Sequence[Array], sizes: dict[str, int], results: Sequence[Array]
) -> list[str]:
    """What the interpreter says against what the code has left in the buffers."""
    expected = [a.copy() for a in arrays]
    evaluate_kernel(program.kernel, expected, sizes)
    found: list[str] = []
    zipped = zip(program.kernel.arg_names, buffer_types(program), expected, results, strict=True)
    for name, type_, right, flat in zipped:
        actual = from_memory(flat, type_, right.shape, sizes)
        if not same(right, actual):
            found.append(f"{name} {type_} with {sizes}:\n{right}\nis\n{actual}")
        elif not np.array_equal(in_memory(actual, type_, sizes).view(np.uint8), flat.view(np.uint8)):
            found.append(f"{name} {type_} with {sizes}: written between its elements")
    return found


@pytest.mark.parametrize("seed", range(3))
def test_kernels(native: Any, call: Any, target: Any, seed: int) -> None:
    rng = random.Random(f"{target.name} {seed}")
    programs = [random_kernel(rng, f"k{i}", symbolic=i % 4 != 0) for i in range(KERNELS)]
    for p in programs:
        p.kernel.verify()
    module = native([p.kernel for p in programs], target)
    cases: list[tuple[Program, list[Array], dict[str, int], Any]] = []
    for p in programs:
        for _ in range(SIZES):
            sizes = random_sizes(rng, p.kernel)
            arrays = p.arrays(np.random.default_rng(rng.randrange(1 << 32)), sizes)
            name = p.kernel.sym_name.data
            cases.append((p, arrays, sizes, call(name, flat_buffers(p, arrays, sizes), list(sizes.values()))))
    module.run([c[3] for c in cases])
    for p, arrays, sizes, made in cases:
        wrong = differences(p, arrays, sizes, made.results)
        assert not wrong, f"{p.kernel}\n" + "\n".join(wrong)


NESTED = """
loop.kernel @nested(%x "x" : !loop.buffer<[N, M, 5], f32>, %y "y" : !loop.buffer<[N, M, 5], f32>)
    outputs 1 sizes ["N", "M"] {
  loop.for "i" %i = 0 to N parallel concurrent {
    loop.for "j" %j = 2 to M parallel {
      loop.for "k" %k = 0 to 5 parallel {
        %0 = loop.load %x[%i, %j, %k]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %y[%i, %j, %k]
      }
    }
  }
}
"""


def test_loops_that_are_shared_together(native: Any, call: Any, target: Any) -> None:
    """A batch of unknown size and what stands right inside of it: no iteration is left out or done for a loop that has
    none, and both are shared."""
    kernel = Parser(context(), NESTED).parse_op()
    assert isinstance(kernel, Kernel)
    kernel.verify()
    (loop,) = kernel.body.block.ops
    assert isinstance(loop, For) and [x.tag for x in shared(loop)] == ["i", "j"]
    cases: list[tuple[Array, Array, Any]] = []
    for n, m in ((0, 9), (1, 1), (1, 0), (3, 2), (1, 3), (1, 300), (3, 50), (7, 12)):
        x = np.arange(n * m * 5, dtype=np.float32).reshape(n, m, 5)
        y = np.full_like(x, -1)
        expected = y.copy()
        expected[:, 2:] = 2 * x[:, 2:]
        cases.append((x, expected, call("nested", [x.reshape(-1), y.reshape(-1)], [n, m])))
    native([kernel], target).run([c[2] for c in cases])
    for _, expected, made in cases:
        np.testing.assert_array_equal(made.results[1].reshape(expected.shape), expected)
