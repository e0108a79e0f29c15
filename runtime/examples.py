"""Arrays to try an engine on, where nobody has real ones at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from .composite import Composed, OpenPort
from .engine import Engine
from .program import Array
from .sizes import evaluate, symbol_name


@dataclass
class Examples:
    """Inputs for a run, and what was made up: a line for each input drawn and each size chosen."""

    arrays: dict[str, Array] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])


def example_inputs(
    engine: Engine,
    given: Mapping[str, Any] | None = None,
    shapes: Mapping[str, int | tuple[int | None, ...]] | None = None,
    seed: int = 0,
) -> Examples:
    """The arrays in `given`, and random ones for the other inputs: normal floats, integers 0 and 1 (they are often
    indices), bools. `shapes` gives sizes by input or by symbol; others are what the engine was tuned for, or 1.

    Raises InputError for names that the engine has not."""
    given, shapes = given or {}, shapes or {}
    found = Examples()
    known = {port.name for port in engine.inputs}
    for name in given:
        if name not in known:
            raise InputError(f"the engine has no input '{name}'", hint=f"its inputs are {', '.join(sorted(known))}")
    symbols = _symbols(engine, given, shapes, found.notes)
    random = np.random.default_rng(seed)
    for port in engine.inputs:
        if port.name in given:
            found.arrays[port.name] = given[port.name]
            continue
        if isinstance(port, OpenPort):
            raise InputError(
                f"nothing can be made up for input '{port.name}': {port}", hint="give it: --input NAME=FILE"
            )
        shape = tuple(evaluate(size, symbols) if isinstance(size, str) else size for size in port.shape)
        found.arrays[port.name], how = _draw(port.dtype, shape, random)
        found.notes.append(f"input {port.name}: {how}, {port.dtype.name}[{', '.join(map(str, shape))}]")
    return found


def _symbols(
    engine: Engine,
    given: Mapping[str, Any],
    shapes: Mapping[str, int | tuple[int | None, ...]],
    notes: list[str],
) -> dict[str, int]:
    values: dict[str, int] = {}
    ports = {port.name: port for port in engine.inputs}
    symbols = engine.symbols if isinstance(engine, Composed) else engine.artifact.symbols
    ranges = {} if isinstance(engine, Composed) else engine.artifact.provenance.get("ranges", {})
    for name, wanted in shapes.items():
        if isinstance(wanted, int) and name in symbols:
            values[name] = wanted
        elif name not in ports:
            sizes = ", ".join((*ports, *symbols))
            raise InputError(f"the engine has no input and no open size '{name}'", hint=f"it has {sizes}")
    for port in engine.inputs:
        if isinstance(port, OpenPort) and not isinstance(given.get(port.name), np.ndarray):
            continue
        wanted = given[port.name].shape if port.name in given else shapes.get(port.name, ())
        wanted = (wanted,) if isinstance(wanted, int) else wanted
        if wanted and len(wanted) != len(port.shape):
            raise InputError(f"input '{port.name}' has {len(port.shape)} dimensions, not {len(wanted)}: {port}")
        for declared, size in zip(port.shape, wanted, strict=False):
            if isinstance(declared, str) and size is not None and (symbol := symbol_name(declared)):
                values.setdefault(symbol, size)
            elif isinstance(declared, int) and size not in (None, declared) and port.name not in given:
                raise InputError(f"input '{port.name}' has fixed sizes: {port}", hint="compile it for other ones")
    for symbol in symbols:
        if symbol not in values:
            values[symbol] = int(ranges[symbol][1]) if symbol in ranges else 1
            notes.append(f"size {symbol}: {values[symbol]}")
    return values


def _draw(dtype: np.dtype[Any], shape: tuple[int, ...], random: np.random.Generator) -> tuple[Array, str]:
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype), "random"
    if dtype.kind in "iu":
        return random.integers(0, 2, shape).astype(dtype), "random, 0 and 1"
    return random.standard_normal(shape, np.float32).astype(dtype), "random, normal"
