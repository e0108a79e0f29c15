"""How to draw If, Loop and Scan, and sequences: a sequence is made and taken apart within one body, because only
tensors go from node to node.

Bodies take values from around them by name; `captures` among the attributes says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .draw import DTYPES, Array, Draw, Variable, is_float
from .recipes import Drawn, Types, recipe

KINDS = [DTYPES["float32"], DTYPES["float32"], DTYPES["float64"], DTYPES["int64"], DTYPES["int32"]]
ONE = ("Neg", "Abs", "Identity")
SMOOTH = (*ONE, "Tanh", "Sigmoid", "Relu", "Softsign")
TWO = ("Add", "Sub", "Mul", "Max")


@dataclass
class Body:
    """Nodes and constants of a body under construction."""

    d: Draw
    nodes: list[NodeProto] = field(default_factory=list[NodeProto])
    constants: list[TensorProto] = field(default_factory=list[TensorProto])

    def put(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = self.d.named("b")
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = self.d.named("b")
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def formula(self, names: Sequence[str], kind: Any) -> str:
        """A value of the shape of the first: by operators that do not jump, of values that broadcast to it."""
        now = names[0]
        for _ in range(self.d.rng.randint(1, 3)):
            if self.d.flip(0.4):
                now = self.put(self.d.rng.choice(SMOOTH if is_float(kind) else ONE), now)
            else:
                other = self.d.rng.choice([*names, self.constant(self.d.rng.randint(-2, 2), kind)])
                now = self.put(self.d.rng.choice(TWO), now, other)
        return now

    def graph(self, inputs: Sequence[Any], outputs: Sequence[tuple[str, Any]]) -> GraphProto:
        infos = [helper.make_tensor_value_info(name, code(kind), None) for name, kind in outputs]
        return helper.make_graph(self.nodes, self.d.named("body"), list(inputs), infos, self.constants)


def code(kind: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def given(name: str, array: Array) -> Any:
    return helper.make_tensor_value_info(name, code(array.dtype), array.shape)


def values(d: Draw, x: Variable, count: int) -> list[Variable]:
    """x, and others that broadcast to its shape."""
    shapes = (x.array.shape, [], [1][: x.array.ndim])
    return [x, *(d.value([x.array.dtype], shape=d.rng.choice(shapes)) for _ in range(count))]


def elementwise(d: Draw, found: Sequence[Variable]) -> GraphProto:
    b = Body(d)
    kind = found[0].array.dtype
    return b.graph([], [(b.formula([v.name for v in found], kind), kind)])


def sequence(d: Draw, found: Sequence[Variable]) -> GraphProto:
    """A sequence of parts of x, changed, and put together again: the result has x's rank, and a size of its own."""
    b, x = Body(d), found[0]
    at = d.rng.randrange(x.array.ndim)
    size = x.array.shape[at]
    sizes = [1] * size if d.flip() else [size - size // 2, size // 2]
    parts = b.put("SplitToSequence", x.name, *([] if sizes == [1] * size else [b.constant(sizes)]), axis=at)
    length = len(sizes)
    if d.flip():
        parts = b.put("SequenceInsert", parts, x.name, *([b.constant(d.rng.randint(0, length))] if d.flip() else []))
        length += 1
    if length > 1 and d.flip():
        parts = b.put("SequenceErase", parts, *([b.constant(d.rng.randint(-length, length - 1))] if d.flip() else []))
        length -= 1
    kind = x.array.dtype
    match d.rng.randint(0, 3):
        case 0:
            return b.graph([], [(b.put("SequenceAt", parts, b.constant(d.rng.randint(-length, length - 1))), kind)])
        case 1:
            again = b.put("SequenceConstruct", b.put("SequenceAt", parts, b.constant(0)), x.name)
            return b.graph([], [(b.put("ConcatFromSequence", again, axis=at), kind)])
        case 2:
            count = b.put("Cast", b.put("SequenceLength", parts), to=code(kind))
            return b.graph([], [(b.put("Add", x.name, count), kind)])
        case _:
            return b.graph([], [(b.put("ConcatFromSequence", parts, axis=at), kind)])


@recipe("If")
def either(d: Draw, types: Types, opset: int) -> Drawn:
    cond = d.value([DTYPES["bool"]], shape=d.rng.choice(([], [1])), exact=True)
    fine = opset >= 11 and d.flip(0.4)  # sequences came with opset 11
    x = d.value(KINDS, (1, 2, 3), low=1) if fine else d.value(KINDS, (0, 1, 2, 3))
    found = values(d, x, 1)
    body: Callable[[Draw, Sequence[Variable]], GraphProto] = sequence if fine else elementwise
    return [cond], {"then_branch": body(d, found), "else_branch": elementwise(d, found), "captures": found}


@recipe("Loop")
def loop(d: Draw, types: Types, opset: int) -> Drawn:
    """States keep their shape; the condition is of the count alone, so that no rounding decides it."""
    states = [d.value(KINDS, (0, 1, 2)) for _ in range(d.rng.randint(1, 2))]
    around = [values(d, v, 1)[1:] for v in states]
    trips = d.new([], np.int64, array=d.rng.randint(0 if d.zero else 1, 5), constant=0.5)
    b, count, cond = Body(d), d.named("b"), d.named("b")
    names = [d.named("b") for _ in states]
    inputs = [helper.make_tensor_value_info(count, code(np.int64), []), helper.make_tensor_value_info(cond, 9, [])]
    inputs += [given(n, v.array) for n, v in zip(names, states, strict=True)]
    goes_on = b.put("Less", count, b.constant(d.rng.randint(0, 4))) if d.flip(0.3) else b.put("Identity", cond)
    outputs: list[tuple[str, Any]] = [(goes_on, np.bool_)]
    scans: list[tuple[str, Any]] = []
    for name, state, more in zip(names, states, around, strict=True):
        kind = state.array.dtype
        local = [name, *(v.name for v in more)]
        if d.flip(0.3):
            local.append(b.put("Cast", count, to=code(kind)))
        made = b.formula(local, kind)
        if d.flip(0.2) and opset >= 11:
            branches = [Body(d), Body(d)]
            made = b.put("If", b.put("Equal", count, b.constant(1)), then_branch=branch(branches[0], made, kind),
                         else_branch=branch(branches[1], name, kind))  # fmt: skip
        outputs.append((made, kind))
        if d.flip(0.4):
            scans.append((b.formula(local, kind), kind))
    outputs += scans
    first = d.new([], np.bool_, array=True, constant=0.7) if d.flip() else None
    return [trips, first, *states], {
        "body": b.graph(inputs, outputs), "captures": [v for more in around for v in more], "outputs": len(outputs) - 1,
    }  # fmt: skip


def branch(b: Body, name: str, kind: Any) -> GraphProto:
    return b.graph([], [(b.formula([name], kind), kind)])


@recipe("Scan")
def scan(d: Draw, types: Types, opset: int) -> Drawn:
    length, b = d.rng.randint(1, 5), Body(d)
    states = [d.value(KINDS, (0, 1, 2)) for _ in range(d.rng.randint(0, 2))]
    scanned: list[Variable] = []
    axes = list[int]()
    for _ in range(d.rng.randint(1, 2)):
        shape = d.shape((0, 1, 2))
        axes.append(d.rng.randint(0, len(shape)))
        shape.insert(axes[-1], length)
        scanned.append(d.new(shape, d.dtype(KINDS)))
    rows = [np.take(v.array, 0, a) for v, a in zip(scanned, axes, strict=True)]
    local = [(d.named("b"), a) for a in (*(v.array for v in states), *rows)]
    outputs: list[tuple[str, Any]] = []
    for i, (name, array) in enumerate(local):
        fits = [n for n, a in local if a.dtype == array.dtype and a.shape in (array.shape, ())]
        if i < len(states) or d.flip(0.7) or not outputs:
            outputs.append((b.formula([name, *fits], array.dtype), array.dtype))
    attributes: dict[str, Any] = {"num_scan_inputs": len(scanned), "scan_input_axes": axes}
    if d.flip():
        attributes["scan_input_directions"] = [d.rng.randint(0, 1) for _ in scanned]
    if d.flip() and len(outputs) > len(states):
        attributes["scan_output_directions"] = [d.rng.randint(0, 1) for _ in outputs[len(states) :]]
    body = b.graph([given(n, a) for n, a in local], outputs)
    return [*states, *scanned], {**attributes, "body": body, "outputs": len(outputs)}
