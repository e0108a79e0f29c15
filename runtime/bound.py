"""A program bound to arrays, and which of them may share memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .artifact import Port, address_of
from .device import DeviceTable
from .dlpack import opened
from .program import Array, Plan, Program, RunFrame

_MOST_WORK: Any = 1 << 20  # steps of finding out whether two strided arrays overlap


class Bound:
    """A program bound to arrays; calling it runs once and allocates nothing. Not for two threads at once.

    `outputs` maps names to arrays that every call overwrites; to a fresh one after each call where an output's size
    comes from data. An output that is the very memory of an input updates it: results are as if inputs were read
    before anything is written. `copied` names what is copied on each call: inputs and outputs that do not lie in memory
    row-major, and inputs that the program still reads when it has begun to write the output in their memory. A call
    that raises may have written some outputs. Made by `Engine.bind`.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        given: Mapping[str, Any],
        arrays: Sequence[Array],
        places: Mapping[str, Array],
    ) -> None:
        inputs, outputs = list(arrays), plan.outputs()
        self.plan = plan
        self.outputs: dict[str, Array] = dict(zip(plan.names, outputs, strict=True)) | dict(places)
        self._before: dict[str, tuple[Array, Any]] = {}  # to, from
        self._after: dict[str, tuple[Array, Array]] = {}
        direct: dict[int, Array] = {}
        for i, name in enumerate(plan.names):
            if name in places:
                place = np.asarray(places[name])
                if place.flags.carray:
                    outputs[i] = direct[i] = place
                else:
                    self._after[name] = place, outputs[i]
        for i, (name, value) in enumerate(given.items()):
            if program.unified and _overwritten(inputs[i], i, direct, program.artifact.in_place):
                inputs[i] = inputs[i].copy()
            if inputs[i] is not value and not ((memory := _memory(value)) is not None and _same(inputs[i], memory)):
                self._before[name] = inputs[i], value
        self.copied = (*self._before, *self._after)
        self._arrays = inputs, outputs
        self._frame = RunFrame(program)
        self._frame.set(plan, inputs, outputs)
        # the fast path: one native call
        self._simple = not self.copied and program.unified and not program.artifact.late
        self._program = program
        self._main = program.main
        self._table = program.table
        self._address = self._frame.address

    def __call__(self) -> None:
        if self._simple:
            if code := self._main(self._table, self._address):
                self._program.failed(code)
        else:
            self.run()

    def run(self, table: DeviceTable | None = None) -> None:
        """One call, through another device table if one is given."""
        for to, of in self._before.values():
            np.copyto(to, of)
        self._frame.run(*self._arrays, table)
        for i in self._program.artifact.late:
            self.outputs[self.plan.names[i]] = self._arrays[1][i]
        for to, of in self._after.values():
            np.copyto(to, of)


def _overwritten(array: Array, position: int, direct: Mapping[int, Array], in_place: Sequence[Sequence[int]]) -> bool:
    """Whether an output is written to memory of an input that the program may read after that."""
    return any(
        (i >= len(in_place) or position not in in_place[i]) and _shared(array, place) for i, place in direct.items()
    )


def places_for(
    ports: Sequence[Port],
    outputs: Mapping[str, Any] | None,
    inputs: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Array]:
    """The arrays that a caller gives for outputs, by name. `shapes` has those that are known, None: nothing is yet.

    Raises InputError where one does not fit its port, overlaps another output, or an input in part."""
    if outputs is None:
        return {}
    if not isinstance(outputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"outputs are given as a dict of arrays by name, not as {type(outputs).__name__}")
    known = {port.name: port for port in ports}
    if unknown := [str(name) for name in outputs if name not in known]:
        raise InputError(f"the model has no output {', '.join(unknown)}", hint=f"its outputs are {', '.join(known)}")
    places = {name: _fitting(known[name], place, shapes) for name, place in outputs.items()}
    memory = {name: found for name, value in inputs.items() if (found := _memory(value)) is not None}
    names = list(places)
    for i, name in enumerate(names):
        for other in names[:i]:
            if _shared(places[name], places[other]):
                raise InputError(f"outputs '{other}' and '{name}' overlap", hint="give each memory of its own")
        for other, array in memory.items():
            if _shared(places[name], array) and not _same(places[name], array):
                raise InputError(
                    f"output '{name}' overlaps a part of input '{other}'",
                    hint="give it all of the input's memory, which updates it in place, or memory of its own",
                )
    return places


def _fitting(port: Port, place: Any, shapes: Mapping[str, tuple[int, ...]] | None) -> Array:
    """The array, if it can be the output. Raises InputError."""
    what = f"the array for output '{port.name}'"
    place = opened(place, what)
    if not isinstance(place, np.ndarray):
        raise InputError(f"{what} is {type(place).__name__}, expected a numpy.ndarray, or what has __dlpack__")
    if getattr(port, "sequence", False) or getattr(port, "optional", False) or getattr(port, "free", False):
        raise InputError(f"output '{port.name}' is not always an array, so none can be given for it")
    if shapes is not None and port.name not in shapes:
        raise InputError(f"the size of output '{port.name}' comes from data, so no array can be given for it")
    if place.dtype != port.dtype:
        raise InputError(f"{what} has dtype {place.dtype}, expected {port.dtype}")
    if shapes is not None and place.shape != shapes[port.name]:
        raise InputError(f"{what} has the shape {list(place.shape)}, expected {list(shapes[port.name])}")
    if not place.flags.writeable:
        raise InputError(f"{what} cannot be written")
    return place


# ---- memory


def _memory(value: Any) -> Array | None:
    """The array that a value is or wraps, without a copy."""
    if isinstance(value, list | tuple | int | float | complex | str | bytes) or value is None:
        return None
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        return None


def _shared(a: Array, b: Array) -> bool:
    """Whether some byte belongs to both; also where that is too hard to find out."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=_MOST_WORK)
    except np.exceptions.TooHardError:
        return True


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays are the same bytes, element by element or row-major."""
    if address_of(a) != address_of(b) or a.nbytes != b.nbytes:
        return False
    return (a.flags.c_contiguous and b.flags.c_contiguous) or (
        (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides)
    )
