"""Memory plans of random programs: what lives at the same time never overlaps, and the values are those without one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import ARENA, Alloc, Kernel, Program
from ircc.dialects.loop.evaluate import bind_sizes, buffer_type, evaluate_program
from ircc.ir.evaluator import evaluate
from ircc.ir.expr import Expr
from ircc.ir.pipeline import Pipeline
from ircc.ir.target import PRESETS
from ircc.ir.types import ExprAttr
from ircc.passes._placement import ALIGNMENT, most_alive, placed
from ircc.passes.plan_memory import unharmed
from ircc.testing.graph_programs import random_inputs
from ircc.testing.tensor_programs import programs

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
PIPELINES = ("tensor-to-loop", "tensor-to-loop,select-schedules,apply-schedules")


def program_of(module: ModuleOp) -> Program:
    return next(op for op in module.body.ops if isinstance(op, Program))


def overlaps(program: Program, symbols: Mapping[str, int]) -> list[str]:
    """Pairs of buffers that are needed at the same time and share bytes; buffers outside of the arena."""
    arena = program.attributes[ARENA]
    assert isinstance(arena, ExprAttr)
    size = arena.data.evaluate(symbols=symbols)
    uses: dict[SSAValue, list[int]] = {}
    for i, op in enumerate(program.body.block.ops):
        for value in op.operands:
            uses.setdefault(value, []).append(i)
    placed: list[tuple[str, int, int, int, int]] = []
    wrong: list[str] = []
    for op in program.body.block.ops:
        if not isinstance(op, Alloc) or op.buffer not in uses:
            continue
        assert op.offset is not None
        start = op.offset.data.evaluate(symbols=symbols)
        end = start + op.type.bytes.evaluate(symbols=symbols)
        if start % ALIGNMENT or not 0 <= start <= end <= size:
            wrong.append(f"{op.label.data} lies at {start}..{end} of {size}")
        first, last = min(uses[op.buffer]), max(uses[op.buffer])
        for other, a, b, begin, stop in placed:
            if a <= last and first <= b and max(start, begin) < min(end, stop):
                wrong.append(f"{op.label.data} at {start}..{end} and {other} at {begin}..{stop}")
        placed.append((op.label.data, first, last, start, end))
    return wrong


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


@pytest.mark.parametrize("lowering", PIPELINES)
@settings(max_examples=settings().max_examples // 2)
@given(module=programs(exact=True, length=(2, 9)), seed=st.integers(0, 2**32), in_place=st.booleans())
def test_plans(lowering: str, module: ModuleOp, seed: int, in_place: bool) -> None:
    rng = random.Random(seed)
    PRESETS[rng.choice(("x86-64", "x86-64-v3", "x86-64-v4"))].attach(module)
    inputs = random_inputs(module, rng, whole=True)
    expected = evaluate(module, inputs)
    Pipeline.parse(lowering).run(module)
    (plan,) = Pipeline.parse(f"plan-memory{{in-place={str(in_place).lower()}}}")
    plan.run(module)
    module.verify()
    program = program_of(module)
    arrays = [inputs[name] for name in program.arg_names[: len(program.inputs)]]
    symbols = bind_sizes([buffer_type(a) for a in program.inputs], arrays, program.arg_names[: len(program.inputs)])
    if ARENA in program.attributes:
        assert not overlaps(program, symbols), str(module)
    found = evaluate_program(module, inputs)
    for name, right in expected.items():
        assert same(right, found[name]), f"{name}: {right} became {found[name]}\n{module}"
    before = str(module)
    assert not plan.run(module)
    assert str(module) == before


KERNEL = """
loop.kernel @k(%0 "in0" : !loop.buffer<[N, 8], f32>, %1 "out" : !loop.buffer<[N, 8], f32>) outputs 1 sizes ["N"] {{
{}
}}
"""
COPY = 'loop.for "j" %3 = 0 to 8 parallel {{ %4 = loop.load %0[{}]  loop.store %4, %1[{}] }}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('loop.for "i" %2 = 0 to N parallel {' + COPY.format("%2, %3", "%2, %3") + "}", True),
        ('loop.for "i" %2 = 0 to N parallel {' + COPY.format("%2, 7 - %3", "%2, %3") + "}", False),
        ('loop.for "i" %2 = 0 to N parallel {' + COPY.format("N - 1 - %2, %3", "%2, %3") + "}", False),
        # read and written again: a later iteration of k reads what an earlier one has written
        ('loop.for "k" %5 = 0 to 2 reduction { loop.for "i" %2 = 0 to N parallel {'
         + COPY.format("%2, %3", "%2, %3") + "} }", False),
        # row by row: all of a row is read before any of it is written
        ('loop.for "i" %2 = 0 to N parallel { %5 = loop.load %0[%2, 0] : vector<8xf32>'
         " loop.store %5, %1[%2, 0] lanes [0, 1] }", True),
        # a row is read as a whole, after half of it has been written
        ('loop.for "i" %2 = 0 to N parallel { %5 = loop.load %0[%2, 0] : vector<4xf32> loop.store %5, %1[%2, 0]'
         " %6 = loop.load %0[%2, 2] : vector<4xf32> loop.store %6, %1[%2, 4] }", False),
        # halves, each by itself
        ('loop.for "i" %2 = 0 to N parallel { %5 = loop.load %0[%2, 0] : vector<4xf32> loop.store %5, %1[%2, 0]'
         " %6 = loop.load %0[%2, 4] : vector<4xf32> loop.store %6, %1[%2, 4] }", True),
        # serial iterations that read behind what they write
        ('loop.for "i" %2 = 1 to N reduction { %5 = loop.load %0[%2, 0]  loop.store %5, %1[%2 - 1, 0] }', True),
        ('loop.for "i" %2 = 1 to N parallel { %5 = loop.load %0[%2, 0]  loop.store %5, %1[%2 - 1, 0] }', False),
        ('loop.for "i" %2 = 1 to N reduction { %5 = loop.load %0[%2 - 1, 0]  loop.store %5, %1[%2, 0] }', False),
    ],
)  # fmt: skip
def test_reads_come_first(body: str, expected: bool) -> None:
    module = Parser(context(), KERNEL.format(body)).parse_module()
    (kernel,) = module.body.ops
    assert isinstance(kernel, Kernel)
    assert unharmed(kernel, kernel.args[0], kernel.args[1]) == expected


# ---- places

N, T = Expr.symbol("N"), Expr.symbol("T")
UNITS = [Expr.const(1), N, T, N * T, (T + 3) // 2]
SIZES = st.builds(lambda a, b: a * b, st.sampled_from(UNITS), st.sampled_from([1, 4, 64, 400, 1024]))


@given(
    buffers=st.lists(st.tuples(SIZES, st.integers(0, 30), st.integers(0, 9)), max_size=30),
    symbols=st.fixed_dictionaries({"N": st.integers(0, 300), "T": st.integers(0, 300)}),
)
def test_at_any_sizes_what_lives_at_once_lies_apart(
    buffers: list[tuple[Expr, int, int]], symbols: dict[str, int]
) -> None:
    sizes = [size for size, _, _ in buffers]
    lives = [(first, first + length) for _, first, length in buffers]
    offsets, arena = placed(sizes, lives)
    end = arena.evaluate(symbols=symbols)
    taken = [(o.evaluate(symbols=symbols), s.evaluate(symbols=symbols)) for o, s in zip(offsets, sizes, strict=True)]
    assert all(start % ALIGNMENT == 0 and start >= 0 and start + size <= end for start, size in taken)
    assert end >= most_alive([size for _, size in taken], lives)
    for i, (start, size) in enumerate(taken):
        for j, (other, more) in enumerate(taken[:i]):
            if lives[i][0] <= lives[j][1] and lives[j][0] <= lives[i][1]:
                assert start + size <= other or other + more <= start or not size or not more


def skips(levels: int) -> list[tuple[int, int, int]]:
    """A U-Net: what each level leaves waits until the way up comes by; half the pixels and twice the channels a level.
    Bytes, first and last position."""
    down = [(4096 >> level, 2 * level, 4 * levels - 2 * level) for level in range(levels)]
    inner = [(4096 >> level, 2 * level + 1, 2 * level + 2) for level in range(levels)]
    up = [(4096 >> level, 4 * levels - 2 * level - 1, 4 * levels - 2 * level + 1) for level in range(levels)]
    joined = [(8192 >> level, 4 * levels - 2 * level, 4 * levels - 2 * level + 1) for level in range(levels)]
    return down + inner + up + joined


def blocks(count: int) -> list[tuple[int, int, int]]:
    """Residual blocks that shrink: each keeps its input until its end, and takes wide ones in between."""
    found: list[tuple[int, int, int]] = []
    for i in range(count):
        size, at = 8192 >> (i // 3), 4 * i
        found += [(size, at, at + 4), (size // 4, at + 1, at + 2), (size // 4, at + 2, at + 3), (size, at + 3, at + 4)]
    return found


def mixed(seed: int) -> list[tuple[int, int, int]]:
    """Anything: most live for a step or two, some for long."""
    rng = random.Random(seed)
    starts = [rng.randrange(40) for _ in range(40)]
    return [(rng.choice((1, 2, 3, 4, 8, 16)), at, at + rng.choice((1, 1, 1, 2, 3, 10, 20))) for at in starts]


# the largest first, each as low as it goes, takes 11 where 7 are enough
MISLEADING = [(3, 5, 5), (2, 3, 5), (3, 0, 3), (4, 0, 2), (2, 4, 4), (2, 3, 5)]
SHAPES = {"skips": skips(4), "blocks": blocks(12), "misleading": MISLEADING} | {f"mixed{i}": mixed(i) for i in range(8)}


@pytest.mark.parametrize("unit", [Expr.const(1), N, N * T, (T + 5) // 3 * 4], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_arenas_are_at_most_a_seventh_larger_than_what_lives(shape: str, unit: Expr) -> None:
    sizes = [unit * (64 * size) for size, _, _ in SHAPES[shape]]
    lives = [(first, last) for _, first, last in SHAPES[shape]]
    _, arena = placed(sizes, lives)
    for n, t in ((1, 1), (1, 77), (8, 128), (100, 3)):
        symbols = {"N": n, "T": t}
        alive = most_alive([size.evaluate(symbols=symbols) for size in sizes], lives)
        assert arena.evaluate(symbols=symbols) <= 1.15 * alive
