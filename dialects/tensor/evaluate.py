"""The meaning of `tensor.compute` and `tensor.update` in NumPy: bodies are evaluated on whole index grids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.ir import Block, SSAValue

from ...ir.evaluator import Environment
from ...ir.scalars import evaluate_scalar
from ...ir.types import held, held_as
from .body import Index, Put, Read, Yield

if TYPE_CHECKING:
    from .ops import Compute
    from .update import Update

Array = np.ndarray[Any, Any]
LIMIT = 1 << 22  # points of the domain that are evaluated at once

REDUCERS: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def neutral(combine: str, dtype: np.dtype[Any]) -> Any:
    """The value that a reduction starts from."""
    if combine in ("add", "mul"):
        return dtype.type(combine == "mul")
    least = combine == "max"
    if dtype.kind == "b":
        return np.bool_(not least)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return dtype.type(info.min if least else info.max)
    return dtype.type(-np.inf if least else np.inf)


def evaluate_compute(op: Compute, env: Environment) -> Array:
    """The result of `op`, given the tensors that it reads and the values of size symbols."""
    tensors, symbols = env.values, env.symbols
    extents = [int(s.evaluate(symbols=symbols)) for s in op.sizes]
    dtype = op.type.dtype
    shape = tuple(extents[: op.rank])
    out = np.empty(shape, dtype)
    if out.size == 0:
        return out
    points = int(np.prod(extents))
    rows = extents[0] if op.rank else 1
    step = max(1, rows * LIMIT // max(points, 1)) if op.rank else 1
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        spans = [range(start, stop), *map(range, extents[1:])] if op.rank else [*map(range, extents)]
        part = _evaluate_part(op, spans, tensors, symbols)
        if op.rank:
            out[start:stop] = part
        else:
            out[...] = part
    return out


def _evaluate_part(
    op: Compute, spans: list[range], tensors: Mapping[SSAValue, Array], symbols: Mapping[str, int]
) -> Array:
    n, dtype = len(spans), op.type.dtype
    grid = [np.arange(s.start, s.stop).reshape([-1 if i == d else 1 for i in range(n)]) for d, s in enumerate(spans)]
    shape = [len(s) for s in spans]
    # of an empty reduction the body never runs: what it would read need not be there
    value = _block(op.body.block, grid, tensors, symbols) if all(shape) else np.zeros(shape, dtype)
    value = np.broadcast_to(_with_sign(value, dtype), shape)
    if op.combiner:
        axes = tuple(range(op.rank, n))
        start = neutral(op.combiner, dtype)
        value = REDUCERS[op.combiner].reduce(value, axis=axes, initial=start, dtype=dtype)
    if op.finish.blocks:
        outer = [g.reshape(g.shape[: op.rank]) for g in grid[: op.rank]]
        value = _block(op.finish.block, [*outer, value], tensors, symbols)
        value = _with_sign(value, dtype)
    return np.broadcast_to(value, shape[: op.rank]).astype(dtype, copy=False)


def _with_sign(value: Any, dtype: np.dtype[Any]) -> Array:
    """Integers in bodies are signed, and so are the bytes of small types."""
    value = np.asarray(value)
    return value.view(dtype) if value.dtype.kind in "iu" and value.dtype == held_as(dtype) else value


def evaluate_update(op: Update, env: Environment) -> Array:
    """The result of `op`, given the tensors that it reads and the values of size symbols: step by step, at all points
    of the parallel dims at once."""
    sizes = [int(s.evaluate(symbols=env.symbols)) for s in op.sizes]
    out = np.array(env.values[op.init])
    grid = np.ix_(*map(np.arange, sizes[: op.rank]))
    if any(size <= 0 for size in sizes):
        return out
    tensors = {**env.values, op.state: out}
    written, shape, last = held(out), sizes[: op.rank], op.put
    for step in np.ndindex(*sizes[op.rank :]):
        values = _values(op.body.block, [*grid, *map(np.int64, step), out], tensors, env.symbols)
        dims = {i: values[v] for i, v in last.dims.items()}
        for value, exprs in last.places:
            index = [np.broadcast_to(e.evaluate(dims, env.symbols), shape) for e in exprs]
            inside = np.ones(shape, bool)
            for position, size in zip(index, out.shape, strict=True):
                inside &= (position >= 0) & (position < size)
            written[tuple(i[inside] for i in index)] = np.broadcast_to(values[value], shape)[inside]
    return out


def _block(block: Block, args: list[Any], tensors: Mapping[SSAValue, Array], symbols: Mapping[str, int]) -> Any:
    last = block.last_op
    assert isinstance(last, Yield)
    return _values(block, args, tensors, symbols)[last.value]


def _values(
    block: Block, args: list[Any], tensors: Mapping[SSAValue, Array], symbols: Mapping[str, int]
) -> dict[SSAValue, Any]:
    """What a body computes, on whole index grids."""
    env: dict[SSAValue, Any] = dict(zip(block.args, args, strict=True))
    for op in block.ops:
        match op:
            case Yield() | Put():
                pass
            case Index():
                env[op.value] = np.asarray(op.expr.evaluate({i: env[v] for i, v in op.dims.items()}, symbols))
            case Read():
                env[op.value] = _read(op, tensors[op.tensor], env, symbols)
            case _:
                env[op.results[0]] = evaluate_scalar(op, [env[o] for o in op.operands])
    return env


def _read(op: Read, source: Array, env: Mapping[SSAValue, Any], symbols: Mapping[str, int]) -> Any:
    dims = {i: env[v] for i, v in op.dims.items()}
    index = [np.asarray(e.evaluate(dims, symbols)) for e in op.exprs]
    array = held(source)
    if op.otherwise is None:
        for position, size in zip(index, source.shape, strict=True):
            if position.size and (position.min() < 0 or position.max() >= size):
                raise IndexError(f"read of {source.shape} at {position.min()}..{position.max()}")
        return array[tuple(index)]
    inside: Any = np.True_
    for position, size in zip(index, source.shape, strict=True):
        inside = inside & (position >= 0) & (position < size)
    if source.size == 0:
        return np.broadcast_to(env[op.otherwise], np.broadcast_shapes(np.shape(inside), np.shape(env[op.otherwise])))
    clipped = tuple(np.clip(p, 0, s - 1) for p, s in zip(index, source.shape, strict=True))
    return np.where(inside, array[clipped], env[op.otherwise])
