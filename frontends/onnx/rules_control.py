"""Rules of control flow: If, Loop, Scan.

What is known at import needs no control flow: a branch that is taken, a state that counts, a condition that a counter
decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from onnx import GraphProto, NodeProto
from xdsl.dialects.builtin import i1

from ...dialects.control import If, Loop, ReadSizes, SetSizes
from ...errors import Error, ModelError, NeedsPython, UnsupportedError
from ...ir.expr import ONE, ZERO, Atom, Expr, ceildiv, maximum, minimum
from ...ir.types import TensorType
from .bodies import Body, add_control
from .builder import Held, Value, ValueList
from .node import Node, Result, Rule
from .symbolic import objects

UNROLLED = 1024  # iterations of a loop through which sequences pass, at most
FOREVER = 2**31  # iterations: a bound at or above it is none


# ---- If


def if_(n: Node) -> Result:
    """A branch that is known is imported in place; else both are bodies."""
    condition = n.input(0)
    if condition.numbers is not None:
        return n.inline("then_branch" if condition.numbers.reshape(-1)[0] else "else_branch", [])
    back, known = n.mark(), truth(condition)
    bodies = [Body(n.builder, f"{n.name}.{part}") for part in ("then", "else")]
    found = [n.inline(f"{part}_branch", [], body) for part, body in zip(("then", "else"), bodies, strict=True)]
    if len(found[0]) != len(found[1]):
        raise ModelError(f"its branches give {len(found[0])} and {len(found[1])} values")
    layout = [count(held) for held in found[0]]
    if layout != [count(held) for held in found[1]]:
        raise NeedsPython("its branches give sequences of different lengths, and which is taken depends on data")
    results = [[v for held in branch for v in spread(held)] for branch in found]
    if known is not None and any(a.rank != b.rank for a, b in zip(*results, strict=True)):
        # exporters write squeezing as `If(size == 1, Squeeze(x), x)`: what follows is made for the squeezed one
        back()
        n.check(ONE - known, "the model is compiled for sizes with which the first branch of an If is taken")
        return n.inline("then_branch", [])
    symbols: list[str] = []
    types = [joined(n, i, a.type, b.type, symbols) for i, (a, b) in enumerate(zip(*results, strict=True))]
    for body, values in zip(bodies, results, strict=True):
        if any(v.type.symbols & local_symbols(body) for v in values):
            raise NeedsPython("the size of what a branch gives depends on data in it")
        body.finish(values)
    one_bool = n.builder.ssa(n.reshape(n.cast(condition, np.bool_), []))
    calls = [(body.name, [n.builder.ssa(v) for v in body.captured]) for body in bodies]
    values = iter(add_control(n.builder, If(one_bool, calls[0], calls[1], types, symbols, n.builder.nodes)))
    return [gathered(values, length) for length in layout]


def needed(value: Held) -> Value:
    """A result that is a tensor. Raises ModelError, NeedsPython for a sequence."""
    if value is None:
        raise ModelError("a graph in it gives no value where one is needed")
    if isinstance(value, ValueList):
        raise NeedsPython("a sequence passes through it, and its length depends on data")
    return value


def count(held: Held) -> int:
    """The number of a sequence's elements, -1 for a tensor, -2 for an empty optional."""
    return len(held.items) if isinstance(held, ValueList) else -2 if held is None else -1


def spread(held: Held) -> Sequence[Value]:
    """The tensors of a result."""
    return held.items if isinstance(held, ValueList) else () if held is None else (held,)


def gathered(values: Iterator[Value], length: int) -> Held:
    """A result of `count` `length` again, of the next tensors."""
    if length < 0:
        return next(values) if length == -1 else None
    return ValueList(tuple(next(values) for _ in range(length)))


def joined(n: Node, position: int, a: TensorType, b: TensorType, symbols: list[str]) -> TensorType:
    """The type of a result that has either type; sizes in which they differ are new symbols."""
    if a.element_type != b.element_type:
        raise ModelError(f"its branches give {a.element_type} and {b.element_type} as result {position}")
    if a.rank != b.rank:
        raise NeedsPython(
            f"its branches give tensors of {a.rank} and of {b.rank} dimensions, and which is taken depends on data",
            hint="fix the sizes with --shape, so that the condition is known",
        )
    sizes = list(a.sizes)
    for axis, (x, y) in enumerate(zip(a.sizes, b.sizes, strict=True)):
        if x != y:
            symbols.append(n.builder.unique(f"{n.name}.{position}.{axis}"))
            sizes[axis] = Expr.symbol(symbols[-1])
    return TensorType.of(sizes, a.element_type)


def local_symbols(body: Body) -> set[str]:
    """The size symbols that operations of a body define."""
    found: set[str] = set()
    for op in body.function.body.block.ops:
        match op:
            case ReadSizes() | SetSizes():
                found.update(op.symbols)
            case If() | Loop():
                found.update(op.sizes)
            case _:
                continue
    return found


def varying_symbols(body: Body) -> set[str]:
    """Those that are made of data which may be another each time that the body runs."""
    found: set[str] = set()
    for op in body.function.body.block.ops:
        match op:
            case ReadSizes() if not body.is_captured(op.source):
                found.update(op.symbols)
            case SetSizes():
                found.update(s for s, e in zip(op.symbols, op.exprs, strict=True) if e.symbols & found)
            case If() | Loop():
                found.update(op.sizes)
            case _:
                continue
    return found


# ---- what Loop, Scan and the recurrent operators share


class Growing(Error):
    """States come out of an iteration larger than they went in; `by`: by how much, for each axis, by state."""

    def __init__(self, by: Mapping[int, Sequence[Expr]]) -> None:
        super().__init__("a state grows")
        self.by = by


@dataclass
class Steps:
    """A loop that is built: its body, and what goes in. The body's arguments are the states, then the rows."""

    n: Node
    body: Body
    bound: Expr | None = None
    condition: Value | None = None
    symbol: str = ""
    count: str | None = None
    may_grow: bool = False  # Growing is raised where states come out larger than they go in
    states: list[tuple[Value, Value]] = field(default_factory=list[tuple[Value, Value]])  # outside, inside
    scanned: list[tuple[Value, bool]] = field(default_factory=list[tuple[Value, bool]])

    def __post_init__(self) -> None:
        self.symbol = self.symbol or self.n.builder.unique(f"${self.n.name}.i")

    def state(self, initial: Value, name: str = "", growth: Sequence[Expr] = ()) -> Value:
        """A new state, as the body sees it; `growth`: by how much its sizes change in each iteration."""
        type_ = initial.type
        if growth:
            here = Expr.symbol(self.symbol)
            sizes = [s + here * g for s, g in zip(initial.sizes, growth, strict=True)]
            type_ = TensorType.of(sizes, type_.element_type)
        self.states.append((initial, self.body.argument(type_, name)))
        return self.states[-1][1]

    def scan(self, source: Value, backward: bool = False, name: str = "") -> Value:
        """A row of axis 0 of a tensor, as the body sees it. States come before."""
        self.scanned.append((source, backward))
        return self.body.argument(TensorType.of(source.sizes[1:], source.type.element_type), name)

    def finish(
        self, states: Sequence[Value], rows: Sequence[Value], backward: Sequence[bool] = (), going: Value | None = None
    ) -> tuple[list[Value], list[Value]]:
        """The final states, and the outputs made of rows. `going` is the body's condition."""
        n, builder = self.n, self.n.builder
        back = list(backward) or [False] * len(rows)
        self._look_for_growth(states)
        here = Expr.symbol(self.symbol)
        after = [inside.type.at(self.symbol, here + 1) for _, inside in self.states]
        next_states = [self._fitting(new, old) for new, old in zip(states, after, strict=True)]
        if self.grows and self.bound is None:
            raise NeedsPython("a state grows, and how often the loop runs is known only when it ends")
        if self.condition is not None:
            self.count = builder.unique(f"{n.name}.count")
        local = self.local
        # a size that a state has, which stays what it is, is known outside too
        known = {
            a: b for s, t in zip(states, after, strict=True) for a, b in zip(s.sizes, t.sizes, strict=True) if a != b
        }
        sizes = [[known.get(size, size) if size.symbols & local else size for size in row.sizes] for row in rows]
        rows = [
            row if list(row.sizes) == found else self.body.emit("Reshape", row, shape=found)
            for row, found in zip(rows, sizes, strict=True)
        ]
        for row in rows:
            if row.type.symbols & local:
                raise NeedsPython("the size of its scanned output may differ from iteration to iteration")
        if rows and self.bound is None:
            raise NeedsPython("it collects rows, and how often it runs is known only when it ends")
        given = [] if going is None else [going]
        self.body.finish([*given, *next_states, *rows])
        types = [inside.type.at(self.symbol, self.rows) if self.grows else inside.type for _, inside in self.states]
        types += [TensorType.of([self.rows, *r.sizes], r.type.element_type) for r in rows]
        op = Loop(
            self.body.name, self.symbol, types, bound=self.bound, count=self.count,
            condition=None if self.condition is None else builder.ssa(self.condition),
            states=[builder.ssa(s) for s, _ in self.states], scanned=[builder.ssa(s) for s, _ in self.scanned],
            captured=[builder.ssa(v) for v in self.body.captured],
            backward=[*(b for _, b in self.scanned), *back], nodes=builder.nodes,
        )  # fmt: skip
        found = list(add_control(builder, op))
        return found[: len(self.states)], found[len(self.states) :]

    @property
    def grows(self) -> bool:
        """Whether sizes of a state depend on the iteration."""
        return any(self.symbol in inside.type.symbols for _, inside in self.states)

    def _look_for_growth(self, states: Sequence[Value]) -> None:
        """Raises Growing where states that are taken to keep their sizes come out larger, by as much each time."""
        if not self.may_grow:
            return
        found: dict[int, list[Expr]] = {}
        for i, (new, (old, _)) in enumerate(zip(states, self.states, strict=True)):
            if new.rank == old.rank and new.type.element_type == old.type.element_type:
                by = [a - b for a, b in zip(new.sizes, old.sizes, strict=True)]
                if any(g != ZERO for g in by) and all(g.nonnegative() and not g.symbols & self.local for g in by):
                    found[i] = by
        if found:
            raise Growing(found)

    @property
    def local(self) -> set[str]:
        """The size symbols that only the body knows."""
        return {self.symbol} | local_symbols(self.body)

    @property
    def rows(self) -> Expr:
        """How many iterations run, once it is settled how the loop ends."""
        found = self.bound if self.count is None else Expr.symbol(self.count)
        assert found is not None
        return found

    def _fitting(self, new: Value, old: TensorType) -> Value:
        """The next state in the type of the state. Sizes that may be equal must be."""
        if new.type == old:
            return new
        if new.type.element_type != old.element_type:
            raise ModelError(f"a state is {old.element_type} and becomes {new.type.element_type}")
        changing = NeedsPython(f"a state changes its sizes, from {old} to {new.type}")
        if new.rank != old.rank:
            raise changing
        for a, b in zip(new.sizes, old.sizes, strict=True):
            difference = a - b
            if (difference - 1).nonnegative() or (-difference - 1).nonnegative() or self.symbol in b.symbols:
                raise changing
            if difference.symbols & varying_symbols(self.body):
                raise changing
            place = self.body.builder if self.local & difference.symbols else self.n.builder
            place.same(a, b, f"a state of size {b} would become one of size {a} (node '{self.n.name}')")
        return self.body.emit("Reshape", new, shape=list(old.sizes))


# ---- Loop


@dataclass
class Update:
    """How the body's graph computes a state from itself: it keeps it, or adds `step` to it."""

    step: int  # 0: it keeps it


def loop(n: Node) -> Result:
    graph: GraphProto = n.required("body")
    states = len(graph.input) - 2
    if states < 0 or len(n.values) != states + 2 or len(graph.output) < states + 1:
        raise ModelError(f"{len(n.values)} inputs, and a body of {len(graph.input)} and {len(graph.output)} values")
    if any(not isinstance(n.held(i + 2), Value) for i in range(states)):
        return unrolled(n, graph, states)
    initial = [n.input(i + 2) for i in range(states)]
    bound = None
    if n.has(0):
        bound = n.sizes(0, "the trip count")[0]
        bound = None if (bound.constant or 0) >= FOREVER else bound if bound.nonnegative() else maximum(bound, 0)
    back = n.mark()
    try:
        return counted(n, graph, initial, bound, None)
    except Growing as found:
        growth = found.by
    back()
    try:  # what the first iteration adds, the others add as well
        return counted(n, graph, initial, bound, growth)
    except Error:
        back()
    return counted(n, graph, initial, bound, {})


Growth: TypeAlias = "Mapping[int, Sequence[Expr]] | None"  # of states, by number; None: to be found out


def counted(n: Node, graph: GraphProto, initial: Sequence[Value], bound: Expr | None, growth: Growth) -> Result:
    """The results of the loop, where states that count are no states. Raises Growing."""
    updates = [update_of(n, graph, i, value) for i, value in enumerate(initial)]
    if any(u is not None and u.step for u in updates):
        try:
            return attempt(n, graph, initial, bound, updates, growth, trial=True)
        except NotSo:
            updates = [u if u is not None and not u.step else None for u in updates]
    return attempt(n, graph, initial, bound, updates, growth, trial=False)


def unrolled(n: Node, graph: GraphProto, states: int) -> Result:
    """A loop through which sequences or optionals pass, iteration by iteration: there is no other native form for it.

    Raises NeedsPython where the number of iterations, or whether there is a next one, depends on data."""
    most = n.input(0).numbers if n.has(0) else None
    if most is None or most.size != 1 or most.reshape(-1)[0] > UNROLLED:
        raise NeedsPython("sequences pass through it, and how often it runs depends on data")
    going = n.optional(1) or n.constant(True)
    held = [n.held(i + 2) for i in range(states)]
    rows: list[list[Value]] = [[] for _ in graph.output[states + 1 :]]
    for i in range(int(most.reshape(-1)[0])):
        if going.numbers is None:
            raise NeedsPython("sequences pass through it, and when it ends depends on data")
        if not going.numbers.all():
            break
        number = n.constant(np.full(declared_shape(graph, 0), i, np.int64))
        found = n.inline("body", [number, n.constant(np.ones(declared_shape(graph, 1), np.bool_)), *held])
        going, held = needed(found[0]), found[1 : states + 1]
        for row, value in zip(rows, found[states + 1 :], strict=True):
            row.append(needed(value))
    if not all(rows):
        raise NeedsPython("sequences pass through it, and it does not run at all")
    return [*held, *(n.emit("Concat", [n.reshape(v, [1, *v.sizes]) for v in row], axis=0) for row in rows)]


class NotSo(Error):
    """What was assumed about a state does not hold."""


def attempt(
    n: Node, graph: GraphProto, initial: Sequence[Value], bound: Expr | None, updates: Sequence[Update | None],
    growth: Growth, trial: bool,
) -> Result:  # fmt: skip
    """The results of the loop, where states change as `updates` says; in a trial, NotSo is raised where they do not."""
    body = Body(n.builder, f"{n.name}.body")
    steps = Steps(n, body, bound, may_grow=growth is None)
    if growth:
        steps.symbol = n.builder.unique(f"{n.name}.i")  # without $: sizes have it in them
    here = Expr.symbol(steps.symbol)
    arguments: list[Value] = []
    for value, update, info in zip(initial, updates, graph.input[2:], strict=True):
        if update is None:
            arguments.append(steps.state(value, info.name, (growth or {}).get(len(steps.states), ())))
        elif update.step:
            arguments.append(Value(value.type, moved(value, here * update.step)))
        else:
            arguments.append(value)
    arguments = [body.take(v) if u is not None and not u.step else v for v, u in zip(arguments, updates, strict=True)]
    number = np.full(declared_shape(graph, 0), None, object)
    number[...] = here
    given = [Value(TensorType.of(number.shape, n.constant(0, "int64").type.element_type), number)]
    given.append(n.constant(np.ones(declared_shape(graph, 1), np.bool_)))
    mark = n.mark() if trial else None
    try:
        found = [needed(v) for v in n.inline("body", [*given, *arguments], body)]
        condition, after, rows = found[0], found[1 : len(initial) + 1], found[len(initial) + 1 :]
        for value, update, new in zip(initial, updates, after, strict=True):
            if update is not None and update.step and not is_moved(new, value, (here + 1) * update.step):
                raise NotSo("")
    except Error:
        if mark is None:
            raise
        mark()
        raise NotSo("") from None
    going = conditions(n, steps, condition)
    kept = [new for new, update in zip(after, updates, strict=True) if update is None]
    finals, outputs = steps.finish(kept, rows, going=going)
    results: list[Value | None] = []
    for value, update in zip(initial, updates, strict=True):
        if update is None:
            results.append(finals.pop(0))
        elif not update.step:
            results.append(value)
        else:
            results.append(Value(value.type, moved(value, steps.rows * update.step)))
    return [*results, *outputs]


def declared_shape(graph: GraphProto, position: int) -> list[int]:
    """[] or [1]: the iteration's number and the condition come as the body says."""
    return [1] * min(len(graph.input[position].type.tensor_type.shape.dim), 1)


def moved(value: Value, by: Expr) -> Any:
    """The known elements of a value, each moved."""
    assert value.known is not None
    return objects([Expr.of(e if isinstance(e, Expr) else int(e)) + by for e in value.known.flat], value.known.shape)


def is_moved(new: Value, old: Value, by: Expr) -> bool:
    """Whether the new value is known to be the old one, moved."""
    if new.known is None or new.type != old.type:
        return False
    pairs = zip(new.known.flat, moved(old, by).flat, strict=True)
    return all((e if isinstance(e, Expr) else Expr.const(int(e))) == expected for e, expected in pairs)


def update_of(n: Node, graph: GraphProto, position: int, initial: Value) -> Update | None:
    """What the body's nodes say about a state, None if it is neither kept nor counts."""
    makers = {output: node for node in graph.node for output in node.output}

    def origin(name: str) -> str:
        seen: set[str] = set()
        while name in makers and makers[name].op_type == "Identity" and name not in seen:
            seen.add(name)
            name = makers[name].input[0]
        return name

    state, result = graph.input[position + 2].name, origin(graph.output[position + 1].name)
    if result == state:
        return Update(0)
    known = initial.known is not None and initial.known.size <= 1 and initial.dtype.kind == "i"
    maker = makers.get(result)
    if not known or maker is None or maker.op_type != "Add" or len(maker.input) != 2:
        return None
    names = [origin(i) for i in maker.input]
    if state not in names:
        return None
    return Update(step_of(n, graph, makers, names[1 - names.index(state)]))


def step_of(n: Node, graph: GraphProto, makers: Mapping[str, NodeProto], name: str) -> int:
    """The number that a name stands for; 1 where the body does not say, which is a guess that is looked at later."""
    tensors = [t for t in graph.initializer if t.name == name]
    if name in makers and makers[name].op_type == "Constant":
        tensors = [a.t for a in makers[name].attribute if a.name == "value"]
    found = n.tensor(tensors[0], "") if tensors else np.ones(1, np.int64)
    return int(found.reshape(-1)[0]) or 1 if found.size == 1 else 1


def conditions(n: Node, steps: Steps, going: Value) -> Value | None:
    """Settle how the loop ends: its bound or its condition is set in `steps`. The body's condition, None if there is
    none."""
    initial = n.optional(1)
    start = ONE if initial is None else truth(initial)
    after = truth(going)
    if start is not None and after is not None and (own := iterations(start, after, steps.symbol)) is not None:
        if own.constant != FOREVER:
            steps.bound = own if steps.bound is None else minimum(steps.bound, own)
        elif start != ONE and steps.bound is not None:
            steps.bound = steps.bound * start
        if steps.bound is None:
            raise ModelError("the loop never ends")
        return None
    first = n.constant(True) if initial is None else initial
    steps.condition = n.reshape(n.cast(first, np.bool_), [])
    body = steps.body
    going = going if going.dtype == np.bool_ else body.emit("Cast", going, to=i1)
    return going if not going.sizes else body.emit("Reshape", going, shape=[])


def truth(value: Value) -> Expr | None:
    """A condition that is known, as 0 or 1."""
    if value.known is None or value.known.size != 1:
        return None
    element = value.known.reshape(-1)[0]
    return element if isinstance(element, Expr) else Expr.const(int(bool(element)))


def iterations(start: Expr, after: Expr, symbol: str) -> Expr | None:
    """How often a loop runs by its conditions, before it and after iteration `symbol`; FOREVER where they always hold,
    None where that cannot be told."""
    if start == ZERO:
        return ZERO
    if after == ZERO:
        return start
    if after == ONE:
        return Expr.const(FOREVER)
    ((monomial, factor),) = after.terms.items() if len(after.terms) == 1 else (((), 0),)
    found: list[Expr] = []
    for atom in monomial:
        positive = positive_part(atom)
        if factor != 1 or positive is None:
            return None
        # positive = rest - step * i: it holds for i < rest / step
        one, zero = Expr.const(1), Expr.const(0)
        rest = positive.substitute(symbols={symbol: zero})
        step = rest - positive.substitute(symbols={symbol: one})
        k = step.constant
        if k is None or k <= 0 or positive != rest - Expr.symbol(symbol) * k:
            return None
        found.append(ceildiv(rest, k))
    if not found:
        return None
    before = after.substitute(symbols={symbol: Expr.const(-1)})
    last = minimum(*found) if len(found) > 1 else found[0]
    if before == start:  # what is asked after iteration i was asked with i = -1 before the first one
        return maximum(last + 1, 0)
    return start * (maximum(last, 0) + 1)


def positive_part(atom: Atom) -> Expr | None:
    """e of `min(max(e, 0), 1)`, which is 1 where e > 0 and else 0."""
    if atom.kind != "min" or len(atom.args) != 2 or ONE not in atom.args:
        return None
    (inner,) = [a for a in atom.args if a != ONE]
    clipped = inner.single
    if clipped is not None and clipped.kind == "max" and ZERO in clipped.args and len(clipped.args) == 2:
        return next(a for a in clipped.args if a != ZERO)
    return inner if inner.nonnegative() else None


# ---- Scan


def scan(n: Node) -> Result:
    return batched_scan(n) if n.opset < 9 else plain_scan(n)


def plain_scan(n: Node) -> Result:
    graph: GraphProto = n.required("body")
    scans = n.required("num_scan_inputs")
    states = len(n.values) - scans
    outputs = len(graph.output) - states
    if states < 0 or outputs < 0 or scans < 1:
        raise ModelError(f"{len(n.values)} inputs of which {scans} are scanned, and {len(graph.output)} results")
    axes = n.attr("scan_input_axes", [0] * scans)
    back = n.attr("scan_input_directions", [0] * scans)
    out_axes = n.attr("scan_output_axes", [0] * outputs)
    out_back = n.attr("scan_output_directions", [0] * outputs)
    if [len(axes), len(back), len(out_axes), len(out_back)] != [scans, scans, outputs, outputs]:
        raise ModelError("axes and directions are not as many as scanned inputs and outputs")
    sources = [moved_axis(n, n.input(states + i), axis, 0) for i, axis in enumerate(axes)]
    finals, rows = scan_body(n, graph, [n.input(i) for i in range(states)], sources, (back, out_back))
    return [*finals, *(moved_axis(n, row, 0, axis) for row, axis in zip(rows, out_axes, strict=True))]


def scan_body(
    n: Node, graph: GraphProto, initial: Sequence[Value], sources: Sequence[Value],
    backward: tuple[Sequence[int], Sequence[int]], within: Body | None = None,
) -> tuple[list[Value], list[Value]]:  # fmt: skip
    """The final states and the outputs, whose rows lie along axis 0."""
    length = sources[0].sizes[0]
    builder = n.builder if within is None else within.builder
    for source in sources[1:]:
        builder.same(source.sizes[0], length, f"it scans axes of {length} and of {source.sizes[0]}")
    sources = [
        s if s.sizes[0] == length else builder.emit("Reshape", s, shape=[length, *s.sizes[1:]])[0] for s in sources
    ]
    view = n if within is None else n.within(within.builder)
    steps = Steps(view, Body(builder, f"{n.name}.body", within), length)
    arguments = [steps.state(v, graph.input[i].name) for i, v in enumerate(initial)]
    names = [info.name for info in graph.input[len(initial) :]]
    for source, back, name in zip(sources, backward[0], names, strict=True):
        arguments.append(steps.scan(source, bool(back), name))
    found = [needed(v) for v in n.inline("body", arguments, steps.body)]
    return steps.finish(found[: len(initial)], found[len(initial) :], [bool(b) for b in backward[1]])


def moved_axis(n: Node, x: Value, source: int, target: int) -> Value:
    """The tensor with one axis moved to another place."""
    if not -x.rank <= min(source, target) <= max(source, target) < x.rank:
        raise ModelError(f"axis {source if source else target} does not fit {x.rank} dimensions")
    order = list(range(x.rank))
    order.insert(target % x.rank, order.pop(source % x.rank))
    return x if order == sorted(order) else n.emit("Transpose", x, perm=order)


def batched_scan(n: Node) -> Result:
    """Opset 8: axis 0 of everything is the batch, axis 1 is scanned. A loop over the batch around one over the axis."""
    graph: GraphProto = n.required("body")
    if n.has(0):
        raise UnsupportedError("sequences of different lengths in one batch, in the Scan of opset 8")
    scans = n.required("num_scan_inputs")
    states = len(n.values) - 1 - scans
    outputs = len(graph.output) - states
    initial, sources = [n.input(i + 1) for i in range(states)], [n.input(i + 1 + states) for i in range(scans)]
    back = n.attr("directions", [0] * scans)
    batch = Steps(n, Body(n.builder, f"{n.name}.batch"), (initial + sources)[0].sizes[0])
    rows = [batch.scan(v) for v in (*initial, *sources)]
    finals, found = scan_body(n, graph, rows[:states], rows[states:], (back, [0] * outputs), batch.body)
    _, results = batch.finish([], [*finals, *found])
    return results


RULES: Mapping[str, Rule] = {"If": if_, "Loop": loop, "Scan": scan}
