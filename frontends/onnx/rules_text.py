"""TfIdfVectorizer on numbers: how often n-grams of a known pool stand in each row. (On strings it needs Python.)"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ...errors import ModelError
from ...ir.expr import ZERO
from .builder import Value
from .node import Node, Rule
from .source import Array


def tf_idf(n: Node) -> Value:
    """Counts per output (TF), whether there are any (IDF), times the outputs' weights."""
    x = n.cast(n.input(0), np.int64)
    if x.rank not in (1, 2):
        raise ModelError(f"its input has {x.rank} dimensions, expected [C] or [N, C]")
    rows = x if x.rank == 2 else n.reshape(x, [1, *x.sizes])
    mode, weights = n.required("mode"), np.asarray(n.attr("weights", []), np.float32)
    if mode not in ("TF", "IDF", "TFIDF"):
        raise ModelError(f"mode is {mode!r}, expected TF, IDF or TFIDF")
    places = np.asarray(n.required("ngram_indexes"), np.int64)
    if places.size == 0 or places.min() < 0:
        raise ModelError(f"ngram_indexes are {places.tolist()}")
    counts = in_outputs(n, ngram_counts(n, rows, len(places)), places)
    if mode == "IDF":
        counts = n.cast(n.emit("Greater", counts, n.like(0, counts)), np.float32)
    if mode != "TF" and weights.size:
        if weights.size != places.max() + 1:
            raise ModelError(f"{weights.size} weights for {places.max() + 1} outputs")
        counts = n.emit("Mul", counts, n.constant(weights))
    return counts if x.rank == 2 else n.reshape(counts, [counts.sizes[1]])


def pools(n: Node) -> list[Array]:
    """The n-grams of each length: pools()[i] is [count, i + 1]."""
    flat = np.asarray(n.required("pool_int64s"), np.int64)
    starts = [*n.required("ngram_counts"), flat.size]
    found: list[Array] = []
    for length, (first, last) in enumerate(pairwise(starts), 1):
        if not 0 <= first <= last <= flat.size or (last - first) % length:
            raise ModelError(f"ngram_counts {starts[:-1]} do not divide a pool of {flat.size} into n-grams")
        found.append(flat[first:last].reshape(-1, length))
    return found


def ngram_counts(n: Node, rows: Value, total: int) -> list[tuple[Array, Value]]:
    """For n-grams of each length that is asked for: their numbers, and how often they are there, [N, count].

    The items of an n-gram stand `skip + 1` apart."""
    least, most = n.required("min_gram_length"), n.required("max_gram_length")
    skips = n.required("max_skip_count")
    if not 0 < least <= most or skips < 0:
        raise ModelError(f"n-grams of {least} to {most} items with up to {skips} skipped")
    wanted = pools(n)
    if sum(map(len, wanted)) != total:
        raise ModelError(f"ngram_indexes has {total} entries for {sum(map(len, wanted))} n-grams")
    everything = np.concatenate([p.reshape(-1) for p in wanted])
    other = np.setdiff1d(np.arange(everything.size + 1), everything)[0]  # in no n-gram: what lies behind the row
    far = (most - 1) * (skips + 1)
    padded = n.emit("Pad", rows, n.constant(other), pads=[0, 0, 0, far], mode="constant") if far else rows
    found: list[tuple[Array, Value]] = []
    first = 0
    for length, pool in enumerate(wanted, 1):
        numbers, first = np.arange(first, first + len(pool)), first + len(pool)
        if least <= length <= most and len(pool):
            steps = range(1, skips + 2) if length > 1 else (1,)
            each = [occurrences(n, rows, padded, pool, step) for step in steps]
            found.append((numbers, each[0] if len(each) == 1 else n.emit("Sum", each)))
    return found


def occurrences(n: Node, rows: Value, padded: Value, pool: Array, step: int) -> Value:
    """How often each n-gram of the pool is in each row, its items `step` apart: [N, count], float32."""
    size, width = rows.sizes
    match: Value | None = None
    for i, items in enumerate(pool.T):
        item = n.emit("Slice", padded, starts=[ZERO, i * step], sizes=[size, width], steps=[1, 1])
        equal = n.emit("Equal", n.reshape(item, [size, width, 1]), n.constant(items))
        match = equal if match is None else n.emit("And", match, equal)
    assert match is not None
    return n.emit("ReduceSum", n.cast(match, np.float32), axes=[1], keepdims=False)


def in_outputs(n: Node, counts: list[tuple[Array, Value]], places: Array) -> Value:
    """Counts of n-grams as those of outputs: n-gram i belongs to output places[i]."""
    size = n.input(0).sizes[0] if n.input(0).rank == 2 else 1
    outputs = int(places.max()) + 1
    if not counts:
        return n.emit("Expand", n.constant(np.zeros((1, outputs), np.float32)), shape=[size, outputs])
    numbers = np.concatenate([numbers for numbers, _ in counts])
    values = [value for _, value in counts]
    joined = values[0] if len(values) == 1 else n.emit("Concat", values, axis=1)
    mine = places[numbers]
    if len(np.unique(mine)) < len(mine):  # several n-grams count for one output
        return n.emit("MatMul", joined, n.constant((mine[:, None] == np.arange(outputs)).astype(np.float32)))
    joined = n.emit("Pad", joined, pads=[0, 0, 0, 1], mode="constant")  # outputs of no n-gram
    source = np.full(outputs, len(mine), np.int64)
    source[mine] = np.arange(len(mine))
    return n.emit("Gather", joined, n.constant(source), axis=1)


RULES: Mapping[str, Rule] = {"TfIdfVectorizer": tf_idf}
