"""Small types in bodies: how the byte that a body reads becomes a number, and how a number becomes that byte.

`i2 i4 ui2 ui4` stand in the low bits of their byte; what is above them means nothing. The floats of 4 to 8 bits are
described by xDSL's `FloatSemantics`; the formulas below are the same for all of them, use no table and no branch, and
are exact. Rounding is to nearest, ties to even. What is too large becomes the largest finite value (`saturate`), else
infinity, else NaN, by what the type has; NaN in a type that has none becomes zero. Every number goes through f32, as
in ONNX's reference, so that f64 is rounded twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.dialects.builtin import (
    FloatNanEncoding,
    FloatNonfiniteBehavior,
    FloatSemantics,
    IntegerType,
    ReducedPrecisionFloatType,
    f32,
    i8,
    i32,
)
from xdsl.ir import Attribute

from ...ir.types import SMALL_FLOATS, element_of, is_float, is_unsigned

if TYPE_CHECKING:
    from .builder import Scalar

DIGITS, BIAS, NAN = 23, 127, 0x7F800000  # of f32; bits above NAN, without the sign, are a NaN's
u8, u32 = element_of("uint8"), element_of("uint32")


def semantics_of(element: Attribute) -> FloatSemantics:
    """What the bits of a small float mean."""
    assert isinstance(element, ReducedPrecisionFloatType)
    return element.SEMANTICS


def width(element: Attribute) -> int:
    """Bits of a small type."""
    return element.width.data if isinstance(element, IntegerType) else semantics_of(element).bitwidth


def decode(x: Scalar) -> Scalar:
    """The number that a byte of a small type stands for: f32 for floats, i8 or ui8 for integers."""
    body, element = x.body, x.element
    if element not in SMALL_FLOATS:
        if is_unsigned(element):
            return body.scalar(x.value, u8) & ((1 << width(element)) - 1)
        unused = 8 - width(element)
        return body.scalar(x.value, i8) << unused >> unused
    s = semantics_of(element)
    m = s.mantissa_bits
    byte = body.scalar(x.value, u8).cast(u32).cast(i32)
    code = byte & ((1 << s.bitwidth - s.has_sign) - 1)
    number = ((code << (DIGITS - m)) + ((BIAS - s.exponent_bias) << DIGITS)).bitcast(f32)
    if s.has_zero:  # exponent 0: no leading one
        number = code.lt(1 << m).where(code.cast(f32) * 2.0 ** (1 - s.exponent_bias - m), number)
    else:
        number = code.eq(0).where(body.constant(2.0**-s.exponent_bias, f32), number)
    top = s.max_exponent << m
    match s.nonfinite, s.nan_encoding:
        case FloatNonfiniteBehavior.IEEE, _:
            special = code.eq(top).where(body.constant(float("inf"), f32), float("nan"))
            number = code.ge(top).where(special, number)
        case FloatNonfiniteBehavior.NAN_ONLY, FloatNanEncoding.ALL_ONES:
            number = code.eq(top | s.max_mantissa).where(body.constant(float("nan"), f32), number)
        case FloatNonfiniteBehavior.NAN_ONLY, FloatNanEncoding.NEGATIVE_ZERO:
            number = (byte & 0xFF).eq(1 << s.sign_shift).where(body.constant(float("nan"), f32), number)
        case _:
            pass
    if not s.has_sign:
        return number
    sign = (byte & (1 << s.sign_shift)) << (31 - s.sign_shift)
    return (number.bitcast(i32) | sign).bitcast(f32)


def encode(x: Scalar, element: Attribute, saturate: bool = True, round_mode: str = "up") -> Scalar:
    """The byte of a small type for a number. Integers wrap around; floats lose their fraction first.

    `round_mode` (up, down, nearest) is for powers of two, f8E8M0FNU, which round by it and leave the sign out."""
    if element not in SMALL_FLOATS:
        whole = x.cast(i32) if is_float(x.element) else x
        return whole.body.scalar((whole.cast(i8) & ((1 << width(element)) - 1)).value, element)
    s = semantics_of(element)
    if not s.has_zero:
        return _power_of_two(x.cast(f32), element, saturate, round_mode)
    bits = x.cast(f32).bitcast(i32)
    m, magnitude = s.mantissa_bits, bits & 0x7FFFFFFF
    drop = DIGITS - m
    # in the binade: half of the last place kept, less one for an even digit, is added and the rest cut off
    code = ((magnitude + ((1 << drop - 1) - 1) + ((magnitude >> drop) & 1)) >> drop) - ((BIAS - s.exponent_bias) << m)
    # below the least exponent: the addition rounds to multiples of the last place of `shift`
    shift = x.body.constant(2.0 ** (DIGITS + 1 - s.exponent_bias - m), f32)
    below = (magnitude.bitcast(f32) + shift).bitcast(i32) - shift.bitcast(i32)
    code = magnitude.lt((BIAS + 1 - s.exponent_bias) << DIGITS).where(below, code)
    largest, overflow, nan = codes(s)
    over = largest if saturate else overflow
    code = code.gt(largest).where(x.body.constant(over, i32), code)
    is_nan = magnitude.gt(NAN)
    sign = (bits >> (31 - s.sign_shift)) & (1 << s.sign_shift)
    if s.nan_encoding is FloatNanEncoding.NEGATIVE_ZERO:  # one zero and one NaN, neither with a sign
        sign = (code.eq(0) | is_nan | code.eq(nan)).where(x.body.constant(0, i32), sign)
    code = is_nan.where(x.body.constant(nan, i32), code) ^ sign
    return x.body.scalar(code.cast(i8).value, element)


def codes(s: FloatSemantics) -> tuple[int, int, int]:
    """The bits of the largest finite value, of what overflow gives without saturation, and of NaN."""
    top = s.max_exponent << s.mantissa_bits
    every = top | s.max_mantissa
    match s.nonfinite, s.nan_encoding:
        case FloatNonfiniteBehavior.IEEE, _:
            return top - 1, top, top | 1 << (s.mantissa_bits - 1)
        case FloatNonfiniteBehavior.NAN_ONLY, FloatNanEncoding.ALL_ONES:
            return every - 1, every, every
        case FloatNonfiniteBehavior.NAN_ONLY, _:
            return every, 1 << s.sign_shift, 1 << s.sign_shift
        case _:
            return every, every, 1 << s.sign_shift  # no NaN: zero


def _power_of_two(x: Scalar, element: Attribute, saturate: bool, round_mode: str) -> Scalar:
    """The biased exponent, as ONNX's Cast to float8e8m0 has it; infinities and NaN are 255."""
    bits = x.bitcast(i32)
    exponent, fraction, half = (bits >> DIGITS) & 0xFF, bits & 0x7FFFFF, 1 << DIGITS - 1
    match round_mode:
        case "up":
            up = fraction.gt(0)
        case "nearest":  # half way is up, but from below the normal numbers
            up = fraction.gt(half) | (fraction.eq(half) & exponent.gt(0))
        case "down":
            up = fraction.lt(0)
        case _:
            raise ValueError(f"round_mode {round_mode!r}")
    up = up & exponent.lt(254 if saturate else 255)
    return x.body.scalar((exponent + up.cast(i32)).cast(i8).value, element)
