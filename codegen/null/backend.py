"""The backend without a machine: it compiles every model, and its kernels do nothing. The least that a backend is."""

from dataclasses import replace
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from ...ir.target import Target
from ..backend import Backend
from ..cpu.backend import CpuBackend


class NullBackend(Backend):
    """No machine: results are zeros. Shows what a run costs beside its kernels."""

    name = "null"
    kinds = ()

    def describe(self, spec: str | None = None) -> Target:
        return CpuBackend().describe()

    def emit(self, module: ModuleOp, kind: str) -> Any:
        return replace(CpuBackend().emit(module, kind), backend=self.name)  # type: ignore[type-var]


backend = NullBackend
