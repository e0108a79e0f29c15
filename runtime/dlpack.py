"""Arrays of other libraries without a copy, by DLPack (dmlc.github.io/dlpack): in, and out to them.

NumPy does it for its own element types. Those of ml_dtypes (bfloat16, float8 ...) it refuses, so for them the type in
DLPack's description is changed on the way: NumPy sees integers of the same width.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .artifact import address_of, dtype_named

Array: TypeAlias = NDArray[Any]

_VERSION = (1, 1)  # of DLPack: the first with float8
_KNOWS_VERSIONS = np.lib.NumpyVersion(np.__version__) >= "2.1.0"
_HOST = {1, 3, 11}  # kinds of devices whose memory is the host's: CPU, and what is pinned for CUDA and ROCm
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA (managed)", 14: "oneAPI",
            15: "WebGPU", 16: "Hexagon"}  # fmt: skip
_UNSIGNED = 1  # the code of NumPy's unsigned integers
_CODES = {  # of element types that NumPy has not, and their bytes
    "bfloat16": (4, 2), "float8_e4m3fn": (10, 1), "float8_e4m3fnuz": (11, 1), "float8_e5m2": (12, 1),
    "float8_e5m2fnuz": (13, 1), "float8_e8m0fnu": (14, 1),
}  # fmt: skip
_NAMES = {code: name for name, (code, _) in _CODES.items()}


class _Type(ctypes.Structure):
    """DLDataType."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


_TYPE_IN_TENSOR = 20  # behind data, device and rank
_TENSOR = {b"dltensor": 0, b"dltensor_versioned": 32}  # where DLTensor begins in what a capsule of that name holds

_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, (ctypes.py_object,)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def _type_in(capsule: object) -> _Type:
    """The element type in a DLPack capsule, to be read or changed. Raises ValueError for what is none."""
    name = _name(capsule)
    if name not in _TENSOR:
        raise ValueError(f"it gives a capsule {name!r}, which is not DLPack's")
    return _Type.from_address(cast(int, _pointer(capsule, name)) + _TENSOR[name] + _TYPE_IN_TENSOR)


class _Writable:
    """What NumPy makes an array of that can be written, of one that says nothing of it."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (address_of(array), False)}


class _Capsule:
    """What NumPy takes a capsule from."""

    def __init__(self, capsule: object, device: tuple[int, int]) -> None:
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def opened(value: Any, what: str) -> Any:
    """The memory of an object with `__dlpack__`, as an array; anything else as it is.

    Raises InputError, beginning with `what`, where that memory is a device's, or cannot be shared."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        return value
    try:
        return _imported(value, what)
    except (ValueError, TypeError, BufferError, RuntimeError) as error:
        raise InputError(f"{what} cannot be shared by DLPack: {error}") from None


def opened_all(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs of a run, each `opened`."""
    if not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return inputs  # whoever looks at the names says what is wrong
    return {name: opened(value, f"input '{name}'") for name, value in inputs.items()}


def as_array(value: Any, what: str) -> Array:
    """The array that a value is: itself, what is `opened`, or what `numpy.asarray` makes of it. Raises InputError."""
    try:
        return np.asarray(opened(value, what))
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} is no array: {error}") from None


def _imported(value: Any, what: str) -> Array:
    device = kind, number = value.__dlpack_device__()
    if int(kind) not in _HOST:
        raise InputError(
            f"{what} is in the memory of device {number} of {_DEVICES.get(int(kind), f'kind {int(kind)}')}",
            hint="engines read memory of the host: copy it there first, as tensor.cpu() does",
        )
    try:
        capsule = value.__dlpack__(**({"max_version": _VERSION} if _KNOWS_VERSIONS else {}))
    except TypeError:  # made for DLPack before 1.0
        capsule = value.__dlpack__()
    type_, silent = _type_in(capsule), _name(capsule) == b"dltensor"
    name = _NAMES.get(type_.code)
    if name is not None:
        type_.code = _UNSIGNED
    array = np.from_dlpack(_Capsule(capsule, device))
    if silent and not array.flags.writeable:  # before 1.0 nobody could say what must not be written; NumPy is careful
        array = np.asarray(_Writable(array))
    return array if name is None else array.view(dtype_named(name))


class Exporting(np.ndarray[Any, Any]):
    """An array of one of ml_dtypes' types that gives itself to others by DLPack, as NumPy's own types do."""

    def __dlpack__(self, **options: Any) -> Any:
        code, width = _CODES.get(self.dtype.name, (None, 0))
        if code is None:  # something computed from one
            return np.asarray(self).__dlpack__(**options)
        capsule = np.asarray(self).view(f"u{width}").__dlpack__(**options)
        _type_in(capsule).code = code
        return capsule


def exporting(array: Array) -> Array:
    """The array, such that `__dlpack__` works."""
    return array.view(Exporting) if array.dtype.name in _CODES else array
