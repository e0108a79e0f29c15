"""`ircc run MODEL`: run once, on the inputs given, and write or show the outputs."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import Engine, example_inputs
from ..errors import InputError
from . import console
from .engines import open_engine

Array = np.ndarray[Any, Any]


def run(args: Namespace) -> int:
    """Run; a file for every output with --output, else a table of what they hold."""
    engine, shapes = open_engine(args)
    given = {name: read_array(engine, name, Path(file)) for name, file in args.input}
    inputs = example_inputs(engine, given, shapes, args.seed)
    for note in inputs.notes:
        console.say(note)
    outputs = engine.run(inputs.arrays)
    if args.output is None:
        columns = ("output", "dtype", "shape", ">least", ">mean", ">most", "begins")
        console.table(columns, [row(*item) for item in tensors(outputs).items()])
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    arrays = tensors(outputs)
    files = file_names(arrays)
    for name, array in arrays.items():
        path = args.output / f"{files[name]}.npy"
        np.save(path, storable(array), allow_pickle=False)
        console.say(f"output {name}: {path}")
    return 0


def tensors(outputs: Mapping[str, Any]) -> dict[str, Array]:
    """The outputs, an element of a sequence as `y[0]`. An empty optional is none."""
    found: dict[str, Array] = {}
    for name, value in outputs.items():
        if isinstance(value, list):
            found |= tensors({f"{name}[{i}]": item for i, item in enumerate(value)})
        elif value is not None:
            found[name] = np.asarray(value)
    return found


def read_array(engine: Engine, name: str, path: Path) -> Array:
    """The array in an .npy file. Raises InputError where it is none."""
    try:
        array: Any = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"input '{name}': {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"input '{name}': {path} holds no array: {error}", hint="write it by numpy.save") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"input '{name}': {path} holds several arrays", hint="write one by numpy.save")
    port = next((p for p in engine.inputs if p.name == name), None)
    if port is not None and array.dtype.kind == "V" and array.dtype.itemsize == port.dtype.itemsize:
        return array.view(port.dtype)  # NumPy's files know nothing of bfloat16
    return array


def storable(array: Array) -> Array:
    """The array in a type that .npy files have: bfloat16 and small types become float32, which holds their values."""
    if array.dtype == object:
        return array.astype(str)
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)  # float8_e5m2 too is of kind "f"


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file name for each output: its own, without what is special to file systems, no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = unique = re.sub(r"[^\w.-]", "_", name)[:100].lstrip(".") or "output"
        count = 1
        while unique.lower() in taken:
            count += 1
            unique = f"{plain}_{count}"
        taken.add(unique.lower())
        found[name] = unique
    return found


def row(name: str, array: Array) -> tuple[str, ...]:
    """A line of the table of outputs."""
    shape = "×".join(map(str, array.shape)) or "scalar"
    if array.dtype == object:
        return name, "string", shape, "", "", "", " ".join(repr(v)[:40] for v in array.reshape(-1)[:4])
    numbers = array.astype(np.float64)
    least, mean, most = (numbers.min(), numbers.mean(), numbers.max()) if array.size else (np.nan,) * 3
    begins = " ".join(f"{v:.4g}" for v in numbers.reshape(-1)[:4])
    return name, array.dtype.name, shape, f"{least:.5g}", f"{mean:.5g}", f"{most:.5g}", begins
