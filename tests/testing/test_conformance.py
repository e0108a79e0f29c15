"""The conformance kit: it passes where all is right, and finds what is planted, at the level it belongs to."""

import hashlib
import json
import os
import random
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
from ircc.testing.conformance.suite import drawn

ROOT = Path(__file__).resolve().parents[2]
MOST = 250  # checks of L3, of 1,371: what CI has time for

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


def test_what_is_right_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), model)
    page = tmp_path / "report.html"
    words = ["conformance", "--backend", "cpu", "--each", "6", "--model", str(model), "--json", "--html", str(page)]
    status = main(words)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not [c for c in found["checks"] if c["fault"]] and status == 0 and found["passed"]
    assert set(found["levels"]) == set(LEVELS) and all(level["device_kernels"] for level in found["levels"].values())
    assert f"cpu: all {len(found['checks'])} checks pass" in page.read_text()


@pytest.mark.parametrize(
    "level, count, kernels", [("L0", 7, 1), ("L1", 404, 400), ("L2", 231, 400), ("L3", MOST, MOST), ("L4", 17, 80)]
)
def test_opencl_passes(level: str, count: int, kernels: int, magika_model: Path) -> None:
    """All of L0, L1, L2 and L4, with a real model; and of L3 as many as there is time for, others for each change of
    the code generators, and some of each operator: `make conformance` runs them all. Nothing falls back, and the
    driver makes what it runs."""
    opencl_or_skip()
    seed = seed_of("codegen")
    each = MOST if level == "L3" else None
    report = run("opencl", levels=[level], each=each, seed=seed, models=[str(magika_model)])
    assert not report.failures, seed
    ((_, checks, _, back, _, built),) = report.levels()
    assert count - 3 <= checks <= count and not back and built >= kernels, seed  # a few may ask for nothing


def seed_of(folder: str) -> int:
    """Another one for each change of the sources in a folder."""
    sources = b"".join(path.read_bytes() for path in sorted((ROOT / folder).rglob("*.py")))
    return int(hashlib.sha256(sources).hexdigest()[:8], 16)


def test_so_many_checks_of_l3_are_of_all_its_operators() -> None:
    every = [check for check in checks() if check.level == "L3"]
    assert {check.about for check in drawn(every, MOST, random.Random(0))} == {check.about for check in every}


def test_jobs_give_the_same_report() -> None:
    alone = run("null", levels=["L0", "L1"], each=6)
    assert alone.failures and run("null", levels=["L0", "L1"], each=6, jobs=2) == alone


def test_a_process_that_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver may take its process along."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, ircc.testing.conformance.suite as s\ns.outcome = lambda check, target: os._exit(9)\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
    )
    with pytest.raises(BackendError, match="a process ended before L0 memory: aligned, apart, freed was done"):
        run("null", levels=["L0"], jobs=2)


def test_few_checks_are_of_many_operators() -> None:
    every = [check for check in checks() if check.level == "L2"]
    operators = {check.about for check in every}
    for seed in range(3):
        chosen = drawn(every, len(operators) + 5, random.Random(seed))
        assert {check.about for check in chosen[: len(operators)]} == operators
        assert len({check.name for check in chosen}) == len(operators) + 5
    assert drawn(every, 10, random.Random(0)) != drawn(every, 10, random.Random(1))


def test_a_device_that_runs_nothing_is_found_at_l0() -> None:
    assert faults(run("null", levels=["L0"])) == {"launches of every size", "launches in order", "two engines"}


def test_a_copy_that_is_too_short_is_found_at_l0(monkeypatch: pytest.MonkeyPatch) -> None:
    original = NullDevice.copy
    monkeypatch.setattr(NullDevice, "copy", lambda self, to, source, size: original(self, to, source, size // 64 * 64))
    assert "copies to the device and back" in faults(run("null", levels=["L0"]))


FAULTS = {  # a word of the dialect, what stands there instead, and the checks among which it is to be found
    "item": ("get_global_id(0) + 1", "L0", "launch"),
    "bits_f32": ("as_float(({}) ^ (1 << 22))", "L1", ": Exp .*, f32"),
    "function": ("fabs", "L1", ": (Floor|Ceil|Round) .*f32"),
    "barrier": ("", "L2", "product of"),
}


@pytest.mark.parametrize("word", FAULTS)
def test_a_wrong_word_is_found(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first level whose kernels need it."""
    opencl_or_skip()
    from ircc.codegen.opencl import backend

    instead, level, only = FAULTS[word]
    monkeypatch.setattr(backend, "OPENCL", replace(backend.OPENCL, **{word: instead}))
    outcomes = run("opencl", levels=LEVELS[: LEVELS.index(level) + 1], only=f"launch|{only}").outcomes
    failing = [o.level for o in outcomes if o.fault]
    assert failing and failing[0] == level
    assert any(not o.fault for o in outcomes) or level == "L0"


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--backend", "cup"]) == 1 and "did you mean cpu" in capsys.readouterr().err
    assert main(["conformance", "--backend", "cpu", "--levels", "L7"]) == 1
    assert "there is no level 'L7'" in capsys.readouterr().err
    assert main(["conformance", "--backend", "null", "--levels", "L0"]) == 1
    assert "launches in order" in capsys.readouterr().out
