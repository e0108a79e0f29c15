"""A loaded program and what one run of it needs: plan, frame, arena, weights. Engine and Bound are built from these."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_int32, c_int64, c_void_p
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, InputError
from .artifact import ALIGNMENT, Artifact, address_of, aligned_empty
from .device import Device, DeviceTable, Frame, load_code
from .dlpack import exporting
from .mirrored import Mirrored, open_for

Array: TypeAlias = NDArray[Any]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]

NO_MEMORY = -2  # ircc_plan: a buffer is too large; ircc_main: a slot could not be had

_PLAN = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p)
_MAIN = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p)


class Program:
    """The artifact's code in this process, its device opened, its weights where the device reads them."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact = artifact
        self.code = load_code(artifact)
        self.device = open_for(artifact, self.code, threads)
        self.plan_function = _PLAN(self.code.address("ircc_plan"))
        self.main = _MAIN(self.code.address("ircc_main"))
        self.table = ctypes.addressof(self.device.table)
        self.unified = self.device.unified
        self._weights = artifact.weights
        if self._weights.size and address_of(self._weights) % ALIGNMENT:
            self._weights = aligned_empty(artifact.weights.shape, artifact.weights.dtype)
            self._weights[...] = artifact.weights
        self.weights = address_of(self._weights)
        self._copied_weights = Buffer(self.device)
        if not self.unified:
            self.weights = self._copied_weights.reserve(self._weights.nbytes)
            self.device.copy(self.weights, address_of(self._weights), self._weights.nbytes)
            self.device.wait()
            if isinstance(self.device, Mirrored):
                self.device.mirror(self.weights, self._weights)

    def failed(self, code: int) -> NoReturn:
        """`ircc_plan` or `ircc_main` returned `code`, not 0: raises what went wrong."""
        if error := self.device.failure():
            raise error
        checks = self.artifact.checks
        if 0 < code <= len(checks):
            raise InputError(checks[code - 1])
        if code == NO_MEMORY:
            raise EngineError(
                "a size that was computed while the model ran is negative, or too large for the memory",
                hint="look at the inputs that give shapes, counts or ranges",
            )
        raise EngineError(f"the run failed with code {code} on device '{self.artifact.backend}'")


class Plan:
    """What one set of input shapes fixes: the values that `ircc_plan` computes."""

    def __init__(self, program: Program, shapes: Shapes) -> None:
        artifact = program.artifact
        count = len(artifact.symbols) + 1
        dims = [n for shape in shapes for n in shape]
        self._values = (c_int64 * (count + sum(len(p.shape) for p in artifact.outputs)))()
        if code := program.plan_function((c_int64 * len(dims))(*dims), self._values):
            if code == NO_MEMORY:
                told = ", ".join(str(list(shape)) for shape in shapes)
                raise EngineError(f"inputs of the shapes {told} need more memory than any machine has")
            program.failed(code)
        values = self._values[:]
        self.address = ctypes.addressof(self._values)
        self.names = [p.name for p in artifact.outputs]
        self.first_size = count  # where the outputs' sizes begin
        self.symbols: dict[str, int] = dict(zip(artifact.symbols, values, strict=False))
        self.arena_bytes = values[count - 1]
        self._specs: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        for port in artifact.outputs:
            shape = tuple(values[count : count + len(port.shape)])
            count += len(shape)
            self._specs.append((port.held(shape), port.dtype))
        if self.arena_bytes < 0 or any(n < 0 for shape, _ in self._specs for n in shape):
            raise EngineError(f"the engine plans negative sizes for the input shapes {list(shapes)}: {values}")

    def copied(self) -> ctypes.Array[c_int64]:
        """The values, for a run that adds sizes to them."""
        return type(self._values)(*self._values)

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, (shape, _) in zip(self.names, self._specs, strict=True)}

    def outputs(self) -> list[Array]:
        """Fresh arrays for the outputs, 64-byte aligned; empty ones for those whose sizes come from data."""
        try:
            return [exporting(aligned_empty(shape, dtype)) for shape, dtype in self._specs]
        except (MemoryError, OverflowError, ValueError):
            raise EngineError(f"no memory for outputs of the shapes {self.output_shapes}") from None


class Buffer:
    """Device memory that grows on demand and is freed with this object."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._address = 0
        self._size = -1

    def reserve(self, size: int) -> int:
        """The address of at least `size` bytes; what was there before is gone."""
        if size > self._size:
            self.release()
            self._address = self._device.alloc(size)
            self._size = size
        return self._address

    def release(self) -> None:
        address, self._address, self._size = self._address, 0, -1
        if address:
            self._device.free(address)

    def __del__(self) -> None:
        self.release()


class RunFrame:
    """What one run at a time works on: the C frame, its pointer arrays, the arena, a device's copies of the arrays."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._inputs = (c_void_p * len(program.artifact.inputs))()
        self._outputs = (c_void_p * len(program.artifact.outputs))()
        self._frame = Frame(
            weights=program.weights,
            inputs=ctypes.addressof(self._inputs),
            outputs=ctypes.addressof(self._outputs),
        )
        self.address = ctypes.addressof(self._frame)
        self._arena = Buffer(program.device)
        self._copies = [Buffer(program.device) for _ in (*self._inputs, *self._outputs)]
        self._plan: Plan | None = None
        self._places: tuple[Any, ...] = ()  # that the last run worked on
        self._replay: Callable[[], None] | None = None  # the device's recording of it
        self._recordable = False  # as far as is known
        self._slots = (c_int64 * (2 * program.artifact.slots))()
        self._frame.slots = ctypes.addressof(self._slots)
        self._sizes: ctypes.Array[c_int64] | None = None  # a plan of its own, where the run writes sizes into it

    def __del__(self) -> None:
        for address in getattr(self, "_slots", ())[::2]:
            if address:
                self._program.device.free(address)

    def set(self, plan: Plan, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """The caller keeps the arrays alive while the frame is used."""
        if plan is not self._plan:
            self._plan = None  # not half set, where the arena cannot be had
            self._frame.arena = self._arena.reserve(plan.arena_bytes)
            self._frame.plan = plan.address
            if self._program.artifact.late:
                self._sizes = plan.copied()
                self._frame.plan = ctypes.addressof(self._sizes)
            self._plan = plan
        if self._program.unified:
            self._inputs[:] = [a.__array_interface__["data"][0] for a in inputs]
            self._outputs[:] = [a.__array_interface__["data"][0] for a in outputs]
        else:
            buffers = zip(self._copies, (*inputs, *outputs), strict=True)
            places = [buffer.reserve(array.nbytes) for buffer, array in buffers]
            self._inputs[:] = places[: len(inputs)]
            self._outputs[:] = places[len(inputs) :]

    def run(self, inputs: Sequence[Array], outputs: list[Array], table: DeviceTable | None = None) -> None:
        """One run on the arrays it was set to, through another device table if one is given.

        Outputs whose sizes come from data are put into `outputs` afterwards, as fresh arrays."""
        program = self._program
        if not program.unified:
            for place, array in zip(self._inputs, inputs, strict=True):
                program.device.copy(place, address_of(array), array.nbytes)
        if not (table is None and self._replayed()):
            address = program.table if table is None else ctypes.addressof(table)
            if code := program.main(address, self.address):
                program.failed(code)
        late = program.artifact.late
        for i in late:
            outputs[i] = self._late_output(i)
        if not program.unified or late:
            for i, (place, array) in enumerate(zip(self._outputs, outputs, strict=True)):
                if (not program.unified or i in late) and array.nbytes:
                    program.device.copy(address_of(array), place, array.nbytes)
            program.device.wait()

    def _replayed(self) -> bool:
        """Whether the device has a recording of this very run, or makes one now, and has begun it.

        The second run on the same memory is recorded: sizes that come once are not worth it, and the first one has made
        the code of all kernels. A unified device works on arrays of the caller's, which are others each time."""
        program = self._program
        if program.unified or program.artifact.late:
            return False
        places = (self._plan, self._frame.arena, *self._inputs, *self._outputs)
        if places != self._places:
            self._places, self._replay, self._recordable = places, None, True
            return False
        if self._replay is None and self._recordable:
            self._replay = program.device.record(lambda: program.main(program.table, self.address))
            self._recordable = self._replay is not None
        if self._replay is None:
            return False
        self._replay()
        return True

    def _late_output(self, position: int) -> Array:
        """An array of the size that the run has found for an output."""
        ports = self._program.artifact.outputs
        assert self._plan is not None and self._sizes is not None
        start = self._plan.first_size + sum(len(p.shape) for p in ports[:position])
        shape = tuple(self._sizes[start : start + len(ports[position].shape)])
        return exporting(aligned_empty(ports[position].held(shape), ports[position].dtype))
