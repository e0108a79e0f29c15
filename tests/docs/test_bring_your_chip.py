"""docs/bring-your-chip.md leads from nothing to a backend that passes the kit, and that is examples/simt-c."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "simt-c"
FILES = ("pyproject.toml", "ircc_simt_c.py", "ircc_simt_c_device.py")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that a reader has in the end; each of the page's commands has succeeded on the way."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler: apt-get install gcc")
    folder = tmp_path_factory.mktemp("chip")
    command = [sys.executable, str(ROOT / "docs" / "bring_your_chip.py"), str(folder), "--each", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "L0,L1,L2\nsimt_c: all 12 checks pass" in "\n".join(line.rstrip() for line in done.stdout.splitlines())
    return folder / "ircc-simt_c"


def test_the_page_makes_the_example(followed: Path, bless: bool) -> None:
    if bless:
        for name in FILES:
            shutil.copy(followed / name, EXAMPLE / name)
    for name in FILES:
        assert (followed / name).read_text() == (EXAMPLE / name).read_text(), f"{name}: pytest --bless if it is right"


def test_the_example_is_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in EXAMPLE.iterdir() if path.is_file()}
    assert lines.keys() == {*FILES, "README.md"} and sum(lines.values()) < 300, lines


SCRIPT = """
import sys, numpy as np, ircc
if sys.argv[1] == "make":
    import onnx.parser, ircc_simt_c
    model = onnx.parser.parse_model('''<ir_version: 9, opset_import: ["": 20]>
        m (float[N, 5] x) => (float[N, 5] y) {e = Exp(x) y = Softmax<axis = 1>(e)}''')
    printed = ircc_simt_c.print_kernel
    def broken(kernel, words):
        made = printed(kernel, words)
        return type(made)("this is no C" if "reduction" in str(kernel) else made.code, made.parts)
    ircc_simt_c.print_kernel = broken
    engine = ircc.compile(model, target="simt_c")
    places = [kernel.on for kernel in engine.kernels]
    assert {*places} == {"host", "simt_c"}, places
    engine.save("m.engine")
engine = ircc.load("m.engine")
x = np.random.default_rng(0).standard_normal((3, 5), np.float32)
e = np.exp(np.exp(x, dtype=np.float64))
np.testing.assert_allclose(engine.run({"x": x})["y"], e / e.sum(1, keepdims=True), rtol=1e-5)
assert sys.argv[1] == "make" or not {"xdsl", "onnx", "llvmlite"} & set(sys.modules)
"""


def test_engines_load_without_the_compiler(followed: Path, tmp_path: Path) -> None:
    """And kernels that cc does not take run on the host."""
    path = os.pathsep.join(filter(None, [str(followed), os.environ.get("PYTHONPATH")]))
    for step in ("make", "load"):
        command = [sys.executable, "-c", SCRIPT, step]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert step == "load" or "runs on the host" in done.stderr
