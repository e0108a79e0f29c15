"""A machine's own instructions: declared with their meaning, carried out on windows of buffers, some of them later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    IndexType,
    IntAttr,
    StringAttr,
    SymbolRefAttr,
    UnitAttr,
    i64,
)
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr, ExprLike
from ...ir.indexed import INDEX, Indexed, indexed
from ...ir.operands import SEGMENTS, copied, direct, segmented, segments, walk
from ...ir.syntax import operand_reader, parse_expr, parse_value, print_expr, print_indices
from ...ir.types import BufferType, ExprAttr
from .ops import For, Load, Store
from .program import Signature

Steps = tuple[tuple[int, ...], ...]  # per dim of a window, how far each index of the buffer goes with it


@direct
@irdl_op_definition
class Instruction(Signature, IRDLOperation):
    """An instruction of a machine, declared with its meaning: loops over windows of buffers.

        loop.instruction @mma(%0 "a" : !loop.buffer<[M, K], f32, "tile">, %1 "b" : !loop.buffer<[K, N], f32, "tile">,
                              %2 "c" : !loop.buffer<[M, N], f32, "acc">)
            outputs 1 sizes ["M", "N", "K"] most [16, 16, 16] text "mma {a}, {b}, {c}" { ... }

    An argument is a window of a buffer, of that element type, in that memory space; the last `outputs` ones are
    written. `most` is the largest value of each size. `text` is what a backend makes of it, a template of its own.
    With `queue "in"` an invocation may be started and waited for: those of a queue complete in order. In what order an
    instruction adds up a reduction is the machine's affair. An `else` in it speaks of the buffer that a window lies in.
    C1: arguments are named buffers. C2: every size used is listed, and has its largest value. C3: loads and stores
    name the variable of a loop, or nothing, in each index. C4: the operations are loops, loads, stores and scalar ones.
    """

    name = "loop.instruction"
    sym_name = prop_def(StringAttr)
    names = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(IntAttr)
    size_names = prop_def(ArrayAttr[StringAttr])
    most = prop_def(DenseArrayBase)
    text = prop_def(StringAttr)
    queue = opt_prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        outputs: int,
        body: Region,
        *,
        sizes: Sequence[str],
        most: Sequence[int],
        text: str = "",
        queue: str | None = None,
    ) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "names": ArrayAttr(map(StringAttr, names)),
                "outputs": IntAttr(outputs),
                "size_names": ArrayAttr(map(StringAttr, sizes)),
                "most": DenseArrayBase.from_list(i64, list(most)),
                "text": StringAttr(text),
                "queue": None if queue is None else StringAttr(queue),
            },
            regions=[body],
        )

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(s.data for s in self.size_names)

    @property
    def limits(self) -> dict[str, int]:
        """The largest value of each size."""
        return dict(zip(self.sizes, _numbers(self.most), strict=True))

    @property
    def windows(self) -> tuple[BufferType, ...]:
        """The types of its arguments."""
        return tuple(a.type for a in self.args if isinstance(a.type, BufferType))

    def verify_(self) -> None:
        self.verify_signature()
        used = frozenset().union(*(w.symbols for w in self.windows))
        for op in walk(self):
            if isinstance(attr := op.properties.get("map"), ArrayAttr):
                used = used.union(*(e.data.symbols for e in attr if isinstance(e, ExprAttr)))
        if used - set(self.sizes) or len(self.sizes) != len(self.most):
            raise VerifyException(f"C2 sizes {sorted(used - set(self.sizes))} are not listed, or have no largest value")
        for op in walk(self):
            if op is self:
                continue
            if isinstance(op, Load | Store) and not all(e.single or e.constant == 0 for e in op.exprs):
                raise VerifyException("C3 an index is the variable of a loop, or 0")
            if not isinstance(op, For | Load | Store) and not op.name.startswith(("arith.", "math.")):
                raise VerifyException(f"C4 {op.name} is no part of an instruction")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.enter_scope()
        self.print_args(printer, self.args, self.arg_names)
        printer.print_string(f" outputs {self.outputs.data} sizes ")
        with printer.in_square_brackets():
            printer.print_list(self.sizes, printer.print_string_literal)
        printer.print_string(f" most [{', '.join(map(str, _numbers(self.most)))}] text ")
        printer.print_string_literal(self.text.data)
        if self.queue is not None:
            printer.print_string(" queue ")
            printer.print_string_literal(self.queue.data)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
        printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        args, names = cls.parse_args(parser)
        parser.parse_keyword("outputs")
        outputs = parser.parse_integer()
        parser.parse_keyword("sizes")
        sizes = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)
        parser.parse_keyword("most")
        most = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        parser.parse_keyword("text")
        text = parser.parse_str_literal()
        queue = parser.parse_str_literal() if parser.parse_optional_keyword("queue") else None
        return cls(name, names, outputs, parser.parse_region(args), sizes=sizes, most=most, text=text, queue=queue)


class Window(NamedTuple):
    """An operand of an invocation: a buffer, its index of the window's first element, over d0, d1 ..., and steps."""

    buffer: SSAValue
    first: tuple[Expr, ...]
    steps: Steps

    @property
    def type(self) -> BufferType:
        assert isinstance(self.buffer.type, BufferType)
        return self.buffer.type

    def at(self, place: Sequence[Expr]) -> tuple[Expr, ...]:
        """The buffer's index of a place in the window."""
        found = list(self.first)
        for e, step in zip(place, self.steps, strict=True):
            found = [x + e * n if n else x for x, n in zip(found, step, strict=True)]
        return tuple(found)


def _numbers(attr: Any) -> tuple[int, ...]:
    return tuple(map(int, attr.get_values()))


def identity(rank: int) -> Steps:
    """Steps of a window that has the buffer's own dims."""
    return tuple(tuple(int(i == j) for j in range(rank)) for i in range(rank))


@segmented
@direct
@irdl_op_definition
class Invoke(Indexed, IRDLOperation):
    """Carry out an instruction: `loop.invoke @mma(%x[%i, %k] steps [[2, 0], [0, 1]], %w[%k, 0], %t[0, 0])
    sizes [16, 16, min(16, K - %k)] start`.

    Each operand is a window of a buffer: an index, and for each dim of the window how far it goes through the buffer;
    without steps it has the buffer's dims. With `start` it may happen at any time until a `loop.wait` says that it has
    happened: nobody touches what it writes, or writes what it reads, before. The reference meaning starts it at once.
    C1: the instruction exists. C2: as many windows and sizes as it takes, of its ranks. C3: windows lie in the
    instruction's memory spaces, and have its element types. C4: a size that is a number is at most the largest one.
    C5: what is started has a queue.
    """

    name = "loop.invoke"
    buffers = var_operand_def(BufferType)
    indices = var_operand_def(IndexType())
    callee = prop_def(SymbolRefAttr)
    map = prop_def(ArrayAttr[ExprAttr])
    steps = prop_def(ArrayAttr[ArrayAttr[DenseArrayBase]])
    start = opt_prop_def(UnitAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self,
        instruction: str,
        windows: Sequence[Window],
        sizes: Sequence[ExprLike],
        operands: Sequence[SSAValue] = (),
        *,
        start: bool = False,
    ) -> None:
        flat = [e for w in windows for e in w.first]
        values, attr = indexed(([*flat, *sizes], operands))
        rows = [ArrayAttr(DenseArrayBase.from_list(i64, list(step)) for step in w.steps) for w in windows]
        super().__init__(
            operands=[[w.buffer for w in windows], values],
            properties={
                "callee": SymbolRefAttr(instruction),
                "map": attr,
                "steps": ArrayAttr(rows),
                "start": UnitAttr() if start else None,
            },
        )

    @property
    def instruction(self) -> str:
        """The name of its instruction."""
        return self.callee.root_reference.data

    @property
    def windows(self) -> tuple[Window, ...]:
        found: list[Window] = []
        exprs, at = self.exprs, 0
        for buffer, rows in zip(self.buffers, self.steps, strict=True):
            assert isinstance(buffer.type, BufferType)
            steps = tuple(map(_numbers, rows))
            found.append(Window(buffer, exprs[at : at + buffer.type.rank], steps))
            at += buffer.type.rank
        return tuple(found)

    @property
    def sizes(self) -> tuple[Expr, ...]:
        return self.exprs[sum(b.type.rank for b in self.buffers if isinstance(b.type, BufferType)) :]

    def find(self) -> Instruction:
        """The instruction. Raises VerifyException (C1) when there is none."""
        found = SymbolTable.lookup_symbol(self, self.callee)
        if not isinstance(found, Instruction):
            raise VerifyException(f"C1 there is no instruction {self.instruction!r}")
        return found

    def written(self) -> tuple[SSAValue, ...]:
        """The buffers that it writes."""
        return tuple(self.buffers[len(self.buffers) - self.find().outputs.data :])

    def index_position(self) -> int:
        return len(self.buffers)

    def resegment(self, count: int) -> None:
        self.properties[SEGMENTS] = segments(len(self.operands) - count, count)

    def verify_(self) -> None:
        instruction = self.find()
        if len(self.buffers) != len(instruction.args) or len(self.sizes) != len(instruction.sizes):
            raise VerifyException(f"C2 {self.instruction} takes {len(instruction.args)} windows, and its sizes")
        for window, type_ in zip(self.windows, instruction.windows, strict=True):
            if len(window.steps) != type_.rank or any(len(s) != window.type.rank for s in window.steps):
                raise VerifyException("C2 steps: for each dim of the window, of each of the buffer")
            if (window.type.space, window.type.element_type) != (type_.space, type_.element_type):
                raise VerifyException(f"C3 the window lies in {window.type}, the instruction takes {type_}")
        for (name, most), size in zip(instruction.limits.items(), self.sizes, strict=True):
            if size.constant is not None and size.constant > most:
                raise VerifyException(f"C4 {name} is {size}, more than {most}")
        if self.start is not None and instruction.queue is None:
            raise VerifyException("C5 what is started has a queue")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.instruction)

        def window(w: Window) -> None:
            printer.print_ssa_value(w.buffer)
            print_indices(printer, w.first, self.indices)
            if w.steps != identity(w.type.rank):
                printer.print_string(f" steps {[list(s) for s in w.steps]}")

        with printer.in_parens():
            printer.print_list(self.windows, window)
        printer.print_string(" sizes [")
        printer.print_list(self.sizes, lambda e: print_expr(printer, e, self.indices))
        printer.print_string("]" if self.start is None else "] start")

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        names: list[Any] = []
        read = operand_reader(parser, names)
        square = parser.Delimiter.SQUARE

        def window() -> Window:
            buffer = parse_value(parser)
            index = parser.parse_comma_separated_list(square, lambda: parse_expr(parser, read))
            steps = identity(len(index))
            if parser.parse_optional_keyword("steps"):
                row = lambda: tuple(parser.parse_comma_separated_list(square, parser.parse_integer))  # noqa: E731
                steps = tuple(parser.parse_comma_separated_list(square, row))
            return Window(buffer, tuple(index), steps)

        windows = parser.parse_comma_separated_list(parser.Delimiter.PAREN, window)
        parser.parse_keyword("sizes")
        sizes = parser.parse_comma_separated_list(square, lambda: parse_expr(parser, read))
        start = parser.parse_optional_keyword("start") is not None
        return cls(name, windows, sizes, [parser.resolve_operand(n, INDEX) for n in names], start=start)


@direct
@irdl_op_definition
class Wait(Indexed, IRDLOperation):
    """Wait until all but the last so many instructions that were started in a queue have happened:
    `loop.wait "in" pending 2 * %n`."""

    name = "loop.wait"
    indices = var_operand_def(IndexType())
    queue = prop_def(StringAttr)
    map = prop_def(ArrayAttr[ExprAttr])

    def __init__(self, queue: str, pending: ExprLike = 0, operands: Sequence[SSAValue] = ()) -> None:
        values, attr = indexed(([pending], operands))
        super().__init__(operands=[values], properties={"queue": StringAttr(queue), "map": attr})

    @property
    def pending(self) -> Expr:
        """How many may still be under way."""
        return self.exprs[0]

    def index_position(self) -> int:
        return 0

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.queue.data)
        printer.print_string(" pending ")
        print_expr(printer, self.pending, self.indices)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        queue = parser.parse_str_literal()
        parser.parse_keyword("pending")
        names: list[Any] = []
        pending = parse_expr(parser, operand_reader(parser, names))
        return cls(queue, pending, [parser.resolve_operand(n, INDEX) for n in names])


def inlined(op: Invoke) -> list[Operation]:
    """The operations that an invocation stands for, on the buffers themselves; they stand nowhere yet."""
    instruction = op.find()
    windows = dict(zip(instruction.args, op.windows, strict=True))
    sizes = dict(zip(instruction.sizes, op.sizes, strict=True))
    outer, count = list(op.indices), len(op.indices)

    def over(exprs: Sequence[Expr]) -> list[Expr]:
        """Expressions of the instruction over the operands of the invocation and behind them its own."""
        moved = [e.substitute({d: Expr.dim(count + d) for d in e.dims}) for e in exprs]
        return [e.substitute(symbols=sizes) for e in moved]

    values: dict[SSAValue, SSAValue] = {}

    def block(ops: Sequence[Operation]) -> list[Operation]:
        return [operation(o) for o in ops]

    def operation(o: Operation) -> Operation:
        if isinstance(o, For):
            operands = [*outer, *(values[v] for v in o.indices)]
            new: Operation = o.like(bounds=tuple(over(o.exprs)), operands=operands)
            assert isinstance(new, For)
            values[o.iv] = new.iv
            new.body.block.add_ops(block(list(o.body.block.ops)))
            return new
        if isinstance(o, Load | Store):
            window = windows[o.buf]  # pyright: ignore[reportArgumentType]
            at = window.at(over(o.exprs)), [*outer, *(values[v] for v in o.indices)]
            if isinstance(o, Load):
                otherwise = None if o.otherwise is None else values[o.otherwise]
                new = Load(window.buffer, at, otherwise=otherwise)
                values[o.value] = new.value
                return new
            return Store(values[o.value], window.buffer, at, skip=o.tolerant)
        return copied(o, values)

    return block(list(instruction.body.block.ops))


def expand(root: Operation) -> bool:
    """Replace the invocations below an operation by what they stand for, and drop the waits; whether there were any."""
    found = [op for op in walk(root) if isinstance(op, Invoke | Wait)]
    for op in found:
        block = op.parent
        assert isinstance(block, Block)
        if isinstance(op, Invoke):
            block.insert_ops_before(inlined(op), op)
        op.detach()
        op.erase()
    return bool(found)


def invoked(root: Operation, buffer: SSAValue | None = None) -> list[Invoke]:
    """The invocations below an operation, of all or of those on a buffer."""
    return [o for o in walk(root) if isinstance(o, Invoke) and (buffer is None or buffer in o.buffers)]
