"""Reading a model file, and the tensors in it, without trusting either.

Every size that a file declares is held against the data that is there before anything is allocated, and external data
is mapped, never copied. What cannot be read raises ModelError.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from ...errors import ModelError, UnsupportedError
from ...ir.types import bits_of, element_of

Array: TypeAlias = "np.ndarray[Any, Any]"

LIMIT = 2**31 - 1  # bytes of one protobuf message, by its own specification
MAX_RANK = 32
DEPTH = 32  # of subgraphs in subgraphs

# element type of ONNX -> NumPy's, and the field that holds the values when `raw_data` does not
DTYPES: Mapping[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype(np.float32), "float_data"),
    TensorProto.DOUBLE: (np.dtype(np.float64), "double_data"),
    TensorProto.FLOAT16: (np.dtype(np.float16), "int32_data"),
    TensorProto.BFLOAT16: (np.dtype(ml_dtypes.bfloat16), "int32_data"),
    TensorProto.BOOL: (np.dtype(np.bool_), "int32_data"),
    TensorProto.INT8: (np.dtype(np.int8), "int32_data"),
    TensorProto.INT16: (np.dtype(np.int16), "int32_data"),
    TensorProto.INT32: (np.dtype(np.int32), "int32_data"),
    TensorProto.INT64: (np.dtype(np.int64), "int64_data"),
    TensorProto.UINT8: (np.dtype(np.uint8), "int32_data"),
    TensorProto.UINT16: (np.dtype(np.uint16), "int32_data"),
    TensorProto.UINT32: (np.dtype(np.uint32), "uint64_data"),
    TensorProto.UINT64: (np.dtype(np.uint64), "uint64_data"),
    **{
        getattr(TensorProto, code): (np.dtype(getattr(ml_dtypes, name)), "int32_data")
        for code, name in (
            ("INT2", "int2"), ("UINT2", "uint2"), ("INT4", "int4"), ("UINT4", "uint4"),
            ("FLOAT4E2M1", "float4_e2m1fn"), ("FLOAT6E2M3", "float6_e2m3fn"), ("FLOAT6E3M2", "float6_e3m2fn"),
            ("FLOAT8E4M3FN", "float8_e4m3fn"), ("FLOAT8E4M3FNUZ", "float8_e4m3fnuz"), ("FLOAT8E5M2", "float8_e5m2"),
            ("FLOAT8E5M2FNUZ", "float8_e5m2fnuz"), ("FLOAT8E8M0", "float8_e8m0fnu"),
        )
        if hasattr(TensorProto, code)  # older packages of onnx lack the smallest
    },
}  # fmt: skip
ONNX_TYPES: Mapping[np.dtype[Any], int] = {dtype: code for code, (dtype, _) in DTYPES.items()}


def type_name(code: int) -> str:
    """`float8e4m3fn` for TensorProto.FLOAT8E4M3FN; the number for a code that onnx does not know."""
    return TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else f"type {code}"


def dtype_of(code: int, what: str) -> np.dtype[Any]:
    """NumPy's dtype for an element type of ONNX. Raises UnsupportedError for one that ircc has not."""
    if code not in DTYPES:
        raise UnsupportedError(f"{what} has elements of {type_name(code)}, which ircc cannot compute with")
    return DTYPES[code][0]


@dataclass
class Source:
    """A model, and where it came from. `file` is "" for a model that was given as bytes or as a ModelProto."""

    model: ModelProto
    file: str = ""
    sha256: str = ""
    _maps: dict[Path, Array] = field(default_factory=dict)

    def array(self, tensor: TensorProto, what: str = "") -> Array:
        """The tensor's data: mapped or borrowed where the file's layout allows it. Raises Error.

        ModelError: the declared shape does not fit the data. UnsupportedError: an element type ircc has not."""
        what = what or f"tensor '{tensor.name}'"
        dims = tuple(tensor.dims)
        if len(dims) > MAX_RANK:
            raise UnsupportedError(f"{what} has {len(dims)} dimensions, more than {MAX_RANK}")
        if any(d < 0 for d in dims):
            raise ModelError(f"{what} has a negative dimension: {list(dims)}")
        if tensor.HasField("segment"):
            raise UnsupportedError(f"{what} is stored in segments")
        dtype, typed = dtype_of(tensor.data_type, what), DTYPES[tensor.data_type][1]
        count, bits = math.prod(dims), bits_of(element_of(dtype))
        size = -(-count * bits // 8)
        if tensor.data_location == TensorProto.EXTERNAL:
            data = self._external(tensor, size, what)
        elif tensor.HasField("raw_data"):
            data = np.frombuffer(tensor.raw_data, np.uint8)
            _need_bytes(what, dims, size, data.size)
        elif bits in (2, 4):  # packed in this field too
            data = np.array(getattr(tensor, typed), np.int64).astype(np.uint8)
            _need_bytes(what, dims, size, data.size)
        else:
            values = getattr(tensor, typed)
            if len(values) != count:
                raise ModelError(f"{what} has shape {list(dims)} but {len(values)} values")
            return _typed(values, dtype).reshape(dims)
        if bits < 8:
            data = unpacked(data, bits, count)
        if dtype == np.bool_ and data.size and data.max() > 1:
            data = (data != 0).view(np.uint8)
        return data.view(dtype).reshape(dims)

    def _external(self, tensor: TensorProto, size: int, what: str) -> Array:
        """The `size` bytes of a tensor that lie in another file of the model's folder, mapped."""
        info = {entry.key: entry.value for entry in tensor.external_data}
        path = self.external_path(info.get("location", ""), what)
        try:
            offset, length = int(info.get("offset") or 0), int(info.get("length") or size)
        except ValueError:
            raise ModelError(f"{what}: offset and length of its external data are no numbers") from None
        if path not in self._maps:
            self._maps[path] = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
        whole = self._maps[path]
        if length != size:
            raise ModelError(f"{what} takes {size} bytes, its external data has {length}")
        if not 0 <= offset <= whole.size - size:
            end, there = offset + size, whole.size
            raise ModelError(f"{what}: bytes {offset} to {end} lie outside of {path.name}, which has {there}")
        return whole[offset : offset + size].view(np.ndarray)

    def external_path(self, location: str, what: str) -> Path:
        """The file of external data, when it is a regular one inside the model's folder. Raises ModelError."""
        if not self.file:
            raise ModelError(
                f"{what} is stored in the file {location!r}, but the model was not given as a file",
                hint="give the path of the model, so that the data beside it can be found",
            )
        if not location or "\0" in location:
            raise ModelError(f"{what}: its external data names no file")
        windows = PureWindowsPath(location)
        if PurePosixPath(location).is_absolute() or windows.is_absolute() or windows.drive or ".." in windows.parts:
            raise ModelError(f"{what}: its external data {location!r} leaves the model's folder")
        folder = Path(self.file).parent
        try:
            path = (folder / location).resolve(strict=True)
            regular = stat.S_ISREG(path.stat().st_mode)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelError(f"{what}: its external data {location!r} cannot be read: {reason}") from None
        if not path.is_relative_to(folder.resolve()):
            raise ModelError(
                f"{what}: its external data {location!r} leaves the model's folder",
                hint="copy the data beside the model: a link out of the folder is not followed",
            )
        if not regular:
            raise ModelError(f"{what}: its external data {location!r} is not a regular file")
        return path


def _need_bytes(what: str, dims: tuple[int, ...], wanted: int, found: int) -> None:
    if wanted != found:
        raise ModelError(f"{what} has shape {list(dims)} and takes {wanted} bytes, but {found} are stored")


def unpacked(data: Array, bits: int, count: int) -> Array:
    """Elements of fewer than 8 bits, which lie packed in bytes from the lowest bit on, as a byte each."""
    if bits == 6:  # four in three bytes
        stream = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
        return np.packbits(stream, axis=1, bitorder="little").reshape(-1)
    parts = [(data >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, axis=1).reshape(-1)[:count]


def _typed(values: Any, dtype: np.dtype[Any]) -> Array:
    if dtype.itemsize <= 2 and dtype.kind not in "iub":  # short floats are stored as their bits
        return np.array(values, np.int32).astype(f"u{dtype.itemsize}").view(dtype)
    if dtype.kind in "iub":
        return np.array(values, np.uint64 if dtype.itemsize == 8 and dtype.kind == "u" else np.int64).astype(dtype)
    return np.array(values, dtype)


def load(source: str | os.PathLike[str] | bytes | ModelProto | Source) -> Source:
    """The model at a path, in bytes or as a ModelProto. Raises ModelError when it cannot be read."""
    if isinstance(source, Source):
        return source
    if isinstance(source, ModelProto):
        try:
            data = source.SerializeToString(deterministic=True)
        except Exception:  # over 2 GiB in memory: usable, but without a hash
            return Source(source)
        return Source(source, "", hashlib.sha256(data).hexdigest())
    if isinstance(source, bytes | bytearray | memoryview):
        data, file = bytes(source), ""
    else:
        file = os.fspath(source)
        data = _read(Path(file))
    try:
        model = ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError and others
        raise ModelError(f"{file or 'the model'} is not an ONNX model, or is damaged: {error}") from None
    return Source(model, file, hashlib.sha256(data).hexdigest())


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a file")
        if status.st_size > LIMIT:
            raise ModelError(
                f"{path} has {status.st_size} bytes; an ONNX file cannot have more than {LIMIT}",
                hint="store the weights as external data",
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


# ---- tensors by name


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """The graphs in a node's attributes, with a name for each."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        for i, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}.{i}", graph


def weight_name(prefix: str, name: str) -> str:
    """How a tensor of a subgraph or function is called, so that the whole model has each name once."""
    return f"{prefix}/{name}" if prefix else name


def tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Every tensor that a weight can refer to, by `weight_name`: initializers, and values of Constant nodes."""

    def of_nodes(nodes: Any, prefix: str, depth: int) -> Iterator[tuple[str, TensorProto]]:
        for node in nodes:
            if node.op_type == "Constant" and node.output:
                for attribute in node.attribute:
                    if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
                        yield weight_name(prefix, node.output[0]), attribute.t
            for name, graph in subgraphs(node) if depth < DEPTH else ():
                yield from of_graph(graph, subgraph_prefix(prefix, node, name), depth + 1)

    def of_graph(graph: GraphProto, prefix: str, depth: int) -> Iterator[tuple[str, TensorProto]]:
        for tensor in graph.initializer:
            yield weight_name(prefix, tensor.name), tensor
        yield from of_nodes(graph.node, prefix, depth)

    yield from of_graph(model.graph, "", 0)
    for function in model.functions:
        yield from of_nodes(function.node, function_prefix(function), 0)


def subgraph_prefix(prefix: str, node: NodeProto, name: str) -> str:
    return weight_name(prefix, f"{node.output[0] if node.output else node.op_type}.{name}")


def function_prefix(function: Any) -> str:
    return ".".join(filter(None, (function.domain, function.name, function.overload)))


@functools.lru_cache(maxsize=4)
def _index(file: str, modified: int) -> tuple[Source, dict[str, TensorProto]]:
    source = load(file)
    index: dict[str, TensorProto] = {}
    for name, tensor in tensors(source.model):
        index.setdefault(name, tensor)
    return source, index


def read_weight(file: str, name: str) -> Array:
    """The data of weight `name` of the model at `file`, as `#ir.weight<"file", "name", ...>` refers to it.

    Raises ModelError when the model or the tensor cannot be read."""
    try:
        modified = os.stat(file).st_mtime_ns
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    source, index = _index(file, modified)
    if name not in index:
        raise ModelError(f"{file} has no weight '{name}'", hint="the model has changed since the text was printed")
    return source.array(index[name])


def opsets(model: ModelProto) -> dict[str, int]:
    """Version by domain (ONNX's own is ""). Raises ModelError when one is missing or given twice."""
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if found.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"opset of domain '{domain or 'ai.onnx'}' is imported twice")
    newest = onnx.defs.onnx_opset_version()
    version = found.get("")
    if version is not None and version < 1:
        raise ModelError(f"opset {version} does not exist")
    if version is not None and version > newest:
        raise UnsupportedError(
            f"the model uses opset {version}; the newest that the installed onnx {onnx.__version__} knows is {newest}",
            hint="update the package onnx, or export the model for an older opset",
        )
    return found
