"""Objects put together: sections, symbols by name, relocations; checked by running the code and by what refuses."""

import ctypes
import struct
from collections.abc import Sequence

import pytest

from ircc.codegen.cpu import llvm, perf
from ircc.codegen.cpu.jit import LoadedObject
from ircc.codegen.cpu.link import can_link, link
from ircc.errors import BackendError

LINUX = [llvm.Machine(f"{a}-unknown-linux-gnu") for a in ("x86_64", "aarch64", "loongarch64")]
LINUX.append(llvm.Machine("riscv64-unknown-linux-gnu", "generic-rv64", "+d,+v"))

# A table of functions in other objects, as of kernels; constants and internal functions of one name in each of them.
TABLE = """
@table = constant [2 x ptr] [ptr @first, ptr @second]
@shared = hidden constant [2 x double] [double 3.0, double 4.0], align 64
define weak hidden double @scale(double %x) nounwind {
  %y = fmul double %x, 0x4059200000000000
  ret double %y
}
declare double @first(double)
declare double @second(double)
define double @both(double %x) nounwind {
  %p = getelementptr ptr, ptr @table, i64 1
  %second = load ptr, ptr %p
  %first = load ptr, ptr @table
  %a = call double %first(double %x)
  %b = call double %second(double %a)
  ret double %b
}
"""
PART = """
@shared = external hidden constant [2 x double], align 64
@own = internal constant [3 x double] [double NUMBER.0, double 1.0, double 2.0], align 32
declare double @scale(double)
define internal double @inner(double %x, i64 %i) noinline nounwind {
  %p = getelementptr double, ptr @own, i64 %i
  %c = load double, ptr %p
  %y = fadd double %x, %c
  ret double %y
}
define double @NAME(double %x) nounwind {
  %y = call double @inner(double %x, i64 0)
  %p = getelementptr double, ptr @shared, i64 1
  %c = load double, ptr %p
  %z = fmul double %y, %c
  %s = call double @scale(double %z)
  %t = fadd double %s, 0x400ENUMBER0000000000
  ret double %t
}
"""


def part(name: str, number: int) -> str:
    return PART.replace("NAME", name).replace("NUMBER", str(number))


def objects(machine: llvm.Machine, *texts: str) -> list[bytes]:
    return [llvm.compile_object(text, machine) for text in texts]


def extra(number: int) -> float:
    """The double 0x400E<number>0000000000."""
    return float(ctypes.c_double.from_buffer(ctypes.c_uint64(int(f"400E{number}0000000000", 16))).value)


def expected(x: float, numbers: Sequence[int]) -> float:
    for number in numbers:
        x = (x + number) * 4.0 * 100.5 + extra(number)
    return x


def test_parts_call_each_other_and_keep_what_is_their_own() -> None:
    texts = [TABLE, part("first", 5), part("second", 7)]
    for order in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]:
        code = LoadedObject(link(objects(llvm.host(), *[texts[i] for i in order])), ("both",))
        both = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("both"))
        assert both(1.5) == expected(1.5, (5, 7))


@pytest.mark.parametrize("machine", LINUX, ids=str)
def test_every_function_is_in_the_result_where_its_code_is(machine: llvm.Machine) -> None:
    parts = objects(machine, TABLE, part("first", 5), part("second", 7))
    linked = link(parts)
    found = {f.name: f for f in perf.functions(linked) if f.name != "inner"}
    assert set(found) == {"scale", "both", "first", "second"}
    assert [f.name for f in perf.functions(linked)].count("inner") == 2
    assert len({f.section for f in found.values()}) == 1
    text = linked[64:]  # the first section is that of the code
    for code in parts:
        for function in perf.functions(code):
            if function.name in found:
                assert found[function.name].size == function.size
    for a, b in [(found["both"], found["first"]), (found["first"], found["second"])]:
        assert a.offset + a.size <= b.offset < b.offset + b.size <= len(text)


def test_the_same_parts_give_the_same_bytes() -> None:
    parts = objects(llvm.host(), TABLE, part("first", 5), part("second", 7))
    assert link(parts) == link(list(parts))
    assert link(parts[:1]) == parts[0]
    assert can_link(link(parts))


def test_what_was_linked_can_be_linked_again() -> None:
    table, first, second = objects(llvm.host(), TABLE, part("first", 5), part("second", 7))
    code = LoadedObject(link([link([first, table]), second]), ("both",))
    both = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("both"))
    assert both(0.25) == expected(0.25, (5, 7))


def test_a_name_is_defined_once() -> None:
    with pytest.raises(BackendError, match="first is defined twice"):
        link(objects(llvm.host(), part("first", 5), part("first", 7)))


def test_a_weak_definition_gives_way() -> None:
    strong = "define double @scale(double %x) nounwind {\n  ret double %x\n}\n"
    code = LoadedObject(link(objects(llvm.host(), TABLE, strong, part("first", 5), part("second", 7))), ("both",))
    both = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("both"))
    x = 1.5
    for number in (5, 7):
        x = (x + number) * 4.0 + extra(number)
    assert both(1.5) == x


def test_another_format_is_refused() -> None:
    with pytest.raises(BackendError, match="no ELF object of 64 bits"):
        link(objects(llvm.Machine("x86_64-apple-darwin"), part("first", 5), part("second", 7)))


VECTORS = """
define <16 x i8> @NAME(<16 x i8> %x) nounwind {
  %y = xor <16 x i8> %x, <i8 NUMBER, i8 2, REST>
  ret <16 x i8> %y
}
""".replace("REST", ", ".join(f"i8 {i}" for i in range(14)))


@pytest.mark.parametrize("machine", LINUX, ids=str)
def test_no_relocation_names_what_several_parts_have(machine: llvm.Machine) -> None:
    """`.LCPI0_0` is a constant in each of the parts; the linker in this process takes them for one. So what is local
    has no name, or one of its own where relocations must name it."""
    texts = [VECTORS.replace("NAME", name).replace("NUMBER", str(n)) for n, name in enumerate(("first", "second"))]
    code = link(objects(machine, *texts))
    start, count = struct.unpack_from("<Q", code, 40)[0], struct.unpack_from("<H", code, 60)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, start + 64 * i) for i in range(count)]
    (table,) = [code[s[4] : s[4] + s[5]] for s in sections if s[1] == 2]
    symbols = list(struct.iter_unpack("<IBBHQQ", table))
    relocations = [r for s in sections if s[1] == 4 for r in struct.iter_unpack("<QQq", code[s[4] : s[4] + s[5]])]
    used = [symbols[info >> 32] for _, info, _ in relocations]
    assert len(used) >= 2
    named = {(name, info, section, value) for name, info, _, section, value, _ in symbols if name and info >> 4 == 0}
    assert len({name for name, *_ in named}) == len(named)
    assert machine.architecture == "riscv64" or all(name == 0 or info >> 4 == 1 for name, info, *_ in used)
    assert len({(symbol[3], addend) for symbol, (_, _, addend) in zip(used, relocations, strict=True)}) >= 2
