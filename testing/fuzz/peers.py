"""Models made of parts, and what ONNX's reference and ONNX Runtime give for them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from .draw import DTYPES, Array
from .operators import misread, misrun

# what the reference says of an operator, or of attributes, that it has not
MISSING = ("is not implemented", "Not implemented", "only applies on 4D tensors")
ML, MICROSOFT, TRAINING = "ai.onnx.ml", "com.microsoft", "ai.onnx.preview.training"

onnxruntime.set_default_logger_severity(4)


def version(domain: str, opset: int) -> int:
    """The version of a domain that goes with an opset of ai.onnx."""
    return {ML: 5 if opset >= 21 else 3, MICROSOFT: 1, TRAINING: 1}.get(domain, opset)


def graphs(node: NodeProto) -> list[GraphProto]:
    """The bodies that a node holds."""
    found = [a.g for a in node.attribute if a.type == AttributeProto.GRAPH]
    return found + [g for a in node.attribute if a.type == AttributeProto.GRAPHS for g in a.graphs]


def reads(node: NodeProto) -> list[str]:
    """Names of the values that a node reads, those that its bodies take from around it among them; each once."""
    names = list(node.input)
    for graph in graphs(node):
        made = {v.name for v in (*graph.input, *graph.initializer)} | {n for sub in graph.node for n in sub.output}
        names += [n for n in (*(n for sub in graph.node for n in reads(sub)), *(o.name for o in graph.output))
                  if n not in made]  # fmt: skip
    return [name for name in dict.fromkeys(names) if name]


def domains(nodes: Sequence[NodeProto]) -> set[str]:
    return {n.domain for n in nodes} | {d for n in nodes for g in graphs(n) for d in domains(g.node)}


def info(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def finish(
    nodes: Sequence[NodeProto], inputs: Sequence[Any], constants: Sequence[TensorProto], outputs: Sequence[str],
    values: Mapping[str, Array], opset: int,
) -> ModelProto:  # fmt: skip
    """A model of these parts; its outputs have types where `values` has them, and no shapes."""
    infos = [onnx.ValueInfoProto(name=name) for name in outputs]
    for made in infos:
        if made.name in values:
            made.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(values[made.name].dtype)
    graph = helper.make_graph(list(nodes), "fuzz", list(inputs), infos, list(constants))
    imports = [helper.make_opsetid(d, version(d, opset)) for d in ("", *sorted(domains(nodes) - {""}))]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def run_node(node: NodeProto, given: Mapping[str, Array], opset: int) -> list[Array]:
    """The node's outputs by ONNX's reference, or by ONNX Runtime if the reference has it wrong or not at all. Raises
    whatever the reference raises."""
    inputs = {name: given[name] for name in reads(node)}
    outputs = [name for name in node.output if name]
    model = finish([node], [info(k, v) for k, v in inputs.items()], [], outputs, {}, opset)
    try:
        if why := "" if node.domain else misread(node, [*inputs.values()], opset):
            raise NotImplementedError(why)
        reference = ReferenceEvaluator(model)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            # the reference writes into inputs now and then
            return [np.asarray(f) for f in reference.run(outputs, {n: v.copy() for n, v in inputs.items()})]
    except Exception as error:
        missing = isinstance(error, NotImplementedError) or any(text in str(error) for text in MISSING)
        found = by_onnxruntime(model, inputs) if missing else None
        if found is None:
            raise
        return [found[name] for name in outputs]


def by_onnxruntime(model: ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array] | None:
    """ONNX Runtime's outputs without its optimisations; None where it cannot run the model, or has it wrong."""
    if any(misrun(node, inputs) for node in model.graph.node if not node.domain):
        return None
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    names = [output.name for output in model.graph.output]
    wide, copy = readable(model)
    try:
        session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
        given: dict[str, Any] = {}
        for name, array in inputs.items():
            if array.dtype.name == "bfloat16":
                code = helper.np_dtype_to_tensor_dtype(array.dtype)
                given[name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), code)
            else:
                given[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        found = session.run_with_ort_values([wide.get(name, name) for name in names], given)
        return {
            name: f.numpy().astype(DTYPES["bfloat16"]) if name in wide else f.numpy()
            for name, f in zip(names, found, strict=True)
        }
    except Exception:  # of many types, all of which say that it cannot
        return None


def readable(model: ModelProto) -> tuple[dict[str, str], ModelProto]:
    """The model with float copies of outputs in bfloat16, which ONNX Runtime does not hand out; the names of the
    copies by those of the outputs."""
    wide = {
        o.name: f"{o.name}_wide" for o in model.graph.output if o.type.tensor_type.elem_type == TensorProto.BFLOAT16
    }
    if not wide:
        return wide, model
    copy = ModelProto()
    copy.CopyFrom(model)
    for output in copy.graph.output:
        if output.name in wide:
            copy.graph.node.append(helper.make_node("Cast", [output.name], [wide[output.name]], to=TensorProto.FLOAT))
            output.name = wide[output.name]
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    return wide, copy
