"""The kernels of a module: those that are equal are one."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.printer import Printer

from ..dialects.loop import Call, Kernel
from ..ir.nodes import nodes_of, set_nodes
from ..ir.operands import walk


@dataclass
class KernelTable:
    """The kernels of a module by name, and those that are added: one that equals another one of these but for its name
    and nodes is not added again."""

    module: ModuleOp
    kernels: dict[str, Kernel] = field(default_factory=dict[str, Kernel])

    def __post_init__(self) -> None:
        self.last = next((op for op in reversed(list(self.module.body.ops)) if isinstance(op, Kernel)), None)
        self.named = {op.sym_name.data: op for op in self.module.body.ops if isinstance(op, Kernel)}

    def add(self, new: Kernel) -> Kernel:
        """`new`, by a name that is free, or the kernel that was added before and equals it."""
        set_nodes(new, ())
        base, new.sym_name = new.sym_name.data, StringAttr("k")
        key = _text(new)
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


def _text(op: Operation) -> str:
    stream = StringIO()
    Printer(stream=stream).print_op(op)
    return stream.getvalue()
