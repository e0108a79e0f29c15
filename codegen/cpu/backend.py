"""The CPU backend: LLVM code for the machine at hand, or for one that its target names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr

from ...dialects.loop import Constant, Kernel, Program
from ...errors import BackendError
from ...ir.expr import Expr
from ...ir.nodes import nodes_of
from ...ir.target import PRESETS, Target
from ...ir.types import BufferType, ExprAttr
from ...passes._overlaps import in_place
from ...runtime.artifact import Artifact, Port, WeightsBuilder
from ...runtime.artifact import Kernel as KernelInfo
from ..backend import Backend
from . import llvm, pool
from .emit import emit_kernel, kernel_symbol
from .host import calls_of, emit_host, laid_out, sizes_text
from .machine import host_target
from .scalars import ScalarEmitter
from .text import SUPPORT, quoted


class CpuBackend(Backend):
    """CPUs, by LLVM: x86-64 with SSE2, AVX2 or AVX-512, AArch64 and others."""

    name = "cpu"

    def describe(self, spec: str | None = None) -> Target:
        _, _, model = (spec or self.name).partition(":")
        if not model or model in ("host", "native"):
            return host_target()
        if model not in PRESETS:
            raise BackendError(f"unknown CPU {model!r}", hint=f"known are host, {', '.join(PRESETS)}")
        return PRESETS[model]

    def presets(self) -> Mapping[str, str]:
        host = host_target()
        found = {"cpu": f"this machine: {host.cpu}, {host.vector_bits}-bit vectors"}
        return found | {f"cpu:{name}": f"{t.vector_bits}-bit vectors" for name, t in PRESETS.items()}

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        compiled = _Module(module)
        machine = llvm.Machine(compiled.target.triple, compiled.target.cpu, compiled.target.features)
        match kind:
            case "llvm-ir":
                return compiled.text
            case "asm":
                return llvm.compile_assembly(compiled.text, machine)
            case "obj":
                return llvm.compile_object(compiled.text, machine)
            case "artifact":
                return compiled.artifact(llvm.compile_object(compiled.text, machine))
            case _:
                raise BackendError(f"the cpu backend does not make {kind}")


class _Module:
    """A loop module as LLVM text, with its weights laid out."""

    def __init__(self, module: ModuleOp) -> None:
        self.target = Target.of(module)
        programs = [op for op in module.body.ops if isinstance(op, Program)]
        if len(programs) != 1:
            raise BackendError("the module has no loop.program", hint="run the pass tensor-to-loop")
        self.program = programs[0]
        self.kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        self.weights = WeightsBuilder()
        self.placed: dict[Any, int] = {}
        scalars = ScalarEmitter()
        parts = [emit_kernel(k, scalars) for k in self.kernels.values()]
        host = emit_host(self.program, self.place)
        self.calls, self.host = host.calls, host
        table = ", ".join(f"ptr @{quoted(kernel_symbol(c.callee))}" for c in self.calls)
        count = len(self.calls)
        head = f"@ircc_kernels = constant [{count} x ptr] [{table}]\n@ircc_kernel_count = constant i64 {count}\n"
        self.text = "\n".join(
            [head, SUPPORT, *parts, host.text, pool.text(self.target.triple), *sorted(scalars.declarations), ""]
        )

    def place(self, op: Constant) -> int:
        """Byte offset of a constant among the weights; equal constants in equal layouts share one."""
        key = (op.value, op.type)
        if key not in self.placed:
            self.placed[key] = self.weights.add(laid_out(op.array, op.type))
        return self.placed[key]

    def artifact(self, code: bytes) -> Artifact:
        names = self.program.arg_names
        ports = [self.port(name, arg.type) for name, arg in zip(names, self.program.args, strict=True)]
        split = len(self.program.inputs)
        return Artifact(
            backend="cpu",
            target={"triple": self.target.triple, "cpu": self.target.cpu, "features": self.target.features},
            inputs=tuple(ports[:split]),
            outputs=tuple(ports[split:]),
            symbols=self.program.symbols,
            checks=tuple(c.message.data for c in self.program.checks),
            kernels=tuple(self.info(c) for c in self.calls),
            object=code,
            weights=self.weights.build(),
            slots=self.host.slots,
            late=self.host.late,
            in_place=in_place(self.program, self.kernels),
        )

    def port(self, name: str, type_: Any) -> Port:
        assert isinstance(type_, BufferType)
        loose = self.program.attributes.get("ircc.loose")
        is_loose = isinstance(loose, ArrayAttr) and StringAttr(name) in loose
        return Port(name.partition("#")[0], type_.dtype, sizes_text(type_.sizes), loose=is_loose)

    def info(self, call: Any) -> KernelInfo:
        kernel = self.kernels[call.callee]
        values = call.bound(kernel)
        moved = sum((t.type.bytes for t in call.buffers), Expr.const(0))
        flops = kernel.attributes.get("flops")
        work = flops.data.substitute(symbols=values) if isinstance(flops, ExprAttr) else Expr.const(0)
        strategy = kernel.strategy.data if kernel.strategy else ""
        return KernelInfo(call.callee, nodes_of(call), strategy, str(work), str(moved))


def backend() -> Backend:
    """The CPU backend, as ircc finds it."""
    return CpuBackend()


__all__ = ["CpuBackend", "backend", "calls_of"]
