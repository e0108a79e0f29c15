"""Textual IR of any level in, and out again.

    module = read_text(Path("m.mlir").read_text(), folder=Path("."))
    text = write_text(module)

Large constants stand in text as references: into the model file they came from (found relative to the text's folder,
then to the working directory), or by hash into ircc's cache folder. Data that does not have its hash is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from ..dialects import context
from ..errors import IRError
from ..ir.verify import verify
from ..ir.weights import Content, Weight, inline_weights, keep, provide
from .onnx import read_weight

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class TextParser(Parser):
    """Strings hold any text: what is not ASCII is printed as escaped bytes, which xDSL would not read as a string."""

    def parse_optional_str_literal(self) -> str | None:
        if (found := super().parse_optional_str_literal()) is not None:
            return found
        data = self.parse_optional_bytes_literal()
        return None if data is None else data.decode()


def is_text(data: bytes) -> bool:
    """True for bytes that can be textual IR: UTF-8 without control characters, which no ONNX file is."""
    head = data[:4096]
    if _CONTROL.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(data) > len(head)  # a character cut in two at the head's end
    return True


def read_text(
    text: str, *, name: str = "-", folder: Path | None = None, fill: Callable[[ModuleOp], None] | None = None
) -> ModuleOp:
    """The module that a text spells, verified, its constants found. `name` is what messages call the text, `folder`
    where file names in it start from; `fill` gives the constants their data where they name no file.

    Raises IRError for text that does not parse or verify, or without its data."""
    try:
        module = TextParser(context(), text, name).parse_module()
    except ParseError as error:
        raise IRError(f"{name} is not valid IR: {_shown(error)}") from error
    except (RecursionError, VerifyException) as error:
        raise IRError(f"{name} is not valid IR: {str(error) or 'it is nested too deeply'}") from error
    except (AssertionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # an operation's own parser met what it never expected: the text is at fault all the same
        raise IRError(f"{name} is not valid IR: {type(error).__name__}: {error}") from error
    for content in contents(module):
        provide(content, lambda file, weight: _read(file, weight, folder))
    if fill is not None:
        fill(module)
    try:
        verify(module)
    except VerifyException as error:
        raise IRError(f"{name} is not valid IR: {error}") from error
    return module


def write_text(module: ModuleOp, *, inline: bool = False) -> str:
    """The module's text, its large constants as references that another process can follow, or in full if `inline`."""
    if not inline:
        for content in contents(module):
            keep(content)
    with inline_weights() if inline else nullcontext():
        return f"{module!s}\n"


def contents(module: ModuleOp) -> Iterator[Content]:
    """The data of all constants of a module."""
    for op in module.walk():
        for attribute in (*op.properties.values(), *op.attributes.values()):
            if isinstance(attribute, Weight):
                yield attribute.data


def _read(file: str, weight: str, folder: Path | None) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    path = Path(file)
    if folder is not None and not path.is_absolute() and (folder / path).is_file():
        path = folder / path
    return read_weight(str(path), weight)


def _shown(error: ParseError) -> str:
    """`line 3, column 8: expected ']'`, and the line itself."""
    span = error.span
    content = str(span.input.content)
    before = content[: span.start]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    source = content.splitlines()[line - 1 : line] or [""]
    # a line may be a whole model: what stands around the place is enough
    start = max(0, column - 60)
    excerpt = source[0][start : column + 40]
    return f"line {line}, column {column}: {error.msg}\n  {excerpt}\n  {' ' * (column - 1 - start)}^"
