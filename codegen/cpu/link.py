"""Several ELF objects as one, as `ld -r` makes it: sections of one name behind each other, symbols resolved by name.

Kernels are compiled apart, so that several processes can do it and code that did not change need not be made again.
What is here knows nothing of instructions: a relocation is moved with its section, and names another symbol. Layouts
are those of the ELF-64 specification, little endian, with addends in the relocations (as x86-64, AArch64, RISC-V and
LoongArch have them). Objects for RISC-V are compiled without linker relaxation, so that distances are known.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, TypeAlias

from ...errors import BackendError
from ...runtime.artifact import Bytes

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_RELOCATION = struct.Struct("<QQq")  # place, symbol and type, addend

_MAGIC = b"\x7fELF\x02\x01"
_SYMBOLS, _STRINGS, _ADDENDS, _NO_BITS = 2, 3, 4, 8  # types of sections
_CONTENTS = {1, 7, _NO_BITS, 0x70000001}  # the program's bytes, a note, zeros, how to unwind
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_IS_FUNCTION, _IS_SECTION, _IS_FILE = 2, 3, 4  # types of symbols
_ALLOCATED = 2  # of a section: it is in memory
_MERGED = 0x30  # of a section: a linker may lay equal constants, or strings, on each other
_PAGE = 4096
_INFO_LINK = 0x40  # of a section: what `info` says is a section
_RISCV = 243  # number of a machine
_RISCV_ATTRIBUTES = 0x70000003  # a section of that machine: what the code uses
_RESERVED = 0xFF00  # section numbers from here on are no sections

Kind: TypeAlias = "tuple[bytes, int, int, int]"  # name, type, flags, entry size


def can_link(code: bytes) -> bool:
    """Whether an object is of the format that is known here."""
    return code.startswith(_MAGIC)


class _Symbol(NamedTuple):
    name: bytes
    info: int
    other: int
    section: int  # of the result, counted from 1; 0: defined elsewhere
    value: int
    size: int

    @property
    def binding(self) -> int:
        return self.info >> 4


@dataclass
class _Section:
    kind: Kind
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    alignment: int = 1
    relocations: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])

    def append(self, data: bytes, size: int, alignment: int) -> int:
        """Put bytes behind those that are there; the offset at which they are."""
        alignment = max(1, alignment)
        start = -(-self.size // alignment) * alignment
        self.alignment = max(self.alignment, alignment)
        if self.kind[1] != _NO_BITS:
            self.data += bytes(start - self.size) + data
        self.size = start + size
        return start


def link(objects: Sequence[bytes], prefix: str = "") -> bytes:
    """One object that is all of them, `prefix` before the names that it defines. Of several weak definitions of a name
    the first is taken.

    Raises BackendError for what is no such object, and for a name that is defined twice."""
    return objects[0] if len(objects) == 1 and not prefix else _Link(objects, prefix.encode()).result()


def data_object(like: bytes, name: str, symbol: str, parts: Sequence[tuple[Bytes, int]], file: BinaryIO) -> None:
    """Write an object to `file` whose one section of constants, `name`, begins with a page and holds `parts`: bytes,
    and how many zeros come behind them. `symbol` is where it begins. `like`: an object for the same machine."""
    length = sum(data.size + zeros for data, zeros in parts)
    names = b"\0" + b"\0".join(n.encode() for n in (name, symbol, ".symtab", ".strtab")) + b"\0"
    places = [names.index(n.encode() + b"\0") for n in (name, symbol, ".symtab", ".strtab")]
    start = _PAGE
    end = start + -(-length // 8) * 8
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + _SYMBOL.pack(places[1], _GLOBAL << 4 | 1, 0, 1, 0, length)
    sections = [
        (0,) * 10,
        (places[0], 1, _ALLOCATED, 0, start, length, 0, 0, _PAGE, 0),
        (places[2], _SYMBOLS, 0, 0, end, len(symbols), 3, 1, 8, _SYMBOL.size),
        (places[3], _STRINGS, 0, 0, end + len(symbols), len(names), 0, 0, 1, 0),
    ]
    header = list(_HEADER.unpack_from(like))
    header[6], header[12], header[13] = end + len(symbols) + len(names), len(sections), 3
    file.write(_HEADER.pack(*header).ljust(start, b"\0"))
    for data, zeros in parts:
        file.write(data.data)
        file.write(bytes(zeros))
    file.write(bytes(end - start - length) + symbols + names)
    file.write(b"".join(_SECTION.pack(*section) for section in sections))


def section_of(file: BinaryIO, name: str) -> tuple[int, int]:
    """Offset and length of a section of an object or a library. Raises BackendError where it has none."""
    header = _HEADER.unpack(file.read(_HEADER.size))
    file.seek(header[6])
    sections = [_SECTION.unpack(file.read(_SECTION.size)) for _ in range(header[12])]
    file.seek(sections[header[13]][4])
    names = file.read(sections[header[13]][5])
    for section in sections:
        if _text(names, section[0]) == name.encode():
            return section[4], section[5]
    raise BackendError(f"what the linker made has no section {name}")


def wanted(code: bytes) -> set[str]:
    """The names that an object uses and does not define. Empty for what is no such object."""
    if not can_link(code):
        return set()
    start, entry, count = (_HEADER.unpack_from(code)[i] for i in (6, 11, 12))
    headers = [_SECTION.unpack_from(code, start + i * entry) for i in range(count)]
    return {
        _text(code, headers[strings][4] + name).decode()
        for _, kind, _, _, offset, size, strings, *_ in headers
        if kind == _SYMBOLS
        for name, _, _, section, _, _ in _SYMBOL.iter_unpack(code[offset : offset + size])
        if name and not section
    }


class _Link:
    def __init__(self, objects: Sequence[bytes], prefix: bytes) -> None:
        self.prefix = prefix
        self.sections: dict[Kind, _Section] = {}
        self.locals: list[_Symbol] = []
        self.globals: dict[bytes, _Symbol] = {}
        self.numbers: dict[bytes, int] = {}  # of the global symbols
        self.section_symbols: dict[int, int] = {}  # section of the result: its symbol among the local ones
        self.labels = _HEADER.unpack_from(objects[0])[2] == _RISCV
        for code in objects:
            self.add(code)
        self.header = list(_HEADER.unpack_from(objects[0]))

    def add(self, code: bytes) -> None:
        """Take an object in. Relocations name a local symbol by its number, a global one by minus its number less 1,
        among the names in the order in which they came."""
        if not can_link(code):
            raise BackendError("what LLVM made is no ELF object of 64 bits")
        start, entry, count, names_at = (_HEADER.unpack_from(code)[i] for i in (6, 11, 12, 13))
        headers = [_SECTION.unpack_from(code, start + i * entry) for i in range(count)]
        names = headers[names_at][4]
        placed: dict[int, tuple[int, int]] = {}  # number of a section: that of the result's, and offset in it
        for number, (name, kind, flags, _, offset, size, _, _, alignment, entry) in enumerate(headers):
            if kind in _CONTENTS:
                # what is told by a section's start and a distance must stay there: no linker may merge equal constants
                key = (_text(code, names + name), kind, flags & ~_MERGED, 0 if flags & _MERGED else entry)
                section = self.sections.setdefault(key, _Section(key))
                at = section.append(b"" if kind == _NO_BITS else code[offset : offset + size], size, alignment)
                placed[number] = (list(self.sections).index(key) + 1, at)
            elif kind not in (0, _SYMBOLS, _STRINGS, _ADDENDS) and not (self.labels and kind == _RISCV_ATTRIBUTES):
                raise BackendError(f"an object has a section of type {kind:#x}, which is not known here")
        symbols: list[tuple[int, int]] = []  # by number in the object: the number here, and what addends grow by
        for _, kind, _, _, offset, size, strings, *_ in headers:
            if kind == _SYMBOLS:
                entries = _SYMBOL.iter_unpack(code[offset : offset + size])
                symbols = [self.symbol(code, headers[strings][4], entry, placed) for entry in entries]
        order = list(self.sections.values())
        for _, kind, _, _, offset, size, _, target, *_ in headers:
            if kind == _ADDENDS:
                number, moved = placed[target]
                for place, info, addend in _RELOCATION.iter_unpack(code[offset : offset + size]):
                    symbol, more = symbols[info >> 32]
                    order[number - 1].relocations.append((place + moved, symbol, info & 0xFFFFFFFF, addend + more))

    def symbol(
        self, code: bytes, strings: int, found: tuple[int, ...], placed: dict[int, tuple[int, int]]
    ) -> tuple[int, int]:
        """What stands for a symbol of an object: a number, and what is to be added."""
        name_at, info, other, number, value, size = found
        section, moved = placed.get(number, (0, 0))
        name = _text(code, strings + name_at)
        if info >> 4 == _LOCAL and name.startswith(b"$"):  # for disassemblers: where code and where data begins
            return 0, 0
        if number and not section and not number >= _RESERVED:
            raise BackendError("a symbol lies in a section that is not taken over")
        if info & 15 == _IS_FILE or found == (0, 0, 0, 0, 0, 0):
            return 0, 0
        if number >= _RESERVED:
            raise BackendError("a symbol is absolute or common")
        if info >> 4 == _LOCAL:
            if info & 15 == _IS_FUNCTION:  # for debuggers and perf
                self.locals.append(_Symbol(name, info, other, section, value + moved, size))
            if self.labels and info & 15 != _IS_SECTION:  # an R_RISCV_PCREL_LO12 names an instruction, by no distance
                self.locals.append(_Symbol(b".L%d" % len(self.locals), 0, 0, section, value + moved, 0))
                return len(self.locals) - 1, 0
            return self.section_symbol(section), value + moved
        symbol = _Symbol(name, info, other, section, value + moved, size)
        known = self.globals.get(name)
        self.globals[name] = symbol if known is None else _resolved(known, symbol)
        return -1 - self.numbers.setdefault(name, len(self.numbers)), 0

    def section_symbol(self, section: int) -> int:
        """The number of the symbol that stands for a section's start. What is local is told by it and a distance:
        names such as `.LCPI0_0` are in every object, and linkers exist that take them for one."""
        if section not in self.section_symbols:
            self.section_symbols[section] = len(self.locals)
            self.locals.append(_Symbol(b"", _IS_SECTION, 0, section, 0, 0))
        return self.section_symbols[section]

    def result(self) -> bytes:
        """The object."""
        sections = list(self.sections.values())
        symbols = [_Symbol(b"", 0, 0, 0, 0, 0), *self.locals, *self.globals.values()]
        strings = bytearray(b"\0")
        places: dict[bytes, int] = {b"": 0}

        def text(name: bytes) -> int:
            if name not in places:
                places[name] = len(strings)
                strings.extend(name + b"\0")
            return places[name]

        def named(symbol: _Symbol) -> bytes:
            return self.prefix + symbol.name if symbol.section and symbol.name else symbol.name

        table = b"".join(_SYMBOL.pack(text(named(s)), *s[1:]) for s in symbols)
        first_global = 1 + len(self.locals)
        with_relocations = [s for s in sections if s.relocations]
        symbol_table = 1 + len(sections) + len(with_relocations)
        body = bytearray(_HEADER.size)
        headers = [_SECTION.pack(*[0] * 10)]

        def enter(
            name: bytes, kind: int, flags: int, data: bytes, size: int, align: int, entry: int, *ends: int
        ) -> None:
            body.extend(bytes(-len(body) % max(align, 1)))
            headers.append(_SECTION.pack(text(name), kind, flags, 0, len(body), size, *(ends or (0, 0)), align, entry))
            body.extend(data)

        for s in sections:
            name, kind, flags, entry = s.kind
            enter(name, kind, flags, bytes(s.data), s.size, s.alignment, entry)
        for s in with_relocations:
            packed = b"".join(
                _RELOCATION.pack(place, (first_global - 1 - n if n < 0 else 1 + n) << 32 | kind, addend)
                for place, n, kind, addend in s.relocations
            )
            ends = (symbol_table, 1 + sections.index(s))
            enter(b".rela" + s.kind[0], _ADDENDS, _INFO_LINK, packed, len(packed), 8, _RELOCATION.size, *ends)
        enter(b".symtab", _SYMBOLS, 0, table, len(table), 8, _SYMBOL.size, symbol_table + 1, first_global)
        text(b".strtab")  # the last name
        enter(b".strtab", _STRINGS, 0, bytes(strings), len(strings), 1, 0)
        body.extend(bytes(-len(body) % 8))
        self.header[6], self.header[12], self.header[13] = len(body), len(headers), symbol_table + 1
        body[: _HEADER.size] = _HEADER.pack(*self.header)
        return bytes(body) + b"".join(headers)


def _resolved(a: _Symbol, b: _Symbol) -> _Symbol:
    """One symbol for two of the same name: the definition, hidden if one of them says so."""
    if a.section and b.section and _WEAK not in (a.binding, b.binding):
        raise BackendError(f"{a.name.decode(errors='replace')} is defined twice")
    stronger = b.section and (not a.section or (a.binding == _WEAK and b.binding != _WEAK))
    found = b if stronger else a
    if not a.section and not b.section and _GLOBAL in (a.binding, b.binding):
        found = found._replace(info=_GLOBAL << 4 | found.info & 15)
    return found._replace(other=max(a.other, b.other, key=lambda other: (other & 3 != 0, -(other & 3))))


def _text(code: bytes, offset: int) -> bytes:
    return code[offset : code.index(b"\0", offset)]
