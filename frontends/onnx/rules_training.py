"""Rules of ai.onnx.preview.training: optimizers, which are formulas of each tensor that is optimized.

Inputs are R, T, then tensors by kind: all X, all gradients, all of each state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...errors import ModelError
from .node import Node, Result, Rule
from .terms import Term, number, term


def tensors(n: Node, kinds: int) -> list[list[Term]]:
    """X, gradient and states of each tensor that is optimized."""
    count, left = divmod(len(n.values) - 2, kinds)
    if left or count < 1:
        raise ModelError(f"{len(n.values)} inputs, expected 2 and {kinds} for each tensor")
    return [[term(n, 2 + kind * count + i) for kind in range(kinds)] for i in range(count)]


def optimizer(kinds: int, step: Callable[..., Sequence[Term]]) -> Rule:
    """Outputs are by kind too: all new X, then all new states."""

    def rule(n: Node) -> Result:
        rate, time = term(n, 0), term(n, 1).reshape()
        found = [step(n, rate.reshape(), time, *given) for given in tensors(n, kinds)]
        return [t.value for kind in zip(*found, strict=True) for t in kind]

    return rule


def adagrad(n: Node, rate: Term, time: Term, x: Term, gradient: Term, squares: Term) -> Sequence[Term]:
    rate = rate / (time.cast(rate.dtype) * n.attr("decay_factor", 0.0) + 1)
    gradient = n.attr("norm_coefficient", 0.0) * x + gradient
    squares = squares + gradient * gradient
    return x - rate.cast(x.dtype) * gradient / (squares.emit("Sqrt") + n.attr("epsilon", 1e-6)), squares


def adam(n: Node, rate: Term, time: Term, x: Term, gradient: Term, v: Term, h: Term) -> Sequence[Term]:
    alpha, beta = n.attr("alpha", 0.9), n.attr("beta", 0.999)
    gradient = n.attr("norm_coefficient", 0.0) * x + gradient
    v = alpha * v + (1 - alpha) * gradient
    h = beta * h + (1 - beta) * (gradient * gradient)
    t = time.cast(np.float64)
    bias = (1 - number(n, beta, np.float64) ** t).emit("Sqrt") / (1 - number(n, alpha, np.float64) ** t)
    rate = time.gt(0).where(rate.cast(np.float64) * bias, rate.cast(np.float64)).cast(x.dtype)
    x = x - rate * (v / (h.emit("Sqrt") + n.attr("epsilon", 1e-6)))
    return (1 - n.attr("norm_coefficient_post", 0.0)) * x, v, h


def momentum(n: Node, rate: Term, time: Term, x: Term, gradient: Term, v: Term) -> Sequence[Term]:
    alpha, mode = n.required("alpha"), n.required("mode")
    if mode not in ("standard", "nesterov"):
        raise ModelError(f"mode {mode!r}")
    gradient = n.required("norm_coefficient") * x + gradient
    beta = time.gt(0).where(number(n, n.required("beta"), x.dtype), 1.0)
    v = alpha * v + beta * gradient
    return x - rate.cast(x.dtype) * (v if mode == "standard" else gradient + alpha * v), v


DOMAIN = "ai.onnx.preview.training"
RULES: Mapping[str, Rule] = {
    "Adagrad": optimizer(3, adagrad),
    "Adam": optimizer(4, adam),
    "Momentum": optimizer(3, momentum),
}
