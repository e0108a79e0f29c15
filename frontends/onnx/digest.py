"""What a model is, as a hash: the same bytes, here and in the files beside it, are the same model."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto

from ...errors import Error
from .source import Source, load

PIECE = 16 << 20  # bytes that a thread takes at a time
THREADS = 4


def digest(model: str | os.PathLike[str] | bytes | ModelProto | Source) -> str | None:
    """A hash of all that a model is made of, external data included. None where it cannot be told: importing the model
    says why."""
    try:
        match model:
            case str() | os.PathLike():
                data = _mapped(Path(model))
                files = external_files(load(model)) if data.find(b"location") >= 0 else []  # none is without
                return _hash([data, *map(_mapped, files)])
            case bytes():
                return _hash([model])
            case ModelProto():
                return _hash([_bytes_of(model)])
            case _:
                return _hash([_bytes_of(model.model), *map(_mapped, external_files(model))])
    except (Error, OSError, ValueError):
        return None


def external_files(source: Source) -> list[Path]:
    """The files that hold the data of external tensors. Raises ModelError where one is not there."""
    found: set[Path] = set()
    pending: list[Any] = [source.model]
    while pending:
        message = pending.pop()
        if isinstance(message, TensorProto):
            if message.data_location == TensorProto.EXTERNAL:
                info = {entry.key: entry.value for entry in message.external_data}
                found.add(source.external_path(info.get("location", ""), f"tensor '{message.name}'"))
            continue
        for description, value in message.ListFields():
            if description.message_type is not None:
                pending += [value] if hasattr(value, "ListFields") else value
    return sorted(found)


def _bytes_of(model: ModelProto) -> bytes:
    try:
        return model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's own: over 2 GiB
        raise ValueError(str(error)) from None


def _mapped(path: Path) -> mmap.mmap | bytes:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""


def _hash(contents: Sequence[mmap.mmap | bytes]) -> str:
    views = [memoryview(data) for data in contents]
    pieces = [view[at : at + PIECE] for view in views for at in range(0, len(view), PIECE)]
    with ThreadPoolExecutor(THREADS) as threads:  # hashing needs no interpreter
        hashes = list(threads.map(lambda piece: hashlib.blake2b(piece).hexdigest(), pieces))
    return hashlib.sha256(repr((list(map(len, views)), hashes)).encode()).hexdigest()
