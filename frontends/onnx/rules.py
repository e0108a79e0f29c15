"""All rules: how each ONNX operator, at each of its versions, becomes operators of the graph dialect.

A rule is a function of a `Node`; the files rules_*.py hold them by family, each in a table by operator.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import rules_elementwise, rules_movement, rules_nets, rules_reduce, rules_resize, rules_shape
from .node import Rule

FAMILIES = (rules_elementwise, rules_movement, rules_nets, rules_reduce, rules_resize, rules_shape)

RULES: Mapping[tuple[str, str], Rule] = {
    ("", operator): rule for family in FAMILIES for operator, rule in family.RULES.items()
}
