"""The CPU backend: LLVM code for the machine at hand, or for one that its target names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr

from ...dialects.loop import Alloc, Constant, Kernel, Program
from ...dialects.loop.traffic import traffic
from ...errors import BackendError
from ...ir.expr import Expr
from ...ir.nodes import nodes_of
from ...ir.target import PRESETS, Target
from ...ir.types import BufferType, ExprAttr
from ...passes._overlaps import in_place
from ...progress import report
from ...runtime.artifact import Artifact, Placed, Port, WeightsBuilder, aligned_empty
from ...runtime.artifact import Kernel as KernelInfo
from ..backend import Backend
from . import llvm, pool
from .build import WORTH_KEEPING, Builder
from .emit import emit_kernel, kernel_symbol
from .host import arena_bytes, calls_of, emit_host, is_row_major, laid_out, sizes_text
from .link import link
from .machine import host_target
from .scalars import ScalarEmitter
from .text import CONVERSIONS, DIVISION, SUPPORT, ZEROS, ZEROS_ELSEWHERE, quoted

POOL = "declare void @ircc_pool_run(ptr, ptr, ptr, i64)\n"  # what a kernel calls that is not its own
KERNELS = "@ircc_kernels = external constant [0 x ptr]\n"  # what the pool calls


class CpuBackend(Backend):
    """CPUs, by LLVM: x86-64 with SSE2, AVX2 or AVX-512, AArch64, RISC-V and LoongArch of 64 bits."""

    name = "cpu"
    outlines = True

    def describe(self, spec: str | None = None) -> Target:
        _, _, model = (spec or self.name).partition(":")
        if not model or model in ("host", "native"):
            return host_target()
        if model not in PRESETS:
            raise BackendError(f"unknown CPU {model!r}", hint=f"known are host, {', '.join(PRESETS)}")
        return PRESETS[model]

    def presets(self) -> Mapping[str, str]:
        host = host_target()
        found = {"cpu": f"this machine: {host.cpu}, {_vectors(host)}"}
        return found | {f"cpu:{name}": _vectors(target) for name, target in PRESETS.items()}

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        return self._emitted(_Module(module), kind)

    def emit_all(self, modules: Sequence[ModuleOp], kind: str) -> list[str | bytes | Artifact]:
        """Each has the weights of those before it, and behind them what it needs beside them."""
        weights = _Weights()
        made: list[str | bytes | Artifact] = []
        ends: list[int] = []
        for module in modules:
            made.append(self._emitted(_Module(module, weights), kind))
            ends.append(weights.builder.size)
        if not all(isinstance(m, Artifact) for m in made):
            return made
        blob = weights.builder.build()
        return [replace(m, weights=blob[:n]) if isinstance(m, Artifact) else m for m, n in zip(made, ends, strict=True)]

    def _emitted(self, compiled: _Module, kind: str) -> str | bytes | Artifact:
        match kind:
            case "llvm-ir":
                return compiled.text()
            case "asm":
                return llvm.compile_assembly(compiled.text(), compiled.machine)
            case "obj":
                return compiled.object()
            case "artifact":
                return compiled.artifact(compiled.object())
            case "outline":
                for _ in compiled.emitted():  # for their hashes
                    pass
                return compiled.artifact(b"")
            case _:
                raise BackendError(f"the cpu backend does not make {kind}")


def _vectors(target: Target) -> str:
    return f"{target.vector_bits}-bit vectors" if target.vector_bits else "no vectors"


class Emitted(NamedTuple):
    """A kernel as LLVM text, and what that needs declared."""

    text: str
    declarations: set[str]


def together(kernels: Iterable[Emitted]) -> Iterator[list[Emitted]]:
    """Kernels in their order, short ones side by side: LLVM takes longer to begin with a module than for one of them.
    What is long stays alone, so that its code can be kept."""
    gathered: list[Emitted] = []
    for kernel in kernels:
        if gathered and sum(len(k.text) for k in [*gathered, kernel]) >= WORTH_KEEPING:
            yield gathered
            gathered = []
        gathered.append(kernel)
    if gathered:
        yield gathered


def part(kernels: Sequence[Emitted]) -> str:
    """Kernels as a module of their own."""
    support = ZEROS_ELSEWHERE + (DIVISION if any("@ircc.s" in k.text for k in kernels) else "")
    declarations = set().union(*(k.declarations for k in kernels))
    return "\n".join([support, POOL, *(k.text for k in kernels), *sorted(declarations), ""])


@cache
def _common(machine: llvm.Machine) -> bytes:
    """The object code of what all modules for a machine have: it is compiled once."""
    with Builder(machine, processes=1) as builder:
        builder.add("\n".join([ZEROS, CONVERSIONS, KERNELS, pool.text(machine.triple)]))
        return builder.finish()[0]


class _Weights:
    """Where constants are among the weights: equal ones in equal layouts share a place, of several modules too."""

    def __init__(self) -> None:
        self.builder = WeightsBuilder()
        self.placed: dict[Any, int] = {}


class _Module:
    """A loop module as LLVM text, with its weights laid out: by itself, or behind those of other modules."""

    def __init__(self, module: ModuleOp, weights: _Weights | None = None) -> None:
        self.target = Target.of(module)
        programs = [op for op in module.body.ops if isinstance(op, Program)]
        if len(programs) != 1:
            raise BackendError("the module has no loop.program", hint="run the pass tensor-to-loop")
        self.program = programs[0]
        self.kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        self.own = [k for k in self.kernels.values() if not k.on or k.on_host]  # others run elsewhere
        self.machine = llvm.Machine(self.target.triple, self.target.cpu, self.target.features)
        self.alone = weights is None
        self.weights = weights or _Weights()
        self.hashes: dict[str, str] = {}  # of the kernels' text, by name
        self.moved: dict[str, Expr] = {}  # the traffic of kernels
        self.constants: list[Placed] = []
        self.host = emit_host(self.program, self.place)
        self.calls = self.host.calls

    def text(self) -> str:
        """All of it as one LLVM module."""
        kernels = list(self.emitted())
        declarations = set().union(*(k.declarations for k in kernels))
        return "\n".join([self.head(), *(k.text for k in kernels), *sorted(declarations), ""])

    def object(self) -> bytes:
        """All of it as one object: kernels are compiled apart where they can be put together again."""
        if not self.machine.links:
            return llvm.compile_object(self.text(), self.machine)
        with Builder(self.machine) as builder:
            own = [kernel.sym_name.data for kernel in self.own]
            names = {name: f"declare void @{quoted(kernel_symbol(name))}(ptr, ptr)" for name in own}
            builder.add("\n".join([self.table(), ZEROS_ELSEWHERE, DIVISION, self.host.text, *names.values(), ""]))
            for kernels in together(self.emitted()):
                builder.add(part(kernels))
            return link([_common(self.machine), *builder.finish()])

    def emitted(self) -> Iterator[Emitted]:
        """The kernels, one after the other."""
        for number, kernel in enumerate(self.own, 1):
            report(f"making code: kernel {number} of {len(self.own)}")
            scalars = ScalarEmitter()
            emitted = Emitted(emit_kernel(kernel, scalars), scalars.declarations)
            named = quoted(kernel_symbol(kernel.sym_name.data))
            self.hashes[kernel.sym_name.data] = sha256(emitted.text.replace(named, "").encode()).hexdigest()[:16]
            yield emitted

    def head(self) -> str:
        """What there is beside the kernels."""
        return "\n".join([self.table(), SUPPORT, self.host.text, pool.text(self.target.triple)])

    def table(self) -> str:
        """The kernels by their numbers, null for those that run elsewhere."""
        own = {kernel.sym_name.data for kernel in self.own}
        names = [f"@{quoted(kernel_symbol(c.callee))}" if c.callee in own else "null" for c in self.calls]
        table = ", ".join(f"ptr {name}" for name in names)
        count = len(self.calls)
        return f"@ircc_kernels = constant [{count} x ptr] [{table}]\n@ircc_kernel_count = constant i64 {count}\n"

    def place(self, op: Constant) -> int:
        """Byte offset of a constant among the weights."""
        key, placed = (op.value, op.type), self.weights.placed
        if key not in placed:
            offset = placed[key] = self.weights.builder.add(laid_out(op.array, op.type))
            if op.value.data.values is None:
                shape = op.type.static_shape or ()
                layout = "" if is_row_major(op.type) else str(op.type.offset)
                self.constants.append(Placed(op.value.data.sha256, offset, layout, shape, op.type.dtype.itemsize))
        return placed[key]

    def artifact(self, code: bytes) -> Artifact:
        names = self.program.arg_names
        ports = [self.port(name, arg.type) for name, arg in zip(names, self.program.args, strict=True)]
        split = len(self.program.inputs)
        return Artifact(
            backend="cpu",
            target={
                "name": self.target.cpu if self.target.name == "host" else self.target.name,
                "triple": self.target.triple,
                "cpu": self.target.cpu,
                "features": self.target.features,
            },
            inputs=tuple(ports[:split]),
            outputs=tuple(ports[split:]),
            symbols=self.program.symbols,
            checks=tuple(c.message.data for c in self.program.checks),
            kernels=tuple(self.info(c) for c in self.calls),
            object=code,
            weights=self.weights.builder.build() if self.alone else aligned_empty((0,), np.dtype(np.uint8)),
            slots=self.host.slots,
            late=self.host.late,
            in_place=in_place(self.program, self.kernels),
            provenance={"memory": self.memory(), "program": sha256(self.host.text.encode()).hexdigest()[:16]},
            constants=tuple(self.constants),
        )

    def memory(self) -> dict[str, Any]:
        """The plan of the arena: how large it is, and for each buffer its name, place and size in bytes, as numbers or
        expressions over the symbols. A buffer whose size comes from data has a slot of its own instead of a place."""
        allocs = [op for op in self.program.ops if isinstance(op, Alloc)]
        buffers = [
            [op.label.data, *sizes_text([op.offset.data if op.offset else Expr.const(-1), op.type.bytes])]
            for op in allocs
            if op.slot is None
        ]
        return {"arena": sizes_text([arena_bytes(self.program)])[0], "buffers": buffers, "slots": self.host.slots}

    def port(self, name: str, type_: Any) -> Port:
        assert isinstance(type_, BufferType)
        loose = self.program.attributes.get("ircc.loose")
        is_loose = isinstance(loose, ArrayAttr) and StringAttr(name) in loose
        return Port(name.partition("#")[0], type_.dtype, sizes_text(type_.sizes), loose=is_loose)

    def info(self, call: Any) -> KernelInfo:
        kernel = self.kernels[call.callee]
        values = call.bound(kernel)
        if call.callee not in self.moved:
            self.moved[call.callee] = traffic(kernel)
        moved = self.moved[call.callee].substitute(symbols=values)
        strategy = kernel.strategy.data if kernel.strategy else ""

        def work(name: str) -> str:
            found = kernel.attributes.get(name)
            return str(found.data.substitute(symbols=values)) if isinstance(found, ExprAttr) else ""

        return KernelInfo(
            call.callee,
            nodes_of(call),
            strategy,
            work("flops") or "0",
            str(moved),
            nominal=work("nominal"),
            schedule=kernel.applied.data if kernel.applied else "",
            code=self.hashes.get(call.callee, ""),
            on=kernel.on,
        )


def backend() -> Backend:
    """The CPU backend, as ircc finds it."""
    return CpuBackend()


__all__ = ["CpuBackend", "backend", "calls_of"]
