"""Random programs with control flow: parts of a program become bodies, which changes nothing of what it computes.

Either both branches of an If are the part, or the part is the body of a loop that runs it once or more, and whose
states are its results. Parts that hold such an operation already make it a nested one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, i1
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ..dialects import control
from ..dialects.graph.data import Constant as GraphConstant
from ..dialects.tensor import Constant
from ..ir.evaluator import main_function
from ..ir.types import TensorType


def with_control(module: ModuleOp, rng: random.Random, times: int = 2) -> ModuleOp:
    """The module, `times` parts of its main function outlined. It gets inputs: conditions, and the states' first
    values, on which no output depends."""
    for number in range(times):
        outline(module, rng, number)
    module.verify()
    return module


def outline(module: ModuleOp, rng: random.Random, number: int) -> None:
    """Make a body of a random part of the main function; nothing where the part drawn has no results."""
    main = main_function(module)
    *ops, _ = main.body.block.ops
    if not ops:
        return
    start = rng.randrange(len(ops))
    part = ops[start : start + rng.randint(1, len(ops))]
    while part and isinstance(part[-1], Constant | GraphConstant):
        part.pop()
    inside = {op for top in part for op in top.walk()}
    used = [v for op in inside for v in op.operands]
    captured = [v for v in dict.fromkeys(sorted(used, key=_position)) if _outside(v, part)]
    results = [r for op in part for r in op.results if any(use.operation not in inside for use in r.uses)]
    if not results:
        return
    types = [r.type for r in results]
    if rng.random() < 0.5:
        names = [f"then{number}", f"else{number}"]
        condition = _input(main, TensorType.of([], i1))
        calls = [(name, captured) for name in names]
        new: Operation = control.If(condition, calls[0], calls[1], types)
    else:
        names = [f"body{number}"]
        states = [_input(main, t) for t in types]
        new = control.Loop(names[0], f"$loop{number}", types, bound=rng.randint(1, 3), states=states, captured=captured)
    lead = types if isinstance(new, control.Loop) else []
    functions = [_body(name, lead, captured, part, results) for name in names]
    main.body.block.insert_op_before(new, part[0])
    for old, value in zip(results, new.results, strict=True):
        old.replace_all_uses_with(value)
    for op in reversed(part):
        op.detach()
        op.erase(safe_erase=False)
    for function in functions:
        module.body.block.add_op(function)


def _position(value: SSAValue) -> tuple[int, int]:
    """Any order that does not depend on addresses."""
    owner = value.owner
    if isinstance(owner, Block):
        return -1, value.index  # pyright: ignore[reportAttributeAccessIssue]
    assert owner.parent is not None
    return owner.parent.get_operation_index(owner), value.index  # pyright: ignore[reportAttributeAccessIssue]


def _outside(value: SSAValue, part: Sequence[Operation]) -> bool:
    """Whether a tensor is made before a part of the function, rather than in it."""
    owner = value.owner
    if not isinstance(value.type, TensorType):
        return False
    return isinstance(owner, Block) or owner not in part


def _input(main: FuncOp, type_: Attribute) -> SSAValue:
    """A new input of the main function."""
    block = main.body.block
    attributes = list(main.arg_attrs or [DictionaryAttr({})] * len(block.args))
    attributes.append(DictionaryAttr({"ircc.name": StringAttr(f"extra{len(block.args)}")}))
    value = block.insert_arg(type_, len(block.args))
    main.properties["arg_attrs"] = ArrayAttr(attributes)
    main.function_type = FunctionType.from_lists([a.type for a in block.args], list(main.function_type.outputs))
    return value


def _body(
    name: str,
    lead: Sequence[Attribute],
    captured: Sequence[SSAValue],
    part: Sequence[Operation],
    results: Sequence[SSAValue],
) -> FuncOp:
    """A function of what is captured, behind arguments that it does not use."""
    types = [*lead, *(v.type for v in captured)]
    block = Block(arg_types=types)
    known: dict[SSAValue, SSAValue] = dict(zip(captured, block.args[len(lead) :], strict=True))
    for op in part:
        block.add_op(op.clone(known))
    block.add_op(ReturnOp(*(known[r] for r in results)))
    return FuncOp(name, (types, [r.type for r in results]), Region(block), visibility="private")
