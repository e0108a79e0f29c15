"""Random naive kernels and random schedules for them.

`random_nest` and `random_line` take any source of random choices with the methods of `random.Random`. Kernels are
what tensor-to-loop makes of one computation of small whole numbers: whatever order they are computed in, the bits
are the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from xdsl.dialects.builtin import FunctionType, ModuleOp, f32, i32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, SSAValue
from xdsl.parser import Parser

from ..dialects import context
from ..dialects.loop import Call, Copy, For, Instruction, Kernel, Program
from ..dialects.loop.evaluate import buffer_type, evaluate_kernel
from ..dialects.tensor import WithBody
from ..dialects.tensor.builder import Body, Place, Scalar, compute, update
from ..errors import ScheduleError
from ..ir.expr import Expr, maximum, product
from ..ir.types import TensorType
from ..passes.tensor_to_loop import TensorToLoop
from ..schedules.script import PRIMITIVES, Schedule

Array = np.ndarray[Any, Any]
SYMBOLS = ("M", "N", "K")
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 19)
LARGEST = 500  # points of a kernel's domain, at example sizes


@dataclass
class Drawn:
    """A module of one kernel, and sizes for its symbols."""

    module: ModuleOp
    symbols: dict[str, int]

    @property
    def kernel(self) -> Kernel:
        return next(op for op in self.module.body.ops if isinstance(op, Kernel))

    @property
    def program(self) -> Program:
        return next(op for op in self.module.body.ops if isinstance(op, Program))

    def inputs(self, seed: int) -> dict[str, Array]:
        """Whole numbers from -3 to 3."""
        rng = np.random.default_rng(seed)
        found: dict[str, Array] = {}
        for name, arg in zip(self.program.arg_names, self.program.inputs, strict=False):
            type_ = buffer_type(arg)
            shape = [int(s.evaluate(symbols=self.symbols)) for s in type_.sizes]
            low, high = (0, 2) if type_.element_type == i64 else (-3, 4)  # an i64 holds indices
            found[name] = rng.integers(low, high, shape).astype(type_.dtype)
        return found


@dataclass
class _Nest:
    """One computation under construction."""

    rng: random.Random
    symbols: dict[str, int] = field(default_factory=dict[str, int])
    extents: list[Expr] = field(default_factory=list[Expr])
    parallel: int = 0
    types: list[TensorType] = field(default_factory=list[TensorType])
    names: list[str] = field(default_factory=list[str])
    reads: list[Callable[[Body, tuple[Expr, ...], list[SSAValue]], Scalar]] = field(default_factory=list[Any])

    def draw(self) -> Drawn:
        rng = self.rng
        self.symbols = {s: rng.choice((0, 1, 2, 3, 5, 8, 9, 17)) for s in SYMBOLS}
        self.parallel = rng.choice((1, 2, 2, 2, 3))
        reduced = rng.choice((0, 0, 1, 1, 1, 2))
        for _ in range(self.parallel + reduced):
            self.extents.append(self.extent())
        element: Attribute = rng.choice((f32, f32, f32, i32))
        for _ in range(rng.choice((1, 2, 2, 3))):
            self.read(element, list(range(len(self.extents))))
        for d, e in enumerate(self.extents):  # sizes that no input shows
            if e.symbols and not any(e in t.sizes for t in self.types):
                self.read(element, [d], plain=True)
        body_reads = list(self.reads)
        self.reads.clear()
        finish = bool(reduced) and rng.random() < 0.5
        if finish:
            self.read(element, list(range(self.parallel)))
        finish_reads = list(self.reads)
        combine = rng.choice(("add", "add", "add", "max", "min")) if reduced else None
        times = rng.random() < 0.5

        def value(b: Body, *dims: Expr) -> Scalar:
            total = body_reads[0](b, dims, args)
            for read in body_reads[1:]:
                other = read(b, dims, args)
                total = total * other if times and len(body_reads) < 3 else total + other
            return total

        def end(b: Body, *given: Any) -> Scalar:
            *dims, total = given
            return (total + finish_reads[0](b, tuple(dims), args)).maximum(0)

        ordered = not finish and combine == "add" and rng.random() < 0.4
        if ordered:  # instead of a reduction: each step adds to what the one before it has written
            self.types.append(TensorType.of(self.extents, element))
            self.names.append("start")
        main = FuncOp("main", (self.types, []))
        args: list[SSAValue] = list(main.body.block.args)
        for arg, name in zip(args, self.names, strict=True):
            arg.name_hint = name

        def step(b: Body, now: SSAValue, *dims: Expr) -> Place:
            before = b.read(now, *dims[:-1], dims[-1] - 1, otherwise=1)
            return before + value(b, *dims), dims

        parallel, others = self.extents[: self.parallel], self.extents[self.parallel :]
        op: WithBody = (
            update(args[-1], parallel, others, step)
            if ordered
            else compute(parallel, value, element, reduce=others, combine=combine, finish=end if finish else None)
        )
        main.body.block.add_ops([op, ReturnOp(op)])
        main.function_type = FunctionType.from_lists(self.types, [op.result.type])
        used = {s for t in (*self.types, op.result.type) for s in t.symbols}
        module = ModuleOp([main])
        module.verify()
        TensorToLoop().run(module)
        return Drawn(module, {s: v for s, v in self.symbols.items() if s in used})

    def extent(self) -> Expr:
        so_far = int(product(self.extents).evaluate(symbols=self.symbols))
        room = max(1, LARGEST // max(1, so_far))
        if self.rng.random() < 0.3:
            name = self.rng.choice(SYMBOLS)
            if self.symbols[name] <= room and name not in {s for e in self.extents for s in e.symbols}:
                return Expr.symbol(name)
        return Expr.const(self.rng.choice([s for s in SIZES if s <= room]))

    def read(self, element: Attribute, dims: list[int], plain: bool = False) -> None:
        """A read of a new tensor: its index, and sizes that hold it."""
        rng = self.rng
        chosen = [d for d in dims if rng.random() < 0.7] or [rng.choice(dims)]
        if rng.random() < 0.4:
            rng.shuffle(chosen)
        index: list[Expr] = []
        sizes: list[Expr] = []
        guarded = rng.random() < 0.15 and not plain
        for d in chosen:
            e, size = Expr.dim(d), self.extents[d]
            match (
                "plain"
                if plain
                else rng.choice(("plain",) * 7 + ("shift", "stride", "window", "back", "half", "digit"))
            ):
                case "shift":
                    e, size = e + 2, size + 2
                case "stride":
                    e, size = e * 2 + 1, size * 2
                case "window" if len(dims) > 1:
                    other = rng.choice([x for x in dims if x != d])
                    e, size = e + Expr.dim(other), size + self.extents[other]
                case "back":
                    e = size - 1 - e
                case "half":
                    e = e // 2
                case "digit":
                    e, size = e % 4, maximum(size, 4)
                case _:
                    pass
            if guarded and rng.random() < 0.7:
                e = e - 1
            index.append(e)
            sizes.append(maximum(size, 1) if size.symbols and not plain else size)
        through: tuple[int, Expr] | None = None
        if rng.random() < 0.1 and not guarded and not plain:  # the first index by way of a table
            through = (len(self.types), index[0])
            self.types.append(TensorType.of([sizes[0]], i64))
            self.names.append(f"table{len(self.names)}")
            sizes[0] = Expr.const(2)
        position = len(self.types)
        self.types.append(TensorType.of(sizes, element))
        self.names.append(f"x{position}")

        def emit(b: Body, at: tuple[Expr, ...], args: list[SSAValue]) -> Scalar:
            place: list[Any] = [e.substitute(dict(enumerate(at))) for e in index]
            if through is not None:
                table, looked = through
                place[0] = b.as_index(b.read(args[table], looked.substitute(dict(enumerate(at)))))
            return b.read(args[position], *place, otherwise=1 if guarded else None)

        self.reads.append(emit)


def random_nest(rng: random.Random) -> Drawn:
    """A module of one naive kernel."""
    return _Nest(rng).draw()


def nests() -> st.SearchStrategy[Drawn]:
    """Modules as `random_nest` draws them."""
    return st.randoms(use_true_random=False).map(random_nest)


def random_line(rng: random.Random, kernel: Kernel, number: int) -> str:
    """A line of a schedule for a kernel as it stands; often one that is refused."""
    loops = kernel.loops()
    labels = sorted({loop.tag for loop in loops})
    buffers = list(kernel.buffers())
    word = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    x, y = rng.choice(labels), rng.choice(labels)
    if rng.random() < 0.8:  # loops for which the line makes sense
        pairs = [(a.tag, b.tag) for a in loops for b in a.body.block.ops if isinstance(b, For)]
        inner = [a.tag for a in loops if all(not isinstance(b, For) for b in a.body.block.ops)]
        if word in ("sink", "collapse", "commute") and pairs:
            x, y = rng.choice(pairs)
        elif word == "vectorize" and inner:
            x = rng.choice([a.tag for a in loops if a.tag in inner and (a.trip or 99) <= 16] or inner)
        elif word == "reassociate":
            x = y = rng.choice([a.tag for a in loops if not a.is_parallel] or labels)
    n = f"n{number}"
    first = rng.choice((1, 2, 2, 3, 4, 4, 5, 8))
    match word:
        case "split":
            return f"split {x} {first}{rng.choice(('', '|rest', '|rest', '|1', '|2|1', '|3'))} -> {n}a {n}b"
        case "block" | "cover":
            return f"{word} {x} {first} -> {n}a {n}b"
        case "sink":
            return f"sink {x} past {y}"
        case "fuse":
            return f"fuse {x}"
        case "vectorize":
            return f"vectorize {x} {rng.choice((2, 4, 8, 16))}"
        case "unroll" | "lanes":
            return f"{word} {' '.join(dict.fromkeys((x, y)))}"
        case "stage":
            combine = rng.choice(("", "", " combine"))
            space = rng.choice(("register", "stack"))
            return f"stage {rng.choice(('out', *buffers))} at {x} in {space} as {n}{combine}"
        case "reassociate":
            return f"reassociate {x} {rng.choice((2, 4, 8))}{rng.choice(('', '|1', '|1'))} at {y} -> {n}a {n}b as {n}"
        case "layout":
            return _random_layout(rng, kernel)
        case "prefetch":
            return f"prefetch {rng.choice(buffers)} {first} at {' '.join(dict.fromkeys((x, y)))}"
        case "peel":
            return f"peel {x} as {n}"
        case "replace":
            copies = [label for label in labels if label.startswith("n") and "." in label]
            return f"replace {rng.choice(copies or labels)} by {rng.choice(INSTRUCTIONS)}"
        case "double":
            return f"double {x} {rng.choice([b for b in buffers if b.startswith('n')] or buffers)}"
        case "commute":
            return f"commute {x} past {y}"
        case "collapse":
            return f"collapse {x} {y}"
        case _:
            return f"{word} {x}"


FETCH = """
  loop.instruction @fetch.{type}(%x "x" : !loop.buffer<[A, B, C], {type}>,
      %t "t" : !loop.buffer<[A, B, C], {type}, "stack">)
      outputs 1 sizes ["A", "B", "C"] most [9, 9, 9] text "" queue "in" {{
    loop.for "a" %a = 0 to A parallel {{
      loop.for "b" %b = 0 to B parallel {{
        loop.for "c" %c = 0 to C parallel {{
          %one = arith.constant {one} : {type}
          %v = loop.load %x[%a, %b, %c] else %one
          loop.store %v, %t[%a, %b, %c]
        }}
      }}
    }}
  }}
"""
INSTRUCTIONS = ("fetch.f32", "fetch.i32")


def declare(module: ModuleOp) -> None:
    """Give a module the declarations of instructions that copy into space `stack`, later if they are started."""
    text = FETCH.format(type="f32", one="1.0") + FETCH.format(type="i32", one="1")
    for op in list(Parser(context(), f"builtin.module {{ {text} }}").parse_module().body.ops):
        op.detach()
        first = module.body.block.first_op
        assert first is not None
        module.body.block.insert_op_before(op, first)


WEIGHTS = {
    "split": 5, "sink": 6, "fuse": 4, "vectorize": 4, "stage": 4, "unroll": 3, "block": 2, "reassociate": 2,
    "layout": 1, "peel": 1, "inline": 1, "parallel": 1, "prefetch": 1, "collapse": 2,
    "lanes": 1, "replace": 2, "commute": 2, "double": 2, "cover": 3,
}  # fmt: skip
assert set(WEIGHTS) == set(PRIMITIVES)


def _random_layout(rng: random.Random, kernel: Kernel) -> str:
    at = rng.randrange(len(kernel.args))
    type_ = buffer_type(kernel.args[at])
    dims = [Expr.dim(i) for i in range(type_.rank)]
    order = rng.sample(range(type_.rank), type_.rank)
    offset = Expr.const(0)
    for i in order:
        offset = offset * type_.sizes[i] + dims[i]
    if dims and rng.random() < 0.5:  # panels
        i, width = order[-1], rng.choice((2, 4))
        rest = offset - dims[i]
        count = (type_.sizes[i] + width - 1) // width
        outer = Expr.const(0)
        for j in order[:-1]:
            outer = outer * type_.sizes[j] + dims[j]
        offset = (
            (outer * count + dims[i] // width) * width + dims[i] % width if rng.random() < 0.7 else rest * 2 + dims[i]
        )
    head = ", ".join(f"d{i}" for i in range(type_.rank))
    return f"layout {kernel.arg_names[at]} ({head}) -> {offset}"


def random_schedule(
    rng: random.Random, drawn: Drawn, lines: int, begin: Sequence[str] = ()
) -> tuple[Drawn, list[str], list[str]]:
    """Apply lines, those of `begin` and then random ones, to (copies of) a module's kernel: what came out, the lines
    that were taken, those refused.

    Layouts change what callers must hand over, so no program calls the kernel then."""
    taken: list[str] = []
    refused: list[str] = []
    kernel = drawn.kernel.clone()
    home = ModuleOp([op.clone() for op in drawn.module.body.ops if isinstance(op, Instruction)])
    for number in range(-len(begin), lines):
        if not kernel.loops():
            break
        line = begin[number] if number < 0 else random_line(rng, kernel, number)
        copy = kernel.clone()
        home.body.block.add_op(copy)
        try:
            Schedule.parse(line).apply(copy)
        except ScheduleError:
            refused.append(line)
            copy.detach()
            continue
        copy.detach()
        kernel = copy
        taken.append(line)
    found = Drawn(drawn.module.clone(), drawn.symbols)
    old = found.kernel
    found.module.body.block.insert_ops_before([kernel], old)
    old.detach()
    old.erase()
    return found, taken, refused


def evaluated(drawn: Drawn, inputs: Mapping[str, Array], *, late: bool = False) -> Array:
    """The result of the module's kernel on the program's inputs, whatever layouts the kernel asks for."""
    call = next(op for op in drawn.program.body.block.ops if isinstance(op, Call))
    out = buffer_type(call.buffers[-1])
    given: dict[SSAValue, Array] = dict(zip(drawn.program.inputs, inputs.values(), strict=True))
    start = next((given[op.source] for op in drawn.program.body.block.ops if isinstance(op, Copy)), None)
    result = np.full([int(s.evaluate(symbols=drawn.symbols)) for s in out.sizes], 77).astype(out.dtype)
    if out.dtype.kind == "f":
        result[...] = np.nan
    if start is not None:  # of an update
        result[...] = start
    arrays = [given[b].copy() if b in given else result for b in call.buffers]
    for i, arg in enumerate(drawn.kernel.args):  # loops that were collapsed see them with fewer dimensions
        arrays[i] = arrays[i].reshape([int(s.evaluate(symbols=drawn.symbols)) for s in buffer_type(arg).sizes])
    sizes = {n: int(e.evaluate(symbols=drawn.symbols)) for n, e in call.bound(drawn.kernel).items()}
    evaluate_kernel(drawn.kernel, arrays, sizes, late=late)
    return result
