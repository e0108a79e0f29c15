"""Which strategy takes what, and that every legal choice of its parameters keeps the meaning."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import FunctionType, ModuleOp, f32, f64, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute
from xdsl.parser import Parser

import ircc
from ircc.codegen.simt.teams import INSTRUCTIONS
from ircc.dialects import context
from ircc.dialects.loop import Alloc, Instruction, Kernel
from ircc.dialects.loop.instruction import invoked
from ircc.dialects.tensor import Compute
from ircc.dialects.tensor.builder import compute
from ircc.errors import ScheduleError
from ircc.ir.expr import Expr, ExprLike
from ircc.ir.target import PRESETS
from ircc.ir.types import BufferType, TensorType
from ircc.passes.tensor_to_loop import TensorToLoop
from ircc.schedules.nest import nest_of
from ircc.schedules.script import Schedule
from ircc.schedules.strategies.simt import neighbours
from ircc.schedules.strategy import Case, find_strategy, select, strategies
from ircc.testing.loop_programs import Drawn, evaluated

M, N, K = (Expr.symbol(s) for s in "MNK")
AVX512, SSE, SCALAR = PRESETS["x86-64-v4"], PRESETS["x86-64"], PRESETS["riscv64"]


def program(types: list[TensorType], make: Callable[..., Compute], **symbols: int) -> Drawn:
    """A module that computes one thing from tensors of these types."""
    main = FuncOp("main", (types, []))
    op = make(*main.body.block.args)
    main.body.block.add_ops([op, ReturnOp(op)])
    main.function_type = FunctionType.from_lists(types, [op.result.type])
    module = ModuleOp([main])
    TensorToLoop().run(module)
    return Drawn(module, symbols)


def t(*sizes: ExprLike, element: Attribute = f32) -> TensorType:
    return TensorType.of(sizes, element)


def matmul(m: ExprLike, n: ExprLike, k: ExprLike, **symbols: int) -> Drawn:
    def make(x: Any, y: Any) -> Compute:
        body = lambda b, i, j, z: b.read(x, i, z) * b.read(y, z, j)  # noqa: E731
        return compute([m, n], body, f32, reduce=[k], combine="add", finish=lambda b, i, j, a: a.maximum(0))

    return program([t(m, k), t(k, n)], make, **symbols)


def conv(h: ExprLike, w: ExprLike, c: int, o: int, stride: int = 1, **symbols: int) -> Drawn:
    def make(x: Any, y: Any) -> Compute:
        def body(b: Any, n: Expr, i: Expr, j: Expr, m: Expr, p: Expr, q: Expr, z: Expr) -> Any:
            return b.read(x, n, i * stride + p, j * stride + q, z) * b.read(y, p, q, z, m)

        out = [1, (Expr.of(h) - 3) // stride + 1, (Expr.of(w) - 3) // stride + 1, o]
        return compute(out, body, f32, reduce=[3, 3, c], combine="add")

    return program([t(1, h, w, c), t(3, 3, c, o)], make, **symbols)


def batched(n: ExprLike, length: ExprLike, c: int, o: int, **symbols: int) -> Drawn:
    """A convolution over one dim."""

    def make(x: Any, y: Any) -> Compute:
        body = lambda b, n, i, m, p, z: b.read(x, n, i + p, z) * b.read(y, p, z, m)  # noqa: E731
        return compute([n, Expr.of(length) - 2, o], body, f32, reduce=[3, c], combine="add")

    return program([t(n, length, c), t(3, c, o)], make, **symbols)


def depthwise(h: ExprLike, w: ExprLike, c: int) -> Drawn:
    def make(x: Any, y: Any) -> Compute:
        body = lambda b, n, i, j, c, p, q: b.read(x, n, i + p, j + q, c) * b.read(y, p, q, c)  # noqa: E731
        return compute([1, Expr.of(h) - 2, Expr.of(w) - 2, c], body, f32, reduce=[3, 3], combine="add")

    return program([t(1, h, w, c), t(3, 3, c)], make)


def rows(n: ExprLike, k: ExprLike, combine: str, element: Attribute = f32, **symbols: int) -> Drawn:
    def make(x: Any) -> Compute:
        return compute([n], lambda b, i, z: b.read(x, i, z), element, reduce=[k], combine=combine)

    return program([t(n, k, element=element)], make, **symbols)


def planes(n: int, m: int, k: int) -> Drawn:
    def make(x: Any) -> Compute:
        return compute([n, m], lambda b, i, j, z: b.read(x, i, j, z), f32, reduce=[k], combine="add")

    return program([t(n, m, k)], make)


def lines(n: int, m: int) -> Drawn:
    return program([t(n, m)], lambda x: compute([n, m], lambda b, i, j: b.read(x, i, j) + 1, f32))


def columns(n: int, k: ExprLike, m: ExprLike, **symbols: int) -> Drawn:
    def make(x: Any) -> Compute:
        return compute([n, m], lambda b, i, j, z: b.read(x, i, z, j), f32, reduce=[k], combine="max")

    return program([t(n, k, m)], make, **symbols)


def transposed(n: ExprLike, m: ExprLike, **symbols: int) -> Drawn:
    return program([t(m, n)], lambda x: compute([n, m], lambda b, i, j: b.read(x, j, i) + 1, f32), **symbols)


def gathered() -> Drawn:
    def make(x: Any, at: Any) -> Compute:
        return compute([5, 20], lambda b, i, j: b.read(x, b.as_index(b.read(at, i) * 0), j), f32)

    return program([t(3, 20), t(5, element=i64)], make)


def looked_up() -> Drawn:
    def make(x: Any, at: Any) -> Compute:
        return compute([20], lambda b, i: b.read(x, b.as_index(b.read(at, i) * 0)), f32)

    return program([t(3), t(20, element=i64)], make)


def walked(rows: ExprLike, steps: int, **symbols: int) -> Drawn:
    """From place to place, as through a decision tree."""

    def make(start: Any, at: Any) -> Compute:
        def body(b: Any, i: Any, j: Any) -> Any:
            place = b.read(start, i, j)
            for _ in range(steps):
                place = b.read(at, b.as_index(place * 0 + 1))
            return place

        return compute([rows, 19], body, i64)

    return program([t(rows, 19, element=i64), t(19, element=i64)], make, **symbols)


CASES: dict[str, tuple[Callable[[], Drawn], str]] = {
    "matmul": (lambda: matmul(9, 37, 6), "contraction"),
    "matmul of any size": (lambda: matmul(M, N, K, M=5, N=21, K=3), "contraction"),
    "vector times matrix": (lambda: matmul(1, 70, 9), "contraction"),
    "blocked rows": (lambda: matmul(M, 16, 2, M=260), "contraction"),
    "convolution": (lambda: conv(7, 10, 3, 20), "contraction"),
    "convolution of any size": (lambda: conv(M, N, 3, 20, 2, M=7, N=9), "contraction"),
    "convolution of any batch and length": (lambda: batched(M, N, 2, 17, M=1, N=269), "contraction"),
    "depthwise": (lambda: depthwise(7, 8, 20), "window"),
    "columns": (lambda: columns(2, 30, 20), "window"),
    "columns of any size": (lambda: columns(2, K, N, K=7, N=21), "columns"),
    "rows": (lambda: rows(4, 100, "add"), "reduction"),
    "rows of any length": (lambda: rows(M, K, "max", M=3, K=45), "reduction"),
    "rows of doubles": (lambda: rows(4, 33, "mul", f64), "reduction"),
    "all there is": (lambda: rows(1, 100, "add"), "reduction"),
    "many rows, several a chunk": (lambda: rows(66, 150, "max"), "reduction"),
    "rows in two dims, shared together": (lambda: planes(2, 9, 40), "reduction"),
    "many lines, several a chunk": (lambda: lines(66, 150), "elementwise"),
    "short rows": (lambda: rows(4, 5, "add"), "strided"),
    "transposition": (lambda: transposed(20, 33), "transposition"),
    "transposition of any size": (lambda: transposed(M, N, M=18, N=5), "transposition"),
    "gather of rows": (gathered, "elementwise"),
    "gather of elements": (looked_up, "serial"),
    "walk through a table": (lambda: walked(M, 9, M=3), "serial"),
}
every_case = pytest.mark.parametrize("name", CASES)


def case_of(drawn: Drawn, target: Any = AVX512) -> Case:
    nest = nest_of(drawn.kernel)
    assert nest is not None
    return Case(nest, target, frozenset(("in1",)))


def check(drawn: Drawn, text: str) -> None:
    """The kernel's result is the same with this schedule."""
    inputs = drawn.inputs(0)
    expected = evaluated(drawn, inputs)
    copy = Drawn(drawn.module.clone(), drawn.symbols)
    Schedule.parse(text).apply(copy.kernel)
    copy.kernel.verify()
    np.testing.assert_array_equal(evaluated(copy, inputs), expected, text)


@every_case
def test_the_right_strategy_takes_it(name: str) -> None:
    make, expected = CASES[name]
    drawn = make()
    for target in PRESETS.values():
        found = select(case_of(drawn, target))
        assert found is not None
        assert found[0].name in (expected, "serial" if target.vector_bits == 0 else expected)
    for target in (AVX512, SSE, SCALAR):
        found = select(case_of(drawn, target))
        assert found is not None
        check(drawn, found[1])


@every_case
def test_every_legal_choice_keeps_the_meaning(name: str) -> None:
    make, expected = CASES[name]
    drawn = make()
    strategy, case = find_strategy(expected), case_of(drawn)
    for parameter, choice in (strategy.choices(case) or {}).items():
        assert choice.default in choice.values
        for value in {choice.values[0], choice.values[-1]} - {choice.default}:
            text = strategy.schedule(case, **{parameter: value})
            assert text is not None
            check(drawn, text)


@pytest.mark.parametrize(("batch", "blocked"), [(M, True), (2, False)])
def test_a_batch_that_may_be_1_leaves_blocks_of_rows_to_share(batch: ExprLike, blocked: bool) -> None:
    found = find_strategy("contraction").schedule(case_of(batched(batch, N, 3, 20)))
    assert found is not None and ("parallel i1b" in found.splitlines()) == blocked


@pytest.mark.parametrize(
    ("drawn", "line"),
    [
        (conv(4, 7, 2, 50), "sink i1 past k0"),
        (conv(4, 7, 4, 50), "sink i1 past k0 k1"),
        (conv(10, 5, 33, 2), "sink i1 past k0 k1 k2b"),
        (matmul(13, 50, 30), "sink i0 past k0b"),
    ],
)
def test_long_panels_are_used_part_by_part(drawn: Drawn, line: str) -> None:
    """Where they do not fit in the L2 cache."""
    case = case_of(drawn, replace(AVX512, l2=4 << 10))
    text = find_strategy("contraction").schedule(case)
    assert text is not None
    assert line in text.splitlines()
    check(drawn, text)


@pytest.mark.parametrize(
    ("drawn", "lines"),
    [
        (matmul(64, 96, 400), ["prefetch out 0 at i0", "prefetch in1 4 at k0", "prefetch in1 1 at i1 i0 k0"]),
        (matmul(64, 96, 40), ["prefetch out 0 at i0", "prefetch in1 1 at i1 i0 k0"]),  # a panel stays in the L1 cache
        (matmul(64, 96, 30), ["prefetch in1 1 at i1 i0 k0"]),  # nor is there time for the result's place to come
        (matmul(1, 96, 400), []),  # a stream, which the machine fetches by itself
        (matmul(4096, 96, 40), ["prefetch out 0 at i0"]),  # so much that waiting for it is nothing
        (conv(9, 9, 16, 96), ["prefetch out 0 at i2", "prefetch in1 4 at k2"]),  # all panels stay in the L2 cache
        (
            conv(9, 9, 256, 96),
            ["prefetch out 0 at i2", "prefetch in1 4 at k2", "prefetch in1 1 at i3 i1 i2 k0 k1 k2"],
        ),
    ],
)
def test_weights_are_fetched_before_they_are_read(drawn: Drawn, lines: list[str]) -> None:
    text = find_strategy("contraction").schedule(case_of(drawn))
    assert text is not None
    assert [line for line in text.splitlines() if line.startswith("prefetch")] == lines


def test_a_chunk_has_several_panels_where_few_rows_use_them() -> None:
    """So that who works on one fetches the next one for itself."""
    strategy = find_strategy("contraction")
    drawn = matmul(16, 1536, 3)
    text = strategy.schedule(case_of(drawn))
    assert text is not None and text.splitlines()[-2] == "parallel i1b" and "-> i1b i1" in text
    check(drawn, text)
    assert "-> i1b i1" not in (strategy.schedule(case_of(matmul(160, 1536, 3))) or "")
    assert "-> i1b i1" not in (strategy.schedule(case_of(matmul(16, 240, 3))) or "")  # five panels


@pytest.mark.parametrize(("n", "line"), [(56, "block i1 7 -> i1b i1"), (112, "block i1 8 -> i1b i1")])
def test_a_chunk_of_what_is_turned_stays_in_a_cache(n: int, line: str) -> None:
    drawn = program([t(n, n, 64)], lambda x: compute([64, n, n], lambda b, c, i, j: b.read(x, i, j, c), f32))
    found = select(case_of(drawn))
    assert found is not None and found[0].name == "transposition" and line in found[1]


def test_panels_of_what_changes_are_copied_one_by_one() -> None:
    drawn, line = matmul(65, 20, 3), "stage in1 at i1 in stack as panel0"
    found = find_strategy("contraction").schedule(replace(case_of(drawn), constants=frozenset()))
    assert found is not None and line in found.splitlines()
    check(drawn, found)
    few = find_strategy("contraction").schedule(replace(case_of(matmul(60, 20, 3)), constants=frozenset()))
    assert few is not None and line not in few


def test_vectors_of_pixels_go_on_over_the_ends_of_rows() -> None:
    def make(x: Any, w: Any) -> Compute:
        body = lambda b, o, i, j, c: b.read(x, c, i, j) * b.read(w, o, c)  # noqa: E731
        return compute([4, 5, 7], body, f32, reduce=[3], combine="add")

    drawn = program([t(3, 5, 7), t(4, 3)], make)
    found = find_strategy("contraction").schedule(case_of(drawn))
    assert found is not None and found.splitlines()[0] == "collapse i1 i2"
    check(drawn, found)


@pytest.mark.parametrize(
    ("planes", "width", "cut"), [(1, 1024, True), (4, 1024, False), (4, 16384, True), (16, 16384, False)]
)
def test_rows_are_cut_for_more_chunks_or_for_the_cache(planes: int, width: int, cut: bool) -> None:
    found = find_strategy("columns").schedule(case_of(columns(planes, 64, width)))
    assert found is not None and ("block i1 512 -> i1b i1" in found.splitlines()) == cut


@pytest.mark.parametrize(("steps", "together"), [(3, False), (9, True)])
def test_long_walks_go_side_by_side(steps: int, together: bool) -> None:
    found = find_strategy("serial").schedule(case_of(walked(3, steps)))
    assert found is not None and ("unroll i1t" in found.splitlines()) == together
    assert ("sink i0 past i1" in found.splitlines()) == together  # all rows through one tree before the next


def test_an_illegal_choice_is_refused() -> None:
    with pytest.raises(ScheduleError, match="rows = 99 is not a legal choice"):
        find_strategy("contraction").schedule(case_of(matmul(9, 37, 6)), rows=99)


def test_strategies_are_found_by_their_place() -> None:
    order = [
        "patch",
        "update",
        "matrix",
        "contraction",
        "tiled",
        "columns",
        "halo",
        "grouped",
        "window",
        "reduction",
        "strided",
        "transposition",
        "elementwise",
        "simt",
        "serial",
    ]
    assert [s.name for s in strategies()] == order
    with pytest.raises(ScheduleError, match="there is no strategy gemm"):
        find_strategy("gemm")


def test_registers_hold_the_tile() -> None:
    """Accumulators, a panel's vectors and a broadcast one fit the target's registers."""
    for target in PRESETS.values():
        choices = find_strategy("contraction").choices(case_of(matmul(1024, 1024, 1024), target))
        assert choices is not None
        vectors, tile = choices["vectors"].default, choices["rows"].default
        assert tile * vectors + vectors + 1 <= target.vector_registers


def test_a_kernel_without_a_nest_has_no_strategy() -> None:
    kernel = matmul(4, 4, 4).kernel
    assert isinstance(kernel, Kernel)
    Schedule.parse("fuse i0").apply(kernel)
    assert nest_of(kernel) is None


DEVICE = replace(AVX512, name="device", group=64, shared=32 << 10)


def test_devices_have_strategies_of_their_own() -> None:
    for target, device in ((AVX512, False), (DEVICE, True)):
        for drawn in (matmul(64, 80, 96), matmul(7, 5, 3), matmul(M, 64, 64, M=3), conv(9, 9, 4, 8)):
            chosen = select(case_of(drawn, target))
            assert chosen is not None and chosen[0].device == device
    products = (matmul(64, 80, 96), matmul(60, 90, 96), matmul(64, 64, 7), conv(16, 16, 8, 32), depthwise(20, 20, 64))
    names = [select(case_of(d, DEVICE)) for d in products]
    assert [c[0].name for c in names if c is not None] == ["tiled", "tiled", "simt", "tiled", "halo"]


@pytest.mark.parametrize(
    "values", [{}, {"rows": 64, "columns": 16, "depth": 4}, {"rows": 8, "columns": 8, "depth": 32}]
)
def test_tiles_of_groups_keep_the_meaning(values: dict[str, int]) -> None:
    """Loops that lanes share, run by the one core that a CPU is here."""
    drawn = matmul(64, 80, 96)
    strategy = find_strategy("tiled")
    text = strategy.schedule(case_of(drawn, DEVICE), **values)
    assert text is not None
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    assert {op.run.data for op in drawn.kernel.loops()} == {"concurrent", "serial", "lanes", "unrolled"}
    x, y = drawn.inputs(0).values()
    (found,) = ircc.compile(drawn.module, passes="plan-memory").run(drawn.inputs(0)).values()
    assert np.array_equal(found, np.maximum(x @ y, 0))


@pytest.mark.parametrize(("m", "n", "k"), [(M, N, K), (M, 64, 96), (67, 131, 101)], ids=["unknown", "rows", "primes"])
@pytest.mark.parametrize("values", [{}, {"rows": 8, "columns": 16, "depth": 4}], ids=["default", "small"])
def test_tiles_go_beyond_the_result(m: ExprLike, n: ExprLike, k: ExprLike, values: dict[str, int]) -> None:
    """Where their sizes do not fit, or are not known."""
    drawn = matmul(m, n, k)
    text = find_strategy("tiled").schedule(case_of(drawn, DEVICE), **values)
    assert text is not None and "cover i0" in text
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    engine = ircc.compile(drawn.module, passes="plan-memory")
    for symbols in ((0, 5, 7), (1, 1, 1), (9, 33, 21), (64, 16, 0), (65, 0, 4)):
        inputs = Drawn(drawn.module, dict(zip("MNK", symbols, strict=True))).inputs(0)
        x, y = inputs.values()
        (found,) = engine.run(inputs).values()
        assert np.array_equal(found, np.maximum(x @ y, 0))


def test_tiles_of_pictures_that_are_not_known() -> None:
    drawn = conv(M, N, 8, 64)
    text = find_strategy("tiled").schedule(case_of(drawn, DEVICE))
    assert text is not None and "cover i2" in text
    Schedule.parse(text).apply(drawn.kernel)
    engine = ircc.compile(drawn.module, passes="plan-memory")
    for h, w in ((3, 3), (7, 40), (2, 9)):
        inputs = Drawn(drawn.module, {"M": h, "N": w}).inputs(0)
        x, y = inputs.values()
        (found,) = engine.run(inputs).values()
        right = sum(x[0, p : p + h - 2, q : q + w - 2] @ y[p, q] for p in range(3) for q in range(3))
        assert np.array_equal(found[0], right)


@pytest.mark.parametrize("values", [{}, {"rows": 2, "columns": 16, "channels": 8}], ids=["default", "other"])
@pytest.mark.parametrize(("h", "w", "c"), [(20, 20, 64), (M, N, 20), (9, 16, 37)], ids=["whole", "unknown", "odd"])
def test_pieces_of_pictures(h: ExprLike, w: ExprLike, c: int, values: dict[str, int]) -> None:
    """With what lies around them; several results of a row in registers."""
    drawn = depthwise(h, w, c)
    strategy, case = find_strategy("halo"), case_of(depthwise(h, w, c), DEVICE)
    choices = strategy.choices(case)
    assert choices is not None
    text = strategy.schedule(case, **{n: v for n, v in values.items() if v in choices[n].values})
    assert text is not None and "stage in0 at i3 in stack as window" in text and "unroll i2r" in text
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    engine = ircc.compile(drawn.module, passes="plan-memory")
    for m, n in ((3, 3), (8, 19), (2, 7)):
        inputs = Drawn(drawn.module, {"M": m, "N": n}).inputs(0)
        x, y = inputs.values()
        (found,) = engine.run(inputs).values()
        height, width = found.shape[1:3]
        right = sum(x[0, p : p + height, q : q + width] * y[p, q] for p in range(3) for q in range(3))
        assert np.array_equal(found[0], right)


def test_pictures_of_which_no_group_holds_a_piece() -> None:
    for drawn in (conv(20, 20, 8, 64), rows(5, 200, "add"), transposed(20, 40)):
        assert find_strategy("halo").choices(case_of(drawn, DEVICE)) is None
    assert find_strategy("halo").choices(case_of(depthwise(20, 20, 64), replace(DEVICE, shared=64))) is None


def test_what_ends_elsewhere_is_not_covered() -> None:
    """Where a tile beyond the result would write into what follows it."""
    nest = case_of(matmul(M, 64, 64), DEVICE).nest
    longer = replace(nest.store, type=BufferType.of([M + 1, 64], f32))
    assert find_strategy("tiled").choices(Case(replace(nest, store=longer), DEVICE)) is None


def test_a_signal_has_no_panels() -> None:
    """Windows that slide along one dimension: neighbouring rows of the product are mostly the same numbers."""

    def make(x: Any, w: Any) -> Compute:
        body = lambda b, i, j, k: b.read(x, i * 16 + k) * b.read(w, j, k)  # noqa: E731
        return compute([100, 64], body, f32, reduce=[64], combine="add")

    case = case_of(program([t(100 * 16 + 64), t(64, 64)], make), DEVICE)
    assert find_strategy("tiled").choices(case) is None
    found = select(case)
    assert found is not None and found[0].name == "grouped"


@pytest.mark.parametrize("values", [{}, {"lines": 1}, {"rows": 7, "columns": 8}, {"lines": 7, "rows": 1, "depth": 4}])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_groups_keep_the_meaning(stride: int, values: dict[str, int]) -> None:
    """A product for each place of the window; several lines of the result in a tile."""
    drawn = conv(13 * stride + 3, 6 * stride + 3, 8, 64, stride)
    strategy = find_strategy("tiled")
    text = strategy.schedule(case_of(drawn, DEVICE), **values)
    assert text is not None and "split k2" in text and "sink i1g" in text
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    x, w = drawn.inputs(0).values()
    (found,) = ircc.compile(drawn.module, passes="plan-memory").run(drawn.inputs(0)).values()
    reach = (slice(0, 13 * stride + 1, stride), slice(0, 6 * stride + 1, stride))
    assert np.array_equal(found[0], sum(x[0, p:, q:][reach] @ w[p, q] for p in range(3) for q in range(3)))


def test_a_groups_buffers_fit_its_memory() -> None:
    for shared in (4 << 10, 8 << 10, 32 << 10):
        drawn = matmul(256, 256, 256)
        text = find_strategy("tiled").schedule(case_of(drawn, replace(DEVICE, shared=shared)))
        assert text is not None
        Schedule.parse(text).apply(drawn.kernel)
        buffers = [op.type for op in drawn.kernel.walk() if isinstance(op, Alloc) and op.type.space.data == "stack"]
        assert len(buffers) == 3 and sum(b.bytes.constant or 0 for b in buffers) <= shared
    assert find_strategy("tiled").choices(case_of(matmul(256, 256, 256), replace(DEVICE, shared=64))) is None


@pytest.mark.parametrize("partial", [32, 64])
@pytest.mark.parametrize("combine", ["add", "max"])
@pytest.mark.parametrize("k", [K, 200, 128])
def test_groups_reduce_rows(partial: int, combine: str, k: ExprLike) -> None:
    """A group has partial results and combines them; the core that a CPU is here does the same in turns."""
    drawn = rows(5, k, combine, K=77)
    case = case_of(drawn, DEVICE)
    chosen = select(case)
    assert chosen is not None and chosen[0].name == "grouped"
    text = chosen[0].schedule(case, partial=partial)
    assert text is not None
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    assert {op.run.data for op in drawn.kernel.loops()} >= {"concurrent", "lanes"}
    (x,) = drawn.inputs(0).values()
    found = evaluated(drawn, drawn.inputs(0))
    assert np.array_equal(found, x.sum(axis=1) if combine == "add" else x.max(axis=1))


@pytest.mark.parametrize("team", [1, 32, 64])
@pytest.mark.parametrize("combine", ["add", "max"])
@pytest.mark.parametrize("k", [K, 200, 1024])
def test_teams_combine_what_groups_reduce(team: int, combine: str, k: ExprLike) -> None:
    """By the machine's instruction, so many at a time as a team has lanes; where it has none, half with half."""
    drawn = rows(5, k, combine, K=77)
    declared = [op for op in Parser(context(), INSTRUCTIONS).parse_module().body.ops if isinstance(op, Instruction)]
    for op in declared:
        op.detach()
        drawn.module.body.block.insert_op_before(op, drawn.kernel)
    known = frozenset(op.sym_name.data for op in declared)
    case = replace(case_of(drawn, replace(DEVICE, group=1024, team=team)), instructions=known)
    text = find_strategy("grouped").schedule(case)
    assert text is not None and (f"by {team}" in text) == (f"replace part.lane by team_{combine}_f32" in text)
    assert ("part.half" in text) == (team == 1)
    Schedule.parse(text).apply(drawn.kernel)
    drawn.kernel.verify()
    turns = [op.trip for op in drawn.kernel.loops("part.team")]
    partial = int(text.split("reassociate k0 ")[1].split("|")[0].split()[0])
    assert turns == {32: {1024: [32, 1], 128: [4, 1]}, 64: {1024: [16, 1], 128: [2, 1]}}.get(team, {}).get(partial, [])
    assert len(invoked(drawn.kernel)) == len(turns)
    (x,) = drawn.inputs(0).values()
    found = evaluated(drawn, drawn.inputs(0))
    assert np.array_equal(found, x.sum(axis=1) if combine == "add" else x.max(axis=1))


def scaled(shape: list[ExprLike], element: Attribute = f32, turned: bool = False, **symbols: int) -> Drawn:
    """y = x x, or the transpose of that."""

    def make(x: Any) -> Compute:
        def body(b: Any, *at: Expr) -> Any:
            value = b.read(x, *(at[::-1] if turned else at))
            return value * value

        return compute(shape, body, element)

    return program([t(*(shape[::-1] if turned else shape), element=element)], make, **symbols)


@pytest.mark.parametrize(
    ("drawn", "lanes"),
    [
        (lambda: scaled([N, 16], N=3), 4),
        (lambda: scaled([N, 7, 10], N=3), 2),  # the dims as one
        (lambda: scaled([N, 7, 9], N=3), 1),
        (lambda: scaled([5, N], N=12), 1),
        (lambda: scaled([128, 128]), 4),
        (lambda: scaled([16, 16]), 1),  # there are not work items enough
        (lambda: scaled([N, 16], f64, N=3), 2),
        (lambda: scaled([N, 16], turned=True, N=3), 1),
    ],
)
def test_neighbours_are_a_work_items(drawn: Callable[[], Drawn], lanes: int) -> None:
    """Where they lie side by side, and as many as 16 bytes take divide the rows."""
    made = drawn()
    case = case_of(made, DEVICE)
    assert neighbours(case.nest) == lanes
    for choice in {1, lanes}:
        again = drawn()
        text = find_strategy("simt").schedule(case_of(again, DEVICE), **({"lanes": choice} if lanes > 1 else {}))
        assert text is not None and ("vectorize" in text) == (choice > 1)
        Schedule.parse(text).apply(again.kernel)
        again.kernel.verify()
        inputs = again.inputs(0)
        (x,) = inputs.values()
        found = evaluated(again, inputs)
        assert np.array_equal(found, x * x if found.shape == x.shape else (x * x).T)


def test_what_groups_do_not_reduce() -> None:
    """Neighbours of a short row, or of one whose elements lie apart, are different work items'."""
    for drawn in (rows(5, 31, "add"), columns(5, 200, 40), matmul(60, 90, 7)):
        chosen = select(case_of(drawn, DEVICE))
        assert chosen is not None and chosen[0].name == "simt"
    assert find_strategy("grouped").choices(case_of(rows(5, 200, "add"), AVX512)) is None
