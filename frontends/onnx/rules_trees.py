"""Tree ensembles of ai.onnx.ml: their nodes as tables, a walk through all trees, and the votes of the leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...dialects.graph.trees import TRACKS
from ...errors import ModelError, UnsupportedError
from ...ir.expr import maximum
from .builder import Value
from .ml_scores import TRANSFORMS, above, best, both_classes, class_labels, labelled, matrix, transformed
from .node import Node, Rule
from .source import Array

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
EQUAL, MEMBER = MODES.index("BRANCH_EQ"), 6
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
GROUP = 256  # steps that a group of trees costs beside those of its trees
LARGEST = 1 << 27  # elements of a table of votes
NEUTRAL = {"AVERAGE": 0.0, "SUM": 0.0, "MIN": np.inf, "MAX": -np.inf}


@dataclass
class Forest:
    """The nodes of all trees: `interior` ones first, then the leaves, which are their own children."""

    features: Array
    thresholds: Array
    rules: Array
    children: Array
    roots: Array
    interior: int

    @property
    def leaves(self) -> int:
        return len(self.features) - self.interior

    def depths(self) -> Array:
        """The longest way from each root to a leaf. Raises ModelError when there is none."""
        depth = np.zeros(len(self.features), np.int64)  # ways of at most so many steps as have been looked at
        inner, count = self.children[: self.interior], 0
        while True:
            longer = depth[inner].max(axis=1, initial=0) + 1
            if (longer == depth[: self.interior]).all():
                return depth[self.roots]
            if (count := count + 1) > self.interior:
                raise ModelError("its nodes form a circle")
            depth[: self.interior] = longer


def forest(
    features: Any, thresholds: Array, modes: Array, tracks: Any, children: Array, roots: Any, leaves: int
) -> Forest:
    """A forest of interior nodes given by these; children from `len(features)` on are leaves. Raises ModelError for
    tables that do not fit together."""
    features, roots, tracks = (np.asarray(a, np.int64).reshape(-1) for a in (features, roots, tracks))
    count = len(features)
    if not len(thresholds) == len(modes) == len(children) == count or (len(tracks) not in (0, count)):
        raise ModelError("its nodes have attributes of different lengths")
    if min(features.min(initial=0), children.min(initial=0), roots.min(initial=0)) < 0:
        raise ModelError("a node has a feature or child below 0")
    if max(children.max(initial=0), roots.max(initial=0)) >= count + leaves:
        raise ModelError("a node has a child that there is not")
    if len(modes) and not 0 <= int(modes.min()) <= int(modes.max()) < len(MODES):
        raise ModelError(f"a node has mode {int(modes.max())}")
    own = np.arange(count, count + leaves)
    nothing = np.zeros(leaves, np.int64)
    rules = modes.astype(np.int64) + (TRACKS * (tracks > 0) if len(tracks) else 0)
    return Forest(
        np.concatenate([features, nothing]).astype(np.int32),
        np.concatenate([thresholds, nothing.astype(thresholds.dtype)]),
        np.concatenate([rules, nothing]).astype(np.uint8),
        np.concatenate([children, np.stack([own, own], 1)]).astype(np.int32),
        roots.astype(np.int32),
        count,
    )


def alike(depths: Array) -> list[Array]:
    """Trees in groups that are walked so many steps as the deepest one of the group has: what costs least, when a group
    costs GROUP steps by itself. A group has its trees in order, the groups come by depth."""
    levels, counts = np.unique(depths, return_counts=True)
    before = [0, *np.cumsum(counts).tolist()]
    best: list[tuple[int, int]] = [(0, 0)]  # of the first so many levels: the cost, and where the last group begins
    for end in range(1, len(levels) + 1):
        deep = int(levels[end - 1])
        ways = [(best[b][0] + (before[end] - before[b]) * deep + GROUP, b) for b in range(end)]
        best.append(min(ways))
    found: list[Array] = []
    end = len(levels)
    while end:
        begin = best[end][1]
        found.append(np.flatnonzero((depths >= levels[begin]) & (depths <= levels[end - 1])))
        end = begin
    return found[::-1]


def reached(n: Node, x: Value, trees: Forest) -> Value:
    """The leaf of each tree that each row ends in: int32 [rows, trees], the trees in some order."""
    depths = trees.depths()
    used = trees.rules[: trees.interior]
    if trees.interior:
        most = int(trees.features.max())
        n.check(maximum(most + 1 - x.sizes[1], 0), f"a tree looks at feature {most} of {x.sizes[1]}")
    tables = [*map(n.constant, (trees.features, trees.thresholds, trees.rules, trees.children))]
    modes, tracks = [*map(int, np.unique(used % TRACKS))] or [0], bool((used >= TRACKS).any())
    groups = [
        n.emit(
            "TreeLeaves", x, *tables, n.constant(trees.roots[group]),
            steps=int(depths[group].max(initial=0)), modes=modes, tracks=tracks,
        )
        for group in alike(depths) or [np.arange(0)]
    ]  # fmt: skip
    node = n.emit("Concat", groups, axis=1) if len(groups) > 1 else groups[0]
    return n.emit("Sub", node, n.constant(trees.interior, np.int32)) if trees.interior else node


@dataclass
class Votes:
    """What leaves say: `weights` for `targets`, each of leaf `leaves`."""

    leaves: Array
    targets: Array
    weights: Array


def scores(n: Node, leaf: Value, votes: Votes, count: int, leaves: int, aggregate: str) -> Value:
    """The votes of the reached leaves [rows, trees] for each target, joined over the trees: [rows, count]. A target
    that no leaf votes for has 0."""
    if count < 1 or (len(votes.targets) and not 0 <= int(votes.targets.min()) <= int(votes.targets.max()) < count):
        raise ModelError(f"a leaf votes for a target outside of {count}")
    several = bool(np.bincount(votes.leaves, minlength=1).max() > 1)
    each = gathered if count == 1 or several or aggregate in ("MIN", "MAX") else matched
    found = each(n, leaf, votes, count, leaves, aggregate)
    if aggregate == "AVERAGE":
        trees = leaf.sizes[1].constant or 1
        return n.emit("Div", found, n.like(trees, found))
    return found


def gathered(n: Node, leaf: Value, votes: Votes, count: int, leaves: int, aggregate: str) -> Value:
    """By a table of all leaves and targets."""
    if leaves * count > LARGEST:
        raise UnsupportedError(f"{leaves} leaves that vote for several of {count} targets make too large a table")
    place = (votes.leaves, votes.targets)
    table = np.full((leaves, count), NEUTRAL[aggregate], votes.weights.dtype)
    join: Any = {"MIN": np.minimum, "MAX": np.maximum}.get(aggregate, np.add)
    join.at(table, place, votes.weights)
    operator = {"MIN": "ReduceMin", "MAX": "ReduceMax"}.get(aggregate, "ReduceSum")
    found = n.emit(operator, n.emit("Gather", n.constant(table), leaf, axis=0), axes=[1], keepdims=False)
    if aggregate in ("MIN", "MAX") and np.isinf(table).any():  # nobody voted
        unknown = n.emit("IsInf", found, detect_positive=aggregate == "MIN", detect_negative=aggregate == "MAX")
        found = n.emit("Where", unknown, n.like(0, found), found)
    return found


def matched(n: Node, leaf: Value, votes: Votes, count: int, leaves: int, aggregate: str) -> Value:
    """A leaf votes once: its target and weight, compared with every target."""
    target, weight = np.full(leaves, -1, np.int32), np.zeros(leaves, votes.weights.dtype)
    target[votes.leaves], weight[votes.leaves] = votes.targets, votes.weights
    rows, trees = leaf.sizes
    shape = [rows, trees, 1]
    theirs, heavy = (n.reshape(n.emit("Gather", n.constant(t), leaf, axis=0), shape) for t in (target, weight))
    mine = n.emit("Equal", theirs, n.constant(np.arange(count), np.int32))
    return n.emit("ReduceSum", n.emit("Where", mine, heavy, n.like(0, heavy)), axes=[1], keepdims=False)


# ---- since version 5


def tree_ensemble(n: Node) -> Value:
    x = matrix(n, n.input(0))
    splits, weights = n.required("nodes_splits").reshape(-1), n.required("leaf_weights").reshape(-1)
    modes = n.required("nodes_modes").reshape(-1)
    count = len(modes)
    branches: list[Array] = []
    for side in ("false", "true"):
        ids, leafs = (np.asarray(n.required(f"nodes_{side}{k}"), np.int64) for k in ("nodeids", "leafs"))
        if len(ids) != count or len(leafs) != count:
            raise ModelError("its nodes have attributes of different lengths")
        if (ids < 0).any() or (ids[leafs == 0] >= count).any() or (ids[leafs != 0] >= len(weights)).any():
            raise ModelError("a node has a child that there is not")
        branches.append(np.where(leafs != 0, -1 - ids, ids))  # leaves below 0: interior nodes may be added
    features = np.asarray(n.required("nodes_featureids"), np.int64)
    tracks = np.asarray(n.attr("nodes_missing_value_tracks_true", []), np.int64)
    nodes = [features, splits, modes, np.stack(branches, 1), tracks if len(tracks) else np.zeros(count, np.int64)]
    if (modes == MEMBER).any():
        nodes = without_members(nodes, n.attr("membership_values"))
    features, splits, modes, children, tracks = nodes
    children = np.where(children < 0, len(features) - 1 - children, children)
    trees = forest(features, splits, modes, tracks, children, n.required("tree_roots"), len(weights))
    votes = Votes(np.arange(len(weights)), np.asarray(n.required("leaf_targetids"), np.int64), weights)
    if len(votes.targets) != len(weights):
        raise ModelError("its leaves have attributes of different lengths")
    leaf = reached(n, n.cast(x, splits.dtype), trees)
    aggregate, transform = n.attr("aggregate_function", 1), n.attr("post_transform", 0)
    if not 0 <= aggregate < len(AGGREGATES) or not 0 <= transform < len(TRANSFORMS):
        raise ModelError(f"aggregate_function {aggregate} and post_transform {transform} are not both known")
    found = scores(n, leaf, votes, n.required("n_targets"), len(weights), AGGREGATES[aggregate])
    return n.cast(transformed(n, found, TRANSFORMS[transform]), x.dtype)


def without_members(nodes: Sequence[Array], values: Array | None) -> list[Array]:
    """Tests of membership as chains of tests for equality, one per member, which share the true branch."""
    features, splits, modes, children, tracks = (np.array(a) for a in nodes)
    at = np.flatnonzero(modes == MEMBER)
    given = np.zeros(0, splits.dtype) if values is None else values.reshape(-1)
    ends = np.flatnonzero(np.isnan(given))
    sets = np.split(given, ends)
    sets = [s[~np.isnan(s)] for s in sets][: len(at)]
    if len(sets) != len(at):
        raise ModelError(f"membership_values has {len(sets)} sets for {len(at)} nodes of mode BRANCH_MEMBER")
    more: list[Array] = []
    fresh = len(features)
    copies: list[tuple[int, float, int]] = []  # node copied, its member, its false branch
    for node, members in zip(at, sets, strict=True):
        modes[node] = EQUAL
        if not len(members):  # never a member: both branches are the false one, but for NaN
            splits[node] = np.nan
            continue
        splits[node] = members[0]
        last = children[node, 0]
        if len(members) > 1:
            children[node, 0] = fresh + len(copies)
        for k, member in enumerate(members[1:], 1):
            end = last if k == len(members) - 1 else fresh + len(copies) + 1
            copies.append((int(node), float(member), int(end)))
    if not copies:
        return [features, splits, modes, children, tracks]
    own = np.array([c[0] for c in copies])
    more = [
        features[own], np.array([c[1] for c in copies], splits.dtype), np.full(len(own), EQUAL, modes.dtype),
        np.stack([np.array([c[2] for c in copies]), children[own, 1]], 1), tracks[own],
    ]  # fmt: skip
    return [np.concatenate(pair) for pair in zip((features, splits, modes, children, tracks), more, strict=True)]


# ---- before


def floats(n: Node, name: str) -> Array:
    """A list of floats, or the tensor of doubles that may stand for it."""
    given = n.attr(f"{name}_as_tensor")
    return np.asarray(n.attr(name, []), np.float32) if given is None else given.reshape(-1)


def old_forest(n: Node, prefix: str) -> tuple[Forest, Votes]:
    """The nodes, and the votes with attributes that start with `prefix`."""
    trees, ids = (np.asarray(n.required(f"nodes_{k}"), np.int64) for k in ("treeids", "nodeids"))
    names = n.required("nodes_modes")
    count = len(trees)
    if len(ids) != count or len(names) != count or not count:
        raise ModelError("its nodes have attributes of different lengths")
    known = {name: i for i, name in enumerate(MODES)} | {"LEAF": MEMBER}
    if unknown := set(names) - set(known):
        raise ModelError(f"nodes_modes has {', '.join(sorted(unknown))}")
    modes = np.array([known[name] for name in names])
    span = int(ids.max()) + 1
    if min(int(ids.min()), int(trees.min())) < 0:
        raise ModelError("a node or tree has a number below 0")
    keys = trees * span + ids
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if (np.diff(ordered) == 0).any():
        raise ModelError("two nodes of a tree have the same number")

    def position(tree: Array, node: Any) -> Array:
        """Where nodes of these trees are. Raises ModelError for one that is not there."""
        wanted = tree * span + np.asarray(node, np.int64)
        found = np.minimum(np.searchsorted(ordered, wanted), count - 1)
        if (np.asarray(node) >= span).any() or (ordered[found] != wanted).any():
            raise ModelError("a tree names a node that it has not")
        return order[found]

    leaf = modes == MEMBER
    inner = np.flatnonzero(~leaf)
    place = np.empty(count, np.int64)  # where a node is among interior ones, then leaves
    place[inner], place[leaf] = np.arange(len(inner)), np.arange(len(inner), count)
    lists = {k: np.asarray(n.required(f"nodes_{k}"), np.int64) for k in ("falsenodeids", "truenodeids", "featureids")}
    values = floats(n, "nodes_values")
    tracks = np.asarray(n.attr("nodes_missing_value_tracks_true", []), np.int64)
    if any(len(a) != count for a in (*lists.values(), values)) or len(tracks) not in (0, count):
        raise ModelError("its nodes have attributes of different lengths")
    children = [place[position(trees[inner], lists[k][inner])] for k in ("falsenodeids", "truenodeids")]
    _, first = np.unique(trees, return_index=True)
    found = forest(
        lists["featureids"][inner], values[inner], modes[inner], tracks[inner] if len(tracks) else [],
        np.stack(children, 1), place[first], count - len(inner),
    )  # fmt: skip
    where = position(np.asarray(n.required(f"{prefix}_treeids"), np.int64), n.required(f"{prefix}_nodeids"))
    weights, targets = floats(n, f"{prefix}_weights"), np.asarray(n.required(f"{prefix}_ids"), np.int64)
    if not len(weights) == len(targets) == len(where):
        raise ModelError("its votes have attributes of different lengths")
    heard = leaf[where]  # an interior node has no vote
    return found, Votes(place[where][heard] - len(inner), targets[heard], weights[heard])


def typed(n: Node, trees: Forest) -> Value:
    """The input, in the type in which it is compared."""
    x = matrix(n, n.input(0))
    wide = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    wide = np.promote_types(wide, trees.thresholds.dtype)
    trees.thresholds = trees.thresholds.astype(wide)
    return n.cast(x, wide)


def regressor(n: Node) -> Value:
    trees, votes = old_forest(n, "target")
    x = typed(n, trees)
    count, aggregate = n.required("n_targets"), n.attr("aggregate_function", "SUM")
    if aggregate not in AGGREGATES:
        raise ModelError(f"aggregate_function is {aggregate!r}")
    found = scores(n, reached(n, x, trees), votes, count, trees.leaves, aggregate)
    found = with_base(n, found, floats(n, "base_values"), count)
    return n.cast(transformed(n, found, n.attr("post_transform", "NONE")), np.float32)


def with_base(n: Node, found: Value, base: Array, count: int) -> Value:
    """The scores with `base` added, if there is one for each target."""
    if len(base) not in (0, 1, count):
        raise ModelError(f"{len(base)} base_values for {count} targets")
    return n.emit("Add", found, n.constant(base.astype(found.dtype))) if len(base) == count else found


def classifier(n: Node) -> tuple[Value | None, Value]:
    """The label of the best class, and the scores."""
    trees, votes = old_forest(n, "class")
    x = typed(n, trees)
    labels = class_labels(n, "classlabels_int64s", "classlabels_strings")
    count, transform, base = len(labels), n.attr("post_transform", "NONE"), floats(n, "base_values")
    leaf = reached(n, x, trees)
    voted = np.unique(votes.targets)
    if count == 2 and len(voted) == 1:
        return binary(n, leaf, votes, trees, labels, transform, base)
    found = with_base(n, scores(n, leaf, votes, count, trees.leaves, "SUM"), base, count)
    ranked = found
    if not len(base) and len(votes.weights) and float(votes.weights.min()) <= 0:
        # only classes that a leaf has voted for are chosen, however low their scores
        ones = Votes(votes.leaves, votes.targets, np.ones_like(votes.weights))
        heard = scores(n, leaf, ones, count, trees.leaves, "SUM")
        some = n.emit("Greater", heard, n.like(0, heard))
        ranked = n.emit("Where", some, found, n.like(-np.inf, found))
    chosen = labelled(n, best(n, ranked), labels) if n.wants(0) else None
    return chosen, n.cast(transformed(n, found, transform), np.float32)


def binary(
    n: Node, leaf: Value, votes: Votes, trees: Forest, labels: Any, transform: str, base: Array
) -> tuple[Value | None, Value]:
    """Two classes, of which one has votes: they say how much for the second one, whichever they are for. The
    specification leaves this open; so does ONNX Runtime: a score above 0 is the second class, or above 1/2 if there are
    no negative votes, and votes for class 0 are given for both classes."""
    only = Votes(votes.leaves, np.zeros_like(votes.targets), votes.weights)
    score = scores(n, leaf, only, 1, trees.leaves, "SUM")
    positive = not len(votes.weights) or float(votes.weights.min()) >= 0
    if len(base):
        score = n.emit("Add", score, n.constant(base[-1:].astype(score.dtype)))
    chosen = labelled(n, above(n, score, 0.5 if positive else 0.0), labels)
    if int(votes.targets[0]) == 1:
        zero = n.emit("Mul", score, n.like(0, score))
        pair = transformed(n, n.emit("Concat", [zero, score], axis=1), transform)
    elif len(base) == 2:
        pair = transformed(n, both_classes(n, score, "negated"), transform)
    elif transform == "PROBIT":
        raise UnsupportedError("post_transform PROBIT of one score for two classes is not defined")
    elif transform == "LOGISTIC":
        pair = n.emit("Sigmoid", both_classes(n, score, "negated"))
    else:
        pair = both_classes(n, score, "from one" if positive else "negated")
    return chosen, n.cast(pair, np.float32)


DOMAIN = "ai.onnx.ml"
RULES: Mapping[str, Rule] = {
    "TreeEnsemble": tree_ensemble,
    "TreeEnsembleClassifier": classifier,
    "TreeEnsembleRegressor": regressor,
}
