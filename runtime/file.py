"""The engine file: a shared library, and behind it what it says of itself.

    offset 0   an ELF shared library: the code, the C interface (runtime/c/ircc.h), the weights in whole pages
    then       the header: JSON, sorted keys, ASCII, spaces up to a multiple of 64: `variants` (runtime/artifact.py's
               to_header of each, its `prefix` and the place of its weights), `sections` with their places behind it
    then       the sections, each at a multiple of 64, zeros between: what else a backend keeps (device code, the graph)
    last       the seal, 224 bytes, little endian: see `Seal`

The seal holds two hashes (BLAKE2b, RFC 7693, 32 bytes): of the body, which is the library but its weights, the header,
and the seal's places; and of weights and sections, which may be large. `read_engine` checks the first before anything
of the file is loaded, and a section's own hash, which the header has, when it is read; reading all that there is to
check the second is for those who ask. Hashes find damage, not malice: an engine is native code, so run only those whose
maker you trust. Still, a hostile header is refused by EngineError and never makes the reader allocate much.

The same model, options and version give the same bytes. A number of the format stands in the seal: a reader knows its
own and the one before. In format 2 the sections were part of the body, in front of the header, and their places from
the start of the file.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from ..errors import EngineError
from .artifact import ALIGNMENT, Artifact, Bytes, from_header, to_header
from .opened import OpenFile

try:  # hashlib loads OpenSSL too, which takes as long as reading a large engine
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

MAGIC = b"IRCCENG2"
FORMAT = 3
_FORMATS = (2, 3)  # that are read
_ELF = b"\x7fELF"  # how a shared library begins
_ROOT = __name__.removesuffix(".runtime.file")
_CHUNK = 1 << 20


class Seal(NamedTuple):
    """The end of an engine file. Places are in bytes from the start of the file."""

    magic: bytes
    format: int
    flags: int  # none is known
    size: int  # of the file
    weights: int
    weights_length: int
    header: int
    header_length: int
    body_hash: bytes  # of the library but its weights, of the header, and of the seal what stands above
    weights_hash: bytes  # of the weights, and of the sections
    public_key: bytes  # of who signed the two hashes, by Ed25519; zeros: nobody
    signature: bytes
    check: bytes  # BLAKE2b, 8 bytes, of the seal above


_SEAL = struct.Struct("<8sIIQQQQQ32s32s32s64s8s")
_HASHED = struct.calcsize("<8sIIQQQQQ")  # what of the seal is in the body's hash
HASH = 32


class EngineFile:
    """An engine file that has been read: what it says of itself. Its code is not loaded."""

    def __init__(
        self, opened: OpenFile, seal: Seal, artifacts: tuple[Artifact, ...], sections: Sections, places: tuple[int, ...]
    ) -> None:
        self.opened, self.path = opened, opened.path
        self.seal, self.artifacts, self.sections = seal, artifacts, sections
        self.places = places  # of each variant's weights among the file's, in bytes


def write_engine(
    artifacts: Artifact | Sequence[Artifact],
    path: str | os.PathLike[str],
    sections: Mapping[str, bytes] | None = None,
) -> None:
    """Writes the engine file; a file already there is replaced at once, so processes that run it keep the old one.

    `artifacts`: one for each kind of machine, the best one first. Raises EngineError where it cannot be written, or
    where there is no linker."""
    variants = [artifacts] if isinstance(artifacts, Artifact) else list(artifacts)
    if (opened := variants[0].file) is not None:
        return _replace(Path(path), opened.copy_to)
    maker: Any = importlib.import_module(f"{_ROOT}.codegen.cpu.shared")  # what loads needs nothing of the compiler

    def write(temporary: Path) -> None:
        library = maker.link_library(variants, temporary)
        with open(temporary, "r+b") as file:
            _finish(file, variants, library, sections or {})

    _replace(Path(path), write)


def rewrite_engine(engine: EngineFile, variants: Sequence[Artifact], path: str | os.PathLike[str]) -> None:
    """Writes an engine file with the code of `engine`, and the description and weights of `variants`: as many, and as
    large. Nobody has signed it. Raises EngineError where it cannot be written."""
    seal = engine.seal
    library = _Library(
        seal.weights, seal.weights_length, engine.places, tuple(artifact.prefix for artifact in engine.artifacts)
    )
    end = min([seal.header, *engine.sections.offsets()])  # of the library, and the zeros behind it

    def write(temporary: Path) -> None:
        engine.opened.copy_to(temporary)
        with open(temporary, "r+b") as file:
            file.truncate(end)
            for variant, place in zip(variants, engine.places, strict=True):
                file.seek(seal.weights + place)
                file.write(variant.weights.data)
            _finish(file, variants, library, {})

    _replace(Path(path), write)


class _Library(NamedTuple):
    """Where in a library the weights are: of all, from the start of the file, and of each variant, from there."""

    weights: int
    weights_length: int
    places: tuple[int, ...]
    prefixes: tuple[str, ...]


def _finish(file: BinaryIO, variants: Sequence[Artifact], library: Any, sections: Mapping[str, bytes]) -> None:
    """Put header, sections and seal behind a library whose weights lie at an offset."""
    headers: list[dict[str, Any]] = []
    contents = dict(sections)
    for variant, prefix, place in zip(variants, library.prefixes, library.places, strict=True):
        contents |= {f"{prefix}{name}": data for name, data in variant.sections.items()}
        weights = {"offset": library.weights + place, "length": variant.weights.size}
        headers.append({**to_header(variant), "prefix": prefix, "weights": weights})
    entries: dict[str, Any] = {}
    end = 0
    for name, data in contents.items():
        end += -end % ALIGNMENT
        entries[name] = {"offset": end, "length": len(data), "hash": _hash(data).hex()}
        end += len(data)
    text = json.dumps(
        {"sections": entries, "variants": headers}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    text += " " * (-len(text) % ALIGNMENT)
    start = file.seek(0, os.SEEK_END)
    start += file.write(bytes(-start % ALIGNMENT))
    file.write(text.encode("ascii"))
    for data in contents.values():
        file.write(bytes(-file.tell() % ALIGNMENT) + data)
    size = file.tell() + _SEAL.size
    places = (library.weights, library.weights_length, start, len(text))
    file.flush()
    seal_engine(file, Seal(MAGIC, FORMAT, 0, size, *places, b"", b"", bytes(32), bytes(64), b""))


def seal_engine(file: BinaryIO, seal: Seal) -> None:
    """Put the seal, with fresh hashes, where the file ends or its old one stands."""
    first = _SEAL.pack(*seal)[:_HASHED]
    body = _hash_of(file, _body(seal), first)
    weights = _hash_of(file, _rest(seal))
    _put(file, seal._replace(body_hash=body, weights_hash=weights))


def _put(file: BinaryIO, seal: Seal) -> None:
    packed = _SEAL.pack(*seal)[:-8]
    file.seek(seal.size - _SEAL.size)
    file.write(packed + blake2b(packed, digest_size=8).digest())


def _body(seal: Seal) -> list[tuple[int, int]]:
    """The parts of a file, from where and how long, that are checked whenever it is loaded."""
    after = seal.weights + seal.weights_length
    return [(0, seal.weights), (after, _sections(seal) - after)]


def _rest(seal: Seal) -> list[tuple[int, int]]:
    """The other parts."""
    start = _sections(seal)
    return [(seal.weights, seal.weights_length), (start, seal.size - _SEAL.size - start)]


def _sections(seal: Seal) -> int:
    """Where the sections begin; in format 2 they were in the body."""
    return seal.size - _SEAL.size if seal.format == 2 else seal.header + seal.header_length


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=HASH).digest()


def _hash_of(file: BinaryIO, parts: Sequence[tuple[int, int]], end: bytes = b"") -> bytes:
    """The hash of parts of a file, and of `end` behind them."""
    state = blake2b(digest_size=HASH)
    for offset, length in parts:
        file.seek(offset)
        while length > 0 and (data := file.read(min(length, _CHUNK))):
            state.update(data)
            length -= len(data)
    state.update(end)
    return state.digest()


def change_engine(path: str | os.PathLike[str], change: Callable[[Seal], Seal]) -> None:
    """Replaces an engine file by one that differs in the seal's key and signature. Raises EngineError."""
    seal = read_seal(path)

    def write(temporary: Path) -> None:
        opened = OpenFile(path)
        opened.copy_to(temporary)
        os.chmod(temporary, os.fstat(opened.descriptor).st_mode)  # who may read it stays as it was
        with open(temporary, "r+b") as file:
            _put(file, change(seal))

    _replace(Path(path), write)


def read_seal(path: str | os.PathLike[str]) -> Seal:
    """The seal of an engine file, whose own hash is checked. Raises EngineError."""
    path = Path(path)
    try:
        opened = OpenFile(path)
        with open(opened.descriptor, "rb", closefd=False) as file:
            return _Reader(file, opened).seal()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror or error}") from None


def copy_engine(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copies an engine file as it is; a file already there is replaced at once. Raises EngineError."""
    _replace(Path(path), lambda temporary: OpenFile(source).copy_to(temporary))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """What `write` makes at the path that it is given takes the place of the file at `path`."""
    if not path.name or path.is_dir():
        raise EngineError(f"cannot write {path}: it is a folder", hint="name a file, such as model.engine")
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
    """True for a file that ends as an engine does, or begins as one whose end was cut off; False for another, or for
    none."""
    try:
        with open(path, "rb") as file:
            if file.read(len(_ELF)) == _ELF:
                return True
            file.seek(-_SEAL.size, os.SEEK_END)
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def holds_engine(data: bytes) -> bool:
    """Whether bytes end as an engine file does."""
    return data[-_SEAL.size :].startswith(MAGIC)


def read_engine(path: str | os.PathLike[str], *, verify: bool = False) -> EngineFile:
    """What an engine file says of itself, its weights memory-mapped.

    All of it is checked against its hash but the weights; these too if `verify`.
    Raises EngineError where the file is no engine, damaged, or of another format.
    """
    path = Path(path)
    try:
        opened = OpenFile(path)
        with open(opened.descriptor, "rb", closefd=False) as file:
            return _Reader(file, opened).read(verify)
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror or error}") from None


class _Reader:
    def __init__(self, file: BinaryIO, opened: OpenFile) -> None:
        self.file, self.opened, self.path = file, opened, opened.path
        self.size = os.fstat(file.fileno()).st_size

    def damaged(self, what: str) -> NoReturn:
        raise EngineError(f"{self.path} is damaged: {what}", hint="copy or compile it again")

    def read(self, verify: bool) -> EngineFile:
        seal = self.seal()
        if _hash_of(self.file, _body(seal), _SEAL.pack(*seal)[:_HASHED]) != seal.body_hash:
            self.damaged("code and header do not have their hash")
        if verify and _hash_of(self.file, _rest(seal)) != seal.weights_hash:
            self.damaged("weights and sections do not have their hash")
        header = self.header(seal)
        sections = self.sections(self.dict(header, "sections"), seal)
        variants = header.get("variants")
        if not isinstance(variants, list) or not variants:
            self.damaged("the header lists no variants")
        artifacts = tuple(self.variant(v, seal, sections) for v in variants)
        if verify:
            for name in sections:
                sections[name]  # is checked when it is read
        places = tuple(v["weights"]["offset"] - seal.weights for v in variants)
        return EngineFile(self.opened, seal, artifacts, sections, places)

    def seal(self) -> Seal:
        self.file.seek(max(0, self.size - _SEAL.size))
        data = self.file.read(_SEAL.size)
        if len(data) < _SEAL.size or not data.startswith(MAGIC):
            self.file.seek(0)
            if self.file.read(len(_ELF)) == _ELF:
                self.damaged("it has no seal, or more than the seal was cut off")
            raise EngineError(f"{self.path} is no engine file", hint="engines are made by `ircc MODEL` or engine.save")
        seal = Seal(*_SEAL.unpack(data))
        if blake2b(data[:-8], digest_size=8).digest() != seal.check:
            self.damaged("the seal does not have its hash")
        if seal.format not in _FORMATS:
            raise EngineError(
                f"{self.path} has engine format {seal.format}, this ircc reads {' and '.join(map(str, _FORMATS))}",
                hint="use the ircc that made it",
            )
        end = seal.size - _SEAL.size
        if seal.size != self.size:
            self.damaged(f"it has {self.size} bytes, and had {seal.size}")
        if seal.flags or not (0 <= seal.weights <= seal.weights + seal.weights_length <= seal.header):
            self.damaged("the seal is malformed")
        if seal.header + seal.header_length > end or seal.weights % ALIGNMENT:
            self.damaged("the seal is malformed")
        return seal

    def header(self, seal: Seal) -> dict[str, Any]:
        self.file.seek(seal.header)
        try:
            header: Any = json.loads(self.file.read(seal.header_length), parse_constant=self.damaged)
        except (ValueError, RecursionError):
            self.damaged("the header is no JSON")
        if not isinstance(header, dict):
            self.damaged("the header is no object")
        return header

    def dict(self, header: Mapping[str, Any], key: str) -> dict[str, Any]:
        if not isinstance(found := header.get(key), dict):
            self.damaged(f"the header has no {key}")
        return found

    def sections(self, table: Mapping[str, Any], seal: Seal) -> Sections:
        start = end = 0 if seal.format == 2 else _sections(seal)
        found = {name: self.section(name, value, start) for name, value in table.items()}
        if seal.format > 2:  # nothing but zeros is between them
            for offset, length, _ in sorted(found.values()):
                if offset != end + -end % ALIGNMENT:
                    self.damaged("the sections are not one behind the other")
                end = offset + length
            if end != seal.size - _SEAL.size:
                self.damaged("the sections do not end where the seal begins")
        return Sections(self.opened, found)

    def section(self, name: str, value: Any, start: int) -> tuple[int, int, str]:
        match value:
            case {"offset": int(offset), "length": int(length), "hash": str(digest)} if (
                0 <= offset <= offset + length <= self.size - start
            ):
                return start + offset, length, digest
            case _:
                self.damaged(f"section '{name:.60}' lies outside of the file")

    def variant(self, header: Any, seal: Seal, sections: Sections) -> Artifact:
        if not isinstance(header, dict) or not isinstance(prefix := header.get("prefix"), str):
            self.damaged("a variant is malformed")
        match header.get("weights"):
            case {"offset": int(offset), "length": int(length)} if (
                seal.weights <= offset <= offset + length <= seal.weights + seal.weights_length
                and offset % ALIGNMENT == 0
            ):
                pass
            case _:
                self.damaged("the weights of a variant lie outside of the weights")
        weights: Bytes = np.empty(0, np.uint8)
        if length:
            weights = np.memmap(self.file, np.uint8, "r", offset, (length,))
        own = sections.under(prefix) if prefix else sections
        return from_header(header, b"", weights, own, file=self.opened, prefix=prefix)


class Sections(Mapping[str, bytes]):
    """Sections of an engine file by name, read and checked when they are asked for."""

    def __init__(self, file: OpenFile, places: Mapping[str, tuple[int, int, str]]) -> None:
        self._file, self._places = file, dict(places)

    def __getitem__(self, name: str) -> bytes:
        offset, length, digest = self._places[name]
        data = self._file.read(offset, length)
        if _hash(data).hex() != digest:
            raise EngineError(f"{self._file.path} is damaged: section '{name:.60}' does not have its hash")
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def offsets(self) -> list[int]:
        """Where they begin in the file."""
        return [offset for offset, _, _ in self._places.values()]

    def length(self, name: str) -> int:
        """How many bytes a section has."""
        return self._places[name][1]

    def under(self, prefix: str) -> Sections:
        """Those whose names begin so, by the rest of their names."""
        found = {n.removeprefix(prefix): place for n, place in self._places.items() if n.startswith(prefix)}
        return Sections(self._file, found)
