"""The compiled host program: sizes from data, views, copies, branches and loops, against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.parser import Parser

import ircc
from ircc import compiler
from ircc.dialects import context
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.errors import BackendError, EngineError
from ircc.runtime.program import Plan

KERNELS = """
  loop.kernel @add(%a "a" : !loop.buffer<[4], f32>, %b "b" : !loop.buffer<[4], f32>, %o "o" : !loop.buffer<[4], f32>)
      outputs 1 {
    loop.for "i" %i = 0 to 4 parallel {
      %0 = loop.load %a[%i]
      %1 = loop.load %b[%i]
      %2 = arith.addf %0, %1 : f32
      loop.store %2, %o[%i]
    }
  }
  loop.kernel @less(%a "a" : !loop.buffer<[4], f32>, %o "o" : !loop.buffer<[], i1>) outputs 1 {
    %c = arith.constant 100.0 : f32
    %0 = loop.load %a[0]
    %1 = arith.cmpf olt, %0, %c : f32
    loop.store %1, %o[]
  }
  loop.kernel @fill(%o "o" : !loop.buffer<[K], f32>) outputs 1 sizes ["K"] {
    %c = arith.constant 2.0 : f32
    loop.for "i" %i = 0 to K parallel {
      loop.store %c, %o[%i]
    }
  }
  loop.kernel @twice(%a "a" : !loop.buffer<[K], f32>, %o "o" : !loop.buffer<[K], f32>) outputs 1 sizes ["K"] {
    loop.for "i" %i = 0 to K parallel {
      %0 = loop.load %a[%i]
      %1 = arith.addf %0, %0 : f32
      loop.store %1, %o[%i]
    }
  }
"""
SUM = """
  loop.program @main(%x "x" : !loop.buffer<[T, 4], f32>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[4], f32>
    %u = loop.alloc "u" : !loop.buffer<[4], f32>
    %zero = loop.constant #ir.weight<[0.0, 0.0, 0.0, 0.0]> : !loop.buffer<[4], f32>
    loop.copy %zero, %t
    loop.while "$i" to T {
      %row = loop.view %x at 4 * (T - 1 - "$i") : !loop.buffer<[4], f32>
      loop.call @add(%row, %t, %u)
      loop.copy %u, %t
    }
    loop.copy %t, %y
  }
"""
UNTIL = """
  loop.program @main(%s "s" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>,
                     %n "n" : !loop.buffer<[count], f32>) outputs 2 {
    %t = loop.alloc "t" : !loop.buffer<[4], f32>
    %u = loop.alloc "u" : !loop.buffer<[4], f32>
    %go = loop.alloc "go" : !loop.buffer<[], i1>
    loop.copy %s, %t
    loop.call @less(%t, %go)
    loop.while "$i" if %go counts "count" {
      loop.call @add(%t, %t, %u)
      loop.copy %u, %t
      loop.call @less(%t, %go)
    }
    loop.copy %t, %y
    loop.call @fill(%n) sizes [count]
  }
"""
DATA = """
  loop.program @main(%k "k" : !loop.buffer<[1], i64>, %z "z" : !loop.buffer<[k], f32>) outputs 1
      checks [#ir.check<max("$k", 9999) - 9999, "k is at most 9999">] {
    control.read_sizes %k ["$k"]
    control.set_sizes ["k"] to [max("$k", 0)]
    %q = loop.alloc "q" : !loop.buffer<[k], f32>
    loop.call @fill(%q) sizes [k]
    loop.call @twice(%q, %z) sizes [k]
  }
"""
BRANCH = """
  loop.program @main(%c "c" : !loop.buffer<[], i1>, %x "x" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>,
                     %w "w" : !loop.buffer<[n], f32>) outputs 2 {
    loop.if %c sizes ["n"] {
      loop.call @add(%x, %x, %y)
    } gives [3] else {
      loop.copy %x, %y
    } gives [7]
    loop.call @fill(%w) sizes [n]
  }
"""


def both(program: str, **inputs: Any) -> dict[str, Any]:
    """The outputs of the compiled program, which are those of the interpreter."""
    text = f"builtin.module {{ {KERNELS} {program} }}"
    module = Parser(context(), text).parse_module()
    module.verify()
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    expected = evaluate_program(module, arrays)
    engine = compiler.compile(text.encode(), passes="plan-memory", threads=1)
    bound = engine.bind(arrays)
    bound()
    for found in (engine.run(arrays), bound.outputs, engine.run(arrays)):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
            assert found[name].dtype == value.dtype
    return expected


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_loop_over_rows(steps: int) -> None:
    x = np.arange(4 * steps, dtype=np.float32).reshape(steps, 4)
    np.testing.assert_array_equal(both(SUM, x=x)["y"], x.sum(0))


@pytest.mark.parametrize(("start", "count"), [(1.0, 7), (64.0, 1), (100.0, 0)])
def test_a_loop_until(start: float, count: int) -> None:
    found = both(UNTIL, s=np.full(4, start, np.float32))
    assert found["n"].shape == (count,) and found["y"][0] == start * 2**count


@pytest.mark.parametrize("bound", [0, 3, 9])
def test_a_loop_with_a_bound_and_a_condition(bound: int) -> None:
    found = both(UNTIL.replace('"$i" if', f'"$i" to {bound} if'), s=np.ones(4, np.float32))
    assert found["n"].shape == (min(bound, 7),)


@pytest.mark.parametrize("k", [5, 0, -3, 1, 9999])
def test_sizes_from_data(k: int) -> None:
    np.testing.assert_array_equal(both(DATA, k=[k])["z"], np.full(max(k, 0), 4.0))


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch(taken: bool) -> None:
    x = np.arange(4, dtype=np.float32)
    found = both(BRANCH, c=taken, x=x)
    assert found["w"].shape == ((3,) if taken else (7,))
    np.testing.assert_array_equal(found["y"], x * (2 if taken else 1))


def test_outputs_and_buffers_have_slots_of_their_own() -> None:
    text = f"builtin.module {{ {KERNELS} {DATA} }}"
    assert compiler.compile(text.encode(), passes="plan-memory", threads=1).artifact.slots == 2


def test_a_check_of_a_size_from_data() -> None:
    with pytest.raises(ircc.Error, match="k is at most 9999"):
        both(DATA, k=[10_000])


@pytest.mark.parametrize("k", [2**45, 2**62, 2**63 - 1])
def test_a_size_that_no_memory_holds(k: int) -> None:
    text = f"builtin.module {{ {KERNELS} {DATA} }}".replace('max("$k", 9999) - 9999', "0 * N")
    text = text.replace('checks [#ir.check<0 * N, "k is at most 9999">]', "")
    engine = compiler.compile(text.encode(), passes="plan-memory", threads=1)
    with pytest.raises(ircc.Error, match="too large for the memory"):
        engine.run({"k": np.array([k])})
    assert engine.run({"k": np.array([2])})["z"].shape == (2,)


def test_a_plan_whose_bytes_overflow_is_refused() -> None:
    """Modulo 2 to the 64th the arena would have a few hundred bytes."""
    text = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 1, 1] a, float[1, K, 1] b, float[1, 1, M] c, float[M, 2] v) => (float[2] y) <int64[2] axes = {0, 1}> {
    s = Add(a, b)
    t = Add(s, c)
    u = Softmax(t)
    q = MatMul(u, v)
    y = ReduceSum<keepdims = 0>(q, axes)
}
"""
    engine = ircc.compile(onnx.parser.parse_model(text))
    program = engine._program  # pyright: ignore[reportPrivateUsage]  # no array of such a shape fits into memory
    assert 0 < Plan(program, ((2, 1, 1), (1, 2, 1), (1, 1, 3), (3, 2))).arena_bytes < 1024
    for m in (1 << 42, 1 << 60):
        with pytest.raises(EngineError, match="more memory than any machine has"):
            Plan(program, ((2, 1, 1), (1, 2, 1), (1, 1, m), (m, 2)))


def test_a_size_that_no_input_has_by_itself_is_named() -> None:
    text = """func.func @main(%x: !graph.tensor<[2 * H], f32> {ircc.name = "x"}) -> (!graph.tensor<[2 * H], f32>) {
      %y = graph.relu %x : (!graph.tensor<[2 * H], f32>) -> !graph.tensor<[2 * H], f32>
      func.return %y : !graph.tensor<[2 * H], f32>
    }"""
    with pytest.raises(BackendError, match="the size H has no value where it is used"):
        ircc.compile(Parser(context(), text).parse_module())
