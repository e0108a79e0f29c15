"""Properties of all operators, on random programs: text goes round, the shape rule tells the truth."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ircc.dialects.graph import BY_NAME, Graph, GraphOp
from ircc.ir.dialect import Ir
from ircc.ir.evaluator import Environment, bind_symbols, main_function, names_of, run_checks
from ircc.testing.graph_builder import type_of
from ircc.testing.graph_programs import graphs, random_graph, random_inputs
from ircc.testing.graph_recipes import RECIPES

one_operator = pytest.mark.parametrize("operator", sorted(BY_NAME))
SEEDS = given(seed=st.integers(0, 2**32 - 1))  # one operator needs no shrinking, and this is quick
few = settings(max_examples=max(settings().max_examples // 8, 1))


def parsed(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Func, Ir, Graph):
        context.load_dialect(dialect)
    return Parser(context, text).parse_module()


def goes_round(module: ModuleOp) -> None:
    module.verify()
    again = parsed(str(module))
    again.verify()
    assert again.is_structurally_equivalent(module)
    assert str(again) == str(module)


def shapes_are_true(module: ModuleOp, rng: random.Random) -> None:
    """Each operator's results have the dtype and the sizes that its type says."""
    main, inputs = main_function(module), random_inputs(module, rng)
    args = main.body.block.args
    names = names_of(main.arg_attrs, len(args), "input_")
    env = Environment(bind_symbols([type_of(a) for a in args], [inputs[n] for n in names], names))
    run_checks(main.attributes.get("ircc.checks"), env.symbols)
    env.values.update({a: inputs[n] for a, n in zip(args, names, strict=True)})
    for op in main.body.block.ops:
        if isinstance(op, GraphOp):
            op.interpret(env)
            for result in op.results:
                found, type_ = env.values[result], type_of(result)
                assert isinstance(found, np.ndarray)
                assert found.dtype == type_.dtype
                assert found.shape == tuple(env.size(s) for s in type_.sizes)


@one_operator
@few
@SEEDS
def test_text_goes_round(operator: str, seed: int) -> None:
    rng = random.Random(seed)
    goes_round(random_graph(rng, recipes={operator: RECIPES[operator]}, length=(1, 2)))


@one_operator
@few
@SEEDS
def test_infer_agrees_with_evaluate(operator: str, seed: int) -> None:
    rng = random.Random(seed)
    shapes_are_true(random_graph(rng, recipes={operator: RECIPES[operator]}, length=(1, 2)), rng)


@settings(max_examples=4 * settings().max_examples)
@given(module=graphs(), seed=st.integers(0, 2**32 - 1))
def test_programs(module: ModuleOp, seed: int) -> None:
    goes_round(module)
    shapes_are_true(module, random.Random(seed))


def test_text_is_plain() -> None:
    text = """builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3, H, 9], f32>, %w: !graph.tensor<[4, 3, 3, 3], f32>) {
    %y = graph.conv %x, %w <strides = [2, 1], pads = [1, H mod 2, 1, 1], dilations = [1, 1], group = 1> {nodes = ["Conv_0"]} : (!graph.tensor<[N, 3, H, 9], f32>, !graph.tensor<[4, 3, 3, 3], f32>) -> !graph.tensor<[N, 4, (H + 1) floordiv 2, H mod 2 + 8], f32>
    %z = graph.leaky_relu %y <alpha = 1.0e-05> : (!graph.tensor<[N, 4, (H + 1) floordiv 2, H mod 2 + 8], f32>) -> !graph.tensor<[N, 4, (H + 1) floordiv 2, H mod 2 + 8], f32>
    func.return
  }
}
"""  # noqa: E501
    assert str(parsed(text)).strip() == text.strip()


def test_a_wrong_result_type_is_refused() -> None:
    text = """
func.func @main(%x : !graph.tensor<[N], f32>) {
  %y = graph.relu %x : (!graph.tensor<[N], f32>) -> !graph.tensor<[M], f32>
  func.return
}"""
    with pytest.raises(VerifyException, match="its rule gives"):
        parsed(text).verify()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e-300, -3e30, 0.1])
def test_float_properties_go_round(value: float) -> None:
    module = random_graph(random.Random(0), recipes={"Exp": RECIPES["Exp"]}, length=(1, 1))
    (op,) = (o for o in main_function(module).body.block.ops if isinstance(o, GraphOp))
    leaky = BY_NAME["LeakyRelu"].make(op.results[0], alpha=value)
    op.parent_block().insert_op_after(leaky, op)  # type: ignore[union-attr]
    goes_round(module)
