"""TfIdfVectorizer as compiled code, against ONNX Runtime."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import ircc
from ircc.errors import ModelError

POOL = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]  # unigrams 2 3 5 4, bigrams 5-6 7-8 6-7
PLACES = [0, 1, 2, 3, 4, 5, 6]
ROWS = [[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8], [5, 5, 6, 6, 7, 8], [7, 7, 7, 8, 8, 6]]


def model(rank: int, kind: int = TensorProto.INT64, sizes: Any = None, **attributes: Any) -> Any:
    given: dict[str, Any] = {
        "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0,
        "ngram_counts": [0, 4], "ngram_indexes": PLACES, "pool_int64s": POOL, **attributes,
    }  # fmt: skip
    node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **given)
    shape = sizes or ["N", "C"][-rank:]
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    graph = helper.make_graph([node], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def same(proto: Any, x: Any) -> None:
    engine = ircc.compile(proto, threads=1)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected: Any = session.run(None, {"x": x})[0]
    found = engine.run({"x": x})["y"]
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("skips", [0, 1, 5])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
def test_modes_lengths_and_skips(mode: str, lengths: tuple[int, int], skips: int) -> None:
    weights = [float(i) / 4 + 1 for i in PLACES]
    least, most = lengths
    proto = model(2, mode=mode, min_gram_length=least, max_gram_length=most, max_skip_count=skips, weights=weights)
    same(proto, np.array(ROWS, np.int64))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_rows_shorter_than_an_n_gram(width: int) -> None:
    same(model(2, max_skip_count=3), np.array(ROWS, np.int64)[:, :width])
    same(model(1, max_skip_count=3), np.array(ROWS, np.int64)[0, :width])


def test_int32_vectors_and_fixed_sizes() -> None:
    same(model(1, TensorProto.INT32), np.array(ROWS[1], np.int32))
    same(model(2, sizes=[4, 6]), np.array(ROWS, np.int64))


@pytest.mark.parametrize("places", [[9, 1, 7, 3, 0, 2, 5], [0, 0, 1, 1, 2, 2, 2]])
def test_outputs_of_no_n_gram_and_of_several(places: list[int]) -> None:
    same(model(2, ngram_indexes=places), np.array(ROWS, np.int64))


def test_no_rows() -> None:
    found = ircc.compile(model(2), threads=1).run({"x": np.zeros((0, 6), np.int64)})["y"]
    assert found.shape == (0, 7)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"ngram_counts": [0, 5]}, "do not divide"),
        ({"ngram_indexes": PLACES[:-1]}, "6 entries for 7"),
        ({"min_gram_length": 3}, "3 to 2"),
        ({"weights": [1.0], "mode": "IDF"}, "1 weights for 7"),
        ({"mode": "BM25"}, "BM25"),
    ],
)
def test_mistakes_are_said(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ircc.compile(model(2, **attributes))
