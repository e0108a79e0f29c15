"""What a rule sees of the node it imports: inputs, attributes, the opset, and how to emit operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from onnx import AttributeProto, TensorProto
from xdsl.ir import Attribute

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr, ExprLike
from ...ir.types import element_of
from .builder import Builder, Held, Operand, Value, ValueList, constant
from .source import Array, dtype_of

Result: TypeAlias = "Held | Sequence[Held]"
Rule: TypeAlias = "Callable[[Node], Result]"
Inline: TypeAlias = "Callable[..., list[Held]]"
Attributes: TypeAlias = "Mapping[str, AttributeProto]"


@dataclass
class Node:
    """A node of the model, with its attributes resolved.

    `values` are its inputs, None for an absent one; `outputs` are the names of its outputs, "" for one that nobody
    asks for."""

    name: str
    operator: str
    domain: str
    opset: int  # version of the operator's domain
    values: Sequence[Held]
    outputs: Sequence[str]
    attributes: Attributes
    builder: Builder
    tensor: Callable[[TensorProto, str], Array]  # reads a tensor of an attribute
    inline: Inline  # imports the graph in an attribute with these inputs: here, or in a body
    mark: Callable[[], Callable[[], None]]  # remembers what is imported; the function that goes back to there
    weight: tuple[str, str] = ("", "")  # file and name by which a constant of this node is found again
    used: set[str] = field(default_factory=set)  # attributes that the rule has asked for

    def within(self, builder: Builder) -> Node:
        """The same node, building in a body."""
        return replace(self, builder=builder)

    # ---- inputs

    def has(self, position: int) -> bool:
        """True when the input is given."""
        return position < len(self.values) and self.values[position] is not None

    def input(self, position: int) -> Value:
        """The input. Raises ModelError when it is absent or a sequence."""
        found = self.optional(position)
        if found is None:
            raise ModelError(f"input {position} is missing")
        return found

    def optional(self, position: int) -> Value | None:
        """The input, None when it is absent. Raises ModelError when it is a sequence."""
        if isinstance(found := self.held(position), ValueList):
            raise ModelError(f"input {position} is a sequence, expected a tensor")
        return found

    def held(self, position: int) -> Held:
        """The input, whatever it is."""
        return self.values[position] if position < len(self.values) else None

    def elements(self, position: int) -> tuple[Value, ...]:
        """The elements of an input that is a sequence. Raises ModelError when it is none."""
        if not isinstance(found := self.held(position), ValueList):
            raise ModelError(f"input {position} is {'missing' if found is None else 'a tensor'}, expected a sequence")
        return found.items

    @property
    def inputs(self) -> list[Value]:
        """All inputs. Raises ModelError when one is absent."""
        return [self.input(i) for i in range(len(self.values))]

    def wants(self, output: int) -> bool:
        """True when the output is used."""
        return output < len(self.outputs) and self.outputs[output] != ""

    def sizes(self, position: int, what: str) -> list[Expr]:
        """The elements of an integer input as expressions; of what is data, symbols that begin with `$`.

        Raises UnsupportedError when it is not even known how many there are."""
        value = self.input(position)
        if value.dtype.kind not in "iu":
            raise ModelError(f"{what} has elements of {value.dtype}, not integers")
        if value.known is None:
            self.builder.read(value, what)
        assert value.known is not None
        return [Expr.of(e) if isinstance(e, Expr) else Expr.const(int(e)) for e in value.known.reshape(-1)]

    def ints(self, position: int, what: str) -> list[int]:
        """The elements of an integer input as numbers. Raises UnsupportedError when they are not known."""
        found = self.sizes(position, what)
        numbers = [e.constant for e in found]
        if None in numbers:
            shown = ", ".join(map(str, found))
            raise UnsupportedError(
                f"{what} is [{shown}], which depends on the inputs' sizes", hint="fix the sizes with --shape"
            )
        return numbers  # type: ignore[return-value]

    def named(self, exprs: Sequence[Expr], what: str) -> list[Expr]:
        """The sizes by symbols of their own, where they are made from data; a negative one ends the run."""
        return self.builder.named(exprs, f"{self.name}.{what}")

    def counted(self, value: Value, what: str) -> Expr:
        """A size that the model computes: the one element of `value`, an integer that is not negative."""
        return self.builder.counted(value, f"{self.name}.{what}")

    def numbers(self, position: int, what: str) -> Array:
        """The elements of an input that must be constant. Raises UnsupportedError when they are not known."""
        if (found := self.input(position).numbers) is None:
            raise UnsupportedError(f"{what} depends on data", hint="ircc needs it as a constant")
        return found

    def axes(self, position: int, attribute: str = "axes") -> list[Expr] | None:
        """Axes by attribute (older opsets) or by input (newer ones); None when neither is given."""
        if attribute in self.attributes:
            return [Expr.const(a) for a in self.attr(attribute, [])]
        return self.sizes(position, attribute) if self.has(position) else None

    # ---- attributes

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value of the default's type. Raises ModelError for another type."""
        self.used.add(name)
        attribute = self.attributes.get(name)
        if attribute is None:  # a default is a float of 32 bits like one that is given
            return float(np.float32(default)) if isinstance(default, float) else default
        found = self._value(attribute)
        if default is not None:
            expected: Any = (int, float) if isinstance(default, float) else type(default)
            if not isinstance(found, expected):
                raise ModelError(f"attribute {name} is {found!r}, expected {type(default).__name__}")
        return found

    def required(self, name: str) -> Any:
        """An attribute without a default. Raises ModelError when it is absent."""
        if name not in self.attributes:
            raise ModelError(f"attribute {name} is missing")
        return self.attr(name)

    def _value(self, attribute: AttributeProto) -> Any:
        match attribute.type:
            case AttributeProto.INT:
                return int(attribute.i)
            case AttributeProto.FLOAT:
                return float(attribute.f)
            case AttributeProto.STRING:
                return attribute.s.decode("utf-8", "replace")
            case AttributeProto.INTS:
                return [int(i) for i in attribute.ints]
            case AttributeProto.FLOATS:
                return [float(f) for f in attribute.floats]
            case AttributeProto.STRINGS:
                return [s.decode("utf-8", "replace") for s in attribute.strings]
            case AttributeProto.TENSOR:
                return self.tensor(attribute.t, f"attribute {attribute.name}")
            case AttributeProto.GRAPH:
                return attribute.g
            case _:
                raise UnsupportedError(f"attribute {attribute.name} has a type that ircc does not read")

    def element(self, name: str, default: int | None = None) -> Attribute:
        """An attribute that names an element type. Raises UnsupportedError for a type that ircc has not."""
        code = self.required(name) if default is None else self.attr(name, default)
        return element_of(dtype_of(code, f"attribute {name}"))

    # ---- emitting

    def emit(self, operator: str, *operands: Operand, **properties: Any) -> Value:
        """The one result of a graph operator, called by its ONNX name."""
        (result,) = self.builder.emit(operator, *operands, **properties)
        return result

    def emit_all(self, operator: str, *operands: Operand, **properties: Any) -> tuple[Value, ...]:
        """All results of a graph operator."""
        return self.builder.emit(operator, *operands, **properties)

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A constant that the rule makes."""
        return constant(np.asarray(value, dtype))

    def like(self, value: Any, other: Value) -> Value:
        """A scalar constant in the element type of another value."""
        return constant(np.asarray(value).astype(other.dtype))

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value in another element type; itself when it has it."""
        return value if value.dtype == np.dtype(dtype) else self.emit("Cast", value, to=element_of(dtype))

    def reshape(self, value: Value, shape: Sequence[ExprLike]) -> Value:
        """The value with these sizes; itself when it has them. The number of elements is checked."""
        sizes = [Expr.of(s) for s in shape]
        return value if value.sizes == tuple(sizes) else self.emit("Reshape", value, shape=sizes)

    def check(self, expr: Expr, message: str) -> None:
        """Demand that the expression is 0 when the model runs."""
        self.builder.check(expr, f"{message} (node '{self.name}')")
