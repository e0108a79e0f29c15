"""examples/npu-sim, a simulated tile machine: a package of its own, which passes the kit; nets of three kinds on its
matrix unit; and faults that are planted in its schedules, found at the level they belong to."""

# pyright: reportPrivateUsage=false

import hashlib
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.ir import SSAValue

import ircc
from ircc.codegen.placement import declare
from ircc.dialects.loop import Call, Wait
from ircc.passes.select_schedules import SelectSchedules
from ircc.schedules import double
from ircc.schedules.script import Schedule
from ircc.schedules.strategy import strategies
from ircc.testing.conformance import run
from ircc.testing.loop_programs import evaluated, random_nest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE, CODEGEN = ROOT / "examples" / "npu-sim", ROOT / "codegen"
MOST = 250  # checks of L3, of 1,371: what CI has time for
LEVELS = ["L0", "L1", "L2"]


@pytest.fixture
def npu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """The package, found as if it had been installed; gives its modules."""
    points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "ircc_npu_sim-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ircc-npu-sim\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLE)
    strategies.cache_clear()
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    yield lambda name: importlib.import_module(f"npu_sim.{name}")
    strategies.cache_clear()


def machine(engine: Any) -> Any:
    """The simulator below an engine."""
    device = engine.device
    while not hasattr(device, "machine"):
        device = device.device
    return device.machine


def parsed(text: str) -> Any:
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> {text}')


def compared(model: Any, bound: float = 1e-4) -> Any:
    """The engine, after its results have been compared with the CPU's, relative to the largest."""
    engine, reference = ircc.compile(model, target="npu-sim"), ircc.compile(model, target="cpu")
    rng = np.random.default_rng(0)
    inputs = {
        i.name: rng.standard_normal([d if isinstance(d, int) else 3 for d in i.shape], np.float32)
        for i in engine.inputs
    }
    expected, found = reference.run(inputs), engine.run(inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=bound * max(1, np.abs(value).max()))
    return engine


# ---- a package of its own


def test_it_passes_the_kit_in_a_clean_environment(tmp_path: Path) -> None:
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("needs setuptools >= 77 to install a package without a network: pip install ircc[dev]")
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    paths = [p for p in sys.path if p.endswith("site-packages")]
    (packages / "ircc.pth").write_text("".join(f"import site; site.addsitedir({p!r})\n" for p in paths))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-build-isolation"]
    source = shutil.copytree(EXAMPLE, tmp_path / "source")  # building leaves files there
    subprocess.run([*pip, "--no-index", "--disable-pip-version-check", str(source)], check=True, cwd=tmp_path)
    assert (packages / "npu_sim" / "machine.py").exists()
    sources = b"".join(p.read_bytes() for folder in (EXAMPLE, CODEGEN) for p in sorted(folder.rglob("*.py")))
    seed = int(hashlib.sha256(sources).hexdigest()[:8], 16)
    for levels in (["L0,L1,L2,L4"], ["L3", "--each", str(MOST), "--seed", str(seed)]):
        command = [str(python), "-m", "ircc", "conformance", "--backend", "npu-sim", "--json", "--levels", *levels]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "IRCC_CACHE": str(tmp_path)}
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        report = json.loads(done.stdout)
        assert report["passed"] and all(level["device_kernels"] for level in report["levels"].values())
    script = """if 1:
    import numpy as np, onnx.parser, sys, ircc
    head = '<ir_version: 9, opset_import: ["": 20]> m (float[70, 80] x, float[80, 90] w) => (float[70, 90] y)'
    ircc.compile(onnx.parser.parse_model(head + ' {y = MatMul(x, w)}'), target="npu-sim").save("m.engine")
    """
    subprocess.run([str(python), "-c", script], check=True, cwd=tmp_path)
    script = """if 1:
    import numpy as np, sys, ircc
    x, w = np.ones((70, 80), np.float32), np.ones((80, 90), np.float32)
    assert (ircc.load("m.engine").run({"x": x, "w": w})["y"] == 80).all()
    assert "npu_sim.machine" in sys.modules and "xdsl" not in sys.modules
    """
    subprocess.run([str(python), "-c", script], check=True, cwd=tmp_path)


# ---- nets of three kinds, and what they leave to the matrix unit

RESIDUAL = """
m (float[1, 3, 35, 35] x, float[16, 3, 7, 7] w0, float[8, 16, 1, 1] w1, float[8, 8, 3, 3] w2, float[16, 8, 1, 1] w3,
   float[16] b3, float[16, 10] g, float[10] gb) => (float[1, 10] y) {
  a = Conv<strides = [2, 2], pads = [3, 3, 3, 3]>(x, w0)  b = Relu(a)
  c = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(b)
  d = Conv(c, w1)  e = Relu(d)  f = Conv<pads = [1, 1, 1, 1]>(e, w2)  h = Relu(f)
  i = Conv(h, w3, b3)  j = Add(i, c)  k = Relu(j)  l = GlobalAveragePool(k)  n = Flatten(l)  y = Gemm(n, g, gb)
}"""
SEPARABLE = """
m (float[1, 3, 33, 33] x, float[12, 3, 3, 3] w0, float[70, 12, 1, 1] w1, float[70, 1, 3, 3] w2, float[12, 70, 1, 1] w3,
   float[1, 1] low, float[1, 1] high) => (float[1, 12, 9, 9] y) {
  a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w0)
  b = Conv(a, w1)  zero = Constant<value_float = 0.0>()  six = Constant<value_float = 6.0>()  c = Clip(b, zero, six)
  d = Conv<strides = [2, 2], pads = [1, 1, 1, 1], group = 70>(c, w2)  e = Clip(d, zero, six)  y = Conv(e, w3)
}"""
ATTENTION = """
m (float[1, 20, 72] x, float[72, 72] q, float[72, 72] k, float[72, 72] v, float[72] s, float[72] t, float[72, 130] f)
  => (float[1, 20, 130] y) {
  a = MatMul(x, q)  b = MatMul(x, k)  c = MatMul(x, v)
  shape = Constant<value_ints = [1, 20, 4, 18]>()
  a1 = Reshape(a, shape)  a2 = Transpose<perm = [0, 2, 1, 3]>(a1)
  b1 = Reshape(b, shape)  b2 = Transpose<perm = [0, 2, 3, 1]>(b1)
  c1 = Reshape(c, shape)  c2 = Transpose<perm = [0, 2, 1, 3]>(c1)
  d = MatMul(a2, b2)  e = Softmax<axis = 3>(d)  g = MatMul(e, c2)
  h = Transpose<perm = [0, 2, 1, 3]>(g)  back = Constant<value_ints = [1, 20, 72]>()  i = Reshape(h, back)
  j = Add(i, x)  l = LayerNormalization<axis = -1>(j, s, t)  n = MatMul(l, f)  y = Gelu(n)
}"""


@pytest.mark.parametrize("text, products", [(RESIDUAL, 5), (SEPARABLE, 3), (ATTENTION, 6)])
def test_sums_of_products_run_on_the_matrix_unit(npu: Callable[[str], Any], text: str, products: int) -> None:
    npu("backend")
    engine = compared(parsed(text))
    on_it = [k for k in engine.kernels if k.strategy == "npu-matrix"]
    assert len(on_it) == products and all(k.on != "host" for k in on_it)
    counts = machine(engine).counts
    assert counts["matrix"] >= products and counts["vector"] and counts["copies"]


def test_instructions_are_counted_and_copies_go_on_meanwhile(
    npu: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix, strategy = npu("matrix"), importlib.import_module("ircc.schedules.strategy")
    model = parsed("m (float[130, 200] x, float[200, 90] w) => (float[130, 90] y) {y = MatMul(x, w)}")
    ahead = machine(compared(model))
    assert ahead.counts["matrix"] == 3 * 2 * 4 and ahead.counts["copies"] == 2 * 3 * 2 * 4 + 3 * 2
    original = matrix.NpuMatrix.choices
    one = strategy.Choice(0, (0, 1))
    monkeypatch.setattr(matrix.NpuMatrix, "choices", lambda self, case: {**original(self, case), "ahead": one})
    waiting = machine(compared(model))
    assert waiting.counts == ahead.counts and waiting.now > ahead.now


def test_what_it_cannot_do_runs_on_the_host(npu: Callable[[str], Any]) -> None:
    npu("backend")
    text = "m (float[9, 8] x, int64[5] i, double[4] z) => (float[5, 8] y, double[4] w) {y = Gather(x, i) w = Exp(z)}"
    engine = ircc.compile(parsed(text), target="npu-sim")
    assert {k.on for k in engine.kernels} == {"host"}


def test_random_kernels_have_the_same_results(npu: Callable[[str], Any]) -> None:
    """By the schedules that are chosen for them, whenever their copies happen, and on the machine."""
    backend, chip, device, program = (npu(name) for name in ("backend", "machine", "device", "program"))
    ran = 0
    for seed in range(40):
        drawn = random_nest(random.Random(seed))
        inputs, kernel = drawn.inputs(0), drawn.kernel
        expected = evaluated(drawn, inputs)
        made = backend.NpuBackend()
        made.describe().attach(drawn.module)
        declare(drawn.module, made)
        if made.supports(kernel) is not None:
            continue
        SelectSchedules().run(drawn.module)
        assert kernel.schedule is not None
        Schedule.parse(kernel.schedule.data).apply(kernel)
        kernel.verify()
        for late in (False, True):
            np.testing.assert_array_equal(evaluated(drawn, inputs, late=late), expected, f"seed {seed}")
        try:
            text = program.program_of(kernel, backend.SPACES)
        except ircc.Error:
            continue
        ran += 1
        found = dict(device.NAMES)
        exec(text, found)
        call = next(op for op in drawn.program.body.block.ops if isinstance(op, Call))
        given: dict[SSAValue, Any] = dict(zip(drawn.program.inputs, inputs.values(), strict=True))
        result = np.zeros_like(expected)
        sizes = [int(e.data.evaluate(symbols=drawn.symbols)) for e in call.sizes]
        m = chip.Machine(backend.SPACES)
        m.begin("random")
        found["program"](
            m, [*(given.get(b, result) for b in call.buffers), *sizes], lambda a, _, shape: a.reshape(shape)
        )
        m.end()
        np.testing.assert_array_equal(result, expected, f"seed {seed}")
    assert ran >= 5


# ---- what the machine does not survive


def test_races_and_overflows_are_faults(npu: Callable[[str], Any]) -> None:
    chip = npu("machine")
    source = np.arange(16, dtype=np.float32)

    def fresh() -> tuple[Any, Any]:
        m = chip.Machine({"scratchpad": 256, "accumulator": 64})
        m.begin("k")
        return m, chip.Tile(m.place("t", "scratchpad", 0, "float32", (16,)), 0, 64)

    m, tile = fresh()
    m.load("load", True, tile, source, 0)
    assert np.isnan(tile.view).all()
    with pytest.raises(chip.Fault, match=r"kernel k, loop\.load: reads what load has not copied yet"):
        m.check("loop.load", 60, 64, False)
    with pytest.raises(chip.Fault, match="load: is still under way"):
        m.end()
    m.check("loop.load", 64, 128, False)
    m.wait("load", 0)
    m.check("loop.load", 60, 64, False)
    m.end()
    np.testing.assert_array_equal(tile.view, source)
    m.save("save", True, np.zeros(16, np.float32), tile)
    m.check("loop.load", 0, 4, False)
    with pytest.raises(chip.Fault, match="overwrites what save still reads"):
        m.load("load", True, tile, source, 0)
    with pytest.raises(chip.Fault, match="kernel k, t: 256 bytes at 64 are beyond the 256 of the scratchpad"):
        fresh()[0].place("t", "scratchpad", 64, "float32", (64,))
    with pytest.raises(chip.Fault, match="goes outside of a buffer"):
        fresh()[0].load("load", False, tile, source[4:20], 0)


def test_addresses_outside_of_its_memory_are_faults(npu: Callable[[str], Any]) -> None:
    npu("backend")
    engine = ircc.compile(parsed("m (float[64] x) => (float[64] y) {y = Add(x, x)}"), target="npu-sim")
    device: Any = engine.device
    host, inside = np.zeros(64, np.float32), device.alloc(256)
    with pytest.raises(ircc.Error, match="are not in the machine's memory"):
        device.launch(0, [inside, host.ctypes.data])
    with pytest.raises(ircc.Error, match="are not in the machine's memory"):
        device.launch(0, [inside + 64, inside])
    device.free(inside)


# ---- faults in the schedules


def fewer_waits(npu: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for may still be under way."""
    original = double._Double.rewrite

    def rewrite(self: Any) -> None:
        original(self)
        for op in [op for op in self.loop.walk() if isinstance(op, Wait)]:
            op.set_indices([op.pending + 1], list(op.indices))

    monkeypatch.setattr(double._Double, "rewrite", rewrite)


def one_slot(npu: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next block is fetched into the place of this one."""
    monkeypatch.setattr(double, "SLOTS", 1)


def no_steps(npu: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows go through buffers by ones."""
    program = npu("program")
    original = program._Printer.window

    def window(self: Any, op: Any, found: Any, *rest: Any, **more: Any) -> str:
        steps = tuple(tuple(min(s, 1) for s in row) for row in found.steps)
        return original(self, op, found._replace(steps=steps), *rest, **more)

    monkeypatch.setattr(program._Printer, "window", window)


def small_accumulator(npu: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The chip has less memory for sums than the schedules were told."""
    chip = npu("machine").Machine
    original = chip.__init__
    monkeypatch.setattr(chip, "__init__", lambda self, spaces: original(self, {**spaces, "accumulator": 8}))


@pytest.mark.parametrize(
    "plant, level, only, says",
    [
        (fewer_waits, "L0", "launches of every size", "has not copied yet|still under way"),
        (one_slot, "L0", "launches of every size", "overwrites"),
        (no_steps, "L1", "launch|Slice", ""),
        (
            small_accumulator,
            "L2",
            r"launch|: Neg |: MatMul <.N, 4.|: Conv <.N, 3, H, W",
            "beyond the 8 of the accumulator",
        ),
    ],
)
def test_planted_faults_are_found_at_their_level(
    plant: Callable[..., None],
    level: str,
    only: str,
    says: str,
    npu: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of lower levels pass."""
    plant(npu, monkeypatch)
    failures = run("npu-sim", levels=LEVELS[: LEVELS.index(level) + 1], each=4, only=only).failures
    assert failures and failures[0].level == level, failures
    assert not says or any(part in f.fault for f in failures for part in says.split("|")), failures
