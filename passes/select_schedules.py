"""Choose a strategy for every kernel, and write its schedule down."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp, StringAttr

from ..dialects.loop import Call, Constant, Instruction, Kernel
from ..ir.operands import walk
from ..ir.passes import Pass
from ..ir.target import Target
from ..schedules.nest import nest_of
from ..schedules.strategies.simt import grid_lines
from ..schedules.strategy import Case, find_strategy, select


@dataclass(frozen=True)
class SelectSchedules(Pass):
    """Write the name of a strategy and the text of its schedule onto each kernel that has neither, for the target
    that the module names. The first strategy that applies is taken, or `only`.

    A schedule that is there already, written by hand or by a tuner, stays."""

    name = "select-schedules"
    only: str = ""

    def run(self, module: ModuleOp) -> bool:
        target = Target.of(module)
        constants = constant_arguments(module)
        instructions = frozenset(op.sym_name.data for op in module.body.ops if isinstance(op, Instruction))
        changed = False
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel)]:
            if kernel.strategy is not None or kernel.schedule is not None or kernel.applied is not None:
                continue
            nest = nest_of(kernel)
            if nest is None and target.group and not kernel.on_host:
                name, text = "simt", grid_lines(kernel)
            elif nest is None or any(d.size == 0 for d in nest.dims):  # there is nothing to do, or nothing to add
                name, text = "serial", ""
            else:
                runs_on = target.host if kernel.on_host else target
                case = Case(nest, runs_on, constants.get(kernel.sym_name.data, frozenset()), instructions)
                if self.only:
                    strategy = find_strategy(self.only)
                    found = strategy.schedule(case)
                    chosen = None if found is None else (strategy, found)
                else:
                    chosen = select(case)
                if chosen is None:
                    continue
                name, text = chosen[0].name, chosen[1]
            kernel.properties["strategy"] = StringAttr(name)
            kernel.properties["schedule"] = StringAttr(text)
            changed = True
        return changed


def constant_arguments(module: ModuleOp) -> dict[str, frozenset[str]]:
    """By kernel, the arguments that are program constants in every call."""
    kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
    found: dict[str, frozenset[str]] = {}
    for call in walk(module):
        if isinstance(call, Call) and (kernel := kernels.get(call.callee)) is not None:
            pairs = zip(kernel.arg_names, call.buffers, strict=True)
            here = frozenset(n for n, b in pairs if isinstance(b.owner, Constant))
            found[call.callee] = found.get(call.callee, here) & here
    return found
