"""Building the graph module: values, operators, folding of what is known, size checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, OpResult, SSAValue
from xdsl.utils.exceptions import VerifyException

from ...dialects.control import ReadSizes, SetSizes
from ...dialects.graph import BY_NAME, GraphOp
from ...dialects.graph.binary import Binary, Clip, Where
from ...dialects.graph.conversion import Cast
from ...dialects.graph.data import Constant, SizesOf
from ...dialects.graph.unary import Unary
from ...errors import ModelError, UnsupportedError
from ...ir.expr import ONE, Expr
from ...ir.types import Check, TensorType, element_of
from ...ir.weights import INLINE
from . import symbolic
from .source import MAX_RANK, Array

READ = 64  # elements of a tensor that may become size symbols
MAX_BYTES = 2**40  # of one tensor: what is larger is a mistake or an attack
HEAVY = re.compile(r"graph\.(.*conv|.*pool|lstm|gru|rnn|einsum|.*matmul|gemm|resize|grid_sample|roi|det|dft|stft)")


@dataclass(eq=False)
class Value:
    """A tensor of the model while it is imported.

    `known` holds its elements where they are known: numbers, or expressions (dtype object). A value without an `ssa`
    has `known`; its operation is made when another operation needs it."""

    type: TensorType
    known: Array | None = None
    ssa: SSAValue | None = None
    file: str = ""  # where a constant can be read again, and by which name
    name: str = ""
    loose: bool = False  # sizes that turn out to be 1 in a run are no dimensions: a Squeeze without axes

    @property
    def sizes(self) -> tuple[Expr, ...]:
        return self.type.sizes

    @property
    def rank(self) -> int:
        return self.type.rank

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def numbers(self) -> Array | None:
        """The elements, when all are numbers."""
        return None if self.known is None or symbolic.is_symbolic(self.known) else self.known


@dataclass(frozen=True, eq=False)
class ValueList:
    """A sequence of the model, whose length is known: its elements. There is no operation for it."""

    items: tuple[Value, ...]


Held: TypeAlias = "Value | ValueList | None"  # what a name stands for; an empty optional is no value


class ConstraintError(UnsupportedError):
    """An operator's constraints do not hold: ircc's are tighter than ONNX's here, or the model is wrong."""


Operand: TypeAlias = "Value | Sequence[Value] | None"


def constant(array: Array, *, file: str = "", name: str = "") -> Value:
    """A constant value; the array is not copied."""
    return Value(TensorType.of(array.shape, element_of(array.dtype)), array, file=file, name=name)


def hint(name: str) -> str | None:
    """`name` as xDSL takes it for an SSA value: letters, digits and `_`, not starting with a digit."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:64].strip("_")
    return text if text and not text[0].isdigit() else f"v_{text}" if text else None


class Builder:
    """Appends operations to a block. `checks` collects the conditions on sizes, each once.

    The builder of a body shares `functions`, the bodies that are done, and their names with that of its `caller`."""

    def __init__(self, block: Block, caller: Builder | None = None) -> None:
        self.block = block
        self.functions: list[FuncOp] = [] if caller is None else caller.functions
        self.names: set[str] = set() if caller is None else caller.names
        self.checks: dict[Check, None] = {}
        self.nodes: Sequence[str] = ()  # names of the nodes being imported
        self.taken: set[str] = set() if caller is None else caller.taken  # names of size symbols
        self.late: set[str] = set() if caller is None else caller.late  # those that become known during a run

    def unique(self, name: str) -> str:
        """The name, with a number behind it where it is taken: for bodies, and for size symbols."""
        found, count = name, 1
        while found in self.names:
            count += 1
            found = f"{name}#{count}"
        self.names.add(found)
        return found

    # ---- values

    def ssa(self, value: Value) -> SSAValue:
        """The SSA value, made when it is first needed; `place_operation` puts its operation into the block."""
        if value.ssa is None:
            assert value.known is not None
            if symbolic.is_symbolic(value.known):
                value.ssa = self._sizes(value.known, value.type)
            else:
                op = Constant.of(value.known, file=value.file, name=value.name, nodes=self.nodes)
                value.ssa = op.results[0]
                value.ssa.name_hint = hint(value.name)
        return value.ssa

    def _sizes(self, array: Array, type_: TensorType) -> SSAValue:
        values = [Expr.of(e) for e in array.flat]  # raises for fractions, which keep their operator
        op: GraphOp = SizesOf.make(values=values, shape=list(array.shape), nodes=self.nodes)
        if type_.element_type != i64:
            op = BY_NAME["Cast"].make(op.results[0], to=type_.element_type, nodes=self.nodes)
        return op.results[0]

    def place_operation(self, op: Operation) -> None:
        """Put the operation into the block, after the constants that it needs."""
        for operand in op.operands:
            if isinstance(operand, OpResult) and operand.op.parent is None:
                self.place_operation(operand.op)
        self.block.add_op(op)

    def place(self, value: Value) -> SSAValue:
        """The SSA value, in the block: for results of the function."""
        found = self.ssa(value)
        if isinstance(found, OpResult) and found.op.parent is None:
            self.place_operation(found.op)
        return found

    # ---- sizes from data

    def read(self, value: Value, what: str) -> None:
        """Make the elements of a small tensor of integers known, as symbols `$name`, from here on.

        Raises UnsupportedError where it is not known how many there are, or where they are many."""
        count = value.type.elements.constant
        if count is None or count > READ:
            raise UnsupportedError(
                f"{what} is computed while the model runs, and "
                + ("its length is not known" if count is None else f"has {count} elements, more than {READ}"),
                hint="fix the sizes with --shape, or give it as a constant",
            )
        ssa = self.place(value)
        base = "$" + (ssa.name_hint or what.removeprefix("the ").replace(" ", "_"))
        names = self._fresh([base] if value.rank == 0 or count == 1 else [f"{base}.{i}" for i in range(count)])
        if count:
            self.block.add_op(ReadSizes(ssa, names, self.nodes))
        value.known = symbolic.objects([Expr.symbol(name) for name in names], value.type.static_shape or ())

    def named(self, exprs: Sequence[Expr], base: str) -> list[Expr]:
        """The expressions, each that is made from data by a symbol of its own."""
        found = list(exprs)
        late = [i for i, e in enumerate(found) if self._is_made(e)]
        if late:
            names = self._fresh([f"{base}{i}" for i in late])
            self.block.add_op(SetSizes(names, [found[i] for i in late], self.nodes))
            for i, name in zip(late, names, strict=True):
                found[i] = Expr.symbol(name)
        return found

    def _is_made(self, e: Expr) -> bool:
        """Whether the expression is of data, and no size symbol already."""
        simple = e.single is not None and e.single.kind == "symbol" and not e.single.signed
        return not simple and bool(e.symbols & self.late)

    def counted(self, value: Value, name: str) -> Expr:
        """The one element of an integer tensor, as a size."""
        if value.known is not None:
            return Expr.of(value.known.reshape(-1)[0])
        (symbol,) = self._fresh([name])
        self.block.add_op(ReadSizes(self.place(value), [symbol], self.nodes))
        return Expr.symbol(symbol)

    def _fresh(self, names: Sequence[str]) -> list[str]:
        """The names, with a number behind them where they are taken."""
        found: list[str] = []
        for name in names:
            candidate, count = name, 1
            while candidate in self.taken:
                count += 1
                candidate = f"{name}#{count}"
            self.taken.add(candidate)
            self.late.add(candidate)
            found.append(candidate)
        return found

    # ---- operators

    def emit(self, operator: str, *operands: Operand, **properties: Any) -> tuple[Value, ...]:
        """The results of graph operator `operator` (a class of the graph dialect, as ONNX calls it).

        What is known at import and small is evaluated instead. Raises UnsupportedError for an operator that the
        dialect lacks, and ModelError when its constraints do not hold."""
        cls = BY_NAME.get(operator)
        if cls is None:
            raise UnsupportedError(f"ircc has no operator {operator} yet")
        flat = [v for o in operands for v in ([o] if isinstance(o, Value) or o is None else o)]
        try:
            op = cls.make(*map(self._operand, operands), nodes=self.nodes, **properties)
        except VerifyException as error:
            raise ConstraintError(f"{error}") from None
        types = [_type(r) for r in op.results]
        for type_ in types:
            check_size(type_)
        loose = any(v is not None and v.loose for v in flat)
        if loose and not keeps_shape(op, flat, types):
            for value in flat:
                self.settle(value)
            loose = False
        found = self._folded(op, flat, types)
        if found is not None and not any(symbolic.is_symbolic(f) and symbolic.is_float(t.dtype) for f, t in found):
            op.drop_all_references()
            return tuple(Value(t, f) for f, t in found)
        for check in op.checks():
            self.check(check.expr.data, check.message.data)
        self.place_operation(op)
        arrays = [None] * len(types) if found is None else [f for f, _ in found]
        return tuple(Value(t, f, r, loose=loose) for t, f, r in zip(types, arrays, op.results, strict=True))

    def settle(self, value: Value | None) -> None:
        """Demand that a value has the rank that its type says: no size is 1 of those that would be no dimensions."""
        if value is None or not value.loose:
            return
        for i, size in enumerate(value.sizes):
            one = ONE - symbolic.different(symbolic.Ratio(size), symbolic.Ratio(ONE))
            self.check(one, f"Squeeze without axes: size {i}, which is {size}, is 1; fix it with --shape")
        value.loose = False

    def _operand(self, operand: Operand) -> SSAValue | list[SSAValue] | None:
        if operand is None or isinstance(operand, Value):
            return None if operand is None else self.ssa(operand)
        return [self.ssa(value) for value in operand]

    def _folded(
        self, op: GraphOp, operands: Sequence[Value | None], types: Sequence[TensorType]
    ) -> list[tuple[Array, TensorType]] | None:
        """The results' elements, each with its type, when the operands' are known and there are few."""
        arrays = [None if v is None else v.known for v in operands]
        if any(a is None and v is not None for a, v in zip(arrays, operands, strict=True)) or HEAVY.match(op.name):
            return None
        counts = [t.elements.constant for t in types]
        total = sum(a.size for a in arrays if a is not None)
        if any(n is None or total + n > symbolic.LIMIT for n in counts):
            return None
        if any(symbolic.is_float(t.dtype) and t.elements.__index__() > INLINE for t in types):
            return None  # weights keep their names; the pass fold-constants sees to them
        if (values := symbolic.evaluate(op, arrays)) is None:
            return None
        for value, type_ in zip(values, types, strict=True):
            if value.shape != type_.static_shape or not (symbolic.is_symbolic(value) or value.dtype == type_.dtype):
                return None
        return list(zip(values, types, strict=True))

    def check(self, expr: Expr, message: str) -> None:
        """Demand that `expr` is 0 when the model runs. Raises ModelError when it never is."""
        if expr.constant == 0:
            return
        if expr.constant is not None:
            raise ModelError(message)
        self.checks.setdefault(Check.of(expr, message))

    def same(self, a: Expr, b: Expr, message: str) -> None:
        """Demand that two sizes are equal."""
        self.check(a - b, message)


def keeps_shape(op: GraphOp, operands: Sequence[Value | None], types: Sequence[TensorType]) -> bool:
    """Whether an operator on values of a loose shape works on each element by itself, whatever the rank is."""
    shapes = {v.sizes for v in operands if v is not None and v.rank}
    elementwise = isinstance(op, Unary | Binary | Cast | Clip | Where)
    alike = all(v is None or v.loose or not v.rank for v in operands)
    return elementwise and alike and len(shapes) == 1 and all(t.sizes in shapes for t in types)


def _type(value: SSAValue) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type


def check_size(type_: TensorType) -> None:
    """Raises Error for a tensor that no machine holds, or whose sizes are no sizes."""
    if type_.rank > MAX_RANK:
        raise UnsupportedError(f"a tensor has {type_.rank} dimensions, more than {MAX_RANK}")
    total = type_.dtype.itemsize
    for size in type_.sizes:
        if symbolic.too_large(size):
            raise UnsupportedError("a size is too complicated an expression of the inputs' sizes")
        if (k := size.constant) is not None:
            if not 0 <= k < 2**62:
                raise ModelError(f"a tensor has a size of {k}")
            total *= k
    if total > MAX_BYTES:
        raise ModelError(f"a tensor of sizes [{', '.join(map(str, type_.sizes))}] takes more than {MAX_BYTES} bytes")
