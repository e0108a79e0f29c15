"""Bodies of control flow: functions of their own, built beside the function that calls them."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, FunctionType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from ...ir.types import TensorType
from .builder import Builder, Held, Value, ValueList, hint


class Body:
    """A function under construction. Its arguments come first; behind them, what it captures of the caller.

    `within` is the body that calls it, where what it captures comes from further out."""

    def __init__(self, caller: Builder, name: str, within: Body | None = None) -> None:
        self.caller, self.within = caller, within
        self.function = FuncOp(caller.unique(name), ([], []), visibility="private")
        self.builder = Builder(self.function.body.block, caller)
        self.builder.nodes = caller.nodes
        self._kept: list[Value] = []
        self._captured: dict[int, tuple[Value, Value]] = {}  # by identity: the caller's value, and what stands for it

    @property
    def name(self) -> str:
        return self.function.sym_name.data

    def argument(self, type_: TensorType, name: str = "") -> Value:
        """A new argument. All of them are made before anything is captured."""
        assert not self.captured
        return self._argument(type_, name)

    def _argument(self, type_: TensorType, name: str | None) -> Value:
        block = self.function.body.block
        found = block.insert_arg(type_, len(block.args))
        found.name_hint = hint(name or "")
        return Value(type_, None, found)

    def take(self, value: Value) -> Value:
        """What stands for a value of the caller in the body: what is known stays known, anything else is captured."""
        if id(value) not in self._captured:
            outer = value if self.within is None else self.within.take(value)
            if outer.known is not None:
                inner = Value(outer.type, outer.known, None, outer.file, outer.name)
            else:
                assert outer.ssa is not None
                inner = self._argument(outer.type, outer.ssa.name_hint)
            inner.loose = outer.loose
            self._captured[id(value)] = (outer, inner)
            self._kept.append(value)  # its identity stays its own
        return self._captured[id(value)][1]

    def take_all(self, held: Held) -> Held:
        """`take` for whatever a name stands for."""
        if isinstance(held, ValueList):
            return ValueList(tuple(map(self.take, held.items)))
        return None if held is None else self.take(held)

    @property
    def captured(self) -> list[Value]:
        """The caller's values behind the arguments, in their order."""
        return [outer for outer, inner in self._captured.values() if isinstance(inner.ssa, BlockArgument)]

    def is_captured(self, value: SSAValue) -> bool:
        """Whether a value of the body is one of the caller's, the same each time that the body runs."""
        return any(inner.ssa is value for _, inner in self._captured.values())

    def emit(self, operator: str, *operands: Value | None, **properties: object) -> Value:
        """The one result of a graph operator in the body."""
        (result,) = self.builder.emit(operator, *operands, **properties)
        return result

    def finish(self, results: Sequence[Value]) -> FuncOp:
        """End the function, which joins the module, with these results."""
        values = [self.builder.place(r) for r in results]
        block = self.function.body.block
        block.add_op(ReturnOp(*values))
        self.function.function_type = FunctionType.from_lists(block.arg_types, [v.type for v in values])
        if self.builder.checks:
            self.function.attributes["ircc.checks"] = ArrayAttr(self.builder.checks)
        self.caller.functions.append(self.function)
        return self.function


def add_control(builder: Builder, op: Operation) -> tuple[Value, ...]:
    """Put a control operation into the function that is built; its results."""
    builder.place_operation(op)
    return tuple(Value(tensor_type(r), None, r) for r in op.results)


def tensor_type(value: SSAValue) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type
