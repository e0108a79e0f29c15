"""Models that are not compiled code from end to end: engines and Python steps in turn, behind an engine's face.

A model of which too little is known, a sequence as its input say, is compiled when it runs first, for the structure its
inputs have then. A model with nodes that have no native meaning, strings say, is cut into pieces: each is compiled the
ordinary way, or is one node that the reference evaluator of onnx runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .frontends.onnx import Form, Model, Piece, PythonNode, Shapes, Source, prepare
from .runtime.artifact import Kernel, Port
from .runtime.composite import Composed, Composite, Deferred, Grouped, OpenPort, Step, Structure
from .runtime.engine import Engine

Make: TypeAlias = "Callable[[Source], Engine]"


def compose(model: Model, shapes: Shapes, make: Make, threads: int | None) -> Composed:
    """The model with `make` for what can be compiled. Raises Error, as compiling the pieces does."""
    whole = prepare(model, shapes)
    inputs, outputs = list(map(port, whole.inputs)), list(map(port, whole.outputs))
    if whole.open:

        def later(structures: Mapping[str, Structure]) -> Engine:
            return make(whole.settled(structures))

        return Deferred(inputs, outputs, whole.open, later, threads)
    steps = [step(piece, make) for piece in whole.pieces()]
    return Composite(inputs, outputs, steps, whole.constants(), threads)


def step(piece: Piece, make: Make) -> Step:
    """A piece, ready to run."""
    if piece.reason:
        kernel = Kernel(piece.operator, (piece.node,), "python")
        return Step(piece.inputs, piece.outputs, PythonNode(piece.source), None, kernel)
    engine = make(piece.source)
    return Step(piece.inputs, piece.outputs, engine.run, engine)


def grouped(engine: Engine, layout: Mapping[str, int]) -> Engine:
    """The engine with its outputs as the model has them; itself where they are tensors all."""
    if not layout:
        return engine
    known = {p.name: p for p in engine.outputs}
    outputs = [known.get(name) or _sequence(name, n > 0 and known[f"{name}[0]"]) for name, n in layout.items()]
    return Grouped(outputs, engine, layout)


def _sequence(name: str, first: Port | bool) -> Port:
    dtype = first.dtype if isinstance(first, Port) else np.dtype(np.float32)
    return OpenPort(name, dtype, (), sequence=True)


def port(form: Form) -> Port:
    """An input or output as the run time describes it."""
    dtype: np.dtype[Any] = np.dtype(object) if form.dtype is None else form.dtype
    shape = tuple(form.shape or ())
    if form.plain and form.dtype is not None:
        return Port(form.name, dtype, shape)
    ranked = form.shape is not None
    return OpenPort(form.name, dtype, shape, form.sequence, form.optional, ranked, form.free)
