"""How to draw the operators of ai.onnx.ml: encoders, linear models, support vectors and trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from .draw import DTYPES, Draw, Variable
from .peers import ML
from .recipes import Drawn, Recipe, Types, recipe

FLOAT, INT64 = DTYPES["float32"], DTYPES["int64"]
COMPARISONS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


def learned(*operators: str) -> Any:
    """A recipe of operators of this domain."""

    def enter(function: Recipe) -> Recipe:
        return recipe(*(f"{ML}.{operator}" for operator in operators))(function)

    return enter


def rows(d: Draw, kind: Any = FLOAT, least: int = 1) -> Variable:
    return d.new([d.size(1), d.rng.randint(least, 6)], kind, constant=0.05)


def numbers(d: Draw, count: int, scale: float = 1.0) -> list[float]:
    return [float(v) for v in d.numbers().normal(0, scale, count).astype(np.float32)]


@learned("ArrayFeatureExtractor")
def array_feature_extractor(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([t for t in types if t.name in ("float32", "float64", "int64", "int32")], (2,), low=1)
    return [x, d.new([1, d.rng.randint(1, 4)], np.int64, 0, x.array.shape[-1] - 1)], {}


@learned("Binarizer")
def binarizer(d: Draw, types: Types, opset: int) -> Drawn:
    return [rows(d)], {"threshold": d.rng.choice((0.0, 0.25, -0.5))}


@learned("FeatureVectorizer")
def feature_vectorizer(d: Draw, types: Types, opset: int) -> Drawn:
    found = [rows(d)]
    found += [d.new([found[0].array.shape[0], d.rng.randint(1, 4)], FLOAT) for _ in range(d.rng.randint(0, 2))]
    return found, {"inputdimensions": [v.array.shape[1] for v in found]}


@learned("Imputer")
def imputer(d: Draw, types: Types, opset: int) -> Drawn:
    if d.flip(0.3):
        x = rows(d, INT64)
        return [x], {"replaced_value_int64": 1, "imputed_value_int64s": [*range(5, 5 + x.array.shape[1])]}
    x = rows(d)
    gaps = d.new(x.array.shape, FLOAT, array=np.where(d.numbers().random(x.array.shape) < 0.3, np.nan, x.array))
    return [gaps], {
        "replaced_value_float": float("nan"), "imputed_value_floats": numbers(d, d.rng.choice((1, x.array.shape[1]))),
    }  # fmt: skip


@learned("LabelEncoder")
def label_encoder(d: Draw, types: Types, opset: int) -> Drawn:
    """From and to the types that both peers have kernels for."""
    count = d.rng.randint(1, 4)
    whole = d.rng.sample(range(-3, 7), count)
    keys, kind = (("keys_int64s", INT64), ("keys_floats", FLOAT))[d.rng.randint(0, 1)]
    to = d.rng.choice(("floats", "int64s"))
    x = d.new(d.shape((1, 2)), kind, array=None) if kind == INT64 else None
    if x is None:
        shape = d.shape((1, 2))
        x = d.new(shape, kind, array=d.numbers().integers(-3, 7, shape))
    values: list[Any] = numbers(d, count) if to == "floats" else [d.rng.randint(-9, 9) for _ in whole]
    default = {"default_float": 0.5} if to == "floats" else {"default_int64": -7}
    return [x], {keys: [float(v) if kind == FLOAT else v for v in whole], f"values_{to}": values, **default}


@learned("LinearRegressor")
def linear_regressor(d: Draw, types: Types, opset: int) -> Drawn:
    x, targets = rows(d), d.rng.randint(1, 3)
    found: dict[str, Any] = {"targets": targets, "coefficients": numbers(d, targets * x.array.shape[1])}
    return [x], found | {"intercepts": numbers(d, targets)}  # without them the reference gives NaN


@learned("LinearClassifier")
def linear_classifier(d: Draw, types: Types, opset: int) -> Drawn:
    x, classes = rows(d), d.rng.randint(2, 4)
    return [x], {
        "classlabels_ints": d.rng.sample(range(20), classes), "coefficients": numbers(d, classes * x.array.shape[1]),
        "intercepts": numbers(d, classes), "outputs": 2,
        "post_transform": d.rng.choice(("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")),
    }  # fmt: skip


@learned("Normalizer")
def normalizer(d: Draw, types: Types, opset: int) -> Drawn:
    return [rows(d)], {"norm": d.rng.choice(("MAX", "L1", "L2"))}


@learned("OneHotEncoder")
def one_hot_encoder(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.new(d.shape((1, 2), 1), d.dtype([INT64, INT64, FLOAT]), 0, 5)
    x.array[...] = np.floor(x.array)
    return [x], {"cats_int64s": d.rng.sample(range(6), d.rng.randint(1, 5)), "zeros": 1}


@learned("Scaler")
def scaler(d: Draw, types: Types, opset: int) -> Drawn:
    x = rows(d)
    count = d.rng.choice((1, x.array.shape[1]))
    return [x], {"offset": numbers(d, count), "scale": numbers(d, count)}


def support(d: Draw, features: int, count: int) -> dict[str, Any]:
    return {
        "kernel_type": d.rng.choice(("LINEAR", "POLY", "RBF", "SIGMOID")), "kernel_params": [0.4, 0.3, 3.0],
        "support_vectors": numbers(d, features * count, 0.7),
    }  # fmt: skip


@learned("SVMRegressor")
def svm_regressor(d: Draw, types: Types, opset: int) -> Drawn:
    x, count = rows(d), d.rng.randint(1, 5)
    return [x], {
        **support(d, x.array.shape[1], count), "n_supports": count, "coefficients": numbers(d, count),
        "rho": numbers(d, 1),
    }  # fmt: skip


@learned("SVMClassifier")
def svm_classifier(d: Draw, types: Types, opset: int) -> Drawn:
    x, classes = rows(d), d.rng.randint(2, 4)
    each = [d.rng.randint(1, 3) for _ in range(classes)]
    return [x], {
        **support(d, x.array.shape[1], sum(each)), "vectors_per_class": each, "outputs": 2,
        "coefficients": numbers(d, (classes - 1) * sum(each)), "rho": numbers(d, classes * (classes - 1) // 2),
        "classlabels_ints": [*range(10, 10 + classes)],
    }  # fmt: skip


# ---- trees


def forest(d: Draw, features: int) -> tuple[dict[str, list[Any]], list[tuple[int, int]]]:
    """The attributes of the nodes of some trees, and the leaves as (tree, node)."""
    kinds = COMPARISONS[:1] if d.flip(0.7) else COMPARISONS
    one = d.rng.choice(kinds)
    found: dict[str, list[Any]] = {}
    leaves: list[tuple[int, int]] = []

    def grow(tree: int, number: list[int], left: int) -> int:
        mine = number[0]
        number[0] += 1
        leaf = left == 0 or d.flip(0.2)
        row = dict[str, Any](treeids=tree, nodeids=mine, featureids=0, modes="LEAF", values=0.0, truenodeids=0)
        row |= {"falsenodeids": 0, "missing_value_tracks_true": 0}
        at = {key: len(found.setdefault(f"nodes_{key}", [])) for key in row}
        for key, value in row.items():
            found[f"nodes_{key}"].append(value)
        if leaf:
            leaves.append((tree, mine))
            return mine
        chosen = {"featureids": d.rng.randrange(features), "modes": one, "values": numbers(d, 1)[0]}
        chosen |= {"missing_value_tracks_true": d.rng.randint(0, 1)}
        chosen |= {"truenodeids": grow(tree, number, left - 1), "falsenodeids": grow(tree, number, left - 1)}
        for key, value in chosen.items():
            found[f"nodes_{key}"][at[key]] = value
        return mine

    for tree in range(d.rng.randint(1, 4)):
        grow(tree, [0], d.rng.randint(1, 4))
    return found, leaves


def votes(d: Draw, prefix: str, leaves: list[tuple[int, int]], targets: int) -> dict[str, Any]:
    """For each leaf, a vote for one of the targets."""
    own = [d.rng.randrange(targets) for _ in leaves]
    return {
        f"{prefix}_treeids": [tree for tree, _ in leaves], f"{prefix}_nodeids": [node for _, node in leaves],
        f"{prefix}_ids": own, f"{prefix}_weights": [abs(v) for v in numbers(d, len(leaves))],
    }  # fmt: skip


@learned("TreeEnsembleRegressor")
def tree_regressor(d: Draw, types: Types, opset: int) -> Drawn:
    x, targets = rows(d), d.rng.randint(1, 3)
    nodes, leaves = forest(d, x.array.shape[1])
    found = nodes | votes(d, "target", leaves, targets) | {"n_targets": targets}
    return [x], found | {"aggregate_function": d.rng.choice(("SUM", "SUM", "AVERAGE", "MIN", "MAX"))}


@learned("TreeEnsembleClassifier")
def tree_classifier(d: Draw, types: Types, opset: int) -> Drawn:
    x, classes = rows(d), d.rng.randint(3, 4)
    nodes, leaves = forest(d, x.array.shape[1])
    found = nodes | votes(d, "class", leaves, classes) | {"classlabels_int64s": [3, 5, 7, 11][:classes]}
    base = {"base_values": [v / 8 for v in numbers(d, classes)]}
    return [x], found | base | {"post_transform": d.rng.choice(("NONE", "SOFTMAX", "LOGISTIC")), "outputs": 2}


@learned("TreeEnsemble")
def tree_ensemble(d: Draw, types: Types, opset: int) -> Drawn:
    """Full trees: of n levels, with leaves below the last."""
    x, targets, levels = rows(d), d.rng.randint(1, 3), d.rng.randint(1, 3)
    found: dict[str, list[int]] = {key: [] for key in ("true", "false", "leaf")}
    roots: list[int] = []
    leaves = 0
    for _ in range(d.rng.randint(1, 3)):
        roots.append(len(found["leaf"]))
        for node in range(2**levels - 1):
            last = node >= 2 ** (levels - 1) - 1
            found["leaf"].append(int(last))
            for i, side in enumerate(("true", "false")):
                found[side].append(leaves + i if last else roots[-1] + 2 * node + 1 + i)
            leaves += 2 * last
    count = len(found["leaf"])
    mode = d.rng.randint(0, 5)
    tensor = numpy_helper.from_array
    return [x], {
        "n_targets": targets, "aggregate_function": 1, "post_transform": 0, "tree_roots": roots,
        "nodes_featureids": [d.rng.randrange(x.array.shape[1]) for _ in range(count)],
        "nodes_modes": tensor(np.full(count, mode, np.uint8)),
        "nodes_splits": tensor(np.array(numbers(d, count), np.float32)),
        "nodes_truenodeids": found["true"], "nodes_falsenodeids": found["false"], "nodes_trueleafs": found["leaf"],
        "nodes_falseleafs": found["leaf"], "leaf_targetids": [d.rng.randrange(targets) for _ in range(leaves)],
        "leaf_weights": tensor(np.array(numbers(d, leaves), np.float32)),
    }  # fmt: skip
