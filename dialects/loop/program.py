"""Kernels and the host program that calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr, SymbolRefAttr
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr, ExprLike
from ...ir.nodes import set_nodes
from ...ir.operands import direct, walk
from ...ir.syntax import parse_expr, parse_value
from ...ir.types import BufferType, Check, ExprAttr, exprs
from ...ir.weights import Weight, array_of
from .alloc import Alloc
from .host import While, defined_symbols, host_ops
from .ops import For

ON = "on"  # attribute of a kernel: the backend that runs it, or `host`, where the module is for a device
WHY = "because"  # ... and why that is not the one that the module is for
HOST_CALL = "host"  # attribute of a call that works on the host's memory, and what ON says then
ARENA = "arena"  # attribute of a program: bytes of memory that its buffers share, once they are placed


def _strings(values: Iterable[str]) -> ArrayAttr[StringAttr]:
    return ArrayAttr(StringAttr(v) for v in values)


class Signature:
    """What kernels and programs share: named buffer arguments, written `@f(%0 "x" : !loop.buffer<...>, ...)`."""

    @property
    def args(self) -> tuple[BlockArgument, ...]:
        return self.body.block.args  # pyright: ignore

    @property
    def arg_names(self) -> tuple[str, ...]:
        return tuple(n.data for n in self.names)  # pyright: ignore

    @staticmethod
    def print_args(printer: Printer, args: Sequence[BlockArgument], names: Sequence[str]) -> None:
        def argument(pair: tuple[BlockArgument, str]) -> None:
            printer.print_ssa_value(pair[0])
            printer.print_string(" ")
            printer.print_string_literal(pair[1])
            printer.print_string(" : ")
            printer.print_attribute(pair[0].type)

        with printer.in_parens():
            printer.print_list(zip(args, names, strict=True), argument)

    @staticmethod
    def parse_args(parser: Parser) -> tuple[list[Any], list[str]]:
        args: list[Any] = []
        names: list[str] = []

        def argument() -> None:
            found = parser.parse_argument(expect_type=False)
            names.append(parser.parse_str_literal())
            parser.parse_punctuation(":")
            args.append(found.resolve(parser.parse_type()))

        parser.parse_comma_separated_list(parser.Delimiter.PAREN, argument)
        return args, names

    def verify_signature(self) -> None:
        if len(self.arg_names) != len(self.args) or not all(isinstance(a.type, BufferType) for a in self.args):
            raise VerifyException("C1 arguments are named buffers")


def _print_strings(printer: Printer, keyword: str, values: Iterable[StringAttr]) -> None:
    printer.print_string(f" {keyword} ")
    with printer.in_square_brackets():
        printer.print_list(values, lambda v: printer.print_string_literal(v.data))


def _parse_strings(parser: Parser, keyword: str) -> list[str]:
    if not parser.parse_optional_keyword(keyword):
        return []
    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)


def _print_lines(printer: Printer, keyword: str, text: str) -> None:
    """A text of several lines, each a string of its own, so that a person can read and edit it."""
    lines = text.split("\n") if text else []
    printer.print_string(f" {keyword} ")
    with printer.in_square_brackets():
        with printer.indented():
            for i, line in enumerate(lines):
                printer.print_string("," * (i > 0) + "\n")
                printer.print_string_literal(line)
        printer.print_string("\n" if lines else "")


def _parse_lines(parser: Parser) -> str:
    return "\n".join(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal))


@direct
@irdl_op_definition
class Kernel(Signature, IRDLOperation):
    """A kernel: loop nests over named buffers; the last `outputs` of them are written.

        loop.kernel @matmul(%0 "A" : !loop.buffer<[M, 64], f32>, ...) outputs 1 sizes ["M"] strategy "x" { ... }

    `sizes` names the symbols it uses, in the order in which calls pass them. `strategy` says what kind of nest it is;
    `schedule ["split i 8 -> i ii", ...]` has the loop rewrites for it, a line each, and becomes `applied [...]` when
    they are carried out.
    C1: arguments are named buffers. C2: every size symbol used is listed in `sizes`. C3: names are distinct.
    """

    name = "loop.kernel"
    sym_name = prop_def(StringAttr)
    names = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(IntAttr)
    size_names = prop_def(ArrayAttr[StringAttr])
    strategy = opt_prop_def(StringAttr)
    schedule = opt_prop_def(StringAttr)
    applied = opt_prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        outputs: int,
        body: Region,
        *,
        sizes: Sequence[str] | None = None,
        strategy: str | None = None,
        schedule: str | None = None,
        applied: str | None = None,
        nodes: Sequence[str] = (),
    ) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "names": _strings(names),
                "outputs": IntAttr(outputs),
                "size_names": _strings(sizes or ()),
                "strategy": None if strategy is None else StringAttr(strategy),
                "schedule": None if schedule is None else StringAttr(schedule),
                "applied": None if applied is None else StringAttr(applied),
            },
            regions=[body],
        )
        if sizes is None:
            self.properties["size_names"] = _strings(sorted(self.used_symbols()))
        set_nodes(self, nodes)

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(s.data for s in self.size_names)

    @property
    def written(self) -> tuple[BlockArgument, ...]:
        """The arguments that the kernel writes."""
        return self.args[len(self.args) - self.outputs.data :]

    @property
    def on(self) -> str:
        """The backend that runs it, or `host`, where that has been decided; else empty."""
        found = self.attributes.get(ON)
        return found.data if isinstance(found, StringAttr) else ""

    @property
    def on_host(self) -> bool:
        """Whether it runs on the machine that a device belongs to."""
        return self.on == HOST_CALL

    def buffers(self) -> dict[str, SSAValue]:
        """All buffers by name: arguments and private ones."""
        found: dict[str, SSAValue] = dict(zip(self.arg_names, self.args, strict=True))
        for op in walk(self):
            if isinstance(op, Alloc):
                found.setdefault(op.label.data, op.buffer)
        return found

    def loops(self, label: str | None = None) -> list[For]:
        """All loops, or those of a label, in order."""
        return [op for op in walk(self) if op.regions and isinstance(op, For) and label in (None, op.tag)]

    def used_symbols(self) -> frozenset[str]:
        """Size symbols that appear anywhere in the kernel."""
        found: set[str] = set()
        for arg in self.args:
            assert isinstance(arg.type, BufferType)
            found |= arg.type.symbols | arg.type.offset.symbols
        for op in walk(self):
            if isinstance(attr := op.properties.get("map"), ArrayAttr):
                for e in attr:
                    assert isinstance(e, ExprAttr)
                    found |= e.data.symbols
        return frozenset(found)

    def verify_(self) -> None:
        self.verify_signature()
        if missing := self.used_symbols() - set(self.sizes):
            raise VerifyException(f"C2 sizes {sorted(missing)} are used but not listed")
        if len({*self.arg_names}) != len(self.arg_names):
            raise VerifyException("C3 argument names are distinct")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.enter_scope()
        self.print_args(printer, self.args, self.arg_names)
        printer.print_string(f" outputs {self.outputs.data}")
        if self.sizes:
            _print_strings(printer, "sizes", self.size_names)
        if self.strategy is not None:
            printer.print_string(" strategy ")
            printer.print_string_literal(self.strategy.data)
        for keyword, text in (("schedule", self.schedule), ("applied", self.applied)):
            if text is not None:
                _print_lines(printer, keyword, text.data)
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
        printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        args, names = cls.parse_args(parser)
        parser.parse_keyword("outputs")
        outputs = parser.parse_integer()
        sizes = _parse_strings(parser, "sizes")
        texts = {"strategy": parser.parse_str_literal()} if parser.parse_optional_keyword("strategy") else {}
        texts |= {k: _parse_lines(parser) for k in ("schedule", "applied") if parser.parse_optional_keyword(k)}
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        op = cls(name, names, outputs, parser.parse_region(args), sizes=sizes, **texts)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Program(Signature, IRDLOperation):
    """The host program: one run. Inputs come first, then the `outputs` buffers it writes.

        loop.program @main(%0 "x" : !loop.buffer<[N, 64], f32>, %1 "y" : ...) outputs 1 checks [#ir.check<...>] { ... }

    Its body is loop.constant, loop.alloc, loop.call and what host.py has, in order. Size symbols take their values
    from the inputs' sizes, or from data while it runs (`late` ones); `checks` must be 0, as soon as they are known.
    C1: arguments are named buffers. C2: every symbol is a size of an input, or comes from data.
    """

    name = "loop.program"
    sym_name = prop_def(StringAttr)
    names = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(IntAttr)
    checks = prop_def(ArrayAttr[Check])
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())

    def __init__(
        self, name: str, names: Sequence[str], outputs: int, body: Region, checks: Iterable[Check] = ()
    ) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "names": _strings(names),
                "outputs": IntAttr(outputs),
                "checks": ArrayAttr(checks),
            },
            regions=[body],
        )

    @property
    def inputs(self) -> tuple[BlockArgument, ...]:
        return self.args[: len(self.args) - self.outputs.data]

    @property
    def written(self) -> tuple[BlockArgument, ...]:
        return self.args[len(self.args) - self.outputs.data :]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The size symbols that are known before a run, sorted."""
        return tuple(sorted(self._symbols(self.inputs)))

    @property
    def late(self) -> frozenset[str]:
        """The symbols that become known while it runs."""
        found = {op.iteration.data for op in host_ops(self.body.block) if isinstance(op, While)}
        return frozenset(found.union(*map(defined_symbols, host_ops(self.body.block))))

    @property
    def ops(self) -> Iterator[Operation]:
        """All operations in order, those in parts of it included."""
        return host_ops(self.body.block)

    @staticmethod
    def _symbols(args: Iterable[BlockArgument]) -> frozenset[str]:
        return frozenset().union(*(a.type.symbols for a in args if isinstance(a.type, BufferType)))

    def verify_(self) -> None:
        self.verify_signature()
        defined = {str(s) for a in self.inputs if isinstance(a.type, BufferType) for s in a.type.sizes}
        for symbol in sorted(self._symbols(self.args) - self.late):
            if str(Expr.symbol(symbol)) not in defined:
                raise VerifyException(f"C2 symbol {symbol!r} is the size of no input")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.enter_scope()
        self.print_args(printer, self.args, self.arg_names)
        printer.print_string(f" outputs {self.outputs.data}")
        if len(self.checks):
            printer.print_string(" checks ")
            printer.print_attribute(self.checks)
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
        printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        args, names = cls.parse_args(parser)
        parser.parse_keyword("outputs")
        outputs = parser.parse_integer()
        checks: Any = parser.parse_attribute() if parser.parse_optional_keyword("checks") else ()
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        op = cls(name, names, outputs, parser.parse_region(args), checks)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Constant(IRDLOperation):
    """Constant data in memory, in the buffer's layout: `loop.constant #ir.weight<...> : !loop.buffer<[64, 64], f32>`.

    The data is in row-major order of the logical indices; the engine stores it in the layout.
    C1: the sizes are numbers.
    """

    name = "loop.constant"
    value = prop_def(Weight)
    buffer = result_def(BufferType)

    def __init__(self, value: Attribute, type_: BufferType) -> None:
        super().__init__(properties={"value": value}, result_types=[type_])

    @property
    def type(self) -> BufferType:
        assert isinstance(self.buffer.type, BufferType)
        return self.buffer.type

    @property
    def array(self) -> Any:
        """The data, row-major. Raises IRError when a reference cannot be found."""
        assert self.type.static_shape is not None
        return array_of(self.value, self.type.dtype, self.type.static_shape)

    def verify_(self) -> None:
        if self.type.static_shape is None:
            raise VerifyException("C1 a constant has constant sizes")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        weight = parser.parse_attribute()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        assert isinstance(type_, BufferType)
        op = cls(weight, type_)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Call(IRDLOperation):
    """Run a kernel: `loop.call @k(%a, %b) sizes [N, H floordiv 2] {nodes = ["Conv_0"]}`; with `{host}` on the memory of
    the host, where others work on a device's.

    C1: the kernel exists. C2: the buffers have its arguments' types, once its sizes are what the call passes.
    C3: as many sizes as it takes.
    """

    name = "loop.call"
    kernel = prop_def(SymbolRefAttr)
    sizes = prop_def(ArrayAttr[ExprAttr])
    buffers = var_operand_def(BufferType)

    def __init__(
        self, kernel: str, buffers: Sequence[SSAValue], sizes: Sequence[ExprLike] = (), nodes: Sequence[str] = ()
    ) -> None:
        super().__init__(operands=[buffers], properties={"kernel": SymbolRefAttr(kernel), "sizes": exprs(sizes)})
        set_nodes(self, nodes)

    @property
    def callee(self) -> str:
        return self.kernel.root_reference.data

    @property
    def on_host(self) -> bool:
        """Whether it works on the host's memory."""
        return HOST_CALL in self.attributes

    def find(self) -> Kernel:
        """The kernel. Raises VerifyException (C1) when there is none."""
        found = SymbolTable.lookup_symbol(self, self.kernel)
        if not isinstance(found, Kernel):
            raise VerifyException(f"C1 there is no kernel {self.callee!r}")
        return found

    def bound(self, kernel: Kernel) -> dict[str, Expr]:
        """What the kernel's sizes are in this call."""
        return {n: e.data for n, e in zip(kernel.sizes, self.sizes, strict=True)}

    def verify_(self) -> None:
        kernel = self.find()
        if len(kernel.sizes) != len(self.sizes):
            raise VerifyException(f"C3 {self.callee} takes {len(kernel.sizes)} sizes")
        if len(kernel.args) != len(self.buffers):
            raise VerifyException(f"C2 {self.callee} takes {len(kernel.args)} buffers")
        values = self.bound(kernel)
        for given, arg in zip(self.buffers, kernel.args, strict=True):
            assert isinstance(given.type, BufferType) and isinstance(arg.type, BufferType)
            layout = arg.type.layout.data.substitute(symbols=values) if isinstance(arg.type.layout, ExprAttr) else None
            expected = BufferType.of(
                [s.substitute(symbols=values) for s in arg.type.sizes],
                arg.type.element_type,
                arg.type.space.data,
                layout,
            )
            if given.type != expected:
                raise VerifyException(f"C2 {self.callee}: buffer is {given.type}, expected {expected}")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.callee)
        with printer.in_parens():
            printer.print_list(self.buffers, printer.print_ssa_value)
        if len(self.sizes):
            printer.print_string(f" sizes [{', '.join(str(e.data) for e in self.sizes)}]")
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        buffers = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_value(parser))
        sizes: list[Expr] = []
        if parser.parse_optional_keyword("sizes"):
            sizes = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser))
        attributes = parser.parse_optional_attr_dict()
        op = cls(name, buffers, sizes)
        op.attributes |= attributes
        return op


def kernel_block(types: Sequence[BufferType], names: Sequence[str]) -> Block:
    """An empty block whose arguments are these buffers, named for printing."""
    block = Block(arg_types=types)
    for arg, name in zip(block.args, names, strict=True):
        arg.name_hint = name if name.isidentifier() else None
    return block
