"""Weights in other files: mapped where they lie, and never outside of the model's folder."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ircc.dialects.graph.data import Constant
from ircc.errors import Error, ModelError
from ircc.frontends.onnx import import_model, read_weight
from ircc.ir.evaluator import evaluate, main_function

W = np.arange(64, dtype=np.float32).reshape(8, 8)


def write(folder: Path, **info: Any) -> Path:
    """A model `x @ w` whose weight is external, as `info` says."""
    folder.mkdir(exist_ok=True)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 8], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "w.bin", **info}.items():
        tensor.external_data.add(key=key, value=str(value))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "m", [x], [y], [tensor])
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return path


def weight(path: Path) -> Constant:
    (found,) = (op for op in main_function(import_model(path)).body.block.ops if isinstance(op, Constant))
    return found


@pytest.mark.parametrize("offset", [0, 4, 4097])
def test_data_is_found_and_mapped(tmp_path: Path, offset: int) -> None:
    path = write(tmp_path, offset=offset, length=256)
    (tmp_path / "w.bin").write_bytes(bytes(offset) + W.tobytes() + b"more")
    x = np.ones((2, 8), np.float32)
    np.testing.assert_array_equal(evaluate(import_model(path), {"x": x})["y"], x @ W)
    array = weight(path).array
    while isinstance(array.base, np.ndarray):
        array = array.base
    assert isinstance(array, np.memmap) and not array.flags.writeable


def test_data_may_lie_below_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path, location="data/w.bin")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(W.tobytes())
    np.testing.assert_array_equal(weight(path).array, W)


def test_text_can_find_every_weight_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    content = weight(path).value.data
    assert (content.file, content.name) == (str(path), "w")
    np.testing.assert_array_equal(read_weight(content.file, content.name), W)
    with pytest.raises(ModelError, match="no weight 'v'"):
        read_weight(str(path), "v")


def test_weights_in_constant_nodes_are_found_again(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(W))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 8])
    graph = helper.make_graph([node, helper.make_node("Exp", ["c"], ["y"])], "m", [], [y])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    content = weight(tmp_path / "m.onnx").value.data
    np.testing.assert_array_equal(read_weight(content.file, content.name), W)


@pytest.mark.parametrize(
    "info",
    [
        {"location": "../w.bin"},
        {"location": "sub/../../w.bin"},
        {"location": "..\\w.bin"},
        {"location": "C:\\w.bin"},
        {"location": "link.bin"},
        {"location": "linked/w.bin"},
        {"location": "missing.bin"},
        {"location": "."},
        {"location": ""},
        {"location": "a\0b"},
        {"location": "pipe"},
        {"location": "loop"},
        {"offset": 4},
        {"offset": -4},
        {"offset": 2**63},
        {"offset": "x"},
        {"length": 128},
        {"length": 2**40},
        {"location": "empty.bin"},
    ],
    ids=str,
)
def test_data_elsewhere_is_refused(tmp_path: Path, info: dict[str, Any]) -> None:
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    folder = tmp_path / "model"
    path = write(folder, **info)
    (folder / "w.bin").write_bytes(W.tobytes())
    (folder / "empty.bin").touch()
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError):
        import_model(path)


def test_an_absolute_path_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, location=tmp_path / "w.bin")
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    with pytest.raises(ModelError, match="leaves the model's folder"):
        import_model(path)


def test_bytes_have_no_folder(tmp_path: Path) -> None:
    data = write(tmp_path).read_bytes()
    with pytest.raises(Error, match="not given as a file"):
        import_model(data)


def test_weights_over_two_gigabytes_are_only_mapped(tmp_path: Path) -> None:
    rows = 2**30 // 2 + 3  # of 8 bytes each: 4 GiB and a little, a hole in the file
    table = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, 2], data_location=TensorProto.EXTERNAL)
    table.external_data.add(key="location", value="w.bin")
    with open(tmp_path / "w.bin", "wb") as file:
        file.truncate((rows - 1) * 8)
        file.seek((rows - 1) * 8)
        file.write(np.array([5, 7], np.float32).tobytes())
    i = helper.make_tensor_value_info("i", TensorProto.INT64, ["N"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph([helper.make_node("Gather", ["w", "i"], ["y"])], "m", [i], [y], [table])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    found = evaluate(import_model(path), {"i": np.array([-1, 0], np.int64)})["y"]
    np.testing.assert_array_equal(found, [[5, 7], [0, 0]])
