"""Rules of operators that read images between pixels or by regions: every element is a sum over a few taken places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import ONE, Expr, product
from .builder import Value
from .node import Node, Rule
from .rules_nets import kernel_of, lists, spaces
from .terms import Term, iota, size, term

CUBIC = -0.75  # Keys' parameter, in PyTorch and ONNX alike


# ---- GridSample


def grid_sample(n: Node) -> Value:
    """x at positions of its own between -1 and 1; the last axis of the grid counts x's axes backwards."""
    x, grid, axes = term(n, 0), term(n, 1).wide(), spaces(n)
    mode = n.attr("mode", "bilinear" if n.opset < 20 else "linear")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    padding, aligned = n.attr("padding_mode", "zeros"), bool(n.attr("align_corners", 0))
    if mode not in ("nearest", "linear", "cubic") or padding not in ("zeros", "border", "reflection"):
        raise ModelError(f"mode {mode!r} with padding_mode {padding!r}")
    if grid.rank != axes + 2:
        raise ModelError(f"its grid has {grid.rank} dimensions for an input of {axes + 2}")
    grid = grid.sized(0, x.sizes[0]).sized(-1, axes)
    taps = axes if mode != "nearest" else 0
    rank = 2 + axes + taps
    indices = [iota(n, x.sizes[0], axis=0, rank=rank), iota(n, x.sizes[1], axis=1, rank=rank)]
    weights: list[Term] = []
    for axis in range(axes):
        position = grid.at(-1, axes - 1 - axis).unsqueeze(1, *range(2 + axes, rank))
        length = size(n, x.sizes[2 + axis], grid.dtype)
        place = (position + 1) * 0.5 * (length - 1) if aligned else ((position + 1) * length - 1) * 0.5
        place = place.emit("Round") if mode == "nearest" else place
        low, high = (place.like(0.0), length - 1) if aligned else (place.like(-0.5), length - 0.5)
        if padding == "border" and mode != "cubic":  # as PyTorch and ONNX Runtime do
            place = (place.lt(low) | place.gt(high)).where(place.clip(0, length - 1), place)
        elif padding == "reflection":
            place = reflected(place, low, high)
        if mode == "nearest":
            indices.append(pixel(place, length, low, high, padding))
            continue
        base = place.emit("Floor")
        offset = iota(n, 2 if mode == "linear" else 4, axis=2 + axes + axis, rank=rank, dtype=grid.dtype)
        offset = offset if mode == "linear" else offset - 1
        indices.append(pixel(base + offset, length, low, high, padding))
        distance = (offset - (place - base)).emit("Abs")
        weights.append((1 - distance if mode == "linear" else cubic(distance)).cast(x.wide().dtype))
    return weighted(x, indices, weights, range(2 + axes, rank)).value


def affine_grid(n: Node) -> Value:
    """theta times the homogeneous positions of an image's pixels, x first; each axis goes from -1 to 1."""
    theta, sizes, aligned = term(n, 0), n.named(n.sizes(1, "size"), "size"), bool(n.attr("align_corners", 0))
    axes = len(sizes) - 2
    if axes not in (2, 3) or theta.rank != 3:
        raise ModelError(f"size has {len(sizes)} elements, expected 4 or 5, and theta {theta.rank} dimensions")
    kept = theta.dtype
    theta = theta.wide().sized(0, sizes[0]).sized(1, axes).sized(2, axes + 1)
    spread = range(1, 1 + axes)
    found = theta.at(2, axes).unsqueeze(*spread)
    for column in range(axes):
        axis = axes - column  # of the result, behind the batch
        length = size(n, sizes[1 + axis], theta.dtype)
        place = iota(n, sizes[1 + axis], axis=axis, rank=axes + 2, dtype=theta.dtype) * 2
        position = place / (length - 1).maximum(1) if aligned else (place + 1) / length
        found = found + (position - 1) * theta.at(2, column).unsqueeze(*spread)
    return found.cast(kept).value


def weighted(x: Term, indices: Sequence[Term], weights: Sequence[Term], taps: Sequence[int]) -> Term:
    """The sum over axes `taps` of x at these indices times the weights, in x's type."""
    found = x.take(*indices)
    if not weights:
        return found
    found = found.wide()
    for weight in weights:
        found = found * weight
    return found.sum(*taps).cast(x.dtype)


def pixel(place: Term, length: Term, low: Term, high: Term, padding: str) -> Term:
    """The index of a whole position; outside of x the padding says which one, or that there is none."""
    if padding == "border":
        place = place.clip(0, length - 1)
    elif padding == "reflection":
        place = reflected(place, low, high).clip(0, length - 1)
    return place.cast(np.int64)


def reflected(x: Term, low: Term, high: Term) -> Term:
    """x mirrored at the bounds until it is within them."""
    span = (high - low).maximum(1)  # one pixel between aligned corners has none
    before, beyond = x.lt(low), x.gt(high)
    distance = before.where(low - x, beyond.where(x - high, x.like(0.0)))
    turns = (distance / span).emit("Floor")
    rest = distance - turns * span
    even = ((turns * 0.5).emit("Floor") * 2).eq(turns)
    found = before.emit("Equal", even).where(low + rest, high - rest)
    return (before | beyond).where(found, x)


def cubic(d: Term) -> Term:
    """Weights of cubic convolution (Keys, 1981) of four neighbours at distances below 2."""
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return d.le(1).where(near, far)


# ---- regions


def roi_align(n: Node) -> Value:
    """Samples on a grid in each bin of each region, linear between pixels; their mean or greatest corner."""
    x, rois, batch = term(n, 0), term(n, 1).wide(), term(n, 2).cast(np.int64)
    rois = rois.sized(0, batch.sizes[0]).sized(1, 4)
    bins = [n.attr("output_height", 1), n.attr("output_width", 1)]
    mode, ratio, scale = n.attr("mode", "avg"), n.attr("sampling_ratio", 0), n.attr("spatial_scale", 1.0)
    half = n.opset >= 16 and n.attr("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    if x.rank != 4 or rois.rank != 2:
        raise ModelError(f"its inputs have {x.rank} and {rois.rank} dimensions, expected 4 and 2")
    if mode not in ("avg", "max"):
        raise ModelError(f"mode {mode!r}")
    starts, widths = [], []
    for axis in range(2):
        start, end = (rois.part(1, 1 - axis + 2 * i, 1) * scale - (0.5 if half else 0.0) for i in range(2))
        starts.append(start)
        widths.append((end - start if half else (end - start).maximum(1.0)) / bins[axis])
    if ratio > 0:
        return sampled_regions(x, batch, starts, widths, bins, ratio, mode)
    if mode == "max":
        raise UnsupportedError("mode max with sampling_ratio 0", hint="give a sampling_ratio")
    return integrated_regions(x, batch, starts, widths, bins)


def crop_and_resize(n: Node) -> Value:
    """Each region, given by corners as parts of the image, resized: its corners are samples, and outside of the image
    there is `extrapolation_value`. (TensorFlow's operator of that name.)"""
    x, rois, batch = term(n, 0), term(n, 1).wide(), term(n, 2).cast(np.int64)
    mode, crop = n.attr("mode", "bilinear"), n.sizes(3, "crop_size")
    if x.rank != 4 or rois.rank != 2 or len(crop) != 2 or mode not in ("bilinear", "nearest"):
        raise ModelError(f"its inputs have {x.rank} and {rois.rank} dimensions, mode is {mode!r}")
    rois, rank = rois.sized(0, batch.sizes[0]).sized(1, 4), 6  # region, channel, crop (2), corners (2)
    found: list[Term] = []
    indices = [batch.reshape(*batch.sizes, *[1] * (rank - 1)), iota(n, x.sizes[1], axis=1, rank=rank)]
    weights: list[Term] = []
    for axis in range(2):
        first, last = (rois.part(1, axis + 2 * i, 1).reshape(rois.sizes[0], *[1] * (rank - 1)) for i in range(2))
        far = size(n, x.sizes[2 + axis] - 1, rois.dtype)
        count = size(n, crop[axis], rois.dtype)
        at = iota(n, crop[axis], axis=2 + axis, rank=rank, dtype=rois.dtype)
        place = first * far + at * ((last - first) * far / (count - 1).maximum(1.0))
        place = count.gt(1.0).where(place, (first + last) * 0.5 * far)
        corner = iota(n, 2, axis=4 + axis, rank=rank, dtype=rois.dtype)
        found.append(place.ge(0.0) & place.le(far))
        low = place.emit("Floor")
        if mode == "nearest":  # halves go up; both corners are the same
            low, rest = (place + 0.5).emit("Floor"), place.like(0.0)
        else:
            rest = place - low
        weights.append(corner.eq(0.0).where(1.0 - rest, rest))
        indices.append(corner.eq(0.0).where(low, low + 1).minimum(far).cast(np.int64))
    value = (x.take(*indices).wide() * weights[0] * weights[1]).sum(4, 5)
    inside = (found[0] & found[1]).reshape(rois.sizes[0], 1, *crop)
    return inside.where(value, n.attr("extrapolation_value", 0.0)).cast(x.dtype).value


def sampled_regions(
    x: Term, batch: Term, starts: Sequence[Term], widths: Sequence[Term], bins: Sequence[int], ratio: int, mode: str
) -> Value:
    """A fixed number of samples along each axis of a bin. Axes: region, channel, bins (2), samples (2), corners (2)."""
    n, rank = x.node, 8
    indices = [batch.reshape(*batch.sizes, *[1] * (rank - 1)), iota(n, x.sizes[1], axis=1, rank=rank)]
    weights: list[Term] = []
    for axis, (start, width) in enumerate(zip(starts, widths, strict=True)):
        spread = [start.sizes[0], *[1] * (rank - 1)]
        start, width = start.reshape(*spread), width.reshape(*spread)
        length = size(n, x.sizes[2 + axis], start.dtype)
        bin_, sample, corner = (
            iota(n, count, axis=place + axis, rank=rank, dtype=start.dtype)
            for count, place in ((bins[axis], 2), (ratio, 4), (2, 6))
        )
        place = start + bin_ * width + (sample + 0.5) * width / float(ratio)
        inside = place.ge(-1.0) & place.le(length)
        place = place.maximum(0.0)
        low = place.emit("Floor").minimum(length - 1)
        rest = low.ge(length - 1).where(0.0, place - low)
        weight = corner.eq(0).where(1 - rest, rest)
        # outside of x there is no index: 0 times what is there may be NaN
        indices.append(inside.where((low + corner).minimum(length - 1), -1.0).cast(np.int64))
        weights.append(inside.where(weight, 0.0).cast(x.wide().dtype))
    found = x.take(*indices).wide() * weights[0] * weights[1]
    found = found.sum(4, 5, 6, 7) / float(ratio * ratio) if mode == "avg" else found.max(4, 5, 6, 7)
    return found.cast(x.dtype).value


NEAR = 6  # samples that may lie within a pixel of a place: they are more than half a pixel apart, or one


def integrated_regions(
    x: Term, batch: Term, starts: Sequence[Term], widths: Sequence[Term], bins: Sequence[int]
) -> Value:
    """As many samples as a bin has pixels, a number that is data: sums of products with what all samples of a bin
    weigh together at each pixel of an axis."""
    n = x.node
    found = x.take(batch).wide()
    matrices, counts = [], []
    for axis, (start, width) in enumerate(zip(starts, widths, strict=True)):
        start, width = start.unsqueeze(2, 3), width.unsqueeze(2, 3)  # axes: region, bin, pixel, sample
        count = width.emit("Ceil").maximum(0.0)
        spacing = width / count.maximum(1.0)
        length = size(n, x.sizes[2 + axis], start.dtype)
        bin_, cell, sample = (
            iota(n, k, axis=1 + i, rank=4, dtype=start.dtype)
            for i, k in enumerate((bins[axis], x.sizes[2 + axis], NEAR))
        )
        first = start + bin_ * width
        nearest = ((cell - 1 - first) / spacing - 0.5).emit("Floor").clip(0.0, (count - NEAR).maximum(0.0))
        nearest = spacing.eq(0.0).where(0.0, nearest)
        sample = nearest + sample
        place = first + (sample + 0.5) * spacing
        inside = place.ge(-1.0) & place.le(length) & sample.lt(count)
        weight = (1 - (place.clip(0.0, length - 1) - cell).emit("Abs")).maximum(0.0)
        matrices.append(inside.where(weight, 0.0).sum(-1).cast(found.dtype))
        counts.append(count.reshape(start.sizes[0], 1, 1, 1))
    rows, columns = matrices[0].unsqueeze(1), matrices[1].transpose(0, 2, 1).unsqueeze(1)
    total = rows.matmul(found).matmul(columns)
    return (total / (counts[0] * counts[1]).maximum(1.0).cast(total.dtype)).cast(x.dtype).value


def max_roi_pool(n: Node) -> Value:
    """The greatest element of each bin of each region; 0 in an empty one. Bounds are rounded to pixels."""
    x, rois, bins, scale = term(n, 0), term(n, 1), n.required("pooled_shape"), n.attr("spatial_scale", 1.0)
    if x.rank != 4 or rois.rank != 2 or len(bins) != 2:
        raise ModelError(f"its inputs have {x.rank} and {rois.rank} dimensions, pooled_shape is {bins}")
    rois = rois.sized(1, 5)
    found = x.take(rois.at(1, 0).cast(np.int64))
    empty: Term | None = None
    rois = rois.wide()
    lowest = float("-inf")
    for axis, count in enumerate(bins):
        low, high = (rounded(rois.part(1, 2 - axis + 2 * i, 1) * scale) for i in range(2))
        width = (high - low + 1).maximum(1.0) / float(count)
        bin_, length = iota(n, count, axis=1, rank=2, dtype=low.dtype), size(n, x.sizes[2 + axis], low.dtype)
        begin = ((bin_ * width).emit("Floor") + low).clip(0.0, length)
        end = (((bin_ + 1) * width).emit("Ceil") + low).clip(0.0, length)
        cell = iota(n, x.sizes[2 + axis], axis=2, rank=3, dtype=low.dtype)
        kept = cell.ge(begin.unsqueeze(2)) & cell.lt(end.unsqueeze(2))  # region, bin, pixel
        # axis 0: [R, C, 1, H, W] over pixels H; axis 1: [R, C, bins, 1, W] over pixels W
        shape = [kept.sizes[0], ONE, *([kept.sizes[1]] if axis == 0 else [ONE, kept.sizes[1]]), kept.sizes[2]]
        kept = kept.reshape(*shape, *[1] * (1 - axis))
        found = kept.where(found.unsqueeze(2 + axis), lowest).max(3 + axis)
        none = begin.ge(end).reshape(begin.sizes[0], 1, *([count, 1] if axis == 0 else [1, count]))
        empty = none if empty is None else empty | none
    assert empty is not None
    return empty.where(0.0, found).value


def rounded(x: Term) -> Term:
    """To the nearest, halves away from 0."""
    return (x.emit("Abs") + 0.5).emit("Floor") * x.emit("Sign")


# ---- windows


def deform_conv(n: Node) -> Value:
    """A convolution whose every tap is moved by an offset of its own, and weighted by a mask."""
    x, w, offset, axes = term(n, 0), term(n, 1), term(n, 2), spaces(n)
    kernel = kernel_of(n, w.value)
    strides, dilations = lists(n, ("strides", "dilations"), axes, 1)
    pads, group, moved = n.attr("pads", [0] * 2 * axes), n.attr("group", 1), n.attr("offset_group", 1)
    batch, channels, taps = x.sizes[0], x.sizes[1], product(kernel)
    places, count = offset.sizes[2:], product(offset.sizes[2:])
    # axes: batch, offset group, channel in it, tap, place, corners of a pixel
    rank = 5 + axes
    x_ = x.reshape(batch, moved, channels // moved, *x.sizes[2:])
    for i, k in enumerate((batch, moved * taps * axes)):
        offset = offset.sized(i, k)
    offset = offset.wide().reshape(batch, moved, taps, axes, count)
    indices = [iota(n, k, axis=i, rank=rank) for i, k in enumerate((batch, Expr.const(moved), channels // moved))]
    weights: list[Term] = []
    for axis in range(axes):
        tap = along(n, kernel, axis, offset.dtype) * float(dilations[axis])
        place = along(n, places, axis, offset.dtype) * float(strides[axis]) - float(pads[axis])
        position = offset.at(3, axis) + tap.reshape(taps, 1) + place  # batch, offset group, tap, place
        position = position.unsqueeze(2, *range(5, rank))
        base = position.emit("Floor")
        corner = iota(n, 2, axis=5 + axis, rank=rank, dtype=offset.dtype)
        indices.append((base + corner).cast(np.int64))
        weights.append((1 - (corner - (position - base)).emit("Abs")).cast(x.wide().dtype))
    found = weighted(x_.wide(), indices, weights, range(5, rank))
    if n.has(4):
        mask = term(n, 4)
        for i, k in enumerate((batch, moved * taps, *places)):
            mask = mask.sized(i, k)
        found = found * mask.reshape(batch, moved, 1, taps, count).cast(found.dtype)
    found = found.reshape(batch, group, channels // group * taps, count)
    outputs = w.sizes[0]
    w = w.sized(1, channels // group)
    matrix = w.wide().reshape(1, group, outputs // group, w.sizes[1] * taps)
    total = matrix.matmul(found).reshape(batch, outputs, *places)
    if n.has(3):
        total = total + term(n, 3).sized(0, outputs).reshape(outputs, *[1] * axes).cast(total.dtype)
    return total.cast(x.dtype).value


def along(n: Node, sizes: Sequence[Any], axis: int, dtype: Any) -> Term:
    """Positions along one axis of a grid of these sizes, in row-major order: `[product of sizes]`."""
    line = iota(n, sizes[axis], axis=axis, rank=len(sizes), dtype=dtype)
    return line.expand(*sizes).reshape(product([Expr.of(s) for s in sizes]))


def col2im(n: Node) -> Value:
    """Columns, each a window of an image, added up where they lie in it: axis by axis, as sums over taps."""
    x, image, block = term(n, 0), n.sizes(1, "image_shape"), n.sizes(2, "block_shape")
    axes = len(image)
    strides, dilations = lists(n, ("strides", "dilations"), axes, 1)
    pads = n.attr("pads", [0] * 2 * axes)
    if x.rank != 3 or len(block) != axes or len(pads) != 2 * axes:
        raise ModelError(f"its input has {x.rank} dimensions, block_shape and pads {len(block)} and {len(pads)} values")
    channels = x.sizes[1] // product(block)
    counts = [
        (size_ + pads[i] + pads[axes + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i, size_ in enumerate(image)
    ]
    n.builder.same(x.sizes[1], channels * product(block), "Col2Im: the block does not divide the channels")
    found = x.reshape(x.sizes[0], channels, *block, *counts)
    # tap and window of axis 0, of axis 1, ..., then batch and channel
    found = found.transpose(*(p for i in range(axes) for p in (2 + i, 2 + axes + i)), 0, 1)
    for i, size_ in enumerate(image):
        tap = iota(n, block[i], axis=0, rank=2)
        offset = iota(n, size_, axis=1, rank=2) + pads[i] - tap * dilations[i]
        window = (offset % strides[i]).eq(0).where(offset / strides[i], -1)
        found = found.take(tap, window).sum(0)
        found = found.transpose(*range(1, found.rank), 0)
    return found.value


def max_unpool(n: Node) -> Value:
    """Elements put back to where MaxPool found them, among zeros; then zeros at the ends up to `output_shape`. Places
    count in the tensor without those."""
    x, places, axes = term(n, 0), term(n, 1), spaces(n)
    kernel = n.required("kernel_shape")
    (strides,) = lists(n, ("strides",), axes, 1)
    pads = n.attr("pads", [0] * 2 * axes)
    if len(kernel) != axes or len(pads) != 2 * axes:
        raise ModelError(f"kernel_shape {kernel} and pads {pads} for {axes} axes")
    pooled = [(size_ - 1) * strides[i] - (pads[i] + pads[axes + i]) + kernel[i] for i, size_ in enumerate(x.sizes[2:])]
    shape = [*x.sizes[:2], *pooled]
    zeros = x.like(0).expand(product(shape))
    count = x.value.type.elements
    found = zeros.emit("ScatterElements", places.reshape(count), x.reshape(count), axis=0).reshape(*shape)
    if n.has(2):
        wanted = n.sizes(2, "output_shape")
        if len(wanted) != x.rank:
            raise ModelError(f"output_shape has {len(wanted)} values for {x.rank} dimensions")
        found = found.emit("Pad", pads=[*[0] * x.rank, *(w - s for w, s in zip(wanted, shape, strict=True))])
    return found.value


# ---- caches


def tensor_scatter(n: Node) -> Value:
    """The update written into the cache along an axis, from an index of its own for each batch."""
    past, update = term(n, 0), term(n, 1)
    axis = n.attr("axis", -2) % past.rank if past.rank else 0
    if axis == 0 or past.rank != update.rank:
        raise ModelError(f"axis {axis} of a cache of {past.rank} dimensions, an update of {update.rank}")
    for i in range(past.rank):
        update = update if i == axis else update.sized(i, past.sizes[i])
    place = iota(n, update.sizes[axis], axis=axis, rank=past.rank)
    if n.has(2):
        start = term(n, 2).cast(np.int64).sized(0, past.sizes[0])
        place = place + start.reshape(start.sizes[0], *[1] * (past.rank - 1))
    if n.attr("mode", "linear") == "circular":
        place = place % size(n, past.sizes[axis])
    return past.emit("ScatterElements", place.expand(*update.sizes), update, axis=axis).value


RULES: Mapping[str, Rule] = {
    "AffineGrid": affine_grid,
    "Col2Im": col2im,
    "DeformConv": deform_conv,
    "GridSample": grid_sample,
    "MaxRoiPool": max_roi_pool,
    "MaxUnpool": max_unpool,
    "RoiAlign": roi_align,
    "TensorScatter": tensor_scatter,
}
