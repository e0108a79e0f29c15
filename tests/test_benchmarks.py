"""The suite of benchmarks/ is made of valid models, and its results say what was measured."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import ircc
from ircc.verdict import check

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
models, run, startup = (importlib.import_module(name) for name in ("models", "run", "startup"))


@pytest.mark.parametrize("name", list(models.SUITE))
def test_models_are_valid_and_can_be_compiled(name: str) -> None:
    model = models.SUITE[name]()
    onnx.checker.check_model(model, full_check=True)
    assert check(model).exit_status == 0


def test_given_models_and_the_suite(tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    onnx.save(models.gemm(4, 8, 16), small)
    assert list(run.models_of([tmp_path, small], tmp_path)) == [("small", small)] * 2


def test_a_model_is_measured_against_a_peer(tmp_path: Path) -> None:
    onnx.save(models.gemm(4, 8, 16), tmp_path / "small.onnx")
    found = run.measured("small", tmp_path / "small.onnx", ["onnxruntime"], 1, 2, 0.01)
    assert found["flops"] == 2 * 4 * 8 * 16
    assert found["peak_flops"] > 1e9
    (against,) = found["against"]
    assert against["deviation"] < 1e-5
    broken = run.measured("none", tmp_path / "none.onnx", [], 1, 1, 0.01)
    assert "none.onnx" in broken["error"]


def result(model: str, threads: int, speed: float) -> dict[str, Any]:
    one = {"peer": "Peer 1", "seconds": 1e-3, "peer_seconds": speed * 1e-3, "deviation": 1e-7}
    ratio = {"speed": speed, "speed_quartiles": [speed - 0.1, speed + 0.1]}
    return {"model": model, "threads": threads, "flops": 5e7, "peak_flops": 1e11, "against": [one | ratio]}


def test_the_page_has_every_model_and_the_means() -> None:
    results = [
        result("a", 1, 4.0),
        result("b", 1, 1.0),
        result("a", 2, 1.5),
        {"model": "c", "threads": 1, "error": "no"},
    ]
    page = run.page(run.about_this(results), results)
    one, two = page.split("## 2 threads")
    assert "| a | 4.00 (3.90 to 4.10) | 50 %, 12 % | 1e-07 |" in one
    assert "| c | no |" in one and "| c |" not in two
    assert "| **geometric mean** | **2.00** |" in one and "| **least** | **1.00** |" in one
    assert "**The machine was busy**: 2 threads had 1.0 times" in page
    assert "100 GFLOP/s on 1, 100 GFLOP/s on 2 threads" in page and "Peer 1" in page


def test_an_engine_is_loaded_and_shared(tmp_path: Path) -> None:
    ircc.compile(models.gemm(4, 8, 16)).save(tmp_path / "small.engine")
    name, ready, alone, share = startup.load(tmp_path / "small.engine", 1, 1)
    assert name == "small" and ready.endswith(" ms")
    assert alone.endswith("MB") and float(share.split()[0]) < float(alone.split()[0])  # Python itself is shared, too
    page = startup.page(["ircc"], [["small", "1 kB", "2 kB", "3 ms"]], [[name, ready, alone, share]], 1)
    assert f"| small | {ready} | {alone} | {share} |" in page and "| small | 1 kB | 2 kB | 3 ms |" in page


@pytest.mark.parametrize(("name", "package"), [(name, package) for name, (package, _) in startup.RUNTIMES.items()])
def test_each_runtime_starts(tmp_path: Path, name: str, package: str) -> None:
    pytest.importorskip(package, reason="the extra `peers` brings it")
    model = tmp_path / "small.onnx"
    onnx.save(models.gemm(4, 8, 16), model)
    file = startup.iree_module(model, tmp_path) if name == "IREE" else model
    if name == "ircc":
        file = tmp_path / "small.engine"
        ircc.compile(model).save(file)
    seconds, memory = startup.started(name, file, 1)
    assert 0 < seconds < 600 and 1e7 < memory < 1e10
