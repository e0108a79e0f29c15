"""Several cases side by side in one model: it is compiled once, which takes less time than one by one."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, ModelProto

from ...frontends.onnx import check_model
from .draw import Array
from .evaluate import Tracks, Verdict, judge
from .generate import Case
from .peers import graphs


def renamed(graph: GraphProto, prefix: str) -> GraphProto:
    """A copy in which every name starts with the prefix, but for symbols that say their size."""
    made = GraphProto()
    made.CopyFrom(graph)
    for node in made.node:
        node.input[:] = [prefix + name if name else "" for name in node.input]
        node.output[:] = [prefix + name if name else "" for name in node.output]
        for body in graphs(node):
            body.CopyFrom(renamed(body, prefix))
    for info in (*made.input, *made.output):
        info.name = prefix + info.name
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param and not dim.dim_param.startswith("s"):
                dim.dim_param = prefix + dim.dim_param
    for tensor in made.initializer:
        tensor.name = prefix + tensor.name
    return made


def packed(cases: Sequence[Case]) -> Case:
    """The cases, all of one opset, as one."""
    model, inputs, tracks = ModelProto(), dict[str, Array](), Tracks(copies=[{} for _ in cases[0].tracks.copies])
    model.CopyFrom(cases[0].model)
    model.graph.Clear()
    model.graph.name = "fuzz"
    for i, case in enumerate(cases):
        prefix = f"c{i}_"
        model.graph.MergeFrom(renamed(case.model.graph, prefix))
        model.graph.name = "fuzz"
        there = {made.domain for made in model.opset_import}
        model.opset_import.extend(made for made in case.model.opset_import if made.domain not in there)
        inputs.update({prefix + k: v for k, v in case.inputs.items()})
        tracks.values.update({prefix + k: v for k, v in case.tracks.values.items()})
        tracks.second.update({prefix + k: v for k, v in case.tracks.second.items()})
        tracks.exact.update(prefix + k for k in case.tracks.exact)
        for copy, given in zip(tracks.copies, case.tracks.copies, strict=True):
            copy.update({prefix + k: v for k, v in given.items()})
    return Case(cases[0].seed, model, inputs, tracks)


def judge_all(cases: Sequence[Case], at_once: int = 8) -> list[Verdict]:
    """The verdict on each case. Cases that agree with the reference together need no look of their own."""
    found: dict[int, Verdict] = {}
    groups: dict[int, list[int]] = {}
    for i, case in enumerate(cases):
        if not case.operators:
            found[i] = Verdict("unknown", "empty")
        elif len(cases) == 1 or not check_model(case.model).ok:
            found[i] = judge(case.model, case.inputs, case.tracks)
        else:
            groups.setdefault(case.model.opset_import[0].version, []).append(i)
    for group in groups.values():
        for k in range(0, len(group), at_once):
            part = group[k : k + at_once]
            one = packed([cases[i] for i in part])
            together = judge(one.model, one.inputs, one.tracks)
            for i in part:
                case, alone = cases[i], together.status != "pass" and len(part) > 1
                found[i] = judge(case.model, case.inputs, case.tracks) if alone else together
    return [found[i] for i in range(len(cases))]
