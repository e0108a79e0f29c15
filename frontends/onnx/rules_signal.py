"""Rules of signal processing: Fourier transforms as products with matrices of cosines and sines, in several steps where
the length has factors, and mel filters."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from ...errors import ModelError
from ...ir.expr import Expr, maximum, minimum
from .builder import Value
from .node import Node, Rule
from .terms import Term, iota, number, size, stack, term

DIRECT = 64  # length of a transform that is one product of matrices; longer ones are split where they have factors
TABLE = 1 << 22  # elements of a table that is made at import; a larger one is computed when the model runs


def dft(n: Node) -> Value:
    """The discrete Fourier transform along an axis, of real (last size 1) or complex numbers (2)."""
    x = term(n, 0)
    inverse, onesided = bool(n.attr("inverse", 0)), bool(n.attr("onesided", 0))
    if n.opset < 20:
        place = Expr.const(n.attr("axis", 1))
    else:
        place = n.sizes(2, "the axis")[0] if n.has(2) else Expr.const(-2)
    if (axis := (place % x.rank).constant) is None:  # known when the model runs: exchanged with the last but one
        axis, place = x.rank - 2, place % x.rank
        x = exchanged(x, place)
    else:
        place = Expr.const(axis)
    if x.rank < 2 or axis == x.rank - 1:
        raise ModelError(f"axis {axis} of {x.rank} dimensions, the last of which holds real and imaginary parts")
    given = x.sizes[axis]
    length = 2 * (given - 1) if inverse and onesided else given
    if n.has(1):
        length = n.sizes(1, "dft_length")[0]
    found = transformed(x, axis, length, inverse, onesided)
    return (found if place == axis else exchanged(found, place)).value


def exchanged(x: Term, axis: Expr) -> Term:
    """x with an axis that the run knows and the one before the last exchanged. The last axis stays."""
    n, last = x.node, x.rank - 2
    flags = [1 - minimum(1, maximum(axis - j, j - axis)) for j in range(last + 1)]  # 1 for the axis
    n.check(1 - sum(flags, Expr.const(0)), f"{n.operator}: the axis is the last one")
    sizes = [s + flag * (x.sizes[last] - s) for s, flag in zip(x.sizes, flags, strict=False)]
    sizes[last] = sum((s * flag for s, flag in zip(x.sizes, flags, strict=False)), Expr.const(0))
    lines = [iota(n, s, axis=j, rank=last + 1) for j, s in enumerate(sizes)]
    chosen = [size(n, axis).eq(j) for j in range(last)]
    places = [c.where(lines[last], line) for c, line in zip(chosen, lines, strict=False)]
    whole = lines[last]
    for c, line in zip(chosen, lines, strict=False):
        whole = c.where(line, whole)
    return x.take(*places, whole)


def transformed(x: Term, axis: int, length: Expr, inverse: bool, onesided: bool) -> Term:
    """The transform of `length` points along an axis. One-sided, it gives the first half, or inverse, takes it."""
    n, order = x.node, [i for i in range(x.rank - 1) if i != axis] + [axis]
    back = [order.index(i) for i in range(x.rank - 1)]
    kept = length // 2 + 1 if inverse and onesided else length
    taken = minimum(x.sizes[axis], kept)
    if taken != x.sizes[axis]:
        x = x.part(axis, 0, taken)
    wide, count = x.wide(), x.sizes[-1]
    if count.constant is None:  # 1 or 2: an imaginary part that is not there is 0
        n.check(maximum(count - 2, 0), f"{n.operator}: the last size is {count}, not 1 or 2")
        wide = wide.emit("Pad", pads=[*[0] * (2 * x.rank - 1), 2 - count])
    parts = [wide.at(-1, i).transpose(*order) for i in range(1 if count == 1 else 2)]
    real, imaginary = parts[0], parts[1] if len(parts) > 1 else None
    if inverse and onesided:
        return from_half(real, imaginary, length).transpose(*back).unsqueeze(-1).cast(x.dtype)
    outputs = length // 2 + 1 if onesided else length
    real, imaginary = fourier(real, imaginary, length, outputs, -1 if inverse else 1)
    found = stack([real.transpose(*back), imaginary.transpose(*back)], -1)
    return (found / size(n, length, found.dtype) if inverse else found).cast(x.dtype)


def fourier(real: Term, imaginary: Term | None, length: Expr, outputs: Expr, sign: int) -> tuple[Term, Term]:
    """sum_t x[t] exp(-sign 2 pi i k t / length) along the last axis, for the first `outputs` k; missing x[t] are 0."""
    points = length.constant
    factor = largest_factor(points) if points is not None and points > DIRECT else 1
    if factor > 1 and points is not None:
        return split_fourier(real, imaginary, points, factor, outputs, sign)
    n, taken = real.node, real.sizes[-1]
    cosines, sines = (table(n, f, taken, outputs, length).cast(real.dtype) for f in ("Cos", "Sin"))
    sines = sines if sign > 0 else -sines
    if imaginary is None:
        return real.matmul(cosines), -real.matmul(sines)
    return real.matmul(cosines) + imaginary.matmul(sines), imaginary.matmul(cosines) - real.matmul(sines)


def split_fourier(
    real: Term, imaginary: Term | None, points: int, factor: int, outputs: Expr, sign: int
) -> tuple[Term, Term]:
    """Cooley and Tukey (1965): with t = t1 * b + t2 and k = k1 + k2 * a for points = a * b, transforms of a points,
    factors exp(-2 pi i k1 t2 / points), and transforms of b points."""
    a, b = factor, points // factor
    lead = real.sizes[:-1]

    def columns(x: Term) -> Term:
        """x[.., t1, t2] as [.., t2, t1]"""
        x = padded(x, points).reshape(*lead, a, b)
        return x.transpose(*range(len(lead)), len(lead) + 1, len(lead))

    c, d = fourier(columns(real), None if imaginary is None else columns(imaginary), Expr.const(a), Expr.const(a), sign)
    angle = 2 * np.pi * (np.arange(b)[:, None] * np.arange(a) % points) / points
    cosine, sine = (number(real.node, f, real.dtype) for f in (np.cos(angle), sign * np.sin(angle)))
    c, d = c * cosine + d * sine, d * cosine - c * sine  # [.., t2, k1]
    swap = [*range(len(lead)), len(lead) + 1, len(lead)]
    c, d = fourier(c.transpose(*swap), d.transpose(*swap), Expr.const(b), Expr.const(b), sign)  # [.., k1, k2]
    c, d = (part.transpose(*swap).reshape(*lead, points) for part in (c, d))
    return c.part(-1, 0, outputs), d.part(-1, 0, outputs)


def padded(x: Term, points: int) -> Term:
    """x with zeros at the end of the last axis, up to this size."""
    missing = Expr.const(points) - x.sizes[-1]
    return x if missing == 0 else x.emit("Pad", pads=[*[0] * (2 * x.rank - 1), missing])


def largest_factor(points: int) -> int:
    """The greatest divisor that is at most the square root."""
    return next(d for d in range(math.isqrt(points), 0, -1) if points % d == 0)


def from_half(real: Term, imaginary: Term | None, length: Expr) -> Term:
    """The real signal of `length` points whose first half of frequencies is given; the other half is its mirror."""
    n, taken = real.node, real.sizes[-1]
    k = iota(n, taken)
    twice = k.eq(0).where(1.0, number(n, 2.0, real.dtype))
    twice = (k * 2).eq(size(n, length)).where(1.0, twice)  # the middle one of an even length stands alone
    real, imaginary = real * twice, None if imaginary is None else imaginary * twice
    cosines, sines = (table(n, f, taken, length, length).cast(real.dtype) for f in ("Cos", "Sin"))
    total = real.matmul(cosines)
    if imaginary is not None:
        total = total - imaginary.matmul(sines)
    return total / size(n, length, total.dtype)


def table(n: Node, function: str, rows: Expr, columns: Expr, length: Expr) -> Term:
    """cos or sin of 2 pi t k / length `[rows, columns]` in float64; t k is reduced first, so that angles stay exact."""
    known = [e.constant for e in (rows, columns, length)]
    if None not in known and math.prod(map(int, known[:2])) <= TABLE:  # type: ignore[arg-type]
        r, c, m = (int(k) for k in known)  # type: ignore[arg-type]
        turns = np.arange(r)[:, None] * np.arange(c) % max(m, 1)
        return number(n, {"Cos": np.cos, "Sin": np.sin}[function](turns * (2 * np.pi / max(m, 1))), np.float64)
    turns = iota(n, rows, axis=0, rank=2) * iota(n, columns, axis=1, rank=2) % size(n, length)
    return (turns.cast(np.float64) * (2 * np.pi) / size(n, length, np.float64)).emit(function)


def stft(n: Node) -> Value:
    """Transforms of windows of the signal, `frame_step` apart."""
    x, (step,) = term(n, 0), n.sizes(1, "frame_step")
    window = term(n, 2) if n.has(2) else None
    if n.has(3):
        length = n.sizes(3, "frame_length")[0]
    elif window is not None:
        length = window.sizes[0]
    else:
        raise ModelError("it has neither a window nor a frame_length")
    x = x.unsqueeze(2) if x.rank == 2 else x
    if x.rank != 3:
        raise ModelError(f"its signal has {x.rank} dimensions, expected [batch, length, 1 or 2]")
    frames = (x.sizes[1] - length) // step + 1
    n.builder.check(minimum(frames, 0), "STFT: the signal is shorter than a frame")
    place = iota(n, frames, axis=1, rank=3) * size(n, step) + iota(n, length, axis=2, rank=3)
    found = x.take(iota(n, x.sizes[0], axis=0, rank=3), place)
    if window is not None:
        found = found * window.sized(0, length).reshape(length, 1)
    return transformed(found, 2, length, False, bool(n.attr("onesided", 1))).value


def mel_weights(n: Node) -> Value:
    """Triangular filters, evenly spaced in mel, between frequencies of a spectrogram."""
    bins, length = (n.sizes(i, what)[0] for i, what in enumerate(("num_mel_bins", "dft_length")))
    rate, lower, upper = (term(n, i).reshape().cast(np.float64) for i in (2, 3, 4))
    to = n.attr("output_datatype", 1)

    def mel(hertz: Term) -> Term:
        return (hertz / 700.0 + 1).emit("Log") * (2595 / math.log(10))

    step = (mel(upper) - mel(lower)) / (size(n, bins, np.float64) + 2)
    points = iota(n, bins + 2, dtype=np.float64) * step + mel(lower)
    hertz = ((points * (math.log(10) / 2595)).emit("Exp") - 1) * 700
    edges = ((size(n, length, np.float64) + 1) * hertz / rate).emit("Floor")
    low, centre, high = (edges.part(0, i, bins) for i in range(3))
    cell = iota(n, length // 2 + 1, axis=0, rank=2, dtype=np.float64)
    flat, rising, falling = low.eq(centre), centre - low, high - centre
    found = (cell.ge(low) & cell.le(centre)).where((cell - low) / rising, 0.0)
    found = flat.where(cell.eq(centre).cast(np.float64), found)
    found = (cell.ge(centre) & cell.lt(high)).where((high - cell) / falling, found)
    return found.emit("Cast", to=n.element("output_datatype", to)).value


def window(*weights: float) -> Rule:
    """A sum of cosines over the window: `weights` of the multiples 0, 1 ... of its angle, in double precision."""

    def rule(n: Node) -> Value:
        (count,) = n.named(n.sizes(0, "size"), "size")
        length = size(n, count, np.float64)
        half = iota(n, count, dtype=np.float64) * math.pi / (length if n.attr("periodic", 1) else length - 1)
        if len(weights) == 2 and weights[0] == -weights[1]:  # without cancellation where it is near 0
            sine = half.emit("Sin")
            found = sine * sine * (2 * weights[0])
        else:
            found = half.like(weights[0])
            for k, weight in enumerate(weights[1:], 1):
                found = (half * (2 * k)).emit("Cos") * weight + found
        return found.emit("Cast", to=n.element("output_datatype", TensorProto.FLOAT)).value

    return rule


RULES: Mapping[str, Rule] = {
    "BlackmanWindow": window(0.42, -0.5, 0.08),
    "DFT": dft,
    "HammingWindow": window(25 / 46, -21 / 46),
    "HannWindow": window(0.5, -0.5),
    "MelWeightMatrix": mel_weights,
    "STFT": stft,
}
