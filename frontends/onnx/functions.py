"""Operators without a rule of their own, as the function bodies that ONNX or the model gives for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TypeProto

from .builder import Held, Value
from .source import ONNX_TYPES

Key = tuple[str, str, str]  # domain, name, overload


def canonical(domain: str) -> str:
    """ONNX's own domain has two names."""
    return "" if domain == "ai.onnx" else domain


def local_functions(model: ModelProto) -> dict[Key, FunctionProto]:
    """The functions that the model defines itself."""
    return {(canonical(f.domain), f.name, f.overload): f for f in model.functions}


def type_proto(value: Held, symbols: bool = True) -> TypeProto:
    """A tensor's type as ONNX says it, symbolic sizes by their text or left out; an empty type for anything else."""
    proto = TypeProto()
    if isinstance(value, Value):
        proto.tensor_type.elem_type = ONNX_TYPES[value.dtype]
        shape = proto.tensor_type.shape
        shape.SetInParent()
        for size in value.sizes:
            dim = shape.dim.add()
            if (k := size.constant) is not None:
                dim.dim_value = k
            elif symbols:
                dim.dim_param = str(size)
    return proto


OLDEST = 6  # opset of ai.onnx whose operators the rules know; of older ones only what did not change until then


def is_too_old(operator: str, domain: str, opset: int) -> bool:
    """Whether the operator, as this opset has it, is older than what the rules know."""
    if domain or opset >= OLDEST:
        return False
    old, known = schema_of(operator, domain, opset), schema_of(operator, domain, OLDEST)
    return old is not None and known is not None and old.since_version != known.since_version


def schema_of(operator: str, domain: str, opset: int) -> Any:
    """ONNX's OpSchema of an operator at an opset, None when it has none. (Its type stubs lack all about bodies.)"""
    try:
        return onnx.defs.get_schema(operator, opset, domain)
    except onnx.defs.SchemaError:
        return None


def has_body(operator: str, domain: str, opset: int) -> bool:
    """True when ONNX gives a function body for the operator."""
    schema = schema_of(operator, domain, opset)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def schema_function(
    operator: str,
    domain: str,
    opset: int,
    attributes: Mapping[str, AttributeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
    values: Sequence[Held],
) -> tuple[FunctionProto, dict[str, AttributeProto]] | None:
    """The body that ONNX gives for an operator, and its attributes with their defaults; None when it gives none."""
    schema = schema_of(operator, domain, opset)
    if schema is None:
        return None
    defaults = {k: a.default_value for k, a in schema.attributes.items() if a.default_value.type}
    resolved = {**defaults, **attributes}
    body: bytes | None = None
    if schema.has_function:
        # a body is written for an opset and holds until a newer one is written
        body = schema.get_function_with_opset_version(_newest(schema.function_opset_versions, opset))
    elif schema.has_context_dependent_function:
        node = NodeProto(op_type=operator, domain=domain, input=inputs, output=outputs)
        node.attribute.extend(attributes.values())
        types = [type_proto(v).SerializeToString() for v in values]
        body = schema.get_context_dependent_function_with_opset_version(
            _newest(schema.context_dependent_function_opset_versions, opset), node.SerializeToString(), types
        )
    if not body:
        return None
    function = FunctionProto.FromString(body)
    return (function, resolved) if function.node else None


def _newest(versions: Sequence[int], opset: int) -> int:
    return max((v for v in versions if v <= opset), default=min(versions))
