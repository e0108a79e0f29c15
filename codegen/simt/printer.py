"""loop.kernel → C-like source, in the words of a dialect.

What becomes of loops and buffers is decided in grid.py.

Private buffers become arrays, a vector an array of its lanes; unrolled loops are left to the dialect's compiler, which
then keeps arrays in registers. A kernel's arguments come in the order of its calls: buffers, then sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import IndexType
from xdsl.ir import Attribute, Operation, SSAValue

from ...dialects.loop import Alloc, For, Index, Invoke, Kernel, Lanewise, Load, Prefetch, Store
from ...dialects.loop.instruction import Window, invoked
from ...dialects.loop.ops import lanes_of, scalar_of
from ...errors import BackendError
from ...ir.expr import ONE, ZERO, Atom, Expr, maximum
from ...ir.operands import walk
from ...ir.types import BufferType, is_bool, signless
from .grid import Memory, Part, Piece, Printed, Turns, identifier, pieces, shared_nest, stored_by
from .helpers import needed
from .scalars import Scalars, half_of, held_type
from .teams import COMBINATIONS
from .words import Words


def print_kernel(kernel: Kernel, words: Words) -> Printed:
    """The kernel in the words of a dialect. Raises BackendError, naming the kernel, where it cannot be said in them."""
    name = identifier(kernel.sym_name.data)
    name = f"{name}_" if name in _TAKEN else name
    parts: list[Part] = []
    bodies: list[str] = []
    for piece in pieces(kernel):
        printer = _FunctionPrinter(kernel, words, piece)
        function = name if not parts else f"{name}__{len(parts)}"
        bodies.append(printer.function(function))
        parts.append(Part(function, piece.items, piece.groups))
    return Printed("\n".join(bodies), tuple(parts))


def source_of(code: Iterable[str], words: Words) -> str:
    """Functions as a whole source: behind what they need."""
    text = "\n".join(code)
    return f"{head_of(text, words)}\n{text}"


def head_of(text: str, words: Words) -> str:
    """What stands in front of functions: names of types, and what they need."""
    return words.head + (words.head_f64 if re.search(r"\bf64\b", text) else "") + needed(text, words)


@dataclass
class _Value:
    """A value's text: a name or a literal; for a vector an array, or what all its lanes are."""

    text: str
    array: bool = False

    def lane(self, lane: str) -> str:
        return f"{self.text}[{lane}]" if self.array else self.text


@dataclass
class _FunctionPrinter:
    kernel: Kernel
    words: Words
    piece: Piece
    lines: list[str] = field(default_factory=list[str])
    depth: int = 1
    inside: bool = False  # a loop that lanes share
    team: bool = False  # ... or teams

    def __post_init__(self) -> None:
        self.scalars = Scalars(self.words)
        self.memory = Memory(self.kernel)
        self.groups = self.piece.groups  # an iteration of the grid is a group's
        self.turns = Turns(self.piece)
        self.values: dict[SSAValue, _Value] = {}
        self.shared: set[SSAValue] = set(self.kernel.args)  # buffers that not each work item has for itself
        self.names: set[str] = set()
        self.count = 0
        self.dims: dict[SSAValue, int] = {}  # index values, by number over the whole function
        self.texts: list[str] = []  # what stands for them
        self.ranges: dict[int, tuple[Expr, Expr]] = {}
        self.sizes = {name: self.unique(name) for name in self.kernel.sizes}
        self.kinds: dict[type[Operation], Callable[..., None]] = {
            For: self.loop, Alloc: self.alloc, Load: self.load, Store: self.store, Index: self.index,
            Invoke: self.invoke, Prefetch: lambda op: None, arith.ConstantOp: self.constant,
            vector.BroadcastOp: self.broadcast,
        }  # fmt: skip

    def function(self, name: str) -> str:
        """The text of a part."""
        parameters: list[str] = []
        for i, (arg, label) in enumerate(zip(self.kernel.args, self.kernel.arg_names, strict=True)):
            assert isinstance(arg.type, BufferType)
            buffer, t = self.unique(label), memory_type(arg.type)
            if self.words.offsets:
                parameters += [f"{self.words.memory}u8 *m{i}", f"i64 at{i}"]
                self.line(f"{self.words.memory}{t} *{buffer} = ({self.words.memory}{t} *)(m{i} + at{i});")
            else:
                parameters.append(f"{t} *{buffer}")
            self.values[arg] = _Value(buffer)
        parameters += [f"i64 {text}" for text in self.sizes.values()]
        start = len(self.lines)
        self.arrays: list[str] = []  # of the group, which OpenCL wants at the top
        if self.piece.nest:
            self.items(self.piece.nest, self.piece.items)
        else:  # a whole group is launched
            self.line(f"if (({self.words.item}) > 0) return;")
        for op in self.piece.ops:
            self.op(op)
        self.lines[start:start] = self.arrays
        return "\n".join([f"{self.words.kernel} {name}({', '.join(parameters)}) {{", *self.lines, "}", ""])

    def items(self, nest: Sequence[For], items: Expr) -> None:
        """The variables of a grid's loops, from the number of the work item."""
        item = self.unique("item")
        self.line(f"i64 {item} = {self.words.group_item if self.groups else self.words.item};")
        if not self.groups:
            self.line(f"if ({item} >= {self.integer(items)}) return;")
        for loop in reversed(nest):
            length = self.integer(maximum(loop.trip_expr, 0), inside=True)
            at = item if loop is nest[0] else f"{item} % {length}"
            low = self.globalised(loop.lower, loop.indices)
            text = f"({at}) * {loop.stride}" if loop.stride > 1 else at
            self.variable(loop, text if low == 0 else f"{self.integer(low)} + {text}")
            if loop is not nest[0]:
                self.line(f"{item} /= {length};")

    def variable(self, loop: For, value: str) -> None:
        name = self.unique(loop.tag)
        self.line(f"i64 {name} = {value};")
        self.bound(loop, name)

    def bound(self, loop: For, name: str) -> None:
        """A loop's variable has a name."""
        self.values[loop.iv] = _Value(name)
        dim = self.dims[loop.iv] = len(self.texts)
        self.texts.append(name)
        low, high = self.globalised(loop.lower, loop.indices), self.globalised(loop.upper, loop.indices)
        self.ranges[dim] = (low, high - (loop.stride if (high - low) % loop.stride == 0 else 1))

    # ---- text

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def unique(self, name: str) -> str:
        base = identifier(name)
        base = f"{base}_" if base in _TAKEN or re.fullmatch(r"v\d+|l|m\d+|at\d+", base) else base
        found, n = base, 1
        while found in self.names:
            n += 1
            found = f"{base}_{n}"
        self.names.add(found)
        return found

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    # ---- integers

    def globalised(self, expr: Expr, operands: Sequence[SSAValue]) -> Expr:
        """An op's expression over the function's index values."""
        return expr.substitute({i: Expr.dim(self.dim(v)) for i, v in enumerate(operands)}) if expr.dims else expr

    def dim(self, value: SSAValue) -> int:
        if value not in self.dims:
            self.dims[value] = len(self.texts)
            self.texts.append(self.values[value].text)
        return self.dims[value]

    def integer(self, expr: Expr, inside: bool = False) -> str:
        """An expression over the function's index values as C; `inside` of another one."""
        expr = expr.simplify(self.ranges)
        terms: list[str] = []
        for monomial, coefficient in expr.terms.items():
            factors = [self.atom(a) for a in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.append(str(abs(coefficient)))
            terms.append(("- " if coefficient < 0 else "+ ") + " * ".join(factors))
        if not terms:
            return "0"
        terms.sort(key=lambda t: (t[0] == "-", t))  # the same text in every process
        text = " ".join(terms)
        text = text.removeprefix("+ ") if text[0] == "+" else f"-{text[2:]}"
        return f"({text})" if inside and not re.fullmatch(r"\w+", text) else text

    def atom(self, atom: Atom) -> str:
        match atom.kind:
            case "symbol":
                return self.sizes[atom.args[0]]
            case "dim":
                return self.texts[atom.args[0]]
            case "floordiv" | "mod":
                a, b = atom.args
                if (b.constant or 0) > 0 and a.nonnegative(self.ranges):
                    sign = "/" if atom.kind == "floordiv" else "%"
                    return f"({self.integer(a, inside=True)} {sign} {b.constant})"
                return f"ircc_{atom.kind}({self.integer(a)}, {self.integer(b)})"
            case kind:
                text = self.integer(atom.args[0])
                for other in atom.args[1:]:
                    text = f"ircc_{'least' if kind == 'min' else 'most'}({text}, {self.integer(other)})"
                return text

    # ---- operations

    def op(self, op: Operation) -> None:
        if (own := self.kinds.get(type(op))) is not None:
            own(op)
            return
        if not op.results:
            raise BackendError(f"kernel {self.kernel.sym_name.data}: there are no words for {op.name}")
        type_ = op.results[0].type
        scalar = op.scalar if isinstance(op, Lanewise) else op
        sources = [scalar_of(o.type) for o in op.operands]
        values = [self.values[o] for o in op.operands]
        lanes = lanes_of(type_)

        def expression(lane: str) -> str:
            return self.scalars.expression(scalar, [v.lane(lane) for v in values], sources, scalar_of(type_))

        if lanes > 1 and any(v.array for v in values):
            self.lanes(op.results[0], lanes, expression)
        else:
            self.assign(op.results[0], expression("0"))

    def assign(self, value: SSAValue, text: str) -> None:
        """A new variable for a value, or for what all lanes of it are."""
        name = self.fresh()
        self.line(f"{held_type(scalar_of(value.type))} {name} = {text};")
        self.values[value] = _Value(name)

    def lanes(self, value: SSAValue, lanes: int, text: Callable[[str], str]) -> None:
        """A new array for a vector."""
        name = self.fresh()
        self.line(f"{held_type(scalar_of(value.type))} {name}[{lanes}];")
        self.line(f"for (int l = 0; l < {lanes}; ++l) {name}[l] = {text('l')};")
        self.values[value] = _Value(name, array=True)

    def constant(self, op: arith.ConstantOp) -> None:
        self.values[op.result] = _Value(self.scalars.constant(op, op.result.type))

    def broadcast(self, op: vector.BroadcastOp) -> None:
        self.values[op.vector] = self.values[op.source]

    def index(self, op: Index) -> None:
        base = self.integer(self.globalised(op.expr, op.indices))
        if op.lanes == 1:
            self.assign(op.value, base)
            self.dims[op.value] = len(self.texts)
            self.texts.append(self.values[op.value].text)
            return
        assert op.lane_step is not None
        step = op.lane_step.data
        self.lanes(op.value, op.lanes, lambda lane: f"{base} + {lane} * {step}")

    def loop(self, op: For) -> None:
        if op.trip == 0:
            return
        if op.run.data == "lanes" and self.groups and not self.inside:
            self.shared_loop(op)
            return
        low, high = (self.integer(self.globalised(e, op.indices)) for e in (op.lower, op.upper))
        name = self.unique(op.tag)
        if op.run.data == "unrolled":
            self.line(self.words.unroll)
        step = f"++{name}" if op.stride == 1 else f"{name} += {op.stride}"
        self.line(f"for (i64 {name} = {low}; {name} < {high}; {step}) {{")
        self.bound(op, name)
        self.depth += 1
        self.turns.around()
        for inner in op.body.block.ops:
            self.op(inner)
        self.turns.around()
        self.depth -= 1
        self.line("}")

    def shared_loop(self, op: For) -> None:
        """A loop, and those right inside of it that are shared too: each lane does every so many iterations."""
        nest = shared_nest(op)
        at, lengths = (
            self.unique("lane"),
            [self.integer(self.globalised(maximum(x.trip_expr, 0), x.indices), inside=True) for x in nest],
        )
        total = " * ".join(lengths)
        if self.turns.must_wait(b for o in walk(op) for b in stored_by(o)):
            self.line(self.words.barrier)
        self.team = bool(invoked(op))  # an iteration is a team's
        first, step = self.words.lane, self.words.width
        if self.team:
            first, step = f"({first}) / {self.words.team}", f"({step}) / {self.words.team}"
        self.line(f"for (i64 {at} = {first}; {at} < {total}; {at} += {step}) {{")
        self.depth += 1
        self.inside = True
        for i, loop in enumerate(nest):
            rest = " * ".join(lengths[i + 1 :])
            value = f"{at} / ({rest})" if rest else at
            value = f"{value} % {lengths[i]}" if i else value
            low = self.globalised(loop.lower, loop.indices)
            text = f"({value}) * {loop.stride}" if loop.stride > 1 else value
            self.variable(loop, text if low == 0 else f"{self.integer(low)} + {text}")
        for inner in nest[-1].body.block.ops:
            self.op(inner)
        self.inside = self.team = False
        self.depth -= 1
        self.line("}")
        self.line(self.words.barrier)
        self.turns.waited()

    def invoke(self, op: Invoke) -> None:
        """A team combines what its group shares."""
        if not self.team or not self.words.team or op.instruction not in COMBINATIONS:
            raise BackendError(f"kernel {self.kernel.sym_name.data}: there are no words for {op.instruction}")

        def place(window: Window, at: Expr) -> Expr:
            index = (self.globalised(e, op.indices) for e in window.at([at]))
            return window.type.offset.substitute(dict(enumerate(index)))

        parts = op.windows[0]
        step = self.integer(place(parts, ONE) - place(parts, ZERO))
        count = self.integer(self.globalised(op.sizes[0], op.indices))
        places = [f"{self.values[w.buffer].text} + {self.integer(place(w, ZERO), inside=True)}" for w in op.windows]
        self.line(f"ircc_{op.instruction}({places[0]}, {step}, {count}, {places[1]});")

    # ---- memory

    def alloc(self, op: Alloc) -> None:
        shared = self.groups and not self.inside and not self.piece.is_private(op)
        length = self.memory.claim(op.type, shared)
        name = self.unique(op.label.data)
        if shared:
            self.shared.add(op.buffer)
            self.arrays.append(f"  {self.words.shared}{memory_type(op.type)} {name}[{length}];")
        else:
            self.line(f"{memory_type(op.type)} {name}[{length}];")
        self.values[op.buffer] = _Value(name)

    def place(self, op: Load | Store, lane: str) -> tuple[str, str]:
        """Where the element of a lane is: its offset in the buffer, and a test that it is inside ("" where it is)."""
        index = [self.globalised(e, op.indices) for e in op.exprs]
        if lane:
            dim = len(self.texts)
            self.texts.append(lane)
            self.ranges[dim] = (Expr.const(0), Expr.const(op.live - 1))
            index = [e + Expr.dim(dim) * s for e, s in zip(index, op.steps, strict=True)]
        tests: list[str] = []
        if op.tolerant:
            for e, size in zip(index, op.type.sizes, strict=True):
                if not e.nonnegative(self.ranges):
                    tests.append(f"{self.integer(e)} >= 0")
                if not (size - 1 - e).nonnegative(self.ranges):
                    tests.append(f"{self.integer(e)} < {self.integer(size)}")
        return self.integer(op.type.offset.substitute(dict(enumerate(index)))), " && ".join(tests)

    def load(self, op: Load) -> None:
        buffer, type_ = self.values[op.buffer].text, op.type
        if self.groups and not self.inside:
            self.turns.reads(op.buffer)

        def text(lane: str) -> str:
            offset, test = self.place(op, lane if op.lanes > 1 else "")
            loaded = from_memory(f"{buffer}[{offset}]", type_)
            if test:
                assert op.otherwise is not None
                loaded = f"{test} ? {loaded} : {self.values[op.otherwise].lane(lane)}"
            return loaded if op.live == op.lanes else f"{lane} < {op.live} ? ({loaded}) : 0"

        if op.lanes > 1 and (whole := self.neighbours(op, "load")) is not None:
            name = self.fresh()
            self.line(f"{memory_type(type_)} {name}[{op.lanes}];")
            self.line(whole.format(to=name))
            self.values[op.value] = _Value(name, array=True)
        elif op.lanes > 1:
            self.lanes(op.value, op.lanes, text)
        else:
            self.assign(op.value, text("0"))
        if isinstance(scalar_of(op.value.type), IndexType):
            raise BackendError(f"kernel {self.kernel.sym_name.data}: an index is loaded")

    def neighbours(self, op: Load | Store, way: str) -> str | None:
        """The dialect's words for a whole vector of neighbours, with {to} for their array; None where it has none."""
        element = signless(op.type.element_type)
        if op.tolerant or op.live != op.lanes or half_of(element) is not None or is_bool(element):
            return None
        index = [self.globalised(e, op.indices) for e in op.exprs]
        dim = len(self.texts)
        ranges = self.ranges | {dim: (ZERO, Expr.const(op.lanes - 1))}
        moved = [e + Expr.dim(dim) * s for e, s in zip(index, op.steps, strict=True)]
        offset = op.type.offset.substitute(dict(enumerate(moved))).simplify(ranges)
        first = offset.substitute({dim: ZERO})
        if offset - first != Expr.dim(dim):
            return None
        at, name = (
            f"{self.values[op.buffer].text} + {self.integer(first, inside=True)}",
            f"{held_type(element)}x{op.lanes}",
        )
        if name in self.words.vectors:
            return f"ircc_{way}_{name}({at}, {{to}});"
        word = self.words.load if way == "load" else self.words.store
        return word.format(n=op.lanes, at=at, to="{to}") if word and op.lanes in (2, 4, 8, 16) else None

    def store(self, op: Store) -> None:
        value, buffer = self.values[op.value], self.values[op.buffer].text
        lane = "l" if op.lanes > 1 else ""
        offset, test = self.place(op, lane)
        text = f"{buffer}[{offset}] = {to_memory(value.lane('l'), op.type)};"
        text = f"if ({test}) {text}" if test else text
        text = f"for (int l = 0; l < {op.live}; ++l) {text}" if lane else text
        if lane and value.array and (whole := self.neighbours(op, "store")) is not None:
            text = whole.format(to=value.text)
        if self.team and op.buf in self.shared:
            self.line(f"if (({self.words.lane}) % {self.words.team} == 0) {{ {text} }}")
            self.line(self.words.meet)
            return
        if not self.groups or self.inside or self.is_private(op.buf):
            self.line(text)
            return
        if self.turns.must_wait([op.buf]):
            self.line(self.words.barrier)
        self.line(f"if (({self.words.lane}) == 0) {{ {text} }}")
        self.line(self.words.barrier)
        self.turns.waited()

    def is_private(self, buffer: SSAValue) -> bool:
        return isinstance(buffer.owner, Alloc) and self.piece.is_private(buffer.owner)


def memory_type(type_: BufferType) -> str:
    """C's type of an element in memory."""
    element = signless(type_.element_type)
    return "u16" if half_of(element) is not None else held_type(element)


def from_memory(text: str, type_: BufferType) -> str:
    """What is in memory as a value."""
    if is_bool(type_.element_type):
        return f"{text} != 0"
    half = half_of(type_.element_type)
    return text if half is None else f"ircc_from_{half}({text})"


def to_memory(text: str, type_: BufferType) -> str:
    """A value as it is in memory."""
    half = half_of(type_.element_type)
    return text if half is None else f"ircc_to_{half}({text})"


def types_in(kernel: Kernel) -> set[Attribute]:
    """All scalar types that a kernel's values and buffers have."""
    found: set[Attribute] = set()
    for op in walk(kernel):
        found |= {scalar_of(v.type) for v in op.results if not isinstance(v.type, BufferType)}
    return found | {signless(a.type.element_type) for a in kernel.args if isinstance(a.type, BufferType)}


_WORDS = """
auto break case char const continue default do double else enum extern float for goto half if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
bool kernel global local constant private generic image2d_t sampler_t uchar ushort uint ulong size_t ptrdiff_t
true false NULL asm class delete new operator this throw try catch template typename using namespace public
protected virtual friend and or not xor l i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 fabs ceil floor trunc round
rint copysign fmax fmin sqrt fma acos acosh asin asinh atan atan2 atanh cbrt cos cosh erf exp exp2 expm1 log
log10 log1p log2 pow sin sinh tan tanh event_t queue_t pipe min max clamp step mix sign dot cross length
distance normalize all any select main signbit isnan isinf abs ldexp
"""
_TAKEN = frozenset(_WORDS.split())  # names that a dialect may have for something else
