"""Writing LLVM text: scopes, value numbering, and integer expressions.

What belongs to an outer scope is placed in front of the loop that is open in it, so nothing is left for LLVM to hoist.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...errors import BackendError
from ...ir.expr import Atom, Expr

Operand: TypeAlias = "str | int"  # LLVM text, or a number known at emission
Lines: TypeAlias = "list[Any]"  # strings, and lists of lines that are filled in later


@dataclass
class Scope:
    """A loop level: the values already computed there, and the place in front of the loop that is open inside it."""

    known: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])
    before: Lines = field(default_factory=list[Any])


class Writer:
    """The text of one LLVM function under construction."""

    def __init__(self, declarations: set[str]) -> None:
        self.declarations = declarations  # what the module must declare
        self.count = 0
        self.entry: Lines = ["entry:"]
        self.lines: Lines = [self.entry]
        self.scopes: list[Scope] = []
        self.placed: dict[str, int] = {}  # scope of an i64 operand
        self.sizes: dict[str, str] = {}  # operands that hold the size symbols
        self.open_scope()

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def put(self, text: str, depth: int | None = None, key: str | None = None) -> str:
        """`%v = text` in the scope at `depth` (here by default), or the value that already holds it.

        What belongs to an outer scope goes in front of the loop that is open in it: all that it uses stands before."""
        here = len(self.scopes) - 1
        depth = here if depth is None else depth
        key = key or text
        if (found := self.held(key, depth)) is None:
            scope = self.scopes[depth]
            found = scope.known[key] = self.fresh()
            (self.lines if depth == here else scope.before).append(f"  {found} = {text}")
        return found

    def held(self, key: Hashable, depth: int) -> Any:
        """What is known by a key in the scope at `depth` or around it; None: nothing."""
        for scope in self.scopes[depth::-1]:
            if (found := scope.known.get(key)) is not None:
                return found
        return None

    def hold(self, key: str, value: str) -> None:
        """What `put` gives for `key` from here on, in this scope."""
        self.scopes[-1].known[key] = value

    def entry_value(self, text: str, key: str) -> str:
        """A value of the entry block, wherever we are."""
        if (found := self.scopes[0].known.get(key)) is None:
            found = self.scopes[0].known[key] = self.fresh()
            self.entry.append(f"  {found} = {text}")
        return found

    def run(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def open_scope(self) -> None:
        self.scopes.append(Scope())

    def text(self, name: str, parameters: str, linkage: str = "", result: str = "void", end: str = "ret void") -> str:
        """The function's definition."""
        flat: list[str] = [f"define {linkage}{result} @{quoted(name)}({parameters}) nounwind {{"]

        def visit(lines: Lines) -> None:
            for line in lines:
                if isinstance(line, list):
                    visit(line)
                else:
                    flat.append(line)

        visit(self.lines)
        return "\n".join([*flat, f"  {end}", "}", ""])

    # ---- integers

    def integer(self, expr: Expr) -> Operand:
        """The value of an expression, an i64; each term placed as far out as its variables allow."""
        if (known := expr.constant) is not None:
            return known
        key = self.key_of(expr)
        if key is not None and (held := self.held(key, len(self.scopes) - 1)) is not None:
            return held
        total: Operand = 0
        # by depth, then by name: equal expressions give the same text however they came about
        order = sorted(expr.terms, key=lambda m: (self.depth_of_terms(m), *map(str, m)))
        for monomial, coefficient in [(m, expr.terms[m]) for m in order]:
            term: Operand = coefficient
            where = 0
            for atom in monomial:
                factor, level = self.atom(atom)
                where = max(where, level)
                term = self.arithmetic("mul", term, factor, where)
            total = self.arithmetic("add", total, term, max(where, self.depth_of(total)))
        if key is not None:
            self.scopes[self.depth_of(total) if isinstance(total, str) else -1].known[key] = total
        return total

    def key_of(self, expr: Expr) -> Hashable | None:
        """What stands for the value of an expression as long as it is in scope; None: it has to be written anew."""
        del expr

    def depth_of_terms(self, monomial: tuple[Atom, ...]) -> int:
        return max((self.depth_of_atom(a) for a in monomial), default=-1)

    def depth_of_atom(self, atom: Atom) -> int:
        if atom.kind == "symbol":
            return 0
        if atom.kind == "dim":
            return self.dim_depth(atom.args[0])
        return max((self.depth_of_terms(m) for e in atom.args for m in e.terms), default=-1)

    def depth_of_expr(self, expr: Expr) -> int:
        return max((self.depth_of_terms(m) for m in expr.terms), default=0)

    def depth_of(self, operand: Operand) -> int:
        return 0 if isinstance(operand, int) else self.placed.get(operand, len(self.scopes) - 1)

    def arithmetic(self, word: str, a: Operand, b: Operand, depth: int) -> Operand:
        """a `word` b on i64, folded when both are numbers, placed at `depth`."""
        if isinstance(a, int) and isinstance(b, int):
            return FOLDS[word](a, b)
        if (word == "add" and b == 0) or (word == "mul" and b == 1):
            return a
        if (word == "add" and a == 0) or (word == "mul" and a == 1):
            return b
        if word == "mul" and 0 in (a, b):
            return 0
        if word in ("sdiv", "srem") and isinstance(b, int) and b > 0 and b & (b - 1) == 0:
            shift = b.bit_length() - 1  # rounds down for negative numbers too
            text = f"ashr i64 {a}, {shift}" if word == "sdiv" else f"and i64 {a}, {b - 1}"
            result = self.put(text, depth)
        elif word in ("smin", "smax"):
            self.declarations.add(f"declare i64 @llvm.{word}.i64(i64, i64)")
            result = self.put(f"call i64 @llvm.{word}.i64(i64 {a}, i64 {b})", depth)
        elif word in ("sdiv", "srem"):
            result = self.put(f"call i64 @ircc.{word}(i64 {a}, i64 {b})", depth)
        else:
            result = self.put(f"{word} i64 {a}, {b}", depth)
        self.placed[result] = depth
        return result

    def atom(self, atom: Atom) -> tuple[Operand, int]:
        """The value of an atom and the depth at which it is known."""
        match atom.kind:
            case "symbol":
                if (size := self.sizes.get(atom.args[0])) is None:
                    raise BackendError(f"the size {atom} has no value where it is used")
                return size, 0
            case "dim":
                value, depth = self.value_of(atom.args[0]), max(0, self.dim_depth(atom.args[0]))
                if isinstance(value, str):
                    self.placed[value] = depth
                return value, depth
            case kind:
                word = {"floordiv": "sdiv", "mod": "srem", "min": "smin", "max": "smax"}[kind]
                args = [self.integer(e) for e in atom.args]
                depth = max(0, self.depth_of_atom(atom))
                total = args[0]
                for other in args[1:]:
                    total = self.arithmetic(word, total, other, depth)
                return total, depth

    def value_of(self, dim: int) -> Operand:
        """The value of a dim, where there are any."""
        raise NotImplementedError

    def dim_depth(self, dim: int) -> int:
        """The scope in which a dim is known, -1 for a number."""
        raise NotImplementedError


FOLDS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "sdiv": lambda a, b: a // b if b else 0,
    "srem": lambda a, b: a % b if b else 0,
    "udiv": lambda a, b: a // b if b else 0,
    "urem": lambda a, b: a % b if b else 0,
    "smin": min,
    "smax": max,
}


def quoted(name: str) -> str:
    """A global name as LLVM text spells it."""
    safe = [chr(b) if (chr(b).isalnum() and b < 128) or b in b"._-$" else f"\\{b:02X}" for b in name.encode()]
    return f'"{"".join(safe)}"'


# what a load that is not made points to; the part of the object with the kernels' host has it
ZEROS = "@ircc.zeros = hidden constant [512 x i8] zeroinitializer, align 64\n"
ZEROS_ELSEWHERE = "@ircc.zeros = external hidden constant [512 x i8], align 64\n"

DIVISION = """
; a floordiv b and a mod b, rounding down; 0 for b = 0
define internal i64 @ircc.sdiv(i64 %a, i64 %b) alwaysinline nounwind {
  %zero = icmp eq i64 %b, 0
  %safe = select i1 %zero, i64 1, i64 %b
  %q = sdiv i64 %a, %safe
  %r = srem i64 %a, %safe
  %inexact = icmp ne i64 %r, 0
  %signs = xor i64 %r, %safe
  %opposite = icmp slt i64 %signs, 0
  %down = and i1 %inexact, %opposite
  %less = sext i1 %down to i64
  %floor = add i64 %q, %less
  %result = select i1 %zero, i64 0, i64 %floor
  ret i64 %result
}
define internal i64 @ircc.srem(i64 %a, i64 %b) alwaysinline nounwind {
  %q = call i64 @ircc.sdiv(i64 %a, i64 %b)
  %p = mul i64 %q, %b
  %r = sub i64 %a, %p
  %zero = icmp eq i64 %b, 0
  %result = select i1 %zero, i64 0, i64 %r
  ret i64 %result
}
"""

CONVERSIONS = """
; Conversions that LLVM calls by these names where a target has no instruction: not every process has them.
define weak hidden float @__extendhfsf2(half %x) nounwind {
  %short = bitcast half %x to i16
  %bits = zext i16 %short to i32
  %high = shl i32 %bits, 16
  %sign = and i32 %high, -2147483648
  %size = and i32 %bits, 32767
  %moved = shl i32 %size, 13
  %number = add i32 %moved, 939524096 ; the exponent's bias grows by 112
  %special = or i32 %moved, 2139095040
  %count = uitofp i32 %size to float
  %tiny = fmul float %count, 0x3E70000000000000 ; 2^-24
  %tinybits = bitcast float %tiny to i32
  %istiny = icmp ult i32 %size, 1024
  %isspecial = icmp uge i32 %size, 31744
  %r1 = select i1 %istiny, i32 %tinybits, i32 %number
  %r2 = select i1 %isspecial, i32 %special, i32 %r1
  %r3 = or i32 %r2, %sign
  %result = bitcast i32 %r3 to float
  ret float %result
}
define weak hidden half @__truncsfhf2(float %x) nounwind {
  %bits = bitcast float %x to i32
  %high = lshr i32 %bits, 16
  %sign = and i32 %high, 32768
  %size = and i32 %bits, 2147483647
  %based = sub i32 %size, 939524096 ; the exponent's bias shrinks by 112
  %last = lshr i32 %based, 13
  %odd = and i32 %last, 1
  %bias = add i32 %odd, 4095
  %up = add i32 %based, %bias
  %rounded = lshr i32 %up, 13
  %number = call i32 @llvm.umin.i32(i32 %rounded, i32 31744)
  %positive = bitcast i32 %size to float
  %aligned = fadd float %positive, 5.0e-01 ; its last bit is 2^-24, as that of a small half
  %alignedbits = bitcast float %aligned to i32
  %tiny = sub i32 %alignedbits, 1056964608
  %istiny = icmp ult i32 %size, 947912704 ; 2^-14
  %isnan = icmp ugt i32 %size, 2139095040
  %r1 = select i1 %istiny, i32 %tiny, i32 %number
  %r2 = select i1 %isnan, i32 32256, i32 %r1
  %r3 = or i32 %r2, %sign
  %short = trunc i32 %r3 to i16
  %result = bitcast i16 %short to half
  ret half %result
}
define weak hidden bfloat @__truncsfbf2(float %x) nounwind {
  %bits = bitcast float %x to i32
  %high = lshr i32 %bits, 16
  %odd = and i32 %high, 1
  %bias = add i32 %odd, 32767
  %up = add i32 %bits, %bias
  %rounded = lshr i32 %up, 16
  %quiet = or i32 %high, 64
  %isnan = fcmp uno float %x, %x
  %r = select i1 %isnan, i32 %quiet, i32 %rounded
  %short = trunc i32 %r to i16
  %result = bitcast i16 %short to bfloat
  ret bfloat %result
}
; by way of the float next to x on the side of 0, its last bit set if x lies beyond: rounding that is as rounding x
define weak hidden half @__truncdfhf2(double %x) nounwind {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %size = call double @llvm.fabs.f64(double %x)
  %backsize = call double @llvm.fabs.f64(double %back)
  %beyond = fcmp ogt double %backsize, %size
  %inexact = fcmp one double %back, %x
  %bits = bitcast float %near to i32
  %one = zext i1 %beyond to i32
  %less = sub i32 %bits, %one
  %marked = or i32 %less, 1
  %r = select i1 %inexact, i32 %marked, i32 %bits
  %float = bitcast i32 %r to float
  %result = call half @__truncsfhf2(float %float)
  ret half %result
}
"""

SUPPORT = ZEROS + DIVISION + CONVERSIONS
