"""Rules of the recurrent operators: RNN, GRU, LSTM.

The products of the inputs with the weights W are one matrix product for all steps, in front of the loop. What is left
in the loop is the product of the state with R, and the gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from xdsl.dialects.builtin import i32

from ...errors import ModelError
from ...ir.expr import Expr, ExprLike
from ...ir.types import TensorType
from .bodies import Body
from .builder import Value
from .node import Node, Result, Rule
from .rules_control import Steps
from .symbolic import objects

Function: TypeAlias = "Callable[[Node, Value], Value]"
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

# activations: their operator, and the defaults of alpha and beta, for those that have them
PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
WITH_ALPHA = {"leakyrelu": ("LeakyRelu", 0.01), "thresholdedrelu": ("ThresholdedRelu", 1.0), "elu": ("Elu", 1.0)}


def activations(n: Node, defaults: Sequence[str], count: int) -> list[list[Function]]:
    """The activation functions of each of `count` directions. Those that have an alpha or a beta take the next number
    of the attribute, as long as there are some."""
    names = n.attr("activations", list(defaults) * count)
    if len(names) != len(defaults) * count:
        raise ModelError(f"{len(names)} activations, {len(defaults) * count} are needed")
    alphas, betas = list(n.attr("activation_alpha", [])), list(n.attr("activation_beta", []))

    def following(numbers: list[float], default: float) -> float:
        return float(numbers.pop(0)) if numbers else default

    def function(name: str) -> Function:
        if name in PLAIN:
            return partial(plain, PLAIN[name])
        if name in WITH_ALPHA:
            operator, alpha = WITH_ALPHA[name]
            return partial(plain, operator, alpha=following(alphas, alpha))
        if name not in WITH_BOTH:
            raise ModelError(f"there is no activation {name!r}")
        kind, alpha, beta = WITH_BOTH[name]
        return partial(kind, following(alphas, alpha), following(betas, beta))

    found = [function(name.lower()) for name in names]
    return [found[i : i + len(defaults)] for i in range(0, len(found), len(defaults))]


def plain(operator: str, n: Node, x: Value, **properties: float) -> Value:
    return n.emit(operator, x, **properties)


def affine(alpha: float, beta: float, n: Node, x: Value) -> Value:
    return n.emit("Add", n.emit("Mul", x, n.like(alpha, x)), n.like(beta, x))


def scaled_tanh(alpha: float, beta: float, n: Node, x: Value) -> Value:
    return n.emit("Mul", n.emit("Tanh", n.emit("Mul", x, n.like(beta, x))), n.like(alpha, x))


def hard_sigmoid(alpha: float, beta: float, n: Node, x: Value) -> Value:
    return n.emit("HardSigmoid", x, alpha=alpha, beta=beta)


WITH_BOTH = {
    "affine": (affine, 1.0, 0.0),
    "scaledtanh": (scaled_tanh, 1.0, 1.0),
    "hardsigmoid": (hard_sigmoid, 0.2, 0.5),
}

# ---- what the three operators share


@dataclass
class Matrix:
    """Weights [rows, columns]: `times` is x[m, columns] times their transpose."""

    value: Value

    def times(self, n: Node, x: Value, plus: Value | None, body: Body | None = None) -> Value:
        """The product plus something that broadcasts, built by `n`: in a body, which captures the weights."""
        return n.emit("Gemm", x, taken(body, self.value), plus, trans_b=True)

    def part(self, n: Node, size: Expr, first: int, last: int) -> Matrix:
        """Some of the gates, each of `size` rows."""
        return Matrix(rows(n, self.value, size, first, last))


def taken(body: Body | None, value: Value) -> Value:
    """A value where a body is built, or in front of it."""
    return value if body is None else body.take(value)


@dataclass
class Weights:
    """Of one direction: w[gates * hidden, input], r[gates * hidden, hidden]; biases and peepholes by gate, [hidden]."""

    w: Matrix
    r: Matrix
    w_bias: Value | None
    r_bias: Value | None
    peepholes: Value | None


@dataclass
class Cell:
    """One step in the body of a direction's loop. `n` builds there."""

    n: Node
    steps: Steps
    functions: Sequence[Function]
    weights: Weights
    hidden: Expr
    clip: float

    def here(self, value: Value) -> Value:
        """A value from outside of the loop."""
        return self.steps.body.take(value)

    def gates(self, x: Value, count: int) -> list[Value]:
        """The parts of [batch, count * hidden]."""
        return list(self.n.emit_all("Split", x, axis=-1, sizes=[self.hidden] * count))

    def activated(self, position: int, x: Value) -> Value:
        """An activation function of x, which is clipped if the operator says so."""
        if self.clip:
            x = self.n.emit("Clip", x, self.n.like(-self.clip, x), self.n.like(self.clip, x))
        return self.functions[position](self.n, x)

    def product(self, h: Value, row: Value | None, part: tuple[int, int] | None = None) -> Value:
        """h R^T + row; `part`: only these gates of R, from and to."""
        r = self.weights.r
        if part is not None:
            r = r.part(self.steps.n, self.hidden, *part)
        return r.times(self.n, h, row, self.steps.body)

    def peephole(self, gate: int, x: Value, c: Value) -> Value:
        """x + P c, if there are peepholes."""
        if self.weights.peepholes is None:
            return x
        p = rows(self.steps.n, self.weights.peepholes, self.hidden, gate, gate + 1)
        return self.n.emit("Add", x, self.n.emit("Mul", self.here(p), c))


def rows(n: Node, x: Value, size: Expr, first: int, last: int) -> Value:
    """Rows first * size .. last * size of the first axis."""
    return part(n, x, 0, size * first, size * (last - first))


def part(n: Node, x: Value, axis: int, start: ExprLike, size: ExprLike) -> Value:
    starts = [Expr.of(start) if i == axis else Expr.const(0) for i in range(x.rank)]
    sizes = [Expr.of(size) if i == axis else s for i, s in enumerate(x.sizes)]
    if x.numbers is not None and all(e.constant is not None for e in (*starts, *sizes)):
        spans = (slice(a.__index__(), (a + s).__index__()) for a, s in zip(starts, sizes, strict=True))
        return n.constant(x.numbers[tuple(spans)])
    return n.emit("Slice", x, starts=starts, sizes=sizes, steps=[1] * x.rank)


def direction(n: Node, x: Value, d: int) -> Value:
    """Element d of the first axis, which goes."""
    found = part(n, x, 0, d, 1)
    if found.numbers is not None:
        return n.constant(found.numbers[0])
    return n.reshape(found, found.sizes[1:])


Step: TypeAlias = "Callable[[Cell, list[Value], Value], list[Value]]"


@dataclass(frozen=True)
class Kind:
    """An operator of this family.

    `step` computes the next states from the states and x W^T + bias; the first state is also the output. `biases` says
    which biases are hoisted: all of them, or `w` for W's. `matrices` are W and R of a direction."""

    gates: int
    activations: Sequence[str]
    states: int
    step: Step
    biases: str
    matrices: Callable[[Node, int], tuple[Matrix, Matrix]]
    hidden: Callable[[Node], Expr]


def recurrent(n: Node, kind: Kind) -> Result:
    """Y, Y_h and, with two states, Y_c."""
    batch_first = bool(n.attr("layout", 0))
    x = n.input(0)
    if x.rank != 3:
        raise ModelError(f"its input has {x.rank} dimensions, not 3")
    if batch_first:
        x = n.emit("Transpose", x, perm=[1, 0, 2])
    name = n.attr("direction", "forward").lower()
    if name not in DIRECTIONS:
        raise ModelError(f"there is no direction {name!r}")
    backward = DIRECTIONS[name]
    functions = activations(n, kind.activations, len(backward))
    results = [one_direction(n, kind, x, d, back, functions[d]) for d, back in enumerate(backward)]
    return outputs(n, results, batch_first)


def one_direction(
    n: Node, kind: Kind, x: Value, d: int, back: bool, functions: Sequence[Function]
) -> tuple[Value | None, list[Value]]:
    """The outputs of all steps [time, batch, hidden], None where nobody wants them, and the final states."""
    (time, batch, width), hidden = x.sizes, kind.hidden(n)
    weights = weights_of(n, kind, d, hidden)
    bias = weights.w_bias
    if bias is not None and kind.biases == "all":
        bias = n.emit("Add", bias, weights.r_bias)
    flat = n.reshape(x, [time * batch, width])
    product = n.reshape(weights.w.times(n, flat, bias), [time, batch, hidden * kind.gates])
    steps = Steps(n, Body(n.builder, f"{n.name}.{'backward' if back else 'forward'}"), time)
    before = [steps.state(initial(n, x, position, d, batch, hidden), "hc"[position]) for position in range(kind.states)]
    row = steps.scan(product, back, "x")
    inside = n.within(steps.body.builder)
    cell = Cell(inside, steps, functions, weights, hidden, n.attr("clip", 0.0))
    after = kind.step(cell, before, row)
    out = after[0]
    if n.has(4):
        after, out = within_sequences(cell, before, after, back)
    wanted = n.wants(0)
    finals, collected = steps.finish(after, [out] if wanted else [], [back] if wanted else [])
    return (collected[0] if wanted else None), finals


def weights_of(n: Node, kind: Kind, d: int, hidden: Expr) -> Weights:
    bias = direction(n, n.input(3), d) if n.has(3) else None
    peepholes = direction(n, n.input(7), d) if n.has(7) else None
    first, last = (None if bias is None else rows(n, bias, hidden * kind.gates, k, k + 1) for k in (0, 1))
    return Weights(*kind.matrices(n, d), first, last, peepholes)


def plain_matrices(gates: int, n: Node, d: int) -> tuple[Matrix, Matrix]:
    """W [directions, gates * hidden, input] and R [directions, gates * hidden, hidden]."""
    ways = len(DIRECTIONS[n.attr("direction", "forward").lower()])
    hidden, width = hidden_size(n), n.input(0).sizes[2]
    for value, columns in ((n.input(1), width), (n.input(2), hidden)):
        need_sizes(n, value, (Expr.const(ways), hidden * gates, columns))
    return Matrix(direction(n, n.input(1), d)), Matrix(direction(n, n.input(2), d))


def need_sizes(n: Node, value: Value, sizes: Sequence[Expr]) -> None:
    """Demand that weights have these sizes. Raises ModelError."""
    if value.rank != len(sizes):
        raise ModelError(f"its weights have {value.rank} dimensions, not {len(sizes)}")
    for a, b in zip(value.sizes, sizes, strict=True):
        n.builder.same(a, b, f"its weights have a size of {a} where {b} is needed")


def hidden_size(n: Node) -> Expr:
    return n.input(2).sizes[-1]


def initial(n: Node, x: Value, position: int, d: int, batch: Expr, hidden: Expr) -> Value:
    """The first state of a direction: given, or zeros."""
    if not n.has(5 + position):
        return n.emit("Expand", n.like(0, x), shape=[batch, hidden])
    given = n.input(5 + position)
    if given.rank != 3:
        raise ModelError(f"its initial state has {given.rank} dimensions, not 3")
    if n.attr("layout", 0):
        given = n.emit("Transpose", given, perm=[1, 0, 2])
    found = direction(n, given, d)
    for a, b in zip(found.sizes, (batch, hidden), strict=True):
        n.builder.same(a, b, f"its initial state has a size of {a} where {b} is needed")
    return n.reshape(found, [batch, hidden])


def within_sequences(
    cell: Cell, before: Sequence[Value], after: Sequence[Value], back: bool
) -> tuple[list[Value], Value]:
    """Beyond the end of its sequence a state stays, and the output is 0."""
    n, steps = cell.n, cell.steps
    lengths = cell.here(steps.n.input(4))
    index = Expr.symbol(steps.symbol)
    if back:
        index = steps.rows - 1 - index
    now = Value(TensorType.of([], i32), objects([index], ()))
    inside = n.reshape(n.emit("Less", now, n.cast(lengths, "int32")), [lengths.sizes[0], 1])
    kept = [n.emit("Where", inside, new, old) for new, old in zip(after, before, strict=True)]
    return kept, n.emit("Where", inside, after[0], n.like(0, after[0]))


def outputs(n: Node, results: Sequence[tuple[Value | None, Sequence[Value]]], batch_first: bool) -> list[Value | None]:
    """Y [time, directions, batch, hidden] and the final states [directions, batch, hidden]; with the batch first where
    the layout says so."""

    def joined(values: Sequence[Value], axis: int) -> Value:
        parts = [n.reshape(v, [*v.sizes[:axis], 1, *v.sizes[axis:]]) for v in values]
        return parts[0] if len(parts) == 1 else n.emit("Concat", parts, axis=axis)

    found: list[Value | None] = [None]
    if n.wants(0):
        y = joined([v for v, _ in results if v is not None], 1)
        found[0] = n.emit("Transpose", y, perm=[2, 0, 1, 3]) if batch_first else y
    for position in range(len(results[0][1])):
        if not n.wants(1 + position):
            found.append(None)
            continue
        state = joined([finals[position] for _, finals in results], 0)
        found.append(n.emit("Transpose", state, perm=[1, 0, 2]) if batch_first else state)
    return found


# ---- the operators


def rnn_step(cell: Cell, states: list[Value], row: Value) -> list[Value]:
    """H = f(x W^T + h R^T + b)."""
    return [cell.activated(0, cell.product(states[0], row))]


def gru_step(reset_last: bool, cell: Cell, states: list[Value], row: Value) -> list[Value]:
    """z, r = f(x W^T + h R^T + b); h~ = g(x Wh^T + (r h) Rh^T + b), or g(x Wh^T + b + r (h Rh^T + b')) where the reset
    comes after; H = (1 - z) h~ + z h."""
    n, (h,) = cell.n, states
    if reset_last:
        bias = cell.weights.r_bias
        flat = None if bias is None else cell.here(bias)
        x_gates, h_gates = cell.gates(row, 3), cell.gates(cell.product(h, flat), 3)
        z, r = (cell.activated(0, n.emit("Add", x_gates[k], h_gates[k])) for k in (0, 1))
        new = n.emit("Add", x_gates[2], n.emit("Mul", r, h_gates[2]))
    else:
        first, last = n.emit_all("Split", row, axis=-1, sizes=[cell.hidden * 2, cell.hidden])
        z, r = (cell.activated(0, gate) for gate in cell.gates(cell.product(h, first, (0, 2)), 2))
        new = cell.product(n.emit("Mul", r, h), last, (2, 3))
    new = cell.activated(1, new)
    rest = n.emit("Sub", n.like(1, z), z)
    return [n.emit("Add", n.emit("Mul", rest, new), n.emit("Mul", z, h))]


def lstm_step(coupled: bool, cell: Cell, states: list[Value], row: Value) -> list[Value]:
    """i, f = f(x W^T + h R^T + P c + b); C = f c + i g(..); o = f(.. + P C); H = o h(C). Where the gates are coupled,
    f = 1 - i."""
    n, (h, c) = cell.n, states
    i, o, f, g = cell.gates(cell.product(h, row), 4)
    i = cell.activated(0, cell.peephole(0, i, c))
    f = n.emit("Sub", n.like(1, i), i) if coupled else cell.activated(0, cell.peephole(2, f, c))
    g = cell.activated(1, g)
    c = n.emit("Add", n.emit("Mul", f, c), n.emit("Mul", i, g))
    o = cell.activated(0, cell.peephole(1, o, c))
    return [n.emit("Mul", o, cell.functions[2](n, c)), c]


def rnn(n: Node) -> Result:
    return recurrent(n, Kind(1, ("Tanh",), 1, rnn_step, "all", partial(plain_matrices, 1), hidden_size))


def gru(n: Node) -> Result:
    last = bool(n.attr("linear_before_reset", 0))
    step, biases = partial(gru_step, last), "w" if last else "all"
    return recurrent(n, Kind(3, ("Sigmoid", "Tanh"), 1, step, biases, partial(plain_matrices, 3), hidden_size))


def lstm(n: Node) -> Result:
    step = partial(lstm_step, bool(n.attr("input_forget", 0)))
    return recurrent(n, Kind(4, LSTM, 2, step, "all", partial(plain_matrices, 4), hidden_size))


LSTM = ("Sigmoid", "Tanh", "Tanh")
RULES: Mapping[str, Rule] = {"GRU": gru, "LSTM": lstm, "RNN": rnn}
