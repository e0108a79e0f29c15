"""Every rule of graph-to-tensor computes what its operator means: with symbols, with numbers, with odd values."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.parser import Parser

from ircc.dialects import context, graph
from ircc.dialects.graph import BY_NAME
from ircc.dialects.graph.base import GraphOp
from ircc.errors import UnsupportedError
from ircc.ir.check_each import difference, relative_bound
from ircc.ir.evaluator import evaluate
from ircc.ir.expr import Expr
from ircc.ir.nodes import nodes_of
from ircc.ir.types import SMALL_DTYPES, TensorType
from ircc.passes.graph_to_tensor import RULES, GraphToTensor, supported
from ircc.testing.case_programs import inputs_of_case, program, program_of_case
from ircc.testing.graph_cases import CASES, SIZES, Case, H, N, t
from ircc.testing.graph_programs import random_graph, random_inputs

# Operators that have no rule, and why.
UNSUPPORTED: dict[str, str] = {}


def lowered(module: ModuleOp) -> ModuleOp:
    """The module after the pass, verified, and printed and parsed again."""
    found = module.clone()
    assert GraphToTensor().run(found)
    found.verify()
    text = str(found)
    assert not any(isinstance(op, GraphOp) for op in found.walk())
    again = Parser(context(), text).parse_module()
    again.verify()
    assert str(again) == text
    return found


def tolerance(dtype: np.dtype[Any]) -> float:
    return {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype.name]


def assert_same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if expected.dtype in SMALL_DTYPES:
        np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
    elif expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
    else:
        bound = tolerance(expected.dtype)
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), bound, bound, equal_nan=True)


@pytest.mark.parametrize("symbolic", [True, False], ids=["symbols", "numbers"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_computes_what_the_operator_means(case: Case, symbolic: bool) -> None:
    rng = np.random.default_rng(0)
    for more in case.sizes:
        symbols = SIZES | dict(more)
        types, arrays = inputs_of_case(case, rng, symbols)
        module = program_of_case(case, case.operands, None) if symbolic else program_of_case(case, types, symbols)
        with np.errstate(all="ignore"):
            expected = evaluate(module, arrays) if not symbolic else with_symbols(module, arrays, symbols)
            low = lowered(module)
            found = evaluate(low, arrays) if not symbolic else with_symbols(low, arrays, symbols)
        assert list(found) == list(expected)
        for name in expected:
            assert_same(found[name], expected[name])


def with_symbols(module: ModuleOp, arrays: Mapping[str, Any], symbols: Mapping[str, int]) -> dict[str, Any]:
    """`evaluate` with symbols that no input's size gives."""
    main = next(iter(module.body.ops))
    assert isinstance(main, func.FuncOp)
    types = [TensorType.of([Expr.symbol(s)], i1) for s in symbols]
    for i, type_ in enumerate(types):
        main.body.block.insert_arg(type_, len(main.body.block.args))
        arrays = {**arrays, f"input_{len(main.body.block.args) - 1}": np.zeros(list(symbols.values())[i], np.bool_)}
    try:
        return evaluate(module, arrays)
    finally:
        for arg in reversed(main.body.block.args[-len(types) :]):
            main.body.block.erase_arg(arg)


def test_every_operator_has_a_rule_or_a_reason() -> None:
    lacking = {op.__name__ for op in graph.OPERATORS if op not in RULES}
    assert lacking == set(UNSUPPORTED)
    tested = {c.operator for c in CASES}
    assert {op.__name__ for op in RULES} - tested == {"Constant"}


def can_be_lowered(module: ModuleOp) -> bool:
    """Refusals have a test of their own."""
    return not any(supported(op) for op in module.walk() if isinstance(op, GraphOp))


def agree(module: ModuleOp, rng: random.Random, special: bool) -> None:
    """The lowered module computes the same, for several inputs."""
    low = lowered(module)
    for _ in range(2):
        inputs = random_inputs(module, rng, special=special)
        with np.errstate(all="ignore"):
            expected, found = evaluate(module, inputs), evaluate(low, inputs)
        problem = difference(expected, found, relative_bound(module))
        assert problem is None, problem


@settings(max_examples=2 * settings().max_examples)
@given(random=st.randoms(use_true_random=False), special=st.booleans())
def test_one_operator_lowered_computes_the_same(random: random.Random, special: bool) -> None:
    module = random_graph(random, length=(1, 1))
    assume(can_be_lowered(module))
    undefined = any(op.name == "graph.cast" for op in module.walk())  # of NaN and infinities to integers
    agree(module, random, special and not undefined)


@given(random=st.randoms(use_true_random=False))
def test_graphs_lowered_compute_the_same(random: random.Random) -> None:
    module = random_graph(random)
    assume(can_be_lowered(module))
    agree(module, random, special=False)


def test_what_cannot_be_lowered_is_listed_and_nothing_changes() -> None:
    module = program(BY_NAME["Resize"], [t(N, H)], {"sizes": [N, 3], "mode": "linear", "antialias": True})
    before = str(module)
    with pytest.raises(UnsupportedError, match=r"node 'node' \(Resize\).*antialias needs sizes that are known"):
        GraphToTensor().run(module)
    assert str(module) == before


def test_a_module_without_operators_is_left_alone() -> None:
    module = lowered(program(BY_NAME["Relu"], [t(N)], {}))
    before = str(module)
    assert not GraphToTensor().run(module)
    assert str(module) == before


def test_every_operation_carries_the_node() -> None:
    module = lowered(program(BY_NAME["Softmax"], [t(N, 4)], {}))
    made = [op for op in module.walk() if op.name == "tensor.compute"]
    assert len(made) == 4 and {nodes_of(op) for op in made} == {("node",)}


def test_a_window_of_pads_alone_has_no_place() -> None:
    given = {"kernel": [2], "strides": [1], "dilations": [2], "pads": [1, 1], "ceil_mode": False, "indices": True}
    module = program(BY_NAME["MaxPool"], [t(1, 1, 1)], {**given, "storage_order": 0})
    inputs = {"input_0": np.ones((1, 1, 1), np.float32)}
    for computed in (module, lowered(module)):
        assert [*evaluate(computed, inputs).values()][1].item() == -1
