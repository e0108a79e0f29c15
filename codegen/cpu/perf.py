"""Tells Linux's `perf` the names of the functions in loaded code: one line each in /tmp/perf-<pid>.map.

Written where the environment says IRCC_LOG=perf. Names and sizes come from the object's own symbol table (64-bit ELF).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_SYMBOL_TABLE, _FUNCTION = 2, 2


class Function(NamedTuple):
    """A function of an object file: `offset` and `size` in bytes, in the section of that number."""

    name: str
    section: int
    offset: int
    size: int


def functions(code: bytes) -> Iterator[Function]:
    """The functions of an ELF object, internal ones too; none where it is something else."""
    if not code.startswith(b"\x7fELF\x02\x01"):
        return
    start = struct.unpack_from("<Q", code, 40)[0]
    entry, count = struct.unpack_from("<HH", code, 58)
    sections = [_SECTION.unpack_from(code, start + i * entry) for i in range(count)]
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != _SYMBOL_TABLE:
            continue
        names = sections[link][4]
        for name, info, _, section, value, length in _SYMBOL.iter_unpack(code[offset : offset + size]):
            if info & 15 == _FUNCTION and section:
                text = code[names + name : code.index(b"\0", names + name)].decode("utf-8", "replace")
                yield Function(text, section, value, length)


def write_map(code: bytes, address: Callable[[str], int], known: str) -> None:
    """Appends the functions in the section of the exported function `known` to this process's map."""
    found = list(functions(code))
    for anchor in found:
        if anchor.name == known:
            base = address(known) - anchor.offset
            lines = [f"{base + f.offset:x} {f.size:x} {f.name}\n" for f in found if f.section == anchor.section]
            with open(Path(f"/tmp/perf-{os.getpid()}.map"), "a") as file:
                file.writelines(lines)
