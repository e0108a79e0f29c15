"""ONNX models in, graph modules out.

    module = import_model("model.onnx", shapes={"N": 1})
    report = check_model("model.onnx")

`import_model` reads opsets 7 to the newest that the installed onnx knows. Sizes that the model leaves open are symbols;
initializers that are also inputs are constants (the default value is the value).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx.inliner
from onnx import ModelProto, TensorProto
from onnx.numpy_helper import to_array
from xdsl.dialects.builtin import ModuleOp

from ...errors import Issue, ModelError, NeedsPython, UnsupportedError
from .check import check_structure, contradicts_itself
from .cut import Form, Piece, Structure, cut, fixed, form_of, open_inputs, settled
from .digest import digest
from .evaluate import PythonNode
from .importer import IN_PYTHON, UNEXPECTED, Importer
from .inputs import Shapes
from .report import Report
from .source import Source, load, read_weight

__all__ = [
    "Form", "Model", "Piece", "PythonNode", "Report", "Shapes", "Source", "Whole", "check_model",
    "digest", "import_model", "prepare", "read_weight",
]  # fmt: skip

PYTHON = "not all of this model can be compiled ahead of its first run"
Model = str | os.PathLike[str] | bytes | ModelProto | Source


def import_model(source: Model, *, shapes: Shapes | None = None) -> ModuleOp:
    """The model as a module of the graph dialect; every type in it follows from its operator's rule.

    `shapes` fixes sizes: `{"x": (1, 3, 224, 224)}` for an input, `{"N": 1}` for a symbol of the model. Raises
    ModelError for a model that is damaged or breaks ONNX's rules, UnsupportedError with the list of all obstacles for
    one that ircc cannot compile (NeedsPython: it runs, in Python or from its first run on), InputError for sizes that
    contradict the model."""
    loaded, importer, module = _imported(source, shapes)
    if module is None:
        if importer.invalid is not None:
            raise importer.invalid
        if (doubt := importer.doubt) is not None and contradicts_itself(loaded.model):
            raise ModelError(doubt.message, node=doubt.node, operator=doubt.operator, hint=doubt.hint)
        if not (issues := importer.report.issues):
            raise NeedsPython(PYTHON, importer.report.python, hint=IN_PYTHON)
        raise UnsupportedError(issues=issues)
    return module


def check_model(source: Model, *, shapes: Shapes | None = None) -> Report:
    """Everything about the model that ircc cannot compile, in one report; a broken model is an issue too.

    Raises InputError for sizes that contradict the model."""
    try:
        return _imported(source, shapes)[1].report
    except (ModelError, UnsupportedError) as error:
        found = Issue(error.node or "", error.operator or "", 0, error.message, error.hint or "")
        return Report(os.fspath(source) if isinstance(source, str | os.PathLike) else "", issues=[found])


@dataclass(frozen=True)
class Whole:
    """A model that is not compiled as it stands, with its functions inlined and its sizes fixed."""

    source: Source
    inputs: Sequence[Form]
    outputs: Sequence[Form]
    open: Sequence[str]  # inputs whose structure is known when it runs first

    def settled(self, structures: Mapping[str, Structure]) -> Source:
        """The model for open inputs of these structures."""
        return replace(self.source, model=settled(self.source.model, structures))

    def pieces(self) -> list[Piece]:
        """What is compiled and what needs Python, in the order in which it runs."""
        importer = _imported(self.source, None)[1]
        return cut(self.source, importer.python, importer.known, importer.types_found)

    def constants(self) -> dict[str, Any]:
        """Outputs that are initializers."""
        names = {output.name for output in self.source.model.graph.output}
        found = [t for t in self.source.model.graph.initializer if t.name in names]
        strings = TensorProto.STRING
        return {t.name: to_array(t) if t.data_type == strings else self.source.array(t) for t in found}


def prepare(source: Model, shapes: Shapes) -> Whole:
    """The model, ready to be taken apart. Raises what `import_model` raises."""
    loaded = load(source)
    model = fixed(loaded.model, shapes)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    constants = {t.name for t in model.graph.initializer}
    inputs = [form_of(info) for info in model.graph.input if info.name not in constants]
    outputs = [form_of(info) for info in model.graph.output]
    return Whole(replace(loaded, model=model), inputs, outputs, open_inputs(model))


def _imported(source: Model, shapes: Shapes | None) -> tuple[Source, Importer, ModuleOp | None]:
    """The importer after its run, and the module if there are no issues."""
    try:
        loaded = load(source)
        check_structure(loaded.model)
        importer = Importer(loaded, shapes)
        return loaded, importer, importer.run()
    except UNEXPECTED as error:  # names that are no text, and whatever else only a damaged file has
        raise ModelError(f"the model is damaged: {type(error).__name__}: {error}") from error
