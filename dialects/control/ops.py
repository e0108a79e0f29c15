"""Operations of the control dialect.

What runs under a condition or again and again is a function of its own, `func.func private @name` behind `@main`. Such
a body sees nothing around it but size symbols: the tensors that it captures are operands of the operation, and
arguments of the body. Each body is called by one operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, StringAttr, SymbolRefAttr, i1
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure, SymbolTable
from xdsl.utils.exceptions import VerifyException

from ...ir.evaluator import Environment, call
from ...ir.expr import ONE, Expr, ExprLike
from ...ir.nodes import set_nodes
from ...ir.syntax import parse_expr, parse_value
from ...ir.types import ExprAttr, TensorType

Types = list[TensorType]


def callee(op: Operation, name: str) -> FuncOp:
    """The body that an operation calls. Raises VerifyException where there is none."""
    found = SymbolTable.lookup_symbol(op, name)
    if not isinstance(found, FuncOp):
        raise VerifyException(f"there is no function @{name}")
    return found


def called(op: Operation) -> Iterator[FuncOp]:
    """The bodies of an operation, none for one of another dialect."""
    match op:
        case If():
            yield from (callee(op, op.then), callee(op, op.otherwise))
        case Loop():
            yield callee(op, op.body)
        case _:
            return


def signature(function: FuncOp) -> tuple[Types, Types]:
    """Types of a body's arguments and results."""
    last = function.body.block.last_op
    assert isinstance(last, ReturnOp)
    return _types(function.body.block.args), _types(last.arguments)


def _types(values: Sequence[SSAValue]) -> Types:
    assert all(isinstance(v.type, TensorType) for v in values)
    return [v.type for v in values]  # pyright: ignore[reportReturnType]


def _in_module(op: Operation) -> bool:
    """Whether the bodies can be looked up: not while an operation is built or moved."""
    parent = op.parent_op()
    while parent is not None and not parent.has_trait(SymbolTable):
        parent = parent.parent_op()
    return parent is not None


def _is_condition(type_: Attribute) -> bool:
    return isinstance(type_, TensorType) and type_.element_type == i1 and type_.elements == ONE


def _print_values(printer: Printer, values: Sequence[SSAValue]) -> None:
    with printer.in_parens():
        printer.print_list(values, printer.print_ssa_value)


def _parse_values(parser: Parser) -> list[SSAValue]:
    return parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_value(parser))


def _strings(names: Sequence[str]) -> ArrayAttr[StringAttr]:
    return ArrayAttr(map(StringAttr, names))


@irdl_op_definition
class If(IRDLOperation):
    """The results of one of two bodies: `%y = control.if %c then @f(%a) else @g(%b) : !graph.tensor<[N], f32>`.

    Only the body that is chosen is computed. With `sizes ["n"]` the operation defines size symbols: sizes of results
    that each body knows in its own way.
    C1: the condition is one bool. C2: each body takes what it is given, and gives results of the operation's types;
    where a size of the operation is one of its own symbols, a body may have any. C3: each symbol is a size of a
    result.
    """

    name = "control.if"
    condition = operand_def(TensorType)
    then_captured = var_operand_def(TensorType)
    else_captured = var_operand_def(TensorType)
    then_body = prop_def(SymbolRefAttr)
    else_body = prop_def(SymbolRefAttr)
    names = prop_def(ArrayAttr[StringAttr])
    outputs = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    def __init__(
        self,
        condition: SSAValue,
        then: tuple[str, Sequence[SSAValue]],
        otherwise: tuple[str, Sequence[SSAValue]],
        results: Sequence[Attribute],
        sizes: Sequence[str] = (),
        nodes: Sequence[str] = (),
    ) -> None:
        super().__init__(
            operands=[condition, list(then[1]), list(otherwise[1])],
            properties={
                "then_body": SymbolRefAttr(then[0]),
                "else_body": SymbolRefAttr(otherwise[0]),
                "names": _strings(sizes),
            },
            result_types=[list(results)],
        )
        set_nodes(self, nodes)

    @property
    def then(self) -> str:
        return self.then_body.root_reference.data

    @property
    def otherwise(self) -> str:
        return self.else_body.root_reference.data

    @property
    def sizes(self) -> tuple[str, ...]:
        """The size symbols that the operation defines."""
        return tuple(n.data for n in self.names)

    @property
    def branches(self) -> tuple[tuple[str, Sequence[SSAValue]], tuple[str, Sequence[SSAValue]]]:
        """Each body with what it captures."""
        return (self.then, self.then_captured), (self.otherwise, self.else_captured)

    def verify_(self) -> None:
        if not _is_condition(self.condition.type):
            raise VerifyException(f"C1 a condition is one bool, not {self.condition.type}")
        results = _types(self.outputs)
        own = {Expr.symbol(name) for name in self.sizes}
        if own - {size for t in results for size in t.sizes}:
            raise VerifyException(f"C3 symbols {sorted(map(str, own))} are sizes of results")
        if not _in_module(self):
            return
        for name, captured in self.branches:
            given, made = signature(callee(self, name))
            if given != _types(captured):
                raise VerifyException(f"C2 @{name} takes {given}, {_types(captured)} is given")
            fits = [
                a.element_type == b.element_type
                and a.rank == b.rank
                and all(x == y or y in own for x, y in zip(a.sizes, b.sizes, strict=True))
                for a, b in zip(made, results, strict=False)
            ]
            if len(made) != len(results) or not all(fits):
                raise VerifyException(f"C2 @{name} gives {made}, the results are {results}")

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        chosen = self.branches[0 if bool(env.values[self.condition].reshape(())) else 1]
        found = call(callee(self, chosen[0]), [env.values[v] for v in chosen[1]], env.symbols)
        for value, array in zip(self.outputs, found, strict=True):
            assert isinstance(value.type, TensorType)
            for size, actual in zip(value.type.sizes, array.shape, strict=True):
                env.symbols.update({n: actual for n in self.sizes if size == Expr.symbol(n)})
            env.values[value] = array

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.condition)
        for word, (name, captured) in zip(("then", "else"), self.branches, strict=True):
            printer.print_string(f" {word} ")
            printer.print_symbol_name(name)
            _print_values(printer, captured)
        if self.sizes:
            printer.print_string(" sizes ")
            with printer.in_square_brackets():
                printer.print_list(self.sizes, printer.print_string_literal)
        printer.print_op_attributes(self.attributes)
        if len(self.outputs):
            printer.print_string(" : ")
            printer.print_list(self.outputs, lambda v: printer.print_attribute(v.type))

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        condition = parse_value(parser)
        branches: list[tuple[str, list[SSAValue]]] = []
        for word in ("then", "else"):
            parser.parse_keyword(word)
            branches.append((parser.parse_symbol_name().data, _parse_values(parser)))
        sizes: list[str] = []
        if parser.parse_optional_keyword("sizes"):
            sizes = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)
        attributes = parser.parse_optional_attr_dict()
        types: list[Attribute] = []
        if parser.parse_optional_punctuation(":"):
            types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        op = cls(condition, branches[0], branches[1], types, sizes)
        op.attributes |= attributes
        return op


@irdl_op_definition
class Loop(IRDLOperation):
    """A body again and again, with states that go from one iteration to the next, and rows of inputs and outputs.

        %h, %ys = control.loop @body "$i" to N while %c counts "n" states (%h0) scanned (%x, reversed %z)
            captured (%w) : !graph.tensor<[64], f32>, !graph.tensor<[n, 64], f32>

    Iteration "$i" = 0, 1, ... runs while it is below the bound N, and while the condition holds; one of both may be
    missing. The body takes the states, row "$i" of each scanned input (`reversed`: row N - 1 - "$i") and what is
    captured. It gives the next condition, if there is a condition, then the next states, then one row of each scanned
    output (written last to first, where the result is `reversed`). `counts` names the number of iterations that ran.
    A state may grow: sizes of the body's argument name "$i", the state before the loop has them at 0, what the body
    gives at the next iteration, and the result at the number of iterations.
    C1: a condition is one bool. C2: there is a bound, or a condition. C3: the body's types are those of states, rows
    and captured tensors, and what it gives fits. C4: a scanned input has as many rows as the bound says. C5: an
    output has as many rows as iterations ran: the bound, or with a condition the symbol that `counts` names. C6: what
    is scanned in reverse has a bound, and an output no condition. C7: a state that grows has a bound.
    """

    name = "control.loop"
    condition = opt_operand_def(TensorType)
    states = var_operand_def(TensorType)
    scanned = var_operand_def(TensorType)
    captured = var_operand_def(TensorType)
    function = prop_def(SymbolRefAttr)
    iteration = prop_def(StringAttr)
    trip = opt_prop_def(ExprAttr)
    count = opt_prop_def(StringAttr)
    backward = prop_def(ArrayAttr[BoolAttr])  # of scanned inputs, then of scanned outputs
    outputs = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    def __init__(
        self,
        body: str,
        iteration: str,
        results: Sequence[Attribute],
        *,
        bound: ExprLike | None = None,
        condition: SSAValue | None = None,
        count: str | None = None,
        states: Sequence[SSAValue] = (),
        scanned: Sequence[SSAValue] = (),
        captured: Sequence[SSAValue] = (),
        backward: Sequence[bool] | None = None,
        nodes: Sequence[str] = (),
    ) -> None:
        flags = [False] * (len(scanned) + len(results) - len(states)) if backward is None else backward
        super().__init__(
            operands=[condition, list(states), list(scanned), list(captured)],
            properties={
                "function": SymbolRefAttr(body),
                "iteration": StringAttr(iteration),
                "trip": None if bound is None else ExprAttr(Expr.of(bound)),
                "count": None if count is None else StringAttr(count),
                "backward": ArrayAttr(BoolAttr.from_bool(f) for f in flags),
            },
            result_types=[list(results)],
        )
        set_nodes(self, nodes)

    @property
    def body(self) -> str:
        return self.function.root_reference.data

    @property
    def symbol(self) -> str:
        """The number of the iteration, in the body."""
        return self.iteration.data

    @property
    def bound(self) -> Expr | None:
        return None if self.trip is None else self.trip.data

    @property
    def sizes(self) -> tuple[str, ...]:
        """The size symbols that the operation defines."""
        return () if self.count is None else (self.count.data,)

    @property
    def rows(self) -> Expr | None:
        """How many iterations run; None where nothing names that."""
        if self.count is not None:
            return Expr.symbol(self.count.data)
        return self.bound if self.condition is None else None

    @property
    def finals(self) -> Sequence[SSAValue]:
        """The results that are states."""
        return self.outputs[: len(self.states)]

    @property
    def collected(self) -> Sequence[SSAValue]:
        """The results that are made of rows."""
        return self.outputs[len(self.states) :]

    @property
    def flags(self) -> list[bool]:
        """Whether each scanned input, then each scanned output, goes from the last row to the first."""
        return [bool(f.value.data) for f in self.backward]

    def row(self, position: int) -> Expr:
        """The row of a scanned input, or of an output behind the inputs, that belongs to this iteration."""
        here = Expr.symbol(self.symbol)
        if not self.flags[position]:
            return here
        assert self.bound is not None
        return self.bound - 1 - here

    def verify_(self) -> None:
        if self.condition is not None and not _is_condition(self.condition.type):
            raise VerifyException(f"C1 a condition is one bool, not {self.condition.type}")
        if self.condition is None and self.bound is None:
            raise VerifyException("C2 a loop ends: by a bound, or by a condition")
        for value in _types(self.scanned):
            if value.rank == 0 or self.bound is None or value.sizes[0] != self.bound:
                raise VerifyException(f"C4 a scanned input is {value}, the bound {self.bound}")
        for value in _types(self.collected):
            if value.rank == 0 or self.rows is None or value.sizes[0] != self.rows:
                raise VerifyException(f"C5 an output is {value}, the iterations are {self.rows}")
        scans = len(self.scanned)
        if len(self.flags) != scans + len(self.collected):
            raise VerifyException("C6 a direction for each scanned input and output")
        if (any(self.flags) and self.bound is None) or (any(self.flags[scans:]) and self.condition is not None):
            raise VerifyException("C6 what goes in reverse has a bound, and an output no condition")
        if not _in_module(self):
            return
        given, made = signature(callee(self, self.body))
        rows = [TensorType.of(t.sizes[1:], t.element_type) for t in _types(self.scanned)]
        inside = given[: len(self.states)]
        if [t.at(self.symbol, 0) for t in inside] != _types(self.states) or (
            given[len(inside) :] != [*rows, *_types(self.captured)]
        ):
            raise VerifyException(f"C3 @{self.body} takes {given}")
        if self.condition is not None and not (made and _is_condition(made.pop(0))):
            raise VerifyException(f"C3 @{self.body} gives no condition")
        collected = [TensorType.of(t.sizes[1:], t.element_type) for t in _types(self.collected)]
        if made != [*(t.at(self.symbol, Expr.symbol(self.symbol) + 1) for t in inside), *collected]:
            raise VerifyException(f"C3 @{self.body} gives {made}")
        if any(self.symbol in t.symbols for t in inside) and (self.bound is None or self.rows is None):
            raise VerifyException("C7 a state that grows has a bound, and how many iterations run has a name")
        if _types(self.finals) != [t if self.rows is None else t.at(self.symbol, self.rows) for t in inside]:
            raise VerifyException(f"C3 the states of @{self.body} end as {_types(self.finals)}")

    def interpret(self, env: Environment) -> None:
        """The reference evaluator's step."""
        body = callee(self, self.body)
        bound = None if self.bound is None else env.size(self.bound)
        states = [env.values[v] for v in self.states]
        scanned = [env.values[v] for v in self.scanned]
        captured = [env.values[v] for v in self.captured]
        rows: list[list[Any]] = [[] for _ in self.collected]
        going = self.condition is None or bool(env.values[self.condition].reshape(()))
        n = 0
        while going and (bound is None or n < bound):
            slices = [x[len(x) - 1 - n if back else n] for x, back in zip(scanned, self.flags, strict=False)]
            found = call(body, [*states, *slices, *captured], {**env.symbols, self.symbol: n})
            if self.condition is not None:
                going = bool(found.pop(0).reshape(()))
            states = found[: len(states)]
            for row, made in zip(rows, found[len(states) :], strict=True):
                row.append(made)
            n += 1
        if self.count is not None:
            env.symbols[self.count.data] = n
        env.values.update(zip(self.finals, states, strict=True))
        for value, row, back in zip(self.collected, rows, self.flags[len(scanned) :], strict=True):
            assert isinstance(value.type, TensorType)
            shape = [n, *(env.size(s) for s in value.type.sizes[1:])]
            env.values[value] = np.array(row[::-1] if back else row, value.type.dtype).reshape(shape)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.body)
        printer.print_string(" ")
        printer.print_string_literal(self.symbol)
        if self.bound is not None:
            printer.print_string(f" to {self.bound}")
        if self.condition is not None:
            printer.print_string(" while ")
            printer.print_ssa_value(self.condition)
        if self.count is not None:
            printer.print_string(" counts ")
            printer.print_string_literal(self.count.data)

        def directed(item: tuple[SSAValue, bool]) -> None:
            printer.print_string("reversed " * item[1])
            printer.print_ssa_value(item[0])

        if self.states:
            printer.print_string(" states ")
            _print_values(printer, self.states)
        if self.scanned:
            printer.print_string(" scanned ")
            with printer.in_parens():
                printer.print_list(zip(self.scanned, self.flags, strict=False), directed)
        if self.captured:
            printer.print_string(" captured ")
            _print_values(printer, self.captured)
        printer.print_op_attributes(self.attributes)

        def result(item: tuple[SSAValue, bool]) -> None:
            printer.print_string("reversed " * item[1])
            printer.print_attribute(item[0].type)

        if len(self.outputs):
            printer.print_string(" : ")
            flags = [False] * len(self.states) + self.flags[len(self.scanned) :]
            printer.print_list(zip(self.outputs, flags, strict=True), result)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        body, iteration = parser.parse_symbol_name().data, parser.parse_str_literal()
        bound = parse_expr(parser) if parser.parse_optional_keyword("to") else None
        condition = parse_value(parser) if parser.parse_optional_keyword("while") else None
        count = parser.parse_str_literal() if parser.parse_optional_keyword("counts") else None
        flags: list[bool] = []

        def directed() -> SSAValue:
            flags.append(parser.parse_optional_keyword("reversed") is not None)
            return parse_value(parser)

        states = _parse_values(parser) if parser.parse_optional_keyword("states") else []
        scanned: list[SSAValue] = []
        if parser.parse_optional_keyword("scanned"):
            scanned = parser.parse_comma_separated_list(parser.Delimiter.PAREN, directed)
        captured = _parse_values(parser) if parser.parse_optional_keyword("captured") else []
        attributes = parser.parse_optional_attr_dict()
        results: list[bool] = []

        def result() -> Attribute:
            results.append(parser.parse_optional_keyword("reversed") is not None)
            return parser.parse_type()

        types: list[Attribute] = []
        if parser.parse_optional_punctuation(":"):
            types = parser.parse_comma_separated_list(parser.Delimiter.NONE, result)
        op = cls(
            body, iteration, types, bound=bound, condition=condition, count=count, states=states, scanned=scanned,
            captured=captured, backward=[*flags, *results[len(states) :]],
        )  # fmt: skip
        op.attributes |= attributes
        return op
