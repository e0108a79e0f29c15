"""Types and attributes that all levels share: tensors, buffers, expressions, element types.

Element types are xDSL's: `f16 bf16 f32 f64`, `i1` (bool), `i8 .. i64` (signed, as in ONNX) and `ui8 .. ui64`.
A scalar inside a body is signless (`ui8` is read as `i8`); the sign lives in the operation (`divui`, `extui`).

Small types (`i2 i4 ui2 ui4`, and floats of 4 to 8 bits such as `f8E4M3FN`) are storage: tensors and buffers have
them, one byte per element, and a body reads the byte as `i8`. What it means is the matter of dialects/tensor/small.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    BFloat16Type,
    Float4E2M1FNType,
    Float6E2M3FNType,
    Float6E3M2FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    NoneAttr,
    Signedness,
    StringAttr,
)
from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from .expr import Expr, ExprLike, ceildiv, maximum, product
from .syntax import parse_expr

ElementType: TypeAlias = Attribute
SPACE = re.compile(r"[A-Za-z_][\w.]*\Z")


@irdl_attr_definition
class ExprAttr(Data[Expr]):
    """A symbolic integer: `#ir.expr<N floordiv 2>`."""

    name = "ir.expr"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Expr:
        with parser.in_angle_brackets():
            return parse_expr(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))


@irdl_attr_definition
class Check(ParametrizedAttribute):
    """A size check at run time: `#ir.check<expr, "message">` fails with the message unless the expression is 0.

    `a - b` says that two sizes are equal, `(a - b) * (a - 1) * (b - 1)` that they broadcast."""

    name = "ir.check"
    expr: ExprAttr = param_def()
    message: StringAttr = param_def()

    @classmethod
    def of(cls, expr: Expr, message: str) -> Check:
        return cls(ExprAttr(expr), StringAttr(message))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            expr = parse_expr(parser)
            parser.parse_punctuation(",")
            return ExprAttr(expr), StringAttr(parser.parse_str_literal())

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"{self.expr.data}, ")
            printer.print_string_literal(self.message.data)


def exprs(values: Iterable[ExprLike]) -> ArrayAttr[ExprAttr]:
    """An array attribute of expressions."""
    return ArrayAttr([expr_attr(Expr.of(v)) for v in values])


@lru_cache(maxsize=1 << 14)  # the same few sizes and indices are written again and again
def expr_attr(value: Expr) -> ExprAttr:
    """An expression as an attribute."""
    return ExprAttr(value)


class Shaped:
    """What tensors and buffers share."""

    shape: ArrayAttr[ExprAttr]
    element_type: Attribute

    @property
    def sizes(self) -> tuple[Expr, ...]:
        found = self.__dict__.get("sizes")  # a cached_property, which xDSL does not let be
        if found is None:
            found = self.__dict__["sizes"] = tuple([e.data for e in self.shape])
        return found

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Expr:
        """Number of elements."""
        return product(self.sizes)

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape as numbers, None when a size is symbolic."""
        found = tuple(e.constant for e in self.sizes)
        return None if None in found else found  # pyright: ignore[reportReturnType]

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset().union(*(e.symbols for e in self.sizes))

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.element_type)


def _parse_shape(parser: AttrParser) -> ArrayAttr[ExprAttr]:
    sizes = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser))
    return exprs(sizes)


def _verify_element(element: Attribute) -> None:
    if isinstance(element, IndexType) or element not in DTYPES:
        raise VerifyException(f"C1 {element} is not an element type")


@irdl_attr_definition
class TensorType(ParametrizedAttribute, Shaped, TypeAttribute):
    """An immutable tensor with symbolic sizes: `!graph.tensor<[N, 3, H floordiv 2], f32>`.

    C1: the element type is one that ircc knows. C2: sizes name no dims."""

    name = "graph.tensor"
    shape: ArrayAttr[ExprAttr] = param_def()
    element_type: Attribute = param_def()

    @classmethod
    def of(cls, sizes: Iterable[ExprLike], element: Attribute) -> TensorType:
        return cls(exprs(sizes), element)

    def at(self, symbol: str, value: ExprLike) -> TensorType:
        """The type where a size symbol has that value."""
        if symbol not in self.symbols:
            return self
        values = {symbol: Expr.of(value)}
        return TensorType.of([s.substitute(symbols=values) for s in self.sizes], self.element_type)

    def verify(self) -> None:
        _verify_element(self.element_type)
        if any(e.dims for e in self.sizes):
            raise VerifyException("C2 a tensor's sizes cannot depend on loop variables")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            shape = _parse_shape(parser)
            parser.parse_punctuation(",")
            return shape, parser.parse_type()

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<[{', '.join(map(str, self.sizes))}], {self.element_type}>")


@lru_cache(maxsize=4096)
def _row_major(sizes: tuple[Expr, ...]) -> Expr:
    total = Expr.const(0)
    for i, size in enumerate(sizes):
        total = total * size + Expr.dim(i)
    return total


@irdl_attr_definition
class BufferType(ParametrizedAttribute, Shaped, TypeAttribute):
    """Mutable memory: `!loop.buffer<[M, 64], f32>`, with `, "stack"` for another space and
    `, (d1 floordiv 32) * 1024 + d0 * 32 + d1 mod 32` for another layout.

    Spaces: `global` (inputs, outputs, weights, arena), `stack` (private to a chunk), `register`, and those
    that the target's description names (a scratchpad, say), which are private too.
    A layout gives the element offset of index (d0, d1, ...); without one the buffer is row-major.
    C1: the element type is one that ircc knows. C2: sizes name no dims. C3: the space's name is an identifier.
    C4: the layout's dims are below the rank."""

    name = "loop.buffer"
    shape: ArrayAttr[ExprAttr] = param_def()
    element_type: Attribute = param_def()
    space: StringAttr = param_def()
    layout: ExprAttr | NoneAttr = param_def()

    @classmethod
    def of(
        cls, sizes: Iterable[ExprLike], element: Attribute, space: str = "global", layout: Expr | None = None
    ) -> BufferType:
        return cls(exprs(sizes), element, StringAttr(space), NoneAttr() if layout is None else ExprAttr(layout))

    def verify(self) -> None:
        _verify_element(self.element_type)
        if any(e.dims for e in self.sizes):
            raise VerifyException("C2 a buffer's sizes cannot depend on loop variables")
        if not SPACE.match(self.space.data):
            raise VerifyException(f"C3 {self.space.data!r} is no name of a memory space")
        if isinstance(self.layout, ExprAttr) and any(d >= self.rank for d in self.layout.data.dims):
            raise VerifyException("C4 the layout names a dim beyond the rank")

    @property
    def offset(self) -> Expr:
        """Element offset of index (d0, d1, ...), in elements."""
        return self.layout.data if isinstance(self.layout, ExprAttr) else _row_major(self.sizes)

    @property
    def length(self) -> Expr:
        """Elements of memory it takes, panels' padding included (the layout grows with every index)."""
        if not isinstance(self.layout, ExprAttr):
            return self.elements
        return padded_length(self.layout.data, self.sizes)

    @property
    def bytes(self) -> Expr:
        return self.length * self.dtype.itemsize

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            shape = _parse_shape(parser)
            parser.parse_punctuation(",")
            element, space, layout = parser.parse_type(), "global", None
            if parser.parse_optional_punctuation(",") is not None:
                if (text := parser.parse_optional_str_literal()) is not None:
                    space = text
                    if parser.parse_optional_punctuation(",") is not None:
                        layout = parse_expr(parser)
                else:
                    layout = parse_expr(parser)
            return shape, element, StringAttr(space), NoneAttr() if layout is None else ExprAttr(layout)

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<[{', '.join(map(str, self.sizes))}], {self.element_type}")
        if self.space.data != "global":
            printer.print_string(f', "{self.space.data}"')
        if isinstance(self.layout, ExprAttr):
            printer.print_string(f", {self.layout.data}")
        printer.print_string(">")


def padded_length(layout: Expr, sizes: Sequence[Expr]) -> Expr:
    """Elements a layout spans: each `d mod c` (d floordiv c) reaches its end, so that panels are whole."""
    top = Expr.const(0)
    for monomial, coefficient in layout.terms.items():
        term = Expr.const(coefficient)
        for atom in monomial:
            match atom.kind:
                case "dim":
                    term = term * (sizes[atom.args[0]] - 1)
                case "mod":
                    term = term * (atom.args[1] - 1)
                case "floordiv":
                    a, b = atom.args
                    limit = a.substitute({d: sizes[d] - 1 for d in a.dims}) + 1
                    term = term * (ceildiv(limit, b) - 1)
                case _:
                    term = term * Expr({(atom,): 1})
        top = top + term
    empty = product(sizes).constant == 0
    return Expr.const(0) if empty else maximum(top + 1, 0)


_UNSIGNED = {n: IntegerType(n, Signedness.UNSIGNED) for n in (8, 16, 32, 64)}
SMALL_FLOATS: dict[Attribute, np.dtype[Any]] = {
    Float4E2M1FNType(): np.dtype(ml_dtypes.float4_e2m1fn),
    Float6E2M3FNType(): np.dtype(ml_dtypes.float6_e2m3fn),
    Float6E3M2FNType(): np.dtype(ml_dtypes.float6_e3m2fn),
    Float8E4M3FNType(): np.dtype(ml_dtypes.float8_e4m3fn),
    Float8E4M3FNUZType(): np.dtype(ml_dtypes.float8_e4m3fnuz),
    Float8E5M2Type(): np.dtype(ml_dtypes.float8_e5m2),
    Float8E5M2FNUZType(): np.dtype(ml_dtypes.float8_e5m2fnuz),
    Float8E8M0FNUType(): np.dtype(ml_dtypes.float8_e8m0fnu),
}
SMALL_INTEGERS: dict[Attribute, np.dtype[Any]] = {
    IntegerType(2): np.dtype(ml_dtypes.int2),
    IntegerType(4): np.dtype(ml_dtypes.int4),
    IntegerType(2, Signedness.UNSIGNED): np.dtype(ml_dtypes.uint2),
    IntegerType(4, Signedness.UNSIGNED): np.dtype(ml_dtypes.uint4),
}
SMALL = {**SMALL_FLOATS, **SMALL_INTEGERS}
DTYPES: dict[Attribute, np.dtype[Any]] = {
    Float16Type(): np.dtype(np.float16),
    BFloat16Type(): np.dtype(ml_dtypes.bfloat16),
    Float32Type(): np.dtype(np.float32),
    Float64Type(): np.dtype(np.float64),
    IntegerType(1): np.dtype(np.bool_),
    **{IntegerType(n): np.dtype(f"int{n}") for n in (8, 16, 32, 64)},
    **{t: np.dtype(f"uint{n}") for n, t in _UNSIGNED.items()},
    **SMALL,
}
ELEMENTS: dict[np.dtype[Any], Attribute] = {d: t for t, d in DTYPES.items()}
SMALL_DTYPES = frozenset(SMALL.values())


def dtype_of(element: Attribute) -> np.dtype[Any]:
    """NumPy's dtype of an element type. Raises KeyError for a type that ircc does not know."""
    return DTYPES[element]


def element_of(dtype: Any) -> Attribute:
    """The element type of a NumPy dtype. Raises KeyError for a dtype that ircc does not know."""
    return ELEMENTS[np.dtype(dtype)]


@lru_cache(maxsize=1024)
def signless(element: Attribute) -> Attribute:
    """The scalar type that a body holds for an element type: integers lose their sign, small types are bytes."""
    if element in SMALL:
        return IntegerType(8)
    return IntegerType(element.width.data) if isinstance(element, IntegerType) else element


def held(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as reference meanings of bodies hold it: integers signed, small types as bytes (int8)."""
    return array.view(held_as(array.dtype))


def held_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype by which reference meanings of bodies hold an element."""
    return np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" or dtype in SMALL_DTYPES else dtype


def is_small(element: Attribute) -> bool:
    """Whether the type is storage only, of fewer than 8 bits or a float of 8."""
    return element in SMALL


def is_small_float(element: Attribute) -> bool:
    """Whether the type is a float of 8 bits or fewer."""
    return element in SMALL_FLOATS


def bits_of(element: Attribute) -> int:
    """Bits of an element's value; memory may take more."""
    if element in SMALL:
        return element.bitwidth  # pyright: ignore[reportAttributeAccessIssue]
    return 8 * dtype_of(element).itemsize


def is_float(element: Attribute) -> bool:
    return isinstance(element, Float16Type | BFloat16Type | Float32Type | Float64Type)


def is_unsigned(element: Attribute) -> bool:
    return isinstance(element, IntegerType) and element.signedness.data is Signedness.UNSIGNED


_BOOL = IntegerType(1)


def is_bool(element: Attribute) -> bool:
    return element == _BOOL
