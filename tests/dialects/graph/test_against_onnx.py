"""The reference meaning of every operator against ONNX Runtime, or ONNX's own reference where that lacks the types."""

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ircc.dialects.graph import BY_NAME, OPERATORS, GraphOp, binary, movement, unary
from ircc.dialects.graph.data import Constant
from ircc.ir.evaluator import Environment, bind_symbols, main_function, names_of
from ircc.ir.types import SMALL_DTYPES, dtype_of
from ircc.testing.graph_builder import type_of
from ircc.testing.graph_programs import random_graph, random_inputs
from ircc.testing.graph_recipes import RECIPES

OPSET = 24  # the newest that both know
OTHER_OPSET = {"BitCast": 26, "CumProd": 26, "GlobalLpPool": 18}
NOT_IN_ONNX = {"SizesOf", "SuppressOverlaps", "Take", "TreeLeaves"}  # operators of the compiler's own

Source = SSAValue | np.ndarray | None


@dataclass
class Node:
    """An ONNX node: operands that are values of the module or constants, and attributes."""

    operator: str
    inputs: list[Source]
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


def int64(values: Any) -> np.ndarray:
    return np.asarray(values, np.int64)


def as_inputs(*names: str) -> Callable[[Node, dict[str, Any]], None]:
    """Properties that are operands in ONNX, in their order; absent ones are left out."""

    def move(node: Node, _: dict[str, Any]) -> None:
        for name in names:
            value = node.attributes.pop(name, None)
            node.inputs.append(None if value is None else int64(value))

    return move


def renamed(**names: str) -> Callable[[Node, dict[str, Any]], None]:
    def rename(node: Node, _: dict[str, Any]) -> None:
        for old, new in names.items():
            node.attributes[new] = node.attributes.pop(old)

    return rename


def pool(node: Node, _: dict[str, Any]) -> None:
    node.attributes["kernel_shape"] = node.attributes.pop("kernel")
    node.attributes.pop("indices", None)


def slices(node: Node, _: dict[str, Any]) -> None:
    starts, sizes, steps = (node.attributes.pop(n) for n in ("starts", "sizes", "steps"))
    ends = [a + n * s for a, n, s in zip(starts, sizes, steps, strict=True)]
    ends = [-(2**62) if e < 0 else e for e in ends]
    bounds = [(a, e) if n else (0, 0) for a, e, n in zip(starts, ends, sizes, strict=True)]
    node.inputs += [int64([a for a, _ in bounds]), int64([e for _, e in bounds])]
    node.inputs += [int64(range(len(steps))), int64(steps)]


def pad(node: Node, _: dict[str, Any]) -> None:
    node.inputs.insert(1, int64(node.attributes.pop("pads")))


def resize(node: Node, _: dict[str, Any]) -> None:
    sizes, scales, roi = (node.attributes.pop(n, None) for n in ("sizes", "scales", "roi"))
    node.inputs.append(None if roi is None else np.asarray(roi, np.float32))
    node.inputs.append(None if scales is None else np.asarray(scales, np.float32))
    node.inputs.append(int64(sizes) if scales is None else None)


def to_type(name: str) -> Callable[[Node, dict[str, Any]], None]:
    def rename(node: Node, properties: dict[str, Any]) -> None:
        node.attributes.pop("to")
        node.attributes[name] = helper.np_dtype_to_tensor_dtype(dtype_of(properties["to"]))

    return rename


def one_hot(node: Node, _: dict[str, Any]) -> None:
    node.inputs.insert(1, int64(node.attributes.pop("depth")))


def top_k(node: Node, _: dict[str, Any]) -> None:
    node.inputs.append(int64([node.attributes.pop("k")]))


def constant(node: Node, properties: dict[str, Any]) -> None:
    node.attributes = {"value": numpy_helper.from_array(properties["array"])}


SPECIAL: dict[str, Callable[[Node, dict[str, Any]], None]] = {
    "Cast": to_type("to"), "BitCast": to_type("to"), "EyeLike": to_type("dtype"),
    "Gemm": renamed(trans_a="transA", trans_b="transB"),
    "MaxPool": pool, "AveragePool": pool, "LpPool": pool, "Slice": slices, "Pad": pad, "Resize": resize,
    "Reshape": as_inputs("shape"), "Expand": as_inputs("shape"), "Tile": as_inputs("repeats"),
    "Split": as_inputs("sizes"), "Trilu": as_inputs("k"), "TopK": top_k, "CumSum": as_inputs("axis"),
    "CumProd": as_inputs("axis"), "OneHot": one_hot, "Constant": constant,
    **{name: as_inputs("axes") for name in BY_NAME if name.startswith("Reduce")},
}  # fmt: skip


def plain(value: Any, env: Environment) -> Any:
    """A property as ONNX has it: sizes as numbers, flags as integers."""
    match value:
        case bool():
            return int(value)
        case tuple():
            return [plain(v, env) for v in value]
        case int() | float() | str():
            return value
        case _ if hasattr(value, "evaluate"):
            return env.size(value)
        case _:
            return value


def exported(op: GraphOp, env: Environment) -> Node:
    properties = {k: op.get(k) for k in op.properties if not k.endswith("SegmentSizes")}
    node = Node(type(op).__name__, list(op.inputs), {k: plain(v, env) for k, v in properties.items()})
    if isinstance(op, Constant):
        properties["array"] = op.array
    if node.operator == "Reshape":
        node.attributes["allowzero"] = 1
    if node.operator == "Range":
        start, delta = (env.values[v].reshape(()) for v in op.operands)
        step = delta or delta.dtype.type(1)
        size = env.size(op.get("size"))
        if delta == 0:
            raise NoJudge  # ONNX has no such range
        limit = start + step * size if start.dtype.kind in "iu" else start + step * (size - 0.5)
        return Node("Range", [start, np.asarray(limit if size else start, start.dtype), delta])
    if node.operator.startswith("Reduce"):
        node.attributes["noop_with_empty_axes"] = 1
    if node.operator == "Transpose" and not node.attributes["perm"]:
        node.attributes = {}
    if edit := SPECIAL.get(node.operator):
        edit(node, properties)
    return node


def model_of(op: GraphOp, node: Node, env: Environment) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of this node alone, and what its inputs are."""
    names: list[str] = []
    feeds: dict[str, np.ndarray] = {}
    constants: list[TensorProto] = []
    for i, source in enumerate(node.inputs):
        names.append("" if source is None else f"i{i}")
        if isinstance(source, SSAValue):
            feeds[f"i{i}"] = env.values[source]
        elif source is not None:
            constants.append(numpy_helper.from_array(source, f"i{i}"))
    while names and not names[-1]:
        names.pop()
    outputs = [f"o{i}" for i in range(len(op.results))]
    proto = helper.make_node(node.operator, names, outputs, **node.attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    results = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(type_of(r).dtype), None)
        for n, r in zip(outputs, op.results, strict=True)
    ]
    graph = helper.make_graph([proto], "one", infos, results, constants)
    opset = OTHER_OPSET.get(node.operator, OPSET)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), feeds


def runtime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """ONNX Runtime's results, None where it has no kernel."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(found) for found in session.run(None, feeds)]
    except Exception:
        return None


def reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """The results of ONNX's reference, None where it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [np.asarray(r) for r in ReferenceEvaluator(model).run(None, feeds)]
    except Exception:
        return None


# relative and absolute tolerance by element type; sums here have at most some hundred terms of magnitude 1 to 10
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 4e-2}


# what the judges compute in float32, whatever the type
LOOSE = {"Erf", "Gelu", "HardSwish", "Shrink", "Resize"}


def agree(operator: str, found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype in SMALL_DTYPES:
        found, expected = found.view(np.uint8), expected.view(np.uint8)
    if found.dtype.kind in "iub":
        return np.array_equal(found, expected)
    bound = TOLERANCE["float32" if operator in LOOSE and found.dtype.itemsize == 8 else found.dtype.name]
    a, b = found.astype(np.float64), expected.astype(np.float64)
    return np.allclose(a, b, rtol=bound, atol=bound, equal_nan=True)


def environment(module: ModuleOp, inputs: dict[str, np.ndarray]) -> Environment:
    main = main_function(module)
    args = main.body.block.args
    arrays = [inputs[n] for n in names_of(main.arg_attrs, len(args), "input_")]
    env = Environment(bind_symbols([type_of(a) for a in args], arrays, [str(i) for i in range(len(args))]))
    env.values.update(zip(args, arrays, strict=True))
    return env


JUDGES: dict[str, Sequence[Any]] = {
    "Constant": (reference,),  # the runtime keeps elements of 4 bits in pairs
    "ConvTranspose": (runtime,),  # the reference gives every group the first bias
    "GlobalMaxPool": (runtime,),  # the reference's shapes are right for rank 4 only
    "LRN": (runtime,),  # the reference normalises as many channels as there are images
    "LpNormalization": (runtime,),  # the reference forgets the sign for p = 1
    "LpPool": (runtime,),  # the reference scales windows that ceil_mode cuts off
    "MaxPool": (runtime,),  # the reference's windows without any element are 0
    "Sign": (reference,),  # the runtime's float16 makes 0 of NaN
}
# the runtime extrapolates differently when antialiasing, the reference rounds positions just below a whole number up
ONE_IS_ENOUGH = {"Resize"}


class NoJudge(Exception):
    """Nobody can say what is right: neither implements the operator for these types and sizes."""


def compare(operator: str, rng: random.Random, special: bool) -> str | None:
    """Draw the operator once and compare: what disagrees, or None. Raises NoJudge."""
    module = random_graph(rng, recipes={operator: RECIPES[operator]}, length=(1, 1))
    env = environment(module, random_inputs(module, rng, special=special))
    *before, op = (o for o in main_function(module).body.block.ops if isinstance(o, GraphOp))
    for o in (*before, op):
        o.interpret(env)
    model, feeds = model_of(op, exported(op, env), env)
    found = [env.values[r] for r in op.results]
    empty = any(a.size == 0 for a in (*feeds.values(), *found))  # on some of which ONNX Runtime crashes
    judges = [j for j in JUDGES.get(operator, (runtime, reference)) if not (empty and j is runtime)]
    if operator == "MaxPool" and np.isinf(found[0].astype(np.float32)).any():
        raise NoJudge  # a window without any element: ONNX does not say
    if operator == "AveragePool" and not special and np.isnan(found[0].astype(np.float32)).any():
        raise NoJudge  # the mean of no element at all: NaN for the reference, 0 for the runtime
    difference: str | None = None
    for judge in judges:
        expected = judge(model, feeds)
        if expected is None:
            continue
        if operator.startswith("Reduce") and judge is reference:  # which lets small integers grow
            expected = [e.astype(f.dtype) for e, f in zip(expected, found, strict=True)]
        if all(agree(operator, a, b) for a, b in zip(found, expected, strict=True)):
            return None
        difference = f"{judge.__name__}\n{module}\n{feeds}\nours: {found}\ntheirs: {expected}"
        if operator not in ONE_IS_ENOUGH:
            break
    if difference is not None:
        return difference
    raise NoJudge


EVERY_CHECK: Any = list(HealthCheck)
few = settings(max_examples=max(settings().max_examples // 8, 1), suppress_health_check=EVERY_CHECK)


def check(operator: str, rng: random.Random, special: bool) -> None:
    try:
        difference = compare(operator, rng, special)
    except NoJudge:
        reject()
    assert difference is None, difference


@pytest.mark.parametrize("operator", sorted(set(BY_NAME) - NOT_IN_ONNX))
@few
@given(seed=st.integers(0, 2**32 - 1))
def test_value(operator: str, seed: int) -> None:
    check(operator, random.Random(seed), special=False)


# NaN and infinities, where the judges agree among themselves: in sums and extremes of many elements they do not, nor on
# bounds of Clip that are NaN; and PRelu of -0 with an infinite slope is -0 by ONNX's formula, NaN by its reference
TOUCHES_ELEMENTS = {
    op.__name__
    for family in (unary, binary, movement)
    for op in OPERATORS
    if op.__module__ == family.__name__ and op.__name__ not in ("Clip", "PRelu")
}


@pytest.mark.parametrize("operator", sorted(TOUCHES_ELEMENTS))
@few
@given(seed=st.integers(0, 2**32 - 1))
def test_value_of_nan_and_infinity(operator: str, seed: int) -> None:
    check(operator, random.Random(seed), special=True)


def test_every_operator_has_a_recipe() -> None:
    assert set(RECIPES) == set(BY_NAME)
