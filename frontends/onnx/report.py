"""What a model needs that ircc has not, all of it in one report."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...errors import Issue

# what to do about an obstacle for which a rule names no remedy, by what its reason says; the last one fits all
REMEDIES = (
    (
        "no rule for this operator",
        "docs/operators.md lists what is compiled; docs/add-an-operator.md: how to add it",
    ),
    ("has elements of", "cast to a type that docs/operators.md lists for the operator"),
    ("data|run time", "compute it from constants and the inputs' sizes, or fix sizes with --shape"),
    ("sparse", "store it as a dense tensor"),
    ("asked for", "export the model without that output"),
    (" is set", "export the model without that attribute"),
    ("different sizes|differs from|changes its sizes", "pad to one size, or fix sizes with --shape"),
    ("", "write this part of the model with other operators, or with a newer opset; docs/operators.md lists them"),
)


def remedy(reason: str) -> str:
    """A hint for an obstacle that has none of its own."""
    return next(text for pattern, text in REMEDIES if re.search(pattern, reason))


@dataclass
class Report:
    """What `check_model` found. `issues` cannot be compiled; `python` runs in Python, or is compiled at the first run.
    `supported` and `expanded` count nodes by operator: those that a rule imports, and those that were replaced by their
    function body."""

    model: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    python: list[Issue] = field(default_factory=list)
    supported: Counter[str] = field(default_factory=Counter)
    expanded: Counter[str] = field(default_factory=Counter)

    HEADER = ("node", "operator", "opset", "reason")

    @property
    def ok(self) -> bool:
        """True when ircc can run the model."""
        return not self.issues

    @property
    def native(self) -> bool:
        """True when all of it is compiled, ahead of the first run."""
        return not self.issues and not self.python

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The issues as the rows of a table, under HEADER."""
        return [(i.node, i.operator, str(i.opset), i.reason) for i in self.issues]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "model": self.model,
            "ok": self.ok,
            "native": self.native,
            "opsets": {domain or "ai.onnx": version for domain, version in sorted(self.opsets.items())},
            "issues": [_to_dict(issue) for issue in self.issues],
            "python": [_to_dict(issue) for issue in self.python],
            "supported": dict(sorted(self.supported.items())),
            "expanded": dict(sorted(self.expanded.items())),
        }

    def __str__(self) -> str:
        count = self.supported.total() + self.expanded.total()
        if self.ok:
            return f"{self.model or 'model'}: all {count} nodes can be compiled"
        lines = [f"{self.model or 'model'}: {len(self.issues)} issues, {count} nodes can be compiled"]
        return "\n".join([*lines, *(f"  {issue}" for issue in self.issues)])


def _to_dict(i: Issue) -> dict[str, Any]:
    return {"node": i.node, "operator": i.operator, "opset": i.opset, "reason": i.reason, "hint": i.hint}
