"""ONNX's own Backend API on top of a compile function: what `ircc.onnx_backend` is.

rep = ircc.onnx_backend.prepare(onnx.load("model.onnx"))
outputs = rep.run([x, y])          # a tuple, in the order of the model's outputs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep

from ..errors import BackendError, InputError

Array = np.ndarray[Any, Any]


class Engine(Protocol):
    """What a compile function returns."""

    @property
    def inputs(self) -> Sequence[Any]: ...
    @property
    def outputs(self) -> Sequence[Any]: ...
    @property
    def kernels(self) -> Sequence[Any]: ...
    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]: ...


class Rep(BackendRep):
    """A compiled model. `native`: every node runs as compiled code, as the engine's kernel map has it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def native(self) -> bool:
        """True when no kernel is interpreted. What was computed at compile time has no kernel."""
        return all(kernel.strategy not in ("reference", "python") for kernel in self.engine.kernels)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in the model's order, for inputs by name or in the model's order (one alone may stand bare).

        Raises InputError where they do not fit."""
        found = self.engine.run(self._named(inputs))
        return tuple(found[port.name] for port in self.engine.outputs)

    def _named(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return {str(name): as_input(value) for name, value in inputs.items()}
        given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        if len(given) != len(self.engine.inputs):
            raise InputError(f"{len(given)} inputs are given, the model has {len(self.engine.inputs)}")
        return {port.name: as_input(value) for port, value in zip(self.engine.inputs, given, strict=True)}


def as_input(value: Any) -> Any:
    """An array, a list of arrays for a sequence, None for an empty optional."""
    return value if value is None or isinstance(value, list) else np.asarray(value)


def make_backend(compile: Callable[..., Engine]) -> type[Backend]:
    """ONNX's Backend API by a function that compiles a model, called with keywords such as `threads` and `shapes`."""

    class OnnxBackend(Backend):
        """ircc as a backend of ONNX. `unsupported` matches what is raised for a model that ircc cannot compile yet."""

        unsupported = r"^UnsupportedError: "

        @classmethod
        def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Rep:
            """The model, compiled. Raises ircc.Error."""
            if not cls.supports_device(device):
                raise BackendError(f"device {device} is not supported", hint="ircc compiles for the CPU")
            return Rep(compile(model, **kwargs))

        @classmethod
        def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
            """Compile and run once."""
            return cls.prepare(model, device, **kwargs).run(inputs)

        @classmethod
        def run_node(
            cls,
            node: NodeProto,
            inputs: Any,
            device: str = "CPU",
            outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
            **kwargs: Any,
        ) -> tuple[Any, ...]:
            """Compile and run one node of the newest opset (or of `opset_version`) on arrays."""
            opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
            return cls.run_model(model_of(node, list(inputs), outputs_info, opset), inputs, device, **kwargs)

        @classmethod
        def supports_device(cls, device: str) -> bool:
            """True for the CPU."""
            return device.partition(":")[0] == "CPU"

    return OnnxBackend


def model_of(
    node: NodeProto, inputs: Sequence[Any], outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None, opset: int
) -> ModelProto:
    """A model of one node on inputs of these types. The outputs' types are inferred by ONNX where not given."""

    def info(name: str, dtype: Any, shape: Sequence[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    names = [name for name in node.input if name]
    arrays = [np.asarray(array) for array in inputs]
    if len(names) != len(arrays):
        raise InputError(f"{len(arrays)} inputs are given, the node has {len(names)}")
    given = {name: info(name, array.dtype, array.shape) for name, array in zip(names, arrays, strict=True)}
    outputs = [name for name in node.output if name]
    if outputs_info is not None:
        results = [info(name, *known) for name, known in zip(outputs, outputs_info, strict=True)]
    else:
        results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], node.op_type, list(given.values()), results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
    return model if outputs_info is not None else onnx.shape_inference.infer_shapes(model)
