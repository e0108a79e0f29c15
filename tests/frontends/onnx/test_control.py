"""If, Loop and Scan against ONNX Runtime, down to compiled code: captured values, nesting, directions, conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import ircc
from ircc.compiler import lower
from ircc.dialects.reference import evaluate as interpreted
from ircc.errors import InputError, NeedsPython

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node, info, graph = helper.make_node, helper.make_tensor_value_info, helper.make_graph
ROWS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def model_of(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **constants: Any) -> ModelProto:
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    made = graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def agrees(model: ModelProto, **feeds: Any) -> list[Any]:
    """What the compiled model gives, which is what ONNX Runtime gives."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = [np.asarray(found) for found in session.run(None, feeds)]
    found = list(ircc.compile(model, threads=1).run(feeds).values())
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    return found


def operators(model: ModelProto) -> list[str]:
    """The control operations of the imported model."""
    return [op.name for op in lower(model, "graph-ir").walk() if op.name.startswith("control.")]


# ---- If


def branches(then: Sequence[Any], otherwise: Sequence[Any], result: str = "y") -> dict[str, Any]:
    made = [graph(nodes, "b", [], [info(result, FLOAT, None)]) for nodes in (then, otherwise)]
    return {"then_branch": made[0], "else_branch": made[1]}


@pytest.mark.parametrize("taken", [True, False])
def test_if_captures_and_has_weights_of_its_own(taken: bool) -> None:
    parts = branches([node("Add", ["x", "w"], ["y"])], [node("Mul", ["x", "x"], ["t"]), node("Neg", ["t"], ["y"])])
    model = model_of(
        [node("If", ["c"], ["z"], **parts)], [info("c", BOOL, [1]), info("x", FLOAT, ["N", 4])],
        [info("z", FLOAT, None)], w=np.ones(4, np.float32),
    )  # fmt: skip
    agrees(model, c=np.array([taken]), x=ROWS)


@pytest.mark.parametrize("taken", [True, False])
def test_if_with_results_of_different_sizes(taken: bool) -> None:
    parts = branches([node("Concat", ["x", "x"], ["y"], axis=0)], [node("Identity", ["x"], ["y"])])
    model = model_of(
        [node("If", ["c"], ["z"], **parts), node("Neg", ["z"], ["n"])],
        [info("c", BOOL, []), info("x", FLOAT, ["N", 4])], [info("z", FLOAT, None), info("n", FLOAT, None)],
    )  # fmt: skip
    agrees(model, c=np.array(taken), x=ROWS)


def test_a_check_in_a_branch_holds_only_where_it_is_taken() -> None:
    parts = branches([node("Add", ["x", "w"], ["y"])], [node("Identity", ["x"], ["y"])])
    model = model_of(
        [node("If", ["c"], ["z"], **parts)], [info("c", BOOL, []), info("x", FLOAT, ["N"])],
        [info("z", FLOAT, None)], w=np.ones(3, np.float32),
    )  # fmt: skip
    agrees(model, c=np.array(False), x=ROWS[0])
    agrees(model, c=np.array(True), x=ROWS[0, :3])
    with pytest.raises(ircc.Error):
        ircc.compile(model, threads=1).run({"c": np.array(True), "x": ROWS[0]})


def test_a_squeeze_that_depends_on_a_size() -> None:
    parts = branches([node("Squeeze", ["x", "axis"], ["y"])], [node("Identity", ["x"], ["y"])])
    model = model_of(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "axis"], ["k"]), node("Equal", ["k", "axis"], ["c"]),
         node("If", ["c"], ["z"], **parts)],
        [info("x", FLOAT, ["M", "N"])], [info("z", FLOAT, None)], axis=np.array([1], np.int64),
    )  # fmt: skip
    agrees(model, x=ROWS[:, :1])
    with pytest.raises(ircc.Error, match="first branch of an If"):
        ircc.compile(model, threads=1).run({"x": ROWS})


# ---- Loop


def body(nodes: Sequence[Any], states: Sequence[Any], outputs: Sequence[Any], going: str = "go") -> Any:
    """A body with inputs `i`, `go` and the states."""
    inputs = [info("i", INT, []), info("go", BOOL, []), *states]
    return graph(nodes, "b", inputs, [info(going, BOOL, []), *outputs])


def summing() -> Any:
    nodes = [node("Gather", ["x", "i"], ["row"], axis=0), node("Add", ["s", "row"], ["s1"]),
             node("Identity", ["go"], ["go1"]), node("Mul", ["s1", "row"], ["o"])]  # fmt: skip
    return body(nodes, [info("s", FLOAT, [4])], [info("s1", FLOAT, [4]), info("o", FLOAT, [4])], "go1")


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_loop_over_rows(rows: int) -> None:
    model = model_of(
        [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "zero"], ["n"]),
         node("Loop", ["n", "", "s0"], ["s", "ys"], body=summing())],
        [info("x", FLOAT, ["N", 4]), info("s0", FLOAT, [4])], [info("s", FLOAT, None), info("ys", FLOAT, None)],
        zero=np.array(0),
    )  # fmt: skip
    agrees(model, x=ROWS[:rows], s0=ROWS[0])


@pytest.mark.parametrize("going", [True, False])
@pytest.mark.parametrize("most", [2, 10])
def test_loop_until(going: bool, most: int) -> None:
    nodes = [node("Mul", ["s", "two"], ["s1"]), node("ReduceSum", ["s1"], ["t"], keepdims=0),
             node("Less", ["t", "limit"], ["go1"]), node("Neg", ["s1"], ["o"])]  # fmt: skip
    made = body(nodes, [info("s", FLOAT, [4])], [info("s1", FLOAT, [4]), info("o", FLOAT, [4])], "go1")
    model = model_of(
        [node("Loop", ["most", "c", "x"], ["s", "ys"], body=made)], [info("x", FLOAT, [4]), info("c", BOOL, [])],
        [info("s", FLOAT, None), info("ys", FLOAT, None)],
        most=np.array(most), two=np.float32(2), limit=np.float32(100),
    )  # fmt: skip
    agrees(model, x=np.abs(ROWS[0]), c=np.array(going))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_counter_is_no_state(rows: int) -> None:
    """A while loop over a counter, as TensorFlow exports it, has a number of iterations that the sizes tell."""
    nodes = [node("Add", ["k", "one"], ["k1"]), node("Less", ["k1", "n"], ["go1"]),
             node("Gather", ["x", "k"], ["row"], axis=0), node("Add", ["s", "row"], ["s1"]),
             node("Identity", ["s1"], ["o"])]  # fmt: skip
    made = body(
        nodes, [info("k", INT, []), info("s", FLOAT, [4])],
        [info("k1", INT, []), info("s1", FLOAT, [4]), info("o", FLOAT, [4])], "go1",
    )  # fmt: skip
    model = model_of(
        [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "zero"], ["n"]), node("Less", ["zero", "n"], ["c"]),
         node("Loop", ["forever", "c", "zero", "s0"], ["k", "s", "ys"], body=made)],
        [info("x", FLOAT, ["N", 4]), info("s0", FLOAT, [4])],
        [info("k", INT, None), info("s", FLOAT, None), info("ys", FLOAT, None)],
        zero=np.array(0), one=np.array(1), forever=np.array(2**62),
    )  # fmt: skip
    assert "to N states (%s0)" in str(lower(model, "graph-ir"))
    agrees(model, x=ROWS[:rows], s0=ROWS[0])


def test_states_that_change_places() -> None:
    nodes = [node("Identity", ["b"], ["a1"]), node("Add", ["a", "b"], ["b1"]), node("Identity", ["go"], ["go1"])]
    states = [info("a", FLOAT, [4]), info("b", FLOAT, [4])]
    made = body(nodes, states, [info("a1", FLOAT, [4]), info("b1", FLOAT, [4])], "go1")
    model = model_of(
        [node("Loop", ["n", "", "x", "y"], ["p", "q"], body=made)], [info("x", FLOAT, [4]), info("y", FLOAT, [4])],
        [info("p", FLOAT, None), info("q", FLOAT, None)], n=np.array(7),
    )  # fmt: skip
    agrees(model, x=ROWS[0], y=ROWS[1])


def test_nested() -> None:
    """A loop and an If in a loop; the inner ones take values from all around them."""
    inner = graph(
        [node("Identity", ["go2"], ["go3"]), node("Add", ["s2", "row"], ["s3"])], "inner",
        [info("j", INT, []), info("go2", BOOL, []), info("s2", FLOAT, [4])],
        [info("go3", BOOL, []), info("s3", FLOAT, [4])],
    )  # fmt: skip
    parts = branches([node("Neg", ["row"], ["y"])], [node("Add", ["s", "x0"], ["y"])])
    nodes = [node("Gather", ["x", "i"], ["row"], axis=0), node("Loop", ["three", "", "s"], ["s1"], body=inner),
             node("ReduceSum", ["row"], ["total"], keepdims=0), node("Greater", ["total", "none"], ["positive"]),
             node("If", ["positive"], ["o"], **parts), node("Identity", ["go"], ["go1"])]  # fmt: skip
    made = body(nodes, [info("s", FLOAT, [4])], [info("s1", FLOAT, [4]), info("o", FLOAT, [4])], "go1")
    model = model_of(
        [node("Neg", ["s0"], ["x0"]), node("Loop", ["three", "", "s0"], ["s", "ys"], body=made)],
        [info("x", FLOAT, [3, 4]), info("s0", FLOAT, [4])], [info("s", FLOAT, None), info("ys", FLOAT, None)],
        three=np.array(3), none=np.float32(0),
    )  # fmt: skip
    assert sorted(operators(model)) == ["control.if", "control.loop", "control.loop"]
    agrees(model, x=ROWS, s0=ROWS[0])


@pytest.mark.parametrize("trips", [0, 1, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_states_that_grow(axis: int, trips: int) -> None:
    """By a row of their own in each iteration; the other state has its turns with them, and one more axis grows."""
    nodes = [node("Neg", ["s"], ["m"]), node("Gather", ["m", "zero"], ["first"], axis=axis),
             node("Concat", ["s", "first"], ["s1"], axis=axis), node("Concat", ["x", "t"], ["t1"], axis=axis),
             node("ReduceSum", ["s1"], ["o"], keepdims=0), node("Identity", ["go"], ["go1"])]  # fmt: skip
    made = body(
        nodes, [info("s", FLOAT, None), info("t", FLOAT, None)],
        [info("s1", FLOAT, None), info("t1", FLOAT, None), info("o", FLOAT, [])], "go1",
    )  # fmt: skip
    model = model_of(
        [node("Loop", ["n", "", "x", "x"], ["p", "q", "os"], body=made), node("Add", ["p", "p"], ["r"])],
        [info("x", FLOAT, ["N", 4]), info("n", INT, [])], [info(name, FLOAT, None) for name in ("p", "q", "r", "os")],
        zero=np.array([0]),
    )  # fmt: skip
    assert ircc.compile(model, threads=1).native
    for rows in (1, 3):
        feeds = {"x": ROWS[:rows], "n": np.array(trips)}
        found = agrees(model, **feeds)
        for level in ("graph-ir", "tensor-ir", "loop-ir"):
            for a, b in zip(interpreted(lower(model, level), feeds).values(), found, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [0, 4, 100])
def test_a_state_that_grows_until(limit: int) -> None:
    """Decoding: what was found is put behind what there is, until the end is found. Captured, it is as it is then."""
    nodes = [node("ReduceMax", ["s"], ["top"], axes=[1], keepdims=1), node("Add", ["top", "one"], ["next"]),
             node("Concat", ["s", "next"], ["s1"], axis=1), node("ReduceMax", ["next"], ["m"], keepdims=0),
             node("Less", ["m", "limit"], ["go1"])]  # fmt: skip
    made = body(nodes, [info("s", INT, None)], [info("s1", INT, None)], "go1")
    model = model_of(
        [node("Loop", ["n", "", "s0"], ["s"], body=made), node("Shape", ["s"], ["k"])],
        [info("s0", INT, ["B", 2]), info("limit", INT, [])], [info("s", INT, None), info("k", INT, None)],
        n=np.array(20), one=np.array(1),
    )  # fmt: skip
    assert ircc.compile(model, threads=1).native
    agrees(model, s0=np.array([[1, 2], [0, 1], [3, 3]]), limit=np.array(limit))


def loop_of(nodes: Sequence[Any], trips: str = "n", condition: str = "go1") -> ModelProto:
    """A loop whose state `s` begins as x; `c` is captured."""
    made = body(nodes, [info("s", FLOAT, None)], [info("s1", FLOAT, None)], condition)
    return model_of(
        [node("Loop", [trips, "", "x"], ["p"], body=made)], [info("x", FLOAT, [4]), info("c", BOOL, [])],
        [info("p", FLOAT, None)], n=np.array(2), zero=np.float32(0), five=np.array(50),
    )  # fmt: skip


NEEDS_PYTHON = {
    "changes its sizes": loop_of([node("Concat", ["s", "s"], ["s1"], axis=0), node("Identity", ["go"], ["go1"])]),
    "state changes its sizes": loop_of(
        [node("Concat", ["s", "x"], ["s1"], axis=0), node("Size", ["s1"], ["k"]), node("Neg", ["s1"], ["m"]),
         node("ReduceMax", ["m"], ["top"], keepdims=0), node("Less", ["k", "five"], ["few"]),
         node("Less", ["top", "zero"], ["below"]), node("Or", ["few", "below"], ["go1"])], trips="",
    ),
    r"from .*\[4\].* to .*count": loop_of(
        [node("Greater", ["s", "zero"], ["m"]), node("Compress", ["s", "m"], ["s1"]), node("Identity", ["go"], ["go1"])]
    ),
    "depends on data in it": model_of(
        [node("If", ["c"], ["p"], **branches(
            [node("Greater", ["x", "zero"], ["m"]), node("Compress", ["x", "m"], ["y"])], [node("Neg", ["x"], ["y"])],
        ))], [info("x", FLOAT, [4]), info("c", BOOL, [])], [info("p", FLOAT, None)], zero=np.float32(0),
    ),
    "of 0 and of 1 dimensions": model_of(
        [node("If", ["c"], ["p"], **branches(
            [node("ReduceMax", ["x"], ["y"], keepdims=0)], [node("Neg", ["x"], ["y"])],
        ))], [info("x", FLOAT, [4]), info("c", BOOL, [])], [info("p", FLOAT, None)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", NEEDS_PYTHON)
@pytest.mark.parametrize("taken", [True, False])
def test_sizes_that_nothing_native_can_hold(why: str, taken: bool) -> None:
    model = NEEDS_PYTHON[why]
    with pytest.raises(NeedsPython, match=why):
        lower(model, "graph-ir")
    feeds = {"x": ROWS[0], "c": np.array(taken)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted: Any = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})[0]
    found = ircc.compile(model, threads=1).run(feeds)["p"]
    assert found.shape == wanted.shape and np.allclose(found, wanted)


@pytest.mark.parametrize("trips", [0, 3])
def test_what_is_the_same_in_each_iteration_is_computed_once(trips: int) -> None:
    nodes = [node("Transpose", ["w"], ["t"], perm=[1, 0]), node("MatMul", ["t", "w"], ["v"]),
             node("MatMul", ["s", "v"], ["m"]), node("Tanh", ["m"], ["s1"]),
             node("Identity", ["go"], ["go1"])]  # fmt: skip
    made = body(nodes, [info("s", FLOAT, [3, 4])], [info("s1", FLOAT, [3, 4])], "go1")
    model = model_of(
        [node("Loop", ["n", "", "x"], ["p"], body=made)],
        [info("x", FLOAT, [3, 4]), info("w", FLOAT, [4, 4]), info("n", INT, [])], [info("p", FLOAT, [3, 4])],
    )  # fmt: skip
    before, within = str(lower(model, "loop-ir")).split("loop.program")[1].split("loop.while")
    assert "MatMul_2" in within
    assert "MatMul_1" in before and "MatMul_1" not in within
    agrees(model, x=ROWS, w=ROWS.T @ ROWS, n=np.array(trips))


def test_a_size_that_comes_from_around_a_loop_is_taken_to_stay() -> None:
    """It is data, but the same in each iteration: that it is the state's size is checked."""
    nodes = [node("Neg", ["s"], ["m"]), node("Reshape", ["m", "k"], ["s1"]), node("Identity", ["go"], ["go1"])]
    model = loop_of(nodes)
    model.graph.input.append(info("k", INT, [1]))
    assert ircc.compile(model, threads=1).native
    feeds = {"x": ROWS[0], "c": np.array(True)}
    agrees(model, **feeds, k=np.array([-1]))
    with pytest.raises(InputError, match=r"sizes 4 and .* differ"):
        ircc.compile(model, threads=1).run({**feeds, "k": np.array([3])})


def test_a_trip_count_and_slices_that_are_data() -> None:
    nodes = [node("Unsqueeze", ["i", "zero1"], ["start"]), node("Add", ["start", "one"], ["end"]),
             node("Slice", ["x", "start", "end"], ["part"]), node("Add", ["s", "part"], ["s1"]),
             node("Identity", ["s1"], ["o"]), node("Identity", ["go"], ["go1"])]  # fmt: skip
    made = body(nodes, [info("s", FLOAT, [1])], [info("s1", FLOAT, [1]), info("o", FLOAT, [1])], "go1")
    model = model_of(
        [node("Loop", ["n", "go", "s0"], ["s", "ys"], body=made)],
        [info("n", INT, []), info("go", BOOL, []), info("s0", FLOAT, [1]), info("x", FLOAT, ["N"])],
        [info("s", FLOAT, None), info("ys", FLOAT, None)], zero1=np.array([0]), one=np.array([1]),
    )  # fmt: skip
    for trips in (0, 1, 4):
        agrees(model, n=np.array(trips), go=np.array(True), s0=ROWS[0, :1], x=ROWS[1])


@pytest.mark.parametrize("rows", [1, 3])
def test_a_squeeze_at_the_end_gives_the_shape_of_the_run(rows: int) -> None:
    model = model_of(
        [node("Squeeze", ["x"], ["y"]), node("Mul", ["y", "two"], ["z"]), node("Sigmoid", ["z"], ["w"])],
        [info("x", FLOAT, ["N", 1, 4])], [info("w", FLOAT, None)], two=np.float32(2),
    )  # fmt: skip
    agrees(model, x=ROWS[:rows].reshape(rows, 1, 4))
    further = model_of(
        [node("Squeeze", ["x"], ["y"]), node("Shape", ["y"], ["w"])],
        [info("x", FLOAT, ["N", 1, 4])], [info("w", INT, None)],
    )  # fmt: skip
    if rows > 1:
        agrees(further, x=ROWS.reshape(3, 1, 4))
    else:
        with pytest.raises(ircc.Error, match="Squeeze without axes"):
            ircc.compile(further, threads=1).run({"x": ROWS[:1].reshape(1, 1, 4)})


# ---- Scan


@pytest.mark.parametrize("attributes", [
    {}, {"scan_input_directions": [1, 0], "scan_output_directions": [0, 1]},
    {"scan_input_axes": [1, 0], "scan_output_axes": [1, 0]},
    {"scan_input_axes": [-1, 0], "scan_input_directions": [1, 1], "scan_output_axes": [0, -1],
     "scan_output_directions": [1, 1]},
])  # fmt: skip
def test_scan(attributes: dict[str, Any]) -> None:
    nodes = [node("Add", ["s", "a"], ["s1"]), node("Mul", ["s1", "b"], ["o"]), node("Identity", ["s"], ["p"])]
    given, results = ([info(name, FLOAT, [4]) for name in names] for names in (("s", "a", "b"), ("s1", "o", "p")))
    made = graph(nodes, "b", given, results)
    turned = attributes.get("scan_input_axes", [0])[0] != 0
    model = model_of(
        [node("Scan", ["s0", "x", "y"], ["s", "os", "ps"], body=made, num_scan_inputs=2, **attributes)],
        [info("s0", FLOAT, [4]), info("x", FLOAT, [4, "N"] if turned else ["N", 4]), info("y", FLOAT, ["N", 4])],
        [info(name, FLOAT, None) for name in ("s", "os", "ps")],
    )  # fmt: skip
    agrees(model, s0=ROWS[0], x=np.ascontiguousarray(ROWS.T) if turned else ROWS, y=ROWS[::-1].copy())
