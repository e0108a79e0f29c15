"""All rules: how each ONNX operator, at each of its versions, becomes operators of the graph dialect.

A rule is a function of a `Node`; the files rules_*.py hold them by family, each in a table by operator, and a family
belongs to one domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import (
    rules_attention,
    rules_contrib,
    rules_control,
    rules_elementwise,
    rules_ml,
    rules_movement,
    rules_nets,
    rules_random,
    rules_recurrent,
    rules_reduce,
    rules_resize,
    rules_sampling,
    rules_sequences,
    rules_shape,
    rules_signal,
    rules_training,
    rules_trees,
)
from .node import Rule

DOMAINS: Mapping[str, Sequence[Any]] = {
    "": (
        rules_control,
        rules_elementwise,
        rules_movement,
        rules_nets,
        rules_random,
        rules_recurrent,
        rules_reduce,
        rules_resize,
        rules_sampling,
        rules_sequences,
        rules_shape,
        rules_signal,
    ),
    "ai.onnx.ml": (rules_ml, rules_trees),
    "ai.onnx.preview.training": (rules_training,),
    "com.microsoft": (rules_contrib, rules_attention),
}

RULES: Mapping[tuple[str, str], Rule] = {
    (domain, operator): rule
    for domain, families in DOMAINS.items()
    for family in families
    for operator, rule in family.RULES.items()
} | {("", operator): rule for operator, rule in rules_contrib.MISPLACED.items()}
