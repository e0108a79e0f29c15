"""L1 to L3: every operator of the graph dialect, against its reference meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.utils.exceptions import VerifyException

from ...dialects.graph import BY_NAME
from ...errors import Error
from ...ir.check_each import relative_bound
from ...ir.evaluator import evaluate
from ...ir.expr import Expr
from ...ir.types import TensorType
from ..case_programs import inputs_of_case, program, program_of_case
from ..graph_cases import CASES, SIZES, Case
from .kit import Check, Meaningless, Subject, Wrong, agree

FAMILIES = {
    "L1": ("unary", "binary", "movement"),
    "L2": ("reduction", "contraction", "pooling", "normalization"),
}  # the others at L3
ODD = {"N": 7, "M": 5, "K": 3, "H": 9, "W": 11}
EMPTY = dict.fromkeys("NMKHW", 0)
ONE = dict.fromkeys("NMKHW", 1)
PRODUCTS = ((64, 96, 128), (128, 64, 64), (96, 256, 8), (65, 67, 33))  # rows, depth, columns
FUNCTIONS = 16  # errors of one evaluation of a function, in units in the last place


def level_of(case: Case) -> str:
    family = BY_NAME[case.operator].__module__.rpartition(".")[2]
    return next((level for level, families in FAMILIES.items() if family in families), "L3")


def checks() -> Iterator[Check]:
    """Each case at the sizes that it names, which are known when it is compiled, at its level; and at others, which are
    not, at L3. And products large enough for schedules with tiles."""
    for number, case in enumerate(CASES):
        name, level = f"{number}: {case}", level_of(case)
        yield Check(level, name, partial(compute, case=case, symbols=SIZES | dict(case.sizes[0])), case.operator)
        if any(t is not None and t.symbols for t in case.operands):
            yield Check("L3", f"{name} at other sizes", partial(other_sizes, case=case), case.operator)

    for sizes in PRODUCTS:
        yield Check("L2", f"product of matrices {sizes}", partial(product, sizes=sizes), "product")


def product(subject: Subject, sizes: tuple[int, int, int]) -> None:
    """Of small whole numbers, so that every order of the sum gives the same."""
    m, k, n = sizes
    matmul = BY_NAME["MatMul"]
    types = [TensorType.of(shape, f32) for shape in ((2, m, k), (2, k, n))]
    engine = subject.engine(program(matmul, list(types), {}))
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, type_.static_shape).astype(np.float32) for type_ in types)
    for _ in range(3):  # lanes that do not wait for each other may be right once
        agree({"output_0": a @ b}, engine.run({"input_0": a, "input_1": b}), 0.0)


def compute(subject: Subject, case: Case, symbols: Mapping[str, int]) -> None:
    """Raises Meaningless for sizes at which the case cannot be computed."""
    module, arrays, expected = meaning(case, symbols)
    agree(expected, subject.engine(module).run(arrays), FUNCTIONS * relative_bound(module))


def other_sizes(subject: Subject, case: Case) -> None:
    """One engine for all sizes, where each name in them is a size of an input by itself; else one for each."""
    engine, asked = None, False
    types = [t for t in case.operands if t is not None]
    if names_in([*case.properties.values(), *types]) <= {name for t in types for name in plain(t)}:
        engine = subject.engine(program_of_case(case, list(case.operands), None))
    for what, symbols in (("odd", ODD), ("single", ONE), ("empty", EMPTY)):
        with suppress(Meaningless):
            module, arrays, expected = meaning(case, symbols)
            asked = True
            try:
                found = (engine or subject.engine(module)).run(arrays)
                agree(expected, found, FUNCTIONS * relative_bound(module))
            except (Error, Wrong) as fault:
                raise Wrong(f"{what} sizes: {fault}") from fault
    if not asked:
        raise Meaningless("it has no meaning at any of these sizes")


def meaning(case: Case, symbols: Mapping[str, int]) -> tuple[ModuleOp, dict[str, Any], Mapping[str, Any]]:
    """The case at some sizes, inputs, and what comes of them. Raises Meaningless."""
    try:
        types, arrays = inputs_of_case(case, np.random.default_rng(0), symbols)
        module = program_of_case(case, types, symbols)
        return module, arrays, evaluate(module, arrays)
    except (Error, ArithmeticError, LookupError, ValueError, VerifyException) as error:
        raise Meaningless(str(error)) from error


def names_in(value: Any) -> set[str]:
    """Names of sizes in types and properties."""
    if isinstance(value, Expr | TensorType):
        return set(value.symbols)
    return {name for v in value for name in names_in(v)} if isinstance(value, list) else set()


def plain(type_: TensorType) -> set[str]:
    """Names that are sizes of a type by themselves, so that a run knows what they are."""
    return {name for size in type_.sizes for name in size.symbols if size == Expr.symbol(name)}
