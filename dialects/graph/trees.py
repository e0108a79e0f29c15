"""Decision trees as tables: which leaf of each tree a row of features ends in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import BoolAttr, DenseArrayBase, IntegerAttr, i32
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def

from ...ir.types import Check, TensorType
from .base import Array, GraphOp, Sizes, need, need_kind, need_same, same_checks

COMPARISONS = ("le", "lt", "ge", "gt", "eq", "ne")  # by the number that ONNX's TreeEnsemble gives a mode
MODE, TRACKS = 7, 8  # bits of an element of `rules`: the comparison, and whether NaN goes to the true branch


@irdl_op_definition
class TreeLeaves(GraphOp):
    """The node that each row of `x` [rows, features] reaches in each tree, `steps` steps from its root in `roots`.

    At node i, `x[row, features[i]]` is compared with `thresholds[i]` by `rules[i] % 8` (0 to 5: <=, <, >=, >, ==, !=);
    the next node is `children[i, 1]` where that holds, else `children[i, 0]`. NaN goes to `children[i, 1]` if
    `rules[i]` is 8 or more. A leaf is a node that is its own child. `modes` are the comparisons that occur,
    `tracks` says whether a rule of 8 or more does. Elements of the tables are in range: who makes them sees to it.

    C1: x is a float matrix. C2: thresholds are of its element type. C3: tables are vectors over the same nodes,
    children pairs. C4: features, children and roots are int32, rules uint8. C5: steps are not negative, modes are from
    0 to 5.
    """

    name = "graph.tree_leaves"
    DEFAULTS: ClassVar = {"tracks": False}
    x = operand_def(TensorType)
    features = operand_def(TensorType)
    thresholds = operand_def(TensorType)
    rules = operand_def(TensorType)
    children = operand_def(TensorType)
    roots = operand_def(TensorType)
    steps = prop_def(IntegerAttr)
    modes = prop_def(DenseArrayBase)
    tracks = prop_def(BoolAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, features, thresholds, rules, children, roots = (self.type_of(i) for i in range(6))
        need(x.rank == 2, f"C1 rank {x.rank}")
        need_kind(x, "f", "C1")
        need_same(x, thresholds, "C2")
        for table, rank in ((features, 1), (thresholds, 1), (rules, 1), (children, 2), (roots, 1)):
            need(table.rank == rank, f"C3 a table of rank {table.rank}")
        need((children.sizes[1] - 2).constant == 0, f"C3 {children.sizes[1]} children of each node")
        for table in (thresholds, rules, children):
            need((table.sizes[0] - features.sizes[0]).constant in (None, 0), "C3 tables of different length")
        for table in (features, children, roots):
            need(table.dtype == np.int32, f"C4 element type {table.element_type} of an index")
        need(rules.dtype == np.uint8, f"C4 element type {rules.element_type} of rules")
        need(self.get("steps") >= 0, f"C5 {self.get('steps')} steps")
        need(all(0 <= m < len(COMPARISONS) for m in self.get("modes")), f"C5 modes {self.get('modes')}")
        return [TensorType.of([x.sizes[0], roots.sizes[0]], i32)]

    def checks(self) -> Sequence[Check]:
        nodes = self.type_of(1).sizes[0]
        return same_checks(self.name, [(nodes, self.type_of(i).sizes[0]) for i in (2, 3, 4)])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, features, thresholds, rules, children, roots = inputs
        row = np.arange(x.shape[0])[:, None]
        node = np.broadcast_to(roots, (x.shape[0], roots.shape[0]))
        for _ in range(self.get("steps")):
            value, threshold, rule = x[row, features[node]], thresholds[node], rules[node]
            below, above, same = value < threshold, value > threshold, value == threshold
            by_mode = [below | same, below, above | same, above, same, below | above]
            holds = np.choose(rule & MODE, by_mode) | (np.isnan(value) & (rule >= TRACKS))
            node = children[node, holds.astype(np.int32)]
        return [node.astype(np.int32)]
