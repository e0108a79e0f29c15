"""Rules of com.microsoft: fused operators that ONNX Runtime's tools leave in files, on floats.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from onnx import defs

from ...errors import ModelError, UnsupportedError
from ...ir.expr import ONE
from . import rules_data, rules_formulas, rules_movement, rules_nets, rules_sampling, rules_shape
from .builder import Value
from .node import Node, Result, Rule


def standard(rule: Rule) -> Rule:
    """The rule of ONNX's own operator of that name, in its newest version."""
    return lambda n: rule(replace(n, opset=defs.onnx_opset_version(), domain=""))


# ---- contractions and what follows them

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {  # the attributes that activation parameters stand for, in order
    "Elu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "LeakyRelu": ("alpha",), "Relu": (),
    "Selu": ("alpha", "gamma"), "Sigmoid": (),
    "Softplus": (), "Softsign": (), "Tanh": (), "ThresholdedRelu": ("alpha",), "HardSwish": (),
}  # fmt: skip


def activated(n: Node, x: Value, name: str, parameters: Mapping[str, float] | list[float]) -> Value:
    """The activation that a fused operator ends with; "" for none."""
    if not name:
        return x
    if name == "Clip":
        low, high = parameters if isinstance(parameters, list) and len(parameters) == 2 else (-np.inf, np.inf)
        return n.emit("Clip", x, n.like(low, x), n.like(high, x))
    if name not in ACTIVATIONS:
        raise UnsupportedError(f"activation {name!r}")
    known = ACTIVATIONS[name]
    given = dict(zip(known, parameters, strict=False)) if isinstance(parameters, list) else parameters
    defaults = {"Elu": {"alpha": 1.0}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "LeakyRelu": {"alpha": 0.01}}
    return n.emit(name, x, **(defaults.get(name, {}) | {k: given[k] for k in known if k in given}))


def fused_matmul(n: Node) -> Value:
    a, b = (operand(n, n.input(i), "AB"[i]) for i in range(2))
    found, alpha = n.emit("MatMul", a, b), n.attr("alpha", 1.0)
    return found if alpha == 1.0 else n.emit("Mul", found, n.like(alpha, found))


def operand(n: Node, x: Value, name: str) -> Value:
    """A factor of FusedMatMul: first its first axis after those of the batch, then the last two swapped."""
    perm = [*range(x.rank)]
    if n.attr(f"transBatch{name}", 0) and x.rank > 2:
        perm = [*perm[1:-1], 0, perm[-1]]
    if n.attr(f"trans{name}", 0) and x.rank > 1:
        perm = [*perm[:-2], perm[-1], perm[-2]]
    return x if perm == [*range(x.rank)] else n.emit("Transpose", x, perm=perm)


def fused_gemm(n: Node) -> Value:
    given = {k: n.attr(f"activation_{k}", 0.0) for k in ("alpha", "beta", "gamma") if f"activation_{k}" in n.attributes}
    return activated(n, rules_nets.gemm(n), n.attr("activation", ""), given)


def fused_conv(n: Node) -> Value:
    """A convolution, to which a fourth input may be added, and an activation."""
    found = rules_nets.conv(n)
    if n.has(3):
        found = n.emit("Add", found, n.input(3))
    return activated(n, found, n.attr("activation", ""), n.attr("activation_params", []))


def channels_last_conv(weights_too: bool) -> Rule:
    """A fused convolution of [N, space..., C]. The weights of NhwcConv have their channels last as well, as ONNX
    Runtime's tool writes them (transformers/fusion_nhwc_conv.py), though its schema says otherwise."""

    def first(n: Node, x: Value) -> Value:
        return n.emit("Transpose", x, perm=[0, x.rank - 1, *range(1, x.rank - 1)])

    def rule(n: Node) -> Value:
        w, added = n.input(1), n.optional(3)
        values = [first(n, n.input(0)), first(n, w) if weights_too else w, n.optional(2)]
        found = fused_conv(replace(n, values=[*values, None if added is None else first(n, added)]))
        return n.emit("Transpose", found, perm=[0, *range(2, found.rank), 1])

    return rule


# ---- activations


def gelu(approximate: str) -> Rule:
    """Gelu of x, to which a bias may be added first."""

    def rule(n: Node) -> Value:
        x = n.emit("Add", n.input(0), n.input(1)) if n.has(1) else n.input(0)
        return n.emit("Gelu", x, approximate=approximate)

    return rule


def quick_gelu(n: Node) -> Value:
    return n.emit("Swish", n.input(0), alpha=n.attr("alpha", 1.702))


def bias_add(n: Node) -> Value:
    return n.emit("Add", n.emit("Add", n.input(0), n.input(1)), n.input(2))


# ---- normalisations


def skip_layer_normalization(n: Node) -> Result:
    """LayerNormalization of input + skip + bias; the sum is the fourth output."""
    total = skipped(n, n.optional(4))
    statistics_absent(n)
    scale = {"axis": -1, "epsilon": n.attr("epsilon", 1e-12)}
    return n.emit("LayerNormalization", total, n.input(2), n.optional(3), **scale), None, None, total


def skip_simplified(n: Node) -> Result:
    total = skipped(n, n.optional(3))
    statistics_absent(n)
    return n.emit("RMSNormalization", total, n.input(2), axis=-1, epsilon=n.attr("epsilon", 1e-12)), None, None, total


def skipped(n: Node, bias: Value | None) -> Value:
    total = n.emit("Add", n.input(0), n.input(1))
    return total if bias is None else n.emit("Add", total, bias)


def statistics_absent(n: Node) -> None:
    if n.wants(1) or n.wants(2):
        raise UnsupportedError("its mean and deviation are asked for")


def simplified(n: Node) -> Value:
    if n.wants(1):
        raise UnsupportedError("its deviation is asked for")
    n.attr("stash_type", 1)
    return n.emit("RMSNormalization", n.input(0), n.input(1), axis=n.attr("axis", -1), epsilon=n.attr("epsilon", 1e-5))


def embed_layer_normalization(n: Node) -> Result:
    """The sum of the embeddings of words, positions and segments, normalised; how many words the mask lets through."""
    words, places = n.input(0), n.optional(8)
    length = words.sizes[1]
    total = n.emit("Gather", n.input(2), words, axis=0)
    if places is None:
        zero, one = n.constant(0, np.int64), n.constant(1, np.int64)
        places = n.emit("Range", zero, one, size=length)
    total = n.emit("Add", total, n.emit("Gather", n.input(3), places, axis=0))
    if n.has(1) and n.has(4):
        total = n.emit("Add", total, n.emit("Gather", n.input(4), n.input(1), axis=0))
    found = n.emit("LayerNormalization", total, n.input(5), n.input(6), axis=-1, epsilon=n.attr("epsilon", 1e-12))
    if n.has(7):
        counts = n.emit("ReduceSum", n.cast(n.input(7), np.int32), axes=[1], keepdims=False)
    else:
        counts = n.emit("Expand", n.constant(0, np.int32), shape=[words.sizes[0]])
    return found, counts, total


# ---- movements


def expand_dims(n: Node) -> Value:
    x, (axis,) = n.input(0), n.ints(1, "the axis")
    axis += x.rank + 1 if axis < 0 else 0
    if not 0 <= axis <= x.rank:
        raise ModelError(f"axis {axis} does not fit {x.rank + 1} dimensions")
    return n.reshape(x, [*x.sizes[:axis], ONE, *x.sizes[axis:]])


# ONNX Runtime has it in ONNX's own domain, and its tools write it there
MISPLACED: Mapping[str, Rule] = {"SimplifiedLayerNormalization": simplified}

DOMAIN = "com.microsoft"
RULES: Mapping[str, Rule] = {
    **MISPLACED,
    "BiasAdd": bias_add,
    "BiasGelu": gelu("none"),
    "EmbedLayerNormalization": embed_layer_normalization,
    "CropAndResize": rules_sampling.crop_and_resize,
    "ExpandDims": expand_dims,
    "FastGelu": gelu("tanh"),
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "GatherND": standard(rules_movement.RULES["GatherND"]),
    "Gelu": gelu("none"),
    "Inverse": rules_formulas.inverse,
    "NhwcConv": channels_last_conv(True),
    "NhwcFusedConv": channels_last_conv(False),
    "Pad": standard(rules_movement.RULES["Pad"]),
    "QuickGelu": quick_gelu,
    "Range": standard(rules_shape.RULES["Range"]),
    "SkipLayerNormalization": skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": skip_simplified,
    "TransposeMatMul": fused_matmul,
    "Trilu": standard(rules_movement.RULES["Trilu"]),
    "Unique": standard(rules_data.RULES["Unique"]),
}
