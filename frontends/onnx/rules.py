"""All rules: how each ONNX operator, at each of its versions, becomes operators of the graph dialect.

A rule is a function of a `Node`. A file `rules_*.py` beside this one holds a family of them in a table RULES, by
operator; being there is all it takes. A family of another domain than ONNX's own says so: DOMAIN. MISPLACED, where a
file has it, are operators that exporters write under ONNX's own domain although they belong to DOMAIN.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .node import Rule

FAMILIES: Mapping[str, Any] = {
    path.stem: import_module(f".{path.stem}", __package__) for path in sorted(Path(__file__).parent.glob("rules_*.py"))
}

RULES: Mapping[tuple[str, str], Rule] = {
    **{("", operator): rule for f in FAMILIES.values() for operator, rule in getattr(f, "MISPLACED", {}).items()},
    **{(getattr(f, "DOMAIN", ""), operator): rule for f in FAMILIES.values() for operator, rule in f.RULES.items()},
}
