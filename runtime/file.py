"""The engine file.

    offset 0   magic `IRCCENG1`
    8          uint64, little endian: bytes of the header
    16         sha256 of the header (32 bytes)
    48         the header: JSON, sorted keys, ASCII; `format`, `sections` and the fields of artifact.to_header
    then       the sections, each at a multiple of 64 (the weights: of 4096, to be memory-mapped), zeros between

`sections` maps a name (object, weights, and more by the backend) to {offset, length, sha256}, offsets from the file's
start. The same artifact gives the same bytes. An engine is native code: run only those whose maker you trust. The
hashes find damage, not malice; still, a hostile header is refused by EngineError and never makes the reader allocate
much.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from ..errors import EngineError
from .artifact import ALIGNMENT, Artifact, Bytes, from_header, to_header

MAGIC = b"IRCCENG1"
FORMAT = 1
_START = struct.Struct("<8sQ32s")
_PAGE = 4096


class Place(NamedTuple):
    """Where a section is, in bytes from the start of the file."""

    offset: int
    length: int
    sha256: str


def write_engine(artifact: Artifact, path: str | os.PathLike[str]) -> None:
    """Writes the engine file; a file already there is replaced at once, so processes that run it keep the old one."""
    contents: dict[str, bytes | memoryview] = {"object": artifact.object, **artifact.sections}
    contents["weights"] = artifact.weights.data
    header = to_header(artifact)
    header["format"] = FORMAT
    # Offsets stand in the header and depend on its length: they get fixed width, in a second round.
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    places = {name: Place(0, len(data), hashes[name]) for name, data in contents.items()}
    header["sections"] = {name: place._asdict() for name, place in places.items()}
    digits = len(str(sum(map(len, contents.values())) + len(_dump(header)) + _PAGE * (len(contents) + 2)))
    end = _START.size + len(_dump(header)) + digits * len(contents)
    for name, data in contents.items():
        offset = _up(end, _PAGE if name == "weights" else ALIGNMENT)
        places[name] = places[name]._replace(offset=offset)
        end = offset + len(data)
    header["sections"] = {name: place._asdict() for name, place in places.items()}
    text = _dump(header)

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(_START.pack(MAGIC, len(text), hashlib.sha256(text).digest()))
            file.write(text)
            for name, data in contents.items():
                file.write(bytes(places[name].offset - file.tell()))
                file.write(data)

    _replace(Path(path), write)


def copy_engine(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copies an engine file as it is; a file already there is replaced at once. Raises EngineError."""
    _replace(Path(path), lambda temporary: shutil.copyfile(source, temporary))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """What `write` makes at the path that it is given takes the place of the file at `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            write(temporary)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                os.unlink(temporary)
    except OSError as error:
        raise EngineError(f"cannot write {path}: {error.strerror or error}") from None


def is_engine(path: str | os.PathLike[str]) -> bool:
    """True for a file that begins as an engine does; False for another, or for none."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


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
    found: dict[str, bytes] = {}
    weights: Bytes = np.empty(0, np.uint8)
    end = _START.size + length
    for name, place in sorted((_place(name, value) for name, value in sections.items()), key=lambda p: p[1].offset):
        if place.offset < end or place.offset + place.length > size:  # so all of them together are no larger than it
            damaged(f"section '{name:.60}' lies outside of the file or in another one")
        end = place.offset + place.length
        if name == "weights":
            if place.offset % ALIGNMENT:
                damaged("the weights are not aligned")
            if place.length:
                weights = np.memmap(file, np.uint8, "r", place.offset, (place.length,))
            if verify and hashlib.sha256(weights.data).hexdigest() != place.sha256:
                damaged("the weights do not have their hash")
        else:
            file.seek(place.offset)
            found[name] = file.read(place.length)
            if hashlib.sha256(found[name]).hexdigest() != place.sha256:
                damaged(f"section '{name:.60}' does not have its hash")
    code = found.pop("object")
    return from_header(header, code, weights, found)


def _place(name: str, place: Any) -> tuple[str, Place]:
    match place:
        case {"offset": int(offset), "length": int(length), "sha256": str(sha256)} if offset >= 0 and length >= 0:
            return name, Place(offset, length, sha256)
        case _:
            raise EngineError(f"the engine file's header is malformed: section '{name:.60}'")


def _dump(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
