"""Control flow on its way down: parts of random programs outlined as branches and loops compute what they did before,
after every pass, in the host program and in compiled code."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

import ircc
from ircc.compiler import GRAPH, TENSOR
from ircc.frontends.text import read_text, write_text
from ircc.ir.check_each import difference, relative_bound
from ircc.ir.evaluator import evaluate, main_function, names_of
from ircc.ir.pipeline import Pipeline
from ircc.testing.control_programs import with_control
from ircc.testing.graph_programs import random_graph, random_inputs

few = settings(max_examples=max(2, settings().max_examples // 8))
ELEMENTS = ("float32", "float64", "int64", "int32", "uint8", "bool")


def drawn(seed: int) -> tuple[ModuleOp, ModuleOp, random.Random]:
    """A program, and the same one with control flow."""
    rng = random.Random(seed)
    plain = random_graph(rng, length=(2, 6), symbolic=rng.random() < 0.7, elements=ELEMENTS)
    return plain, with_control(plain.clone(), rng, rng.randint(1, 3)), rng


def input_names(module: ModuleOp) -> list[str]:
    main = main_function(module)
    return names_of(main.arg_attrs, len(main.body.block.args), "input_")


@few
@given(seed=st.integers(0, 2**32))
def test_passes_keep_the_value(seed: int) -> None:
    plain, module, rng = drawn(seed)
    inputs = random_inputs(module, rng, vary=False)
    with np.errstate(all="ignore"):
        expected = evaluate(plain, {name: inputs[name] for name in input_names(plain)})
        assert difference(expected, evaluate(module, inputs), 0.0) is None
        bound = max(relative_bound(plain), relative_bound(module))
        for pass_ in [*Pipeline.parse(GRAPH), *Pipeline.parse(TENSOR)]:
            before = str(module)
            changed = pass_.run(module)
            module.verify()
            assert changed or str(module) == before, pass_.name
            fault = difference(expected, evaluate(module, inputs), bound)
            assert fault is None, f"{pass_.name}: {fault}"
    text = write_text(module, inline=True)
    assert write_text(read_text(text), inline=True) == text


@few
@given(seed=st.integers(0, 2**32))
def test_compiled_code_has_the_value(seed: int) -> None:
    plain, module, rng = drawn(seed)
    inputs = random_inputs(module, rng, vary=False)
    with np.errstate(all="ignore"):
        expected = evaluate(plain, {name: inputs[name] for name in input_names(plain)})
    engine = ircc.compile(module, threads=1)
    assert difference(expected, engine.run(inputs), relative_bound(module)) is None


def test_programs_have_control_flow() -> None:
    """The draws above are about something: both operations, nested ones too."""
    modules = [drawn(seed)[1] for seed in range(40)]
    names = [op.name for module in modules for op in module.walk()]
    bodies = [f for m in modules for f in list(m.body.ops)[1:]]
    nested = [op for f in bodies for op in f.walk() if op.name.startswith("control.")]
    assert names.count("control.if") > 5 and names.count("control.loop") > 5 and len(nested) > 3
