"""ONNX models in, graph modules out.

    module = import_model("model.onnx", shapes={"N": 1})
    report = check_model("model.onnx")

`import_model` reads opsets 7 to the newest that the installed onnx knows. Sizes that the model leaves open are symbols;
initializers that are also inputs are constants (the default value is the value).
"""

from __future__ import annotations

import os

from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp

from ...errors import Issue, ModelError, UnsupportedError
from .check import check_structure, contradicts_itself
from .importer import UNEXPECTED, Importer
from .inputs import Shapes
from .report import Report
from .source import Source, load, read_weight

__all__ = ["Report", "check_model", "import_model", "read_weight"]

Model = str | os.PathLike[str] | bytes | ModelProto


def import_model(source: Model, *, shapes: Shapes | None = None) -> ModuleOp:
    """The model as a module of the graph dialect; every type in it follows from its operator's rule.

    `shapes` fixes sizes: `{"x": (1, 3, 224, 224)}` for an input, `{"N": 1}` for a symbol of the model. Raises
    ModelError for a model that is damaged or breaks ONNX's rules, UnsupportedError with the list of all obstacles for
    one that ircc cannot compile, InputError for sizes that contradict the model."""
    loaded, importer, module = _imported(source, shapes)
    if module is None:
        if importer.invalid is not None:
            raise importer.invalid
        if (doubt := importer.doubt) is not None and contradicts_itself(loaded.model):
            raise ModelError(doubt.message, node=doubt.node, operator=doubt.operator, hint=doubt.hint)
        raise UnsupportedError(issues=importer.report.issues)
    return module


def check_model(source: Model, *, shapes: Shapes | None = None) -> Report:
    """Everything about the model that ircc cannot compile, in one report; a broken model is an issue too.

    Raises InputError for sizes that contradict the model."""
    try:
        return _imported(source, shapes)[1].report
    except (ModelError, UnsupportedError) as error:
        found = Issue(error.node or "", error.operator or "", 0, error.message, error.hint or "")
        return Report(os.fspath(source) if isinstance(source, str | os.PathLike) else "", issues=[found])


def _imported(source: Model, shapes: Shapes | None) -> tuple[Source, Importer, ModuleOp | None]:
    """The importer after its run, and the module if there are no issues."""
    try:
        loaded = load(source)
        check_structure(loaded.model)
        importer = Importer(loaded, shapes)
        return loaded, importer, importer.run()
    except UNEXPECTED as error:  # names that are no text, and whatever else only a damaged file has
        raise ModelError(f"the model is damaged: {type(error).__name__}: {error}") from error
