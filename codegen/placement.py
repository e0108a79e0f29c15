"""Where kernels run: on the device that a module is for, or on the machine that it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.parser import Parser

from ..dialects import context
from ..dialects.loop import ON, WHY, Instruction, Kernel
from ..dialects.loop.host import HOST
from ..dialects.loop.instruction import expand
from ..ir.pipeline import Instrument, Step
from ..ir.target import Target
from ..passes.insert_transfers import InsertTransfers
from .backend import Backend, RefusedKernels
from .costs import costs_of, microseconds

log = logging.getLogger(__name__)


class Place(Instrument):
    """Writes on every kernel, as soon as it is there, which backend runs it: `{on = "host", because = "..."}`. What
    stands there already, written by hand say, stays. Where some kernels have to be on the host, others are there too if
    a run takes less that way, by the figures of the target's description (costs.py). Behind the last pass it puts the
    copies in between the two."""

    optional = True  # what it writes follows from the passes

    def __init__(self, backend: Backend, typical: Mapping[str, int] | None = None) -> None:
        """`typical`: sizes by symbol, where something is known of them."""
        self.backend = backend
        self.typical = typical or {}

    def begin(self, module: ModuleOp) -> None:
        self.place(module)

    def after(self, step: Step) -> None:
        self.place(step.module)

    def end(self, module: ModuleOp) -> None:
        self.place(module, again=True)  # a schedule may have made of a kernel what the backend does not support
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel) and op.on_host]:
            expand(kernel)  # of those that have come to the CPU in this moment
        InsertTransfers().run(module)

    def place(self, module: ModuleOp, again: bool = False) -> None:
        """Place the kernels of a module that have no place yet; `again`: those of the backend's too."""
        declare(module, self.backend)
        fresh: list[Kernel] = []
        for kernel in _kernels(module):
            if kernel.on_host or (kernel.on and not again):
                continue
            if not kernel.on:
                fresh.append(kernel)
            reason = self.backend.supports(kernel)
            kernel.attributes[ON] = StringAttr(self.backend.name if reason is None else HOST)
            if reason is not None:
                kernel.attributes[WHY] = StringAttr(reason)
        if fresh and Target.of(module).link and any(kernel.on_host for kernel in _kernels(module)):
            self.weigh(module, {kernel.sym_name.data for kernel in fresh if not kernel.on_host})

    def weigh(self, module: ModuleOp, free: Set[str]) -> None:
        """Move to the host what takes less there, copies reckoned; of the kernels that may be on both sides."""
        costs = costs_of(module, self.typical)
        kernels = {kernel.sym_name.data: kernel for kernel in _kernels(module)}
        host = costs.best({name: kernel.on_host for name, kernel in kernels.items() if name not in free})
        least = costs.total(host)
        for name in sorted(host & free):
            saved = microseconds(costs.total(host - {name}) - least)
            text = f"by cost: on the device the run would take {saved} more, with its copies"
            kernels[name].attributes |= {ON: StringAttr(HOST), WHY: StringAttr(text)}


def _kernels(module: ModuleOp) -> list[Kernel]:
    return [op for op in module.body.ops if isinstance(op, Kernel)]


def refuse(modules: Sequence[ModuleOp], refused: RefusedKernels) -> None:
    """Place on the host what a chip's compiler did not take. Raises the error again where that changes nothing."""
    found = False
    for module in modules:
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]:
            if (reason := refused.kernels.get(kernel.sym_name.data)) is not None:
                log.warning("kernel %s runs on the host: %s", kernel.sym_name.data, reason)
                kernel.attributes |= {ON: StringAttr(HOST), WHY: StringAttr(reason)}
                expand(kernel)
                found = True
        InsertTransfers().run(module)
    if not found:
        raise refused


def declare(module: ModuleOp, backend: Backend) -> None:
    """Put the declarations of a backend's instructions in front of the kernels, if there are kernels, and they are not
    there."""
    text, first = backend.instructions(), next((op for op in module.body.ops if isinstance(op, Kernel)), None)
    if not text or first is None:
        return
    known = {op.sym_name.data for op in module.body.ops if isinstance(op, Instruction)}
    for op in _declared(text).body.ops:
        if isinstance(op, Instruction) and op.sym_name.data not in known:
            module.body.block.insert_op_before(op.clone(), first)


@lru_cache(8)
def _declared(text: str) -> ModuleOp:
    return Parser(context(), text).parse_module()
