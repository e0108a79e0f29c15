"""Control flow in the host program: bodies are inlined in its branches and loops.

A state has one buffer for all iterations, and a scanned output is one buffer whose rows the iterations write; rows of
scanned inputs are views. What a body computes goes straight to where it belongs, where nobody else still reads that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects.builtin import ArrayAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from ..dialects import control, loop, tensor
from ..errors import PassError, UnsupportedError
from ..ir.expr import ONE, Expr, maximum, minimum, product
from ..ir.nodes import nodes_of, set_nodes
from ..ir.types import BufferType, Check, TensorType

Env = dict[SSAValue, SSAValue]


class Kernels:
    """What makes the kernels: `call` puts the call of a compute or update into a block, reading what `env` maps."""

    def call(self, block: Block, op: tensor.WithBody, env: Mapping[SSAValue, SSAValue]) -> None:
        raise NotImplementedError


@dataclass
class HostBuilder:
    """Operations of functions as operations of the host program. `checks` collects their conditions."""

    kernels: Kernels
    checks: dict[Check, None] = field(default_factory=dict[Check, None])
    count: int = 0

    def function(self, function: FuncOp, block: Block, env: Env, places: Sequence[SSAValue | None], ran: Expr) -> None:
        """The operations of a function, whose arguments `env` maps. Results are computed in their `places`, where one
        is given and the result can be; `env` says where they are. `ran` is 0 where the function does not run."""
        *ops, last = function.body.block.ops
        assert isinstance(last, ReturnOp)
        target: Env = {}
        for value, place in zip(last.arguments, places, strict=True):
            computed = isinstance(value.owner, tensor.WithBody | control.If | control.Loop)
            if place is not None and computed and value.type == tensor_of(place.type):
                target.setdefault(value, place)
        for op in reversed(ops):
            if isinstance(op, tensor.Update) and op.result in target and starts_in_place(op):
                target[op.init] = target[op.result]
        checks = function.attributes.get("ircc.checks")
        if isinstance(checks, ArrayAttr):
            for check in checks:
                assert isinstance(check, Check)
                self.checks.setdefault(Check.of(check.expr.data * ran, check.message.data))
        for op in ops:
            match op:
                case tensor.Constant():
                    made = add(block, loop.Constant(op.value, buffer_of(op.result)))
                    set_nodes(made, nodes_of(op))
                    env[op.result] = made.buffer
                case tensor.Empty():  # what starts from it is written where that is
                    continue
                case tensor.Compute():
                    env[op.result] = target.get(op.result) or self.alloc(block, buffer_of(op.result))
                    self.kernels.call(block, op, env)
                case tensor.Update():
                    self.update(op, block, env, target)
                case control.If():
                    self.branch(op, block, env, target, ran)
                case control.Loop():
                    self.loop(op, block, env, target, ran)
                case control.ReadSizes():
                    block.add_op(control.ReadSizes(env[op.source], op.symbols, nodes_of(op)))
                case control.SetSizes():
                    block.add_op(op.clone())
                case _:
                    raise PassError(f"tensor-to-loop: {op.name} is no tensor operation", node=", ".join(nodes_of(op)))

    def update(self, op: tensor.Update, block: Block, env: Env, target: Env) -> None:
        """An update works in the buffer of what it starts from, where nobody else reads that, else in a copy."""
        start = env.get(op.init)  # none for what is empty
        if start is None or not starts_in_place(op):
            place = target.get(op.result) or self.alloc(block, buffer_of(op.result))
        else:
            place = start
        if start is not None and start is not place:
            block.add_op(loop.Copy(start, place))
        env[op.result] = place
        self.kernels.call(block, op, env)

    def alloc(self, block: Block, type_: BufferType) -> SSAValue:
        self.count += 1
        return add(block, loop.Alloc(f"t{self.count}", type_)).buffer

    # ---- branches

    def branch(self, op: control.If, block: Block, env: Env, target: Env, ran: Expr) -> None:
        """Both bodies write the results' buffers. Where they differ in sizes, the larger ones are allocated, and what
        follows sees the part that was written."""
        functions = list(control.called(op))
        results = [f.body.block.last_op.operands for f in functions]  # pyright: ignore[reportOptionalMemberAccess]
        own = set(op.sizes)
        wholes: list[SSAValue] = []
        for i, value in enumerate(op.outputs):
            type_ = buffer_of(value)
            if type_.symbols & own:
                lengths = [product(tensor_of(r[i].type).sizes) for r in results]
                outer = [Expr.of(e) for e in lengths]
                if any(e.symbols & local_symbols(f) for e, f in zip(outer, functions, strict=True)):
                    raise UnsupportedError(
                        "the size of a result of a branch depends on data in it", node=", ".join(nodes_of(op))
                    )
                type_ = BufferType.of([maximum(*lengths)], type_.element_type)
                wholes.append(self.alloc(block, type_))
            else:
                wholes.append(target.get(value) or self.alloc(block, type_))
        guard = None
        if any("ircc.checks" in f.attributes for f in functions):
            self.count += 1
            guard = f"$if{self.count}"
            block.add_op(control.ReadSizes(env[op.condition], [guard]))
        regions: list[Region] = []
        for k, ((_, captured), function) in enumerate(zip(op.branches, functions, strict=True)):
            inner = Block()
            args = function.body.block.args
            local: Env = dict(zip(args, (env[v] for v in captured), strict=True))
            places = [
                whole if whole.type == (type_ := buffer_of(made)) else add(inner, loop.View(whole, 0, type_)).buffer
                for whole, made in zip(wholes, results[k], strict=True)
            ]
            runs = ran
            if guard is not None:
                runs = ran * (Expr.symbol(guard) if k == 0 else ONE - Expr.symbol(guard))
            self.function(function, inner, local, places, runs)
            for place, made in zip(places, results[k], strict=True):
                if local[made] is not place:
                    inner.add_op(loop.Copy(local[made], place))
            regions.append(Region(inner))
        gives = [[size_of(r, op, name) for name in op.sizes] for r in results]
        made = add(block, loop.If(env[op.condition], regions[0], regions[1], op.sizes, (gives[0], gives[1])))
        set_nodes(made, nodes_of(op))
        for value, whole in zip(op.outputs, wholes, strict=True):
            type_ = buffer_of(value)
            env[value] = whole if whole.type == type_ else add(block, loop.View(whole, 0, type_)).buffer

    # ---- loops

    def loop(self, op: control.Loop, block: Block, env: Env, target: Env, ran: Expr) -> None:
        """The states' buffers are made and filled, then the loop writes them again and again."""
        (function,) = control.called(op)
        last = function.body.block.last_op
        assert isinstance(last, ReturnOp)
        before, inside, after = states_of(function, op)
        wholes = [
            self.alloc(block, BufferType.of([product(most_sizes(op, t))], t.element_type))
            if op.symbol in t.symbols
            else target.get(v) or self.alloc(block, buffer_of(v))
            for v, t in zip(op.finals, inside, strict=True)
        ]
        for initial, whole, type_ in zip(op.states, wholes, before, strict=True):
            block.add_op(loop.Copy(env[initial], part(whole, type_, block)))
        going = None
        if op.condition is not None:
            going = self.alloc(block, buffer_of(op.condition))
            block.add_op(loop.Copy(env[op.condition], going))
        collected = [self.rows(op, v, block, target) for v in op.collected]
        inner = Block()
        scanned = [self.row(op, i, env[v], inner) for i, v in enumerate(op.scanned)]
        written = [self.row(op, len(scanned) + i, whole, inner) for i, whole in enumerate(collected)]
        states = [part(whole, type_, inner) for whole, type_ in zip(wholes, inside, strict=True)]
        arguments = [*states, *scanned, *(env[v] for v in op.captured)]
        local: Env = dict(zip(function.body.block.args, arguments, strict=True))
        places = [*([] if going is None else [going]), *places_of(function, op, states), *written]
        once = ran if op.bound is None else ran * minimum(op.bound, 1)
        self.function(function, inner, local, places, once)
        states = [part(whole, type_, inner) for whole, type_ in zip(wholes, after, strict=True)]
        finals = [*([] if going is None else [going]), *states, *written]
        self.settle(inner, [local[v] for v in last.arguments], finals)
        made = loop.While(op.symbol, op.bound, going, Region(inner), None if op.count is None else op.count.data)
        set_nodes(made, nodes_of(op))
        block.add_op(made)
        for value, whole in zip([*op.finals, *op.collected], [*wholes, *collected], strict=True):
            env[value] = part(whole, tensor_of(value.type), block)

    def rows(self, op: control.Loop, value: SSAValue, block: Block, target: Env) -> SSAValue:
        """The buffer of a scanned output, for as many rows as there may be."""
        if op.condition is None:
            return target.get(value) or self.alloc(block, buffer_of(value))
        if op.bound is None:
            raise UnsupportedError(
                "a loop that only a condition ends collects rows, and how many there may be is not known",
                hint="give the loop a trip count that is not reached",
                node=", ".join(nodes_of(op)),
            )
        type_ = buffer_of(value)
        return self.alloc(block, BufferType.of([op.bound, *type_.sizes[1:]], type_.element_type))

    def row(self, op: control.Loop, position: int, whole: SSAValue, inner: Block) -> SSAValue:
        type_ = whole.type
        assert isinstance(type_, BufferType)
        sizes = type_.sizes[1:]
        offset = op.row(position) * product(sizes)
        return add(inner, loop.View(whole, offset, BufferType.of(sizes, type_.element_type))).buffer

    def settle(self, block: Block, found: Sequence[SSAValue], places: Sequence[SSAValue]) -> None:
        """Copies of what is elsewhere to where it belongs, all at once: a state that another place wants is put aside
        before it is overwritten."""
        moves = [(source, place) for source, place in zip(found, places, strict=True) if source is not place]
        written = [loop.root_of(place) for _, place in moves]
        aside: Env = {}
        for source, _ in moves:
            if loop.root_of(source) in written and source not in aside:
                assert isinstance(source.type, BufferType)
                aside[source] = self.alloc(block, source.type)
                block.add_op(loop.Copy(source, aside[source]))
        for source, place in moves:
            block.add_op(loop.Copy(aside.get(source, source), place))


def states_of(function: FuncOp, op: control.Loop) -> tuple[list[TensorType], list[TensorType], list[TensorType]]:
    """Types of a loop's states: before it, in an iteration, and behind the iteration."""
    inside = [tensor_of(arg.type) for arg in function.body.block.args[: len(op.states)]]
    here = Expr.symbol(op.symbol)
    return [t.at(op.symbol, 0) for t in inside], inside, [t.at(op.symbol, here + 1) for t in inside]


def most_sizes(op: control.Loop, type_: TensorType) -> Sequence[Expr]:
    """The sizes of a state that grows, where it is largest."""
    assert op.bound is not None
    return type_.at(op.symbol, op.bound).sizes


def part(whole: SSAValue, type_: TensorType, block: Block) -> SSAValue:
    """The beginning of a buffer, or all of it, as a buffer of that type."""
    wanted = BufferType.of(type_.sizes, type_.element_type)
    return whole if whole.type == wanted else add(block, loop.View(whole, 0, wanted)).buffer


def places_of(function: FuncOp, op: control.Loop, states: Sequence[SSAValue]) -> list[SSAValue | None]:
    """Where each next state can be computed: in the state's own buffer, if nothing reads the state after that."""
    last = function.body.block.last_op
    assert last is not None
    first = 0 if op.condition is None else 1
    order = {inner: i for i, inner in enumerate(function.body.block.ops)}
    found: list[SSAValue | None] = []
    for arg, value, place in zip(function.body.block.args, last.operands[first:], states, strict=False):
        maker = value.owner
        uses = [outermost(use.operation, function) for use in arg.uses]
        while isinstance(maker, tensor.Update):
            if maker.init is arg:  # the state itself goes on
                uses.remove(maker)
            if not starts_in_place(maker):
                break
            maker = maker.init.owner
        free = isinstance(maker, Operation) and all(order[user] < order[maker] for user in uses)
        found.append(place if free else None)
    return found


def starts_in_place(op: tensor.Update) -> bool:
    """Whether an update may write over what it starts from: a tensor that was computed for it alone."""
    return op.init.has_one_use() and isinstance(op.init.owner, tensor.WithBody)


def outermost(op: Operation, function: FuncOp) -> Operation:
    """The operation of the function's block that an operation is part of."""
    while op.parent is not function.body.block:
        parent = op.parent_op()
        assert parent is not None
        op = parent
    return op


def size_of(results: Sequence[SSAValue], op: control.If, name: str) -> Expr:
    """The value of a size symbol of a branch by the results of one body."""
    symbol = Expr.symbol(name)
    for value, made in zip(op.outputs, results, strict=True):
        for size, actual in zip(tensor_of(value.type).sizes, tensor_of(made.type).sizes, strict=True):
            if size == symbol:
                return actual
    raise AssertionError("a size symbol of a branch is the size of a result")


def local_symbols(function: FuncOp) -> set[str]:
    """Size symbols that operations in a body define."""
    found: set[str] = set()
    for op in function.body.block.ops:
        match op:
            case control.If() | control.Loop():
                found.update(op.sizes)
            case control.ReadSizes() | control.SetSizes():
                found.update(op.symbols)
            case _:
                continue
    return found


def add(block: Block, op: Any) -> Any:
    block.add_op(op)
    return op


def tensor_of(type_: Any) -> TensorType:
    """The tensor that a row-major buffer holds."""
    assert isinstance(type_, TensorType | BufferType)
    return TensorType.of(type_.sizes, type_.element_type)


def buffer_of(value: SSAValue) -> BufferType:
    """The row-major global buffer that holds a tensor."""
    type_ = value.type
    assert isinstance(type_, TensorType)
    return BufferType.of(type_.sizes, type_.element_type)
