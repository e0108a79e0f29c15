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
from ircc.ir.pipeline import Pipeline
from ircc.ir.target import PRESETS
from ircc.ir.types import ExprAttr
from ircc.passes.plan_memory import ALIGNMENT, unharmed
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
