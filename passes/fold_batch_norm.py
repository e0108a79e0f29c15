"""Put BatchNormalization into the weights of the convolution or matrix product before it.

    (w * x + b - mean) / sqrt(variance + eps) * scale + bias  =  (w s) * x + ((b - mean) s + bias)

with s = scale / sqrt(variance + eps) per output channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ..dialects.graph.base import GraphOp
from ..dialects.graph.contraction import Conv, ConvTranspose, Gemm, MatMul
from ..dialects.graph.data import Constant
from ..dialects.graph.normalization import BatchNormalization
from ..ir.nodes import merged, set_nodes
from ..ir.operands import walk
from ..ir.passes import Pass

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold a BatchNormalization with constant vectors into a Conv, ConvTranspose, Gemm or MatMul (of matrices) with
    constant weights whose only reader it is.

    The new weights are computed in float64 and rounded once, so results differ by rounding. Only float32 and float64;
    what would not be finite stays as it is."""

    name = "fold-batch-norm"

    def run(self, module: ModuleOp) -> bool:
        found = [op for op in walk(module) if isinstance(op, BatchNormalization)]
        return sum(fold(op) for op in found) > 0


def fold(op: BatchNormalization) -> bool:
    """Fold one normalization into the operator before it, if that can be."""
    source = op.x.owner
    vectors = [v for given in (op.scale, op.bias, op.mean, op.variance) if (v := constant(given)) is not None]
    if not isinstance(source, GraphOp) or not op.x.has_one_use() or len(vectors) < 4:
        return False
    scale, bias, mean, variance = (v.astype(np.float64) for v in vectors)
    dtype = op.type_of(0).dtype
    if dtype.name not in ("float32", "float64"):
        return False
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + op.get("epsilon"))
    new = scaled(source, factor, bias - mean * factor, dtype)
    if new is None:
        return False
    block = op.parent
    assert block is not None
    for made in new:
        block.insert_op_before(made, op)
    set_nodes(new[-1], merged(source, op))
    result = new[-1].results[0]
    result.name_hint = op.result.name_hint
    op.result.replace_all_uses_with(result)
    for old in (op, source):
        old.detach()
        old.erase()
    return True


def scaled(op: GraphOp, factor: Array, shift: Array, dtype: np.dtype[Any]) -> list[GraphOp] | None:
    """Operations that compute `op * factor + shift` per channel (axis 1), the last one in its place; None if there are
    none."""
    channels = factor.shape[0]
    match op:
        case Conv() | ConvTranspose():
            w, old = constant(op.w), constant(op.b)
            if w is None or (op.b is not None and old is None):
                return None
            group = op.get("group")
            if isinstance(op, Conv):  # [M, C / group, ...]
                weight = w.astype(np.float64) * factor.reshape(-1, *[1] * (w.ndim - 1))
            else:  # [C, M / group, ...], a group's rows after the other's
                by_group = w.astype(np.float64).reshape(group, -1, channels // group, *w.shape[2:])
                spread = factor.reshape(group, 1, channels // group, *[1] * (w.ndim - 2))
                weight = (by_group * spread).reshape(w.shape)
            before = old if old is not None else np.zeros(channels)
        case Gemm() | MatMul():
            w = constant(op.b)
            if w is None or op.type_of(0).rank != 2 or w.ndim != 2:
                return None
            turned, alpha, beta, old = False, 1.0, 1.0, None
            if isinstance(op, Gemm):
                turned, alpha, beta, old = op.get("trans_b"), op.get("alpha"), op.get("beta"), constant(op.c)
                if op.c is not None and (old is None or old.shape not in ((), (1,), (channels,), (1, channels))):
                    return None
            weight = w.astype(np.float64) * alpha * (factor[:, None] if turned else factor)
            before = np.zeros(channels) if old is None else np.broadcast_to(old.reshape(-1) * beta, channels)
        case _:
            return None
    offset = (before.astype(np.float64) * factor + shift).astype(dtype)
    weight = weight.astype(dtype)
    if not (np.isfinite(weight).all() and np.isfinite(offset).all()):
        return None
    first, second = Constant.of(weight), Constant.of(offset)
    if isinstance(op, Conv | ConvTranspose):
        new = type(op)(
            operands=[op.x, first.result, [second.result]],
            properties={k: v for k, v in op.properties.items() if k != "operandSegmentSizes"},
            result_types=op.result_types,
        )
    else:
        assert isinstance(op, Gemm | MatMul)
        trans_a = op.get("trans_a") if isinstance(op, Gemm) else False
        trans_b = op.get("trans_b") if isinstance(op, Gemm) else False
        new = Gemm.make(op.a, first.result, second.result, trans_a=trans_a, trans_b=trans_b)
    return [first, second, new]


def constant(value: SSAValue | None) -> Array | None:
    """The data of a constant, None for anything else."""
    return value.owner.array if value is not None and isinstance(value.owner, Constant) else None
