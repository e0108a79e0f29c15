"""Building random functions of the graph dialect: the choices that the recipes of all operators share."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, IntegerType, ModuleOp, StringAttr, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from ..dialects.graph import GraphOp
from ..dialects.graph.base import kind_of_dtype
from ..dialects.graph.data import Constant
from ..ir.expr import ONE, Expr, ExprLike
from ..ir.types import DTYPES, ExprAttr, TensorType, bits_of, dtype_of, element_of

Recipe: TypeAlias = "Callable[[GraphBuilder], GraphOp]"
EXAMPLE = "ircc.example"  # the module's attribute with sizes that all its operators accept
LARGEST = 2000  # elements of a tensor that is used again
SYMBOLS = ("N", "M", "K")
NAMES = {element: dtype.name for element, dtype in DTYPES.items()}  # NumPy makes a name anew each time
EVERY_ELEMENT = frozenset(NAMES.values())
# how often an element type is drawn, relative to the others of its kind
WEIGHTS = {"float32": 12, "float64": 3, "float16": 2, "bfloat16": 1, "int64": 4, "int32": 3, "uint8": 3}


def kind_of(element: Attribute) -> str:
    return kind_of_dtype(dtype_of(element))


@dataclass
class GraphBuilder:
    """A function under construction, and the random choices."""

    rng: random.Random
    elements: Collection[str] = EVERY_ELEMENT  # names of NumPy dtypes
    symbolic: bool = True
    block: Block = field(default_factory=Block)
    symbols: dict[str, int] = field(default_factory=dict[str, int])  # example sizes
    arg_attrs: list[DictionaryAttr] = field(default_factory=list[DictionaryAttr])
    values: list[SSAValue] = field(default_factory=list[SSAValue])
    exact: set[SSAValue] = field(default_factory=set[SSAValue])  # the same bits in every implementation

    def __post_init__(self) -> None:
        self.symbols.update({name: self.rng.choice((0, 1, 2, 3, 3, 4, 5)) for name in SYMBOLS})

    # ---- choices

    def flip(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def number(self, size: ExprLike) -> int:
        """The size in the example."""
        return int(Expr.of(size).evaluate(symbols=self.symbols))

    def size(self, low: int = 0) -> Expr:
        """A size that is at least `low` in the example: odd, one, symbolic, rarely empty."""
        known = [n for n in SYMBOLS if self.symbolic and self.symbols[n] >= low]
        if known and self.flip(0.3):
            return Expr.symbol(self.rng.choice(known))
        return Expr.const(max(low, self.rng.choice((1, 1, 2, 3, 3, 4, 5, 6, 7, 0))))

    def sizes(self, rank: int, low: int = 0) -> list[Expr]:
        return [self.size(low) for _ in range(rank)]

    def element(self, kinds: str) -> Attribute:
        """An element type of one of these kinds: letters of `kind_of_dtype`."""
        found = [t for t, name in NAMES.items() if name in self.elements and kind_of(t) in kinds]
        if not found:
            raise NoElement(kinds)
        return self.rng.choices(found, [WEIGHTS.get(NAMES[t], 1) for t in found])[0]

    # ---- operands

    def input(
        self, shape: Sequence[ExprLike], element: Attribute, low: ExprLike | None = None, high: ExprLike | None = None
    ) -> SSAValue:
        """A new input, with values in [low, high] if they are given."""
        attributes: dict[str, Attribute] = {"ircc.name": StringAttr(f"x{len(self.arg_attrs)}")}
        if low is not None and high is not None:
            attributes |= {"ircc.low": ExprAttr(Expr.of(low)), "ircc.high": ExprAttr(Expr.of(high))}
        self.arg_attrs.append(DictionaryAttr(attributes))
        value = self.block.insert_arg(TensorType.of(shape, element), len(self.block.args))
        self.exact.add(value)
        if low is None:
            self.values.append(value)
        return value

    def constant(self, array: np.ndarray[Any, Any]) -> SSAValue:
        op = Constant.of(array)
        self.block.add_op(op)
        self.exact.add(op.results[0])
        return op.results[0]

    def tensor(
        self,
        kinds: str = "f",
        ranks: Sequence[int] = (0, 1, 2, 2, 3, 3, 4),
        *,
        exact: bool = False,
        low: int = 0,
        fits: Callable[[TensorType], bool] = lambda _: True,
    ) -> SSAValue:
        """A value of one of these kinds and ranks, each size at least `low` in the example: one that is there, or a new
        input. `exact`: one that every implementation computes alike. `fits` narrows the choice of those there."""

        def usable(value: SSAValue) -> bool:
            type_ = value.type
            assert isinstance(type_, TensorType)
            numbers = [self.number(s) for s in type_.sizes]
            return (
                kind_of(type_.element_type) in kinds
                and type_.rank in ranks
                and min(numbers, default=low) >= low
                and int(np.prod(numbers)) <= LARGEST
                and (value in self.exact or not exact)
                and fits(type_)
            )

        found = [v for v in self.values if usable(v)]
        if found and self.flip(0.8):
            return found[-1] if self.flip() else self.rng.choice(found)
        return self.input(self.sizes(self.rng.choice(ranks), low), self.element(kinds))

    def shaped(self, shape: Sequence[ExprLike], element: Attribute, exact: bool = False) -> SSAValue:
        """A value of this very type: one that is there, a constant or a new input."""
        type_ = TensorType.of(shape, element)
        found = [v for v in self.values if v.type == type_ and (v in self.exact or not exact)]
        if found and self.flip():
            return self.rng.choice(found)
        if type_.static_shape is not None and self.flip(0.2):
            return self.constant(random_array(numpy_rng(self.rng), type_.dtype, type_.static_shape))
        return self.input(shape, element)

    def partner(self, value: SSAValue, element: Attribute | None = None, exact: bool = False) -> SSAValue:
        """A value that broadcasts with `value`: sizes the same, 1, left out, or of another name but the same number."""
        type_ = type_of(value)
        shape = list(type_.sizes)
        if self.flip(0.2):
            shape = shape[self.rng.randint(0, len(shape)) :]
        for i, size in enumerate(shape):
            alike = [Expr.symbol(n) for n in SYMBOLS if self.symbolic and self.symbols[n] == self.number(size)]
            if self.flip(0.2):
                shape[i] = ONE
            elif alike and self.flip(0.1):
                shape[i] = self.rng.choice(alike)
        return self.shaped(shape, element or type_.element_type, exact)

    # ---- the function

    def add(self, op: GraphOp, exact: bool) -> None:
        """Put the operator into the function. `exact`: of exact operands it makes exact results."""
        self.block.add_op(op)
        self.values += op.results
        if exact and all(v in self.exact for v in op.operands):
            self.exact.update(op.results)

    def module(self) -> ModuleOp:
        """The module; its outputs are all results that nothing uses."""
        used = {s for op in self.block.ops for v in (*op.operands, *op.results) for s in type_of(v).symbols}
        used |= {s for op in self.block.ops for p in op.properties.values() for s in symbols_in(p)}
        used |= {s for d in self.arg_attrs for a in d.data.values() for s in symbols_in(a)}
        used |= {s for a in self.block.args for s in type_of(a).symbols}
        plain = {size for a in self.block.args for size in type_of(a).sizes}
        for name in sorted(used):  # what a symbol stands for is read off an input
            if Expr.symbol(name) not in plain:
                self.input([Expr.symbol(name)], IntegerType(1))
        ops = [op for op in self.block.ops if not isinstance(op, Constant)]
        results = [r for op in ops for r in op.results if r.first_use is None] or [self.values[-1]]
        checks = [c for op in self.block.ops if isinstance(op, GraphOp) for c in op.checks()]
        self.block.add_op(ReturnOp(*results))
        types = [a.type for a in self.block.args], [r.type for r in results]
        names = [DictionaryAttr({"ircc.name": StringAttr(f"y{i}")}) for i in range(len(results))]
        arg_attrs = ArrayAttr(self.arg_attrs) if self.arg_attrs else None
        main = FuncOp("main", types, Region(self.block), arg_attrs=arg_attrs, res_attrs=ArrayAttr(names))
        if checks:
            main.attributes["ircc.checks"] = ArrayAttr(dict.fromkeys(checks))
        example = {name: IntegerAttr(size, i64) for name, size in self.symbols.items()}
        return ModuleOp([main], attributes={EXAMPLE: DictionaryAttr(example)})


class NoElement(Exception):
    """None of the element types allowed is of a kind that the operator takes."""


def symbols_in(attribute: Attribute) -> frozenset[str]:
    """The size symbols that an attribute names."""
    if isinstance(attribute, ArrayAttr):
        return frozenset[str]().union(*map(symbols_in, attribute))
    return attribute.data.symbols if isinstance(attribute, ExprAttr) else frozenset()


def type_of(value: SSAValue) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type


def numpy_rng(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(32))


SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40)


def random_array(
    rng: np.random.Generator,
    dtype: np.dtype[Any],
    shape: Sequence[int],
    low: int | None = None,
    high: int | None = None,
    special: bool = False,
    whole: bool = False,
) -> np.ndarray[Any, Any]:
    """Values in [low, high], by default small ones of either sign, `whole` numbers or any; `special` mixes NaN,
    infinities and zeros in."""
    kind = kind_of_dtype(dtype)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if kind == "s":
        return rng.integers(0, 2 ** bits_of(element_of(dtype)), shape).astype(np.uint8).view(dtype)
    a, b = (-2, 2) if low is None or high is None else (low, high)
    if kind in "iu":
        a = max(a, 0) if kind == "u" else a
        return rng.integers(a, max(a, b), shape, endpoint=True).astype(dtype)
    values = rng.uniform(a, b, shape)
    if whole:
        values = np.rint(values)
    if special:
        values = np.where(rng.random(shape) < 0.2, rng.choice(SPECIAL, shape), values)
    return np.asarray(values).astype(dtype)
