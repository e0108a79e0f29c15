"""The engine file.

    offset 0   magic `IRCCENG1`
    8          uint64, little endian: bytes of the header
    16         sha256 of the header (32 bytes)
    48         the header: JSON, sorted keys, ASCII; `format`, `sections` and the fields of artifact.to_header
    then       the sections, each at a multiple of 64 (the weights: of 4096, to be memory-mapped), zeros between

`sections` maps a name (object, weights, and more by the backend) to {offset, length, sha256}, offsets from the file's
start. The same artifact gives the same bytes. An engine is native code: run only those whose maker you trust. The hashes
find damage, not malice; still, a hostile header is refused by EngineError and never makes the reader allocate much.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ..errors import EngineError
from .artifact import ALIGNMENT, Artifact, Bytes, from_header, to_header

MAGIC = b"IRCCENG1"
FORMAT = 1
_START = struct.Struct("<8sQ32s")
_PAGE = 4096
_BLOCK = 1 << 24


def write_engine(artifact: Artifact, path: str | os.PathLike[str]) -> None:
    """Writes the engine file; a file already there is replaced at once, so processes that run it keep the old one."""
    contents: dict[str, bytes | Bytes] = {"object": artifact.object, **artifact.sections, "weights": artifact.weights}
    header = to_header(artifact)
    header["format"] = FORMAT
    # Offsets stand in the header and depend on its length: they get fixed width, in a second round.
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    header["sections"] = {n: {"offset": 0, "length": len(c), "sha256": hashes[n]} for n, c in contents.items()}
    digits = len(str(sum(map(len, contents.values())) + len(_dump(header)) + _PAGE * (len(contents) + 2)))
    end = _START.size + len(_dump(header)) + digits * len(contents)
    for name, data in contents.items():
        offset = _up(end, _PAGE if name == "weights" else ALIGNMENT)
        header["sections"][name]["offset"] = offset
        end = offset + len(data)
    text = _dump(header)

    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(_START.pack(MAGIC, len(text), hashlib.sha256(text).digest()))
                file.write(text)
                for name, data in contents.items():
                    file.write(bytes(header["sections"][name]["offset"] - file.tell()))
                    file.write(data)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                os.unlink(temporary)
    except OSError as error:
        raise EngineError(f"cannot write {path}: {error.strerror or error}") from None


def read_engine(path: str | os.PathLike[str], *, verify: bool = False) -> Artifact:
    """The engine of the file, its weights memory-mapped.

    Header and code are checked against their hashes, the weights if `verify`.
    Raises EngineError where the file is no engine, damaged, or of another format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _read(file, path, verify)
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror or error}") from None


def _read(file: BinaryIO, path: Path, verify: bool) -> Artifact:
    def damaged(what: str) -> NoReturn:
        raise EngineError(f"{path} is damaged: {what}", hint="copy or compile it again")

    size = os.fstat(file.fileno()).st_size
    start = file.read(_START.size)
    if not start.startswith(MAGIC):
        raise EngineError(f"{path} is no engine file", hint="engines are made by `ircc MODEL` or engine.save")
    if len(start) < _START.size:
        damaged("it ends in its header")
    _, length, digest = _START.unpack(start)
    if length > size - _START.size:
        damaged("it ends in its header")
    text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        damaged("the header does not have its hash")
    try:
        header: Any = json.loads(text, parse_constant=damaged)
    except (ValueError, RecursionError):
        damaged("the header is no JSON")
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        damaged("the header has no format")
    if header["format"] != FORMAT:
        raise EngineError(
            f"{path} has engine format {header['format']}, this ircc reads {FORMAT}", hint="use the ircc that made it"
        )
    sections = header.get("sections")
    if not isinstance(sections, dict) or not {"object", "weights"} <= set(sections):
        damaged("the header lists no object or no weights")
    places = {name: _place(place, size) for name, place in sections.items()}
    if bad := [name for name, place in places.items() if place is None]:
        damaged(f"section '{bad[0]:.60}' lies outside of the file")

    found: dict[str, bytes] = {}
    weights: Bytes = np.empty(0, np.uint8)
    for name, place in places.items():
        assert place is not None
        offset, length, sha256 = place
        if name == "weights":
            if offset % ALIGNMENT:
                damaged("the weights are not aligned")
            if length:
                weights = np.memmap(file, np.uint8, "r", offset, (length,))
            if verify and _hash(weights) != sha256:
                damaged("the weights do not have their hash")
            continue
        file.seek(offset)
        found[name] = file.read(length)
        if hashlib.sha256(found[name]).hexdigest() != sha256:
            damaged(f"section '{name:.60}' does not have its hash")
    code = found.pop("object")
    return from_header(header, code, weights, found)


def _place(place: Any, size: int) -> tuple[int, int, str] | None:
    """(offset, length, sha256) of a section that lies within `size` bytes."""
    if not isinstance(place, dict):
        return None
    offset, length, sha256 = place.get("offset"), place.get("length"), place.get("sha256")
    if type(offset) is not int or type(length) is not int or not isinstance(sha256, str):
        return None
    if offset < 0 or length < 0 or offset + length > size:
        return None
    return offset, length, sha256


def _hash(data: Bytes) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(data), _BLOCK):
        digest.update(data[start : start + _BLOCK])
    return digest.hexdigest()


def _dump(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
