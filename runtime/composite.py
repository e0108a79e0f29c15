"""What `compile` makes of a model that is not compiled code from end to end: engines and Python steps in turn.

All of them look like an Engine: `inputs`, `outputs`, `kernels`, `run`, `bind`, `close`. `native` says whether a step in
Python took part.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ..errors import EngineError, InputError
from .artifact import Kernel, Port
from .bound import Bound, places_for
from .device import DeviceTable
from .dlpack import as_array, opened_all
from .engine import Engine
from .sizes import symbol_name
from .submissions import Submissions
from .threads import available

STRING = np.dtype(object)  # in arrays of Python's str


@dataclass(frozen=True)
class OpenPort(Port):
    """An input or output of another form than a numeric tensor of known rank; elements are objects where not numbers.

    `sequence`: a list of arrays. `optional`: None is a value. `ranked`: `shape` says how many dimensions there are.
    `free`: nothing at all is known, or it is a map."""

    sequence: bool = False
    optional: bool = False
    ranked: bool = False
    free: bool = False

    def __str__(self) -> str:
        sizes = f"[{', '.join(map(str, self.shape))}]" if self.ranked else ""
        text = "any" if self.free else f"{'string' if self.dtype == STRING else self.dtype.name}{sizes}"
        text = f"sequence({text})" if self.sequence else text
        return f"{self.name}: {f'optional({text})' if self.optional else text}"


@dataclass(frozen=True)
class Seen:
    """What an engine is compiled for when an array is there: its element type, None for strings, and its rank."""

    dtype: np.dtype[Any] | None
    rank: int


Structure = Seen | tuple["Seen", ...] | None  # of an array, a sequence, an empty optional


class Composed(Engine):
    """What they share. Subclasses compute in `_run`; `parts` are the engines and steps that have been made so far.

    Such an engine has no artifact, no device and no plan: asked for, they raise EngineError."""

    def __init__(self, inputs: Sequence[Port], outputs: Sequence[Port], threads: int | None) -> None:
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self.threads = threads or available()
        self._submissions = Submissions(available() // self.threads or 1)

    def __getattr__(self, name: str) -> NoReturn:
        if name == "artifact":
            raise EngineError("a model that needs Python has no artifact", hint="`ircc check` says what needs it")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self._outputs

    @property
    def device(self) -> NoReturn:
        raise EngineError("a model that needs Python runs on no single device")

    def plan(self, inputs: Mapping[str, Any]) -> NoReturn:
        """Raises EngineError: there is a plan for each part."""
        raise EngineError("a model that needs Python has no single plan")

    @property
    def parts(self) -> Iterable[Any]:
        raise NotImplementedError

    def _run(self, values: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Which ONNX nodes became which kernel; strategy `python` for a node that runs in Python."""
        return tuple(kernel for part in self.parts for kernel in part.kernels)

    @property
    def native(self) -> bool:
        """True when no part that has been made runs in Python."""
        return all(part.native for part in self.parts)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of sizes that the shapes of the inputs leave open."""
        sizes = [symbol_name(size) for port in self.inputs for size in port.shape if isinstance(size, str)]
        return tuple(dict.fromkeys(name for name in sizes if name is not None))

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name: arrays (dtype object for strings), lists of them, None for an empty optional.

        Raises InputError where an input does not fit, naming it."""
        if not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"inputs are given as a dict of arrays by name, not as {type(inputs).__name__}")
        names = [port.name for port in self.inputs]
        if missing := [n for n in names if n not in inputs]:
            raise InputError(f"inputs are missing: {', '.join(missing)}", hint=f"the inputs are {', '.join(names)}")
        if unknown := [str(n) for n in inputs if n not in names]:
            raise InputError(f"the model has no input {', '.join(unknown)}", hint=f"its inputs are {', '.join(names)}")
        return self._run({port.name: fitting(port, inputs[port.name]) for port in self.inputs})

    def bind(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Bound:
        """These inputs for every call of what is returned; a call reads what they hold then.

        `outputs`: arrays that every call copies results to. Raises InputError where one cannot be given."""
        given = dict(opened_all(inputs))
        return Rebound(self, given, places_for(self.outputs, outputs, given))

    def save(self, path: str | os.PathLike[str]) -> NoReturn:
        """Raises EngineError: an engine file holds compiled code only."""
        why = "runs partly in Python" if not self.native else "is compiled when it runs first"
        raise EngineError(f"{os.fspath(path)} cannot be written: this model {why}", hint="keep the ONNX file")

    def close(self) -> None:
        """Ends the threads of all parts, when what was submitted is done."""
        self._submissions.close()
        for part in self.parts:
            part.close()

    def __repr__(self) -> str:
        ports = ", ".join(map(str, self.inputs)), ", ".join(map(str, self.outputs))
        return f"<ircc.{type(self).__name__} ({ports[0]}) -> ({ports[1]})>"


class Rebound(Bound):
    """A model bound to inputs: calling it runs once, and replaces what is in `outputs`, or fills the arrays given."""

    def __init__(self, model: Composed, inputs: dict[str, Any], places: Mapping[str, Any]) -> None:
        self._model, self._inputs, self._places = model, inputs, places
        self.outputs: dict[str, Any] = dict(places)
        self.copied = tuple(places)

    def __call__(self) -> None:
        self.run()

    def run(self, table: DeviceTable | None = None) -> None:
        """One call. Raises EngineError for a device table, which belongs to a single program; InputError where a
        result does not fit the array that is given for it."""
        if table is not None:
            raise EngineError("a model that needs Python runs on no single device")
        found = self._model.run(self._inputs)
        for name, place in self._places.items():
            value = found[name]
            if not isinstance(value, np.ndarray) or (value.dtype, value.shape) != (place.dtype, place.shape):
                got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
                raise InputError(f"output '{name}' is {got}, the array given for it {place.dtype}{list(place.shape)}")
        # a step in Python may hand an input on as it is, which another result is about to be written over
        kept = {name: found[name].copy() for name in self._places}
        for name, place in self._places.items():
            np.copyto(place, kept[name])
        self.outputs.update(found | dict(self._places))


# ---- engines and Python in turn


@dataclass
class Step:
    """A part of a model: an engine, or a node that `call` runs in Python. `outputs` are the names that it gives."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    call: Callable[[dict[str, Any]], Mapping[str, Any]]
    engine: Any = None  # None for Python
    kernel: Kernel = field(default_factory=lambda: Kernel("python"))

    @property
    def native(self) -> bool:
        return self.engine is not None and self.engine.native

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return (self.kernel,) if self.engine is None else self.engine.kernels

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


class Composite(Composed):
    """Steps, one after the other; `constants` are outputs that nothing computes."""

    def __init__(
        self,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        steps: Sequence[Step],
        constants: Mapping[str, Any],
        threads: int | None = None,
    ) -> None:
        super().__init__(inputs, outputs, threads)
        self.steps, self.constants = steps, {name: tidy(value) for name, value in constants.items()}

    @property
    def parts(self) -> Sequence[Step]:
        return self.steps

    def _run(self, values: dict[str, Any]) -> dict[str, Any]:
        values = {**self.constants, **values}
        for step in self.steps:
            found = step.call({name: values[name] for name in step.inputs})
            values.update((name, tidy(value)) for name, value in found.items())
        return {port.name: values[port.name] for port in self.outputs}


class Deferred(Composed):
    """A model of which too little is known to compile it: made by `make` for each structure of its inputs, when it
    runs. `open` names the inputs whose structure is not known before."""

    def __init__(
        self,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        open: Sequence[str],
        make: Callable[[Mapping[str, Structure]], Any],
        threads: int | None = None,
    ) -> None:
        super().__init__(inputs, outputs, threads)
        self.open, self.make = frozenset(open), make
        self._made: dict[tuple[Structure, ...], Any] = {}
        self._lock = threading.Lock()

    @property
    def parts(self) -> list[Any]:
        return list(self._made.values())

    def _run(self, values: dict[str, Any]) -> dict[str, Any]:
        structures = {name: structure(value) for name, value in values.items() if name in self.open}
        key = tuple(structures.values())
        with self._lock:
            if key not in self._made:
                self._made[key] = self.make(structures)
        spread: dict[str, Any] = {}
        for name, value in values.items():
            if name in self.open and isinstance(value, list):
                spread.update((f"{name}[{i}]", item) for i, item in enumerate(value))
            elif value is not None:
                spread[name] = value
        return self._made[key].run(spread)


class Grouped(Composed):
    """An engine some of whose outputs are the elements of sequences: `y[0]` and `y[1]` become a list `y`.

    `layout`: the number of elements of each output of the model, -1 for a tensor, -2 for an empty optional."""

    def __init__(self, outputs: Sequence[Port], engine: Any, layout: Mapping[str, int]) -> None:
        super().__init__(engine.inputs, outputs, engine.threads)
        self.engine, self.layout = engine, layout

    @property
    def parts(self) -> tuple[Any]:
        return (self.engine,)

    def _run(self, values: dict[str, Any]) -> dict[str, Any]:
        found = self.engine.run(values)
        return {name: self._grouped(name, count, found) for name, count in self.layout.items()}

    @staticmethod
    def _grouped(name: str, count: int, found: Mapping[str, Any]) -> Any:
        if count < 0:
            return found[name] if count == -1 else None
        return [found[f"{name}[{i}]"] for i in range(count)]


# ---- values


def structure(value: Any) -> Structure:
    """What an engine has to know of an input before it is compiled."""
    if isinstance(value, list):
        return tuple(_seen(item) for item in value)
    return None if value is None else _seen(value)


def _seen(array: Any) -> Seen:
    if not isinstance(array, np.ndarray):
        raise InputError(f"a sequence holds {type(array).__name__}, expected arrays")
    return Seen(None if array.dtype == STRING else array.dtype, array.ndim)


def fitting(port: Port, value: Any) -> Any:
    """The input as the steps take it: arrays, lists of arrays, None. Raises InputError where it does not fit."""
    if not isinstance(port, OpenPort):
        return _array(port, value)
    if value is None and port.optional:
        return None
    if port.free:
        return tidy(value)
    if not port.sequence:
        return _array(port, value)
    if not isinstance(value, list | tuple):
        raise InputError(f"input '{port.name}' is {type(value).__name__}, expected a list of arrays")
    return [_array(port, item, f"element {i} of input '{port.name}'") for i, item in enumerate(value)]


def _array(port: Port, value: Any, what: str = "") -> np.ndarray[Any, Any]:
    what = what or f"input '{port.name}'"
    if value is None or isinstance(value, Mapping):
        raise InputError(f"{what} is {type(value).__name__}, expected an array")
    array = tidy(as_array(value, what))
    if array.dtype != port.dtype:
        wanted = "strings" if port.dtype == STRING else port.dtype
        raise InputError(f"{what} has dtype {array.dtype}, expected {wanted}")
    if array.ndim != len(port.shape) and getattr(port, "ranked", True):
        raise InputError(
            f"{what} has {array.ndim} dimensions {list(array.shape)}, "
            f"expected {len(port.shape)}: [{', '.join(map(str, port.shape))}]"
        )
    return array


def tidy(value: Any) -> Any:
    """A value in the form in which steps hand it on: strings as objects, sequences as lists, scalars as arrays."""
    if isinstance(value, list | tuple):
        return [tidy(item) for item in value]
    if value is None or isinstance(value, Mapping):
        return value
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind in "UT":
        return array.astype(object)
    if array.dtype == object:
        text = [e.decode() if isinstance(e, bytes) else e for e in array.reshape(-1)]
        if any(not isinstance(e, str) for e in text):
            raise InputError("an array of objects holds something that is no string")
        plain = np.empty(len(text), object)
        plain[:] = text
        return plain.reshape(array.shape)
    return array
