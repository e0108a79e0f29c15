"""The graph dialect: WHAT a model computes, whole-tensor operators with ONNX meaning."""

from __future__ import annotations

from xdsl.ir import Dialect

from ...ir.types import TensorType
from . import (
    binary,
    contraction,
    conversion,
    data,
    indexing,
    movement,
    normalization,
    pooling,
    reduction,
    resize,
    trees,
    unary,
)
from .base import GraphOp

FAMILIES = (
    unary, conversion, binary, contraction, pooling, reduction, normalization, movement, resize, indexing, trees, data,
)  # fmt: skip

OPERATORS: tuple[type[GraphOp], ...] = tuple(
    op
    for family in FAMILIES
    for op in vars(family).values()
    if isinstance(op, type) and issubclass(op, GraphOp) and "name" in vars(op) and op.__module__ == family.__name__
)

BY_NAME = {op.__name__: op for op in OPERATORS}  # by ONNX name: BY_NAME["Conv"]

Graph = Dialect("graph", [*OPERATORS], [TensorType])
