"""loop.kernel → a program of the machine: Python that calls its methods, instruction by instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue

from ircc.dialects.loop import Alloc, For, Index, Invoke, Kernel, Lanewise, Load, Prefetch, Store, Wait
from ircc.dialects.loop.instruction import Window
from ircc.dialects.loop.ops import lanes_of, scalar_of
from ircc.errors import BackendError
from ircc.ir.expr import Atom, Expr
from ircc.ir.operands import walk
from ircc.ir.types import BufferType, dtype_of
from ircc.schedules.analysis import Interval, interval, value_range

from .instructions import TYPES
from .units import PLAIN, TYPED

MOST_SCALAR = 256  # elements that the scalar unit works on one by one
ALIGNED = 64  # bytes


def program_of(kernel: Kernel, spaces: dict[str, int]) -> str:
    """The text of a kernel's program: a function of the machine, the buffers and the sizes.

    Raises BackendError, with the reason, for what the machine cannot do, or only its scalar unit could."""
    return _Printer(kernel, spaces).text()


def dtype_name(type_: Attribute) -> str:
    """NumPy's name of the type that holds a value or an element."""
    scalar = scalar_of(type_)
    return "int64" if isinstance(scalar, IndexType) else dtype_of(scalar).name


def type_name(type_: Attribute) -> str:
    """The name of an element type."""
    return "index" if isinstance(type_, IndexType) else str(type_)


@dataclass
class _Printer:
    kernel: Kernel
    spaces: dict[str, int]
    lines: list[str] = field(default_factory=list[str])
    names: dict[SSAValue, str] = field(default_factory=dict[SSAValue, str])
    offsets: dict[SSAValue, tuple[str, int]] = field(default_factory=dict[SSAValue, tuple[str, int]])
    tops: dict[str, int] = field(default_factory=dict[str, int])
    count: int = 0
    depth: int = 1

    def text(self) -> str:
        k = self.kernel
        for arg in k.args:
            assert isinstance(arg.type, BufferType)
            self.require_type(arg.type.element_type)
            if arg.type.offset != BufferType.of(arg.type.sizes, arg.type.element_type).offset:
                raise BackendError("a buffer of it has a layout, which copies know nothing of")
            self.names[arg] = self.fresh("b")
        sizes = {name: f"n{i}" for i, name in enumerate(k.sizes)}
        self.symbols = sizes
        self.starts = sum(self.spaces.values())
        self.bases = dict(zip(self.spaces, np.cumsum([0, *self.spaces.values()]).tolist(), strict=False))
        for i, arg in enumerate(k.args):
            shape = ", ".join(self.expr(s, []) for s in arg.type.sizes)  # pyright: ignore
            dtype = dtype_name(arg.type.element_type)  # pyright: ignore
            self.line(f"{self.names[arg]} = m_array(a[{i}], '{dtype}', ({shape}{',' if shape else ''}))")
        self.block(k.body.block)
        head = "".join(f"    {v} = a[{len(k.args) + i}]\n" for i, v in enumerate(sizes.values()))
        return f"def program(m, a, m_array):\n{head}" + "\n".join(self.lines) + "\n"

    # ---- text

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def require_type(self, type_: Attribute) -> None:
        if not isinstance(type_, IndexType) and type_name(type_) not in TYPES:
            raise BackendError(f"its units have no {type_name(type_)}")

    def expr(self, e: Expr, operands: Sequence[SSAValue]) -> str:
        def atom(a: Atom) -> str:
            match a.kind:
                case "symbol":
                    return self.symbols[a.args[0]]
                case "dim":
                    return self.names[operands[a.args[0]]]
                case "min" | "max":
                    return f"{a.kind}({', '.join(self.expr(x, operands) for x in a.args)})"
                case kind:
                    if not a.args[1].constant:
                        raise BackendError("its indices divide by sizes that are not known")
                    sign = "//" if kind == "floordiv" else "%"
                    return f"(({self.expr(a.args[0], operands)}) {sign} {a.args[1].constant})"

        parts = ["*".join([*([str(c)] if c != 1 or not m else []), *map(atom, m)]) for m, c in e.terms.items()]
        return " + ".join(parts) or "0"

    def range(self, e: Expr, operands: Sequence[SSAValue]) -> Interval:
        return interval(e, lambda d: value_range(operands[d]))

    # ---- operations

    def block(self, block: Block) -> None:
        tops = dict(self.tops)
        work = [op for op in block.ops if not isinstance(op, For | Alloc | Invoke | Wait | Prefetch | arith.ConstantOp)]
        on_lanes = any(lanes_of(v.type) > 1 for op in work for v in (*op.operands, *op.results))
        if work:
            self.scalars(block, work, on_lanes)
            self.line(f"m.{'vector' if on_lanes else 'scalar'}({len(work)})")
        for op in block.ops:
            self.op(op)
        if block.first_op is None:
            self.line("pass")
        self.tops = tops

    def scalars(self, block: Block, work: Sequence[Operation], on_lanes: bool) -> None:
        """What goes element by element must be few: it would take longer than it takes the CPU."""
        if on_lanes or not any(isinstance(op, Store) for op in work):
            return
        total, parent = 1, block.parent_op()
        while isinstance(parent, For):
            trip = parent.trip
            if trip is None and parent.stride == 1:
                break  # what is left of an unknown size
            total *= 1 if trip is None else trip
            parent = parent.parent_op()
        if total > MOST_SCALAR:
            raise BackendError("only its scalar unit could do it, element by element")

    def op(self, op: Operation) -> None:
        match op:
            case For():
                self.loop(op)
            case Alloc():
                self.alloc(op)
            case Invoke():
                self.invoke(op)
            case Wait():
                self.line(f"m.wait('{op.queue.data}', {self.expr(op.pending, op.indices)})")
            case Load():
                self.load(op)
            case Store():
                self.store(op)
            case Index():
                base = self.expr(op.expr, op.indices)
                step = 0 if op.lane_step is None else op.lane_step.data
                text = base if op.lanes == 1 else f"({base}) + np.arange({op.lanes}) * {step}"
                self.assign(op.value, text if op.lanes > 1 else f"np.int64({text})")
            case Prefetch():
                pass
            case arith.ConstantOp():
                self.constant(op)
            case vector.BroadcastOp():
                self.names[op.vector] = self.names[op.source]
            case _:
                self.scalar(op)

    def assign(self, value: SSAValue, text: str) -> None:
        self.names[value] = self.fresh("v")
        self.line(f"{self.names[value]} = {text}")

    def constant(self, op: arith.ConstantOp) -> None:
        self.require_type(op.result.type)
        dtype = dtype_name(op.result.type)
        if isinstance(op.value, FloatAttr | IntegerAttr):
            value = op.value.value.data
            text = f"float('{value}')" if isinstance(value, float) else str(value)
            self.names[op.result] = name = self.fresh("v")
            self.line(f"{name} = np.{'bool_' if dtype == 'bool' else dtype}({text})")
        else:
            raise BackendError(f"constants such as {op.value} have no form on it")

    def scalar(self, op: Operation) -> None:
        if len(op.results) != 1:
            raise BackendError(f"it cannot do {op.name}")
        plain = op.scalar if isinstance(op, Lanewise) else op
        name, values = plain.name, ", ".join(self.names[v] for v in op.operands)
        for v in (*op.operands, *op.results):
            self.require_type(scalar_of(v.type))
        dtype = dtype_name(op.results[0].type)
        if isinstance(plain, arith.CmpfOp | arith.CmpiOp):
            kind = "floats" if isinstance(plain, arith.CmpfOp) else "integers"
            text = f"compare_{kind}({plain.predicate.value.data}, {values})"
        elif name in TYPED:
            text = f"TYPED['{name}']({values}, '{dtype}')"
        elif name in PLAIN:
            text = f"PLAIN['{name}']({values})"
        else:
            raise BackendError(f"its vector unit has no {name}")
        self.assign(op.results[0], text)

    def loop(self, op: For) -> None:
        name = self.names[op.iv] = self.fresh("i")
        low, high = self.expr(op.lower, op.indices), self.expr(op.upper, op.indices)
        self.line(f"for {name} in range({low}, {high}, {op.stride}):")
        self.depth += 1
        self.block(op.body.block)
        self.depth -= 1

    # ---- memory

    def alloc(self, op: Alloc) -> None:
        space, type_ = op.type.space.data, op.type
        self.require_type(type_.element_type)
        space = {"stack": "scratchpad"}.get(space, space)
        if space not in self.spaces:
            raise BackendError(f"it has no memory {space}")
        if type_.offset != BufferType.of(type_.sizes, type_.element_type).offset:
            raise BackendError("a tile of it has a layout")
        offset = self.tops.get(space, 0)
        size = type_.bytes.constant or 0
        self.tops[space] = offset + -(-size // ALIGNED) * ALIGNED
        if offset + size > self.spaces[space]:
            raise BackendError(f"its tiles take {offset + size} bytes of the {space}, which has {self.spaces[space]}")
        self.names[op.buffer] = self.fresh("t")
        self.offsets[op.buffer] = space, offset
        shape = tuple(type_.static_shape or ())
        what = f"{op.label.data!r}, '{space}', {offset}, '{dtype_name(type_.element_type)}', {shape}"
        self.line(f"{self.names[op.buffer]} = m.place({what})")

    def is_tile(self, buffer: SSAValue) -> bool:
        return not isinstance(buffer, BlockArgument)

    def bounds(self, buffer: SSAValue, first: Sequence[str], reach: int) -> tuple[str, str]:
        """Addresses of a part of a tile, as text: from an index on, `reach` elements further."""
        type_ = buffer.type
        assert isinstance(type_, BufferType)
        space, offset = self.offsets[buffer]
        shape, item = type_.static_shape or (), type_.dtype.itemsize
        terms, stride = [str(self.bases[space] + offset)], item
        for text, size in zip(reversed(first), reversed(shape), strict=True):
            if text != "0":
                terms.append(f"({text}) * {stride}")
            stride *= size
        low = " + ".join(terms)
        return low, f"{low} + {(reach + 1) * item}"

    def access(self, op: Load | Store) -> str:
        """The text of what an access touches, behind the check that it may."""
        buffer, first = op.buf, [self.expr(e, op.indices) for e in op.exprs]
        type_ = op.type
        if not self.is_tile(buffer):
            if op.lanes > 1:
                raise BackendError("its vector unit reaches its own memory only, and a window of a buffer is not there")
            if op.tolerant:
                raise BackendError("its scalar unit reads nothing that may be outside of a buffer")
            sizes = [self.expr(s, []) for s in type_.sizes]
            index = [f"m.inside('{op.name}', {i}, {n})" for i, n in zip(first, sizes, strict=True)]
            return f"{self.names[buffer]}[{', '.join(index) or '()'}]"
        if op.tolerant:
            raise BackendError("its vector unit reads nothing that may be outside of a tile")
        shape, strides = type_.static_shape or (), list[int]()
        for i in range(type_.rank):
            strides.append(int(np.prod(shape[i + 1 :])))
        reach = sum(s * n for s, n in zip(op.steps, strides, strict=True)) * (op.live - 1)
        if any(s < 0 for s in op.steps) or sum(1 for s in op.steps if s) > 1:
            raise BackendError("its vector unit steps through one dim of a tile, forwards")
        low, high = self.bounds(buffer, first, reach)
        self.line(f"if m.busy: m.check('{op.name}', {low}, {high}, {isinstance(op, Store)})")
        index = list(first)
        for d, step in enumerate(op.steps):
            if step and op.lanes > 1:
                index[d] = f"{first[d]}:{first[d]} + {op.live * step}" + (f":{step}" if step > 1 else "")
        return f"{self.names[buffer]}[{', '.join(index) or '()'}]"

    def load(self, op: Load) -> None:
        text = self.access(op)
        if op.lanes == 1:
            self.assign(op.value, text)
        elif op.live < op.lanes:
            self.assign(op.value, f"np.zeros({op.lanes}, '{dtype_name(op.value.type)}')")
            self.line(f"{self.names[op.value]}[:{op.live}] = {text}")
        else:
            self.assign(op.value, f"{text}.copy()" if self.overwritten(op) else text)

    def overwritten(self, op: Load) -> bool:
        """Whether what a value was read from may change before the value is used."""
        following, seen = op.next_op, False
        used = {use.operation for use in op.value.uses}
        while following is not None:
            if following in used and seen:
                return True
            inside = list(walk(following)) if following.regions else [following]
            seen = seen or any(isinstance(o, Store | Invoke | Wait) for o in inside)
            if following.regions and any(o in used for o in inside):
                return True
            following = following.next_op
        return False

    def store(self, op: Store) -> None:
        if not self.is_tile(op.buf):
            raise BackendError("its units write their own memory only, and a window of a buffer is not there")
        text, value = self.access(op), self.names[op.value]
        scalar = isinstance(op.value.owner, vector.BroadcastOp | arith.ConstantOp)
        part = f"{value}[:{op.live}]" if op.live < op.lanes and not scalar else value
        self.line(f"{text} = {part}")

    # ---- instructions

    def invoke(self, op: Invoke) -> None:
        instruction = op.find()
        sizes = dict(zip(instruction.sizes, op.sizes, strict=True))
        texts: dict[str, str] = {"at": repr(op.instruction), "start": str(op.start is not None)}
        guarded = any(isinstance(o, Load) and o.tolerant for o in walk(instruction))
        for name, window, type_ in zip(instruction.arg_names, op.windows, instruction.windows, strict=True):
            lengths = [s.substitute(symbols=sizes) for s in type_.sizes]
            texts[name] = self.window(op, window, lengths, guarded, matrix=instruction.queue is None)
        self.line(instruction.text.data.format(**texts))

    def window(self, op: Invoke, window: Window, lengths: Sequence[Expr], guarded: bool, matrix: bool) -> str:
        """The text of a window: of its elements, and for a tile its addresses."""
        kept = [w for w, n in enumerate(lengths) if n.constant != 1]
        first = [self.expr(e, op.indices) for e in window.first]
        dims: list[tuple[str, int, str]] = []
        order: list[int] = []
        outside = False
        for d, (text, e) in enumerate(zip(first, window.first, strict=True)):
            movers = [w for w in kept if window.steps[w][d]]
            low, high = self.range(e, op.indices)
            size = window.type.sizes[d].constant
            if not movers:
                outside = outside or low is None or low < 0 or high is None or size is None or high >= size
                dims.append((text, 1, ""))
                continue
            (w,) = movers if len(movers) == 1 else (-1,)
            if w < 0 or w in order or window.steps[w][d] < 0:
                raise BackendError("its copies cannot follow a window's steps")
            order.append(w)
            step, length = window.steps[w][d], lengths[w]
            most = self.range(length, op.indices)[1]
            end = None if high is None or most is None else high + (most - 1) * step
            outside = outside or low is None or low < 0 or end is None or size is None or end >= size
            dims.append((text, step, self.expr(length, op.indices)))
        if sorted(order) != kept:
            raise BackendError("its copies cannot repeat an element")
        places = [kept.index(w) for w in order]
        name = self.names[window.buffer]
        if guarded and outside and not self.is_tile(window.buffer):
            parts = ", ".join(f"({f}, {s}, {n or -1})" for f, s, n in dims)
            return f"({name}, ({parts},), {places})"
        index = ", ".join(f if not n else f"{f}:{f} + ({n}) * {s}" + (f":{s}" if s > 1 else "") for f, s, n in dims)
        turned = "" if places == sorted(places) else f".transpose({np.argsort(places).tolist()})"
        view = f"{name}[{', '.join(filter(None, [index, '...']))}]{turned}"
        if not self.is_tile(window.buffer):
            return view
        if matrix and len(kept) < len(lengths):
            view += f"[{', '.join(':' if w in kept else 'None' for w in range(len(lengths)))}]"
        shape = window.type.static_shape or ()
        reach = 0
        for d, (_, step, n) in enumerate(dims):
            if n:
                if not n.isdigit():
                    raise BackendError("a window of a tile has a length that is not known")
                reach += (int(n) - 1) * step * int(np.prod(shape[d + 1 :]))
        low, high = self.bounds(window.buffer, first, reach)
        return f"Tile({view}, {low}, {high})"
