"""Sizes: what is declared, what is fixed, what the model computes itself, and what is checked when it runs."""

from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import ModuleOp

from ircc.errors import InputError, ModelError, UnsupportedError
from ircc.frontends.onnx import import_model
from ircc.ir.evaluator import evaluate, main_function
from ircc.ir.types import Check, TensorType


def imported(graph: str, *, opset: int = 18, **shapes: Any) -> ModuleOp:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\nmain {graph}')
    module = import_model(model, shapes=shapes)
    module.verify()
    return module


def sizes(module: ModuleOp, result: int = 0) -> str:
    type_ = main_function(module).function_type.outputs.data[result]
    assert isinstance(type_, TensorType)
    return ", ".join(map(str, type_.sizes))


def checks(module: ModuleOp) -> list[str]:
    found = main_function(module).attributes["ircc.checks"]
    return [str(c.expr.data) for c in found if isinstance(c, Check)]  # type: ignore[attr-defined]


def operators(module: ModuleOp) -> list[str]:
    return [op.name for op in main_function(module).body.block.ops][:-1]


def test_declared_sizes_become_numbers_symbols_or_fresh_names() -> None:
    module = imported('(float[N, 3, "a b", ?] x, float[N] y) => (float[N, 3, s, t] z) { z = Relu(x) }')
    assert sizes(module) == 'N, 3, "a b", x_d3'


def test_sizes_are_fixed_by_input_or_by_symbol() -> None:
    graph = "(float[N, M] x, float[N] y) => (float[N, M] z, float[N] w) { z = Relu(x) w = Relu(y) }"
    assert sizes(imported(graph, x=(2, None))) == "2, M"
    assert sizes(imported(graph, N=5)) == "5, M"
    assert sizes(imported(graph, x=(2, 3)), 1) == "2"  # N is 2 everywhere


@pytest.mark.parametrize(
    "shapes", [{"q": 1}, {"x": (1, 2, 3)}, {"x": (1, 4)}, {"N": -1}, {"x": (2, 3), "N": 5}, {"q": (1,)}], ids=str
)
def test_sizes_that_contradict_the_model_are_refused(shapes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        imported("(float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }", **shapes)


def test_an_input_without_a_shape_needs_one() -> None:
    graph = "(float x) => (float y) { y = Relu(x) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> main {graph}')
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnsupportedError, match="how many dimensions"):
        import_model(model)
    assert sizes(import_model(model, shapes={"x": (2, 3)})) == "2, 3"


def test_initializers_that_are_inputs_are_constants() -> None:
    graph = "(float[2] x, float[2] w) => (float[2] y) <float[2] w = {1.0, 2.0}> { y = Add(x, w) }"
    module = imported(graph)
    assert len(main_function(module).body.block.args) == 1
    np.testing.assert_array_equal(evaluate(module, {"x": np.ones(2, np.float32)})["y"], [2, 3])


FLATTEN = """(float[N, C, H, W] x) => (float[a, b] y) <int64 one = {-1}, int64 zero = {0}> {
    s = Shape(x)  n = Gather(s, zero)  m = Constant<value_ints = [-1]>()
    a = Constant<value_ints = [0]>()  u = Unsqueeze(n, a)  t = Concat<axis = 0>(u, m)  y = Reshape(x, t)
}"""


def test_shape_arithmetic_leaves_no_operator() -> None:
    module = imported(FLATTEN)
    assert sizes(module) == "N, C * H * W" and not checks(module)
    assert operators(module) == ["graph.reshape"]


def test_a_scale_in_floats_is_exact() -> None:
    module = imported("""(float[1, 1, H, W] x) => (float[a, b, c, d] y) <float[2] f = {2.0, 0.5}> {
        s = Shape<start = 2>(x)  g = Cast<to = 1>(s)  m = Mul(g, f)  r = Floor(m)  i = Cast<to = 7>(r)
        k = Constant<value_ints = [1, 1]>()  t = Concat<axis = 0>(k, i)  e = Constant<value_floats = [0.0]>()
        y = Resize<mode = "nearest">(x, , , t)
    }""")
    assert sizes(module) == "1, 1, 2 * H, W floordiv 2"


def test_a_comparison_of_sizes_stays_an_expression() -> None:
    graph = """(float[N, M] x) => (int64[1] y) <int64[1] one = {1}> {
        n = Shape<start = 0, end = 1>(x)  m = Shape<start = 1>(x)  c = Less(n, m)  y = Where(c, n, one)
    }"""
    module = imported(graph)
    for shape, expected in (((2, 3), 2), ((3, 2), 1), ((3, 3), 1)):
        assert evaluate(module, {"x": np.zeros(shape, np.float32)})["y"] == [expected]


@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [
        (0, 2**63 - 1, 1, "N"),
        (1, 2**31 - 1, 1, "max(N - 1, 0)"),
        (0, -1, 1, "max(N - 1, 0)"),
        (-2, 2**63 - 1, 1, "min(2, N)"),
        (0, 5, 1, "min(5, N)"),
        (0, 2**63 - 1, 2, "(N + 1) floordiv 2"),
        (-1, -(2**63), -1, "N"),
    ],
)
def test_slices_have_simple_sizes(start: int, end: int, step: int, expected: str) -> None:
    module = imported(f"""(float[N] x) => (float[M] y)
        <int64[1] s = {{{start}}}, int64[1] e = {{{end}}}, int64[1] a = {{0}}, int64[1] k = {{{step}}}> {{
        y = Slice(x, s, e, a, k) }}""")
    assert sizes(module) in (expected, expected.replace("max(N - 1, 0)", "max(0, N - 1)"))
    for n in range(7):
        x = np.arange(n, dtype=np.float32)
        stop = max(end, -(n + 1)) if step > 0 else None
        np.testing.assert_array_equal(evaluate(module, {"x": x})["y"], x[start:stop:step])


def test_sizes_that_must_agree_are_checked_when_the_model_runs() -> None:
    module = imported("(float[N, 2] x, float[M, 3] y) => (float[N, 5] z) { z = Concat<axis = 1>(x, y) }")
    assert checks(module) == ["N - M"]
    with pytest.raises(InputError, match="differ"):
        evaluate(module, {"x": np.zeros((2, 2), np.float32), "y": np.zeros((3, 3), np.float32)})


def test_a_reshape_that_may_not_fit_is_checked() -> None:
    module = imported("(float[N, 2] x) => (float[a, 3] y) <int64[2] s = {-1, 3}> { y = Reshape(x, s) }")
    assert sizes(module) == "2 * N floordiv 3" or "floordiv 3" in sizes(module)
    assert evaluate(module, {"x": np.zeros((3, 2), np.float32)})["y"].shape == (2, 3)
    with pytest.raises(InputError):
        evaluate(module, {"x": np.zeros((2, 2), np.float32)})


def test_bounds_of_int64_stand_beside_sizes() -> None:
    module = imported("""(float[N, M] x) => (float[a, b] y)
        <int64[2] zero = {0, 0}, int64[1] far = {9223372036854775807}> {
        n = Shape<end = 1>(x)  e = Concat<axis = 0>(n, far)  y = Slice(x, zero, e) }""")
    assert sizes(module) == "N, M" and operators(module) == []


def test_a_range_of_a_size() -> None:
    module = imported("""(float[N] x) => (int64[N] y) <int64 zero = {0}, int64 one = {1}> {
        n = Size(x)  y = Range(zero, n, one) }""")
    assert sizes(module) == "N"


def test_known_branches_are_inlined() -> None:
    module = imported("""(float[N, 4] x) => (float[N, 4] y) <int64[1] four = {4}> {
        n = Shape<start = 1>(x)  c = Equal(n, four)
        y = If(c) <then_branch = a () => (float[N, 4] p) { p = Relu(x) },
                   else_branch = b () => (float[N, 4] q) { q = Exp(x) }>
    }""")
    assert operators(module) == ["graph.relu"]


def test_dead_nodes_are_not_looked_at() -> None:
    assert operators(imported("(float[N] x) => (float[N] y) { z = NonZero(x)  y = Relu(x) }")) == ["graph.relu"]


def test_nodes_in_another_order_are_sorted() -> None:
    module = imported("(float[N] x) => (float[N] y) { y = Exp(t)  t = Relu(x) }")
    assert operators(module) == ["graph.relu", "graph.exp"]


@pytest.mark.parametrize(
    "graph",
    [
        "(float[2] x, float[3] y) => (float[2] z) { z = Add(x, y) }",
        "(float[2, 3] x) => (float[2] z) <int64[1] a = {1}> { z = Squeeze(x, a) }",
        "(float[2, 3] x) => (float[2] z) <int64[2] s = {4, -1}> { z = Reshape(x, s) }",
        "(float[2, 3] x) => (float[2] z) <int64[2] s = {-1, -1}> { z = Reshape(x, s) }",
        "(float[2, 3] x, float[2, 3] y) => (float[2, 2] z) { z = MatMul(x, y) }",
    ],
)
def test_sizes_that_cannot_be_are_the_models_fault(graph: str) -> None:
    with pytest.raises(ModelError) as caught:
        imported(graph)
    assert "z" in str(caught.value) or caught.value.node
