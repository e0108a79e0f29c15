"""Programs whose kernels run on two sides, each with a memory of its own, compute what they do on one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import ON, Call, Copy, Kernel, Transfer
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.ir.check_each import difference
from ircc.ir.operands import walk
from ircc.ir.pipeline import Pipeline
from ircc.passes.insert_transfers import InsertTransfers
from ircc.testing.control_programs import with_control
from ircc.testing.graph_programs import random_graph, random_inputs

few = settings(max_examples=max(4, settings().max_examples // 5))
Arrays = Mapping[str, "np.ndarray[Any, Any]"]


def split(seed: int) -> tuple[ModuleOp, Arrays]:
    """A program with branches and loops, some of its kernels on the CPU, and inputs."""
    rng = random.Random(seed)
    module = random_graph(rng, length=(2, 6), symbolic=rng.random() < 0.5, elements=("float32", "int64", "bool"))
    module = with_control(module, rng, rng.randint(0, 3))
    inputs = random_inputs(module, rng, vary=False)
    Pipeline.parse("graph-to-tensor,tensor-to-loop").run(module)
    for kernel in [op for op in module.body.ops if isinstance(op, Kernel)]:
        kernel.attributes[ON] = StringAttr(rng.choice(("host", "device")))
    return module, inputs


@few
@given(seed=st.integers(0, 2**32), planned=st.sampled_from(("no", "before", "behind")))
def test_values_are_kept(seed: int, planned: str) -> None:
    plain, inputs = split(seed)
    with np.errstate(all="ignore"):
        expected = evaluate_program(plain, inputs)
        module = plain.clone()
        passes = {"no": "insert-transfers", "before": "plan-memory,insert-transfers"}
        Pipeline.parse(passes.get(planned, "insert-transfers,plan-memory")).run(module)
        module.verify()
        fault = difference(expected, evaluate_program(module, inputs), 0.0)
    assert fault is None, f"{fault}\n{module}"
    before = str(module)
    assert not InsertTransfers().run(module) and str(module) == before


@pytest.mark.parametrize("side", ["host", "device"])
def test_every_copy_matters(side: str) -> None:
    """Without any one of the copies of a program that needs them all, its result is another one."""
    kernel = """
      loop.kernel @{0}(%a "a" : !loop.buffer<[4], f32>, %b "b" : !loop.buffer<[4], f32>) outputs 1
          attributes {{on = "{0}"}} {{
        loop.for "i" %i = 0 to 4 parallel {{
          %v = loop.load %a[%i]
          %w = arith.addf %v, %v : f32
          loop.store %w, %b[%i]
        }}
      }}"""
    text = f"""builtin.module {{
      {kernel.format("host")}
      {kernel.format("device")}
      loop.program @main(%x "x" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {{
        %t = loop.alloc "t" : !loop.buffer<[4], f32>
        loop.call @device(%x, %t)
        loop.while "$i" to 3 {{
          %u = loop.alloc "u" : !loop.buffer<[4], f32>
          loop.call @host(%t, %u)
          loop.call @device(%u, %t)
        }}
        loop.call @host(%t, %y)
      }}
    }}"""
    module = Parser(context(), text).parse_module()
    inputs = {"x": np.arange(1, 5, dtype=np.float32)}
    assert InsertTransfers().run(module)
    expected = inputs["x"] * 2**8
    assert np.array_equal(evaluate_program(module, inputs)["y"], expected)
    copies = [op for op in walk(module) if isinstance(op, Transfer)]
    assert len(copies) == 4 and not any(isinstance(op, Copy) for op in walk(module))
    for i, copy in enumerate(copies):
        if copy.to.data == side:
            less = module.clone()
            gone = [op for op in walk(less) if isinstance(op, Transfer)][i]
            gone.detach()
            gone.erase()
            with np.errstate(all="ignore"):
                assert not np.array_equal(evaluate_program(less, inputs)["y"], expected), copy
    assert sum(op.on_host for op in walk(module) if isinstance(op, Call)) == 2
