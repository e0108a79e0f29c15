"""The conformance kit: it passes where all is right, and finds what is planted, at the level it belongs to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from ircc.cli import main
from ircc.codegen.null.device import NullDevice
from ircc.errors import BackendError
from ircc.testing.conformance import LEVELS, Report, checks, run

MODEL = '<ir_version: 9, opset_import: ["": 20]> m (float[N, 5] x) => (float[N, 5] y) {y = Softmax<axis = 1>(x)}'


def opencl_or_skip() -> None:
    pytest.importorskip("pyopencl", reason="needs pyopencl: pip install ircc[opencl]")
    from ircc.codegen.opencl.device import context

    try:
        context()
    except BackendError as error:
        pytest.skip(f"needs an OpenCL device: apt-get install pocl-opencl-icd ({error})")


def faults(report: Report) -> set[str]:
    return {o.name for o in report.failures}


def test_every_level_has_checks_of_its_own() -> None:
    every = checks()
    assert {c.level for c in every} == set(LEVELS) and len({(c.level, c.name) for c in every}) == len(every) > 1000


@pytest.mark.parametrize("target", ["cpu", "opencl"])
def test_what_is_right_passes(target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if target == "opencl":
        opencl_or_skip()
    model = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), model)
    page = tmp_path / "report.html"
    words = ["conformance", "--backend", target, "--each", "6", "--model", str(model), "--json", "--html", str(page)]
    status = main(words)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not [c for c in found["checks"] if c["fault"]] and status == 0 and found["passed"]
    assert set(found["levels"]) == set(LEVELS) and all(level["device_kernels"] for level in found["levels"].values())
    assert f"{target}: all {len(found['checks'])} checks pass" in page.read_text()


def test_a_device_that_runs_nothing_is_found_at_l0() -> None:
    assert faults(run("null", levels=["L0"])) == {"launches of every size", "launches in order", "two engines"}


def test_a_copy_that_is_too_short_is_found_at_l0(monkeypatch: pytest.MonkeyPatch) -> None:
    original = NullDevice.copy
    monkeypatch.setattr(NullDevice, "copy", lambda self, to, source, size: original(self, to, source, size // 64 * 64))
    assert "copies to the device and back" in faults(run("null", levels=["L0"]))


@pytest.mark.parametrize(
    "word, instead, level", [("item", "get_global_id(0) + 1", "L0"), ("bits_f32", "as_float(({}) ^ (1 << 22))", "L1")]
)
def test_a_wrong_word_is_found(word: str, instead: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first level whose kernels need it."""
    opencl_or_skip()
    from ircc.codegen.opencl import backend

    monkeypatch.setattr(backend, "OPENCL", replace(backend.OPENCL, **{word: instead}))
    failing = [o.level for o in run("opencl", levels=["L0", "L1"], only="launch|: Exp .*, f32").outcomes if o.fault]
    assert failing and failing[0] == level


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--backend", "cup"]) == 1 and "did you mean cpu" in capsys.readouterr().err
    assert main(["conformance", "--backend", "cpu", "--levels", "L7"]) == 1
    assert "there is no level 'L7'" in capsys.readouterr().err
    assert main(["conformance", "--backend", "null", "--levels", "L0"]) == 1
    assert "launches in order" in capsys.readouterr().out
