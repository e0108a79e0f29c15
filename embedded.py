"""The graph inside an engine file, from which `ircc recompile` makes the engine anew without the model.

Section `graph`: JSON, compressed by zlib (RFC 1950):
    text      the module as it came in, before any pass, its large constants as hashes alone
    data      hash -> [variant, offset, layout, shape, order]: the constant stands among the weights of that variant,
              element [d0, d1, ...] of `shape` at place `layout` behind `offset` bytes (layout "": row-major), its
              dimensions but those of 1 in this order ([]: as they are). Variant -1: in the section `constants`, which
              has what stands nowhere
    choices   what the compilation was asked for; `machines`: the descriptions of the targets, the best one first
Of an engine with several variants the first one has the sections.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError

from .dialects import context
from .errors import EngineError, Error
from .frontends.text import read_text
from .ir.operands import walk
from .ir.syntax import parse_expr
from .ir.target import Target
from .ir.types import BufferType, TensorType
from .ir.weights import Content, Weight, references
from .runtime.artifact import ALIGNMENT, Artifact, Bytes, Placed
from .runtime.file import EngineFile

GRAPH, CONSTANTS = "graph", "constants"
_MOST = 1 << 30  # bytes of text: what a hostile file may ask for

_MOST_DIMS = 5  # of more, the orders are too many to try
_SAMPLE = 64  # elements that are looked at before all of them are

Array = np.ndarray[Any, Any]
Place: TypeAlias = "tuple[int, int, str, Sequence[int], Sequence[int]]"


class Choices(NamedTuple):
    """What a compilation was asked for, but for what is in the module: shapes and ranges."""

    backend: str
    machines: Sequence[Target]
    passes: str | None
    without: Sequence[str]
    precision: str


@dataclass(frozen=True)
class Source:
    """A module before any pass: its text, and the data that the text names by hash."""

    text: str
    data: Mapping[str, Array]

    @classmethod
    def of(cls, module: ModuleOp) -> Source:
        with references():
            text = f"{module!s}\n"
        data = {c.sha256: c.array(dtype, shape) for c, dtype, shape in _constants(module) if c.values is None}
        return cls(text, data)

    def sections(self, variants: Sequence[Artifact], choices: Choices) -> dict[str, bytes]:
        """The sections of an engine file with these variants."""
        standing = [(i, placed) for i, variant in enumerate(variants) for placed in variant.constants]
        places: dict[str, Place] = {}
        for number, placed in standing:
            places.setdefault(placed.sha256, (number, placed.offset, placed.layout, placed.shape, ()))
        turned = _Turned([(i, p, variants[i].weights) for i, p in standing if p.sha256 not in self.data])
        for sha, array in self.data.items():
            if sha not in places and (found := turned.find(array)) is not None:
                places[sha] = found
        rest: list[bytes] = []
        end = 0
        for sha, array in sorted(self.data.items()):
            if sha not in places:
                places[sha] = (-1, end, "", (), ())
                data = np.ascontiguousarray(array).tobytes()
                rest += [data, bytes(-len(data) % ALIGNMENT)]
                end += len(data) + len(rest[-1])
        held = {
            "text": self.text,
            "data": {sha: places[sha] for sha in self.data},
            "choices": {**choices._asdict(), "machines": [asdict(m) for m in choices.machines]},
        }
        packed = json.dumps(held, sort_keys=True, separators=(",", ":")).encode()
        return {GRAPH: zlib.compress(packed, 9), CONSTANTS: b"".join(rest)}


def read_source(file: EngineFile) -> tuple[ModuleOp, Choices]:
    """The module that an engine was made from, and how. Raises EngineError where the file does not hold it."""
    sections = file.artifacts[0].sections
    if GRAPH not in sections:
        raise EngineError(
            f"{file.path} does not hold its graph", hint="compile the model itself; --strip leaves the graph out"
        )
    try:
        unpacked = zlib.decompressobj()
        held = json.loads(unpacked.decompress(sections[GRAPH], _MOST))
        find = _Finder(held["data"], [a.weights for a in file.artifacts], sections.get(CONSTANTS, b""))
        module = read_text(held["text"], name=f"the graph in {file.path}", fill=find.fill)
        asked = held["choices"]
        machines = [Target(**machine) for machine in asked.pop("machines")]
        return module, Choices(machines=machines, **asked)
    except Error as error:
        raise EngineError(f"{file.path}: {error}") from error
    except (zlib.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EngineError(f"{file.path}: the graph in it is damaged: {error}") from error


class _Finder:
    def __init__(self, places: Mapping[str, Sequence[Any]], weights: Sequence[Bytes], rest: bytes) -> None:
        self.places, self.blobs = places, [*weights, np.frombuffer(rest, np.uint8)]  # -1 is the last one

    def fill(self, module: ModuleOp) -> None:
        """Give the constants of a module their data."""
        for content, dtype, shape in _constants(module):
            if content.values is None:
                content.held = self.array(content.sha256, dtype, shape)

    def array(self, sha: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        variant, offset, layout, sizes, order = self.places[sha]
        blob = self.blobs[variant][offset:]
        if layout:
            places = _places(layout, np.unravel_index(np.arange(prod(sizes)), sizes))
            found = blob[: (int(places.max()) + 1) * dtype.itemsize].view(dtype)[places]
        else:
            found = blob[: prod(shape) * dtype.itemsize].view(dtype)
        if order:
            long = [n for n in shape if n != 1]
            found = found.reshape([long[i] for i in order]).transpose(np.argsort(order))
        found = np.ascontiguousarray(found).reshape(shape)
        if _sha256(found) != sha:
            raise EngineError("a weight does not have its hash", hint="the file is damaged")
        return found


class _Turned:
    """Finds constants that passes have turned around among the weights of an engine."""

    def __init__(self, standing: Sequence[tuple[int, Placed, Bytes]]) -> None:
        self.by_size: dict[tuple[int, int], list[tuple[int, Placed, Bytes]]] = {}
        for item in standing:
            self.by_size.setdefault((prod(item[1].shape), item[1].width), []).append(item)

    def find(self, array: Array) -> Place | None:
        """Where the array stands with its dimensions in another order."""
        long = array.reshape([n for n in array.shape if n != 1])
        sample = np.random.default_rng(0).integers(0, array.size, _SAMPLE)
        candidates = self.by_size.get((array.size, array.itemsize), []) if long.ndim <= _MOST_DIMS else []
        for item in candidates:
            number, placed, weights = item
            at = np.unravel_index(sample, placed.shape)
            stands = weights[placed.offset :]
            stands = stands[: stands.size // array.itemsize * array.itemsize].view(array.dtype)
            seen = stands[_places(placed.layout, at) if placed.layout else sample].tobytes()
            for order in permutations(range(long.ndim)):
                turned = long.transpose(order)
                if (
                    turned[np.unravel_index(sample, turned.shape)].tobytes() == seen
                    and _sha256(turned) == placed.sha256
                ):
                    candidates.remove(item)
                    return number, placed.offset, placed.layout, placed.shape, order
        return None


def _places(layout: str, indices: Sequence[Array]) -> Array:
    """Places of elements in a layout."""
    try:
        expr = parse_expr(Parser(context(), layout))
    except ParseError:
        raise EngineError(f"{layout:.60} is no layout", hint="the file is damaged") from None
    return np.broadcast_to(expr.evaluate(dict(enumerate(indices))), indices[0].shape)


def _sha256(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _constants(module: ModuleOp) -> Iterator[tuple[Content, np.dtype[Any], tuple[int, ...]]]:
    """The constants of a module, each with the type that it has there."""
    for op in walk(module):
        for value in op.properties.values():
            if isinstance(value, Weight):
                type_ = op.results[0].type
                assert isinstance(type_, TensorType | BufferType) and type_.static_shape is not None
                yield value.data, type_.dtype, type_.static_shape
