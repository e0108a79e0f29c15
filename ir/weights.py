"""Constant data: small constants stand in the text, large ones are references.

`#ir.weight<"model.onnx", "conv1.weight", "sha256">` names the file, the tensor in it and the hash of its bytes (C
order, little endian). Data that a pass made has no file: it is found by its hash, in the process or in the folder
that `ircc` writes it to. `#ir.weight<[1.0, 2.0]>` holds the values themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from xdsl.ir import Attribute, Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from ..errors import IRError
from .cache import root

INLINE = 16  # longest constant that is printed in full
_limit: ContextVar[float] = ContextVar("inline_limit", default=INLINE)
_alone: ContextVar[bool] = ContextVar("hashes_alone", default=False)
_known: dict[str, np.ndarray[Any, Any]] = {}  # data by hash, of weights read from text or printed as references


class Content:
    """The data of one constant: an array, or where to find it."""

    def __init__(
        self,
        array: np.ndarray[Any, Any] | None = None,
        *,
        file: str = "",
        name: str = "",
        sha256: str | None = None,
        values: Sequence[Any] | None = None,
    ) -> None:
        self.held = array  # None until it is asked for, where only its place is known
        self._sha, self.values = sha256, values
        self.file, self.name = file, name

    @cached_property
    def sha256(self) -> str:
        if self._sha is None:
            assert self.held is not None
            flat = np.ascontiguousarray(self.held).reshape(-1)
            self._sha = hashlib.sha256(flat.view(np.uint8).data).hexdigest()
        return self._sha

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """The data as an array of this type. It is the same data in any shape of as many elements: a pass may see two
        dimensions as one. Raises IRError when it is not known."""
        if self.held is None:
            if self.values is not None:
                decoded = _decode(self.values, dtype)
                if decoded.size != prod(shape):
                    raise IRError(f"constant: {decoded.size} values stand for a tensor of shape {list(shape)}")
                self.held = decoded.reshape(shape)
            else:
                self.held = _find(self.sha256, dtype, shape)
        if self.held.dtype != dtype or self.held.size != prod(shape):
            raise IRError(
                f"constant {self.name or self.sha256[:12]}: data is {self.held.dtype}{list(self.held.shape)}, "
                f"the type says {dtype}{list(shape)}"
            )
        return self.held.reshape(shape)

    @property
    def key(self) -> Any:
        """What makes two contents equal: the values' text, or the hash."""
        return tuple(self.values) if self.values is not None else self.sha256

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Content):
            return NotImplemented
        if self is other or (self.held is not None and self.held is other.held):
            return True
        if (self.values is None) != (other.values is None):
            return False
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@irdl_attr_definition
class Weight(Data[Content]):
    """Constant data, by value or by reference. The type stands on the operation that holds it."""

    name = "ir.weight"

    @classmethod
    def of(cls, array: np.ndarray[Any, Any], *, file: str = "", name: str = "") -> Weight:
        """A constant that holds `array` (not copied, never written to)."""
        if array.size <= INLINE:
            return cls(Content(array, values=_encode(array), name=name))
        return cls(Content(array, file=file, name=name))

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Content:
        with parser.in_angle_brackets():
            if (file := parser.parse_optional_str_literal()) is not None:
                parser.parse_punctuation(",")
                name = parser.parse_str_literal()
                parser.parse_punctuation(",")
                return Content(file=file, name=name, sha256=parser.parse_str_literal())
            values = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_scalar(parser))
            return Content(values=values)

    def print_parameter(self, printer: Printer) -> None:
        content = self.data
        values = content.values
        if values is None and (array := content.held) is not None and array.size <= _limit.get():
            values = _encode(array)
        with printer.in_angle_brackets():
            if values is not None:
                printer.print_string(f"[{', '.join(map(str, values))}]")
                return
            if content.held is not None and not _alone.get():
                _known[content.sha256] = content.held
            for text in ("" if _alone.get() else content.file, content.name):
                printer.print_string_literal(text)
                printer.print_string(", ")
            printer.print_string_literal(content.sha256)


def _encode(array: np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Values as text that gives the same bits again: numbers, or the bits in hex for NaN."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind in "iu":
        return tuple(str(int(v)) for v in flat)
    if flat.dtype.kind == "b":
        return tuple("true" if v else "false" for v in flat)
    bits = flat.view(f"u{flat.dtype.itemsize}")
    with np.errstate(invalid="ignore"):  # signalling NaN
        numbers = flat.astype(np.float64)
    return tuple(
        _decimal(float(v)) if np.isfinite(v) else f'"0x{int(b):x}"' for v, b in zip(numbers, bits, strict=True)
    )


def _decimal(number: float) -> str:
    """The shortest text of the number that the parser takes for one: 1.0e-05, where Python writes 1e-05."""
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def _parse_scalar(parser: AttrParser) -> str:
    if (text := parser.parse_optional_str_literal()) is not None:
        return f'"{text}"'
    if (boolean := parser.parse_optional_boolean()) is not None:
        return str(boolean).lower()
    number = parser.parse_number()
    return _decimal(number) if isinstance(number, float) else str(number)


def _decode(values: Sequence[str], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The values as an array. Raises IRError for one that is none of this type."""
    out = np.empty(len(values), dtype)
    bits = out.view(f"u{dtype.itemsize}")
    for i, text in enumerate(values):
        try:
            if text.startswith('"'):
                bits[i] = int(text.strip('"'), 16)
            elif dtype.kind == "b":
                out[i] = ("false", "true").index(text)
            else:
                out[i] = int(text) if dtype.kind in "iu" else np.float64(text).astype(dtype)
        except (ValueError, OverflowError):
            raise IRError(f"constant: {text} is no value of type {dtype}") from None
    return out


@contextmanager
def inline_weights():
    """Within this block all constants are printed in full."""
    token = _limit.set(float("inf"))
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def references():
    """Within this block large constants are printed by name and hash alone, for a reader that has the data."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def folder() -> Path:
    """Where data that passes made is kept for text: `$IRCC_CACHE/weights`."""
    return root() / "weights"


def keep(content: Content) -> None:
    """Write data without a file of its own to the folder, so that printed text can be read again elsewhere."""
    if content.values is not None or content.file or content.held is None:
        return
    path = folder() / content.sha256
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(np.ascontiguousarray(content.held).tobytes())
        partial.replace(path)


def provide(content: Content, read: Callable[[str, str], np.ndarray[Any, Any]]) -> None:
    """Find the data of a reference that names a file with `read(file, name)`. A wrong hash raises IRError."""
    if content.held is not None or content.values is not None or not content.file:
        return
    array = read(content.file, content.name)
    found = Content(array).sha256
    if found != content.sha256:
        raise IRError(
            f"weight {content.name!r} of {content.file}: sha256 is {found}, the text says {content.sha256}",
            hint="the model file has changed since the text was printed: print it again",
        )
    content.held = array


def _find(sha256: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if (array := _known.get(sha256)) is not None:
        return array
    path = folder() / sha256
    if not path.is_file():
        raise IRError(
            f"no data for weight {sha256}",
            hint=f"print the module with --inline-weights, or set IRCC_CACHE ({folder()})",
        )
    array = np.fromfile(path, dtype)
    if Content(array).sha256 != sha256:
        raise IRError(f"{path}: the data does not have its hash", hint="delete the file")
    return array.reshape(shape)


def array_of(weight: Attribute, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The data of a `Weight` attribute as an array of this type and shape."""
    assert isinstance(weight, Weight)
    return weight.data.array(dtype, shape)
