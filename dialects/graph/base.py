"""What all operators of the graph dialect share: construction, shape rule, reference meaning and text.

An operator is a class: its operands, attributes (IRDL properties) and docstring with numbered constraints (C1, C2 ...),
`infer` (the result types, raising `VerifyException("C1 ...")`) and `evaluate` (its meaning in NumPy).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    BoolAttr,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    f64,
    i1,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import IRDLOperation, OptOperandDef, VarOperandDef, VarResultDef, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.broadcast import broadcast, broadcast_condition
from ...ir.evaluator import Environment
from ...ir.expr import ONE, Expr, ExprLike
from ...ir.nodes import set_nodes
from ...ir.syntax import parse_expr
from ...ir.types import SMALL_DTYPES, Check, ExprAttr, TensorType, exprs
from ...ir.weights import Weight

Array: TypeAlias = "np.ndarray[Any, Any]"
Sizes: TypeAlias = Callable[[ExprLike], int]  # the value of a size expression in this run
PLACEHOLDER = TensorType.of([], f64)


def attribute(value: Any) -> Attribute:
    """A Python value as an attribute: int, bool, float, str, list of int or of Expr, ndarray, element type."""
    match value:
        case Attribute():
            return value
        case bool():
            return BoolAttr.from_bool(value)
        case int() | np.integer():
            return IntegerAttr(int(value), i64)
        case float() | np.floating():
            return FloatAttr(float(value), f64)
        case str():
            return StringAttr(value)
        case Expr():
            return ExprAttr(value)
        case np.ndarray():
            return Weight.of(value)
        case list() | tuple() if any(isinstance(v, Expr) for v in value):
            return exprs(value)
        case list() | tuple() if all(isinstance(v, int | np.integer) for v in value):
            return DenseArrayBase.from_list(i64, [int(v) for v in value])
        case list() | tuple() if all(isinstance(v, int | float | np.number) for v in value):
            return DenseArrayBase.from_list(f64, [float(v) for v in value])
        case list() | tuple():
            return ArrayAttr([attribute(v) for v in value])
        case _:
            raise TypeError(f"no attribute for {value!r}")


def value(attr: Attribute | None) -> Any:
    """The Python value of an attribute made by `attribute`; None for None; types stay as they are."""
    match attr:
        case IntegerAttr() if attr.type == i1:
            return bool(attr.value.data)
        case IntegerAttr():
            return attr.value.data
        case FloatAttr():
            return attr.value.data
        case StringAttr() | ExprAttr():
            return attr.data
        case DenseArrayBase():
            return array_values(attr)
        case ArrayAttr() if all(isinstance(a, ExprAttr) for a in attr):
            return tuple(a.data for a in attr)  # pyright: ignore[reportAttributeAccessIssue]
        case ArrayAttr():
            return tuple(value(a) for a in attr)
        case _:
            return attr


def array_values(attr: DenseArrayBase) -> tuple[Any, ...]:
    """The numbers of a dense array attribute."""
    return tuple(attr.get_values())  # pyright: ignore[reportAttributeAccessIssue]


def need(holds: bool, message: str) -> None:
    """Raise VerifyException with a message that starts with the constraint's number, unless it holds."""
    if not holds:
        raise VerifyException(message)


class GraphOp(IRDLOperation):
    """Base of all graph operators. Pure; all operands and results are `!graph.tensor`."""

    traits = traits_def(Pure())
    DEFAULTS: ClassVar[Mapping[str, Any]] = {}  # values of properties that may be left out
    EXPRESSIONS: ClassVar[Sequence[str]] = ()  # properties that hold a size or a list of sizes

    @classmethod
    def make(
        cls, *operands: SSAValue | Operation | Sequence[SSAValue] | None, nodes: Sequence[str] = (), **properties: Any
    ) -> Self:
        """The operator on these operands (None: an absent optional one; a list: a variadic one), its result types
        inferred. Properties are Python values. Raises VerifyException when a constraint does not hold."""
        definition = cls.get_irdl_definition()
        groups: list[Any] = []
        for (_, kind), given in zip(
            definition.operands, (*operands, *[None] * (len(definition.operands) - len(operands))), strict=True
        ):
            optional = isinstance(kind, OptOperandDef | VarOperandDef)
            groups.append(
                ([] if given is None else list(given) if isinstance(given, Sequence) else [given])
                if optional
                else given
            )
        attributes = {
            k: cls.sizes_attribute(v) if k in cls.EXPRESSIONS else attribute(v)
            for k, v in properties.items()
            if v is not None
        }
        for k, v in cls.DEFAULTS.items():
            attributes.setdefault(k, attribute(v))
        results: list[Any] = [
            [PLACEHOLDER] * cls.result_count(attributes) if isinstance(kind, VarResultDef) else PLACEHOLDER
            for _, kind in definition.results
        ]
        op = cls(operands=groups, properties=attributes, result_types=results)
        for result, type_ in zip(op.results, op.infer(), strict=True):
            result._type = type_  # pyright: ignore[reportPrivateUsage]
        set_nodes(op, nodes)
        return op

    @staticmethod
    def sizes_attribute(given: ExprLike | Sequence[ExprLike]) -> Attribute:
        """A size, or a list of sizes, as an attribute."""
        return exprs(given) if isinstance(given, Sequence) else ExprAttr(Expr.of(given))

    @classmethod
    def result_count(cls, properties: Mapping[str, Attribute]) -> int:
        """Number of results of an operator with a variable number of them."""
        raise NotImplementedError(f"{cls.name} has a fixed number of results")

    # ---- meaning

    def infer(self) -> Sequence[TensorType]:
        """The result types, from operand types and properties. Raises VerifyException."""
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[Any], sizes: Sizes) -> Sequence[Array]:
        """The results for these arrays (None: an absent operand): the reference meaning."""
        raise NotImplementedError

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        inputs = [None if v is None else env.values[v] for v in self.inputs]
        with np.errstate(all="ignore"):
            env.values.update(zip(self.results, self.evaluate(inputs, env.size), strict=True))

    def checks(self) -> Sequence[Check]:
        """Conditions on symbolic sizes that must hold at run time."""
        return ()

    # ---- access

    def get(self, name: str) -> Any:
        """The Python value of a property, None when absent."""
        return value(self.properties.get(name))

    @property
    def inputs(self) -> list[SSAValue | None]:
        """Operands by position, None for absent optional ones; variadic ones in line."""
        found: list[SSAValue | None] = []
        for name, kind in self.get_irdl_definition().operands:
            given = getattr(self, name)
            if isinstance(kind, VarOperandDef) and not isinstance(kind, OptOperandDef):
                found += list(given)
            else:
                found.append(given)
        return found

    def type_of(self, position: int) -> TensorType:
        """Type of the operand at a position of `inputs`."""
        found = self.inputs[position]
        assert found is not None and isinstance(found.type, TensorType)
        return found.type

    def verify_(self) -> None:
        for operand in self.operands:
            need(isinstance(operand.type, TensorType), f"operand type {operand.type} is not a !graph.tensor")
        for result, type_ in zip(self.results, self.infer(), strict=True):
            need(result.type == type_, f"result type is {result.type}, its rule gives {type_}")

    # ---- text: graph.gather %x, %indices <axis = 1> : (T, T) -> T

    def print(self, printer: Printer) -> None:
        shown = self.inputs
        while shown and shown[-1] is None:
            shown.pop()
        if shown:
            printer.print_string(" ")
            printer.print_list(shown, lambda v: printer.print_string("_") if v is None else printer.print_ssa_value(v))
        segments = {"operandSegmentSizes", "resultSegmentSizes"}
        if properties := {k: v for k, v in self.properties.items() if k not in segments}:
            printer.print_string(" <")
            printer.print_list(properties.items(), lambda item: print_property(printer, self.EXPRESSIONS, *item))
            printer.print_string(">")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_operation_type(self)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        given: list[Any] = []
        pos = parser.pos
        while True:
            if (operand := parser.parse_optional_unresolved_operand()) is not None:
                given.append(operand)
            elif parser.parse_optional_keyword("_"):
                given.append(None)
            else:
                break
            if not parser.parse_optional_punctuation(","):
                break
        properties: dict[str, Attribute] = {}
        if parser.parse_optional_punctuation("<"):
            read = partial(parse_property, parser, cls.EXPRESSIONS)
            properties = dict(parser.parse_comma_separated_list(parser.Delimiter.NONE, read))
            parser.parse_punctuation(">")
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        signature = parser.parse_function_type()
        resolved = iter(parser.resolve_operands([g for g in given if g is not None], signature.inputs.data, pos))
        values: list[Any] = [None if g is None else next(resolved) for g in given]
        definition = cls.get_irdl_definition()
        groups: list[Any] = []
        for _, kind in definition.operands:
            if isinstance(kind, OptOperandDef):
                first = values.pop(0) if values else None
                groups.append([] if first is None else [first])
            elif isinstance(kind, VarOperandDef):
                groups.append(values)
                values = []
            else:
                if not values or values[0] is None:
                    parser.raise_error(f"{cls.name} needs more operands")
                groups.append(values.pop(0))
        results: list[Any] = list(signature.outputs.data)
        if any(isinstance(kind, VarResultDef) for _, kind in definition.results):
            results = [results]
        return cls(operands=groups, properties=properties, attributes=attributes, result_types=results)


# ---- text of properties: those that `attribute` makes as plain values, others as xDSL prints them


def print_property(printer: Printer, expressions: Sequence[str], name: str, attr: Attribute) -> None:
    printer.print_string(f"{name} = ")
    match attr:
        case IntegerAttr() if attr.type in (i64, i1):
            printer.print_string(str(value(attr)).lower())
        case FloatAttr() if attr.type == f64 and math.isfinite(attr.value.data):
            printer.print_string(float_text(attr.value.data))
        case DenseArrayBase() if attr.elt_type == i64:
            printer.print_string(str([*array_values(attr)]))
        case DenseArrayBase() if attr.elt_type == f64 and len(attr) and all(map(math.isfinite, array_values(attr))):
            printer.print_string(f"[{', '.join(map(float_text, array_values(attr)))}]")
        case ArrayAttr() if name in expressions:
            printer.print_string(f"[{', '.join(str(size) for size in value(attr))}]")
        case ExprAttr() if name in expressions:
            printer.print_string(str(attr.data))
        case _:
            printer.print_attribute(attr)


def float_text(number: float) -> str:
    """The number as text that is not an integer's: with a point."""
    digits, e, exponent = repr(float(number)).partition("e")
    return (digits if "." in digits else f"{digits}.0") + e + exponent


def parse_property(parser: Parser, expressions: Sequence[str]) -> tuple[str, Attribute]:
    name = parser.parse_identifier(" as a property's name")
    parser.parse_punctuation("=")
    if name in expressions:
        found = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser))
        return name, ExprAttr(parse_expr(parser)) if found is None else exprs(found)
    numbers = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_number)
    if numbers is not None:
        return name, attribute(numbers)
    if (flag := parser.parse_optional_boolean()) is not None:
        return name, attribute(flag)
    number = parser.parse_optional_number()
    if number is None:
        return name, parser.parse_attribute()
    if parser.parse_optional_punctuation(":") is None:
        return name, attribute(number)
    type_ = parser.parse_type()
    if isinstance(type_, IntegerType):
        return name, IntegerAttr(int(number), type_)
    (bits,) = struct.unpack("<d", struct.pack("<Q", number))  # xDSL prints inf and NaN as their bits
    return name, FloatAttr(bits, f64)


# ---- helpers of reference meanings


def wide(x: Any) -> Any:
    """float16 and bfloat16 as float32, in which their arithmetic is done; everything else as it is."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and kind_of_dtype(x.dtype) == "f" else x


def settled(x: Any, dtype: Any) -> Array:
    """`x` as an array of this dtype; arrays of expressions (dtype object) stay what they are."""
    x = np.asarray(x)
    return x if x.dtype in (dtype, object) else x.astype(dtype)


def is_symbolic(*arrays: Any) -> bool:
    """True when one of the arrays holds expressions instead of numbers."""
    return any(a is not None and a.dtype == object for a in arrays)


def kind_of_dtype(dtype: Any) -> str:
    """`f` (float), `i` (signed integer), `u` (unsigned integer), `b` (bool), `s` (a small type, which is storage only),
    `O` (expressions)."""
    if dtype in SMALL_DTYPES:
        return "s"
    return "f" if dtype.kind == "V" or dtype.name == "bfloat16" else dtype.kind


# ---- helpers of shape rules


def need_kind(type_: TensorType, kinds: str, constraint: str = "C1") -> None:
    """Element types are of one of these kinds: letters of `kind_of_dtype`. Raises VerifyException."""
    names = {"f": "float", "i": "signed integer", "u": "unsigned integer", "b": "bool", "s": "small type"}
    need(
        kind_of_dtype(type_.dtype) in kinds,
        f"{constraint} element type {type_.element_type} is not {' or '.join(names[k] for k in kinds)}",
    )


def need_same(a: TensorType, b: TensorType, constraint: str) -> None:
    """Element types are equal. Raises VerifyException."""
    need(
        a.element_type == b.element_type,
        f"{constraint} element types {a.element_type} and {b.element_type} differ",
    )


def broadcast_shapes(*shapes: Sequence[Expr], constraint: str = "C1") -> tuple[Expr, ...]:
    """The shape that these broadcast to by NumPy's rule. Raises VerifyException for different constants."""
    rank = max(map(len, shapes))
    out = [ONE] * rank
    for shape in shapes:
        for i, size in enumerate(shape, rank - len(shape)):
            a, b = out[i].constant, size.constant
            need(a is None or b is None or a == b or 1 in (a, b), f"{constraint} sizes {a} and {b} do not broadcast")
            out[i] = broadcast(out[i], size)
    return tuple(out)


def broadcast_checks(what: str, *shapes: Sequence[Expr]) -> list[Check]:
    """Run-time checks that shapes with unrelated symbols broadcast."""
    found: list[Check] = []
    rank = max(map(len, shapes))
    for i in range(rank):
        sizes = dict.fromkeys(s[i - rank + len(s)] for s in shapes if i - rank + len(s) >= 0)
        for a, b in combinations(sizes, 2):  # not only neighbours: 2, N and 3 broadcast pair by pair when N is 1
            if (condition := broadcast_condition(a, b)).constant is None:
                found.append(Check.of(condition, f"{what}: sizes {a} and {b} do not broadcast"))
    return found


def same_checks(what: str, pairs: Sequence[tuple[Expr, Expr]]) -> list[Check]:
    """Run-time checks that sizes are equal, for those that are not known to be."""
    return [Check.of(a - b, f"{what}: sizes {a} and {b} differ") for a, b in pairs if (a - b).constant is None]


def normal_axis(axis: int, rank: int, message: str = "C1 axis") -> int:
    """The axis counted from the front. Raises VerifyException when out of range."""
    need(-rank <= axis < max(rank, 1), f"{message} {axis} is outside of rank {rank}")
    return axis % rank if rank else 0
