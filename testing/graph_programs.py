"""Random modules of the graph dialect: well-typed chains of operators, with inputs that they accept.

`random_graph` and `random_inputs` take any source of random choices with the methods of `random.Random`; `graphs` is
the Hypothesis strategy. Recipes (how to draw the operands and properties of one operator) are in `graph_recipes`.

Programs avoid what ONNX leaves undefined (dividing integers by zero, casting what does not fit, writing one element
twice), and feed discontinuous operators only with values that every correct implementation computes alike.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp

from ..errors import InputError
from ..ir.evaluator import main_function, names_of, run_checks
from ..ir.types import ExprAttr, TensorType
from .graph_builder import (
    EVERY_ELEMENT,
    EXAMPLE,
    GraphBuilder,
    NoElement,
    Recipe,
    kind_of,
    numpy_rng,
    random_array,
    type_of,
)
from .graph_recipes import INEXACT, RECIPES


def random_graph(
    rng: random.Random,
    *,
    recipes: Mapping[str, Recipe] | None = None,
    length: tuple[int, int] = (1, 8),
    elements: Collection[str] = EVERY_ELEMENT,
    symbolic: bool = True,
) -> ModuleOp:
    """A module with `length` (least, most) operators in `func.func @main`, chained as it comes.

    `recipes`: those to draw from, by name of the operator's class; `elements`: names of NumPy dtypes to use."""
    table = RECIPES if recipes is None else recipes
    builder = GraphBuilder(rng, elements, symbolic)
    wanted, names = rng.randint(*length), sorted(table)
    for _ in range(20 * wanted):
        try:
            op = table[rng.choice(names)](builder)
        except NoElement:
            continue
        floats = any(kind_of(type_of(v).element_type) == "f" for v in (*op.operands, *op.results))
        builder.add(op, exact=not (floats and type(op).__name__ in INEXACT))
        wanted -= 1
        if not wanted:
            break
    return builder.module()


def graphs(length: tuple[int, int] = (1, 8), **options: Any) -> st.SearchStrategy[ModuleOp]:
    """Modules as `random_graph` draws them, with its options. They shrink to shorter ones: a seed's first operators."""

    def draw(seed: int, count: int) -> ModuleOp:
        return random_graph(random.Random(seed), length=(count, count), **options)

    return st.builds(draw, st.integers(0, 2**32 - 1), st.integers(*length))


def example_sizes(module: ModuleOp) -> dict[str, int]:
    """The sizes that the module was drawn with."""
    given = module.attributes.get(EXAMPLE)
    assert isinstance(given, DictionaryAttr)
    return {k: v.value.data for k, v in given.data.items() if isinstance(v, IntegerAttr)}


def _accepts(module: ModuleOp, symbols: Mapping[str, int]) -> bool:
    """All size checks hold, and no size is negative."""
    main = main_function(module)
    try:
        run_checks(main.attributes.get("ircc.checks"), symbols)
    except InputError:
        return False
    types = [r.type for op in main.body.block.ops for r in op.results]
    sizes = [s for t in types if isinstance(t, TensorType) for s in t.sizes]
    ranges = [d.data for d in main.arg_attrs or () if "ircc.low" in d.data]
    spans = [r["ircc.high"].data - r["ircc.low"].data for r in ranges]  # pyright: ignore
    return all(s.evaluate(symbols=symbols) >= 0 for s in (*sizes, *spans))


def random_inputs(
    module: ModuleOp, rng: random.Random, *, vary: bool = True, special: bool = False, whole: bool = False
) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs by name that the module accepts. `vary`: also with sizes other than those it was drawn with. `whole`: of
    whole numbers."""
    main, symbols = main_function(module), example_sizes(module)
    if vary and rng.random() < 0.5:
        other = {name: rng.choice((0, 1, 2, 3, 4, 5, 8)) for name in symbols}
        symbols = other if _accepts(module, other) else symbols
    args = main.body.block.args
    attributes = list(main.arg_attrs or [DictionaryAttr({})] * len(args))
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, arg, given in zip(names_of(main.arg_attrs, len(args), "input_"), args, attributes, strict=True):
        type_ = arg.type
        assert isinstance(type_, TensorType)
        low, high = given.data.get("ircc.low"), given.data.get("ircc.high")
        shape = [s.evaluate(symbols=symbols) for s in type_.sizes]
        bounds = [e.data.evaluate(symbols=symbols) if isinstance(e, ExprAttr) else None for e in (low, high)]
        found[name] = random_array(numpy_rng(rng), type_.dtype, shape, *bounds, special=special, whole=whole)
    return found
