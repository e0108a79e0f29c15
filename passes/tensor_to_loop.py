"""tensor → loop: every compute or update becomes a kernel of plain loops and a call in the host program."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ..dialects import loop, tensor
from ..dialects.loop.program import kernel_block
from ..dialects.tensor.evaluate import neutral
from ..ir.evaluator import main_function, names_of
from ..ir.expr import ONE, Expr
from ..ir.nodes import NODES, nodes_of
from ..ir.operands import append, copied
from ..ir.passes import Pass
from ..ir.structure import structure
from ..ir.types import BufferType, ExprAttr, is_bool, is_float, is_unsigned, signless
from ._computes import flops, limits_of, positive, within
from ._control_to_loop import HostBuilder, Kernels, buffer_of
from ._kernels import KernelTable


@dataclass(frozen=True)
class TensorToLoop(Pass):
    """Lower `func.func @main` of tensor operations to `loop.program @main` and one `loop.kernel` per distinct compute.

    A reduction becomes three nests (start value, accumulation, finish) in the kernel's result buffer; schedules fuse
    them again. An update's kernel works in the buffer that holds what it starts from: that tensor's own where nobody
    else reads it, else a copy. Operations whose kernels would be equal share one. Bodies of control flow become parts
    of the program.
    """

    name = "tensor-to-loop"

    def run(self, module: ModuleOp) -> bool:
        functions = [op for op in module.body.ops if isinstance(op, FuncOp)]
        if not functions:
            return False
        main = main_function(module)
        lowering = _Lowering(KernelTable(module))
        program = lowering.program(main)
        for function in functions:
            function.detach()
            function.erase()
        module.body.block.add_op(program)
        lowering.table.name_nodes()
        return True


@dataclass
class _Lowering(Kernels):
    table: KernelTable
    made: dict[Hashable, loop.Kernel] = field(default_factory=dict[Hashable, loop.Kernel])  # of which operations

    def program(self, main: FuncOp) -> loop.Program:
        """The host program of a function. Its results are written straight into the output buffers where possible."""
        last = main.body.block.last_op
        assert isinstance(last, ReturnOp)
        inputs = names_of(main.arg_attrs, len(main.body.block.args), "input_")
        outputs = names_of(main.res_attrs, len(last.arguments), "output_")
        types = [buffer_of(v) for v in (*main.body.block.args, *last.arguments)]
        names = _distinct([*inputs, *outputs])
        block = kernel_block(types, names)
        env: dict[SSAValue, SSAValue] = dict(zip(main.body.block.args, block.args, strict=False))
        places = block.args[len(inputs) :]
        host = HostBuilder(self)
        host.function(main, block, env, places, ONE)
        for value, place in zip(last.arguments, places, strict=True):
            if env[value] is not place:
                self.copy(block, env[value], place)
        program = loop.Program(main.sym_name.data, names, len(outputs), Region(block), host.checks)
        program.attributes |= {k: v for k, v in main.attributes.items() if k != "ircc.checks"}
        return program

    def call(self, block: Block, op: tensor.WithBody, env: Mapping[SSAValue, SSAValue]) -> None:
        own = op.body.block.args
        reads = list(dict.fromkeys(r.tensor for r in op.reads if r.tensor not in own))
        key = structure(op, reads, ignored=(NODES,))
        if (kernel := self.made.get(key)) is None:
            new = compute_kernel(op, reads) if isinstance(op, tensor.Compute) else update_kernel(op, reads)
            kernel = self.made[key] = self.table.add(new)
        buffers = [env[t] for t in reads] + [env[op.result]]
        sizes = [Expr.symbol(s) for s in kernel.sizes]
        block.add_op(loop.Call(kernel.sym_name.data, buffers, sizes, nodes_of(op)))

    def copy(self, block: Block, source: SSAValue, target: SSAValue) -> None:
        """An output that is an input, a constant or another output."""
        assert isinstance(target.type, BufferType)
        kernel = self.table.add(copy_kernel(target.type))
        sizes = [Expr.symbol(s) for s in kernel.sizes]
        block.add_op(loop.Call(kernel.sym_name.data, [source, target], sizes))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a suffix where one comes again (an output may be called like an input)."""
    found: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in found:
            count += 1
            candidate = f"{name}#{count}"
        found.append(candidate)
    return found


T = TypeVar("T", bound=Operation)


def block_add(block: Block, op: T) -> T:
    append(op, block)
    return op


def kernel_name(nodes: Sequence[str], fallback: str) -> str:
    """A symbol for perf and gdb that says which nodes a kernel computes: `Conv_0.Relu_1`, shortened."""
    parts = [re.sub(r"[^A-Za-z0-9]+", "_", n).strip("_") for n in nodes]
    text = ".".join(p for p in parts if p)
    return text if 0 < len(text) <= 80 else (f"{text[:60].rstrip('._')}.and_{len(parts)}_nodes" if text else fallback)


# ---- kernels


def compute_kernel(op: tensor.Compute, reads: Sequence[SSAValue]) -> loop.Kernel:
    """The naive kernel of a compute: nests `i0, i1, ...` (parallel) and `k0, k1, ...` (reduction)."""
    names = [f"in{i}" for i in range(len(reads))] + ["out"]
    block = kernel_block([*map(buffer_of, reads), buffer_of(op.result)], names)
    buffers = dict(zip(reads, block.args, strict=False))
    out = block.args[-1]
    rank, sizes = op.rank, op.sizes
    everywhere = ([Expr.dim(i) for i in range(rank)], rank)

    def nest(dims: int, fill: Any) -> None:
        inner = block
        variables: list[SSAValue] = []
        for i, size in enumerate(sizes[:dims]):
            reduction = i >= rank
            label, kind = (f"k{i - rank}", "reduction") if reduction else (f"i{i}", "parallel")
            loop_op = block_add(inner, loop.For((0, size), label, kind))
            inner = loop_op.body.block
            variables.append(loop_op.iv)
        fill(inner, variables)

    def store(at: Block, value: SSAValue, variables: Sequence[SSAValue]) -> None:
        at.add_op(loop.Store(value, out, (everywhere[0], variables[:rank])))

    def load(at: Block, variables: Sequence[SSAValue]) -> SSAValue:
        return block_add(at, loop.Load(out, (everywhere[0], variables[:rank]))).value

    def yielded(at: Block, source: Block, env: dict[SSAValue, SSAValue]) -> SSAValue:
        last = source.last_op
        assert isinstance(last, tensor.Yield)
        return copy_body(at, source, env, buffers)[last.value]

    def value_of(at: Block, variables: Sequence[SSAValue]) -> SSAValue:
        return yielded(at, op.body.block, dict(zip(op.indices, variables, strict=True)))

    def start(at: Block, variables: Sequence[SSAValue]) -> None:
        assert op.combiner
        store(at, constant(at, neutral(op.combiner, op.type.dtype), op.type.element_type), variables)

    def accumulate(at: Block, variables: Sequence[SSAValue]) -> None:
        value = value_of(at, variables)
        assert op.combiner
        new = combined(op.combiner, op.type.element_type, load(at, variables), value)
        store(at, block_add(at, new).results[0], variables)

    def end(at: Block, variables: Sequence[SSAValue]) -> None:
        env: dict[SSAValue, SSAValue] = dict(zip(op.finish.block.args, variables, strict=False))
        env[op.finish.block.args[-1]] = load(at, variables)
        store(at, yielded(at, op.finish.block, env), variables)

    if op.is_reduction:
        nest(rank, start)
        nest(len(sizes), accumulate)
        if op.finish.blocks:
            nest(rank, end)
    else:
        nest(rank, lambda at, variables: store(at, value_of(at, variables), variables))
    kind = "reduction" if op.is_reduction else "map"
    kernel = loop.Kernel(kernel_name(nodes_of(op), kind), names, 1, Region(block), nodes=nodes_of(op))
    set_work(kernel, op)
    return kernel


def copy_body(
    at: Block, source: Block, env: dict[SSAValue, SSAValue], buffers: Mapping[SSAValue, SSAValue]
) -> dict[SSAValue, SSAValue]:
    """Put the operations of a body, but for its end, behind those of `at`: what its values are there. `env` says so of
    its arguments, `buffers` of the tensors that it reads."""
    for inner in source.ops:
        match inner:
            case tensor.Yield() | tensor.Put():
                env.update((v, v) for v in inner.operands if v not in env)
            case tensor.Read():
                other = env[inner.otherwise] if inner.otherwise is not None else None
                indices = [env[v] for v in inner.indices]
                new = loop.Load(buffers[inner.tensor], (inner.exprs, indices), otherwise=other)
                env[inner.value] = block_add(at, new).value
            case tensor.Index():
                env[inner.value] = block_add(at, loop.Index(inner.expr, [env[v] for v in inner.indices])).value
            case _:
                append(copied(inner, env), at)
    return env


def update_kernel(op: tensor.Update, reads: Sequence[SSAValue]) -> loop.Kernel:
    """The naive kernel of an update, which finds in its result what it starts from: one nest, `i0, i1, ...` (parallel)
    around `k0, k1, ...` (ordered)."""
    names = [f"in{i}" for i in range(len(reads))] + ["out"]
    block = kernel_block([*map(buffer_of, reads), buffer_of(op.result)], names)
    inner, variables = block, list[SSAValue]()
    for i, size in enumerate(map(positive, op.sizes)):
        label, kind = (f"k{i - op.rank}", "ordered") if i >= op.rank else (f"i{i}", "parallel")
        loop_op = block_add(inner, loop.For((0, size), label, kind))
        inner = loop_op.body.block
        variables.append(loop_op.iv)
    buffers = dict(zip((*reads, op.state), block.args, strict=True))
    env = copy_body(inner, op.body.block, dict(zip(op.indices, variables, strict=True)), buffers)
    limits = limits_of(op.put, op.ranges)
    early = op.state.first_use is None and apart([exprs for _, exprs in op.put.places])
    for value, exprs in op.put.places:
        skip = not all(within(e, s, limits) for e, s in zip(exprs, op.type.sizes, strict=True))
        new = loop.Store(env[value], block.args[-1], (exprs, [env[v] for v in op.put.indices]), skip=skip)
        made = env[value].owner
        if early and isinstance(made, Operation) and all(not isinstance(v.owner, Operation) for v in new.indices):
            inner.insert_op_after(new, made)  # while it is in a register
        else:
            inner.add_op(new)
    kernel = loop.Kernel(kernel_name(nodes_of(op), "update"), names, 1, Region(block), nodes=nodes_of(op))
    set_work(kernel, op)
    return kernel


def apart(places: Sequence[Sequence[Expr]]) -> bool:
    """Whether places are never the same: indices that differ by constants alone, no two by the same."""
    constants = [tuple(e.terms.get((), 0) for e in place) for place in places]
    forms = {tuple(e - c for e, c in zip(*pair, strict=True)) for pair in zip(places, constants, strict=True)}
    return len(forms) == 1 and len(set(constants)) == len(places)


def set_work(kernel: loop.Kernel, op: tensor.WithBody) -> None:
    """Note the operations of a kernel, and what stands for them where an algorithm does with fewer."""
    if (work := flops(op)) != 0:
        kernel.attributes["flops"] = ExprAttr(work)
    if (nominal := op.attributes.get("nominal")) is not None:
        kernel.attributes["nominal"] = nominal


def copy_kernel(
    type_: BufferType, target: BufferType | None = None, window: Sequence[tuple[Expr, Expr]] | None = None
) -> loop.Kernel:
    """out = in0, for buffers of this shape; `target` may be in another layout. `window`: per dim the first index that
    is copied, and how many are; all without."""
    block = kernel_block([type_, target or BufferType.of(type_.sizes, type_.element_type)], ["in0", "out"])
    inner, variables = block, []
    starts, sizes = zip(*window, strict=True) if window else ([Expr.const(0)] * type_.rank, type_.sizes)
    for i, size in enumerate(sizes):
        loop_op = block_add(inner, loop.For((0, size), f"i{i}", "parallel"))
        inner = loop_op.body.block
        variables.append(loop_op.iv)
    at = ([Expr.dim(i) + start for i, start in enumerate(starts)], variables)
    value = block_add(inner, loop.Load(block.args[0], at))
    inner.add_op(loop.Store(value.value, block.args[1], at))
    return loop.Kernel("copy", ["in0", "out"], 1, Region(block))


def constant(block: Block, value: Any, element: Attribute) -> SSAValue:
    """A NumPy scalar as a scalar constant of an element type."""
    plain: Any = signless(element)
    if is_float(element):
        attr: Any = FloatAttr(float(value), plain)
    else:
        width = plain.width.data
        signed = int(value) - (1 << width) if int(value) >> (width - 1) and int(value) > 0 else int(value)
        attr = IntegerAttr(signed, plain)
    return block_add(block, arith.ConstantOp(attr)).result


def combined(combine: str, element: Attribute, a: SSAValue, b: SSAValue) -> Operation:
    """One step of a reduction."""
    position = 0 if is_float(element) else 2 if is_unsigned(element) or is_bool(element) else 1
    table: dict[str, tuple[Any, Any, Any]] = {
        "add": (arith.AddfOp, arith.AddiOp, arith.AddiOp),
        "mul": (arith.MulfOp, arith.MuliOp, arith.MuliOp),
        "max": (arith.MaximumfOp, arith.MaxSIOp, arith.MaxUIOp),
        "min": (arith.MinimumfOp, arith.MinSIOp, arith.MinUIOp),
    }
    if is_bool(element) and combine in ("add", "mul"):  # on bools + is or, * is and
        return arith.OrIOp(a, b) if combine == "add" else arith.AndIOp(a, b)
    return table[combine][position](a, b)
