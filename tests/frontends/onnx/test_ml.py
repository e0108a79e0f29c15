"""Operators of ai.onnx.ml against ONNX Runtime: what scikit-learn, XGBoost and LightGBM export."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NOT_IMPLEMENTED

import ircc
from ircc.frontends.onnx.rules_trees import alike

Array = np.ndarray[Any, Any]
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
RNG = np.random.default_rng(0)


def model_of(
    operator: str, x: Array, outputs: int = 1, version: int = 3, rows: Any = "N", **attributes: Any
) -> onnx.ModelProto:
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(operator, ["x"], names, domain="ai.onnx.ml", **attributes)
    shape = [rows, *x.shape[1:]]
    given = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), shape)
    types = [onnx.ValueInfoProto(name=name) for name in names]
    graph = helper.make_graph([node], "ml", [given], types)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {o.name: o.type.tensor_type.elem_type for o in inferred.graph.output}
    for info in model.graph.output:
        info.type.tensor_type.elem_type = kinds.get(info.name) or TensorProto.FLOAT
    return model


def peer(model: onnx.ModelProto, x: Array) -> list[Array]:
    """ONNX Runtime's results; ONNX's own reference for what that has no kernel for."""
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except NOT_IMPLEMENTED:
        types = [o.type.tensor_type.elem_type for o in model.graph.output]
        found = ReferenceEvaluator(model).run(None, {"x": x})
        return [np.asarray(f, helper.tensor_dtype_to_np_dtype(t)) for f, t in zip(found, types, strict=True)]
    return [np.asarray(f) for f in session.run(None, {"x": x})]


def agrees(model: onnx.ModelProto, x: Array, rtol: float = 1e-5, atol: float = 1e-5) -> None:
    """Compiled with a symbolic number of rows, run for several numbers of them."""
    engine = ircc.compile(model)
    for rows in (x.shape[0], 1, 0):
        found = list(engine.run({"x": x[:rows]}).values())
        for a, b in zip(found, peer(model, x[:rows]), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol, atol)


def grow(rng: np.random.Generator, depth: int, features: int, modes: list[str], values: Any) -> list[dict[str, Any]]:
    """The nodes of a random tree; a leaf has no `feature`."""
    nodes: list[dict[str, Any]] = []

    def add(left: int) -> int:
        mine = len(nodes)
        nodes.append({"mode": "LEAF", "feature": 0, "value": 0.0, "true": 0, "false": 0, "nan": 0})
        if left and (left == depth or rng.random() < 0.8):
            node = {"mode": modes[rng.integers(len(modes))], "feature": int(rng.integers(features))}
            node |= {"value": float(values(rng)), "nan": int(rng.integers(2))}
            nodes[mine] |= node | {"true": add(left - 1)}
            nodes[mine]["false"] = add(left - 1)
        return mine

    add(depth)
    return nodes


def forest(
    seed: int,
    trees: int,
    depth: int,
    features: int,
    *,
    modes: Any = MODES[:1],
    tracks: bool = False,
    values: Any = None,
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Attributes of the nodes, and the leaves as (tree, node)."""
    rng = np.random.default_rng(seed)
    draw = values or (lambda rng: np.float32(rng.normal()))
    found: dict[str, list[Any]] = {}
    leaves: list[tuple[int, int]] = []
    for tree in range(trees):
        for i, node in enumerate(grow(rng, depth, features, [*modes], draw)):
            row = {
                "nodes_treeids": tree, "nodes_nodeids": i, "nodes_featureids": node["feature"],
                "nodes_modes": node["mode"], "nodes_values": node["value"], "nodes_truenodeids": node["true"],
                "nodes_falsenodeids": node["false"], "nodes_missing_value_tracks_true": node["nan"],
            }  # fmt: skip
            for k, v in row.items():
                found.setdefault(k, []).append(v)
            if node["mode"] == "LEAF":
                leaves.append((tree, i))
    if not tracks:
        del found["nodes_missing_value_tracks_true"]
    return found, leaves


def votes(prefix: str, leaves: Any, targets: list[list[int]], weights: Any) -> dict[str, Any]:
    """For each leaf, a vote for each of its targets."""
    rows = [(tree, node, t) for (tree, node), own in zip(leaves, targets, strict=True) for t in own]
    return {
        f"{prefix}_treeids": [r[0] for r in rows], f"{prefix}_nodeids": [r[1] for r in rows],
        f"{prefix}_ids": [r[2] for r in rows], f"{prefix}_weights": [float(w) for w in weights(len(rows))],
    }  # fmt: skip


def normal(count: int) -> Array:
    return np.random.default_rng(5).normal(size=count).astype(np.float32)


def positive(count: int) -> Array:
    return np.abs(normal(count)) / 8


def rows_of(features: int, count: int = 33, dtype: Any = np.float32) -> Array:
    return RNG.normal(size=(count, features)).astype(dtype)


# ---- regression


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 3])
def test_tree_regressor(aggregate: str, targets: int) -> None:
    nodes, leaves = forest(1, 7, 5, 4)
    several = [[*range(targets)] for _ in leaves]
    model = model_of(
        "TreeEnsembleRegressor", x := rows_of(4), n_targets=targets, aggregate_function=aggregate,
        base_values=[0.5, -1.0, 2.0][:targets], **nodes, **votes("target", leaves, several, normal),
    )  # fmt: skip
    agrees(model, x)


@pytest.mark.parametrize("mode", MODES)
def test_tree_modes(mode: str) -> None:
    """Values that are equal to thresholds, and thresholds of their own type."""
    whole = lambda rng: np.float32(rng.integers(-2, 3))  # noqa: E731
    nodes, leaves = forest(2, 5, 4, 3, modes=[mode], values=whole)
    model = model_of(
        "TreeEnsembleRegressor",
        rows_of(3),
        n_targets=1,
        **nodes,
        **votes("target", leaves, [[0]] * len(leaves), normal),
    )
    agrees(model, np.random.default_rng(1).integers(-2, 3, (40, 3)).astype(np.float32))


@pytest.mark.parametrize("modes", [MODES[:1], MODES[:5]])
def test_missing_values_go_where_the_node_says(modes: Any) -> None:
    nodes, leaves = forest(3, 6, 5, 3, modes=modes, tracks=True)
    model = model_of(
        "TreeEnsembleRegressor",
        rows_of(3),
        n_targets=1,
        **nodes,
        **votes("target", leaves, [[0]] * len(leaves), normal),
    )
    x = rows_of(3, 50)
    x[RNG.random(x.shape) < 0.4] = np.nan
    agrees(model, x)


def test_depth_and_many_targets() -> None:
    """Trees deeper than one compute walks, and a target per tree, as boosting of many classes has."""
    nodes, leaves = forest(4, 12, 5, 6)
    chain, count = 40, 12
    for i in range(chain):  # one more tree, which is a line
        row = (count, 2 * i, i % 6, "BRANCH_LT", 0.3 * (i % 5) - 1, 2 * i + 1, 2 * i + 2)
        leaf = (count, 2 * i + 1, 0, "LEAF", 0.0, 0, 0)
        for values in (row, leaf):
            for k, v in zip(nodes, values, strict=True):
                nodes[k].append(v)
        leaves.append((count, 2 * i + 1))
    for k, v in zip(nodes, (count, 2 * chain, 0, "LEAF", 0.0, 0, 0), strict=True):
        nodes[k].append(v)
    leaves.append((count, 2 * chain))
    model = model_of(
        "TreeEnsembleRegressor", x := rows_of(6), n_targets=13, **nodes,
        **votes("target", leaves, [[tree] for tree, _ in leaves], normal),
    )  # fmt: skip
    agrees(model, x)


def test_trees_of_like_depth_are_walked_together() -> None:
    """A group's trees take the deepest one's steps; a group more has to be worth it."""
    depths = np.array([20, 3, 4, 3, *[3] * 40])
    assert [g.tolist() for g in alike(depths)] == [[i for i in range(44) if i not in (0, 2)], [0, 2]]
    assert [g.tolist() for g in alike(depths[:4])] == [[0, 1, 2, 3]]
    assert alike(depths[:0]) == []


def test_doubles() -> None:
    nodes, leaves = forest(5, 4, 4, 3)
    given = votes("target", leaves, [[0]] * len(leaves), normal)
    doubles: dict[str, Any] = {
        f"{k}_as_tensor": numpy_helper.from_array(np.array(v, np.float64) / 3)
        for k, v in (("nodes_values", nodes.pop("nodes_values")), ("target_weights", given.pop("target_weights")))
    }
    model = model_of(
        "TreeEnsembleRegressor", x := rows_of(3, dtype=np.float64), n_targets=1, **nodes, **given, **doubles
    )
    agrees(model, x)


# ---- classification


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("weights", [normal, positive])
@pytest.mark.parametrize("kind", ["one vote", "all votes", "second class", "first class", "base values"])
def test_tree_classifier(transform: str, weights: Any, kind: str) -> None:
    nodes, leaves = forest(6, 6, 4, 4)
    classes = 2 if "class" in kind else 4
    rng = np.random.default_rng(7)
    targets = {
        "one vote": [[int(rng.integers(4))] for _ in leaves], "base values": [[int(rng.integers(4))] for _ in leaves],
        "all votes": [[*range(4)] for _ in leaves], "first class": [[0] for _ in leaves],
        "second class": [[1] for _ in leaves],
    }[kind]  # fmt: skip
    base = {"base_values": [0.25, -0.5, 1.0, 0.125]} if kind == "base values" else {}
    model = model_of(
        "TreeEnsembleClassifier", x := rows_of(4), 2, post_transform=transform, **nodes, **base,
        classlabels_int64s=[3, 5, 7, 11][:classes], **votes("class", leaves, targets, weights),
    )  # fmt: skip
    agrees(model, x)


@pytest.mark.parametrize("weights", [normal, positive])
def test_two_classes_that_both_have_votes(weights: Any) -> None:
    """ONNX Runtime's label is then 0 or 1 whatever the labels are; the specification's that of the greatest score."""
    nodes, leaves = forest(6, 6, 4, 4)
    model = model_of(
        "TreeEnsembleClassifier", x := rows_of(4), 2, **nodes, classlabels_int64s=[3, 5],
        **votes("class", leaves, [[0, 1]] * len(leaves), weights),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = ircc.compile(model).run({"x": x})
    np.testing.assert_allclose(found["y1"], np.asarray(session.run(["y1"], {"x": x})[0]), 1e-5, 1e-5)
    np.testing.assert_array_equal(found["y0"], np.array([3, 5])[found["y1"].argmax(1)])


# ---- features and categories

FEATURES = [
    ("Scaler", {"offset": [1.0, -2.0, 0.5], "scale": [0.5, 2.0, 1.0]}),
    ("Scaler", {"offset": [1.5], "scale": [3.0]}),
    *(("Normalizer", {"norm": norm}) for norm in ("MAX", "L1", "L2")),
    ("Binarizer", {"threshold": 0.25}),
    ("OneHotEncoder", {"cats_int64s": [-1, 0, 2], "zeros": 1}),
    ("LinearRegressor", {"coefficients": [1.0, -2.0, 0.5], "intercepts": [0.25]}),
    ("LinearRegressor", {"coefficients": [1.0, -2.0, 0.5] * 2, "targets": 2, "post_transform": "SOFTMAX"}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize(("operator", "attributes"), FEATURES, ids=str)
def test_features(operator: str, attributes: Any, dtype: Any) -> None:
    if operator == "LinearRegressor" and dtype != np.float32:
        pytest.skip("neither peer has it")
    x = (rows_of(3) * 3).astype(dtype)
    x[2] = 0
    agrees(model_of(operator, x, version=1, **attributes), x)


def test_imputer() -> None:
    x = rows_of(3)
    x[::2, 1] = np.nan
    agrees(model_of("Imputer", x, replaced_value_float=np.nan, imputed_value_floats=[1.0, 2.0, 3.0]), x)
    x = RNG.integers(0, 3, (20, 3))
    model = model_of("Imputer", x, replaced_value_int64=1, imputed_value_int64s=[-7])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    agrees(model, x)


ENCODERS = [
    (np.int64, {"keys_int64s": [1, 2, 0], "values_floats": [0.5, 1.5, 2.5], "default_float": 9.0}),
    (np.int64, {"keys_int64s": [1], "values_int64s": [10]}),
    (np.float32, {"keys_floats": [1.0, np.nan, -1.0], "values_int64s": [5, 6, 7], "default_int64": -9}),
    (np.float32, {"keys_floats": [1.0, -1.0], "values_floats": [5.0, 6.0]}),
]


@pytest.mark.parametrize(("dtype", "attributes"), ENCODERS, ids=str)
def test_label_encoder(dtype: Any, attributes: Any) -> None:
    x = RNG.integers(-2, 4, (30, 2)).astype(dtype)
    if dtype == np.float32:
        x[::3] = np.nan
    agrees(model_of("LabelEncoder", x, version=4, **attributes), x)


def test_the_last_of_equal_keys_counts() -> None:
    """As the specification has it since version 4; ONNX Runtime takes the first."""
    x = np.array([1, 2, 0])
    model = model_of("LabelEncoder", x, version=4, keys_int64s=[1, 2, 1], values_int64s=[5, 6, 7])
    np.testing.assert_array_equal(ircc.compile(model).run({"x": x})["y0"], [7, 6, -1])


def test_one_hot_encoder_without_zeros_knows_all() -> None:
    x = np.array([[1, -1], [0, 2], [2, 2]])
    model = model_of("OneHotEncoder", x, cats_int64s=[-1, 0, 1, 2], zeros=0)
    agrees(model, x)
    with pytest.raises(ircc.errors.InputError, match="none of the categories"):
        ircc.compile(model).run({"x": x + 1})


# ---- linear models and support vector machines


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_linear_classifier(transform: str, classes: int) -> None:
    x = np.abs(rows_of(2)) / 8
    model = model_of(
        "LinearClassifier", x, 2, version=1, classlabels_ints=[4, 6, 9][: max(classes, 2)], post_transform=transform,
        coefficients=[0.5, 0.25, 1.0, 0.125, -0.5, 1.0][: 2 * classes], intercepts=[0.1, 0.2, 0.5][:classes],
    )  # fmt: skip
    if transform == "PROBIT" and classes == 1:
        with pytest.raises(ircc.errors.UnsupportedError, match="PROBIT"):
            ircc.compile(model)
        return
    agrees(model, x, atol=1e-4 if transform == "PROBIT" else 1e-5)  # near 1/2 its formula loses digits, in every order


@pytest.mark.parametrize("kind", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("one_class", [0, 1])
def test_svm_regressor(kind: str, one_class: int) -> None:
    model = model_of(
        "SVMRegressor", x := rows_of(3), version=1, kernel_type=kind, kernel_params=[0.4, 0.3, 3.0], n_supports=4,
        one_class=one_class, support_vectors=rows_of(3, 4).ravel().tolist(), coefficients=normal(4).tolist(), rho=[0.2],
    )  # fmt: skip
    agrees(model, x, 1e-4, 1e-4)


@pytest.mark.parametrize("kind", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_svm_classifier(kind: str, classes: int) -> None:
    pairs, vectors = classes * (classes - 1) // 2, 2 * classes + 1
    model = model_of(
        "SVMClassifier", x := rows_of(3), 2, version=1, kernel_type=kind, kernel_params=[0.4, 0.3, 3.0],
        vectors_per_class=[3, *[2] * (classes - 1)], support_vectors=rows_of(3, vectors).ravel().tolist(),
        coefficients=normal((classes - 1) * vectors).tolist(), rho=normal(pairs).tolist(),
        classlabels_ints=[*range(10, 10 + classes)],
    )  # fmt: skip
    agrees(model, x, 1e-4, 1e-4)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX"])
def test_svm_probabilities(classes: int, transform: str) -> None:
    pairs, vectors = classes * (classes - 1) // 2, 2 * classes + 1
    model = model_of(
        "SVMClassifier", x := rows_of(3), 2, version=1, kernel_type="RBF", kernel_params=[0.4, 0.3, 3.0],
        vectors_per_class=[3, *[2] * (classes - 1)], support_vectors=rows_of(3, vectors).ravel().tolist(),
        coefficients=normal((classes - 1) * vectors).tolist(), rho=normal(pairs).tolist(),
        prob_a=(-1 - abs(normal(pairs))).tolist(), prob_b=normal(pairs).tolist(),
        classlabels_ints=[*range(10, 10 + classes)], post_transform=transform,
    )  # fmt: skip
    agrees(model, x, 1e-4, 1e-4)
