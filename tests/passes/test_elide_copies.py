"""Results are written where they would be copied to: what is elided and what is not; the values stay as they are."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import Alloc, Call, Program
from ircc.ir.operands import walk
from ircc.ir.pipeline import Pipeline
from ircc.passes.elide_copies import ElideCopies
from ircc.testing.graph_programs import random_inputs
from ircc.testing.tensor_programs import (
    elementwise,
    joining,
    padding,
    random_program,
    reduction,
    running,
    slicing,
    window,
)

from .test_properties import Arrays, keeps_its_promises

COMPUTES = (joining, joining, joining, padding, padding, slicing, reduction, elementwise, running, window)


def drawn(rng: random.Random) -> tuple[ModuleOp, Arrays]:
    """A random program with copies in it, as loops of which none are fused, and inputs for it."""
    module = random_program(rng, length=(4, 12), computes=COMPUTES)
    inputs = random_inputs(module, rng)
    return Pipeline.parse("tensor-to-loop").run(module), inputs


@settings(max_examples=settings().max_examples // 2)
@given(rng=st.randoms(use_true_random=False))
def test_values_stay_bit_for_bit(rng: random.Random) -> None:
    module, inputs = drawn(rng)
    keeps_its_promises("elide-copies", module, inputs, exact=True)


def test_random_programs_have_copies() -> None:
    """The property above is about something."""
    assert sum(ElideCopies().run(drawn(random.Random(seed))[0]) for seed in range(60)) >= 20


def lowered(text: str) -> tuple[list[str], list[Alloc]]:
    """Of a function of the tensor level: the kernels that it calls, in order, and its buffers."""
    module = Parser(context(), text).parse_module()
    Pipeline.parse("tensor-to-loop,elide-copies").run(module)
    program = next(op for op in module.body.ops if isinstance(op, Program))
    calls = [op.callee for op in walk(program) if isinstance(op, Call)]
    return calls, [op for op in walk(program) if isinstance(op, Alloc)]


def concatenation(first: str, second: str, more: str = "", result: str = "%z") -> str:
    """y = x + x beside another value, then doubled; `more` stands before that."""
    return f"""
      builtin.module {{
        func.func @main(%x : !graph.tensor<[4], f32>) -> !graph.tensor<[8], f32> {{
          %y = tensor.compute [%i : 4] {{nodes = ["y"]}} : !graph.tensor<[4], f32> {{
            %0 = tensor.read %x[%i]
            %1 = arith.addf %0, %0 : f32
            tensor.yield %1 : f32
          }}
          {more}
          %c = tensor.compute [%i : 8] {{nodes = ["c"]}} : !graph.tensor<[8], f32> {{
            %0 = arith.constant 0.0 : f32
            %1 = tensor.read {second}[%i - 4] else %0
            %2 = tensor.read {first}[%i] else %1
            tensor.yield %2 : f32
          }}
          %z = tensor.compute [%i : 8] {{nodes = ["z"]}} : !graph.tensor<[8], f32> {{
            %0 = tensor.read %c[7 - %i]
            tensor.yield %0 : f32
          }}
          func.return {result} : !graph.tensor<[8], f32>
        }}
      }}"""


def test_a_part_that_is_an_input_is_copied() -> None:
    calls, allocs = lowered(concatenation("%x", "%y"))
    assert calls == ["y_2", "c_2", "z"]
    assert [a.label.data for a in allocs] == ["t2"]


def test_a_value_that_stands_twice_is_copied() -> None:
    calls, allocs = lowered(concatenation("%y", "%y"))
    assert calls == ["y", "c", "z"]
    assert len(allocs) == 2


def test_what_is_returned_is_copied() -> None:
    calls, allocs = lowered(concatenation("%y", "%x", result="%c"))
    assert calls == ["y", "c", "z"] and len(allocs) == 2


def test_what_is_read_beyond_its_end_is_copied() -> None:
    """`else` is about the end of the part, which the larger buffer does not have there."""
    shifted = """
          %s = tensor.compute [%i : 4] {nodes = ["s"]} : !graph.tensor<[4], f32> {
            %0 = arith.constant 1.0 : f32
            %1 = tensor.read %y[%i + 1] else %0
            %2 = arith.mulf %1, %1 : f32
            tensor.yield %2 : f32
          }"""
    calls, _ = lowered(concatenation("%y", "%s", shifted))
    assert calls == ["y", "s_2", "c_2", "z"]


@pytest.mark.parametrize("pads", ["1, 1", "0, 2", "2, 1"])
def test_what_is_left_of_a_padding_is_its_border(pads: str) -> None:
    before, after = map(int, pads.split(", "))
    wide = 4 + before + after
    calls, allocs = lowered(f"""
      builtin.module {{
        func.func @main(%x : !graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32> {{
          %y = tensor.compute [%i : N, %j : 4] {{nodes = ["y"]}} : !graph.tensor<[N, 4], f32> {{
            %0 = tensor.read %x[%i, %j]
            %1 = arith.addf %0, %0 : f32
            tensor.yield %1 : f32
          }}
          %p = tensor.compute [%i : N, %j : {wide}] {{nodes = ["p"]}} : !graph.tensor<[N, {wide}], f32> {{
            %0 = arith.constant 3.0 : f32
            %1 = tensor.read %y[%i, %j - {before}] else %0
            tensor.yield %1 : f32
          }}
          %z = tensor.compute [%i : N, %j : 4] {{nodes = ["z"]}} : !graph.tensor<[N, 4], f32> {{
            %0 = tensor.read %p[%i, %j + {before}]
            %1 = tensor.read %p[%i, %j]
            %2 = arith.addf %0, %1 : f32
            tensor.yield %2 : f32
          }}
          func.return %z : !graph.tensor<[N, 4], f32>
        }}
      }}""")  # fmt: skip
    assert len(allocs) == 1
    assert len(calls) == 2 + (1 if before == after else (before > 0) + (after > 0))
