"""The reference meaning of the loop dialect: kernels and programs run in Python, one operation at a time.

Buffers are NumPy arrays by logical index: a layout says where elements lie, not what they are. Loops of parallel kind
run backwards, so that a loop that is wrongly called parallel shows; private buffers start as NaN (integers: as a
pattern), so that reading what was not written shows; every index is held against the buffer's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from xdsl.dialects import vector
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from ...errors import InputError, IRError
from ...ir.evaluator import run_checks
from ...ir.expr import Atom, Expr
from ...ir.operands import walk
from ...ir.scalars import SIMPLE, evaluate_scalar
from ...ir.types import BufferType, Check, held, is_small
from ..control import ReadSizes, SetSizes
from .alloc import Alloc
from .host import HOST, Copy, If, Transfer, View, While, root_of
from .instruction import Invoke, Wait, inlined
from .lanes import Lanewise
from .ops import For, Index, Load, Store, lanes_of
from .prefetch import Prefetch
from .program import Call, Constant, Kernel, Program

Array = np.ndarray[Any, Any]
Step = Callable[[], None]
PATTERN = 0x55  # bytes of integers that were never written


def evaluate_program(module: ModuleOp, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a loop module's program by name, in order.

    Raises InputError for missing inputs or sizes that are not as declared, IndexError for an access outside of a
    buffer."""
    program = next((op for op in module.body.ops if isinstance(op, Program)), None)
    if program is None:
        raise IRError("the module has no loop.program")
    names = program.arg_names[: len(program.inputs)]
    if missing := [n for n in names if n not in inputs]:
        raise InputError(f"missing inputs: {', '.join(missing)}")
    arrays = [np.asarray(inputs[n]) for n in names]
    symbols = bind_sizes([buffer_type(a) for a in program.inputs], arrays, names)
    run_checks(program.checks, symbols)
    env: dict[SSAValue, Array] = dict(zip(program.inputs, map(np.copy, arrays), strict=True))
    run = _Program(symbols, env, list(program.checks), program.written)
    run.block(program.body.block)
    outputs = program.arg_names[len(program.inputs) :]
    return {n: env[a] for n, a in zip(outputs, program.written, strict=True)}


class _Program:
    """A run of the host program: buffers by value, and the sizes known so far."""

    def __init__(
        self, symbols: dict[str, int], env: dict[SSAValue, Array], checks: Sequence[Check], outputs: Sequence[SSAValue]
    ) -> None:
        self.symbols, self.env, self.checks, self.outputs = symbols, env, checks, outputs
        self.arena: Array = np.zeros(0, np.uint8)
        self.mirrors: dict[SSAValue, Array] = {}  # what buffers hold on the host, where that is another memory
        self.learned({})

    def learned(self, sizes: Mapping[str, int]) -> None:
        """Sizes became known: outputs of these sizes are made, and checks on them."""
        if wrong := {n: v for n, v in sizes.items() if v < 0 and not n.startswith("$")}:
            raise InputError(f"sizes that were computed are negative: {wrong}")
        self.symbols |= sizes
        run_checks(self.checks, self.symbols, sizes)
        for output in self.outputs:
            if output not in self.env and buffer_type(output).symbols <= self.symbols.keys():
                self.env[output] = unwritten(buffer_type(output), self.symbols)

    def size(self, expr: Expr) -> int:
        return int(expr.evaluate(symbols=self.symbols))

    def block(self, block: Block) -> None:
        for op in block.ops:
            self.step(op)

    def step(self, op: Operation) -> None:
        env = self.env
        match op:
            case Constant():
                env[op.buffer] = self.mirrors[op.buffer] = np.array(op.array)
            case Alloc():
                self.arena, env[op.buffer] = _placed(op, self.arena, self.symbols, env)
                self.mirrors.pop(op.buffer, None)
            case Call():
                values = {n: self.size(e) for n, e in op.bound(op.find()).items()}
                evaluate_kernel(op.find(), [self.mirror(b) if op.on_host else env[b] for b in op.buffers], values)
            case Transfer():
                mirror, root = self.mirror(root_of(op.buffer)), env[root_of(op.buffer)]
                target, source = (mirror, root) if op.to.data == HOST else (root, mirror)
                target[...] = source
            case Copy():
                env[op.target][...] = env[op.source]
            case View():
                env[op.buffer] = self.part(op, env[op.source])
            case ReadSizes():
                self.learned(dict(zip(op.symbols, map(int, env[op.source].reshape(-1)), strict=True)))
            case SetSizes():
                self.learned({n: self.size(e) for n, e in zip(op.symbols, op.exprs, strict=True)})
            case If():
                taken = bool(env[op.condition].reshape(-1)[0])
                self.block((op.then if taken else op.otherwise).block)
                values = op.then_sizes if taken else op.else_sizes
                self.learned({n: self.size(e.data) for n, e in zip(op.symbols, values, strict=True)})
            case While():
                self.loop(op)
            case _:
                raise IRError(f"{op.name} has no reference meaning")

    def part(self, op: View, source: Array) -> Array:
        """What a view shows of its buffer."""
        shape = [self.size(e) for e in op.type.sizes]
        start = self.size(op.offset.data)
        return source.reshape(-1)[start : start + int(np.prod(shape))].reshape(shape)

    def mirror(self, buffer: SSAValue) -> Array:
        """What a buffer holds on the host."""
        if isinstance(buffer.owner, View):
            return self.part(buffer.owner, self.mirror(buffer.owner.source))
        if buffer not in self.mirrors:
            self.mirrors[buffer] = unwritten(buffer_type(buffer), self.symbols)
        return self.mirrors[buffer]

    def loop(self, op: While) -> None:
        bound = None if op.bound is None else self.size(op.bound.data)
        i = 0
        while (bound is None or i < bound) and (op.condition is None or self.env[op.condition].reshape(-1)[0]):
            self.learned({op.iteration.data: i})
            self.block(op.body.block)
            i += 1
        if op.count is not None:
            self.learned({op.count.data: i})


def bind_sizes(types: Sequence[BufferType], arrays: Sequence[Array], names: Sequence[str]) -> dict[str, int]:
    """The numbers that size symbols take for these inputs. Raises InputError where a size is not as declared."""
    symbols: dict[str, int] = {}
    for type_, array, name in zip(types, arrays, names, strict=True):
        if array.ndim != type_.rank:
            raise InputError(f"input {name!r} has rank {array.ndim}, expected {type_.rank}")
        for size, actual in zip(type_.sizes, array.shape, strict=True):
            for symbol in size.symbols:
                if size == Expr.symbol(symbol):
                    symbols.setdefault(symbol, actual)
    for type_, array, name in zip(types, arrays, names, strict=True):
        for i, (size, actual) in enumerate(zip(type_.sizes, array.shape, strict=True)):
            if size.evaluate(symbols=symbols) != actual:
                raise InputError(f"input {name!r}: dimension {i} is {actual}, expected {size}")
    return symbols


def buffer_type(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


def unwritten(type_: BufferType, symbols: Mapping[str, int]) -> Array:
    """An array for a buffer that nobody wrote yet."""
    shape = [int(s.evaluate(symbols=symbols)) for s in type_.sizes]
    if is_small(type_.element_type):
        return np.full(shape, PATTERN, np.uint8).astype(type_.dtype)
    return np.full(shape, nothing(type_.dtype), type_.dtype)


def nothing(dtype: np.dtype[Any]) -> Any:
    """What an element holds that was never written."""
    return np.array({"b": True, "i": PATTERN, "u": PATTERN}.get(dtype.kind, np.nan)).astype(dtype)[()]


def _all(steps: Sequence[Step]) -> None:
    for step in steps:
        step()


def _placed(op: Alloc, arena: Array, symbols: Mapping[str, int], env: dict[SSAValue, Array]) -> tuple[Array, Array]:
    """A program's buffer. With an offset it shares memory with what lies there too, so that wrong plans show."""
    if op.offset is None or op.type.offset != BufferType.of(op.type.sizes, op.type.element_type).offset:
        return arena, unwritten(op.type, symbols)
    start = int(op.offset.data.evaluate(symbols=symbols))
    size = int(op.type.bytes.evaluate(symbols=symbols))
    if start + size > len(arena):
        grown = np.full(max(2 * len(arena), start + size), PATTERN, np.uint8)
        grown[: len(arena)] = arena
        for value, array in env.items():  # what lies in the old arena moves along
            if array.base is not None and np.shares_memory(array, arena):
                at = array.__array_interface__["data"][0] - arena.__array_interface__["data"][0]
                env[value] = grown[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        arena = grown
    shape = [int(s.evaluate(symbols=symbols)) for s in op.type.sizes]
    return arena, arena[start : start + size].view(op.type.dtype).reshape(shape)


def evaluate_kernel(
    kernel: Kernel, buffers: Sequence[Array], symbols: Mapping[str, int], *, late: bool = False
) -> None:
    """Run a kernel on arrays, one per argument, which it writes in place, and values of its sizes.

    `late`: what is started happens when it is waited for, and until then what it writes holds nothing; a kernel that
    waits for all that it uses has the same results. Raises IndexError for an access outside of a buffer, IRError for an
    operation without a meaning, or where a kernel ends while something is under way."""
    run = _Run(symbols, late)
    for arg, name, array in zip(kernel.args, kernel.arg_names, buffers, strict=True):
        expected = tuple(int(s.evaluate(symbols=symbols)) for s in buffer_type(arg).sizes)
        if array.shape != expected:
            raise InputError(f"kernel {kernel.sym_name.data}: buffer {name!r} has shape {array.shape}, not {expected}")
        run.values[arg] = held(array)
    with np.errstate(all="ignore"):
        for step in run.steps(kernel.body.block):
            step()
    if left := [queue for queue, started in run.queues.items() if started]:
        raise IRError(f"kernel {kernel.sym_name.data} ends before what it started in {', '.join(left)} has happened")


class _Run:
    """A kernel's operations as Python closures over one table of values, so that a loop's body is prepared once."""

    def __init__(self, symbols: Mapping[str, int], late: bool = False) -> None:
        self.symbols, self.late = symbols, late
        self.values: dict[SSAValue, Any] = {}
        self.spoiling: set[Operation] = set()  # stores of what holds nothing
        self.queues: dict[str, list[Step]] = {}  # what was started and not waited for, the oldest first

    def steps(self, block: Block) -> list[Step]:
        return [self.step(op) for op in block.ops]

    def step(self, op: Operation) -> Step:
        match op:
            case For():
                return self.loop(op)
            case Load():
                return self.load(op)
            case Store():
                return self.store(op)
            case Alloc():
                return lambda: self.values.__setitem__(op.buffer, held(unwritten(op.type, self.symbols)))
            case Index():
                return self.index(op)
            case Prefetch():
                return lambda: None
            case Invoke():
                return self.invoke(op)
            case Wait():
                return self.wait(op)
            case _:
                return self.scalar(op)

    def exprs(self, exprs: Sequence[Expr], operands: Sequence[SSAValue]) -> Callable[[], tuple[int, ...]]:
        """What gives the values of index expressions."""
        symbols = {s: self.symbols[s] for e in exprs for s in e.symbols}
        f = _function(tuple(e.substitute(symbols=symbols) for e in exprs), len(operands))
        values = self.values
        return lambda: f(*[int(values[v]) for v in operands])

    def loop(self, op: For) -> Step:
        bounds, body = self.exprs(op.exprs, list(op.indices)), self.steps(op.body.block)
        values, iv, stride, backwards = self.values, op.iv, op.stride, op.is_parallel

        def run() -> None:
            low, high = bounds()
            span = range(low, high, stride)
            for i in reversed(span) if backwards else span:
                values[iv] = i
                for step in body:
                    step()

        return run

    def index(self, op: Index) -> Step:
        at, values, result = self.exprs(op.exprs, list(op.indices)), self.values, op.value
        if op.lanes == 1:
            return lambda: values.__setitem__(result, np.int64(at()[0]))
        assert op.lane_step is not None
        lanes = np.arange(op.lanes) * op.lane_step.data
        return lambda: values.__setitem__(result, at()[0] + lanes)

    def invoke(self, op: Invoke) -> Step:
        steps = self.meaning(op)
        if op.start is None:
            return lambda: _all(steps)
        queue = op.find().queue
        assert queue is not None
        started = self.queues.setdefault(queue.data, [])
        if not self.late:

            def now() -> None:
                _all(steps)
                started.append(lambda: None)

            return now
        spoils, values, indices = self.meaning(op, op.written()), self.values, list(op.indices)

        def later() -> None:
            _all(spoils)
            at = {v: values[v] for v in indices}

            def happen() -> None:
                kept = {v: values[v] for v in at}
                values.update(at)
                _all(steps)
                values.update(kept)

            started.append(happen)

        return later

    def meaning(self, op: Invoke, spoiled: Sequence[SSAValue] = ()) -> list[Step]:
        """What an invocation stands for; `spoiled` buffers are given nothing."""
        ops = inlined(op)
        self.spoiling |= {o for top in ops for o in walk(top) if isinstance(o, Store) and o.buf in spoiled}
        steps = [self.step(o) for o in ops]
        for o in reversed(ops):  # so that the kernel's values are used by what is in it, and nobody else
            o.erase(safe_erase=False)
        return steps

    def wait(self, op: Wait) -> Step:
        started = self.queues.setdefault(op.queue.data, [])
        pending = self.exprs(op.exprs, list(op.indices))

        def run() -> None:
            while len(started) > max(pending()[0], 0):
                started.pop(0)()

        return run

    def place(self, op: Load | Store) -> Callable[[], tuple[Any, Any]]:
        """What gives an access's index, and which lanes of it lie inside (None: all); outside is an error unless
        the access says what then."""
        at, values, buffer, steps = self.exprs(op.exprs, list(op.indices)), self.values, op.buf, op.steps
        tolerant = op.tolerant
        offsets = [np.arange(op.live) * s for s in steps] if op.lanes > 1 else None
        span = op.live - 1 if op.lanes > 1 else 0
        text = op.name, op.type

        def run() -> tuple[Any, Any]:
            first, shape = at(), values[buffer].shape
            for i, s, n in zip(first, steps, shape, strict=True):
                if not (0 <= i < n and 0 <= i + s * span < n):
                    break
            else:
                return first if offsets is None else tuple(i + o for i, o in zip(first, offsets, strict=True)), None
            if not tolerant:
                raise IndexError(f"{text[0]} at {first}, {span + 1} lanes {steps}, of {text[1]} with sizes {shape}")
            index = [np.asarray(i if offsets is None else i + offsets[d]) for d, i in enumerate(first)]
            inside = np.array(all(shape))
            for i, n in zip(index, shape, strict=True):
                inside = inside & (i >= 0) & (i < n)
            return tuple(np.clip(i, 0, max(n - 1, 0)) for i, n in zip(index, shape, strict=True)), inside

        return run

    def load(self, op: Load) -> Step:
        place, values, result, buffer, otherwise = self.place(op), self.values, op.value, op.buf, op.otherwise
        lanes, live = op.lanes, op.live

        def run() -> None:
            at, inside = place()
            array = values[buffer]
            if inside is not None:
                other = values[otherwise]  # pyright: ignore[reportArgumentType]
                if np.ndim(other):
                    other = other[:live]
                value = np.where(inside, array[at], other).astype(array.dtype) if inside.any() else other
                value = np.broadcast_to(value, live) if lanes > 1 else value
            else:
                value = array[at]
            if live < lanes:
                value = np.concatenate([value, np.zeros(lanes - live, array.dtype)])
            values[result] = value

        return run

    def store(self, op: Store) -> Step:
        place, values, buffer, value, live, lanes = self.place(op), self.values, op.buf, op.value, op.live, op.lanes

        spoils = op in self.spoiling

        def run() -> None:
            stored = values[value]
            at, inside = place()
            if spoils:
                stored = nothing(values[buffer].dtype)
            stored = stored[:live] if lanes > 1 and np.ndim(stored) else stored
            if inside is not None:  # what is skipped
                at = tuple(np.broadcast_to(i, inside.shape)[inside] for i in at)
                stored = np.broadcast_to(stored, inside.shape)[inside]
            values[buffer][at] = stored

        return run

    def scalar(self, op: Operation) -> Step:
        if len(op.results) != 1:
            raise IRError(f"{op.name} has no reference meaning")
        values, operands, result = self.values, tuple(op.operands), op.results[0]
        if isinstance(op, vector.BroadcastOp):
            lanes = lanes_of(result.type)
            return lambda: values.__setitem__(result, np.broadcast_to(values[operands[0]], lanes))
        if not operands:
            constant = evaluate_scalar(op, ())[()]
            return lambda: values.__setitem__(result, constant)
        simple = SIMPLE.get(type(op))
        if isinstance(simple, np.ufunc):  # keeps the dtype by itself
            return lambda: values.__setitem__(result, simple(*[values[v] for v in operands]))
        meaning = op.scalar if isinstance(op, Lanewise) else op
        return lambda: values.__setitem__(result, evaluate_scalar(meaning, [values[v] for v in operands])[()])


@lru_cache(maxsize=1 << 14)
def _function(exprs: tuple[Expr, ...], count: int) -> Callable[..., tuple[int, ...]]:
    """Expressions over d0 .. without symbols as one Python function of the dims' values."""

    def atom(a: Atom) -> str:
        match a.kind:
            case "dim":
                return f"d{a.args[0]}"
            case "min" | "max":
                return f"{a.kind}({', '.join(map(total, a.args))})"
            case kind:
                return f"{kind}({total(a.args[0])}, {total(a.args[1])})"

    def total(e: Expr) -> str:
        return " + ".join("*".join([str(c), *map(atom, m)]) for m, c in e.terms.items()) or "0"

    source = f"lambda {', '.join(f'd{i}' for i in range(count))}: ({''.join(total(e) + ', ' for e in exprs)})"
    names = {"floordiv": lambda a, b: a // b if b else 0, "mod": lambda a, b: a % b if b else 0, "min": min, "max": max}
    return eval(source, names)
