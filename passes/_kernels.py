"""The kernels of a module: those that are equal are one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp, StringAttr

from ..dialects.loop import Call, Kernel
from ..ir.nodes import nodes_of, set_nodes
from ..ir.operands import walk
from ..ir.structure import structure


@dataclass
class KernelTable:
    """The kernels of a module by name, and those that are added: one that equals another one of these but for its name
    and nodes is not added again."""

    module: ModuleOp
    kernels: dict[Hashable, Kernel] = field(default_factory=dict[Hashable, Kernel])

    def __post_init__(self) -> None:
        self.last = next((op for op in reversed(list(self.module.body.ops)) if isinstance(op, Kernel)), None)
        self.named = {op.sym_name.data: op for op in self.module.body.ops if isinstance(op, Kernel)}

    def add(self, new: Kernel) -> Kernel:
        """`new`, by a name that is free, or the kernel that was added before and equals it."""
        set_nodes(new, ())
        base = new.sym_name.data
        key = structure(new, ignored=("sym_name",))
        if (found := self.kernels.get(key)) is not None:
            return found
        name, count = base, 1
        while name in self.named:
            count += 1
            name = f"{base}_{count}"
        self.named[name] = new
        new.sym_name = StringAttr(name)
        self.kernels[key] = new
        if self.last is None:
            self.module.body.block.add_op(new)
        else:
            self.module.body.block.insert_op_after(new, self.last)
        self.last = new
        return new

    def name_nodes(self) -> None:
        """Say of every kernel that is called which nodes it computes: those of its calls, which may be thousands."""
        found: dict[str, dict[str, None]] = {}
        for op in walk(self.module):
            if isinstance(op, Call):
                found.setdefault(op.callee, {}).update(dict.fromkeys(nodes_of(op)))
        for name, nodes in found.items():
            set_nodes(self.named[name], nodes)
