"""L1 to L3: every operator of the graph dialect, against its reference meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from xdsl.utils.exceptions import VerifyException

from ...dialects.graph import BY_NAME
from ...errors import Error
from ...ir.check_each import relative_bound
from ...ir.evaluator import evaluate
from ..case_programs import inputs_of_case, program_of_case
from ..graph_cases import CASES, SIZES, Case
from .kit import Check, Meaningless, Subject, agree

FAMILIES = {
    "L1": ("unary", "binary", "movement"),
    "L2": ("reduction", "contraction", "pooling", "normalization"),
}  # the others at L3
ODD = {"N": 7, "M": 5, "K": 3, "H": 9, "W": 11}
EMPTY = dict.fromkeys("NMKHW", 0)
ONE = dict.fromkeys("NMKHW", 1)
FUNCTIONS = 16  # errors of one evaluation of a function, in units in the last place


def level_of(case: Case) -> str:
    family = BY_NAME[case.operator].__module__.rpartition(".")[2]
    return next((level for level, families in FAMILIES.items() if family in families), "L3")


def checks() -> Iterator[Check]:
    """Each case at the sizes that it names, at its level; and at others, at L3."""
    for number, case in enumerate(CASES):
        level = level_of(case)
        name = f"{number}: {case}"
        yield Check(level, name, partial(compute, case=case, symbols=SIZES | dict(case.sizes[0])))
        if any(t is not None and t.symbols for t in case.operands):
            for what, sizes in (("odd", ODD), ("one", ONE), ("empty", EMPTY)):
                yield Check("L3", f"{name} {what}", partial(compute, case=case, symbols=sizes))


def compute(subject: Subject, case: Case, symbols: Mapping[str, int]) -> None:
    """Raises Meaningless for sizes at which the case cannot be computed."""
    try:
        types, arrays = inputs_of_case(case, np.random.default_rng(0), symbols)
        module = program_of_case(case, types, symbols)
        expected = evaluate(module, arrays)
    except (Error, ArithmeticError, LookupError, ValueError, VerifyException) as error:
        raise Meaningless(str(error)) from error
    agree(expected, subject.engine(module).run(arrays), FUNCTIONS * relative_bound(module))
