"""Rules of operators about shapes and constants: values that are known before the run, and reshapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import ONE, ZERO, Expr, maximum, product
from ...ir.types import TensorType, element_of
from . import late
from .builder import Value, constant
from .node import Node, Rule
from .symbolic import LIMIT, Ratio, Undecided


def known_sizes(sizes: Sequence[Expr], shape: Sequence[int]) -> Value:
    """An int64 tensor of size expressions."""
    elements = np.empty(len(sizes), object)
    numbers = [s.constant for s in sizes]
    if None not in numbers:
        return constant(np.array(numbers, np.int64).reshape(shape))
    for i, size in enumerate(sizes):
        elements[i] = size
    return Value(TensorType.of(shape, element_of(np.int64)), elements.reshape(shape))


def shape_of(n: Node) -> Value:
    sizes = list(n.input(0).sizes)
    sizes = sizes[slice(n.attr("start", 0), n.attr("end"))]
    return known_sizes(sizes, [len(sizes)])


def size_of(n: Node) -> Value:
    return known_sizes([product(n.input(0).sizes)], [])


def constant_node(n: Node) -> Value:
    file, name = n.weight
    kinds: Mapping[str, object] = {
        "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64,
    }  # fmt: skip
    for attribute in n.attributes:
        if attribute == "value":
            return constant(n.required("value"), file=file, name=name)
        if attribute in kinds:
            return n.constant(n.required(attribute), kinds[attribute])
        if attribute.startswith("value_string"):
            raise UnsupportedError("it is a string, which ircc cannot compute with")
        if attribute == "sparse_value":
            raise UnsupportedError("it is sparse")
    raise ModelError("it has no value")


def constant_of_shape(n: Node) -> Value:
    value = n.attr("value")
    if value is not None and value.size != 1:
        raise ModelError(f"attribute value has {value.size} elements, not one")
    scalar = np.zeros((), np.float32) if value is None else value.reshape(())
    return filled(n, scalar, n.named(n.sizes(0, "the shape"), "d"))


def filled(n: Node, scalar: np.ndarray, shape: Sequence[Expr]) -> Value:
    """A tensor of this shape whose elements are all the scalar."""
    numbers = [s.constant for s in shape]
    if None not in numbers and math.prod(map(int, shape)) <= LIMIT and min(map(int, shape), default=0) >= 0:
        return n.constant(np.full([int(s) for s in shape], scalar, scalar.dtype))
    return n.emit("Expand", n.constant(scalar), shape=list(shape))


def arange(n: Node) -> Value:
    """Range: its length must be known, as a number or, for integers, as a size."""
    start, delta = n.input(0), n.input(2)
    if all(n.input(i).numbers is not None for i in range(3)):
        a, b, d = (n.numbers(i, "a bound").reshape(-1)[0].item() for i in range(3))
        if d == 0 or not math.isfinite(a) or not math.isfinite((b - a) / d):
            raise ModelError(f"a range from {a} to {b} in steps of {d} has no length")
        return n.emit("Range", start, delta, size=Expr.const(max(math.ceil((b - a) / d), 0)))
    if not all(settled(n.input(i)) for i in range(3)):
        return n.emit("Range", n.reshape(start, []), n.reshape(delta, []), size=range_length(n))
    try:  # bounds computed from sizes, in integers or in floats that hold them
        first, last, step = (Ratio.of(known_element(n.input(i))) for i in range(3))
        length = (last - first) / step if step.num.nonnegative() else (first - last) / (Ratio(ZERO) - step)
    except Undecided:
        raise UnsupportedError("the length of its result is no expression of the inputs' sizes") from None
    return n.emit("Range", start, delta, size=maximum(length.ceil().num, 0))


def settled(value: Value) -> bool:
    """Whether the elements are known before the run: numbers, and expressions of the inputs' sizes."""
    return value.known is not None and not late.is_late([e for e in value.known.flat if isinstance(e, Expr)])


def range_length(n: Node) -> Expr:
    """The length of a range whose bounds are data: max(ceil((limit - start) / delta), 0), computed in float64."""
    start, limit, delta = (n.reshape(n.cast(n.input(i), np.float64), []) for i in range(3))
    count = n.emit("Ceil", n.emit("Div", n.emit("Sub", limit, start), delta))
    return n.counted(n.cast(n.emit("Max", [count, n.constant(0.0, np.float64)]), np.int64), "length")


def known_element(value: Value) -> object:
    """The one element of a known value."""
    assert value.known is not None
    found = value.known.reshape(-1)[0]
    return found if value.known.dtype == object else Expr.const(int(found)) if value.dtype.kind in "iu" else found


def eye_like(n: Node) -> Value:
    to = n.element("dtype") if "dtype" in n.attributes else n.input(0).type.element_type
    return n.emit("EyeLike", n.input(0), k=n.attr("k", 0), to=to)


# ---- reshapes


def reshape(n: Node) -> Value:
    """0 copies a size, -1 takes what is left."""
    x = n.input(0)
    target = n.sizes(1, "the shape") if n.opset >= 5 else [Expr.const(s) for s in n.required("shape")]
    keep_zero = bool(n.attr("allowzero", 0))
    if late.is_late(target):
        return n.reshape(x, late.target(n, x, target, keep_zero))
    for i, size in enumerate(target):
        if size == ZERO and not keep_zero:
            if i >= x.rank:
                raise ModelError(f"size {i} of the shape is copied from an input with {x.rank} dimensions")
            target[i] = x.sizes[i]
    free = [i for i, size in enumerate(target) if size == -1]
    if len(free) > 1:
        raise ModelError("the shape has more than one -1")
    if any((k := s.constant) is not None and k < -1 for s in target):
        raise ModelError(f"the shape has a negative size: [{', '.join(map(str, target))}]")
    if free:
        target[free[0]] = rest(n, x, [s for i, s in enumerate(target) if i != free[0]])
    return n.reshape(x, target)


def rest(n: Node, x: Value, others: Sequence[Expr]) -> Expr:
    """The size that x's elements leave beside the others."""
    # sizes that occur on both sides leave first: N * 12 elements beside N are 12, whatever N is
    mine, theirs = list(x.sizes), []
    for size in others:
        if size in mine:
            mine.remove(size)
        else:
            theirs.append(size)
    total, taken = product(mine), product(theirs)
    if taken == ZERO:
        raise ModelError("the shape has a -1 beside a size of 0")
    found, left = total // taken, total % taken
    if left.constant is not None and left != ZERO:
        raise ModelError(f"{total} elements cannot be shared out to {taken}")
    return found


def squeeze(n: Node) -> Value:
    x, axes = n.input(0), n.axes(1)
    if axes is None:
        found = n.reshape(x, [s for s in x.sizes if s != ONE])
        loose = any(s.constant is None and not (s - 2).nonnegative() for s in found.sizes)
        return replace(found, loose=True) if loose else found
    if late.is_late(axes):
        chosen = late.flags(n, axes, x.rank)
        for size, flag in zip(x.sizes, chosen, strict=True):
            n.check(flag * (size - 1), f"Squeeze: a size is {size}, not 1")
        return n.reshape(x, late.without(n, x.sizes, chosen, len(axes)))
    gone = normal(numbers_of(axes, "the axes"), x.rank)
    for axis in gone:
        n.builder.same(x.sizes[axis], ONE, f"Squeeze: size {axis} is {x.sizes[axis]}, not 1")
    return n.reshape(x, [s for i, s in enumerate(x.sizes) if i not in gone])


def unsqueeze(n: Node) -> Value:
    x = n.input(0)
    axes = n.axes(1)
    if axes is None:
        raise ModelError("axes are missing")
    if late.is_late(axes):
        chosen = late.flags(n, axes, x.rank + len(axes))
        return n.reshape(x, late.with_ones(n, x.sizes, chosen))
    places = normal(numbers_of(axes, "the axes"), x.rank + len(axes))
    sizes = iter(x.sizes)
    return n.reshape(x, [ONE if i in places else next(sizes) for i in range(x.rank + len(axes))])


def numbers_of(exprs: Sequence[Expr], what: str) -> list[int]:
    """Expressions that are numbers. Raises UnsupportedError where they are not."""
    numbers = [e.constant for e in exprs]
    if None in numbers:
        shown = ", ".join(map(str, exprs))
        raise UnsupportedError(f"{what}: [{shown}] depends on the inputs' sizes", hint="fix the sizes with --shape")
    return numbers  # type: ignore[return-value]


def normal(axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front. Raises ModelError for one outside of the rank, and for one that is given twice."""
    found = [a + rank if a < 0 else a for a in axes]
    if any(not 0 <= a < rank for a in found) or len(set(found)) != len(found):
        raise ModelError(f"axes {list(axes)} do not fit {rank} dimensions")
    return found


def flatten(n: Node) -> Value:
    return n.reshape(n.input(0), flat(n.input(0), n.attr("axis", 1)))


def flat(x: Value, axis: int) -> tuple[Expr, Expr]:
    """The shape of x as a matrix: axes before `axis`, and the others."""
    axis += x.rank if axis < 0 else 0
    if not 0 <= axis <= x.rank:
        raise ModelError(f"axis {axis} does not fit {x.rank} dimensions")
    return product(x.sizes[:axis]), product(x.sizes[axis:])


def expand(n: Node) -> Value:
    x, shape = n.input(0), n.named(n.sizes(1, "the shape"), "d")
    found = n.emit("Expand", x, shape=shape)
    return x if found.type == x.type else found


RULES: Mapping[str, Rule] = {
    "Constant": constant_node,
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Range": arange,
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": size_of,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
}
