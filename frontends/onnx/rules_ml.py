"""Rules of ai.onnx.ml but for trees: scalers and encoders, linear models, support vector machines."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr, maximum, product
from .builder import Value
from .ml_scores import SURE, above, best, both_classes, class_labels, coupled, labelled, matrix, transformed
from .node import Node, Rule
from .source import Array
from .terms import Term, concat, number

KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def as_float(n: Node, x: Value) -> Value:
    """x for arithmetic: floats as they are, integers as float32."""
    return x if x.dtype.kind == "f" else n.cast(x, np.float32)


# ---- features


def scaler(n: Node) -> Value:
    """(x - offset) * scale, per feature: the last axis."""
    x = as_float(n, n.input(0))
    for name, operator in (("offset", "Sub"), ("scale", "Mul")):
        values = n.attr(name, [])
        if values:
            x = n.emit(operator, x, per_feature(n, values, x))
    return n.cast(x, np.float32)


def per_feature(n: Node, values: list[Any], x: Value) -> Value:
    """One number for all features, or one for each, in x's element type."""
    if len(values) != 1:
        if x.rank == 0:
            raise ModelError(f"{len(values)} values for a scalar")
        n.builder.same(x.sizes[-1], Expr.const(len(values)), f"{len(values)} values for {x.sizes[-1]} features")
    return n.constant(values if len(values) != 1 else values[0], x.dtype)


def normalizer(n: Node) -> Value:
    """Each row by its maximum, by the sum of its magnitudes or by its length; as it is where that is 0."""
    x = n.input(0)
    norm = n.attr("norm", "MAX")
    if norm not in ("MAX", "L1", "L2") or x.rank not in (1, 2):
        raise ModelError(f"norm {norm!r} of {x.rank} dimensions")
    x = as_float(n, x)
    operator = {"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}[norm]
    size = n.emit(operator, x, axes=[-1], keepdims=True)
    none = n.emit("Equal", size, n.like(0, size))
    return n.cast(n.emit("Div", x, n.emit("Where", none, n.like(1, size), size)), np.float32)


def imputer(n: Node) -> Value:
    x = n.input(0)
    kind = "float" if x.dtype.kind == "f" else "int64"
    values = n.required(f"imputed_value_{kind}s")
    replaced = n.attr(f"replaced_value_{kind}", 0.0 if kind == "float" else 0)
    if not values:
        raise ModelError("it has no value to put in place")
    gone = n.emit("IsNaN", x) if np.isnan(replaced) else n.emit("Equal", x, n.like(replaced, x))
    return n.emit("Where", gone, per_feature(n, values, x), x)


def binarizer(n: Node) -> Value:
    x = n.input(0)
    return n.cast(n.emit("Greater", as_float(n, x), n.like(n.attr("threshold", 0.0), as_float(n, x))), x.dtype)


def array_feature_extractor(n: Node) -> Value:
    x, places = n.input(0), n.input(1)
    places = n.reshape(places, [product(places.sizes)])
    return n.emit("Gather", x if x.rank > 1 else n.reshape(x, [1, *x.sizes]), places, axis=-1)


def feature_vectorizer(n: Node) -> Value:
    """Inputs side by side, each cut or filled with zeros to its `inputdimensions`."""
    wanted = n.attr("inputdimensions", [])
    parts: list[Value] = []
    for i, given in enumerate(n.inputs):
        x = n.cast(matrix(n, given), np.float32)
        width, now = (wanted[i] if i < len(wanted) else x.sizes[1]), x.sizes[1]
        if width != now:
            extra = maximum(width - now, 0)
            x = n.emit("Pad", x, pads=[0, 0, 0, extra], mode="constant") if extra.constant != 0 else x
            x = n.emit("Slice", x, starts=[0, 0], sizes=[x.sizes[0], width], steps=[1, 1])
        parts.append(x)
    return parts[0] if len(parts) == 1 else n.emit("Concat", parts, axis=1)


# ---- categories


def places_of(n: Node, x: Value, keys: Array) -> Value:
    """For each element the last position in `keys` that equals it, or -1: by comparison with all of them. NaN equals
    NaN."""
    table, wide = n.constant(keys.astype(x.dtype)), n.reshape(x, [*x.sizes, 1])
    same = n.emit("Equal", wide, table)
    if x.dtype.kind == "f" and np.isnan(keys).any():
        same = n.emit("Or", same, n.emit("And", n.emit("IsNaN", wide), n.constant(np.isnan(keys))))
    positions = n.constant(np.arange(len(keys)), np.int32)
    found = n.emit("Where", same, positions, n.constant(-1, np.int32))
    return n.emit("ReduceMax", found, axes=[-1], keepdims=False)


def label_encoder(n: Node) -> Value:
    """Each element replaced by the value of its key, or by the default."""
    x = n.input(0)
    keys, key_kind = only(n, "keys")
    values, kind = only(n, "values")
    if key_kind == "strings" or kind == "strings":
        raise UnsupportedError("its keys or values are strings, which ircc cannot compute with")
    if len(keys) != len(values):
        raise ModelError(f"{len(keys)} keys for {len(values)} values")
    names = {"int64s": ("default_int64", -1), "floats": ("default_float", -0.0)}
    if kind == "tensor":
        default = n.attr("default_tensor")
        other = (-1 if values.dtype.kind in "iu" else -0.0) if default is None else default.reshape(-1)[0]
    else:
        other = n.attr(*names[kind])
    table = np.concatenate([values, np.asarray(other, values.dtype).reshape(1)])
    if not len(keys):
        return n.emit("Expand", n.constant(table[0]), shape=x.sizes)
    place = places_of(n, x, keys)
    last = n.constant(len(keys), np.int32)
    place = n.emit("Where", n.emit("Less", place, n.constant(0, np.int32)), last, place)
    return n.emit("Gather", n.constant(table), place, axis=0)


def only(n: Node, what: str) -> tuple[Array, str]:
    """The one list of `keys_*` or `values_*` that is given, and which it is."""
    kinds: dict[str, Any] = {"int64s": np.int64, "floats": np.float32, "strings": object, "tensor": None}
    given = [k for k in kinds if f"{what}_{k}" in n.attributes]
    if len(given) != 1:
        raise ModelError(f"one of {', '.join(f'{what}_{k}' for k in kinds)} must be given")
    (kind,) = given
    array = np.asarray(n.required(f"{what}_{kind}"), kinds[kind]).reshape(-1)
    return array, "strings" if array.dtype.kind in "OSUT" else kind


def one_hot_encoder(n: Node) -> Value:
    """A new last axis over the categories. An element that is none of them has zeros; with `zeros` = 0 it ends the
    run."""
    x = n.input(0)
    categories = n.attr("cats_int64s", [])
    if not categories:
        raise UnsupportedError("its categories are strings, which ircc cannot compute with")
    wide = n.reshape(n.cast(x, np.int64), [*x.sizes, 1])
    same = n.emit("Equal", wide, n.constant(categories, np.int64))
    if not n.attr("zeros", 1):
        known = n.emit("ReduceMax", n.cast(same, np.int64), axes=[-1], keepdims=False)
        unknown = n.emit("Sub", n.constant(1, np.int64), known)
        strangers = n.emit("ReduceSum", unknown, axes=[*range(x.rank)], keepdims=False)
        n.check(n.counted(strangers, "strangers"), "OneHotEncoder: an element is none of the categories")
    return n.cast(same, np.float32)


# ---- linear models


def linear(n: Node, x: Value, coefficients: Array, intercepts: Array | None) -> Value:
    """x times the transposed coefficients [targets, features], plus the intercepts."""
    features = coefficients.shape[1]
    n.builder.same(x.sizes[1], Expr.const(features), f"coefficients of {features} features for {x.sizes[1]}")
    added = None if intercepts is None else n.constant(intercepts, np.float32)
    table = n.constant(coefficients, np.float32)
    return n.emit("Gemm", x, table, added, alpha=1.0, beta=1.0, trans_a=False, trans_b=True)


def table(n: Node, name: str, rows: int) -> Array:
    """A list of floats as `rows` rows."""
    values = np.asarray(n.required(name), np.float32)
    if rows < 1 or len(values) % rows:
        raise ModelError(f"{len(values)} {name} for {rows} rows")
    return values.reshape(rows, -1)


def linear_regressor(n: Node) -> Value:
    targets, intercepts = n.attr("targets", 1), n.attr("intercepts", [])
    if len(intercepts) not in (0, targets):
        raise ModelError(f"{len(intercepts)} intercepts for {targets} targets")
    x = n.cast(matrix(n, n.input(0)), np.float32)
    found = linear(n, x, table(n, "coefficients", targets), np.array(intercepts, np.float32) if intercepts else None)
    return transformed(n, found, n.attr("post_transform", "NONE"))


def linear_classifier(n: Node) -> tuple[Value | None, Value]:
    x = n.cast(matrix(n, n.input(0)), np.float32)
    labels = class_labels(n, "classlabels_ints", "classlabels_strings")
    n.attr("multi_class", 0)
    intercepts = n.attr("intercepts", [])
    coefficients = n.required("coefficients")
    features = x.sizes[1].constant
    rows = len(intercepts) or (len(coefficients) // features if features else len(labels))
    added = np.array(intercepts, np.float32) if intercepts else None
    scores = linear(n, x, table(n, "coefficients", rows), added)
    transform = n.attr("post_transform", "NONE")
    if rows == 1 and len(labels) <= 2:
        if transform == "PROBIT" and len(labels) == 2:
            raise UnsupportedError("post_transform PROBIT of one score for two classes is not defined")
        chosen = above(n, scores, 0.0)
        names = labels if len(labels) == 2 else [0, 1] if isinstance(labels[0], int) else ["0", "1"]
        both = both_classes(n, scores, "negated" if transform == "LOGISTIC" else "from one")
        found = both if len(labels) == 2 else scores
        if transform == "LOGISTIC" or len(labels) == 1:
            found = transformed(n, found, transform)
        return labelled(n, chosen, names), found
    if rows != len(labels):
        raise ModelError(f"{rows} rows of coefficients for {len(labels)} classes")
    return labelled(n, best(n, scores), labels), transformed(n, scores, transform)


# ---- support vector machines


def kernel(n: Node, x: Value, vectors: Array) -> Value:
    """The kernel of each row with each support vector: [rows, vectors]."""
    kind = n.attr("kernel_type", "LINEAR")
    gamma, offset, degree = [*n.attr("kernel_params", []), 0.0, 0.0, 0.0][:3]
    if kind not in KERNELS:
        raise ModelError(f"kernel_type is {kind!r}")
    if kind == "RBF":
        features = vectors.shape[1]
        n.builder.same(x.sizes[1], Expr.const(features), f"support vectors of {features} features for {x.sizes[1]}")
        apart = n.emit("Sub", n.reshape(x, [x.sizes[0], 1, x.sizes[1]]), n.constant(vectors, np.float32))
        distance = n.emit("ReduceSumSquare", apart, axes=[2], keepdims=False)
        return n.emit("Exp", n.emit("Mul", distance, n.constant(-gamma, np.float32)))
    found = linear(n, x, vectors, None)
    if kind == "LINEAR":
        return found
    scaled = n.emit("Mul", found, n.constant(gamma, np.float32))
    moved = n.emit("Add", scaled, n.constant(offset, np.float32))
    return n.emit("Tanh", moved) if kind == "SIGMOID" else n.emit("Pow", moved, n.constant(degree, np.float32))


def svm_regressor(n: Node) -> Value:
    x = n.cast(matrix(n, n.input(0)), np.float32)
    count, rho = n.attr("n_supports", 0), np.asarray(n.required("rho"), np.float32)[:1]
    coefficients = table(n, "coefficients", 1)
    if count > 0:
        found = linear(n, kernel(n, x, table(n, "support_vectors", count)), coefficients, rho)
    else:
        found = linear(n, x, coefficients, rho)
    if n.attr("one_class", 0):
        one = n.constant(1, np.float32)
        return n.emit("Where", n.emit("Greater", found, n.like(0, found)), one, n.constant(-1, np.float32))
    return transformed(n, found, n.attr("post_transform", "NONE"))


def svm_classifier(n: Node) -> tuple[Value | None, Value]:
    x = n.cast(matrix(n, n.input(0)), np.float32)
    labels = class_labels(n, "classlabels_ints", "classlabels_strings")
    count, transform = len(labels), n.attr("post_transform", "NONE")
    each, rho = n.attr("vectors_per_class", []), np.asarray(n.required("rho"), np.float32)
    if not sum(each):
        scores = linear(n, x, table(n, "coefficients", count), np.repeat(rho[:1], count))
        return labelled(n, best(n, scores), labels), transformed(n, scores, transform)
    pairs = list(combinations(range(count), 2))
    if len(each) != count or len(rho) < len(pairs) or min(each) < 0 or count < 2:
        raise ModelError(f"{count} classes do not fit vectors_per_class {each} and {len(rho)} values of rho")
    coefficients = table(n, "coefficients", count - 1)
    if coefficients.shape[1] != sum(each):
        raise ModelError(f"coefficients of {coefficients.shape[1]} support vectors, of which there are {sum(each)}")
    own = np.repeat(np.arange(count), each)  # the class of each support vector
    weights = np.zeros((len(pairs), sum(each)), np.float32)
    for p, (i, j) in enumerate(pairs):
        weights[p, own == i] = coefficients[j - 1, own == i]
        weights[p, own == j] = coefficients[i, own == j]
    found = linear(n, kernel(n, x, table(n, "support_vectors", sum(each))), weights, rho[: len(pairs)])
    chosen = labelled(n, winner(n, found, pairs, count), labels) if n.wants(0) else None
    if n.attr("prob_a", []):
        return chosen, transformed(n, coupled(n, against(n, found, pairs, count)), transform)
    if count > 2:
        return chosen, transformed(n, found, transform)
    if transform == "PROBIT":
        raise UnsupportedError("post_transform PROBIT of one score for two classes is not defined")
    pair = both_classes(n, found, "negated" if transform in ("NONE", "LOGISTIC") else "from one")
    return chosen, n.emit("Sigmoid", pair) if transform == "LOGISTIC" else pair


def against(n: Node, scores: Value, pairs: list[tuple[int, int]], count: int) -> Term:
    """The probability of each class against each other one [rows, classes, classes], by Platt's sigmoid of the score of
    the pair."""
    a, b = (np.asarray(n.required(f"prob_{name}"), np.float32) for name in "ab")
    if not len(a) == len(b) == len(pairs):
        raise ModelError(f"{len(a)} prob_a and {len(b)} prob_b for {len(pairs)} pairs of classes")
    score = Term(n, scores)
    sure = 1.0 - (score * number(n, a, score.dtype) + number(n, b, score.dtype)).emit("Sigmoid")
    sure = sure.clip(SURE, 1.0 - SURE)
    zero = sure.part(1, 0, 1) * 0.0
    place = {pair: p for p, pair in enumerate(pairs)}
    found: list[Term] = []
    for i in range(count):
        for j in range(count):
            if i == j:
                found.append(zero)
            else:
                found.append(sure.part(1, place[i, j], 1) if i < j else 1.0 - sure.part(1, place[j, i], 1))
    return concat(found, 1).reshape(scores.sizes[0], count, count)


def winner(n: Node, scores: Value, pairs: list[tuple[int, int]], count: int) -> Value:
    """The class with the most votes: of a pair the first one has it where the score is above 0."""
    if count == 2:
        return n.cast(n.emit("LessOrEqual", n.reshape(scores, [scores.sizes[0]]), n.like(0, scores)), np.int64)
    first, second = np.zeros((2, len(pairs), count), np.float32)
    for p, (i, j) in enumerate(pairs):
        first[p, i], second[p, j] = 1, 1
    won = n.cast(n.emit("Greater", scores, n.like(0, scores)), np.float32)
    votes = n.emit("Add", n.emit("MatMul", won, n.constant(first - second)), n.constant(second.sum(0)))
    return best(n, votes)


DOMAIN = "ai.onnx.ml"
RULES: Mapping[str, Rule] = {
    "ArrayFeatureExtractor": array_feature_extractor,
    "Binarizer": binarizer,
    "FeatureVectorizer": feature_vectorizer,
    "Imputer": imputer,
    "LabelEncoder": label_encoder,
    "LinearClassifier": linear_classifier,
    "LinearRegressor": linear_regressor,
    "Normalizer": normalizer,
    "OneHotEncoder": one_hot_encoder,
    "SVMClassifier": svm_classifier,
    "SVMRegressor": svm_regressor,
    "Scaler": scaler,
}
