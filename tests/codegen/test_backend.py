"""A backend from another package: the one that docs/backends.md shows, installed and run."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import ircc
from ircc.codegen.backend import Backend, backend_names, backends, find_backend
from ircc.errors import BackendError, Error
from ircc.runtime.device import Device

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 5] x, float[5, 4] w) => (float[N, 4] y, bool[N, 4] positive)
<float zero = {0.0}>
{
    product = MatMul(x, w)
    y = Softmax<axis = 1>(product)
    positive = Greater(product, zero)
}
"""


def install(folder: Path, backend: str, device: str = "ircc_paper:open_device") -> None:
    """What `pip install` leaves behind: a module and its entry points."""
    page = Path(__file__).parents[2] / "docs" / "backends.md"
    code = re.search(r"```python\n(.*?)```", page.read_text(), re.S)
    assert code is not None
    (folder / "ircc_paper.py").write_text(code[1])
    info = folder / "ircc_paper-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ircc-paper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ircc.backends]\npaper = {backend}\n[ircc.devices]\npaper = {device}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ircc_paper", raising=False)
    return tmp_path


def test_the_backend_of_the_page_computes(site: Path) -> None:
    install(site, "ircc_paper:PaperBackend")
    assert {"cpu", "paper"} <= set(backend_names())
    model = onnx.parser.parse_model(MODEL)
    engine = ircc.compile(model, target="paper")
    assert engine.artifact.backend == "paper" and type(engine.device).__name__ == "PaperDevice"
    random = np.random.default_rng(0)
    for rows in 1, 6:
        inputs = {"x": random.standard_normal((rows, 5), np.float32), "w": random.standard_normal((5, 4), np.float32)}
        expected = ircc.compile(model).run(inputs)
        found = engine.run(inputs)
        np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-5)
        assert np.array_equal(found["positive"], expected["positive"])
    engine.save(site / "paper.engine")
    assert np.array_equal(ircc.load(site / "paper.engine").run(inputs)["y"], found["y"])
    assert "loop.kernel" in str(ircc.emit(model, "text", target="paper"))
    with pytest.raises(Error, match="cannot emit 'asm'"):
        ircc.emit(model, "asm", target="paper")


def test_what_a_backend_lacks_runs_on_the_cpu(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device with a memory of its own: both sides see what the other one computed."""
    install(site, "ircc_paper:PaperBackend")
    paper = importlib.import_module("ircc_paper")
    monkeypatch.setattr(paper.PaperDevice, "unified", False)
    monkeypatch.setattr(
        paper.PaperBackend, "supports", lambda self, kernel: "no exp" if "math.exp" in str(kernel) else None
    )
    model = onnx.parser.parse_model(MODEL)
    engine = ircc.compile(model, target="paper")
    assert sorted(k.on for k in engine.kernels) == ["host", *["paper"] * (len(engine.kernels) - 1)]
    assert type(engine.device).__name__ == "Mirrored" and not engine.device.unified
    random = np.random.default_rng(0)
    for rows in 1, 6, 0:
        inputs = {"x": random.standard_normal((rows, 5), np.float32), "w": random.standard_normal((5, 4), np.float32)}
        np.testing.assert_allclose(engine.run(inputs)["y"], ircc.compile(model).run(inputs)["y"], rtol=1e-5)
    engine.save(site / "paper.engine")
    assert [k.on for k in ircc.load(site / "paper.engine").kernels] == [k.on for k in engine.kernels]


@pytest.mark.parametrize("entry", ["ircc_paper:nothing", "no_such_module:backend", "ircc_paper:PaperDevice"])
def test_a_broken_package_is_named_and_harms_nobody(site: Path, entry: str) -> None:
    install(site, entry)
    with pytest.raises(BackendError, match="paper"):
        find_backend("paper")
    found = backends()
    assert isinstance(found["paper"], Error) and isinstance(found["cpu"], Backend)


def test_the_interface_is_small() -> None:
    """What a backend must have: two members of one half, five of the other, and the function that opens the device."""
    asked = {*Backend.__abstractmethods__, *Device.__abstractmethods__, "open_device"}
    assert asked == {"describe", "emit", "alloc", "free", "copy", "launch", "wait", "open_device"}
    root = Path(__file__).parents[2] / "codegen"
    lines = {
        name: sum(len(p.read_text().splitlines()) for p in (root / name).glob("*.py")) for name in ("null", "opencl")
    }
    assert lines["null"] < 60 and lines["opencl"] < 400, lines


def test_null_compiles_everything_and_runs_nothing(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(MODEL)
    engine = ircc.compile(model, target="null")
    inputs = {"x": np.ones((3, 5), np.float32), "w": np.ones((5, 4), np.float32)}
    assert not engine.run(inputs)["y"].any() and engine.run(inputs)["y"].shape == (3, 4)
    engine.save(tmp_path / "m.engine")
    assert not ircc.load(tmp_path / "m.engine").run(inputs)["y"].any()
