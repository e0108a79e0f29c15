"""Kernels that work on the same rows run together: what is joined, and that nothing changes but where values lie."""

import random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ircc import compiler
from ircc.dialects import context
from ircc.dialects.loop import Alloc, Call, For, Kernel, Program
from ircc.dialects.loop.host import defined_symbols
from ircc.dialects.loop.sharing import is_shared
from ircc.dialects.reference import evaluate
from ircc.ir.operands import walk
from ircc.ir.pipeline import Pipeline
from ircc.passes.fuse_rows import FuseRows
from ircc.passes.hoist_invariants import symbols
from ircc.testing.graph_programs import random_inputs
from ircc.testing.tensor_programs import programs, random_program

from .test_properties import same_bits

SCHEDULED = Pipeline.parse("tensor-to-loop,select-schedules,apply-schedules")


@settings(max_examples=settings().max_examples // 6)
@given(module=programs(length=(2, 6)), seed=st.integers(0, 2**32))
def test_values_stay_bit_for_bit(module: ModuleOp, seed: int) -> None:
    inputs = random_inputs(module, random.Random(seed))
    SCHEDULED.run(module)
    with np.errstate(all="ignore"):
        before, text = evaluate(module, inputs), str(module)
        changed = FuseRows().run(module)
        module.verify()
        after = str(module)
        assert changed == (after != text)
        assert str(Parser(context(), after).parse_module()) == after
        assert same_bits(before, evaluate(module, inputs)) is None
    if changed:
        called = {op.callee for op in walk(module) if isinstance(op, Call)}
        assert {op.sym_name.data for op in module.body.ops if isinstance(op, Kernel)} == called
        assert not FuseRows().run(module) and str(module) == after


def test_random_programs_have_rows() -> None:
    """The property above is about something."""
    found = 0
    for seed in range(16):
        module = random_program(random.Random(seed), length=(2, 6))
        SCHEDULED.run(module)
        found += FuseRows().run(module)
    assert found >= 2


def lowered(operator: str, shape: str) -> tuple[int, list[Alloc]]:
    """Of an operator along the last dim: its kernels, and the buffers that the program has for them."""
    text = f"""
      builtin.module {{
        func.func @main(%x : !graph.tensor<[{shape}], f32>) -> !graph.tensor<[{shape}], f32> {{
          %y = {operator} %x <axis = -1> : (!graph.tensor<[{shape}], f32>) -> !graph.tensor<[{shape}], f32>
          func.return %y : !graph.tensor<[{shape}], f32>
        }}
      }}"""
    module = compiler.lower(Parser(context(), text).parse_module(), to="loop-ir")
    program = next(op for op in module.body.ops if isinstance(op, Program))
    allocs = [op for op in walk(program) if isinstance(op, Alloc)]
    return sum(isinstance(op, Kernel) for op in module.body.ops), allocs


@pytest.mark.parametrize("operator", ["graph.softmax", "graph.log_softmax"])
@pytest.mark.parametrize("shape", ["1, 12, 128, 128", "64, 1000", "2, 50, 77", "B, 64, 64"])
def test_softmax_is_one_kernel_and_has_no_buffers(operator: str, shape: str) -> None:
    assert lowered(operator, shape) == (1, [])


def test_rows_of_unknown_length_lie_in_memory() -> None:
    kernels, allocs = lowered("graph.softmax", "B, S, S")
    assert kernels == 1 and len(allocs) == 1


def test_rows_longer_than_the_cache_lie_in_memory() -> None:
    kernels, allocs = lowered("graph.softmax", "16, 1000000")
    assert kernels == 1 and len(allocs) == 1


LATE = """
    <ir_version: 9, opset_import: ["" : 18]>
    late (float[64, 100] x, int64[1] end) => (float[64, K] y) <int64[1] zero = {0}, int64[1] one = {1}> {
        r = Softmax <axis = -1> (x)
        head = Slice (r, zero, end, one)
        y = Softmax <axis = -1> (head)
    }
"""


def test_sizes_known_only_behind_the_first_kernel_keep_the_second_there() -> None:
    """Both softmaxes are loops over the same rows, and the second reads what the first wrote; but how long its rows are
    is read from `end` between them."""
    model = onnx.parser.parse_model(LATE)
    module = compiler.lower(model, to="loop-ir")
    program = next(op for op in module.body.ops if isinstance(op, Program))
    known: set[str] = set()
    for op in program.body.block.ops:
        assert not isinstance(op, Call) or symbols(op) <= known
        known |= set(defined_symbols(op))
    assert sum(isinstance(op, Call) for op in program.body.block.ops) == 2
    engine = compiler.compile(model, threads=1)
    x = np.random.default_rng(0).standard_normal((64, 100)).astype(np.float32)

    def softmax(v: Any) -> Any:
        e = np.exp(v)
        return e / e.sum(-1, keepdims=True)

    for end in (70, 1, -30, 400):
        found = engine.run({"x": x, "end": np.array([end])})["y"]
        np.testing.assert_allclose(found, softmax(softmax(x)[:, :end]), rtol=1e-5)


STEPS = """
builtin.module {
  loop.kernel @a(%in0 "in0" : !loop.buffer<[4, 6, 5], f32>, %out0 "out0" : !loop.buffer<[4, 6, 5], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel concurrent {
      loop.for "i1" %i1 = 0 to 6 step 3 parallel {
        loop.for "i2" %i2 = 0 to 5 parallel {
          loop.for "t" %t = 0 to 3 parallel unrolled {
            %0 = loop.load %in0[%i0, %i1 + %t, %i2]
            %1 = arith.addf %0, %0 : f32
            loop.store %1, %out0[%i0, %i1 + %t, %i2]
          }
        }
      }
    }
  }
  loop.kernel @b(%in0 "in0" : !loop.buffer<[4, 6, 5], f32>, %out0 "out0" : !loop.buffer<[4, 6, 5], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel concurrent {
      loop.for "i1" %i1 = 0 to 6 parallel {
        loop.for "i2" %i2 = 0 to 5 parallel {
          %0 = loop.load %in0[%i0, %i1, %i2]
          %1 = arith.mulf %0, %0 : f32
          loop.store %1, %out0[%i0, %i1, %i2]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 6, 5], f32>, %y "y" : !loop.buffer<[4, 6, 5], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[4, 6, 5], f32>
    loop.call @FIRST(%x, %t)
    loop.call @SECOND(%t, %y)
  }
}
"""


@pytest.mark.parametrize(("first", "second"), ["ab", "ba", "aa", "bb"])
def test_loops_below_one_that_goes_several_at_a_time_stay_in_it(first: str, second: str) -> None:
    """One kernel takes three rows at a time, with the loop over what is in a row outside of that over the three; the
    other takes them one by one. Such loops over the rows meet, what is below them does not."""
    module = Parser(context(), STEPS.replace("FIRST", first).replace("SECOND", second)).parse_module()
    inputs = {"x": np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32)}
    before = evaluate(module, inputs)
    assert FuseRows().run(module)
    module.verify()
    assert same_bits(before, evaluate(module, inputs)) is None
    (call,) = [op for op in walk(module) if isinstance(op, Call)]
    assert sum(isinstance(op, For) and op.label.data == "i2" for op in walk(call.find())) == 1 + (first != second)


def test_a_short_kernel_does_not_take_threads_from_a_long_one() -> None:
    """The first convolution writes into the padding of the second, whose border is a kernel of few elements."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.standard_normal((32, 32, 3)).astype(np.float32) for i in (1, 2)}
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 20]>
        g (float[N, 32, L] x, float[32, 32, 3] w1, float[32, 32, 3] w2) => (float[N, 32, L] y) {
            a = Conv<pads: ints = [1, 1]>(x, w1)
            b = LeakyRelu(a)
            y = Conv<pads: ints = [1, 1]>(b, w2)
        }
    """)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    module = compiler.lower(model, to="loop-ir")
    sums = [op for op in walk(module) if isinstance(op, For) and op.run.data == "concurrent" and reduces(op)]
    assert len(sums) == 2
    assert all(is_shared(loop) for loop in sums)


def reduces(loop: For) -> bool:
    return any(isinstance(op, For) and not op.is_parallel for op in walk(loop))
