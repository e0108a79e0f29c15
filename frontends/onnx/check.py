"""ONNX's own checker, asked about everything but the weights."""

from __future__ import annotations

from contextlib import suppress

import onnx
from onnx import ModelProto, TensorProto, TypeProto

from ...errors import ModelError
from .order import live
from .rules_contrib import MISPLACED

SMALL = 1024  # bytes of a tensor that the checker may see


def check_structure(model: ModelProto) -> None:
    """Raise ModelError when the model breaks ONNX's rules. Names, attributes and operators are checked; types are not.

    Quirks of real files are let pass: operators of ONNX Runtime in ONNX's domain, an `ir_version` newer than the
    installed onnx, nodes in another order than that of their use, weights that are no inputs in old files, outputs
    without type or shape."""
    if not model.HasField("graph"):
        raise ModelError("the file holds no graph: it is not an ONNX model, or is damaged")
    light = without_weights(model)
    try:
        onnx.checker.check_model(light)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the model breaks the rules of ONNX: {first_line(error)}") from None
    except (RuntimeError, ValueError, onnx.defs.SchemaError) as error:
        raise ModelError(f"the model cannot be checked: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What an error of onnx says, without its context."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def contradicts_itself(model: ModelProto) -> bool:
    """True when ONNX's own shape and type inference finds a mistake in the model."""
    try:
        onnx.shape_inference.infer_shapes(for_inference(model), check_type=True, strict_mode=True)
    except Exception:  # of many types, all of which say so
        return True
    return False


def inferred_types(model: ModelProto) -> dict[str, TypeProto]:
    """Types of values as ONNX infers them or as the model declares them, by name: for a report, never for code."""
    light = for_inference(model)
    light.graph.value_info.extend(model.graph.value_info)
    with suppress(Exception):  # of many types: then what is declared is all there is
        light = onnx.shape_inference.infer_shapes(light)
    return {info.name: info.type for info in (*light.graph.value_info, *light.graph.output)}


def for_inference(model: ModelProto) -> ModelProto:
    """A copy for type inference: as the checker's, but an input or output of unknown shape has none."""
    light = without_weights(model)
    for whole, copy in ((model.graph.input, light.graph.input), (model.graph.output, light.graph.output)):
        for given, info in zip(whole, copy, strict=False):  # behind the inputs come large weights
            if not given.type.tensor_type.HasField("shape"):
                info.type.tensor_type.ClearField("shape")
    return light


def without_weights(model: ModelProto) -> ModelProto:
    """A copy for the checker, in which large initializers are inputs."""
    light = ModelProto()
    light.ir_version = max(min(model.ir_version, onnx.IR_VERSION), 4)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph, out = model.graph, light.graph
    out.name = graph.name or "main"
    out.input.extend(graph.input)
    out.output.extend(graph.output)
    for info in (*out.input, *out.output):  # some exporters leave types of outputs to inference, and shapes
        if info.type.WhichOneof("value") is None:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
        if info.type.WhichOneof("value") == "tensor_type":
            info.type.tensor_type.shape.SetInParent()
    inputs = {i.name for i in graph.input}

    def moved(tensor: TensorProto, name: str) -> bool:
        """Makes an input of a large tensor."""
        if tensor.data_location != TensorProto.EXTERNAL and tensor.ByteSize() <= SMALL:
            return False
        if name not in inputs:
            out.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
        return True

    for tensor in graph.initializer:
        if not moved(tensor, tensor.name):
            out.initializer.append(tensor)
    out.sparse_initializer.extend(graph.sparse_initializer)
    everything = [name for node in graph.node for name in node.output]
    for _, node, _ in live(list(graph.node), everything):
        value = node.attribute[0] if node.op_type == "Constant" and len(node.attribute) == 1 else None
        if value is None or not value.HasField("t") or len(node.output) != 1 or not moved(value.t, node.output[0]):
            out.node.append(node)
            if node.op_type in MISPLACED and not node.domain:
                out.node[-1].domain = "com.microsoft"  # of which the checker knows nothing
    return light
