"""Which CPU features code may use, as LLVM names them, and how a machine says that it has them.

An engine file asks its machine before any of its kernels runs: x86-64 by `cpuid` (Intel's manual, volume 2A, CPUID;
AMD's, volume 3, appendix E), others by the auxiliary vector of Linux (asm/hwcap.h of each architecture), and RISC-V,
whose vector has a letter for each of the old extensions only, by riscv_hwprobe (asm/hwprobe.h; Linux 6.4).
Features that are not here are of the system, or need an intrinsic that ircc never writes: nothing asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

EAX, EBX, ECX, EDX = range(4)
XCR0 = -1  # as a leaf: which registers the system saves, by `xgetbv`
HWCAP, HWCAP2 = 16, 26  # as a leaf: keys of the auxiliary vector
HWPROBE = -2  # as a leaf: the bits of RISCV_HWPROBE_KEY_IMA_EXT_0, of which `register` says the lower or the upper half


class Need(NamedTuple):
    """A bit that must be set: in a register that cpuid fills for a leaf and a sub-leaf, or in a word of HWCAP."""

    feature: str
    leaf: int
    subleaf: int
    register: int
    bit: int


_X86 = {
    (1, 0, ECX): {"sse3": 0, "pclmul": 1, "ssse3": 9, "fma": 12, "cx16": 13, "sse4.1": 19, "sse4.2": 20, "crc32": 20,
                  "movbe": 22, "popcnt": 23, "aes": 25, "avx": 28, "f16c": 29, "rdrnd": 30},
    (1, 0, EDX): {"cx8": 8, "cmov": 15, "mmx": 23, "sse": 25, "sse2": 26},
    (7, 0, EBX): {"bmi": 3, "avx2": 5, "bmi2": 8, "avx512f": 16, "avx512dq": 17, "adx": 19, "avx512ifma": 21,
                  "avx512cd": 28, "sha": 29, "avx512bw": 30, "avx512vl": 31},
    (7, 0, ECX): {"avx512vbmi": 1, "avx512vbmi2": 6, "gfni": 8, "vaes": 9, "vpclmulqdq": 10, "avx512vnni": 11,
                  "avx512bitalg": 12, "avx512vpopcntdq": 14},
    (7, 0, EDX): {"avx512vp2intersect": 8, "amx-bf16": 22, "avx512fp16": 23, "amx-tile": 24, "amx-int8": 25},
    (7, 1, EAX): {"sha512": 0, "avxvnni": 4, "avx512bf16": 5, "avxifma": 23},
    (7, 1, EDX): {"avxvnniint8": 4, "avxneconvert": 5, "avxvnniint16": 10},
    (0x80000001, 0, ECX): {"lzcnt": 5, "sse4a": 6, "xop": 11, "fma4": 16, "tbm": 21},
    (0x80000001, 0, EDX): {"64bit": 29},
}  # fmt: skip
_X86_NEEDS = {
    feature: Need(feature, leaf, subleaf, register, bit)
    for (leaf, subleaf, register), bits in _X86.items()
    for feature, bit in bits.items()
}
_SAVES = Need("avx", 1, 0, ECX, 27)  # xgetbv is there; whoever asks for more asks for this first
_SAVED = {  # registers, by the beginning of a feature's name
    "avx512": [Need("avx512f", XCR0, 0, 0, bit) for bit in (5, 6, 7)],
    "amx": [Need("amx-tile", XCR0, 0, 0, bit) for bit in (17, 18)],
}
_AVX = [_SAVES, Need("avx", XCR0, 0, 0, 1), Need("avx", XCR0, 0, 0, 2)]
_WITHOUT_AVX = {
    "sse3", "pclmul", "ssse3", "cx16", "sse4.1", "sse4.2", "crc32", "movbe", "popcnt", "aes", "rdrnd", "cx8", "cmov",
    "mmx", "sse", "sse2", "bmi", "bmi2", "adx", "sha", "lzcnt", "sse4a", "64bit", "gfni", "tbm",
}  # fmt: skip

_AARCH64 = {
    HWCAP: {"neon": 1, "aes": 3, "sha2": 6, "crc": 7, "lse": 8, "fullfp16": 9, "rdm": 12, "jsconv": 13, "complxnum": 14,
            "rcpc": 15, "sha3": 17, "sm4": 18, "dotprod": 20, "sve": 22, "fp16fml": 23},
    HWCAP2: {"sve2": 1, "i8mm": 13, "bf16": 14},
}  # fmt: skip
_RISCV = {
    HWCAP: {letter: ord(letter) - ord("a") for letter in "imafdcv"},
    HWPROBE: {"zba": 3, "zbb": 4, "zbs": 5, "zbc": 7, "zbkb": 8, "zbkc": 9, "zbkx": 10, "zvbb": 17, "zvbc": 18,
              "zvkb": 19, "zfh": 27, "zfhmin": 28, "zvfh": 30, "zvfhmin": 31, "zfa": 32, "zacas": 34, "zicond": 35},
}  # fmt: skip
_LOONGARCH = {HWCAP: {"ual": 2, "f": 3, "d": 3, "lsx": 4, "lasx": 5}}


def needs(architecture: str, features: Iterable[str]) -> list[Need]:
    """What code with these features asks of a machine, in the order in which it may be asked."""
    wanted = sorted(set(features))
    if architecture != "x86_64":
        words = {"aarch64": _AARCH64, "riscv64": _RISCV, "loongarch64": _LOONGARCH}.get(architecture, {})
        places = {
            name: Need(name, word, 0, bit // 32, bit % 32) for word, bits in words.items() for name, bit in bits.items()
        }
        return [places[name] for name in wanted if name in places]
    found = [_X86_NEEDS[name] for name in wanted if name in _X86_NEEDS]
    if any(need.feature not in _WITHOUT_AVX for need in found):
        found += _AVX
        for start, registers in _SAVED.items():
            if any(need.feature.startswith(start) for need in found):
                found += registers
    return found
