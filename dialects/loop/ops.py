"""Operations inside a kernel: loops, loads, stores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    IndexType,
    IntAttr,
    StringAttr,
    UnitAttr,
    VectorType,
    i64,
)
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import NoTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import ONE, Expr, ExprLike, ceildiv
from ...ir.indexed import INDEX, Indexed, Indices, indexed
from ...ir.operands import SEGMENTS, direct, init, segmented, segments
from ...ir.syntax import operand_reader, parse_expr, parse_indices, parse_value, print_expr, print_indices
from ...ir.types import BufferType, ExprAttr, signless

KINDS = ("parallel", "reduction", "ordered")
RUNS = ("serial", "unrolled", "concurrent", "lanes")


def lanes_of(type_: Attribute) -> int:
    """Lanes of a scalar (1) or vector type."""
    return type_.get_shape()[0] if isinstance(type_, VectorType) else 1


@lru_cache(maxsize=256)
@lru_cache(maxsize=1024)
def vector_of(element: Attribute, lanes: int) -> VectorType[Any]:
    """The type of so many elements side by side."""
    return VectorType(element, [lanes])


def scalar_of(type_: Attribute) -> Attribute:
    """The scalar type of a scalar or vector type."""
    return type_.element_type if isinstance(type_, VectorType) else type_


@direct
@irdl_op_definition
class For(Indexed, IRDLOperation):
    """A counted loop: `loop.for "i" %i = 0 to M step 8 parallel serial { ... }`.

    `label` names the loop for schedules; several loops may have one label. `kind` comes from the tensor level:
    iterations may run in any order (parallel), belong to one reduction, or go one after the other (ordered). `run` says
    how: `serial`, `unrolled` (carried out when code is emitted), `concurrent` (iterations are shared among threads, one
    is a chunk), `lanes` (inside of a concurrent loop: shared among the work items of a group, which all wait at its
    end for each other; on a CPU as serial).
    C1: the step is positive. C2: an unrolled loop has constant bounds. C3: a loop that runs concurrently or
    by lanes is parallel.
    C4: a concurrent loop stands in no other loop. C5: kind and run are known ones. C6: the body has one index argument.
    """

    name = "loop.for"
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    step = prop_def(IntAttr)
    label = prop_def(StringAttr)
    kind = prop_def(StringAttr)
    run = prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(
        self,
        bounds: tuple[ExprLike, ExprLike],
        label: str,
        kind: str,
        *,
        step: int = 1,
        run: str = "serial",
        operands: Sequence[SSAValue] = (),
        block: Block | None = None,
    ) -> None:
        values, attr = indexed((bounds, operands))
        super().__init__(
            operands=[values],
            regions=[Region(block or Block(arg_types=[INDEX]))],
            properties={
                "map": attr,
                "step": IntAttr(step),
                "label": StringAttr(label),
                "kind": StringAttr(kind),
                "run": StringAttr(run),
            },
        )
        for iv in self.body.block.args:
            if iv.name_hint is None and SSAValue.is_valid_name(label):
                iv.name_hint = label

    def index_position(self) -> int:
        return 0

    @property
    def iv(self) -> BlockArgument:
        """The loop variable."""
        return self.body.block.args[0]

    @property
    def lower(self) -> Expr:
        return self.exprs[0]

    @property
    def upper(self) -> Expr:
        return self.exprs[1]

    @property
    def stride(self) -> int:
        return self.step.data

    @property
    def tag(self) -> str:
        return self.label.data

    @property
    def is_parallel(self) -> bool:
        return self.kind.data == "parallel"

    @property
    def static(self) -> tuple[int, int, int] | None:
        """(lower, upper, step) when the bounds are numbers."""
        low, high = self.lower.constant, self.upper.constant
        return None if low is None or high is None else (low, high, self.stride)

    @property
    def trip(self) -> int | None:
        """Number of iterations, when known."""
        s = self.static
        return None if s is None else len(range(*s))

    @property
    def trip_expr(self) -> Expr:
        """Number of iterations over the bounds' operands; negative for an empty loop of negative length."""
        return ceildiv(self.upper - self.lower, self.stride)

    def like(self, **changes: Any) -> For:
        """A loop with this one's header (`changes` replaces parts) and an empty body."""
        parts: dict[str, Any] = {
            "bounds": self.exprs, "label": self.tag, "kind": self.kind.data, "step": self.stride,
            "run": self.run.data, "operands": list(self.indices),
        }  # fmt: skip
        return For(**(parts | changes))

    def verify_(self) -> None:
        if self.stride < 1:
            raise VerifyException(f"C1 loop {self.tag}: the step must be positive")
        if self.run.data == "unrolled" and self.static is None:
            raise VerifyException(f"C2 loop {self.tag}: an unrolled loop needs constant bounds")
        if self.run.data in ("concurrent", "lanes") and not self.is_parallel:
            raise VerifyException(f"C3 loop {self.tag}: only parallel loops run concurrently")
        if self.run.data == "concurrent" and isinstance(self.parent_op(), For):
            raise VerifyException(f"C4 loop {self.tag}: a concurrent loop stands in no other loop")
        if self.kind.data not in KINDS or self.run.data not in RUNS:
            raise VerifyException(f"C5 loop {self.tag}: unknown kind {self.kind.data} or run {self.run.data}")
        if len(self.body.block.args) != 1 or self.iv.type != INDEX:
            raise VerifyException(f"C6 loop {self.tag}: the body has one index argument")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.tag)
        printer.enter_scope()
        printer.print_string(" ")
        printer.print_ssa_value(self.iv)
        printer.print_string(" = ")
        print_expr(printer, self.lower, self.indices)
        printer.print_string(" to ")
        print_expr(printer, self.upper, self.indices)
        if self.stride != 1:
            printer.print_string(f" step {self.stride}")
        printer.print_string(f" {self.kind.data}")
        if self.run.data != "serial":
            printer.print_string(f" {self.run.data}")
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
        printer.exit_scope()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        label = parser.parse_str_literal()
        iv = parser.parse_argument(expect_type=False).resolve(INDEX)
        parser.parse_punctuation("=")
        names: list[Any] = []
        read = operand_reader(parser, names)
        lower = parse_expr(parser, read)
        parser.parse_keyword("to")
        upper = parse_expr(parser, read)
        step = parser.parse_integer() if parser.parse_optional_keyword("step") else 1
        kind = parser.parse_keyword_in(KINDS)
        run = parser.parse_optional_keyword_in(RUNS) or "serial"
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        operands = [parser.resolve_operand(n, INDEX) for n in names]
        region = parser.parse_region([iv])
        op = cls((lower, upper), label, kind, step=step, run=run, operands=operands)
        op.attributes |= attributes
        block = region.block
        region.detach_block(block)
        op.body.detach_block(op.body.block)
        op.body.add_block(block)
        return op


class Access(Indexed):
    """What loads and stores share: a buffer, an index per dimension, and how lanes step through the dimensions.

    Lane l of a vector access touches index + l * lane_steps; without lane steps the last dimension steps by 1."""

    @property
    def buf(self) -> SSAValue:
        """The buffer."""
        raise NotImplementedError

    @property
    def type(self) -> BufferType:
        assert isinstance(self.buf.type, BufferType)
        return self.buf.type

    @property
    def lanes(self) -> int:
        raise NotImplementedError

    @property
    def steps(self) -> tuple[int, ...]:
        """Per dimension, how far one lane is from the next."""
        if self.lanes == 1:
            return (0,) * self.type.rank
        given = getattr(self, "lane_steps")  # noqa: B009
        return tuple(given.get_values()) if given is not None else (*(0,) * (self.type.rank - 1), 1)

    @property
    def tolerant(self) -> bool:
        """Whether elements may be outside of the buffer."""
        return getattr(self, "otherwise", None) is not None or getattr(self, "skip", None) is not None

    @property
    def live(self) -> int:
        """Lanes that are touched: the first `active`, or all."""
        active = getattr(self, "active")  # noqa: B009
        return active.data if active is not None else self.lanes

    def verify_access(self, value: Attribute) -> None:
        if len(self.exprs) != self.type.rank:
            raise VerifyException("C1 one index per dimension")
        if scalar_of(value) != signless(self.type.element_type):
            raise VerifyException("C2 the value has the buffer's element type, without sign")
        active = getattr(self, "active")  # noqa: B009
        if active is not None and not 0 < active.data < self.lanes:
            raise VerifyException("C3 0 < active < lanes")
        if getattr(self, "lane_steps") is not None and (self.lanes == 1 or len(self.steps) != self.type.rank):  # noqa: B009
            raise VerifyException("C4 lane steps: one per dimension, of vectors only")

    @property
    def constant_in_code(self) -> bool:
        """Whether the index is a number wherever code is emitted: it names loops that are unrolled, or of one trip."""
        for value in self.indices:
            loop = value.owner.parent_op() if isinstance(value, BlockArgument) else None
            if not isinstance(loop, For) or not (
                loop.run.data == "unrolled" or (loop.trip == 1 and loop.run.data == "serial")
            ):
                return False
        return not any(e.symbols for e in self.exprs)

    def print_lanes(self, printer: Printer) -> None:
        if getattr(self, "lane_steps") is not None:  # noqa: B009
            printer.print_string(f" lanes [{', '.join(map(str, self.steps))}]")
        if self.live != self.lanes:
            printer.print_string(f" active {self.live}")

    @staticmethod
    def parse_lanes(parser: Parser) -> tuple[list[int] | None, int | None]:
        steps = None
        if parser.parse_optional_keyword("lanes"):
            steps = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        active = parser.parse_integer() if parser.parse_optional_keyword("active") else None
        return steps, active


def _lane_properties(steps: Sequence[int] | None, active: int | None, rank: int) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    if steps is not None and list(steps) != [*[0] * (rank - 1), 1]:
        found["lane_steps"] = DenseArrayBase.from_list(i64, list(steps))
    if active is not None:
        found["active"] = IntAttr(active)
    return found


@segmented
@direct
@irdl_op_definition
class Load(Access, IRDLOperation):
    """Read one element, or one per lane: `loop.load %x[%i, %k + 1] else %zero lanes [0, 1] active 5 : vector<16xf32>`.

    Lanes beyond `active` are 0. With `else`, elements outside of the buffer have that value; without, none may be.
    C1: one index per dimension. C2: the value has the buffer's element type, without sign. C3: 0 < active < lanes.
    C4: one lane step per dimension, of vectors only. C5: the `else` value has the load's type.
    C6: in space `register` the indices depend on unrolled loops only.
    """

    name = "loop.load"
    buffer = operand_def(BufferType)
    indices = var_operand_def(IndexType())
    otherwise = opt_operand_def()
    map = prop_def(ArrayAttr[ExprAttr])
    lane_steps = opt_prop_def(DenseArrayBase)
    active = opt_prop_def(IntAttr)
    value = result_def()
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self,
        buffer: SSAValue,
        indices: Indices,
        *,
        type_: Attribute | None = None,
        otherwise: SSAValue | None = None,
        lane_steps: Sequence[int] | None = None,
        active: int | None = None,
    ) -> None:
        operands, attr = indexed(indices)
        assert isinstance(buffer.type, BufferType)
        last = () if otherwise is None else (otherwise,)
        properties = {"map": attr, **_lane_properties(lane_steps, active, buffer.type.rank)}
        properties |= {SEGMENTS: segments(1, len(operands), len(last))}
        init(self, [buffer, *operands, *last], [type_ or signless(buffer.type.element_type)], properties)

    @property
    def buf(self) -> SSAValue:
        return self.buffer

    @property
    def lanes(self) -> int:
        return lanes_of(self.value.type)

    def index_position(self) -> int:
        return 1

    def resegment(self, count: int) -> None:
        self.properties[SEGMENTS] = segments(1, count, len(self.operands) - 1 - count)

    def verify_(self) -> None:
        self.verify_access(self.value.type)
        if self.otherwise is not None and self.otherwise.type != self.value.type:
            raise VerifyException("C5 the `else` value has the load's type")
        if self.type.space.data == "register" and not self.constant_in_code:
            raise VerifyException("C6 an index into a register buffer depends on more than unrolled loops")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.buffer)
        print_indices(printer, self.exprs, self.indices)
        if self.otherwise is not None:
            printer.print_string(" else ")
            printer.print_ssa_value(self.otherwise)
        self.print_lanes(printer)
        printer.print_op_attributes(self.attributes)
        if self.lanes > 1:
            printer.print_string(" : ")
            printer.print_attribute(self.value.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        buffer = parse_value(parser)
        values, names = parse_indices(parser)
        operands = [parser.resolve_operand(n, INDEX) for n in names]
        otherwise = parse_value(parser) if parser.parse_optional_keyword("else") else None
        steps, active = cls.parse_lanes(parser)
        attributes = parser.parse_optional_attr_dict()
        type_ = parser.parse_type() if parser.parse_optional_punctuation(":") else None
        op = cls(buffer, (values, operands), type_=type_, otherwise=otherwise, lane_steps=steps, active=active)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Store(Access, IRDLOperation):
    """Write one element, or one per lane: `loop.store %v, %y[%i, %j] else skip active 5`.

    With `else skip`, elements outside of the buffer are not written; without, all must be inside.
    C1: one index per dimension. C2: the value has the buffer's element type, without sign. C3: 0 < active < lanes.
    C4: one lane step per dimension, of vectors only. C5: in space `register` the indices depend on unrolled loops only.
    """

    name = "loop.store"
    value = operand_def()
    buffer = operand_def(BufferType)
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    skip = opt_prop_def(UnitAttr)
    lane_steps = opt_prop_def(DenseArrayBase)
    active = opt_prop_def(IntAttr)

    def __init__(
        self,
        value: SSAValue,
        buffer: SSAValue,
        indices: Indices,
        *,
        skip: bool = False,
        lane_steps: Sequence[int] | None = None,
        active: int | None = None,
    ) -> None:
        operands, attr = indexed(indices)
        assert isinstance(buffer.type, BufferType)
        properties = {"map": attr, **_lane_properties(lane_steps, active, buffer.type.rank)}
        init(self, [value, buffer, *operands], (), properties)
        if skip:
            self.properties["skip"] = UnitAttr()

    @property
    def buf(self) -> SSAValue:
        return self.buffer

    @property
    def lanes(self) -> int:
        return lanes_of(self.value.type)

    def index_position(self) -> int:
        return 2

    def verify_(self) -> None:
        self.verify_access(self.value.type)
        if self.type.space.data == "register" and not self.constant_in_code:
            raise VerifyException("C5 an index into a register buffer depends on more than unrolled loops")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.value)
        printer.print_string(", ")
        printer.print_ssa_value(self.buffer)
        print_indices(printer, self.exprs, self.indices)
        if self.tolerant:
            printer.print_string(" else skip")
        self.print_lanes(printer)
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        value = parse_value(parser)
        parser.parse_punctuation(",")
        buffer = parse_value(parser)
        values, names = parse_indices(parser)
        operands = [parser.resolve_operand(n, INDEX) for n in names]
        skip = parser.parse_optional_keyword("else") is not None
        if skip:
            parser.parse_keyword("skip")
        steps, active = cls.parse_lanes(parser)
        attributes = parser.parse_optional_attr_dict()
        op = cls(value, buffer, (values, operands), skip=skip, lane_steps=steps, active=active)
        op.attributes |= attributes
        return op


@direct
@irdl_op_definition
class Index(Indexed, IRDLOperation):
    """The value of an index expression: `loop.index %i * 2 + N`; lane l of `loop.index %i lanes 3 : 16` adds 3 * l.

    C1: a lane step comes with more than one lane.
    """

    name = "loop.index"
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    lane_step = opt_prop_def(IntAttr)
    value = result_def()
    traits = traits_def(Pure())

    def __init__(
        self, expr: ExprLike, operands: Sequence[SSAValue] = (), *, lanes: int = 1, lane_step: int = 0
    ) -> None:
        values, attr = indexed(([expr], operands))
        type_ = INDEX if lanes == 1 else vector_of(INDEX, lanes)
        step: dict[str, Attribute] = {"lane_step": IntAttr(lane_step)} if lanes > 1 else {}
        init(self, values, [type_], {"map": attr, **step})

    def index_position(self) -> int:
        return 0

    @property
    def expr(self) -> Expr:
        return self.exprs[0]

    @property
    def lanes(self) -> int:
        return lanes_of(self.value.type)

    def verify_(self) -> None:
        if (self.lane_step is not None) != (self.lanes > 1):
            raise VerifyException("C1 a lane step comes with more than one lane")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        print_expr(printer, self.expr, self.indices)
        if self.lane_step is not None:
            printer.print_string(f" lanes {self.lane_step.data} : {self.lanes}")

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        names: list[Any] = []
        expr = parse_expr(parser, operand_reader(parser, names))
        lanes, step = 1, 0
        if parser.parse_optional_keyword("lanes"):
            step = parser.parse_integer()
            parser.parse_punctuation(":")
            lanes = parser.parse_integer()
        return cls(expr, [parser.resolve_operand(n, INDEX) for n in names], lanes=lanes, lane_step=step)


def loops_around(op: Operation, inside: Operation | None = None) -> list[For]:
    """Loops around `op`, up to `inside`, outermost first."""
    found: list[For] = []
    parent = op.parent_op()
    while parent is not None and parent is not inside:
        if isinstance(parent, For):
            found.append(parent)
        parent = parent.parent_op()
    return found[::-1]


def range_of(loop: For) -> tuple[Expr, Expr] | None:
    """Inclusive range of a loop's variable, when its bounds name no other loop variables."""
    if loop.lower.dims or loop.upper.dims:
        return None
    if (s := loop.static) is not None and loop.trip:
        return Expr.const(s[0]), Expr.const(s[0] + (loop.trip - 1) * s[2])
    return loop.lower, loop.upper - ONE


def loop_of(variable: SSAValue) -> For:
    """The loop whose variable this is."""
    assert isinstance(variable, BlockArgument)
    loop = variable.owner.parent_op()
    assert isinstance(loop, For)
    return loop
