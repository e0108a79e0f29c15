"""The table of recipes, one per operator of the graph dialect, and what writing one takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dialects.graph import BY_NAME, OPERATORS, GraphOp
from .graph_builder import GraphBuilder, Recipe

RECIPES: dict[str, Recipe] = {}

# operators whose float results are not the same bits in every implementation
INEXACT = frozenset(
    op.__name__
    for op in OPERATORS
    if op.__module__.rpartition(".")[2] in ("unary", "contraction", "normalization", "resize", "reduction")
) - {"Identity", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Relu", "IsNaN", "IsInf", "Cast", "ArgMax", "ArgMin",
     "TopK", "ReduceMax", "ReduceMin", "Not", "Hardmax"} | {
    "Add", "Sub", "Mul", "Div", "Mod", "Pow", "Sum", "Mean", "PRelu", "AveragePool", "LpPool", "GlobalAveragePool",
    "GlobalLpPool", "ScatterElements", "ScatterND", "Range",
}  # fmt: skip
# operators that are not continuous, or too steep somewhere: they want operands without rounding errors
STEEP = frozenset({
    "Floor", "Ceil", "Round", "Sign", "Exp", "Log", "Sqrt", "Reciprocal", "Tan", "Asin", "Acos", "Acosh", "Atanh",
    "Sinh", "Cosh", "ThresholdedRelu", "Shrink", "IsNaN", "IsInf", "Div", "Mod", "Pow", "Hardmax", "Sin", "Cos",
})  # fmt: skip
PROPERTIES: dict[str, dict[str, Sequence[Any]]] = {
    "LeakyRelu": {"alpha": (0.0625, 0.25, -0.5)},
    "ThresholdedRelu": {"alpha": (1.0, 0.5, 0.0)},
    "Elu": {"alpha": (1.0, 0.25)},
    "Selu": {"alpha": (1.67326319217681884765625, 2.0), "gamma": (1.05070102214813232421875, 0.5)},
    "Celu": {"alpha": (1.0, 2.0)},
    "HardSigmoid": {"alpha": (0.25, 0.75), "beta": (0.5, 0.125)},
    "Swish": {"alpha": (1.0, 1.5)},
    "Gelu": {"approximate": ("none", "tanh")},
    "Shrink": {"bias": (0.0, 0.5), "lambd": (0.5, 1.25)},
    "IsInf": {"detect_positive": (True, False), "detect_negative": (True, False)},
    "BitShift": {"direction": ("LEFT", "RIGHT")},
    "GlobalLpPool": {"p": (1, 2, 3)},
    "LpNormalization": {"p": (1, 2)},
}


def drawn(g: GraphBuilder, name: str) -> dict[str, Any]:
    return {k: g.rng.choice(v) for k, v in PROPERTIES.get(name, {}).items()}


def make(operator: str, *operands: Any, **properties: Any) -> GraphOp:
    return BY_NAME[operator].make(*operands, **properties)


def axis_of(g: GraphBuilder, rank: int) -> int:
    """An axis, from either end."""
    return g.rng.randrange(-rank, rank) if rank else g.rng.choice((0, -1))


def recipe(function: Recipe) -> Recipe:
    """Registers the recipe of the operator that the function is called like, in snake case."""
    (name,) = (op.__name__ for op in OPERATORS if op.name == f"graph.{function.__name__.rstrip('_')}")
    RECIPES[name] = function
    return function
