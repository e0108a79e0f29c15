"""Evaluates the size expressions of an engine's header: what `str(Expr)` of ircc.ir prints, over named symbols.

Grammar, as in the textual IR: integers, symbols (`N`, `"seq len"`), `+ - *`, `floordiv`, `ceildiv`, `mod`,
`min(a, b, ...)`, `max(a, b, ...)`, parentheses. Division rounds down; by zero it is 0. An engine file may come from
anywhere, so nothing is handed to Python's eval, and depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..errors import EngineError

_TOKEN = re.compile(r'\s*(?:(\d+)|("(?:[^"\\]|\\.)*")|([A-Za-z_][A-Za-z0-9_$.]*)|([-+*(),]))')
_MOST_CHARACTERS = 20_000
_MOST_DEPTH = 60
_LARGEST = 1 << 200  # sizes fit in 64 bits; their products may pass it on the way

_DIVISIONS: dict[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b if b else 0,
    "ceildiv": lambda a, b: -(-a // b) if b else 0,
    "mod": lambda a, b: a % b if b else 0,
}


class UnknownSymbol(EngineError):
    """The expression needs a symbol that has no value (yet)."""


def evaluate(text: str, symbols: Mapping[str, int]) -> int:
    """The value of the expression. Raises EngineError where it is malformed, UnknownSymbol where a symbol lacks."""
    return _Evaluator(text, symbols).value()


def symbol_name(text: str) -> str | None:
    """The symbol's name where the expression is nothing else: `N`, `"seq len"`."""
    match = _TOKEN.fullmatch(text)
    if not match or match[1] or match[4]:
        return None
    return _unquote(match[2]) if match[2] else match[3]


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


class _Evaluator:
    def __init__(self, text: str, symbols: Mapping[str, int]) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise EngineError(f"a size expression of {len(text)} characters in the engine file")
        self.text, self.symbols, self.position, self.depth = text, symbols, 0, 0
        self.tokens: list[str] = []
        while self.position < len(text.rstrip()):
            match = _TOKEN.match(text, self.position)
            if match is None:
                raise self.malformed()
            self.tokens.append(match[0].strip())
            self.position = match.end()
        self.position = 0

    def value(self) -> int:
        value = self.sum()
        if self.position != len(self.tokens):
            raise self.malformed()
        return value

    def malformed(self) -> EngineError:
        return EngineError(f"the engine file has a malformed size expression: {self.text[:80]!r}")

    def next(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        """The next token if it is one of these, else ''."""
        if (token := self.next()) in wanted and token:
            self.position += 1
            return token
        return ""

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.malformed()

    def sum(self) -> int:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise self.malformed()
        value = self.product()
        while sign := self.take("+", "-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        self.depth -= 1
        return value

    def product(self) -> int:
        negative = bool(self.take("-"))
        value = self.primary()
        while word := self.take("*", *_DIVISIONS):
            factor = self.primary()
            value = value * factor if word == "*" else _DIVISIONS[word](value, factor)
            if abs(value) > _LARGEST:
                raise EngineError(f"a size expression in the engine file is too large: {self.text[:80]!r}")
        return -value if negative else value

    def primary(self) -> int:
        token = self.next()
        self.position += 1
        if token == "(":
            value = self.sum()
            self.expect(")")
            return value
        if token.isdigit() and len(token) < 40:
            return int(token)
        if token in ("min", "max"):
            self.expect("(")
            values = [self.sum()]
            while self.take(","):
                values.append(self.sum())
            self.expect(")")
            return min(values) if token == "min" else max(values)
        name = symbol_name(token)
        if name is None:
            raise self.malformed()
        if name not in self.symbols:
            raise UnknownSymbol(f"the size {name!r} has no value")
        return self.symbols[name]
