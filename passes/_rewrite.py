"""Rewrite rules and the worklist that applies them.

A rule is a function of an operation: the value, or a new operation, that takes the place of its only result; None where
it does not apply. The comment above it is its algebra.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from xdsl.ir import Operation, SSAValue

from ..ir.nodes import merged, set_nodes

Rule: TypeAlias = "Callable[[Any], SSAValue | Operation | None]"
Rules: TypeAlias = "dict[type[Operation], list[Rule]]"


def enter(rules: Rules, *kinds: type[Operation]) -> Callable[[Rule], Rule]:
    """Decorator: the rule is for operations of these kinds."""

    def add(rule: Rule) -> Rule:
        for kind in kinds:
            rules.setdefault(kind, []).append(rule)
        return rule

    return add


def apply_rules(operations: Iterable[Operation], rules: Mapping[type[Operation], Sequence[Rule]]) -> bool:
    """Apply rules to operations, and to those whose operands change by it, until none applies. True if one did.

    What is replaced is erased; its operands may be left without a use (`eliminate-dead-code`)."""
    pending = deque(op for op in operations if type(op) in rules)
    changed = False
    while pending:
        op = pending.popleft()
        if op.parent is None:
            continue
        for rule in rules.get(type(op), ()):
            found = rule(op)
            if found is None:
                continue
            if isinstance(found, Operation):
                if found.parent is None:
                    op.parent.insert_op_before(found, op)
                set_nodes(found, merged(found, op))
                pending.appendleft(found)
                found = found.results[0]
            elif isinstance(found.owner, Operation):
                set_nodes(found.owner, merged(found.owner, op))  # it now stands for the replaced node too
            result = op.results[0]
            pending.extend(use.operation for use in result.uses)
            if found.name_hint is None:
                found.name_hint = result.name_hint
            result.replace_all_uses_with(found)
            op.detach()
            op.erase()
            changed = True
            break
    return changed
