"""One node in Python, by ONNX's reference evaluator: for what compiled code has no form for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from ...errors import EngineError, Error, InputError
from .source import Source

PACKAGES = {"ImageDecoder": ("PIL", "pillow")}  # what an operator needs, by module and by package


class PythonNode:
    """A model of one node, run by the reference. Raises Error, naming the package, where one is missing."""

    def __init__(self, source: Source) -> None:
        model = ModelProto()
        model.CopyFrom(source.model)
        for tensor in model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                tensor.CopyFrom(numpy_helper.from_array(source.array(tensor), tensor.name))
        (self.proto,) = model.graph.node
        if (needed := PACKAGES.get(self.proto.op_type)) is not None:
            module, package = needed
            try:
                import_module(module)
            except ImportError:
                raise EngineError(
                    f"it needs the Python package {package}",
                    node=self.proto.name, operator=self.proto.op_type, hint=f"pip install {package}",
                ) from None  # fmt: skip
        # the reference takes half a second to import, and most models do without
        reference = import_module("onnx.reference")
        self.outputs = [output.name for output in model.graph.output]
        if_, loop = (getattr(import_module(f"onnx.reference.ops.op_{n.lower()}"), n) for n in ("If", "Loop"))
        own = _operators(reference.op_run.OpRun, if_, loop)
        self.session = reference.ReferenceEvaluator(model, new_ops=own)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The node's outputs by name. Raises Error for inputs that the operator refuses."""
        try:
            found = self.session.run(None, dict(inputs))
        except Error:
            raise
        except Exception as error:  # the reference raises whatever NumPy and Python raise
            what = " ".join(str(error).split())[:300]
            raise InputError(
                f"its inputs do not fit: {type(error).__name__}: {what}",
                node=self.proto.name, operator=self.proto.op_type,
            ) from error  # fmt: skip
        return dict(zip(self.outputs, found, strict=True))


def _no_rows(type_: Any) -> Any:
    """What a loop collects that does not run: no rows of the declared type, whose unknown sizes are taken to be 0."""
    tensor = type_.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return np.empty([0, *(d.dim_value for d in tensor.shape.dim)], object if dtype.kind in "OU" else dtype)


def _operators(base: Any, if_: Any, loop: Any) -> list[type]:
    """Operators that the reference lacks or knows in part."""

    class ImageDecoder(base):
        """As the reference has it, but for images with a palette or transparency: all become 3 channels, or 1."""

        def _run(self, encoded: Any, pixel_format: str = "RGB") -> Any:
            mode = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}.get(pixel_format)
            if mode is None:
                raise InputError(f"pixel_format {pixel_format!r} is not one of RGB, BGR, Grayscale")
            with import_module("PIL.Image").open(io.BytesIO(encoded.tobytes())) as image:
                pixels = np.asarray(image.convert(mode)).reshape(image.height, image.width, -1)
            return (pixels[:, :, ::-1] if pixel_format == "BGR" else pixels,)

    class Optional(base):
        """Its element, or None: the reference wraps it in a list."""

        def _run(self, x: Any = None, type: Any = None) -> Any:
            return (x,)

        def _check_and_fix_outputs(self, res: Any) -> Any:
            return res

    class If(if_):
        """As the reference has it, but for branches that give an empty optional."""

        def _check_and_fix_outputs(self, res: Any) -> Any:
            return res

    class Loop(loop):
        """The reference takes no condition for one that does not hold, stacks rows along an axis that is there, and
        knows none where the loop does not run."""

        def _run(self, most: Any = None, condition: Any = None, *states: Any, context: Any = None, **more: Any) -> Any:
            more.pop("body", None)
            values, rows = dict(context or {}), [list[Any]() for _ in range(self.K)]
            going, i = condition is None or bool(np.asarray(condition).reshape(())), 0
            while going and (most is None or i < int(np.asarray(most).reshape(()))):
                given = [np.array(i, np.int64), np.array(going), *states]
                values.update(zip(self.body.input_names, given, strict=True))
                found = self._run_body(values, **more)
                going, states = bool(np.asarray(found[0]).reshape(())), tuple(found[1 : 1 + self.N])
                for row, value in zip(rows, found[1 + self.N :], strict=True):
                    row.append(value)
                i += 1
            types = self.body.output_types[1 + self.N :]
            return (*states, *(np.stack(r) if r else _no_rows(t) for r, t in zip(rows, types, strict=True)))

        def _check_and_fix_outputs(self, res: Any) -> Any:
            return res

    class SequenceInsert(base):
        """The reference takes the place after the last element for the first."""

        def _run(self, sequence: Any, tensor: Any, position: Any = None) -> Any:
            at = len(sequence) if position is None else int(np.asarray(position).reshape(()))
            if not -len(sequence) <= at <= len(sequence):
                raise InputError(f"position {at} lies outside of a sequence of {len(sequence)}")
            at += len(sequence) if at < 0 else 0
            return ([*sequence[:at], tensor, *sequence[at:]],)

    class ZipMap(base):
        """A map from labels to numbers for each row."""

        op_domain = "ai.onnx.ml"

        def _run(self, x: Any, classlabels_int64s: Any = None, classlabels_strings: Any = None) -> Any:
            labels = list(classlabels_strings or classlabels_int64s or ())
            rows = x.reshape(-1, len(labels)) if x.ndim < 2 else x
            return ([dict(zip(labels, row.tolist(), strict=True)) for row in rows],)

    return [If, ImageDecoder, Loop, Optional, SequenceInsert, ZipMap]
