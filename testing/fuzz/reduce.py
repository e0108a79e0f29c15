"""Making a failing model small: nodes are dropped, what they gave becomes an input, while it fails in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from .draw import Array
from .evaluate import Verdict, judge
from .generate import Case
from .peers import finish, info, reads

Judge = Callable[[ModelProto, Mapping[str, Array]], Verdict]


def reduced(case: Case, verdict: Verdict, judged: Judge = judge) -> tuple[ModelProto, dict[str, Array], Verdict]:
    """The smallest model found that fails as the case does, its inputs and the verdict on it."""
    values = case.tracks.values
    nodes = list(case.model.graph.node)
    best = (case.model, case.inputs, verdict)
    for kept in _candidates(nodes, verdict):
        found = _fails(case, kept, values, verdict, judged)
        if found is not None:
            nodes, best = kept, found
            break
    changed = True
    while changed and len(nodes) > 1:
        changed = False
        for node in list(nodes):
            kept = [n for n in nodes if n is not node]
            found = _fails(case, kept, values, best[2], judged) if kept else None
            if found is not None:
                nodes, best, changed = kept, found, True
    return _plain(best, judged)


def _candidates(nodes: Sequence[NodeProto], verdict: Verdict) -> list[list[NodeProto]]:
    """One node, then those that lead to the output that is wrong."""
    wanted, back = {verdict.output}, list[NodeProto]()
    for node in reversed(nodes):
        if wanted & set(node.output) or not verdict.output:
            wanted |= set(reads(node))
            back.insert(0, node)
    return [*([node] for node in back), back]


def _fails(
    case: Case, nodes: Sequence[NodeProto], values: Mapping[str, Array], verdict: Verdict, judged: Judge
) -> tuple[ModelProto, dict[str, Array], Verdict] | None:
    """The model of these nodes alone, if it fails in the same way."""
    made = {name for node in nodes for name in node.output if name}
    taken = dict.fromkeys(n for node in nodes for n in reads(node) if n not in made)
    read = {name for node in nodes for name in reads(node)}
    constants = [t for t in case.model.graph.initializer if t.name in taken]
    fixed = {t.name for t in constants}
    there = {made.name: made for made in case.model.graph.input}
    infos = [
        there.get(n) or info(n, values[n])
        for n in taken if n not in fixed
    ]  # fmt: skip
    outputs = [n for node in nodes for n in node.output if n and (n not in read or n == verdict.output)]
    model = finish(nodes, infos, constants, outputs, values, case.model.opset_import[0].version)
    inputs = {n: values[n] for n in taken if n not in fixed}
    found = judged(model, inputs)
    return (model, inputs, found) if found.failed and found.status == verdict.status else None


def _plain(
    best: tuple[ModelProto, dict[str, Array], Verdict], judged: Judge
) -> tuple[ModelProto, dict[str, Array], Verdict]:
    """With numbers for symbols, if it fails then too."""
    model, inputs, verdict = best
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for given in fixed.graph.input:
        for dim, size in zip(given.type.tensor_type.shape.dim, inputs[given.name].shape, strict=True):
            dim.dim_value = size
    if fixed == model:
        return best
    found = judged(fixed, inputs)
    return (fixed, inputs, found) if found.failed and found.status == verdict.status else best


def write(folder: Path, name: str, model: ModelProto, inputs: Mapping[str, Array], text: str) -> Path:
    """`name`.onnx with the description in it, and `name`.json with the inputs' elements as tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    model.doc_string = text
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    tensors = {
        k: numpy_helper.from_array(np.array(v, order="C"), k).SerializeToString().hex() for k, v in inputs.items()
    }
    path.with_suffix(".json").write_text(json.dumps({"description": text, "inputs": tensors}, indent=1) + "\n")
    return path


def read(path: Path) -> tuple[ModelProto, dict[str, Array], str]:
    """What `write` wrote: the model, its inputs and the description."""
    found = json.loads(path.with_suffix(".json").read_text())
    inputs = {
        k: numpy_helper.to_array(onnx.TensorProto.FromString(bytes.fromhex(v))) for k, v in found["inputs"].items()
    }
    return onnx.load(path), inputs, found["description"]
