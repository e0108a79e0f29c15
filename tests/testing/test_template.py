"""A backend made from the template: installed, it passes the kit, and what it lacks runs on the CPU."""

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ircc.cli import main
from ircc.testing.conformance import run


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of a new package, found as if `pip install` had been run."""
    folder = tmp_path / "ircc-fab_1"
    assert main(["new-backend", "fab_1", "--folder", str(folder)]) == 0
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    info = folder / "ircc_fab_1-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ircc-fab_1\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    for module in ("ircc_fab_1", "ircc_fab_1_device"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module("ircc_fab_1")


def test_it_passes_the_kit_at_once(made: Any) -> None:
    assert made.Fab1Backend.name == "fab_1"
    report = run("fab_1", levels=["L0", "L1", "L4"], each=8)
    assert not report.failures and all(kernels for *_, kernels, _ in report.levels())
    assert {o.status for o in run("fab_1", levels=["L0"]).outcomes} == {"pass"}


def test_a_step_that_is_half_done_shows(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = importlib.import_module("ircc_fab_1_device")
    monkeypatch.setattr(device.Fab1Device, "launch", lambda self, kernel, args: None)
    assert "launches of every size" in {o.name for o in run("fab_1", levels=["L0"]).failures}
    monkeypatch.undo()


def test_names(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, why in (("My Chip", "no name"), ("cpu", "already"), ("class", "no name"), ("fab_1", "already")):
        assert main(["new-backend", name, "--folder", str(tmp_path / "new")]) == 1
        assert why in capsys.readouterr().err
    (tmp_path / "old").mkdir()
    assert main(["new-backend", "fab2", "--folder", str(tmp_path / "old")]) == 1
    assert "cannot write" in capsys.readouterr().err
