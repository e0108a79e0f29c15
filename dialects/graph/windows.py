"""Sliding windows, as convolutions and pools have them: sizes, constraints and NumPy views.

Axis i of the space has kernel k, stride s, dilation d (all >= 1) and pads (before, after), listed as ONNX lists them:
`[before_1, ..., before_n, after_1, ..., after_n]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.expr import Expr, ExprLike, ceildiv, maximum, minimum
from ...ir.types import Check
from .base import Array, need


def output_size(
    size: ExprLike, kernel: ExprLike, stride: int, dilation: int, before: ExprLike, after: ExprLike, ceil: bool = False
) -> Expr:
    """Number of windows: `(size + before + after - d (k - 1) - 1) floordiv s + 1`.

    With `ceil` the division rounds up, but the last window starts inside of the input or the pad before it."""
    size, before = Expr.of(size), Expr.of(before)
    room = size + before + after - (Expr.of(kernel) - 1) * dilation - 1
    if not ceil:
        return room // stride + 1
    return minimum(ceildiv(room, stride) + 1, ceildiv(size + before, stride))


def need_windows(rank: int, strides: Sequence[int], dilations: Sequence[int], pads: Sequence[Expr], what: str) -> None:
    """Lists have one entry per axis (two for pads), strides and dilations are positive. Raises VerifyException."""
    need(
        len(strides) == len(dilations) == rank and len(pads) == 2 * rank,
        f"{what} strides, dilations and pads have {len(strides)}, {len(dilations)} and {len(pads)} entries "
        f"for {rank} axes",
    )
    need(min((*strides, *dilations), default=1) >= 1, f"{what} strides {strides} and dilations {dilations}")


def need_output(sizes: Sequence[Expr], what: str) -> None:
    """Known sizes are not negative. Raises VerifyException."""
    for size in sizes:
        need(size.constant is None or size.constant >= 0, f"{what} the kernel is larger than the padded input")


def output_checks(name: str, sizes: Sequence[Expr]) -> list[Check]:
    """Run-time checks that sizes are not negative, where that is not known."""
    return [
        Check.of(maximum(-size, 0), f"{name}: the kernel is larger than the padded input")
        for size in sizes
        if not size.nonnegative()
    ]


def padded(x: Array, before: Sequence[int], after: Sequence[int], value: Any = 0) -> Array:
    """x with its last axes padded; a negative pad removes."""
    lead = x.ndim - len(before)
    crop = tuple(
        slice(max(-b, 0), max(n - max(-a, 0), max(-b, 0)))
        for n, b, a in zip(x.shape[lead:], before, after, strict=True)
    )
    widths = [(0, 0)] * lead + [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    return np.pad(x[(..., *crop)], widths, constant_values=value)


def windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    out: Sequence[int],
    value: Any = 0,
) -> Array:
    """The windows of `x[N, C, ...]`, padded with `value`: a view `[N, C, out..., kernel...]`."""
    n = len(kernel)
    reach = [
        (o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(out, strides, dilations, kernel, strict=True)
    ]  # what the windows cover; with `ceil` more than the pads give, without it possibly less
    after = [r - b - size for r, b, size in zip(reach, pads[:n], x.shape[2:], strict=True)]
    if 0 in out:
        return np.zeros((*x.shape[:2], *out, *kernel), x.dtype)
    x = padded(x, pads[:n], after, value)
    span = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=tuple(range(2, 2 + n)))
    steps = (*(slice(None, None, s) for s in strides), *(slice(None, None, d) for d in dilations))
    return view[(slice(None), slice(None), *steps)]
