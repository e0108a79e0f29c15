"""The table of docs/operators.md: every operator of ONNX, its opsets, its types, and how ircc computes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import TensorProto

from ircc.dialects.graph import BY_NAME
from ircc.frontends.onnx.opaque import OPERATORS
from ircc.frontends.onnx.rules import RULES
from ircc.frontends.onnx.source import DTYPES

NAMES = {"": "ai.onnx"}
NUMERIC = {TensorProto.DataType.Name(code).lower() for code in DTYPES}
INTRODUCTION = """\
How each operator is computed. `rule` and a file: the importer composes it of operators of the graph dialect, and the
file in `frontends/onnx/` says of which; `graph.x` beside it says that the dialect has an operator of that name. `body`:
the function body that ONNX gives for the operator is imported in its place. `while importing`: nothing is left of it,
because the values or structures it works on are known. `Python`: it has no native meaning; the reference evaluator runs
it between compiled pieces, and `ircc check` says so. A dash: ircc cannot compile it.

An operator with a rule may refuse an attribute or a type all the same; `ircc check` says which and why. Opsets are the
versions in which the operator changed; all of them are read from opset 6 of ai.onnx on, older ones where they are the
same. Types are those of its first input (of its output, where it has no input) that ircc takes; strings go to Python.

Schemas of onnx {version}."""

VERSION = ".".join(onnx.__version__.split(".")[:2])


def sections() -> Iterator[tuple[str, list[list[str]]]]:
    """A title and the rows of a table for each domain."""
    history: dict[str, dict[str, list[Any]]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        history.setdefault(schema.domain, {}).setdefault(schema.name, []).append(schema)
    for domain, operator in RULES:
        history.setdefault(domain, {}).setdefault(operator, [])
    for domain in sorted(history):
        rows = [row(domain, name, schemas) for name, schemas in sorted(history[domain].items())]
        yield NAMES.get(domain, domain), rows


def row(domain: str, operator: str, schemas: list[Any]) -> list[str]:
    """Operator, opsets, types, how."""
    versions = sorted({schema.since_version for schema in schemas})
    newest = max(schemas, key=lambda schema: schema.since_version, default=None)
    gone = " (deprecated)" if newest is not None and newest.deprecated else ""
    live = max((s for s in schemas if not s.deprecated), key=lambda schema: schema.since_version, default=None)
    types = "" if live is None else types_of(live)
    return [operator + gone, ", ".join(map(str, versions)), types, how(domain, operator, live)]


def types_of(schema: Any) -> str:
    """The numeric element types of the first input, or of the output."""
    formal = [*schema.inputs, *schema.outputs][:1]
    names = sorted({t[t.rindex("(") + 1 :].rstrip(")") for t in (formal[0].types if formal else ()) if "(" in t})
    taken = [name for name in names if name in NUMERIC]
    return "all numbers" if len(taken) == len(NUMERIC) else ", ".join(taken)


def how(domain: str, operator: str, schema: Any) -> str:
    """In which way it is computed."""
    if (domain, operator) in OPERATORS:
        return f"Python: {OPERATORS[domain, operator]}"
    if (rule := RULES.get((domain, operator))) is not None:
        file = rule.__module__.rpartition(".")[2]
        if file == "rules_sequences":
            return f"while importing, `{file}`"
        own = BY_NAME.get(operator)
        return f"rule, `{file}`" + (f", `{own.name}`" if own is not None and not domain else "")
    if schema is not None and (schema.has_function or schema.has_context_dependent_function):
        return "body"
    return "–"
