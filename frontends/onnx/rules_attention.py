"""Rules of com.microsoft's attention family: made of contractions, masks that are added, and softmax.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import ZERO, Expr, ExprLike, maximum
from .builder import Value
from .node import Node, Result, Rule
from .rules_shape import known_sizes

LOWEST = float(np.finfo(np.float32).min)

# ---- pieces


def count(n: Node, size: ExprLike, shape: Sequence[ExprLike]) -> Value:
    """0, 1, 2 ... below `size`, in this shape."""
    zero, one = n.constant(0, np.int64), n.constant(1, np.int64)
    return n.reshape(n.emit("Range", zero, one, size=Expr.of(size)), shape)


def heads(n: Node, x: Value, number: int) -> Value:
    """[batch, time, heads * size] as [batch, heads, time, size]."""
    batch, time, width = x.sizes
    if (width % number).constant not in (0, None):
        raise ModelError(f"{width} channels do not make {number} heads")
    return n.emit("Transpose", n.reshape(x, [batch, time, number, width // number]), perm=[0, 2, 1, 3])


def merged(n: Node, x: Value) -> Value:
    """[batch, heads, time, size] as [batch, time, heads * size]."""
    batch, number, time, size = x.sizes
    return n.reshape(n.emit("Transpose", x, perm=[0, 2, 1, 3]), [batch, time, number * size])


def part(n: Node, x: Value, axis: int, start: ExprLike, size: ExprLike) -> Value:
    """`size` elements of an axis, from `start` on."""
    starts, sizes = [ZERO] * x.rank, [*x.sizes]
    starts[axis], sizes[axis] = Expr.of(start), Expr.of(size)
    return n.emit("Slice", x, starts=starts, sizes=sizes, steps=[1] * x.rank)


def attend(
    n: Node,
    q: Value,
    k: Value,
    v: Value,
    scale: float,
    masks: Sequence[Value | None],
    softcap: float = 0.0,
    sink: Value | None = None,
) -> Value:
    """softmax(q kᵀ * scale + masks) v, all of [batch, heads, time, size]. A `sink` [heads] is the score of one key more
    per head, which takes its share of attention and gives nothing."""
    scores = n.emit("MatMul", q, n.emit("Transpose", k, perm=[0, 1, 3, 2]))
    scores = n.emit("Mul", scores, n.like(scale, scores))
    if softcap:
        cap = n.like(softcap, scores)
        scores = n.emit("Mul", n.emit("Tanh", n.emit("Div", scores, cap)), cap)
    for mask in masks:
        if mask is not None:
            scores = n.emit("Add", scores, mask)
    if sink is None:
        return n.emit("MatMul", n.emit("Softmax", scores, axis=-1), v)
    *lead, keys = scores.sizes
    column = n.emit("Expand", n.reshape(n.cast(sink, scores.dtype), [1, lead[1], 1, 1]), shape=[*lead, 1])
    shares = n.emit("Softmax", n.emit("Concat", [scores, column], axis=3), axis=-1)
    return n.emit("MatMul", part(n, shares, 3, 0, keys), v)


def filtered(n: Node, kept: Value, x: Value, value: float) -> Value:
    """A mask to add: 0 where `kept` holds, else `value`."""
    return n.emit("Where", kept, n.like(0, x), n.like(value, x))


def causal(n: Node, queries: Expr, keys: Expr, x: Value) -> Value:
    """The mask that hides what comes after a query, the last of which sees all keys: [queries, keys]. It hides
    more than padding does: a row of padding only spreads over what comes before."""
    last = n.emit("Add", count(n, queries, [queries, 1]), known_sizes([keys - queries], []))
    return filtered(n, n.emit("LessOrEqual", count(n, keys, [1, keys]), last), x, LOWEST)


def padding(n: Node, mask: Value, batch: Expr, keys: Expr, x: Value, value: float) -> Value:
    """The mask that hides padding, in any of its forms: lengths, ends and starts, or a flag per key."""
    if mask.rank == 1:
        position = count(n, keys, [1, 1, 1, keys])
        ends = n.cast(mask, np.int64)
        if mask.sizes[0] == batch or (mask.sizes[0] - batch * 2).constant != 0:
            n.builder.same(mask.sizes[0], batch, f"mask_index of {mask.sizes[0]} elements for a batch of {batch}")
            kept = n.emit("Less", position, n.reshape(ends, [batch, 1, 1, 1]))
        else:
            starts = n.reshape(part(n, ends, 0, batch, batch), [batch, 1, 1, 1])
            ends = n.reshape(part(n, ends, 0, 0, batch), [batch, 1, 1, 1])
            inside = n.emit("Less", position, ends), n.emit("GreaterOrEqual", position, starts)
            kept = n.emit("And", *inside)
        return filtered(n, kept, x, value)
    if mask.rank == 2:
        shaped = n.reshape(mask, [mask.sizes[0], 1, 1, mask.sizes[1]])
    elif mask.rank == 3:
        shaped = n.reshape(mask, [mask.sizes[0], 1, *mask.sizes[1:]])
    else:
        raise UnsupportedError(f"a mask of {mask.rank} dimensions")
    return filtered(n, n.emit("Greater", shaped, n.like(0, mask)), x, value)


def scale_of(n: Node, size: Expr) -> float:
    """The attribute, or one over the root of the heads' size."""
    given = n.attr("scale", 0.0)
    if given == 0.0 and size.constant is None:
        raise UnsupportedError(f"the size of its heads is {size}, not a number", hint="fix the sizes with --shape")
    return given or 1 / math.sqrt(int(size))


def joined(n: Node, past: Value | None, x: Value) -> Value:
    """Past and present along time."""
    return x if past is None else n.emit("Concat", [past, x], axis=2)


def refuse(n: Node, **inputs: int) -> None:
    """Raise UnsupportedError for an input that has no meaning here."""
    for name, position in inputs.items():
        if n.has(position):
            raise UnsupportedError(f"input {name} is given")


# ---- operators


def attention(n: Node) -> Result:
    """One matrix makes queries, keys and values of the input."""
    x, weights, number = n.input(0), n.input(1), n.required("num_heads")
    refuse(n, past_sequence_length=6)
    if n.attr("do_rotary", 0):
        raise UnsupportedError("do_rotary is set")
    batch, time, _ = x.sizes
    widths: list[ExprLike] = n.attr("qkv_hidden_sizes", []) or [weights.sizes[1] // 3] * 3
    found = n.emit("MatMul", x, weights)
    found = n.emit("Add", found, n.input(2)) if n.has(2) else found
    q, k, v = (heads(n, p, number) for p in n.emit_all("Split", found, axis=2, sizes=[Expr.of(w) for w in widths]))
    if n.has(4):
        past = n.input(4)
        k, v = (joined(n, n.reshape(part(n, past, 0, i, 1), past.sizes[1:]), p) for i, p in enumerate((k, v)))
    keys, hidden = k.sizes[2], n.attr("mask_filter_value", -10000.0)
    masks = [n.optional(5)]
    if n.has(3):
        masks.append(padding(n, n.input(3), batch, keys, q, hidden))
    if n.attr("unidirectional", 0):
        masks.append(causal(n, time, keys, q))
    out = merged(n, attend(n, q, k, v, scale_of(n, q.sizes[3]), masks))
    if not n.wants(1):
        return out
    return out, n.emit("Concat", [n.reshape(p, [1, *p.sizes]) for p in (k, v)], axis=0)


def multi_head_attention(n: Node) -> Result:
    q, number = n.input(0), n.required("num_heads")
    refuse(n, past_sequence_length=8, cache_indirection=9)
    if n.wants(3):
        raise UnsupportedError("its scores are asked for")
    if q.rank == 5:  # [batch, time, heads, 3, size]
        batch, time, _, _, size = q.sizes
        q, k, v = (n.reshape(part(n, q, 3, i, 1), [batch, time, number * size]) for i in range(3))
    elif n.input(1).rank == 5:
        batch, time, _, _, size = n.input(1).sizes
        k, v = (n.reshape(part(n, n.input(1), 3, i, 1), [batch, time, number * size]) for i in range(2))
    else:
        k, v = n.input(1), n.input(2)
    if n.has(3):
        bias, start = n.input(3), ZERO
        biased: list[Value] = []
        for x in (q, k, v):
            width = x.sizes[-1] if x.rank == 3 else x.sizes[1] * x.sizes[3]
            biased.append(n.emit("Add", x, part(n, bias, 0, start, width)) if x.rank == 3 else x)
            start = start + width
        q, k, v = biased
    batch, time = q.sizes[:2]
    q, k, v = (x if x.rank == 4 else heads(n, x, number) for x in (q, k, v))
    k, v = joined(n, n.optional(6), k), joined(n, n.optional(7), v)
    keys, hidden = k.sizes[2], n.attr("mask_filter_value", -10000.0)
    masks = [n.optional(5)]
    if n.has(4):
        masks.append(padding(n, n.input(4), batch, keys, q, hidden))
    if n.attr("unidirectional", 0):
        masks.append(causal(n, time, keys, q))
    return merged(n, attend(n, q, k, v, scale_of(n, q.sizes[3]), masks)), k, v


# ---- rotation


def rotated(n: Node, x: Value, places: Value, caches: Sequence[Value], interleaved: bool, width: int = 0) -> Value:
    """Pairs of the first `width` (0: all) features of [batch, heads, time, size] turned by the angles whose cosines and
    sines stand in row `places` [batch or 1, time] of the caches."""
    angles = [n.emit("Gather", cache, places, axis=0) for cache in caches]
    cos, sin = (n.reshape(a, [a.sizes[0], 1, *a.sizes[1:]]) for a in angles)
    rest: Value | None = None
    if width and x.sizes[3] != Expr.const(width):
        rest = part(n, x, 3, width, x.sizes[3] - width)
        x = part(n, x, 3, 0, width)
    batch, number, time, size = x.sizes
    half = size // 2
    if interleaved:
        pairs = n.reshape(x, [batch, number, time, half, 2])
        a, b = (n.reshape(part(n, pairs, 4, i, 1), [batch, number, time, half]) for i in range(2))
    else:
        a, b = (part(n, x, 3, half * i, half) for i in range(2))
    real = n.emit("Sub", n.emit("Mul", a, cos), n.emit("Mul", b, sin))
    imaginary = n.emit("Add", n.emit("Mul", a, sin), n.emit("Mul", b, cos))
    if interleaved:
        both = [n.reshape(p, [batch, number, time, half, 1]) for p in (real, imaginary)]
        found = n.reshape(n.emit("Concat", both, axis=4), x.sizes)
    else:
        found = n.emit("Concat", [real, imaginary], axis=3)
    return found if rest is None else n.emit("Concat", [found, rest], axis=3)


def rotary_embedding(n: Node) -> Value:
    x, places, caches = n.input(0), n.input(1), (n.input(2), n.input(3))
    width, number = n.attr("rotary_embedding_dim", 0), n.attr("num_heads", 0)
    if n.attr("is_packed_batching", 0):
        raise UnsupportedError("is_packed_batching is set")
    flat = x.rank == 3
    if flat:
        size = x.sizes[2] // number if number else caches[0].sizes[1] * 2
        x = n.emit("Transpose", n.reshape(x, [*x.sizes[:2], x.sizes[2] // size, size]), perm=[0, 2, 1, 3])
    time = x.sizes[2]
    if places.rank == 1:  # where the first one stands
        places = n.emit("Add", n.cast(n.reshape(places, [1, 1]), np.int64), count(n, time, [1, time]))
    found = rotated(n, x, places, caches, bool(n.attr("interleaved", 0)), width)
    scale = n.attr("scale", 1.0)
    found = found if scale == 1.0 else n.emit("Mul", found, n.like(scale, found))
    return merged(n, found) if flat else found


def group_query_attention(n: Node) -> Result:
    """Causal attention in which several heads share keys and values, with rows of different length.

    `seqlens_k` + 1 is how many keys a row has, the present ones included, but for a first prompt (no more keys than
    there are queries), whose rows begin at 0. Keys beyond are padding."""
    number, shared = n.required("num_heads"), n.required("kv_num_heads")
    for name in ("qk_output", "kv_cache_bit_width"):
        if n.attr(name, 0) not in (0, -1):
            raise UnsupportedError(f"{name} is set")
    refuse(n, k_scale=12, v_scale=13)
    sink = n.optional(11)
    if sink is None and n.attr("smooth_softmax", 0) == 1:
        sink = n.constant(np.zeros(number), np.float32)
    packed, lengths = n.input(0), n.cast(n.reshape(n.input(5), [n.input(0).sizes[0], 1]), np.int64)
    batch, time, width = packed.sizes
    if n.has(1):
        q, k, v = (heads(n, n.input(i), h) for i, h in ((0, number), (1, shared), (2, shared)))
    else:
        size = width // (number + 2 * shared)
        sizes = [size * number, size * shared, size * shared]
        parts = n.emit_all("Split", packed, axis=2, sizes=sizes)
        q, k, v = (heads(n, p, h) for p, h in zip(parts, (number, shared, shared), strict=True))
    one, zero = n.constant(1, np.int64), n.constant(0, np.int64)
    held = n.input(3).sizes[2] if n.has(3) else ZERO
    total = n.sizes(6, "total_sequence_length")[0] if n.input(6).known is not None else held + time
    if (total - time).constant == 0:
        past = n.emit("Expand", zero, shape=[batch, 1])
    else:
        past = n.emit("Sub", n.emit("Add", lengths, one), known_sizes([time], []))  # keys of each row before these
    place = n.emit("Add", past, count(n, time, [1, time]))
    if n.attr("do_rotary", 0):
        caches, interleaved = (n.input(7), n.input(8)), bool(n.attr("rotary_interleaved", 0))
        places = n.cast(n.input(9), np.int64) if n.has(9) else place
        turned = caches[0].sizes[1] * 2
        turn = 0 if turned == q.sizes[3] else int(turned)
        q, k = (rotated(n, x, places, caches, interleaved, turn) for x in (q, k))
    keys = maximum(held, total)
    k, v = (behind(n, n.input(i), x, past, keys) if n.has(i) else x for i, x in ((3, k), (4, v)))
    group, scale = number // shared, scale_of(n, q.sizes[3])
    spread = repeated(n, k, group), repeated(n, v, group)
    position, query = count(n, keys, [1, 1, 1, keys]), n.reshape(place, [place.sizes[0], 1, time, 1])
    seen = n.emit("LessOrEqual", position, query)
    if (window := n.attr("local_window_size", -1)) > 0:
        first = n.emit("Sub", query, n.constant(window, np.int64))
        seen = n.emit("And", seen, n.emit("Greater", position, first))
    masks = [n.optional(10), filtered(n, seen, q, -math.inf)]
    return merged(n, attend(n, q, *spread, scale, masks, n.attr("softcap", 0.0), sink)), k, v


def behind(n: Node, past: Value, x: Value, lengths: Value, keys: Expr) -> Value:
    """[batch, heads, keys, size]: of each row the first `lengths` [batch, 1] of `past`, then x, then zeros."""
    held = past.sizes[2]
    position, zero = count(n, keys, [1, keys]), n.constant(0, np.int64)
    after = n.emit("Sub", position, lengths)
    last = n.emit("Min", [after, known_sizes([x.sizes[2] - 1], [])])
    source = n.emit("Where", n.emit("Less", after, zero), position, n.emit("Add", last, known_sizes([held], [])))
    both = n.emit("Transpose", n.emit("Concat", [past, x], axis=2), perm=[0, 2, 1, 3])
    found = n.emit("GatherND", both, n.reshape(source, [*source.sizes, 1]), batch_dims=1)
    found = n.emit("Transpose", found, perm=[0, 2, 1, 3])
    inside = n.emit("Less", after, known_sizes([x.sizes[2]], []))
    return n.emit("Where", n.reshape(inside, [inside.sizes[0], 1, keys, 1]), found, n.like(0, found))


def repeated(n: Node, x: Value, times: int) -> Value:
    """Each head `times` times."""
    if times == 1:
        return x
    batch, number, keys, size = x.sizes
    wide = n.emit("Expand", n.reshape(x, [batch, number, 1, keys, size]), shape=[batch, number, times, keys, size])
    return n.reshape(wide, [batch, number * times, keys, size])


DOMAIN = "com.microsoft"
RULES: Mapping[str, Rule] = {
    "Attention": attention,
    "GroupQueryAttention": group_query_attention,
    "MultiHeadAttention": multi_head_attention,
    "RotaryEmbedding": rotary_embedding,
}
