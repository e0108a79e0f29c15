"""The same model and options give the same file: in another process, folder, environment and cache."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

import ircc

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 16, 10, 24] x) => (float[N, 12] y) {
    wide = Conv <pads = [1, 1, 1, 1]> (x, w3)
    gates = Sigmoid (wide)
    means = GlobalAveragePool (gates)
    rows = Flatten (means)
    y = MatMul (rows, w)
}
"""
OPTIONS = ["--target=cpu:x86-64-v2,cpu:x86-64-v3", "--shape-range=N=1:2:9"]


def test_two_builds_give_one_file(tmp_path: Path) -> None:
    model, rng = onnx.parser.parse_model(MODEL), np.random.default_rng(1)
    for name, shape in {"w3": (24, 16, 3, 3), "w": (24, 12)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))
    made: list[bytes] = []
    for i, (cache, zone) in enumerate([("0", "UTC"), ("1G", "Asia/Shanghai"), ("1G", "America/Lima")]):
        folder = tmp_path / ("a", "b/a much longer name", "b/a much longer name/c")[i]
        folder.mkdir(parents=True)
        onnx.save(model, folder / f"model{i}.onnx")
        settings = {"IRCC_CACHE": str(tmp_path / "cache"), "IRCC_CACHE_SIZE": cache, "TZ": zone}
        seen = {"PYTHONHASHSEED": str(i), "HOME": str(folder), "PYTHONPATH": str(Path(ircc.__file__).parents[1])}
        command = [sys.executable, "-m", "ircc", f"model{i}.onnx", "-o", "m.engine", *OPTIONS]
        subprocess.run(command, cwd=folder, env={**os.environ, **settings, **seen}, check=True, capture_output=True)
        made.append((folder / "m.engine").read_bytes())
    assert made[0] == made[1] == made[2]
