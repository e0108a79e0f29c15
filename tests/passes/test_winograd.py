"""Convolutions by Winograd's algorithm, compiled: their error, any size, what is not finite, where they win."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from xdsl.dialects.builtin import FunctionType, ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp

import ircc
from ircc.dialects.tensor import Compute, Constant, Update
from ircc.dialects.tensor.builder import compute
from ircc.ir.expr import Expr, ExprLike
from ircc.ir.target import PRESETS
from ircc.ir.types import TensorType
from ircc.ir.weights import Weight
from ircc.passes.winograd import Cost, Plan, layer_of

Array = np.ndarray[Any, Any]
H, W, N = (Expr.symbol(s) for s in "HWN")
LOWER = "canonicalize,eliminate-dead-code,tensor-to-loop,expand-math,select-schedules,apply-schedules,plan-memory"


def convolution(n: ExprLike, h: ExprLike, w: ExprLike, weights: Array) -> ModuleOp:
    """`max(conv(x) + r, 0)` with a border of one, of x [n, h, w, c] and r [n, h, w, o] with weights [3, 3, c, o]."""
    c, o = weights.shape[2:]
    types = [TensorType.of([n, h, w, c], f32), TensorType.of([n, h, w, o], f32)]
    main = FuncOp("main", (types, []))
    x, r = main.body.block.args
    constant = Constant(Weight.of(weights), TensorType.of(weights.shape, f32))

    def body(b: Any, n: Expr, h: Expr, w: Expr, o: Expr, i: Expr, j: Expr, c: Expr) -> Any:
        return b.read(x, n, h + i - 1, w + j - 1, c, otherwise=0) * b.read(constant.result, i, j, c, o)

    def finish(b: Any, n: Expr, h: Expr, w: Expr, o: Expr, total: Any) -> Any:
        return (total + b.read(r, n, h, w, o)).maximum(0)

    op = compute([n, h, w, o], body, f32, reduce=[3, 3, c], combine="add", finish=finish)
    main.body.block.add_ops([constant, op, ReturnOp(op)])
    main.function_type = FunctionType.from_lists(types, [op.result.type])
    return ModuleOp([main])


def expected(x: Array, r: Array, weights: Array) -> Array:
    """The same in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), (1, 2))  # [n, h, w, c, i, j]
    return np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, weights.astype(np.float64), optimize=True) + r, 0)


def drawn(shape: Sequence[int], o: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    r = rng.standard_normal((*shape[:-1], o)).astype(np.float32)
    return x, r, (rng.standard_normal((3, 3, shape[-1], o)) / np.sqrt(9 * shape[-1])).astype(np.float32)


def run(engine: ircc.Engine, x: Array, r: Array) -> Array:
    (y,) = engine.run({port.name: a for port, a in zip(engine.inputs, (x, r), strict=True)}).values()
    return y


def error(y: Array, x: Array, r: Array, weights: Array) -> float:
    """The largest error, by the largest result."""
    true = expected(x, r, weights)
    return float(np.abs(y - true).max() / np.abs(true).max())


@pytest.mark.parametrize(("tile", "bound"), [(2, 7e-7), (4, 2.4e-6)])
def test_the_error_is_some_units_of_float32(tile: int, bound: float) -> None:
    x, r, weights = drawn((1, 20, 20, 128), 64)
    engine = ircc.compile(convolution(1, 20, 20, weights), passes=f"winograd{{tile={tile}}},{LOWER}", threads=1)
    assert error(run(engine, x, r), x, r, weights) < bound


@pytest.mark.parametrize("options", ["tile=4", "tile=4 block=2"])
def test_the_operations_asked_for_are_those_of_the_sum_as_it_is(options: str) -> None:
    module = convolution(1, 8, 16, drawn((1, 1, 1, 16), 32)[2])
    (direct,) = (k for k in ircc.compile(module, passes=LOWER).kernels if k.flops != "0")
    kernels = ircc.compile(module, passes=f"winograd{{{options}}},fuse-rows,{LOWER}").kernels
    assert sum(int(k.nominal) for k in kernels if k.nominal) == int(direct.flops) == 8 * 16 * 32 * (2 * 9 * 16 + 2)
    assert sum(int(k.flops) for k in kernels) < int(direct.flops)


SIZES: list[tuple[ExprLike, ExprLike, ExprLike, int, int, str]] = [
    (1, 8, 8, 16, 16, "tile=4"),
    (2, 7, 9, 5, 19, "tile=4"),  # tiles go beyond the image
    (1, 1, 1, 3, 2, "tile=4"),
    (2, 8, 24, 8, 16, "tile=4 block=2"),  # three blocks in a row
    (1, 5, 9, 8, 16, "tile=2 block=2"),  # the last block is not full
    (1, 8, 16, 16, 16, "tile=4 block=4"),  # one block in a row
    (1, 4, 64, 64, 64, "tile=4"),  # tiles whose elements would lie 4 KiB apart
    (N, H, W, 8, 16, "tile=2"),
    (1, 7, W, 8, 16, "tile=2 block=3"),
]


@pytest.mark.parametrize(("n", "h", "w", "c", "o", "options"), SIZES)
def test_every_size(n: ExprLike, h: ExprLike, w: ExprLike, c: int, o: int, options: str) -> None:
    weights = drawn((1, 1, 1, c), o)[2]
    module = convolution(n, h, w, weights)
    engine = ircc.compile(module, passes=f"winograd{{{options}}},{LOWER}", threads=2)
    cases = [{"N": 1, "H": 4, "W": 8}, {"N": 2, "H": 9, "W": 27}, {"N": 3, "H": 3, "W": 1}]
    for symbols in cases if isinstance(w, Expr) else cases[:1]:
        sizes = [int(Expr.of(s).evaluate(symbols=symbols)) for s in (n, h, w)]
        x, r, _ = drawn((*sizes, c), o)
        assert error(run(engine, x, r), x, r, weights) < 3e-6


@pytest.mark.parametrize(("tile", "value"), [(2, np.nan), (4, np.inf)])
def test_what_is_not_finite_stays_in_its_tiles(tile: int, value: float) -> None:
    x, r, weights = drawn((1, 16, 16, 4), 8)
    r += 100  # nothing is cut off at 0
    engine = ircc.compile(convolution(1, 16, 16, weights), passes=f"winograd{{tile={tile}}},{LOWER}", threads=1)
    before = run(engine, x, r)
    x[0, 5, 6, 1] = value
    after = run(engine, x, r)
    rows = [i for i in range(16) if i // tile * tile - 1 <= 5 <= i // tile * tile + tile]  # of tiles that read it
    columns = [j for j in range(16) if j // tile * tile - 1 <= 6 <= j // tile * tile + tile]
    reached = np.zeros((16, 16), bool)
    reached[np.ix_(rows, columns)] = True
    assert not np.isfinite(after[0, 4:7, 5:8]).any()
    assert np.array_equal(after[0][~reached], before[0][~reached])


def plan(h: ExprLike, w: ExprLike, c: int, o: int, target: str = "x86-64-v4") -> Plan | None:
    module = convolution(1, h, w, np.zeros((3, 3, c, o), np.float32))
    (op,) = (op for op in module.walk() if isinstance(op, Compute))
    layer = layer_of(op)
    assert layer is not None
    return Cost(layer, PRESETS[target]).best()


def test_where_it_wins() -> None:
    """The layers of FACTS: large tiles for large images, small ones where weights come from memory, none for few
    channels; blocks where transformed weights stay in the L2 cache."""
    assert plan(56, 56, 64, 64) == Plan(4, 14)
    assert plan(160, 160, 64, 64) == Plan(4, 10)
    assert plan(28, 28, 128, 128) == Plan(4)
    assert plan(14, 14, 256, 256) == Plan(2)
    assert plan(224, 224, 3, 64) is None
    assert plan(2, 2, 256, 256) is None
    assert plan(H, W, 64, 64) == Plan(4, 8)


def test_it_has_three_steps_and_is_done_once() -> None:
    module = convolution(1, 56, 56, drawn((1, 1, 1, 64), 64)[2])
    winograd = ircc.Pipeline.parse("winograd")
    assert [p.run(module) for p in winograd] == [True]
    steps = [op for op in module.walk() if isinstance(op, Compute | Update)]
    assert [type(op) for op in steps] == [Update, Compute, Update]
    assert [p.run(module) for p in winograd] == [False]


@pytest.mark.parametrize("pooled", [False, True])
def test_borders_are_read_and_not_copied(pooled: bool) -> None:
    """A pool with a border is none: it is computed as it was."""
    weights = drawn((1, 1, 1, 64), 64)[2]
    main = FuncOp("main", ([TensorType.of([1, 20, 20, 64], f32)], []))
    (x,) = main.body.block.args
    constant = Constant(Weight.of(weights), TensorType.of(weights.shape, f32))

    def bordered(b: Any, n: Expr, h: Expr, w: Expr, c: Expr, *k: Expr) -> Any:
        return b.read(x, n, h - 1, w - 1, c, otherwise=-9.0)

    def body(b: Any, n: Expr, h: Expr, w: Expr, o: Expr, i: Expr, j: Expr, c: Expr) -> Any:
        return b.read(border.result, n, h + i, w + j, c) * b.read(constant.result, i, j, c, o)

    reduced: dict[str, Any] = {"reduce": [2], "combine": "add"} if pooled else {}
    border = compute([1, 22, 22, 64], bordered, f32, **reduced)
    op = compute([1, 20, 20, 64], body, f32, reduce=[3, 3, 64], combine="add")
    main.body.block.add_ops([constant, border, op, ReturnOp(op)])
    main.function_type = FunctionType.from_lists([x.type], [op.result.type])
    module = ModuleOp([main])
    image, _, _ = drawn((1, 20, 20, 64), 64)
    (plain,) = ircc.compile(module, without=["winograd"], threads=1).run({"input_0": image}).values()
    assert all(p.run(module) for p in ircc.Pipeline.parse("winograd"))
    module.verify()
    steps = [type(op) for op in module.walk() if isinstance(op, Compute | Update)]
    assert steps == [Compute] * pooled + [Update, Compute, Update]
    (y,) = ircc.compile(module, threads=1).run({"input_0": image}).values()
    assert np.abs(y - plain).max() < 3e-6 * np.abs(plain).max()
