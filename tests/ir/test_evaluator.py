"""The reference evaluator: sizes from inputs, checks, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.dialects.test import TestOp as AnyOp
from xdsl.ir import Operation

from ircc.dialects.tensor.builder import compute
from ircc.errors import InputError, IRError
from ircc.ir.evaluator import Environment, bind_symbols, evaluate, interpret_block, main_function, names_of, run_checks
from ircc.ir.expr import Expr, ExprLike
from ircc.ir.nodes import merged, nodes_of, set_nodes
from ircc.ir.types import Check, TensorType

N, M = Expr.symbol("N"), Expr.symbol("M")


def tensor(*sizes: ExprLike) -> TensorType:
    return TensorType.of(sizes, f32)


def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros(shape, np.float32)


def doubled(checks: list[Check] | None = None) -> ModuleOp:
    """y = 2 * x for x of [N, 3]; x goes through as well."""
    main = FuncOp("main", ([tensor(N, 3)], [tensor(N, 3), tensor(N, 3)]))
    (x,) = main.body.block.args
    main.arg_attrs = ArrayAttr([DictionaryAttr({"ircc.name": StringAttr("x")})])
    main.res_attrs = ArrayAttr([DictionaryAttr({"ircc.name": StringAttr("y")}), DictionaryAttr({})])
    y = compute([N, 3], lambda b, i, j: b.read(x, i, j) * 2.0, f32)
    main.body.block.add_ops([y, ReturnOp(y, x)])
    if checks:
        main.attributes["ircc.checks"] = ArrayAttr(checks)
    return ModuleOp([main])


def test_outputs_by_name_and_in_order() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    outputs = evaluate(doubled(), {"x": x, "unused": x})
    assert list(outputs) == ["y", "output_1"]
    np.testing.assert_array_equal(outputs["y"], 2 * x)
    assert outputs["output_1"] is x
    assert evaluate(doubled(), {"x": zeros(0, 3)})["y"].shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "missing inputs: x"),
        ({"x": zeros(2)}, "'x' has rank 1, expected 2"),
        ({"x": zeros(2, 4)}, "'x': dimension 1 is 4, expected 3"),
    ],
)
def test_inputs_that_do_not_fit(given: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(doubled(), given)


def test_checks_stop_before_anything_runs() -> None:
    checks = [Check.of(N - N, "never"), Check.of((N - 2) * (N - 4), "N is 2 or 4"), Check.of(N - 4, "N is 4")]
    assert evaluate(doubled(checks), {"x": zeros(4, 3)})["y"].shape == (4, 3)
    for n, message in ((3, "N is 2 or 4"), (2, "N is 4")):
        with pytest.raises(InputError, match=message):
            evaluate(doubled(checks), {"x": zeros(n, 3)})
    run_checks(None, {})


def test_symbols_are_found_wherever_they_stand_alone() -> None:
    types = [tensor(2 * N, M), tensor(N, N + 1), tensor(M)]
    assert bind_symbols(types, [zeros(6, 4), zeros(3, 4), zeros(4)], ["a", "b", "c"]) == {"N": 3, "M": 4}
    with pytest.raises(InputError, match="'a': dimension 0 is 5"):
        bind_symbols(types, [zeros(5, 4), zeros(3, 4), zeros(4)], ["a", "b", "c"])
    with pytest.raises(InputError, match="'c': dimension 0 is 5, expected M"):
        bind_symbols(types, [zeros(6, 4), zeros(3, 4), zeros(5)], ["a", "b", "c"])


def test_a_symbol_that_no_input_tells() -> None:
    with pytest.raises(InputError, match="'a': no input says what N is"):
        bind_symbols([tensor(2 * N)], [zeros(6)], ["a"])


def test_modules_and_operations_without_a_meaning() -> None:
    with pytest.raises(IRError, match=r"no func\.func"):
        main_function(ModuleOp([]))
    with pytest.raises(IRError, match=r"test\.op has no reference meaning"):
        interpret_block([AnyOp()], Environment())


def test_names_and_sizes() -> None:
    named = ArrayAttr([DictionaryAttr({"ircc.name": StringAttr("x")}), DictionaryAttr({})])
    assert names_of(named, 2, "input_") == ["x", "input_1"]
    assert names_of(None, 2, "in") == ["in0", "in1"]
    assert Environment({"N": 7}).size(N // 2) == 3 and Environment().size(5) == 5


def test_nodes_are_carried_once_each() -> None:
    a, b, c = (AnyOp() for _ in range(3))
    ops: list[Operation] = [a, b, c]
    set_nodes(a, ["Conv_0", "Relu_1", "Conv_0"])
    set_nodes(b, ["Relu_1", "Add_2"])
    assert nodes_of(a) == ("Conv_0", "Relu_1") and nodes_of(c) == ()
    assert merged(*ops) == ("Conv_0", "Relu_1", "Add_2")
    set_nodes(a, [])
    assert "nodes" not in a.attributes
