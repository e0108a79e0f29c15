"""A model in pieces: what needs Python node by node, and between them models that can be compiled.

Every piece is an ONNX model of its own, so that a compiled one goes the ordinary way. As many nodes as the order of the
data allows share one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper

from .check import inferred_types
from .inputs import InputShapes, Shapes, dims_of
from .opaque import is_open
from .order import live, names_used
from .source import Source, dtype_of, opsets

LABELS = 3  # opset of ai.onnx.ml in which LabelEncoder takes both kinds of labels


@dataclass(frozen=True)
class Piece:
    """Part of a model, with the names that it takes and gives. `reason`: why it needs Python, "" for a compiled one."""

    source: Source
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    node: str = ""
    operator: str = ""
    reason: str = ""


def cut(source: Source, python: Mapping[int, str], known: Set[str], found: Mapping[str, TypeProto]) -> list[Piece]:
    """The pieces in the order in which they run; `python` says why, for the position of each node that needs it.

    `found` has types that the importer knows, beyond what ONNX infers. Values in `known`, constants and what follows
    from sizes, are computed anew in every piece that uses them, so that they are known there too."""
    model = source.model
    nodes = [(node, reason) for i, n in enumerate(model.graph.node) for node, reason in _apart(n, python.get(i, ""), i)]
    outputs = [output.name for output in model.graph.output]
    order = live([node for node, _ in nodes], outputs)
    makers = {name: position for position, (i, _, _) in enumerate(order) for name in nodes[i][0].output}
    groups = [
        (group if reason else _with_makers(group, [nodes[i][0] for i, _, _ in order], makers, known), reason)
        for group, reason in _groups([nodes[i] for i, _, _ in order])
    ]
    made = [{name for node in group for name in node.output if name} for group, _ in groups]
    used = [set().union(*map(names_used, group)) - own for (group, _), own in zip(groups, made, strict=True)]
    types = completed(inferred_types(model), found)
    pieces: list[Piece] = []
    given = {**_infos(types), **{info.name: info for info in model.graph.input}}
    wanted = [set(outputs).union(*(used[i + 1 :])) for i in range(len(groups))]
    there: set[str] = set()
    for i, (group, reason) in enumerate(groups):
        gives_here = (made[i] & wanted[i]) - there
        there |= gives_here
        own, takes, gives = _piece(model, group, used[i], sorted(gives_here), given)
        node, operator = (group[0].name, group[0].op_type) if reason else ("", "")
        pieces.append(Piece(replace(source, model=own), takes, gives, node, operator, reason))
    return pieces


def _apart(node: NodeProto, reason: str, index: int) -> Iterable[tuple[NodeProto, str]]:
    """A node and why it needs Python. A classifier whose labels are strings is two: its numbers are compiled."""
    named = NodeProto()
    named.CopyFrom(node)
    named.name = node.name or f"{node.op_type}_{index}"
    labels = [a for a in node.attribute if a.name in ("classlabels_strings", "classlabels_string")]
    if not reason or "Classifier" not in node.op_type or not labels or not node.output[0]:
        return [(named, reason)]
    count = len(labels[0].strings)
    hidden = f"{node.output[0]}/label"
    named.attribute.remove(labels[0])
    numbers = "classlabels_ints" if node.op_type in ("LinearClassifier", "SVMClassifier") else "classlabels_int64s"
    named.attribute.append(helper.make_attribute(numbers, range(count)))
    named.output[0] = hidden
    names = helper.make_node(
        "LabelEncoder", [hidden], [node.output[0]], f"{named.name}/labels", domain="ai.onnx.ml",
        keys_int64s=range(count), values_strings=list(labels[0].strings),
    )  # fmt: skip
    return [(named, ""), (names, "its result is a tensor of strings")]


def _with_makers(
    group: Sequence[NodeProto], nodes: Sequence[NodeProto], makers: Mapping[str, int], known: Set[str]
) -> list[NodeProto]:
    """The nodes of a group, and those that make the known values they use."""
    wanted = {makers[name] for node in group for name in node.output if name}
    pending = [name for node in group for name in names_used(node)]
    while pending:
        name = pending.pop()
        if name in known and name in makers and makers[name] not in wanted:
            wanted.add(makers[name])
            pending += names_used(nodes[makers[name]])
    return [nodes[i] for i in sorted(wanted)]


def _groups(nodes: Sequence[tuple[NodeProto, str]]) -> list[tuple[list[NodeProto], str]]:
    """Nodes that make up a piece, in an order in which the pieces can run.

    A node's level is the number of changes between compiled and Python on the longest way to it; compiled nodes of one
    level are one piece."""
    level: dict[str, int] = {}
    compiled: dict[int, list[NodeProto]] = {}
    python: dict[int, list[tuple[list[NodeProto], str]]] = {}
    for node, reason in nodes:
        # even levels are compiled, odd ones Python
        found = max((level[name] for name in names_used(node) if name in level), default=0)
        found += found % 2 != bool(reason)
        for name in node.output:
            level[name] = found
        if reason:
            python.setdefault(found, []).append(([node], reason))
        else:
            compiled.setdefault(found, []).append(node)
    groups: list[tuple[list[NodeProto], str]] = []
    for found in sorted({*compiled, *python}):
        groups += [(compiled[found], "")] if found in compiled else python[found]
    return groups


def completed(types: Mapping[str, TypeProto], found: Mapping[str, TypeProto]) -> dict[str, TypeProto]:
    """The types, with the sizes of `found` where they lack some."""
    whole = dict(types)
    for name, more in found.items():
        dims, known = (dims_of(types[name]) if name in types else None), dims_of(more)
        if known is None or (name in types and types[name].tensor_type.elem_type != more.tensor_type.elem_type):
            continue
        whole[name] = TypeProto()
        whole[name].CopyFrom(more)
        if dims is not None and len(dims) == len(known):
            sizes = [b if b is not None else a for a, b in zip(dims, known, strict=True)]
            whole[name] = helper.make_tensor_type_proto(more.tensor_type.elem_type, sizes)
    return whole


def _infos(types: Mapping[str, TypeProto]) -> dict[str, ValueInfoProto]:
    return {name: helper.make_value_info(name, type_) for name, type_ in types.items()}


def _piece(
    model: ModelProto, nodes: Sequence[NodeProto], names: set[str], outputs: Sequence[str],
    infos: Mapping[str, ValueInfoProto],
) -> tuple[ModelProto, tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """A model of these nodes, which takes `names` and gives `outputs`."""
    weights = [t for t in model.graph.initializer if t.name in names]
    sparse = [t for t in model.graph.sparse_initializer if t.values.name in names]
    inputs = sorted(names - {t.name for t in weights} - {t.values.name for t in sparse})
    graph = GraphProto(name=model.graph.name, node=nodes, initializer=weights, sparse_initializer=sparse)
    graph.input.extend(infos.get(name) or ValueInfoProto(name=name) for name in inputs)
    graph.output.extend(infos.get(name) or ValueInfoProto(name=name) for name in outputs)
    piece = ModelProto(ir_version=model.ir_version, graph=graph, functions=model.functions)
    versions = opsets(model)
    if any(node.op_type == "LabelEncoder" for node in nodes):
        versions["ai.onnx.ml"] = max(versions.get("ai.onnx.ml", LABELS), LABELS)
    piece.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    return piece, tuple(inputs), tuple(outputs)


# ---- inputs that say too little


class Tensor(Protocol):
    """What is known of an array when it is there; `dtype` is None for strings."""

    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def rank(self) -> int: ...


Structure: TypeAlias = "Tensor | Sequence[Tensor] | None"  # an array, a sequence of them, an empty optional


def fixed(model: ModelProto, shapes: Shapes) -> ModelProto:
    """The model with these sizes written into its inputs. Raises InputError for sizes that contradict it."""
    sizes = InputShapes(model.graph, shapes)
    found = ModelProto()
    found.CopyFrom(model)
    constants = {t.name for t in model.graph.initializer}
    for info in found.graph.input:
        known = info.name in shapes or info.type.tensor_type.HasField("shape")
        if info.name in constants or info.type.WhichOneof("value") != "tensor_type" or not known:
            continue
        dims = [s.constant if s.constant is not None else str(s) for s in sizes.of(info)]
        info.CopyFrom(helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, dims))
    return found


def open_inputs(model: ModelProto) -> list[str]:
    """Inputs of which too little is known to compile for: sequences, optionals, tensors of any rank."""
    constants = {t.name for t in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in constants]
    return [i.name for i in infos if is_open(i.type) or not _ranked(i.type)]


def _ranked(type_: TypeProto) -> bool:
    return type_.WhichOneof("value") != "tensor_type" or type_.tensor_type.HasField("shape")


def settled(model: ModelProto, structures: Mapping[str, Structure]) -> ModelProto:
    """The model for inputs of these structures: an element of sequence `x` is the input `x[0]`."""
    found = ModelProto()
    found.CopyFrom(model)
    del found.graph.input[:], found.graph.node[:]
    for info in model.graph.input:
        if info.name not in structures:
            found.graph.input.append(info)
            continue
        structure = structures[info.name]
        if structure is None:
            found.graph.node.append(helper.make_node("Optional", [], [info.name], type=info.type))
        elif not isinstance(structure, Sequence):
            found.graph.input.append(_tensor_info(info.name, structure))
        elif not structure:
            found.graph.node.append(helper.make_node("SequenceEmpty", [], [info.name]))
        else:
            names = [f"{info.name}[{i}]" for i in range(len(structure))]
            found.graph.input.extend(map(_tensor_info, names, structure))
            found.graph.node.append(helper.make_node("SequenceConstruct", names, [info.name]))
    found.graph.node.extend(model.graph.node)
    return found


def _tensor_info(name: str, tensor: Tensor) -> ValueInfoProto:
    code = TensorProto.STRING if tensor.dtype is None else helper.np_dtype_to_tensor_dtype(tensor.dtype)
    return helper.make_tensor_value_info(name, code, [None] * tensor.rank)


# ---- what inputs and outputs look like


@dataclass(frozen=True)
class Form:
    """An input or output: `dtype` is None for strings and where nothing is known, `shape` for an unknown rank."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str, ...] | None
    sequence: bool = False
    optional: bool = False
    free: bool = False  # a map, or nothing is known

    @property
    def plain(self) -> bool:
        """True for a tensor of known rank."""
        return self.shape is not None and not (self.sequence or self.optional or self.free)


def form_of(info: ValueInfoProto) -> Form:
    """The form of an input or output. Raises UnsupportedError for an element type that ircc has not."""
    type_ = info.type
    if optional := type_.WhichOneof("value") == "optional_type":
        type_ = type_.optional_type.elem_type
    if sequence := type_.WhichOneof("value") == "sequence_type":
        type_ = type_.sequence_type.elem_type
    if type_.WhichOneof("value") != "tensor_type":
        return Form(info.name, None, None, sequence, optional, True)
    code = type_.tensor_type.elem_type
    dtype = None if code == TensorProto.STRING else dtype_of(code, f"'{info.name}'")
    dims = dims_of(type_)
    shape = None if dims is None else tuple(f"{info.name}_d{i}" if d is None else d for i, d in enumerate(dims))
    return Form(info.name, dtype, shape, sequence, optional)
