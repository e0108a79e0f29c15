"""Sizes of a model's inputs: numbers, the model's symbols, or fresh ones; and what the caller fixes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from onnx import GraphProto, TypeProto, ValueInfoProto

from ...errors import InputError, NeedsPython
from ...ir.expr import Expr
from .builder import hint

Shapes: TypeAlias = "Mapping[str, int | Sequence[int | str | None]]"
Dim: TypeAlias = "int | str | None"


class InputShapes:
    """The sizes of all inputs of a graph, with `given` applied: `{"x": (1, 3, 224, 224)}` or `{"N": 1}`.

    In a shape, None leaves a dimension as it is and a string names it. Raises InputError for a name that is neither
    an input nor a symbol, and for sizes that contradict the model."""

    def __init__(self, graph: GraphProto, given: Shapes) -> None:
        constants = {t.name for t in graph.initializer}
        infos = [info for info in graph.input if info.name not in constants]
        self.given: dict[str, Sequence[Dim]] = {}
        self.bound: dict[str, Expr] = {}  # by the model's symbol
        self.clean: dict[str, str] = {}  # the model's symbol -> ours
        symbols = {d for info in infos for d in declared(info) or () if isinstance(d, str)}
        for name, shape in given.items():
            if isinstance(shape, int) and name not in symbols and any(name == info.name for info in infos):
                shape = (shape,)  # of an input with one dimension
            if isinstance(shape, int):
                if name not in symbols:
                    raise InputError(f"the model has no size '{name}'", hint=_known("sizes", symbols))
                self._bind(name, Expr.const(_size(shape, name)))
            elif all(name != info.name for info in infos):
                raise InputError(f"the model has no input '{name}'", hint=_known("inputs", [i.name for i in infos]))
            else:
                self.given[name] = list(shape)
        for info in infos:
            if info.name in self.given:
                self._learn(info)

    def _learn(self, info: ValueInfoProto) -> None:
        shape, dims = self.given[info.name], declared(info)
        if dims is None:
            return
        if len(dims) != len(shape):
            raise InputError(f"input '{info.name}' has {len(dims)} dimensions; {len(shape)} sizes are given")
        for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            if isinstance(size, int) and size >= 0 and isinstance(dim, int) and size != dim:
                raise InputError(f"dimension {i} of input '{info.name}' is {dim} in the model; {size} is given")
            if isinstance(dim, str) and (isinstance(size, str) or (isinstance(size, int) and size >= 0)):
                self._bind(dim, Expr.symbol(size) if isinstance(size, str) else Expr.const(size))

    def _bind(self, symbol: str, size: Expr) -> None:
        if self.bound.setdefault(symbol, size) != size:
            raise InputError(f"the size '{symbol}' is given as {self.bound[symbol]} and as {size}")

    def of(self, info: ValueInfoProto) -> list[Expr]:
        """The sizes of an input. Raises NeedsPython when the model does not say how many dimensions it has."""
        shape = self.given.get(info.name)
        dims = declared(info)
        if dims is None:
            if shape is None:
                raise NeedsPython(
                    f"the model does not say how many dimensions input '{info.name}' has",
                    hint=f"give its shape: --shape {info.name}=1x3x224x224",
                )
            dims = [None] * len(shape)
        given = shape or [None] * len(dims)
        return [self._size(info.name, i, dim, g) for i, (dim, g) in enumerate(zip(dims, given, strict=True))]

    def _size(self, name: str, position: int, dim: Dim, given: Dim) -> Expr:
        if isinstance(dim, int):
            return Expr.const(dim)
        if isinstance(dim, str):
            return self.bound[dim] if dim in self.bound else Expr.symbol(self._symbol(dim, dim))
        if isinstance(given, str):
            return Expr.symbol(given)
        if given is not None and given >= 0:
            return Expr.const(_size(given, name))
        fresh = f"{hint(name) or 'input'}_d{position}"
        return Expr.symbol(self._symbol(f"\0{name}\0{position}", fresh))

    def _symbol(self, key: str, wanted: str) -> str:
        """Our name for a symbol: printable, and no other's."""
        if key not in self.clean:
            name = clean = re.sub(r"[^\x20-\x7e]|^\$", "_", wanted)[:128]  # `$` begins what is data
            taken = set(self.clean.values())
            count = 2
            while name in taken:
                name, count = f"{clean}_{count}", count + 1
            self.clean[key] = name
        return self.clean[key]


def declared(info: ValueInfoProto) -> list[Dim] | None:
    """The dimensions that the model declares: numbers, names, None for unknown ones; None when it declares no shape."""
    return dims_of(info.type)


def dims_of(type_: TypeProto) -> list[Dim] | None:
    """The dimensions of a type, as `declared` gives them."""
    proto = type_.tensor_type
    if not proto.HasField("shape"):
        return None
    found: list[Dim] = []
    for dim in proto.shape.dim:
        if dim.HasField("dim_value"):
            found.append(dim.dim_value if dim.dim_value >= 0 else None)  # -1 and the like: unknown, by old exporters
        else:
            name = dim.dim_param  # a name without a letter or digit, such as `?`, says that nothing is known
            found.append(name if any(c.isalnum() for c in name) else None)
    return found


def _size(value: int, name: str) -> int:
    if value < 0:
        raise InputError(f"the size {value} of '{name}' is negative")
    return value


def _known(what: str, names: Any) -> str:
    return f"its {what} are {', '.join(sorted(names)) or 'all fixed'}"
