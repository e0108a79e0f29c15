"""Rules of sequences and optionals: resolved while importing, so that no operation is left of them.

A sequence is a list of values whose length is known; an optional is its element, an empty one no value at all. What is
decided only when the model runs, the number of pieces of a split say, has no native meaning: NeedsPython.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ModelError, NeedsPython
from ...ir.expr import ONE, Expr
from .builder import Held, Value, ValueList
from .node import Node, Result, Rule


def sequence_construct(n: Node) -> ValueList:
    return ValueList(tuple(n.inputs))


def sequence_empty(n: Node) -> ValueList:
    if "dtype" in n.attributes:
        n.element("dtype")
    return ValueList(())


def sequence_length(n: Node) -> Value:
    return n.constant(len(n.elements(0)), np.int64)


def sequence_at(n: Node) -> Value:
    items = n.elements(0)
    if (place := known_position(n, 1, len(items) - 1)) is not None:
        return items[place]
    return chosen(n, [counted(n, 1, len(items))], items)


def sequence_erase(n: Node) -> ValueList:
    items = n.elements(0)
    last = len(items) - 1
    place = known_position(n, 1, last) if n.has(1) else last
    if last < 0:
        raise ModelError("nothing can be erased from an empty sequence")
    if place is not None:
        return ValueList((*items[:place], *items[place + 1 :]))
    at = counted(n, 1, len(items))  # what stood before it keeps its place, the others move up by one
    return ValueList(tuple(either(n, n.emit("Greater", at, index(n, i)), *items[i : i + 2]) for i in range(last)))


def sequence_insert(n: Node) -> ValueList:
    items, new = n.elements(0), n.input(1)
    if items and items[0].dtype != new.dtype:
        raise ModelError(f"a tensor of {new.dtype} is inserted into a sequence of {items[0].dtype}")
    place = known_position(n, 2, len(items)) if n.has(2) else len(items)
    if place is not None:
        return ValueList((*items[:place], new, *items[place:]))
    at = counted(n, 2, len(items))
    found: list[Value] = []
    for i in range(len(items) + 1):
        value = new
        if i < len(items):
            value = either(n, n.emit("Greater", at, index(n, i)), items[i], value)
        if i > 0:
            value = either(n, n.emit("Less", at, index(n, i)), items[i - 1], value)
        found.append(value)
    return ValueList(tuple(found))


def known_position(n: Node, position: int, last: int) -> int | None:
    """A position in a sequence, counted from the front; None when it is known only at run time. Raises ModelError."""
    value = n.input(position)
    if value.numbers is None or value.numbers.size != 1:
        return None
    at = int(value.numbers.reshape(-1)[0])
    length = last + 1 if n.operator != "SequenceInsert" else last
    if not -length <= at <= last:
        raise ModelError(f"position {at} lies outside of a sequence of {length}")
    return at + length if at < 0 else at


def counted(n: Node, position: int, length: int) -> Value:
    """A position that arrives at run time as a scalar, counted from the front."""
    at = n.reshape(n.cast(n.input(position), np.int64), [])
    return n.emit("Where", n.emit("Less", at, index(n, 0)), n.emit("Add", at, index(n, length)), at)


def index(n: Node, i: int) -> Value:
    return n.constant(i, np.int64)


def either(n: Node, condition: Value, a: Value, b: Value) -> Value:
    """One of two values, decided at run time. Raises NeedsPython where they are of different sizes."""
    if a.type != b.type:
        raise NeedsPython(f"which element is taken is known at run time, and they differ: {a.type}, {b.type}")
    return n.emit("Where", condition, a, b)


def chosen(n: Node, at: Sequence[Value], items: Sequence[Value]) -> Value:
    """The element at a place that is known at run time."""
    if not items:
        raise ModelError("an empty sequence has no elements")
    found = items[-1]
    for i in reversed(range(len(items) - 1)):
        found = either(n, n.emit("Equal", at[0], index(n, i)), items[i], found)
    return found


# ---- split and join


def split_to_sequence(n: Node) -> ValueList:
    x, axis = n.input(0), n.attr("axis", 0)
    if not -x.rank <= axis < x.rank:
        raise ModelError(f"axis {axis} does not fit {x.rank} dimensions")
    axis %= x.rank
    size, keep = x.sizes[axis], bool(n.attr("keepdims", 1))
    if not n.has(1):
        parts: list[Expr] = [ONE] * known_length(size)
        pieces = split(n, x, axis, parts)
        squeezed = [s for i, s in enumerate(x.sizes) if i != axis]
        return ValueList(tuple(pieces if keep else [n.reshape(p, squeezed) for p in pieces]))
    if n.input(1).known is None:
        raise NeedsPython("the sizes of its pieces depend on data")
    wanted = n.sizes(1, "split")
    if n.input(1).rank == 0:
        if (each := wanted[0].constant) is None:
            raise NeedsPython(f"the number of its pieces depends on the size {wanted[0]}")
        if each < 1:
            raise ModelError(f"split is {each}, expected a number above 0")
        whole = known_length(size)
        wanted = [Expr.const(min(each, whole - start)) for start in range(0, whole, each)]
    return ValueList(tuple(split(n, x, axis, wanted)))


def known_length(size: Expr) -> int:
    if (k := size.constant) is None:
        raise NeedsPython(f"the number of its pieces is the size {size}", hint="fix the size with --shape")
    return k


def split(n: Node, x: Value, axis: int, parts: Sequence[Expr]) -> Sequence[Value]:
    if any((k := p.constant) is not None and k < 0 for p in parts):
        raise ModelError(f"a split into {', '.join(map(str, parts))}")
    n.builder.same(sum(parts, Expr.const(0)), x.sizes[axis], f"the pieces do not make up the size {x.sizes[axis]}")
    if len(parts) < 2:
        return [x] * len(parts)
    return n.emit_all("Split", x, axis=axis, sizes=list(parts))


def concat_from_sequence(n: Node) -> Value:
    items, new = n.elements(0), bool(n.attr("new_axis", 0))
    axis = n.required("axis")
    if not items:
        raise ModelError("an empty sequence cannot be joined")
    rank = items[0].rank + new
    if not -rank <= axis < rank:
        raise ModelError(f"axis {axis} does not fit {rank} dimensions")
    axis %= rank
    if new:
        items = tuple(n.reshape(v, [*v.sizes[:axis], ONE, *v.sizes[axis:]]) for v in items)
    return items[0] if len(items) == 1 else n.emit("Concat", items, axis=axis)


def sequence_map(n: Node) -> list[Held]:
    """The body once for each element of the first sequence; tensors among the other inputs are the same for all."""
    count = len(n.elements(0))
    for i, value in enumerate(n.values):
        if isinstance(value, ValueList) and len(value.items) != count:
            raise ModelError(f"input {i} is a sequence of {len(value.items)}, the first has {count}")
    results: list[list[Value]] = [[] for _ in n.required("body").output]
    for i in range(count):
        found = n.inline("body", [v.items[i] if isinstance(v, ValueList) else v for v in n.values])
        for result, value in zip(results, found, strict=True):
            if not isinstance(value, Value):
                raise ModelError("its body gives something that is no tensor")
            result.append(value)
    return [ValueList(tuple(result)) for result in results]


# ---- optionals


def optional(n: Node) -> Result:
    return n.held(0)


def optional_has_element(n: Node) -> Value:
    return n.constant(n.held(0) is not None, np.bool_)


def optional_get_element(n: Node) -> Result:
    if (found := n.held(0)) is None:
        raise ModelError("it asks for the element of an empty optional")
    return found


RULES: Mapping[str, Rule] = {
    "ConcatFromSequence": concat_from_sequence,
    "Optional": optional,
    "OptionalGetElement": optional_get_element,
    "OptionalHasElement": optional_has_element,
    "SequenceAt": sequence_at,
    "SequenceConstruct": sequence_construct,
    "SequenceEmpty": sequence_empty,
    "SequenceErase": sequence_erase,
    "SequenceInsert": sequence_insert,
    "SequenceLength": sequence_length,
    "SequenceMap": sequence_map,
    "SplitToSequence": split_to_sequence,
}
