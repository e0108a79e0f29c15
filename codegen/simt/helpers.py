"""Functions that printed kernels call, where C leaves a result undefined or has no word for it.

Each is written once, for any of the dialects and element types; a source has those that it uses, in front."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .teams import COMBINATIONS, Combination
from .words import Words

_BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}

_PLAIN = {
    # a floordiv b and a mod b: rounding down; 0 for b = 0
    "ircc_floordiv": "i64 ircc_floordiv(i64 a, i64 b) { if (b == 0) return 0; i64 q = a / b; "
    "return q - (a % b != 0 && (a % b < 0) != (b < 0)); }",
    "ircc_mod": "i64 ircc_mod(i64 a, i64 b) { return b == 0 ? 0 : a - ircc_floordiv(a, b) * b; }",
    "ircc_least": "i64 ircc_least(i64 a, i64 b) { return a < b ? a : b; }",
    "ircc_most": "i64 ircc_most(i64 a, i64 b) { return a > b ? a : b; }",
    "ircc_from_f16": """f32 ircc_from_f16(u16 x) {
  u32 sign = (u32)(x & 0x8000u) << 16, size = x & 0x7fffu;
  u32 tiny = (u32){f32_bits:(f32)size * 5.9604644775390625e-08f};
  u32 bits = size < 0x400u ? tiny : size < 0x7c00u ? (size << 13) + 0x38000000u : (size << 13) | 0x7f800000u;
  return {bits_f32:(i32)(bits | sign)};
}""",
    "ircc_to_f16": """u16 ircc_to_f16(f32 x) {
  u32 bits = (u32){f32_bits:x}, sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return (u16)(sign | 0x7e00u);
  if (size < 0x38800000u) return (u16)(sign | ((u32){f32_bits:{bits_f32:(i32)size} + 0.5f} - 0x3f000000u));
  u32 based = size - 0x38000000u, rounded = (based + 0xfffu + ((based >> 13) & 1u)) >> 13;
  return (u16)(sign | (rounded < 0x7c00u ? rounded : 0x7c00u));
}""",
    "ircc_round_f16": "f32 ircc_round_f16(f32 x) { return ircc_from_f16(ircc_to_f16(x)); }",
    # by way of the float next to x on the side of 0, its last bit set if x lies beyond: rounding that is as rounding x
    "ircc_narrow_f16": """f32 ircc_narrow_f16(f64 x) {
  f32 near = (f32)x;
  f64 back = (f64)near;
  i32 bits = {f32_bits:near};
  if (back < x || back > x) bits = (bits - (fabs(back) > fabs(x))) | 1;
  return ircc_round_f16({bits_f32:bits});
}""",
    "ircc_from_bf16": "f32 ircc_from_bf16(u16 x) { return {bits_f32:(i32)((u32)x << 16)}; }",
    "ircc_to_bf16": """u16 ircc_to_bf16(f32 x) {
  u32 bits = (u32){f32_bits:x};
  if (x != x) return (u16)((bits >> 16) | 0x40u);
  return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}""",
    "ircc_round_bf16": "f32 ircc_round_bf16(f32 x) { return ircc_from_bf16(ircc_to_bf16(x)); }",
}

# {t}: an integer type, {u}: the unsigned one of its size, {w}: the unsigned one in which nothing is promoted
_BY_INTEGER = {
    "ircc_divs": "{t} ircc_divs_{t}({t} a, {t} b) "
    "{ return b == 0 ? 0 : b == -1 ? ({t})(0 - ({w})({u})a) : ({t})(a / b); }",
    "ircc_rems": "{t} ircc_rems_{t}({t} a, {t} b) { return b == 0 ? a : b == -1 ? 0 : ({t})(a % b); }",
    "ircc_divu": "{t} ircc_divu_{t}({t} a, {t} b) { return b == 0 ? 0 : ({t})(({u})a / ({u})b); }",
    "ircc_remu": "{t} ircc_remu_{t}({t} a, {t} b) { return b == 0 ? a : ({t})(({u})a % ({u})b); }",
    "ircc_shl": "{t} ircc_shl_{t}({t} a, {t} b) { return ({u})b < {bits} ? ({t})(({w})({u})a << ({u})b) : 0; }",
    "ircc_shrs": "{t} ircc_shrs_{t}({t} a, {t} b) { return ({t})(a >> (({u})b < {bits} ? ({u})b : {bits} - 1)); }",
    "ircc_shru": "{t} ircc_shru_{t}({t} a, {t} b) { return ({u})b < {bits} ? ({t})(({u})a >> ({u})b) : 0; }",
}

# {f}: a float type, {x}: the end of its numbers. What does not fit becomes the nearest end of the range, NaN becomes 0.
_CONVERSIONS = {
    "ircc_signed": "{t} ircc_signed_{f}_{t}({f} x) {{ return x != x ? 0 : x <= -{half}.0{x} ? {least} : "
    "x >= {half}.0{x} ? {most} : ({t})x; }}",
    "ircc_unsigned": "{t} ircc_unsigned_{f}_{t}({f} x) {{ return !(x > 0.0{x}) ? 0 : "
    "x >= {whole}.0{x} ? ({t})-1 : ({t})({u})x; }}",
}

_EXTREMES = {  # NaN passes
    "ircc_max": "{f} ircc_max_{f}({f} a, {f} b) { return a > b || a != a ? a : b; }",
    "ircc_min": "{f} ircc_min_{f}({f} a, {f} b) { return a < b || a != a ? a : b; }",
}

# {f}: an element type, {none}: what changes nothing, {a}, {b}, {c}: how two values are combined
_TEAM = """void ircc_{name}(const {f} *parts, i64 step, i64 count, {f} *all) {{
  i64 team = {team}, mine = {lane} % team;
  {f} own = {none};
  for (i64 k = mine; k < count; k += team) {{ {f} x = parts[k * step]; own = {a}; }}
  for (int bits = (int)team / 2; bits > 0; bits /= 2) {{ {f} other = {shuffle}; own = {b}; }}
  if (mine == 0) *all = {c};
}}"""
_NEUTRAL = {"max": "-{bits_f32:0x7f800000}", "min": "{bits_f32:0x7f800000}"}

# {v}: a vector of neighbours, {n} of them: one access where they lie at a multiple of its size
_VECTOR = """void ircc_{way}_{f}x{n}({const}{f} *at, {to}{f} *v) {{
  if (((u64)at & (sizeof({vector}) - 1)) == 0) {{ {vector} x; {whole} }}
  else {{ {parts} }}
}}"""

_USED = re.compile(r"\bircc_\w+")
_WORD = re.compile(r"\{(f32_bits|bits_f32):((?:[^{}]|\{[^{}]*\})*)\}")


def needed(code: str, words: Words) -> str:
    """The definitions of all helpers that the code calls, each after those that it calls itself."""
    found: dict[str, str] = {}

    def visit(names: Iterable[str]) -> None:
        for name in names:
            if name not in found and (text := definition(name, words)) is not None:
                found[name] = ""  # it is on its way
                visit(_USED.findall(text.partition("(")[2]))
                del found[name]
                found[name] = f"{words.helper} {text}\n"

    visit(dict.fromkeys(_USED.findall(code)))
    return "".join(found.values())


def definition(name: str, words: Words) -> str | None:
    """The function of that name without its qualifiers; None: it is none of these."""
    if (text := _PLAIN.get(name)) is not None:
        return _filled(text, words)
    if (combination := COMBINATIONS.get(name.removeprefix("ircc_"))) is not None and words.team:
        return _filled(_team(combination, words), words)
    family, _, rest = name.rpartition("_")
    if family in ("ircc_load", "ircc_store") and rest in words.vectors:
        return _vector(family == "ircc_load", rest, words.vectors[rest])
    if family in _BY_INTEGER and (bits := _BITS.get(rest)):
        fields = {"t": rest, "u": f"u{bits}", "w": "u64" if bits == 64 else "u32", "bits": str(bits)}
        return re.sub(r"\{(t|u|w|bits)\}", lambda m: fields[m[1]], _BY_INTEGER[family])
    if family in _EXTREMES and rest in ("f32", "f64"):
        return _EXTREMES[family].replace("{f}", rest)
    family, _, source = family.rpartition("_")
    if family in _CONVERSIONS and (bits := _BITS.get(rest)) and source in ("f32", "f64"):
        return _CONVERSIONS[family].format(
            t=rest, u=f"u{bits}", f=source, x="f" if source == "f32" else "", half=1 << (bits - 1), whole=1 << bits,
            least=f"({rest})(-{(1 << (bits - 1)) - 1} - 1)", most=(1 << (bits - 1)) - 1,
        )  # fmt: skip
    return None


def _team(c: Combination, words: Words) -> str:
    """What a team does together: with values `step` elements apart, and what is at `all`."""

    def both(a: str, b: str) -> str:
        if c.word != "add":
            return f"ircc_{c.word}_{c.element}({a}, {b})"
        wide = {"i32": "u32", "i64": "u64"}.get(c.element)
        return f"{a} + {b}" if wide is None else f"({c.element})(({wide}){a} + ({wide}){b})"

    none = _NEUTRAL.get(c.word, "-0.0f" if c.element == "f32" else "-0.0" if c.element == "f64" else "0")
    return _TEAM.format(
        f=c.element, name=f"team_{c.word}_{c.element}", team=words.team, lane=words.lane, none=none,
        shuffle=words.shuffle.format("own", "bits"), a=both("own", "x"), b=both("own", "other"), c=both("*all", "own"),
    )  # fmt: skip


def _vector(loads: bool, name: str, vector: str) -> str:
    """Load or store neighbours at `at`, from or to the array `v`."""
    element, _, count = name.partition("x")
    n = int(count)
    take = " ".join(f"v[{i}] = x.{'xyzw'[i]};" if loads else f"x.{'xyzw'[i]} = v[{i}];" for i in range(n))
    parts = " ".join(f"v[{i}] = at[{i}];" if loads else f"at[{i}] = v[{i}];" for i in range(n))
    whole = f"x = *(const {vector} *)at; {take}" if loads else f"{take} *({vector} *)at = x;"
    way, const, to = ("load", "const ", "") if loads else ("store", "", "const ")
    return _VECTOR.format(way=way, f=element, n=n, const=const, to=to, vector=vector, whole=whole, parts=parts)


def _filled(text: str, words: Words) -> str:
    """The text with a dialect's words for the bits of floats in it."""
    while (match := _WORD.search(text)) is not None:
        text = text[: match.start()] + getattr(words, match[1]).format(match[2]) + text[match.end() :]
    return text
