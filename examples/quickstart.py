"""The Python API in one page: a model with symbolic sizes is compiled once, run at several shapes, saved and loaded."""

import tempfile
from pathlib import Path

import numpy as np
import onnx

import ircc

# One dense layer, y = relu(x w + b), in ONNX's own text form; N and K are known only when it runs.
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
dense (float[N, K] x, float[K, 4] w) => (float[N, 4] y)
<float[4] b = {0.5, -0.5, 0.25, -0.25}>
{
    product = MatMul(x, w)
    sum = Add(product, b)
    y = Relu(sum)
}
"""


def main() -> None:
    engine = ircc.compile(onnx.parser.parse_model(MODEL))
    for feed in engine.inputs:
        print(f"input  {feed.name}: {feed.dtype} {feed.shape}")
    for result in engine.outputs:
        print(f"output {result.name}: {result.dtype} {result.shape}")

    random = np.random.default_rng(0)
    b = np.array([0.5, -0.5, 0.25, -0.25], np.float32)
    for rows, depth in (1, 8), (5, 3), (64, 100):
        x = random.standard_normal((rows, depth), np.float32)
        w = random.standard_normal((depth, 4), np.float32)
        y = engine.run({"x": x, "w": w})["y"]
        error = np.abs(y - np.maximum(x @ w + b, 0)).max()
        print(f"{x.shape} x {w.shape} -> {y.shape}, largest difference from NumPy {error:.1e}")
        assert error < 1e-4

    # What is called again and again binds its arrays once: nothing is allocated per call.
    bound = engine.bind({"x": x, "w": w})
    x *= 2
    bound()
    again = bound.outputs["y"].copy()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dense.engine"
        engine.save(file)
        loaded = ircc.load(file)  # in a process of its own this would import neither xdsl nor onnx
        assert np.array_equal(loaded.run({"x": x, "w": w})["y"], again), "the same engine gives the same bits"
        print(f"saved and loaded: {file.stat().st_size} bytes, the same bits")

    # A shape that does not fit is an error that says so.
    try:
        engine.run({"x": x, "w": w[1:]})
    except ircc.Error as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
