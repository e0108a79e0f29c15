"""LLVM text of the C interface of an engine file: what runtime/c/ircc.h declares, and says.

    text(variants, version)    a module that calls the ircc_plan, ircc_main ... of each variant (runtime/artifact.py)

An engine file has code for one kind of machine or for several: its variants. What is here runs before it is known
what the machine can do, so it is compiled for the plainest one of its architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...runtime.artifact import Artifact, Port
from ...runtime.machine import architecture
from ...runtime.program import NO_MEMORY
from ...runtime.threads import SPIN, SPIN_CROWDED
from . import pages, quota
from .api_text import ANY, AUXILIARY, CPUID, FUNCTIONS, RISCV, X86
from .features import needs
from .pool import TABLE
from .text import quoted

ABI_VERSION = 1
TYPES = {  # element types have the numbers of ONNX's TensorProto
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
    "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20, "uint4": 21, "int4": 22, "float4_e2m1fn": 23,
    "float8_e8m0fnu": 24, "uint2": 25, "int2": 26,
}  # fmt: skip
LOOSE, LATE = 1, 2  # flags of a port

_VARIANT = {  # what the functions below know of a variant, in words of 8 bytes
    "plan": "ptr", "main": "ptr", "check": "ptr", "open": "ptr", "close": "ptr", "weights": "ptr", "symbols": "i64",
    "words": "i64", "slots": "i64", "sizes": "i64", "checks": "ptr", "dims": "ptr", "needs": "ptr", "need_count": "i64",
}  # fmt: skip
_FUNCTIONS = {  # those of a variant that are called from here
    "plan": "i32 @{}(ptr, ptr)", "main": "i32 @{}(ptr, ptr)", "check": "i32 @{}(ptr)", "cpu_open": "ptr @{}(i32, i32)",
    "cpu_close": "void @{}(ptr)",
}  # fmt: skip
_PLACES = {
    "table": TABLE,
    "variant": {name: 8 * i for i, name in enumerate(_VARIANT)},
    "engine": {"table": 0, "variant": 8},
    "context": {  # from `plan` to `slots` it is the frame of ircc_main
        "engine": 0, "variant": 8, "plan": 16, "arena": 24, "weights": 32, "inputs": 40, "outputs": 48, "slots": 56,
        "capacity": 64, "ready": 72, "text": 128, "words": 640,
    },
    "need": {"leaf": 0, "subleaf": 4, "register": 8, "bit": 12, "name": 16},
}  # fmt: skip
_MESSAGES = {
    "SIZE_FORMAT": "%s does not fit: it is %lld",
    "TEXT_FORMAT": "%s",
    "NEGATIVE": "an output would have a negative size for these sizes of the inputs",
    "SHORT": "there is no memory for these sizes, or a size that was computed while the model ran is negative",
    "EARLY": "ircc_context_resize comes first: the sizes of the inputs are not known, or were refused",
    "FAILED": "the run failed with code %d",
    "ABSENT": "a pointer that the call needs is NULL",
    "NOBODY": "the context is NULL",
}
_PORT = "{ ptr, ptr, ptr, ptr, i32, i32, i32, i32 }"  # struct ircc_port
_NEED = "{ i32, i32, i32, i32, ptr }"


class Variant(NamedTuple):
    """Code in an engine file for one kind of machine."""

    name: str  # of the target
    artifact: Artifact
    prefix: str  # of the names of its symbols
    weights: int  # bytes from the start of the file's weights


def text(variants: Sequence[Variant], version: str) -> str:
    """The module for an engine file: variants with the best one first, ircc's version."""
    triple = variants[0].artifact.target["triple"]
    data = _Data()
    rows = [_row(data, v, triple) for v in variants]
    row = f"{{ {', '.join(_VARIANT.values())} }}"
    first = variants[0].artifact
    flags = [LATE if i in first.late else 0 for i in range(len(first.outputs))]
    in_place = [*first.in_place, *[()] * (len(first.outputs) - len(first.in_place))]
    inputs = [_port(data, p, 0, ()) for p in first.inputs]
    outputs = [_port(data, *of) for of in zip(first.outputs, flags, in_place, strict=True)]
    info = ", ".join([
        f"i32 {ABI_VERSION}, i32 {len(variants)}, i32 {len(inputs)}, i32 {len(outputs)}",
        f"ptr {data.array(_PORT, inputs)}, ptr {data.array(_PORT, outputs)}",
        f"ptr {data.strings(v.name for v in variants)}, ptr {data.string(version)}",
    ])  # fmt: skip
    declared = [f"declare {_FUNCTIONS[name].format(symbol)}" for v in variants for name, symbol in _symbols(v)]
    return "\n".join([
        "@ircc_weights = external constant i8",
        f"@ircc.variants = internal constant [{len(rows)} x {row}] [{', '.join(f'{row} {r}' for r in rows)}]",
        f"@ircc.info = internal constant {{ i32, i32, i32, i32, ptr, ptr, ptr, ptr }} {{ {info} }}",
        _functions(triple, len(variants), first, data),
        *data.lines(),
        *declared,
        "",
    ])  # fmt: skip


class _Data:
    """The module's constants, each written once."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def constant(self, typed: str) -> str:
        return self.names.setdefault(typed, f"@data.{len(self.names)}")

    def string(self, value: str) -> str:
        data = value.encode() + b"\0"
        escaped = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in data)
        return self.constant(f'[{len(data)} x i8] c"{escaped}"')

    def array(self, type_: str, values: Iterable[object]) -> str:
        items = [f"{type_} {value}" for value in values]
        return self.constant(f"[{len(items)} x {type_}] [{', '.join(items)}]") if items else "null"

    def strings(self, values: Iterable[str | None]) -> str:
        return self.array("ptr", ["null" if value is None else self.string(value) for value in values])

    def lines(self) -> list[str]:
        return [f"{name} = internal constant {typed}" for typed, name in self.names.items()]


def _symbols(variant: Variant) -> list[tuple[str, str]]:
    """The functions that a variant has, and their symbols. Those that begin with `cpu` are the device's."""
    names = [n for n in _FUNCTIONS if variant.artifact.backend == "cpu" or not n.startswith("cpu")]
    return [(name, quoted(f"{variant.prefix}ircc_{name}")) for name in names]


def _row(data: _Data, variant: Variant, triple: str) -> str:
    artifact = variant.artifact
    sizes = sum(len(p.shape) for p in artifact.outputs)
    features = [f[1:] for f in artifact.target.get("features", "").split(",") if f.startswith("+")]
    asked = [
        f"{{ i32 {n.leaf}, i32 {n.subleaf}, i32 {n.register}, i32 {n.bit}, ptr {data.string(n.feature)} }}"
        for n in needs(architecture(triple), features)
    ]
    told = [f"input '{p.name}': dimension {i} of [{', '.join(map(str, p.shape))}]"
            for p in artifact.inputs for i in range(len(p.shape))]  # fmt: skip
    symbols = dict(_symbols(variant))
    values = [
        *(f"@{symbols[name]}" if name in symbols else "null" for name in _FUNCTIONS),
        f"getelementptr (i8, ptr @ircc_weights, i64 {variant.weights})",
        len(artifact.symbols),
        len(artifact.symbols) + 1 + sizes,
        artifact.slots,
        sizes,
        data.strings(artifact.checks),
        data.strings(told),
        data.array(_NEED, asked),
        len(asked),
    ]
    return f"{{ {', '.join(f'{t} {v}' for t, v in zip(_VARIANT.values(), values, strict=True))} }}"


def _port(data: _Data, port: Port, flags: int, in_place: Sequence[int]) -> str:
    sizes = data.array("i64", [size if isinstance(size, int) else -1 for size in port.shape])
    symbols = data.strings(None if isinstance(size, int) else size for size in port.shape)
    places = data.array("i32", in_place)
    flags |= LOOSE if port.loose else 0
    numbers = (len(in_place), TYPES[port.dtype.name], len(port.shape), flags)
    pointers = (data.string(port.name), sizes, symbols, places)
    return f"{{ {', '.join([f'ptr {p}' for p in pointers] + [f'i32 {n}' for n in numbers])} }}"


def _functions(triple: str, variants: int, first: Artifact, data: _Data) -> str:
    asks = {"x86_64": X86, "riscv64": RISCV}.get(architecture(triple), AUXILIARY)
    machine = asks if asks is X86 or "linux" in triple else ANY
    words: dict[str, object] = {name: data.string(message) for name, message in _MESSAGES.items()}
    words |= {
        "VARIANTS": variants, "ROW": 8 * len(_VARIANT), "SPIN_CROWDED": SPIN_CROWDED, "SPIN": SPIN,
        "NO_MEMORY": NO_MEMORY, "ABI": ABI_VERSION, "CPUID": CPUID, "INPUTS": len(first.inputs),
        "OUTPUTS": len(first.outputs), "INPUT_SIZES": sum(len(p.shape) for p in first.inputs),
    }  # fmt: skip
    filled = re.sub(r"\$([A-Z_]+)", lambda m: str(words[m[1]]), machine + FUNCTIONS)
    filled += quota.text(triple) + pages.text(triple)
    kinds = "|".join(_PLACES)
    return re.sub(
        rf"({kinds})\[(%\w+)\]\.(\w+)",
        lambda m: f"getelementptr i8, ptr {m[2]}, i64 {_PLACES[m[1]][m[3]]}",
        filled,
    )
