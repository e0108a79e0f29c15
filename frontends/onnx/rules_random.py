"""Rules of operators with random results.

Random numbers come from a counter: element i of a tensor is SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", 2014) of the node's seed, i + 1 steps on. A run gives the same numbers whenever and on
however many threads it runs. Without the attribute `seed` the node's name is the seed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...errors import ModelError
from ...ir.expr import Expr, product
from .builder import Value
from .node import Node, Result, Rule
from .terms import Term, iota, number, term

GAMMA, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def seed_of(n: Node) -> int:
    """64 bits that the node's numbers begin with."""
    given = n.attr("seed")
    if given is not None:
        return int.from_bytes(np.float64(given).tobytes(), "little")
    return zlib.crc32(n.name.encode()) << 32


def bits(n: Node, shape: Sequence[Expr]) -> Term:
    """Random bits, uint64, of this shape."""
    z = (iota(n, product(shape), dtype=np.uint64) + 1) * GAMMA + number(n, seed_of(n), np.uint64)
    z = (z ^ (z >> 30)) * FIRST
    z = (z ^ (z >> 27)) * SECOND
    return (z ^ (z >> 31)).reshape(*shape)


def uniform(n: Node, shape: Sequence[Expr]) -> Term:
    """float64 in [0, 1): the upper 53 bits."""
    return (bits(n, shape) >> 11).cast(np.int64).cast(np.float64) * 2.0**-53


def normal(n: Node, shape: Sequence[Expr]) -> Term:
    """float64 of mean 0 and deviation 1, by Box and Muller (1958) of the two halves of 64 bits."""
    z = bits(n, shape)
    radius = ((z >> 32).cast(np.int64).cast(np.float64) + 0.5) * 2.0**-32  # in (0, 1)
    turn = (z.emit("BitwiseAnd", 0xFFFFFFFF)).cast(np.int64).cast(np.float64) * (2 * math.pi * 2.0**-32)
    return (radius.emit("Log") * -2.0).emit("Sqrt") * turn.emit("Cos")


def drawn(draw: Callable[[Node, Sequence[Expr]], Term], scale: str, origin: str, like: bool) -> Rule:
    """draw * scale + origin in the type that `dtype` says; RandomUniform's scale is high - low."""

    def rule(n: Node) -> Value:
        shape = n.input(0).sizes if like else [Expr.const(s) for s in n.required("shape")]
        low = n.attr(origin, 0.0)
        factor = n.attr(scale, 1.0) - (low if origin == "low" else 0.0)
        to = n.input(0).type.element_type if like and "dtype" not in n.attributes else n.element("dtype", 1)
        return (draw(n, shape) * factor + low).emit("Cast", to=to).value

    return rule


def bernoulli(n: Node) -> Value:
    """1 with the probability that x says."""
    x = term(n, 0)
    to = n.element("dtype") if "dtype" in n.attributes else x.value.type.element_type
    return uniform(n, x.sizes).lt(x.cast(np.float64)).emit("Cast", to=to).value


def multinomial(n: Node) -> Value:
    """Classes drawn by unnormalised log-probabilities: the greatest of x plus Gumbel noise (Gumbel, 1954)."""
    x, count = term(n, 0), Expr.const(n.attr("sample_size", 1))
    if x.rank != 2:
        raise ModelError(f"its input has {x.rank} dimensions, expected 2")
    noise = uniform(n, [x.sizes[0], count, x.sizes[1]]) + 2.0**-54
    noise = -(-(noise.emit("Log"))).emit("Log")
    found = (x.cast(np.float64).unsqueeze(1) + noise).emit("ArgMax", axis=2, keepdims=False)
    return found.emit("Cast", to=n.element("dtype", 6)).value


def dropout(n: Node) -> Result:
    """In inference x itself, and a mask of ones. In training each element is 0 with probability `ratio`, else scaled
    up. Both may be data."""
    x = term(n, 0)
    training = n.optional(2)
    if n.opset < 12 or training is None or (training.numbers is not None and not training.numbers.reshape(-1)[0]):
        if not n.wants(1):
            return x.value
        mask = n.constant(True) if n.opset >= 10 else n.like(1, x.value)
        return x.value, n.emit("Expand", mask, shape=x.sizes)
    ratio = term(n, 1).reshape().cast(np.float64) if n.has(1) else number(n, 0.5, np.float64)
    off = ~term(n, 2).reshape()
    kept = uniform(n, x.sizes).ge(ratio) | off
    scale = off.where(1.0, 1.0 / (1.0 - ratio)).cast(x.wide().dtype)
    return kept.where(x.wide() * scale, 0.0).cast(x.dtype).value, kept.value


RULES: Mapping[str, Rule] = {
    "Bernoulli": bernoulli,
    "Dropout": dropout,
    "Multinomial": multinomial,
    "RandomNormal": drawn(normal, "scale", "mean", like=False),
    "RandomNormalLike": drawn(normal, "scale", "mean", like=True),
    "RandomUniform": drawn(uniform, "high", "low", like=False),
    "RandomUniformLike": drawn(uniform, "high", "low", like=True),
}
