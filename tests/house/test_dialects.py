"""Every operation says what it means and what it asks for, and has a reference meaning."""

import inspect
import re
from pathlib import Path

import pytest
from xdsl.irdl import IRDLOperation

from ircc.testing import inventory

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = [op for level in inventory.LEVELS for op in inventory.operations(level)]
every_operation = pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)


def documented(op: type[IRDLOperation]) -> set[int]:
    """The constraints that the docstrings of an operation and of its families define or refer to."""
    texts = [vars(cls).get("__doc__") or "" for cls in (op, *inventory.families(op))]
    return {int(number) for text in texts for number in re.findall(r"\bC(\d+)\b", text)}


def raised(op: type[IRDLOperation]) -> set[int]:
    """The constraints that the code of an operation and of its families names in messages."""
    found: set[int] = set()
    for cls in (op, *inventory.families(op)):
        code = inspect.getsource(cls).replace(vars(cls).get("__doc__") or "\0", "")
        found |= {int(number) for number in re.findall(r"""["'{]C(\d+)\b""", code)}
    return found


@every_operation
def test_operation_says_what_it_means(op: type[IRDLOperation]) -> None:
    assert vars(op).get("__doc__"), f"{op.name} has no docstring"


@every_operation
def test_messages_cite_documented_constraints(op: type[IRDLOperation]) -> None:
    assert raised(op) <= documented(op)


@every_operation
def test_constraints_are_numbered_from_one(op: type[IRDLOperation]) -> None:
    numbers = documented(op)
    assert numbers == set(range(1, len(numbers) + 1))


@pytest.mark.parametrize("op", inventory.operations("graph"), ids=lambda op: op.name)
def test_graph_operation_has_a_reference_meaning(op: type[IRDLOperation]) -> None:
    for method in ("infer", "evaluate"):
        definer = next(cls for cls in op.__mro__ if method in vars(cls))
        assert definer.__name__ != "GraphOp", f"{op.name} has no {method}"
