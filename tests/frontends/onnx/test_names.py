"""Models may call things by any text; it survives printing and reading."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ircc.frontends.onnx import import_model
from ircc.frontends.text import read_text, write_text
from ircc.ir.evaluator import evaluate

ODD = 'q"u\\o\nt\té☃\x00\x7f%@{}'
W = np.arange(60, dtype=np.float32).reshape(20, 3)


def odd_model(folder: Path) -> Path:
    x = helper.make_tensor_value_info(ODD, onnx.TensorProto.FLOAT, [ODD, "d0", "N floordiv 2", "", 3])
    y = helper.make_tensor_value_info(f"{ODD}y", onnx.TensorProto.FLOAT, None)
    constants = {f"{ODD}w": W, f"{ODD}k": np.array([1, np.nan, -np.inf], np.float32)}
    nodes = [
        helper.make_node("LeakyRelu", [ODD], ["a"], name=ODD, alpha=0.1),
        helper.make_node("Add", ["a", f"{ODD}k"], ["1"]),
        helper.make_node("Transpose", [f"{ODD}w"], [f"{ODD}t"]),
        helper.make_node("MatMul", ["1", f"{ODD}t"], [f"{ODD}y"]),
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, ODD, [x], [y], weights)
    path = folder / 'a "model" é.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name=ODD), path)
    return path


def test_odd_names_survive_text(tmp_path: Path) -> None:
    module = import_model(odd_model(tmp_path))
    text = write_text(module)
    again = read_text(text)
    assert write_text(again) == text
    assert module.is_structurally_equivalent(again)
    x = np.ones((1, 2, 1, 1, 3), np.float32)
    (before,), (after,) = (evaluate(m, {ODD: x}).items() for m in (module, again))
    assert before[0] == after[0] == f"{ODD}y"
    np.testing.assert_array_equal(before[1], after[1])


def test_nodes_without_a_name_get_one(tmp_path: Path) -> None:
    text = write_text(import_model(odd_model(tmp_path)))
    assert 'nodes = ["Add_1"]' in text and 'nodes = ["MatMul_3"]' in text


def test_symbols_that_cannot_be_printed_stay_apart() -> None:
    infos = [helper.make_tensor_value_info(n, 1, [d]) for n, d in (("x", "é"), ("y", "è"))]
    out = helper.make_tensor_value_info("z", 1, None)
    graph = helper.make_graph([helper.make_node("Concat", ["x", "y"], ["z"], axis=0)], "g", infos, [out])
    module = import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert '"_" + __2' in str(module) or "_ + __2" in str(module)
