"""What has no value while a model is imported: unknown results, and types that only Python computes with.

A node that has to do with strings, maps or images is not imported; the report lists it as one that needs Python, and
`cut.py` makes a step of its own of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto, TensorProto, TypeProto

from .builder import Held, ValueList
from .functions import canonical
from .source import subgraphs


class Unknown:
    """The result of a node that cannot be compiled: what uses it is not looked at again."""


@dataclass
class Opaque(Unknown):
    """A value that compiled code has no form for."""

    what: str  # "a tensor of strings"


# operators that are about what is no number, whatever their inputs
OPERATORS: Mapping[tuple[str, str], str] = {
    ("", "ImageDecoder"): "it decodes an image",
    ("", "RegexFullMatch"): "it works on strings",
    ("", "StringConcat"): "it works on strings",
    ("", "StringNormalizer"): "it works on strings",
    ("", "StringSplit"): "it works on strings",
    ("ai.onnx.ml", "CastMap"): "it works on a map",
    ("ai.onnx.ml", "CategoryMapper"): "it works on strings",
    ("ai.onnx.ml", "DictVectorizer"): "it works on a map",
    ("ai.onnx.ml", "ZipMap"): "it makes a map",
}
# attributes by which an operator that has to do with numbers elsewhere takes or makes strings
ATTRIBUTES = frozenset({
    "cats_strings", "classes_strings", "classlabels_strings", "keys_strings", "pool_strings", "string_vocabulary",
    "value_string", "value_strings", "values_strings",
})  # fmt: skip


def python_reason(node: NodeProto, attributes: Iterable[AttributeProto]) -> str:
    """Why a node needs Python whatever is computed before it; "" when it does not."""
    if found := OPERATORS.get((canonical(node.domain), node.op_type)):
        return found
    for attribute in attributes:
        strings = len(attribute.strings) or attribute.HasField("s") or attribute.t.data_type == TensorProto.STRING
        if attribute.name in ATTRIBUTES and strings:
            return f"its attribute {attribute.name} holds strings"
        if attribute.t.data_type == TensorProto.STRING:
            return f"its attribute {attribute.name} is a tensor of strings"
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.STRING:
            return "its result is a tensor of strings"
    return ""


def opaque_type(type_: TypeProto) -> str:
    """What a value of this type is when compiled code has no form for it; "" when it has."""
    kind = type_.WhichOneof("value")
    if kind == "tensor_type":
        return "a tensor of strings" if type_.tensor_type.elem_type == TensorProto.STRING else ""
    if kind == "sequence_type":
        return "a sequence of strings or maps" if opaque_type(type_.sequence_type.elem_type) else ""
    if kind == "optional_type":
        return opaque_type(type_.optional_type.elem_type)
    return "a map" if kind == "map_type" else "a sparse tensor" if kind == "sparse_tensor_type" else ""


def is_open(type_: TypeProto) -> bool:
    """True for a type that says too little to compile for: a sequence, an optional, or nothing at all."""
    return type_.WhichOneof("value") in (None, "sequence_type", "optional_type")


def body_reason(node: NodeProto, values: Iterable[Held | Unknown]) -> str:
    """Why control flow that is not decided while importing needs Python; "" when it does not.

    `values` are those that the node uses, in its bodies too."""
    graphs = [graph for _, graph in subgraphs(node)]
    if not graphs:
        return ""
    infos = [info for graph in graphs for info in (*graph.input, *graph.output)]
    for value in values:
        if isinstance(value, ValueList):
            return "a sequence passes through it, and what happens to it depends on data"
        if isinstance(value, Opaque):
            return f"it uses {value.what}"
    if any(info.type.WhichOneof("value") not in (None, "tensor_type") for info in infos):
        return "sequences or optionals pass through it, and what happens to them depends on data"
    for inner in (inner for graph in graphs for inner in graph.node):
        if reason := python_reason(inner, inner.attribute) or body_reason(inner, ()):
            return f"in its body, {inner.op_type}: {reason}"
    return ""
