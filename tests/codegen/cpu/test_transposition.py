"""Blocks that are turned in registers, compiled: every element ends where NumPy puts it."""

import numpy as np
import onnx.parser
import pytest

import ircc

TARGETS = ("cpu:x86-64", "cpu:x86-64-v3", "cpu")
TYPES = {"float": np.float32, "double": np.float64, "float16": np.float16, "int8": np.int8, "bool": np.bool_}
MODEL = """<ir_version: 10, opset_import: ["" : 22]> g ({kind}[A, B, C] x) => ({kind}[C, A, B] y, {kind}[A, C, B] z)
{{ y = Transpose <perm = [2, 0, 1]> (x)  z = Transpose <perm = [0, 2, 1]> (x) }}"""
MIXED = """<ir_version: 10, opset_import: ["" : 22]>
g (float[1, C, H, W] x, float[1, H, W, C] y) => (float[1, H, W, C] z)
<int64[8] pads = {0, 0, 1, 1, 0, 0, -1, -1}> {
  p = Pad (x, pads)  t = Transpose <perm = [0, 2, 3, 1]> (p)  e = Exp (t)  s = Mul (e, y)  z = Add (s, t)
}"""
SHAPES = [(1, 1, 1), (2, 16, 16), (1, 17, 3), (3, 5, 40), (2, 33, 31), (40, 3, 2), (1, 0, 5)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", TYPES)
def test_transposes(kind: str, target: str) -> None:
    model = onnx.parser.parse_model(MODEL.format(kind=kind))
    rng = np.random.default_rng(1)
    free = ircc.compile(model, target=target)
    for shape in SHAPES:
        x = rng.integers(-100, 100, shape).astype(TYPES[kind])
        engines = [free]
        if shape in SHAPES[2:4]:
            engines.append(ircc.compile(model, target=target, shapes={"x": shape}))
        for engine in engines:
            y, z = engine.run({"x": x}).values()
            np.testing.assert_array_equal(y, x.transpose(2, 0, 1))
            np.testing.assert_array_equal(z, x.transpose(0, 2, 1))


@pytest.mark.parametrize("size", [(3, 5, 21), (18, 6, 16)])
@pytest.mark.parametrize("target", TARGETS)
def test_one_operand_of_several_is_turned(size: tuple[int, int, int], target: str) -> None:
    """And read outside of its buffer, and used twice."""
    c, h, w = size
    rng = np.random.default_rng(2)
    x, y = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((1, c, h, w), (1, h, w, c)))
    t = np.pad(x[:, :, :-1, :-1], ((0, 0), (0, 0), (1, 0), (1, 0))).transpose(0, 2, 3, 1)
    for shapes in ({}, {"x": x.shape, "y": y.shape}):
        engine = ircc.compile(onnx.parser.parse_model(MIXED), target=target, shapes=shapes)
        assert "transposition" in {kernel.strategy for kernel in engine.artifact.kernels}
        (z,) = engine.run({"x": x, "y": y}).values()
        np.testing.assert_allclose(z, np.exp(t) * y + t, rtol=1e-6, atol=1e-6)
