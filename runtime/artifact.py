"""What the compiler hands to the run time: an `Artifact`. Engine(artifact) runs it, write_engine() makes a file of it.

The object in it exports, by the platform's C calling convention:

    int32 ircc_plan(const int64* input_dims, int64* plan)
        input_dims: the dimensions of all inputs, one after the other. Fills plan with the values of `symbols`, the
        bytes of the arena, the dimensions of all outputs. Returns 0, 1 + the index in `checks` of what failed, or -2
        where a buffer would be larger than any memory.
    int32 ircc_main(const Device* device, const Frame* frame)
        runs the program and ends with device->wait. Returns 0, 1 + the index of a failed check, or, below 0, what
        a function of the device returned (-1 where none says more, for example alloc returned null).
        Device: runtime/device.py.
        Frame { int64* plan; char* arena; const char* weights; void** inputs; void** outputs; Slot* slots; }
        Slot { void* memory; int64 bytes; }: what the run allocates by itself, where sizes come from data; the caller
        frees it. For the outputs in `late` the run writes the pointer, and the dimensions into the plan.
        Arena and weights are 64-byte aligned, inputs and outputs as their element type asks. Arrays are row-major.
        An output may be the very memory of an input where `in_place` says so, and overlaps no other.
    on the CPU also the functions of codegen/cpu/pool.py, which needs
    ptr ircc_kernels[len(kernels)]
        void kernel(const Launch* launch, void** args), in the order of `kernels`. Two entries may be the same code: an
        entry is a place in the program, so that profiles and node names stay apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .opened import OpenFile

ALIGNMENT = 64  # of the arena, of outputs made here and of each entry of the weights

Bytes: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = "int | str"  # a number, or an expression as ircc.ir prints it


@dataclass(frozen=True)
class Port:
    """An input or output: its name, element type, and a size per dimension (a number or an expression over symbols).

    Sizes of a `loose` output that turn out to be 1 in a run are no dimensions of the array: the model squeezes it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Size, ...]
    loose: bool = field(default=False, kw_only=True)

    def held(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The shape of the array for the sizes of a run."""
        return tuple(n for n in sizes if n != 1) if self.loose else tuple(sizes)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype.name}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Kernel:
    """One launch of the program: the ONNX nodes it computes, the schedule strategy, and its work per launch."""

    name: str
    nodes: tuple[str, ...] = ()
    strategy: str = ""
    flops: str = "0"  # an expression over `symbols`: floating-point operations (a multiply-add is 2)
    bytes: str = "0"  # what it must at least read and write
    nominal: str = ""  # the operations that its nodes ask for, where an algorithm does with other ones
    schedule: str = ""  # the loop rewrites that made it, a line each
    code: str = ""  # a hash of what it was compiled from: the same for kernels that are the same
    on: str = ""  # what runs it, where that is not said by the artifact's backend: a backend, or `host`


@dataclass(frozen=True)
class Placed:
    """A constant of the model among the weights: element [d0, d1, ...] of `shape` is at place `layout`, an expression
    ("": row-major), from `offset` bytes on. The hash is of its bytes in row-major order."""

    sha256: str
    offset: int
    layout: str
    shape: tuple[int, ...]
    width: int  # bytes of an element


@dataclass(frozen=True)
class Artifact:
    """A compiled model. `target` holds triple, cpu and features for LLVM; what has a plus there is required to run.

    `provenance` is free JSON (source hash, pipeline, versions; no times and no paths: same input, same bytes).
    `sections` may hold more, by name: device code, the loop IR. Weights come from `WeightsBuilder`.
    """

    backend: str
    target: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    symbols: tuple[str, ...]
    checks: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    object: bytes
    weights: Bytes
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, bytes] = field(default_factory=dict)
    slots: int = 0  # pieces of memory that a run allocates by itself
    late: tuple[int, ...] = ()  # positions of the outputs whose sizes come from data
    # for each output the positions of the inputs whose memory it may be: nothing of them is read once it is written
    in_place: tuple[tuple[int, ...], ...] = ()
    file: OpenFile | None = None  # the engine file that has the code, instead of `object`
    prefix: str = ""  # of the names of its symbols there
    constants: tuple[Placed, ...] = ()  # large ones, for who puts the graph into the file; the header has them not


class WeightsBuilder:
    """Lays constants out in one blob, each at a multiple of 64 bytes.

    The offsets go into the code, the blob into the Artifact.
    """

    def __init__(self) -> None:
        self.size = 0
        self._entries: list[tuple[int, NDArray[Any]]] = []

    def add(self, array: NDArray[Any]) -> int:
        """The byte offset at which the array will stand, row-major. Equal arrays are the caller's to share."""
        offset = self.size
        self._entries.append((offset, array))
        self.size = -(-(offset + array.nbytes) // ALIGNMENT) * ALIGNMENT
        return offset

    def build(self) -> Bytes:
        """The blob, 64-byte aligned, zeros in the gaps."""
        blob = aligned_empty((self.size,), np.dtype(np.uint8))
        end = 0
        for offset, array in self._entries:
            blob[end:offset] = 0
            end = offset + array.nbytes
            blob[offset:end].view(array.dtype).reshape(array.shape)[...] = array
        blob[end:] = 0
        return blob


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An uninitialised row-major array whose address is a multiple of 64."""
    count = dtype.itemsize
    for n in shape:
        count *= n
    buffer = np.empty(count + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, buffer, -address_of(buffer) % ALIGNMENT)


def address_of(array: NDArray[Any]) -> int:
    return array.__array_interface__["data"][0]


# ---- the header: JSON with sorted keys, and back with every field checked


def to_header(artifact: Artifact) -> dict[str, Any]:
    """The artifact's description as JSON values (without object, weights and sections)."""
    return {
        "backend": artifact.backend,
        "target": dict(artifact.target),
        "inputs": [_port_to_json(p) for p in artifact.inputs],
        "outputs": [_port_to_json(p) for p in artifact.outputs],
        "symbols": list(artifact.symbols),
        "checks": list(artifact.checks),
        "kernels": [
            {"name": k.name, "nodes": list(k.nodes), "strategy": k.strategy, "flops": k.flops, "bytes": k.bytes}
            | {key: value for key in _OPTIONAL if (value := getattr(k, key))}
            for k in artifact.kernels
        ],
        "provenance": dict(artifact.provenance),
        "slots": artifact.slots,
        "late": list(artifact.late),
        "in_place": [list(inputs) for inputs in artifact.in_place],
    }


def from_header(
    header: Mapping[str, Any],
    code: bytes,
    weights: Bytes,
    sections: Mapping[str, bytes],
    *,
    file: OpenFile | None = None,
    prefix: str = "",
) -> Artifact:
    """The artifact that the header describes. Raises EngineError naming the field that is missing or ill-typed."""
    target = _get(header, "target", dict)
    return Artifact(
        backend=_get(header, "backend", str),
        target={_typed(k, str, "target"): _typed(v, str, "target") for k, v in target.items()},
        inputs=tuple(_port_from_json(p) for p in _get(header, "inputs", list)),
        outputs=tuple(_port_from_json(p) for p in _get(header, "outputs", list)),
        symbols=_strings(header, "symbols"),
        checks=_strings(header, "checks"),
        kernels=tuple(_kernel_from_json(k) for k in _get(header, "kernels", list)),
        object=code,
        weights=weights,
        provenance=_get(header, "provenance", dict),
        sections=sections,
        slots=_get(header, "slots", int),
        late=tuple(_typed(v, int, "late") for v in _get(header, "late", list)),
        in_place=tuple(
            tuple(_typed(v, int, "in_place") for v in _typed(inputs, list, "in_place"))
            for inputs in _get(header, "in_place", list)
        ),
        file=file,
        prefix=prefix,
    )


_OPTIONAL = ("nominal", "schedule", "code", "on")  # of a kernel's fields


def _port_to_json(port: Port) -> dict[str, Any]:
    loose = {"loose": True} if port.loose else {}
    return {"name": port.name, "dtype": port.dtype.name, "shape": list(port.shape), **loose}


def _port_from_json(value: Any) -> Port:
    value = _typed(value, dict, "a port")
    shape: list[Size] = []
    for size in _get(value, "shape", list):
        if not isinstance(size, str) and (type(size) is not int or not 0 <= size < 1 << 62):
            raise EngineError(f"the engine file's header is malformed: {size!r:.60} is no size")
        shape.append(size)
    loose = value.get("loose") is True
    return Port(_get(value, "name", str), dtype_named(_get(value, "dtype", str)), tuple(shape), loose=loose)


def _kernel_from_json(value: Any) -> Kernel:
    value = _typed(value, dict, "a kernel")
    text = {key: _get(value, key, str) for key in ("name", "strategy", "flops", "bytes")}
    text |= {key: _get(value, key, str) for key in _OPTIONAL if key in value}
    return Kernel(nodes=_strings(value, "nodes"), **text)


def _strings(header: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_typed(v, str, key) for v in _get(header, key, list))


def _get(header: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in header:
        raise EngineError(f"the engine file's header is malformed: '{key}' is missing")
    return _typed(header[key], kind, f"'{key}'")


def _typed(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise EngineError(
            f"the engine file's header is malformed: {place} holds {type(value).__name__}, not {kind.__name__}"
        )
    return value


_NUMPY_TYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip


def dtype_named(name: str) -> np.dtype[Any]:
    """The element type of that name; those that NumPy lacks (bfloat16, float8_e4m3fn ...) come from ml_dtypes."""
    if name in _NUMPY_TYPES:
        return np.dtype(name)
    try:
        import ml_dtypes  # only engines with such inputs or outputs need it
    except ImportError:
        raise EngineError(f"arrays of {name} need the package ml_dtypes", hint="pip install ml_dtypes") from None
    found: Any = getattr(ml_dtypes, name, None)
    if not isinstance(found, type) or not issubclass(found, np.generic):
        raise EngineError(f"the engine file names an unknown element type {name!r:.60}")
    return cast("np.dtype[Any]", np.dtype(found))
