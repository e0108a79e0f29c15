"""Engines hold their graph: they are made again from it, for the same machine byte for byte."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.cli import main
from ircc.codegen.cpu.llvm import host
from ircc.compiler import Compilation, recompile
from ircc.embedded import CONSTANTS, GRAPH
from ircc.engines import new_key, sign_engine
from ircc.errors import EngineError
from ircc.runtime.artifact import Artifact
from ircc.runtime.file import read_engine, write_engine

X86 = pytest.mark.skipif(host().architecture != "x86_64", reason="these targets are of x86-64")

# weights as they are, in panels, turned around, transformed by Winograd, of other types; a bound that only ranges know
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 16, 10, 24] x) => (float[N, 12] y, int64[N] picked)
<int64[18] table = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3}>
{
    wide = Conv <pads = [1, 1, 1, 1]> (x, w3)
    deep = Conv <strides = [2, 2]> (wide, w2)
    axes = Constant <value_ints: ints = [2, 3]> ()
    mean = ReduceMean <keepdims = 0> (deep, axes)
    y = Gemm <transB = 1> (mean, w)
    best = ArgMax <axis = 1, keepdims = 0> (y)
    picked = Gather (table, best)
}
"""


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    made, rng = onnx.parser.parse_model(MODEL), np.random.default_rng(1)
    for name, shape in {"w3": (24, 16, 3, 3), "w2": (40, 24, 2, 2), "w": (12, 40)}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))
    return made


@pytest.fixture(scope="module")
def made(model: onnx.ModelProto) -> Artifact:
    return Compilation().build(model)


@pytest.fixture(scope="module")
def file(made: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recompile") / "m.engine"
    write_engine(made, path)
    return path


def held(path: Path) -> dict[str, Any]:
    return json.loads(zlib.decompress(read_engine(path).artifacts[0].sections[GRAPH]))


def run(path: Path) -> list[np.ndarray]:
    x = np.random.default_rng(2).standard_normal((2, 16, 10, 24), np.float32)
    return list(ircc.load(path).run({"x": x}).values())


CHOICES: list[Any] = [
    {"without": ["winograd", "fuse-epilogues"], "ranges": {"N": (1, 2, 5)}},
    {"shapes": {"x": (2, None, 10, None)}, "passes": "graph-to-tensor,tensor-to-loop,expand-math,plan-memory"},
    pytest.param({"target": "cpu:x86-64,cpu:x86-64-v3"}, marks=X86),
]


@pytest.mark.parametrize("choices", CHOICES)
def test_made_again_it_is_the_same_file(model: onnx.ModelProto, tmp_path: Path, choices: Mapping[str, Any]) -> None:
    Compilation(**choices).save(model, tmp_path / "m.engine")
    recompile(tmp_path / "m.engine", tmp_path / "again.engine")
    assert (tmp_path / "again.engine").read_bytes() == (tmp_path / "m.engine").read_bytes()


def test_weights_are_there_once(file: Path) -> None:
    places = list(held(file)["data"].values())
    raw = [place for place in places if place[0] < 0]
    assert len(raw) == 1 and len(places) == 4  # those that Winograd's algorithm transforms
    assert len(read_engine(file).artifacts[0].sections[CONSTANTS]) == 24 * 16 * 9 * 4
    assert sum(bool(place[4]) for place in places) >= 1  # turned around
    assert str(file) not in held(file)["text"]


@X86
def test_for_another_machine(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recompile(file, tmp_path / "plain", target="cpu:x86-64")
    assert read_engine(tmp_path / "plain").artifacts[0].target["name"] == "x86-64"
    for found, expected in zip(run(tmp_path / "plain"), run(file), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setenv("IRCC_TARGET", "cpu:x86-64-v3")
    recompile(tmp_path / "plain", tmp_path / "plain2")
    assert (tmp_path / "plain2").read_bytes() == (tmp_path / "plain").read_bytes()
    recompile(tmp_path / "plain", tmp_path / "here", target="native")
    assert (tmp_path / "here").read_bytes() == file.read_bytes()


def test_the_command(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "m.engine"
    copy.write_bytes(file.read_bytes())
    assert main(["recompile", str(copy), "--check"]) == 0
    assert "byte for byte" in capsys.readouterr().err
    assert main(["recompile", str(copy), "--target=native"]) == 0
    assert copy.read_bytes() == file.read_bytes()
    assert main(["recompile", str(copy), "--check", "--target=native"]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m.engine"]


def test_who_signed_an_engine_has_not_signed_the_new_one(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "my m.engine"
    copy.write_bytes(file.read_bytes())
    new_key(tmp_path / "maker.pem", tmp_path / "maker.pub.pem")
    sign_engine(copy, tmp_path / "maker.pem")
    assert main(["recompile", str(copy), "-o", str(tmp_path / "new.engine")]) == 0
    assert "not signed any more: `ircc sign" in capsys.readouterr().err
    assert main(["recompile", str(tmp_path / "new.engine")]) == 0
    assert "not signed any more" not in capsys.readouterr().err


def test_what_is_not_what_the_graph_gives(made: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_engine(replace(made, checks=(*made.checks, "one more")), tmp_path / "m.engine")
    assert main(["recompile", str(tmp_path / "m.engine"), "--check"]) == 1
    assert "its code or description would be others" in capsys.readouterr().err


def test_without_the_graph(tmp_path: Path) -> None:
    small = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[4] x) => (float[4] y) {y = Relu(x)}'
    )
    Compilation(graph=False).save(small, tmp_path / "m.engine")
    assert not read_engine(tmp_path / "m.engine").artifacts[0].sections
    with pytest.raises(EngineError, match="does not hold its graph"):
        recompile(tmp_path / "m.engine", tmp_path / "out")


def test_hostile_graphs(made: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "m.engine"
    good = json.loads(zlib.decompress(made.sections[GRAPH]))
    first, place = next(iter(good["data"].items()))
    for changed in [
        [],
        {**good, "text": "nonsense"},
        {**good, "data": {}},
        {**good, "data": {**good["data"], first: [7, *place[1:]]}},
        {**good, "data": {**good["data"], first: [place[0], 1 << 40, *place[2:]]}},
        {**good, "data": {**good["data"], first: [place[0], place[1] + 4, *place[2:]]}},
        {**good, "data": {**good["data"], first: [*place[:2], "d9 * (", [4], []]}},
        {**good, "choices": {}},
        {**good, "choices": {**good["choices"], "machines": [{"name": "x"}]}},
        {**good, "choices": {**good["choices"], "passes": "no-such-pass"}},
    ]:
        sections = {**made.sections, GRAPH: zlib.compress(json.dumps(changed).encode())}
        write_engine(replace(made, sections=sections), path)
        with pytest.raises(ircc.Error):
            recompile(path, tmp_path / "out")
    write_engine(replace(made, sections={**made.sections, GRAPH: b"no zlib"}), path)
    with pytest.raises(EngineError, match="the graph in it is damaged"):
        recompile(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
