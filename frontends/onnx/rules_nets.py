"""Rules of the operators that networks are made of: contractions, convolutions, pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ModelError
from ...ir.expr import ONE, ZERO, Expr, ceildiv, maximum
from .builder import Value
from .node import Node, Result, Rule


def gemm(n: Node) -> Value:
    transposed = {"trans_a": bool(n.attr("transA", 0)), "trans_b": bool(n.attr("transB", 0))}
    factors = {"alpha": n.attr("alpha", 1.0), "beta": n.attr("beta", 1.0)}
    return n.emit("Gemm", n.input(0), n.input(1), n.optional(2), **factors, **transposed)


def matmul(n: Node) -> Value:
    return n.emit("MatMul", *n.inputs)


def einsum(n: Node) -> Value:
    return n.emit("Einsum", n.inputs, equation=n.required("equation"))


# ---- windows


def spaces(n: Node) -> int:
    """Number of axes of space. Raises ModelError when there is none."""
    if n.input(0).rank < 3:
        raise ModelError(f"its input has {n.input(0).rank} dimensions, expected [N, C, ...]")
    return n.input(0).rank - 2


def lists(n: Node, names: Sequence[str], axes: int, default: int) -> list[list[int]]:
    """Attributes with one number per axis."""
    found = [n.attr(name, [default] * axes) for name in names]
    for name, values in zip(names, found, strict=True):
        if len(values) != axes:
            raise ModelError(f"attribute {name} has {len(values)} values for {axes} axes")
    return found


def windows(n: Node, kernel: Sequence[Expr], sizes: Sequence[Expr]) -> dict[str, Any]:
    """Strides, dilations and pads of a convolution or pool over axes of these sizes."""
    axes = len(sizes)
    if len(kernel) != axes:
        raise ModelError(f"a kernel of {len(kernel)} axes for {axes}")
    strides, dilations = lists(n, ("strides", "dilations"), axes, 1)
    if min(*strides, *dilations, 1) < 1:
        raise ModelError(f"strides {strides} and dilations {dilations} must be positive")
    auto = n.attr("auto_pad", "NOTSET")
    pads = [Expr.const(p) for p in n.attr("pads", [0] * 2 * axes)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        totals = [same(*given) for given in zip(sizes, spans, strides, strict=True)]
        pads = shared(totals, auto == "SAME_UPPER")
    elif auto == "VALID":
        pads = [ZERO] * (2 * axes)
    elif auto != "NOTSET":
        raise ModelError(f"auto_pad is {auto!r}")
    return {"strides": strides, "dilations": dilations, "pads": pads}


def same(size: Expr, span: Expr, stride: int) -> Expr:
    """Pads, both ends together, with which there are `size ceildiv stride` windows of `span`."""
    if span == ONE:
        return ZERO
    total = (ceildiv(size, stride) - 1) * stride + span - size
    # size ceildiv stride * stride >= size, so that windows which overlap or touch never need less than nothing
    return total if (span - stride).nonnegative() else maximum(total, 0)


def shared(totals: Sequence[Expr], less_before: bool) -> list[Expr]:
    """Pads on both ends of each axis; an odd one goes to the end, or to the beginning."""
    less = [t // 2 for t in totals]
    more = [t - half for t, half in zip(totals, less, strict=True)]
    return [*less, *more] if less_before else [*more, *less]


def kernel_of(n: Node, w: Value) -> list[Expr]:
    """The kernel's sizes, by the weights. Raises ModelError when the attribute says something else."""
    sizes = list(w.sizes[2:])
    given = n.attr("kernel_shape")
    if given is not None and len(given) != len(sizes):
        raise ModelError(f"kernel_shape {given} for weights of {w.rank} dimensions")
    for a, b in zip(sizes, given or [], strict=False):
        n.builder.same(a, Expr.const(b), f"the weights have a kernel size of {a}, kernel_shape says {b}")
    return sizes


def grouped(n: Node, w: Value) -> Value:
    """The weights with a first size that the number of groups divides; for a symbolic one that is checked."""
    group, size = n.attr("group", 1), w.sizes[0]
    if group < 1:
        raise ModelError(f"group is {group}")
    if size.constant is not None or size % group == ZERO:
        return w
    return n.reshape(w, [size // group * group, *w.sizes[1:]])


def conv(n: Node) -> Value:
    x, w = n.input(0), n.input(1)
    spaces(n)
    found = windows(n, kernel_of(n, w), x.sizes[2:])
    return n.emit("Conv", x, grouped(n, w), n.optional(2), group=n.attr("group", 1), **found)


def conv_transpose(n: Node) -> Value:
    x, w = n.input(0), n.input(1)
    axes, kernel = spaces(n), kernel_of(n, w)
    auto = n.attr("auto_pad", "NOTSET")
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    found = windows(n, kernel, [ZERO] * axes)
    (extra,) = lists(n, ("output_padding",), axes, 0)
    strides, dilations = found["strides"], found["dilations"]
    wanted: Sequence[Expr] | None = None
    if "output_shape" in n.attributes:
        wanted = [Expr.const(s) for s in n.required("output_shape")[-axes:]]
    elif same:
        wanted = [size * s for size, s in zip(x.sizes[2:], strides, strict=True)]
    if wanted is not None:
        if len(wanted) != axes:
            raise ModelError(f"output_shape has {len(wanted)} values for {axes} axes")
        full = [
            (size - 1) * s + e + (k - 1) * d + 1
            for size, s, e, k, d in zip(x.sizes[2:], strides, extra, kernel, dilations, strict=True)
        ]
        totals = [a - b for a, b in zip(full, wanted, strict=True)]
        found["pads"] = shared(totals, auto == "SAME_UPPER")
    found |= {"group": n.attr("group", 1), "output_padding": extra}
    return n.emit("ConvTranspose", x, grouped(n, w), n.optional(2), **found)


def pool(operator: str, *, flags: Sequence[str] = (), numbers: Mapping[str, int] | None = None) -> Rule:
    """A pool, with attributes that are flags (0 by default) and numbers."""

    def rule(n: Node) -> Result:
        x, axes = n.input(0), spaces(n)
        kernel = n.required("kernel_shape")
        found = windows(n, [Expr.const(k) for k in kernel], x.sizes[2:])
        if len(kernel) != axes or min(kernel) < 1:
            raise ModelError(f"kernel_shape {kernel} for {axes} axes")
        found |= {k: bool(n.attr(k, 0)) for k in flags} | {k: n.attr(k, v) for k, v in (numbers or {}).items()}
        if operator == "MaxPool":
            found["indices"] = n.wants(1)
        return n.emit_all(operator, x, kernel=kernel, **found)

    return rule


def global_pool(operator: str) -> Rule:
    def rule(n: Node) -> Value:
        extra = {"p": n.attr("p", 2)} if operator == "GlobalLpPool" else {}
        return n.emit(operator, n.input(0), **extra)

    return rule


RULES: Mapping[str, Rule] = {
    "AveragePool": pool("AveragePool", flags=("ceil_mode", "count_include_pad")),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": einsum,
    "Gemm": gemm,
    "GlobalAveragePool": global_pool("GlobalAveragePool"),
    "GlobalLpPool": global_pool("GlobalLpPool"),
    "GlobalMaxPool": global_pool("GlobalMaxPool"),
    "LpPool": pool("LpPool", flags=("ceil_mode",), numbers={"p": 2}),
    "MatMul": matmul,
    "MaxPool": pool("MaxPool", flags=("ceil_mode",), numbers={"storage_order": 0}),
}
