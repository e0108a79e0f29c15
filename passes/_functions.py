"""Elementary functions of float32 by arithmetic: range reduction and a polynomial, without branches.

Sources: Cephes (Moshier) for the polynomials of exp, log, tanh, sin and cos; Cody and Waite (Software Manual for the
Elementary Functions, 1980) for the reductions. NaN goes through every step: `least` and `most` compare, they are not
maximumf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import f32, f64, i32, i64
from xdsl.ir import Attribute, Operation

from ..dialects.tensor.builder import Scalar

LOG2E = 1.44269504088896341
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # the first has 9 bits: its products with exponents are exact
MAGIC = 12582912.0  # 1.5 * 2^23: adding it rounds to an integer, which the lowest 22 bits then hold
MAGIC64 = 6755399441055744.0  # 1.5 * 2^52


def bits(x: Scalar, element: Attribute) -> Scalar:
    """The same bits in another type."""
    return x.body.op(arith.BitcastOp(x.value, element), element)


def most(x: Scalar, limit: float) -> Scalar:
    """min(x, limit), and NaN for NaN."""
    bound = x.body.constant(limit, x.element)
    return bound.lt(x).where(bound, x)


def least(x: Scalar, limit: float) -> Scalar:
    """max(x, limit), and NaN for NaN."""
    bound = x.body.constant(limit, x.element)
    return bound.gt(x).where(bound, x)


def polynomial(x: Scalar, coefficients: Sequence[float]) -> Scalar:
    """By Horner's rule, the highest power first."""
    total = x.body.constant(coefficients[0], x.element)
    for c in coefficients[1:]:
        total = total * x + c
    return total


def power_of_two(n: Scalar) -> Scalar:
    """2^n of an i32 from -126 to 127, as f32; only the lowest 9 bits of n count."""
    return bits((n << 23) + 0x3F800000, f32)


def absolute(x: Scalar) -> Scalar:
    return x.math(math.AbsFOp)


def with_sign(x: Scalar, sign: Scalar) -> Scalar:
    return x.math(math.CopySignOp, sign)


def reduced_by_ln2(x: Scalar, factor: int = 1) -> tuple[Scalar, Scalar]:
    """(n, r) with x = n factor ln 2 + r, |r| <= factor ln 2 / 2; n is an i32 of which the lowest 22 bits count. For
    |x| below 2^21 and factors that are powers of two."""
    shifted = x * (LOG2E / factor) + MAGIC
    n = shifted - MAGIC
    return bits(shifted, i32), x - n * (factor * LN2_HIGH) - n * (factor * LN2_LOW)


def exponential_minus_one(r: Scalar) -> Scalar:
    """exp(r) - 1 for |r| <= ln 2 / 2."""
    cs = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
    return polynomial(r, cs) * (r * r) + r


def exp(x: Scalar) -> Scalar:
    """4^n exp(r) for |r| <= ln 2, as two times 2^n, so that both ends of the range, denormals included, come out right.
    At -176 and below n is -127, for which 2^n comes out as 0: what is masked costs no underflow, which is slow. The
    polynomial is fitted to the relative error of exp (least squares, weighted after Lawson)."""
    n, r = reduced_by_ln2(most(least(x, -176.0), 89.0), 2)
    cs = (
        2.444007805e-5, 2.010985190e-4, 1.389370416e-3, 8.332527243e-3, 4.166652635e-2, 1.666667312e-1, 0.5,
    )  # fmt: skip
    scale = power_of_two(n)
    return (polynomial(r, cs) * (r * r) + r + 1.0) * scale * scale


def exp_beside_one(x: Scalar) -> Scalar:
    """exp for 1 / (1 + exp(x)), which cares for neither end of the range: 2^n exp(r), |r| <= ln 2 / 2, infinite from
    88.38 on, and 2^-126 instead of less."""
    n, r = reduced_by_ln2(most(least(x, -87.0), 89.0))
    cs = (1.381459878757596e-3, 8.368716575205326e-3, 4.166838899254799e-2, 0.1666652113199234, 0.5, 1.0, 1.0)
    return polynomial(r, cs) * power_of_two(n)


def expm1(x: Scalar) -> Scalar:
    """2^n (exp(r) - 1) + (2^n - 1), at half the scale, so that 2^128 does not overflow."""
    n, r = reduced_by_ln2(most(least(x, -26.0), 89.0))
    scale = power_of_two(n - 1)
    result = (scale * exponential_minus_one(r) + (scale - 0.5)) * 2.0
    tiny = absolute(x).lt(1e-7)  # keeps the sign of zero, and denormals
    return tiny.where(x, result)


def log(x: Scalar) -> Scalar:
    """ln(f) + e ln 2 for x = 2^e f, sqrt(1/2) <= f < sqrt(2)."""
    small = x.lt(1.1754944e-38)  # denormals are brought into the range first
    scaled = small.where(x * 8388608.0, x)
    word = bits(scaled, i32) + (0x3F800000 - 0x3F3504F3)
    whole = (word >> 23) - 127
    e = whole.cast(f32) + small.where(x.body.constant(-23.0, f32), 0.0)
    f = bits((word & 0x7FFFFF) + 0x3F3504F3, f32) - 1.0
    z = f * f
    cs = (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )  # fmt: skip
    tail = polynomial(f, cs) * f * z + e * LN2_LOW - z * 0.5
    result = f + tail + e * LN2_HIGH
    infinite = x.body.constant(np.inf, f32)
    result = x.eq(0.0).where(-infinite, result)
    result = x.lt(0.0).where(x.body.constant(np.nan, f32), result)
    beyond = x.body.op(arith.CmpfOp(x.value, infinite.value, "ueq"), f32)  # inf or NaN
    return beyond.where(x, result)


def log1p(x: Scalar) -> Scalar:
    """ln(u) + (x - (u - 1)) / u for u = 1 + x: what rounding u loses is added again (Kahan)."""
    u = x + 1.0
    result = log(u) + (x - (u - 1.0)) / u
    plain = u.eq(0.0).where(log_edge(u), result)
    plain = x.eq(np.inf).where(x, plain)
    return absolute(x).lt(1e-7).where(x, plain)


def log_edge(u: Scalar) -> Scalar:
    """ln(0)."""
    return u.body.constant(-np.inf, f32)


def tanh(x: Scalar) -> Scalar:
    """x + x p(x^2) near 0, 1 - 2 / (exp(2 |x|) + 1) beyond (Cephes); 1 from 9.02 on."""
    t = absolute(x)
    z = t * t
    cs = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
    near = polynomial(z, cs) * z * t + t
    n, r = reduced_by_ln2(most(t, 9.02) * 2.0)
    far = 1.0 - 2.0 / ((exponential_minus_one(r) + 1.0) * power_of_two(n) + 1.0)
    return with_sign(t.lt(0.625).where(near, far), x)


def erf(x: Scalar) -> Scalar:
    """x + x p(x^2) near 0, 1 - exp(-q(|x|)) beyond (after N. Juffa's erff); 1 from 4 on."""
    square = x * x
    near = polynomial(square, (
        -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
    )) * x + x  # fmt: skip
    t = most(absolute(x), 4.0)
    far = polynomial(t, (
        -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
    )) * t - t  # fmt: skip
    n, r = reduced_by_ln2(far)
    tail = 1.0 - (exponential_minus_one(r) + 1.0) * power_of_two(n)
    return absolute(x).gt(0.927734375).where(with_sign(tail, x), near)


def erf_beside_one(x: Scalar) -> Scalar:
    """erf for 1 + erf(x), where half the work is enough: 1 - exp(-|x| q(|x|)) everywhere, with exp(y) - 1 as
    2^n (exp(r) - 1) + (2^n - 1); 1 from 4 on. q is fitted to the relative error of erf (least squares, weighted after
    Lawson)."""
    t = most(absolute(x), 4.0)
    cs = (
        -4.07078696e-5, 3.81000224e-4, -1.25174550e-3, -2.05717690e-4, 1.93217173e-2, -1.02814414e-1, -6.36616468e-1,
        -0.12837919,
    )  # fmt: skip
    n, r = reduced_by_ln2(polynomial(t, cs) * t - t)
    scale = power_of_two(n)
    return with_sign(scale * exponential_minus_one(r) + (scale - 1.0), x)


def reduced_by_half_pi(x: Scalar) -> tuple[Scalar, Scalar]:
    """(n, r) with x = n pi/2 + r, |r| <= pi/4; n is an i64, of which the last two bits count. For |x| up to 2^31: the
    reduction is in float64, with pi/2 in three parts whose products with n are exact."""
    wide = x.cast(f64)
    shifted = wide * 0.63661977236758134308 + MAGIC64
    n = shifted - MAGIC64
    r = wide - n * HALF_PI[0] - n * HALF_PI[1] - n * HALF_PI[2]
    return bits(shifted, i64), most(least(r.cast(f32), -0.7854), 0.7854)  # beyond 2^31: no value, but in bounds


# pi/2 in parts of 22, 22 and 53 bits
HALF_PI = (1.570796012878418, 3.139164164167596e-07, 6.223372171896613e-14)


def sine_and_cosine(r: Scalar) -> tuple[Scalar, Scalar]:
    """Of |r| <= pi/4."""
    z = r * r
    sine = polynomial(z, (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)) * z * r + r
    cosine = polynomial(z, (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)) * z * z - z * 0.5 + 1.0
    return sine, cosine


def sin(x: Scalar) -> Scalar:
    n, r = reduced_by_half_pi(x)
    sine, cosine = sine_and_cosine(r)
    value = (n & 1).eq(0).where(sine, cosine)
    signed = (n & 2).eq(0).where(value, -value)
    return x.eq(0.0).where(x, signed)  # keeps the sign of zero


def cos(x: Scalar) -> Scalar:
    n, r = reduced_by_half_pi(x)
    sine, cosine = sine_and_cosine(r)
    value = (n & 1).eq(0).where(cosine, sine)
    return ((n + 1) & 2).eq(0).where(value, -value)


def tan(x: Scalar) -> Scalar:
    n, r = reduced_by_half_pi(x)
    sine, cosine = sine_and_cosine(r)
    even = (n & 1).eq(0)
    value = even.where(sine, -cosine) / even.where(cosine, sine)
    return x.eq(0.0).where(x, value)


FUNCTIONS: dict[type[Operation], Callable[[Scalar], Scalar]] = {
    math.ExpOp: exp, math.ExpM1Op: expm1, math.LogOp: log, math.Log1pOp: log1p, math.TanhOp: tanh, math.ErfOp: erf,
    math.SinOp: sin, math.CosOp: cos, math.TanOp: tan,
}  # fmt: skip
