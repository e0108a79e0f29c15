"""Rules of com.microsoft's recurrent operators: DynamicQuantizeLSTM.

Weights are integers, scaled per direction or per column. What they are multiplied with is quantised on the way: all
inputs at once, and the state in each step. The products are sums of integers of 8 bits by 8 bits. float32 holds them
exactly (up to 258 of the largest; beyond, they are rounded as any sum is), so they are matrix products like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...ir.expr import Expr
from .bodies import Body
from .builder import Value
from .node import Node, Result, Rule
from .rules_quantize import dynamically_quantized
from .rules_recurrent import DIRECTIONS, LSTM, Kind, Matrix, direction, lstm_step, need_sizes, recurrent, taken


@dataclass
class Quantised(Matrix):
    """Weights [columns, rows] as whole numbers in float32, and the scale of each row, or of all."""

    scale: Value

    def times(self, n: Node, x: Value, plus: Value | None, body: Body | None = None) -> Value:
        """The product of x, quantised, with the weights."""
        q, scale, zero = dynamically_quantized(n, x)
        whole = n.emit("Sub", n.cast(q, np.float32), n.cast(zero, np.float32))
        product = n.emit("MatMul", whole, taken(body, self.value))
        found = n.emit("Mul", product, n.emit("Mul", scale, taken(body, self.scale)))
        return found if plus is None else n.emit("Add", found, plus)


def matrices(n: Node, d: int) -> tuple[Matrix, Matrix]:
    """W [directions, input, 4 hidden] and R [directions, hidden, 4 hidden], with their scales and zero points."""
    ways = len(DIRECTIONS[n.attr("direction", "forward").lower()])
    hidden, width = hidden_size(n), n.input(0).sizes[2]
    for value, lines in ((n.input(1), width), (n.input(2), hidden)):
        need_sizes(n, value, (Expr.const(ways), lines, hidden * 4))
    return quantised(n, d, 1, 8, 9), quantised(n, d, 2, 10, 11)


def quantised(n: Node, d: int, weights: int, scale: int, zero: int) -> Quantised:
    value = n.cast(direction(n, n.input(weights), d), np.float32)
    if n.has(zero):
        value = n.emit("Sub", value, n.cast(direction(n, n.input(zero), d), np.float32))
    return Quantised(value, direction(n, n.input(scale), d))


def hidden_size(n: Node) -> Expr:
    return n.input(2).sizes[1]


def dynamic_quantize_lstm(n: Node) -> Result:
    step = partial(lstm_step, bool(n.attr("input_forget", 0)))
    return recurrent(n, Kind(4, LSTM, 2, step, "all", matrices, hidden_size))


DOMAIN = "com.microsoft"
RULES: Mapping[str, Rule] = {"DynamicQuantizeLSTM": dynamic_quantize_lstm}
