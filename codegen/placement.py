"""Where kernels run: on the device that a module is for, or on the machine that it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp, StringAttr

from ..dialects.loop import ON, WHY, Kernel
from ..dialects.loop.host import HOST
from ..ir.pipeline import Instrument, Step
from ..passes.insert_transfers import InsertTransfers
from .backend import Backend, RefusedKernels

log = logging.getLogger(__name__)


class Place(Instrument):
    """Writes on every kernel, as soon as it is there, which backend runs it: `{on = "host", because = "..."}`. What
    stands there already, written by hand say, stays. Behind the last pass it puts the copies in between the two."""

    optional = True  # what it writes follows from the passes

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def begin(self, module: ModuleOp) -> None:
        self.place(module)

    def after(self, step: Step) -> None:
        self.place(step.module)

    def end(self, module: ModuleOp) -> None:
        self.place(module, again=True)  # a schedule may have made of a kernel what the backend does not support
        InsertTransfers().run(module)

    def place(self, module: ModuleOp, again: bool = False) -> None:
        """Place the kernels of a module that have no place yet; `again`: those of the backend's too."""
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel)]:
            if kernel.on_host or (kernel.on and not again):
                continue
            reason = self.backend.supports(kernel)
            kernel.attributes[ON] = StringAttr(self.backend.name if reason is None else HOST)
            if reason is not None:
                kernel.attributes[WHY] = StringAttr(reason)


def refuse(modules: Sequence[ModuleOp], refused: RefusedKernels) -> None:
    """Place on the host what a chip's compiler did not take. Raises the error again where that changes nothing."""
    found = False
    for module in modules:
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]:
            if (reason := refused.kernels.get(kernel.sym_name.data)) is not None:
                log.warning("kernel %s runs on the host: %s", kernel.sym_name.data, reason)
                kernel.attributes |= {ON: StringAttr(HOST), WHY: StringAttr(reason)}
                found = True
        InsertTransfers().run(module)
    if not found:
        raise refused
