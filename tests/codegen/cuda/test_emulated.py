"""The text that becomes PTX, run on the CPU, against the interpreter of the loop dialect."""

import random
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

import ircc
from ircc.codegen.cuda.emit import emit_kernel, module_text
from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.dialects.loop.instruction import invoked
from ircc.errors import BackendError
from ircc.ir.scalars import evaluate_scalar, held_dtype
from ircc.ir.types import BufferType
from ircc.testing.emulated_gpu import Grid, Lanes
from ircc.testing.group_kernels import WIDE_KINDS, group_kernels, team_kernels, team_rows, wide_buffers, wide_kernel
from ircc.testing.loop_kernels import from_memory, in_memory, random_kernel, random_sizes
from ircc.testing.scalar_cases import CASES, kernel, operands, storage, wrong

Array = np.ndarray[Any, Any]
KERNELS = 40  # in one module
SIZES = 2  # sets of sizes that each is run with


class Emulated:
    """Kernels, loaded: for groups of one lane, or of `width` lanes that are threads, in teams."""

    def __init__(self, kernels: Sequence[Kernel], width: int = 1, team: int = 1) -> None:
        self.printed = {k.sym_name.data: emit_kernel(k) for k in kernels}
        text = module_text(p.code for p in self.printed.values())
        self.width = width
        self.loaded = Grid(text) if width == 1 else Lanes(text, width, team)

    def run(self, kernel: Kernel, buffers: Sequence[Array], sizes: dict[str, int]) -> None:
        """One call, on flat buffers in memory."""
        args = [*(b.ctypes.data for b in buffers), *(sizes[name] for name in kernel.sizes)]
        for part in self.printed[kernel.sym_name.data].parts:
            items = part.items.evaluate(symbols=sizes)
            self.loaded.launch(part.function, items if part.groups else -(-items // self.width), args)

    def check(self, kernel: Kernel, arrays: Sequence[Array], sizes: dict[str, int]) -> None:
        """What the interpreter says is what the code leaves in the buffers, bit for bit."""
        types = [a.type for a in kernel.args if isinstance(a.type, BufferType)]
        flat = [in_memory(a, t, sizes) for a, t in zip(arrays, types, strict=True)]
        self.run(kernel, flat, sizes)
        expected = [a.copy() for a in arrays]
        evaluate_kernel(kernel, expected, sizes)
        for name, type_, right, found in zip(kernel.arg_names, types, expected, flat, strict=True):
            actual = from_memory(found, type_, right.shape, sizes)
            assert same(right, actual), f"{kernel}\n{name} {type_} with {sizes}:\n{right}\nis\n{actual}"
            assert np.array_equal(in_memory(actual, type_, sizes).view(np.uint8), found.view(np.uint8)), name


def same(a: Array, b: Array) -> bool:
    """Equal bits, but for the payload of NaN and the sign of a zero."""
    if a.dtype.kind in "biu":
        return bool((a == b).all())
    a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def kernels(module: Any) -> list[Kernel]:
    assert isinstance(module, ModuleOp)
    return [op for op in module.body.ops if isinstance(op, Kernel)]


@pytest.mark.parametrize("width", [1, 3])
def test_random_kernels(width: int) -> None:
    rng = random.Random(f"cuda {width}")
    programs = [random_kernel(rng, f"k{i}", symbolic=i % 4 != 0) for i in range(KERNELS)]
    loaded = Emulated([p.kernel for p in programs], width)
    for p in programs:
        for _ in range(SIZES):
            sizes = random_sizes(rng, p.kernel)
            loaded.check(p.kernel, p.arrays(np.random.default_rng(rng.randrange(1 << 32)), sizes), sizes)


def test_operations() -> None:
    """Every scalar operation that a GPU has, at the edges of its types."""
    made: dict[str, Kernel] = {}
    for case in CASES:
        k = kernel(case, 1, len(operands(case)[0]))
        try:
            emit_kernel(k)
        except BackendError as error:
            assert "the GPU has no function" in error.message
        else:
            made[case.name] = k
    loaded = Emulated(list(made.values()))
    failures: list[str] = []
    for case in [c for c in CASES if c.name in made]:
        given = [a.copy() for a in operands(case)]
        out = np.zeros(len(given[0]), held_dtype(storage(case.result)))
        loaded.run(made[case.name], [*given, out], {})
        expected = np.asarray(evaluate_scalar(case.op(Block(arg_types=case.operands)), given))
        failures += [
            f"{case.name}: {[g[at] for g in given]} gives {out[at]}, expected {expected[at]}"
            for at in np.flatnonzero(wrong(case, expected, out))[:2]
        ]
    assert len(made) > 300 and not failures, f"{len(failures)} results differ\n" + "\n".join(failures)


@pytest.mark.parametrize("width", [1, 5])
def test_groups(width: int) -> None:
    """However wide a group is, its lanes do all of its work and wait for each other; what is outside is left alone."""
    turn, sums = group_kernels()
    loaded = Emulated([turn, sums], width)
    assert all(part.groups for printed in loaded.printed.values() for part in printed.parts)
    for m in (64, 19, 1):
        rng = np.random.default_rng(m)
        x = rng.standard_normal((m, 48)).astype(np.float32)
        loaded.check(turn, [x, np.zeros((48, m), np.float32)], {"M": m})
        rows = rng.integers(-9, 10, (m, 8)).astype(np.int32)
        loaded.check(sums, [rows, np.zeros_like(rows), np.zeros(m, np.int32)], {"M": m})


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_neighbours_together(shift: int) -> None:
    """One access where a buffer begins at a multiple of its size, several where it does not."""
    for element in WIDE_KINDS:
        k = wide_kernel(element)
        x, b, y = wide_buffers(k, shift)
        Emulated([k], 2).run(k, [x, b, y], {"M": len(x)})
        assert np.array_equal(y, x + b), element


REDUCED = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, {k}] x) => (float[N] y) <int64[1] axis = {{1}}> {{ y = ReduceSum<keepdims = 0>(x, axis) }}
"""


@pytest.mark.parametrize("width, team", [(1, 1), (2, 2), (6, 2), (8, 8), (32, 32), (64, 64)])
def test_what_teams_combine(width: int, team: int) -> None:
    """However wide a team is: more values than lanes, fewer and as many; NaN passes where values are compared."""
    rng = np.random.default_rng(team)
    for values in (5, team) if team > 8 else (5, 8, 24):
        every = team_kernels(values)[: 2 if team > 8 else None]
        loaded = Emulated(every, width, team)
        for k in every:
            loaded.check(k, team_rows(k, rng), {"M": 6})


ASTRAY = """
define ptx_kernel void @astray(i64 %from, i64 %bits) {
entry:
  %lane = call i64 @ircc.lane()
  %team = call i64 @ircc.team()
  %comes = icmp uge i64 %lane, %from
  br i1 %comes, label %come, label %done
come:
  %b = trunc i64 %bits to i32
  %x = call i32 @ircc.shuffle(i32 7, i32 %b)
  br label %done
done:
  ret void
}
"""


def test_lanes_that_go_astray_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lanes of a team come to a shuffle, or the launch fails; and so it is with barriers."""
    monkeypatch.setattr("ircc.testing.emulated_gpu.PATIENCE", 0.5)
    lanes = Lanes(ASTRAY, 4, 2)
    for come in (0, 2):  # all of a team, and none of the other
        lanes.launch("astray", 2, [come, 1])
    with pytest.raises(RuntimeError, match=r"lane . is at '(shuffle by 1|end)', where others do not come"):
        lanes.launch("astray", 1, [1, 1])
    with pytest.raises(RuntimeError, match="asks a lane that is 2 away, in a team of 2"):
        lanes.launch("astray", 1, [0, 2])
    lanes.launch("astray", 1, [0, 1])
    some = ASTRAY.replace("call i32 @ircc.shuffle(i32 7, i32 %b)", "add i32 1, 1").replace("come:", "come:\n" + MEET)
    with pytest.raises(RuntimeError, match=r"diverge: .'barrier', 'end'"):
        Lanes(some, 2, 2).launch("astray", 1, [1, 1])


MEET = "  call void @ircc.barrier()"


@pytest.mark.parametrize("width, team", [(1, 1), (4, 1), (4, 2), (32, 32), (64, 64)])
def test_reductions_by_groups(width: int, team: int) -> None:
    """Whatever the width of a group and of its teams is, though the schedule reckons with 32."""
    for k in ("K", "300") if team == 1 else ("300",):
        made = ircc.lower(onnx.parser.parse_model(REDUCED.format(k=k)), to="loop-ir", target="cuda")
        (reduce,) = kernels(made)
        assert reduce.strategy is not None and reduce.strategy.data == "grouped"
        rng = np.random.default_rng(0)
        for columns in (300, 20, 0) if k == "K" else (300,):
            rows = 3 if team < 32 else 1
            arrays = [rng.integers(-4, 5, (rows, columns)).astype(np.float32), np.zeros(rows, np.float32)]
            Emulated([reduce], width, team).check(reduce, arrays, {"N": rows} | ({"K": columns} if k == "K" else {}))


@pytest.mark.parametrize("width", [1, 4])
def test_tiled_product(width: int) -> None:
    """The schedule of matrix products, as the compiler writes it."""
    model = "m (float[64, 64] x, float[64, 16] w) => (float[64, 16] y) {y = MatMul(x, w)}"
    model = f'<ir_version: 9, opset_import: ["": 20]> {model}'
    (product,) = kernels(ircc.lower(onnx.parser.parse_model(model), to="loop-ir", target="cuda"))
    assert product.strategy is not None and product.strategy.data == "tiled"
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-4, 5, shape).astype(np.float32) for shape in ((64, 64), (64, 16), (64, 16))]
    Emulated([product], width).check(product, arrays, {})


@pytest.mark.parametrize("width", [1, 3, 8])
def test_tiles_beyond_the_result(width: int) -> None:
    """Of sizes that are not known: every lane comes to each barrier."""
    model = "m (float[M, K] x, float[K, N] w) => (float[M, N] y) {y = MatMul(x, w)}"
    model = f'<ir_version: 9, opset_import: ["": 20]> {model}'
    (product,) = kernels(ircc.lower(onnx.parser.parse_model(model), to="loop-ir", target="cuda"))
    assert product.strategy is not None and product.strategy.data == "tiled"
    rng, loaded = np.random.default_rng(0), Emulated([product], width)
    for m, k, n in ((33, 18, 5), (1, 1, 1), (3, 0, 2), (0, 4, 4)):
        arrays = [rng.integers(-4, 5, shape).astype(np.float32) for shape in ((m, k), (k, n), (m, n))]
        loaded.check(product, arrays, {"M": m, "K": k, "N": n})


CONV = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 16, 14, 14] x, float[64, 16, 3, 3] w) => (float[N, 64, 7, 7] y)
{ y = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w) }
"""


@pytest.mark.parametrize("width", [1, 3])
def test_tiled_convolution(width: int) -> None:
    every = kernels(ircc.lower(onnx.parser.parse_model(CONV), to="loop-ir", target="cuda"))
    (conv,) = [k for k in every if k.strategy is not None and k.strategy.data == "tiled"]
    rng = np.random.default_rng(0)
    shapes = ((2, 16, 16, 16), (64, 16, 3, 3), (2, 7, 7, 64))
    x, w, y = (rng.integers(-4, 5, shape).astype(np.float32) for shape in shapes)
    Emulated([conv], width).run(conv, [x, w, y], {"N": 2})
    places = [(p, q) for p in range(3) for q in range(3)]
    assert np.array_equal(y, sum(x[:, p : p + 13 : 2, q : q + 13 : 2] @ w[:, :, p, q].T for p, q in places))


DEPTHWISE = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 20, H, 10] x, float[20, 1, 3, 3] w) => (float[N, 20, I, 5] y)
{ y = Conv<pads = [1, 1, 1, 1], strides = [2, 2], group = 20>(x, w) }
"""


@pytest.mark.parametrize("width", [1, 5])
def test_pieces_of_pictures(width: int) -> None:
    """A group's window with its halo, beyond the picture too."""
    every = kernels(ircc.lower(onnx.parser.parse_model(DEPTHWISE), to="loop-ir", target="cuda"))
    (conv,) = [k for k in every if k.strategy is not None and k.strategy.data == "halo"]
    rng = np.random.default_rng(0)
    for h in (9, 10, 1):
        x = rng.integers(-4, 5, (2, h + 2, 12, 20)).astype(np.float32)
        w, y = rng.integers(-4, 5, (20, 1, 3, 3)).astype(np.float32), np.zeros((2, (h + 1) // 2, 5, 20), np.float32)
        Emulated([conv], width).run(conv, [x, w, y], {"N": 2, "H": h})
        places = [(p, q) for p in range(3) for q in range(3)]
        right = sum(x[:, p : p + h + (h & 1) - 1 : 2, q : q + 9 : 2] * w[:, 0, p, q] for p, q in places)
        assert np.array_equal(y, right)


HALVES = """
<ir_version: 9, opset_import: ["": 20]>
m ({t}[{x}] x, {t}[{w}] w) => ({t}[32, 16] y) {{ y = Gemm<transA = {a}, transB = {b}>(x, w) }}
"""


@pytest.mark.parametrize("element, a, b, width", [("float16", 0, 0, 4), ("bfloat16", 1, 1, 1), ("float16", 0, 1, 1)])
@pytest.mark.parametrize("team", [1, 2])
def test_tensor_cores(element: str, a: int, b: int, width: int, team: int) -> None:
    """Tiles by an instruction, whose meaning the interpreter knows from its declaration; by rows and by columns."""
    shapes = (32, 48)[:: 1 - 2 * a], (48, 16)[:: 1 - 2 * b]
    x, w = (", ".join(map(str, shape)) for shape in shapes)
    model = onnx.parser.parse_model(HALVES.format(t=element, x=x, w=w, a=a, b=b))
    product = kernels(ircc.lower(model, to="loop-ir", target="cuda"))[0]
    assert product.strategy is not None and product.strategy.data == "matrix" and invoked(product)
    dtype = np.dtype(np.float16) if element == "float16" else np.dtype(ml_dtypes.bfloat16)
    rng = np.random.default_rng(0)
    given = [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]
    Emulated([product], width * team, team).check(product, [*given, np.zeros((32, 16), np.float32)], {})
