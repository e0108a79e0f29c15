"""Give numbers to symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, ParametrizedAttribute, SSAValue

from ..dialects.loop import Program
from ..errors import InputError, PassError
from ..ir.expr import Expr
from ..ir.passes import Pass
from ..ir.types import Check, ExprAttr


@dataclass(frozen=True)
class FixSizes(Pass):
    """Replace size symbols by numbers or other symbols: `fix-sizes{sizes="N=8","H=W"}`.

    At the loop level the host program is rewritten; kernels keep their sizes as arguments. Size checks that hold now
    go; one that does not is an InputError."""

    name = "fix-sizes"
    sizes: tuple[str, ...] = ()

    def run(self, module: ModuleOp) -> bool:
        values = dict(map(_parsed, self.sizes))
        changed = False
        for op in module.body.ops:
            if isinstance(op, FuncOp | Program):  # a kernel's symbols are its own
                changed |= rewrite(op, values)
        return changed


def _parsed(text: str) -> tuple[str, Expr]:
    name, _, value = text.rpartition("=")
    if not name or not value or value.startswith("-"):
        raise PassError(f"fix-sizes: {text!r} is no size", hint='write fix-sizes{sizes="N=8"}')
    return name, Expr.const(int(value)) if value.isdecimal() else Expr.symbol(value)


def rewrite(function: Operation, values: Mapping[str, Expr]) -> bool:
    """Substitute symbols in all types and attributes of a function. True if there were any."""
    known: dict[Attribute, Attribute] = {}
    changed = False

    def fixed(attribute: Attribute) -> Attribute:
        if attribute not in known:
            known[attribute] = substituted(attribute, values)
        return known[attribute]

    def retype(values: list[SSAValue]) -> bool:
        moved = [v for v in values if fixed(v.type) != v.type]
        for value in moved:
            value._type = fixed(value.type)  # pyright: ignore[reportPrivateUsage]
        return bool(moved)

    for op in function.walk():
        for attributes in (op.properties, op.attributes):
            for name, old in list(attributes.items()):
                new = fixed(old)
                if new != old:
                    attributes[name] = new
                    changed = True
        changed |= retype([*op.results])
        for region in op.regions:
            for block in region.blocks:
                changed |= retype([*block.args])
    return changed


def substituted(attribute: Attribute, values: Mapping[str, Expr]) -> Attribute:
    """The attribute with the symbols replaced wherever it holds expressions."""
    match attribute:
        case ExprAttr():
            return ExprAttr(attribute.data.substitute(symbols=dict(values)))
        case ArrayAttr():
            inner = [substituted(a, values) for a in attribute]
            return ArrayAttr([a for a in inner if not (isinstance(a, Check) and _holds(a))])
        case DictionaryAttr():
            return DictionaryAttr({k: substituted(v, values) for k, v in attribute.data.items()})
        case ParametrizedAttribute() if attribute.parameters:
            return type(attribute).new([substituted(p, values) for p in attribute.parameters])
        case _:
            return attribute


def _holds(check: Check) -> bool:
    value = check.expr.data.constant
    if value is not None and value != 0:
        raise InputError(f"the sizes do not fit the model: {check.message.data}")
    return value == 0
